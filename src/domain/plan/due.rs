//! Which ticks are due since the mark, which of them run, which are excluded, and which are dropped.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::doubt::look_before_first_send;
use super::moves::crossings;
use super::paused::Stretches;
use super::{Room, end, just_after, just_before, making, new_tick, send_or_wait};
use crate::domain::schedule::{Count, Exclusion, Schedule};
use crate::domain::{
    CatchUp, Change, Entry, EntryState, Mark, MarkChange, Missed, ON_TIME, Origin, Plan, Reason,
    Skip, TickId, TickState, Timestamp, rfc3339,
};

/// More ticks than this that are excluded or paused together are one row.
pub(super) const ROWS_MAX: u64 = 10;
/// So many of their reasons are named.
const WHYS_MAX: usize = 3;
/// What is said of a start that was behind the mark already when a calendar came to have it.
const TOO_LATE: &str = "due by a calendar that changed after its time";

/// Opens the ticks that came due since the mark, as far as `deadline` and `catch_up` let them, and drops the others.
pub(super) fn open_due(
    now: Timestamp,
    entry: &Entry,
    schedule: &Schedule,
    mark: &Mark,
    state: &EntryState,
    room: &mut Room,
    plan: &mut Plan,
) {
    let since = mark.since(now);
    if mark.until > now {
        // The clock was ahead. The mark comes back, or the entry would be silent until then; what was opened
        // meanwhile is in `decided` and is not opened again.
        plan.mark = MarkChange::Set(Mark {
            until: now,
            crossed: mark.crossed.range(..=now).copied().collect(),
            ..mark.clone()
        });
    }
    let since = entry
        .not_before
        .map_or(since, |begin| since.max(just_before(begin)));
    let until = entry.not_after.map_or(now, |end| now.min(end));
    if since >= until {
        return;
    }
    let walk = Walk {
        now,
        entry,
        schedule,
        state,
        since,
        until,
    };
    let excluded = schedule.exclusions(since, until);
    let mut crossings = crossings(schedule, since, until, mark, state);
    let is_outside = |start: &Timestamp| entry.not_before.is_some_and(|begin| *start < begin);
    crossings.late.retain(|start| !is_outside(start));
    if excluded.is_empty()
        && crossings.late.is_empty()
        && crossings.without_start.is_empty()
        && schedule.next_after(since).is_none_or(|first| first > until)
    {
        return;
    }
    plan.mark = MarkChange::Set(Mark {
        until: now,
        crossed: std::mem::take(&mut crossings.crossed),
        ..mark.clone()
    });
    walk.exclude(&excluded, plan);
    for (instant, why) in &crossings.without_start {
        plan.changes.push(walk.excluded_row(*instant, why));
    }
    let late = &crossings.late;
    let mut decided = walk.decided(late, plan);
    let stretches = Stretches::of(&walk);
    stretches.end_paused(&walk, &decided, plan);
    stretches.end_late(&walk, late, &mut decided, plan);
    let kept = walk.kept_ticks(&stretches.open, &decided, late);
    let first_kept = kept.iter().find(|due| **due > since);
    let dropped_until = first_kept.map_or(until, |first| just_before(*first));
    for (since, until) in stretches.open {
        if let Some(missed) = dropped(schedule, since, until.min(dropped_until), &decided) {
            plan.changes.push(missed_row(now, entry, missed));
        }
    }
    let is_lost = |due: &&Timestamp| !decided.contains(due) && !kept.contains(due);
    for due in late.iter().filter(is_lost) {
        let note = format!("missed, {TOO_LATE}");
        plan.changes
            .push(walk.ended_row(*due, Reason::Missed, note));
    }
    for due in kept {
        let mut tick = new_tick(
            now,
            entry,
            due,
            TickId::scheduled(&entry.name, due),
            Origin::Scheduled,
        );
        let moved = schedule.stands_for(due);
        tick.moved_from = moved.into_iter().map(|(_, named)| named).collect();
        if let Err(why) = making::make(entry, state.last_success.as_ref(), &[], &mut tick) {
            // Checked when it was loaded, but for another instant.
            end(now, tick, Reason::Refused, why, plan);
            continue;
        }
        let is_late = now - due > TimeDelta::from_std(ON_TIME).unwrap_or_default();
        // A clock that was ahead when we came says nothing.
        let is_older = room
            .here_since
            .is_some_and(|since| due <= since && since <= now);
        if (is_late || is_older)
            && matches!(tick.state, TickState::Waiting { not_before } if not_before <= now)
        {
            let why = match late.contains(&due) {
                true => TOO_LATE,
                false => "due while the daemon was away",
            };
            let note = format!("{why}; caught up, after a look whether it ran");
            look_before_first_send(now, state, tick, note, room, plan);
        } else {
            let why = match schedule.moved_from(due) {
                Some(moved) => format!("due, {moved}"),
                None => "due".to_owned(),
            };
            send_or_wait(now, entry, state, tick, Some(&why), room, plan);
        }
    }
}

