//! What an account opens the door with: had once, kept, renewed before it ends, and read again when it is refused.
//!
//! Three hundred ticks at two in the morning fetch one token: whoever comes while a fetch is under way waits for it
//! and takes what it brings, a failure as well. If each tried on its own, one wrong password would lock the IAM user.
//! What is still good is never held up by its own renewal, nor lost by one that fails.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use secrecy::ExposeSecret;

use super::session::Ground;
use super::sources::{Flight, obtain};
use crate::codearts::auth::Pass;
use crate::domain::Timestamp;

/// A renewal of what is still good is tried no more often than this.
const RENEWAL_REST: Duration = Duration::from_secs(60);
/// A failure is told again to whoever asks within this time, until a reload: the ticks of one instant do not all come in
/// the same moment.
const FAILURE_REST: Duration = Duration::from_secs(3);
/// What was fetched is dropped because it was refused no more often than this: if the new one is refused too, it is not
/// its age, and to fetch a third helps nobody.
const DROP_REST: Duration = Duration::from_secs(300);

/// Whose doing it is that a request cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody refused the credentials.
    Refused,
    /// Somebody could not be reached.
    Unreached,
    /// Our own: nobody was asked.
    Ours,
}

/// Why a request cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whose doing it is.
    pub(super) cause: Cause,
    /// What went wrong; never a secret.
    pub(super) message: String,
    /// How long the one who refused wants us to wait.
    pub(super) retry_after: Option<Duration>,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self {
            cause: Cause::Unreached,
            message,
            retry_after: None,
        }
    }
}

impl Failure {
    /// Nobody was asked.
    pub(super) fn ours(message: String) -> Self {
        Self {
            cause: Cause::Ours,
            ..Self::from(message)
        }
    }
}

/// Credentials that we have.
#[derive(Clone)]
pub(super) struct Held {
    /// What opens the door.
    pub(super) pass: Pass,
    /// The IAM project's id that came with them.
    pub(super) project_id: Option<String>,
    /// From when on they are to be renewed, and when they end; none: never.
    pub(super) life: Option<Life>,
    /// What they were had with, to see whether that has changed.
    pub(super) origin: Origin,
}

impl fmt::Debug for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Held")
            .field("pass", &self.pass)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// How long credentials last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) renew_from: Timestamp,
    pub(super) ends: Timestamp,
}

/// How credentials were had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Read where they are kept.
    Read,
    /// Fetched with the user and password of this hash.
    User([u8; 32]),
    /// Fetched from the metadata service.
    Metadata,
}

impl Held {
    /// Credentials that were read where they are kept, and last until they are refused.
    pub(super) fn read(pass: Pass, project_id: Option<String>) -> Self {
        Self {
            pass,
            project_id,
            life: None,
            origin: Origin::Read,
        }
    }

    /// Whether it opens the door in the same way as `other`: then what was refused to one is refused to both.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same_id = match (&self.pass, &other.pass) {
            (Pass::Keys(one), Pass::Keys(two)) => one.ak == two.ak,
            (Pass::Token(_), Pass::Token(_)) => true,
            (Pass::Keys(_), Pass::Token(_)) | (Pass::Token(_), Pass::Keys(_)) => false,
        };
        let (ours, theirs) = (self.pass.secrets(), other.pass.secrets());
        same_id
            && ours
                .map(ExposeSecret::expose_secret)
                .eq(theirs.map(ExposeSecret::expose_secret))
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.life.is_some_and(|life| life.renew_from <= now)
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.life.is_some_and(|life| life.ends <= now)
    }
}

/// Keeps the credentials of one account.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    state: Mutex<State>,
    /// Whoever holds this gets credentials for all.
    flight: Arc<tokio::sync::Mutex<Flight>>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Arc<Held>>,
    /// How often a reload asked to look again where they are kept, ...
    reloads: u64,
    /// ... and how often that had happened when what is held was looked for.
    as_of: u64,
    renewal_failed_at: Option<Instant>,
    /// How the last attempt to get any ended, if badly.
    failure: Option<(Instant, Failure)>,
    dropped_at: Option<Instant>,
}

/// What is at hand.
enum AtHand {
    Fresh(Arc<Held>),
    /// Good, but it will end soon.
    Aging(Arc<Held>),
    /// Good, but there was a reload.
    Questioned(Arc<Held>),
    Nothing,
}

