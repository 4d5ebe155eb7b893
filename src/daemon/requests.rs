//! Requests: sent by a stored plan alone, their answers kept until they are stored.

use std::collections::VecDeque;

use chrono::TimeDelta;
use tokio::task::Id;
use tracing::{error, warn};

use super::{CLOCK_SKEW, Daemon, Woken, report};
use crate::codearts::{CodeArts, Start};
use crate::domain::pace::{Admit, Pace};
use crate::domain::plan;
use crate::domain::sighting::{Find, Look, PipelineAt, Sighting};
use crate::domain::{
    AccountName, Answer, AnswerKind, Ask, EntryName, Plan, Tick, TickState, Timestamp, rfc3339,
};
use crate::ledger::{Ledger, LedgerError};

/// How long looks wait while an account is being probed.
const LOOK_AFTER_PROBE: TimeDelta = TimeDelta::seconds(5);
/// How long a run that could not be looked at is left alone, at least.
const LOOK_FAILED: TimeDelta = TimeDelta::seconds(30);

/// A request whose answer is awaited.
#[derive(Debug, Clone)]
pub(super) enum UnderWay {
    /// An attempt; its number is the tick's `attempts`.
    Start(Tick),
    /// A look for a run.
    Find(Tick, Timestamp),
    /// A round of looks at an account's runs.
    Look(AccountName, Vec<Tick>),
}

impl UnderWay {
    pub(super) fn is_start(&self) -> bool {
        matches!(self, Self::Start(_))
    }
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Came {
    Answer(Answer),
    Sighting(Sighting),
    Looks(Vec<Look>),
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
    /// What was seen of its run.
    Look(Tick, Look),
}

impl News {
    fn tick(&self) -> &Tick {
        match self {
            Self::Answer(tick, _) | Self::Sighting(tick, _) | Self::Look(tick, _) => tick,
        }
    }

