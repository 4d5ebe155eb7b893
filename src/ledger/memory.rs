//! A ledger that forgets everything when it is dropped: for tests and simulations.
//!
//! It keeps the same rules as the others, held by the same suite. Decisions run in the caller's own task, one at a
//! time, so tokio's paused clock works. Clones share the rows: give one to a second daemon, or to the next life of
//! the first.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::SourceFile;
use crate::domain::pause::{ACTS_MAX, Lifted, PAUSES_KEPT_MAX};
use crate::domain::{
    AccountName, Act, Attempt, Change, EntryName, EntryState, LastSuccess, Mark, MarkChange,
    Origin, Pause, Plan, Scope, Skip, Tick, TickId, TickState, Timestamp,
};
use crate::os::Clock;

use super::rule::{self, Effect, Stored, Wanted};
use super::{Changed, Fault, GoodConfig, HistoryQuery, Ledger, LedgerError, Story};

/// A ledger in memory.
#[derive(Debug, Clone)]
pub struct MemoryLedger {
    id: String,
    clock: Clock,
    is_shared: bool,
    rows: Arc<Mutex<Rows>>,
}

#[derive(Debug, Default)]
struct Rows {
    marks: BTreeMap<EntryName, Mark>,
    ticks: BTreeMap<TickId, Row>,
    /// (entry, due, id) of the ticks that have not ended or whose runs are watched.
    open: BTreeSet<(EntryName, Timestamp, TickId)>,
    /// Those by project and pipeline.
    at_pipeline: BTreeMap<(String, String), BTreeSet<TickId>>,
    /// Those that hold a place, by account.
    placed: BTreeMap<AccountName, BTreeSet<TickId>>,
    /// The scheduled ticks: what makes (entry, due) unique.
    scheduled: BTreeMap<(EntryName, Timestamp), TickId>,
    /// The newest tick of each entry whose run ended well.
    successes: BTreeMap<EntryName, LastSuccess>,
    configs: BTreeMap<String, GoodConfig>,
    /// The ticks to come that are to be skipped.
    skips: BTreeMap<(EntryName, Timestamp), Skip>,
    /// By when they began and scope.
    pauses: BTreeMap<(Timestamp, String), Pause>,
    acts: Vec<Act>,
    /// The number of the newest change.
    changes: u64,
    memos: BTreeMap<String, String>,
    faults: Faults,
}

#[derive(Debug, Clone)]
struct Row {
    tick: Tick,
    /// The number of its last change.
    changed: u64,
    attempts: BTreeMap<u32, Attempt>,
    notes: Vec<(Timestamp, String)>,
}

/// What tests asked to go wrong.
#[derive(Debug, Default)]
struct Faults {
    commits: Option<(u32, Fault)>,
    reads: Option<(u32, Fault)>,
}

/// What has to be put back when the rest of a call fails.
enum Undo {
    Row(TickId, Option<Box<Row>>),
    Mark(EntryName, Option<Mark>),
    Success(EntryName, Option<LastSuccess>),
}

impl MemoryLedger {
    /// An empty one. Its id is unlike that of any other of this process.
    pub fn new(clock: Clock) -> Self {
        static DRAWN: AtomicU32 = AtomicU32::new(0);
        let mut number = DRAWN.fetch_add(1, Ordering::Relaxed);
        let id = (0..8).map(|_| {
            let letter = char::from(b'a' + (number % 26) as u8);
            number /= 26;
            letter
        });
        Self {
            id: id.collect(),
            clock,
            is_shared: false,
            rows: Arc::default(),
        }
    }

