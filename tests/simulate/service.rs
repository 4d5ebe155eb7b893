//! The service of a world: pipelines and runs, seen by all; and the way to it from one machine.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use pipecron::codearts::{CodeArts, Start};
use pipecron::config::Account;
use pipecron::domain::sighting::{Find, Look, PipelineAt, RunStatus, SeenRun, Sighting};
use pipecron::domain::{
    AccountName, Answer, AnswerKind, EntryName, Overlap, TickId, Timestamp, after,
};
use pipecron::os::Clock;

use super::checks::Checks;
use super::dice::Dice;
use super::mistakes::Mistake;

/// How long a doubtful attempt is looked for.
pub(crate) const SETTLE: Duration = Duration::from_secs(180);
/// A run is begun and listed within this time after its request was lost: the promise ends where the service lists one
/// later than `settle`.
const SHOWN_WITHIN_SECS: u64 = 160;
/// The search looks so far back before an attempt.
const SEARCH_MARGIN: TimeDelta = TimeDelta::minutes(20);
/// Signatures are refused beyond this difference of the clocks.
const SIGNATURE_MAX: TimeDelta = TimeDelta::minutes(15);
/// A look at a pipeline is at most this old when the start that it led to arrives.
const LOOK_IS_OLD: TimeDelta = TimeDelta::minutes(8);
/// How long a run is known after its end, in a world whose service forgets.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::hours(2);

#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) number: u64,
    pub(crate) pipeline: String,
    /// The tick it was started for; none if somebody else started it.
    pub(crate) tick: Option<TickId>,
    pub(crate) marker: String,
    pub(crate) started_at: Timestamp,
    pub(crate) listed_at: Timestamp,
    pub(crate) ends_at: Timestamp,
    pub(crate) outcome: &'static str,
}

impl Run {
    pub(crate) fn is_under_way(&self, now: Timestamp) -> bool {
        self.started_at <= now && now < self.ends_at
    }

    fn seen(&self, now: Timestamp) -> SeenRun {
        let is_over = now >= self.ends_at;
        SeenRun {
            run_id: self.id.clone(),
            number: Some(self.number),
            status: Some(RunStatus(
                if is_over { self.outcome } else { "RUNNING" }.to_owned(),
            )),
            started_at: Some(self.started_at),
            ended_at: is_over.then_some(self.ends_at),
            seen_at: Some(now),
            queue_id: None,
            description: None,
            failed_stage: None,
        }
    }
}

/// What all machines see.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) seed: u64,
    pub(crate) checks: Arc<Checks>,
    pub(crate) forgets: bool,
    pub(crate) is_down: AtomicBool,
    pub(crate) runs: Mutex<Vec<Run>>,
    /// How often each was asked, so that each time is another throw.
    asked: Mutex<BTreeMap<String, u64>>,
    pub(crate) lost: Mutex<u64>,
}

