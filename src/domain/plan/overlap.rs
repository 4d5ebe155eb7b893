//! The last look before a start: what does the pipeline have under way, and what does the entry say about it (P6)?
//!
//! The answer of the service is held against what the ledger knows in the transaction that decides: a run that was
//! started a moment ago is listed late, and of two ticks of one pipeline that are both found free, the second sees the
//! first's attempt.

use std::time::Duration;

use super::verdict::said;
use super::{Leave, Room, doubt, end, send, wake_by};
use crate::domain::overlap::{Other, OtherRun, Overlap, Ruling, rule};
use crate::domain::pace::REST_MAX;
use crate::domain::sighting::SeenRun;
use crate::domain::{
    Answer, AnswerKind, Ask, Change, EntryState, Origin, Plan, Reason, Run, Tick, TickId,
    TickState, Timestamp, after, rfc3339,
};

/// Shortest and longest time between two looks at a pipeline that is not free.
const SURVEY_EVERY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));
/// How long a run that was never seen counts as under way.
const NEVER_SEEN_MAX: Duration = Duration::from_secs(24 * 3600);
/// A look comes after this share of the time it has taken so far.
const SURVEY_SHARE: u32 = 20;

/// What came of looking at a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Survey {
    /// These runs are not over.
    UnderWay(Vec<SeenRun>),
    /// One of them is the tick's own: an attempt that was thought lost had started it.
    Own(Box<SeenRun>),
    /// It could not be looked at.
    Failed(Answer),
}

/// Decides what a look at its pipeline means for a tick that waits.
pub fn surveyed(
    now: Timestamp,
    state: &EntryState,
    id: &TickId,
    survey: Survey,
    room: &mut Room,
) -> Plan {
    let mut plan = Plan::default();
    let Some(tick) = state.open.iter().find(|tick| tick.id == *id).cloned() else {
        return plan;
    };
    let TickState::Waiting { not_before } = tick.state else {
        return plan;
    };
    match survey {
        Survey::Own(run) => doubt::adopt(now, tick, *run, &mut plan),
        Survey::Failed(answer) => failed(now, tick, &answer, &mut plan),
        Survey::UnderWay(_) if now > tick.deadline || !tick.is_due(now) => wake_by(&mut plan, now),
        Survey::UnderWay(runs) => {
            if let Some(newer) = newer(now, &tick, &state.open) {
                superseded(now, tick.clone(), newer, &mut plan);
            } else {
                let others = others(now, state, &tick, &runs, room);
                let ruling = rule(tick.policy.overlap, &others);
                carry_out(now, state, tick, not_before, ruling, room, &mut plan);
            }
        }
    }
    // It is decided now: what it took is in the ledger from here on.
    room.reserved.remove(id);
    plan
}

fn carry_out(
    now: Timestamp,
    state: &EntryState,
    tick: Tick,
    not_before: Timestamp,
    ruling: Ruling,
    room: &mut Room,
    plan: &mut Plan,
) {
    match ruling {
        Ruling::Start(beside) => match room.leave_at_last(now, state, &tick, plan) {
            Leave::Now => {
                let note = match beside {
                    None => format!("attempt {}: its pipeline is free", tick.attempts + 1),
                    Some(stuck) => format!(
                        "attempt {}: {stuck} takes longer than run_timeout and holds it back no more",
                        tick.attempts + 1
                    ),
                };
                send(now, tick, note, room, plan);
            }
            // The account's standing changed meanwhile: from the beginning.
            Leave::NotBefore(_)
            | Leave::RestUntil(_)
            | Leave::WhenThereIsRoom
            | Leave::AfterProbe
            | Leave::InTurn { .. }
            | Leave::AfterSurvey
            | Leave::AfterAnswer
            | Leave::Blown { .. } => wake_by(plan, now),
        },
        Ruling::Skip(why) => {
            let note = format!("its pipeline has {why} under way");
            end(now, tick, Reason::Skipped, note, plan);
        }
        Ruling::Hold(why) => look_again(now, tick, not_before, why, plan),
        Ruling::Queue(why) => {
            let note = format!("queued until its pipeline is free: {why}");
            look_again(now, tick, not_before, note, plan);
        }
        Ruling::Stop(runs, why) => {
            plan.asks.push(Ask::Stop {
                tick: Box::new(tick.clone()),
                runs,
            });
            let note = format!("stops what it is to replace, and starts when that is over: {why}");
            look_again(now, tick, not_before, note, plan);
        }
    }
}

