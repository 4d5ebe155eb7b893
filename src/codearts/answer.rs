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
use serde_json::{Map, Value};

use super::mask::{Mask, WORD_CHARS_MAX};
use super::{Body, HttpResponse};
use crate::domain::{Answer, AnswerKind, Timestamp};

/// The longest wait we let the service ask for: a proxy that says a year must not silence an account, and to ask once
/// an hour harms nobody.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Most that is looked at of an answer that is no success, in bytes: an error has a few hundred.
const ERROR_BYTES_MAX: usize = 256 * 1024;

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

/// Classes a response to a call that starts nothing and did not bring what was asked for. `why` says what is wrong with
/// a success; the service's own words come before it.
///
/// The classes are those of a start, but for one: what leaves a start in doubt is here a call that failed and may be
/// made again.
pub(crate) fn failed(
    response: &HttpResponse,
    mask: &Mask,
    now: Timestamp,
    why: Option<&str>,
) -> Answer {
    let body = match &response.body {
        Body::Whole(bytes) if bytes.len() > ERROR_BYTES_MAX => {
            Err(format!("the answer has {} bytes", bytes.len()))
        }
        Body::Whole(_) | Body::Broken(_) => parse(&response.body),
    };
    let facts = Facts::of(body.as_ref().ok());
    let clock = service_clock(response);
    let code = facts.error.code.as_deref();
    let message = match (why, &facts.error.message) {
        (Some(why), None) if (200..300).contains(&response.status) => why.to_owned(),
        _ => words(response, &body, &facts),
    };
    Answer {
        kind: class_of_failure(response.status, code),
        status: Some(response.status),
        code: code.map(|code| mask.show_word(code)),
        message: mask.show(&message),
        request_id: request_id(response, &facts).map(|id| mask.show_word(&id)),
        retry_after: retry_after(response, clock.unwrap_or(now)),
        service_clock: clock,
    }
}

fn class_of_failure(status: u16, code: Option<&str>) -> AnswerKind {
    let word = code.map(word);
    let kind = match word {
        Some(Word::Throttled) => AnswerKind::Throttled,
        Some(Word::Busy) => AnswerKind::Busy,
        Some(Word::Queued) => AnswerKind::RefusedInPassing,
        Some(Word::Permanent | Word::Credentials | Word::Ambiguous | Word::Unknown) | None => {
            by_status(status, code, word)
        }
    };
    if kind == AnswerKind::Doubtful {
        AnswerKind::RefusedInPassing
    } else {
        kind
    }
}

/// Whether the service says that it knows no such run: `DEVCP.00012002`, "no such record" (help centre, "Error Codes"
/// of CodeArts Pipeline); `DEVPIPE.00011401`, "no such pipeline" (the Terraform provider, `common.go`), for a pipeline
/// that was deleted took its runs with it; or a code of the service's own with a 404. A 404 without one, or with one of
/// the gateway, speaks of the path: a wrong endpoint must not make every run vanish.
pub(crate) fn says_no_record(answer: &Answer) -> bool {
    let Some(code) = answer.code.as_deref() else {
        return false;
    };
    let is_the_services = gateway_number(code).is_none() && code.contains('.');
    matches!(code, "DEVCP.00012002" | "DEVPIPE.00011401")
        || (answer.status == Some(404) && is_the_services)
}

/// What a code says about the request, wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// Too many requests.
    Throttled,
    /// The limit of parallel runs; not started.
    Busy,
    /// The limit of parallel runs; accepted, waits in the queue.
    Queued,
    /// The same request will never be accepted.
    Permanent,
    /// The credentials or the clock.
    Credentials,
    /// It may have been carried out.
    Ambiguous,
    /// None that we know.
    Unknown,
}

