//! What a response to `RunPipeline` means: was a run started, was none, or does nobody know.
//!
//! A wrong "not started" starts a run twice, a wrong "started" loses a nightly, so both need a word of the service;
//! everything else is doubtful. In order:
//!
//! 1. a run's id, or the queued shape, says that a run was started;
//! 2. a run's id in any other place or company is a contradiction, and doubtful;
//! 3. a code that says "nothing was started" is believed at every status (which status the refusals of the pipeline
//!    service come with is not written down; on the pages they stand with 200);
//! 4. otherwise the status decides: `APIGW.0201` is a bad request at 400 and a lost one at 504.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::HttpResponse;
use super::code::{Word, gateway_number, word};
use super::facts::{Facts, parse};
use super::mask::Mask;
use crate::domain::{Answer, AnswerKind, Timestamp};

/// The longest wait we let the service ask for: a proxy that says a year must not silence an account, and to ask once
/// an hour harms nobody.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Classes the response to the request that starts a run.
///
/// `mask` knows what we sent in confidence, `now` is when the response came.
pub fn read(response: &HttpResponse, mask: &Mask, now: Timestamp) -> Answer {
    let body = parse(&response.body);
    let facts = Facts::of(body.as_ref().ok());
    let clock = service_clock(response);
    let mut kind = class(response.status, &facts);
    // What we sent in confidence is nobody's id.
    if let AnswerKind::Started { run_id, queue_id } = &kind
        && std::iter::once(run_id)
            .chain(queue_id)
            .any(|id| mask.hides_in(id))
    {
        kind = AnswerKind::Doubtful;
    }
    let message = mask.show(&message(response, &body, &facts, &kind));
    Answer {
        kind,
        status: Some(response.status),
        code: facts.error.code.as_deref().map(|code| mask.show_word(code)),
        message,
        request_id: request_id(response, &facts).map(|id| mask.show_word(&id)),
        retry_after: retry_after(response, clock.unwrap_or(now)),
        service_clock: clock,
    }
}

fn class(status: u16, facts: &Facts) -> AnswerKind {
    let code = facts.error.code.as_deref();
    let word = code.map(word);
    if let Some(started) = started(status, facts, word) {
        return started;
    }
    if facts.names_a_run {
        return AnswerKind::Doubtful;
    }
    match word {
        // Accepted, but under which id? To send again would start a second run.
        Some(Word::Queued) => return AnswerKind::Doubtful,
        Some(Word::Throttled) => return AnswerKind::Throttled,
        Some(Word::Busy) => return AnswerKind::Busy,
        Some(Word::Permanent | Word::Credentials | Word::Ambiguous | Word::Unknown) | None => {}
    }
    match status {
        200..=299 => match word {
            Some(Word::Permanent) => AnswerKind::Refused,
            Some(Word::Credentials) => AnswerKind::Unauthorized,
            Some(Word::Unknown) => AnswerKind::RefusedInPassing,
            Some(Word::Ambiguous | Word::Queued | Word::Throttled | Word::Busy) | None => {
                AnswerKind::Doubtful
            }
        },
        401 if is_about_credentials(status, code, word) => AnswerKind::Unauthorized,
        // Of all statuses only this one is never the service's: a proxy asks for credentials and passed nothing on. It
        // is the account's trouble and no fault of the entry, so its ticks wait rather than end.
        407 => AnswerKind::NotSent,
        408 => AnswerKind::Doubtful,
        429 => AnswerKind::Throttled,
        // The pages name 401 for these, but should the gateway say "the token must be renewed" with another status,
        // to give up every nightly of the account would be the worst reading; nothing was started either way.
        400..=499 if word == Some(Word::Credentials) => AnswerKind::Unauthorized,
        400..=499 => AnswerKind::Refused,
        // 5xx: the request may have reached the service. 3xx: we follow none, and whether a server that redirects
        // has acted before is its own affair (303 says "done, look there"). 1xx is no answer at all.
        _ => AnswerKind::Doubtful,
    }
}