    /// The same rows, for several daemons at once.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self {
            is_shared: true,
            ..self.clone()
        }
    }

    /// What it holds now, as a ledger of its own: a backup.
    #[must_use]
    pub fn backup(&self) -> Self {
        let rows = self.lock();
        Self {
            rows: Arc::new(Mutex::new(rows.copy())),
            ..self.clone()
        }
    }

    /// Takes over what a backup holds, as if its file had been put in place of this one's.
    pub fn restore(&self, backup: &Self) {
        let copy = backup.lock().copy();
        *self.lock() = copy;
    }

    /// Makes the next `count` commits fail: decisions are made, then lost, as on a full disk. A call that has nothing
    /// to store does not count.
    pub fn fail_commits(&self, count: u32, fault: Fault) {
        self.lock().faults.commits = Some((count, fault));
    }

    /// Makes the next `count` reads fail, those that a decision begins with too.
    pub fn fail_reads(&self, count: u32, fault: Fault) {
        self.lock().faults.reads = Some((count, fault));
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        // A panic while it is held leaves no half-made change behind: decisions are called through `rule::call`.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows, unless a test wants this read to fail.
    fn read(&self) -> Result<MutexGuard<'_, Rows>, LedgerError> {
        let mut rows = self.lock();
        match next_fault(&mut rows.faults.reads) {
            Some(fault) => Err(failed("read", fault)),
            None => Ok(rows),
        }
    }
}

/// The fault of this call, if there is one to come.
fn next_fault(coming: &mut Option<(u32, Fault)>) -> Option<Fault> {
    let (count, fault) = coming.take()?;
    let rest = count.checked_sub(1)?;
    *coming = Some((rest, fault));
    Some(fault)
}

fn failed(verb: &'static str, fault: Fault) -> LedgerError {
    LedgerError::Failed {
        path: PathBuf::from("(in memory)"),
        verb,
        fault,
        why: format!("a test asked for this ({fault:?})"),
    }
}

impl Rows {
    /// The rows, without the faults that were asked for.
    fn copy(&self) -> Self {
        Self {
            marks: self.marks.clone(),
            ticks: self.ticks.clone(),
            open: self.open.clone(),
            at_pipeline: self.at_pipeline.clone(),
            placed: self.placed.clone(),
            scheduled: self.scheduled.clone(),
            successes: self.successes.clone(),
            configs: self.configs.clone(),
            skips: self.skips.clone(),
            pauses: self.pauses.clone(),
            acts: self.acts.clone(),
            changes: self.changes,
            memos: self.memos.clone(),
            faults: Faults::default(),
        }
    }

    fn state(&self, now: Timestamp, entry: &EntryName) -> EntryState {
        let mut state = EntryState {
            mark: self.marks.get(entry).cloned(),
            last_success: self.successes.get(entry).cloned(),
            ..EntryState::default()
        };
        let from = (entry.clone(), Timestamp::MIN_UTC, TickId::from_text(""));
        let open = self.open.range(from..).take_while(|(of, ..)| of == entry);
        state.open = open
            .filter_map(|(.., id)| self.ticks.get(id))
            .map(|row| row.tick.clone())
            .collect();
        let after = rule::decided_after(&state, now);
        let later = self.scheduled.range((entry.clone(), after)..);
        state.decided = later
            .map_while(|((of, due), _)| (of == entry).then_some(*due))
            .filter(|due| *due > after)
            .collect();
        let skips_after = rule::skips_after(&state, after);
        let skips = self.skips.range((entry.clone(), skips_after)..);
        state.skips = skips
            .map_while(|((of, due), skip)| (of == entry).then(|| (*due, skip.clone())))
            .filter(|(due, _)| *due > skips_after)
            .collect();
        state.pauses = self.pauses_after(after);
        if state.mark.as_ref().is_some_and(Mark::moves) {
            state.recent = self.recent(entry, rule::recent_since(after));
        }
        self.add_others(entry, &mut state);
        state
    }

    /// The pauses that are not over at `at`.
    fn pauses_after(&self, at: Timestamp) -> Vec<Pause> {
        let pauses = self.pauses.values();
        pauses
            .filter(|pause| pause.end().is_none_or(|end| end > at))
            .cloned()
            .collect()
    }

    /// Lifts the pause of this scope that holds.
    fn lift(&mut self, scope: &Scope, at: Timestamp, by: &str) -> Option<Pause> {
        let mut pauses = self.pauses.values_mut();
        let pause = pauses.find(|pause| pause.scope == *scope && pause.holds(at))?;
        let by = by.to_owned();
        pause.lifted = Some(Lifted { at, by });
        Some(pause.clone())
    }

