//! The loop: wait for something, decide, store, then do.
//!
//! One owner for all state and no task but for requests, for reading files on a reload, and for chores. `select!` only
//! chooses what woke us; acting happens after it, so nothing half done is ever cancelled. Nothing leaves before the
//! plan that asks for it is stored (P3): if the ledger fails, nothing is sent, and the same entries are decided again
//! a little later.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{Id, JoinHandle, JoinSet};
use tracing::{error, info, warn};

use crate::codearts::CodeArts;
use crate::config::{Config, SourceFile};
use crate::domain::fuse::Fuse;
use crate::domain::pace::Pace;
use crate::domain::plan::{self, ByHand};
use crate::domain::request::Variable;
use crate::domain::{AccountName, Entry, EntryName, EntryState, Tick, TickId, Timestamp, rfc3339};
use crate::ledger::{Ledger, LedgerError};
use crate::os::timer::Timer;
use crate::os::{Clock, Reading};
use crate::telemetry::metrics::Metrics;

mod alarms;
mod answers;
pub mod asked;
mod census;
mod decide;
mod follows;
pub mod hand;
mod measure;
mod news;
pub mod night;
mod reload;
mod report;
mod requests;
mod standing;
mod told;
mod turns;

use alarms::Alarms;
use answers::{Came, lost, woken_by};
use asked::{Asked, Reply, unanswered};
use census::Census;
use follows::Follows;
use measure::Inherited;
use news::News;
use requests::UnderWay;
pub use standing::{Health, Read, Standing};
use told::Told;
use turns::Turns;

/// Most requests under way at once (P9).
const IN_FLIGHT_MAX: usize = 64;
/// Longest sleep: where nobody tells us that the clock was set, it is noticed at the latest then.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Longest wait before a failed ledger is tried again.
const LEDGER_RETRY_MAX: Duration = Duration::from_secs(30);
/// When an entry whose decision the ledger refused is decided again.
const REFUSED_AGAIN: Duration = Duration::from_secs(3600);
/// A clock that is set by less than this is adjusted: alarms are instants on it, and stay right.
const CLOCK_STEP: TimeDelta = TimeDelta::seconds(1);
/// A sleep that lasts so much longer than it may is a stall.
const STALL: Duration = Duration::from_secs(5);
/// A difference to the service's clock that is reported: signatures fail beyond 15 minutes.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);

/// What somebody outside the loop wants of it.
#[derive(Debug)]
pub enum Event {
    /// Read the configuration again. `by` says who asked.
    Reload {
        /// Who asked, for the log.
        by: String,
    },
    /// End in good order.
    Stop {
        /// Who asked, for the log.
        by: String,
    },
    /// Do this, and answer.
    Asked(Box<Asked>),
    /// Say how things stand.
    Look {
        /// To whom.
        reply: oneshot::Sender<Standing>,
    },
}

/// A configuration that was read without an error.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// The checked configuration.
    pub config: Config,
    /// The files it came from, to be kept for a start with broken ones (P7).
    pub files: Vec<SourceFile>,
    /// Warnings, each as a text to log.
    pub warnings: Vec<String>,
}

/// Reads the configuration again, or gives all problems as texts to log. Runs off the loop and may block.
pub type Loader = dyn Fn() -> Result<Fresh, Vec<String>> + Send + Sync;

/// What a daemon is made of.
pub struct Parts<L, C> {
    /// The durable record.
    pub ledger: Arc<L>,
    /// The service.
    pub service: Arc<C>,
    /// The clock.
    pub clock: Clock,
    /// What it starts with.
    pub config: Config,
    /// How it reads the configuration again.
    pub loader: Arc<Loader>,
    /// Under what the ledger keeps the last good configuration.
    pub config_key: String,
    /// How long requests under way may take at a stop.
    pub grace: Duration,
}

impl<L, C> std::fmt::Debug for Parts<L, C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Parts")
            .field("config_key", &self.config_key)
            .finish_non_exhaustive()
    }
}

