//! The calls that start nothing: to list, show and stop runs. A call to a request, a response to what it shows. No IO.
//!
//! The facts come from the official SDKs (huaweicloudsdkcodeartspipeline, `v2`), the pages of the help centre, named by
//! their titles, and the Terraform provider for what neither has. What is read is read strictly where a mistake would
//! hide a run (a list without its rows, a row without its id, another run than the one asked for: no answer), and
//! leniently where it would not (a time, a number, a stage that cannot be read is as if it were not there). What a
//! response holds beyond that is passed over.

use std::fmt;
use std::marker::PhantomData;

use chrono::DateTime;
use percent_encoding::utf8_percent_encode;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::answer::{failed, says_no_record, service_clock};
use super::facts::{error_code, plain_id};
use super::{Body, HttpRequest, HttpResponse, JSON, Mask, RESERVED, RequestError};
use super::{headers, pipelines, segment};
use crate::domain::pipeline::{PipelineRow, SeenPipeline};
use crate::domain::sighting::{PipelineAt, RunStatus, SeenRun};
use crate::domain::{Answer, Timestamp};

/// How many rows of a list we ask for at once. Neither a default nor a maximum is documented; the Terraform provider
/// asks for so many (data source `run_records`).
pub const ROWS: u64 = 100;
/// A list with more rows than this was not cut as we asked, and is not read.
pub(super) const ROWS_MAX: usize = 1_000;
/// The longest text that is read, in bytes. The longest we need is a description, of 1024 characters.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024;
/// The content type of a request without a body, as the SDKs write it.
const BARE_JSON: &str = "application/json";

/// A call that starts nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `ListPipelineRuns`: runs of a pipeline, newest start first (SDKs; help centre: "Obtaining Pipeline Execution
    /// Records").
    Runs {
        /// Which pipeline.
        at: PipelineAt,
        /// Only runs that started at this time or later, if given.
        since: Option<Timestamp>,
        /// How many rows are passed over.
        offset: u64,
    },
    /// `ShowPipelineRunDetail`: the only call that gives a run's description back (SDKs; help centre: "Obtaining Pipeline
    /// Execution Details").
    Detail {
        /// Which pipeline.
        at: PipelineAt,
        /// Which run.
        run_id: String,
    },
    /// The records of a pipeline's queue (Terraform provider, data source `queueing_records`).
    Queue {
        /// Which pipeline.
        at: PipelineAt,
        /// How many records are passed over.
        offset: u64,
    },
    /// `BatchShowPipelinesLatestStatus`: the latest run of each pipeline (SDKs).
    Latest {
        /// The project they belong to.
        project_id: String,
        /// The pipelines.
        pipeline_ids: Vec<String>,
    },
    /// `ShowPipelineDetail`: a pipeline with its stages, jobs, variables and sources (SDKs; help centre: "Querying Pipeline
    /// Details").
    Pipeline {
        /// Which pipeline.
        at: PipelineAt,
    },
    /// `ListPipelines`: the pipelines of a project, by name (SDKs; help centre: "Querying the Pipeline List").
    Pipelines {
        /// Which project.
        project_id: String,
        /// How many rows are passed over.
        offset: u64,
    },
    /// `StopPipelineRun` (SDKs; help centre).
    Stop {
        /// Which pipeline.
        at: PipelineAt,
        /// Which run.
        run_id: String,
    },
    /// Takes a run out of the queue (Terraform provider, resource `pipeline_action`).
    CancelQueuing {
        /// Which pipeline.
        at: PipelineAt,
        /// Which run.
        run_id: String,
        /// Its record in the queue.
        queue_id: String,
    },
}

