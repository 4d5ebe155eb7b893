//! Rows to words and back: the only file that knows the columns.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::SourceFile;
use crate::domain::{
    AccountName, Answer, Attempt, Change, Doubt, EntryName, EntryState, LastSuccess, Mark,
    MarkChange, Origin, PipelineAt, Plan, Reason, Run, Skip, Tick, TickId, TickState, Timestamp,
};

use super::super::glance::doubt_since;
use super::super::rule::{self, Effect, Stored, Wanted};
use super::super::{Changed, Glance, GoodConfig, HistoryQuery, Story};
use super::fault::RowError;
use super::marks;

type Result<T> = std::result::Result<T, RowError>;

/// The columns that `tick` reads, in its order.
const COLUMNS: &str = "t.id, t.entry, t.due, t.origin, t.opened_at, t.account, t.request, t.policy, t.deadline, \
     t.state, t.state_at, t.reason, t.attempts, t.refusals, t.holds, t.doubt, t.missed, t.moved_from, t.note, \
     r.run_id, r.queue_id, r.started_at, r.number, r.outcome, r.ended_at, r.failed_stage, r.overdue, r.watched";

/// Where they are.
const ALL: &str = "ticks t LEFT JOIN runs r ON r.tick = t.seq";

/// Those of the ticks that have not ended or are watched. Left to itself SQLite goes through the whole history of the
/// entry for them.
const ALIVE: &str = "ticks t INDEXED BY ticks_alive LEFT JOIN runs r ON r.tick = t.seq";
/// The same by pipeline.
const ALIVE_AT: &str = "ticks t INDEXED BY ticks_alive_at LEFT JOIN runs r ON r.tick = t.seq";

/// Decides about each entry in turn and writes what was decided.
pub(super) fn decide_all<D>(
    conn: &Connection,
    now: Timestamp,
    entries: &[EntryName],
    decide: &mut D,
) -> Result<Vec<Plan>>
where
    D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan,
{
    let mut plans = Vec::with_capacity(entries.len());
    for entry in entries {
        let state = state(conn, now, entry)?;
        let plan = rule::call(decide, now, entry, &state)
            .map_err(|why| RowError::Refused(entry.clone(), why))?;
        store(conn, now, entry, &plan).map_err(|error| error.of(entry))?;
        plans.push(plan);
    }
    Ok(plans)
}

