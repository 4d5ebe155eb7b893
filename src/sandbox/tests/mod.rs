//! The service as a whole, told the time: every call's shape, the ways in, and every fault that needs no socket.

mod access;
mod calls;
mod faults;
mod pages;

use std::time::Duration;

use serde_json::{Value, json};

use super::message::{Hangup, Outcome, Pace, Request, Response, Welcome};
use super::settings::{
    Concurrency, DeclaredVariable, Exceed, JobSettings, Metadata, PipelineSettings, StageSettings,
    Undeclared,
};
use super::*;
use crate::domain::{Timestamp, after};

const PROJECT: &str = "54f90b75fc1447b1b65e8d3a9f77923d";
const PIPELINE: &str = "e5460d1d403146a1935c2d4b68ef506c";
const OTHER: &str = "00000000000000000000000000000000";

/// A service and a clock that moves when it is told to.
struct World {
    service: Service,
    now: Timestamp,
}

impl World {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            check_auth: false,
            ..Settings::default()
        };
        change(&mut settings);
        let now = "2026-11-24T18:00:00Z".parse().unwrap();
        Self {
            service: Service::new(&settings, 7, now),
            now,
        }
    }

    fn pass(&mut self, secs: u64) {
        self.now = after(self.now, Duration::from_secs(secs));
    }

    fn fault(&mut self, text: &str) {
        assert!(self.service.push_fault(self.now, text.parse().unwrap()));
    }

    fn handle(&mut self, request: &Request) -> Outcome {
        self.service.handle(self.now, request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        match self.handle(request) {
            Outcome::Answer { response, .. } => response,
            other @ (Outcome::Silence(_) | Outcome::Later { .. }) => panic!("{other:?}"),
        }
    }

    fn get(&mut self, target: &str) -> Value {
        self.answer(&Request::new("GET", target)).value()
    }

    fn post(&mut self, target: &str, body: &Value) -> Value {
        self.answer(&Request::new("POST", target).json(body))
            .value()
    }

    /// Starts a run; gives its id.
    fn start(&mut self) -> String {
        let answer = self.post(&of("/run"), &json!({"description": "a run"}));
        answer["pipeline_run_id"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }

    fn list(&mut self) -> Vec<String> {
        let rows = self.post(&of("/pipeline-runs/list"), &json!({}));
        ids(&rows)
    }

    fn detail(&mut self, id: &str) -> Value {
        self.get(&of(&format!("/pipeline-runs/detail?pipeline_run_id={id}")))
    }

    fn runs(&mut self) -> Vec<Run> {
        self.service.runs(self.now).cloned().collect()
    }
}

/// The path of something of the pipeline's.
fn of(what: &str) -> String {
    format!("/v5/{PROJECT}/api/pipelines/{PIPELINE}{what}")
}

fn start_request() -> Request {
    Request::new("POST", &of("/run")).json(&json!({"description": "a run"}))
}

fn ids(list: &Value) -> Vec<String> {
    let rows = list["pipeline_runs"]
        .as_array()
        .unwrap_or_else(|| panic!("{list}"));
    rows.iter()
        .map(|row| row["pipeline_run_id"].as_str().unwrap().to_owned())
        .collect()
}

fn keys(value: &Value) -> String {
    value
        .as_object()
        .unwrap_or_else(|| panic!("{value}"))
        .keys()
        .cloned()
        .collect::<Vec<_>>()
        .join(" ")
}

fn queueing(settings: &mut Settings) {
    settings.concurrency = Concurrency {
        runs_max: Some(1),
        exceed: Exceed::Queue,
    };
}

/// A pipeline with stages and parameters of its own.
fn known(settings: &mut Settings) {
    let declared = |name: &str, is_secret: bool| DeclaredVariable {
        name: name.to_owned(),
        value: "default".to_owned(),
        is_runtime: !is_secret,
        is_secret,
        is_required: None,
        limits: Vec::new(),
        description: String::new(),
    };
    settings.known_pipelines_only = true;
    settings.pipelines = vec![PipelineSettings {
        name: "nightly".to_owned(),
        stages: vec![StageSettings {
            identifier: "build".to_owned(),
            name: "Build".to_owned(),
            jobs: ["compile", "test"].map(JobSettings::new).to_vec(),
        }],
        variables: vec![declared("MODE", false), declared("KEY", true)],
        undeclared: Undeclared::Refuse,
        is_shown: true,
        ..PipelineSettings::new(PROJECT, PIPELINE)
    }];
}

/// The body of a token request with password.
fn login(password: &str, scope: &Value) -> Value {
    let user =
        json!({"domain": {"name": SANDBOX_DOMAIN}, "name": SANDBOX_USER, "password": password});
    let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
    if !scope.is_null() {
        auth["scope"] = scope.clone();
    }
    json!({"auth": auth})
}

fn after_secs(now: Timestamp, secs: i64) -> Timestamp {
    now + chrono::TimeDelta::seconds(secs)
}
