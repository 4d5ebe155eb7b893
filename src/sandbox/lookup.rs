//! The pipeline service's calls that only look.

use std::cmp::Reverse;

use chrono::NaiveDateTime;
use serde_json::{Value, json};

use super::answers::{self, millis};
use super::body::{self, items, text};
use super::desk::{Desk, read};
use super::dice;
use super::message::{Request, Response};
use super::run::Run;
use super::settings::{Exceed, PipelineSettings};
use super::show;
use crate::domain::Timestamp;

/// Rows of a list when the request does not say how many.
const ROWS: u64 = 10;

/// Milliseconds since 1970 in the text of a filter: a number, or `yyyy-MM-dd HH:mm:ss` (in UTC; which zone the real
/// service means is not known).
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let instant = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    Some(instant.and_utc().timestamp_millis())
}

impl Desk<'_> {
    /// What the service says its time is.
    fn clock(&self) -> Value {
        millis(self.now).as_i64().map_or(Value::Null, |now| {
            now.saturating_add(self.skew_secs.saturating_mul(1000))
                .into()
        })
    }

    /// Whether a run is in lists.
    fn is_listed(&self, run: &Run) -> bool {
        let waits = run.status == super::run::RunStatus::Queued;
        run.is_known(self.now)
            && run.listed_from <= self.now
            && (self.habits.queued_listed || !waits)
    }

    /// `ListPipelineRuns`.
    pub(super) fn list(&self, request: &Request, pipeline_id: &str) -> Response {
        let body = match read(request, &body::LIST) {
            Ok(body) => body,
            Err(response) => return response,
        };
        let filter = Filter::new(&body);
        let mut rows: Vec<&Run> = self
            .store
            .runs_of(pipeline_id)
            .filter(|run| self.is_listed(run) && filter.takes(run))
            .collect();
        let key = |run: &Run| match text(&body, "sort_key") {
            Some("end_time") => (run.ended_at, run.run_number),
            Some("update_time") => (Some(updated_at(run)), run.run_number),
            Some(_) | None => (Some(start_of(run)), run.run_number),
        };
        if text(&body, "sort_dir") == Some("asc") {
            rows.sort_by_key(|run| key(run));
        } else {
            rows.sort_by_key(|run| Reverse(key(run)));
        }
        let page = Page::of_body(&body, self.habits.list_rows_max);
        let runs: Vec<Value> = page
            .cut(&rows)
            .map(|run| show::row(run, self.stages(run)))
            .collect();
        Response::json(
            200,
            &json!({"offset": page.offset, "limit": page.limit, "total": rows.len(), "pipeline_runs": runs}),
        )
    }

    /// `ShowPipelineRunDetail`.
    pub(super) fn detail(&self, request: &Request, pipeline_id: &str) -> Response {
        let number = request.query_value("pipeline_run_number");
        let run = match (request.query_value("pipeline_run_id"), number) {
            (Some(id), _) if !body::is_id(&id) => {
                return answers::wrong_parameter("pipeline_run_id has not 32 letters and digits");
            }
            // Asked for by its id, a run is shown before any list has it.
            (Some(id), _) => self.store.run(&id).filter(|run| {
                let waits = run.status == super::run::RunStatus::Queued;
                run.pipeline_id == pipeline_id
                    && run.is_known(self.now)
                    && (self.habits.queued_listed || !waits)
            }),
            (None, Some(number)) => self
                .store
                .runs_of(pipeline_id)
                .find(|run| run.run_number.to_string() == number && self.is_listed(run)),
            (None, None) => self
                .store
                .runs_of(pipeline_id)
                .rev()
                .find(|run| self.is_listed(run)),
        };
        let Some(run) = run else {
            return answers::no_record("pipeline run");
        };
        let name = self.pipeline_settings(&run.project_id, pipeline_id).name;
        Response::json(
            200,
            &show::detail(run, &name, self.stages(run), self.clock()),
        )
    }

    /// `ListRunVariables`.
    pub(super) fn variables(&self, request: &Request, pipeline_id: &str, run_id: &str) -> Response {
        let mode = request.query_value("mode");
        let mode = match mode.as_deref() {
            Some(mode @ ("0" | "1" | "2")) => mode,
            Some(_) => return answers::wrong_parameter("mode is none of 0, 1, 2"),
            None => return answers::wrong_parameter("mode is required"),
        };
        let Some(run) = self
            .store
            .run(run_id)
            .filter(|run| run.pipeline_id == pipeline_id && run.is_known(self.now))
        else {
            return answers::no_record("pipeline run");
        };
        let list = match mode {
            "0" => {
                show::custom_variables(run, &self.pipeline_settings(&run.project_id, pipeline_id))
            }
            "1" => show::system_variables(run),
            _ => Vec::new(),
        };
        Response::json(200, &Value::Array(list))
    }

    /// `queued-pipeline`.
    pub(super) fn queue(&self, request: &Request, pipeline_id: &str) -> Response {
        let page = match Page::of_query(request, self.habits.list_rows_max) {
            Ok(page) => page,
            Err(response) => return response,
        };
        let rows: Vec<(&Run, Timestamp)> = self
            .store
            .queue_of(pipeline_id)
            .filter(|(run, _)| run.is_known(self.now))
            .collect();
        let queued: Vec<Value> = page
            .cut(&rows)
            .map(|(run, since)| show::queued(run, *since))
            .collect();
        Response::json(
            200,
            &json!({"offset": page.offset, "limit": page.limit, "total": rows.len(), "queuedPipelines": queued}),
        )
    }

    /// `trigger-failed-record`.
    pub(super) fn failed_triggers(&self, request: &Request, pipeline_id: &str) -> Response {
        let page = match Page::of_query(request, self.habits.list_rows_max) {
            Ok(page) => page,
            Err(response) => return response,
        };
        let rows: Vec<Value> = self
            .store
            .pipeline(pipeline_id)
            .into_iter()
            .flat_map(|pipeline| pipeline.failed_triggers.iter().rev())
            .map(|failed| {
                json!({
                    "trigger_type": "Manual",
                    "trigger_time": millis(failed.at),
                    "executor_id": failed.executor.id,
                    "executor_name": failed.executor.name,
                    "reason": failed.reason,
                })
            })
            .collect();
        let shown: Vec<&Value> = page.cut(&rows).collect();
        Response::json(
            200,
            &json!({"offset": page.offset, "limit": page.limit, "total": rows.len(), "triggerFailedRecordVOS": shown}),
        )
    }

    /// `list-runtime-vars`.
    pub(super) fn runtime_variables(&self, project_id: &str, pipeline_id: &str) -> Response {
        let pipeline = self.pipeline_settings(project_id, pipeline_id);
        let list: Vec<Value> = pipeline
            .variables
            .iter()
            .filter(|declared| declared.is_runtime)
            .map(show::declared_variable)
            .collect();
        Response::json(200, &Value::Array(list))
    }

    /// `ListPipelines`. Its filters are not all documented, so what is not known is passed over.
    pub(super) fn pipelines(&self, request: &Request, project_id: &str) -> Response {
        let body = match body::read(&request.body) {
            Ok(body @ Value::Object(_)) => body,
            Ok(_) => return answers::wrong_body("body: an object is wanted"),
            Err(_) => {
                return answers::failure(
                    400,
                    "PARSE_REQUEST_DATA_EXCEPTION",
                    "Cannot parse the request data",
                );
            }
        };
        let name = text(&body, "name").unwrap_or_default();
        let projects = items(&body, "project_ids");
        let takes = |settings: &PipelineSettings| {
            let project = &settings.project_id;
            let in_projects =
                projects.is_empty() || projects.iter().any(|id| id.as_str() == Some(project));
            settings.name.contains(name)
                && in_projects
                && (project == project_id || !projects.is_empty())
        };
        let rows: Vec<Value> = self
            .store
            .pipelines()
            .filter(|pipeline| takes(&pipeline.settings))
            .map(|pipeline| {
                show::pipeline_row(
                    &pipeline.settings,
                    pipeline.created_at,
                    self.latest_row(&pipeline.settings.pipeline_id),
                )
            })
            .collect();
        let page = Page::of_body(&body, self.habits.list_rows_max);
        let shown: Vec<&Value> = page.cut(&rows).collect();
        Response::json(
            200,
            &json!({
                "offset": page.offset, "limit": page.limit, "total": rows.len(),
                "current_system_time": self.clock(), "pipelines": shown,
            }),
        )
    }

    /// `ShowPipelineDetail`.
    pub(super) fn pipeline(&self, project_id: &str, pipeline_id: &str) -> Response {
        let settings = self.pipeline_settings(project_id, pipeline_id);
        let concurrency = self.store.concurrency_of(pipeline_id);
        let exceed = match concurrency.exceed {
            Exceed::Abort => "ABORT",
            Exceed::Queue => "QUEUE",
        };
        let control = json!({
            "concurrency_number": concurrency.runs_max.unwrap_or(0),
            "exceed_action": exceed,
            "enable": concurrency.runs_max.is_some(),
        });
        Response::json(200, &show::pipeline(&settings, &control))
    }

    /// `BatchShowPipelinesLatestStatus`.
    pub(super) fn latest_status(&self, request: &Request, project_id: &str) -> Response {
        let body = match read(request, &body::IDS) {
            Ok(body) => body,
            Err(response) => return response,
        };
        let ids = body.as_array().map(Vec::as_slice).unwrap_or_default();
        let rows: Vec<Value> = ids
            .iter()
            .filter_map(Value::as_str)
            .filter(|id| {
                self.store
                    .pipeline(id)
                    .is_some_and(|it| it.settings.project_id == project_id)
            })
            .filter_map(|id| self.latest_row(id))
            .collect();
        Response::json(200, &Value::Array(rows))
    }

    fn latest_row(&self, pipeline_id: &str) -> Option<Value> {
        let run = self
            .store
            .runs_of(pipeline_id)
            .rev()
            .find(|run| self.is_listed(run))?;
        Some(show::row(run, self.stages(run)))
    }

    /// A pipeline as it was set up, or as it would be made on first use.
    fn pipeline_settings(&self, project_id: &str, pipeline_id: &str) -> PipelineSettings {
        self.store.pipeline(pipeline_id).map_or_else(
            || PipelineSettings::new(project_id, pipeline_id),
            |pipeline| pipeline.settings.clone(),
        )
    }

    fn stages(&self, run: &Run) -> Vec<show::Stage> {
        let settings = self
            .store
            .pipeline(&run.pipeline_id)
            .map(|pipeline| &pipeline.settings);
        show::stages(
            run,
            settings.map(|it| it.stages.as_slice()).unwrap_or_default(),
            dice::id_of,
        )
    }
}

