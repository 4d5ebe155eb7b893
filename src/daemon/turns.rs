//! Ticks that are ready and wait for a place of their account. Not in the ledger: each is there as a tick that waits, and
//! a restart finds it again.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{AccountName, Tick, TickId, Timestamp, Turn};

/// Who waits, and where a place may have become free.
#[derive(Debug, Default)]
pub(super) struct Turns {
    by_tick: BTreeMap<TickId, Turn>,
    /// Accounts of which somebody is to be called.
    stirred: BTreeSet<AccountName>,
    /// Who was called last.
    called: BTreeSet<TickId>,
    /// Who was called and looks at its pipeline: a place is kept for each.
    reserved: BTreeMap<TickId, AccountName>,
}

impl Turns {
    /// The tick waits for a place. Unless it was called just now and found none, there may be one.
    pub(super) fn add(&mut self, turn: Turn) {
        if !self.called.contains(&turn.tick) {
            self.stirred.insert(turn.account.clone());
        }
        self.by_tick.insert(turn.tick.clone(), turn);
    }

    /// The tick does not wait any more.
    pub(super) fn remove(&mut self, tick: &TickId) {
        self.by_tick.remove(tick);
    }

    /// It was called, and neither took a place nor waits for one: for its pipeline, say. If it wants one again it comes
    /// again; meanwhile it must not keep the others from theirs.
    pub(super) fn leave(&mut self, tick: &TickId) {
        self.by_tick.remove(tick);
        self.called.remove(tick);
    }

    /// A place is kept for it until it is known whether it starts.
    pub(super) fn reserve(&mut self, tick: &Tick) {
        self.leave(&tick.id);
        self.reserved.insert(tick.id.clone(), tick.account.clone());
    }

    /// It is known whether it starts.
    pub(super) fn release(&mut self, tick: &TickId) {
        if let Some(account) = self.reserved.remove(tick) {
            self.stirred.insert(account);
        }
    }

    /// For whom a place is kept.
    pub(super) fn reserved(&self) -> &BTreeMap<TickId, AccountName> {
        &self.reserved
    }

    /// The account may have a place that is free.
    pub(super) fn stir(&mut self, account: &AccountName) {
        self.stirred.insert(account.clone());
    }

    /// Every account may have one: the limits changed.
    pub(super) fn stir_all(&mut self) {
        self.stirred
            .extend(self.by_tick.values().map(|turn| turn.account.clone()));
    }

    /// Whether somebody is to be called.
    pub(super) fn is_stirred(&self) -> bool {
        !self.stirred.is_empty()
            && self
                .by_tick
                .values()
                .any(|turn| self.stirred.contains(&turn.account))
    }

    /// Calls those whose turn it is, of each account as many as it has places at all, in the order in which they may
    /// take one, and after them those of whom it is to be written down that they find none. How many are free the ledger
    /// says.
    pub(super) fn call(
        &mut self,
        now: Timestamp,
        places: impl Fn(&AccountName) -> usize,
    ) -> Vec<Turn> {
        let mut called = Vec::new();
        for account in std::mem::take(&mut self.stirred) {
            let mut turns: Vec<&Turn> = self
                .by_tick
                .values()
                .filter(|turn| turn.account == account)
                .collect();
            turns.sort_by(|a, b| a.rank(now).cmp(&b.rank(now)));
            let places = places(&account);
            let is_called = |(at, turn): &(usize, &Turn)| *at < places || !turn.is_told;
            let turns = turns.into_iter().enumerate().filter(is_called);
            called.extend(turns.map(|(_, turn)| turn.clone()));
        }
        self.called = called.iter().map(|turn| turn.tick.clone()).collect();
        called
    }
}
