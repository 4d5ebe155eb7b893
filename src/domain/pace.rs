//! When an account may be asked at all: throttling and refused credentials rest the account, not one tick.
//!
//! The gateway locks an access key after five bad signatures in a row (help centre: "IAM认证信息错误"), and a throttled
//! account is throttled for every tick. So after such an answer the whole account rests; when the rest is over one
//! request goes as a probe, and only its answer lets the others go.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Answer, AnswerKind, Timestamp, after};

/// First rest after the credentials were refused twice; doubled each time, up to [`REST_MAX`].
const UNAUTHORIZED_REST: Duration = Duration::from_secs(60);
/// First rest after throttling without a `Retry-After`; doubled each time, up to [`REST_MAX`]. The help centre advises
/// two to five seconds ("How Do I Handle the Error APIG.0308?").
const THROTTLED_REST: Duration = Duration::from_secs(3);
/// Longest rest that we choose ourselves.
const OWN_REST_MAX: Duration = Duration::from_secs(900);
/// Longest rest of an account, which is the longest `Retry-After` that is obeyed.
pub const REST_MAX: Duration = Duration::from_secs(3600);

/// Longest wait for the answer to a probe.
const PROBE_MAX: TimeDelta = TimeDelta::minutes(15);

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pace {
    rest_until: Option<Timestamp>,
    /// When the last of the failures that count came.
    failed_at: Option<Timestamp>,
    /// Failures in a row; requests that left together count as one.
    failures: u32,
    /// How many of those refused the credentials.
    unauthorized: u32,
    /// When the probe left whose answer is awaited.
    probe: Option<Timestamp>,
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
            // A probe is never awaited for ever: its answer may be lost with its task, or the clock may have jumped.
            Some(_)
                if self
                    .probe
                    .is_some_and(|probe| (now - probe).abs() < PROBE_MAX) =>
            {
                Admit::AfterProbe
            }
            Some(_) => Admit::Go,
        }
    }

    /// Whether it rests because of the credentials: new ones end that rest, and leave what throttling asked for.
    pub fn is_about_credentials(&self) -> bool {
        self.unauthorized > 0
    }

    /// A request leaves. After a rest it is the probe.
    pub fn sent(&mut self, at: Timestamp) {
        self.probe = self.rest_until.map(|_| at);
    }

    /// An answer came to a request that left at `sent_at`. Gives how long the account rests now, if this answer began a
    /// rest.
    pub fn answered(
        &mut self,
        now: Timestamp,
        sent_at: Timestamp,
        answer: &Answer,
    ) -> Option<Duration> {
        match answer.kind {
            AnswerKind::Throttled => {
                let first = self.fails(now, sent_at);
                let wanted = answer.retry_after.unwrap_or_default();
                let rest = wanted
                    .max(doubled(THROTTLED_REST, self.failures))
                    .min(REST_MAX);
                self.rest(
                    now,
                    rest,
                    first || wanted > doubled(THROTTLED_REST, self.failures),
                )
            }
            AnswerKind::Unauthorized => {
                let first = self.fails(now, sent_at);
                self.unauthorized += u32::from(first);
                // The first one goes again at once, as a probe with renewed credentials.
                let rest = match self.unauthorized {
                    0 | 1 => Duration::ZERO,
                    more => doubled(UNAUTHORIZED_REST, more - 1),
                };
                self.rest(now, rest, first)
            }
            // Says nothing about the account; a probe that was lost lets another one try.
            AnswerKind::NotSent | AnswerKind::Doubtful => {
                if self.probe == Some(sent_at) {
                    self.probe = None;
                }
                None
            }
            AnswerKind::Started { .. }
            | AnswerKind::Busy
            | AnswerKind::Refused
            | AnswerKind::RefusedInPassing => {
                // One that left before the last failure came says nothing about what holds now.
                if self.is_newer(sent_at) {
                    *self = Self::default();
                }
                None
            }
        }
    }

    /// Whether a request left after the last failure came, or is the probe (whatever the clock did meanwhile).
    fn is_newer(&self, sent_at: Timestamp) -> bool {
        self.probe == Some(sent_at) || self.failed_at.is_none_or(|last| sent_at >= last)
    }

    /// Counts a failure, unless its request left before the last one came: a burst of requests that fail together is
    /// one failure.
    fn fails(&mut self, now: Timestamp, sent_at: Timestamp) -> bool {
        let counts = self.is_newer(sent_at);
        if counts {
            self.failures = self.failures.saturating_add(1);
            self.failed_at = Some(now);
            self.probe = None;
        }
        counts
    }

    fn rest(&mut self, now: Timestamp, rest: Duration, counts: bool) -> Option<Duration> {
        if !counts {
            return None;
        }
        let until = after(now, rest);
        let sane = self
            .rest_until
            .filter(|current| *current <= after(now, REST_MAX));
        self.rest_until = Some(sane.map_or(until, |current| current.max(until)));
        Some(rest)
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    let factor = 1_u32
        .checked_shl(times.saturating_sub(1))
        .unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(OWN_REST_MAX)
}