fn start_of(run: &Run) -> Timestamp {
    run.started_at.unwrap_or(run.accepted_at)
}

fn updated_at(run: &Run) -> Timestamp {
    run.ended_at
        .or(run.paused_at)
        .unwrap_or_else(|| start_of(run))
}

/// What a list is to hold.
struct Filter<'a> {
    body: &'a Value,
    from: Option<i64>,
    to: Option<i64>,
}

impl<'a> Filter<'a> {
    fn new(body: &'a Value) -> Self {
        let time = |name| text(body, name).and_then(milliseconds);
        Self {
            body,
            from: time("start_time"),
            to: time("end_time"),
        }
    }

    /// The times mean the start of a run, both ends included.
    fn takes(&self, run: &Run) -> bool {
        let start = start_of(run).timestamp_millis();
        let one_of = |field, word: &str| {
            let words = items(self.body, field);
            words.is_empty() || words.iter().any(|wanted| wanted.as_str() == Some(word))
        };
        self.from.is_none_or(|from| start >= from)
            && self.to.is_none_or(|to| start <= to)
            && one_of("status", run.status.name())
            && one_of("trigger_type", show::TRIGGER_TYPE)
            && one_of("executor_ids", &run.executor.id)
    }
}

/// Which rows of a list are wanted.
struct Page {
    offset: u64,
    limit: u64,
}