    fn decide(self, now: Timestamp, state: &crate::domain::EntryState) -> Plan {
        match self {
            Self::Answer(tick, answer) => plan::settle(now, state, &tick.id, tick.attempts, answer),
            Self::Sighting(tick, sighting) => {
                let looks = tick.doubt.map_or(0, |doubt| doubt.looks);
                plan::found(now, state, &tick.id, looks, sighting)
            }
            Self::Look(tick, look) => plan::looked(now, state, &tick.id, &look),
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
        let now = self.parts.clock.now();
        for change in &plan.changes {
            if change.tick.state.is_ended() {
                self.follows.remove(&change.tick.id);
            }
        }
        for tick in plan.running {
            if let Some(run) = &tick.run {
                let at = plan::look_again(now, run);
                self.follows.add(tick, at);
            }
        }
        for ask in plan.asks {
            match ask {
                Ask::Start(tick) => self.start(*tick),
                Ask::Find(tick) => self.find(*tick),
            }
        }
    }

    fn start(&mut self, tick: Tick) {
        if let (Some(pace), TickState::Sent { at }) =
            (self.paces.get_mut(&tick.account), tick.state)
        {
            pace.sent(at);
        }
        let start = Start {
            account: tick.account.clone(),
            request: tick.request.clone(),
            marker: tick.marker(self.parts.ledger.id()),
        };
        let service = self.parts.service.clone();
        let task = self
            .requests
            .spawn(async move { Came::Answer(service.start(start).await) });
        self.under_way.insert(task.id(), UnderWay::Start(tick));
    }

    fn find(&mut self, tick: Tick) {
        let at = self.parts.clock.now();
        if let Some(pace) = self.paces.get_mut(&tick.account) {
            pace.sent(at);
        }
        let since = tick.doubt.map_or(tick.due, |doubt| doubt.since);
        let find = Find {
            at: pipeline_of(&tick),
            marker: tick.marker(self.parts.ledger.id()),
            since,
            above: None,
        };
        let service = self.parts.service.clone();
        let task = self
            .requests
            .spawn(async move { Came::Sighting(service.find(find).await) });
        self.under_way.insert(task.id(), UnderWay::Find(tick, at));
    }

    /// Looks at the followed runs whose time has come, a round an account.
    pub(super) fn look_at_runs(&mut self) {
        let now = self.parts.clock.now();
        for (account, ticks) in self.follows.take_due(now) {
            let rests = match self
                .paces
                .get(&account)
                .map_or(Admit::Go, |pace| pace.admit(now))
            {
                Admit::Go => None,
                Admit::RestUntil(until) => Some(until),
                Admit::AfterProbe => Some(now + LOOK_AFTER_PROBE),
            };
            if let Some(until) = rests {
                self.follows.round_is_over(&account);
                for tick in ticks {
                    self.follows.set(tick, until);
                }
                continue;
            }
            let runs = ticks
                .iter()
                .filter_map(|tick| Some((pipeline_of(tick), tick.run.as_ref()?.id.clone())))
                .collect();
            let service = self.parts.service.clone();
            let task = self
                .requests
                .spawn(async move { Came::Looks(service.look(runs).await) });
            self.under_way
                .insert(task.id(), UnderWay::Look(account, ticks));
        }
    }

    /// Stores what has come.
    pub(super) async fn settle_news(&mut self) {
        while !self.unsettled.is_empty() && !self.in_trouble() {
            let names: Vec<EntryName> = self
                .unsettled
                .iter()
                .map(|news| news.tick().entry.clone())
                .collect();
            let mut news = self.unsettled.clone();
            let decide = move |now, _: &EntryName, state: &_| {
                news.pop_front()
                    .map_or_else(Plan::default, |news| news.decide(now, state))
            };
            match self.parts.ledger.decide(names.clone(), decide).await {
                Ok(plans) => {
                    self.trouble = None;
                    let settled = std::mem::take(&mut self.unsettled);
                    for (name, plan) in names.iter().zip(plans) {
                        let wake_at = plan.wake_at;
                        self.carry_out(name, plan);
                        if let Some(at) = wake_at {
                            self.alarms.bring_forward(name, at);
                        }
                    }
                    self.look_again(settled);
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
            .filter(|news| news.tick().entry != *entry)
            .cloned()
            .collect();
        self.unsettled.retain(|news| news.tick().entry == *entry);
        self.log_unsettled();
        self.unsettled = others;
    }

    /// A run that could not be written down is at least in the log (P10).
    pub(super) fn log_unsettled(&self) {
        for news in &self.unsettled {
            let (tick, run_id, request_id) = match news {
                News::Answer(tick, answer) => {
                    let AnswerKind::Started { run_id, .. } = &answer.kind else {
                        continue;
                    };
                    (tick, run_id, answer.request_id.as_deref())
                }
                News::Sighting(tick, Sighting::Found(run)) => (tick, &run.run_id, None),
                News::Sighting(..) | News::Look(..) => continue,
            };
            let (entry, attempt) = (tick.entry.as_str(), tick.attempts);
            let pipeline_id = tick.request.pipeline_id.as_str();
            let tick = tick.id.as_str();
            error!(
                entry,
                tick,
                attempt,
                run_id,
                pipeline_id,
                request_id,
                "run {run_id} started, but it could not be written down yet"
            );
        }
    }

    /// Followed runs that go on are looked at again.
    fn look_again(&mut self, settled: VecDeque<News>) {
        let now = self.parts.clock.now();
        for news in settled {
            if let News::Look(tick, _) = news
                && self.follows.contains(&tick.id)
                && let Some(run) = &tick.run
            {
                let at = plan::look_again(now, run);
                self.follows.set(tick, at);
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
        let now = self.parts.clock.now();
        for (id, came) in all {
            match self.under_way.remove(&id) {
                Some(UnderWay::Start(tick)) => {
                    let answer = match came {
                        Came::Answer(answer) => answer,
                        Came::Nothing(why) => lost(&why),
                        Came::Sighting(_) | Came::Looks(_) => {
                            lost("the request's task gave something else")
                        }
                    };
                    let sent_at = match tick.state {
                        TickState::Sent { at } => at,
                        TickState::Waiting { .. }
                        | TickState::Doubtful { .. }
                        | TickState::Running { .. }
                        | TickState::Ended { .. } => now,
                    };
                    self.heard(now, sent_at, &tick.account, &answer);
                    self.unsettled.push_back(News::Answer(tick, answer));
                }
                Some(UnderWay::Find(tick, sent_at)) => {
                    let sighting = match came {
                        Came::Sighting(sighting) => sighting,
                        Came::Nothing(why) => Sighting::Failed(lost(&why)),
                        Came::Answer(_) | Came::Looks(_) => {
                            Sighting::Failed(lost("the look's task gave something else"))
                        }
                    };
                    match &sighting {
                        Sighting::Failed(answer) => self.heard(now, sent_at, &tick.account, answer),
                        Sighting::Found(_) | Sighting::Absent | Sighting::Unexplained(_) => {
                            self.went_well(&tick.account)
                        }
                    }
                    self.unsettled.push_back(News::Sighting(tick, sighting));
                }
                Some(UnderWay::Look(account, ticks)) => {
                    let looks = match came {
                        Came::Looks(looks) => looks,
                        Came::Nothing(_) | Came::Answer(_) | Came::Sighting(_) => Vec::new(),
                    };
                    self.take_looks(now, &account, ticks, looks);
                }
                None => {}
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
    ) {
        self.follows.round_is_over(account);
        let mut looks = looks.into_iter();
        let mut told = false;
        for tick in ticks {
            let look = looks
                .next()
                .unwrap_or_else(|| Look::Failed(lost("the look's task failed")));
            let Some(run) = tick.run.clone() else {
                continue;
            };
            let mut again = plan::look_again(now, &run);
            if let Look::Failed(answer) = &look {
                again = again.max(now + LOOK_FAILED);
                // A round is one word of the service about the account, however many runs were in it.
                if !std::mem::replace(&mut told, true) {
                    self.heard(now, now, &tick.account, answer);
                }
            }
            self.follows.set(tick.clone(), again);
            if plan::is_news(now, &tick, &look) {
                self.unsettled.push_back(News::Look(tick, look));
            }
        }
    }

    /// What an answer says about the account and the clock.
    fn heard(
        &mut self,
        now: Timestamp,
        sent_at: Timestamp,
        account: &AccountName,
        answer: &Answer,
    ) {
        self.notice_skew(now, answer);
        self.pace(now, sent_at, account, answer);
    }

    fn went_well(&mut self, account: &AccountName) {
        self.paces.remove(account);
    }

    fn pace(&mut self, now: Timestamp, sent_at: Timestamp, account: &AccountName, answer: &Answer) {
        let pace = self.paces.entry(account.clone()).or_default();
        if let Some(rest) = pace.answered(now, sent_at, answer)
            && !rest.is_zero()
        {
            let why = answer.kind.name();
            warn!(
                account = account.as_str(),
                "account {account} rests for {} s: {why}: {}",
                rest.as_secs(),
                answer.message
            );
        }
        if *pace == Pace::default() {
            self.paces.remove(account);
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

fn pipeline_of(tick: &Tick) -> PipelineAt {
    PipelineAt {
        account: tick.account.clone(),
        project_id: tick.request.project_id.clone(),
        pipeline_id: tick.request.pipeline_id.clone(),
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