impl Keeper {
    /// Credentials that are good now.
    pub(super) async fn get(self: &Arc<Self>, ground: &Arc<Ground>) -> Result<Arc<Held>, Failure> {
        match self.at_hand(ground.clock.now()) {
            AtHand::Fresh(held) => Ok(held),
            // Renewed beside us: nobody waits for what is not needed yet.
            AtHand::Aging(held) => {
                if let Ok(mut flight) = Arc::clone(&self.flight).try_lock_owned() {
                    let (keeper, ground) = (Arc::clone(self), Arc::clone(ground));
                    tokio::spawn(async move { keeper.renew(&ground, &mut flight).await });
                }
                Ok(held)
            }
            // After a reload the person expects the new secret to be used, not the old one once more.
            AtHand::Questioned(held) => {
                let mut flight = self.flight.lock().await;
                self.renew(ground, &mut flight).await;
                Ok(self.state().held.clone().unwrap_or(held))
            }
            AtHand::Nothing => self.fetch_once(ground).await,
        }
    }

    /// Looks again where the credentials are kept, before they are next used. A token stays if nothing has changed.
    pub(super) fn reread(&self) {
        let mut state = self.state();
        state.reloads += 1;
        state.renewal_failed_at = None;
        state.failure = None;
    }

    /// The service did not accept `used`.
    pub(super) fn refused(&self, used: &Arc<Held>) {
        let mut state = self.state();
        let is_current = state
            .held
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, used));
        let is_resting = used.origin != Origin::Read
            && state.dropped_at.is_some_and(|at| at.elapsed() < DROP_REST);
        if is_current && !is_resting {
            state.held = None;
            state.dropped_at = Some(Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_hand(&self, now: Timestamp) -> AtHand {
        let state = self.state();
        let Some(held) = state.held.as_ref().filter(|held| !held.has_ended(now)) else {
            return AtHand::Nothing;
        };
        let held = Arc::clone(held);
        let is_resting = state
            .renewal_failed_at
            .is_some_and(|at| at.elapsed() < RENEWAL_REST);
        if is_resting {
            AtHand::Fresh(held)
        } else if state.reloads != state.as_of {
            AtHand::Questioned(held)
        } else if held.is_due(now) {
            AtHand::Aging(held)
        } else {
            AtHand::Fresh(held)
        }
    }

    /// Renews what is at hand, if that is still called for. If it fails, what is good is kept.
    async fn renew(&self, ground: &Ground, flight: &mut Flight) {
        let held = match self.at_hand(ground.clock.now()) {
            AtHand::Aging(held) | AtHand::Questioned(held) => held,
            AtHand::Fresh(_) | AtHand::Nothing => return,
        };
        let as_of = self.state().reloads;
        match obtain(ground, flight, Some(&held)).await {
            Ok(new) => {
                self.keep(ground, new, as_of);
            }
            Err(failure) => {
                tracing::warn!(
                    account = %ground.account.name,
                    "could not renew the credentials, going on with those at hand: {}",
                    failure.message
                );
                self.state().renewal_failed_at = Some(Instant::now());
            }
        }
    }

    async fn fetch_once(&self, ground: &Ground) -> Result<Arc<Held>, Failure> {
        let mut flight = self.flight.lock().await;
        match self.at_hand(ground.clock.now()) {
            AtHand::Fresh(held) | AtHand::Aging(held) | AtHand::Questioned(held) => {
                return Ok(held);
            }
            AtHand::Nothing => {}
        }
        if let Some((at, failure)) = &self.state().failure
            && at.elapsed() < FAILURE_REST
        {
            return Err(failure.clone());
        }
        let as_of = self.state().reloads;
        match obtain(ground, &mut flight, None).await {
            Ok(new) => Ok(self.keep(ground, new, as_of)),
            Err(failure) => {
                self.state().failure = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// Keeps what was had. If it is due at once (short-lived, or the same key again), it is left alone for a while. A
    /// reload that came while it was being had is still owed: it may have been had with the old password.
    fn keep(&self, ground: &Ground, held: Held, as_of: u64) -> Arc<Held> {
        let is_due = held.is_due(ground.clock.now());
        let ends = held.life.map(|life| life.ends);
        ground.metrics.token(&ground.account.name, ends);
        let held = Arc::new(held);
        let mut state = self.state();
        state.as_of = as_of;
        state.failure = None;
        state.renewal_failed_at = is_due.then(Instant::now);
        state.held = Some(Arc::clone(&held));
        held
    }
}