/// What is known of an entry.
fn state(conn: &Connection, now: Timestamp, entry: &EntryName) -> Result<EntryState> {
    let mark = conn
        .prepare_cached("SELECT until, schedule, crossed FROM marks WHERE entry = ?1")?
        .query_row([entry.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let mark = mark.map(|(until, schedule, crossed)| {
        Ok::<_, RowError>(Mark {
            until: instant(until),
            schedule,
            crossed: instants(entry.as_str(), crossed)?.into_iter().collect(),
        })
    });
    let mut state = EntryState {
        mark: mark.transpose()?,
        last_success: last_success(conn, entry)?,
        ..EntryState::default()
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM {ALIVE} WHERE t.entry = ?1 AND t.alive = 1 ORDER BY t.due, t.id"
    );
    state.open = ticks(conn, &sql, &[&entry.as_str()])?;
    let decided_after = rule::decided_after(&state, now);
    let after = nanos(decided_after);
    let mut statement = conn.prepare_cached(
        "SELECT due FROM ticks WHERE entry = ?1 AND due > ?2 AND origin = 'scheduled'",
    )?;
    let decided = statement.query_map(params![entry.as_str(), after], |row| row.get(0))?;
    state.decided = decided
        .map(|due| due.map(instant))
        .collect::<rusqlite::Result<_>>()?;
    let skips_after = nanos(rule::skips_after(&state, decided_after));
    state.skips = coming_skips(conn, Some(entry), skips_after)?
        .into_iter()
        .map(|(_, skip)| (skip.due, skip))
        .collect();
    state.pauses = marks::pauses(conn, after)?;
    if state.mark.as_ref().is_some_and(Mark::moves) {
        state.recent = recent(conn, entry, rule::recent_since(decided_after))?;
    }
    add_others(conn, entry, &mut state)?;
    Ok(state)
}

/// The entry's newest tick whose run ended well.
pub(super) fn last_success(conn: &Connection, entry: &EntryName) -> Result<Option<LastSuccess>> {
    let found = conn
        .prepare_cached("SELECT due, run_id, number FROM successes WHERE entry = ?1")?
        .query_row([entry.as_str()], |row| {
            Ok(LastSuccess {
                due: instant(row.get(0)?),
                run_id: row.get(1)?,
                number: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
            })
        })
        .optional()?;
    Ok(found)
}

/// What was decided of what was due since then, also by the instants that the rows stand for.
fn recent(conn: &Connection, entry: &EntryName, since: Timestamp) -> Result<BTreeSet<Timestamp>> {
    let mut statement = conn.prepare_cached(
        "SELECT due, moved_from FROM ticks WHERE entry = ?1 AND due >= ?2 AND origin = 'scheduled'",
    )?;
    let mut rows = statement.query(params![entry.as_str(), nanos(since)])?;
    let mut recent = BTreeSet::new();
    while let Some(row) = rows.next()? {
        recent.insert(instant(row.get(0)?));
        recent.extend(instants(entry.as_str(), row.get(1)?)?);
    }
    Ok(recent)
}

/// The marks for ticks due later than `after`, of one entry or of all.
pub(super) fn coming_skips(
    conn: &Connection,
    entry: Option<&EntryName>,
    after: i64,
) -> Result<Vec<(EntryName, Skip)>> {
    let of = match entry {
        Some(_) => "entry = ?1 AND",
        None => "?1 IS NULL AND",
    };
    let sql = format!(
        "SELECT entry, due, asked_by, asked_at, reason FROM skips WHERE {of} due > ?2 ORDER BY entry, due"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![entry.map(EntryName::as_str), after])?;
    let mut skips = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = Cells::new(row);
        let entry = entry_name(&cells.next::<String>()?)?;
        let skip = Skip {
            due: instant(cells.next()?),
            by: cells.next()?,
            asked_at: instant(cells.next()?),
            reason: cells.next()?,
        };
        skips.push((entry, skip));
    }
    Ok(skips)
}

/// Marks ticks to be skipped.
pub(super) fn put_skips(conn: &Connection, entry: &EntryName, skips: &[Skip]) -> Result<()> {
    for skip in skips {
        conn.prepare_cached(
            "INSERT INTO skips (entry, due, asked_by, asked_at, reason) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (entry, due) DO UPDATE SET asked_by = excluded.asked_by, asked_at = excluded.asked_at, \
             reason = excluded.reason",
        )?
        .execute(params![
            entry.as_str(),
            nanos(skip.due),
            skip.by,
            nanos(skip.asked_at),
            skip.reason
        ])?;
    }
    Ok(())
}

/// Takes such marks back; gives how many were there.
pub(super) fn drop_skips(conn: &Connection, entry: &EntryName, dues: &[Timestamp]) -> Result<u64> {
    let mut dropped = 0;
    for due in dues {
        dropped += conn
            .prepare_cached("DELETE FROM skips WHERE entry = ?1 AND due = ?2")?
            .execute(params![entry.as_str(), nanos(*due)])?;
    }
    Ok(dropped as u64)
}

/// What of the other entries a decision about this one is told.
fn add_others(conn: &Connection, entry: &EntryName, state: &mut EntryState) -> Result<()> {
    let wanted = Wanted::by(&state.open);
    let mut others = Vec::new();
    for (project, pipeline) in &wanted.pipelines {
        let sql = format!(
            "SELECT {COLUMNS} FROM {ALIVE_AT} WHERE t.pipeline_id = ?1 AND t.project_id = ?2 AND t.alive = 1 \
             AND t.state <> 'waiting' AND t.entry <> ?3"
        );
        others.extend(ticks(conn, &sql, &[pipeline, project, &entry.as_str()])?);
    }
    others.sort_by(|a: &Tick, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
    let mut taken = BTreeMap::new();
    for account in &wanted.accounts {
        let count: u32 = conn
            .prepare_cached("SELECT count(*) FROM ticks WHERE account = ?1 AND place = 1")?
            .query_row([account.as_str()], |row| row.get(0))?;
        if count > 0 {
            taken.insert((*account).clone(), count);
        }
    }
    let mut known_numbers = BTreeMap::new();
    for (tick, before) in &wanted.doubts {
        // Numbers grow: among the newest of the older runs is the highest.
        let number: Option<i64> = conn
            .prepare_cached(
                "SELECT max(number) FROM (SELECT r.number AS number FROM ticks t JOIN runs r ON r.tick = t.seq \
                 WHERE t.pipeline_id = ?1 AND t.project_id = ?2 AND r.started_at < ?3 AND r.number IS NOT NULL \
                 ORDER BY t.due DESC LIMIT 20)",
            )?
            .query_row(
                params![tick.request.pipeline_id, tick.request.project_id, nanos(*before)],
                |row| row.get(0),
            )?;
        if let Some(number) = number {
            known_numbers.insert(tick.id.clone(), number.cast_unsigned());
        }
    }
    state.others = others;
    state.taken = taken;
    state.known_numbers = known_numbers;
    Ok(())
}

fn store(conn: &Connection, now: Timestamp, entry: &EntryName, plan: &Plan) -> Result<()> {
    match &plan.mark {
        MarkChange::Keep => {}
        MarkChange::Set(mark) => {
            conn.prepare_cached(
                "INSERT INTO marks (entry, until, schedule, crossed) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (entry) DO UPDATE SET until = excluded.until, schedule = excluded.schedule, \
                 crossed = excluded.crossed",
            )?
            .execute(params![
                entry.as_str(),
                nanos(mark.until),
                mark.schedule,
                instants_text(&mark.crossed)?
            ])?;
        }
        MarkChange::Clear => {
            conn.prepare_cached("DELETE FROM marks WHERE entry = ?1")?
                .execute([entry.as_str()])?;
        }
    }
    for change in &plan.changes {
        apply(conn, now, entry, change)?;
    }
    Ok(())
}

fn apply(conn: &Connection, now: Timestamp, entry: &EntryName, change: &Change) -> Result<()> {
    let refused = |why| RowError::Refused(entry.clone(), why);
    let tick = &change.tick;
    let stored = stored(conn, &tick.id)?;
    let (seq, stored) = stored.map_or((None, None), |(seq, stored)| (Some(seq), Some(stored)));
    let seq = match (
        rule::effect(entry, change, stored.as_ref()).map_err(refused)?,
        seq,
    ) {
        (Effect::Update, Some(seq)) => {
            update(conn, seq, tick, next_change(conn)?)?;
            seq
        }
        (Effect::Open | Effect::Update, _) => open(conn, tick, next_change(conn)?)?,
    };
    put_run(conn, seq, tick.run.as_ref())?;
    if let Some(success) = tick.success() {
        put_success(conn, entry, &success)?;
    }
    if let Some(attempt) = &change.attempt {
        let stored = attempts(conn, seq, &tick.id, Some(attempt.number))?;
        rule::answers(stored.first(), attempt).map_err(refused)?;
        put_attempt(conn, seq, attempt)?;
    }
    conn.prepare_cached(
        "INSERT INTO notes (tick, number, at, text) \
         SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3 FROM notes WHERE tick = ?1",
    )?
    .execute(params![seq, nanos(now), tick.note])?;
    Ok(())
}

fn put_success(conn: &Connection, entry: &EntryName, success: &LastSuccess) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO successes (entry, due, run_id, number) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (entry) DO UPDATE SET due = excluded.due, run_id = excluded.run_id, number = excluded.number \
         WHERE excluded.due >= successes.due",
    )?
    .execute(params![
        entry.as_str(),
        nanos(success.due),
        success.run_id,
        success.number.map(u64::cast_signed),
    ])?;
    Ok(())
}

