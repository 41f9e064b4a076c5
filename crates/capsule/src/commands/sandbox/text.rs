//! What a server or a sandbox says, for a terminal: nothing of it is obeyed, and sizes and
//! times are those of people.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// Text with everything escaped that a terminal would act on: control characters, and those
/// that turn the direction of text, which can make a name look like another one.
pub(crate) fn harmless(text: &str) -> String {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown += "\\n",
            '\t' => shown += "\\t",
            '\r' => shown += "\\r",
            c if acts(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// A string of an answer, harmless; empty if it is none.
pub(crate) fn of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => harmless(text),
        other => harmless(&other.to_string()),
    }
}

/// A size that came as a number; a dash if none came.
pub(crate) fn size_of(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), size)
}

/// Bytes for people: `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if value < 10.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A duration for people, in its two largest units at most.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => match seconds % 60 {
            0 => format!("{}m", seconds / 60),
            rest => format!("{}m{rest}s", seconds / 60),
        },
        3_600..86_400 => match seconds / 60 % 60 {
            0 => format!("{}h", seconds / 3_600),
            rest => format!("{}h{rest}m", seconds / 3_600),
        },
        _ => match seconds / 3_600 % 24 {
            0 => format!("{}d", seconds / 86_400),
            rest => format!("{}d{rest}h", seconds / 86_400),
        },
    }
}

/// Milliseconds that came as a number.
pub(crate) fn milliseconds(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |ms| span(Duration::from_millis(ms)))
}

/// How long a time of day was ago.
pub(crate) fn age(value: &Value) -> String {
    let ago = time(value).and_then(|time| SystemTime::now().duration_since(time).ok());
    ago.map_or_else(|| "now".to_owned(), |ago| span(whole(ago)))
}

/// How long it is until a time of day.
pub(crate) fn left(value: &Value) -> String {
    let left = time(value).and_then(|time| time.duration_since(SystemTime::now()).ok());
    left.map_or_else(|| "now".to_owned(), |left| span(whole(left)))
}

fn whole(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs().max(1))
}

fn time(value: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(value.as_str()?).ok()
}

/// Labels and the like: `a=1,b=2`.
pub(crate) fn pairs(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(name, value)| format!("{}={}", harmless(name), of(value)))
        .collect::<Vec<_>>()
        .join(",")
}

/// Words of a command, as a shell would have to be told them.
pub(crate) fn command(value: &Value) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%^".contains(c);
    let word = |word: &Value| match word.as_str() {
        Some(word) if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        Some(word) => format!("'{}'", harmless(&word.replace('\'', "'\\''"))),
        None => String::new(),
    };
    value.as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(" ")
}

/// At most so many characters, with a mark where something is missing.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_terminal_obeys_a_name() {
        let name = "a\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\r\n\u{202e}txt.exe\u{200b}";
        let shown = harmless(name);
        assert_eq!(
            shown,
            "a\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{9b}31m\\r\\n\\u{202e}txt.exe\\u{200b}"
        );
        assert_eq!(harmless("ünïcode 文件"), "ünïcode 文件");
        assert_eq!(
            command(&json!(["sh", "-c", "echo 'a'\u{1b}"])),
            "sh -c 'echo '\\''a'\\''\\u{1b}'"
        );
    }

    #[test]
    fn sizes_and_times_are_for_people() {
        assert_eq!([0, 1023, 1536, 12 << 20].map(size), ["0 B", "1023 B", "1.5 KiB", "12 MiB"]);
        let spans = [5, 65, 3_600, 90_000].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["5s", "1m5s", "1h", "1d1h"]);
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}
