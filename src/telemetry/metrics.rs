//! What is measured, for Prometheus.
//!
//! Those who do the work count here: the loop where it carries a plan out, the client where a request leaves. Each of
//! them takes a lock for as long as it takes to add one; whoever asks takes a copy under that lock and writes the page
//! from the copy, so that a scrape, also a hostile one, never holds anybody up. Nothing here decides anything, and the pure
//! core does not know it.
//!
//! Label values are bounded: accounts and entries of the configuration, and our own words. No more than
//! [`ENTRIES_MAX`] entries have series of their own; one that leaves the configuration loses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use crate::config::{Account, Config, SourceFile};
use crate::domain::{
    AccountName, AnswerKind, Entry, EntryName, Origin, Reason, Tick, TickState, Timestamp,
};

mod names;
mod write;

pub use names::{FAMILIES, Family, Kind};
pub use write::{Form, Outside, Process};

/// Most entries that have series of their own.
pub const ENTRIES_MAX: usize = 5_000;

/// Bounds of how late starts leave: from what a good day shows to a night that was spent waiting.
const LATENESS_SECONDS: &[f64] = &[
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0,
    21_600.0,
];
/// Bounds of how long a request takes.
const REQUEST_SECONDS: &[f64] = &[
    0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];
/// Bounds of how long a commit takes.
const COMMIT_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// Counts and measures. Copies share what they count.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    counts: Arc<Mutex<Counts>>,
}

/// How often something took how long.
#[derive(Debug, Clone)]
struct Histogram {
    bounds: &'static [f64],
    /// One more than there are bounds: the last is for all that is above.
    buckets: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            buckets: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    fn observe(&mut self, seconds: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.buckets[bucket] += 1;
        self.sum += seconds;
    }
}

/// What is counted, at one moment.
#[derive(Debug, Clone)]
struct Counts {
    opened: BTreeMap<&'static str, u64>,
    ended: BTreeMap<&'static str, u64>,
    open: BTreeMap<&'static str, u64>,
    lateness: Histogram,
    accounts: BTreeMap<AccountName, OfAccount>,
    entries: BTreeMap<EntryName, OfEntry>,
    setup: Arc<Setup>,
    taken: u64,
    refused: u64,
    loaded: Option<Loaded>,
    last_read_well: bool,
    commits: Histogram,
    ledger_errors: u64,
    wakes: u64,
    progress: Option<Timestamp>,
}

/// The words for where an open tick stands.
const OPEN_STATES: [&str; 4] = ["waiting", "sent", "doubtful", "running"];

impl Default for Counts {
    fn default() -> Self {
        let none = |words: &[&'static str]| words.iter().map(|word| (*word, 0)).collect();
        Self {
            opened: none(&[Origin::Scheduled, Origin::Manual, Origin::Missed].map(Origin::name)),
            ended: none(&Reason::ALL.map(Reason::name)),
            open: none(&OPEN_STATES),
            lateness: Histogram::new(LATENESS_SECONDS),
            accounts: BTreeMap::new(),
            entries: BTreeMap::new(),
            setup: Arc::default(),
            taken: 0,
            refused: 0,
            loaded: None,
            last_read_well: true,
            commits: Histogram::new(COMMIT_SECONDS),
            ledger_errors: 0,
            wakes: 0,
            progress: None,
        }
    }
}

/// What is counted of an account.
#[derive(Debug, Clone)]
struct OfAccount {
    attempts: BTreeMap<&'static str, u64>,
    requests: BTreeMap<&'static str, Histogram>,
    running: u64,
    throttled: u64,
    stands: Stands,
    token_ends: Option<Timestamp>,
    skew: Option<TimeDelta>,
}

/// What the answer to a start can mean, in the words of the ledger, and `queued` for a run that waits at the service.
const CLASSES: [&str; 10] = [
    "started",
    "queued",
    "not_sent",
    "kept_here",
    "throttled",
    "busy",
    "unauthorized",
    "refused",
    "refused_in_passing",
    "doubtful",
];

impl Default for OfAccount {
    fn default() -> Self {
        Self {
            attempts: CLASSES.map(|class| (class, 0)).into(),
            requests: BTreeMap::new(),
            running: 0,
            throttled: 0,
            stands: Stands::default(),
            token_ends: None,
            skew: None,
        }
    }
}

/// How an account stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stands {
    /// The service counts as not working for anyone.
    pub is_broken: bool,
    /// The credentials are refused.
    pub is_refused: bool,
    /// No request leaves before this.
    pub rests_until: Option<Timestamp>,
}