/// What never changes of the tick of that id, and its row.
fn stored(conn: &Connection, id: &TickId) -> Result<Option<(i64, Stored)>> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, entry, due, origin, opened_at, state FROM ticks WHERE id = ?1",
    )?;
    let mut rows = statement.query([id.as_str()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let mut cells = Cells::new(row);
    let seq = cells.next()?;
    let stored = Stored {
        entry: entry_name(&cells.next::<String>()?)?,
        due: instant(cells.next()?),
        origin: word(&cells.next::<String>()?)?,
        opened_at: instant(cells.next()?),
        is_ended: cells.next::<String>()? == "ended",
    };
    Ok(Some((seq, stored)))
}

fn open(conn: &Connection, tick: &Tick, change: i64) -> Result<i64> {
    let (at, reason) = state_columns(tick.state);
    let inserted = conn
        .prepare_cached(
            "INSERT INTO ticks (id, entry, due, origin, opened_at, account, request, policy, deadline, state, \
             state_at, reason, attempts, refusals, holds, doubt, missed, note, project_id, pipeline_id, alive, place, \
             moved_from, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
             ?22, ?23, ?24)",
        )?
        .insert(params![
            tick.id.as_str(),
            tick.entry.as_str(),
            nanos(tick.due),
            origin_word(tick.origin),
            nanos(tick.opened_at),
            tick.account.as_str(),
            json(&tick.request)?,
            json(&tick.policy)?,
            nanos(tick.deadline),
            tick.state.name(),
            nanos(at),
            reason,
            tick.attempts,
            tick.refusals,
            tick.holds,
            tick.doubt.as_ref().map(json).transpose()?,
            tick.missed.as_ref().map(json).transpose()?,
            tick.note,
            tick.request.project_id,
            tick.request.pipeline_id,
            is_alive(tick),
            tick.holds_place(),
            instants_text(&tick.moved_from)?,
            change,
        ]);
    inserted.map_err(|error| match error.sqlite_extended_error_code() {
        // The index on (entry, due) says no: the same tick under another id.
        Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE) => {
            RowError::Refused(tick.entry.clone(), rule::already_there(&tick.id))
        }
        _ => RowError::Sql(error),
    })
}