/// What a response shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// Rows of a list of runs.
    Runs(Page<SeenRun>),
    /// Records of a queue.
    Queue(Page<QueueRecord>),
    /// A run in detail.
    Run(Box<SeenRun>),
    /// The service says that it knows no such run; in its words.
    NoRecord(Answer),
    /// A success that shows no run: the page of `ShowPipelineRunDetail` says that only data with execution records is
    /// returned. Whether it speaks of a run that is not there, or not yet, nobody knows.
    Blank(Answer),
    /// The latest runs of pipelines.
    Latest(Vec<LatestRun>),
    /// A pipeline.
    Pipeline(Box<SeenPipeline>),
    /// Rows of a list of pipelines.
    Pipelines(Page<PipelineRow>),
    /// What was asked is done.
    Done,
    /// Not what was asked for; the answer says why.
    Failed(Answer),
}

/// Some rows of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<R> {
    /// The rows, in the service's order.
    pub rows: Vec<R>,
    /// How many rows the whole list has, if the service says so.
    pub total: Option<u64>,
}

/// A record of a pipeline's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRecord {
    /// `pipeline_run_id`.
    pub run_id: String,
    /// `id`: what takes it out of the queue.
    pub queue_id: Option<String>,
    /// `enqueue_time`.
    pub enqueued_at: Option<Timestamp>,
    /// `status`.
    pub status: Option<RunStatus>,
}

impl QueueRecord {
    /// The run as the record shows it.
    pub fn into_run(self) -> SeenRun {
        SeenRun {
            run_id: self.run_id,
            number: None,
            status: self.status,
            started_at: None,
            ended_at: None,
            seen_at: None,
            queue_id: self.queue_id,
            description: None,
            failed_stage: None,
        }
    }
}

/// The latest run of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestRun {
    /// The pipeline, if the row names it.
    pub pipeline_id: Option<String>,
    /// The run.
    pub run: SeenRun,
}

impl Call {
    /// Whether it only looks.
    pub fn is_look(&self) -> bool {
        match self {
            Self::Runs { .. }
            | Self::Detail { .. }
            | Self::Queue { .. }
            | Self::Latest { .. }
            | Self::Pipeline { .. }
            | Self::Pipelines { .. } => true,
            Self::Stop { .. } | Self::CancelQueuing { .. } => false,
        }
    }

