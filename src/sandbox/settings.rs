//! How a sandbox behaves: who may come in, how runs go, and the limits of everything.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::SecretString;

use super::faults::FaultRule;
use super::run::RunStatus;
/// The key that every sandbox knows; the client has it too.
pub use crate::codearts::{SANDBOX_AK, SANDBOX_SK};
use crate::domain::Timestamp;

/// The account name of the IAM user that every sandbox knows.
pub const SANDBOX_DOMAIN: &str = "sandbox";
/// The name of that user.
pub const SANDBOX_USER: &str = "sandbox";
/// The password of that user. It opens nothing but sandboxes.
pub const SANDBOX_PASSWORD: &str = "sandbox-password";

/// An access key and what it opens.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// The access key's id.
    pub ak: String,
    /// The secret key.
    pub sk: SecretString,
    /// Whose it is.
    pub user: String,
    /// With one, the key is temporary and requests have to carry it.
    pub security_token: Option<SecretString>,
    /// From then on it is refused.
    pub expires_at: Option<Timestamp>,
}

/// An IAM user.
#[derive(Debug, Clone)]
pub struct User {
    /// The account (domain) name.
    pub domain: String,
    /// The user's name.
    pub name: String,
    /// The password.
    pub password: SecretString,
}

/// What the instance metadata service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// It is not there: 404.
    Absent,
    /// It hands out keys; a metadata token is optional.
    TokenOptional,
    /// It hands out keys against a metadata token only.
    TokenRequired,
    /// It is there, but the instance has no agency.
    NoAgency,
}

/// What happens to a start above the limit of parallel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceed {
    /// It is refused.
    Abort,
    /// It waits in the pipeline's queue.
    Queue,
}

/// How many runs of a pipeline may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// So many; none: any number.
    pub runs_max: Option<u32>,
    /// What happens above that.
    pub exceed: Exceed,
}

/// What happens to variables that the pipeline does not declare (the real service's habit is not known).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undeclared {
    /// The run has them.
    Accept,
    /// The run goes without them.
    Drop,
    /// The start is refused.
    Refuse,
}

/// A custom parameter that a pipeline declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredVariable {
    /// Its name.
    pub name: String,
    /// Its value when the start gives none.
    pub value: String,
    /// Whether it may be set at the start.
    pub is_runtime: bool,
    /// Whether its value is hidden.
    pub is_secret: bool,
    /// Whether a start has to give it; none: the service does not say.
    pub is_required: Option<bool>,
    /// The values it may have; empty: any.
    pub limits: Vec<String>,
    /// What it is for.
    pub description: String,
}

/// A source of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredSource {
    /// `codehub`, `gitee`, ...
    pub git_type: String,
    /// The repository's address.
    pub git_url: String,
    /// Its id in CodeArts Repo.
    pub codehub_id: Option<String>,
    /// Service endpoint, for repositories elsewhere.
    pub endpoint_id: Option<String>,
    /// Tells several repositories apart.
    pub alias: Option<String>,
    /// The branch that is built if a start names none.
    pub default_branch: String,
}

/// A job of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSettings {
    /// What `choose_jobs` calls it.
    pub identifier: String,
    /// What people call it.
    pub name: String,
}

impl JobSettings {
    /// A job that people call as the API does.
    pub fn new(identifier: &str) -> Self {
        Self {
            identifier: identifier.to_owned(),
            name: identifier.to_owned(),
        }
    }
}

/// A stage of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSettings {
    /// What `choose_stages` calls it.
    pub identifier: String,
    /// What people call it.
    pub name: String,
    /// Its jobs.
    pub jobs: Vec<JobSettings>,
}

/// A pipeline that is there from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Its project's id.
    pub project_id: String,
    /// Its id.
    pub pipeline_id: String,
    /// Its name.
    pub name: String,
    /// Its limit; the sandbox's if absent.
    pub concurrency: Option<Concurrency>,
    /// Its stages. With any, `choose_stages` and `choose_jobs` have to name them; with none, every name is taken unless
    /// it is shown.
    pub stages: Vec<StageSettings>,
    /// The parameters it declares. With any, `undeclared` holds for all others; with none, every name is taken unless it
    /// is shown.
    pub variables: Vec<DeclaredVariable>,
    /// What happens to other variables.
    pub undeclared: Undeclared,
    /// Its sources.
    pub sources: Vec<DeclaredSource>,
    /// Whether nobody may start it.
    pub is_banned: bool,
    /// Whether its stages, variables and sources are shown. Those of a pipeline that nobody set up are not: it takes every
    /// name, and whoever compares must not conclude that there are none.
    pub is_shown: bool,
}

