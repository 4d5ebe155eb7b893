//! A world: made of a seed, lived through, and judged.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use pipecron::config::{Account, Config, Credentials};
use pipecron::domain::schedule::{Days, Freeze, Schedule};
use pipecron::domain::zone::{Change, Zone};
use pipecron::domain::{
    AccountName, CatchUp, Entry, EntryName, OnDoubt, Origin, Overlap, Pause, Policy, Reason, Retry,
    RunRequest, Scope, Tick, TickState, Timestamp, rfc3339,
};
use pipecron::ledger::{HistoryQuery, Ledger, MemoryLedger};
use pipecron::os::Clock;

use super::calendars::{self, Almanac};
use super::checks::Checks;
use super::dice::Dice;
use super::ledger::{FAULTS, SimLedger};
use super::mistakes::Mistake;
use super::nodes::Node;
use super::service::{SETTLE, Service, Way};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// How long it takes after the last fault until every due time has to have its tick.
const CALMS_DOWN: Duration = Duration::from_secs(1_800);
/// How long that is then watched.
const WATCHED: Duration = Duration::from_secs(1_800);
/// How long the ends are then waited for.
const ENDS: Duration = Duration::from_secs(3_600);
/// In some worlds a run that takes longer than this holds nobody back.
const RUN_TIMEOUT: Duration = Duration::from_secs(2_400);
/// Longest deadline of an entry.
const DEADLINE_MAX_SECS: u64 = 1_500;
/// How long after that an end may still take: an account's rest, looks, and a row for each.
const ENDS_WITHIN: TimeDelta = TimeDelta::minutes(30);

/// How often what happened in the worlds that held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    fn count(&mut self, what: &'static str, by: u64) {
        *self.0.entry(what).or_default() += by;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            self.count(what, *count);
        }
    }

    /// Worlds in which something never happens say nothing about it.
    pub(crate) fn assert_everything_happened(&self) {
        let reasons = Reason::ALL.map(Reason::name);
        let others = [
            "runs",
            "foreign runs",
            "answers lost",
            "deaths",
            "stops",
            "clock jumps",
            "ledger faults",
            "service away",
            "reloads",
            "backups put back",
            "calendar changes",
            "pauses",
            "resumes",
            "skip marks",
            "moved ticks",
            "ticks behind the mark",
            "ticks decided under another day",
        ];
        for what in reasons.into_iter().chain(others) {
            assert!(self.0.contains_key(what), "{what} never happened: {self}");
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self
            .0
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        out.write_str(&counts.join(", "))
    }
}

/// What became of a world.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) seed: u64,
    /// What did not hold; empty if everything did.
    pub(crate) failure: String,
    lines: Vec<String>,
    pub(crate) counts: Counts,
}

impl Story {
    pub(crate) fn tell(&self) -> String {
        self.lines.join("\n")
    }
}

pub(crate) struct World {
    seed: u64,
    dice: Dice,
    checks: Arc<Checks>,
    service: Arc<Service>,
    rows: MemoryLedger,
    ledger_clock: Clock,
    nodes: Vec<Node>,
    files: Arc<Mutex<Config>>,
    /// What the files say in the end, and in between.
    config: Config,
    pipelines: Vec<String>,
    backup: Option<MemoryLedger>,
    /// What decides about pauses, where somebody pauses: its own dice, so that what else happens does not hang on it.
    pauser: Option<Dice>,
    /// Runs that began before are known to a life of the ledger that is lost.
    restored_at: Option<Timestamp>,
    counts: Counts,
}

