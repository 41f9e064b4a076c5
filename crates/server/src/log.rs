//! Structured logs: one JSON object a line on standard error.

use std::io::Write;
use std::time::SystemTime;

use crate::model::rfc3339;

pub(crate) fn info(message: &str, facts: &[(&str, &str)]) {
    write("info", message, facts);
}

pub(crate) fn warn(message: &str, facts: &[(&str, &str)]) {
    write("warn", message, facts);
}

pub(crate) fn error(message: &str, facts: &[(&str, &str)]) {
    write("error", message, facts);
}

fn write(level: &str, message: &str, facts: &[(&str, &str)]) {
    let line = line(&rfc3339(SystemTime::now()), level, message, facts);
    // In one call, so that lines of several threads do not mix. A log that nobody reads
    // any more is no reason to stop.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

fn line(time: &str, level: &str, message: &str, facts: &[(&str, &str)]) -> String {
    let mut line = String::with_capacity(160);
    let pairs = [("time", time), ("level", level), ("message", message)];
    for (name, value) in pairs.iter().chain(facts) {
        line.push(if line.is_empty() { '{' } else { ',' });
        // JSON escapes control characters, so a value cannot pretend to be a line.
        line.push_str(&serde_json::Value::from(*name).to_string());
        line.push(':');
        line.push_str(&serde_json::Value::from(*value).to_string());
    }
    line.push_str("}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_in_its_line() {
        let text = line("t", "info", "m", &[("id", "a\nb\u{1b}[31m\"")]);
        let expected = "{\"time\":\"t\",\"level\":\"info\",\"message\":\"m\",\"id\":\"a\\nb\\u001b[31m\\\"\"}\n";
        assert_eq!(text, expected);
    }
}
