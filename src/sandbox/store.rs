//! Pipelines, their runs and their queues, and what time does to them.
//!
//! Nothing here looks at a clock: `advance` is told the time and carries out what became due, in the order in which
//! it became due. All changes of a run's status go through `turn`, so the counts of runs under way, the queues and the
//! set of runs that may be dropped cannot part from the statuses.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use serde_json::Value;

use super::dice::{self, Dice};
use super::run::{Executor, Marker, Run, RunStatus};
use super::settings::{Concurrency, Exceed, PipelineSettings, Settings};
use crate::domain::{Timestamp, after};

/// The most runs that wait in the queue of a pipeline (user guide on execution plans).
pub(super) const QUEUE_MAX: usize = 100;
/// How long a run waits in the queue before it is given up (same source).
pub(super) const QUEUE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The most failed triggers that are kept for a pipeline.
const FAILED_TRIGGERS_MAX: usize = 100;

/// A start that passed all checks.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) project_id: String,
    pub(super) pipeline_id: String,
    pub(super) description: Option<String>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) sources: Value,
    pub(super) choose_jobs: Option<Vec<String>>,
    pub(super) choose_stages: Option<Vec<String>>,
    pub(super) executor: Executor,
    pub(super) wishes: Wishes,
}

/// What a fault wants of a run that is about to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wishes {
    /// It is listed only so much later.
    pub(super) listed_after: Option<Duration>,
    /// It is forgotten so much later.
    pub(super) forgotten_after: Option<Duration>,
    /// It has to wait in the queue at least so long.
    pub(super) queued_for: Option<Duration>,
    /// It comes to this.
    pub(super) ends: Option<RunStatus>,
    /// It takes so long.
    pub(super) takes: Option<Duration>,
}

/// How a start went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Started {
    /// The run is under way.
    Running { run_id: String },
    /// The run waits, for this limit.
    Queued {
        run_id: String,
        queue_id: String,
        limit: Limit,
    },
}

/// Which limit a start ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// That of the pipeline.
    Pipeline,
    /// That of the tenant.
    Tenant,
}

/// Why a start was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are enough runs under way.
    Busy(Limit),
    /// The pipeline's queue is full.
    QueueFull,
    /// The sandbox keeps no more; says what of.
    Full(String),
}

/// A start that was refused for a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedTrigger {
    pub(super) at: Timestamp,
    pub(super) executor: Executor,
    pub(super) reason: String,
}

/// A pipeline.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) settings: PipelineSettings,
    pub(super) created_at: Timestamp,
    pub(super) failed_triggers: VecDeque<FailedTrigger>,
    /// Its kept runs, oldest first.
    runs: BTreeSet<u64>,
    /// Those that wait, in the order in which they came.
    queue: BTreeSet<u64>,
    under_way: u32,
    last_number: u32,
}

/// A run with what only the store needs to know.
#[derive(Debug)]
struct Kept {
    run: Run,
    /// What it comes to, and how long that takes.
    plan: (RunStatus, Duration),
    /// How often its status changed.
    turns: u32,
    /// What is to happen to it by itself, unless its status changes first.
    ahead: Vec<(Timestamp, Event)>,
    /// It does not leave the queue before this.
    held_until: Option<Timestamp>,
    enqueued_at: Timestamp,
}

/// Something that happens to a run by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// It comes to what was planned.
    Arrive,
    /// It may leave the queue.
    Release,
    /// It has waited too long.
    GiveUp,
}

/// Pipelines, runs, queues.
#[derive(Debug)]
pub(super) struct Store {
    seed: u64,
    run_duration: (Duration, Duration),
    outcomes: Vec<(RunStatus, u32)>,
    concurrency: Concurrency,
    tenant_runs_max: Option<u32>,
    runs_kept_max: usize,
    run_bytes_max: usize,
    pipelines_max: usize,
    pipelines: BTreeMap<String, Pipeline>,
    runs: BTreeMap<u64, Kept>,
    by_id: HashMap<String, u64>,
    /// Those that are over: they may be dropped to make room.
    over: BTreeSet<u64>,
    /// What happens next: when, and to which run. The same as is noted with the runs.
    events: BTreeSet<(Timestamp, u64, Event)>,
    /// Pipelines with a queue.
    waiting: BTreeSet<String>,
    under_way: u32,
    bytes: usize,
    last_seq: u64,
}