    /// Forgets the oldest pauses that are over, if there are too many.
    fn cut_pauses(&mut self, now: Timestamp) {
        let over = |pause: &Pause| pause.end().filter(|end| *end <= now);
        let mut ends: Vec<_> = self
            .pauses
            .iter()
            .filter_map(|(key, pause)| Some((over(pause)?, key.clone())))
            .collect();
        ends.sort();
        let many = ends.len().saturating_sub(PAUSES_KEPT_MAX);
        for (_, key) in ends.drain(..many) {
            self.pauses.remove(&key);
        }
    }

    /// What was decided of what was due since then, also by the instants that the rows stand for.
    fn recent(&self, entry: &EntryName, since: Timestamp) -> BTreeSet<Timestamp> {
        let rows = self
            .scheduled
            .range((entry.clone(), since)..)
            .take_while(|((of, _), _)| of == entry)
            .filter_map(|(_, id)| self.ticks.get(id));
        rows.flat_map(|row| row.tick.moved_from.iter().copied().chain([row.tick.due]))
            .collect()
    }

    /// What of the other entries a decision about this one is told.
    fn add_others(&self, entry: &EntryName, state: &mut EntryState) {
        let wanted = Wanted::by(&state.open);
        let mut others: Vec<Tick> = Vec::new();
        for (project, pipeline) in &wanted.pipelines {
            let key = ((*project).to_owned(), (*pipeline).to_owned());
            let ids = self.at_pipeline.get(&key).into_iter().flatten();
            let ticks = ids.filter_map(|id| self.ticks.get(id)).map(|row| &row.tick);
            let live = ticks.filter(|tick| tick.is_live() && tick.entry != *entry);
            others.extend(live.cloned());
        }
        others.sort_by(|a, b| (a.due, &a.id).cmp(&(b.due, &b.id)));
        let taken = wanted.accounts.iter().filter_map(|account| {
            let placed = self.placed.get(*account)?.len();
            Some((
                (*account).clone(),
                u32::try_from(placed).unwrap_or(u32::MAX),
            ))
        });
        let taken = taken.collect();
        let known = wanted.doubts.iter().filter_map(|(tick, before)| {
            let rows = self.ticks.values().map(|row| &row.tick);
            let runs = rows
                .filter(|other| other.shares_pipeline(tick))
                .filter_map(|other| other.run.as_ref());
            let older = runs.filter(|run| run.started_at < *before);
            Some((tick.id.clone(), older.filter_map(|run| run.number).max()?))
        });
        let known_numbers = known.collect();
        state.others = others;
        state.taken = taken;
        state.known_numbers = known_numbers;
    }

    fn put(&mut self, row: Row) {
        let tick = &row.tick;
        self.remove(&tick.id);
        if !tick.state.is_ended() || tick.is_watched() {
            let key = (tick.entry.clone(), tick.due, tick.id.clone());
            self.open.insert(key);
            let ids = self.at_pipeline.entry(pipeline_of(tick)).or_default();
            ids.insert(tick.id.clone());
        }
        if tick.holds_place() {
            let ids = self.placed.entry(tick.account.clone()).or_default();
            ids.insert(tick.id.clone());
        }
        if tick.origin == Origin::Scheduled {
            let key = (tick.entry.clone(), tick.due);
            self.scheduled.insert(key, tick.id.clone());
        }
        self.ticks.insert(tick.id.clone(), row);
    }

    fn remove(&mut self, id: &TickId) {
        let Some(Row { tick, .. }) = self.ticks.remove(id) else {
            return;
        };
        if tick.origin == Origin::Scheduled {
            self.scheduled.remove(&(tick.entry.clone(), tick.due));
        }
        if let Entry::Occupied(mut ids) = self.at_pipeline.entry(pipeline_of(&tick)) {
            ids.get_mut().remove(id);
            if ids.get().is_empty() {
                ids.remove();
            }
        }
        if let Entry::Occupied(mut ids) = self.placed.entry(tick.account.clone()) {
            ids.get_mut().remove(id);
            if ids.get().is_empty() {
                ids.remove();
            }
        }
        self.open.remove(&(tick.entry, tick.due, tick.id));
    }

