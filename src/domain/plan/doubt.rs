//! A lost answer: the run is looked for, several times, before "not started" is believed (P4).

use std::time::Duration;

use super::room::LeaveLook;
use super::verdict::{attempts, said};
use super::{Room, end, go_with_run, just_after, wake_by};
use crate::domain::pace::REST_MAX;
use crate::domain::retry::LOOKS;
use crate::domain::sighting::{SeenRun, Sighting};
use crate::domain::{
    Answer, AnswerKind, Ask, Change, Doubt, EntryState, OnDoubt, Plan, Reason, Run, Tick, TickId,
    TickState, Timestamp, after, rfc3339,
};

/// A look whose answer has not come after this time is made again: we died, or the task did.
const LOOK_LEASE: Duration = Duration::from_secs(1800);

/// The waits before looks grow no further while it is the account that keeps them back: its rest spaces them, and one
/// throttled request turns back all that wait.
const PATIENT_FAILURES_MAX: u32 = 2;

fn is_about_the_account(answer: &Answer) -> bool {
    match answer.kind {
        AnswerKind::KeptHere | AnswerKind::Throttled | AnswerKind::Unauthorized => true,
        AnswerKind::Started { .. }
        | AnswerKind::NotSent
        | AnswerKind::Busy
        | AnswerKind::Refused
        | AnswerKind::RefusedInPassing
        | AnswerKind::Doubtful => false,
    }
}

/// How it is said that a person has to look.
const LOOK_YOURSELF: &str = "a run may have been started, so it is not sent again: look for the tick's id in the \
                             descriptions of the pipeline's latest runs";

/// An attempt, or a tick that another life of this ledger may have sent, falls into doubt.
pub(super) fn begin(
    now: Timestamp,
    mut tick: Tick,
    since: Timestamp,
    note: String,
    plan: &mut Plan,
) {
    let doubt = tick.doubt.unwrap_or_else(|| Doubt::since(since));
    wait_for_look(now, &mut tick, doubt, Duration::ZERO, plan);
    tick.note = note;
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
}

/// A tick that was due while we were away may have been sent by a life of the ledger that was lost (a restored backup):
/// one look before its first attempt.
pub(super) fn look_before_first_send(
    now: Timestamp,
    state: &EntryState,
    mut tick: Tick,
    note: String,
    room: &mut Room,
    plan: &mut Plan,
) {
    tick.doubt = Some(Doubt::precaution(tick.due));
    tick.state = TickState::Doubtful { look_at: now };
    tick.note = note;
    go_on(now, state, &tick, room, plan);
    // Without room it is written down as it is.
    if !plan.changes.iter().any(|change| change.tick.id == tick.id) {
        plan.changes.push(Change {
            tick,
            attempt: None,
        });
    }
}

/// Goes on with a tick in doubt: looks when it is time to.
pub(super) fn go_on(
    now: Timestamp,
    state: &EntryState,
    tick: &Tick,
    room: &mut Room,
    plan: &mut Plan,
) {
    let TickState::Doubtful { look_at } = tick.state else {
        return;
    };
    if room.under_way.contains(&tick.id) {
        return wake_by(plan, after(now, LOOK_LEASE));
    }
    // A clock that was set back must not put the look off for longer than any wait of ours.
    if now < look_at && look_at <= after(now, LOOK_LEASE.max(tick.policy.settle)) {
        return wake_by(plan, look_at);
    }
    match room.leave_look(now, &tick.account) {
        LeaveLook::Now => {
            room.take(now, &tick.account);
            let mut tick = tick.clone();
            let look_at = after(now, LOOK_LEASE);
            tick.state = TickState::Doubtful { look_at };
            wake_by(plan, look_at);
            plan.asks.push(Ask::Find {
                tick: Box::new(tick.clone()),
                above: state.known_numbers.get(&tick.id).copied(),
            });
            plan.changes.push(Change {
                tick,
                attempt: None,
            });
        }
        LeaveLook::At(instant) => wake_by(plan, instant),
        LeaveLook::WhenThereIsRoom => {
            plan.wants_room = true;
            wake_by(plan, just_after(tick.deadline).max(after(now, LOOK_LEASE)));
        }
    }
}

/// Decides what a look means. `looks` says how many had found nothing when it was asked for: the answer to an older look
/// changes nothing, unless it tells of the run.
pub fn found(
    now: Timestamp,
    state: &EntryState,
    id: &TickId,
    looks: u32,
    sighting: Sighting,
) -> Plan {
    let mut plan = Plan::default();
    let Some(tick) = state.open.iter().find(|tick| tick.id == *id).cloned() else {
        return plan;
    };
    let (TickState::Doubtful { .. }, Some(doubt)) = (tick.state, tick.doubt) else {
        return plan;
    };
    match sighting {
        Sighting::Found(run) => adopt(now, tick, *run, &mut plan),
        Sighting::Absent | Sighting::Unexplained(_) | Sighting::Failed(_)
            if doubt.looks != looks => {}
        Sighting::Absent => absent(now, tick, doubt, &mut plan),
        Sighting::Unexplained(why) => {
            could_not_tell(now, tick, doubt, &why, Duration::ZERO, &mut plan)
        }
        Sighting::Failed(answer) => {
            let least = answer.retry_after.unwrap_or_default().min(REST_MAX);
            let mut doubt = doubt;
            if is_about_the_account(&answer) {
                doubt.failures = doubt.failures.min(PATIENT_FAILURES_MAX);
            }
            could_not_tell(now, tick, doubt, &said(&answer), least, &mut plan);
        }
    }
    plan
}