impl Store {
    pub(super) fn new(settings: &Settings, seed: u64, now: Timestamp) -> Self {
        let pipelines = settings
            .pipelines
            .iter()
            .map(|pipeline| {
                (
                    pipeline.pipeline_id.clone(),
                    Pipeline::new(pipeline.clone(), now),
                )
            })
            .collect();
        Self {
            seed,
            run_duration: (*settings.run_duration.start(), *settings.run_duration.end()),
            outcomes: settings.outcomes.clone(),
            concurrency: settings.concurrency,
            tenant_runs_max: settings.tenant_runs_max,
            runs_kept_max: settings.runs_kept_max.max(1),
            run_bytes_max: settings.run_bytes_max,
            pipelines_max: settings.pipelines_max,
            pipelines,
            runs: BTreeMap::new(),
            by_id: HashMap::new(),
            over: BTreeSet::new(),
            events: BTreeSet::new(),
            waiting: BTreeSet::new(),
            under_way: 0,
            bytes: 0,
            last_seq: 0,
        }
    }

    /// Lets everything happen that is due by `now`.
    pub(super) fn advance(&mut self, now: Timestamp) {
        while let Some((at, seq, event)) =
            self.events.first().copied().filter(|(at, ..)| *at <= now)
        {
            self.events.pop_first();
            let planned = self
                .runs
                .get(&seq)
                .map_or(RunStatus::Completed, |kept| kept.plan.0);
            match event {
                Event::Arrive => self.turn(at, seq, planned),
                Event::GiveUp => self.turn(at, seq, RunStatus::Canceled),
                Event::Release => {}
            }
            self.drain(at);
        }
    }

    /// Starts a run, or queues it, or refuses it.
    pub(super) fn start(&mut self, now: Timestamp, order: Order) -> Result<Started, Refused> {
        let limit = self.limit_reached(&order.pipeline_id);
        let exceed = self.concurrency_of(&order.pipeline_id).exceed;
        let queue = order.wishes.queued_for.is_some() || limit.is_some();
        if let Some(limit) = limit
            && exceed == Exceed::Abort
            && order.wishes.queued_for.is_none()
        {
            self.note_failed_trigger(
                now,
                &order,
                "the number of parallel runs has reached the limit",
            );
            return Err(Refused::Busy(limit));
        }
        if queue
            && self
                .pipelines
                .get(&order.pipeline_id)
                .is_some_and(|it| it.queue.len() >= QUEUE_MAX)
        {
            self.note_failed_trigger(now, &order, "the queue is full");
            return Err(Refused::QueueFull);
        }
        self.make_pipeline(now, &order)?;
        let seq = self.keep(now, order)?;
        self.turn(
            now,
            seq,
            if queue {
                RunStatus::Queued
            } else {
                RunStatus::Running
            },
        );
        let Some(kept) = self.runs.get(&seq) else {
            return Err(Refused::Full("the run was lost".to_owned()));
        };
        let run_id = kept.run.id.clone();
        Ok(match &kept.run.queue_id {
            Some(queue_id) if queue => Started::Queued {
                run_id,
                queue_id: queue_id.clone(),
                limit: limit.unwrap_or(Limit::Pipeline),
            },
            Some(_) | None => Started::Running { run_id },
        })
    }

