//! Runs and pipelines as the service's JSON shows them.

use serde_json::{Value, json};

use super::answers::millis;
use super::run::{Run, RunStatus};
use super::settings::{
    DeclaredSource, DeclaredVariable, JobSettings, PipelineSettings, StageSettings,
};
use crate::domain::Timestamp;

/// What every run says of how it was started (what the real service says of runs started by its API is not known).
pub(super) const TRIGGER_TYPE: &str = "Manual";

/// The stages of a pipeline that was not set up.
const STAGES: [(&str, &str); 2] = [("build", "Build"), ("deploy", "Deploy")];

fn usual_stages() -> [StageSettings; 2] {
    STAGES.map(|(identifier, name)| StageSettings {
        identifier: identifier.to_owned(),
        name: name.to_owned(),
        jobs: vec![JobSettings::new(&format!("{identifier}-job"))],
    })
}

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    id: String,
    identifier: String,
    name: String,
    sequence: usize,
    status: &'static str,
    is_select: bool,
    jobs: Vec<(String, bool)>,
}

/// The stages of a run. They all do what the run does: which of them is at work is of no interest to anybody who
/// starts pipelines.
pub(super) fn stages(
    run: &Run,
    settings: &[StageSettings],
    id_of: impl Fn(&str) -> String,
) -> Vec<Stage> {
    let usual = usual_stages();
    let (settings, known) = if settings.is_empty() {
        (usual.as_slice(), false)
    } else {
        (settings, true)
    };
    let stage_chosen = |stage: &StageSettings| {
        // Of a pipeline that was not set up every name is taken, so none can be missing here.
        !known
            || run
                .choose_stages
                .as_ref()
                .is_none_or(|chosen| chosen.contains(&stage.identifier))
    };
    // A chosen stage wins over chosen jobs.
    let job_chosen = |job: &JobSettings| {
        !known
            || run.choose_stages.is_some()
            || run
                .choose_jobs
                .as_ref()
                .is_none_or(|chosen| chosen.contains(&job.identifier))
    };
    let stage = |(at, stage): (usize, &StageSettings)| {
        let is_select =
            stage_chosen(stage) && (stage.jobs.is_empty() || stage.jobs.iter().any(job_chosen));
        Stage {
            id: id_of(&format!("stage {} {}", run.id, stage.identifier)),
            identifier: stage.identifier.clone(),
            name: stage.name.clone(),
            sequence: at,
            status: if is_select {
                stage_status(run.status)
            } else {
                "UNSELECTED"
            },
            is_select,
            jobs: stage
                .jobs
                .iter()
                .map(|job| (job.identifier.clone(), is_select && job_chosen(job)))
                .collect(),
        }
    };
    settings.iter().enumerate().map(stage).collect()
}

fn stage_status(run: RunStatus) -> &'static str {
    match run {
        RunStatus::Queued => "INIT",
        RunStatus::Running
        | RunStatus::Completed
        | RunStatus::Failed
        | RunStatus::Canceled
        | RunStatus::Paused
        | RunStatus::Suspend
        | RunStatus::Ignored => run.name(),
    }
}

fn start_of(run: &Run) -> Timestamp {
    run.started_at.unwrap_or(run.accepted_at)
}

/// A row of `ListPipelineRuns`.
pub(super) fn row(run: &Run, stages: Vec<Stage>) -> Value {
    let (start, end) = (start_of(run), run.ended_at);
    let stages: Vec<Value> = stages
        .into_iter()
        .map(|stage| {
            // Here, and only here, the times of a stage are texts.
            json!({
                "id": stage.id,
                "name": stage.name,
                "sequence": stage.sequence,
                "status": stage.status,
                "start_time": start.timestamp_millis().to_string(),
                "end_time": end.map(|end| end.timestamp_millis().to_string()),
            })
        })
        .collect();
    json!({
        "pipeline_run_id": run.id,
        "pipeline_id": run.pipeline_id,
        "run_number": run.run_number,
        "status": run.status.name(),
        "trigger_type": TRIGGER_TYPE,
        "start_time": millis(start),
        "end_time": end.map(millis),
        "executor_id": run.executor.id,
        "executor_name": run.executor.name,
        "stage_status_list": stages,
        "build_params": build_params(run),
        "artifact_params": null,
        "detail_url": "",
        "modify_url": "",
    })
}

