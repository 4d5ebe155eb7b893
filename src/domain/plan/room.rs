//! What keeps starts from leaving all at once: places for requests, accounts at rest, the accounts' own places, the fuse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::follow::taken;
use crate::domain::fuse::HOURS;
use crate::domain::pace::{Admit, Pace};
use crate::domain::schedule::Count;
use crate::domain::{
    AccountName, Ask, CatchUp, Entry, EntryName, EntryState, Origin, Plan, Run, Tick, TickId,
    Timestamp,
};

/// What a decision is told of the world beside the ledger.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// How many more requests may be under way.
    pub slots: usize,
    /// How the accounts stand; one that is not here stands well.
    pub paces: BTreeMap<AccountName, Pace>,
    /// How many runs an account may have under way at once; one that is not here has no limit.
    pub max_running: BTreeMap<AccountName, u32>,
    /// The ticks whose turn it is to take a place of their account; none: everybody's.
    pub called: Option<BTreeSet<TickId>>,
    /// The ticks that were called and look at their pipeline: a place is kept for each until it is known whether it starts.
    pub reserved: BTreeMap<TickId, AccountName>,
    /// For how long the runs of these ticks have been under way, by a clock that cannot be set.
    pub taken: BTreeMap<TickId, Duration>,
    /// The ticks that have a request of ours under way.
    pub under_way: BTreeSet<TickId>,
    /// When we came: what was due before may have been sent by another life of the ledger.
    pub here_since: Option<Timestamp>,
    /// How often entries started in the last [`HOURS`], under their present schedule.
    pub starts: BTreeMap<EntryName, u32>,
}

/// Whether a start may leave now.
pub(super) enum Leave {
    Now,
    /// Not before its own time.
    NotBefore(Timestamp),
    /// Its account rests.
    RestUntil(Timestamp),
    /// Others are to be answered first.
    WhenThereIsRoom,
    /// Its account's breaker is open: a look first.
    AfterProbe,
    /// It has to be called to take a place of its account.
    InTurn {
        /// How many places there are.
        most: u32,
        /// Whether all are taken, as opposed to that it was not called yet.
        is_full: bool,
    },
    /// What its pipeline has under way is to be looked at first.
    AfterSurvey,
    /// Something is under way for it already.
    AfterAnswer,
    /// Its entry starts more often than its pattern allows.
    Blown {
        starts: u32,
        most: u64,
    },
}

/// Whether a look may leave now.
pub(super) enum LeaveLook {
    Now,
    At(Timestamp),
    WhenThereIsRoom,
}

impl Room {
    /// Whether a look with the account's credentials may leave now.
    pub(super) fn leave_look(&self, now: Timestamp, account: &AccountName) -> LeaveLook {
        match self.admit(now, account) {
            Admit::RestUntil(until) => LeaveLook::At(until),
            Admit::AfterAnswer => LeaveLook::WhenThereIsRoom,
            Admit::Go | Admit::LookFirst if self.slots == 0 => LeaveLook::WhenThereIsRoom,
            Admit::Go | Admit::LookFirst => LeaveLook::Now,
        }
    }

    /// Whether a tick's start may leave now, or what comes first.
    pub(super) fn leave(
        &self,
        now: Timestamp,
        entry: &Entry,
        state: &EntryState,
        tick: &Tick,
        plan: &Plan,
    ) -> Leave {
        if self.under_way.contains(&tick.id) {
            return Leave::AfterAnswer;
        }
        if let Some(blown) = self.blown(now, entry, tick) {
            return blown;
        }
        let leave = self.leave_at_last(now, state, tick, plan);
        if matches!(leave, Leave::Now) && tick.policy.overlap.looks_first() {
            return Leave::AfterSurvey;
        }
        leave
    }