fn update(conn: &Connection, seq: i64, tick: &Tick, change: i64) -> Result<()> {
    let (at, reason) = state_columns(tick.state);
    conn.prepare_cached(
        "UPDATE ticks SET account = ?2, request = ?3, policy = ?4, deadline = ?5, state = ?6, state_at = ?7, \
         reason = ?8, attempts = ?9, refusals = ?10, holds = ?11, doubt = ?12, missed = ?13, note = ?14, project_id = ?15, \
         pipeline_id = ?16, alive = ?17, place = ?18, changed = ?19 WHERE seq = ?1",
    )?
    .execute(params![
        seq,
        tick.account.as_str(),
        json(&tick.request)?,
        json(&tick.policy)?,
        nanos(tick.deadline),
        tick.state.name(),
        nanos(at),
        reason,
        tick.attempts,
        tick.refusals,
        tick.holds,
        tick.doubt.as_ref().map(json).transpose()?,
        tick.missed.as_ref().map(json).transpose()?,
        tick.note,
        tick.request.project_id,
        tick.request.pipeline_id,
        is_alive(tick),
        tick.holds_place(),
        change,
    ])?;
    Ok(())
}

/// Instants as they are stored; none if there are none.
fn instants_text<'i>(instants: impl IntoIterator<Item = &'i Timestamp>) -> Result<Option<String>> {
    let instants: Vec<i64> = instants.into_iter().copied().map(nanos).collect();
    let some = (!instants.is_empty()).then_some(&instants);
    some.map(json).transpose()
}

fn instants(what: &str, text: Option<String>) -> Result<Vec<Timestamp>> {
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let instants: Vec<i64> = from_json(what, &text)?;
    Ok(instants.into_iter().map(instant).collect())
}

/// Whether a decision about its entry has to be told of it.
fn is_alive(tick: &Tick) -> bool {
    !tick.state.is_ended() || tick.is_watched()
}

fn put_run(conn: &Connection, seq: i64, run: Option<&Run>) -> Result<()> {
    let Some(run) = run else {
        conn.prepare_cached("DELETE FROM runs WHERE tick = ?1")?
            .execute([seq])?;
        return Ok(());
    };
    conn.prepare_cached(
        "INSERT INTO runs (tick, run_id, queue_id, started_at, number, outcome, ended_at, failed_stage, overdue, \
         watched) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
         ON CONFLICT (tick) DO UPDATE SET run_id = excluded.run_id, queue_id = excluded.queue_id, \
         started_at = excluded.started_at, number = excluded.number, outcome = excluded.outcome, \
         ended_at = excluded.ended_at, failed_stage = excluded.failed_stage, overdue = excluded.overdue, \
         watched = excluded.watched",
    )?
    .execute(params![
        seq,
        run.id,
        run.queue_id,
        nanos(run.started_at),
        run.number.map(u64::cast_signed),
        run.outcome,
        run.ended_at.map(nanos),
        run.failed_stage,
        run.overdue,
        run.watched,
    ])?;
    Ok(())
}

