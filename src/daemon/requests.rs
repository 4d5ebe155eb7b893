//! Requests: sent by a stored plan alone, their answers kept until they are stored.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::task::Id;
use tokio::time::Instant;
use tracing::{error, warn};

use super::{CLOCK_SKEW, Daemon, REFUSED_AGAIN, Woken, report};
use crate::codearts::{CodeArts, Start};
use crate::domain::pace::{Admit, Heard};
use crate::domain::plan::{self, Followed, Room, Survey};
use crate::domain::sighting::{Find, Look, Sighting};
use crate::domain::{
    AccountName, Answer, AnswerKind, Ask, Change, EntryName, EntryState, Origin, OtherRun,
    PipelineAt, Plan, Tick, TickId, TickState, Timestamp, after, rfc3339,
};
use crate::ledger::{Ledger, LedgerError};

/// How long looks wait while an account is being probed.
const LOOK_AFTER_PROBE: TimeDelta = TimeDelta::seconds(5);
/// How long what a pipeline was seen to do is good for a decision.
const SURVEY_HOLDS: Duration = Duration::from_secs(30);
/// A start that was decided right before its deadline has so long to leave.
const LEAVE_WITHIN_MIN: Duration = Duration::from_secs(1);
/// A start that does not leave this soon after it was decided does not leave at all.
const SEND_WITHIN: TimeDelta = TimeDelta::minutes(2);
/// How long a run that could not be looked at is left alone, at least.
const LOOK_FAILED: TimeDelta = TimeDelta::seconds(30);

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

/// What came of a request.
#[derive(Debug)]
pub(super) enum Came {
    Answer(Answer),
    Sighting(Sighting),
    Survey(Survey),
    /// What came of stopping each of these runs.
    Stopped(Vec<(String, Result<(), Answer>)>),
    Probe(Result<(), Answer>),
    Looks(Vec<Look>),
    /// The time of a look has come.
    Rested,
    /// The task that made the request failed; why.
    Nothing(String),
}

/// What has come for a tick and is to be stored.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// The answer to an attempt.
    Answer(Tick, Answer),
    /// What came of looking for its run.
    Sighting(Tick, Sighting),
    /// What its pipeline has under way, and when that was heard.
    Survey(Tick, Survey, Instant),
    /// What was seen of its run.
    Look(Tick, Look),
}

impl News {
    pub(super) fn tick(&self) -> &Tick {
        match self {
            Self::Answer(tick, _)
            | Self::Sighting(tick, _)
            | Self::Survey(tick, ..)
            | Self::Look(tick, ..) => tick,
        }
    }

