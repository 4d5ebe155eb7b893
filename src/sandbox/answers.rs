//! How the gateway, the pipeline service and IAM word what they say.

use serde_json::{Value, json};

use super::call::Call;
use super::faults::{Canned, RetryAfter, Shape};
use super::gate::Denied;
use super::message::Response;
use super::store::{Limit, Refused};
use crate::domain::{Timestamp, after};

/// The gateway refuses.
pub(super) fn gateway(status: u16, code: &str, message: &str, request_id: &str) -> Response {
    Response::json(
        status,
        &json!({"error_msg": message, "error_code": code, "request_id": request_id}),
    )
}

/// The gateway does not know who is there.
pub(super) fn unauthorized(denied: &Denied, request_id: &str) -> Response {
    gateway(401, denied.code, &denied.message, request_id)
}

/// The pipeline service refuses, with status 200.
pub(super) fn refusal(code: &str, message: &str) -> Response {
    failure(200, code, message)
}

/// The pipeline service refuses, with this status.
pub(super) fn failure(status: u16, code: &str, message: &str) -> Response {
    Response::json(status, &json!({"error_code": code, "error_msg": message}))
}

/// Something in the body is wrong.
pub(super) fn wrong_body(what: &str) -> Response {
    refusal(
        "DEVCP.00014004",
        &format!("Invalid request parameter: {what}"),
    )
}

/// Something in the path or the query is wrong.
pub(super) fn wrong_parameter(what: &str) -> Response {
    failure(
        400,
        "DEVCP.00021400",
        &format!("Incorrect request parameter: {what}"),
    )
}

/// There is no such thing.
pub(super) fn no_record(what: &str) -> Response {
    refusal(
        "DEVCP.00012002",
        &format!("The record does not exist: {what}"),
    )
}

/// A start that was not taken.
pub(super) fn not_started(refused: &Refused) -> Response {
    match refused {
        Refused::Busy(Limit::Pipeline) => refusal(
            "DEVPIPE.00011104",
            "The number of parallel runs of the pipeline has reached the limit",
        ),
        Refused::Busy(Limit::Tenant) => refusal(
            "DEVPIPE.00011105",
            "The number of parallel runs of the tenant has reached the limit",
        ),
        Refused::QueueFull => refusal("DEVPIPE.00011104", "The queue of the pipeline is full"),
        // Not a code of the service: the sandbox has limits that the service does not have.
        Refused::Full(what) => failure(
            403,
            "SANDBOX.FULL",
            &format!("The sandbox keeps no more than {what}"),
        ),
    }
}

/// A start that was taken and has to wait.
pub(super) fn queued(run_id: &str, queue_id: &str, limit: Limit) -> Response {
    let (code, whose) = match limit {
        Limit::Pipeline => ("DEVPIPE.00011169", "pipeline"),
        Limit::Tenant => ("DEVPIPE.00011170", "tenant"),
    };
    Response::json(
        200,
        &json!({
            "error_code": code,
            "error_msg": format!("The number of parallel runs of the {whose} has reached the limit; the run is queued"),
            "error": {"pipeline_run_id": run_id, "queue_id": queue_id},
        }),
    )
}

/// IAM refuses.
pub(super) fn iam(status: u16, message: &str) -> Response {
    let error = json!({"code": status, "message": message, "title": reason(status)});
    Response::json(status, &json!({"error": error}))
}

/// What a fault says. `real` is what would have been answered, if that was asked for.
pub(super) fn canned(
    canned: &Canned,
    real: Option<Response>,
    call: Call,
    now: Timestamp,
    request_id: &str,
) -> Response {
    match canned {
        Canned::Status {
            status,
            code,
            message,
            retry_after,
            location,
        } => {
            let message = message
                .as_deref()
                .unwrap_or_else(|| usual_message(*status, code.as_deref()));
            let mut response = failed(*status, code.as_deref(), message, call, request_id);
            if let Some(wait) = retry_after {
                response = response.header("retry-after", retry_after_text(*wait, now));
            }
            if let Some(location) = location {
                response = response.header("location", location.clone());
            }
            response
        }
        Canned::Refusal {
            code,
            message,
            shape,
        } => {
            let message = message
                .as_deref()
                .unwrap_or("Refused by the rules of this sandbox");
            match shape {
                Shape::Flat => refusal(code, message),
                Shape::Nested => {
                    Response::json(200, &json!({"error": {"code": code, "message": message}}))
                }
            }
        }
        Canned::MessageOnly { message } => {
            let message = message
                .as_deref()
                .unwrap_or("The pipeline cannot be started");
            Response::json(200, &json!({"error_msg": message}))
        }
        Canned::Empty => Response::bytes(200, "application/json", Vec::new()),
        Canned::NotJson => Response::bytes(
            200,
            "text/html",
            b"<html><body>Please sign in</body></html>".to_vec(),
        ),
        Canned::NoRunId => Response::json(200, &json!({})),
        Canned::Truncated => {
            let mut response =
                real.unwrap_or_else(|| Response::json(200, &json!({"pipeline_run_id": null})));
            response.body.truncate(response.body.len() / 2);
            response
        }
        Canned::Huge(bytes) => {
            let mut response = real.unwrap_or_else(|| Response::json(200, &json!({})));
            response.padding_bytes = *bytes;
            response
        }
    }
}

fn failed(
    status: u16,
    code: Option<&str>,
    message: &str,
    call: Call,
    request_id: &str,
) -> Response {
    match (call, code) {
        (Call::MetadataToken | Call::MetadataKey, _) => Response::text(status, message),
        (_, Some(code)) if code.starts_with("APIG") => gateway(status, code, message, request_id),
        (_, Some(code)) => failure(status, code, message),
        (call, None) if call.is_iam() => iam(status, message),
        (_, None) => Response::bytes(
            status,
            "text/html",
            format!(
                "<html><body><h1>{status} {}</h1></body></html>",
                reason(status)
            )
            .into_bytes(),
        ),
    }
}

fn usual_message(status: u16, code: Option<&str>) -> &'static str {
    match (status, code) {
        (_, Some("APIGW.0308" | "APIG.0308")) => {
            "The throttling threshold has been reached: policy api over ratelimit,limit:60,time:1 minute"
        }
        (_, Some("COCT.0070003")) => "The API is called too frequently",
        (_, Some("COCT.0070500" | "DEVCP.00020500")) => "The network is busy. Try again later",
        (_, Some("DEVCP.00021018")) => "The user has no permission for this operation",
        (_, Some("DEVCP.00010000")) => "Unknown error of the service",
        (_, Some("APIGW.0301")) => {
            "Incorrect IAM authentication information: verify aksk signature fail"
        }
        (_, Some("APIGW.0307")) => "The token must be updated.",
        (_, Some("APIGW.0302" | "APIG.0306")) => "The user is not allowed to access the API",
        (_, Some("APIGW.0101")) => {
            "The API does not exist or has not been published in the environment"
        }
        (401, _) => "The user name or password is wrong",
        (502, _) => "Backend unavailable",
        (504, _) => "Backend timeout",
        _ => reason(status),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}

fn retry_after_text(wait: RetryAfter, now: Timestamp) -> String {
    match wait {
        RetryAfter::Seconds(secs) => secs.to_string(),
        RetryAfter::Date(secs) => {
            http_date(after(now, std::time::Duration::from_secs(secs.into())))
        }
    }
}

/// An instant as HTTP headers have it.
pub(super) fn http_date(instant: Timestamp) -> String {
    instant.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// An instant as the service's JSON has it: milliseconds.
pub(super) fn millis(instant: Timestamp) -> Value {
    instant.timestamp_millis().into()
}