/// The codes. CodeArts Pipeline: help centre, "Error Codes" of CodeArts Pipeline (`COCT`, `DEVCP`), and what public
/// clients handle (`DEVPIPE`, `DEV`; `Queued` from the Terraform provider's resource `pipeline_action`). The gateway:
/// "Error Codes" of the API Request Signing Guide and of API Gateway; it writes `APIGW.` on the services' own
/// endpoints and `APIG.` elsewhere, with the same numbers.
fn word(code: &str) -> Word {
    if let Some(number) = gateway_number(code) {
        return match number {
            "0308" => Word::Throttled,
            "0301" | "0303" | "0305" | "0307" => Word::Credentials,
            "0101" | "0106" | "0302" | "0306" | "0310" | "0401" | "0402" | "0802" => {
                Word::Permanent
            }
            "0201" | "0601" | "0606" | "0609" | "0610" | "0611" | "0613" => Word::Ambiguous,
            _ => Word::Unknown,
        };
    }
    match code {
        "COCT.0070003" | "429" => Word::Throttled,
        "DEVPIPE.00011104" | "DEVPIPE.00011105" => Word::Busy,
        "DEVPIPE.00011169" | "DEVPIPE.00011170" => Word::Queued,
        "DEVPIPE.00011136" | "DEVPIPE.00011401" | "DEVPIPE.00011412" | "DEVPIPE.30011001"
        | "DEVPIPE.30011011" | "DEVPIPE.30021001" | "DEV_21_100169" | "DEVCP.00012002"
        | "DEVCP.00014004" | "DEVCP.00014031" | "DEVCP.00021018" | "DEVCP.00021400" => {
            Word::Permanent
        }
        "DEV.00000001" => Word::Credentials,
        "COCT.0070500" | "DEVCP.00010000" | "DEVCP.00020500" | "408" => Word::Ambiguous,
        // A service behind the service failed, and its status was handed on as a code.
        _ if code.len() == 3
            && code.starts_with('5')
            && code.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Word::Ambiguous
        }
        _ => Word::Unknown,
    }
}

fn gateway_number(code: &str) -> Option<&str> {
    code.strip_prefix("APIGW.")
        .or_else(|| code.strip_prefix("APIG."))
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
    by_status(status, code, word)
}

/// What the status says where no run is named and no code is believed at every status.
fn by_status(status: u16, code: Option<&str>, word: Option<Word>) -> AnswerKind {
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

/// What a body says, as far as it matters here.
#[derive(Debug, Default)]
struct Facts {
    /// `pipeline_run_id` at the top.
    run_id: Option<String>,
    /// `error.pipeline_run_id`.
    queued_run_id: Option<String>,
    /// `queue_id`, below `error` or at the top.
    queue_id: Option<String>,
    /// Whether a `pipeline_run_id` with anything in it stands anywhere.
    names_a_run: bool,
    /// The error.
    error: ServiceError,
    /// `request_id`, which the gateway puts into its bodies.
    request_id: Option<String>,
}

impl Facts {
    fn of(body: Option<&Value>) -> Self {
        let Some(Value::Object(top)) = body else {
            return Self {
                names_a_run: body.is_some_and(names_a_run),
                error: body.and_then(nested_error).unwrap_or_default(),
                ..Self::default()
            };
        };
        let below_error = top.get("error").and_then(Value::as_object);
        let below = |name: &str| below_error.and_then(|error| error.get(name)).and_then(id);
        Self {
            run_id: top
                .get("pipeline_run_id")
                .and_then(Value::as_str)
                .and_then(plain_id),
            queued_run_id: below("pipeline_run_id"),
            queue_id: below("queue_id").or_else(|| top.get("queue_id").and_then(id)),
            names_a_run: body.is_some_and(names_a_run),
            error: ServiceError::of(top),
            request_id: top
                .get("request_id")
                .or_else(|| below_error.and_then(|error| error.get("request_id")))
                .and_then(word_of),
        }
    }
}

/// The service's error, in whichever of its shapes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceError {
    /// The code; none if there is none, or it says that all is well.
    pub(crate) code: Option<String>,
    /// The message.
    pub(crate) message: Option<String>,
    /// Whether it is named as an error (`error_code`, `errorCode`, `error`), not merely a `code` with a `message`.
    pub(crate) is_explicit: bool,
}

