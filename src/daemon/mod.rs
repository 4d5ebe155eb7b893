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
use tokio::sync::mpsc;
use tokio::task::{Id, JoinHandle, JoinSet};
use tracing::{error, info, warn};

use crate::codearts::{CodeArts, Start};
use crate::config::{Config, SourceFile};
use crate::domain::pace::{Admit, Pace};
use crate::domain::plan::{self, Room};
use crate::domain::{
    AccountName, Answer, AnswerKind, Ask, Entry, EntryName, Plan, RunRequest, Tick, TickState,
    Timestamp, after, rfc3339,
};
use crate::ledger::{Ledger, LedgerError};
use crate::os::Clock;

mod alarms;
mod report;

use alarms::Alarms;

/// Most requests under way at once (P9).
const IN_FLIGHT_MAX: usize = 64;
/// Longest sleep: a clock that was set is noticed at the latest then.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Longest wait before a failed ledger is tried again.
const LEDGER_RETRY_MAX: Duration = Duration::from_secs(30);
/// When an entry whose decision the ledger refused is decided again.
const REFUSED_AGAIN: Duration = Duration::from_secs(3600);
/// A clock that goes back by less than this is an adjustment, not a jump.
const CLOCK_STEP: TimeDelta = TimeDelta::seconds(1);
/// A difference to the service's clock that is reported: signatures fail beyond 15 minutes.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);

/// What somebody outside the loop wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    requests: JoinSet<Answer>,
    under_way: HashMap<Id, UnderWay>,
    /// Answers that are not stored yet: they survive a ledger that fails for a while.
    unsettled: VecDeque<(UnderWay, Answer)>,
    reload: Reload,
    trouble: Option<Trouble>,
    /// Only this tick is gone on with; everything else is left to the daemon that owns it.
    only: Option<Only>,
    last_seen: Timestamp,
    skew_reported_at: Option<Timestamp>,
}

impl<L, C> std::fmt::Debug for Daemon<L, C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Daemon")
            .field("under_way", &self.under_way.len())
            .finish_non_exhaustive()
    }
}

/// An attempt whose answer is awaited.
#[derive(Debug, Clone)]
struct UnderWay {
    tick: Tick,
    attempt: u32,
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
        /// Somebody asked while we were reading: the files may have changed since, so read once more.
        again: bool,
    },
}

