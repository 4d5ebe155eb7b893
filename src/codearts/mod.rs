//! The CodeArts Pipeline service: a start to a request, a response to an answer. No IO in this file.
//!
//! The facts about the API come from its official SDKs and the pages of its help centre; a page is named by its title.
//! What is here refuses to guess: an answer that does not say whether a run was started is doubtful, whatever its
//! status, and a request that cannot be written exactly as it was decided is not written at all.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::config::Account;
use crate::domain::request::{DESCRIPTION_CHARS_MAX, SecretRef, Source, VariableValue};
use crate::domain::sighting::{Find, Look, PipelineAt, SeenRun, Sighting};
use crate::domain::{AccountName, Answer, RunRequest};

pub mod answer;
pub mod auth;
pub mod calls;
mod code;
mod facts;
pub mod http;
pub mod looks;
pub mod mask;
mod pages;
pub mod pipelines;
pub mod search;

pub use answer::read;
pub use mask::Mask;

/// What we call ourselves to the service. Nothing suggests that it looks at it (the SDKs and other clients each send
/// their own), but a person who reads its access log may.
pub const USER_AGENT: &str = concat!("pipecron/", env!("CARGO_PKG_VERSION"));
/// The content type of a request with a body, as the SDKs write it.
pub const JSON: &str = "application/json;charset=utf-8";
/// The access key's id that the sandbox knows.
pub const SANDBOX_AK: &str = "SANDBOXACCESSKEY0001";
/// The secret key that the sandbox knows; it opens nothing else.
pub const SANDBOX_SK: &str = "sandbox-secret-key";

/// A run to be started.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Whose credentials start it.
    pub account: AccountName,
    /// What is sent.
    pub request: RunRequest,
    /// What ends the description: `[pipecron LEDGER TICK]`. If it is empty, the description is sent as it stands.
    pub marker: String,
    /// If it cannot leave within this time, it stays here: what was decided may hold no more.
    pub leave_within: Duration,
}

/// The service, as the daemon sees it. Tests put something else behind it.
pub trait CodeArts: Send + Sync + 'static {
    /// Sends one request that starts a run, and classes what comes back. Never sends it twice.
    fn start(&self, start: Start) -> impl Future<Output = Answer> + Send;

    /// The same, and calls `left` in the moment in which the request leaves, after all that it had to wait for here; if it
    /// stays here, never.
    fn start_and_tell(
        &self,
        start: Start,
        left: impl FnOnce() + Send + 'static,
    ) -> impl Future<Output = Answer> + Send {
        async move {
            left();
            self.start(start).await
        }
    }

    /// Looks for the run that bears a marker: the pipeline's queue; the list of runs from `since` on, newest first, page
    /// by page; and the details of those that may be it. One look; spacing several is the caller's.
    fn find(&self, find: Find) -> impl Future<Output = Sighting> + Send;

    /// Looks at runs of one account, many pipelines a call where that serves. The answers are in the order of `runs`.
    fn look(&self, runs: Vec<(PipelineAt, String)>) -> impl Future<Output = Vec<Look>> + Send;

    /// The runs of a pipeline that are not over, its queue included, whoever started them.
    fn under_way(
        &self,
        at: PipelineAt,
    ) -> impl Future<Output = Result<Vec<SeenRun>, Answer>> + Send;

    /// Asks the service to stop a run, or to take it out of the queue if it waits there. The run is over only when a look
    /// says so.
    fn stop(
        &self,
        at: PipelineAt,
        run_id: String,
        queue_id: Option<String>,
    ) -> impl Future<Output = Result<(), Answer>> + Send;

    /// From now on these accounts are known, and their secrets are read again when they are next needed. Requests
    /// under way go on with what they began with.
    fn use_accounts(&self, accounts: &BTreeMap<AccountName, Arc<Account>>);

    /// From now on nothing leaves that was not handed to a connection by now, whatever it waits for: a start of which
    /// that is certain is answered at once as not sent. What has left is waited for as before. It is for a stop, which
    /// would otherwise put into doubt what never left; there is no way back.
    fn hold_back(&self);
}

/// A request as it goes over the wire. Its `Debug` shows no header's value and no body: both may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method, in upper case.
    pub method: String,
    /// The whole address, percent-encoded.
    pub url: String,
    /// The headers, in the order they are sent.
    pub headers: Vec<(String, String)>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// The value of the header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Sets the header of that name, in place of one that is there.
    pub fn set_header(&mut self, name: &str, value: &str) {
        match self
            .headers
            .iter_mut()
            .find(|(there, _)| there.eq_ignore_ascii_case(name))
        {
            Some((_, there)) => value.clone_into(there),
            None => self.headers.push((name.to_owned(), value.to_owned())),
        }
    }

    /// `{"method", "url", "headers": {..}, "body": {..}}`, as a dry run prints it. **Shows what it holds**: only for
    /// a request that [`http::dry_run`] made.
    pub fn to_json(&self) -> serde_json::Value {
        let headers: BTreeMap<&str, &str> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = serde_json::from_slice(&self.body).unwrap_or(serde_json::Value::Null);
        serde_json::json!({ "method": self.method, "url": self.url, "headers": headers, "body": body })
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        out.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// What came back of a body. Its `Debug` shows how much, not what.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// It was cut off, or too large to be read; says which. The status and the headers are known all the same.
    Broken(String),
}

/// A response as it came over the wire. Its `Debug` shows no header's value and no body: IAM's holds a token.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

impl HttpResponse {
    /// The value of the header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(out, "Whole({} bytes)", bytes.len()),
            Self::Broken(why) => write!(out, "Broken({why:?})"),
        }
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(there, _)| there.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Secrets by the place they were read from.
pub type Secrets = HashMap<SecretRef, SecretString>;

