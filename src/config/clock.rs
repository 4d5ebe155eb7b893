//! Entries that are due at a time that a clock change of the coming year skips or shows twice.
//!
//! What happens then is fixed (a skipped time starts right after the gap, a double one once), but who wrote `30 2 * * *`
//! may not have thought of it, and learns it here and not on a Sunday in March. Patterns that follow real time are no
//! news. Entries for which the same changes matter are told of together, once for a zone.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, TimeDelta};

use super::check::{Check, listed};
use super::excerpt::quoted;
use super::problem::{At, Finding, Kind};
use crate::domain::cron::{ClockNote, CronPattern};
use crate::domain::schedule::Schedule;
use crate::domain::zone::Zone;
use crate::domain::{Entry, Timestamp};

/// How far ahead is looked.
const AHEAD_DAYS: i64 = 366;
/// So many entries are named.
const NAMED_MAX: usize = 3;

/// The entries that are due while a clock changes.
#[derive(Debug, Default)]
pub(super) struct ClockChanges {
    /// What was found out about a pattern in a zone; entries by the thousand have the same.
    known: HashMap<(Box<str>, CronPattern), Arc<[Hit]>>,
    /// By zone, and by which changes matter.
    groups: BTreeMap<(Box<str>, Vec<Timestamp>), Group>,
}

/// A pattern is due while the clock changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hit {
    change: Change,
    /// The time that is skipped or comes twice; none if there are several.
    time: Option<NaiveDateTime>,
    /// When it starts, by the wall clock.
    starts: NaiveDateTime,
    /// The instant of that.
    at: Timestamp,
}

/// A change of a zone's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    at: Timestamp,
    /// Whether times are skipped; else they come twice.
    skips: bool,
    /// The first of these times, and the first after them.
    from: NaiveDateTime,
    to: NaiveDateTime,
}

/// Entries that are told of together.
#[derive(Debug)]
struct Group {
    at: At,
    names: Vec<String>,
    count: usize,
    hits: Vec<Hit>,
}

impl ClockChanges {
    /// Looks at an entry that is enabled.
    pub(super) fn look(
        &mut self,
        entry: &Entry,
        patterns: &[(&str, CronPattern, At)],
        now: Timestamp,
    ) {
        let Some(schedule) = &entry.schedule else {
            return;
        };
        let zone = schedule.zone();
        let until = now + TimeDelta::days(AHEAD_DAYS);
        if zone.stretch_at(now.timestamp()).end > until.timestamp() {
            return;
        }
        let mut hits: Vec<Hit> = Vec::new();
        let mut first = None;
        // The schedule's own, in which `H` stands for what the entry's name draws.
        let places = patterns.iter().map(|(_, _, at)| at);
        for (pattern, at) in schedule
            .patterns()
            .iter()
            .zip(places)
            .filter(|(pattern, _)| pattern.is_fixed_time())
        {
            let key = (Box::from(zone.name()), *pattern);
            let found = self.known.entry(key);
            let found = found.or_insert_with(|| hits_of(pattern, zone, now, until).into());
            for hit in found
                .iter()
                .filter(|hit| starts_at(entry, schedule, hit.at))
            {
                first.get_or_insert(*at);
                match hits.iter_mut().find(|other| other.change == hit.change) {
                    Some(other) => join(other, hit),
                    None => hits.push(*hit),
                }
            }
        }
        let Some(at) = first else {
            return;
        };
        hits.sort_by_key(|hit| hit.change.at);
        let changes = hits.iter().map(|hit| hit.change.at).collect();
        let name = entry.name.as_str();
        match self.groups.entry((zone.name().into(), changes)) {
            Slot::Vacant(slot) => {
                slot.insert(Group {
                    at,
                    names: vec![name.to_owned()],
                    count: 1,
                    hits,
                });
            }
            Slot::Occupied(mut slot) => {
                let group = slot.get_mut();
                group.count += 1;
                if group.names.len() < NAMED_MAX {
                    group.names.push(name.to_owned());
                }
                for (known, hit) in group.hits.iter_mut().zip(&hits) {
                    join(known, hit);
                }
            }
        }
    }
}

/// Makes `known` stand for both.
fn join(known: &mut Hit, other: &Hit) {
    if known.time != other.time {
        known.time = None;
    }
}

/// Whether the entry starts then: within its window, and on no day that a calendar or a freeze takes.
fn starts_at(entry: &Entry, schedule: &Schedule, at: Timestamp) -> bool {
    entry.not_before.is_none_or(|begin| begin <= at)
        && entry.not_after.is_none_or(|end| at <= end)
        && schedule.last_until(at) == Some(at)
}