impl PipelineSettings {
    /// A pipeline that takes every stage, job and variable.
    pub fn new(project_id: &str, pipeline_id: &str) -> Self {
        Self {
            project_id: project_id.to_owned(),
            pipeline_id: pipeline_id.to_owned(),
            name: format!("pipeline-{}", pipeline_id.get(..8).unwrap_or(pipeline_id)),
            concurrency: None,
            stages: Vec::new(),
            variables: Vec::new(),
            undeclared: Undeclared::Accept,
            sources: Vec::new(),
            is_banned: false,
            is_shown: false,
        }
    }
}

/// How a sandbox behaves. The defaults are those of the service where it has any that are known.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What all chance hangs on. None: drawn when the sandbox starts.
    pub seed: Option<u64>,

    /// Whether requests have to prove who they come from.
    pub check_auth: bool,
    /// The access keys that are known.
    pub keys: Vec<AccessKey>,
    /// The IAM users that are known.
    pub users: Vec<User>,
    /// The IAM projects (name, id) that are known. None: every name is one, and has an id of its own.
    pub iam_projects: Option<Vec<(String, String)>>,
    /// How long an IAM token lives.
    pub token_life: Duration,
    /// What the instance metadata service does.
    pub metadata: Metadata,
    /// How long a key from the metadata service lives.
    pub metadata_key_life: Duration,
    /// How far the service's clock is ahead of ours; behind if negative.
    pub clock_skew_secs: i64,

    /// The pipelines that are there from the start.
    pub pipelines: Vec<PipelineSettings>,
    /// Whether there are no others. Otherwise a pipeline is made when it is first started.
    pub known_pipelines_only: bool,
    /// How long a run takes.
    pub run_duration: RangeInclusive<Duration>,
    /// How runs end, each with its weight. Empty: all are `COMPLETED`.
    pub outcomes: Vec<(RunStatus, u32)>,
    /// The limit of pipelines that have none of their own.
    pub concurrency: Concurrency,
    /// How many runs of all pipelines may be under way at once.
    pub tenant_runs_max: Option<u32>,
    /// Whether a queued run is listed and has details (whether the real service does that is not known).
    pub queued_listed: bool,
    /// The most rows a list gives at once.
    pub list_rows_max: u32,

    /// The most runs that are kept; the oldest one that is over makes room.
    pub runs_kept_max: usize,
    /// About how many bytes the kept runs may take.
    pub run_bytes_max: usize,
    /// The most pipelines that are made on first use.
    pub pipelines_max: usize,
    /// The most connections at once; further ones are reset.
    pub connections_max: usize,
    /// The most bytes of all bodies, coming and going, that are held at once.
    pub exchange_bytes_max: usize,

    /// What goes wrong from the start.
    pub faults: Vec<FaultRule>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: None,
            check_auth: true,
            keys: vec![AccessKey {
                ak: SANDBOX_AK.to_owned(),
                sk: SecretString::from(SANDBOX_SK),
                user: SANDBOX_USER.to_owned(),
                security_token: None,
                expires_at: None,
            }],
            users: vec![User {
                domain: SANDBOX_DOMAIN.to_owned(),
                name: SANDBOX_USER.to_owned(),
                password: SecretString::from(SANDBOX_PASSWORD),
            }],
            iam_projects: None,
            token_life: Duration::from_secs(24 * 3600),
            metadata: Metadata::TokenOptional,
            metadata_key_life: Duration::from_secs(24 * 3600),
            clock_skew_secs: 0,
            pipelines: Vec::new(),
            known_pipelines_only: false,
            run_duration: Duration::from_secs(20)..=Duration::from_secs(20),
            outcomes: Vec::new(),
            concurrency: Concurrency {
                runs_max: Some(5),
                exceed: Exceed::Abort,
            },
            tenant_runs_max: None,
            queued_listed: false,
            list_rows_max: 100,
            runs_kept_max: 100_000,
            run_bytes_max: 256 * 1024 * 1024,
            pipelines_max: 10_000,
            connections_max: 256,
            exchange_bytes_max: 128 * 1024 * 1024,
            faults: Vec::new(),
        }
    }
}
