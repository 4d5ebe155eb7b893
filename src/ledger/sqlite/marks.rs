//! What people asked for, as rows: pauses and acts; and what parts of the daemon remember.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fault::RowError;
use super::rows::{instant, nanos};

use crate::domain::pause::{ACTS_MAX, Lifted, PAUSES_KEPT_MAX};
use crate::domain::{Act, Pause, Scope, Timestamp};

type Result<T> = std::result::Result<T, RowError>;

const PAUSE: &str =
    "SELECT scope, since, until, asked_by, reason, lifted_at, lifted_by FROM pauses";

/// The pauses that are not over at `at`.
pub(super) fn pauses(conn: &Connection, at: i64) -> Result<Vec<Pause>> {
    let sql = format!("{PAUSE} WHERE ends_at > ?1 ORDER BY since, scope");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([at])?;
    let mut pauses = Vec::new();
    while let Some(row) = rows.next()? {
        pauses.push(pause(row)?);
    }
    Ok(pauses)
}

fn pause(row: &Row<'_>) -> Result<Pause> {
    let key: String = row.get(0)?;
    let lifted: Option<(i64, String)> = row.get::<_, Option<i64>>(5)?.zip(row.get(6)?);
    Ok(Pause {
        scope: Scope::from_key(&key).ok_or_else(|| {
            RowError::Unreadable(format!("a pause is of the unknown scope {key:?}"))
        })?,
        since: instant(row.get(1)?),
        until: row.get::<_, Option<i64>>(2)?.map(instant),
        by: row.get(3)?,
        reason: row.get(4)?,
        lifted: lifted.map(|(at, by)| Lifted {
            at: instant(at),
            by,
        }),
    })
}

/// Keeps a pause, in place of the one of its scope that holds.
pub(super) fn put_pause(conn: &Connection, pause: &Pause) -> Result<Option<Pause>> {
    let before = lift(conn, &pause.scope, pause.since, &pause.by)?;
    write(conn, pause)?;
    conn.prepare_cached(
        "DELETE FROM pauses WHERE (scope, since) IN (SELECT scope, since FROM pauses WHERE ends_at <= ?1 \
         ORDER BY ends_at DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![nanos(pause.since), PAUSES_KEPT_MAX as i64])?;
    Ok(before)
}

/// Lifts the pause of this scope that holds.
pub(super) fn lift(
    conn: &Connection,
    scope: &Scope,
    at: Timestamp,
    by: &str,
) -> Result<Option<Pause>> {
    let sql = format!("{PAUSE} WHERE scope = ?1 AND ends_at > ?2 AND lifted_at IS NULL");
    let found = conn
        .prepare_cached(&sql)?
        .query_row(params![scope.key(), nanos(at)], |row| Ok(pause(row)))
        .optional()?;
    let Some(mut found) = found.transpose()? else {
        return Ok(None);
    };
    let by = by.to_owned();
    found.lifted = Some(Lifted { at, by });
    write(conn, &found)?;
    Ok(Some(found))
}

fn write(conn: &Connection, pause: &Pause) -> Result<()> {
    let lifted = pause.lifted.as_ref();
    conn.prepare_cached(
        "INSERT OR REPLACE INTO pauses (scope, since, until, asked_by, reason, lifted_at, lifted_by, ends_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        pause.scope.key(),
        nanos(pause.since),
        pause.until.map(nanos),
        pause.by,
        pause.reason,
        lifted.map(|lifted| nanos(lifted.at)),
        lifted.map(|lifted| &lifted.by),
        pause.end().map_or(i64::MAX, nanos),
    ])?;
    Ok(())
}

/// Writes down what somebody did.
pub(super) fn put_act(conn: &Connection, act: &Act) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO acts (at, done_by, what, subject, reason, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        nanos(act.at),
        act.by,
        act.what,
        act.on,
        act.reason,
        act.outcome
    ])?;
    conn.prepare_cached("DELETE FROM acts WHERE seq <= ?1")?
        .execute([conn.last_insert_rowid() - ACTS_MAX as i64])?;
    Ok(())
}

/// The last acts, newest first.
pub(super) fn acts(conn: &Connection, limit: u32) -> Result<Vec<Act>> {
    let mut statement = conn.prepare_cached(
        "SELECT at, done_by, what, subject, reason, outcome FROM acts ORDER BY seq DESC LIMIT ?1",
    )?;
    let acts = statement.query_map([limit], |row| {
        Ok(Act {
            at: instant(row.get(0)?),
            by: row.get(1)?,
            what: row.get(2)?,
            on: row.get(3)?,
            reason: row.get(4)?,
            outcome: row.get(5)?,
        })
    })?;
    Ok(acts.collect::<rusqlite::Result<_>>()?)
}

/// Forgets what was over or done before `before`.
pub(super) fn prune(conn: &Connection, before: i64) -> Result<()> {
    conn.prepare_cached("DELETE FROM pauses WHERE ends_at < ?1")?
        .execute([before])?;
    conn.prepare_cached("DELETE FROM acts WHERE at < ?1")?
        .execute([before])?;
    Ok(())
}

/// Keeps a text under a key.
pub(super) fn put_memo(conn: &Connection, key: &str, text: &str) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO memos (key, text) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET text = excluded.text",
    )?
    .execute([key, text])?;
    Ok(())
}

/// The text under a key.
pub(super) fn memo(conn: &Connection, key: &str) -> Result<Option<String>> {
    let found = conn
        .prepare_cached("SELECT text FROM memos WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(found)
}
