//! The real loop on virtual time: a day in milliseconds, with a service and a ledger that fail as told.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what is wrong by failing"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{TimeDelta, Timelike};
use pipecron::codearts::{CodeArts, Start};
use pipecron::config::{Account, Config, Credentials, SourceFile};
use pipecron::daemon::{Daemon, Event, Fresh, Loader, Parts};
use pipecron::domain::request::{Variable, VariableValue};
use pipecron::domain::schedule::Schedule;
use pipecron::domain::sighting::{Find, Look, PipelineAt, RunStatus, SeenRun, Sighting};
use pipecron::domain::zone::Zone;
use pipecron::domain::{
    AccountName, Answer, AnswerKind, CatchUp, Entry, EntryName, Policy, Reason, RunRequest, Tick,
    TickState, Timestamp,
};
use pipecron::ledger::{Fault, HistoryQuery, Ledger, LedgerError, MemoryLedger};
use pipecron::os::Clock;
use pipecron::telemetry::metrics::Metrics;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

#[path = "daemon/calendars.rs"]
mod calendars;

#[path = "daemon/clock.rs"]
mod clock;

#[path = "daemon/control.rs"]
mod control;

#[path = "daemon/downtime.rs"]
mod downtime;

#[path = "daemon/limits.rs"]
mod limits;

#[path = "daemon/log.rs"]
mod log;

#[path = "daemon/metrics.rs"]
mod metrics;

#[path = "daemon/telling.rs"]
mod telling;

#[path = "daemon/templates.rs"]
mod templates;

#[path = "daemon/trouble.rs"]
mod trouble;

/// A service that answers as told, and remembers what it was sent.
struct Service {
    answers: Mutex<VecDeque<AnswerKind>>,
    /// What it answers when nothing more is told; none: it starts a run.
    otherwise: Mutex<Option<AnswerKind>>,
    starts: Mutex<Vec<Start>>,
    accounts: Mutex<Vec<String>>,
    /// Every run there is: its marker and status, by its id. A lost answer may have started one.
    runs: Mutex<BTreeMap<String, (String, &'static str)>>,
    /// Whether an answer that is lost has started the run all the same.
    lost_starts: AtomicBool,
    finds: AtomicUsize,
    /// Since when the last look for a run was to look.
    looked_since: Mutex<Option<Timestamp>>,
    looks: AtomicUsize,
    /// Looks at a pipeline.
    surveys: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    takes: Duration,
    /// How many more starts may leave; the others wait on this side, for a connection for instance.
    may_leave: Semaphore,
    /// Whether what waits on this side is to stay here.
    held_back: watch::Sender<bool>,
    /// How long the next starts take, if not as long as all.
    slow: Mutex<VecDeque<Duration>>,
    /// What its own clock shows, if its answers tell.
    clock: Mutex<Option<Clock>>,
    /// How long the stopping of a run takes.
    stop_takes: Mutex<Duration>,
    /// How long a look at a pipeline takes.
    survey_takes: Mutex<Duration>,
    /// Whether looks at runs fail.
    blind: AtomicBool,
}

impl Service {
    fn answers(&self, kinds: impl IntoIterator<Item = AnswerKind>) {
        self.answers.lock().unwrap().extend(kinds);
    }

    fn always(&self, kind: Option<AnswerKind>) {
        *self.otherwise.lock().unwrap() = kind;
    }

    /// A run ends.
    fn ends(&self, run_id: &str, status: &'static str) {
        if let Some(run) = self.runs.lock().unwrap().get_mut(run_id) {
            run.1 = status;
        }
    }

    /// A run that somebody else starts.
    fn begins(&self, id: &str) {
        let foreign = ("somebody's".to_owned(), "RUNNING");
        self.runs.lock().unwrap().insert(id.to_owned(), foreign);
    }

