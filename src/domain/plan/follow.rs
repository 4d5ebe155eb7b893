//! A started run is followed to its end: when to look at it again, and what is seen.

use std::time::Duration;

use chrono::TimeDelta;

use super::end;
use super::verdict::said;
use crate::domain::sighting::{Look, RunStatus, SeenRun};
use crate::domain::{
    Change, EntryState, Plan, Reason, Run, SURELY_OLDER, Tick, TickId, TickState, Timestamp, after,
    rfc3339,
};

/// Shortest and longest time between two looks at a run.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));
/// A look comes after this share of the time the run has taken: quick at first, slow for long runs.
const LOOK_SHARE: u32 = 20;
/// A run that is only watched is let go of after this time: it must not hold a place for ever.
const WATCH_MAX: Duration = Duration::from_secs(48 * 3600);
/// A run that is older than this, and of which nothing could be seen for [`BLIND_MAX`], ends as unknown: it must not
/// stay open for ever because its account was removed, say.
const OLD_MIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long every look has to fail before a run that is old is given up.
const BLIND_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a run may stay unseen before it counts as vanished, beside the tick's `settle`: a run is listed late.
const UNSEEN_MIN: Duration = Duration::from_secs(600);

/// What is known of a run's time by a clock that cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Followed {
    /// How long it has been under way; none if nobody has counted.
    pub taken: Option<Duration>,
    /// For how long every look at it has failed.
    pub blind: Duration,
}

/// How long a run has been under way: as the clock shows, yet no longer than was counted, for the clock may have been set
/// ahead.
pub(super) fn taken(now: Timestamp, run: &Run, counted: Option<Duration>) -> Duration {
    let shown = (now - run.started_at).to_std().unwrap_or_default();
    counted.map_or(shown, |counted| shown.min(counted))
}

/// When to look at a run again.
pub fn look_again(now: Timestamp, run: &Run) -> Timestamp {
    let taken = (now - run.started_at).to_std().unwrap_or_default();
    after(now, (taken / LOOK_SHARE).clamp(LOOK_EVERY.0, LOOK_EVERY.1))
}

/// Whether what was seen of a run changes anything that is to be written down.
pub fn is_news(now: Timestamp, tick: &Tick, look: &Look, followed: Followed) -> bool {
    let Some(run) = &tick.run else {
        return false;
    };
    let taken = taken(now, run, followed.taken);
    if is_stamped_wrong(now, run, look, followed) || is_watched_too_long(taken, tick, run) {
        return true;
    }
    match look {
        Look::Seen(seen) => {
            seen.status.as_ref().is_some_and(RunStatus::is_final)
                || (seen.number.is_some() && seen.number != run.number)
                || is_overdue(taken, tick, run)
        }
        Look::Vanished => taken > unseen_max(tick),
        Look::Failed(_) => is_overdue(taken, tick, run) || is_lost(taken, tick, followed),
    }
}

/// Decides what a look at a followed run means.
pub fn looked(
    now: Timestamp,
    state: &EntryState,
    id: &TickId,
    look: &Look,
    followed: Followed,
) -> Plan {
    let mut plan = Plan::default();
    let Some(mut tick) = state.open.iter().find(|tick| tick.id == *id).cloned() else {
        return plan;
    };
    let Some(mut run) = tick.run.clone() else {
        return plan;
    };
    let is_followed = matches!(tick.state, TickState::Running { .. });
    if !(is_followed || run.watched) || !is_news(now, &tick, look, followed) {
        return plan;
    }
    if is_stamped_wrong(now, &run, look, followed) {
        let counted = followed.taken.unwrap_or_default();
        run.started_at = TimeDelta::from_std(counted)
            .ok()
            .and_then(|counted| now.checked_sub_signed(counted))
            .unwrap_or(now);
        tick.run = Some(run.clone());
        if !is_news(now, &tick, look, followed) {
            let since = rfc3339(run.started_at);
            tick.note = format!("run {} counts from {since}: the clock was set", run.id);
            plan.changes.push(Change {
                tick,
                attempt: None,
            });
            return plan;
        }
    }
    let taken = taken(now, &run, followed.taken);
    if run.watched {
        return watched(taken, tick, run, look);
    }
    match look {
        Look::Seen(seen) => {
            run.number = seen.number.or(run.number);
            if let Some(reason) = seen.status.as_ref().and_then(end_reason) {
                return ended(now, tick, run, seen, reason);
            }
        }
        Look::Vanished => {
            let note = format!(
                "run {} is not known to the service any more; how it ended is not known",
                run.id
            );
            end(now, tick, Reason::Unknown, note, &mut plan);
            return plan;
        }
        Look::Failed(answer) if is_lost(taken, &tick, followed) => {
            let note = format!(
                "run {} could not be looked at for {} hours, and it is older than {} days; how it ended is not known; \
                 last: {}",
                run.id,
                followed.blind.as_secs() / 3600,
                taken.as_secs() / 86_400,
                said(answer)
            );
            end(now, tick, Reason::Unknown, note, &mut plan);
            return plan;
        }
        Look::Failed(_) => {}
    }
    if is_overdue(taken, &tick, &run) {
        run.overdue = true;
        let limit = tick.policy.run_timeout.unwrap_or_default().as_secs();
        tick.note = format!(
            "run {} is overdue: it takes longer than run_timeout, {limit} s",
            run.id
        );
    } else {
        tick.note = format!(
            "run {} is number {}",
            run.id,
            run.number.unwrap_or_default()
        );
    }
    tick.run = Some(run);
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
    plan
}