/// The tick goes on waiting; what for is written down once.
fn look_again(now: Timestamp, mut tick: Tick, ready_at: Timestamp, note: String, plan: &mut Plan) {
    let waited = (now - ready_at).to_std().unwrap_or_default();
    let wait = (waited / SURVEY_SHARE).clamp(SURVEY_EVERY.0, SURVEY_EVERY.1);
    wake_by(plan, after(now, wait));
    plan.wants_pipeline = Some(tick.pipeline_at());
    if tick.note != note {
        tick.note = note;
        plan.changes.push(Change {
            tick,
            attempt: None,
        });
    }
}

/// Without a look there is no start: at most one run is what was asked for.
fn failed(now: Timestamp, mut tick: Tick, answer: &Answer, plan: &mut Plan) {
    let what = "what its pipeline has under way could not be looked at, and its overlap needs that";
    if answer.kind == AnswerKind::Refused {
        let note = format!("{what}: {}", said(answer));
        return end(now, tick, Reason::Refused, note, plan);
    }
    tick.holds = tick.holds.saturating_add(1);
    let least = answer.retry_after.unwrap_or_default().min(REST_MAX);
    let wait = tick
        .policy
        .retry
        .backoff(tick.holds, tick.id.as_str())
        .max(least);
    let not_before = after(now, wait);
    wake_by(plan, not_before);
    tick.state = TickState::Waiting { not_before };
    tick.note = format!("{what}: {}; again at {}", said(answer), rfc3339(not_before));
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
}

/// What else the pipeline has under way.
fn others(
    now: Timestamp,
    state: &EntryState,
    tick: &Tick,
    seen: &[SeenRun],
    room: &Room,
) -> Vec<Other> {
    let ours = state
        .others
        .iter()
        .chain(&state.open)
        .filter(|other| other.id != tick.id && other.is_live() && other.shares_pipeline(tick));
    let mut others = Vec::new();
    let mut told = Vec::new();
    for other in ours {
        let Some(run) = &other.run else {
            others.push(Other::Perhaps(other.id.to_string()));
            continue;
        };
        let listed = seen.iter().find(|seen| seen.run_id == run.id);
        told.push(run.id.as_str());
        if listed.is_some() || now <= after(run.started_at, shown_within(other, run)) {
            others.push(Other::Run(OtherRun {
                id: run.id.clone(),
                queue_id: listed
                    .and_then(|seen| seen.queue_id.clone())
                    .or_else(|| run.queue_id.clone().filter(|_| listed.is_none())),
                words: format!("run {} of {}", run.id, other.id),
                taken: Some(room.taken(now, other, run)),
                run_timeout: other.policy.run_timeout.or(tick.policy.run_timeout),
            }));
        }
    }
    let foreign = seen
        .iter()
        .filter(|seen| !told.contains(&seen.run_id.as_str()));
    others.extend(foreign.map(|seen| {
        Other::Run(OtherRun {
            id: seen.run_id.clone(),
            queue_id: seen.queue_id.clone(),
            words: words(seen),
            taken: taken(now, seen),
            run_timeout: tick.policy.run_timeout,
        })
    }));
    others
}

/// How long a run has been under way: by the service's clock, which stamped it, as far as that is known.
fn taken(now: Timestamp, seen: &SeenRun) -> Option<Duration> {
    let until = seen.seen_at.unwrap_or(now);
    (until - seen.started_at?).to_std().ok()
}