    fn store(
        &mut self,
        now: Timestamp,
        entry: &EntryName,
        plan: &Plan,
        undo: &mut Vec<Undo>,
    ) -> Result<(), String> {
        match &plan.mark {
            MarkChange::Keep => {}
            MarkChange::Set(mark) => {
                let old = self.marks.insert(entry.clone(), mark.clone());
                undo.push(Undo::Mark(entry.clone(), old));
            }
            MarkChange::Clear => {
                let old = self.marks.remove(entry);
                undo.push(Undo::Mark(entry.clone(), old));
            }
        }
        for change in &plan.changes {
            self.apply(now, entry, change, undo)?;
        }
        Ok(())
    }

    fn apply(
        &mut self,
        now: Timestamp,
        entry: &EntryName,
        change: &Change,
        undo: &mut Vec<Undo>,
    ) -> Result<(), String> {
        let tick = &change.tick;
        let old = self.ticks.get(&tick.id).cloned();
        let stored = old.as_ref().map(|row| Stored::of(&row.tick));
        let effect = rule::effect(entry, change, stored.as_ref())?;
        let taken = tick.origin == Origin::Scheduled
            && self.scheduled.contains_key(&(tick.entry.clone(), tick.due));
        if effect == Effect::Open && taken {
            return Err(rule::already_there(&tick.id));
        }
        let mut row = old.clone().unwrap_or_else(|| Row {
            tick: tick.clone(),
            changed: 0,
            attempts: BTreeMap::new(),
            notes: Vec::new(),
        });
        self.changes += 1;
        row.tick = tick.clone();
        row.changed = self.changes;
        row.notes.push((now, tick.note.clone()));
        if let Some(attempt) = &change.attempt {
            rule::answers(row.attempts.get(&attempt.number), attempt)?;
            row.attempts.insert(attempt.number, attempt.clone());
        }
        undo.push(Undo::Row(tick.id.clone(), old.map(Box::new)));
        self.put(row);
        if let Some(success) = tick.success() {
            let known = self.successes.get(entry).cloned();
            if known.as_ref().is_none_or(|known| known.due <= success.due) {
                self.successes.insert(entry.clone(), success);
                undo.push(Undo::Success(entry.clone(), known));
            }
        }
        Ok(())
    }

    fn take_back(&mut self, undo: Vec<Undo>) {
        for step in undo.into_iter().rev() {
            match step {
                Undo::Row(_, Some(row)) => self.put(*row),
                Undo::Row(id, None) => self.remove(&id),
                Undo::Success(entry, Some(success)) => {
                    self.successes.insert(entry, success);
                }
                Undo::Success(entry, None) => {
                    self.successes.remove(&entry);
                }
                Undo::Mark(entry, Some(mark)) => {
                    self.marks.insert(entry, mark);
                }
                Undo::Mark(entry, None) => {
                    self.marks.remove(&entry);
                }
            }
        }
    }

    fn decide_all<D>(
        &mut self,
        now: Timestamp,
        entries: &[EntryName],
        decide: &mut D,
        undo: &mut Vec<Undo>,
    ) -> Result<Vec<Plan>, LedgerError>
    where
        D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan,
    {
        let mut plans = Vec::with_capacity(entries.len());
        for entry in entries {
            let refused = |why| LedgerError::Refused {
                entry: entry.clone(),
                why,
            };
            let state = self.state(now, entry);
            let plan = rule::call(decide, now, entry, &state).map_err(refused)?;
            self.store(now, entry, &plan, undo).map_err(refused)?;
            plans.push(plan);
        }
        if plans.iter().any(|plan| !plan.is_empty())
            && let Some(fault) = next_fault(&mut self.faults.commits)
        {
            return Err(failed("written", fault));
        }
        Ok(plans)
    }
}

fn pipeline_of(tick: &Tick) -> (String, String) {
    let request = &tick.request;
    (request.project_id.clone(), request.pipeline_id.clone())
}

