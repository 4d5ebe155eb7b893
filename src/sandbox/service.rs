//! The service: a request and the time go in, what becomes of the request comes out. No sockets and no clock, so that
//! a simulation can have it as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use super::answers;
use super::call::Call;
use super::control;
use super::desk::{Desk, Done, Habits};
use super::dice;
use super::faults::{Canned, Effect, Fault, FaultRule, Faults, Loss};
use super::gate::Gate;
use super::iam::{self, Projects};
use super::log::{RequestRecord, Requests};
use super::message::{Hangup, Outcome, Pace, Request, Response, Ticket, Welcome, decode};
use super::run::{Run, RunStatus};
use super::settings::{Metadata, Settings};
use super::store::{Store, Wishes};
use crate::domain::{Timestamp, after};

/// The most requests that wait to be carried out late, and the most answers of such that wait to be fetched.
const LATE_MAX: usize = 1_000;
/// The most bytes that such requests may have together.
const LATE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a path asks for, and of what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Asked {
    call: Option<Call>,
    project: String,
    pipeline: String,
    run: String,
    queue: String,
}

/// A request that is carried out later.
#[derive(Debug)]
struct Late {
    request: Request,
    asked: Asked,
    effect: Effect,
}

/// The stand-in for CodeArts Pipeline, IAM and the instance metadata service.
#[derive(Debug)]
pub struct Service {
    gate: Gate,
    store: Store,
    projects: Projects,
    metadata: Metadata,
    habits: Habits,
    skew: TimeDelta,
    faults: Faults,
    refusing_until: Option<Timestamp>,
    late: BTreeMap<(Timestamp, Ticket), Late>,
    late_bytes: usize,
    late_answers: BTreeMap<Ticket, Outcome>,
    tickets: u64,
    requests: Requests,
    seed: u64,
}

impl Service {
    /// A service that behaves like this. All its chance hangs on `seed`.
    pub fn new(settings: &Settings, seed: u64, now: Timestamp) -> Self {
        let mut service = Self {
            gate: Gate::new(settings, seed),
            store: Store::new(settings, seed, now),
            projects: Projects(settings.iam_projects.clone()),
            metadata: settings.metadata,
            habits: Habits {
                known_pipelines_only: settings.known_pipelines_only,
                queued_listed: settings.queued_listed,
                list_rows_max: settings.list_rows_max,
            },
            skew: TimeDelta::try_seconds(settings.clock_skew_secs).unwrap_or_default(),
            faults: Faults::new(seed),
            refusing_until: None,
            late: BTreeMap::new(),
            late_bytes: 0,
            late_answers: BTreeMap::new(),
            tickets: 0,
            requests: Requests::default(),
            seed,
        };
        for rule in &settings.faults {
            service.push_fault(now, rule.clone());
        }
        service
    }

    /// What becomes of a connection that is opened now.
    pub fn connect(&mut self, now: Timestamp) -> Welcome {
        if self.refusing_for(now).is_some() {
            Welcome::Refused
        } else if self.faults.strike_connection() {
            Welcome::Reset
        } else {
            Welcome::Served
        }
    }

    /// For how long nobody listens, if that is so now.
    pub fn refusing_for(&self, now: Timestamp) -> Option<Duration> {
        let now = self.clock(now);
        self.refusing_until
            .filter(|until| now < *until)
            .map(|until| (until - now).to_std().unwrap_or_default())
    }

    /// Deals with a request.
    pub fn handle(&mut self, now: Timestamp, request: &Request) -> Outcome {
        self.advance(now);
        if self.refusing_for(now).is_some() {
            return Outcome::Silence(Hangup::Reset);
        }
        if let Some(path) = request.path().strip_prefix(control::PATH) {
            return Outcome::now(control::answer(self, now, request, path));
        }
        let now = self.clock(now);
        let asked = route(request);
        let pipeline = Some(asked.pipeline.as_str()).filter(|id| !id.is_empty());
        let effect = self.faults.strike(asked.call(), pipeline);
        if let Some(hangup) = effect.dropped() {
            self.note(now, request, &asked, &effect, Noted::default());
            return Outcome::Silence(hangup);
        }
        match effect.late() {
            Some(wait) => self.put_off(now, wait, request, asked, effect),
            None => self.carry_out(now, request, &asked, &effect),
        }
    }

