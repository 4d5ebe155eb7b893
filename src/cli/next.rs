//! `next`: the coming ticks of entries, or of a pattern of one's own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::moment::{self, Meant, Moment, Towards, fixed_moment, local, moment, weekday_local};
use super::{Common, form, load, stderr, stdout};
use crate::config::{self, shown};
use crate::domain::cron::{ClockNote, PatternError, PatternErrorKind, has_hash};
use crate::domain::plan::{DueSpan, Occasion, due_span, previous_tick, request_for, spread_offset};
use crate::domain::schedule::{Count, Exclusion, Schedule, ScheduleError};
use crate::domain::template::rendered;
use crate::domain::zone::Zone;
use crate::domain::{
    Entry, EntryName, LastSuccess, Origin, Pause, RECENT_DAYS, Skip, TickId, Timestamp, after,
    rfc3339,
};
use crate::ledger::Ledger;
use crate::os::Clock;

/// So many ticks of an entry or pattern are shown at most.
const COUNT_MAX: u32 = 100_000;

/// Arguments of `next`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Entries to look at; all of them if none is named
    #[arg(value_name = "ENTRY", conflicts_with = "cron")]
    entries: Vec<String>,
    /// A cron pattern to try, instead of entries
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    cron: Option<String>,
    /// The name of an entry, which fixes what `H` stands for in --cron
    #[arg(long, value_name = "ENTRY", requires = "cron")]
    name: Option<String>,
    /// The IANA time zone of --cron, and of days and times in --at and --until; an entry has its own zone [default: UTC]
    #[arg(long, value_name = "TZ", allow_hyphen_values = true)]
    timezone: Option<String>,
    /// Ticks that start strictly later than this: an instant (2026-11-24T18:00:00Z), a day (2026-11-24: its start) or a date and time
    /// (2026-11-24T18:00), in UTC or --timezone [default: now]
    #[arg(long, value_name = "T", value_parser = fixed_moment, allow_hyphen_values = true)]
    at: Option<Moment>,
    /// Only ticks up to this: a time as for --at (of a day its start), or a duration from there (24h, 7d)
    #[arg(long, value_name = "T", value_parser = moment, allow_hyphen_values = true)]
    until: Option<Moment>,
    /// How many ticks of each entry, or of the pattern, at most [default: 5, or 1 if no entry is named; with --until all up
    /// to there]
    #[arg(short = 'n', long = "count", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(COUNT_MAX)))]
    count: Option<u32>,
    /// Print JSON: one object a line for entries, one object for --cron
    #[arg(long)]
    json: bool,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let now = Clock::system().now();
    if let Some(pattern) = &options.cron {
        return of_pattern(pattern, now, options);
    }
    let moments = [options.at, options.until];
    let is_used = moments.iter().flatten().any(|moment| moment.needs_zone());
    if options.timezone.is_some() && !is_used {
        bail!(
            "--timezone would do nothing: it is the zone of --cron, and of days and times in --at and --until; the ticks of \
             entries are shown in their own zones"
        );
    }
    let meant = Meant::new(options.timezone.as_deref())?;
    of_entries(common, span(options, &meant, now)?, options)
}

/// How many ticks are shown: as many as were asked for, else all up to an end that was given, else the usual number.
fn count(options: &Options, usual: u32) -> u32 {
    let all = options.until.map(|_| COUNT_MAX);
    options.count.or(all).unwrap_or(usual)
}

/// Says that there is more than is shown, where all was to be shown.
fn print_cut(options: &Options, what: &str, last: Timestamp) -> std::io::Result<()> {
    if options.count.is_some() {
        return Ok(());
    }
    writeln!(
        stderr(),
        "{what}: these are the first {COUNT_MAX} ticks; for the others give --at {}",
        rfc3339(last)
    )
}

/// The stretch of time that is looked at.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// Ticks are later than this.
    at: Timestamp,
    /// And not later than this.
    until: Option<Timestamp>,
}

