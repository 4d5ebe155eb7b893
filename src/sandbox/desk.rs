//! The pipeline service's calls that change something: start, stop, run again, leave the queue.

use serde_json::{Value, json};

use super::answers;
use super::body::{self, Flaw, Shape, items, text, texts};
use super::message::{Request, Response};
use super::run::{Executor, RunStatus};
use super::settings::{PipelineSettings, Undeclared};
use super::store::{Order, Started, Store, Wishes};
use crate::domain::Timestamp;

/// The service's habits that a setting fixes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    pub(super) known_pipelines_only: bool,
    pub(super) queued_listed: bool,
    pub(super) list_rows_max: u32,
}

/// One call being served: what it may touch and what it knows.
#[derive(Debug)]
pub(super) struct Desk<'a> {
    pub(super) store: &'a mut Store,
    pub(super) habits: Habits,
    /// The service's clock.
    pub(super) now: Timestamp,
    /// What `current_system_time` is off by, in seconds.
    pub(super) skew_secs: i64,
    pub(super) executor: Executor,
    pub(super) wishes: Wishes,
}

/// What a call came to.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) response: Response,
    /// The run that it started.
    pub(super) run_id: Option<String>,
}

impl From<Response> for Done {
    fn from(response: Response) -> Self {
        Self {
            response,
            run_id: None,
        }
    }
}