/// Whether the history that `query` asks for has this tick, its limit aside.
fn is_wanted(query: &HistoryQuery, tick: &Tick) -> bool {
    let reason = match tick.state {
        TickState::Ended { reason, .. } => Some(reason),
        TickState::Waiting { .. }
        | TickState::Sent { .. }
        | TickState::Doubtful { .. }
        | TickState::Running { .. } => None,
    };
    (query.entries.is_empty() || query.entries.contains(&tick.entry))
        && query
            .state
            .as_deref()
            .is_none_or(|state| state == tick.state.name())
        && query.reason.is_none_or(|wanted| reason == Some(wanted))
        && query.since.is_none_or(|since| tick.due >= since)
        && query.until.is_none_or(|until| tick.due < until)
        && query
            .after
            .as_ref()
            .is_none_or(|(due, id)| tick.due < *due || (tick.due == *due && tick.id > *id))
}

impl Ledger for MemoryLedger {
    fn id(&self) -> &str {
        &self.id
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    async fn decide<D>(
        &self,
        entries: Vec<EntryName>,
        mut decide: D,
    ) -> Result<Vec<Plan>, LedgerError>
    where
        D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan + Send + 'static,
    {
        let mut rows = self.read()?;
        let now = self.clock.now();
        let mut undo = Vec::new();
        let plans = rows.decide_all(now, &entries, &mut decide, &mut undo);
        if plans.is_err() {
            rows.take_back(undo);
        }
        plans
    }

    async fn open_entries(&self) -> Result<Vec<EntryName>, LedgerError> {
        let rows = self.read()?;
        let mut entries: Vec<_> = rows.open.iter().map(|(entry, ..)| entry.clone()).collect();
        entries.dedup();
        Ok(entries)
    }

    async fn marked_entries(&self) -> Result<Vec<EntryName>, LedgerError> {
        Ok(self.read()?.marks.keys().cloned().collect())
    }

    async fn history(&self, query: HistoryQuery) -> Result<Vec<Tick>, LedgerError> {
        let rows = self.read()?;
        let ticks = rows.ticks.values().map(|row| &row.tick);
        let mut found: Vec<_> = ticks.filter(|tick| is_wanted(&query, tick)).collect();
        found.sort_by(|a, b| b.due.cmp(&a.due).then_with(|| a.id.cmp(&b.id)));
        let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
        Ok(found.into_iter().take(limit).cloned().collect())
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Vec<Changed>, LedgerError> {
        let rows = self.read()?;
        let changed = rows.ticks.values().filter(|row| row.changed > after);
        let mut changed: Vec<&Row> = changed.collect();
        changed.sort_by_key(|row| row.changed);
        let of = |row: &Row| {
            let answers = row.attempts.values().rev();
            Changed {
                number: row.changed,
                glance: row.tick.clone().into(),
                code: answers
                    .filter_map(|attempt| attempt.answer.as_ref())
                    .next()
                    .and_then(|answer| answer.code.clone()),
            }
        };
        Ok(changed.into_iter().take(limit as usize).map(of).collect())
    }

    async fn newest_change(&self) -> Result<u64, LedgerError> {
        Ok(self.read()?.changes)
    }

    async fn put_memo(&self, key: String, text: String) -> Result<(), LedgerError> {
        let mut rows = self.lock();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        rows.memos.insert(key, text);
        Ok(())
    }

    async fn memo(&self, key: String) -> Result<Option<String>, LedgerError> {
        Ok(self.read()?.memos.get(&key).cloned())
    }

    async fn story(&self, tick: TickId) -> Result<Option<Story>, LedgerError> {
        let rows = self.read()?;
        Ok(rows.ticks.get(&tick).map(|row| Story {
            tick: row.tick.clone(),
            attempts: row.attempts.values().cloned().collect(),
            notes: row.notes.clone(),
        }))
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, LedgerError> {
        let mut rows = self.read()?;
        let old = rows.ticks.values().filter(|row| {
            row.tick.due < before
                && matches!(row.tick.state, TickState::Ended { at, .. } if at < before)
        });
        let old: Vec<_> = old.map(|row| row.tick.id.clone()).collect();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        for id in &old {
            rows.remove(id);
        }
        rows.skips.retain(|(_, due), _| *due >= before);
        rows.pauses
            .retain(|_, pause| pause.end().is_none_or(|end| end >= before));
        rows.acts.retain(|act| act.at >= before);
        let rows = &mut *rows;
        let known: BTreeSet<&EntryName> = rows.ticks.values().map(|row| &row.tick.entry).collect();
        let marks = &rows.marks;
        rows.successes.retain(|entry, success| {
            success.due >= before || marks.contains_key(entry) || known.contains(entry)
        });
        Ok(old.len() as u64)
    }

    async fn keep_config(&self, key: String, files: Vec<SourceFile>) -> Result<(), LedgerError> {
        let mut rows = self.lock();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        let loaded_at = self.clock.now();
        rows.configs.insert(key, GoodConfig { loaded_at, files });
        Ok(())
    }

    async fn forget_configs(
        &self,
        before: Timestamp,
        keep: Vec<String>,
    ) -> Result<u64, LedgerError> {
        let mut rows = self.lock();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        let count = rows.configs.len();
        let newest = rows.configs.values().map(|config| config.loaded_at).max();
        rows.configs.retain(|key, config| {
            config.loaded_at >= before || Some(config.loaded_at) == newest || keep.contains(key)
        });
        Ok((count - rows.configs.len()) as u64)
    }

    async fn last_config(&self, key: String) -> Result<Option<GoodConfig>, LedgerError> {
        Ok(self.read()?.configs.get(&key).cloned())
    }

    async fn last_success(&self, entry: EntryName) -> Result<Option<LastSuccess>, LedgerError> {
        Ok(self.read()?.successes.get(&entry).cloned())
    }

    async fn put_skips(&self, entry: EntryName, skips: Vec<Skip>) -> Result<(), LedgerError> {
        let mut rows = self.lock();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        let skips = skips
            .into_iter()
            .map(|skip| ((entry.clone(), skip.due), skip));
        rows.skips.extend(skips);
        Ok(())
    }

    async fn drop_skips(&self, entry: EntryName, dues: Vec<Timestamp>) -> Result<u64, LedgerError> {
        let mut rows = self.lock();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        let dropped = dues
            .into_iter()
            .filter_map(|due| rows.skips.remove(&(entry.clone(), due)))
            .count();
        Ok(dropped as u64)
    }

    async fn skips(&self, after: Timestamp) -> Result<Vec<(EntryName, Skip)>, LedgerError> {
        let rows = self.read()?;
        let coming = rows.skips.iter().filter(|((_, due), _)| *due > after);
        Ok(coming
            .map(|((entry, _), skip)| (entry.clone(), skip.clone()))
            .collect())
    }

    async fn put_pause(&self, pause: Pause) -> Result<Option<Pause>, LedgerError> {
        let mut rows = self.lock();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        let lifted = rows.lift(&pause.scope, pause.since, &pause.by);
        let since = pause.since;
        rows.pauses.insert((since, pause.scope.key()), pause);
        rows.cut_pauses(since);
        Ok(lifted)
    }

    async fn lift_pause(
        &self,
        scope: Scope,
        at: Timestamp,
        by: String,
    ) -> Result<Option<Pause>, LedgerError> {
        let mut rows = self.lock();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        Ok(rows.lift(&scope, at, &by))
    }

    async fn pauses(&self, at: Timestamp) -> Result<Vec<Pause>, LedgerError> {
        Ok(self.read()?.pauses_after(at))
    }

    async fn put_act(&self, mut act: Act) -> Result<(), LedgerError> {
        rule::cut_act(&mut act);
        let mut rows = self.lock();
        if let Some(fault) = next_fault(&mut rows.faults.commits) {
            return Err(failed("written", fault));
        }
        rows.acts.push(act);
        let many = rows.acts.len().saturating_sub(ACTS_MAX);
        rows.acts.drain(..many);
        Ok(())
    }

    async fn acts(&self, limit: u32) -> Result<Vec<Act>, LedgerError> {
        let rows = self.read()?;
        let newest = rows.acts.iter().rev();
        Ok(newest.take(limit as usize).cloned().collect())
    }

    async fn newest_due(&self) -> Result<Option<Timestamp>, LedgerError> {
        let rows = self.read()?;
        Ok(rows.scheduled.keys().map(|(_, due)| *due).max())
    }
}
