//! What calendars moved across the mark.
//!
//! An instant on a day off is decided where it was moved to, so its decision may lie on the other side of the mark than the
//! instant does. As long as the calendar stays as it is the walk from the mark finds every start. A calendar that changes
//! may move a start from what lies before the mark to what lies behind it, or what was due already to a day that has
//! passed: no walk comes by there, and without care the tick would end in no way at all (P5). So the mark keeps the instants
//! that were moved across it ([`Mark::crossed`]), and here they are looked at again.

use std::collections::BTreeSet;

use crate::domain::schedule::Schedule;
use crate::domain::{EntryState, Mark, RECENT_DAYS, Timestamp, rfc3339};

/// What became of the instants that calendars moved.
#[derive(Debug, Default)]
pub(super) struct Crossings {
    /// Starts up to the mark of which nothing was known when it passed them: their day off, or that it is none, was known
    /// too late.
    pub(super) late: BTreeSet<Timestamp>,
    /// Instants that have no start, each with the reason.
    pub(super) without_start: Vec<(Timestamp, String)>,
    /// What the next mark keeps.
    pub(super) crossed: BTreeSet<Timestamp>,
}

/// Looks at what was moved across the mark, and at what is moved across the next one. The walk goes from `since` to `until`.
pub(super) fn crossings(
    schedule: &Schedule,
    since: Timestamp,
    until: Timestamp,
    mark: &Mark,
    state: &EntryState,
) -> Crossings {
    let mut found = Crossings::default();
    if !schedule.moves() {
        return found;
    }
    let is_walked = |start: &Timestamp| since < *start && *start <= until;
    let owed = mark.crossed.range(..=since).copied();
    let known = |instant: &Timestamp| !mark.crossed.contains(instant);
    let passed = near_ends(schedule, since, until).filter(known);
    for instant in owed
        .chain(passed)
        .filter(|instant| !state.is_spent(*instant))
    {
        let starts = schedule.starts_for(instant);
        if starts.iter().any(is_walked) {
            continue;
        }
        match (starts.first(), starts.last()) {
            (Some(_), Some(last)) if *last > until => {
                found.crossed.insert(instant);
            }
            (Some(first), _) if state.is_spent(*first) => {
                let why = schedule.day_off(instant).unwrap_or_default();
                let why = format!(
                    "{why}, and {}, to which it is moved, was decided before",
                    rfc3339(*first)
                );
                found.without_start.push((instant, why));
            }
            (Some(first), _) => match schedule.frozen_at(*first) {
                Some(freeze) => found.without_start.push((*first, freeze.why.clone())),
                None => {
                    found.late.insert(*first);
                }
            },
            _ if instant <= since || !schedule.is_excluded_on(instant) => {
                let why = schedule.day_off(instant).unwrap_or_default();
                let why = format!("{why}, and it has no time on a working day near it");
                found.without_start.push((instant, why));
            }
            // It is among the exclusions of the walk.
            _ => {}
        }
    }
    let ahead = named(schedule, until, until + RECENT_DAYS).filter(|instant| {
        let starts = schedule.starts_for(*instant);
        mark.crossed.contains(instant) || starts.iter().any(is_walked)
    });
    found.crossed.extend(ahead);
    found
}

/// What a calendar moves to before `begin` from after it: none of the ticks of an entry that begins then.
pub(super) fn before_the_beginning(schedule: &Schedule, begin: Timestamp) -> BTreeSet<Timestamp> {
    if !schedule.moves() {
        return BTreeSet::new();
    }
    let is_before = |instant: &Timestamp| {
        let starts = schedule.starts_for(*instant);
        starts.last().is_some_and(|last| *last <= begin)
    };
    named(schedule, begin, begin + RECENT_DAYS)
        .filter(is_before)
        .collect()
}

/// What patterns name near either end of a stretch: from further in nothing is moved out of it.
fn near_ends(
    schedule: &Schedule,
    since: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    let first = until.min(since + RECENT_DAYS);
    let second = first.max(until - RECENT_DAYS);
    named(schedule, since, first).chain(named(schedule, second, until))
}

fn named(
    schedule: &Schedule,
    after: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    let next = |instant: &Timestamp| schedule.named_after(*instant);
    std::iter::successors(schedule.named_after(after), next)
        .take_while(move |instant| *instant <= until)
}
