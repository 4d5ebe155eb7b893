//! Started runs that are followed, and when to look at each again. Not in the ledger: which runs are open is, and a
//! restart looks at all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::plan::Followed;
use crate::domain::{AccountName, Run, Tick, TickId, Timestamp};

/// Most runs in one round of looks at an account.
const LOOKS_MAX: usize = 100;

/// Runs that are followed.
#[derive(Debug, Default)]
pub(super) struct Follows {
    ticks: HashMap<TickId, Follow>,
    by_time: BTreeSet<(Timestamp, TickId)>,
    /// Accounts with a round of looks under way.
    busy: HashSet<AccountName>,
}

/// A run that is followed.
#[derive(Debug)]
struct Follow {
    tick: Tick,
    /// When it is looked at next.
    at: Timestamp,
    /// Since when it is followed, by a clock that cannot be set, ...
    since: Instant,
    /// ... and how long it had been under way then, as far as is known.
    taken: Duration,
    /// Since when every look at it has failed.
    blind_since: Option<Instant>,
}

impl Follow {
    fn taken(&self) -> Duration {
        self.taken.saturating_add(self.since.elapsed())
    }
}

impl Follows {
    /// The tick's run is to be looked at then, or as it was said before if it is known already.
    pub(super) fn add(&mut self, now: Timestamp, tick: Tick, at: Timestamp) {
        if self.ticks.contains_key(&tick.id) {
            return;
        }
        let Some(run) = &tick.run else {
            return;
        };
        let taken = (now - run.started_at).to_std().unwrap_or_default();
        let id = tick.id.clone();
        self.by_time.insert((at, id.clone()));
        let follow = Follow {
            tick,
            at,
            since: Instant::now(),
            taken,
            blind_since: None,
        };
        self.ticks.insert(id, follow);
    }

    /// The tick's run, which is followed, is to be looked at then.
    pub(super) fn set(&mut self, id: &TickId, at: Timestamp) {
        if let Some(follow) = self.ticks.get_mut(id) {
            self.by_time.remove(&(follow.at, id.clone()));
            follow.at = at;
            self.by_time.insert((at, id.clone()));
        }
    }

    /// What a look at it came to.
    pub(super) fn saw(&mut self, id: &TickId, has_failed: bool) {
        if let Some(follow) = self.ticks.get_mut(id) {
            follow.blind_since =
                has_failed.then(|| follow.blind_since.unwrap_or_else(Instant::now));
        }
    }

    /// What is known of its time.
    pub(super) fn followed(&self, id: &TickId) -> Followed {
        let Some(follow) = self.ticks.get(id) else {
            return Followed::default();
        };
        Followed {
            taken: Some(follow.taken()),
            blind: follow.blind_since.map_or(Duration::ZERO, |at| at.elapsed()),
        }
    }

    /// For how long each run has been under way.
    pub(super) fn taken(&self) -> BTreeMap<TickId, Duration> {
        let follows = self.ticks.iter();
        follows
            .map(|(id, follow)| (id.clone(), follow.taken()))
            .collect()
    }

    /// The tick as it stands now, if its run is followed.
    pub(super) fn learn(&mut self, tick: &Tick) {
        if let Some(follow) = self.ticks.get_mut(&tick.id) {
            follow.tick = tick.clone();
        }
    }

    /// The run is to be looked at again, after as long as it says.
    pub(super) fn look_again(&mut self, id: &TickId, at: impl Fn(&Run) -> Timestamp) {
        let run = self
            .ticks
            .get(id)
            .and_then(|follow| follow.tick.run.as_ref());
        if let Some(at) = run.map(at) {
            self.set(id, at);
        }
    }

    /// The run is over.
    pub(super) fn remove(&mut self, id: &TickId) {
        if let Some(follow) = self.ticks.remove(id) {
            self.by_time.remove(&(follow.at, id.clone()));
        }
    }

    /// When to look next; not for accounts whose round is under way.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time
            .iter()
            .find(|(_, id)| {
                self.ticks
                    .get(id)
                    .is_some_and(|follow| !self.busy.contains(&follow.tick.account))
            })
            .map(|(at, _)| *at)
    }

    /// The clock was set: everything is looked at anew.
    pub(super) fn look_at_all(&mut self, now: Timestamp) {
        let ids: Vec<TickId> = self.ticks.keys().cloned().collect();
        for id in ids {
            self.set(&id, now);
        }
    }

    /// Takes out the runs to be looked at now, by account; each account's round is under way from here on. They come
    /// back by `set`, or do not.
    pub(super) fn take_due(&mut self, now: Timestamp) -> BTreeMap<AccountName, Vec<Tick>> {
        let mut rounds: BTreeMap<AccountName, Vec<Tick>> = BTreeMap::new();
        let due = self.by_time.iter().take_while(|(at, _)| *at <= now);
        for (_, id) in due {
            let Some(Follow { tick, .. }) = self.ticks.get(id) else {
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
