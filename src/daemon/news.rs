//! What has come and is to be stored: it survives a ledger that fails for a while.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;
use tracing::error;

use super::requests::SURVEY_HOLDS;
use super::{Daemon, REFUSED_AGAIN};
use crate::codearts::CodeArts;
use crate::domain::plan::{self, Followed, Room, Survey};
use crate::domain::sighting::{Look, Sighting};
use crate::domain::{
    Answer, AnswerKind, EntryName, EntryState, Plan, Tick, TickId, Timestamp, after,
};
use crate::ledger::{Ledger, LedgerError};

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
            let began = Instant::now();
            match self.parts.ledger.decide(names.clone(), decide).await {
                Ok(plans) => {
                    self.metrics.stored(began.elapsed());
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
        self.metrics.not_stored();
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
}
