//! Requests: sent by a stored plan alone.

use std::future::Future;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use super::answers::{Came, not_sent};
use super::{Daemon, report};
use crate::codearts::{CodeArts, Start};
use crate::domain::pace::Admit;
use crate::domain::plan::{self, Survey};
use crate::domain::sighting::{Find, Sighting};
use crate::domain::{
    AccountName, Ask, Change, EntryName, Origin, OtherRun, PipelineAt, Plan, Tick, TickId,
    TickState, Timestamp,
};
use crate::ledger::Ledger;

/// How long looks wait while an account is being probed.
const LOOK_AFTER_PROBE: TimeDelta = TimeDelta::seconds(5);
/// How long what a pipeline was seen to do is good for a decision.
pub(super) const SURVEY_HOLDS: Duration = Duration::from_secs(30);
/// A start that was decided right before its deadline has so long to leave.
const LEAVE_WITHIN_MIN: Duration = Duration::from_secs(1);
/// A start that does not leave this soon after it was decided does not leave at all.
const SEND_WITHIN: TimeDelta = TimeDelta::minutes(2);

/// A request whose answer is awaited.
#[derive(Debug, Clone)]
pub(super) enum UnderWay {
    /// An attempt; its number is the tick's `attempts`.
    Start(Tick),
    /// A look for a run, and when it was sent.
    Find(Tick, Timestamp),
    /// A look at what a pipeline has under way, for this tick.
    Survey(Tick, Timestamp),
    /// Runs are being stopped, for this tick, which looks at its pipeline again then.
    Stop(Tick, Timestamp, Option<Timestamp>),
    /// A look that is not yet to be made.
    Rest(Tick, Option<u64>),
    /// A look whether the service works.
    Probe(AccountName, Timestamp),
    /// A round of looks at an account's runs.
    Look(AccountName, Vec<Tick>, Timestamp),
}

impl UnderWay {
    /// Whether it is asked of the service, as opposed to waiting for its time.
    pub(super) fn is_asked(&self) -> bool {
        !matches!(self, Self::Rest(..))
    }

    pub(super) fn is_start(&self) -> bool {
        matches!(self, Self::Start(_))
    }

