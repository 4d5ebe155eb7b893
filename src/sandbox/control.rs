//! The sandbox's own pages under `/sandbox/`: what runs there are, what was asked, what is to go wrong.
//!
//! | request | does |
//! | --- | --- |
//! | `GET /sandbox/` | says what this is, its clock, its seed, its counts, its rules |
//! | `GET /sandbox/runs` | a list of all runs, oldest first; `?pipeline_id=`, `?offset=`, `?limit=`; `X-Total-Count` |
//! | `POST /sandbox/runs/ID` | `{"status": "PAUSED"}` gives a run a status; `{"forgotten": true}` makes the service forget it |
//! | `GET /sandbox/requests` | how many requests there were, and the last ones; no headers, no bodies |
//! | `GET /sandbox/faults` | the rules that may still strike |
//! | `POST /sandbox/faults` | adds rules (see `faults`): each a line of text, or JSON; `PUT` sets them instead of those there are |
//! | `DELETE /sandbox/faults` | forgets all rules |
//! | `DELETE /sandbox/tokens` | makes all IAM tokens no good |
//!
//! A page in somebody's browser must not reach this: requests that a browser sends for another site are refused.

use serde_json::{Value, json};

use super::body::{self, Flaw};
use super::faults::FaultRule;
use super::message::{Request, Response};
use super::run::RunStatus;
use super::service::Service;
use crate::domain::{Timestamp, rfc3339};

/// Where the pages are.
pub(super) const PATH: &str = "/sandbox";

/// The most bytes of runs that one answer holds.
const RUNS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most bytes that a request may have.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Answers a request for `/sandbox` and `path`.
pub(super) fn answer(
    service: &mut Service,
    now: Timestamp,
    request: &Request,
    path: &str,
) -> Response {
    if let Err(why) = check_origin(request) {
        return error(403, why);
    }
    if request.body.len() > BODY_BYTES_MAX {
        return error(413, "the body has more than 256 KiB");
    }
    let pieces: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), pieces.as_slice()) {
        ("GET", [""]) => Response::json(200, &overview(service, now)),
        ("GET", ["runs"]) => runs(service, now, request),
        ("POST", ["runs", run_id]) => change_run(service, now, request, run_id),
        ("GET", ["requests"]) => Response::json(
            200,
            &serde_json::to_value(service.requests()).unwrap_or_default(),
        ),
        ("GET", ["faults"]) => Response::json(200, &rules(service)),
        ("POST", ["faults"]) => add_rules(service, now, request, Service::push_fault),
        ("PUT", ["faults"]) => set_rules(service, now, request),
        ("DELETE", ["faults"]) => {
            service.clear_faults();
            Response::json(200, &rules(service))
        }
        ("DELETE", ["tokens"]) => {
            service.revoke_tokens();
            Response::json(200, &json!({}))
        }
        _ => error(404, "no such page; GET /sandbox/ shows what there is"),
    }
}

fn error(status: u16, why: &str) -> Response {
    Response::json(status, &json!({"error": why}))
}

/// A browser names the site that a request comes from, and a name that was pointed at this machine stands in `Host`.
fn check_origin(request: &Request) -> Result<(), &'static str> {
    if request.header_bytes("origin").is_some()
        || request
            .header_text("sec-fetch-site")
            .is_some_and(|site| site != "none")
    {
        return Err("requests of web pages are not taken");
    }
    let host = request.header_text("host").unwrap_or("localhost");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    match name {
        "localhost" | "127.0.0.1" | "[::1]" => Ok(()),
        _ => Err("the host is neither localhost nor 127.0.0.1"),
    }
}

fn overview(service: &mut Service, now: Timestamp) -> Value {
    service.advance(now);
    json!({
        "name": "pipecron sandbox",
        "now": rfc3339(now),
        "seed": service.seed(),
        "runs": service.run_count(),
        "requests": service.requests().count,
        "started": service.requests().started,
        "faults": rules(service),
        "pages": ["/sandbox/runs", "/sandbox/requests", "/sandbox/faults", "/sandbox/tokens"],
    })
}

