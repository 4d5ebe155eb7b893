//! What must hold at every step, and the story of what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use pipecron::domain::{
    AccountName, Ask, EntryName, EntryState, Overlap, Plan, Tick, TickId, TickState, Timestamp,
    rfc3339,
};
use pipecron::ledger::{HistoryQuery, Ledger, MemoryLedger};
use pipecron::os::Clock;

use super::calendars::Almanac;

/// Longest story that is told: the last lines.
const LINES_MAX: usize = 4_000;

#[derive(Debug)]
pub(crate) struct Checks {
    /// The true time; the daemons' clocks may show another.
    pub(crate) clock: Clock,
    pub(crate) max_running: BTreeMap<AccountName, u32>,
    /// Pipelines of which no entry allows overlap.
    pub(crate) guarded: BTreeSet<String>,
    /// After this time a run holds nobody back any more.
    pub(crate) run_timeout: Option<TimeDelta>,
    /// What each entry does about other runs.
    pub(crate) overlaps: BTreeMap<EntryName, Overlap>,
    /// What must hold of calendars.
    pub(crate) almanac: Almanac,
    has_faults: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The ticks as they are stored.
    ticks: BTreeMap<TickId, Stored>,
    /// The places that are taken.
    places: BTreeMap<TickId, AccountName>,
    /// Since when no place of an account is taken.
    free_since: BTreeMap<AccountName, Timestamp>,
    lines: Vec<(Timestamp, String)>,
    failure: Option<String>,
}

#[derive(Debug)]
struct Stored {
    is_waiting: bool,
    /// Whose place it waits for, and since when.
    waits_for: Option<(AccountName, Timestamp)>,
}