    /// Runs a run again that did not end well. None: there is no such run. `Ok(None)`: it is not one to run again.
    pub(super) fn retry(
        &mut self,
        now: Timestamp,
        run_id: &str,
    ) -> Option<Result<Option<Started>, Refused>> {
        let seq = *self.by_id.get(run_id)?;
        let kept = self.runs.get_mut(&seq)?;
        if !matches!(kept.run.status, RunStatus::Failed | RunStatus::Canceled) {
            return Some(Ok(None));
        }
        let pipeline_id = kept.run.pipeline_id.clone();
        let again = Dice::new(
            self.seed,
            "retry",
            seq.wrapping_mul(1_000).wrapping_add(kept.turns.into()),
        );
        kept.plan = draw(again, &self.outcomes, self.run_duration);
        let limit = self.limit_reached(&pipeline_id);
        let (status, limit) = match limit {
            None => (RunStatus::Running, Limit::Pipeline),
            Some(limit) => match self.concurrency_of(&pipeline_id).exceed {
                Exceed::Abort => return Some(Err(Refused::Busy(limit))),
                Exceed::Queue => (RunStatus::Queued, limit),
            },
        };
        if status == RunStatus::Queued
            && self
                .pipelines
                .get(&pipeline_id)
                .is_some_and(|it| it.queue.len() >= QUEUE_MAX)
        {
            return Some(Err(Refused::QueueFull));
        }
        self.turn(now, seq, status);
        let run = self.run(run_id)?;
        let run_id = run.id.clone();
        Some(Ok(Some(match &run.queue_id {
            Some(queue_id) if status == RunStatus::Queued => Started::Queued {
                run_id,
                queue_id: queue_id.clone(),
                limit,
            },
            Some(_) | None => Started::Running { run_id },
        })))
    }

    /// Gives a run this status, whatever it had; false if there is no such run.
    pub(super) fn force(&mut self, now: Timestamp, run_id: &str, status: RunStatus) -> bool {
        let Some(seq) = self.by_id.get(run_id).copied() else {
            return false;
        };
        self.turn(now, seq, status);
        self.drain(now);
        true
    }

    /// Makes the service forget a run; false if there is no such run.
    pub(super) fn forget(&mut self, now: Timestamp, run_id: &str) -> bool {
        let kept = self
            .by_id
            .get(run_id)
            .copied()
            .and_then(|seq| self.runs.get_mut(&seq));
        kept.map(|kept| kept.run.forgotten_from = Some(now))
            .is_some()
    }

    /// A run by its id.
    pub(super) fn run(&self, run_id: &str) -> Option<&Run> {
        self.by_id
            .get(run_id)
            .and_then(|seq| self.runs.get(seq))
            .map(|kept| &kept.run)
    }