/// At start: an attempt that was decided before we died may or may not have left; its run is looked for. So are those
/// that were in doubt before.
pub fn interrupted(now: Timestamp, state: &EntryState) -> Plan {
    let mut plan = Plan::default();
    for tick in &state.open {
        match tick.state {
            TickState::Sent { at } => {
                let note = format!(
                    "the daemon stopped between sending attempt {} and recording its answer; looking for the run",
                    tick.attempts
                );
                begin(now, tick.clone(), at, note, &mut plan);
            }
            TickState::Doubtful { .. } => {
                // The look that was under way died with us.
                let mut tick = tick.clone();
                let mut doubt = tick.doubt.unwrap_or_else(|| Doubt::since(tick.due));
                // What kept looks from telling anything may be over.
                doubt.failures = 0;
                tick.doubt = Some(doubt);
                // In full: how much of the wait before it was over only a clock could tell that may have been set.
                let soon = match doubt.precaution {
                    true => now,
                    false => after(now, doubt.wait(tick.policy.settle)),
                };
                tick.state = TickState::Doubtful { look_at: soon };
                tick.note = "looking for the run goes on after a restart".to_owned();
                wake_by(&mut plan, soon);
                plan.changes.push(Change {
                    tick,
                    attempt: None,
                });
            }
            // If the ledger is a restored backup, it was sent in the life that is lost.
            TickState::Waiting { .. } if tick.due <= now && tick.doubt.is_none() => {
                let mut tick = tick.clone();
                tick.doubt = Some(Doubt::precaution(tick.due));
                plan.changes.push(Change {
                    tick,
                    attempt: None,
                });
            }
            TickState::Waiting { .. } | TickState::Running { .. } | TickState::Ended { .. } => {}
        }
    }
    plan
}

pub(super) fn adopt(now: Timestamp, mut tick: Tick, seen: SeenRun, plan: &mut Plan) {
    let who = match tick.attempts {
        0 => "an earlier life of this ledger",
        _ => "the attempt",
    };
    let note = format!(
        "run {} found by its marker: {who} had started it",
        seen.run_id
    );
    tick.doubt = None;
    tick.run = Some(Run {
        id: seen.run_id,
        queue_id: seen.queue_id,
        number: seen.number,
        ..Run::started(seen.started_at.unwrap_or(now))
    });
    go_with_run(now, tick, note, plan);
}

fn absent(now: Timestamp, mut tick: Tick, mut doubt: Doubt, plan: &mut Plan) {
    doubt.looks += 1;
    doubt.failures = 0;
    if !doubt.is_settled() {
        wait_for_look(now, &mut tick, doubt, Duration::ZERO, plan);
        tick.note = format!("look {} of {LOOKS}: no run bears the marker", doubt.looks);
        return plan.changes.push(Change {
            tick,
            attempt: None,
        });
    }
    tick.doubt = None;
    if doubt.precaution {
        let note = "no run bears its marker: it was not sent before".to_owned();
        return wait(now, tick, note, plan);
    }
    tick.refusals += 1;
    let looked = format!(
        "no run was found in {LOOKS} looks over {} s",
        tick.policy.settle.as_secs()
    );
    if tick.policy.on_doubt == OnDoubt::GiveUp {
        return end(
            now,
            tick,
            Reason::GaveUp,
            format!("{looked}; on_doubt says give_up"),
            plan,
        );
    }
    if now > tick.deadline {
        let note = format!("{looked}, and its deadline was {}", rfc3339(tick.deadline));
        return end(now, tick, Reason::TooLate, note, plan);
    }
    if tick.refusals >= tick.policy.retry.max_attempts {
        let note = format!(
            "{looked}, after {} in all, which is retry.max_attempts",
            attempts(tick.refusals)
        );
        return end(now, tick, Reason::GaveUp, note, plan);
    }
    wait(now, tick, format!("{looked}; it is sent again"), plan);
}

fn wait(now: Timestamp, mut tick: Tick, note: String, plan: &mut Plan) {
    tick.state = TickState::Waiting { not_before: now };
    tick.note = note;
    wake_by(plan, now);
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
}

/// A look that could not tell is made again, and counts for nothing; but not for ever.
fn could_not_tell(
    now: Timestamp,
    mut tick: Tick,
    mut doubt: Doubt,
    why: &str,
    least: Duration,
    plan: &mut Plan,
) {
    doubt.failures = doubt.failures.saturating_add(1);
    let until = tick
        .deadline
        .max(after(doubt.since, tick.policy.settle.saturating_mul(2)));
    if now > until {
        let note = format!("the run could not be looked for: {why}; {LOOK_YOURSELF}");
        return end(now, tick, Reason::Unknown, note, plan);
    }
    wait_for_look(now, &mut tick, doubt, least, plan);
    tick.note = format!("the run could not be looked for: {why}");
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
}

fn wait_for_look(now: Timestamp, tick: &mut Tick, doubt: Doubt, least: Duration, plan: &mut Plan) {
    let look_at = after(now, doubt.wait(tick.policy.settle).max(least));
    tick.doubt = Some(doubt);
    tick.state = TickState::Doubtful { look_at };
    wake_by(plan, look_at);
}
