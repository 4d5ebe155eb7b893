//! What an answer means for the tick, and how long to wait before the next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use chrono::{DateTime, Utc};

/// How waits between attempts are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Anywhere between nothing and the backoff.
    Full,
    /// Exactly the backoff.
    None,
}

/// How a tick is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// How many refusals in passing are taken before the tick is given up.
    pub max_attempts: u32,
    /// The first wait.
    pub initial_backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// What each wait is multiplied with for the next.
    pub multiplier: f64,
    /// How the wait is drawn.
    pub jitter: Jitter,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            initial_backoff: Duration::from_secs(2),
            max_backoff: Duration::from_secs(300),
            multiplier: 2.0,
            jitter: Jitter::Full,
        }
    }
}

/// What an answer says about the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AnswerKind {
    /// The run is started, or accepted and waiting in the pipeline's queue.
    Started {
        /// `pipeline_run_id`.
        run_id: String,
        /// `queue_id`, if it waits.
        queue_id: Option<String>,
    },
    /// The request never left: name resolution, connection or TLS failed, or credentials could not be had.
    NotSent,
    /// Too many requests; nothing was started.
    Throttled,
    /// The pipeline's or tenant's limit of parallel runs is reached; nothing was started.
    Busy,
    /// The credentials were not accepted; nothing was started.
    Unauthorized,
    /// Refused for good: the same request will never be accepted.
    Refused,
    /// Refused, but perhaps not the next time; nothing was started.
    RefusedInPassing,
    /// Nobody knows whether a run was started.
    Doubtful,
}

impl AnswerKind {
    /// The kind's name in tables and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::NotSent => "not_sent",
            Self::Throttled => "throttled",
            Self::Busy => "busy",
            Self::Unauthorized => "unauthorized",
            Self::Refused => "refused",
            Self::RefusedInPassing => "refused_in_passing",
            Self::Doubtful => "doubtful",
        }
    }
}

/// What came back for an attempt, classed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What it means.
    #[serde(flatten)]
    pub kind: AnswerKind,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The service's error code.
    pub code: Option<String>,
    /// The service's message, or what went wrong on the way; bounded, never a secret.
    pub message: String,
    /// The id to quote to the service's support (`X-Request-Id`).
    pub request_id: Option<String>,
    /// How long the service wants us to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// The service's clock (`Date`).
    pub service_clock: Option<DateTime<Utc>>,
}

impl Retry {
    /// How long to wait after the `failures`-th failure in a row (1, 2, ...). The jitter is drawn by hashing `seed`, so that
    /// the same tick waits the same on every node and in every replay. Never longer than `max_backoff`; with full
    /// jitter at least a tenth of the backoff, so that a failing service is not asked again at once.
    pub fn backoff(&self, failures: u32, seed: &str) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial_backoff.as_secs_f64() * self.multiplier.powi(exponent);
        // `min` also tames the infinity that a large exponent gives.
        let backoff = grown.min(self.max_backoff.as_secs_f64()).max(0.0);
        let share = match self.jitter {
            Jitter::None => 1.0,
            Jitter::Full => hashed_share(&format!("{seed}#{failures}")).max(0.1),
        };
        Duration::from_secs_f64(backoff * share)
    }
}

/// A number in [0, 1) that depends on nothing but `text`: SHA-256, so that no upgrade and no second node moves it.
pub fn hashed_share(text: &str) -> f64 {
    let digest = Sha256::digest(text.as_bytes());
    let head = digest
        .iter()
        .take(6)
        .fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    // 48 bits fit a double exactly.
    head as f64 / (1_u64 << 48) as f64
}