    /// All runs that are kept, oldest first.
    pub(super) fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values().map(|kept| &kept.run)
    }

    /// How many runs are kept.
    pub(super) fn count(&self) -> usize {
        self.runs.len()
    }

    /// The runs of a pipeline, oldest first.
    pub(super) fn runs_of(&self, pipeline_id: &str) -> impl DoubleEndedIterator<Item = &Run> {
        self.pipelines
            .get(pipeline_id)
            .into_iter()
            .flat_map(|pipeline| pipeline.runs.iter())
            .filter_map(|seq| self.runs.get(seq))
            .map(|kept| &kept.run)
    }

    /// Those of a pipeline's runs that wait, in their order, with the time since when.
    pub(super) fn queue_of(&self, pipeline_id: &str) -> impl Iterator<Item = (&Run, Timestamp)> {
        self.pipelines
            .get(pipeline_id)
            .into_iter()
            .flat_map(|pipeline| pipeline.queue.iter())
            .filter_map(|seq| self.runs.get(seq))
            .map(|kept| (&kept.run, kept.enqueued_at))
    }

    /// A pipeline by its id.
    pub(super) fn pipeline(&self, pipeline_id: &str) -> Option<&Pipeline> {
        self.pipelines.get(pipeline_id)
    }

    /// All pipelines by id.
    pub(super) fn pipelines(&self) -> impl Iterator<Item = &Pipeline> {
        self.pipelines.values()
    }

    /// The limit that holds for a pipeline.
    pub(super) fn concurrency_of(&self, pipeline_id: &str) -> Concurrency {
        self.pipelines
            .get(pipeline_id)
            .and_then(|pipeline| pipeline.settings.concurrency)
            .unwrap_or(self.concurrency)
    }

    fn limit_reached(&self, pipeline_id: &str) -> Option<Limit> {
        let under_way = self
            .pipelines
            .get(pipeline_id)
            .map_or(0, |pipeline| pipeline.under_way);
        if self
            .concurrency_of(pipeline_id)
            .runs_max
            .is_some_and(|max| under_way >= max)
        {
            Some(Limit::Pipeline)
        } else if self
            .tenant_runs_max
            .is_some_and(|max| self.under_way >= max)
        {
            Some(Limit::Tenant)
        } else {
            None
        }
    }

    fn note_failed_trigger(&mut self, now: Timestamp, order: &Order, reason: &str) {
        if let Some(pipeline) = self.pipelines.get_mut(&order.pipeline_id) {
            pipeline.failed_triggers.push_back(FailedTrigger {
                at: now,
                executor: order.executor.clone(),
                reason: reason.to_owned(),
            });
            if pipeline.failed_triggers.len() > FAILED_TRIGGERS_MAX {
                pipeline.failed_triggers.pop_front();
            }
        }
    }

    fn make_pipeline(&mut self, now: Timestamp, order: &Order) -> Result<(), Refused> {
        if self.pipelines.contains_key(&order.pipeline_id) {
            return Ok(());
        }
        if self.pipelines.len() >= self.pipelines_max {
            return Err(Refused::Full(format!("{} pipelines", self.pipelines.len())));
        }
        let settings = PipelineSettings::new(&order.project_id, &order.pipeline_id);
        self.pipelines
            .insert(order.pipeline_id.clone(), Pipeline::new(settings, now));
        Ok(())
    }

    /// Stores a new run, still without a status that counts.
    fn keep(&mut self, now: Timestamp, order: Order) -> Result<u64, Refused> {
        let seq = self.last_seq + 1;
        let number = self
            .pipelines
            .get(&order.pipeline_id)
            .map_or(0, |pipeline| pipeline.last_number)
            + 1;
        let mut plan = draw(
            Dice::new(self.seed, "outcome", seq),
            &self.outcomes,
            self.run_duration,
        );
        plan.0 = order.wishes.ends.unwrap_or(plan.0);
        plan.1 = order.wishes.takes.unwrap_or(plan.1);
        let held_until = order.wishes.queued_for.map(|wait| after(now, wait));
        let run = Run {
            id: dice::id(self.seed, "run", seq),
            marker: order.description.as_deref().and_then(Marker::find),
            project_id: order.project_id,
            pipeline_id: order.pipeline_id,
            run_number: number,
            status: RunStatus::Ignored,
            description: order.description,
            variables: order.variables,
            sources: order.sources,
            choose_jobs: order.choose_jobs,
            choose_stages: order.choose_stages,
            executor: order.executor,
            accepted_at: now,
            started_at: None,
            paused_at: None,
            ended_at: None,
            queue_id: None,
            listed_from: after(now, order.wishes.listed_after.unwrap_or_default()),
            forgotten_from: order.wishes.forgotten_after.map(|wait| after(now, wait)),
        };
        self.make_room(run.bytes())?;
        self.last_seq = seq;
        self.bytes += run.bytes();
        self.by_id.insert(run.id.clone(), seq);
        if let Some(pipeline) = self.pipelines.get_mut(&run.pipeline_id) {
            pipeline.last_number = number;
            pipeline.runs.insert(seq);
        }
        self.runs.insert(
            seq,
            Kept {
                run,
                plan,
                turns: 0,
                ahead: Vec::new(),
                held_until,
                enqueued_at: now,
            },
        );
        Ok(seq)
    }

    /// Drops the oldest runs that are over until there is room for one more of this size.
    fn make_room(&mut self, bytes: usize) -> Result<(), Refused> {
        while self.runs.len() >= self.runs_kept_max
            || self.bytes.saturating_add(bytes) > self.run_bytes_max
        {
            let Some(kept) = self.over.pop_first().and_then(|seq| self.runs.remove(&seq)) else {
                return Err(Refused::Full(format!(
                    "{} runs that are not over",
                    self.runs.len()
                )));
            };
            self.bytes = self.bytes.saturating_sub(kept.run.bytes());
            let seq = self.by_id.remove(&kept.run.id);
            if let (Some(seq), Some(pipeline)) =
                (seq, self.pipelines.get_mut(&kept.run.pipeline_id))
            {
                pipeline.runs.remove(&seq);
            }
        }
        Ok(())
    }

    /// Gives a run a status, and everything that hangs on it.
    fn turn(&mut self, now: Timestamp, seq: u64, to: RunStatus) {
        let Some(kept) = self.runs.get_mut(&seq) else {
            return;
        };
        let Some(pipeline) = self.pipelines.get_mut(&kept.run.pipeline_id) else {
            return;
        };
        let from = std::mem::replace(&mut kept.run.status, to);
        kept.turns = kept.turns.wrapping_add(1);
        for (at, event) in kept.ahead.drain(..) {
            self.events.remove(&(at, seq, event));
        }
        if from.is_under_way() {
            pipeline.under_way = pipeline.under_way.saturating_sub(1);
            self.under_way = self.under_way.saturating_sub(1);
        }
        if to.is_under_way() {
            pipeline.under_way += 1;
            self.under_way += 1;
            kept.run.started_at.get_or_insert(now);
        }
        pipeline.queue.remove(&seq);
        self.over.remove(&seq);
        kept.run.ended_at = to.is_over().then_some(now);
        kept.run.paused_at = matches!(to, RunStatus::Paused | RunStatus::Suspend).then_some(now);
        match to {
            RunStatus::Running => {
                kept.ahead.push((after(now, kept.plan.1), Event::Arrive));
            }
            RunStatus::Queued => {
                kept.enqueued_at = now;
                kept.run.queue_id = Some(dice::id(
                    self.seed,
                    "queue",
                    (seq << 16) | u64::from(kept.turns & 0xffff),
                ));
                kept.ahead.push((after(now, QUEUE_LIFE), Event::GiveUp));
                if let Some(until) = kept.held_until {
                    kept.ahead.push((until, Event::Release));
                }
                pipeline.queue.insert(seq);
            }
            RunStatus::Completed | RunStatus::Failed | RunStatus::Canceled | RunStatus::Ignored => {
                self.over.insert(seq);
            }
            RunStatus::Paused | RunStatus::Suspend => {}
        }
        self.events
            .extend(kept.ahead.iter().map(|(at, event)| (*at, seq, *event)));
        if pipeline.queue.is_empty() {
            self.waiting.remove(&kept.run.pipeline_id);
        } else {
            self.waiting.insert(kept.run.pipeline_id.clone());
        }
    }

    /// Starts what waits and may go, the longest waiting first.
    fn drain(&mut self, now: Timestamp) {
        loop {
            let free = |pipeline: &&String| self.limit_reached(pipeline).is_none();
            let first = |pipeline: &String| {
                let queue = self
                    .pipelines
                    .get(pipeline)
                    .into_iter()
                    .flat_map(|it| it.queue.iter());
                queue.copied().find(|seq| {
                    self.runs
                        .get(seq)
                        .is_some_and(|kept| kept.held_until.is_none_or(|until| until <= now))
                })
            };
            let Some(seq) = self.waiting.iter().filter(free).filter_map(first).min() else {
                return;
            };
            self.turn(now, seq, RunStatus::Running);
        }
    }
}