/// What is known of an entry's past.
#[derive(Debug, Clone, Copy, Default)]
struct OfEntry {
    last_success: Option<Timestamp>,
    ended_well: Option<bool>,
}

/// What is configured.
#[derive(Debug, Default)]
struct Setup {
    entries: BTreeMap<EntryName, Arc<Entry>>,
    accounts: BTreeMap<AccountName, Arc<Account>>,
}

impl Setup {
    /// Those that have series of their own.
    fn shown(&self) -> impl Iterator<Item = (&EntryName, &Arc<Entry>)> {
        self.entries.iter().take(ENTRIES_MAX)
    }
}

/// Where a configuration came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The files, as they are.
    Files,
    /// The ledger, which keeps the last good one, for the files have errors (P7).
    Ledger,
}

#[derive(Debug, Clone)]
struct Loaded {
    at: Timestamp,
    hash: String,
    source: Source,
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop takes a turn.
    pub fn woke(&self, now: Timestamp) {
        let mut counts = self.counts();
        counts.wakes += 1;
        counts.progress = Some(now);
    }

    /// A tick was opened.
    pub fn opened(&self, origin: Origin) {
        *self.counts().opened.entry(origin.name()).or_default() += 1;
    }

    /// A tick ended.
    pub fn ended(&self, tick: &Tick) {
        let TickState::Ended { reason, .. } = tick.state else {
            return;
        };
        let mut counts = self.counts();
        *counts.ended.entry(reason.name()).or_default() += 1;
        if let Some(of_entry) = counts.entries.get_mut(&tick.entry) {
            of_entry.ended_well = went_well(reason).or(of_entry.ended_well);
            let success = tick.success().map(|success| success.due);
            of_entry.last_success = of_entry.last_success.max(success);
        }
    }

    /// What the ledger remembers of an entry: its last success, and its last ends, newest first. What was seen since
    /// counts more.
    pub fn remembered(
        &self,
        entry: &EntryName,
        last_success: Option<Timestamp>,
        ends: impl IntoIterator<Item = Reason>,
    ) {
        if let Some(of_entry) = self.counts().entries.get_mut(entry) {
            of_entry.last_success = of_entry.last_success.max(last_success);
            let last = ends.into_iter().find_map(went_well);
            of_entry.ended_well = of_entry.ended_well.or(last);
        }
    }

    /// How many ticks are open, by state, and how many places of each account are taken.
    pub fn census(&self, open: &BTreeMap<&'static str, u64>, running: &BTreeMap<AccountName, u64>) {
        let mut counts = self.counts();
        for (state, count) in &mut counts.open {
            *count = open.get(state).copied().unwrap_or_default();
        }
        for (name, account) in &mut counts.accounts {
            account.running = running.get(name).copied().unwrap_or_default();
        }
    }

    /// The first request of a scheduled tick leaves, so long after the tick was to start. A clock that was set back makes
    /// it early; that is no lateness.
    pub fn left(&self, late: TimeDelta) {
        let late = late.to_std().unwrap_or_default();
        self.counts().lateness.observe(late.as_secs_f64());
    }

    /// An attempt was answered.
    pub fn attempted(&self, account: &AccountName, kind: &AnswerKind) {
        let queued = matches!(
            kind,
            AnswerKind::Started {
                queue_id: Some(_),
                ..
            }
        );
        let class = if queued { "queued" } else { kind.name() };
        if let Some(account) = self.counts().accounts.get_mut(account) {
            *account.attempts.entry(class).or_default() += 1;
        }
    }

    /// A request was answered or lost after so long.
    pub fn asked(&self, account: &AccountName, call: &'static str, took: Duration) {
        if let Some(account) = self.counts().accounts.get_mut(account) {
            let requests = account.requests.entry(call);
            let requests = requests.or_insert_with(|| Histogram::new(REQUEST_SECONDS));
            requests.observe(took.as_secs_f64());
        }
    }

