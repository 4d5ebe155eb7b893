//! When an account may be asked at all: throttling, refused credentials and a service that does not work rest the
//! account, not one tick.
//!
//! The gateway locks an access key after five bad signatures in a row (help centre: "IAM认证信息错误"), and a throttled
//! account is throttled for every tick. So after such an answer the whole account rests; when the rest is over one
//! request goes as a probe, and only its answer lets the others go. A key that was never accepted is probed likewise.
//!
//! When several requests in a row come to nothing the service does not work for anyone: the *breaker* opens. A start
//! that fails so leaves its tick in doubt, so the probe is then a look, which starts nothing. Once a look succeeds the
//! breaker shuts and starts go on: one at first, one more at once for each that goes well. A service that has just come
//! back is not met by all that has waited.

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

/// First rest after requests failed in a row with nothing to show for it; doubled each time, up to
/// [`OUTAGE_REST_MAX`]. Short: a probe is one look, and a nightly should not wait for a service that is back.
const OUTAGE_REST: Duration = Duration::from_secs(15);
/// Longest rest between two probes of a service that does not work.
const OUTAGE_REST_MAX: Duration = Duration::from_secs(120);
/// After this many requests in a row that came to nothing the service counts as not working for anyone.
const OUTAGES_MAX: u32 = 5;
/// From this many requests under way on a release is over.
const RELEASED: u32 = 64;

/// How an account stands. A new one is unproven: its first request is a probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pace {
    /// Whether the service has ever taken a request of it.
    is_proven: bool,
    rest_until: Option<Timestamp>,
    /// When the last of the failures that count came.
    failed_at: Option<Timestamp>,
    /// Failures in a row; requests that left together count as one.
    failures: u32,
    /// How many of those refused the credentials.
    unauthorized: u32,
    /// When the probe left whose answer is awaited.
    probe: Option<Timestamp>,
    /// Requests in a row that came to nothing: not sent, no answer, or none that tells.
    outages: u32,
    /// How often in a row the breaker opened without a start going well in between; none while it is shut.
    breaker: Option<u32>,
    /// How often it opened before, since the last start that went well.
    openings: u32,
    /// How many requests may be under way at once, after the breaker shut: few at first.
    gentle: Option<u32>,
    /// How many requests are under way.
    under_way: u32,
}

/// Whether a request may go now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// It may.
    Go,
    /// Not before this instant.
    RestUntil(Timestamp),
    /// Not before an answer to what is under way.
    AfterAnswer,
    /// A look may, as a probe; a start not before its answer, for one that fails leaves its tick in doubt.
    LookFirst,
}

/// What an answer says about the account, whatever it says about its tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The service works and knows us.
    Well {
        /// Whether it took a start, or refused one for reasons of its own.
        is_start: bool,
    },
    /// It wants fewer requests.
    Throttled(Option<Duration>),
    /// It does not know us.
    Unauthorized,
    /// Nothing came, or nothing that tells.
    Outage,
    /// It was not asked: the request stayed here for reasons of our own.
    Nothing,
}

impl Heard {
    /// What the answer to a start says.
    pub fn of_start(answer: &Answer) -> Self {
        match answer.kind {
            AnswerKind::Started { .. }
            | AnswerKind::Busy
            | AnswerKind::Refused
            | AnswerKind::RefusedInPassing => Self::Well { is_start: true },
            AnswerKind::Throttled => Self::Throttled(answer.retry_after),
            AnswerKind::Unauthorized => Self::Unauthorized,
            AnswerKind::NotSent | AnswerKind::Doubtful => Self::Outage,
            AnswerKind::KeptHere => Self::Nothing,
        }
    }

    /// What the answer to a look says that failed. A look that got no answer is refused in passing: nothing is in doubt.
    pub fn of_failed_look(answer: &Answer) -> Self {
        match answer.kind {
            AnswerKind::RefusedInPassing if answer.status.is_none_or(|status| status >= 500) => {
                Self::Outage
            }
            AnswerKind::Started { .. }
            | AnswerKind::Busy
            | AnswerKind::Refused
            | AnswerKind::RefusedInPassing => Self::Well { is_start: false },
            AnswerKind::Throttled => Self::Throttled(answer.retry_after),
            AnswerKind::Unauthorized => Self::Unauthorized,
            AnswerKind::NotSent | AnswerKind::Doubtful => Self::Outage,
            AnswerKind::KeptHere => Self::Nothing,
        }
    }
}

/// What changed for an account, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaceNews {
    /// It rests for so long.
    Rests(Duration),
    /// The service does not work for anyone: nothing is started until a look succeeds, the next after so long.
    BreakerOpened(Duration),
    /// The service works again; starts go on, few at first.
    BreakerShut,
}

impl Pace {
    /// Whether a request may go now.
    pub fn admit(&self, now: Timestamp) -> Admit {
        // A probe is never awaited for ever: its answer may be lost with its task, or the clock may have jumped.
        let is_probed = self
            .probe
            .is_some_and(|probe| (now - probe).abs() < PROBE_MAX);
        match self.rest_until {
            // A clock that was set back must not make the rest longer than any rest is.
            Some(until) if until > now && until <= after(now, REST_MAX) => Admit::RestUntil(until),
            Some(_) if is_probed => Admit::AfterAnswer,
            Some(_) if self.breaker.is_some() => Admit::LookFirst,
            Some(_) => Admit::Go,
            None if !self.is_proven && is_probed => Admit::AfterAnswer,
            None if self.gentle.is_some_and(|most| self.under_way >= most) => Admit::AfterAnswer,
            None => Admit::Go,
        }
    }