    /// What became of a request that was put off: its outcome once it was carried out, else how long that takes yet.
    /// The outcome is given once.
    pub fn collect(&mut self, now: Timestamp, ticket: Ticket) -> Outcome {
        self.advance(now);
        if let Some(outcome) = self.late_answers.remove(&ticket) {
            return outcome;
        }
        let now = self.clock(now);
        match self.late.keys().find(|(_, waiting)| *waiting == ticket) {
            Some((due, _)) => Outcome::Later {
                after: (*due - now).to_std().unwrap_or_default(),
                ticket,
            },
            None => Outcome::Silence(Hangup::Close),
        }
    }

    /// Lets everything happen that is due by `now`: runs begin and end, and requests that were put off are carried out.
    /// Every other method that is told the time does this first. Calling it more often changes nothing.
    pub fn advance(&mut self, now: Timestamp) {
        let now = self.clock(now);
        while let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((due, ticket), late) = entry.remove_entry();
            self.late_bytes = self.late_bytes.saturating_sub(late.request.body.len());
            self.store.advance(due);
            let outcome = self.carry_out(due, &late.request, &late.asked, &late.effect);
            self.late_answers.insert(ticket, outcome);
            if self.late_answers.len() > LATE_MAX {
                self.late_answers.pop_first();
            }
        }
        self.store.advance(now);
    }

    /// Adds a rule about what goes wrong; false if there are too many.
    pub fn push_fault(&mut self, now: Timestamp, rule: FaultRule) -> bool {
        if let Fault::Refuse(wait) = rule.fault {
            self.refusing_until = Some(after(self.clock(now), wait));
            return true;
        }
        self.faults.push(rule)
    }

    /// Forgets all rules; a listener that is closed opens again.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
        self.refusing_until = None;
    }

    /// The rules that may still strike, each with how often it has.
    pub fn faults(&self) -> Vec<(FaultRule, u32)> {
        self.faults
            .rules()
            .map(|(rule, struck)| (rule.clone(), struck))
            .collect()
    }

    /// The runs that are kept, oldest first, also those that the service would not show.
    pub fn runs(&mut self, now: Timestamp) -> impl Iterator<Item = &Run> {
        self.advance(now);
        self.store.runs()
    }

    /// How many runs are kept.
    pub fn run_count(&self) -> usize {
        self.store.count()
    }

    /// Gives a run a status, whatever it had; false if there is no such run.
    pub fn set_status(&mut self, now: Timestamp, run_id: &str, status: RunStatus) -> bool {
        self.advance(now);
        self.store.force(self.clock(now), run_id, status)
    }

    /// Makes the service forget a run; false if there is no such run.
    pub fn forget_run(&mut self, now: Timestamp, run_id: &str) -> bool {
        self.advance(now);
        self.store.forget(self.clock(now), run_id)
    }

    /// Makes all IAM tokens there are no good.
    pub fn revoke_tokens(&mut self) {
        self.gate.revoke_tokens();
    }

    /// What was asked so far.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What all chance hangs on.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The service's own clock. All that it keeps bears times of this clock.
    fn clock(&self, now: Timestamp) -> Timestamp {
        now.checked_add_signed(self.skew).unwrap_or(now)
    }

    fn put_off(
        &mut self,
        now: Timestamp,
        wait: Duration,
        request: &Request,
        asked: Asked,
        effect: Effect,
    ) -> Outcome {
        let bytes = self.late_bytes.saturating_add(request.body.len());
        if self.late.len() >= LATE_MAX || bytes > LATE_BYTES_MAX {
            let message = "the sandbox has as many late requests as it keeps";
            return Outcome::now(answers::failure(503, "SANDBOX.FULL", message));
        }
        self.late_bytes = bytes;
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let late = Late {
            request: request.clone(),
            asked,
            effect,
        };
        self.late.insert((after(now, wait), ticket), late);
        Outcome::Later {
            after: wait,
            ticket,
        }
    }

    fn carry_out(
        &mut self,
        now: Timestamp,
        request: &Request,
        asked: &Asked,
        effect: &Effect,
    ) -> Outcome {
        let request_id = dice::id(self.seed, "request", self.requests.count);
        let (canned, do_it) = match effect.canned() {
            Some((canned, started)) => (Some(canned), started),
            None => (None, true),
        };
        let (done, caller) = match do_it {
            true => self.perform(now, request, asked, effect, &request_id),
            false => (None, None),
        };
        let run_id = done.as_ref().and_then(|done| done.run_id.clone());
        let real = done.map(|done| done.response);
        let response = match (canned, real) {
            (Some(canned), real) => answers::canned(canned, real, asked.call(), now, &request_id),
            (None, Some(real)) => real,
            (None, None) => Response::text(500, ""),
        };
        let date =
            now.checked_add_signed(TimeDelta::try_seconds(effect.skew_secs()).unwrap_or_default());
        let response = response
            .header("date", answers::http_date(date.unwrap_or(now)))
            .header(
                if asked.call().is_iam() {
                    "x-iam-trace-id"
                } else {
                    "x-request-id"
                },
                request_id.clone(),
            );
        let loss = effect.loss();
        let answered = !matches!(loss, Some(Loss::All(_)));
        let noted = Noted {
            caller,
            status: answered.then_some(response.status),
            code: code_in(&response),
            run_id,
            request_id,
        };
        self.note(now, request, asked, effect, noted);
        match loss {
            Some(Loss::All(hangup)) => Outcome::Silence(hangup),
            Some(Loss::Cut) => Outcome::Answer {
                response,
                after: effect.slow(),
                pace: Pace::Cut,
            },
            None => Outcome::Answer {
                response,
                after: effect.slow(),
                pace: effect.pace(),
            },
        }
    }

    /// Does what was asked, for those who may ask; gives the answer and who asked.
    fn perform(
        &mut self,
        now: Timestamp,
        request: &Request,
        asked: &Asked,
        effect: &Effect,
        request_id: &str,
    ) -> (Option<Done>, Option<String>) {
        if let Some(response) = self.serve_anybody(now, request, asked.call(), request_id) {
            return (Some(response.into()), None);
        }
        let caller = match self.gate.admit(now, request) {
            Ok(caller) => caller,
            Err(denied) => {
                return (
                    Some(answers::unauthorized(&denied, request_id).into()),
                    None,
                );
            }
        };
        let shown_by = Some(format!("{} by {}", caller.executor.name, caller.shown_by));
        if asked.call() == Call::Projects {
            return (
                Some(iam::list_projects(&self.projects, request).into()),
                shown_by,
            );
        }
        let mut desk = Desk {
            store: &mut self.store,
            habits: self.habits,
            now,
            skew_secs: effect.skew_secs(),
            executor: caller.executor,
            wishes: effect.wishes(),
        };
        (Some(serve(&mut desk, request, asked)), shown_by)
    }

    /// Answers the calls for which nobody has to say who they are.
    fn serve_anybody(
        &mut self,
        now: Timestamp,
        request: &Request,
        call: Call,
        request_id: &str,
    ) -> Option<Response> {
        match call {
            Call::Unknown => {
                let message = "The API does not exist or has not been published in the environment";
                Some(answers::gateway(404, "APIGW.0101", message, request_id))
            }
            Call::Token => Some(iam::token(&mut self.gate, &self.projects, now, request)),
            Call::MetadataToken => Some(iam::metadata_token(
                &mut self.gate,
                self.metadata,
                now,
                request,
            )),
            Call::MetadataKey => Some(iam::metadata_key(
                &mut self.gate,
                self.metadata,
                now,
                request,
            )),
            Call::Run
            | Call::List
            | Call::Detail
            | Call::Variables
            | Call::Queue
            | Call::CancelQueuing
            | Call::FailedTriggers
            | Call::RuntimeVariables
            | Call::Stop
            | Call::Retry
            | Call::Pipelines
            | Call::Pipeline
            | Call::LatestStatus
            | Call::Projects => None,
        }
    }

    fn note(
        &mut self,
        now: Timestamp,
        request: &Request,
        asked: &Asked,
        effect: &Effect,
        noted: Noted,
    ) {
        self.requests.note(RequestRecord {
            number: 0,
            at: now,
            method: request.method.clone(),
            path: request.path().to_owned(),
            call: asked.call(),
            caller: noted.caller,
            status: noted.status,
            code: noted.code,
            run_id: noted.run_id,
            faults: effect.rules.clone(),
            request_id: noted.request_id,
        });
    }
}