    /// How an account stands now.
    pub fn stands(&self, account: &AccountName, stands: Stands) {
        if let Some(account) = self.counts().accounts.get_mut(account) {
            account.stands = stands;
        }
    }

    /// A request of the account was throttled.
    pub fn throttled(&self, account: &AccountName) {
        if let Some(account) = self.counts().accounts.get_mut(account) {
            account.throttled += 1;
        }
    }

    /// When the account's token ends; none: it has none, or one that does not say.
    pub fn token(&self, account: &AccountName, ends: Option<Timestamp>) {
        if let Some(account) = self.counts().accounts.get_mut(account) {
            account.token_ends = ends;
        }
    }

    /// So far is this machine's clock ahead of what the service's shows.
    pub fn skew(&self, account: &AccountName, ahead: TimeDelta) {
        if let Some(account) = self.counts().accounts.get_mut(account) {
            account.skew = Some(ahead);
        }
    }

    /// Decisions were stored, which took so long.
    pub fn stored(&self, took: Duration) {
        self.counts().commits.observe(took.as_secs_f64());
    }

    /// Decisions could not be stored.
    pub fn not_stored(&self) {
        self.counts().ledger_errors += 1;
    }

    /// From now on this is what is configured. What is gone loses its series; what is new begins with nothing.
    pub fn use_config(&self, config: &Config) {
        let setup = Setup {
            entries: config.entries.clone(),
            accounts: config.accounts.clone(),
        };
        let mut counts = self.counts();
        let mut entries = std::mem::take(&mut counts.entries);
        counts.entries = setup
            .shown()
            .map(|(name, _)| (name.clone(), entries.remove(name).unwrap_or_default()))
            .collect();
        let mut accounts = std::mem::take(&mut counts.accounts);
        counts.accounts = setup
            .accounts
            .keys()
            .map(|name| (name.clone(), accounts.remove(name).unwrap_or_default()))
            .collect();
        counts.setup = Arc::new(setup);
    }

    /// These texts were loaded at the start.
    pub fn loaded(&self, now: Timestamp, files: &[SourceFile], source: Source) {
        let mut counts = self.counts();
        counts.last_read_well = source == Source::Files;
        counts.loaded = Some(Loaded {
            at: now,
            hash: hash(files),
            source,
        });
    }

    /// A reload was taken.
    pub fn reloaded(&self, now: Timestamp, files: &[SourceFile]) {
        self.counts().taken += 1;
        self.loaded(now, files, Source::Files);
    }

    /// A reload was refused.
    pub fn reload_refused(&self) {
        let mut counts = self.counts();
        counts.refused += 1;
        counts.last_read_well = false;
    }

    /// The entries that have series of their own.
    pub fn shown_entries(&self) -> Vec<EntryName> {
        self.counts().entries.keys().cloned().collect()
    }

    /// Everything, as Prometheus reads it. Takes a while where there are many entries: not to be called where others wait.
    pub fn page(&self, form: Form, outside: Outside) -> String {
        let counts = self.counts().clone();
        write::page(counts, form, outside)
    }
}

/// Whether an end counts as good or bad; none: what was left out on purpose counts as neither.
fn went_well(reason: Reason) -> Option<bool> {
    match reason {
        Reason::Succeeded | Reason::Started => Some(true),
        Reason::Failed
        | Reason::Canceled
        | Reason::Missed
        | Reason::TooLate
        | Reason::Refused
        | Reason::GaveUp
        | Reason::Unknown => Some(false),
        Reason::Excluded
        | Reason::Paused
        | Reason::Skipped
        | Reason::Superseded
        | Reason::Withdrawn => None,
    }
}

/// Tells two configurations apart. Only the texts count: the same ones in another place are the same configuration. They
/// name where secrets are kept, and hold none.
fn hash(files: &[SourceFile]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update((file.text.len() as u64).to_be_bytes());
        hash.update(file.text.as_bytes());
    }
    let hash = hash.finalize();
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
