//! `next`: the coming ticks of entries, or of a pattern of one's own.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset, TimeDelta};
use serde_json::{Value, json};

use super::{Common, load, parse_instant, stdout};
use crate::domain::cron::ClockNote;
use crate::domain::plan::spread_offset;
use crate::domain::schedule::{Schedule, ScheduleError};
use crate::domain::zone::Zone;
use crate::domain::{Entry, Timestamp, after, rfc3339};
use crate::os::Clock;
use crate::os::zones::Zones;

/// Arguments of `next`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Entries to look at; all of them if none is named
    #[arg(value_name = "ENTRY", conflicts_with_all = ["cron", "timezone"])]
    entries: Vec<String>,
    /// A cron pattern to try, instead of entries
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    cron: Option<String>,
    /// The IANA time zone of --cron [default: UTC]
    #[arg(long, value_name = "TZ", requires = "cron", allow_hyphen_values = true)]
    timezone: Option<String>,
    /// Ticks strictly later than this instant (RFC 3339) [default: now]
    #[arg(long, value_name = "T", value_parser = parse_instant, allow_hyphen_values = true)]
    at: Option<Timestamp>,
    /// Only ticks up to this instant (RFC 3339)
    #[arg(long, value_name = "T", value_parser = parse_instant, allow_hyphen_values = true)]
    until: Option<Timestamp>,
    /// How many ticks of each entry, or of the pattern [default: 5, or 1 if no entry is named]
    #[arg(short = 'n', long = "count", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: Option<u32>,
    /// Print JSON: one object a line for entries, one object for --cron
    #[arg(long)]
    json: bool,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let at = options.at.unwrap_or_else(|| Clock::system().now());
    match &options.cron {
        Some(pattern) => of_pattern(pattern, at, options),
        None => of_entries(common, at, options),
    }
}

/// What is wrong with a pattern or zone: message, field, span.
struct Wrong {
    message: String,
    field: Option<String>,
    span: Option<[usize; 2]>,
}