fn put_attempt(conn: &Connection, seq: i64, attempt: &Attempt) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO attempts (tick, number, sent_at, answered_at, answer) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (tick, number) DO UPDATE SET answered_at = excluded.answered_at, answer = excluded.answer",
    )?
    .execute(params![
        seq,
        attempt.number,
        nanos(attempt.sent_at),
        attempt.answered_at.map(nanos),
        attempt.answer.as_ref().map(json).transpose()?,
    ])?;
    Ok(())
}

/// The entries with open ticks.
pub(super) fn open_entries(conn: &Connection) -> Result<Vec<EntryName>> {
    entry_names(
        conn,
        "SELECT DISTINCT entry FROM ticks WHERE alive = 1 ORDER BY entry",
    )
}

/// The entries with marks.
pub(super) fn marked_entries(conn: &Connection) -> Result<Vec<EntryName>> {
    entry_names(conn, "SELECT entry FROM marks ORDER BY entry")
}

fn entry_names(conn: &Connection, sql: &str) -> Result<Vec<EntryName>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        names.push(entry_name(&row.get::<_, String>(0)?)?);
    }
    Ok(names)
}

/// Rows of the history.
pub(super) fn history(conn: &Connection, query: &HistoryQuery) -> Result<Vec<Tick>> {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    match query.entries.as_slice() {
        [] => {}
        [entry] => {
            conditions.push("t.entry = ?");
            values.push(Box::new(entry.as_str().to_owned()));
        }
        entries => {
            conditions.push("t.entry IN (SELECT value FROM json_each(?))");
            values.push(Box::new(json(entries)?));
        }
    }
    let mut from = ALL;
    if let Some(state) = &query.state {
        if state != "ended" {
            from = ALIVE;
            conditions.push("t.alive = 1");
        }
        conditions.push("t.state = ?");
        values.push(Box::new(state.clone()));
    }
    if let Some(reason) = query.reason {
        conditions.push("t.reason = ?");
        values.push(Box::new(reason.name()));
    }
    if let Some(since) = query.since {
        conditions.push("t.due >= ?");
        values.push(Box::new(nanos(since)));
    }
    if let Some(until) = query.until {
        conditions.push("t.due < ?");
        values.push(Box::new(nanos(until)));
    }
    if let Some((due, id)) = &query.after {
        conditions.push("t.due <= ? AND (t.due < ? OR t.id > ?)");
        values.push(Box::new(nanos(*due)));
        values.push(Box::new(nanos(*due)));
        values.push(Box::new(id.as_str().to_owned()));
    }
    let mut sql = format!("SELECT {COLUMNS} FROM {from}");
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql.push_str(" ORDER BY t.due DESC, t.id LIMIT ?");
    values.push(Box::new(query.limit.map_or(-1, i64::from)));
    let values: Vec<&dyn ToSql> = values.iter().map(|value| &**value).collect();
    ticks(conn, &sql, &values)
}

/// The columns that `glance` reads, in its order.
const GLANCE: &str = "t.id, t.entry, t.due, t.account, t.project_id, t.pipeline_id, t.origin, t.opened_at, t.state, \
     t.state_at, t.reason, t.doubt, t.note, \
     r.run_id, r.queue_id, r.started_at, r.number, r.outcome, r.ended_at, r.failed_stage, r.overdue, r.watched";