/// The loop and everything it owns.
pub struct Daemon<L, C> {
    parts: Parts<L, C>,
    alarms: Alarms,
    paces: BTreeMap<AccountName, Pace>,
    /// Entries with a tick that is ready but found no room, in the order in which they came.
    no_room: VecDeque<EntryName>,
    requests: JoinSet<Came>,
    under_way: HashMap<Id, UnderWay>,
    /// What has come and is not stored yet: it survives a ledger that fails for a while.
    unsettled: VecDeque<News>,
    /// Started runs, and when to look at each again.
    follows: Follows,
    /// Ticks that wait for a place of their account.
    turns: Turns,
    /// Entries with a tick that waits until a pipeline (its project and id) is free.
    held: BTreeMap<(String, String), BTreeSet<EntryName>>,
    /// How often entries started, by a clock that cannot be set.
    fuses: HashMap<EntryName, Fuse>,
    begun: tokio::time::Instant,
    /// Before then a tick in doubt is not looked for, by a clock that cannot be set.
    look_no_earlier: HashMap<TickId, tokio::time::Instant>,
    told: Told,
    /// When we last looked at what others have under way on a shared ledger.
    shared_looked_at: tokio::time::Instant,
    reload: Reload,
    /// What came of the last reload.
    last_read: Option<Read>,
    /// How things stood a moment ago: whoever asks in an endless loop must not keep us from work.
    stood: Option<(tokio::time::Instant, Value)>,
    trouble: Option<Trouble>,
    /// The ledger failed in a way that does not pass: the loop ends.
    broken: Option<LedgerError>,
    /// When the ledger last worked.
    ledger_seen_at: tokio::time::Instant,
    /// Only this tick is gone on with; everything else is left to the daemon that owns it.
    only: Option<Only>,
    /// When this process took over what another left.
    here_since: Option<Timestamp>,
    timer: Timer,
    last_seen: Reading,
    skew_reported_at: Option<Timestamp>,
    metrics: Metrics,
    /// The open ticks, for those who count.
    census: Census,
    /// Whether it has changed since it was last told.
    is_census_stale: bool,
    /// Asks the ledger what was before us, beside the loop.
    memory: JoinSet<()>,
    /// Rung when there may be something that people have to be told.
    bell: Arc<Notify>,
}

