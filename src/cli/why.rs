//! `why`: one entry as a plain story. What was decided about a tick and by which rule, what an open one waits for, and when the
//! next is due. Works on the ledger, whether the daemon runs or not.

use std::cmp::Reverse;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::moment::{Moment, Towards, fixed_moment, weekday_local};
use super::next::{Row, coming, hash_words, why_silent};
use super::show::Times;
use super::{Common, ask, form, load, stdout};
use crate::config::{Config, shown};
use crate::control::story_json;
use crate::domain::schedule::Schedule;
use crate::domain::zone::Zone;
use crate::domain::{Entry, EntryName, Missed, RECENT_DAYS, Reason, Tick, Timestamp, rfc3339};
use crate::ledger::{HistoryQuery, Ledger, SqliteLedger, Story};
use crate::os::Clock;

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the story is told, also if nothing is due then; 1 there is no such entry, or the ledger cannot be read."
)]
pub(super) struct Options {
    /// The entry
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// The time that is asked about: an instant (2026-11-24T18:00:00Z), a date and time (2026-11-25T02:00) or a whole day
    /// (2026-11-25) in the entry's zone [default: the last tick, and what is open]
    #[arg(value_name = "TIME", value_parser = fixed_moment)]
    time: Option<Moment>,
    /// Print one JSON object; its times are UTC
    #[arg(long)]
    json: bool,
}

/// Ticks that are told of.
const TOLD_MAX: usize = 50;
/// With more of them than this each has one line.
const STORIES_MAX: usize = 5;
/// Rows that are looked through for those that stand for others.
const ROWS_MAX: u32 = 2_000;

/// What is told.
struct Account<'e> {
    name: EntryName,
    /// None if it is not configured any more.
    entry: Option<&'e Entry>,
    /// What was asked about; none: how it stands.
    asked: Option<(Timestamp, Timestamp)>,
    stories: Vec<Story>,
    /// How many more there are.
    more: usize,
    /// What is or was due, or excluded, and has no row.
    without_row: Vec<Row<'e>>,
    known: Known,
    next: Option<Row<'e>>,
    now: Timestamp,
}