/// The newest ticks of each entry in short.
pub(super) fn glances(conn: &Connection, entries: &[EntryName], count: u32) -> Result<Vec<Glance>> {
    let sql =
        format!("SELECT {GLANCE} FROM {ALL} WHERE t.entry = ?1 ORDER BY t.due DESC, t.id LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut glances = Vec::new();
    for entry in entries {
        let mut rows = statement.query(params![entry.as_str(), count])?;
        while let Some(row) = rows.next()? {
            glances.push(glance(&mut Cells::new(row))?);
        }
    }
    Ok(glances)
}

fn glance(cells: &mut Cells<'_>) -> Result<Glance> {
    let id = cells.next::<String>()?;
    Ok(Glance {
        entry: entry_name(&cells.next::<String>()?)?,
        due: instant(cells.next()?),
        at: PipelineAt {
            account: account_name(&cells.next::<String>()?)?,
            project_id: cells.next()?,
            pipeline_id: cells.next()?,
        },
        origin: word(&cells.next::<String>()?)?,
        opened_at: instant(cells.next()?),
        state: next_state(&id, cells)?,
        doubt_since: doubt_since(next_doubt(&id, cells)?),
        note: cells.next()?,
        run: run(cells)?,
        id: TickId::from_text(&id),
    })
}

/// The ticks that changed after the change of that number.
pub(super) fn changes(conn: &Connection, after: u64, limit: u32) -> Result<Vec<Changed>> {
    let sql = format!(
        "SELECT t.changed, (SELECT json_extract(a.answer, '$.code') FROM attempts a \
         WHERE a.tick = t.seq AND a.answer IS NOT NULL ORDER BY a.number DESC LIMIT 1), {GLANCE} \
         FROM {ALL} WHERE t.changed > ?1 ORDER BY t.changed LIMIT ?2"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![after.cast_signed(), limit])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = Cells::new(row);
        changes.push(Changed {
            number: cells.next::<i64>()?.cast_unsigned(),
            code: cells.next()?,
            glance: glance(&mut cells)?,
        });
    }
    Ok(changes)
}

/// The number of the newest change.
pub(super) fn newest_change(conn: &Connection) -> Result<u64> {
    let newest: i64 = conn
        .prepare_cached("SELECT changes FROM meta")?
        .query_row([], |row| row.get(0))?;
    Ok(newest.cast_unsigned())
}

/// A number for one more change.
fn next_change(conn: &Connection) -> Result<i64> {
    let number = conn
        .prepare_cached("UPDATE meta SET changes = changes + 1 RETURNING changes")?
        .query_row([], |row| row.get(0))?;
    Ok(number)
}

/// Everything about one tick.
pub(super) fn story(conn: &Connection, id: &TickId) -> Result<Option<Story>> {
    let Some((seq, _)) = stored(conn, id)? else {
        return Ok(None);
    };
    let sql = format!("SELECT {COLUMNS} FROM {ALL} WHERE t.seq = ?1");
    let Some(tick) = ticks(conn, &sql, &[&seq])?.pop() else {
        return Ok(None);
    };
    let attempts = attempts(conn, seq, id, None)?;
    let mut statement =
        conn.prepare_cached("SELECT at, text FROM notes WHERE tick = ?1 ORDER BY number")?;
    let notes = statement
        .query_map([seq], |row| Ok((instant(row.get(0)?), row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Story {
        tick,
        attempts,
        notes,
    }))
}

/// Forgets up to `rows_max` ticks that were due and ended before `before`; gives how many.
pub(super) fn prune(conn: &Connection, before: Timestamp, rows_max: u32) -> Result<u64> {
    // A row that ended long ago by a clock that was set back since may still be due: it stands in for "opened once".
    conn.prepare_cached("DELETE FROM skips WHERE due < ?1")?
        .execute([nanos(before)])?;
    marks::prune(conn, nanos(before))?;
    let forgotten = conn
        .prepare_cached(
            "DELETE FROM ticks WHERE seq IN (SELECT seq FROM ticks \
             WHERE state = 'ended' AND state_at < ?1 AND due < ?1 ORDER BY state_at LIMIT ?2)",
        )?
        .execute(params![nanos(before), rows_max])?;
    conn.prepare_cached(
        "DELETE FROM successes WHERE due < ?1 \
         AND NOT EXISTS (SELECT 1 FROM marks m WHERE m.entry = successes.entry) \
         AND NOT EXISTS (SELECT 1 FROM ticks t WHERE t.entry = successes.entry)",
    )?
    .execute([nanos(before)])?;
    Ok(forgotten as u64)
}

/// Keeps the files of a configuration.
pub(super) fn keep_config(
    conn: &Connection,
    now: Timestamp,
    key: &str,
    files: &[SourceFile],
) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO configs (key, loaded_at, files) VALUES (?1, ?2, ?3) \
         ON CONFLICT (key) DO UPDATE SET loaded_at = excluded.loaded_at, files = excluded.files",
    )?
    .execute(params![key, nanos(now), json(files)?])?;
    Ok(())
}