fn first_source(run: &Run) -> &Value {
    run.sources
        .get(0)
        .and_then(|source| source.get("params"))
        .unwrap_or(&Value::Null)
}

fn build_params(run: &Run) -> Value {
    let source = first_source(run);
    let given = source.get("build_params").unwrap_or(&Value::Null);
    json!({
        "action": null,
        "build_type": given.get("build_type"),
        "commit_id": null,
        "event_type": given.get("event_type"),
        "merge_id": null,
        "message": null,
        "source_branch": null,
        "tag": given.get("tag"),
        "target_branch": given.get("target_branch"),
        "codehub_id": source.get("codehub_id"),
        "git_url": source.get("git_url"),
    })
}

/// The answer of `ShowPipelineRunDetail`: the only one that gives the description back.
pub(super) fn detail(run: &Run, pipeline_name: &str, stages: Vec<Stage>, clock: Value) -> Value {
    let (start, end) = (start_of(run), run.ended_at);
    let stages: Vec<Value> = stages
        .into_iter()
        .map(|stage| detail_stage(run, stage))
        .collect();
    let mut value = json!({
        "id": run.id,
        "subject_id": run.id,
        "pipeline_id": run.pipeline_id,
        "project_id": run.project_id,
        "name": pipeline_name,
        "status": run.status.name(),
        "run_number": run.run_number,
        "trigger_type": TRIGGER_TYPE,
        "start_time": millis(start),
        "end_time": end.map(millis),
        "pause_time": run.paused_at.map(millis),
        "current_system_time": clock,
        "executor_id": run.executor.id,
        "executor_name": run.executor.name,
        "stages": stages,
        "sources": detail_sources(run),
        "is_publish": false,
        "manifest_version": "3.0",
        "domain_id": super::dice::id_of("domain"),
        "region": "",
        "component_id": "",
        "language": "en-us",
        "artifacts": [],
        "group_id": null,
        "group_name": null,
        "detail_url": "",
    });
    if let (Value::Object(object), Some(description)) = (&mut value, &run.description) {
        object.insert("description".to_owned(), description.clone().into());
    }
    value
}

fn detail_stage(run: &Run, stage: Stage) -> Value {
    let (start, end) = (millis(start_of(run)), run.ended_at.map(millis));
    let jobs: Vec<Value> = stage
        .jobs
        .into_iter()
        .map(|(identifier, is_select)| {
            json!({
                "identifier": identifier,
                "name": identifier,
                "status": if is_select { stage.status } else { "UNSELECTED" },
                "is_select": is_select,
                "message": "",
                "steps": [],
            })
        })
        .collect();
    json!({
        "id": stage.id,
        "identifier": stage.identifier,
        "name": stage.name,
        "status": stage.status,
        "is_select": stage.is_select,
        "sequence": stage.sequence,
        "start_time": start,
        "end_time": end,
        "pre": [],
        "post": [],
        "jobs": jobs,
    })
}

fn detail_sources(run: &Run) -> Value {
    let sources = run
        .sources
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    sources
        .iter()
        .map(|source| {
            let params = source.get("params").unwrap_or(&Value::Null);
            json!({
                "type": source.get("type"),
                "params": {
                    "git_type": params.get("git_type"),
                    "git_url": params.get("git_url"),
                    "ssh_git_url": "",
                    "web_url": "",
                    "repo_name": "",
                    "default_branch": params.get("default_branch"),
                    "endpoint_id": params.get("endpoint_id"),
                    "codehub_id": params.get("codehub_id"),
                    "alias": params.get("alias"),
                    "build_params": params.get("build_params"),
                },
            })
        })
        .collect()
}

/// A record of `queued-pipeline`: no description in it.
pub(super) fn queued(run: &Run, since: Timestamp) -> Value {
    json!({
        "id": run.queue_id,
        "pipeline_run_id": run.id,
        "enqueue_time": millis(since),
        "trigger_type": TRIGGER_TYPE,
        "status": run.status.name(),
        "creator_id": run.executor.id,
        "creator_name": run.executor.name,
    })
}

