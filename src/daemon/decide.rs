//! Deciding about what is due, in one commit, and what becomes of the loop when that fails.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::news::News;
use super::requests::UnderWay;
use super::{Daemon, IN_FLIGHT_MAX, LEDGER_RETRY_MAX, REFUSED_AGAIN, SLEEP_MAX, Trouble};
use crate::codearts::CodeArts;
use crate::domain::pace::Admit;
use crate::domain::plan::{self, Room};
use crate::domain::{
    AccountName, Ask, Entry, EntryName, Plan, TickId, Timestamp, Turn, after, rfc3339,
};
use crate::ledger::{Ledger, LedgerError};

/// How often what others have under way on a shared ledger is looked at.
const SHARED_LOOK: Duration = Duration::from_secs(60);
/// Most rounds of decisions without a look at what else has happened.
const ROUNDS_MAX: u32 = 8;

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// Decides about every entry that is due and about those that waited for room or for their turn, in one commit; and
    /// again as long as that shows who may be called to a place of an account.
    pub(super) async fn decide_due(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if self.in_trouble() || self.broken.is_some() {
                return;
            }
            self.decide_round().await;
            if !self.turns.is_stirred() {
                return;
            }
        }
    }

    async fn decide_round(&mut self) {
        self.look_what_others_left().await;
        let now = self.now();
        let places = self.places();
        let called = self.turns.call(now, |account| {
            let places = places.get(account).copied();
            places.map_or(usize::MAX, |places| places as usize)
        });
        // Who waited for room comes first, or newly due entries would starve them.
        let mut names = self.take_roomless(now);
        names.extend(called.iter().map(|turn| turn.entry.clone()));
        names.extend(self.alarms.take_due(now));
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let turns = called;
        let called: BTreeSet<TickId> = turns.iter().map(|turn| turn.tick.clone()).collect();
        // A ledger that is gone is better known at once than when the next tick is due, at two in the morning.
        let is_look = names.is_empty();
        if is_look && self.ledger_seen_at.elapsed() < SLEEP_MAX {
            return;
        }
        while is_look || !names.is_empty() {
            match self.decide(&names, &called).await {
                Ok(plans) => {
                    self.ledger_works();
                    let heeded = heeded(&plans);
                    for (name, plan) in names.iter().zip(plans) {
                        self.alarms.set(name, plan.wake_at);
                        self.carry_out(name, plan);
                    }
                    self.pass_over(turns, &heeded);
                    return;
                }
                Err(LedgerError::Refused { entry, why }) if names.contains(&entry) => {
                    self.metrics.not_stored();
                    // What can never be stored of one entry must not silence the others.
                    let again = after(now, REFUSED_AGAIN);
                    error!(
                        entry = entry.as_str(),
                        "decided again at {}, because {why}",
                        rfc3339(again)
                    );
                    names.retain(|name| *name != entry);
                    self.alarms.set(&entry, Some(again));
                }
                Err(failure) => {
                    for name in &names {
                        self.alarms.set(name, Some(now));
                    }
                    self.turns.stir_all();
                    return self.ledger_failed(&failure);
                }
            }
        }
        // Nobody was left to decide about.
        self.pass_over(turns, &BTreeSet::new());
    }

    /// Those who were called and have no use for a place now, because of their pipeline or the fuse, make way for the next.
    fn pass_over(&mut self, called: Vec<Turn>, heeded: &BTreeSet<TickId>) {
        let now = self.now();
        for turn in called {
            if heeded.contains(&turn.tick) {
                continue;
            }
            self.turns.leave(&turn.tick);
            // If nobody of the account may go, the next one cannot either.
            let pace = self.paces.get(&turn.account);
            let is_admitted = pace.is_none_or(|pace| pace.admit(now) == Admit::Go);
            if is_admitted && !self.no_room.contains(&turn.entry) {
                self.turns.stir(&turn.account);
            }
        }
    }

    /// What another daemon on the same ledger has under way is gone on with if that one dies: nobody tells us of it, so
    /// everything that is open is looked at now and then.
    async fn look_what_others_left(&mut self) {
        if !self.parts.ledger.is_shared() || self.shared_looked_at.elapsed() < SHARED_LOOK {
            return;
        }
        self.shared_looked_at = tokio::time::Instant::now();
        // If that fails it is done the next time; a ledger that fails says so where something is decided.
        let now = self.now();
        for name in self.parts.ledger.open_entries().await.unwrap_or_default() {
            self.alarms.bring_forward(&name, now);
        }
    }

    /// What the time is for decisions. Daemons that share a ledger go by its clock, or one whose own is ahead would ask
    /// again and again about what is not due there.
    pub(super) fn now(&self) -> Timestamp {
        self.told.now()
    }

    /// Decides about these entries in one commit.
    async fn decide(
        &self,
        names: &[EntryName],
        called: &BTreeSet<TickId>,
    ) -> Result<Vec<Plan>, LedgerError> {
        let entries = self.entries(names);
        let only = self.only.as_ref().map(|only| only.tick.id.clone());
        let mut room = self.room(names, called.clone());
        let told = self.told.clone();
        let decide = move |now, name: &EntryName, state: &_| {
            told.ledger_shows(now);
            match (entries.get(name), &only) {
                (Some(entry), Some(tick)) => plan::plan_one(now, entry, state, tick, &mut room),
                (Some(entry), None) => plan::plan(now, entry, state, &mut room),
                (None, _) => plan::withdraw(now, state, &mut room),
            }
        };
        let began = tokio::time::Instant::now();
        let plans = self.parts.ledger.decide(names.to_vec(), decide).await;
        if plans.is_ok() && !names.is_empty() {
            self.metrics.stored(began.elapsed());
        }
        plans
    }

    fn entries(&self, names: &[EntryName]) -> HashMap<EntryName, Arc<Entry>> {
        if let Some(only) = &self.only {
            return HashMap::from([(only.entry.name.clone(), only.entry.clone())]);
        }
        names
            .iter()
            .filter_map(|name| Some((name.clone(), self.parts.config.entries.get(name)?.clone())))
            .collect()
    }

    /// How many more requests may be under way.
    fn free_slots(&self) -> usize {
        let asked = self
            .under_way
            .values()
            .filter(|under_way| under_way.is_asked());
        IN_FLIGHT_MAX.saturating_sub(asked.count())
    }

    /// The entries that waited for room and may find some now. Those whose account is being probed keep waiting; one
    /// whose account rests is looked at when the rest is over.
    fn take_roomless(&mut self, now: Timestamp) -> Vec<EntryName> {
        let mut slots = self.free_slots();
        let mut taken = Vec::new();
        for name in std::mem::take(&mut self.no_room) {
            let account = match &self.only {
                Some(only) => Some(&only.entry.account),
                None => self
                    .parts
                    .config
                    .entries
                    .get(&name)
                    .map(|entry| &entry.account),
            };
            let pace = account.and_then(|account| self.paces.get(account));
            match pace.map_or(Admit::Go, |pace| pace.admit(now)) {
                Admit::RestUntil(until) => self.alarms.bring_forward(&name, until),
                Admit::AfterAnswer => self.no_room.push_back(name),
                Admit::Go | Admit::LookFirst if slots == 0 => self.no_room.push_back(name),
                Admit::Go | Admit::LookFirst => {
                    slots -= 1;
                    taken.push(name);
                }
            }
        }
        taken
    }

    /// What decisions about these entries are told of the world.
    pub(super) fn room(&self, names: &[EntryName], called: BTreeSet<TickId>) -> Room {
        let starts = |name: &EntryName| {
            let fuse = self.fuses.get(name)?;
            let entry = self.parts.config.entries.get(name)?;
            let schedule = entry.schedule.as_ref()?.fingerprint();
            let starts = fuse.starts(self.hour(), &schedule);
            Some((name.clone(), starts))
        };
        let asked = self.under_way.values().filter_map(UnderWay::tick);
        let unsettled = self.unsettled.iter().map(News::tick);
        Room {
            slots: self.free_slots(),
            paces: self.paces.clone(),
            max_running: self.places(),
            called: self.only.is_none().then_some(called),
            reserved: self.turns.reserved().clone(),
            taken: BTreeMap::new(),
            here_since: self.here_since,
            under_way: asked.chain(unsettled).map(|tick| tick.id.clone()).collect(),
            starts: names.iter().filter_map(starts).collect(),
        }
    }

    /// How many places each account has that has a limit. A command that starts one run knows too little of the others
    /// to count: nobody follows them while no daemon is there.
    fn places(&self) -> BTreeMap<AccountName, u32> {
        let accounts = self.parts.config.accounts.iter();
        accounts
            .filter(|_| self.only.is_none())
            .filter_map(|(name, account)| Some((name.clone(), account.max_running?)))
            .collect()
    }

    /// Hours since the daemon began, by a clock that cannot be set.
    pub(super) fn hour(&self) -> u64 {
        self.begun.elapsed().as_secs() / 3600
    }

    pub(super) fn in_trouble(&self) -> bool {
        self.trouble
            .as_ref()
            .is_some_and(|trouble| tokio::time::Instant::now() < trouble.again_at)
    }

    /// A commit went well.
    pub(super) fn ledger_works(&mut self) {
        if self.trouble.take().is_some() {
            self.bell.notify_one();
        }
        self.ledger_seen_at = tokio::time::Instant::now();
    }

    /// Nothing is sent that could not be recorded. If the ledger may work again, the entries stay due and are decided
    /// again soon; else the daemon ends, for only a process that opens the ledger anew can go on.
    pub(super) fn ledger_failed(&mut self, failure: &LedgerError) {
        self.metrics.not_stored();
        if !failure.is_transient() {
            if self.broken.is_none() {
                error!("nothing more is sent, and pipecron ends: {failure}");
                self.broken = Some(failure.clone());
            }
            return;
        }
        let failures = self
            .trouble
            .as_ref()
            .map_or(0, |trouble| trouble.failures)
            .saturating_add(1);
        let wait = Duration::from_secs(1 << failures.min(6)).min(LEDGER_RETRY_MAX);
        // The first failure at once, then now and then: a full disk must not fill the log as well.
        if failures.is_power_of_two() {
            error!(
                "nothing is sent until the ledger works again; next try in {} s: {failure}",
                wait.as_secs()
            );
        }
        self.bell.notify_one();
        self.trouble = Some(Trouble {
            failures,
            again_at: tokio::time::Instant::now() + wait,
        });
    }
}

/// Who takes the place for which it was called, keeps one while it looks at its pipeline, or goes on waiting for one.
fn heeded(plans: &[Plan]) -> BTreeSet<TickId> {
    let in_turn = plans.iter().flat_map(|plan| &plan.in_turn);
    let asks = plans.iter().flat_map(|plan| &plan.asks);
    let take_place = asks.filter_map(|ask| match ask {
        Ask::Start(tick) | Ask::Survey(tick) => Some(&tick.id),
        Ask::Find { .. } | Ask::Stop { .. } | Ask::Probe(_) => None,
    });
    let waiting = in_turn.map(|turn| &turn.tick);
    waiting.chain(take_place).cloned().collect()
}