    /// The call's name, for a message and for those who measure.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Runs { .. } => "ListPipelineRuns",
            Self::Detail { .. } => "ShowPipelineRunDetail",
            Self::Queue { .. } => "queued-pipeline",
            Self::Latest { .. } => "BatchShowPipelinesLatestStatus",
            Self::Pipeline { .. } => "ShowPipelineDetail",
            Self::Pipelines { .. } => "ListPipelines",
            Self::Stop { .. } => "StopPipelineRun",
            Self::CancelQueuing { .. } => "cancel-queuing",
        }
    }

    /// The request. It bears no credentials yet; `iam_project_id` as for a start.
    ///
    /// # Errors
    /// When an id cannot stand in an address.
    pub fn request(
        &self,
        endpoint: &str,
        iam_project_id: Option<&str>,
    ) -> Result<HttpRequest, RequestError> {
        let (method, path, body) = self.parts()?;
        let body = match body {
            None => Vec::new(),
            Some(body) => {
                serde_json::to_vec(&body).map_err(|error| RequestError::Json(error.to_string()))?
            }
        };
        let content_type = if body.is_empty() { BARE_JSON } else { JSON };
        Ok(HttpRequest {
            method: method.to_owned(),
            url: format!("{}{path}", endpoint.trim_end_matches('/')),
            headers: headers(content_type, iam_project_id),
            body,
        })
    }

    /// Method, path with query, and body.
    fn parts(&self) -> Result<(&'static str, String, Option<Value>), RequestError> {
        Ok(match self {
            Self::Runs { at, since, offset } => {
                let mut body = json!({
                    "offset": offset, "limit": ROWS, "sort_key": "start_time", "sort_dir": "desc",
                });
                if let Some(since) = since {
                    // Milliseconds as text: the other form that is documented has no zone.
                    body["start_time"] = since.timestamp_millis().max(0).to_string().into();
                }
                ("POST", pipeline(at, "/pipeline-runs/list")?, Some(body))
            }
            Self::Detail { at, run_id } => {
                segment("run_id", run_id)?;
                let id = utf8_percent_encode(run_id, RESERVED);
                let rest = format!("/pipeline-runs/detail?pipeline_run_id={id}");
                ("GET", pipeline(at, &rest)?, None)
            }
            Self::Queue { at, offset } => {
                let rest = format!("/queued-pipeline?limit={ROWS}&offset={offset}");
                ("GET", pipeline(at, &rest)?, None)
            }
            Self::Latest {
                project_id,
                pipeline_ids,
            } => {
                let project_id = segment("project_id", project_id)?;
                let path = format!("/v5/{project_id}/api/pipelines/status");
                ("POST", path, Some(json!(pipeline_ids)))
            }
            Self::Pipeline { at } => ("GET", pipeline(at, "")?, None),
            Self::Pipelines { project_id, offset } => {
                let project_id = segment("project_id", project_id)?;
                let body = json!({
                    "offset": offset, "limit": ROWS, "sort_key": "name", "sort_dir": "asc",
                });
                let path = format!("/v5/{project_id}/api/pipelines/list");
                ("POST", path, Some(body))
            }
            // No body in the SDKs; another client reports that the service wants one.
            Self::Stop { at, run_id } => {
                let rest = format!("/pipeline-runs/{}/stop", segment("run_id", run_id)?);
                ("POST", pipeline(at, &rest)?, Some(json!({})))
            }
            Self::CancelQueuing {
                at,
                run_id,
                queue_id,
            } => {
                let run_id = segment("run_id", run_id)?;
                let queue_id = segment("queue_id", queue_id)?;
                let rest = format!("/{run_id}/cancel-queuing/{queue_id}");
                ("POST", pipeline(at, &rest)?, Some(json!({})))
            }
        })
    }

    /// What a response to this call shows.
    pub fn read(&self, response: &HttpResponse, mask: &Mask, now: Timestamp) -> Shown {
        let fail = |why: &str| {
            let why = format!("{}: {why}", self.name());
            failed(response, mask, now, Some(&why))
        };
        match success(response).and_then(|text| self.shown(&text)) {
            Ok(Found::Shown(Shown::Run(run))) if mask.hides_in(&run.run_id) => {
                Shown::Failed(fail("the answer holds what was sent in confidence"))
            }
            Ok(Found::Shown(Shown::Runs(mut page))) => {
                let seen_at = service_clock(response);
                page.rows.iter_mut().for_each(|run| run.seen_at = seen_at);
                Shown::Runs(page)
            }
            Ok(Found::Shown(shown)) => shown,
            Ok(Found::Blank) => Shown::Blank(fail("the answer shows no run")),
            Err(why) => {
                let answer = fail(&why);
                if matches!(self, Self::Detail { .. }) && says_no_record(&answer) {
                    Shown::NoRecord(answer)
                } else {
                    Shown::Failed(answer)
                }
            }
        }
    }

    fn shown(&self, text: &str) -> Result<Found, String> {
        Ok(Found::Shown(match self {
            Self::Runs { .. } => {
                let list: RunList = parse(text)?;
                Shown::Runs(list.page("pipeline_runs")?)
            }
            Self::Queue { .. } => {
                let list: QueueList = parse(text)?;
                Shown::Queue(list.page("queuedPipelines")?)
            }
            Self::Detail { run_id, .. } => {
                let detail: Option<Detail> = parse(text)?;
                match detail.unwrap_or_default().run(run_id)? {
                    Some(run) => Shown::Run(Box::new(run)),
                    None => return Ok(Found::Blank),
                }
            }
            Self::Latest { .. } => {
                let rows: Vec<Option<RunRow>> = parse(text)?;
                if rows.len() > ROWS_MAX {
                    return Err(format!("{} rows are more than was asked for", rows.len()));
                }
                let rows = rows.into_iter().flatten();
                Shown::Latest(rows.filter_map(RunRow::latest).collect())
            }
            Self::Pipeline { at } => Shown::Pipeline(Box::new(pipelines::detail(text, at)?)),
            Self::Pipelines { .. } => Shown::Pipelines(pipelines::list(text)?),
            Self::Stop { .. } => stopped(text, "")?,
            Self::CancelQueuing { .. } => stopped(text, "true")?,
        }))
    }
}