impl Pipeline {
    fn new(settings: PipelineSettings, created_at: Timestamp) -> Self {
        Self {
            settings,
            created_at,
            failed_triggers: VecDeque::new(),
            runs: BTreeSet::new(),
            queue: BTreeSet::new(),
            under_way: 0,
            last_number: 0,
        }
    }
}

/// What a run comes to, and how long that takes.
fn draw(
    mut dice: Dice,
    outcomes: &[(RunStatus, u32)],
    (shortest, longest): (Duration, Duration),
) -> (RunStatus, Duration) {
    let total: u64 = outcomes.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut left = dice.below(total);
    let status = outcomes.iter().find(|(_, weight)| {
        let hit = left < u64::from(*weight);
        left = left.saturating_sub(u64::from(*weight));
        hit
    });
    let span = u64::try_from(longest.saturating_sub(shortest).as_millis()).unwrap_or(u64::MAX);
    let extra = Duration::from_millis(dice.below(span.saturating_add(1)));
    (
        status.map_or(RunStatus::Completed, |(status, _)| *status),
        shortest.saturating_add(extra),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::gate::executor;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(secs: u64) -> Timestamp {
        after(START, Duration::from_secs(secs))
    }

    fn order(pipeline: &str) -> Order {
        Order {
            project_id: "project".to_owned(),
            pipeline_id: pipeline.to_owned(),
            description: None,
            variables: Vec::new(),
            sources: Value::Null,
            choose_jobs: None,
            choose_stages: None,
            executor: executor("somebody"),
            wishes: Wishes::default(),
        }
    }

    fn store(change: impl FnOnce(&mut Settings)) -> Store {
        let mut settings = Settings::default();
        change(&mut settings);
        Store::new(&settings, 1, START)
    }

    fn limited(runs_max: u32, exceed: Exceed) -> impl FnOnce(&mut Settings) {
        move |settings| {
            settings.concurrency = Concurrency {
                runs_max: Some(runs_max),
                exceed,
            };
        }
    }

    fn statuses(store: &Store) -> String {
        store
            .runs()
            .map(|run| run.status.name().chars().take(1).collect::<String>())
            .collect()
    }

    #[test]
    fn runs_proceed_and_end_as_time_passes() {
        let mut store = store(|_| {});
        store.start(START, order("a")).unwrap();
        store.advance(at(19));
        assert_eq!(statuses(&store), "R");
        store.advance(at(20));
        let run = store.runs().next().unwrap();
        assert_eq!(
            (run.status, run.ended_at, run.run_number),
            (RunStatus::Completed, Some(at(20)), 1)
        );
    }

    #[test]
    fn above_the_limit_a_start_is_refused_and_noted() {
        let mut store = store(limited(2, Exceed::Abort));
        for _ in 0..2 {
            assert!(store.start(START, order("a")).is_ok());
        }
        assert_eq!(
            store.start(START, order("a")),
            Err(Refused::Busy(Limit::Pipeline))
        );
        assert!(
            store.start(START, order("b")).is_ok(),
            "another pipeline has its own limit"
        );
        assert_eq!(store.pipeline("a").unwrap().failed_triggers.len(), 1);
        store.advance(at(20));
        assert!(store.start(at(20), order("a")).is_ok());
    }

    #[test]
    fn a_queue_drains_in_its_order_as_runs_end() {
        let mut store = store(limited(1, Exceed::Queue));
        for _ in 0..3 {
            store.start(START, order("a")).unwrap();
        }
        assert_eq!(statuses(&store), "RQQ");
        store.advance(at(20));
        assert_eq!(statuses(&store), "CRQ");
        // One long step is the same as many short ones: each begins when the one before it ends.
        store.advance(at(1_000));
        assert_eq!(statuses(&store), "CCC");
        let begins: Vec<_> = store.runs().map(|run| run.started_at.unwrap()).collect();
        assert_eq!(begins, [START, at(20), at(40)]);
    }

    #[test]
    fn a_queue_has_an_end_and_a_wait_too() {
        let mut store = store(limited(1, Exceed::Queue));
        store
            .start(
                START,
                Order {
                    wishes: Wishes {
                        ends: Some(RunStatus::Paused),
                        ..Wishes::default()
                    },
                    ..order("a")
                },
            )
            .unwrap();
        for _ in 0..QUEUE_MAX {
            assert!(store.start(START, order("a")).is_ok());
        }
        assert_eq!(store.start(START, order("a")), Err(Refused::QueueFull));
        store.advance(after(START, QUEUE_LIFE));
        assert_eq!(statuses(&store), format!("P{}", "C".repeat(QUEUE_MAX)));
        assert!(
            store
                .runs()
                .skip(1)
                .all(|run| run.status == RunStatus::Canceled && run.started_at.is_none())
        );
    }

    #[test]
    fn the_tenant_has_a_limit_of_its_own() {
        let mut store = store(|settings| {
            limited(5, Exceed::Queue)(settings);
            settings.tenant_runs_max = Some(2);
        });
        store.start(START, order("a")).unwrap();
        store.start(START, order("b")).unwrap();
        let third = store.start(START, order("c")).unwrap();
        assert!(matches!(
            third,
            Started::Queued {
                limit: Limit::Tenant,
                ..
            }
        ));
        store.advance(at(20));
        assert_eq!(statuses(&store), "CCR");
    }

    #[test]
    fn a_run_can_be_made_to_wait_whatever_the_limit() {
        let mut store = store(|_| {});
        let wishes = Wishes {
            queued_for: Some(Duration::from_secs(60)),
            ..Wishes::default()
        };
        let started = store
            .start(
                START,
                Order {
                    wishes,
                    ..order("a")
                },
            )
            .unwrap();
        assert!(matches!(
            started,
            Started::Queued {
                limit: Limit::Pipeline,
                ..
            }
        ));
        store.start(START, order("a")).unwrap();
        store.advance(at(59));
        assert_eq!(statuses(&store), "QC");
        store.advance(at(60));
        assert_eq!(statuses(&store), "RC");
    }

    #[test]
    fn the_oldest_runs_that_are_over_make_room() {
        let mut store = store(|settings| settings.runs_kept_max = 3);
        for second in 0..10 {
            store.advance(at(second * 30));
            store.start(at(second * 30), order("a")).unwrap();
        }
        assert_eq!(store.count(), 3);
        let numbers: Vec<u32> = store.runs_of("a").map(|run| run.run_number).collect();
        assert_eq!(numbers, [8, 9, 10], "numbers go on");
        assert_eq!(store.by_id.len(), 3);
    }

    #[test]
    fn what_is_not_over_is_never_dropped() {
        let mut store = store(|settings| settings.runs_kept_max = 2);
        store.start(START, order("a")).unwrap();
        store.start(START, order("a")).unwrap();
        assert!(matches!(
            store.start(START, order("a")),
            Err(Refused::Full(_))
        ));
        let mut store = self::store(|settings| settings.run_bytes_max = 10_000);
        let big = || Order {
            description: Some("x".repeat(1_000)),
            ..order("a")
        };
        let kept = (0..10)
            .filter(|_| store.start(START, big()).is_ok())
            .count();
        assert_eq!(kept, 3, "bytes count as well");
        let mut store = self::store(|settings| settings.pipelines_max = 1);
        assert!(store.start(START, order("a")).is_ok());
        assert!(matches!(
            store.start(START, order("b")),
            Err(Refused::Full(_))
        ));
    }

    #[test]
    fn outcomes_follow_their_weights_and_the_seed() {
        let outcomes = |seed| {
            let settings = Settings {
                outcomes: vec![
                    (RunStatus::Completed, 3),
                    (RunStatus::Failed, 1),
                    (RunStatus::Ignored, 0),
                ],
                concurrency: Concurrency {
                    runs_max: None,
                    exceed: Exceed::Abort,
                },
                run_duration: Duration::from_secs(1)..=Duration::from_secs(9),
                ..Settings::default()
            };
            let mut store = Store::new(&settings, seed, START);
            for _ in 0..400 {
                store.start(START, order("a")).unwrap();
            }
            store.advance(at(9));
            statuses(&store)
        };
        let first = outcomes(1);
        let failed = first.matches('F').count();
        assert!((60..140).contains(&failed), "{failed}");
        assert!(!first.contains('R') && !first.contains('I'));
        assert_eq!(first, outcomes(1));
        assert_ne!(first, outcomes(2));
    }

    #[test]
    fn a_failed_run_is_run_again_under_the_same_id() {
        let mut store = store(limited(1, Exceed::Abort));
        let wishes = Wishes {
            ends: Some(RunStatus::Failed),
            ..Wishes::default()
        };
        let Started::Running { run_id } = store
            .start(
                START,
                Order {
                    wishes,
                    ..order("a")
                },
            )
            .unwrap()
        else {
            panic!("queued");
        };
        assert_eq!(
            store.retry(START, &run_id),
            Some(Ok(None)),
            "it is under way"
        );
        store.advance(at(20));
        store.start(at(20), order("a")).unwrap();
        assert_eq!(
            store.retry(at(20), &run_id),
            Some(Err(Refused::Busy(Limit::Pipeline)))
        );
        store.advance(at(40));
        assert!(matches!(
            store.retry(at(40), &run_id),
            Some(Ok(Some(Started::Running { .. })))
        ));
        store.advance(at(60));
        assert_eq!(store.count(), 2);
        assert_eq!(store.run(&run_id).unwrap().ended_at, Some(at(60)));
        assert_eq!(store.retry(at(60), "nobody"), None);
    }

    /// Whatever is done in whatever order, the counts say what the statuses say.
    #[test]
    fn counts_and_statuses_never_part() {
        for seed in 0..50 {
            let mut dice = Dice::new(seed, "store test", 0);
            let mut store = store(|settings| {
                let exceed = if seed % 2 == 0 {
                    Exceed::Queue
                } else {
                    Exceed::Abort
                };
                limited(3, exceed)(settings);
                settings.tenant_runs_max = (seed % 3 == 0).then_some(5);
                settings.runs_kept_max = 40;
                settings.outcomes = vec![
                    (RunStatus::Completed, 4),
                    (RunStatus::Failed, 2),
                    (RunStatus::Paused, 1),
                ];
            });
            let mut now = 0;
            for _ in 0..400 {
                now += dice.below(8);
                store.advance(at(now));
                let ids: Vec<String> = store.runs().map(|run| run.id.clone()).collect();
                let any = usize::try_from(dice.below(ids.len().max(1) as u64)).unwrap();
                match (dice.below(6), ids.get(any)) {
                    (0, Some(id)) => {
                        let to = RunStatus::ALL[usize::try_from(dice.below(8)).unwrap()];
                        store.force(at(now), id, to);
                    }
                    (1, Some(id)) => {
                        let _ = store.retry(at(now), id);
                    }
                    _ => {
                        let pipeline = ["a", "b", "c"][usize::try_from(dice.below(3)).unwrap()];
                        let _ = store.start(at(now), order(pipeline));
                    }
                }
                check(&store);
            }
        }
    }

    fn check(store: &Store) {
        let count = |wanted: &dyn Fn(&Run) -> bool| store.runs().filter(|run| wanted(run)).count();
        assert_eq!(
            store.under_way as usize,
            count(&|run| run.status.is_under_way())
        );
        assert_eq!(store.over.len(), count(&|run| run.status.is_over()));
        assert_eq!(store.bytes, store.runs().map(Run::bytes).sum::<usize>());
        assert_eq!(store.by_id.len(), store.count());
        assert_eq!(
            store.events.len(),
            store
                .runs
                .values()
                .map(|kept| kept.ahead.len())
                .sum::<usize>()
        );
        assert!(store.count() <= 40);
        for (id, pipeline) in &store.pipelines {
            assert_eq!(
                pipeline.under_way as usize,
                count(&|run| run.pipeline_id == *id && run.status.is_under_way())
            );
            assert_eq!(
                pipeline.queue.len(),
                count(&|run| run.pipeline_id == *id && run.status == RunStatus::Queued)
            );
            assert_eq!(pipeline.runs.len(), count(&|run| run.pipeline_id == *id));
            assert_eq!(store.waiting.contains(id), !pipeline.queue.is_empty());
        }
    }
}
