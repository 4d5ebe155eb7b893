//! How things stand, as far as only the loop knows: for whoever shows it.

use std::collections::BTreeMap;

use crate::codearts::CodeArts;
use crate::config::Config;
use crate::domain::pace::{Admit, Pace};
use crate::domain::{AccountName, Timestamp};
use crate::ledger::Ledger;

use super::Daemon;
use super::asked::{Refusal, Reply};

/// How things stand.
#[derive(Debug, Clone)]
pub struct Standing {
    /// When the daemon took over.
    pub started_at: Option<Timestamp>,
    /// What it runs with.
    pub config: Config,
    /// How the accounts fare.
    pub health: BTreeMap<AccountName, Health>,
    /// Whether the ledger fails: nothing is decided until it works again.
    pub ledger_fails: bool,
    /// What came of the last reload, if there was one.
    pub reload: Option<Read>,
}

/// How an account fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// No request leaves before this.
    pub rests_until: Option<Timestamp>,
    /// The service fails for everyone: one probe at a time.
    pub is_broken: bool,
    /// The credentials were refused.
    pub is_refused: bool,
}

impl Health {
    pub(super) fn of(pace: &Pace, now: Timestamp) -> Self {
        Self {
            rests_until: match pace.admit(now) {
                Admit::RestUntil(until) => Some(until),
                Admit::Go | Admit::AfterAnswer | Admit::LookFirst => None,
            },
            is_broken: pace.is_broken(),
            is_refused: pace.is_about_credentials(),
        }
    }
}

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub by: String,
    /// Why the new files were refused; none if they were taken.
    pub problems: Vec<String>,
}

impl Read {
    pub(super) fn new(at: Timestamp, by: String, reply: &Reply) -> Self {
        let problems = match reply {
            Err(Refusal::Problems(problems)) => problems.clone(),
            Ok(_) | Err(_) => Vec::new(),
        };
        Self { at, by, problems }
    }
}

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// How things stand now.
    pub(super) fn look(&self) -> Standing {
        let now = self.now();
        let paces = self.paces.iter();
        Standing {
            started_at: self.here_since,
            config: self.parts.config.clone(),
            health: paces
                .map(|(name, pace)| (name.clone(), Health::of(pace, now)))
                .collect(),
            ledger_fails: self.trouble.is_some(),
            reload: self.last_read.clone(),
        }
    }
}