/// One walk over a schedule, from `since` to `until`.
pub(super) struct Walk<'w> {
    pub(super) now: Timestamp,
    pub(super) entry: &'w Entry,
    pub(super) schedule: &'w Schedule,
    pub(super) state: &'w EntryState,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
}

impl<'w> Walk<'w> {
    /// Due times that are not to be opened now: those for which there is a row, and those that end here: what somebody
    /// wants skipped, and what was decided before a calendar moved it here. The `late` ones lie before the walk.
    fn decided(&self, late: &BTreeSet<Timestamp>, plan: &mut Plan) -> Cow<'w, BTreeSet<Timestamp>> {
        let (schedule, state) = (self.schedule, self.state);
        let (since, until) = (self.since, self.until);
        let mut decided = Cow::Borrowed(&state.decided);
        for instant in state.skips.keys() {
            for due in schedule.starts_for(*instant) {
                let is_walked =
                    since < due && due <= until && schedule.last_until(due) == Some(due);
                if (is_walked || late.contains(&due))
                    && !decided.contains(&due)
                    && let Some(skip) = Skip::of_start(&state.skips, schedule, due)
                {
                    plan.changes.push(self.excluded_row(due, &skip.to_string()));
                    decided.to_mut().insert(due);
                }
            }
        }
        // What was decided under another day may lie anywhere in the walk: a clock that was a year behind has left the mark
        // there. So this goes from the rows to the starts.
        let is_spent = |instant: &Timestamp| state.is_spent(*instant);
        for due in (state.recent.iter()).flat_map(|instant| schedule.starts_for(*instant)) {
            let is_walked = since < due && due <= until && schedule.last_until(due) == Some(due);
            if is_walked
                && !decided.contains(&due)
                && schedule.instants_of(due).iter().all(is_spent)
            {
                let why = "decided before a calendar moved it to this day";
                plan.changes.push(self.excluded_row(due, why));
                decided.to_mut().insert(due);
            }
        }
        decided
    }

    /// Ends what calendars and freezes exclude: a row for each, or one for all if they are many.
    fn exclude(&self, excluded: &[Exclusion], plan: &mut Plan) {
        let (Some(first), Some(last)) = (excluded.first(), excluded.last()) else {
            return;
        };
        let count = |sum: u64, of: &Exclusion| sum.saturating_add(of.count.number());
        let count = excluded.iter().fold(0, count);
        if count <= ROWS_MAX {
            for exclusion in excluded {
                for due in self.schedule.excluded_instants(exclusion, usize::MAX) {
                    if !self.state.is_spent(due) {
                        plan.changes.push(self.excluded_row(due, &exclusion.why));
                    }
                }
            }
            return;
        }
        let missed = Missed {
            count,
            at_least: excluded
                .iter()
                .any(|of| matches!(of.count, Count::AtLeast(_))),
            from: first.first,
            to: last.last,
        };
        let whys = excluded.iter().map(|of| of.why.clone()).collect();
        plan.changes
            .push(self.one_row(missed, Reason::Excluded, whys));
    }

    /// One row for many ticks that ended for one reason, with the first of what led to it.
    pub(super) fn one_row(&self, missed: Missed, reason: Reason, mut whys: Vec<String>) -> Change {
        whys.dedup();
        let more = whys.len().saturating_sub(WHYS_MAX);
        whys.truncate(WHYS_MAX);
        let mut row = missed_row(self.now, self.entry, missed);
        row.tick.note = format!(
            "{}, due {} to {}: {}{}",
            how_many(missed, reason.name()),
            rfc3339(missed.from),
            rfc3339(missed.to),
            whys.join("; "),
            match more {
                0 => String::new(),
                more => format!("; and {more} more reasons"),
            }
        );
        row.tick.state = TickState::Ended {
            reason,
            at: self.now,
        };
        row
    }

    fn excluded_row(&self, due: Timestamp, why: &str) -> Change {
        self.ended_row(due, Reason::Excluded, format!("excluded: {why}"))
    }

    /// The row of a tick that ends before it was opened.
    pub(super) fn ended_row(&self, due: Timestamp, reason: Reason, note: String) -> Change {
        let id = TickId::scheduled(&self.entry.name, due);
        let mut tick = new_tick(self.now, self.entry, due, id, Origin::Scheduled);
        let moved = self.schedule.stands_for(due);
        tick.moved_from = moved.into_iter().map(|(_, named)| named).collect();
        tick.note = note;
        tick.state = TickState::Ended {
            reason,
            at: self.now,
        };
        Change {
            tick,
            attempt: None,
        }
    }

    /// The due instants in these stretches of the walk and the `late` ones that are to run, oldest first.
    fn kept_ticks(
        &self,
        stretches: &[(Timestamp, Timestamp)],
        decided: &BTreeSet<Timestamp>,
        late: &BTreeSet<Timestamp>,
    ) -> Vec<Timestamp> {
        let in_time = TimeDelta::from_std(self.entry.deadline)
            .ok()
            .and_then(|deadline| self.now.checked_sub_signed(deadline))
            .unwrap_or(Timestamp::MIN_UTC);
        let on_time = just_before(self.now - ON_TIME);
        let (from, count) = match self.entry.catch_up {
            CatchUp::None => (in_time.max(on_time), 1),
            CatchUp::Latest => (in_time, 1),
            CatchUp::All => (
                in_time,
                usize::try_from(self.entry.catch_up_max.max(1)).unwrap_or(usize::MAX),
            ),
        };
        let mut kept = Vec::new();
        for (since, until) in stretches.iter().rev() {
            let left = count.saturating_sub(kept.len());
            if left == 0 {
                break;
            }
            let most = left.saturating_add(decided.range(..=*until).count());
            let mut ticks = self.schedule.latest(from.max(*since), *until, most);
            ticks.retain(|due| !decided.contains(due));
            let mut ticks = ticks.split_off(ticks.len().saturating_sub(left));
            ticks.append(&mut kept);
            kept = ticks;
        }
        let is_kept = |due: &Timestamp| *due > from && !decided.contains(due);
        let late = late.iter().copied().filter(is_kept);
        let mut ticks: Vec<Timestamp> = late.chain(kept).collect();
        ticks.split_off(ticks.len().saturating_sub(count))
    }
}