    fn decide(
        self,
        now: Timestamp,
        state: &EntryState,
        room: &mut Room,
        followed: &HashMap<TickId, Followed>,
    ) -> Plan {
        match self {
            // The ledger failed meanwhile: what was free then may not be now.
            Self::Survey(_, _, heard_at) if heard_at.elapsed() > SURVEY_HOLDS => Plan {
                wake_at: Some(now),
                ..Plan::default()
            },
            Self::Survey(tick, survey, _) => plan::surveyed(now, state, &tick.id, survey, room),
            Self::Answer(tick, answer) => plan::settle(now, state, &tick.id, tick.attempts, answer),
            Self::Sighting(tick, sighting) => {
                let looks = tick.doubt.map_or(0, |doubt| doubt.looks);
                plan::found(now, state, &tick.id, looks, sighting)
            }
            Self::Look(tick, look) => {
                let followed = followed.get(&tick.id).copied().unwrap_or_default();
                plan::looked(now, state, &tick.id, &look, followed)
            }
        }
    }
}

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// Does what a stored plan asks for. The only place where requests are sent from.
    pub(super) fn carry_out(&mut self, name: &EntryName, plan: Plan) {
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
        let service = self.parts.service.clone();
        let within = TimeDelta::from_std(start.leave_within).unwrap_or(SEND_WITHIN);
        let told = self.told.clone();
        let task = self.requests.spawn(async move {
            // The machine slept, or we were stopped, right here: what was decided then may hold no more, and somebody
            // else may have gone on with it.
            if (told.now() - at).abs() > within {
                return Came::Answer(not_sent("it was decided too long ago; the machine slept"));
            }
            Came::Answer(service.start(start).await)
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
    fn look_at_last(&mut self, now: Timestamp, tick: Tick, above: Option<u64>) {
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

    /// Stores what has come.
    pub(super) async fn settle_news(&mut self) {
        while !self.unsettled.is_empty() && !self.in_trouble() && self.broken.is_none() {
            let names: Vec<EntryName> = self
                .unsettled
                .iter()
                .map(|news| news.tick().entry.clone())
                .collect();
            let mut news = self.unsettled.clone();
            // A pipeline was looked at for those whose turn it was.
            let called = news.iter().map(|news| news.tick().id.clone()).collect();
            let mut room = self.room(&names, called);
            if news.iter().any(|news| matches!(news, News::Survey(..))) {
                room.taken = self.follows.taken();
            }
            // As it is now: what has come may have waited long for the ledger.
            let looked = news.iter().filter(|news| matches!(news, News::Look(..)));
            let followed: HashMap<TickId, Followed> = looked
                .map(|news| &news.tick().id)
                .map(|id| (id.clone(), self.follows.followed(id)))
                .collect();
            let decide = move |now, _: &EntryName, state: &_| {
                news.pop_front().map_or_else(Plan::default, |news| {
                    news.decide(now, state, &mut room, &followed)
                })
            };
            match self.parts.ledger.decide(names.clone(), decide).await {
                Ok(plans) => {
                    self.ledger_works();
                    let settled = std::mem::take(&mut self.unsettled);
                    for (name, plan) in names.iter().zip(plans) {
                        let wake_at = plan.wake_at;
                        self.carry_out(name, plan);
                        if let Some(at) = wake_at {
                            self.alarms.bring_forward(name, at);
                        }
                    }
                    self.are_settled(settled);
                }
                Err(failure @ LedgerError::Refused { .. }) => self.give_up_settling(&failure),
                Err(failure) => {
                    // At the end they are all told of once more.
                    if self.trouble.is_none() && failure.is_transient() {
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
            .filter(|news| news.tick().entry != *entry)
            .cloned()
            .collect();
        self.unsettled.retain(|news| news.tick().entry == *entry);
        self.log_unsettled();
        let given_up = std::mem::replace(&mut self.unsettled, others);
        self.alarms
            .bring_forward(entry, after(self.now(), REFUSED_AGAIN));
        self.are_settled(given_up);
    }

    /// A run that could not be written down is at least in the log (P10), and so is one that there may be.
    pub(super) fn log_unsettled(&self) {
        let written = "could not be written down yet";
        for news in &self.unsettled {
            let (tick, run_id, request_id, what) = match news {
                News::Answer(tick, answer) => {
                    let (run_id, what) = match &answer.kind {
                        AnswerKind::Started { run_id, .. } => {
                            let what = format!("run {run_id} started, but it {written}");
                            (Some(run_id), what)
                        }
                        AnswerKind::Doubtful => {
                            let why = &answer.message;
                            let what = format!("a run may have started, but it {written}: {why}");
                            (None, what)
                        }
                        AnswerKind::NotSent
                        | AnswerKind::KeptHere
                        | AnswerKind::Throttled
                        | AnswerKind::Busy
                        | AnswerKind::Unauthorized
                        | AnswerKind::Refused
                        | AnswerKind::RefusedInPassing => continue,
                    };
                    (tick, run_id, answer.request_id.as_deref(), what)
                }
                News::Sighting(tick, Sighting::Found(run)) => {
                    let run_id = &run.run_id;
                    let what = format!("run {run_id} was found, but it {written}");
                    (tick, Some(run_id), None, what)
                }
                News::Survey(tick, Survey::Own(run), _) => {
                    let run_id = &run.run_id;
                    let what = format!("run {run_id} was found, but it {written}");
                    (tick, Some(run_id), None, what)
                }
                News::Sighting(..) | News::Survey(..) | News::Look(..) => continue,
            };
            let (entry, attempt) = (tick.entry.as_str(), tick.attempts);
            let pipeline_id = tick.request.pipeline_id.as_str();
            let tick = tick.id.as_str();
            error!(
                entry,
                tick, attempt, run_id, pipeline_id, request_id, "{what}"
            );
        }
    }

    /// Followed runs that go on are looked at again, and places that were kept are free or taken.
    fn are_settled(&mut self, settled: VecDeque<News>) {
        let now = self.now();
        for news in settled {
            match news {
                News::Look(tick, ..) => {
                    let at = |run: &_| plan::look_again(now, run);
                    self.follows.look_again(&tick.id, at);
                }
                News::Survey(tick, ..) => self.turns.release(&tick.id),
                News::Answer(..) | News::Sighting(..) => {}
            }
        }
    }

    /// Takes what has come of a request, and of all others that are done.
    pub(super) fn take(&mut self, id: Id, came: Came) {
        let mut all = VecDeque::from([(id, came)]);
        while let Some(more) = self.requests.try_join_next_with_id() {
            if let Woken::Came(id, came) = woken_by(more) {
                all.push_back((id, came));
            }
        }
        for (id, came) in all {
            if let Some(under_way) = self.under_way.remove(&id) {
                self.take_one(under_way, came);
            }
        }
    }

    fn take_one(&mut self, under_way: UnderWay, came: Came) {
        let now = self.now();
        match under_way {
            UnderWay::Start(tick) => {
                let answer = if let Came::Answer(answer) = came {
                    answer
                } else {
                    lost(&came.why())
                };
                let sent_at = match tick.state {
                    TickState::Sent { at } => at,
                    TickState::Waiting { .. }
                    | TickState::Doubtful { .. }
                    | TickState::Running { .. }
                    | TickState::Ended { .. } => now,
                };
                report::started(now, &tick, &answer);
                self.notice_skew(now, &answer);
                let heard = Heard::of_start(&answer);
                self.pace(now, sent_at, &tick.account, heard, &answer.message);
                self.unsettled.push_back(News::Answer(tick, answer));
            }
            UnderWay::Find(tick, sent_at) => {
                let sighting = if let Came::Sighting(sighting) = came {
                    sighting
                } else {
                    Sighting::Failed(lost(&came.why()))
                };
                let failure = match &sighting {
                    Sighting::Failed(answer) => Some(answer),
                    Sighting::Found(_) | Sighting::Absent | Sighting::Unexplained(_) => None,
                };
                if let Sighting::Found(run) = &sighting {
                    report::found(&tick, &run.run_id);
                }
                self.heard_look(now, sent_at, &tick.account, failure);
                self.unsettled.push_back(News::Sighting(tick, sighting));
            }
            UnderWay::Survey(tick, sent_at) => {
                let survey = if let Came::Survey(survey) = came {
                    survey
                } else {
                    Survey::Failed(lost(&came.why()))
                };
                let failure = match &survey {
                    Survey::Failed(answer) => Some(answer),
                    Survey::UnderWay(_) | Survey::Own(_) => None,
                };
                if let Survey::Own(run) = &survey {
                    report::found(&tick, &run.run_id);
                }
                self.heard_look(now, sent_at, &tick.account, failure);
                self.unsettled
                    .push_back(News::Survey(tick, survey, Instant::now()));
            }
            UnderWay::Stop(tick, sent_at, again) => {
                let stopped = if let Came::Stopped(stopped) = came {
                    stopped
                } else {
                    vec![(String::new(), Err(lost(&came.why())))]
                };
                let failure = stopped.iter().find_map(|(_, asked)| asked.as_ref().err());
                self.heard_look(now, sent_at, &tick.account, failure);
                report::stopped(&tick, &stopped);
                // While it was under way nothing was decided about the tick, also not when its next look was due.
                let again = again.map_or(now, |at| at.max(now));
                self.alarms.bring_forward(&tick.entry, again);
            }
            UnderWay::Rest(tick, above) => self.look_at_last(now, tick, above),
            UnderWay::Probe(account, sent_at) => {
                let answer = if let Came::Probe(answer) = came {
                    answer
                } else {
                    Err(lost(&came.why()))
                };
                self.heard_look(now, sent_at, &account, answer.as_ref().err());
            }
            UnderWay::Look(account, ticks, sent_at) => {
                let looks = if let Came::Looks(looks) = came {
                    looks
                } else {
                    Vec::new()
                };
                self.take_looks(now, &account, ticks, looks, sent_at);
            }
        }
    }

    /// What a round of looks saw: news is to be stored, the other runs are looked at again later.
    fn take_looks(
        &mut self,
        now: Timestamp,
        account: &AccountName,
        ticks: Vec<Tick>,
        looks: Vec<Look>,
        sent_at: Timestamp,
    ) {
        self.follows.round_is_over(account);
        // A round is one word of the service about the account, however many runs were in it.
        let failure = one_word(&looks);
        self.heard_look(now, sent_at, account, failure.as_ref());
        let mut looks = looks.into_iter();
        for tick in ticks {
            let look = looks
                .next()
                .unwrap_or_else(|| Look::Failed(lost("the look's task failed")));
            let Some(run) = tick.run.clone() else {
                continue;
            };
            let mut again = plan::look_again(now, &run);
            if let Look::Failed(_) = &look {
                again = again.max(now + LOOK_FAILED);
            }
            // As it is known now: something may have been learned of it meanwhile, or its end.
            self.follows.look_again(&tick.id, |_| again);
            self.follows.saw(&tick.id, matches!(look, Look::Failed(_)));
            let followed = self.follows.followed(&tick.id);
            if plan::is_news(now, &tick, &look, followed) {
                self.unsettled.push_back(News::Look(tick, look));
            }
        }
    }

    /// What a look says about the account and the clock.
    fn heard_look(
        &mut self,
        now: Timestamp,
        sent_at: Timestamp,
        account: &AccountName,
        failure: Option<&Answer>,
    ) {
        let well = Heard::Well { is_start: false };
        let (heard, said) = match failure {
            None => (well, ""),
            Some(answer) => {
                self.notice_skew(now, answer);
                (Heard::of_failed_look(answer), answer.message.as_str())
            }
        };
        self.pace(now, sent_at, account, heard, said);
    }

    fn pace(
        &mut self,
        now: Timestamp,
        sent_at: Timestamp,
        account: &AccountName,
        heard: Heard,
        said: &str,
    ) {
        // One that is not configured any more has no pace.
        let pace = self.paces.get_mut(account);
        if let Some(news) = pace.and_then(|pace| pace.answered(now, sent_at, heard)) {
            report::pace(account, heard, news, said);
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
}

/// What the looks of a round say together: what concerns the account first; that it works if one of them went well.
fn one_word(looks: &[Look]) -> Option<Answer> {
    let failures = || {
        looks.iter().filter_map(|look| match look {
            Look::Failed(answer) => Some(answer),
            Look::Seen(_) | Look::Vanished => None,
        })
    };
    let concerns_all = |answer: &&Answer| {
        matches!(
            Heard::of_failed_look(answer),
            Heard::Throttled(_) | Heard::Unauthorized
        )
    };
    if let Some(answer) = failures().find(concerns_all) {
        return Some(answer.clone());
    }
    if looks.is_empty() {
        return Some(lost("the looks' task failed"));
    }
    let one = failures().next().cloned();
    one.filter(|_| failures().count() == looks.len())
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

impl Came {
    /// Why it is not what was asked for.
    fn why(self) -> String {
        if let Self::Nothing(why) = self {
            why
        } else {
            "the request's task gave something else".to_owned()
        }
    }
}

pub(super) fn woken_by(came: Result<(Id, Came), tokio::task::JoinError>) -> Woken {
    match came {
        Ok((id, came)) => Woken::Came(id, came),
        Err(failure) => Woken::Came(
            failure.id(),
            Came::Nothing(format!("the request's task failed: {failure}")),
        ),
    }
}

pub(super) fn lost(message: &str) -> Answer {
    answer(AnswerKind::Doubtful, message)
}

fn not_sent(message: &str) -> Answer {
    answer(AnswerKind::KeptHere, message)
}

fn answer(kind: AnswerKind, message: &str) -> Answer {
    Answer {
        kind,
        status: None,
        code: None,
        message: message.to_owned(),
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}