    /// The tick that is not to be decided about until this has come back.
    pub(super) fn tick(&self) -> Option<&Tick> {
        match self {
            Self::Start(tick)
            | Self::Find(tick, _)
            | Self::Survey(tick, _)
            | Self::Stop(tick, ..)
            | Self::Rest(tick, _) => Some(tick),
            Self::Probe(..) | Self::Look(..) => None,
        }
    }
}

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// Does what a stored plan asks for. The only place where requests are sent from.
    pub(super) fn carry_out(&mut self, name: &EntryName, plan: Plan) {
        report::plan(&plan);
        self.count_plan(&plan);
        if !plan.changes.is_empty() {
            self.bell.notify_one();
        }
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
        let now = self.now();
        for change in &plan.changes {
            self.take_note(now, &change.tick);
        }
        self.note_doubts(&plan);
        if let Some(at) = plan.wants_pipeline {
            self.held
                .entry(pipeline(&at))
                .or_default()
                .insert(name.clone());
        }
        for turn in plan.in_turn {
            self.turns.add(turn);
        }
        for tick in plan.running {
            if let Some(run) = &tick.run {
                let at = plan::look_again(now, run);
                self.follows.add(now, tick, at);
            }
        }
        for ask in plan.asks {
            match ask {
                Ask::Start(tick) => self.start(*tick),
                Ask::Find { tick, above } => self.find(*tick, above),
                Ask::Survey(tick) => self.survey(*tick),
                Ask::Stop { tick, runs } => self.stop_runs(*tick, runs, plan.wake_at),
                Ask::Probe(at) => self.probe(at),
            }
        }
    }

    /// Remembers since when each look is waited for, by a clock that cannot be set.
    pub(super) fn note_doubts(&mut self, plan: &Plan) {
        let is_looked_for = |id: &TickId| {
            let mut asks = plan.asks.iter();
            asks.any(|ask| matches!(ask, Ask::Find { tick, .. } if tick.id == *id))
        };
        for Change { tick, .. } in &plan.changes {
            match (tick.state, tick.doubt) {
                (TickState::Doubtful { .. }, Some(_)) if is_looked_for(&tick.id) => {}
                (TickState::Doubtful { .. }, Some(doubt)) if !doubt.precaution => {
                    let until = Instant::now() + doubt.wait(tick.policy.settle);
                    self.look_no_earlier.insert(tick.id.clone(), until);
                }
                _ => {
                    self.look_no_earlier.remove(&tick.id);
                }
            }
        }
    }

    /// What a change of this tick means for those that wait: for its place, or for its pipeline.
    fn take_note(&mut self, now: Timestamp, tick: &Tick) {
        if !matches!(tick.state, TickState::Waiting { .. }) {
            self.turns.remove(&tick.id);
        }
        if !tick.holds_place() {
            self.turns.stir(&tick.account);
        }
        if tick.is_live() {
            self.follows.learn(tick);
            return;
        }
        self.follows.remove(&tick.id);
        // One that waits and was never sent had nothing under way either.
        if tick.attempts == 0 && !tick.state.is_ended() {
            return;
        }
        for entry in self
            .held
            .remove(&pipeline(&tick.pipeline_at()))
            .into_iter()
            .flatten()
        {
            self.alarms.bring_forward(&entry, now);
        }
    }

    /// Asks the service for something that starts nothing.
    fn ask<F>(
        &mut self,
        account: &AccountName,
        under_way: impl FnOnce(Timestamp) -> UnderWay,
        asked: F,
    ) where
        F: Future<Output = Came> + Send + 'static,
    {
        let at = self.now();
        if let Some(pace) = self.paces.get_mut(account) {
            pace.sent(at);
        }
        let task = self.requests.spawn(asked);
        self.under_way.insert(task.id(), under_way(at));
    }

    fn start(&mut self, tick: Tick) {
        let TickState::Sent { at } = tick.state else {
            return;
        };
        if let Some(pace) = self.paces.get_mut(&tick.account) {
            pace.sent(at);
        }
        if tick.attempts == 1 && tick.origin == Origin::Scheduled {
            self.count_start(&tick.entry);
        }
        let start = Start {
            account: tick.account.clone(),
            request: tick.request.clone(),
            marker: tick.marker(self.parts.ledger.id()),
            leave_within: leave_within(at, &tick),
        };
        let left = self.count_leave(&tick);
        let service = self.parts.service.clone();
        let within = TimeDelta::from_std(start.leave_within).unwrap_or(SEND_WITHIN);
        let told = self.told.clone();
        let task = self.requests.spawn(async move {
            // The machine slept, or we were stopped, right here: what was decided then may hold no more, and somebody
            // else may have gone on with it.
            if (told.now() - at).abs() > within {
                return Came::Answer(not_sent("it was decided too long ago; the machine slept"));
            }
            Came::Answer(service.start_and_tell(start, left).await)
        });
        self.under_way.insert(task.id(), UnderWay::Start(tick));
    }

    fn count_start(&mut self, name: &EntryName) {
        let entry = self.parts.config.entries.get(name);
        if let Some(schedule) = entry.and_then(|entry| entry.schedule.as_ref()) {
            let (hour, fingerprint) = (self.hour(), schedule.fingerprint());
            let fuse = self.fuses.entry(name.clone()).or_default();
            fuse.count(hour, &fingerprint);
        }
    }

    fn find(&mut self, tick: Tick, above: Option<u64>) {
        // The looks span the time in which a run may be listed late. A clock that was set ahead must not shorten it.
        if let Some(until) = self.look_no_earlier.get(&tick.id).copied()
            && Instant::now() < until
        {
            return self.rest(tick, above, until);
        }
        self.look_no_earlier.remove(&tick.id);
        let since = tick.doubt.map_or(tick.due, |doubt| doubt.since);
        let find = self.find_of(&tick, since, above);
        let service = self.parts.service.clone();
        let account = tick.account.clone();
        let asked = async move { Came::Sighting(service.find(find).await) };
        self.ask(&account, |at| UnderWay::Find(tick, at), asked);
    }

    /// A look that was decided is made then.
    fn rest(&mut self, tick: Tick, above: Option<u64>, until: Instant) {
        let task = self.requests.spawn(async move {
            tokio::time::sleep_until(until).await;
            Came::Rested
        });
        self.under_way
            .insert(task.id(), UnderWay::Rest(tick, above));
    }

    /// The time of a look has come; the account may stand otherwise than when it was decided.
    pub(super) fn look_at_last(&mut self, now: Timestamp, tick: Tick, above: Option<u64>) {
        let pace = self.paces.get(&tick.account);
        let wait = match pace.map_or(Admit::Go, |pace| pace.admit(now)) {
            Admit::Go | Admit::LookFirst => return self.find(tick, above),
            Admit::RestUntil(until) => until - now,
            Admit::AfterAnswer => LOOK_AFTER_PROBE,
        };
        self.rest(
            tick,
            above,
            Instant::now() + wait.to_std().unwrap_or_default(),
        );
    }

    fn find_of(&self, tick: &Tick, since: Timestamp, above: Option<u64>) -> Find {
        Find {
            at: tick.pipeline_at(),
            marker: tick.marker(self.parts.ledger.id()),
            // If the clock was ahead when the attempt left, its run began before that instant comes again.
            since: since.min(self.now()),
            above,
        }
    }

    fn survey(&mut self, tick: Tick) {
        self.turns.reserve(&tick);
        // An attempt that was thought lost may show only now: its run must not be taken for somebody else's.
        let own = (tick.attempts > 0).then(|| self.find_of(&tick, tick.due, None));
        let service = self.parts.service.clone();
        let (account, at) = (tick.account.clone(), tick.pipeline_at());
        let asked = async move {
            if let Some(find) = own {
                match service.find(find).await {
                    Sighting::Found(run) => return Came::Survey(Survey::Own(run)),
                    Sighting::Failed(answer) => return Came::Survey(Survey::Failed(answer)),
                    Sighting::Absent | Sighting::Unexplained(_) => {}
                }
            }
            Came::Survey(match service.under_way(at).await {
                Ok(runs) => Survey::UnderWay(runs),
                Err(answer) => Survey::Failed(answer),
            })
        };
        self.ask(&account, |at| UnderWay::Survey(tick, at), asked);
    }

    fn stop_runs(&mut self, tick: Tick, runs: Vec<OtherRun>, again: Option<Timestamp>) {
        let service = self.parts.service.clone();
        let (account, at) = (tick.account.clone(), tick.pipeline_at());
        let asked = async move {
            let mut stopped = Vec::with_capacity(runs.len());
            for run in runs {
                let asked = service.stop(at.clone(), run.id.clone(), run.queue_id).await;
                stopped.push((run.id, asked));
            }
            Came::Stopped(stopped)
        };
        self.ask(&account, |at| UnderWay::Stop(tick, at, again), asked);
    }

    fn probe(&mut self, at: PipelineAt) {
        let service = self.parts.service.clone();
        let account = at.account.clone();
        let asked = async move { Came::Probe(service.under_way(at).await.map(|_| ())) };
        let probed = account.clone();
        self.ask(&account, |at| UnderWay::Probe(probed, at), asked);
    }

    /// Looks at the followed runs whose time has come, a round an account.
    pub(super) fn look_at_runs(&mut self) {
        // What is seen could not be written down, and would be seen again and again.
        if self.in_trouble() {
            return;
        }
        let now = self.now();
        for (account, ticks) in self.follows.take_due(now) {
            let rests = match self
                .paces
                .get(&account)
                .map_or(Admit::Go, |pace| pace.admit(now))
            {
                Admit::Go | Admit::LookFirst => None,
                Admit::RestUntil(until) => Some(until),
                Admit::AfterAnswer => Some(now + LOOK_AFTER_PROBE),
            };
            if let Some(until) = rests {
                self.follows.round_is_over(&account);
                for tick in ticks {
                    self.follows.set(&tick.id, until);
                }
                continue;
            }
            let runs = ticks
                .iter()
                .filter_map(|tick| Some((tick.pipeline_at(), tick.run.as_ref()?.id.clone())))
                .collect();
            let service = self.parts.service.clone();
            let asked = async move { Came::Looks(service.look(runs).await) };
            let looked_at = account.clone();
            self.ask(&account, |at| UnderWay::Look(looked_at, ticks, at), asked);
        }
    }
}

/// How long after its decision the attempt of a tick may leave: not when its pipeline was looked at long ago, and not
/// after its deadline.
fn leave_within(decided_at: Timestamp, tick: &Tick) -> Duration {
    let longest = match tick.policy.overlap.looks_first() {
        true => SURVEY_HOLDS,
        false => SEND_WITHIN.to_std().unwrap_or_default(),
    };
    let left = (tick.deadline - decided_at).to_std().unwrap_or_default();
    longest.min(left.max(LEAVE_WITHIN_MIN))
}

/// A pipeline, whoever's credentials look at it.
fn pipeline(at: &PipelineAt) -> (String, String) {
    (at.project_id.clone(), at.pipeline_id.clone())
}
