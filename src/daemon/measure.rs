//! What the loop counts. It is counted where something was carried out, and changes nothing of it.

use std::sync::{Arc, Mutex, PoisonError};

use super::census::New;
use super::{Daemon, Health};
use crate::codearts::CodeArts;
use crate::domain::plan::spread_offset;
use crate::domain::{
    AccountName, Answer, AnswerKind, EntryState, Origin, Plan, Tick, TickState, after,
};
use crate::ledger::Ledger;
use crate::telemetry::metrics::{Metrics, Stands};

/// Ticks of an entry that are looked through for the one that ended last.
const ENDS_LOOKED_AT: u32 = 10;
/// Entries that are asked of the ledger at once: decisions do not wait for that, but pages may.
const ENTRIES_AT_ONCE: usize = 100;

/// What an earlier process left, as it is come by.
pub(super) type Inherited = Arc<Mutex<Vec<Tick>>>;

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// The same, counting here.
    #[must_use]
    pub fn counting(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// What a stored plan changed.
    pub(super) fn count_plan(&mut self, plan: &Plan) {
        for change in &plan.changes {
            let New {
                is_opened,
                is_ended,
            } = self.census.learn(&change.tick);
            if is_opened {
                self.metrics.opened(change.tick.origin);
            }
            if is_ended {
                self.metrics.ended(&change.tick);
            }
            self.is_census_stale = true;
        }
    }

    /// What an earlier process left open.
    pub(super) fn count_inherited(&mut self, inherited: &Inherited) {
        let inherited =
            std::mem::take(&mut *inherited.lock().unwrap_or_else(PoisonError::into_inner));
        for tick in &inherited {
            self.census.inherit(tick);
        }
        self.is_census_stale = true;
    }

    /// What is to be called when the tick's request leaves: the first of a scheduled tick tells how late it is.
    pub(super) fn count_leave(&self, tick: &Tick) -> impl FnOnce() + Send + 'static {
        let entry = self.parts.config.entries.get(&tick.entry);
        let entry =
            entry.filter(|_| tick.origin == Origin::Scheduled && !self.census.has_left(&tick.id));
        let from = entry.map(|entry| after(tick.due, spread_offset(entry)));
        let (metrics, told) = (self.metrics.clone(), self.told.clone());
        move || {
            if let Some(from) = from {
                metrics.left(told.now() - from);
            }
        }
    }

    /// What came of an attempt.
    pub(super) fn count_attempt(&mut self, tick: &Tick, answer: &Answer) {
        self.metrics.attempted(&tick.account, &answer.kind);
        // What was kept here has not left: the next one is the first.
        if answer.kind != AnswerKind::KeptHere {
            self.census.leaves(&tick.id);
        }
        self.count_skew(&tick.account, answer);
    }

    /// What stands for itself, once a turn of the loop.
    pub(super) fn count_turn(&mut self) {
        let now = self.now();
        self.metrics.woke(now);
        if std::mem::take(&mut self.is_census_stale) {
            self.metrics
                .census(&self.census.open(), &self.census.running());
        }
    }

    /// How an account stands after an answer, or with new credentials.
    pub(super) fn count_pace(&self, account: &AccountName) {
        let Some(pace) = self.paces.get(account) else {
            return;
        };
        let Health {
            rests_until,
            is_broken,
            is_refused,
        } = Health::of(pace, self.now());
        let stands = Stands {
            is_broken,
            is_refused,
            rests_until,
        };
        self.metrics.stands(account, stands);
    }

    /// How far the clocks are apart, by an answer that tells.
    pub(super) fn count_skew(&self, account: &AccountName, answer: &Answer) {
        if let Some(theirs) = answer.service_clock {
            self.metrics.skew(account, self.now() - theirs);
        }
    }

    /// From now on the configuration is this one.
    pub(super) fn count_config(&mut self) {
        self.metrics.use_config(&self.parts.config);
        let accounts: Vec<AccountName> = self.paces.keys().cloned().collect();
        for account in accounts {
            self.count_pace(&account);
        }
        self.is_census_stale = true;
        let remember = remember(self.parts.ledger.clone(), self.metrics.clone());
        // One that an earlier reload began has nothing more to say.
        self.memory.abort_all();
        self.memory.spawn(remember);
    }
}

/// Writes down what is open of an entry.
pub(super) fn inherit(inherited: &Inherited, state: &EntryState) {
    let mut inherited = inherited.lock().unwrap_or_else(PoisonError::into_inner);
    inherited.extend(state.open.iter().cloned());
}

/// Asks the ledger how each entry fared before this process, beside the loop.
async fn remember<L: Ledger>(ledger: Arc<L>, metrics: Metrics) {
    let names = metrics.shown_entries();
    for names in names.chunks(ENTRIES_AT_ONCE) {
        // What cannot be read now is missing until the entry's next tick ends; the ledger's own failures are told elsewhere.
        let Ok(glances) = ledger.glances(names.to_vec(), ENDS_LOOKED_AT).await else {
            return;
        };
        for name in names {
            let Ok(success) = ledger.last_success(name.clone()).await else {
                return;
            };
            let ends = glances.iter().filter(|glance| glance.entry == *name);
            let ends = ends.filter_map(|glance| match glance.state {
                TickState::Ended { reason, .. } => Some(reason),
                TickState::Waiting { .. }
                | TickState::Sent { .. }
                | TickState::Doubtful { .. }
                | TickState::Running { .. } => None,
            });
            metrics.remembered(name, success.map(|success| success.due), ends);
        }
    }
}
