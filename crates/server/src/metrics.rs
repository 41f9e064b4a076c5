//! Counters, and their text for Prometheus.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::live::{Registry, lock};
use crate::model::State;
use crate::request::Request;

/// A number that goes up, or a level.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Number,
    pub(crate) terminals: Number,
    pub(crate) executions: Number,
    pub(crate) uploaded: Number,
    pub(crate) downloaded: Number,
    /// Refused before anything was read of them: no key, foreign origin, too many.
    pub(crate) turned_away: Number,
    methods: Mutex<Vec<Method>>,
}

#[derive(Clone, Debug, Default)]
struct Method {
    name: &'static str,
    answered: u64,
    refused: u64,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
}

/// Upper bounds of the histogram, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0, 120.0];

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn answered(&self, name: &'static str, is_refused: bool, took: Duration) {
        let mut methods = lock(&self.methods);
        let found = methods.iter().position(|method| method.name == name);
        let at = found.unwrap_or_else(|| {
            methods.push(Method { name, ..Method::default() });
            methods.len() - 1
        });
        let method = &mut methods[at];
        method.answered += 1;
        method.refused += u64::from(is_refused);
        let seconds = took.as_secs_f64();
        method.seconds += seconds;
        for (count, bound) in method.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= bound);
        }
    }

    /// The text that Prometheus reads.
    pub(crate) fn text(&self, registry: &Registry) -> String {
        let mut text = String::new();
        let all = registry.all();
        header(&mut text, "capsule_sandboxes", "gauge", "Sandboxes by state.");
        let states = [State::Creating, State::Ready, State::Paused, State::Expiring, State::Ending];
        for state in states {
            let count = all.iter().filter(|live| live.state() == state).count();
            let _ = writeln!(text, "capsule_sandboxes{{state=\"{}\"}} {count}", state.name());
        }
        pools_text(&mut text, registry);
        let processes = all.iter().map(|live| live.running() as u64).sum();
        for (name, kind, help, value) in [
            ("capsule_processes", "gauge", "Processes that run.", processes),
            ("capsule_connections", "gauge", "Open connections.", self.connections.get()),
            ("capsule_terminals", "gauge", "Open terminals.", self.terminals.get()),
            ("capsule_executions_total", "counter", "Processes started.", self.executions.get()),
            (
                "capsule_executions_unlogged_total",
                "counter",
                "Executions that could not be written to the log.",
                registry.store.unlogged(),
            ),
            (
                "capsule_uploaded_bytes_total",
                "counter",
                "Bytes of files that came.",
                self.uploaded.get(),
            ),
            (
                "capsule_downloaded_bytes_total",
                "counter",
                "Bytes of files that went.",
                self.downloaded.get(),
            ),
            (
                "capsule_turned_away_total",
                "counter",
                "Requests refused before they were read.",
                self.turned_away.get(),
            ),
        ] {
            header(&mut text, name, kind, help);
            let _ = writeln!(text, "{name} {value}");
        }
        self.methods_text(&mut text);
        text
    }

    fn methods_text(&self, text: &mut String) {
        let methods = lock(&self.methods).clone();
        header(text, "capsule_refused_total", "counter", "Requests answered with an error.");
        for method in &methods {
            let (name, refused) = (method.name, method.refused);
            let _ = writeln!(text, "capsule_refused_total{{method=\"{name}\"}} {refused}");
        }
        header(text, "capsule_request_seconds", "histogram", "Time to answer, by method.");
        for method in &methods {
            let (name, answered) = (method.name, method.answered);
            for (bound, count) in BUCKETS.iter().zip(method.buckets) {
                let _ = writeln!(
                    text,
                    "capsule_request_seconds_bucket{{method=\"{name}\",le=\"{bound}\"}} {count}"
                );
            }
            let _ = writeln!(
                text,
                "capsule_request_seconds_bucket{{method=\"{name}\",le=\"+Inf\"}} {answered}\n\
                 capsule_request_seconds_sum{{method=\"{name}\"}} {}\n\
                 capsule_request_seconds_count{{method=\"{name}\"}} {answered}",
                method.seconds
            );
        }
    }
}

fn pools_text(text: &mut String, registry: &Registry) {
    let pools = registry.pools();
    for (name, help) in [
        ("capsule_pool_size", "Spare sandboxes there are to be."),
        ("capsule_pool_ready", "Spare sandboxes there are."),
    ] {
        header(text, name, "gauge", help);
        for pool in pools.iter().filter(|pool| pool.size > 0) {
            let value = if name.ends_with("size") { pool.size } else { pool.ready };
            let _ = writeln!(text, "{name}{{templates=\"{}\"}} {value}", pool.templates.join(","));
        }
    }
    let (taken, missed) = registry.pool_counts();
    for (name, help, value) in [
        ("capsule_pool_taken_total", "Sandboxes that were a spare before.", taken),
        ("capsule_pool_missed_total", "Sandboxes that no spare was ready for.", missed),
    ] {
        header(text, name, "counter", help);
        let _ = writeln!(text, "{name} {value}");
    }
}

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// The name that a request is counted under.
pub(crate) fn name_of(request: Option<&Request>) -> &'static str {
    request.map_or("unknown", Request::method)
}
