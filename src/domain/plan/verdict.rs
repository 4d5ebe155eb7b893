//! What an answer means for its tick.

use std::time::Duration;

use crate::domain::pace::REST_MAX;
use crate::domain::{Answer, AnswerKind, Reason, Run, Tick, Timestamp, after, rfc3339};

/// What an answer means.
pub(super) enum Verdict {
    Started(Run),
    Doubt(String),
    End(Reason, String),
    Wait {
        not_before: Timestamp,
        counts: bool,
        note: String,
    },
}

pub(super) fn verdict(now: Timestamp, tick: &Tick, answer: &Answer) -> Verdict {
    let said = said(answer);
    let hold = |what: &str, least: Duration| {
        let wait = tick
            .policy
            .retry
            .backoff(tick.holds + 1, tick.id.as_str())
            .max(least);
        let not_before = after(now, wait);
        Verdict::Wait {
            not_before,
            counts: false,
            note: match said.starts_with(what) {
                true => format!("{said}; again at {}", rfc3339(not_before)),
                false => format!("{what}: {said}; again at {}", rfc3339(not_before)),
            },
        }
    };
    match &answer.kind {
        AnswerKind::Started { run_id, queue_id } => Verdict::Started(Run {
            id: run_id.clone(),
            queue_id: queue_id.clone(),
            ..Run::started(now)
        }),
        AnswerKind::Doubtful => {
            Verdict::Doubt(format!("the answer was lost: {said}; looking for the run"))
        }
        AnswerKind::Refused => Verdict::End(Reason::Refused, format!("refused: {said}")),
        AnswerKind::RefusedInPassing if tick.refusals + 1 >= tick.policy.retry.max_attempts => {
            let note = format!(
                "refused {} times, which is retry.max_attempts; last: {said}",
                tick.refusals + 1
            );
            Verdict::End(Reason::GaveUp, note)
        }
        AnswerKind::RefusedInPassing => {
            let least = answer.retry_after.unwrap_or_default().min(REST_MAX);
            let not_before = after(
                now,
                tick.policy
                    .retry
                    .backoff(tick.refusals + 1, tick.id.as_str())
                    .max(least),
            );
            let note = format!(
                "refused in passing: {said}; again at {}",
                rfc3339(not_before)
            );
            Verdict::Wait {
                not_before,
                counts: true,
                note,
            }
        }
        AnswerKind::NotSent => hold("not sent", Duration::ZERO),
        AnswerKind::Throttled => hold(
            "throttled",
            answer.retry_after.unwrap_or_default().min(REST_MAX),
        ),
        AnswerKind::Busy => hold("the limit of parallel runs is reached", Duration::ZERO),
        // The account's rest spaces these; the tick itself is ready at once, with renewed credentials.
        AnswerKind::Unauthorized => Verdict::Wait {
            not_before: now,
            counts: false,
            note: format!("credentials not accepted: {said}"),
        },
    }
}

/// The answer in a few words: status, code, message.
pub(super) fn said(answer: &Answer) -> String {
    let status = answer.status.map(|status| format!("HTTP {status}"));
    let parts = [
        status.as_deref(),
        answer.code.as_deref(),
        Some(answer.message.as_str()),
    ];
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" ")
}
