//! Ticks that were due during a pause: each ends as paused, and a resume owes nothing.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::due::{ROWS_MAX, Walk, dropped};
use super::just_before;
use crate::domain::pause::Pause;
use crate::domain::{Plan, Reason, Timestamp};

/// A time that is to be decided, without its first instant and with its last, cut where pauses begin and end.
#[derive(Debug, Default)]
pub(super) struct Stretches<'s> {
    /// What no pause covers, oldest first.
    pub(super) open: Vec<(Timestamp, Timestamp)>,
    /// The rest, oldest first.
    paused: Vec<(Timestamp, Timestamp)>,
    /// The pauses that are about the entry, newest first.
    pauses: Vec<&'s Pause>,
    now: Timestamp,
}

impl<'s> Stretches<'s> {
    /// Cuts what is walked. While a pause holds nothing is opened, so all of what is found due then is paused, also what
    /// was due before somebody asked: it was missed, and to catch it up now would be a start during a pause.
    pub(super) fn of(walk: &Walk<'s>) -> Self {
        let (now, since, until) = (walk.now, walk.since, walk.until);
        let about = walk.state.pauses.iter();
        let about = about.filter(|pause| pause.is_about(walk.entry));
        let mut pauses: Vec<&Pause> = about.collect();
        pauses.sort_by_key(|pause| pause.since);
        let mut cut = Self {
            now,
            ..Self::default()
        };
        let mut from = since;
        if pauses.iter().any(|pause| pause.holds(now)) {
            cut.paused.push((since, until));
            from = until;
        }
        for pause in &pauses {
            // A pause covers its first instant and not its last: a stretch is the other way round.
            let begin = just_before(pause.since).max(from);
            let end = pause.end().map_or(until, |end| just_before(end).min(until));
            if begin >= end {
                continue;
            }
            if from < begin {
                cut.open.push((from, begin));
            }
            cut.paused.push((begin, end));
            from = end;
        }
        if from < until {
            cut.open.push((from, until));
        }
        pauses.reverse();
        cut.pauses = pauses;
        cut
    }

    /// Ends what was due while a pause held: a row for each tick, or one for all if they are many.
    pub(super) fn end_paused(
        &self,
        walk: &Walk<'_>,
        decided: &BTreeSet<Timestamp>,
        plan: &mut Plan,
    ) {
        let (now, schedule) = (walk.now, walk.schedule);
        let found =
            |(since, until): &(Timestamp, Timestamp)| dropped(schedule, *since, *until, decided);
        let found: Vec<_> = self.paused.iter().filter_map(found).collect();
        let (Some(first), Some(last)) = (found.first(), found.last()) else {
            return;
        };
        let mut all = *first;
        all.to = last.to;
        all.at_least = found.iter().any(|of| of.at_least);
        all.count = found
            .iter()
            .fold(0, |sum: u64, of| sum.saturating_add(of.count));
        if all.count > ROWS_MAX || all.at_least {
            let is_there = |pause: &&&Pause| {
                pause.holds(now)
                    || (pause.since <= all.to && pause.end().is_none_or(|end| all.from < end))
            };
            let whys = self.pauses.iter().filter(is_there);
            let whys = whys.map(ToString::to_string).collect();
            let row = walk.one_row(all, Reason::Paused, whys);
            return plan.changes.push(row);
        }
        for of in found {
            for due in schedule.between(just_before(of.from), of.to) {
                if !decided.contains(&due) {
                    self.end(walk, due, plan);
                }
            }
        }
    }

    /// Ends what a calendar moved to before the walk, as far as it is paused.
    pub(super) fn end_late(
        &self,
        walk: &Walk<'_>,
        late: &BTreeSet<Timestamp>,
        decided: &mut Cow<'_, BTreeSet<Timestamp>>,
        plan: &mut Plan,
    ) {
        for due in late {
            if !decided.contains(due) && self.end(walk, *due, plan) {
                decided.to_mut().insert(*due);
            }
        }
    }

    /// Ends a tick with the newest pause that covers it, else the one that holds. False if it is not paused.
    fn end(&self, walk: &Walk<'_>, due: Timestamp, plan: &mut Plan) -> bool {
        let covers = self.pauses.iter().find(|pause| pause.covers(due));
        let holds = || self.pauses.iter().find(|pause| pause.holds(self.now));
        let pause = covers.or_else(holds);
        plan.changes.extend(
            pause.map(|pause| walk.ended_row(due, Reason::Paused, format!("paused: {pause}"))),
        );
        pause.is_some()
    }
}
