//! `history`: the ticks of the past, newest first. Works on the ledger, whether the daemon runs or not.

use std::io::Write;
use std::process::ExitCode;

use super::load::EntryZones;
use super::moment::{Meant, Moment, Towards, moment, weekday_local};
use super::{Common, afar, ask, form, load, stderr, stdout};
use crate::config::shown;
use crate::control::{act_json, tick_json};
use crate::domain::{EntryName, Reason, Tick, TickState, rfc3339};
use crate::ledger::{HistoryQuery, Ledger, SqliteLedger};
use crate::os::Clock;
use anyhow::bail;

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 also if there is no such tick; 1 if an entry is named that neither the ledger nor the configuration knows."
)]
pub(super) struct Options {
    /// Only ticks of these entries
    #[arg(value_name = "ENTRY")]
    entries: Vec<String>,
    /// Only ticks in this state
    #[arg(long, value_name = "STATE", value_parser = ["waiting", "sent", "doubtful", "running", "ended"])]
    state: Option<String>,
    /// Only ticks that ended for this reason
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<Reason>,
    /// Only ticks due at or after this: an instant (2026-11-24T18:00:00Z), a day (2026-11-24: its start) or a date and time
    /// (2026-11-24T18:00), in UTC or --timezone; or a duration back from now (24h, 7d)
    #[arg(long, value_name = "T", value_parser = moment, allow_hyphen_values = true)]
    since: Option<Moment>,
    /// Only ticks due before this, a time as for --since
    #[arg(long, value_name = "T", value_parser = moment, allow_hyphen_values = true)]
    until: Option<Moment>,
    /// The IANA time zone of days and times in --since and --until, and of the local times that are shown [default: UTC, and
    /// each entry's own]
    #[arg(long, value_name = "TZ", allow_hyphen_values = true)]
    timezone: Option<String>,
    /// How many rows at most [default: 50, or all with --json]
    #[arg(short = 'n', long = "count", value_name = "N")]
    count: Option<u32>,
    /// Print what people did by hand instead: who, when, what and why
    #[arg(long, conflicts_with_all = ["entries", "state", "reason", "since", "until"])]
    acts: bool,
    /// Print one JSON object a line; its times are UTC
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
    if options.acts {
        return acts(common, options);
    }
    let meant = Meant::new(options.timezone.as_deref())?;
    let now = Clock::system().now();
    let read = |flag, moment: Option<Moment>| {
        let instant = moment.map(|moment| meant.read(flag, moment, now, Towards::Past));
        instant.transpose()
    };
    let (since, until) = (
        read("--since", options.since)?,
        read("--until", options.until)?,
    );
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        bail!(
            "--since ({}) is not before --until ({}), so no tick can lie between them",
            rfc3339(since),
            rfc3339(until)
        );
    }
    let mut query = HistoryQuery {
        entries: Vec::new(),
        state: options.state.clone(),
        reason: options.reason,
        since,
        until,
        after: None,
        limit: options
            .count
            .or_else(|| (!options.json).then_some(ROWS_DEFAULT)),
    };
    let ledger = match load::ledger_to_read(common) {
        Ok(ledger) => ledger,
        Err(unread) => {
            let names = options.entries.iter().map(|name| EntryName::parse(name));
            query.entries = names.collect::<Result<_, _>>()?;
            return afar::history(common, &query, options.json, unread);
        }
    };
    let runtime = load::runtime()?;
    runtime.block_on(ask::note_if_alone(common, options.json))?;
    let zones = runtime.block_on(EntryZones::find(common, &ledger));
    for name in &options.entries {
        let known = runtime.block_on(known_entry(&ledger, &zones, name))?;
        query.entries.push(known);
    }
    let ticks = runtime.block_on(ledger.history(query))?;
    let mut out = stdout(form(options.json));
    if options.json {
        for tick in &ticks {
            writeln!(out, "{}", tick_json(tick))?;
        }
    } else if ticks.is_empty() {
        writeln!(stderr(), "no ticks")?;
    } else {
        let zones = match meant.given {
            true => EntryZones::same(meant.zone),
            false => zones,
        };
        table(&mut out, &ticks, &zones)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What people did, newest first.
fn acts(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let limit = options.count.unwrap_or(match options.json {
        true => u32::MAX,
        false => ROWS_DEFAULT,
    });
    let acts = match load::ledger_to_read(common) {
        Ok(ledger) => {
            let runtime = load::runtime()?;
            runtime.block_on(ask::note_if_alone(common, options.json))?;
            let acts = runtime.block_on(ledger.acts(limit))?;
            acts.iter().map(act_json).collect()
        }
        Err(unread) => afar::acts(common, unread)?,
    };
    let mut out = stdout(form(options.json));
    if acts.is_empty() && !options.json {
        writeln!(stderr(), "nobody did anything by hand")?;
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    for act in acts.iter().take(limit) {
        if options.json {
            writeln!(out, "{act}")?;
            continue;
        }
        let text = |key: &str| act[key].as_str().map(shown).unwrap_or_default();
        let why = match text("reason") {
            reason if reason.is_empty() => reason,
            reason => format!(" ({reason})"),
        };
        writeln!(
            out,
            "{}  {}  {} {}{why}: {}",
            text("at"),
            text("by"),
            text("what"),
            text("on"),
            text("outcome")
        )?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Ticks that are looked at for the names of entries that are configured no more.
const NAMES_FROM_MAX: u32 = 2_000;

/// The entry of that name, which the configuration or the ledger has to know: a name that is misspelt must not look like
/// an entry that never ran.
async fn known_entry(
    ledger: &SqliteLedger,
    zones: &EntryZones,
    name: &str,
) -> anyhow::Result<EntryName> {
    let parsed = EntryName::parse(name);
    if let Ok(entry) = &parsed {
        let query = HistoryQuery {
            entries: vec![entry.clone()],
            limit: Some(1),
            ..HistoryQuery::default()
        };
        if zones.knows(entry) || !ledger.history(query).await?.is_empty() {
            return Ok(entry.clone());
        }
    }
    let query = HistoryQuery {
        limit: Some(NAMES_FROM_MAX),
        ..HistoryQuery::default()
    };
    let ticks = ledger.history(query).await?;
    let known = ticks.iter().map(|tick| &tick.entry).chain(zones.entries());
    match load::nearest_entry(name, known) {
        Some(near) => bail!("there is no entry {name:?}; did you mean {near}?"),
        None => bail!(
            "there is no entry {name:?}: neither the ledger nor the configuration knows it; `pipecron history` shows the last ticks \
             of all"
        ),
    }
}

const HEAD: [&str; 6] = ["TICK", "LOCAL TIME", "STATE", "ATTEMPTS", "RUN", "NOTE"];

fn table(out: &mut impl Write, ticks: &[Tick], zones: &EntryZones) -> std::io::Result<()> {
    let rows: Vec<[String; 6]> = ticks.iter().map(|tick| row(tick, zones)).collect();
    let head = HEAD.map(str::to_owned);
    // A column of nothing, as that of the local time is when all entries are in UTC, is left out.
    let shown = |column: &usize| rows.iter().any(|row| !row[*column].is_empty());
    let columns: Vec<usize> = (0..HEAD.len())
        .filter(|column| *column != 1 || shown(column))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .chain([&head])
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    for row in [&head].into_iter().chain(&rows) {
        let cells: Vec<String> = columns
            .iter()
            .map(|&column| format!("{:width$}", row[column], width = widths[column]))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// Longest note in the table, in characters; `show` and `--json` have all of it.
const NOTE_CHARS_MAX: usize = 120;

/// The note is left out where the run's ID says it all.
fn row(tick: &Tick, zones: &EntryZones) -> [String; 6] {
    let run = tick
        .run
        .as_ref()
        .map(|run| shown(&run.id))
        .unwrap_or_default();
    let state = tick.state.word();
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
        false => shown(&tick.note).chars().take(NOTE_CHARS_MAX).collect(),
    };
    if !is_plain && tick.note.chars().nth(NOTE_CHARS_MAX).is_some() {
        note.push('…');
    }
    let local = zones.of(&tick.entry).map_or_else(String::new, |zone| {
        format!("{} {}", weekday_local(zone, tick.due), zone.name())
    });
    [
        shown(tick.id.as_str()),
        local,
        state.to_owned(),
        tick.attempts.to_string(),
        run,
        note,
    ]
}