/// What is noted of a request once it was dealt with.
#[derive(Debug, Default)]
struct Noted {
    caller: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    run_id: Option<String>,
    request_id: String,
}

fn code_in(response: &Response) -> Option<String> {
    // Long answers are lists; errors are short.
    let value = (response.body.len() < 16 * 1024).then(|| response.value())?;
    value
        .get("error_code")
        .and_then(|code| code.as_str())
        .map(str::to_owned)
}

impl Asked {
    fn call(&self) -> Call {
        self.call.unwrap_or(Call::Unknown)
    }
}

/// What a method and path ask for.
fn route(request: &Request) -> Asked {
    let decoded = String::from_utf8_lossy(&decode(request.path())).into_owned();
    let pieces: Vec<&str> = decoded
        .strip_prefix('/')
        .unwrap_or(&decoded)
        .split('/')
        .collect();
    let asked = |call, ids: [&str; 4]| {
        let [project, pipeline, run, queue] = ids.map(str::to_owned);
        Asked {
            call: Some(call),
            project,
            pipeline,
            run,
            queue,
        }
    };
    match (request.method.as_str(), pieces.as_slice()) {
        ("POST", ["v3", "auth", "tokens"]) => asked(Call::Token, [""; 4]),
        ("GET", ["v3", "projects"]) => asked(Call::Projects, [""; 4]),
        ("PUT", ["meta-data", "latest", "api", "token"]) => asked(Call::MetadataToken, [""; 4]),
        ("GET", ["openstack", "latest", "securitykey"]) => asked(Call::MetadataKey, [""; 4]),
        ("POST", ["v5", project, "api", "pipelines", "list"]) => {
            asked(Call::Pipelines, [project, "", "", ""])
        }
        ("POST", ["v5", project, "api", "pipelines", "status"]) => {
            asked(Call::LatestStatus, [project, "", "", ""])
        }
        (method, ["v5", project, "api", "pipelines", pipeline, rest @ ..]) => {
            let id = [*project, *pipeline, "", ""];
            match (method, rest) {
                ("GET", []) => asked(Call::Pipeline, id),
                ("POST", ["run"]) => asked(Call::Run, id),
                ("POST", ["pipeline-runs", "list"]) => asked(Call::List, id),
                ("GET", ["pipeline-runs", "detail"]) => asked(Call::Detail, id),
                ("GET", ["queued-pipeline"]) => asked(Call::Queue, id),
                ("GET", ["trigger-failed-record"]) => asked(Call::FailedTriggers, id),
                ("GET", ["list-runtime-vars"]) => asked(Call::RuntimeVariables, id),
                ("GET", ["pipeline-runs", run, "run-variables"]) => {
                    asked(Call::Variables, [project, pipeline, run, ""])
                }
                ("POST", ["pipeline-runs", run, "stop"]) => {
                    asked(Call::Stop, [project, pipeline, run, ""])
                }
                ("PUT", ["pipeline-runs", run, "retry"]) => {
                    asked(Call::Retry, [project, pipeline, run, ""])
                }
                ("POST", [run, "cancel-queuing", queue]) => {
                    asked(Call::CancelQueuing, [project, pipeline, run, queue])
                }
                _ => Asked::default(),
            }
        }
        _ => Asked::default(),
    }
}

