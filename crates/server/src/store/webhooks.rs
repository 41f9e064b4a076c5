//! Webhooks that wait: for their process to end, or to be sent.

use std::collections::BTreeSet;

use rusqlite::{Row, params};

use super::{Store, StoreError};

/// How many of one owner wait at most.
const MOST_EACH: i64 = 1_000;

/// A webhook that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebhookRow {
    pub(crate) number: i64,
    pub(crate) owner: String,
    pub(crate) sandbox: String,
    pub(crate) url: String,
    pub(crate) secret: Option<String>,
    pub(crate) body: String,
    pub(crate) attempts: i64,
}

impl Store {
    /// Remembers where the end of a process is to be told; false: too many wait.
    pub(crate) async fn insert_webhook(
        &self,
        (sandbox, process): (String, u64),
        owner: String,
        url: String,
        secret: Option<String>,
    ) -> Result<bool, StoreError> {
        self.ask(move |connection| {
            let waiting: i64 = connection
                .prepare_cached("SELECT count(*) FROM webhooks WHERE owner = ?1")?
                .query_row([&owner], |row| row.get(0))?;
            if waiting >= MOST_EACH {
                return Ok(false);
            }
            connection
                .prepare_cached(
                    "INSERT INTO webhooks (owner, sandbox, process, url, secret, body, attempts, due)
                     VALUES (?1, ?2, ?3, ?4, ?5, NULL, 0, 0)",
                )?
                .execute(params![owner, sandbox, number(process), url, secret])?;
            Ok(true)
        })
        .await
    }

    /// A process has ended: what is to be told of it.
    pub(crate) async fn complete_webhook(
        &self,
        sandbox: String,
        process: u64,
        body: String,
    ) -> Result<(), StoreError> {
        let completed = self
            .ask(move |connection| {
                let mut update = connection.prepare_cached(
                    "UPDATE webhooks SET body = ?3 WHERE sandbox = ?1 AND process = ?2
                     AND body IS NULL",
                )?;
                Ok(update.execute(params![sandbox, number(process), body])?)
            })
            .await?;
        if completed > 0 {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Completes those of processes that nobody has any more.
    pub(crate) async fn lose_webhooks(
        &self,
        known: BTreeSet<(String, u64)>,
        body: impl Fn(&str, u64) -> String + Send + 'static,
    ) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let mut select = connection
                .prepare("SELECT DISTINCT sandbox, process FROM webhooks WHERE body IS NULL")?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
            let rows: Vec<(String, i64)> = rows.collect::<Result<_, _>>()?;
            for (sandbox, process) in rows {
                let process = process.cast_unsigned();
                if !known.contains(&(sandbox.clone(), process)) {
                    let body = body(&sandbox, process);
                    connection.execute(
                        "UPDATE webhooks SET body = ?3 WHERE sandbox = ?1 AND process = ?2",
                        params![sandbox, number(process), body],
                    )?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Those that are to be sent by now, the longest due first.
    pub(crate) async fn webhooks_due(
        &self,
        now: i64,
        limit: i64,
    ) -> Result<Vec<WebhookRow>, StoreError> {
        self.ask(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT * FROM webhooks WHERE body IS NOT NULL AND due <= ?1
                 ORDER BY due, number LIMIT ?2",
            )?;
            let rows = select.query_and_then([now, limit], row)?;
            rows.collect()
        })
        .await
    }

    /// When the next one is due.
    pub(crate) async fn webhook_next(&self) -> Result<Option<i64>, StoreError> {
        self.ask(|connection| {
            let mut select = connection
                .prepare_cached("SELECT min(due) FROM webhooks WHERE body IS NOT NULL")?;
            Ok(select.query_row([], |row| row.get(0))?)
        })
        .await
    }

    /// Puts one off.
    pub(crate) async fn webhook_later(
        &self,
        number: i64,
        attempts: i64,
        due: i64,
    ) -> Result<(), StoreError> {
        self.ask(move |connection| {
            connection
                .prepare_cached("UPDATE webhooks SET attempts = ?2, due = ?3 WHERE number = ?1")?
                .execute([number, attempts, due])?;
            Ok(())
        })
        .await
    }

    /// Forgets one.
    pub(crate) async fn forget_webhook(&self, number: i64) -> Result<(), StoreError> {
        self.ask(move |connection| {
            connection
                .prepare_cached("DELETE FROM webhooks WHERE number = ?1")?
                .execute([number])?;
            Ok(())
        })
        .await
    }

    /// Answers when one may have become due.
    pub(crate) async fn webhook_woken(&self) {
        self.wake.notified().await;
    }
}

fn number(process: u64) -> i64 {
    i64::try_from(process).unwrap_or(i64::MAX)
}

fn row(row: &Row<'_>) -> Result<WebhookRow, StoreError> {
    Ok(WebhookRow {
        number: row.get("number")?,
        owner: row.get("owner")?,
        sandbox: row.get("sandbox")?,
        url: row.get("url")?,
        secret: row.get("secret")?,
        body: row.get("body")?,
        attempts: row.get("attempts")?,
    })
}