/// What is dropped of (`since`, `until`], if anything.
pub(super) fn dropped(
    schedule: &Schedule,
    since: Timestamp,
    until: Timestamp,
    decided: &BTreeSet<Timestamp>,
) -> Option<Missed> {
    let undecided = |due: &Timestamp| !decided.contains(due);
    let mut first = schedule.next_after(since)?;
    while !undecided(&first) {
        first = schedule.next_after(first)?;
    }
    let mut last = schedule.last_until(until)?;
    while last > first && !undecided(&last) {
        last = schedule.last_until(just_before(last))?;
    }
    if first > until || last < first {
        return None;
    }
    let all = schedule.count_between(just_before(first), last);
    let known = decided.range(first..=last).count();
    let count = all
        .number()
        .saturating_sub(u64::try_from(known).unwrap_or(u64::MAX))
        .max(1);
    Some(Missed {
        count,
        at_least: matches!(all, Count::AtLeast(_)),
        from: first,
        to: last,
    })
}

/// `missed 12 ticks`.
fn how_many(missed: Missed, what: &str) -> String {
    match (missed.count, missed.at_least) {
        (1, false) => format!("{what} 1 tick"),
        (count, true) => format!("{what} at least {count} ticks"),
        (count, false) => format!("{what} {count} ticks"),
    }
}

fn missed_row(now: Timestamp, entry: &Entry, missed: Missed) -> Change {
    let mut tick = new_tick(
        now,
        entry,
        missed.to,
        TickId::missed(&entry.name, missed.to, now),
        Origin::Missed,
    );
    let what = how_many(missed, "missed");
    tick.note = match (missed.count, missed.at_least) {
        (1, false) => format!("{what}, due {}", rfc3339(missed.to)),
        _ => format!(
            "{what}, due {} to {}",
            rfc3339(missed.from),
            rfc3339(missed.to)
        ),
    };
    tick.missed = Some(missed);
    tick.state = TickState::Ended {
        reason: Reason::Missed,
        at: now,
    };
    Change {
        tick,
        attempt: None,
    }
}

/// When to look at the schedule again: at the next due instant, or when the entry's window has closed.
pub(super) fn next_look(now: Timestamp, entry: &Entry, schedule: &Schedule) -> Option<Timestamp> {
    let from = entry
        .not_before
        .map_or(now, |begin| now.max(just_before(begin)));
    let next = schedule.look_after(from);
    match (next, entry.not_after.map(just_after)) {
        (Some(next), Some(closed)) => Some(next.min(closed)),
        (next, closed) => next.or(closed),
    }
}
