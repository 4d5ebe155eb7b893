//! Which ticks are due since the mark, which of them run, and which are dropped.

use chrono::TimeDelta;

use super::doubt::look_before_first_send;
use super::{Room, end, just_after, just_before, making, mark_at, new_tick, send_or_wait};
use crate::domain::schedule::{Count, Schedule};
use crate::domain::{
    CatchUp, Change, Entry, EntryState, Mark, MarkChange, Missed, ON_TIME, Origin, Plan, Reason,
    TickId, TickState, Timestamp, rfc3339,
};

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
        plan.mark = MarkChange::Set(mark_at(now, schedule));
    }
    let since = entry
        .not_before
        .map_or(since, |begin| since.max(just_before(begin)));
    let until = entry.not_after.map_or(now, |end| now.min(end));
    if since >= until || schedule.next_after(since).is_none_or(|first| first > until) {
        return;
    }
    plan.mark = MarkChange::Set(mark_at(now, schedule));
    let kept = kept_ticks(now, entry, schedule, since, until, state);
    let dropped_until = kept.first().map_or(until, |first| just_before(*first));
    if let Some(missed) = dropped(schedule, since, dropped_until, state) {
        plan.changes.push(missed_row(now, entry, missed));
    }
    for due in kept {
        let mut tick = new_tick(
            now,
            entry,
            due,
            TickId::scheduled(&entry.name, due),
            Origin::Scheduled,
        );
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
            let note =
                "due while the daemon was away; caught up, after a look whether it ran".to_owned();
            look_before_first_send(now, state, tick, note, room, plan);
        } else {
            send_or_wait(now, entry, state, tick, Some("due"), room, plan);
        }
    }
}

/// The due instants in (`since`, `until`] that are to run, oldest first.
fn kept_ticks(
    now: Timestamp,
    entry: &Entry,
    schedule: &Schedule,
    since: Timestamp,
    until: Timestamp,
    state: &EntryState,
) -> Vec<Timestamp> {
    let in_time =
        TimeDelta::from_std(entry.deadline).map_or(since, |deadline| since.max(now - deadline));
    let on_time = just_before(now - ON_TIME);
    let (from, count) = match entry.catch_up {
        CatchUp::None => (in_time.max(on_time), 1),
        CatchUp::Latest => (in_time, 1),
        CatchUp::All => (
            in_time,
            usize::try_from(entry.catch_up_max.max(1)).unwrap_or(usize::MAX),
        ),
    };
    let decided = state.decided.range(..=until).count();
    let mut ticks = schedule.latest(from, until, count.saturating_add(decided));
    ticks.retain(|due| !state.decided.contains(due));
    ticks.split_off(ticks.len().saturating_sub(count))
}

/// What is dropped of (`since`, `until`], if anything.
fn dropped(
    schedule: &Schedule,
    since: Timestamp,
    until: Timestamp,
    state: &EntryState,
) -> Option<Missed> {
    let undecided = |due: &Timestamp| !state.decided.contains(due);
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
    let known = state.decided.range(first..=last).count();
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

fn missed_row(now: Timestamp, entry: &Entry, missed: Missed) -> Change {
    let mut tick = new_tick(
        now,
        entry,
        missed.to,
        TickId::missed(&entry.name, missed.to, now),
        Origin::Missed,
    );
    tick.note = match (missed.count, missed.at_least) {
        (1, false) => format!("missed 1 tick, due {}", rfc3339(missed.to)),
        (count, at_least) => format!(
            "missed {}{count} ticks, due {} to {}",
            if at_least { "at least " } else { "" },
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
    let next = schedule.next_after(from);
    match (next, entry.not_after.map(just_after)) {
        (Some(next), Some(closed)) => Some(next.min(closed)),
        (next, closed) => next.or(closed),
    }
}
