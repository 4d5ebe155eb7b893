//! What is seen of runs at the service, when we look for one of ours or at what a pipeline does.

use serde::{Deserialize, Serialize};

use super::{AccountName, Answer, Timestamp};

/// A pipeline, and whose credentials look at it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineAt {
    /// The account.
    pub account: AccountName,
    /// The CodeArts project's id.
    pub project_id: String,
    /// The pipeline's id.
    pub pipeline_id: String,
}

/// How a run stands, in the service's own words (`codearts:2.6`: COMPLETED, RUNNING, FAILED, CANCELED, PAUSED, SUSPEND,
/// IGNORED; others may come).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunStatus(pub String);

impl RunStatus {
    /// Whether the run is over. What is not known to be an end is none: an unknown word keeps a run open.
    pub fn is_final(&self) -> bool {
        matches!(
            self.0.as_str(),
            "COMPLETED" | "FAILED" | "CANCELED" | "IGNORED"
        )
    }
}

/// A run as the service shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRun {
    /// `pipeline_run_id`.
    pub run_id: String,
    /// `run_number`: grows within a pipeline; a queued run may have none yet.
    pub number: Option<u64>,
    /// How it stands; none for a record of the queue that does not say.
    pub status: Option<RunStatus>,
    /// When it started, by the service's clock.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the service's clock.
    pub ended_at: Option<Timestamp>,
    /// What the service's clock showed when it showed this, if it said so. How long a run takes is told by this one clock:
    /// ours may be ahead, and would find it stuck too early.
    pub seen_at: Option<Timestamp>,
    /// The id of its record in the pipeline's queue, while it waits there.
    pub queue_id: Option<String>,
    /// Its description, if this call gives it.
    pub description: Option<String>,
    /// The first stage that failed, if this call tells and one did.
    pub failed_stage: Option<String>,
}

/// A run to look for by its marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// Where.
    pub at: PipelineAt,
    /// What ends its description: `[pipecron LEDGER TICK]`.
    pub marker: String,
    /// From before the attempt: runs that started earlier are not it.
    pub since: Timestamp,
    /// The highest `run_number` that is known to be older, if any.
    pub above: Option<u64>,
}

/// What came of looking for a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Sighting {
    /// This is it.
    Found(Box<SeenRun>),
    /// Everywhere was looked, and it is not there, not yet at least.
    Absent,
    /// There are runs or records of the queue, newer than the attempt, which may be it and cannot be told.
    Unexplained(String),
    /// It could not be looked for; the answer says why.
    Failed(Answer),
}

/// What came of looking at a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// So it stands.
    Seen(Box<SeenRun>),
    /// The service does not know it (any more).
    Vanished,
    /// It could not be looked at; the answer says why.
    Failed(Answer),
}