    fn markers(&self) -> Vec<String> {
        self.starts
            .lock()
            .unwrap()
            .iter()
            .map(|start| start.marker.clone())
            .collect()
    }
}

impl CodeArts for Service {
    async fn start(&self, start: Start) -> Answer {
        let mut held_back = self.held_back.subscribe();
        tokio::select! {
            biased;
            _ = held_back.wait_for(|held_back| *held_back) => return answer(AnswerKind::KeptHere),
            leave = self.may_leave.acquire() => leave.unwrap().forget(),
        }
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let marker = start.marker.clone();
        let run_id = {
            let mut starts = self.starts.lock().unwrap();
            starts.push(start);
            format!("run-{}", starts.len())
        };
        let slow = self.slow.lock().unwrap().pop_front();
        tokio::time::sleep(slow.unwrap_or(self.takes)).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let told = self.answers.lock().unwrap().pop_front();
        let kind = told
            .or_else(|| self.otherwise.lock().unwrap().clone())
            .unwrap_or_else(|| AnswerKind::Started {
                run_id: run_id.clone(),
                queue_id: None,
            });
        let started = match kind {
            AnswerKind::Started { .. } => true,
            AnswerKind::Doubtful => self.lost_starts.load(Ordering::SeqCst),
            AnswerKind::NotSent
            | AnswerKind::KeptHere
            | AnswerKind::Throttled
            | AnswerKind::Busy
            | AnswerKind::Unauthorized
            | AnswerKind::Refused
            | AnswerKind::RefusedInPassing => false,
        };
        if started {
            self.runs
                .lock()
                .unwrap()
                .insert(run_id, (marker, "RUNNING"));
        }
        Answer {
            service_clock: self.clock.lock().unwrap().as_ref().map(Clock::now),
            ..answer(kind)
        }
    }

    async fn find(&self, find: Find) -> Sighting {
        self.finds.fetch_add(1, Ordering::SeqCst);
        *self.looked_since.lock().unwrap() = Some(find.since);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let runs = self.runs.lock().unwrap();
        match runs.iter().find(|(_, (marker, _))| *marker == find.marker) {
            Some((id, (_, status))) => Sighting::Found(Box::new(seen(id, status))),
            None => Sighting::Absent,
        }
    }

    async fn look(&self, wanted: Vec<(PipelineAt, String)>) -> Vec<Look> {
        self.looks.fetch_add(wanted.len(), Ordering::SeqCst);
        if self.blind.load(Ordering::SeqCst) {
            return wanted
                .iter()
                .map(|_| Look::Failed(answer(AnswerKind::Refused)))
                .collect();
        }
        let runs = self.runs.lock().unwrap();
        let look = |(_, id): &(PipelineAt, String)| match runs.get(id) {
            Some((_, status)) => Look::Seen(Box::new(seen(id, status))),
            None => Look::Vanished,
        };
        wanted.iter().map(look).collect()
    }

    async fn under_way(&self, _: PipelineAt) -> Result<Vec<SeenRun>, Answer> {
        let takes = *self.survey_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.surveys.fetch_add(1, Ordering::SeqCst);
        if let Some(kind @ AnswerKind::NotSent) = self.otherwise.lock().unwrap().clone() {
            return Err(answer(kind));
        }
        let runs = self.runs.lock().unwrap();
        let running = runs.iter().filter(|(_, (_, status))| *status == "RUNNING");
        Ok(running.map(|(id, (_, status))| seen(id, status)).collect())
    }

    async fn stop(&self, _: PipelineAt, id: String, _: Option<String>) -> Result<(), Answer> {
        let takes = *self.stop_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.ends(&id, "CANCELED");
        Ok(())
    }

    fn use_accounts(&self, accounts: &BTreeMap<AccountName, Arc<Account>>) {
        *self.accounts.lock().unwrap() = accounts.keys().map(ToString::to_string).collect();
    }