fn runs(service: &mut Service, now: Timestamp, request: &Request) -> Response {
    let number = |name| match request.query_value(name).map(|text| text.parse::<usize>()) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(error(400, "offset and limit are numbers")),
    };
    let (offset, limit) = match (number("offset"), number("limit")) {
        (Ok(offset), Ok(limit)) => (offset.unwrap_or(0), limit.unwrap_or(usize::MAX)),
        (Err(response), _) | (_, Err(response)) => return response,
    };
    let pipeline = request.query_value("pipeline_id");
    let (mut body, mut total, mut shown) = (b"[".to_vec(), 0_usize, 0_usize);
    for run in service
        .runs(now)
        .filter(|run| pipeline.as_ref().is_none_or(|id| run.pipeline_id == *id))
    {
        total += 1;
        if total <= offset || shown >= limit || body.len() > RUNS_BYTES_MAX {
            continue;
        }
        if shown > 0 {
            body.extend_from_slice(b",\n");
        }
        body.extend(serde_json::to_vec(run).unwrap_or_default());
        shown += 1;
    }
    body.push(b']');
    Response::bytes(200, "application/json", body).header("x-total-count", total.to_string())
}

fn change_run(service: &mut Service, now: Timestamp, request: &Request, run_id: &str) -> Response {
    let wanted = match body::read(&request.body) {
        Ok(value) => value,
        Err(_) => return error(400, "the body is not JSON"),
    };
    let status = wanted
        .get("status")
        .and_then(Value::as_str)
        .map(RunStatus::from_name);
    let found = match (status, wanted.get("forgotten").and_then(Value::as_bool)) {
        (Some(Some(status)), None) => service.set_status(now, run_id, status),
        (None, Some(true)) => service.forget_run(now, run_id),
        _ => {
            return error(
                400,
                "wanted: {\"status\": \"PAUSED\"} with a status of a run, or {\"forgotten\": true}",
            );
        }
    };
    let run = service
        .runs(now)
        .find(|run| run.id == run_id)
        .filter(|_| found);
    match run {
        Some(run) => Response::json(200, &serde_json::to_value(run).unwrap_or_default()),
        None => error(404, "no such run"),
    }
}

fn rules(service: &Service) -> Value {
    let rule = |(rule, struck): (FaultRule, u32)| {
        let text = rule.to_string();
        let mut value = rule.to_json();
        value["text"] = text.into();
        value["struck"] = struck.into();
        value
    };
    service.faults().into_iter().map(rule).collect()
}

/// Rules as JSON, or as a person types them: each on a line of its own.
fn read_rules(request: &Request) -> Result<Vec<FaultRule>, Response> {
    let refuse = |why: String| error(400, &why);
    let text = std::str::from_utf8(&request.body)
        .map_err(|_| refuse("the body is not text in UTF-8".to_owned()))?
        .trim();
    if text.is_empty() {
        let why = "there is no rule in the body; send one such as lost=reset,next=1";
        return Err(refuse(why.to_owned()));
    }
    if !text.starts_with(['{', '[', '"']) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let rule = |line| {
            FaultRule::parse(line).map_err(|why| refuse(format!("the rule {line:?}: {why}")))
        };
        return lines.map(rule).collect();
    }
    let value =
        body::read(&request.body).map_err(|(Flaw::Unreadable(why) | Flaw::Wrong(why))| {
            refuse(format!("the body is not JSON: {why}"))
        })?;
    let rules = match value {
        Value::Array(rules) => rules,
        rule @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)) => vec![rule],
    };
    rules
        .iter()
        .map(|rule| {
            FaultRule::from_json(rule).map_err(|why| refuse(format!("the rule {rule}: {why}")))
        })
        .collect()
}

fn add_rules(
    service: &mut Service,
    now: Timestamp,
    request: &Request,
    push: impl Fn(&mut Service, Timestamp, FaultRule) -> bool,
) -> Response {
    match read_rules(request) {
        Err(response) => response,
        Ok(new) => {
            if new.into_iter().all(|rule| push(service, now, rule)) {
                Response::json(200, &rules(service))
            } else {
                error(409, "there are too many rules")
            }
        }
    }
}

fn set_rules(service: &mut Service, now: Timestamp, request: &Request) -> Response {
    // Read before anything is forgotten: a bad list changes nothing.
    if let Err(response) = read_rules(request) {
        return response;
    }
    service.clear_faults();
    add_rules(service, now, request, Service::push_fault)
}
