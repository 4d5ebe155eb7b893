//! What an answer means for the tick, and how long to wait before the next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use chrono::{DateTime, Utc};

use super::overlap::Overlap;

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

/// What is done after a doubtful attempt whose run was looked for and not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// It is sent again, under the same marker.
    Resend,
    /// It is given up.
    GiveUp,
}

/// What becomes of a tick that is not started at once, and of its run. It is kept with the tick: a reload changes the
/// ticks to come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// How it is tried again.
    pub retry: Retry,
    /// What follows a run that was looked for and not found.
    pub on_doubt: OnDoubt,
    /// How long a run is looked for before "not started" is believed.
    pub settle: Duration,
    /// Whether the run is followed to its end.
    pub follow: bool,
    /// A run that takes longer is reported.
    pub run_timeout: Option<Duration>,
    /// What becomes of it while its pipeline has another run under way.
    #[serde(default)]
    pub overlap: Overlap,
    /// Who gets a free place of the account first: the higher.
    #[serde(default)]
    pub priority: i32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            on_doubt: OnDoubt::Resend,
            settle: Duration::from_secs(180),
            follow: true,
            run_timeout: None,
            overlap: Overlap::Allow,
            priority: 0,
        }
    }
}

/// A run that may or may not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// When the attempt was decided whose run is looked for; of a caught-up tick, when it was due.
    pub since: DateTime<Utc>,
    /// How many looks found nothing. Counted, not timed: a clock can jump.
    pub looks: u32,
    /// How many looks in a row could not tell: they make the waits grow.
    pub failures: u32,
    /// Whether nothing was sent that we know of: the tick was due while we were away, and the ledger may be a restored
    /// backup. One look is enough then, and it counts for nothing.
    #[serde(default)]
    pub precaution: bool,
}

/// The waits before the looks, as shares of `settle`; together they span it. A run that is listed at once is found at
/// the first, one that is listed as late as `settle` at the last.
const LOOK_SHARES: [f64; 5] = [0.02, 0.08, 0.15, 0.25, 0.5];
/// How many looks have to find nothing before "not started" is believed.
pub const LOOKS: u32 = LOOK_SHARES.len() as u32;
/// Shortest wait before a look.
const LOOK_WAIT_MIN: Duration = Duration::from_secs(1);
/// Waits after a look that could not tell.
const LOOK_FAILED_WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

impl Doubt {
    /// A doubt that begins: nothing was looked at yet.
    pub fn since(since: DateTime<Utc>) -> Self {
        Self {
            since,
            looks: 0,
            failures: 0,
            precaution: false,
        }
    }

    /// One look before the first attempt of this life: a run of this tick, due at `due`, may have been started by a
    /// life of the ledger that is lost.
    pub fn precaution(due: DateTime<Utc>) -> Self {
        Self {
            looks: LOOKS - 1,
            precaution: true,
            ..Self::since(due)
        }
    }

    /// How long to wait before the next look.
    pub fn wait(&self, settle: Duration) -> Duration {
        let failed = match self.failures {
            0 => Duration::ZERO,
            failures => {
                let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                LOOK_FAILED_WAIT
                    .0
                    .saturating_mul(factor)
                    .min(LOOK_FAILED_WAIT.1)
            }
        };
        let share = usize::try_from(self.looks)
            .ok()
            .and_then(|looks| LOOK_SHARES.get(looks));
        let spaced = share.map_or(settle, |share| settle.mul_f64(*share));
        failed.max(spaced).max(LOOK_WAIT_MIN)
    }

    /// Whether "not started" is to be believed.
    pub fn is_settled(&self) -> bool {
        self.looks >= LOOKS
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
    /// The request never left, for the service could not be reached: name resolution, connection or TLS failed, or those
    /// who give out credentials did not.
    NotSent,
    /// The request never left, for reasons of our own: its turn did not come, a secret cannot be read, pipecron is being
    /// stopped. That says nothing about the service.
    KeptHere,
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
            Self::KeptHere => "kept_here",
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