/// The clock changes up to `until` at which a fixed-time pattern is due.
fn hits_of(pattern: &CronPattern, zone: &Zone, now: Timestamp, until: Timestamp) -> Vec<Hit> {
    let changes = changes(zone, now, until);
    changes
        .filter_map(|change| hit(pattern, zone, change))
        .collect()
}

fn changes(zone: &Zone, now: Timestamp, until: Timestamp) -> impl Iterator<Item = Change> {
    let (after, until) = (now.timestamp(), until.timestamp());
    let all = zone.changes();
    let from = all.partition_point(|change| change.at <= after);
    let ahead = all.get(from..).unwrap_or_default().iter();
    ahead
        .take_while(move |change| change.at <= until)
        .filter_map(|change| {
            let before = zone.stretch_at(change.at - 1).offset;
            let local = |offset: i32| {
                Some(DateTime::from_timestamp(change.at + i64::from(offset), 0)?.naive_utc())
            };
            let (old, new) = (local(before)?, local(change.offset)?);
            Some(Change {
                at: DateTime::from_timestamp(change.at, 0)?,
                skips: old < new,
                from: old.min(new),
                to: old.max(new),
            })
        })
}

fn hit(pattern: &CronPattern, zone: &Zone, change: Change) -> Option<Hit> {
    let at = if change.skips {
        change.at
    } else {
        // The first pass lies before the change.
        let first_pass = change.at - (change.to - change.from);
        let due = pattern.next_after(zone, first_pass - TimeDelta::seconds(1))?;
        Some(due).filter(|due| *due < change.at)?
    };
    let time = match pattern.clock_note(zone, at)? {
        ClockNote::Shifted { wanted } | ClockNote::Merged { wanted } if change.skips => wanted,
        ClockNote::OnlyFirstPass { .. } if !change.skips => zone.local(at),
        ClockNote::Shifted { .. }
        | ClockNote::Merged { .. }
        | ClockNote::OnlyFirstPass { .. }
        | ClockNote::FirstPass { .. }
        | ClockNote::SecondPass { .. } => return None,
    };
    // On a clock that never changes, wall times can be counted.
    let second = TimeDelta::seconds(1);
    let (from, to) = (change.from - second, change.to - second);
    let times = pattern.count_between(&Zone::utc(), from.and_utc(), to.and_utc());
    Some(Hit {
        change,
        time: (times == 1).then_some(time),
        starts: zone.local(at),
        at,
    })
}

/// Reports what was found.
pub(super) fn warn(check: &mut Check<'_>) {
    for ((zone, _), group) in std::mem::take(&mut check.clock).groups {
        let one = group.count == 1;
        let names = match group.count.checked_sub(group.names.len()) {
            Some(more @ 1..) => {
                let names: Vec<String> = group.names.iter().map(|name| quoted(name)).collect();
                format!("{} and {more} more entries", names.join(", "))
            }
            _ => listed(&group.names.iter().map(String::as_str).collect::<Vec<_>>()),
        };
        let fates: Vec<String> = group.hits.iter().map(|hit| fate(hit, one)).collect();
        let message = format!(
            "{names} {} due when the clock of {zone} changes: {}",
            if one { "is" } else { "are" },
            fates.join("; ")
        );
        let (Some(first), Some(name)) = (group.hits.first(), group.names.first()) else {
            continue;
        };
        let (from, to) = (clock_time(first.change.from), clock_time(first.change.to));
        let day = first.starts.date();
        let help = format!(
            "if another time is as good, choose one that is not from {from} to {to}; `pipecron next {name} --at {day}` shows what happens"
        );
        check.report(Finding::warning(Kind::ClockChange, group.at, message).help(help));
    }
}

/// What becomes of the starts at a change.
fn fate(hit: &Hit, one: bool) -> String {
    let day = hit.starts.date().format("%a %Y-%m-%d");
    let what = match hit.time {
        Some(time) => clock_time(time),
        None => format!(
            "{} to {}",
            clock_time(hit.change.from),
            clock_time(hit.change.to)
        ),
    };
    let starts = if one {
        "it starts once"
    } else {
        "each starts once"
    };
    if hit.change.skips {
        let at = clock_time(hit.starts);
        format!("on {day} the clock skips {what}, and {starts}, at {at}, right after the gap")
    } else {
        format!("on {day} the clock shows {what} twice, and {starts}, in the first pass")
    }
}

/// `02:30`, with seconds only where there are some.
fn clock_time(time: NaiveDateTime) -> String {
    let text = time.format("%H:%M:%S").to_string();
    text.strip_suffix(":00").unwrap_or(&text).to_owned()
}
