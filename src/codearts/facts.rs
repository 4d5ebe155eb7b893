//! What a body says: ids and errors, in whichever of the service's shapes they come.

use serde_json::{Map, Value};

use super::Body;
use super::mask::WORD_CHARS_MAX;

/// What a body says, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// `pipeline_run_id` at the top.
    pub(super) run_id: Option<String>,
    /// `error.pipeline_run_id`.
    pub(super) queued_run_id: Option<String>,
    /// `queue_id`, below `error` or at the top.
    pub(super) queue_id: Option<String>,
    /// Whether a `pipeline_run_id` with anything in it stands anywhere.
    pub(super) names_a_run: bool,
    /// The error.
    pub(super) error: ServiceError,
    /// `request_id`, which the gateway puts into its bodies.
    pub(super) request_id: Option<String>,
}

impl Facts {
    pub(super) fn of(body: Option<&Value>) -> Self {
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
pub(super) struct ServiceError {
    /// The code; none if there is none, or it says that all is well.
    pub(super) code: Option<String>,
    /// The message.
    pub(super) message: Option<String>,
    /// Whether it is named as an error (`error_code`, `errorCode`, `error`), not merely a `code` with a `message`.
    pub(super) is_explicit: bool,
}

impl ServiceError {
    /// Looks for an error in the order of the SDKs (huaweicloudsdkcore, `exceptions.exception_handler`):
    /// `error_code`/`error_msg`, `errorCode`/`errorMsg`, `code`/`message`, then the same in any object within. The SDKs
    /// want both of a pair; we take a code that is called an error code also when it stands alone, because the
    /// pipeline service answers refusals with status 200, where nothing else would tell.
    pub(super) fn of(top: &Map<String, Value>) -> Self {
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
fn error_code(value: &Value) -> Option<String> {
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
fn plain_id(text: &str) -> Option<String> {
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
pub(super) fn parse(body: &Body) -> Result<Value, String> {
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