/// Whether the response says that a run was started, and which.
fn started(status: u16, facts: &Facts, word: Option<Word>) -> Option<AnswerKind> {
    // Accepted at the limit of parallel runs. The Terraform provider reads both ids below `error`.
    if word == Some(Word::Queued) {
        let run_id = facts
            .queued_run_id
            .clone()
            .or_else(|| facts.run_id.clone())?;
        return Some(AnswerKind::Started {
            run_id,
            queue_id: facts.queue_id.clone(),
        });
    }
    // An id beside an error code says two things at once (a run that the limit "ignored" may well have an id), so it
    // is left to the look-up, which sees what became of that run. An `error_msg` alone does not make it one.
    let run_id = facts.run_id.clone()?;
    let plain = (200..=299).contains(&status) && !facts.error.is_explicit;
    plain.then_some(AnswerKind::Started {
        run_id,
        queue_id: None,
    })
}

/// Whether a 401 is about who we are (renew and try once more) or about what this user may do (`DEVCP.00021018`).
fn is_about_credentials(status: u16, code: Option<&str>, word: Option<Word>) -> bool {
    code.is_none_or(|code| {
        gateway_number(code).is_some()
            || word == Some(Word::Credentials)
            || code == status.to_string()
    })
}

/// What to tell a person: the service's own words, else what was found instead of them; and the run, if one is named
/// in an answer that is doubtful all the same.
fn message(
    response: &HttpResponse,
    body: &Result<Value, String>,
    facts: &Facts,
    kind: &AnswerKind,
) -> String {
    let words = words(response, body, facts);
    match facts.run_id.as_ref().or(facts.queued_run_id.as_ref()) {
        Some(run_id) if *kind == AnswerKind::Doubtful => {
            format!("the answer names the run {run_id}, but also says: {words}")
        }
        _ => words,
    }
}

fn words(response: &HttpResponse, body: &Result<Value, String>, facts: &Facts) -> String {
    let status = response.status;
    if let Some(text) = &facts.error.message {
        return text.clone();
    }
    match body {
        _ if (300..400).contains(&status) => format!(
            "HTTP {status}: the service redirects to {}, which is not followed",
            response.header("Location").unwrap_or("nowhere")
        ),
        Err(why) => format!("HTTP {status}: {why}"),
        Ok(_) if facts.error.code.is_some() => format!("HTTP {status}, without a message"),
        Ok(_) if facts.run_id.is_some() && (200..300).contains(&status) => String::new(),
        Ok(value @ Value::Object(_)) if facts.run_id.is_none() && (200..300).contains(&status) => {
            format!("HTTP {status}: the answer names no run: {value}")
        }
        Ok(value @ Value::Object(_)) => format!("HTTP {status}: {value}"),
        Ok(value) => format!("HTTP {status}: the answer is not a JSON object: {value}"),
    }
}

/// The id to quote to support (huaweicloudsdkcore, `exceptions.exception_handler`), or the one in a gateway's body.
fn request_id(response: &HttpResponse, facts: &Facts) -> Option<String> {
    response
        .header("X-Request-Id")
        .filter(|id| !id.trim().is_empty())
        .map(str::to_owned)
        .or_else(|| facts.request_id.clone())
}

/// The service's clock, from `Date`.
pub(crate) fn service_clock(response: &HttpResponse) -> Option<Timestamp> {
    response.header("Date").and_then(http_date)
}

/// `Retry-After` (RFC 9110): seconds, or a date, which counts from the clock of the one who wrote it.
pub(crate) fn retry_after(response: &HttpResponse, written_at: Timestamp) -> Option<Duration> {
    let text = response.header("Retry-After")?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        let wait: TimeDelta = http_date(text)? - written_at;
        wait.to_std().unwrap_or(Duration::ZERO)
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<Timestamp> {
    httpdate::parse_http_date(text.trim())
        .ok()
        .map(DateTime::<Utc>::from)
}