/// What a success was found to hold.
enum Found {
    Shown(Shown),
    Blank,
}

fn pipeline(at: &PipelineAt, rest: &str) -> Result<String, RequestError> {
    let project_id = segment("project_id", &at.project_id)?;
    let pipeline_id = segment("pipeline_id", &at.pipeline_id)?;
    Ok(format!(
        "/v5/{project_id}/api/pipelines/{pipeline_id}{rest}"
    ))
}

/// The text of a response that says nothing of an error: the service refuses with status 200 too.
fn success(response: &HttpResponse) -> Result<String, String> {
    if !(200..300).contains(&response.status) {
        return Err(format!("HTTP {}", response.status));
    }
    let bytes = match &response.body {
        Body::Whole(bytes) => bytes,
        Body::Broken(why) => return Err(why.clone()),
    };
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim().to_owned();
    if text.starts_with('{') && parse::<Head>(&text)?.is_error() {
        return Err("refused".to_owned());
    }
    Ok(text)
}

pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("the answer cannot be read: {error}"))
}

/// Where an object says that it is an error. Further down codes and messages belong to jobs and steps.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    error_code: Word,
    #[serde(default, rename = "errorCode")]
    error_code_too: Word,
    #[serde(default)]
    error: Maybe<ErrorBelow>,
}

#[derive(Deserialize)]
struct ErrorBelow {
    #[serde(default)]
    code: Word,
    #[serde(default)]
    error_code: Word,
}

impl Head {
    fn is_error(&self) -> bool {
        let below = self.error.0.as_ref();
        let codes = [
            Some(&self.error_code),
            Some(&self.error_code_too),
            below.map(|error| &error.code),
            below.map(|error| &error.error_code),
        ];
        codes.into_iter().flatten().any(|code| {
            code.0
                .as_ref()
                .is_some_and(|code| error_code(&Value::String(code.clone())).is_some())
        })
    }
}

/// `{"success": true}`; `otherwise` is what is taken if it is not there.
fn stopped(text: &str, otherwise: &str) -> Result<Shown, String> {
    #[derive(Deserialize, Default)]
    struct Success {
        #[serde(default)]
        success: Word,
    }
    let success = match text {
        "" if !otherwise.is_empty() => Success::default(),
        text => parse::<Maybe<Success>>(text)?.0.unwrap_or_default(),
    };
    match success.success.0.as_deref().unwrap_or(otherwise) {
        "true" => Ok(Shown::Done),
        "false" => Err("the service says that it did not".to_owned()),
        _ => Err("the answer does not say whether it was done".to_owned()),
    }
}

#[derive(Deserialize)]
struct RunList {
    #[serde(default)]
    total: Word,
    pipeline_runs: Option<Vec<RunRow>>,
}

#[derive(Deserialize)]
struct QueueList {
    #[serde(default)]
    total: Word,
    #[serde(rename = "queuedPipelines")]
    queued: Option<Vec<QueueRow>>,
}

impl RunList {
    /// Without `total` nobody knows whether there is more, so it has to be there.
    fn page(self, name: &str) -> Result<Page<SeenRun>, String> {
        let total = self.total.number();
        if total.is_none() {
            return Err("the answer has no `total`".to_owned());
        }
        rows(name, self.pipeline_runs, total, RunRow::run)
    }
}

impl QueueList {
    /// `total` is not documented here.
    fn page(self, name: &str) -> Result<Page<QueueRecord>, String> {
        rows(name, self.queued, self.total.number(), QueueRow::record)
    }
}