impl Service {
    pub(crate) fn new(seed: u64, checks: Arc<Checks>, forgets: bool) -> Self {
        Self {
            seed,
            checks,
            forgets,
            is_down: AtomicBool::new(false),
            runs: Mutex::default(),
            asked: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// The dice for one request, whatever else is thrown.
    fn dice(&self, what: &str) -> Dice {
        let mut asked = self.asked.lock().unwrap();
        let count = asked.entry(what.to_owned()).or_default();
        *count += 1;
        let mut hash = self.seed ^ count.wrapping_mul(0x1000_0000_01b3);
        for byte in what.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Dice::of(hash)
    }

    /// Somebody else starts a run.
    pub(crate) fn start_foreign(&self, pipeline: &str, takes: Duration) {
        let now = self.checks.now();
        let mut runs = self.runs.lock().unwrap();
        let number = runs.len() as u64 + 1;
        self.checks.tell(format!(
            "somebody starts run f{number} of {pipeline} for {takes:?}"
        ));
        runs.push(Run {
            id: format!("f{number}"),
            number,
            pipeline: pipeline.to_owned(),
            tick: None,
            marker: String::new(),
            started_at: now,
            listed_at: now,
            ends_at: after(now, takes),
            outcome: "COMPLETED",
        });
    }

    /// A run begins, and with it everything that must not happen twice.
    fn begin(&self, start: &Start, tick: &TickId, late: Duration, dice: &mut Dice) -> String {
        let now = self.checks.now();
        let started_at = after(now, late);
        let left = SHOWN_WITHIN_SECS.saturating_sub(late.as_secs());
        let lag = match dice.below(3) {
            0 if self.checks.has_faults() => dice.seconds(0, left),
            _ => dice.seconds(0, 3),
        };
        let takes = match dice.below(10) {
            0 => dice.seconds(5, 60),
            1 => dice.seconds(3_600, 5_400),
            _ => dice.seconds(60, 1_800),
        };
        let mut runs = self.runs.lock().unwrap();
        let number = runs.len() as u64 + 1;
        let run = Run {
            id: format!("r{number}"),
            number,
            pipeline: start.request.pipeline_id.clone(),
            tick: Some(tick.clone()),
            marker: start.marker.clone(),
            started_at,
            listed_at: after(started_at, lag),
            ends_at: after(started_at, takes),
            outcome: dice.one_of(&["COMPLETED", "COMPLETED", "FAILED", "CANCELED"]),
        };
        self.checks.tell(format!(
            "run {} of {} begins for {tick} in {late:?}, is listed {lag:?} later, takes {takes:?}",
            run.id, run.pipeline
        ));
        if let Some(first) = runs.iter().find(|run| run.tick.as_ref() == Some(tick)) {
            self.checks
                .fail(format!("{tick} has two runs, {} and {}", first.id, run.id));
        }
        self.check_overlap(&runs, &run);
        let id = run.id.clone();
        runs.push(run);
        id
    }

    /// Whether a run may begin beside the others of its pipeline.
    fn check_overlap(&self, runs: &[Run], run: &Run) {
        let entry = run.tick.as_ref().map(|tick| tick.as_str());
        let entry = entry.and_then(|tick| tick.split('@').next());
        let Some(entry) = entry.and_then(|name| EntryName::parse(name).ok()) else {
            return;
        };
        let overlap = self
            .checks
            .overlaps
            .get(&entry)
            .copied()
            .unwrap_or_default();
        if overlap == Overlap::Allow {
            return;
        }
        let others = runs.iter().filter(|other| {
            other.pipeline == run.pipeline
                && (other.is_under_way(run.started_at) || run.is_under_way(other.started_at))
        });
        for other in others {
            let is_ours = other.tick.is_some();
            let run_timeout = self.checks.run_timeout;
            if run_timeout.is_some_and(|limit| other.started_at + limit < run.started_at) {
                continue;
            }
            let was_there = other.listed_at + LOOK_IS_OLD < run.started_at;
            if is_ours && self.checks.guarded.contains(&run.pipeline) {
                self.checks.fail(format!(
                    "{} begins beside {} of the same pipeline, both by our doing",
                    run.id, other.id
                ));
            } else if !is_ours && was_there {
                self.checks.fail(format!(
                    "{} begins beside {}, which somebody else started long before",
                    run.id, other.id
                ));
            }
        }
    }
}

/// The way to the service from one machine.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) service: Arc<Service>,
    /// The machine's own clock, which signs.
    pub(crate) clock: Clock,
    pub(crate) mistake: Option<Mistake>,
}

impl Way {
    fn now(&self) -> Timestamp {
        self.service.checks.now()
    }

    fn has_faults(&self) -> bool {
        self.service.checks.has_faults()
    }