/// What woke the loop.
enum Woken {
    Time,
    Event(Event),
    Closed,
    Loaded(Result<Fresh, Vec<String>>),
    Answered(Id, Answer),
}

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// A daemon that has not started yet.
    pub fn new(parts: Parts<L, C>) -> Self {
        Self {
            last_seen: parts.clock.now(),
            parts,
            alarms: Alarms::default(),
            paces: BTreeMap::new(),
            no_room: VecDeque::new(),
            requests: JoinSet::new(),
            under_way: HashMap::new(),
            unsettled: VecDeque::new(),
            reload: Reload::Idle,
            trouble: None,
            only: None,
            skew_reported_at: None,
        }
    }

    /// Runs until it is told to stop, or until nobody can tell it anything any more.
    ///
    /// # Errors
    /// When the ledger fails before the first decision.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Result<(), LedgerError> {
        self.begin().await?;
        loop {
            self.notice_clock();
            self.settle_answers().await;
            self.decide_due().await;
            match self.wait(&mut events).await {
                Woken::Time => {}
                Woken::Answered(id, answer) => self.take_answer(id, answer),
                Woken::Event(Event::Reload { by }) => self.start_reload(&by),
                Woken::Loaded(loaded) => self.finish_reload(loaded).await,
                Woken::Event(Event::Stop { by }) => {
                    info!("stopping, asked by {by}");
                    break;
                }
                Woken::Closed => break,
            }
        }
        self.stop(&mut events).await;
        Ok(())
    }

    /// Starts a run by hand and sees its tick to its end, or until a stop; gives the tick as it stands then. Nothing else in
    /// the ledger is touched.
    ///
    /// # Errors
    /// When the ledger fails before the tick is written down; nothing was sent then.
    pub async fn trigger(
        mut self,
        entry: Arc<Entry>,
        request: RunRequest,
        random: String,
        events: &mut mpsc::Receiver<Event>,
    ) -> Result<Tick, LedgerError> {
        let mut room = self.room();
        let (name, decided_for) = (entry.name.clone(), entry.clone());
        let decide = move |now, _: &EntryName, _: &_| {
            plan::open_manual(now, &decided_for, &random, request.clone(), &mut room)
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
        while self
            .only
            .as_ref()
            .is_some_and(|only| !only.tick.state.is_ended())
        {
            match self.wait(events).await {
                Woken::Time | Woken::Event(Event::Reload { .. }) | Woken::Loaded(_) => {}
                Woken::Answered(id, answer) => self.take_answer(id, answer),
                Woken::Event(Event::Stop { .. }) | Woken::Closed => break,
            }
            self.notice_clock();
            self.settle_answers().await;
            self.decide_due().await;
        }
        self.stop(events).await;
        if let Some(only) = self.only {
            tick = only.tick;
        }
        Ok(tick)
    }

    /// Takes over what an earlier process left, and decides about every entry.
    async fn begin(&mut self) -> Result<(), LedgerError> {
        let now = self.parts.clock.now();
        if let Some(newest) = self.parts.ledger.newest_due().await?
            && newest > now + CLOCK_STEP
        {
            warn!(
                "the clock stands at {}, before the newest tick in the ledger, {}",
                rfc3339(now),
                rfc3339(newest)
            );
        }
        let open = self.parts.ledger.open_entries().await?;
        let plans = self
            .parts
            .ledger
            .decide(open.clone(), |now, _, state| plan::interrupted(now, state))
            .await?;
        for plan in &plans {
            report::plan(plan);
        }
        let mut names: BTreeSet<EntryName> = open.into_iter().collect();
        names.extend(self.parts.ledger.marked_entries().await?);
        names.extend(self.parts.config.entries.keys().cloned());
        for name in names {
            self.alarms.set(&name, Some(now));
        }
        Ok(())
    }

    /// A clock that was set back leaves alarms far ahead: everything is looked at anew.
    fn notice_clock(&mut self) {
        let now = self.parts.clock.now();
        if now + CLOCK_STEP < self.last_seen {
            let by = (self.last_seen - now).num_seconds();
            warn!(
                "the clock was set back by {by} s, to {}; every entry is looked at anew",
                rfc3339(now)
            );
            self.look_at_all(now);
        }
        self.last_seen = now;
    }

    fn look_at_all(&mut self, now: Timestamp) {
        if let Some(only) = &self.only {
            return self.alarms.set(&only.entry.name, Some(now));
        }
        for name in self.parts.config.entries.keys() {
            self.alarms.set(name, Some(now));
        }
    }

    async fn wait(&mut self, events: &mut mpsc::Receiver<Event>) -> Woken {
        let sleep = self.sleep();
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
            () = tokio::time::sleep(sleep) => Woken::Time,
        }
    }

    fn sleep(&self) -> Duration {
        let now = self.parts.clock.now();
        let until_alarm = self
            .alarms
            .next()
            .map_or(SLEEP_MAX, |at| (at - now).to_std().unwrap_or_default());
        match &self.trouble {
            // While the ledger fails, alarms that are due must not make the loop spin.
            Some(trouble) if self.in_trouble() => trouble
                .again_at
                .saturating_duration_since(tokio::time::Instant::now()),
            Some(_) | None => until_alarm.min(SLEEP_MAX),
        }
    }

    fn take_answer(&mut self, id: Id, answer: Answer) {
        let mut answered = VecDeque::from([(id, answer)]);
        while let Some(more) = self.requests.try_join_next_with_id() {
            if let Woken::Answered(id, answer) = woken_by(more) {
                answered.push_back((id, answer));
            }
        }
        let now = self.parts.clock.now();
        for (id, answer) in answered {
            if let Some(under_way) = self.under_way.remove(&id) {
                self.notice_skew(now, &answer);
                self.pace(now, &under_way.tick, &answer);
                self.unsettled.push_back((under_way, answer));
            }
        }
    }

    fn pace(&mut self, now: Timestamp, tick: &Tick, answer: &Answer) {
        let TickState::Sent { at: sent_at } = tick.state else {
            return;
        };
        let pace = self.paces.entry(tick.account.clone()).or_default();
        if let Some(rest) = pace.answered(now, sent_at, answer)
            && !rest.is_zero()
        {
            let why = answer.kind.name();
            let account = tick.account.as_str();
            warn!(
                account,
                "account {account} rests for {} s: {why}: {}",
                rest.as_secs(),
                answer.message
            );
        }
        if *pace == Pace::default() {
            self.paces.remove(&tick.account);
        }
    }

    fn notice_skew(&mut self, now: Timestamp, answer: &Answer) {
        let Some(theirs) = answer
            .service_clock
            .filter(|theirs| (now - *theirs).abs() > CLOCK_SKEW)
        else {
            return;
        };
        if self
            .skew_reported_at
            .is_none_or(|last| (now - last).abs() > TimeDelta::hours(1))
        {
            self.skew_reported_at = Some(now);
            warn!(
                "this machine's clock shows {}, the service's {}; signatures are refused from 15 minutes on: set the clock",
                rfc3339(now),
                rfc3339(theirs)
            );
        }
    }

    /// Stores what the answers that have come mean.
    async fn settle_answers(&mut self) {
        while !self.unsettled.is_empty() && !self.in_trouble() {
            let names: Vec<EntryName> = self
                .unsettled
                .iter()
                .map(|(sent, _)| sent.tick.entry.clone())
                .collect();
            let mut answers = self.unsettled.clone();
            let decide = move |now, _: &EntryName, state: &_| match answers.pop_front() {
                Some((sent, answer)) => {
                    plan::settle(now, state, &sent.tick.id, sent.attempt, answer)
                }
                None => Plan::default(),
            };
            match self.parts.ledger.decide(names.clone(), decide).await {
                Ok(plans) => {
                    self.trouble = None;
                    self.unsettled.clear();
                    for (name, plan) in names.iter().zip(plans) {
                        let wake_at = plan.wake_at;
                        self.carry_out(name, plan);
                        if let Some(at) = wake_at {
                            self.alarms.bring_forward(name, at);
                        }
                    }
                }
                Err(failure @ LedgerError::Refused { .. }) => self.give_up_settling(&failure),
                Err(failure) => {
                    if self.trouble.is_none() {
                        self.log_unsettled();
                    }
                    self.ledger_failed(&failure);
                }
            }
        }
    }

    /// What can never be stored of one entry must not keep the others' answers from being stored.
    fn give_up_settling(&mut self, failure: &LedgerError) {
        error!("{failure}");
        let LedgerError::Refused { entry, .. } = failure else {
            return;
        };
        let others: VecDeque<_> = self
            .unsettled
            .iter()
            .filter(|(sent, _)| sent.tick.entry != *entry)
            .cloned()
            .collect();
        self.unsettled.retain(|(sent, _)| sent.tick.entry == *entry);
        self.log_unsettled();
        self.unsettled = others;
    }

    /// A run that could not be written down is at least in the log (P10).
    fn log_unsettled(&self) {
        for (sent, answer) in &self.unsettled {
            if let AnswerKind::Started { run_id, .. } = &answer.kind {
                let (entry, tick) = (sent.tick.entry.as_str(), sent.tick.id.as_str());
                let request_id = answer.request_id.as_deref();
                let pipeline_id = sent.tick.request.pipeline_id.as_str();
                error!(
                    entry,
                    tick,
                    attempt = sent.attempt,
                    run_id,
                    pipeline_id,
                    request_id,
                    "run {run_id} started, but it could not be written down yet"
                );
            }
        }
    }

    /// Decides about every entry that is due and about those that waited for room, in one commit.
    async fn decide_due(&mut self) {
        if self.in_trouble() {
            return;
        }
        let now = self.parts.clock.now();
        let mut names = self.alarms.take_due(now);
        names.extend(self.take_roomless(now));
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        if names.is_empty() {
            return;
        }
        while !names.is_empty() {
            match self.decide(&names).await {
                Ok(plans) => {
                    self.trouble = None;
                    for (name, plan) in names.iter().zip(plans) {
                        self.alarms.set(name, plan.wake_at);
                        self.carry_out(name, plan);
                    }
                    return;
                }
                Err(LedgerError::Refused { entry, why }) if names.contains(&entry) => {
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
                    return self.ledger_failed(&failure);
                }
            }
        }
    }

    /// Decides about these entries in one commit.
    async fn decide(&self, names: &[EntryName]) -> Result<Vec<Plan>, LedgerError> {
        let entries = self.entries(names);
        let only = self.only.as_ref().map(|only| only.tick.id.clone());
        let mut room = self.room();
        let decide = move |now, name: &EntryName, state: &_| match (entries.get(name), &only) {
            (Some(entry), Some(tick)) => plan::plan_one(now, entry, state, tick, &mut room),
            (Some(entry), None) => plan::plan(now, entry, state, &mut room),
            (None, _) => plan::withdraw(now, state),
        };
        self.parts.ledger.decide(names.to_vec(), decide).await
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

    /// The entries that waited for room and may find some now. Those whose account is being probed keep waiting; one
    /// whose account rests is looked at when the rest is over.
    fn take_roomless(&mut self, now: Timestamp) -> Vec<EntryName> {
        let mut slots = IN_FLIGHT_MAX.saturating_sub(self.under_way.len());
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
                Admit::AfterProbe => self.no_room.push_back(name),
                Admit::Go if slots == 0 => self.no_room.push_back(name),
                Admit::Go => {
                    slots -= 1;
                    taken.push(name);
                }
            }
        }
        taken
    }

    fn room(&self) -> Room {
        Room {
            slots: IN_FLIGHT_MAX.saturating_sub(self.under_way.len()),
            paces: self.paces.clone(),
        }
    }

    /// Does what a stored plan asks for. The only place where requests are sent from.
    fn carry_out(&mut self, name: &EntryName, plan: Plan) {
        report::plan(&plan);
        if let Some(only) = &mut self.only {
            for change in &plan.changes {
                if change.tick.id == only.tick.id {
                    only.tick = change.tick.clone();
                }
            }
        }
        if plan.wants_room && !self.no_room.contains(name) {
            self.no_room.push_back(name.clone());
        }
        if self.only.is_some()
            && let Some(at) = plan.wake_at
        {
            self.alarms.bring_forward(name, at);
        }
        for Ask::Start(tick) in plan.asks {
            self.send(*tick);
        }
    }

    fn send(&mut self, tick: Tick) {
        if let Some(pace) = self.paces.get_mut(&tick.account) {
            pace.sent();
        }
        let start = Start {
            account: tick.account.clone(),
            request: tick.request.clone(),
            marker: tick.marker(self.parts.ledger.id()),
        };
        let service = self.parts.service.clone();
        let task = self
            .requests
            .spawn(async move { service.start(start).await });
        let attempt = tick.attempts;
        self.under_way.insert(task.id(), UnderWay { tick, attempt });
    }

    fn in_trouble(&self) -> bool {
        self.trouble
            .as_ref()
            .is_some_and(|trouble| tokio::time::Instant::now() < trouble.again_at)
    }

    /// Nothing is sent that could not be recorded: the entries stay due, and are decided again soon.
    fn ledger_failed(&mut self, failure: &LedgerError) {
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
        self.trouble = Some(Trouble {
            failures,
            again_at: tokio::time::Instant::now() + wait,
        });
    }

    fn start_reload(&mut self, by: &str) {
        match &mut self.reload {
            Reload::Reading { again, .. } => {
                info!("reload asked by {by} during another; the files are read once more after it");
                *again = true;
            }
            Reload::Idle => {
                info!("reloading the configuration, asked by {by}");
                let loader = self.parts.loader.clone();
                let task = tokio::task::spawn_blocking(move || loader());
                self.reload = Reload::Reading { task, again: false };
            }
        }
    }

    async fn finish_reload(&mut self, loaded: Result<Fresh, Vec<String>>) {
        let again = matches!(
            std::mem::take(&mut self.reload),
            Reload::Reading { again: true, .. }
        );
        match loaded {
            Err(problems) => {
                for problem in &problems {
                    error!("{problem}");
                }
                error!(
                    "reload refused with {} problems; the configuration that was loaded before stays",
                    problems.len()
                );
            }
            Ok(fresh) => self.swap(fresh).await,
        }
        if again {
            self.start_reload("the request that came during the last one");
        }
    }

    /// Takes a new configuration, all of it at once.
    async fn swap(&mut self, fresh: Fresh) {
        for warning in &fresh.warnings {
            warn!("{warning}");
        }
        let differences = plan::diff(&self.parts.config.entries, &fresh.config.entries);
        report::differences(&differences);
        let now = self.parts.clock.now();
        for name in self
            .parts
            .config
            .entries
            .keys()
            .chain(fresh.config.entries.keys())
        {
            self.alarms.set(name, Some(now));
        }
        let mut config = fresh.config;
        let starts = plan::starts_between(
            &config.entries,
            now,
            after(now, Duration::from_secs(86_400)),
        );
        info!(
            "configuration reloaded: {} entries, {} changed; {starts} starts in the coming 24 hours",
            config.entries.len(),
            differences.len()
        );
        // Ticks that wait may still name an account that is gone; it stays usable until the next start.
        let mut accounts = std::mem::take(&mut self.parts.config.accounts);
        accounts.append(&mut config.accounts.clone());
        self.parts.service.use_accounts(&accounts);
        config.accounts = accounts;
        self.parts.config = config;
        if let Err(failure) = self
            .parts
            .ledger
            .keep_config(self.parts.config_key.clone(), fresh.files)
            .await
        {
            warn!(
                "the new configuration is in use, but could not be kept for a start with broken files: {failure}"
            );
        }
    }

    /// Ends in good order: no new requests; those under way get the grace time; what then has no answer is written
    /// down as unknown. What waits stays in the ledger.
    async fn stop(&mut self, events: &mut mpsc::Receiver<Event>) {
        let end = tokio::time::Instant::now() + self.parts.grace;
        if !self.requests.is_empty() {
            info!(
                "waiting up to {} s for {} requests under way",
                self.parts.grace.as_secs(),
                self.requests.len()
            );
        }
        while !self.requests.is_empty() {
            tokio::select! {
                biased;
                Some(answered) = self.requests.join_next_with_id() => {
                    if let Woken::Answered(id, answer) = woken_by(answered) {
                        self.take_answer(id, answer);
                    }
                }
                Some(Event::Stop { .. }) = events.recv() => break,
                () = tokio::time::sleep_until(end) => break,
            }
        }
        self.requests.abort_all();
        for (_, sent) in self.under_way.drain() {
            self.unsettled
                .push_back((sent, lost("pipecron was stopped before the answer came")));
        }
        // The last words: a ledger that is busy gets a few tries, then the log has to do.
        for _ in 0..3 {
            self.trouble = None;
            self.settle_answers().await;
        }
        if !self.unsettled.is_empty() {
            self.log_unsettled();
            error!(
                "{} answers could not be written down; those ticks end as unknown",
                self.unsettled.len()
            );
        }
    }
}

fn woken_by(answered: Result<(Id, Answer), tokio::task::JoinError>) -> Woken {
    match answered {
        Ok((id, answer)) => Woken::Answered(id, answer),
        Err(failure) => Woken::Answered(
            failure.id(),
            lost(&format!("the request's task failed: {failure}")),
        ),
    }
}

fn lost(message: &str) -> Answer {
    Answer {
        kind: AnswerKind::Doubtful,
        status: None,
        code: None,
        message: message.to_owned(),
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}
