//! When an account may be asked at all: throttling and refused credentials rest the account, not one tick.
//!
//! The gateway locks an access key after five bad signatures in a row (help centre: "IAM认证信息错误"), and a throttled
//! account is throttled for every tick. So after such an answer the whole account rests; when the rest is over one
//! request goes as a probe, and only its answer lets the others go.

use std::time::Duration;

use super::{Answer, AnswerKind, Timestamp, after};

/// First rest after the credentials were refused twice; doubled each time, up to [`REST_MAX`].
const UNAUTHORIZED_REST: Duration = Duration::from_secs(60);
/// First rest after throttling without a `Retry-After`; doubled each time, up to [`REST_MAX`]. The help centre advises
/// two to five seconds ("How Do I Handle the Error APIG.0308?").
const THROTTLED_REST: Duration = Duration::from_secs(3);
/// Longest rest of an account, and the longest `Retry-After` that is obeyed.
pub const REST_MAX: Duration = Duration::from_secs(900);

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pace {
    rest_until: Option<Timestamp>,
    /// Answers in a row that made it rest.
    failures: u32,
    /// How many of those refused the credentials.
    unauthorized: u32,
    probing: bool,
}

/// Whether a request may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// It may.
    Go,
    /// Not before this instant.
    RestUntil(Timestamp),
    /// Not before the answer to the probe that is under way.
    AfterProbe,
}

impl Pace {
    /// Whether a request may go now.
    pub fn admit(&self, now: Timestamp) -> Admit {
        match self.rest_until {
            None => Admit::Go,
            // A clock that was set back must not make the rest longer than any rest is.
            Some(until) if until > now && until <= after(now, REST_MAX) => Admit::RestUntil(until),
            Some(_) if self.probing => Admit::AfterProbe,
            Some(_) => Admit::Go,
        }
    }

    /// A request goes. After a rest it is the probe.
    pub fn sent(&mut self) {
        self.probing = self.rest_until.is_some();
    }

    /// An answer came. Gives how long the account rests now, if this answer made it rest.
    pub fn answered(&mut self, now: Timestamp, answer: &Answer) -> Option<Duration> {
        let rest = match answer.kind {
            AnswerKind::Throttled => {
                self.failures = self.failures.saturating_add(1);
                let wanted = answer.retry_after.unwrap_or_default();
                wanted
                    .max(doubled(THROTTLED_REST, self.failures))
                    .min(REST_MAX)
            }
            AnswerKind::Unauthorized => {
                self.failures = self.failures.saturating_add(1);
                self.unauthorized = self.unauthorized.saturating_add(1);
                // The first one goes again at once, as a probe with renewed credentials.
                match self.unauthorized {
                    1 => Duration::ZERO,
                    more => doubled(UNAUTHORIZED_REST, more - 1),
                }
            }
            AnswerKind::NotSent => {
                // Says nothing about the account; a probe that did not leave lets another one try.
                self.probing = false;
                return None;
            }
            AnswerKind::Started { .. }
            | AnswerKind::Busy
            | AnswerKind::Refused
            | AnswerKind::RefusedInPassing
            | AnswerKind::Doubtful => {
                *self = Self::default();
                return None;
            }
        };
        self.probing = false;
        // Answers to requests that left together must not shorten a rest that another of them began.
        let until = after(now, rest);
        self.rest_until = Some(self.rest_until.map_or(until, |current| current.max(until)));
        Some(rest)
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    let factor = 1_u32
        .checked_shl(times.saturating_sub(1))
        .unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(REST_MAX)
}