/// Forgets configurations kept before `before`, but for the newest and those under `keep`; gives how many.
pub(super) fn forget_configs(conn: &Connection, before: Timestamp, keep: &[String]) -> Result<u64> {
    let forgotten = conn
        .prepare_cached(
            "DELETE FROM configs WHERE loaded_at < ?1 AND loaded_at < (SELECT max(loaded_at) FROM configs) \
             AND key NOT IN (SELECT value FROM json_each(?2))",
        )?
        .execute(params![nanos(before), json(keep)?])?;
    Ok(forgotten as u64)
}

/// The last configuration kept under `key`.
pub(super) fn last_config(conn: &Connection, key: &str) -> Result<Option<GoodConfig>> {
    let found: Option<(i64, String)> = conn
        .prepare_cached("SELECT loaded_at, files FROM configs WHERE key = ?1")?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found
        .map(|(loaded_at, files)| {
            Ok(GoodConfig {
                loaded_at: instant(loaded_at),
                files: from_json("the last good configuration", &files)?,
            })
        })
        .transpose()
}

/// The due time of the newest scheduled row.
pub(super) fn newest_due(conn: &Connection) -> Result<Option<Timestamp>> {
    let newest = conn
        .prepare_cached(
            "SELECT due FROM ticks INDEXED BY ticks_by_due WHERE origin = 'scheduled' \
             ORDER BY due DESC LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(newest.map(instant))
}

fn ticks(conn: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Tick>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut ticks = Vec::new();
    while let Some(row) = rows.next()? {
        ticks.push(tick(row)?);
    }
    Ok(ticks)
}

fn tick(row: &Row<'_>) -> Result<Tick> {
    let mut cells = Cells::new(row);
    let id = cells.next::<String>()?;
    Ok(Tick {
        entry: entry_name(&cells.next::<String>()?)?,
        due: instant(cells.next()?),
        origin: word(&cells.next::<String>()?)?,
        opened_at: instant(cells.next()?),
        account: account_name(&cells.next::<String>()?)?,
        request: from_json(&id, &cells.next::<String>()?)?,
        policy: from_json(&id, &cells.next::<String>()?)?,
        deadline: instant(cells.next()?),
        state: next_state(&id, &mut cells)?,
        attempts: cells.next()?,
        refusals: cells.next()?,
        holds: cells.next()?,
        doubt: next_doubt(&id, &mut cells)?,
        missed: cells
            .next::<Option<String>>()?
            .map(|text| from_json(&id, &text))
            .transpose()?,
        moved_from: instants(&id, cells.next()?)?,
        note: cells.next()?,
        run: run(&mut cells)?,
        id: TickId::from_text(&id),
    })
}

/// The state, its instant and the reason, in this order.
fn next_state(id: &str, cells: &mut Cells<'_>) -> Result<TickState> {
    let word: String = cells.next()?;
    let at = instant(cells.next()?);
    let reason: Option<String> = cells.next()?;
    tick_state(id, &word, at, reason.as_deref())
}

fn next_doubt(id: &str, cells: &mut Cells<'_>) -> Result<Option<Doubt>> {
    let text: Option<String> = cells.next()?;
    text.map(|text| from_json(id, &text)).transpose()
}

fn run(cells: &mut Cells<'_>) -> Result<Option<Run>> {
    let id: Option<String> = cells.next()?;
    let queue_id = cells.next()?;
    let started_at: Option<i64> = cells.next()?;
    let number: Option<i64> = cells.next()?;
    let outcome = cells.next()?;
    let ended_at: Option<i64> = cells.next()?;
    let failed_stage = cells.next()?;
    let overdue: Option<bool> = cells.next()?;
    let watched: Option<bool> = cells.next()?;
    Ok(id.zip(started_at).map(|(id, started_at)| Run {
        id,
        queue_id,
        started_at: instant(started_at),
        number: number.map(i64::cast_unsigned),
        outcome,
        ended_at: ended_at.map(instant),
        failed_stage,
        overdue: overdue.unwrap_or_default(),
        watched: watched.unwrap_or_default(),
    }))
}

/// The attempts of a tick, or the one of that number.
fn attempts(
    conn: &Connection,
    seq: i64,
    tick: &TickId,
    number: Option<u32>,
) -> Result<Vec<Attempt>> {
    let mut statement = conn.prepare_cached(
        "SELECT number, sent_at, answered_at, answer FROM attempts \
         WHERE tick = ?1 AND number BETWEEN ?2 AND ?3 ORDER BY number",
    )?;
    let (first, last) = number.map_or((0, u32::MAX), |number| (number, number));
    let mut rows = statement.query(params![seq, first, last])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        let mut cells = Cells::new(row);
        attempts.push(Attempt {
            tick: tick.clone(),
            number: cells.next()?,
            sent_at: instant(cells.next()?),
            answered_at: cells.next::<Option<i64>>()?.map(instant),
            answer: cells
                .next::<Option<String>>()?
                .map(|text| from_json::<Answer>(tick.as_str(), &text))
                .transpose()?,
        });
    }
    Ok(attempts)
}