    /// Whether it rests because of the credentials.
    pub fn is_about_credentials(&self) -> bool {
        self.unauthorized > 0
    }

    /// Other credentials, perhaps: they have to prove themselves, and no rest because of the old ones goes on. What
    /// throttling asked for stays.
    pub fn prove_again(&mut self) {
        if self.is_about_credentials() {
            *self = Self {
                under_way: self.under_way,
                ..Self::default()
            };
        }
        self.is_proven = false;
    }

    /// Whether the breaker is open.
    pub fn is_broken(&self) -> bool {
        self.breaker.is_some()
    }

    /// A request leaves. After a rest, or of an account that is unproven, it is the probe.
    pub fn sent(&mut self, at: Timestamp) {
        self.under_way = self.under_way.saturating_add(1);
        if self.rest_until.is_some() || !self.is_proven {
            self.probe = Some(at);
        }
    }

    /// An answer came to a request that left at `sent_at`. Gives what changed by it, if anything did.
    pub fn answered(
        &mut self,
        now: Timestamp,
        sent_at: Timestamp,
        heard: Heard,
    ) -> Option<PaceNews> {
        self.under_way = self.under_way.saturating_sub(1);
        match heard {
            Heard::Throttled(wanted) => {
                self.outages = 0;
                let first = self.fails(now, sent_at);
                let wanted = wanted.unwrap_or_default();
                let own = doubled(THROTTLED_REST, self.failures, OWN_REST_MAX);
                let rest = wanted.max(own).min(REST_MAX);
                self.rest(now, rest, first || wanted > own)
            }
            Heard::Unauthorized => {
                self.outages = 0;
                let first = self.fails(now, sent_at);
                self.unauthorized += u32::from(first);
                // The first one goes again at once, as a probe with renewed credentials.
                let rest = match self.unauthorized {
                    0 | 1 => Duration::ZERO,
                    more => doubled(UNAUTHORIZED_REST, more - 1, OWN_REST_MAX),
                };
                self.rest(now, rest, first)
            }
            Heard::Outage => self.came_to_nothing(now, sent_at),
            Heard::Well { is_start } => self.goes_well(sent_at, is_start),
            Heard::Nothing => {
                // The next one is the probe. A look that probes is asked for at once when there is none, so it rests.
                if self.probe == Some(sent_at) {
                    self.probe = None;
                    self.rest(now, OUTAGE_REST, self.breaker.is_some());
                }
                None
            }
        }
    }

    /// Nothing came of it. That says nothing about the account until it happens several times in a row.
    fn came_to_nothing(&mut self, now: Timestamp, sent_at: Timestamp) -> Option<PaceNews> {
        let was_probe = self.probe == Some(sent_at);
        if was_probe {
            self.probe = None;
        }
        self.outages = self.outages.saturating_add(1);
        match self.breaker {
            // What left before it opened, or beside the probe, tells nothing new.
            Some(_) if !was_probe => None,
            Some(failed) => {
                let failed = failed.saturating_add(1);
                self.breaker = Some(failed);
                let rest = doubled(OUTAGE_REST, failed, OUTAGE_REST_MAX);
                self.rest(now, rest, true);
                None
            }
            None if self.outages >= OUTAGES_MAX => {
                self.openings = self.openings.saturating_add(1);
                self.breaker = Some(self.openings);
                self.gentle = None;
                let rest = doubled(OUTAGE_REST, self.openings, OUTAGE_REST_MAX);
                self.rest(now, rest, true);
                Some(PaceNews::BreakerOpened(rest))
            }
            None => None,
        }
    }

    fn goes_well(&mut self, sent_at: Timestamp, is_start: bool) -> Option<PaceNews> {
        // One that left before the last failure came says nothing about what holds now.
        if !self.is_newer(sent_at) {
            return None;
        }
        let was_broken = self.breaker.is_some();
        let gentle = match self.gentle {
            _ if was_broken => Some(1),
            Some(most) if is_start => Some(most.saturating_add(1)).filter(|most| *most < RELEASED),
            kept => kept,
        };
        *self = Self {
            is_proven: true,
            gentle,
            under_way: self.under_way,
            // A service that shows runs and starts none opens it again, for longer.
            openings: if is_start { 0 } else { self.openings },
            ..Self::default()
        };
        was_broken.then_some(PaceNews::BreakerShut)
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

    fn rest(&mut self, now: Timestamp, rest: Duration, counts: bool) -> Option<PaceNews> {
        if !counts {
            return None;
        }
        let until = after(now, rest);
        let sane = self
            .rest_until
            .filter(|current| *current <= after(now, REST_MAX));
        self.rest_until = Some(sane.map_or(until, |current| current.max(until)));
        (!rest.is_zero()).then_some(PaceNews::Rests(rest))
    }
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    let factor = 1_u32
        .checked_shl(times.saturating_sub(1))
        .unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(most)
}

#[cfg(test)]
mod tests;