impl ServiceError {
    /// Looks for an error in the order of the SDKs (huaweicloudsdkcore, `exceptions.exception_handler`):
    /// `error_code`/`error_msg`, `errorCode`/`errorMsg`, `code`/`message`, then the same in any object within. The SDKs
    /// want both of a pair; we take a code that is called an error code also when it stands alone, because the
    /// pipeline service answers refusals with status 200, where nothing else would tell.
    pub(crate) fn of(top: &Map<String, Value>) -> Self {
        let message_alone = || Self {
            message: message_of(top),
            ..Self::default()
        };
        error_here(top)
            .or_else(|| {
                top.get("error")
                    .and_then(Value::as_object)
                    .and_then(error_below)
            })
            .or_else(|| top.values().find_map(nested_error))
            .unwrap_or_else(message_alone)
    }
}

fn error_here(object: &Map<String, Value>) -> Option<ServiceError> {
    let explicit = ["error_code", "errorCode"]
        .into_iter()
        .find_map(|name| object.get(name).and_then(error_code));
    let code = match &explicit {
        Some(_) => explicit.clone(),
        None => object
            .get("code")
            .filter(|_| object.contains_key("message"))
            .and_then(error_code),
    };
    code.map(|code| ServiceError {
        code: Some(code),
        message: message_of(object),
        is_explicit: explicit.is_some(),
    })
}

/// The object under `error`: its `code` needs no message beside it.
fn error_below(error: &Map<String, Value>) -> Option<ServiceError> {
    let code = error_here(error)
        .and_then(|found| found.code)
        .or_else(|| error.get("code").and_then(error_code))?;
    Some(ServiceError {
        code: Some(code),
        message: message_of(error),
        is_explicit: true,
    })
}

fn nested_error(value: &Value) -> Option<ServiceError> {
    match value {
        Value::Object(object) => {
            error_here(object).or_else(|| object.values().find_map(nested_error))
        }
        Value::Array(items) => items.iter().find_map(nested_error),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn message_of(object: &Map<String, Value>) -> Option<String> {
    ["error_msg", "errorMsg", "message", "error_message"]
        .into_iter()
        .find_map(|name| match object.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
            Some(value @ (Value::Object(_) | Value::Array(_) | Value::Number(_))) => {
                Some(value.to_string())
            }
            _ => None,
        })
}

/// A code as text. Empty ones and those by which sister services say "all is well" are none.
pub(crate) fn error_code(value: &Value) -> Option<String> {
    let code = word_of(value)?;
    let is_well = code.trim_matches('0').is_empty()
        || (code.len() == 3 && code.starts_with('2') && code.bytes().all(|b| b.is_ascii_digit()))
        || ["success", "ok"]
            .iter()
            .any(|well| code.eq_ignore_ascii_case(well));
    (!is_well).then_some(code)
}

fn word_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn id(value: &Value) -> Option<String> {
    word_of(value).as_deref().and_then(plain_id)
}

/// An id that can be written into a log and asked for again; anything else under that name is no id.
pub(crate) fn plain_id(text: &str) -> Option<String> {
    let plain = !text.is_empty()
        && text.len() <= WORD_CHARS_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| text.to_owned())
}

/// Whether a `pipeline_run_id` with anything in it stands anywhere.
fn names_a_run(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            names_a_run(value) || (name == "pipeline_run_id" && word_of(value).is_some())
        }),
        Value::Array(items) => items.iter().any(names_a_run),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The body as JSON, or why it is none. Bytes that are not UTF-8 spoil the text they stand in, not the answer.
pub(crate) fn parse(body: &Body) -> Result<Value, String> {
    let bytes = match body {
        Body::Whole(bytes) => bytes,
        Body::Broken(why) => return Err(why.clone()),
    };
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err("the answer is empty".to_owned());
    }
    serde_json::from_str(text).map_err(|_| format!("the answer is not JSON: {text}"))
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