/// The rows of a list, which may only be absent where the list says that it is empty. One that cannot be read spoils
/// all: it may be the run that is looked for.
pub(super) fn rows<R, T>(
    name: &str,
    rows: Option<Vec<R>>,
    total: Option<u64>,
    read: impl Fn(R) -> Option<T>,
) -> Result<Page<T>, String> {
    let rows = match rows {
        Some(rows) => rows,
        None if total == Some(0) => Vec::new(),
        None => return Err(format!("the answer has no `{name}`")),
    };
    if rows.len() > ROWS_MAX {
        return Err(format!("{} rows are more than was asked for", rows.len()));
    }
    let read_row = |(at, row)| read(row).ok_or_else(|| format!("`{name}[{at}]` names no run"));
    let rows = rows
        .into_iter()
        .enumerate()
        .map(read_row)
        .collect::<Result<_, _>>()?;
    Ok(Page { rows, total })
}

/// A row of `ListPipelineRuns`, or of `BatchShowPipelinesLatestStatus`.
#[derive(Deserialize)]
struct RunRow {
    #[serde(default)]
    pipeline_run_id: Word,
    #[serde(default)]
    pipeline_id: Word,
    #[serde(default)]
    run_number: Word,
    #[serde(default)]
    status: Word,
    #[serde(default)]
    start_time: Word,
    #[serde(default)]
    end_time: Word,
    #[serde(default)]
    stage_status_list: Many<Stage>,
}

impl RunRow {
    fn run(self) -> Option<SeenRun> {
        Some(SeenRun {
            run_id: self.pipeline_run_id.id()?,
            number: self.run_number.number(),
            status: self.status.status(),
            started_at: self.start_time.instant(),
            ended_at: self.end_time.instant(),
            seen_at: None,
            queue_id: None,
            description: None,
            failed_stage: failed_stage(&self.stage_status_list.0),
        })
    }

    fn latest(self) -> Option<LatestRun> {
        let pipeline_id = self.pipeline_id.id();
        self.run().map(|run| LatestRun { pipeline_id, run })
    }
}

#[derive(Deserialize)]
struct QueueRow {
    #[serde(default)]
    id: Word,
    #[serde(default)]
    pipeline_run_id: Word,
    #[serde(default)]
    enqueue_time: Word,
    #[serde(default)]
    status: Word,
}

impl QueueRow {
    fn record(self) -> Option<QueueRecord> {
        Some(QueueRecord {
            run_id: self.pipeline_run_id.id()?,
            queue_id: self.id.id(),
            enqueued_at: self.enqueue_time.instant(),
            status: self.status.status(),
        })
    }
}

#[derive(Deserialize, Default)]
struct Detail {
    #[serde(default)]
    id: Word,
    #[serde(default)]
    subject_id: Word,
    #[serde(default)]
    description: Value,
    #[serde(default)]
    run_number: Word,
    #[serde(default)]
    status: Word,
    #[serde(default)]
    start_time: Word,
    #[serde(default)]
    end_time: Word,
    #[serde(default)]
    stages: Many<Stage>,
}

impl Detail {
    /// The run, if there is one. It has to be the one that was asked for: without a run's id the call shows the latest
    /// run (another client reports that), and whose description that is must not be mistaken.
    fn run(self, run_id: &str) -> Result<Option<SeenRun>, String> {
        let Some(named) = self.id.id().or_else(|| self.subject_id.id()) else {
            return Ok(None);
        };
        if named != run_id {
            return Err(format!("the answer shows the run {named} instead"));
        }
        // One that cannot be read may hold our marker: it must not pass for none.
        let description = match self.description {
            Value::Null => None,
            Value::String(text) if text.len() <= TEXT_BYTES_MAX => Some(text),
            Value::String(_)
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => return Err("the run's description cannot be read".to_owned()),
        };
        Ok(Some(SeenRun {
            run_id: named,
            number: self.run_number.number(),
            status: self.status.status(),
            started_at: self.start_time.instant(),
            ended_at: self.end_time.instant(),
            seen_at: None,
            queue_id: None,
            description,
            failed_stage: failed_stage(&self.stages.0),
        }))
    }
}

#[derive(Deserialize)]
struct Stage {
    #[serde(default)]
    name: Word,
    #[serde(default)]
    identifier: Word,
    #[serde(default)]
    status: Word,
    #[serde(default)]
    sequence: Word,
}