/// Due times of rows that the ledger has of it.
struct Known {
    /// The newest before what was asked about.
    before: Option<Timestamp>,
    newest: Option<Timestamp>,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let now = Clock::system().now();
    let ledger = load::ledger_to_read(common)?;
    let runtime = load::runtime()?;
    runtime.block_on(ask::note_if_alone(common, options.json))?;
    let config = runtime.block_on(config_in_use(common, &ledger))?;
    let entry = config_entry(&config, &options.entry);
    let name = match &entry {
        Some(entry) => entry.name.clone(),
        None => runtime.block_on(gone(&ledger, &config, &options.entry))?,
    };
    let zone = entry.as_deref().map_or_else(
        || Arc::new(Zone::utc()),
        |entry| match &entry.schedule {
            Some(schedule) => schedule.zone().clone(),
            None => Arc::new(Zone::utc()),
        },
    );
    let entry = entry.as_deref();
    let asked = options.time.map(|time| span(time, &zone, now));
    let rows = runtime.block_on(rows(&ledger, &name, entry, asked))?;
    let more = rows.len().saturating_sub(TOLD_MAX);
    let mut stories = Vec::new();
    for tick in rows.iter().take(TOLD_MAX) {
        stories.extend(runtime.block_on(ledger.story(tick.id.clone()))?);
    }
    let before = asked.map(|(from, _)| from);
    let known = Known {
        before: runtime.block_on(newest(&ledger, &name, before))?,
        newest: runtime.block_on(newest(&ledger, &name, None))?,
    };
    let mut without_row = match (entry, asked) {
        (Some(entry), Some((from, to))) => {
            let most = u32::try_from(TOLD_MAX).unwrap_or(u32::MAX);
            coming(
                common,
                entry,
                just_before(from),
                Some(just_before(to)),
                most,
            )
        }
        (Some(_) | None, _) => Vec::new(),
    };
    without_row.retain(|row| !rows.iter().any(|tick| stands_for(tick, row.due())));
    let account = Account {
        name,
        entry,
        asked,
        stories,
        more,
        without_row,
        known,
        next: entry.and_then(|entry| coming(common, entry, now, None, 1).into_iter().next()),
        now,
    };
    let mut out = stdout(form(options.json));
    match options.json {
        true => writeln!(out, "{}", account.json())?,
        false => account.tell(&mut out, &Times::of(&zone))?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn just_before(instant: Timestamp) -> Timestamp {
    instant - TimeDelta::microseconds(1)
}

/// From when to when is asked: a day is a day long, a time a second.
fn span(time: Moment, zone: &Zone, now: Timestamp) -> (Timestamp, Timestamp) {
    let from = time.instant(zone, now, Towards::Past);
    let to = match time {
        Moment::Day(day) => day
            .succ_opt()
            .map(|next| Moment::Day(next).instant(zone, now, Towards::Past)),
        Moment::Instant(_) | Moment::Local(_) | Moment::Span(_) => None,
    };
    (from, to.unwrap_or(from + TimeDelta::seconds(1)))
}

/// The configuration that the ledger keeps as the last good one, which the daemon works with; else the files.
async fn config_in_use(common: &Common, ledger: &SqliteLedger) -> anyhow::Result<Config> {
    let (paths, clock) = (load::config_paths(common), Clock::system());
    let kept = ledger.last_config(load::config_key(&paths)).await?;
    let kept = kept.and_then(|kept| load::parse(kept.files, &clock).config);
    match kept {
        Some(config) => Ok(config),
        None => load::config_or_problems(common, &clock),
    }
}

fn config_entry(config: &Config, name: &str) -> Option<Arc<Entry>> {
    let name = EntryName::parse(name).ok()?;
    config.entries.get(&name).cloned()
}

/// The name of an entry that is not configured, but has a history.
async fn gone(ledger: &SqliteLedger, config: &Config, name: &str) -> anyhow::Result<EntryName> {
    if let Ok(parsed) = EntryName::parse(name)
        && newest(ledger, &parsed, None).await?.is_some()
    {
        return Ok(parsed);
    }
    load::entry(config, name).map(|entry| entry.name.clone())
}

/// What is told of: what is due or was moved from there, newest first; without a time the last tick and all that are open.
async fn rows(
    ledger: &SqliteLedger,
    name: &EntryName,
    entry: Option<&Entry>,
    asked: Option<(Timestamp, Timestamp)>,
) -> anyhow::Result<Vec<Tick>> {
    let all = HistoryQuery {
        entries: vec![name.clone()],
        limit: Some(ROWS_MAX),
        ..HistoryQuery::default()
    };
    let Some((from, to)) = asked else {
        let mut rows = Vec::new();
        for state in ["waiting", "sent", "doubtful", "running"] {
            let state = Some(state.to_owned());
            rows.extend(
                ledger
                    .history(HistoryQuery {
                        state,
                        ..all.clone()
                    })
                    .await?,
            );
        }
        let limit = Some(1);
        let last = ledger.history(HistoryQuery { limit, ..all }).await?;
        let is_new = |tick: &Tick| !rows.iter().any(|known| known.id == tick.id);
        let last: Vec<Tick> = last.into_iter().filter(is_new).collect();
        rows.extend(last);
        rows.sort_by_key(|tick| Reverse(tick.due));
        return Ok(rows);
    };
    let within = HistoryQuery {
        since: Some(from),
        until: Some(to),
        ..all.clone()
    };
    let mut rows = ledger.history(within).await?;
    // A row that stands for many bears the due time of the last of them.
    for reason in [Reason::Missed, Reason::Excluded, Reason::Paused] {
        let later = HistoryQuery {
            since: Some(to),
            reason: Some(reason),
            ..all.clone()
        };
        let covers = |missed: Missed| missed.from < to && from <= missed.to;
        let later = ledger.history(later).await?.into_iter();
        rows.extend(later.filter(|tick| tick.missed.is_some_and(covers)));
    }
    if entry
        .and_then(|entry| entry.schedule.as_ref())
        .is_some_and(Schedule::moves)
    {
        let around = HistoryQuery {
            since: Some(from - RECENT_DAYS),
            until: Some(to + RECENT_DAYS),
            ..all
        };
        let is_here = |instant: &Timestamp| from <= *instant && *instant < to;
        let moved = |tick: &Tick| !is_here(&tick.due) && tick.moved_from.iter().any(is_here);
        rows.extend(ledger.history(around).await?.into_iter().filter(moved));
    }
    Ok(rows)
}

/// Whether this row tells what became of a start.
fn stands_for(tick: &Tick, start: Timestamp) -> bool {
    match tick.missed {
        Some(missed) => missed.from <= start && start <= missed.to,
        None => tick.due == start || tick.moved_from.contains(&start),
    }
}

/// The due time of the newest row before then, or of all.
async fn newest(
    ledger: &SqliteLedger,
    name: &EntryName,
    until: Option<Timestamp>,
) -> anyhow::Result<Option<Timestamp>> {
    let query = HistoryQuery {
        entries: vec![name.clone()],
        until,
        limit: Some(1),
        ..HistoryQuery::default()
    };
    Ok(ledger.history(query).await?.first().map(|tick| tick.due))
}

impl Account<'_> {
    fn schedule(&self) -> Option<&Schedule> {
        self.entry.and_then(|entry| entry.schedule.as_ref())
    }

    fn json(&self) -> Value {
        let (from, to) = self.asked.unzip();
        let schedule = self.schedule();
        json!({
            "entry": self.name,
            "configured": self.entry.is_some(),
            "enabled": self.entry.map(|entry| entry.enabled),
            "cron": schedule.map(Schedule::texts),
            "timezone": schedule.map(|schedule| schedule.zone().name()),
            "from": from.map(rfc3339),
            "to": to.map(rfc3339),
            "ticks": self.stories.iter().map(story_json).collect::<Vec<_>>(),
            "without_row": self.without_row.iter().map(|row| {
                let mut object = row.json();
                object["why"] = json!(self.why_no_row(row));
                object
            }).collect::<Vec<_>>(),
            "why_nothing": self.why_nothing(),
            "next": self.next.as_ref().map(Row::json),
        })
    }

    fn tell(&self, out: &mut impl Write, times: &Times<'_>) -> std::io::Result<()> {
        writeln!(out, "{}", shown(&self.head()))?;
        for story in &self.stories {
            tell_story(out, story, times, self.stories.len() <= STORIES_MAX)?;
        }
        if self.more > 0 {
            writeln!(out, "and {} more; `pipecron history` lists them", self.more)?;
        }
        let whys: Vec<String> = self
            .without_row
            .iter()
            .map(|row| self.why_no_row(row))
            .collect();
        let mut rows = self.without_row.iter().zip(&whys).peekable();
        while let Some((first, why)) = rows.next() {
            let (mut last, mut count) = (first, 1);
            while let Some((row, _)) = rows.next_if(|(_, other)| *other == why) {
                (last, count) = (row, count + 1);
            }
            let to = match count {
                1 => String::new(),
                count => format!(" to {} ({count} times)", times.whole(last.due())),
            };
            writeln!(out, "{}{to}\n  {}", times.whole(first.due()), shown(why))?;
        }
        if let Some(why) = self.why_nothing() {
            writeln!(out, "{}", shown(&why))?;
        }
        match (&self.next, self.entry) {
            (Some(row), _) => {
                let note = shown(&row.note());
                let line = format!("next: {}  {note}", times.whole(row.due()));
                writeln!(out, "{}", line.trim_end())
            }
            (None, Some(entry)) => {
                writeln!(out, "next: none, {}", why_silent(entry, self.now, None))
            }
            (None, None) => Ok(()),
        }
    }

    /// The entry and its rule.
    fn head(&self) -> String {
        let rule = match (self.entry, self.schedule()) {
            (None, _) => "is not configured any more".to_owned(),
            (Some(_), None) => "starts by hand alone (@manually)".to_owned(),
            (Some(_), Some(schedule)) => {
                let hash = hash_words(schedule);
                let hash = hash.map_or_else(String::new, |words| format!(" ({words})"));
                let zone = schedule.zone().name();
                format!("{}{hash}, {zone}", schedule.texts().join("; "))
            }
        };
        let off = match self.entry {
            Some(entry) if !entry.enabled => ", not enabled",
            Some(_) | None => "",
        };
        format!("{}: {rule}{off}", self.name)
    }

    /// Why there is no row of a start or of something excluded: it is to come, or nobody decided it.
    fn why_no_row(&self, row: &Row<'_>) -> String {
        let note = row.note();
        if !row.is_start() {
            let tense = if row.due() > self.now {
                "will not run"
            } else {
                "did not run"
            };
            return format!("{tense}: {note}");
        }
        if row.due() > self.now {
            return match note.as_str() {
                "" => "will run".to_owned(),
                note => format!("will run: {note}"),
            };
        }
        let why = match (self.known.before, self.known.newest) {
            (_, None) => {
                "the ledger has no tick of this entry: it began after that, or no daemon has run yet".to_owned()
            }
            (_, Some(newest)) if newest < row.due() => format!(
                "nothing of this entry was decided since {}: no daemon runs, and the next one decides what was missed; or the entry \
                 was off, or began anew with another pattern",
                rfc3339(newest)
            ),
            (None, Some(_)) => {
                "the ledger has no older tick of this entry: it began after that, or what was before is forgotten".to_owned()
            }
            (Some(_), Some(_)) => {
                "it was off then, or had another pattern, zone or calendar".to_owned()
            }
        };
        format!("due by the configuration as it is now, and there is no tick: {why}")
    }

    /// Why there is nothing to tell, if there is nothing.
    fn why_nothing(&self) -> Option<String> {
        if !self.stories.is_empty() || !self.without_row.is_empty() {
            return None;
        }
        let Some((from, to)) = self.asked else {
            return Some("the ledger has no tick of this entry yet".to_owned());
        };
        let when = rfc3339(from);
        let (Some(entry), Some(schedule)) = (self.entry, self.schedule()) else {
            return Some(format!("nothing was due at {when}"));
        };
        if !entry.enabled {
            return Some(format!(
                "nothing is due at {when}: the entry is not enabled"
            ));
        }
        if let Some(begin) = entry.not_before.filter(|begin| to <= *begin) {
            let begin = rfc3339(begin);
            return Some(format!(
                "nothing is due at {when}: not before {begin} (not_before)"
            ));
        }
        if let Some(end) = entry.not_after.filter(|end| *end < from) {
            let end = rfc3339(end);
            return Some(format!(
                "nothing is due at {when}: over since {end} (not_after)"
            ));
        }
        let beside = |what: &str, due: Option<Timestamp>| {
            due.map_or_else(
                || format!("none {what}"),
                |due| {
                    format!(
                        "{} {what} ({})",
                        rfc3339(due),
                        weekday_local(schedule.zone(), due)
                    )
                },
            )
        };
        Some(format!(
            "nothing is due then by its pattern: {}, {}",
            beside("before", schedule.last_until(just_before(from))),
            beside("after", schedule.next_after(just_before(to)))
        ))
    }
}

fn tell_story(
    out: &mut impl Write,
    story: &Story,
    times: &Times<'_>,
    whole: bool,
) -> std::io::Result<()> {
    let tick = &story.tick;
    let run = tick.run.as_ref();
    let run = run.map_or_else(String::new, |run| format!(", run {}", shown(&run.id)));
    writeln!(
        out,
        "{}: due {}: {}{run}",
        shown(tick.id.as_str()),
        times.within(tick.due),
        tick.state.word()
    )?;
    let lines = story.notes.iter();
    let left_out = if whole {
        0
    } else {
        story.notes.len().saturating_sub(1)
    };
    for (at, note) in lines.skip(left_out) {
        writeln!(out, "  {}  {}", times.head(*at), shown(note))?;
    }
    if !tick.state.is_ended() && tick.run.is_none() {
        let deadline = times.within(tick.deadline);
        writeln!(
            out,
            "  not started yet; given up at {deadline} if it is not until then"
        )?;
    }
    Ok(())
}
