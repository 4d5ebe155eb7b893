//! Started runs that are followed, and when to look at each again. Not in the ledger: which runs are open is, and a
//! restart looks at all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::domain::{AccountName, Run, Tick, TickId, Timestamp};

/// Most runs in one round of looks at an account.
const LOOKS_MAX: usize = 100;

/// Runs that are followed.
#[derive(Debug, Default)]
pub(super) struct Follows {
    ticks: HashMap<TickId, (Tick, Timestamp)>,
    by_time: BTreeSet<(Timestamp, TickId)>,
    /// Accounts with a round of looks under way.
    busy: HashSet<AccountName>,
}

impl Follows {
    /// The tick's run is to be looked at then, or as it was said before if it is known already.
    pub(super) fn add(&mut self, tick: Tick, at: Timestamp) {
        if !self.ticks.contains_key(&tick.id) {
            self.set(tick, at);
        }
    }

    /// The tick's run is to be looked at then.
    pub(super) fn set(&mut self, tick: Tick, at: Timestamp) {
        let id = tick.id.clone();
        if let Some((_, old)) = self.ticks.insert(id.clone(), (tick, at)) {
            self.by_time.remove(&(old, id.clone()));
        }
        self.by_time.insert((at, id));
    }

    /// The tick as it stands now, if its run is followed.
    pub(super) fn learn(&mut self, tick: &Tick) {
        if let Some((known, _)) = self.ticks.get_mut(&tick.id) {
            *known = tick.clone();
        }
    }

    /// The run is to be looked at again, after as long as it says.
    pub(super) fn look_again(&mut self, id: &TickId, at: impl Fn(&Run) -> Timestamp) {
        let Some((tick, _)) = self.ticks.get(id) else {
            return;
        };
        if let Some(at) = tick.run.as_ref().map(at) {
            self.set(tick.clone(), at);
        }
    }

    /// The run is over.
    pub(super) fn remove(&mut self, id: &TickId) {
        if let Some((_, at)) = self.ticks.remove(id) {
            self.by_time.remove(&(at, id.clone()));
        }
    }

    /// When to look next; not for accounts whose round is under way.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time
            .iter()
            .find(|(_, id)| {
                self.ticks
                    .get(id)
                    .is_some_and(|(tick, _)| !self.busy.contains(&tick.account))
            })
            .map(|(at, _)| *at)
    }

    /// The clock was set: everything is looked at anew.
    pub(super) fn look_at_all(&mut self, now: Timestamp) {
        let ticks: Vec<Tick> = self.ticks.values().map(|(tick, _)| tick.clone()).collect();
        for tick in ticks {
            self.set(tick, now);
        }
    }

    /// Takes out the runs to be looked at now, by account; each account's round is under way from here on. They come
    /// back by `set`, or do not.
    pub(super) fn take_due(&mut self, now: Timestamp) -> BTreeMap<AccountName, Vec<Tick>> {
        let mut rounds: BTreeMap<AccountName, Vec<Tick>> = BTreeMap::new();
        let due = self.by_time.iter().take_while(|(at, _)| *at <= now);
        for (_, id) in due {
            let Some((tick, _)) = self.ticks.get(id) else {
                continue;
            };
            if self.busy.contains(&tick.account) {
                continue;
            }
            let round = rounds.entry(tick.account.clone()).or_default();
            if round.len() < LOOKS_MAX {
                round.push(tick.clone());
            }
        }
        self.busy.extend(rounds.keys().cloned());
        rounds
    }

    /// The account's round is over.
    pub(super) fn round_is_over(&mut self, account: &AccountName) {
        self.busy.remove(account);
    }
}