/// A run whose tick has ended: what is learned of it is written down, the end stays as it is.
fn watched(taken: Duration, mut tick: Tick, mut run: Run, look: &Look) -> Plan {
    let mut plan = Plan::default();
    let is_let_go = is_watched_too_long(taken, &tick, &run);
    match look {
        Look::Seen(seen) => {
            run.number = seen.number.or(run.number);
            let status = seen.status.as_ref();
            if let Some(status) = status.filter(|status| status.is_final()) {
                run.outcome = Some(status.0.clone());
                run.ended_at = seen.ended_at;
                run.failed_stage.clone_from(&seen.failed_stage);
                run.watched = false;
                tick.note = format!("run {} ended: {}", run.id, status.0);
            } else if let Some(number) = run.number {
                tick.note = format!("run {} is number {number}", run.id);
            }
        }
        Look::Vanished => {
            run.watched = false;
            tick.note = format!("run {} is not known to the service any more", run.id);
        }
        Look::Failed(_) => {}
    }
    if is_overdue(taken, &tick, &run) {
        run.overdue = true;
        tick.note = format!("run {} is overdue", run.id);
    }
    if run.watched && is_let_go {
        run.watched = false;
        tick.note = format!("run {} is not looked at any longer", run.id);
    }
    tick.run = Some(run);
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
    plan
}

/// Whether the clock was wrong when the start was written down, or is now. One that was ahead would make the run overdue,
/// vanished or let go of only when the clock is there again, and hold its place until then; one that was behind would make
/// it look stuck after a restart. (The service's clock, which may have stamped it, is never so far off.)
fn is_stamped_wrong(now: Timestamp, run: &Run, look: &Look, followed: Followed) -> bool {
    let is_ahead = now
        .checked_add_signed(SURELY_OLDER)
        .is_some_and(|ahead| run.started_at > ahead);
    let is_behind = followed.taken.is_some_and(|counted| {
        let shown = (now - run.started_at).to_std().unwrap_or_default();
        shown > counted.saturating_add(SURELY_OLDER.to_std().unwrap_or_default())
    });
    // The machine slept, and what was counted stood still: the service knows when the run began.
    let is_confirmed = match look {
        Look::Seen(seen) => seen
            .started_at
            .is_some_and(|began| (began - run.started_at).abs() < SURELY_OLDER),
        Look::Vanished | Look::Failed(_) => false,
    };
    is_ahead || (is_behind && !is_confirmed)
}

fn is_watched_too_long(taken: Duration, tick: &Tick, run: &Run) -> bool {
    let longest = tick.policy.run_timeout.unwrap_or_default().max(WATCH_MAX);
    run.watched && taken > longest
}

/// Whether a run that cannot be looked at is given up.
fn is_lost(taken: Duration, tick: &Tick, followed: Followed) -> bool {
    let old = tick.policy.run_timeout.unwrap_or_default().max(OLD_MIN);
    followed.blind > BLIND_MAX && taken > old
}

fn ended(now: Timestamp, mut tick: Tick, mut run: Run, seen: &SeenRun, reason: Reason) -> Plan {
    let mut plan = Plan::default();
    let status = seen.status.as_ref().map_or("", |status| status.0.as_str());
    run.outcome = Some(status.to_owned());
    run.ended_at = seen.ended_at;
    run.failed_stage.clone_from(&seen.failed_stage);
    if let Some(started_at) = seen.started_at {
        run.started_at = started_at;
    }
    let took = run
        .ended_at
        .map(|end| (end - run.started_at).num_seconds().max(0));
    let mut note = format!("run {} ended: {status}", run.id);
    if let Some(stage) = &run.failed_stage {
        note.push_str(&format!(", in stage {stage}"));
    }
    if let Some(took) = took {
        note.push_str(&format!(", after {took} s"));
    }
    tick.run = Some(run);
    end(now, tick, reason, note, &mut plan);
    plan
}

fn end_reason(status: &RunStatus) -> Option<Reason> {
    if !status.is_final() {
        return None;
    }
    Some(match status.0.as_str() {
        "COMPLETED" => Reason::Succeeded,
        "FAILED" => Reason::Failed,
        _ => Reason::Canceled,
    })
}

fn is_overdue(taken: Duration, tick: &Tick, run: &Run) -> bool {
    let limit = tick.policy.run_timeout;
    !run.overdue && limit.is_some_and(|limit| taken > limit)
}

/// How long a run that the service does not show is thought to be listed late.
fn unseen_max(tick: &Tick) -> Duration {
    tick.policy.settle.max(UNSEEN_MIN)
}

/// The words for a run that began.
pub fn started_note(run: &Run) -> String {
    match &run.queue_id {
        None => format!("run {} started", run.id),
        Some(queue) => format!(
            "run {} accepted at {}; it waits in the pipeline's queue as {queue}",
            run.id,
            rfc3339(run.started_at)
        ),
    }
}