impl Page {
    fn of_body(body: &Value, most: u32) -> Self {
        let number = |name| body.get(name).and_then(Value::as_u64);
        Self::new(number("offset"), number("limit"), most)
    }

    fn of_query(request: &Request, most: u32) -> Result<Self, Response> {
        let number = |name: &str| match request.query_value(name).map(|text| text.parse::<u64>()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(answers::wrong_parameter(&format!(
                "{name} is not an integer from 0"
            ))),
        };
        Ok(Self::new(number("offset")?, number("limit")?, most))
    }

    fn new(offset: Option<u64>, limit: Option<u64>, most: u32) -> Self {
        Self {
            offset: offset.unwrap_or(0),
            limit: limit.unwrap_or(ROWS).min(most.into()),
        }
    }

    fn cut<'a, T>(&self, rows: &'a [T]) -> impl Iterator<Item = &'a T> {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        rows.iter().skip(size(self.offset)).take(size(self.limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_both_forms_of_time() {
        assert_eq!(milliseconds("1709618828000"), Some(1_709_618_828_000));
        assert_eq!(milliseconds("2024-03-05 06:07:08"), Some(1_709_618_828_000));
        for text in [
            "",
            "-1",
            "2024-03-05",
            "2024-03-05T06:07:08Z",
            "99999999999999999999",
            "now",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
