//! A started run is followed to its end: when to look at it again, and what is seen.

use std::time::Duration;

use super::end;
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
/// How long a run may stay unseen before it counts as vanished, beside the tick's `settle`: a run is listed late.
const UNSEEN_MIN: Duration = Duration::from_secs(600);

/// When to look at a run again.
pub fn look_again(now: Timestamp, run: &Run) -> Timestamp {
    let taken = (now - run.started_at).to_std().unwrap_or_default();
    after(now, (taken / LOOK_SHARE).clamp(LOOK_EVERY.0, LOOK_EVERY.1))
}

/// Whether what was seen of a run changes anything that is to be written down.
pub fn is_news(now: Timestamp, tick: &Tick, look: &Look) -> bool {
    let Some(run) = &tick.run else {
        return false;
    };
    if is_ahead(now, run) || is_watched_too_long(now, tick, run) {
        return true;
    }
    match look {
        Look::Seen(seen) => {
            seen.status.as_ref().is_some_and(RunStatus::is_final)
                || (seen.number.is_some() && seen.number != run.number)
                || is_overdue(now, tick, run)
        }
        Look::Vanished => now > seen_until(tick, run),
        Look::Failed(_) => is_overdue(now, tick, run),
    }
}

/// Decides what a look at a followed run means.
pub fn looked(now: Timestamp, state: &EntryState, id: &TickId, look: &Look) -> Plan {
    let mut plan = Plan::default();
    let Some(mut tick) = state.open.iter().find(|tick| tick.id == *id).cloned() else {
        return plan;
    };
    let Some(mut run) = tick.run.clone() else {
        return plan;
    };
    let is_followed = matches!(tick.state, TickState::Running { .. });
    if !(is_followed || run.watched) || !is_news(now, &tick, look) {
        return plan;
    }
    if is_ahead(now, &run) {
        run.started_at = now;
        tick.run = Some(run.clone());
        if !is_news(now, &tick, look) {
            tick.note = format!("run {} counts from now: the clock was set back", run.id);
            plan.changes.push(Change {
                tick,
                attempt: None,
            });
            return plan;
        }
    }
    if run.watched {
        return watched(now, tick, run, look);
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
        Look::Failed(_) => {}
    }
    if is_overdue(now, &tick, &run) {
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
fn watched(now: Timestamp, mut tick: Tick, mut run: Run, look: &Look) -> Plan {
    let mut plan = Plan::default();
    let is_let_go = is_watched_too_long(now, &tick, &run);
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
            }
        }
        Look::Vanished => {
            run.watched = false;
            tick.note = format!("run {} is not known to the service any more", run.id);
        }
        Look::Failed(_) => {}
    }
    if is_overdue(now, &tick, &run) {
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

/// Whether it was started while the clock was ahead. It would be overdue, vanished or let go of only when the clock is
/// there again, and hold its place until then. (The service's clock, which may have stamped it, is never so far off.)
fn is_ahead(now: Timestamp, run: &Run) -> bool {
    now.checked_add_signed(SURELY_OLDER)
        .is_some_and(|ahead| run.started_at > ahead)
}

fn is_watched_too_long(now: Timestamp, tick: &Tick, run: &Run) -> bool {
    let longest = tick.policy.run_timeout.unwrap_or_default().max(WATCH_MAX);
    run.watched && now > after(run.started_at, longest)
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

fn is_overdue(now: Timestamp, tick: &Tick, run: &Run) -> bool {
    !run.overdue
        && tick
            .policy
            .run_timeout
            .is_some_and(|limit| now > after(run.started_at, limit))
}

/// Until when a run that the service does not show is thought to be listed late.
fn seen_until(tick: &Tick, run: &Run) -> Timestamp {
    after(run.started_at, tick.policy.settle.max(UNSEEN_MIN))
}

/// The words for a run that began.
pub(super) fn started_note(run: &Run) -> String {
    match &run.queue_id {
        None => format!("run {} started", run.id),
        Some(queue) => format!(
            "run {} accepted at {}; it waits in the pipeline's queue as {queue}",
            run.id,
            rfc3339(run.started_at)
        ),
    }
}