/// The first stage that failed, by its name.
fn failed_stage(stages: &[Stage]) -> Option<String> {
    let has_failed =
        |stage: &&Stage| matches!(stage.status.0.as_deref(), Some("FAILED" | "ASYNC_FAILED"));
    let stage = stages
        .iter()
        .filter(has_failed)
        .min_by_key(|stage| stage.sequence.number().unwrap_or(u64::MAX))?;
    let shown = |word: &Word| {
        let name = Mask::none().show_word(word.0.as_deref()?);
        Some(name).filter(|name| !name.is_empty())
    };
    shown(&stage.name).or_else(|| shown(&stage.identifier))
}

/// A text, or a number or a flag as text; none if it is anything else, or too long to be of use.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Word(pub(super) Option<String>);

impl Word {
    pub(super) fn trimmed(&self) -> Option<&str> {
        let text = self.0.as_deref()?.trim();
        Some(text).filter(|text| !text.is_empty())
    }

    pub(super) fn id(&self) -> Option<String> {
        self.trimmed().and_then(plain_id)
    }

    pub(super) fn number(&self) -> Option<u64> {
        self.trimmed()?.parse().ok()
    }

    fn status(&self) -> Option<RunStatus> {
        let shown = Mask::none().show_word(self.trimmed()?);
        Some(shown).filter(|text| !text.is_empty()).map(RunStatus)
    }

    /// An instant: milliseconds since 1970 as number or text, or RFC 3339. The unit is not documented, milliseconds are
    /// the natural reading; a number that would then lie before 1973 is taken for seconds, and one beyond the year 5000
    /// for nothing. So is a text without a zone: to leave a run out of a search because of a guess could start it twice.
    fn instant(&self) -> Option<Timestamp> {
        const SECONDS_MAX: i64 = 100_000_000_000;
        let text = self.trimmed()?;
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse::<i64>().ok()? {
                0 => None,
                secs if secs < SECONDS_MAX => DateTime::from_timestamp(secs, 0),
                millis if millis < SECONDS_MAX * 1000 => DateTime::from_timestamp_millis(millis),
                _ => None,
            };
        }
        DateTime::parse_from_rfc3339(text)
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
            .map(|instant| instant.to_utc())
            .ok()
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyWord)
    }
}

struct AnyWord;

impl<'de> Visitor<'de> for AnyWord {
    type Value = Word;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Word, E> {
        Ok(Word(
            (text.len() <= TEXT_BYTES_MAX).then(|| text.to_owned()),
        ))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Word, E> {
        Ok(Word(Some(flag.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Word, E> {
        Ok(Word(Some(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Word, E> {
        Ok(Word(Some(number.to_string())))
    }

    // `1764007200000.0` is written `1764007200000`.
    fn visit_f64<E>(self, number: f64) -> Result<Word, E> {
        Ok(Word(Some(number.to_string())))
    }

    fn visit_unit<E>(self) -> Result<Word, E> {
        Ok(Word(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Word, A::Error> {
        drain_list(list).map(|()| Word(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Word, A::Error> {
        drain_object(object).map(|()| Word(None))
    }
}

fn drain_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn drain_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<(), A::Error> {
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// An object, or none in its place.
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

/// A list of objects, without what is none; empty if it is no list.
struct Many<T>(Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyObject(PhantomData))
            .map(|(one, _)| Self(one))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyObject(PhantomData))
            .map(|(_, many)| Self(many))
    }
}

/// Takes anything; keeps an object, or the objects of a list.
struct AnyObject<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AnyObject<T> {
    type Value = (Option<T>, Vec<T>);

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("anything")
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok((None, Vec::new()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok((None, Vec::new()))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok((None, Vec::new()))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok((None, Vec::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok((None, Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok((None, Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(Maybe(item)) = list.next_element::<Maybe<T>>()? {
            kept.extend(item.filter(|_| kept.len() < ROWS_MAX));
        }
        Ok((None, kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(object)).map(|one| (Some(one), Vec::new()))
    }
}