fn of_pattern(pattern: &str, at: Timestamp, options: &Options) -> anyhow::Result<ExitCode> {
    let mut out = stdout();
    let schedule = match schedule(pattern, options.timezone.as_deref().unwrap_or("UTC")) {
        Ok(schedule) => schedule,
        Err(wrong) if options.json => {
            let Wrong {
                message,
                field,
                span,
            } = wrong;
            writeln!(
                out,
                "{}",
                json!({ "error": { "message": message, "field": field, "span": span } })
            )?;
            return Ok(ExitCode::FAILURE);
        }
        Err(wrong) => {
            let mut err = std::io::stderr().lock();
            writeln!(err, "error: {}", wrong.message)?;
            if let Some([start, end]) = wrong.span {
                let before = pattern.get(..start).map_or(0, |text| text.chars().count());
                let marked = pattern
                    .get(start..end)
                    .map_or(0, |text| text.chars().count())
                    .max(1);
                writeln!(
                    err,
                    "  {pattern}\n  {}{}",
                    " ".repeat(before),
                    "^".repeat(marked)
                )?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    let ticks = ticks(&schedule, at, options.until, options.count.unwrap_or(5));
    if options.json {
        let next: Vec<String> = ticks
            .iter()
            .map(|tick| local(schedule.zone(), *tick))
            .collect();
        writeln!(out, "{}", json!({ "next": next }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for tick in ticks {
        let note = schedule
            .clock_note(tick)
            .map(|note| clock_words(note, schedule.zone()))
            .unwrap_or_default();
        writeln!(
            out,
            "{}  {}  {note}",
            weekday_local(schedule.zone(), tick),
            rfc3339(tick)
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn schedule(pattern: &str, zone: &str) -> Result<Schedule, Wrong> {
    let zones = Zones::load();
    let zone = zones.get(zone).ok_or_else(|| {
        let names = zones.names();
        let near = crate::config::nearest(zone, names.iter().map(String::as_str));
        let hint = near.map_or_else(
            || "write an IANA name such as Europe/Berlin".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        Wrong {
            message: format!("unknown time zone {zone:?}; {hint}"),
            field: Some("timezone".to_owned()),
            span: None,
        }
    })?;
    Schedule::parse(&[pattern], zone).map_err(|error| match error {
        ScheduleError::Patterns(mut errors) if !errors.is_empty() => {
            let (_, error) = errors.swap_remove(0);
            Wrong {
                message: error.to_string(),
                field: error.field.map(|field| field.name().to_owned()),
                span: Some([error.span.start, error.span.end]),
            }
        }
        other @ (ScheduleError::Patterns(_)
        | ScheduleError::NoPattern
        | ScheduleError::TooMany(_)) => Wrong {
            message: other.to_string(),
            field: None,
            span: None,
        },
    })
}

fn of_entries(common: &Common, at: Timestamp, options: &Options) -> anyhow::Result<ExitCode> {
    let config = load::config_or_problems(common, &Clock::system())?;
    let entries: Vec<Arc<Entry>> = if options.entries.is_empty() {
        config.entries.values().cloned().collect()
    } else {
        options
            .entries
            .iter()
            .map(|name| load::entry(&config, name))
            .collect::<Result<_, _>>()?
    };
    let each = options
        .count
        .unwrap_or(if options.entries.is_empty() { 1 } else { 5 });
    let mut rows: Vec<Row> = entries
        .iter()
        .flat_map(|entry| rows_of(entry, at, options.until, each))
        .collect();
    rows.sort_by(|one, other| (one.due, &one.entry.name).cmp(&(other.due, &other.entry.name)));
    let mut out = stdout();
    let width = rows
        .iter()
        .map(|row| row.entry.name.as_str().len())
        .max()
        .unwrap_or(0);
    for row in &rows {
        if options.json {
            writeln!(out, "{}", row.json())?;
        } else {
            let local = weekday_local(row.schedule.zone(), row.due);
            let name = row.entry.name.as_str();
            let line = format!(
                "{name:width$}  {local} {}  {}  {}",
                row.schedule.zone().name(),
                rfc3339(row.due),
                row.note()
            );
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    let silent = entries
        .iter()
        .filter(|entry| !rows.iter().any(|row| row.entry.name == entry.name));
    for entry in silent {
        writeln!(
            std::io::stderr(),
            "{}: {}",
            entry.name,
            why_silent(entry, at, options.until)
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn why_silent(entry: &Entry, at: Timestamp, until: Option<Timestamp>) -> String {
    match (entry.enabled, &entry.schedule, entry.not_after) {
        (false, _, _) => "not enabled".to_owned(),
        (true, None, _) => "starts only by hand (@manually)".to_owned(),
        (true, Some(_), Some(end)) if end <= at => {
            format!("over since {} (not_after)", rfc3339(end))
        }
        (true, Some(_), _) => {
            format!(
                "no tick{}",
                until.map_or_else(String::new, |until| format!(" up to {}", rfc3339(until)))
            )
        }
    }
}

struct Row<'a> {
    entry: &'a Entry,
    schedule: &'a Schedule,
    due: Timestamp,
}

impl Row<'_> {
    fn start(&self) -> Timestamp {
        after(self.due, spread_offset(self.entry))
    }

    fn note(&self) -> String {
        let mut notes = Vec::new();
        if let Some(note) = self.schedule.clock_note(self.due) {
            notes.push(clock_words(note, self.schedule.zone()));
        }
        if self.start() != self.due {
            notes.push(format!("starts at {} (spread)", rfc3339(self.start())));
        }
        notes.join("; ")
    }

    fn json(&self) -> Value {
        let note = self.note();
        json!({
            "entry": self.entry.name,
            "due": rfc3339(self.due),
            "local": local(self.schedule.zone(), self.due),
            "timezone": self.schedule.zone().name(),
            "start": rfc3339(self.start()),
            "note": (!note.is_empty()).then_some(note),
        })
    }
}

fn rows_of(entry: &Entry, at: Timestamp, until: Option<Timestamp>, count: u32) -> Vec<Row<'_>> {
    let Some(schedule) = entry.schedule.as_ref().filter(|_| entry.enabled) else {
        return Vec::new();
    };
    let begin = entry
        .not_before
        .map_or(at, |begin| at.max(begin - TimeDelta::microseconds(1)));
    let end = match (until, entry.not_after) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    ticks(schedule, begin, end, count)
        .into_iter()
        .map(|due| Row {
            entry,
            schedule,
            due,
        })
        .collect()
}

fn ticks(
    schedule: &Schedule,
    at: Timestamp,
    until: Option<Timestamp>,
    count: u32,
) -> Vec<Timestamp> {
    let next = |tick: &Timestamp| schedule.next_after(*tick);
    std::iter::successors(schedule.next_after(at), next)
        .take_while(|tick| until.is_none_or(|until| *tick <= until))
        .take(usize::try_from(count).unwrap_or(usize::MAX))
        .collect()
}

fn with_offset(zone: &Zone, instant: Timestamp) -> Option<DateTime<FixedOffset>> {
    let offset = FixedOffset::east_opt(zone.stretch_at(instant.timestamp()).offset)?;
    Some(instant.with_timezone(&offset))
}

/// RFC 3339 with the zone's own offset. An offset with seconds (local mean times long ago) cannot be written so; it is
/// given in UTC.
fn local(zone: &Zone, instant: Timestamp) -> String {
    match with_offset(zone, instant) {
        Some(local) if local.offset().local_minus_utc() % 60 == 0 => local.to_rfc3339(),
        Some(_) | None => rfc3339(instant),
    }
}

fn weekday_local(zone: &Zone, instant: Timestamp) -> String {
    zone.local(instant)
        .format("%a %Y-%m-%d %H:%M:%S")
        .to_string()
}

fn clock_words(note: ClockNote, zone: &Zone) -> String {
    match note {
        ClockNote::Shifted { wanted } => {
            format!(
                "the clock skips {}; it runs right after the gap",
                wanted.format("%H:%M:%S")
            )
        }
        ClockNote::Merged { wanted } => {
            format!(
                "the clock skips {}; one run stands for both",
                wanted.format("%H:%M:%S")
            )
        }
        ClockNote::OnlyFirstPass { second } => {
            format!(
                "this time occurs twice; no second run at {}",
                local(zone, second)
            )
        }
        ClockNote::FirstPass { second } => {
            format!(
                "this time occurs twice; runs again at {}",
                local(zone, second)
            )
        }
        ClockNote::SecondPass { first } => {
            format!(
                "this time occurs twice; ran before at {}",
                local(zone, first)
            )
        }
    }
}