fn variable(
    sequence: usize,
    name: &str,
    value: &str,
    declared: Option<&DeclaredVariable>,
) -> Value {
    let is_secret = declared.is_some_and(|declared| declared.is_secret);
    let limits = declared.map_or(&[][..], |declared| &declared.limits);
    json!({
        "name": name,
        "value": if is_secret { "******" } else { value },
        "sequence": sequence,
        "type": if limits.is_empty() { "string" } else { "enum" },
        "is_secret": is_secret,
        "is_runtime": declared.is_none_or(|declared| declared.is_runtime),
        "is_reset": false,
        "latest_value": "",
        "required": declared.map_or(Some(true), |declared| declared.is_required),
        "limits": limits,
        "description": declared.map_or("", |declared| &declared.description),
        "variableGroupName": null,
    })
}

/// A parameter that a pipeline declares.
pub(super) fn declared_variable(declared: &DeclaredVariable) -> Value {
    variable(0, &declared.name, &declared.value, Some(declared))
}

/// A run's custom parameters: those declared, with the run's value; then what the run has beyond them. Of a name
/// given twice the last value counts.
pub(super) fn custom_variables(run: &Run, pipeline: &PipelineSettings) -> Vec<Value> {
    let value_of = |name: &str| {
        run.variables
            .iter()
            .rev()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    };
    let declared = pipeline
        .variables
        .iter()
        .map(|declared| (declared.name.as_str(), Some(declared)));
    let mut names: Vec<(&str, Option<&DeclaredVariable>)> = declared.collect();
    for (name, _) in &run.variables {
        if names.iter().all(|(have, _)| have != name) {
            names.push((name, None));
        }
    }
    names
        .into_iter()
        .enumerate()
        .map(|(at, (name, declared))| {
            let value = value_of(name)
                .or_else(|| declared.map(|it| it.value.as_str()))
                .unwrap_or_default();
            variable(at + 1, name, value, declared)
        })
        .collect()
}

/// What the service itself sets in every run.
pub(super) fn system_variables(run: &Run) -> Vec<Value> {
    [
        ("PROJECT_ID", run.project_id.clone()),
        ("PIPELINE_ID", run.pipeline_id.clone()),
        ("PIPELINE_RUN_ID", run.id.clone()),
        ("PIPELINE_NUMBER", run.run_number.to_string()),
        ("PIPELINE_TRIGGER_TYPE", TRIGGER_TYPE.to_owned()),
    ]
    .iter()
    .enumerate()
    .map(|(at, (name, value))| variable(at + 1, name, value, None))
    .collect()
}

/// A row of `ListPipelines`.
pub(super) fn pipeline_row(
    pipeline: &PipelineSettings,
    created_at: Timestamp,
    latest_run: Option<Value>,
) -> Value {
    json!({
        "pipeline_id": pipeline.pipeline_id,
        "name": pipeline.name,
        "project_id": pipeline.project_id,
        "banned": pipeline.is_banned,
        "description": "",
        "create_time": millis(created_at),
        "latest_run": latest_run,
    })
}

/// The answer of `ShowPipelineDetail`.
pub(super) fn pipeline(pipeline: &PipelineSettings, concurrency: &Value) -> Value {
    let stages: Vec<Value> = pipeline
        .stages
        .iter()
        .enumerate()
        .map(|(at, stage)| {
            let jobs: Vec<Value> = stage
                .jobs
                .iter()
                .map(|job| json!({"identifier": job.identifier, "name": job.name}))
                .collect();
            json!({"identifier": stage.identifier, "name": stage.name, "sequence": at, "jobs": jobs})
        })
        .collect();
    let mut shown = json!({
        "id": pipeline.pipeline_id,
        "name": pipeline.name,
        "project_id": pipeline.project_id,
        "banned": pipeline.is_banned,
        "deleted": false,
        "is_publish": false,
        "concurrency_control": concurrency,
    });
    // What takes every name shows none.
    if pipeline.is_shown {
        shown["sources"] = pipeline.sources.iter().map(source).collect();
        shown["variables"] = pipeline.variables.iter().map(declared_variable).collect();
        // A text that holds JSON, as the service has it.
        shown["definition"] = json!({"stages": stages}).to_string().into();
    }
    shown
}

fn source(source: &DeclaredSource) -> Value {
    json!({
        "type": "code",
        "params": {
            "git_type": source.git_type,
            "git_url": source.git_url,
            "codehub_id": source.codehub_id,
            "endpoint_id": source.endpoint_id,
            "alias": source.alias,
            "default_branch": source.default_branch,
        },
    })
}