fn span(options: &Options, meant: &Meant, now: Timestamp) -> std::io::Result<Stretch> {
    let at = match options.at {
        Some(at) => meant.read("--at", at, now, Towards::Future)?,
        None => now,
    };
    let until = options.until;
    let until = until.map(|until| meant.read("--until", until, at, Towards::Future));
    Ok(Stretch {
        at,
        until: until.transpose()?,
    })
}

/// What is wrong with a pattern or zone: message, field, span.
struct Wrong {
    message: String,
    field: Option<String>,
    span: Option<[usize; 2]>,
}

fn of_pattern(pattern: &str, now: Timestamp, options: &Options) -> anyhow::Result<ExitCode> {
    let mut out = stdout(form(options.json));
    if pattern.trim().eq_ignore_ascii_case("@manually") {
        if options.json {
            writeln!(out, "{}", json!({ "next": [] }))?;
        } else {
            writeln!(
                stderr(),
                "@manually is never due: an entry with it starts by hand alone, by `pipecron trigger ENTRY`"
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let read = schedule(
        pattern,
        options.name.as_deref(),
        options.timezone.as_deref(),
    );
    let (meant, schedule) = match read {
        Ok(read) => read,
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
            print_wrong(pattern, &wrong)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let stretch = span(options, &meant, now)?;
    let mut printed = Printed::default();
    let ticks = ticks(&schedule, stretch, count(options, 5)).inspect(|tick| printed.add(*tick));
    if options.json {
        let next: Vec<String> = ticks.map(|tick| local(schedule.zone(), tick)).collect();
        let mut answer = json!({ "next": next });
        if let Some((_, is)) = schedule.hashed().first() {
            answer["resolved"] = Value::from(is.as_str());
        }
        writeln!(out, "{answer}")?;
        out.flush()?;
        if let Some(last) = printed.cut(&schedule, stretch.until) {
            print_cut(options, "--cron", last)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(note) = hash_words(&schedule) {
        writeln!(stderr(), "{}", shown(&note))?;
    }
    for tick in ticks {
        let note = schedule
            .clock_note(tick)
            .map(|note| clock_words(note, schedule.zone()))
            .unwrap_or_default();
        let local = weekday_local(schedule.zone(), tick);
        let line = format!("{local}  {}  {note}", rfc3339(tick));
        writeln!(out, "{}", line.trim_end())?;
    }
    out.flush()?;
    if let Some(last) = printed.cut(&schedule, stretch.until) {
        print_cut(options, "--cron", last)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what is wrong, and the pattern with the place marked.
fn print_wrong(pattern: &str, wrong: &Wrong) -> std::io::Result<()> {
    let mut err = stderr();
    writeln!(err, "error: {}", shown(&wrong.message))?;
    if let Some([start, end]) = wrong.span {
        let width = |piece: Option<&str>| piece.map_or(0, |piece| shown(piece).chars().count());
        let before = width(pattern.get(..start));
        let marked = width(pattern.get(start..end)).max(1);
        writeln!(
            err,
            "  {}\n  {}{}",
            shown(pattern),
            " ".repeat(before),
            "^".repeat(marked)
        )?;
    }
    Ok(())
}

fn schedule(
    pattern: &str,
    name: Option<&str>,
    zone: Option<&str>,
) -> Result<(Meant, Schedule), Wrong> {
    let of_zone = |message: String| Wrong {
        message,
        field: Some("timezone".to_owned()),
        span: None,
    };
    let meant = Meant {
        zone: moment::zone(zone.unwrap_or("UTC")).map_err(of_zone)?,
        given: zone.is_some(),
    };
    let of_pattern = |error: &PatternError| match config::zone_prefix(pattern) {
        Some(prefix) => Wrong {
            message: format!(
                "the time zone stands beside the pattern, not in it; write --timezone {} --cron '{}'",
                prefix.zone, prefix.rest
            ),
            field: Some("timezone".to_owned()),
            span: Some([prefix.piece.start, prefix.piece.end]),
        },
        None => Wrong {
            message: PatternError {
                message: match error.kind == PatternErrorKind::Unsupported && has_hash(pattern) {
                    true => format!("{}, or give --name", config::pattern_help(error)),
                    false => config::pattern_help(error),
                },
                ..error.clone()
            }
            .to_string(),
            field: error.field.map(|field| field.name().to_owned()),
            span: Some([error.span.start, error.span.end]),
        },
    };
    let read = match name {
        Some(name) => Schedule::parse_named(&[pattern], name, meant.zone.clone()),
        None => Schedule::parse(&[pattern], meant.zone.clone()),
    };
    match read {
        Ok(schedule) => Ok((meant, schedule)),
        Err(ScheduleError::Patterns(errors)) if !errors.is_empty() => Err(of_pattern(&errors[0].1)),
        Err(
            other @ (ScheduleError::Patterns(_)
            | ScheduleError::NoPattern
            | ScheduleError::TooMany(_)),
        ) => Err(Wrong {
            message: other.to_string(),
            field: None,
            span: None,
        }),
    }
}

fn of_entries(common: &Common, stretch: Stretch, options: &Options) -> anyhow::Result<ExitCode> {
    let config = load::config_or_problems(common, &Clock::system())?;
    let mut entries: Vec<Arc<Entry>> = if options.entries.is_empty() {
        config.entries.values().cloned().collect()
    } else {
        options
            .entries
            .iter()
            .map(|name| load::entry(&config, name))
            .collect::<Result<_, _>>()?
    };
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    entries.dedup_by(|one, other| one.name == other.name);
    let each = count(options, if options.entries.is_empty() { 1 } else { 5 });
    // Only JSON shows what templates make.
    let with_templates = entries.iter().filter(|_| options.json);
    let successes = load::last_successes(common, with_templates.map(Arc::as_ref))?;
    let (marks, pauses) = marks(common, stretch.at);
    let (mut lines, silent): (Vec<_>, Vec<_>) = entries
        .iter()
        .map(|entry| {
            let marks = Marks {
                skips: marks.get(&entry.name).cloned().unwrap_or_default(),
                pauses: pauses
                    .iter()
                    .filter(|pause| pause.is_about(entry))
                    .cloned()
                    .collect(),
            };
            let rows = rows_of(entry, successes.get(&entry.name), stretch, each, marks);
            (entry, rows.peekable())
        })
        .map(|(entry, mut rows)| (entry, rows.peek().is_some().then_some(rows)))
        .partition(|(_, rows)| rows.is_some());
    let width = lines.iter().map(|(entry, _)| entry.name.as_str().len());
    let zone = |entry: &Entry| (entry.schedule.as_ref()).map_or(0, |it| it.zone().name().len());
    let zone = lines.iter().map(|(entry, _)| zone(entry));
    let widths = (width.max().unwrap_or(0), zone.max().unwrap_or(0));
    let mut rows: Vec<_> = lines
        .iter_mut()
        .filter_map(|(_, rows)| rows.as_mut())
        .collect();
    let mut out = stdout(form(options.json));
    let mut printed: BTreeMap<&EntryName, Printed> = BTreeMap::new();
    merge(&mut rows, |row| {
        if row.excluded.is_none() {
            printed.entry(&row.entry.name).or_default().add(row.due);
        }
        print_row(&mut out, row, widths, options.json)
    })?;
    out.flush()?;
    for entry in &entries {
        let cut = printed.get(&entry.name).zip(entry.schedule.as_ref());
        let DueSpan { until, .. } = due_span(entry, stretch.at, stretch.until);
        if let Some(last) = cut.and_then(|(printed, schedule)| printed.cut(schedule, until)) {
            print_cut(options, entry.name.as_str(), last)?;
        }
    }
    for (entry, _) in silent {
        let why = why_silent(entry, stretch.at, stretch.until);
        writeln!(stderr(), "{}: {why}", entry.name)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands on the rows of all, in the order of time and then of the lists. Of each list one row is held at a time, so that
/// neither many entries nor many ticks take memory.
fn merge<'e>(
    lists: &mut [impl Iterator<Item = Row<'e>>],
    mut take: impl FnMut(&Row<'e>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut heads: Vec<Option<Row<'e>>> = lists.iter_mut().map(Iterator::next).collect();
    let due = |head: &Option<Row<'e>>| head.as_ref().map(|row| row.due);
    let mut order: BinaryHeap<Reverse<(Timestamp, usize)>> = heads
        .iter()
        .enumerate()
        .filter_map(|(index, head)| Some(Reverse((due(head)?, index))))
        .collect();
    while let Some(Reverse((_, index))) = order.pop() {
        let (Some(head), Some(list)) = (heads.get_mut(index), lists.get_mut(index)) else {
            continue;
        };
        if let Some(row) = std::mem::replace(head, list.next()) {
            take(&row)?;
        }
        order.extend(due(head).map(|due| Reverse((due, index))));
    }
    Ok(())
}

fn print_row(
    out: &mut impl Write,
    row: &Row<'_>,
    (width, zone_width): (usize, usize),
    json: bool,
) -> std::io::Result<()> {
    if json {
        return writeln!(out, "{}", row.json());
    }
    let local = weekday_local(row.schedule.zone(), row.due);
    let name = row.entry.name.as_str();
    let line = format!(
        "{name:width$}  {local} {:zone_width$}  {}  {}",
        row.schedule.zone().name(),
        rfc3339(row.due),
        shown(&row.note())
    );
    writeln!(out, "{}", line.trim_end())
}

/// Why nothing comes of an entry.
pub(super) fn why_silent(entry: &Entry, at: Timestamp, until: Option<Timestamp>) -> String {
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

/// The ticks that somebody marked to be skipped, and the pauses, as far as the ledger can be read from here.
fn marks(common: &Common, after: Timestamp) -> (BTreeMap<EntryName, Skips>, Vec<Pause>) {
    let mut marks: BTreeMap<EntryName, Skips> = BTreeMap::new();
    let Ok(ledger) = load::ledger_to_read(common) else {
        return (marks, Vec::new());
    };
    let known = load::runtime().and_then(|runtime| {
        // A calendar may have moved the instant that is marked from before `after` to after it.
        let skips = runtime.block_on(ledger.skips(after - RECENT_DAYS))?;
        Ok((skips, runtime.block_on(ledger.pauses(after))?))
    });
    let (skips, pauses) = known.unwrap_or_default();
    for (entry, skip) in skips {
        marks.entry(entry).or_default().insert(skip.due, skip);
    }
    (marks, pauses)
}

type Skips = BTreeMap<Timestamp, Skip>;

/// What people asked for.
#[derive(Debug, Default)]
struct Marks {
    skips: Skips,
    /// Those that are about the entry.
    pauses: Vec<Pause>,
}

impl Marks {
    /// The pause during which a tick is due, the one that lasts longest if there are several.
    fn pause_at(&self, due: Timestamp) -> Option<&Pause> {
        let end = |pause: &&Pause| pause.end().unwrap_or(Timestamp::MAX_UTC);
        self.pauses
            .iter()
            .filter(|pause| pause.covers(due))
            .max_by_key(end)
    }
}

/// A tick to come, or some that are excluded.
pub(super) struct Row<'a> {
    entry: &'a Entry,
    schedule: &'a Schedule,
    due: Timestamp,
    last_success: Option<&'a LastSuccess>,
    /// Why it does not run, and for how many ticks of one reason the row stands.
    excluded: Option<Excluded>,
}

struct Excluded {
    /// `excluded`, `paused`.
    what: &'static str,
    why: String,
    count: Count,
    last: Timestamp,
}

impl Row<'_> {
    fn start(&self) -> Timestamp {
        after(self.due, spread_offset(self.entry))
    }

    /// When it is due, or the first of several.
    pub(super) fn due(&self) -> Timestamp {
        self.due
    }

    /// Whether it runs, as opposed to being excluded or paused.
    pub(super) fn is_start(&self) -> bool {
        self.excluded.is_none()
    }

    pub(super) fn note(&self) -> String {
        let mut notes = Vec::new();
        if let Some(excluded) = &self.excluded {
            let Excluded {
                what,
                why,
                count,
                last,
            } = excluded;
            let more = match count {
                Count::Exactly(1) => String::new(),
                Count::Exactly(_) | Count::AtLeast(_) => format!(
                    " ({count} ticks, the last {})",
                    weekday_local(self.schedule.zone(), *last)
                ),
            };
            return format!("{what}: {why}{more}");
        }
        if let Some(moved) = self.schedule.moved_from(self.due) {
            notes.push(moved.to_string());
        }
        if let Some(note) = self.schedule.clock_note(self.due) {
            notes.push(clock_words(note, self.schedule.zone()));
        }
        notes.extend(hash_words(self.schedule));
        if self.start() != self.due {
            notes.push(format!("starts at {} (spread)", rfc3339(self.start())));
        }
        notes.join("; ")
    }

    /// What the entry's templates make for this tick, or why they do not; none if it has no template.
    fn rendered(&self) -> Option<Value> {
        if self.entry.templates.is_none() || self.excluded.is_some() {
            return None;
        }
        let id = TickId::scheduled(&self.entry.name, self.due);
        let occasion = Occasion {
            id: &id,
            origin: Origin::Scheduled,
            due: self.due,
            previous: previous_tick(self.entry, self.due),
            last_success: self.last_success,
        };
        Some(match request_for(self.entry, &occasion, &[]) {
            Ok(made) => rendered(&self.entry.request, &made)
                .into_iter()
                .map(|(field, text)| (field.path(), Value::from(text)))
                .collect(),
            Err(unmade) => json!({ "error": unmade.to_string() }),
        })
    }

    /// Why it does not run, if it is for this.
    fn without_run(&self, what: &str) -> Option<Value> {
        let excluded = self.excluded.as_ref()?;
        (excluded.what == what).then(|| {
            json!({
                "why": excluded.why,
                "count": excluded.count.number(),
                "last": rfc3339(excluded.last),
            })
        })
    }

    pub(super) fn json(&self) -> Value {
        let note = self.note();
        let rendered = self.rendered();
        json!({
            "entry": self.entry.name,
            "due": rfc3339(self.due),
            "local": local(self.schedule.zone(), self.due),
            "timezone": self.schedule.zone().name(),
            "start": self.excluded.is_none().then(|| rfc3339(self.start())),
            "note": (!note.is_empty()).then_some(note),
            "rendered": rendered,
            "excluded": self.without_run("excluded"),
            "paused": self.without_run("paused"),
            "moved_from": self
                .schedule
                .moved_from(self.due)
                .map(|moved| moved.days.iter().map(ToString::to_string).collect::<Vec<_>>()),
        })
    }
}

/// What comes of an entry, with what people marked: not after `until`, up to `count` starts and what is excluded between them.
pub(super) fn coming<'e>(
    common: &Common,
    entry: &'e Entry,
    at: Timestamp,
    until: Option<Timestamp>,
    count: u32,
) -> Vec<Row<'e>> {
    let (mut skips, mut pauses) = marks(common, at);
    pauses.retain(|pause| pause.is_about(entry));
    let marks = Marks {
        skips: skips.remove(&entry.name).unwrap_or_default(),
        pauses,
    };
    rows_of(entry, None, Stretch { at, until }, count, marks).collect()
}

/// The first start of any of the entries after `at`, as one line: which one, and when in its zone.
pub(super) fn first_start<'e>(
    entries: impl Iterator<Item = &'e Arc<Entry>>,
    at: Timestamp,
) -> Option<String> {
    let stretch = Stretch { at, until: None };
    let rows = entries.filter_map(|entry| {
        let mut rows = rows_of(entry, None, stretch, 1, Marks::default());
        rows.find(|row| row.excluded.is_none())
    });
    let first = rows.min_by_key(Row::start)?;
    let zone = first.schedule.zone();
    let local = weekday_local(zone, first.start());
    Some(format!("{} at {local} {}", first.entry.name, zone.name()))
}

/// The ticks that were shown of one schedule.
#[derive(Debug, Default, Clone, Copy)]
struct Printed {
    count: u32,
    last: Option<Timestamp>,
}

impl Printed {
    fn add(&mut self, tick: Timestamp) {
        (self.count, self.last) = (self.count.saturating_add(1), Some(tick));
    }

    /// The last one, if they are as many as are ever shown and another one follows.
    fn cut(self, schedule: &Schedule, until: Option<Timestamp>) -> Option<Timestamp> {
        let last = self.last.filter(|_| self.count >= COUNT_MAX)?;
        let next = schedule.next_after(last)?;
        until.is_none_or(|until| next <= until).then_some(last)
    }
}

/// The coming starts, and between them what is excluded.
fn rows_of<'e>(
    entry: &'e Entry,
    last_success: Option<&'e LastSuccess>,
    stretch: Stretch,
    count: u32,
    marks: Marks,
) -> impl Iterator<Item = Row<'e>> {
    let schedule = entry.schedule.as_ref().filter(|_| entry.enabled);
    let DueSpan { after, until } = due_span(entry, stretch.at, stretch.until);
    let mut left = count;
    let mut cursor = after;
    let mut ready = VecDeque::new();
    std::iter::from_fn(move || {
        let schedule = schedule?;
        let row = |due, excluded| Row {
            entry,
            schedule,
            due,
            last_success,
            excluded,
        };
        // A mark may stand at each start for as long as anybody looks.
        while ready.is_empty() && left > 0 {
            let start = schedule
                .next_after(cursor)
                .filter(|start| until.is_none_or(|until| *start <= until));
            // Where nothing starts any more, what is excluded is told for a year.
            let end = start.or(until).unwrap_or(cursor + TimeDelta::days(366));
            let of = |exclusion: Exclusion| {
                let Exclusion {
                    first,
                    last,
                    count,
                    why,
                    ..
                } = exclusion;
                let what = "excluded";
                let excluded = Excluded {
                    what,
                    why,
                    count,
                    last,
                };
                row(first, Some(excluded))
            };
            let from = cursor.max(stretch.at.min(end));
            ready.extend(schedule.exclusions(from, end).into_iter().map(of));
            let Some(start) = start else {
                left = 0;
                break;
            };
            cursor = start;
            let skip = Skip::of_start(&marks.skips, schedule, start);
            let excluded = skip.map(|skip| Excluded {
                what: "excluded",
                why: skip.to_string(),
                count: Count::Exactly(1),
                last: start,
            });
            let pause = marks.pause_at(start).filter(|_| excluded.is_none());
            let excluded = match pause {
                None => excluded,
                Some(pause) => {
                    let paused = paused(schedule, pause, start, until);
                    match pause.end() {
                        // Nobody knows what comes after it.
                        None => left = 0,
                        Some(_) => cursor = paused.last,
                    }
                    ready.push_back(row(start, Some(paused)));
                    continue;
                }
            };
            left -= u32::from(excluded.is_none());
            ready.push_back(row(start, excluded));
        }
        ready.pop_front()
    })
}

/// The row for all ticks from `start` on that a pause holds back.
fn paused(
    schedule: &Schedule,
    pause: &Pause,
    start: Timestamp,
    until: Option<Timestamp>,
) -> Excluded {
    let before = |instant: Timestamp| instant - TimeDelta::microseconds(1);
    let end = pause.end().map(before);
    let end = [end, until].into_iter().flatten().min();
    let last = end
        .and_then(|end| schedule.last_until(end))
        .unwrap_or(start);
    Excluded {
        what: "paused",
        why: pause.to_string(),
        count: match end {
            Some(_) => schedule.count_between(before(start), last),
            None => Count::Exactly(1),
        },
        last,
    }
}

fn ticks(schedule: &Schedule, stretch: Stretch, count: u32) -> impl Iterator<Item = Timestamp> {
    let next = |tick: &Timestamp| schedule.next_after(*tick);
    std::iter::successors(schedule.next_after(stretch.at), next)
        .take_while(move |tick| stretch.until.is_none_or(|until| *tick <= until))
        .take(usize::try_from(count).unwrap_or(usize::MAX))
}

/// What `H` stands for in the patterns of a schedule.
pub(super) fn hash_words(schedule: &Schedule) -> Option<String> {
    let words = schedule.hashed().iter();
    let words: Vec<String> = words.map(|(text, is)| format!("{text} is {is}")).collect();
    (!words.is_empty()).then(|| words.join(", "))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cron::CronPattern;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ticks_are_merged_in_order_and_only_as_far_as_they_are_taken() {
        let config = {
            let text = (0..3)
                .map(|entry| {
                    format!(
                        "  e{entry}: {{ cron: \"{} * * * *\", project_id: {id}, pipeline_id: {id} }}\n",
                        ["0", "*/30", "15"][entry],
                        id = "54f90b75fc1447b1b65e8d3a9f77923d",
                    )
                })
                .collect::<String>();
            let file = config::SourceFile {
                path: "a.yaml".to_owned(),
                text: format!("accounts: {{ main: {{ region: cn-north-4 }} }}\nschedules:\n{text}"),
            };
            let world = config::World {
                zone: &|_| None,
                zone_names: &[],
                now: at("2026-11-24T00:00:00Z"),
            };
            config::parse(&[file], &world).config.unwrap()
        };
        let stretch = Stretch {
            at: at("2026-11-24T00:00:00Z"),
            until: None,
        };
        let mut lists: Vec<_> = config
            .entries
            .values()
            .map(|entry| rows_of(entry, None, stretch, u32::MAX, Marks::default()))
            .collect();
        let mut taken = Vec::new();
        // Each list is as good as endless: whoever collects them first does not come back.
        let ended = merge(&mut lists, |row| {
            taken.push(format!("{} {}", row.due.format("%H:%M"), row.entry.name));
            match taken.len() {
                6 => Err(std::io::ErrorKind::BrokenPipe.into()),
                _ => Ok(()),
            }
        });
        assert_eq!(
            ended.map_err(|error| error.kind()),
            Err(std::io::ErrorKind::BrokenPipe)
        );
        assert_eq!(
            taken,
            [
                "00:15 e2", "00:30 e1", "01:00 e0", "01:00 e1", "01:15 e2", "01:30 e1"
            ]
        );
    }

    #[test]
    fn what_is_due_already_is_none_of_what_comes_as_in_diff() {
        let text = "accounts: { main: { region: cn-north-4 } }\nschedules:\n  e: { cron: '0 2 * * *', spread: 1h, \
                    project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: 54f90b75fc1447b1b65e8d3a9f77923d }\n";
        let file = config::SourceFile {
            path: "a.yaml".to_owned(),
            text: text.to_owned(),
        };
        let world = config::World {
            zone: &|_| None,
            zone_names: &[],
            now: at("2026-11-24T00:00:00Z"),
        };
        let config = config::parse(&[file], &world).config.unwrap();
        let entry = config.entries.values().next().unwrap();
        let due = at("2026-11-24T02:00:00Z");
        let start = after(due, spread_offset(entry));
        assert!(start > due);
        let until = at("2026-11-26T00:00:00Z");
        let second = TimeDelta::seconds(1);
        for from in [due - second, due, start - second, start, start + second] {
            for until in [until, start, start - second, due] {
                let stretch = Stretch {
                    at: from,
                    until: Some(until),
                };
                let rows = rows_of(entry, None, stretch, u32::MAX, Marks::default());
                let shown: Vec<Timestamp> = rows.map(|row| row.start()).collect();
                let compared: Vec<Timestamp> =
                    crate::domain::plan::starts(Some(entry), from, until).collect();
                assert_eq!(shown, compared, "{from} {until}");
                assert_eq!(shown.contains(&start), from < due && start <= until);
            }
        }
    }

    #[test]
    fn a_zone_in_a_pattern_is_pointed_at() {
        let wrong = |pattern: &str| schedule(pattern, None, None).map(|_| ()).unwrap_err();
        let zoned = wrong(" TZ=Asia/Shanghai 0 2 * * *");
        assert_eq!(zoned.span, Some([1, 17]));
        assert_eq!(zoned.field.as_deref(), Some("timezone"));
        let plain = wrong("0 25 * * *");
        let error = CronPattern::parse("0 25 * * *").unwrap_err();
        assert_eq!(plain.message, error.to_string());
        assert_eq!(plain.field.as_deref(), Some("hour"));
    }
}
