//! What is sent to start a run: `RunPipeline` of the CodeArts Pipeline API, version 5, with the API's own names.
//!
//! Absent is not empty: the service gets exactly the fields that were given, an empty list or text included.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest description of a run, in characters, marker included (help centre: "Starting a Pipeline").
pub const DESCRIPTION_CHARS_MAX: usize = 1024;
/// Longest value of a variable, in characters (help centre: "Starting a Pipeline").
pub const VARIABLE_VALUE_CHARS_MAX: usize = 8192;

/// Where a secret is to be found; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// In this environment variable.
    Env(String),
    /// In this file, without the line end that closes it.
    File(PathBuf),
    /// In the service manager's credentials directory, under this name.
    Credential(String),
}

/// A setting that may be written plainly or kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// It stands in the file.
    Plain(String),
    /// It is to be read from there.
    Secret(SecretRef),
}

impl Text {
    /// Where it is kept, if it is kept elsewhere.
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::Plain(_) => None,
            Self::Secret(secret) => Some(secret),
        }
    }
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableValue {
    /// The text that stands in the file.
    Value(String),
    /// Read when the request is made; in no log, page, dry run or ledger.
    Secret(SecretRef),
}

/// A custom parameter of the pipeline that the run overrides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Variable {
    /// Letters, digits, `_`; 1 to 128.
    pub name: String,
    /// Always a text.
    #[serde(flatten)]
    pub value: VariableValue,
}

/// `build_params` of a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct BuildParams {
    /// `branch` or `tag`.
    pub build_type: String,
    /// What the run is to look as if started by: `Manual`, `Scheduler`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// The branch, for `branch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_branch: Option<String>,
    /// The tag, for `tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// `params` of a source. The order of the fields is that of the API's model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct SourceParams {
    /// `codehub`, `gitee`, `github`, `gitcode` or `gitlab`.
    pub git_type: String,
    /// Tells several repositories apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Repository id in CodeArts Repo; a text though it looks like a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codehub_id: Option<String>,
    /// The default branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// The repository's HTTPS address.
    pub git_url: String,
    /// Service endpoint, for repositories elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<String>,
    /// Which ref to build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_params: Option<BuildParams>,
    /// Change requests, for pipelines that they trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_request_ids: Option<Vec<String>>,
}

/// One of `sources`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Source {
    /// `code` or `artifact`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which repository and ref.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<SourceParams>,
}

/// What to run and with what. The order of the fields is that of the API's model. Entries by the hundred thousand have the
/// same lists, which they share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunRequest {
    /// The CodeArts project's id, 32 characters; not the IAM project's.
    pub project_id: String,
    /// The pipeline's id, 32 characters.
    pub pipeline_id: String,
    /// Which refs to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sources: Option<Arc<[Source]>>,
    /// The person's part of the run's description; the marker is added when it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Parameters to override.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables: Option<Arc<[Variable]>>,
    /// Identifiers of the jobs to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choose_jobs: Option<Arc<[String]>>,
    /// Identifiers of the stages to run; jobs of other stages are ignored by the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choose_stages: Option<Arc<[String]>>,
    /// Started as a sub-pipeline (in the SDK, not on the API's page).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_hook: Option<bool>,
    /// Which execution plan to run with (in the SDK, not on the API's page).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_plan_id: Option<String>,
}

impl RunRequest {
    /// Gives a variable this value, in place of the ones of that name or after the others.
    pub fn set_variable(&mut self, name: &str, value: &VariableValue) {
        let mut list = self
            .variables
            .take()
            .map_or_else(Vec::new, |list| list.to_vec());
        let mut is_there = false;
        for variable in list.iter_mut().filter(|variable| variable.name == name) {
            variable.value = value.clone();
            is_there = true;
        }
        if !is_there {
            list.push(Variable {
                name: name.to_owned(),
                value: value.clone(),
            });
        }
        self.variables = Some(list.into());
    }

    /// The description as it is sent: the person's text, then `marker`.
    pub fn described(&self, marker: &str) -> String {
        match self.description.as_deref() {
            None | Some("") => marker.to_owned(),
            Some(text) => format!("{text} {marker}"),
        }
    }
}
