//! The ticks that have not ended, or whose runs are watched: kept beside the ledger, so that to count them asks nobody.

use std::collections::{BTreeMap, HashMap};

use crate::domain::{AccountName, Tick, TickId, TickState};

/// The open ticks.
#[derive(Debug, Default)]
pub(super) struct Census {
    ticks: HashMap<TickId, Counted>,
}

#[derive(Debug)]
struct Counted {
    state: &'static str,
    has_ended: bool,
    /// Whose place it holds, if it holds one.
    holds: Option<AccountName>,
    /// Whether a request of it has left.
    has_left: bool,
}

/// What is new about a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct New {
    pub(super) is_opened: bool,
    pub(super) is_ended: bool,
}

impl Census {
    /// A tick that an earlier process left.
    pub(super) fn inherit(&mut self, tick: &Tick) {
        let has_left = tick.attempts > 0;
        let counted = Counted {
            has_left,
            ..counted(tick)
        };
        self.ticks.insert(tick.id.clone(), counted);
    }

    /// The tick as it stands now; says what that makes new. A tick ends once (P5): one that has ended and is not known
    /// did so before, unless it was opened to end at once.
    pub(super) fn learn(&mut self, tick: &Tick) -> New {
        let before = self.ticks.remove(&tick.id);
        let had_ended = before.as_ref().is_some_and(|before| before.has_ended);
        let is_born_ended = match tick.state {
            TickState::Ended { at, .. } => at == tick.opened_at,
            TickState::Waiting { .. }
            | TickState::Sent { .. }
            | TickState::Doubtful { .. }
            | TickState::Running { .. } => true,
        };
        let is_opened = before.is_none() && is_born_ended;
        let is_ended = tick.state.is_ended() && !had_ended && (before.is_some() || is_opened);
        if !tick.state.is_ended() || tick.is_watched() {
            let has_left = before.is_some_and(|before| before.has_left);
            let counted = Counted {
                has_left,
                ..counted(tick)
            };
            self.ticks.insert(tick.id.clone(), counted);
        }
        New {
            is_opened,
            is_ended,
        }
    }

    /// A request of it has left.
    pub(super) fn leaves(&mut self, tick: &TickId) {
        if let Some(counted) = self.ticks.get_mut(tick) {
            counted.has_left = true;
        }
    }

    /// Whether a request of it has left.
    pub(super) fn has_left(&self, tick: &TickId) -> bool {
        self.ticks.get(tick).is_some_and(|counted| counted.has_left)
    }

    /// How many there are, by state.
    pub(super) fn open(&self) -> BTreeMap<&'static str, u64> {
        let mut open = BTreeMap::new();
        for counted in self.ticks.values().filter(|counted| !counted.has_ended) {
            *open.entry(counted.state).or_default() += 1;
        }
        open
    }

    /// How many places of each account are taken.
    pub(super) fn running(&self) -> BTreeMap<AccountName, u64> {
        let mut running = BTreeMap::new();
        for account in self
            .ticks
            .values()
            .filter_map(|counted| counted.holds.as_ref())
        {
            *running.entry(account.clone()).or_default() += 1;
        }
        running
    }
}

fn counted(tick: &Tick) -> Counted {
    Counted {
        state: tick.state.name(),
        has_ended: tick.state.is_ended(),
        holds: tick.holds_place().then(|| tick.account.clone()),
        has_left: false,
    }
}