impl Desk<'_> {
    /// Whether there is such a pipeline in such a project, as far as this sandbox cares.
    pub(super) fn place(&self, project_id: &str, pipeline_id: &str) -> Result<(), Response> {
        self.project(project_id)?;
        if !body::is_id(pipeline_id) {
            return Err(answers::wrong_parameter(
                "pipeline_id has not 32 letters and digits",
            ));
        }
        match self.store.pipeline(pipeline_id) {
            Some(pipeline) if pipeline.settings.project_id != project_id => Err(answers::refusal(
                "DEVPIPE.00011136",
                "The project does not own this pipeline",
            )),
            None if self.habits.known_pipelines_only => Err(answers::refusal(
                "DEVPIPE.00011401",
                "The pipeline does not exist",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether there is such a project.
    pub(super) fn project(&self, project_id: &str) -> Result<(), Response> {
        if !body::is_id(project_id) {
            return Err(answers::wrong_parameter(
                "project_id has not 32 letters and digits",
            ));
        }
        let known = || {
            self.store
                .pipelines()
                .any(|pipeline| pipeline.settings.project_id == project_id)
        };
        if self.habits.known_pipelines_only && !known() {
            let message = "The project does not exist, or the user is not a member of it";
            return Err(answers::refusal("DEVPIPE.00011412", message));
        }
        Ok(())
    }

    /// `RunPipeline`.
    pub(super) fn start(&mut self, request: &Request, project_id: &str, pipeline_id: &str) -> Done {
        match self.order(request, project_id, pipeline_id) {
            Err(response) => response.into(),
            Ok(order) => started(
                self.store.start(self.now, order),
                |run_id| json!({"pipeline_run_id": run_id}),
            ),
        }
    }

    fn order(
        &self,
        request: &Request,
        project_id: &str,
        pipeline_id: &str,
    ) -> Result<Order, Response> {
        self.place(project_id, pipeline_id)?;
        let body = read(request, &body::RUN)?;
        body::check_run(&body).map_err(|what| answers::wrong_body(&what))?;
        let mut order = Order {
            project_id: project_id.to_owned(),
            pipeline_id: pipeline_id.to_owned(),
            description: text(&body, "description").map(str::to_owned),
            variables: items(&body, "variables")
                .iter()
                .filter_map(|variable| {
                    Some((
                        text(variable, "name")?.to_owned(),
                        text(variable, "value")?.to_owned(),
                    ))
                })
                .collect(),
            sources: body.get("sources").cloned().unwrap_or(Value::Null),
            choose_jobs: texts(&body, "choose_jobs"),
            choose_stages: texts(&body, "choose_stages"),
            executor: self.executor.clone(),
            wishes: self.wishes,
        };
        if let Some(pipeline) = self.store.pipeline(pipeline_id) {
            if pipeline.settings.is_banned {
                let message = "The pipeline is disabled";
                return Err(answers::refusal("SANDBOX.BANNED", message));
            }
            check_choice(&pipeline.settings, &order).map_err(|what| answers::wrong_body(&what))?;
            take_declared(&pipeline.settings, &mut order)
                .map_err(|what| answers::wrong_body(&what))?;
        }
        Ok(order)
    }

    /// `StopPipelineRun`.
    pub(super) fn stop(&mut self, request: &Request, pipeline_id: &str, run_id: &str) -> Response {
        if let Err(response) = read_if_there(request, &body::NOTHING) {
            return response;
        }
        let Some(run) = self
            .store
            .run(run_id)
            .filter(|run| run.pipeline_id == pipeline_id && run.is_known(self.now))
        else {
            return answers::no_record("pipeline run");
        };
        let success = !run.status.is_over();
        if success {
            self.store.force(self.now, run_id, RunStatus::Canceled);
        }
        Response::json(200, &json!({"success": success}))
    }

    /// `RetryPipelineRun`.
    pub(super) fn retry(&mut self, request: &Request, pipeline_id: &str, run_id: &str) -> Response {
        if let Err(response) = read_if_there(request, &body::RETRY) {
            return response;
        }
        let known = self
            .store
            .run(run_id)
            .is_some_and(|run| run.pipeline_id == pipeline_id && run.is_known(self.now));
        if !known {
            return answers::no_record("pipeline run");
        }
        match self.store.retry(self.now, run_id) {
            None => answers::no_record("pipeline run"),
            Some(Ok(None)) => Response::json(200, &json!({"success": false})),
            Some(Ok(Some(again))) => started(Ok(again), |_| json!({"success": true})).response,
            Some(Err(refused)) => answers::not_started(&refused),
        }
    }

    /// `cancel-queuing`.
    pub(super) fn cancel_queuing(
        &mut self,
        request: &Request,
        pipeline_id: &str,
        run_id: &str,
        queue_id: &str,
    ) -> Response {
        if let Err(response) = read(request, &body::NOTHING) {
            return response;
        }
        let waits = self.store.queue_of(pipeline_id).any(|(run, _)| {
            run.id == run_id && run.queue_id.as_deref() == Some(queue_id) && run.is_known(self.now)
        });
        if !waits {
            return answers::no_record("queued pipeline run");
        }
        self.store.force(self.now, run_id, RunStatus::Canceled);
        Response::json(200, &json!({"success": true}))
    }
}

/// What a start came to, as the service words it.
fn started(
    outcome: Result<Started, super::store::Refused>,
    success: impl Fn(&str) -> Value,
) -> Done {
    match outcome {
        Ok(Started::Running { run_id }) => Done {
            response: Response::json(200, &success(&run_id)),
            run_id: Some(run_id),
        },
        Ok(Started::Queued {
            run_id,
            queue_id,
            limit,
        }) => Done {
            response: answers::queued(&run_id, &queue_id, limit),
            run_id: Some(run_id),
        },
        Err(refused) => answers::not_started(&refused).into(),
    }
}

/// Reads and checks a body that has to be there.
pub(super) fn read(request: &Request, shape: &Shape) -> Result<Value, Response> {
    let unreadable = |why: &str| answers::failure(400, "PARSE_REQUEST_DATA_EXCEPTION", why);
    let is_json = request.header_text("content-type").is_some_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    let value = body::check(&request.body, shape).map_err(|flaw| match flaw {
        Flaw::Unreadable(why) => unreadable(&format!("Cannot parse the request data: {why}")),
        Flaw::Wrong(what) => answers::wrong_body(&what),
    })?;
    if !is_json {
        return Err(unreadable(
            "Cannot parse the request data: Content-Type is not application/json",
        ));
    }
    Ok(value)
}

/// The same for calls that the SDKs send without a body.
fn read_if_there(request: &Request, shape: &Shape) -> Result<(), Response> {
    if request.body.is_empty() {
        return Ok(());
    }
    read(request, shape).map(|_| ())
}

/// Where a pipeline's stages are known, the chosen ones have to be among them.
fn check_choice(pipeline: &PipelineSettings, order: &Order) -> Result<(), String> {
    if pipeline.stages.is_empty() && !pipeline.is_shown {
        return Ok(());
    }
    let stages: Vec<&str> = pipeline
        .stages
        .iter()
        .map(|stage| stage.identifier.as_str())
        .collect();
    let jobs: Vec<&str> = pipeline
        .stages
        .iter()
        .flat_map(|stage| &stage.jobs)
        .map(|job| job.identifier.as_str())
        .collect();
    for (field, chosen, known) in [
        ("choose_stages", &order.choose_stages, &stages),
        ("choose_jobs", &order.choose_jobs, &jobs),
    ] {
        let stray = chosen
            .iter()
            .flatten()
            .enumerate()
            .find(|(_, name)| !known.contains(&name.as_str()));
        if let Some((at, name)) = stray {
            return Err(format!("{field}[{at}]: the pipeline has no {name:?}"));
        }
    }
    Ok(())
}

/// Where a pipeline's parameters are known, what happens to others is a setting.
fn take_declared(pipeline: &PipelineSettings, order: &mut Order) -> Result<(), String> {
    if pipeline.variables.is_empty() && !pipeline.is_shown {
        return Ok(());
    }
    let is_declared = |name: &str| {
        pipeline
            .variables
            .iter()
            .any(|declared| declared.name == name)
    };
    match pipeline.undeclared {
        Undeclared::Accept => {}
        Undeclared::Drop => order.variables.retain(|(name, _)| is_declared(name)),
        Undeclared::Refuse => {
            if let Some((at, (name, _))) = order
                .variables
                .iter()
                .enumerate()
                .find(|(_, (name, _))| !is_declared(name))
            {
                return Err(format!(
                    "variables[{at}].name: the pipeline declares no {name:?}"
                ));
            }
        }
    }
    Ok(())
}