    /// What stands between us and the service, whatever is asked.
    fn trouble(&self, dice: &mut Dice) -> Option<AnswerKind> {
        if (self.clock.now() - self.now()).abs() > SIGNATURE_MAX {
            return Some(AnswerKind::Unauthorized);
        }
        if self.service.is_down.load(Ordering::SeqCst) {
            return Some(dice.one_of(&[0, 1, 2])).map(|throw| match throw {
                0 => AnswerKind::NotSent,
                1 => AnswerKind::Doubtful,
                _ => AnswerKind::Throttled,
            });
        }
        if !self.has_faults() {
            return None;
        }
        match dice.below(100) {
            0..=1 => Some(AnswerKind::NotSent),
            2 => Some(AnswerKind::KeptHere),
            3..=4 => Some(AnswerKind::Throttled),
            5 => Some(AnswerKind::Unauthorized),
            6..=7 => Some(AnswerKind::RefusedInPassing),
            _ => None,
        }
    }

    /// A look's failure, as the client tells it.
    async fn look_fails(&self, what: &str) -> Option<Answer> {
        let mut dice = self.service.dice(what);
        tokio::time::sleep(dice.millis(20, 3_000)).await;
        let kind = match self.trouble(&mut dice)? {
            AnswerKind::Doubtful => AnswerKind::RefusedInPassing,
            kind => kind,
        };
        self.service.checks.tell(format!("{what}: {}", kind.name()));
        Some(answer(kind))
    }
}

fn answer(kind: AnswerKind) -> Answer {
    Answer {
        kind,
        status: None,
        code: None,
        message: "so the world goes".to_owned(),
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}

/// The tick in a marker: `[pipecron LEDGER TICK]`.
fn tick_of(marker: &str) -> TickId {
    let tick = marker.trim_end_matches(']').rsplit(' ').next();
    TickId::from_text(tick.unwrap_or_default())
}

impl CodeArts for Way {
    async fn start(&self, mut start: Start) -> Answer {
        let service = &self.service;
        let tick = tick_of(&start.marker);
        service.checks.leaves(&tick);
        let what = format!("start {tick}");
        let mut dice = service.dice(&what);
        if self.mistake == Some(Mistake::RetryWithANewMarker)
            && service.asked.lock().unwrap().get(&what).copied() > Some(1)
        {
            start.marker = start.marker.replace("[pipecron ", "[pipecron x");
        }
        // Some requests take minutes to arrive: names, connections, credentials, the account's rate.
        let travel = match dice.below(40) {
            0 if self.has_faults() => dice.seconds(60, 300),
            1..=3 => dice.seconds(1, 20),
            _ => dice.millis(20, 900),
        };
        // Half of that is on our side, and what has not left by then stays here.
        if travel > start.leave_within && dice.chance(500) {
            tokio::time::sleep(start.leave_within).await;
            service.checks.tell(format!("{what}: kept here"));
            return answer(AnswerKind::KeptHere);
        }
        tokio::time::sleep(travel).await;
        let throw = dice.below(100);
        if let Some(kind) = self.trouble(&mut dice) {
            let is_begun = kind == AnswerKind::Doubtful && throw < 50;
            if is_begun {
                service.begin(&start, &tick, Duration::ZERO, &mut dice);
            }
            if kind == AnswerKind::Doubtful {
                *service.lost.lock().unwrap() += 1;
            }
            tokio::time::sleep(dice.millis(20, 2_000)).await;
            service.checks.tell(format!("{what}: {}", kind.name()));
            return answer(kind);
        }
        let has_faults = self.has_faults();
        let kind = match throw {
            // Lost, and begun: at once, or a while later.
            0..=14 if has_faults => {
                let late = match dice.below(3) {
                    0 => dice.seconds(0, 90),
                    _ => Duration::ZERO,
                };
                service.begin(&start, &tick, late, &mut dice);
                AnswerKind::Doubtful
            }
            // Lost, and never begun.
            15..=24 if has_faults => AnswerKind::Doubtful,
            25..=28 if has_faults => AnswerKind::Busy,
            29 if has_faults => AnswerKind::Refused,
            _ => AnswerKind::Started {
                run_id: service.begin(&start, &tick, Duration::ZERO, &mut dice),
                queue_id: None,
            },
        };
        let back = match kind {
            AnswerKind::Doubtful if dice.chance(300) => dice.seconds(10, 60),
            _ => dice.millis(20, 2_500),
        };
        if kind == AnswerKind::Doubtful {
            *service.lost.lock().unwrap() += 1;
        }
        tokio::time::sleep(back).await;
        service.checks.tell(format!("{what}: {}", kind.name()));
        answer(kind)
    }

    async fn find(&self, find: Find) -> Sighting {
        let tick = tick_of(&find.marker);
        if let Some(answer) = self.look_fails(&format!("find {tick}")).await {
            return Sighting::Failed(answer);
        }
        let now = self.now();
        let runs = self.service.runs.lock().unwrap();
        let found = runs.iter().find(|run| {
            run.marker == find.marker
                && run.pipeline == find.at.pipeline_id
                && run.listed_at <= now
                && run.started_at >= find.since - SEARCH_MARGIN
                && find.above.is_none_or(|above| run.number > above)
        });
        found.map_or(Sighting::Absent, |run| {
            Sighting::Found(Box::new(run.seen(now)))
        })
    }

    async fn look(&self, wanted: Vec<(PipelineAt, String)>) -> Vec<Look> {
        let first = wanted.first().map_or("", |(_, id)| id);
        let failure = self.look_fails(&format!("look {first}")).await;
        let now = self.now();
        let runs = self.service.runs.lock().unwrap();
        let look = |(_, id): &(PipelineAt, String)| {
            if let Some(answer) = &failure {
                return Look::Failed(answer.clone());
            }
            let run = runs
                .iter()
                .find(|run| run.id == *id && run.listed_at <= now);
            match run {
                Some(run) if self.service.forgets && run.ends_at + FORGOTTEN_AFTER < now => {
                    Look::Vanished
                }
                Some(run) => Look::Seen(Box::new(run.seen(now))),
                None => Look::Vanished,
            }
        };
        wanted.iter().map(look).collect()
    }

    async fn under_way(&self, at: PipelineAt) -> Result<Vec<SeenRun>, Answer> {
        let what = format!("look at {}", at.pipeline_id);
        if let Some(answer) = self.look_fails(&what).await {
            return Err(answer);
        }
        if self.mistake == Some(Mistake::OverlapIgnoresTheService) {
            return Ok(Vec::new());
        }
        let now = self.now();
        let runs = self.service.runs.lock().unwrap();
        let shown = runs.iter().filter(|run| {
            run.pipeline == at.pipeline_id && run.listed_at <= now && run.is_under_way(now)
        });
        Ok(shown.map(|run| run.seen(now)).collect())
    }

    async fn stop(&self, _: PipelineAt, run_id: String, _: Option<String>) -> Result<(), Answer> {
        let what = format!("stop {run_id}");
        if let Some(answer) = self.look_fails(&what).await {
            return Err(answer);
        }
        let mut dice = self.service.dice(&what);
        // A stop is several calls, each of which waits for its turn.
        if dice.chance(200) {
            tokio::time::sleep(dice.seconds(3, 120)).await;
        }
        let now = self.now();
        let mut runs = self.service.runs.lock().unwrap();
        let run = runs.iter_mut().find(|run| run.id == run_id);
        // Now and then nothing comes of it.
        if let Some(run) = run.filter(|run| run.is_under_way(now) && dice.chance(800)) {
            let ends_at = after(now, dice.seconds(0, 30));
            run.ends_at = run.ends_at.min(ends_at);
            run.outcome = "CANCELED";
            self.service
                .checks
                .tell(format!("{what}: it ends {ends_at}"));
        }
        Ok(())
    }

    fn use_accounts(&self, _: &BTreeMap<AccountName, Arc<Account>>) {}

    /// What is on its way here has left the machine.
    fn hold_back(&self) {}
}
