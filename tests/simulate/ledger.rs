//! The ledger of a world: the one in memory, slow and failing now and then, with the checks of safety at each commit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipecron::config::SourceFile;
use pipecron::domain::{
    Act, EntryName, EntryState, LastSuccess, Pause, Plan, Scope, Skip, TickId, Timestamp,
};
use pipecron::ledger::{
    Changed, Fault, GoodConfig, HistoryQuery, Ledger, LedgerError, MemoryLedger, Story,
};

use super::checks::Checks;
use super::dice::Dice;
use super::mistakes::Mistake;

#[derive(Debug)]
pub(crate) struct SimLedger {
    pub(crate) rows: MemoryLedger,
    pub(crate) mistake: Option<Mistake>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) dice: Mutex<Dice>,
}

impl SimLedger {
    /// A wait as for a disk: mostly none, sometimes long enough to die in.
    async fn waits(&self) {
        let wait = {
            let mut dice = self.dice.lock().unwrap();
            match dice.below(20) {
                0 if self.checks.has_faults() => dice.millis(1, 4_000),
                1..=5 => dice.millis(1, 20),
                _ => Duration::ZERO,
            }
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

impl Ledger for SimLedger {
    fn id(&self) -> &str {
        self.rows.id()
    }

    fn is_shared(&self) -> bool {
        self.rows.is_shared()
    }

    async fn decide<D>(
        &self,
        entries: Vec<EntryName>,
        mut decide: D,
    ) -> Result<Vec<Plan>, LedgerError>
    where
        D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan + Send + 'static,
    {
        self.waits().await;
        let (mistake, checks) = (self.mistake, self.checks.clone());
        // What was decided even if it could not be stored, for the mistake that acts on it.
        let decided = Arc::new(Mutex::new(Vec::new()));
        let kept = decided.clone();
        let spoilt = move |now: Timestamp, entry: &EntryName, state: &EntryState| {
            let plan = match mistake {
                None => decide(now, entry, state),
                Some(mistake) => {
                    let mut seen = state.clone();
                    mistake.spoil_state(now, &mut seen);
                    let mut plan = decide(now, entry, &seen);
                    mistake.spoil_plan(now, state, &mut plan);
                    plan
                }
            };
            checks.decided(now, state, &plan);
            if mistake == Some(Mistake::SendBeforeItIsStored) {
                kept.lock().unwrap().push(plan.clone());
            }
            plan
        };
        let stored = self.rows.decide(entries, spoilt).await;
        match &stored {
            Ok(plans) => self.checks.stored(plans),
            Err(error @ LedgerError::Refused { .. }) => self.checks.fail(format!("{error}")),
            Err(_) => {}
        }
        self.waits().await;
        if mistake == Some(Mistake::SendBeforeItIsStored) && stored.is_err() {
            return Ok(std::mem::take(&mut *decided.lock().unwrap()));
        }
        stored
    }

    async fn open_entries(&self) -> Result<Vec<EntryName>, LedgerError> {
        self.rows.open_entries().await
    }

    async fn marked_entries(&self) -> Result<Vec<EntryName>, LedgerError> {
        self.rows.marked_entries().await
    }

    async fn history(
        &self,
        query: HistoryQuery,
    ) -> Result<Vec<pipecron::domain::Tick>, LedgerError> {
        self.rows.history(query).await
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Vec<Changed>, LedgerError> {
        self.rows.changes(after, limit).await
    }

    async fn newest_change(&self) -> Result<u64, LedgerError> {
        self.rows.newest_change().await
    }

    async fn put_memo(&self, key: String, text: String) -> Result<(), LedgerError> {
        self.rows.put_memo(key, text).await
    }

    async fn memo(&self, key: String) -> Result<Option<String>, LedgerError> {
        self.rows.memo(key).await
    }

    async fn story(&self, tick: TickId) -> Result<Option<Story>, LedgerError> {
        self.rows.story(tick).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, LedgerError> {
        self.rows.prune(before).await
    }

    async fn keep_config(&self, key: String, files: Vec<SourceFile>) -> Result<(), LedgerError> {
        self.rows.keep_config(key, files).await
    }

    async fn forget_configs(
        &self,
        before: Timestamp,
        keep: Vec<String>,
    ) -> Result<u64, LedgerError> {
        self.rows.forget_configs(before, keep).await
    }

    async fn last_config(&self, key: String) -> Result<Option<GoodConfig>, LedgerError> {
        self.rows.last_config(key).await
    }

    async fn last_success(&self, entry: EntryName) -> Result<Option<LastSuccess>, LedgerError> {
        self.rows.last_success(entry).await
    }

    async fn put_skips(&self, entry: EntryName, skips: Vec<Skip>) -> Result<(), LedgerError> {
        self.rows.put_skips(entry, skips).await
    }

    async fn drop_skips(&self, entry: EntryName, dues: Vec<Timestamp>) -> Result<u64, LedgerError> {
        self.rows.drop_skips(entry, dues).await
    }

    async fn skips(&self, after: Timestamp) -> Result<Vec<(EntryName, Skip)>, LedgerError> {
        self.rows.skips(after).await
    }

    async fn put_pause(&self, pause: Pause) -> Result<Option<Pause>, LedgerError> {
        self.rows.put_pause(pause).await
    }

    async fn lift_pause(
        &self,
        scope: Scope,
        at: Timestamp,
        by: String,
    ) -> Result<Option<Pause>, LedgerError> {
        self.rows.lift_pause(scope, at, by).await
    }

    async fn pauses(&self, at: Timestamp) -> Result<Vec<Pause>, LedgerError> {
        self.rows.pauses(at).await
    }

    async fn put_act(&self, act: Act) -> Result<(), LedgerError> {
        self.rows.put_act(act).await
    }

    async fn acts(&self, limit: u32) -> Result<Vec<Act>, LedgerError> {
        self.rows.acts(limit).await
    }

    async fn newest_due(&self) -> Result<Option<Timestamp>, LedgerError> {
        self.rows.newest_due().await
    }
}

/// Faults that pass.
pub(crate) const FAULTS: [Fault; 4] = [Fault::Locked, Fault::Full, Fault::ReadOnly, Fault::Io];
