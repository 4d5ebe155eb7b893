//! What was decided, as lines in the log: one for every started run (P10), for every tick that ended (P5), and for
//! every wait. The words are the tick's own note; the fields are the same in every line.

use tracing::{error, info, warn};

use crate::domain::plan::{Difference, DifferenceKind};
use crate::domain::{Change, Plan, Reason, TickState};

/// Logs what a stored plan changed.
pub(super) fn plan(plan: &Plan) {
    for change in &plan.changes {
        log_change(change);
    }
}

fn log_change(change: &Change) {
    let tick = &change.tick;
    let (entry, id, attempt) = (tick.entry.as_str(), tick.id.as_str(), tick.attempts);
    let pipeline_id = tick.request.pipeline_id.as_str();
    let answer = change
        .attempt
        .as_ref()
        .and_then(|attempt| attempt.answer.as_ref());
    let request_id = answer.and_then(|answer| answer.request_id.as_deref());
    let note = tick.note.as_str();
    match tick.state {
        TickState::Ended {
            reason: Reason::Started,
            ..
        } => {
            let run_id = tick.run.as_ref().map(|run| run.id.as_str());
            info!(
                entry,
                tick = id,
                attempt,
                run_id,
                pipeline_id,
                request_id,
                "{note}"
            );
        }
        TickState::Ended {
            reason: reason @ Reason::Withdrawn,
            ..
        } => {
            info!(
                entry,
                tick = id,
                attempt,
                pipeline_id,
                reason = reason.name(),
                "withdrawn: {note}"
            );
        }
        TickState::Ended {
            reason: reason @ Reason::Missed,
            ..
        } => {
            warn!(
                entry,
                tick = id,
                pipeline_id,
                reason = reason.name(),
                "{note}"
            );
        }
        TickState::Ended {
            reason: reason @ (Reason::TooLate | Reason::Refused | Reason::GaveUp | Reason::Unknown),
            ..
        } => error!(
            entry,
            tick = id,
            attempt,
            pipeline_id,
            request_id,
            reason = reason.name(),
            "no run: {note}"
        ),
        TickState::Waiting { .. } if answer.is_some() => {
            warn!(
                entry,
                tick = id,
                attempt,
                pipeline_id,
                request_id,
                "waiting: {note}"
            );
        }
        TickState::Waiting { .. } => info!(entry, tick = id, pipeline_id, "waiting: {note}"),
        TickState::Sent { .. } => info!(entry, tick = id, attempt, pipeline_id, "sending: {note}"),
    }
}

/// Logs what a reload changed.
pub(super) fn differences(differences: &[Difference]) {
    for difference in differences {
        let entry = difference.entry.as_str();
        match &difference.kind {
            DifferenceKind::Added => info!(entry, "entry added"),
            DifferenceKind::Removed => info!(entry, "entry removed"),
            DifferenceKind::Changed(keys) => {
                info!(entry, changed = keys.join(", "), "entry changed")
            }
        }
    }
}