/// The cells of a row, one after another.
struct Cells<'row> {
    row: &'row Row<'row>,
    at: usize,
}

impl<'row> Cells<'row> {
    fn new(row: &'row Row<'row>) -> Self {
        Self { row, at: 0 }
    }

    fn next<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let at = self.at;
        self.at += 1;
        self.row.get(at)
    }
}

fn state_columns(state: TickState) -> (Timestamp, Option<&'static str>) {
    match state {
        TickState::Waiting { not_before } => (not_before, None),
        TickState::Sent { at } => (at, None),
        TickState::Doubtful { look_at } => (look_at, None),
        TickState::Running { since } => (since, None),
        TickState::Ended { reason, at } => (at, Some(reason.name())),
    }
}

fn tick_state(id: &str, state: &str, at: Timestamp, reason: Option<&str>) -> Result<TickState> {
    match (state, reason) {
        ("waiting", None) => Ok(TickState::Waiting { not_before: at }),
        ("sent", None) => Ok(TickState::Sent { at }),
        ("doubtful", None) => Ok(TickState::Doubtful { look_at: at }),
        ("running", None) => Ok(TickState::Running { since: at }),
        ("ended", Some(name)) => Reason::from_name(name)
            .map(|reason| TickState::Ended { reason, at })
            .ok_or_else(|| {
                RowError::Unreadable(format!("{id} ended for the unknown reason {name:?}"))
            }),
        _ => Err(RowError::Unreadable(format!(
            "{id} is in the unknown state {state:?}"
        ))),
    }
}

fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Scheduled => "scheduled",
        Origin::Manual => "manual",
        Origin::Missed => "missed",
    }
}

fn word(origin: &str) -> Result<Origin> {
    match origin {
        "scheduled" => Ok(Origin::Scheduled),
        "manual" => Ok(Origin::Manual),
        "missed" => Ok(Origin::Missed),
        _ => Err(RowError::Unreadable(format!(
            "a tick is of the unknown origin {origin:?}"
        ))),
    }
}

fn entry_name(text: &str) -> Result<EntryName> {
    EntryName::parse(text)
        .map_err(|error| RowError::Unreadable(format!("the name of an entry, {error}")))
}

fn account_name(text: &str) -> Result<AccountName> {
    AccountName::parse(text)
        .map_err(|error| RowError::Unreadable(format!("the name of an account, {error}")))
}

/// As it is stored: nanoseconds since 1970, held at the ends of what 64 bits can say.
pub(super) fn nanos(instant: Timestamp) -> i64 {
    let end = if instant.timestamp() < 0 {
        i64::MIN
    } else {
        i64::MAX
    };
    instant.timestamp_nanos_opt().unwrap_or(end)
}

pub(super) fn instant(nanos: i64) -> Timestamp {
    DateTime::from_timestamp_nanos(nanos)
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| RowError::Unwritable(error.to_string()))
}

fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| RowError::Unreadable(format!("{what} cannot be understood ({error})")))
}
