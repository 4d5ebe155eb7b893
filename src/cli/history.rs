//! `history`: the ticks of the past, newest first. Works on the ledger, whether the daemon runs or not.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Common, load, parse_instant, stdout};
use crate::domain::{EntryName, Reason, Tick, TickState, Timestamp, rfc3339};
use crate::ledger::{HistoryQuery, Ledger};

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only ticks of these entries
    #[arg(value_name = "ENTRY", value_parser = |name: &str| EntryName::parse(name))]
    entries: Vec<EntryName>,
    /// Only ticks in this state
    #[arg(long, value_name = "STATE", value_parser = ["waiting", "sent", "doubtful", "running", "ended"])]
    state: Option<String>,
    /// Only ticks that ended for this reason
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<Reason>,
    /// Only ticks due at or after this instant (RFC 3339)
    #[arg(long, value_name = "T", value_parser = parse_instant)]
    since: Option<Timestamp>,
    /// Only ticks due before this instant (RFC 3339)
    #[arg(long, value_name = "T", value_parser = parse_instant)]
    until: Option<Timestamp>,
    /// How many rows at most [default: 50, or all with --json]
    #[arg(short = 'n', long = "count", value_name = "N")]
    count: Option<u32>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

fn reason(name: &str) -> Result<Reason, String> {
    Reason::from_name(name)
        .ok_or_else(|| format!("reasons are {}", Reason::ALL.map(Reason::name).join(", ")))
}

/// Rows that are printed when nobody says how many.
const ROWS_DEFAULT: u32 = 50;

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let ledger = load::ledger_to_read(common)?;
    let query = HistoryQuery {
        entries: options.entries.clone(),
        state: options.state.clone(),
        reason: options.reason,
        since: options.since,
        until: options.until,
        after: None,
        limit: options
            .count
            .or_else(|| (!options.json).then_some(ROWS_DEFAULT)),
    };
    let ticks = load::runtime()?.block_on(ledger.history(query))?;
    let mut out = stdout();
    if options.json {
        for tick in &ticks {
            writeln!(out, "{}", tick_json(tick))?;
        }
    } else if ticks.is_empty() {
        writeln!(std::io::stderr(), "no ticks")?;
    } else {
        table(&mut out, &ticks)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn table(out: &mut impl Write, ticks: &[Tick]) -> std::io::Result<()> {
    let rows: Vec<[String; 5]> = ticks.iter().map(row).collect();
    let head = ["TICK", "STATE", "ATTEMPTS", "RUN", "NOTE"].map(str::to_owned);
    let width = |column: usize| {
        rows.iter()
            .chain([&head])
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    for row in [&head].into_iter().chain(&rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Longest note in the table, in characters; `show` and `--json` have all of it.
const NOTE_CHARS_MAX: usize = 120;

/// The note is left out where the run's ID says it all.
fn row(tick: &Tick) -> [String; 5] {
    let run = tick
        .run
        .as_ref()
        .map(|run| run.id.clone())
        .unwrap_or_default();
    let state = match tick.state {
        TickState::Ended { reason, .. } => reason.name(),
        TickState::Waiting { .. }
        | TickState::Sent { .. }
        | TickState::Doubtful { .. }
        | TickState::Running { .. } => tick.state.name(),
    };
    let is_plain = matches!(
        tick.state,
        TickState::Running { .. }
            | TickState::Ended {
                reason: Reason::Started | Reason::Succeeded,
                ..
            }
    );
    let mut note: String = match is_plain {
        true => String::new(),
        false => tick.note.chars().take(NOTE_CHARS_MAX).collect(),
    };
    if !is_plain && tick.note.chars().nth(NOTE_CHARS_MAX).is_some() {
        note.push('…');
    }
    [
        tick.id.to_string(),
        state.to_owned(),
        tick.attempts.to_string(),
        run,
        note,
    ]
}

/// A tick as scripts see it. What is absent is null; keys are only ever added.
pub(super) fn tick_json(tick: &Tick) -> Value {
    let (reason, ended_at) = match tick.state {
        TickState::Ended { reason, at } => (Some(reason.name()), Some(rfc3339(at))),
        TickState::Waiting { .. }
        | TickState::Sent { .. }
        | TickState::Doubtful { .. }
        | TickState::Running { .. } => (None, None),
    };
    let not_before = match tick.state {
        TickState::Waiting { not_before } => Some(rfc3339(not_before)),
        TickState::Sent { .. }
        | TickState::Doubtful { .. }
        | TickState::Running { .. }
        | TickState::Ended { .. } => None,
    };
    json!({
        "tick": tick.id,
        "entry": tick.entry,
        "due": rfc3339(tick.due),
        "origin": tick.origin,
        "state": tick.state.name(),
        "reason": reason,
        "attempts": tick.attempts,
        "run_id": tick.run.as_ref().map(|run| &run.id),
        "queue_id": tick.run.as_ref().and_then(|run| run.queue_id.as_ref()),
        "outcome": tick.run.as_ref().and_then(|run| run.outcome.as_ref()),
        "opened_at": rfc3339(tick.opened_at),
        "not_before": not_before,
        "deadline": rfc3339(tick.deadline),
        "ended_at": ended_at,
        "account": tick.account,
        "project_id": tick.request.project_id,
        "pipeline_id": tick.request.pipeline_id,
        "note": tick.note,
        "missed": tick.missed.map(|missed| json!({
            "count": missed.count,
            "at_least": missed.at_least,
            "from": rfc3339(missed.from),
            "to": rfc3339(missed.to),
        })),
    })
}