impl<L, C> std::fmt::Debug for Daemon<L, C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Daemon")
            .field("under_way", &self.under_way.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Only {
    entry: Arc<Entry>,
    tick: Tick,
}

/// The ledger failed: nothing is decided until then.
#[derive(Debug)]
struct Trouble {
    failures: u32,
    again_at: tokio::time::Instant,
}

#[derive(Debug, Default)]
enum Reload {
    #[default]
    Idle,
    Reading {
        task: JoinHandle<Result<Fresh, Vec<String>>>,
        /// Who asked.
        by: String,
        /// Who wait for what comes of it.
        waits: Vec<oneshot::Sender<Reply>>,
        /// Who asked while we were reading: the files may have changed since, so read once more.
        again: Option<String>,
        /// Who wait for what comes of that.
        later: Vec<oneshot::Sender<Reply>>,
    },
}

/// What woke the loop.
enum Woken {
    Time,
    Event(Event),
    Closed,
    Loaded(Result<Fresh, Vec<String>>),
    Came(Id, Came),
}

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// A daemon that has not started yet.
    pub fn new(parts: Parts<L, C>) -> Self {
        // A key that was never accepted is tried with one request: five bad signatures in a row lock it.
        let names = parts.config.accounts.keys();
        let paces = names.map(|name| (name.clone(), Pace::default())).collect();
        Self {
            told: Told::new(parts.clock.clone(), parts.ledger.is_shared()),
            shared_looked_at: tokio::time::Instant::now(),
            timer: Timer::new(&parts.clock),
            last_seen: parts.clock.read(),
            parts,
            alarms: Alarms::default(),
            paces,
            no_room: VecDeque::new(),
            requests: JoinSet::new(),
            under_way: HashMap::new(),
            unsettled: VecDeque::new(),
            follows: Follows::default(),
            turns: Turns::default(),
            held: BTreeMap::new(),
            fuses: HashMap::new(),
            begun: tokio::time::Instant::now(),
            look_no_earlier: HashMap::new(),
            reload: Reload::Idle,
            last_read: None,
            stood: None,
            trouble: None,
            broken: None,
            ledger_seen_at: tokio::time::Instant::now(),
            only: None,
            here_since: None,
            skew_reported_at: None,
            metrics: Metrics::default(),
            census: Census::default(),
            is_census_stale: false,
            memory: JoinSet::new(),
            bell: Arc::default(),
        }
    }

    /// Rings this bell whenever ticks changed, an account fares otherwise, files were read again or the ledger began or
    /// ceased to fail.
    #[must_use]
    pub fn ringing(mut self, bell: Arc<Notify>) -> Self {
        self.bell = bell;
        self
    }

    /// Runs until it is told to stop, or until nobody can tell it anything any more.
    ///
    /// # Errors
    /// When the ledger fails before the first decision, or later in a way that does not pass. Then nothing more was sent,
    /// and what came of requests under way is at least in the log.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Result<(), LedgerError> {
        self.begin().await?;
        loop {
            self.notice_clock();
            self.settle_news().await;
            self.decide_due().await;
            if self.broken.is_some() {
                break;
            }
            self.look_at_runs();
            self.count_turn();
            let began = tokio::time::Instant::now();
            let woken = self.wait(&mut events).await;
            notice_stall(began.elapsed());
            match woken {
                Woken::Time => {}
                Woken::Came(id, came) => self.take(id, came),
                Woken::Event(Event::Reload { by }) => self.start_reload(&by, None),
                Woken::Event(Event::Asked(asked)) => self.answer(*asked).await,
                // Who does not wait for it any more needs no answer.
                Woken::Event(Event::Look { reply }) => drop(reply.send(self.look())),
                Woken::Loaded(loaded) => self.finish_reload(loaded).await,
                Woken::Event(Event::Stop { by }) => {
                    info!("stopping, asked by {by}");
                    break;
                }
                Woken::Closed => break,
            }
        }
        self.stop(&mut events).await;
        self.broken.map_or(Ok(()), Err)
    }

    /// Starts a run by hand and sees its tick to its end, or until a stop; gives the tick as it stands then. Nothing else in
    /// the ledger is touched.
    ///
    /// # Errors
    /// When the ledger fails before the tick is written down; nothing was sent then. Or later in a way that does not
    /// pass; if a run was started by then, it is in the log.
    pub async fn trigger(
        mut self,
        entry: Arc<Entry>,
        variables: Vec<Variable>,
        why: String,
        random: String,
        events: &mut mpsc::Receiver<Event>,
    ) -> Result<Tick, LedgerError> {
        let mut room = self.room(&[], BTreeSet::new());
        room.called = None;
        room.max_running.clear();
        let (name, decided_for) = (entry.name.clone(), entry.clone());
        let decide = move |now, _: &EntryName, state: &_| {
            let by_hand = ByHand {
                random: &random,
                due: None,
                variables: &variables,
                why: &why,
            };
            plan::open_manual(now, &decided_for, state, by_hand, &mut room)
        };
        let plans = self.parts.ledger.decide(vec![name.clone()], decide).await?;
        let opened = plans
            .iter()
            .flat_map(|plan| &plan.changes)
            .map(|change| change.tick.clone())
            .next_back();
        let Some(mut tick) = opened else {
            let why = "it gave back no tick".to_owned();
            return Err(LedgerError::Refused { entry: name, why });
        };
        self.only = Some(Only {
            entry,
            tick: tick.clone(),
        });
        for plan in plans {
            self.carry_out(&name, plan);
        }
        // The run's id is what was wanted; a daemon follows the run.
        while self
            .only
            .as_ref()
            .is_some_and(|only| only.tick.run.is_none() && !only.tick.state.is_ended())
        {
            match self.wait(events).await {
                Woken::Time
                | Woken::Event(Event::Reload { .. } | Event::Asked(_) | Event::Look { .. })
                | Woken::Loaded(_) => {}
                Woken::Came(id, came) => self.take(id, came),
                Woken::Event(Event::Stop { .. }) | Woken::Closed => break,
            }
            self.notice_clock();
            self.settle_news().await;
            self.decide_due().await;
            if self.broken.is_some() {
                break;
            }
        }
        self.stop(events).await;
        if let Some(failure) = self.broken {
            return Err(failure);
        }
        // A run that a daemon would start hours after somebody pressed Ctrl-C helps nobody.
        let id = tick.id.clone();
        let decide = move |now, _: &EntryName, state: &_| plan::give_up(now, state, &id);
        match self.parts.ledger.decide(vec![name.clone()], decide).await {
            Ok(plans) => plans
                .into_iter()
                .for_each(|plan| self.carry_out(&name, plan)),
            Err(failure) => {
                warn!("the tick could not be withdrawn; a daemon will go on with it: {failure}")
            }
        }
        if let Some(only) = self.only {
            tick = only.tick;
        }
        Ok(tick)
    }

    /// Takes over what an earlier process left, and decides about every entry.
    async fn begin(&mut self) -> Result<(), LedgerError> {
        if let Some(why) = self.timer.deaf() {
            warn!(
                "if the clock is set, that is noticed only up to {} s later: {why}",
                SLEEP_MAX.as_secs()
            );
        }
        let now = self.parts.clock.now();
        self.here_since = Some(now);
        if let Some(newest) = self.parts.ledger.newest_due().await?
            && newest > now + CLOCK_STEP
        {
            warn!(
                "the clock stands at {}, before the newest tick in the ledger, {}",
                rfc3339(now),
                rfc3339(newest)
            );
        }
        self.count_config();
        let open = self.parts.ledger.open_entries().await?;
        // On a shared ledger what is under way may be another daemon's, until its lease is over.
        if !self.parts.ledger.is_shared() {
            let inherited = Inherited::default();
            let seen = inherited.clone();
            let decide = move |now, _: &EntryName, state: &EntryState| {
                measure::inherit(&seen, state);
                plan::interrupted(now, state)
            };
            let plans = self.parts.ledger.decide(open.clone(), decide).await?;
            self.count_inherited(&inherited);
            for plan in &plans {
                report::plan(plan);
                self.count_plan(plan);
                self.note_doubts(plan);
            }
        }
        let mut names: BTreeSet<EntryName> = open.into_iter().collect();
        names.extend(self.parts.ledger.marked_entries().await?);
        names.extend(self.parts.config.entries.keys().cloned());
        for name in names {
            self.alarms.set(&name, Some(now));
        }
        Ok(())
    }

    /// A clock that was set back leaves alarms far ahead, and one that was set ahead may have passed any number of ticks
    /// by: everything is looked at anew.
    fn notice_clock(&mut self) {
        let seen = self.parts.clock.read();
        let step = seen.step_since(&self.last_seen);
        self.last_seen = seen;
        if step.abs() < CLOCK_STEP {
            return;
        }
        let (by, now) = (step.num_seconds().abs(), rfc3339(seen.wall));
        if step < TimeDelta::zero() {
            warn!("the clock was set back by {by} s, to {now}; every entry is looked at anew");
        } else {
            warn!(
                "the clock went {by} s ahead, to {now}: it was set, or the machine slept; every entry is looked at anew"
            );
        }
        self.look_at_all(seen.wall);
    }

    fn look_at_all(&mut self, now: Timestamp) {
        if let Some(only) = &self.only {
            return self.alarms.set(&only.entry.name, Some(now));
        }
        // Also those that are no longer configured and have a tick that is open.
        for name in self.alarms.names() {
            self.alarms.set(&name, Some(now));
        }
        for name in self.parts.config.entries.keys() {
            self.alarms.set(name, Some(now));
        }
        self.follows.look_at_all(now);
    }

    async fn wait(&mut self, events: &mut mpsc::Receiver<Event>) -> Woken {
        let (until, longest) = self.sleep();
        let reading = async {
            match &mut self.reload {
                Reload::Idle => std::future::pending().await,
                Reload::Reading { task, .. } => task.await,
            }
        };
        tokio::select! {
            biased;
            event = events.recv() => event.map_or(Woken::Closed, Woken::Event),
            loaded = reading => Woken::Loaded(loaded.unwrap_or_else(|error| Err(vec![format!("reading failed: {error}")]))),
            Some(answered) = self.requests.join_next_with_id() => woken_by(answered),
            // Whether it was time or the clock was set: the next turn of the loop looks at the clock anyway.
            _ = self.timer.sleep(until, longest) => Woken::Time,
        }
    }

    /// Until when on the clock it sleeps if nothing comes, and for how long at most.
    fn sleep(&self) -> (Option<Timestamp>, Duration) {
        if let Some(trouble) = self.trouble.as_ref().filter(|_| self.in_trouble()) {
            // While the ledger fails, alarms that are due must not make the loop spin.
            let left = trouble
                .again_at
                .saturating_duration_since(tokio::time::Instant::now());
            return (None, left);
        }
        let looks = self.follows.next().filter(|_| self.only.is_none());
        let next = [self.alarms.next(), looks].into_iter().flatten().min();
        (next.map(|at| self.told.here(at)), SLEEP_MAX)
    }

    /// Ends in good order: no new requests; what has not left yet stays here, and its tick waits again; what has gets
    /// the grace time; what then has no answer is in doubt, and is looked for by the next process. What waits stays in
    /// the ledger.
    async fn stop(&mut self, events: &mut mpsc::Receiver<Event>) {
        // First of all: what still waits to leave would leave during the grace time, and be in doubt after it.
        self.parts.service.hold_back();
        let end = tokio::time::Instant::now() + self.parts.grace;
        let starts = self
            .under_way
            .values()
            .filter(|under_way| under_way.is_start())
            .count();
        if starts > 0 {
            info!(
                "waiting up to {} s for requests under way: {starts}",
                self.parts.grace.as_secs()
            );
        }
        // Looks are made again by the next process; only a start's answer is worth waiting for.
        while self.under_way.values().any(UnderWay::is_start) {
            tokio::select! {
                biased;
                Some(came) = self.requests.join_next_with_id() => {
                    if let Woken::Came(id, came) = woken_by(came) {
                        self.take(id, came);
                    }
                }
                Some(event) = events.recv() => match event {
                    Event::Stop { .. } => break,
                    // Whoever looks sees that it ends: its question is dropped.
                    Event::Reload { .. } | Event::Look { .. } => {}
                    Event::Asked(asked) => unanswered(&asked),
                },
                () = tokio::time::sleep_until(end) => break,
            }
        }
        self.requests.abort_all();
        for (_, under_way) in self.under_way.drain() {
            if let UnderWay::Start(tick) = under_way {
                self.unsettled.push_back(News::Answer(
                    tick,
                    lost("pipecron was stopped before the answer came"),
                ));
            }
        }
        // The last words: a ledger that is busy gets a few tries, then the log has to do.
        for _ in 0..3 {
            if self.broken.is_some() {
                break;
            }
            self.trouble = None;
            self.settle_news().await;
        }
        if !self.unsettled.is_empty() {
            self.log_unsettled();
            error!(
                "answers that could not be written down: {}; the next start that has the ledger looks for those runs",
                self.unsettled.len()
            );
        }
    }
}

/// Tells of a wait that took far longer than was asked for: what came due meanwhile starts late, or not at all.
fn notice_stall(waited: Duration) {
    if waited > SLEEP_MAX + STALL {
        warn!(
            "pipecron did not get to work for {} s: the process was stopped, or the machine had no time for it; what came \
             due meanwhile is decided now",
            (waited - SLEEP_MAX).as_secs()
        );
    }
}