    fn hold_back(&self) {
        self.held_back.send_replace(true);
    }
}

fn answer(kind: AnswerKind) -> Answer {
    Answer {
        kind,
        status: None,
        code: None,
        message: "as told".to_owned(),
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}

fn seen(run_id: &str, status: &str) -> SeenRun {
    SeenRun {
        run_id: run_id.to_owned(),
        number: Some(1),
        status: Some(RunStatus(status.to_owned())),
        started_at: None,
        ended_at: None,
        seen_at: None,
        queue_id: None,
        description: None,
        failed_stage: None,
    }
}

fn account(name: &str) -> Arc<Account> {
    Arc::new(Account {
        name: AccountName::parse(name).unwrap(),
        region: None,
        endpoint: "http://127.0.0.1:1".to_owned(),
        iam_endpoint: "http://127.0.0.1:1".to_owned(),
        metadata_endpoint: "http://127.0.0.1:1".to_owned(),
        iam_project_id: None,
        credentials: Credentials::Chain,
        proxy: None,
        ca_file: None,
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(1),
        settle: Duration::from_secs(180),
        max_running: None,
        requests_per_second: 1_000,
    })
}

fn entry(name: &str, cron: &str) -> Entry {
    Entry {
        name: EntryName::parse(name).unwrap(),
        schedule: Some(Schedule::parse(&[cron], Arc::new(Zone::utc())).unwrap()),
        account: AccountName::parse("main").unwrap(),
        request: RunRequest::default(),
        spread: Duration::ZERO,
        catch_up: CatchUp::Latest,
        catch_up_max: 100,
        deadline: Duration::from_secs(6 * 3600),
        policy: Policy {
            follow: false,
            ..Policy::default()
        },
        enabled: true,
        not_before: None,
        not_after: None,
        alarm: Default::default(),
        ping: None,
        labels: Arc::default(),
        templates: None,
    }
}

fn config(entries: impl IntoIterator<Item = Entry>) -> Config {
    Config {
        accounts: ["main", "other"]
            .map(|name| (AccountName::parse(name).unwrap(), account(name)))
            .into(),
        entries: entries
            .into_iter()
            .map(|entry| (entry.name.clone(), Arc::new(entry)))
            .collect(),
        ..Config::default()
    }
}

type Loaded = Result<Config, Vec<String>>;

/// One daemon on virtual time.
struct World {
    clock: Clock,
    ledger: Arc<MemoryLedger>,
    service: Arc<Service>,
    /// What the files say when they are read again.
    files: Arc<Mutex<Loaded>>,
    reads: Arc<AtomicUsize>,
    tell: Option<mpsc::Sender<Event>>,
    /// What the process that runs, or ran last, has counted.
    metrics: Metrics,
    daemon: Option<JoinHandle<Result<(), LedgerError>>>,
}

impl World {
    fn at(now: &str) -> Self {
        log::keep();
        let clock = Clock::starting_at(now.parse().unwrap());
        Self {
            ledger: Arc::new(MemoryLedger::new(clock.clone())),
            clock,
            service: Arc::new(Service {
                answers: Mutex::default(),
                otherwise: Mutex::default(),
                starts: Mutex::default(),
                accounts: Mutex::default(),
                runs: Mutex::default(),
                lost_starts: AtomicBool::new(false),
                finds: AtomicUsize::new(0),
                looked_since: Mutex::default(),
                looks: AtomicUsize::new(0),
                surveys: AtomicUsize::new(0),
                under_way: AtomicUsize::new(0),
                most_under_way: AtomicUsize::new(0),
                takes: Duration::from_millis(300),
                may_leave: Semaphore::new(Semaphore::MAX_PERMITS),
                held_back: watch::Sender::new(false),
                slow: Mutex::default(),
                clock: Mutex::default(),
                stop_takes: Mutex::default(),
                survey_takes: Mutex::default(),
                blind: AtomicBool::new(false),
            }),
            files: Arc::new(Mutex::new(Ok(Config::default()))),
            reads: Arc::default(),
            tell: None,
            metrics: Metrics::default(),
            daemon: None,
        }
    }

    fn parts(&self, config: Config) -> Parts<MemoryLedger, Service> {
        let (files, reads) = (self.files.clone(), self.reads.clone());
        let loader: Arc<Loader> = Arc::new(move || {
            reads.fetch_add(1, Ordering::SeqCst);
            files.lock().unwrap().clone().map(|config| Fresh {
                config,
                files: vec![SourceFile {
                    path: "x.yaml".to_owned(),
                    text: String::new(),
                }],
                warnings: Vec::new(),
            })
        });
        Parts {
            ledger: self.ledger.clone(),
            service: self.service.clone(),
            clock: self.clock.clone(),
            config,
            loader,
            config_key: "here".to_owned(),
            grace: Duration::from_secs(10),
        }
    }

    fn start(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.begin(config(entries));
    }

    fn begin(&mut self, config: Config) {
        // A new process holds nothing back.
        self.service.held_back.send_replace(false);
        let (tell, events) = mpsc::channel(8);
        self.metrics = Metrics::default();
        let daemon = Daemon::new(self.parts(config)).counting(self.metrics.clone());
        self.tell = Some(tell);
        self.daemon = Some(tokio::spawn(daemon.run(events)));
    }

    async fn passes(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn reload(&self, files: Loaded) {
        *self.files.lock().unwrap() = files;
        let before = self.reads.load(Ordering::SeqCst);
        self.tell
            .as_ref()
            .unwrap()
            .send(Event::Reload {
                by: "a test".to_owned(),
            })
            .await
            .unwrap();
        while self.reads.load(Ordering::SeqCst) == before {
            self.passes(Duration::from_millis(1)).await;
        }
        self.passes(Duration::from_secs(1)).await;
    }

    async fn stop(&mut self) {
        self.tell
            .take()
            .unwrap()
            .send(Event::Stop {
                by: "a test".to_owned(),
            })
            .await
            .unwrap();
        self.ended().await.unwrap();
    }

    /// It ends by itself; how.
    async fn ended(&mut self) -> Result<(), LedgerError> {
        let ended = tokio::time::timeout(48 * HOUR, self.daemon.take().unwrap());
        ended.await.expect("it should have ended").unwrap()
    }

    /// It dies on the spot.
    fn kill(&mut self) {
        self.daemon.take().unwrap().abort();
        self.tell = None;
    }

    /// All ticks, oldest first.
    async fn ticks(&self) -> Vec<Tick> {
        let mut ticks = self.ledger.history(HistoryQuery::default()).await.unwrap();
        ticks.reverse();
        ticks
    }

    async fn ends(&self) -> Vec<&'static str> {
        self.ticks().await.iter().map(state).collect()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn state(tick: &Tick) -> &'static str {
    tick.state.word()
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_day_passes_in_no_time() {
    let mut world = World::at("2026-11-24T04:30:00Z");
    world.start([entry("hourly", "0 * * * *"), entry("nightly", "30 2 * * *")]);
    world.passes(24 * HOUR).await;
    world.stop().await;
    let ticks = world.ticks().await;
    assert_eq!(ticks.len(), 25);
    assert!(
        ticks
            .iter()
            .all(|tick| state(tick) == "started" && tick.run.is_some())
    );
    let markers: BTreeSet<String> = world.service.markers().into_iter().collect();
    assert_eq!(
        markers.len(),
        25,
        "each tick was sent once, under its own marker"
    );
    let nightly = ticks
        .iter()
        .find(|tick| tick.entry.as_str() == "nightly")
        .unwrap();
    assert!(markers.contains(&format!("[pipecron {} {}]", world.ledger.id(), nightly.id)));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_ticks_at_one_instant_leave_each_once_and_never_too_many_at_a_time() {
    let mut world = World::at("2026-11-24T01:59:00Z");
    world.start((0..1000).map(|number| entry(&format!("n{number}"), "0 2 * * *")));
    world.passes(HOUR).await;
    let ticks = world.ticks().await;
    assert_eq!(ticks.len(), 1000);
    assert!(
        ticks
            .iter()
            .all(|tick| state(tick) == "started" && tick.attempts == 1)
    );
    assert_eq!(world.service.starts.lock().unwrap().len(), 1000);
    assert_eq!(world.service.most_under_way.load(Ordering::SeqCst), 64);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_the_ledger_fails_and_everything_once_when_it_works_again() {
    let mut world = World::at("2026-11-24T01:59:00Z");
    world.start([entry("a", "0 2 * * *"), entry("b", "0 2 * * *")]);
    world.passes(Duration::from_secs(30)).await;
    world.ledger.fail_commits(5, Fault::Full);
    world.passes(Duration::from_secs(31)).await;
    assert_eq!(world.service.starts.lock().unwrap().len(), 0);
    world.passes(Duration::from_secs(120)).await;
    assert_eq!(world.ends().await, ["started", "started"]);
    assert_eq!(world.service.starts.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_written_down_is_kept_until_it_can() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_millis(1100)).await;
    assert_eq!(world.service.starts.lock().unwrap().len(), 1);
    world.ledger.fail_commits(6, Fault::Locked);
    world.passes(Duration::from_secs(2)).await;
    assert_eq!(world.ends().await, ["sent"]);
    world.passes(Duration::from_secs(300)).await;
    assert_eq!(world.ends().await, ["started"]);
    assert_eq!(world.ticks().await[0].run.as_ref().unwrap().id, "run-1");
    assert_eq!(world.service.starts.lock().unwrap().len(), 1);
}

/// What may pass while the ledger stays open.
const PASSING: [Fault; 5] = [
    Fault::Locked,
    Fault::Full,
    Fault::ReadOnly,
    Fault::Io,
    Fault::Denied,
];

/// What does not.
const LASTING: [Fault; 7] = [
    Fault::Missing,
    Fault::Moved,
    Fault::NotALedger,
    Fault::Version,
    Fault::Corrupt,
    Fault::Closed,
    Fault::Panicked,
];

#[tokio::test(start_paused = true)]
async fn a_ledger_that_may_work_again_is_tried_again() {
    for fault in PASSING {
        let mut world = World::at("2026-11-24T01:59:00Z");
        world.start([entry("a", "0 2 * * *")]);
        world.passes(Duration::from_secs(30)).await;
        world.ledger.fail_commits(20, fault);
        world.passes(Duration::from_secs(300)).await;
        assert_eq!(world.service.starts.lock().unwrap().len(), 0, "{fault:?}");
        world.passes(HOUR).await;
        assert_eq!(world.ends().await, ["started"], "{fault:?}");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_will_not_work_again_ends_the_daemon_before_anything_is_sent() {
    for fault in LASTING {
        let mut world = World::at("2026-11-24T01:59:00Z");
        world.start([entry("a", "0 2 * * *"), entry("b", "0 2 * * *")]);
        world.passes(Duration::from_secs(30)).await;
        world.ledger.fail_commits(1, fault);
        let failure = world.ended().await.unwrap_err();
        assert_eq!(failure.fault(), Some(fault));
        assert_eq!(
            world.now(),
            "2026-11-24T02:00:00Z".parse::<Timestamp>().unwrap(),
            "{fault:?}"
        );
        assert_eq!(world.service.starts.lock().unwrap().len(), 0, "{fault:?}");
        // The next process goes on where it was.
        world.start([entry("a", "0 2 * * *"), entry("b", "0 2 * * *")]);
        world.passes(HOUR).await;
        assert_eq!(world.ends().await, ["started", "started"]);
        assert_eq!(world.service.starts.lock().unwrap().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_ends_for_its_ledger_waits_for_answers_and_sends_nothing_more() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    Arc::get_mut(&mut world.service).unwrap().takes = Duration::from_secs(5);
    world.start([entry("a", "0 2 * * *"), entry("b", "1 0 2 * * *")]);
    world.passes(Duration::from_millis(1_100)).await;
    assert_eq!(world.service.under_way.load(Ordering::SeqCst), 1);
    world.ledger.fail_commits(100, Fault::Closed);
    let failure = world.ended().await.unwrap_err();
    assert_eq!(failure.fault(), Some(Fault::Closed));
    // The answer that was on its way came, within the grace time; its run's id went to the log.
    assert_eq!(world.service.under_way.load(Ordering::SeqCst), 0);
    assert_eq!(world.service.starts.lock().unwrap().len(), 1);
    assert_eq!(world.ends().await, ["sent"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_can_never_be_written_down_ends_the_daemon_and_the_next_finds_the_run() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_millis(1_100)).await;
    world.ledger.fail_commits(1, Fault::Corrupt);
    assert_eq!(
        world.ended().await.unwrap_err().fault(),
        Some(Fault::Corrupt)
    );
    assert_eq!(world.ends().await, ["sent"]);
    world.start([entry("a", "0 2 * * *")]);
    world.passes(HOUR).await;
    assert_eq!(world.ends().await, ["started"]);
    assert_eq!(world.service.starts.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_gone_is_noticed_although_nothing_is_due() {
    let mut world = World::at("2026-11-24T03:00:00Z");
    world.start([entry("a", "0 2 * * *")]);
    world.passes(HOUR).await;
    world.ledger.fail_reads(1, Fault::Closed);
    let failure = world.ended().await.unwrap_err();
    assert_eq!(failure.fault(), Some(Fault::Closed));
    let since = world.now() - "2026-11-24T04:00:00Z".parse::<Timestamp>().unwrap();
    assert!(since <= TimeDelta::seconds(60), "after {since}");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_whose_ledger_is_gone_ends_with_an_error() {
    let world = World::at("2026-11-24T01:59:59Z");
    let by_hand = entry("a", "0 2 * * *");
    let (_tell, mut events) = mpsc::channel(1);
    let daemon = Daemon::new(world.parts(config([by_hand.clone()])));
    let ledger = world.ledger.clone();
    let (triggered, ()) = tokio::join!(
        daemon.trigger(
            Arc::new(by_hand),
            Vec::new(),
            "triggered by hand".to_owned(),
            "abcd".to_owned(),
            &mut events
        ),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            ledger.fail_commits(100, Fault::Moved);
        }
    );
    assert_eq!(triggered.unwrap_err().fault(), Some(Fault::Moved));
    assert_eq!(world.service.starts.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_answer_died_with_us_is_found_by_the_next_process() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_millis(1100)).await;
    world.kill();
    let marker = world.service.markers()[0].clone();
    world
        .service
        .runs
        .lock()
        .unwrap()
        .insert("run-1".to_owned(), (marker, "RUNNING"));
    world.start([entry("a", "0 2 * * *")]);
    world.passes(HOUR).await;
    assert_eq!(world.ends().await, ["started"]);
    assert_eq!(world.ticks().await[0].run.as_ref().unwrap().id, "run-1");
    assert_eq!(world.service.starts.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_never_arrived_is_looked_for_and_then_sent_again_under_the_same_marker() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_millis(1100)).await;
    world.kill();
    world.start([entry("a", "0 2 * * *")]);
    world.passes(HOUR).await;
    assert_eq!(world.ends().await, ["started"]);
    assert_eq!(
        (
            world.ticks().await[0].attempts,
            world.service.finds.load(Ordering::SeqCst)
        ),
        (2, 5)
    );
    let markers = world.service.markers();
    assert_eq!((markers.len(), &markers[0]), (2, &markers[1]));
}

#[tokio::test(start_paused = true)]
async fn every_lost_answer_is_found_and_none_is_sent_twice() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.service.lost_starts.store(true, Ordering::SeqCst);
    world.service.answers(vec![AnswerKind::Doubtful; 60]);
    world.start((0..100).map(|number| entry(&format!("n{number}"), "0 2 * * *")));
    world.passes(HOUR).await;
    assert!(
        world
            .ticks()
            .await
            .iter()
            .all(|tick| state(tick) == "started" && tick.run.is_some())
    );
    assert_eq!(world.service.starts.lock().unwrap().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn runs_are_followed_to_their_ends_also_over_a_restart_and_after_their_entry_is_gone() {
    let followed = |name: &str| {
        let mut entry = entry(name, "0 2 * * *");
        entry.policy.follow = true;
        entry
    };
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([followed("a"), followed("b"), followed("c")]);
    world.passes(Duration::from_secs(60)).await;
    assert_eq!(world.ends().await, ["running"; 3]);
    world
        .service
        .runs
        .lock()
        .unwrap()
        .get_mut("run-1")
        .unwrap()
        .1 = "COMPLETED";
    world.passes(Duration::from_secs(60)).await;
    world.kill();
    world.start([followed("a"), followed("b"), followed("c")]);
    world.passes(Duration::from_secs(60)).await;
    world
        .service
        .runs
        .lock()
        .unwrap()
        .get_mut("run-2")
        .unwrap()
        .1 = "FAILED";
    world.passes(Duration::from_secs(60)).await;
    world.reload(Ok(config([followed("z")]))).await;
    world
        .service
        .runs
        .lock()
        .unwrap()
        .get_mut("run-3")
        .unwrap()
        .1 = "CANCELED";
    world.passes(Duration::from_secs(300)).await;
    let mut ends = world.ends().await;
    ends.sort_unstable();
    assert_eq!(ends, ["canceled", "failed", "succeeded"]);
    let looks = world.service.looks.load(Ordering::SeqCst);
    world.passes(HOUR).await;
    assert_eq!(
        world.service.looks.load(Ordering::SeqCst),
        looks,
        "what is over is not looked at"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_run_is_looked_at_less_and_less_often() {
    let mut long = entry("a", "0 2 * * *");
    long.policy.follow = true;
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([long]);
    world.passes(10 * HOUR).await;
    let looks = world.service.looks.load(Ordering::SeqCst);
    assert!((250..500).contains(&looks), "{looks} looks in ten hours");
    assert_eq!(world.ends().await, ["running"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_in_the_ledger_and_survives_a_crash() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.service.answers([
        AnswerKind::Busy,
        AnswerKind::NotSent,
        AnswerKind::RefusedInPassing,
    ]);
    world.start([entry("a", "0 2 * * *")]);
    for _ in 0..20 {
        world.passes(Duration::from_secs(3)).await;
        if world.ends().await == ["waiting"] {
            world.kill();
            world.start([entry("a", "0 2 * * *")]);
        }
    }
    world.passes(HOUR).await;
    assert_eq!(world.ends().await, ["started"]);
    assert_eq!(world.ticks().await[0].attempts, 4);
    let markers: BTreeSet<String> = world.service.markers().into_iter().collect();
    assert_eq!(
        markers.len(),
        1,
        "every attempt of a tick carries the same marker"
    );
}

#[tokio::test(start_paused = true)]
async fn ticks_missed_while_away_are_caught_up_once() {
    let mut world = World::at("2026-11-24T01:00:00Z");
    world.start([entry("hourly", "0 * * * *")]);
    world.passes(Duration::from_secs(60)).await;
    world.kill();
    world.passes(5 * HOUR).await;
    world.start([entry("hourly", "0 * * * *")]);
    world.passes(Duration::from_secs(60)).await;
    assert_eq!(world.ends().await, ["missed", "started"]);
    assert_eq!(world.ticks().await[0].missed.unwrap().count, 4);
}

#[tokio::test(start_paused = true)]
async fn a_good_reload_takes_the_new_set_and_a_bad_one_keeps_the_old() {
    let mut world = World::at("2026-11-24T01:30:00Z");
    world.start([entry("old", "0 * * * *")]);
    world.passes(HOUR).await;
    world.reload(Err(vec!["line 3: bad".to_owned()])).await;
    world.passes(HOUR).await;
    assert_eq!(
        world.ends().await,
        ["started", "started"],
        "the old set goes on after a bad reload"
    );
    world.reload(Ok(config([entry("new", "0 * * * *")]))).await;
    world.passes(2 * HOUR).await;
    let entries: Vec<String> = world
        .ticks()
        .await
        .iter()
        .map(|tick| tick.entry.to_string())
        .collect();
    assert_eq!(entries, ["old", "old", "new", "new"]);
    assert_eq!(*world.service.accounts.lock().unwrap(), ["main", "other"]);
    let kept = world.ledger.last_config("here".to_owned()).await.unwrap();
    assert_eq!(kept.unwrap().files[0].path, "x.yaml");
}

#[tokio::test(start_paused = true)]
async fn a_reload_while_ticks_are_due_loses_and_doubles_nothing() {
    let mut world = World::at("2026-11-24T01:00:30Z");
    let set = || (0..50).map(|number| entry(&format!("e{number}"), "* * * * *"));
    world.start(set());
    for round in 0..30 {
        // Reloads at every distance from the full minute.
        world
            .passes(Duration::from_secs(59) + Duration::from_millis(37 * round))
            .await;
        world.reload(Ok(config(set()))).await;
    }
    world.stop().await;
    let ticks = world.ticks().await;
    let minutes = u32::try_from(
        (world.now() - "2026-11-24T01:00:30Z".parse::<Timestamp>().unwrap()).num_minutes(),
    )
    .unwrap();
    let due: BTreeSet<Timestamp> = ticks.iter().map(|tick| tick.due).collect();
    assert!(
        due.len() >= usize::try_from(minutes).unwrap(),
        "{} of {minutes} minutes",
        due.len()
    );
    assert_eq!(
        ticks.len(),
        due.len() * 50,
        "every entry has a tick at every minute"
    );
    assert!(
        ticks
            .iter()
            .all(|tick| state(tick) == "started" && tick.attempts == 1 && tick.due.second() == 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_removed_entry_withdraws_what_waits() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.service.always(Some(AnswerKind::Busy));
    world.start([entry("a", "0 2 * * *"), entry("b", "0 2 * * *")]);
    world.passes(Duration::from_secs(30)).await;
    world.reload(Ok(config([entry("b", "0 2 * * *")]))).await;
    world.service.always(None);
    world.passes(HOUR).await;
    let ends: Vec<(String, &str)> = world
        .ticks()
        .await
        .iter()
        .map(|tick| (tick.entry.to_string(), state(tick)))
        .collect();
    assert!(
        ends.contains(&("a".to_owned(), "withdrawn"))
            && ends.contains(&("b".to_owned(), "started")),
        "{ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_answers_and_a_lost_one_is_in_doubt() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_millis(1100)).await;
    world.stop().await;
    assert_eq!(
        world.ends().await,
        ["started"],
        "an answer within the grace time is recorded"
    );

    let mut world = World::at("2026-11-24T01:59:59Z");
    Arc::get_mut(&mut world.service).unwrap().takes = HOUR;
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_millis(1100)).await;
    world.stop().await;
    assert_eq!(world.ends().await, ["doubtful"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_keeps_what_has_not_left_and_the_next_process_starts_it_without_a_doubt() {
    let mut world = World::at("2026-11-24T01:58:59Z");
    let service = Arc::get_mut(&mut world.service).unwrap();
    service.may_leave = Semaphore::new(3);
    let nightly = ["a", "b", "c", "d", "e"].map(|name| entry(name, "0 2 * * *"));
    let set = || {
        nightly
            .iter()
            .cloned()
            .chain([entry("proves-the-key", "59 1 * * *")])
    };
    world.start(set());
    world.passes(Duration::from_millis(61_100)).await;
    assert_eq!(
        world.ends().await,
        ["started", "sent", "sent", "sent", "sent", "sent"]
    );
    let stopped_at = world.now();
    world.stop().await;
    let took = world.now() - stopped_at;
    assert!(
        took < TimeDelta::seconds(1),
        "what cannot leave is not waited for: {took}"
    );
    let mut ends = world.ends().await;
    ends.sort_unstable();
    assert_eq!(
        ends,
        [
            "started", "started", "started", "waiting", "waiting", "waiting"
        ]
    );
    assert!(world.ticks().await.iter().all(|tick| tick.doubt.is_none()));

    world.service.may_leave.add_permits(3);
    world.start(set());
    world.passes(HOUR).await;
    assert_eq!(world.ends().await, ["started"; 6]);
    let markers: BTreeSet<String> = world.service.markers().into_iter().collect();
    assert_eq!((markers.len(), world.service.markers().len()), (6, 6));
    let finds = world.service.finds.load(Ordering::SeqCst);
    assert_eq!(
        finds, 3,
        "one look each, as for all that waited while no process was there"
    );
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_tried_once_more_and_then_the_account_rests_while_others_go_on() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.service.always(Some(AnswerKind::Unauthorized));
    let mut other = entry("other", "0 3 * * *");
    other.account = AccountName::parse("other").unwrap();
    world.start(
        (0..100)
            .map(|number| entry(&format!("n{number}"), "0 2 * * *"))
            .chain([other]),
    );
    world.passes(Duration::from_secs(30)).await;
    let burst = world.service.starts.lock().unwrap().len();
    assert_eq!(
        burst, 2,
        "a key that was never accepted is tried once, and once more with renewed credentials"
    );
    world.passes(Duration::from_secs(3500)).await;
    let probes = world.service.starts.lock().unwrap().len() - burst;
    assert!((3..12).contains(&probes), "{probes} probes in an hour");
    world.service.always(None);
    world.passes(HOUR).await;
    assert!(
        world
            .ticks()
            .await
            .iter()
            .all(|tick| state(tick) == "started")
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttled_account_rests_and_every_tick_is_started_in_the_end() {
    let mut world = World::at("2026-11-24T00:59:59Z");
    world.start(
        (0..100)
            .map(|number| entry(&format!("n{number}"), "0 2 * * *"))
            .chain([entry("early", "0 1 * * *")]),
    );
    world.passes(HOUR / 2).await;
    assert_eq!(world.service.starts.lock().unwrap().len(), 1);
    world.service.answers(vec![AnswerKind::Throttled; 70]);
    world.passes(3 * HOUR).await;
    let ticks = world.ticks().await;
    assert!(ticks.iter().all(|tick| state(tick) == "started"));
    assert_eq!(world.service.starts.lock().unwrap().len(), 171);
}

#[tokio::test(start_paused = true)]
async fn a_tick_by_hand_is_seen_to_its_end_and_nothing_else_is_touched() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.service.always(Some(AnswerKind::Busy));
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_secs(30)).await;
    world.kill();
    world.service.always(None);
    world.service.answers([AnswerKind::Busy]);
    let by_hand = entry("a", "0 2 * * *");
    let variables = vec![Variable {
        name: "BY".to_owned(),
        value: VariableValue::Value("hand".to_owned()),
    }];
    let (_tell, mut events) = mpsc::channel(1);
    let daemon = Daemon::new(world.parts(config([by_hand.clone()])));
    let tick = daemon
        .trigger(
            Arc::new(by_hand),
            variables,
            "triggered by hand".to_owned(),
            "abcd".to_owned(),
            &mut events,
        )
        .await
        .unwrap();
    assert_eq!((state(&tick), tick.attempts), ("started", 2));
    assert!(tick.id.as_str().ends_with("+abcd"));
    let starts = std::mem::take(&mut *world.service.starts.lock().unwrap());
    let mut by_hand = starts
        .iter()
        .filter(|start| start.marker.ends_with("+abcd]"));
    let is_set = |start: &Start| {
        let set = start.request.variables.as_ref();
        set.is_some_and(|set| set[0].name == "BY")
    };
    assert!(by_hand.clone().count() == 2 && by_hand.all(is_set));
    let ends = world.ends().await;
    assert_eq!(
        ends.iter().filter(|end| **end == "waiting").count(),
        1,
        "the scheduled tick waits for its daemon: {ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn two_reloads_at_once_read_the_files_twice() {
    let mut world = World::at("2026-11-24T01:30:00Z");
    world.start([entry("old", "0 * * * *")]);
    world.passes(Duration::from_secs(1)).await;
    *world.files.lock().unwrap() = Ok(config([entry("new", "0 * * * *")]));
    let tell = world.tell.as_ref().unwrap();
    for _ in 0..3 {
        tell.send(Event::Reload {
            by: "a test".to_owned(),
        })
        .await
        .unwrap();
    }
    while world.reads.load(Ordering::SeqCst) < 2 {
        world.passes(Duration::from_millis(1)).await;
    }
    world.passes(HOUR).await;
    assert_eq!(world.ticks().await[0].entry.as_str(), "new");
    assert_eq!(
        world
            .ticks()
            .await
            .iter()
            .filter(|tick| tick.due > world.now() - TimeDelta::hours(2))
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_tick_that_could_not_be_started() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.service.always(Some(AnswerKind::NotSent));
    world.start([entry("a", "0 2 * * *")]);
    world.passes(7 * HOUR).await;
    assert_eq!(world.ends().await, ["too_late"]);
    assert_eq!(Reason::from_name("too_late"), Some(Reason::TooLate));
}