    /// The same, once its pipeline was found free.
    pub(super) fn leave_at_last(
        &self,
        now: Timestamp,
        state: &EntryState,
        tick: &Tick,
        plan: &Plan,
    ) -> Leave {
        match self.admit(now, &tick.account) {
            Admit::RestUntil(until) => return Leave::RestUntil(until),
            Admit::AfterAnswer => return Leave::WhenThereIsRoom,
            Admit::Go | Admit::LookFirst if self.slots == 0 => return Leave::WhenThereIsRoom,
            Admit::LookFirst => return Leave::AfterProbe,
            Admit::Go => {}
        }
        match self.max_running.get(&tick.account) {
            Some(most) => self.leave_in_turn(*most, state, tick, plan),
            None => Leave::Now,
        }
    }

    /// How long a run of ours has been under way. A clock that was set ahead must not make one that began a moment ago
    /// look like one that is stuck.
    pub(super) fn taken(&self, now: Timestamp, tick: &Tick, run: &Run) -> Duration {
        let followed = self.taken.get(&tick.id).copied();
        taken(now, run, followed)
    }

    /// A place is kept for a tick that looks at its pipeline.
    pub(super) fn reserve(&mut self, tick: &Tick) {
        if self.max_running.contains_key(&tick.account) {
            self.reserved.insert(tick.id.clone(), tick.account.clone());
        }
    }

    /// A request of `account` leaves.
    pub fn take(&mut self, now: Timestamp, account: &AccountName) {
        self.slots = self.slots.saturating_sub(1);
        if let Some(pace) = self.paces.get_mut(account) {
            pace.sent(now);
        }
    }

    fn admit(&self, now: Timestamp, account: &AccountName) -> Admit {
        let pace = self.paces.get(account);
        pace.map_or(Admit::Go, |pace| pace.admit(now))
    }

    fn leave_in_turn(&self, most: u32, state: &EntryState, tick: &Tick, plan: &Plan) -> Leave {
        let is_called = self
            .called
            .as_ref()
            .is_none_or(|called| called.contains(&tick.id));
        let taken = state.taken.get(&tick.account).copied().unwrap_or(0);
        // What this very decision starts is not in the ledger yet.
        let starting = plan.asks.iter().filter(|ask| match ask {
            Ask::Start(starting) => starting.account == tick.account,
            Ask::Find { .. } | Ask::Survey(_) | Ask::Stop { .. } | Ask::Probe(_) => false,
        });
        let reserved = self
            .reserved
            .iter()
            .filter(|(id, account)| **account == tick.account && **id != tick.id);
        let spoken_for = u32::try_from(starting.count() + reserved.count()).unwrap_or(u32::MAX);
        let is_full = taken.saturating_add(spoken_for) >= most;
        match is_called && !is_full {
            true => Leave::Now,
            false => Leave::InTurn { most, is_full },
        }
    }

    /// Whether the entry starts more often than its pattern allows: all that was due in as long as a start may be late,
    /// and what is caught up.
    fn blown(&self, now: Timestamp, entry: &Entry, tick: &Tick) -> Option<Leave> {
        let starts = self.starts.get(&entry.name).copied().unwrap_or(0);
        if starts < 2 || tick.attempts > 0 || tick.origin != Origin::Scheduled {
            return None;
        }
        let schedule = entry.schedule.as_ref()?;
        let day = Duration::from_secs(HOURS * 3600);
        let span = day
            .saturating_add(entry.deadline)
            .saturating_add(entry.spread);
        let since = chrono::TimeDelta::from_std(span)
            .ok()
            .and_then(|span| now.checked_sub_signed(span))?;
        let Count::Exactly(due) = schedule.count_possible(since, now) else {
            return None;
        };
        let caught_up = match entry.catch_up {
            CatchUp::All => u64::from(entry.catch_up_max),
            CatchUp::None | CatchUp::Latest => 1,
        };
        let most = due.max(1).saturating_add(caught_up);
        (u64::from(starts) >= most).then_some(Leave::Blown { starts, most })
    }
}
