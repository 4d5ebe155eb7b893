//! A pipeline as the service shows it: what a start of it may name.
//!
//! What the service does not show is `None`, which is not the same as an empty list: from the one nothing follows, from the
//! other that there is nothing.

use std::collections::BTreeMap;

use super::PipelineAt;

/// What came of asking about pipelines, each once.
pub type Told = BTreeMap<PipelineAt, Seen>;

/// What the service says of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is there, and looks like this.
    Pipeline(Box<SeenPipeline>),
    /// The service says why it does not show it; in its words.
    Denied(Denial, String),
    /// Nobody knows: the service was not asked, or did not answer. Whatever the entry says may be right.
    Unknown(String),
}

/// Why the service does not show a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// There is no such pipeline.
    NoPipeline,
    /// There is one, but it belongs to another project.
    OtherProject,
    /// There is no such project, or whoever asks is no member of it.
    NoProject,
    /// Whoever asks may not see it.
    NotAllowed,
}

/// A pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenPipeline {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether it is switched off, so that nobody can start it.
    pub is_banned: bool,
    /// Whether it was deleted.
    pub is_deleted: bool,
    /// Its stages, in their order.
    pub stages: Option<Vec<SeenStage>>,
    /// The variables it declares.
    pub variables: Option<Vec<SeenVariable>>,
    /// Its sources.
    pub sources: Option<Vec<SeenSource>>,
    /// How many runs of it may be under way.
    pub concurrency: Option<SeenConcurrency>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenStage {
    /// What `choose_stages` calls it.
    pub identifier: String,
    /// What people call it.
    pub title: String,
    /// Its jobs.
    pub jobs: Vec<SeenJob>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenJob {
    /// What `choose_jobs` calls it.
    pub identifier: String,
    /// What people call it.
    pub title: String,
}

/// A variable that a pipeline declares: a custom parameter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenVariable {
    /// Its name.
    pub name: String,
    /// What it is when a start says nothing; none if that is a secret or not shown.
    pub default: Option<String>,
    /// Whether its value is kept from people.
    pub is_secret: bool,
    /// Whether it is asked for at each start.
    pub is_runtime: bool,
    /// Whether a start has to give it, if the service says so.
    pub is_required: Option<bool>,
    /// The values it may have; empty: any.
    pub limits: Vec<String>,
    /// What it is for.
    pub description: String,
}

impl SeenVariable {
    /// Whether a start that does not give it goes without any value.
    pub fn lacks_default(&self) -> bool {
        !self.is_secret && self.default.as_deref().is_none_or(str::is_empty)
    }
}

/// A source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenSource {
    /// `code`, `artifact`, ...
    pub kind: String,
    /// `codehub`, `gitee`, `github`, ...
    pub git_type: Option<String>,
    /// The repository's address.
    pub git_url: Option<String>,
    /// Tells several repositories apart.
    pub alias: Option<String>,
    /// Repository id in CodeArts Repo.
    pub codehub_id: Option<String>,
    /// Service endpoint, for repositories elsewhere.
    pub endpoint_id: Option<String>,
    /// The branch that is built when a start names none.
    pub default_branch: Option<String>,
}

/// The limit of a pipeline's parallel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenConcurrency {
    /// So many runs may be under way.
    pub runs_max: u64,
    /// Whether a start beyond that is refused; otherwise it waits in the pipeline's queue.
    pub refuses: bool,
}

/// A row of a project's list of pipelines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRow {
    /// The pipeline's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether it is switched off, if the row says so.
    pub is_banned: Option<bool>,
}

/// An address without the user that may stand in it, as a password may.
pub fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host_ends = rest.find('/').unwrap_or(rest.len());
    match rest.get(..host_ends).and_then(|host| host.rfind('@')) {
        Some(at) => format!("{scheme}://{}", rest.get(at + 1..).unwrap_or_default()),
        None => url.to_owned(),
    }
}