/// How long after its start a run of ours that is not listed counts as under way: it may be listed late. Afterwards it is
/// over, and we have not noticed yet. One that was never seen is given much longer: a clock that was just set ahead must
/// not make a run that began a moment ago look like one that is over.
fn shown_within(tick: &Tick, run: &Run) -> Duration {
    match run.number {
        Some(_) => tick.policy.settle,
        None => tick.policy.settle.max(NEVER_SEEN_MAX),
    }
}

/// A run that somebody else started, in a few words.
fn words(seen: &SeenRun) -> String {
    let number = seen.number.map(|number| format!("number {number}"));
    let status = seen.status.as_ref().map(|status| status.0.clone());
    let waits = seen.queue_id.as_ref().map(|_| "in the queue".to_owned());
    let facts: Vec<String> = [number, status, waits].into_iter().flatten().collect();
    if facts.is_empty() {
        return format!("run {}", seen.run_id);
    }
    format!("run {} ({})", seen.run_id, facts.join(", "))
}

/// Of an entry's scheduled ticks only the newest waits, if that is what its overlap means.
pub(super) fn supersede(now: Timestamp, state: &EntryState, plan: &mut Plan) {
    let keeps_one = |tick: &Tick| tick.policy.overlap.keeps_one();
    if !state.open.iter().any(keeps_one)
        && !plan.changes.iter().any(|change| keeps_one(&change.tick))
    {
        return;
    }
    // As they stand once the plan is stored.
    let mut ticks: Vec<Tick> = plan
        .changes
        .iter()
        .map(|change| change.tick.clone())
        .collect();
    let kept = |tick: &&Tick| !plan.changes.iter().any(|change| change.tick.id == tick.id);
    ticks.extend(state.open.iter().filter(kept).cloned());
    for tick in &ticks {
        let Some(newer) = newer(now, tick, &ticks) else {
            continue;
        };
        plan.in_turn.retain(|turn| turn.tick != tick.id);
        plan.asks
            .retain(|ask| !matches!(ask, Ask::Survey(asked) if asked.id == tick.id));
        // A new row is written once, as it is in the end.
        plan.changes.retain(|change| change.tick.id != tick.id);
        superseded(now, tick.clone(), newer, plan);
    }
}

fn superseded(now: Timestamp, tick: Tick, newer: &Tick, plan: &mut Plan) {
    let note = format!(
        "{} took its place: with overlap {} only the newest waits; last: {}",
        newer.id,
        match tick.policy.overlap {
            Overlap::Replace => "replace",
            Overlap::Allow | Overlap::Skip | Overlap::Queue => "queue",
        },
        tick.note
    );
    end(now, tick, Reason::Superseded, note, plan);
}

/// The newest scheduled tick that takes the place of this one, if it waits and there is one.
fn newer<'a>(now: Timestamp, tick: &Tick, ticks: &'a [Tick]) -> Option<&'a Tick> {
    let waits = matches!(tick.state, TickState::Waiting { .. })
        && tick.origin == Origin::Scheduled
        && tick.policy.overlap.keeps_one();
    let is_there = |newer: &Tick| match newer.state {
        // Its own time has come, whatever it waits for now.
        TickState::Waiting { not_before } => newer.attempts > 0 || not_before <= now,
        TickState::Sent { .. } | TickState::Running { .. } | TickState::Doubtful { .. } => true,
        TickState::Ended { .. } => newer.is_watched(),
    };
    let newer = |other: &&Tick| {
        waits
            && other.origin == Origin::Scheduled
            && other.due > tick.due
            // One from a time when the clock was ahead would silence the entry until then.
            && other.due <= now
            && other.shares_pipeline(tick)
            && is_there(other)
    };
    ticks.iter().filter(newer).max_by_key(|other| other.due)
}
