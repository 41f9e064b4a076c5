//! Webhooks: somebody outside is told when a process has ended.
//!
//! ```text
//!  start ─▶ remembered ─▶ process ends: due ─▶ sent ─▶ forgotten
//!                                      ▲         │ no 2xx, no answer
//!                                      └─ later ─┘ a few times, then given up
//! ```
//!
//! Owns: the address, the signature, when it is tried again. The address is a stranger's, and
//! this server stands where strangers do not: it connects to no address inside that the
//! operator did not spell out, follows no redirect, and reads no more than a status.

mod send;
mod url;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capsule_spec::HostRule;
use tokio::task::JoinSet;

use crate::log;
use crate::store::{Store, WebhookRow, milliseconds};

pub(crate) use send::Sender;
pub(crate) use url::Url;

/// How often one is sent at most.
const ATTEMPTS: i64 = 8;
/// Each pause is so many times as long as the one before.
const FACTOR: u32 = 4;
/// Sent at one time: of all, and of one owner.
const AT_ONCE: usize = 32;
const AT_ONCE_EACH: usize = 4;
/// How many are looked at together.
const LOOK: i64 = 256;
/// How long at most nobody looks.
const NAP: Duration = Duration::from_secs(30);
/// How long another try is put off while one is under way: longer than any takes.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// How webhooks are sent.
#[derive(Clone, Debug)]
pub struct WebhookRules {
    /// Addresses that may be reached although they are inside.
    pub allowed: Vec<HostRule>,
    /// The pause after the first attempt that failed.
    pub pause: Duration,
}

impl Default for WebhookRules {
    fn default() -> Self {
        Self { allowed: Vec::new(), pause: Duration::from_secs(1) }
    }
}

/// Sends what is due, for ever.
pub(crate) async fn deliver(store: Store, rules: WebhookRules) {
    let sender = Arc::new(Sender::new(rules.allowed));
    let mut under_way: JoinSet<(WebhookRow, bool)> = JoinSet::new();
    let mut each: HashMap<String, usize> = HashMap::new();
    loop {
        let now = milliseconds(SystemTime::now());
        let due = match store.webhooks_due(now, LOOK).await {
            Ok(due) => due,
            Err(error) => {
                log::error("webhooks not read", &[("error", &error.to_string())]);
                Vec::new()
            }
        };
        let mut passed_over = false;
        for row in due {
            let mine = each.entry(row.owner.clone()).or_default();
            if under_way.len() >= AT_ONCE || *mine >= AT_ONCE_EACH {
                passed_over = true;
                continue;
            }
            let later = now + i64::try_from(UNDER_WAY.as_millis()).unwrap_or(i64::MAX);
            // One that cannot be put off would be sent again and again.
            if store.webhook_later(row.number, row.attempts + 1, later).await.is_err() {
                continue;
            }
            *mine += 1;
            let sender = Arc::clone(&sender);
            under_way.spawn(async move {
                let sent = sender.send(&row).await;
                (row, sent)
            });
        }
        let next = store.webhook_next().await.ok().flatten();
        let wait = next.map_or(NAP, |next| {
            let left = next - milliseconds(SystemTime::now());
            // Those that were passed over wait for others to be over, which wakes this up.
            let least = Duration::from_millis(if passed_over { 1_000 } else { 5 });
            Duration::from_millis(u64::try_from(left).unwrap_or(0)).clamp(least, NAP)
        });
        tokio::select! {
            Some(Ok((row, sent))) = under_way.join_next() => {
                if let Some(mine) = each.get_mut(&row.owner) {
                    *mine -= 1;
                    if *mine == 0 {
                        each.remove(&row.owner);
                    }
                }
                over(&store, &row, sent, rules.pause).await;
            }
            () = store.webhook_woken() => {}
            () = tokio::time::sleep(wait), if under_way.len() < AT_ONCE => {}
        }
    }
}

/// An attempt is over.
async fn over(store: &Store, row: &WebhookRow, sent: bool, pause: Duration) {
    let attempts = row.attempts + 1;
    let gives_up = !sent && attempts >= ATTEMPTS;
    let kept = if sent || gives_up {
        store.forget_webhook(row.number).await
    } else {
        let exponent = u32::try_from(row.attempts).unwrap_or(0);
        let wait = pause * FACTOR.saturating_pow(exponent);
        let later = milliseconds(SystemTime::now() + wait);
        store.webhook_later(row.number, attempts, later).await
    };
    let mut facts = vec![("sandbox", row.sandbox.as_str())];
    let attempts = attempts.to_string();
    facts.push(("attempts", &attempts));
    let error = kept.err().map(|error| error.to_string());
    if let Some(error) = &error {
        facts.push(("error", error));
    }
    match (sent, gives_up) {
        (true, _) => log::info("webhook sent", &facts),
        (false, true) => log::warn("webhook given up", &facts),
        (false, false) => log::info("webhook not sent yet", &facts),
    }
}