impl Checks {
    pub(crate) fn new(
        clock: Clock,
        max_running: BTreeMap<AccountName, u32>,
        guarded: BTreeSet<String>,
        overlaps: BTreeMap<EntryName, Overlap>,
        run_timeout: Option<TimeDelta>,
        almanac: Almanac,
    ) -> Self {
        Self {
            clock,
            max_running,
            guarded,
            overlaps,
            run_timeout,
            almanac,
            has_faults: AtomicBool::new(true),
            inner: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether things still break.
    pub(crate) fn has_faults(&self) -> bool {
        self.has_faults.load(Ordering::SeqCst)
    }

    pub(crate) fn end_faults(&self) {
        self.has_faults.store(false, Ordering::SeqCst);
        self.tell("nothing breaks any more");
    }

    pub(crate) fn tell(&self, line: impl Into<String>) {
        let now = self.now();
        self.inner.lock().unwrap().lines.push((now, line.into()));
    }

    /// Something that must hold does not.
    pub(crate) fn fail(&self, why: String) {
        self.tell(format!("FAILURE: {why}"));
        self.inner.lock().unwrap().failure.get_or_insert(why);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.inner.lock().unwrap().failure.clone()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = &self.inner.lock().unwrap().lines;
        let last = &lines[lines.len().saturating_sub(LINES_MAX)..];
        let line = |(at, text): &(Timestamp, String)| format!("{} {text}", rfc3339(*at));
        last.iter().map(line).collect()
    }

    /// A decision was made, and is about to be stored.
    pub(crate) fn decided(&self, now: Timestamp, state: &EntryState, plan: &Plan) {
        if let Some(wrong) = self.almanac.wrong(self.now(), state, plan) {
            self.fail(wrong);
        }
        for change in &plan.changes {
            let tick = &change.tick;
            let is_new = !state.open.iter().any(|open| open.id == tick.id);
            // No entry of a world has a label.
            let mut pauses = state.pauses.iter();
            let holds = |pause: &&pipecron::domain::Pause| {
                pause.holds(now) && pause.scope.includes(&tick.entry, &BTreeSet::new())
            };
            if let Some(pause) = pauses.find(holds)
                && is_new
                && !tick.state.is_ended()
            {
                self.fail(format!("{} is opened during a {pause}", tick.id));
            }
        }
        for ask in &plan.asks {
            let Ask::Start(tick) = ask else {
                continue;
            };
            if tick.due > now {
                self.fail(format!(
                    "{} is sent at {}, before its instant",
                    tick.id,
                    rfc3339(now)
                ));
            }
            let before = state.open.iter().find(|open| open.id == tick.id);
            if before.is_some_and(|before| !matches!(before.state, TickState::Waiting { .. })) {
                self.fail(format!("{} is sent although it does not wait", tick.id));
            }
            if !plan.changes.iter().any(|change| change.tick.id == tick.id) {
                self.fail(format!("{} is sent and not written down", tick.id));
            }
        }
    }

    /// Decisions were stored.
    pub(crate) fn stored(&self, plans: &[Plan]) {
        for plan in plans {
            self.almanac.stored(plan);
            for change in &plan.changes {
                let tick = &change.tick;
                let state = tick.state.word();
                self.tell(format!("{} {state}: {}", tick.id, tick.note));
                self.keep(tick);
            }
            let starting = plan.asks.iter().filter_map(|ask| match ask {
                Ask::Start(tick) => Some(&tick.account),
                _ => None,
            });
            for account in starting {
                self.count_places(account);
            }
        }
    }

    fn keep(&self, tick: &Tick) {
        let now = self.now();
        let mut inner = self.inner.lock().unwrap();
        let is_waiting = matches!(tick.state, TickState::Waiting { .. });
        // One of a clock that was ahead waits for its time to come.
        let for_place = is_waiting && tick.due <= now && tick.note.contains("a place");
        let stored = Stored {
            is_waiting,
            waits_for: for_place.then(|| (tick.account.clone(), now)),
        };
        inner.ticks.insert(tick.id.clone(), stored);
        if tick.holds_place() {
            inner.places.insert(tick.id.clone(), tick.account.clone());
        } else {
            inner.places.remove(&tick.id);
        }
        if inner
            .places
            .values()
            .any(|account| *account == tick.account)
        {
            inner.free_since.remove(&tick.account);
        } else {
            let account = tick.account.clone();
            inner.free_since.entry(account).or_insert(now);
        }
    }

    fn count_places(&self, account: &AccountName) {
        let taken = {
            let inner = self.inner.lock().unwrap();
            inner.places.values().filter(|of| *of == account).count()
        };
        if let Some(most) = self.max_running.get(account)
            && taken > *most as usize
        {
            self.fail(format!(
                "{taken} places of account {account} are taken, of {most}"
            ));
        }
    }

    /// Nobody waits for a place of an account of which none has been taken for a while.
    pub(crate) fn nobody_waits_in_vain(&self) {
        let a_while_ago = self.now() - TimeDelta::minutes(1);
        let waits_in_vain = {
            let inner = self.inner.lock().unwrap();
            let in_vain = |tick: &Stored| {
                let Some((account, since)) = &tick.waits_for else {
                    return false;
                };
                let free_since = inner.free_since.get(account);
                free_since.is_some_and(|free| free.max(since) < &a_while_ago)
            };
            let mut ticks = inner.ticks.iter();
            ticks
                .find(|(_, tick)| in_vain(tick))
                .map(|(id, _)| id.clone())
        };
        if let Some(id) = waits_in_vain {
            self.fail(format!("{id} waits for a place, and none is taken"));
        }
    }

    /// Another ledger was put in place: what is known of it is read anew.
    pub(crate) async fn read_anew(&self, rows: &MemoryLedger) {
        {
            let mut inner = self.inner.lock().unwrap();
            inner.ticks.clear();
            inner.places.clear();
            inner.free_since.clear();
        }
        let marks = rows.skips(Timestamp::MIN_UTC).await.unwrap().into_iter();
        let marks = marks.map(|(entry, skip)| (entry, skip.due));
        self.almanac.read_anew(marks.collect());
        for tick in rows.history(HistoryQuery::default()).await.unwrap() {
            self.keep(&tick);
        }
    }

    /// A request that starts a run leaves.
    pub(crate) fn leaves(&self, tick: &TickId) {
        let why = match self.inner.lock().unwrap().ticks.get(tick) {
            None => Some("is sent and not in the ledger"),
            Some(Stored {
                is_waiting: true, ..
            }) => Some("is sent, and waits as the ledger knows it"),
            Some(_) => None,
        };
        if let Some(why) = why {
            self.fail(format!("{tick} {why}"));
        }
    }
}