/// Why a request cannot be written. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A variable's secret was not handed over.
    #[error("the secret of the variable {variable} is not there")]
    NoSecret {
        /// The variable's name.
        variable: String,
    },
    /// An id that would change the address instead of standing in it.
    #[error("{field} {text:?} cannot stand in an address; it is an id of 32 characters")]
    Id {
        /// `project_id`, `pipeline_id`, `run_id` or `queue_id`.
        field: &'static str,
        /// What was given.
        text: String,
    },
    /// It could not be turned into JSON.
    #[error("the request cannot be written as JSON: {0}")]
    Json(String),
}

/// The request that starts a run: `RunPipeline`, `POST /v5/{project_id}/api/pipelines/{pipeline_id}/run`
/// (help centre: "Starting a Pipeline"). It bears no credentials yet.
///
/// `iam_project_id` is the project of IAM, not of CodeArts; as the SDKs do, it is sent as `X-Project-Id` when it is
/// known. A body is always sent, `{}` at least: other clients report that the service refuses a request without one.
///
/// # Errors
/// When a secret is missing, or an id cannot stand in an address.
pub fn request(
    start: &Start,
    endpoint: &str,
    iam_project_id: Option<&str>,
    secrets: &Secrets,
) -> Result<HttpRequest, RequestError> {
    let run = &start.request;
    let project_id = segment("project_id", &run.project_id)?;
    let pipeline_id = segment("pipeline_id", &run.pipeline_id)?;
    let body = RunBody {
        sources: run.sources.as_deref(),
        description: description(run, &start.marker),
        variables: variables(run, secrets)?,
        choose_jobs: run.choose_jobs.as_deref(),
        choose_stages: run.choose_stages.as_deref(),
        sub_hook: run.sub_hook,
        execution_plan_id: run.execution_plan_id.as_deref(),
    };
    Ok(HttpRequest {
        method: "POST".to_owned(),
        url: format!(
            "{}/v5/{project_id}/api/pipelines/{pipeline_id}/run",
            endpoint.trim_end_matches('/')
        ),
        headers: headers(JSON, iam_project_id),
        body: serde_json::to_vec(&body).map_err(|error| RequestError::Json(error.to_string()))?,
    })
}

/// The headers of every request, but those that authenticate it.
fn headers(content_type: &str, iam_project_id: Option<&str>) -> Vec<(String, String)> {
    let mut headers = vec![
        ("Content-Type".to_owned(), content_type.to_owned()),
        ("User-Agent".to_owned(), USER_AGENT.to_owned()),
    ];
    if let Some(id) = iam_project_id {
        headers.push(("X-Project-Id".to_owned(), id.to_owned()));
    }
    headers
}

/// The body of `RunPipeline`, in the order of the SDKs' model. Absent is not empty: an empty list is sent.
#[derive(Serialize)]
struct RunBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<&'a [Source]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variables: Option<Vec<NameValue<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    choose_jobs: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    choose_stages: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_hook: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_plan_id: Option<&'a str>,
}

#[derive(Serialize)]
struct NameValue<'a> {
    name: &'a str,
    value: &'a str,
}

/// The variables whose values are kept elsewhere, by name.
pub fn secret_variables(run: &RunRequest) -> impl Iterator<Item = (&str, &SecretRef)> {
    run.variables
        .iter()
        .flat_map(|list| list.iter())
        .filter_map(|variable| match &variable.value {
            VariableValue::Secret(secret) => Some((variable.name.as_str(), secret)),
            VariableValue::Value(_) => None,
        })
}

fn variables<'a>(
    run: &'a RunRequest,
    secrets: &'a Secrets,
) -> Result<Option<Vec<NameValue<'a>>>, RequestError> {
    let Some(variables) = &run.variables else {
        return Ok(None);
    };
    let value = |variable: &'a crate::domain::request::Variable| match &variable.value {
        VariableValue::Value(text) => Ok(text.as_str()),
        VariableValue::Secret(secret) => secrets
            .get(secret)
            .map(ExposeSecret::expose_secret)
            .ok_or_else(|| RequestError::NoSecret {
                variable: variable.name.clone(),
            }),
    };
    variables
        .iter()
        .map(|variable| {
            Ok(NameValue {
                name: &variable.name,
                value: value(variable)?,
            })
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The description with the marker at its end. Too long a text is checked at load; should one get here all the same,
/// the person's part is cut, never the marker: without it a run whose answer is lost could not be found again.
fn description(run: &RunRequest, marker: &str) -> Option<String> {
    if marker.is_empty() {
        return run.description.clone();
    }
    let whole = run.described(marker);
    let excess = whole.chars().count().saturating_sub(DESCRIPTION_CHARS_MAX);
    if excess == 0 {
        return Some(whole);
    }
    let mut cut = run.clone();
    cut.description = run.description.as_deref().map(|text| {
        let keep = text.chars().count().saturating_sub(excess);
        text.chars().take(keep).collect()
    });
    Some(cut.described(marker))
}

/// Everything but letters, digits and `-_.~` (RFC 3986, "unreserved").
pub(crate) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// An id as one piece of a path. `.` and `..` are refused: whoever parses the address drops them, and the request
/// would go to another place than the one that was signed.
fn segment(field: &'static str, id: &str) -> Result<String, RequestError> {
    if matches!(id, "" | "." | "..") {
        return Err(RequestError::Id {
            field,
            text: id.to_owned(),
        });
    }
    Ok(utf8_percent_encode(id, RESERVED).to_string())
}
