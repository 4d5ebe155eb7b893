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
                "refused {}, which is retry.max_attempts; last: {said}",
                times(tick.refusals + 1)
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
        AnswerKind::NotSent | AnswerKind::KeptHere => hold("not sent", Duration::ZERO),
        AnswerKind::Throttled => hold(
            "throttled",
            answer.retry_after.unwrap_or_default().min(REST_MAX),
        ),
        AnswerKind::Busy => hold("the limit of parallel runs is reached", Duration::ZERO),
        // The account's rest spaces these; the tick itself is ready at once, with renewed credentials.
        AnswerKind::Unauthorized => Verdict::Wait {
            not_before: now,
            counts: false,
            note: format!(
                "the credentials of account {} were not accepted: {said}",
                tick.account
            ),
        },
    }
}

/// How often, in words.
pub(super) fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// How many attempts, in words.
pub(super) fn attempts(count: u32) -> String {
    match count {
        1 => "one attempt".to_owned(),
        more => format!("{more} attempts"),
    }
}

/// The answer in a few words: status, code, message. The status is said once, also where the message begins with it.
pub(super) fn said(answer: &Answer) -> String {
    let status = answer.status.map(|status| format!("HTTP {status}"));
    let (code, message) = (answer.code.as_deref(), answer.message.as_str());
    if let Some(rest) = status
        .as_ref()
        .and_then(|status| message.strip_prefix(status))
    {
        let code = code.map_or_else(String::new, |code| format!(" {code}"));
        return format!("{}{code}{rest}", status.unwrap_or_default());
    }
    let parts: Vec<&str> = [status.as_deref(), code, Some(message)]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_said_once() {
        for (status, code, message, expected) in [
            (Some(503), None, "HTTP 503: no body", "HTTP 503: no body"),
            (
                Some(503),
                Some("APIG.0613"),
                "HTTP 503, without a message",
                "HTTP 503 APIG.0613, without a message",
            ),
            (
                Some(429),
                Some("APIGW.0308"),
                "too many",
                "HTTP 429 APIGW.0308 too many",
            ),
            (Some(200), None, "", "HTTP 200"),
            (None, None, "connection refused", "connection refused"),
            (
                Some(502),
                None,
                "HTTP 503 upstream",
                "HTTP 502 HTTP 503 upstream",
            ),
        ] {
            let answer = Answer {
                kind: AnswerKind::Doubtful,
                status,
                code: code.map(str::to_owned),
                message: message.to_owned(),
                request_id: None,
                retry_after: None,
                service_clock: None,
            };
            assert_eq!(said(&answer), expected);
        }
    }
}