/// Lets the desk answer a call of the pipeline service.
fn serve(desk: &mut Desk<'_>, request: &Request, asked: &Asked) -> Done {
    let of_a_project = matches!(asked.call(), Call::Pipelines | Call::LatestStatus);
    let place = if of_a_project {
        desk.project(&asked.project)
    } else {
        desk.place(&asked.project, &asked.pipeline)
    };
    if let Err(response) = place {
        return response.into();
    }
    let (project, pipeline, run) = (
        asked.project.as_str(),
        asked.pipeline.as_str(),
        asked.run.as_str(),
    );
    match asked.call() {
        Call::Run => return desk.start(request, project, pipeline),
        Call::List => desk.list(request, pipeline),
        Call::Detail => desk.detail(request, pipeline),
        Call::Variables => desk.variables(request, pipeline, run),
        Call::Queue => desk.queue(request, pipeline),
        Call::CancelQueuing => desk.cancel_queuing(request, pipeline, run, &asked.queue),
        Call::FailedTriggers => desk.failed_triggers(request, pipeline),
        Call::RuntimeVariables => desk.runtime_variables(project, pipeline),
        Call::Stop => desk.stop(request, pipeline, run),
        Call::Retry => desk.retry(request, pipeline, run),
        Call::Pipelines => desk.pipelines(request, project),
        Call::Pipeline => desk.pipeline(project, pipeline),
        Call::LatestStatus => desk.latest_status(request, project),
        Call::Token | Call::Projects | Call::MetadataToken | Call::MetadataKey | Call::Unknown => {
            Response::text(500, "")
        }
    }
    .into()
}