fn entry_of(
    dice: &mut Dice,
    number: u64,
    pipelines: &[String],
    accounts: u64,
    epoch: Timestamp,
    run_timeout: Option<Duration>,
) -> Entry {
    let cron = dice.one_of(&[
        "*/10 * * * *",
        "*/15 * * * *",
        "0 * * * *",
        "20,50 * * * *",
        "7 */2 * * *",
        "30 1-5 * * *",
    ]);
    let zone = if dice.chance(300) {
        // A zone whose clocks change while the world lasts.
        let offset = if dice.chance(500) { 7_200 } else { 0 };
        let at = (epoch + TimeDelta::hours(3)).timestamp();
        Zone::new(
            &format!("changing-{offset}"),
            3_600,
            vec![Change { at, offset }],
        )
    } else {
        Zone::utc()
    };
    let patterns: &[&str] = &[cron];
    let schedule = Schedule::parse(patterns, Arc::new(zone)).unwrap();
    Entry {
        name: EntryName::parse(&format!("e{number}")).unwrap(),
        schedule: Some(schedule.with_days(days_of(number, epoch))),
        account: AccountName::parse(&format!("a{}", dice.below(accounts))).unwrap(),
        request: RunRequest {
            project_id: "project".to_owned(),
            pipeline_id: pipelines[dice.below(pipelines.len() as u64) as usize].clone(),
            ..RunRequest::default()
        },
        spread: if dice.chance(200) {
            5 * MINUTE
        } else {
            Duration::ZERO
        },
        catch_up: dice.one_of(&[
            CatchUp::None,
            CatchUp::Latest,
            CatchUp::Latest,
            CatchUp::All,
        ]),
        catch_up_max: 3,
        deadline: dice.seconds(900, DEADLINE_MAX_SECS),
        policy: Policy {
            retry: Retry {
                max_attempts: dice.between(1, 8) as u32,
                ..Retry::default()
            },
            on_doubt: dice.one_of(&[OnDoubt::Resend, OnDoubt::Resend, OnDoubt::GiveUp]),
            settle: SETTLE,
            follow: dice.chance(700),
            run_timeout,
            overlap: dice.one_of(&[
                Overlap::Allow,
                Overlap::Skip,
                Overlap::Queue,
                Overlap::Queue,
                Overlap::Replace,
            ]),
            priority: dice.between(0, 2) as i32,
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

/// Every third entry or so is frozen for a while. Drawn from what was drawn before, so that no world changes.
fn days_of(number: u64, epoch: Timestamp) -> Days {
    let minute = epoch.timestamp() / 60 + i64::try_from(number).unwrap();
    if minute % 3 > 0 {
        return Days::default();
    }
    let from = epoch + TimeDelta::minutes(30 + minute % 120);
    let freeze = Freeze {
        from,
        until: from + TimeDelta::minutes(20 + minute % 90),
        why: FROZEN.to_owned(),
    };
    Days {
        freezes: [freeze].into(),
        ..Days::default()
    }
}

/// Why an entry of a world is frozen.
const FROZEN: &str = "freeze of the world";

fn account_of(dice: &mut Dice, name: AccountName) -> Account {
    Account {
        name,
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
        settle: SETTLE,
        max_running: dice.chance(500).then(|| dice.between(1, 3) as u32),
        requests_per_second: 1_000,
    }
}

/// Whether somebody pauses entries in the world of this seed.
pub(crate) fn has_pauses(seed: u64) -> bool {
    match seed.is_multiple_of(calendars::ONE_IN) {
        true => seed / calendars::ONE_IN % 4 == 2,
        false => seed % 4 == 1,
    }
}

impl World {
    pub(crate) fn of(seed: u64, mistake: Option<Mistake>) -> Self {
        let mut dice = Dice::of(seed);
        let hours = TimeDelta::minutes(dice.below(365 * 24 * 60) as i64);
        let epoch = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + hours;
        let clock = Clock::starting_at(epoch);
        let pipelines: Vec<String> = (0..dice.between(1, 3)).map(|n| format!("p{n}")).collect();
        let accounts = dice.between(1, 2);
        let mut config = Config::default();
        for number in 0..accounts {
            let name = AccountName::parse(&format!("a{number}")).unwrap();
            let account = account_of(&mut dice, name.clone());
            config.accounts.insert(name, Arc::new(account));
        }
        let run_timeout = dice.chance(300).then_some(RUN_TIMEOUT);
        let mut almanac = Almanac::default();
        let has_calendar = seed.is_multiple_of(calendars::ONE_IN);
        almanac.begin(&mut Dice::of(seed), epoch);
        for number in 0..dice.between(1, 3) {
            let mut entry = entry_of(&mut dice, number, &pipelines, accounts, epoch, run_timeout);
            if has_calendar {
                almanac.take(&mut dice, &mut entry, epoch);
                entry = almanac.apply(&entry);
            }
            config.entries.insert(entry.name.clone(), Arc::new(entry));
        }
        let checks = checks_of(clock.clone(), &config, &pipelines, run_timeout, almanac);
        let checks = Arc::new(checks);
        let forgets = dice.chance(200);
        let service = Arc::new(Service::new(dice.next(), checks.clone(), forgets));
        let node_count = if dice.chance(600) {
            1
        } else {
            dice.between(2, 3)
        };
        // One daemon goes by its own clock, several by the ledger's.
        let ledger_clock = clock.apart(TimeDelta::zero());
        let mut rows = MemoryLedger::new(ledger_clock.clone());
        if node_count > 1 {
            rows = rows.shared();
        }
        let files = Arc::new(Mutex::new(config.clone()));
        let nodes = (0..node_count)
            .map(|number| {
                let own = match node_count {
                    1 => ledger_clock.clone(),
                    _ => clock.apart(TimeDelta::seconds(dice.between(0, 20) as i64 - 10)),
                };
                let ledger = Arc::new(SimLedger {
                    rows: rows.clone(),
                    mistake,
                    checks: checks.clone(),
                    dice: Mutex::new(dice.apart()),
                });
                let way = Arc::new(Way {
                    service: service.clone(),
                    clock: own.clone(),
                    mistake,
                });
                Node::new(format!("node {number}"), own, ledger, way, files.clone())
            })
            .collect();
        Self {
            seed,
            dice,
            checks,
            service,
            rows,
            ledger_clock,
            nodes,
            files,
            config,
            pipelines,
            backup: None,
            pauser: has_pauses(seed).then(|| Dice::of(!seed)),
            restored_at: None,
            counts: Counts::default(),
        }
    }

    /// Lives through it.
    pub(crate) async fn run(mut self) -> Result<Story, Story> {
        self.describe();
        for node in &mut self.nodes {
            node.start();
        }
        let (lasts, wait_max_millis) = match self.has_calendar() {
            false => (self.dice.seconds(2_400, 7_200), 1_200_000),
            true => (
                DAY * self.dice.between(2, calendars::DAYS_MAX) as u32,
                18_000_000,
            ),
        };
        let end = tokio::time::Instant::now() + lasts;
        while tokio::time::Instant::now() < end && self.checks.failure().is_none() {
            let wait = self.dice.millis(1, wait_max_millis);
            tokio::time::sleep(wait).await;
            if self.has_calendar() && self.dice.chance(400) {
                self.a_calendar_changes().await;
            } else {
                self.something_happens().await;
            }
            self.somebody_pauses_or_resumes().await;
        }
        self.mend().await;
        tokio::time::sleep(CALMS_DOWN).await;
        let from = self.checks.now();
        if self.has_calendar() {
            for _ in 0..calendars::DAYS_WATCHED * 4 {
                self.a_calendar_changes().await;
                let lasts = self.dice.seconds(3_600, 36_000);
                self.watch(lasts).await;
            }
            // What was moved comes to its day.
            self.watch(DAY * 2).await;
        }
        self.watch(WATCHED).await;
        let until = self.checks.now();
        self.watch(ENDS).await;
        if self.checks.failure().is_none() {
            self.judge(from, until).await;
        }
        for node in &mut self.nodes {
            node.kill();
        }
        self.story()
    }

    fn has_calendar(&self) -> bool {
        !self.checks.almanac.is_empty()
    }

    async fn watch(&self, lasts: Duration) {
        for _ in 0..lasts.as_secs() / 60 {
            tokio::time::sleep(MINUTE).await;
            self.checks.nobody_waits_in_vain();
        }
    }

    fn story(mut self) -> Result<Story, Story> {
        let runs = self.service.runs.lock().unwrap().clone();
        let ours = runs.iter().filter(|run| run.tick.is_some()).count() as u64;
        self.counts.count("runs", ours);
        self.counts.count("foreign runs", runs.len() as u64 - ours);
        let lost = *self.service.lost.lock().unwrap();
        self.counts.count("answers lost", lost);
        let story = Story {
            seed: self.seed,
            failure: self.checks.failure().unwrap_or_default(),
            lines: self.checks.lines(),
            counts: self.counts,
        };
        if story.failure.is_empty() {
            Ok(story)
        } else {
            Err(story)
        }
    }

    fn describe(&self) {
        let checks = &self.checks;
        checks.tell(format!("{} nodes", self.nodes.len()));
        for account in self.config.accounts.values() {
            let places = account.max_running;
            checks.tell(format!("account {}: max_running {places:?}", account.name));
        }
        for entry in self.config.entries.values() {
            let schedule = entry.schedule.as_ref().unwrap();
            checks.tell(format!("{}: {}", entry.name, schedule.fingerprint()));
            checks.tell(format!(
                "entry {}: pipeline {}, account {}, {:?}, catch up {:?}, deadline {:?}, spread {:?}, follow {}, {:?}",
                entry.name,
                entry.request.pipeline_id,
                entry.account,
                entry.policy.overlap,
                entry.catch_up,
                entry.deadline,
                entry.spread,
                entry.policy.follow,
                entry.policy.on_doubt,
            ));
        }
    }

    fn a_node(&mut self) -> usize {
        self.dice.below(self.nodes.len() as u64) as usize
    }

    async fn something_happens(&mut self) {
        match self.dice.below(100) {
            0..=24 => self.somebody_dies().await,
            25..=29 => self.somebody_is_stopped().await,
            30..=44 => self.a_clock_jumps().await,
            45..=59 => self.the_ledger_fails(),
            60..=69 => self.the_service_is_away().await,
            70..=79 => self.the_files_change().await,
            80..=87 => self.a_backup_is_made_or_put_back().await,
            _ => {
                let at = self.dice.below(self.pipelines.len() as u64) as usize;
                let takes = self.dice.seconds(60, 3_600);
                self.service.start_foreign(&self.pipelines[at], takes);
            }
        }
    }

    async fn somebody_dies(&mut self) {
        let node = self.a_node();
        if !self.nodes[node].is_alive() {
            return self.nodes[node].start();
        }
        self.counts.count("deaths", 1);
        self.nodes[node].kill();
        let away = match self.dice.below(4) {
            0 => self.dice.seconds(1, 3_600),
            _ => self.dice.seconds(0, 90),
        };
        // Others go on meanwhile.
        tokio::time::sleep(away).await;
        if self.dice.chance(900) {
            self.nodes[node].start();
        }
    }

    async fn somebody_is_stopped(&mut self) {
        let node = self.a_node();
        if self.nodes[node].is_alive() {
            self.counts.count("stops", 1);
            self.nodes[node].stop().await;
        }
        tokio::time::sleep(self.dice.seconds(0, 600)).await;
        self.nodes[node].start();
    }

    async fn a_clock_jumps(&mut self) {
        let node = self.a_node();
        let size = match self.dice.below(10) {
            0..=3 => self.dice.between(1, 120),
            4..=6 => self.dice.between(60, 3_600),
            7..=8 => self.dice.between(3_600, 90_000),
            _ => 365 * 86_400,
        };
        let by = TimeDelta::seconds(size as i64) * if self.dice.chance(500) { 1 } else { -1 };
        self.counts.count("clock jumps", 1);
        let clock = self.nodes[node].clock.clone();
        self.checks.tell(format!(
            "the clock of node {node} jumps by {} s",
            by.num_seconds()
        ));
        if self.dice.chance(300) {
            clock.step_unheard(by);
        } else {
            clock.step(by);
        }
        let lasts = match self.dice.below(3) {
            0 => self.dice.seconds(1, 90),
            1 => self.dice.seconds(60, 1_200),
            _ => self.dice.seconds(600, 5_400),
        };
        tokio::time::sleep(lasts).await;
        if self.dice.chance(800) {
            self.set_clocks();
        }
    }

    /// Every clock shows the true time again.
    fn set_clocks(&mut self) {
        for node in &self.nodes {
            let off = node.clock.now() - self.checks.now();
            if off.abs() > TimeDelta::seconds(11) {
                self.checks
                    .tell(format!("the clock of {} is set right", node.name));
                node.clock.set(self.checks.now());
            }
        }
        self.ledger_clock.set(self.checks.now());
    }

    fn the_ledger_fails(&mut self) {
        self.counts.count("ledger faults", 1);
        let fault = self.dice.one_of(&FAULTS);
        let count = self.dice.between(1, 9) as u32;
        self.checks
            .tell(format!("the ledger fails {count} times: {fault:?}"));
        if self.dice.chance(700) {
            self.rows.fail_commits(count, fault);
        } else {
            self.rows.fail_reads(count, fault);
        }
    }

    async fn the_service_is_away(&mut self) {
        self.counts.count("service away", 1);
        self.checks.tell("the service is away");
        self.service.is_down.store(true, Ordering::SeqCst);
        let away = self.dice.seconds(20, 2_400);
        tokio::time::sleep(away).await;
        self.service.is_down.store(false, Ordering::SeqCst);
        self.checks.tell("the service is back");
    }

    /// A day becomes a day off, or none any more; or somebody marks a tick to be skipped.
    async fn a_calendar_changes(&mut self) {
        let now = self.checks.now();
        if self.dice.chance(150) {
            let names: Vec<EntryName> = self.checks.almanac.keepers().cloned().collect();
            let name = &names[self.dice.below(names.len() as u64) as usize];
            let entry = self.config.entries[name].clone();
            let skips = self.checks.almanac.mark(&mut self.dice, &entry, now);
            for skip in &skips {
                self.counts.count("skip marks", 1);
                let due = rfc3339(skip.due);
                self.checks
                    .tell(format!("{} at {due} is to be skipped", entry.name));
            }
            self.rows.fail_commits(0, FAULTS[0]);
            return self
                .rows
                .put_skips(entry.name.clone(), skips)
                .await
                .unwrap();
        }
        self.counts.count("calendar changes", 1);
        let what = self.checks.almanac.change(&mut self.dice, now);
        self.checks.tell(format!("reload: {what}"));
        {
            let mut files = self.files.lock().unwrap();
            for entries in [&mut self.config.entries, &mut files.entries] {
                for entry in entries.values_mut() {
                    *entry = Arc::new(self.checks.almanac.apply(entry));
                }
            }
        }
        self.reload().await;
    }

    /// Somebody holds an entry or all of them still, for a time or until it is lifted; or lifts it.
    async fn somebody_pauses_or_resumes(&mut self) {
        let Some(dice) = &mut self.pauser else { return };
        if !dice.chance(300) {
            return;
        }
        let now = self.ledger_clock.now();
        let names: Vec<&EntryName> = self.config.entries.keys().collect();
        let name = names[dice.below(names.len() as u64) as usize].clone();
        let scope = match dice.chance(250) {
            true => Scope::All,
            false => Scope::Entry(name),
        };
        let until = dice.chance(500).then(|| now + dice.seconds(60, 5_400));
        let by = "the world".to_owned();
        self.rows.fail_commits(0, FAULTS[0]);
        let lifted = self.rows.lift_pause(scope.clone(), now, by.clone());
        if lifted.await.unwrap().is_some() {
            self.counts.count("resumes", 1);
            return self.checks.tell(format!("{scope} is resumed"));
        }
        self.counts.count("pauses", 1);
        self.checks
            .tell(format!("{scope} is paused until {until:?}"));
        let pause = Pause {
            scope,
            since: now,
            until,
            by,
            reason: String::new(),
            lifted: None,
        };
        self.rows.put_pause(pause).await.unwrap();
    }

    async fn the_files_change(&mut self) {
        self.counts.count("reloads", 1);
        let names: Vec<EntryName> = self.config.entries.keys().cloned().collect();
        let name = names[self.dice.below(names.len() as u64) as usize].clone();
        let mut now = self.files.lock().unwrap().clone();
        if now.entries.remove(&name).is_none() {
            let entry = self.config.entries[&name].clone();
            now.entries.insert(name.clone(), entry);
            self.checks.tell(format!("reload: {name} is there again"));
        } else {
            self.checks.tell(format!("reload: {name} is gone"));
        }
        *self.files.lock().unwrap() = now;
        self.reload().await;
    }

    async fn reload(&self) {
        for node in &self.nodes {
            node.reload().await;
        }
    }

    /// Of one daemon only: who shares a ledger has it elsewhere.
    async fn a_backup_is_made_or_put_back(&mut self) {
        if self.nodes.len() > 1 {
            return;
        }
        let Some(backup) = self.backup.take() else {
            self.checks.tell("a backup of the ledger is made");
            self.backup = Some(self.rows.backup());
            return;
        };
        self.counts.count("backups put back", 1);
        self.nodes[0].kill();
        // What was started last is listed by then; one look has to do.
        tokio::time::sleep(SETTLE + self.dice.seconds(30, 600)).await;
        self.checks.tell("the backup of the ledger is put back");
        self.rows.restore(&backup);
        self.restored_at = Some(self.checks.now());
        self.checks.read_anew(&self.rows).await;
        self.nodes[0].start();
    }

    /// Nothing breaks any more.
    async fn mend(&mut self) {
        self.checks.end_faults();
        self.set_clocks();
        self.service.is_down.store(false, Ordering::SeqCst);
        self.rows.fail_commits(0, FAULTS[0]);
        self.rows.fail_reads(0, FAULTS[0]);
        let now = self.ledger_clock.now();
        for pause in self.rows.pauses(Timestamp::MIN_UTC).await.unwrap() {
            let by = "the world".to_owned();
            self.rows.lift_pause(pause.scope, now, by).await.unwrap();
        }
        *self.files.lock().unwrap() = self.config.clone();
        for node in &mut self.nodes {
            node.start();
        }
        self.reload().await;
    }

    /// Whether everything came to its end.
    async fn judge(&mut self, from: Timestamp, until: Timestamp) {
        let ticks = self.rows.history(HistoryQuery::default()).await.unwrap();
        let now = self.checks.now();
        for tick in &ticks {
            let reason = match tick.state {
                TickState::Ended { reason, .. } => reason.name(),
                _ => "open",
            };
            self.counts.count(reason, 1);
            let others = [
                ("moved ticks", !tick.moved_from.is_empty()),
                (
                    "ticks behind the mark",
                    tick.note.contains("changed after its time"),
                ),
                (
                    "ticks decided under another day",
                    tick.note.contains("decided before"),
                ),
            ];
            for (what, _) in others.into_iter().filter(|(_, is_one)| *is_one) {
                self.counts.count(what, 1);
            }
            self.judge_tick(now, tick);
        }
        self.judge_runs(&ticks);
        self.judge_due_times(&ticks, from, until);
    }

    fn judge_tick(&self, now: Timestamp, tick: &Tick) {
        // A tick of a clock that was ahead has its time yet to come.
        let opened = tick.due.max(tick.opened_at);
        let deadline = TimeDelta::from_std(self.config.entries[&tick.entry].deadline).unwrap();
        let limit = deadline + ENDS_WITHIN;
        if tick.state.is_ended() || opened + limit > now {
            return;
        }
        let runs = self.service.runs.lock().unwrap();
        let run = tick.run.as_ref().map(|run| &run.id);
        let goes_on = runs
            .iter()
            .any(|known| Some(&known.id) == run && known.ends_at + TimeDelta::minutes(10) > now);
        if !goes_on {
            self.checks.fail(format!(
                "{} is {} still, though nothing breaks any more: {}",
                tick.id,
                tick.state.name(),
                tick.note
            ));
        }
    }

    /// Every run of ours is known to the ledger.
    fn judge_runs(&self, ticks: &[Tick]) {
        let runs = self.service.runs.lock().unwrap().clone();
        for run in &runs {
            let Some(id) = &run.tick else {
                continue;
            };
            // Its answer is on its way.
            if run.started_at + TimeDelta::minutes(10) > self.checks.now() {
                continue;
            }
            // The ledger that knew of it was replaced; what was not caught up is a row of missed ticks.
            if self.restored_at.is_some_and(|at| run.started_at < at) {
                continue;
            }
            let tick = ticks.iter().find(|tick| tick.id == *id);
            let known = tick.and_then(|tick| tick.run.as_ref()).map(|run| &run.id);
            let is_unknown = tick.is_some_and(|tick| {
                let unknown = Reason::Unknown;
                matches!(tick.state, TickState::Ended { reason, .. } if reason == unknown)
            });
            if known != Some(&run.id) && !is_unknown {
                let stands = tick.map_or("is not in the ledger", |tick| tick.note.as_str());
                self.checks
                    .fail(format!("run {} of {id} is not known: {stands}", run.id));
            }
        }
    }

    /// What was due within a freeze is excluded, and nothing else.
    fn judge_freezes(&self, entry: &Entry, schedule: &Schedule, ticks: &[Tick]) {
        let of_entry = ticks
            .iter()
            .filter(|tick| tick.entry == entry.name && tick.origin == Origin::Scheduled);
        for tick in of_entry {
            let mut freezes = schedule.days().freezes.iter();
            let is_frozen = freezes.any(|freeze| (freeze.from..=freeze.until).contains(&tick.due));
            let is_excluded = matches!(
                tick.state,
                TickState::Ended {
                    reason: Reason::Excluded,
                    ..
                }
            );
            if is_frozen != is_excluded {
                self.checks.fail(format!("{} is {}", tick.id, tick.note));
            }
        }
    }

    /// In the hours after, no due time is passed over.
    fn judge_due_times(&self, ticks: &[Tick], from: Timestamp, until: Timestamp) {
        for entry in self.config.entries.values() {
            let schedule = entry.schedule.as_ref().unwrap();
            let almanac = &self.checks.almanac;
            if almanac.keeps(&entry.name) {
                if let Some(at) = almanac.passed_over(entry, ticks, from, until) {
                    let at = rfc3339(at);
                    self.checks.fail(format!(
                        "a pattern of {} names {at}, and no row tells of it",
                        entry.name
                    ));
                }
                continue;
            }
            self.judge_freezes(entry, schedule, ticks);
            let mut due = schedule.next_after(from);
            while let Some(at) = due.filter(|at| *at <= until) {
                let has_tick = ticks
                    .iter()
                    .any(|tick| tick.entry == entry.name && tick.due == at);
                if !has_tick {
                    self.checks.fail(format!(
                        "{} was due at {} and there is no tick of it",
                        entry.name,
                        rfc3339(at)
                    ));
                    return;
                }
                due = schedule.next_after(at);
            }
        }
    }
}

fn checks_of(
    clock: Clock,
    config: &Config,
    pipelines: &[String],
    run_timeout: Option<Duration>,
    almanac: Almanac,
) -> Checks {
    let entries = || config.entries.values();
    let places = config.accounts.values();
    let max_running = places
        .filter_map(|account| Some((account.name.clone(), account.max_running?)))
        .collect();
    let is_guarded = |pipeline: &&String| {
        let mut there = entries().filter(|entry| entry.request.pipeline_id == **pipeline);
        there.all(|entry| entry.policy.overlap != Overlap::Allow)
    };
    let guarded = pipelines.iter().filter(is_guarded).cloned().collect();
    let overlaps = entries()
        .map(|entry| (entry.name.clone(), entry.policy.overlap))
        .collect();
    // Machines are some seconds apart.
    let run_timeout = run_timeout.map(|limit| TimeDelta::from_std(limit - MINUTE).unwrap());
    Checks::new(clock, max_running, guarded, overlaps, run_timeout, almanac)
}