/// What the faults that struck mean for each step.
impl Effect {
    fn find<T>(&self, look: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.struck.iter().find_map(look)
    }

    fn dropped(&self) -> Option<Hangup> {
        self.find(|fault| {
            if let Fault::Dropped(hangup) = fault {
                Some(*hangup)
            } else {
                None
            }
        })
    }

    fn late(&self) -> Option<Duration> {
        self.find(|fault| {
            if let Fault::Late(wait) = fault {
                Some(*wait)
            } else {
                None
            }
        })
    }

    fn slow(&self) -> Duration {
        self.find(|fault| {
            if let Fault::Slow(wait) = fault {
                Some(*wait)
            } else {
                None
            }
        })
        .unwrap_or_default()
    }

    fn loss(&self) -> Option<Loss> {
        self.find(|fault| {
            if let Fault::Lost(loss) = fault {
                Some(*loss)
            } else {
                None
            }
        })
    }

    fn canned(&self) -> Option<(&Canned, bool)> {
        self.struck.iter().find_map(|fault| {
            if let Fault::Answer { canned, started } = fault {
                Some((canned, *started))
            } else {
                None
            }
        })
    }

    fn skew_secs(&self) -> i64 {
        self.find(|fault| {
            if let Fault::SkewSecs(secs) = fault {
                Some(*secs)
            } else {
                None
            }
        })
        .unwrap_or(0)
    }

    fn pace(&self) -> Pace {
        let drip = self.find(|fault| {
            if let Fault::Drip { bytes, every } = fault {
                Some((*bytes, *every))
            } else {
                None
            }
        });
        drip.map_or(Pace::Whole, |(bytes, every)| Pace::Drip {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            every,
        })
    }

    fn wishes(&self) -> Wishes {
        Wishes {
            listed_after: self.find(|fault| {
                if let Fault::Unlisted(wait) = fault {
                    Some(*wait)
                } else {
                    None
                }
            }),
            forgotten_after: self.find(|fault| {
                if let Fault::Forgotten(wait) = fault {
                    Some(*wait)
                } else {
                    None
                }
            }),
            queued_for: self.find(|fault| {
                if let Fault::Queued(wait) = fault {
                    Some(*wait)
                } else {
                    None
                }
            }),
            ends: self.find(|fault| {
                if let Fault::Ends { status, .. } = fault {
                    Some(*status)
                } else {
                    None
                }
            }),
            takes: self.find(|fault| {
                if let Fault::Ends { takes, .. } = fault {
                    *takes
                } else {
                    None
                }
            }),
        }
    }
}
