//! What comes of requests, and what it says about the account and the clock.

use std::collections::VecDeque;

use chrono::TimeDelta;
use tokio::task::Id;
use tokio::time::Instant;
use tracing::warn;

use super::news::News;
use super::requests::UnderWay;
use super::{CLOCK_SKEW, Daemon, Woken, report};
use crate::codearts::CodeArts;
use crate::domain::pace::Heard;
use crate::domain::plan::{self, Survey};
use crate::domain::sighting::{Look, Sighting};
use crate::domain::{AccountName, Answer, AnswerKind, Tick, TickState, Timestamp, rfc3339};
use crate::ledger::Ledger;

/// How long a run that could not be looked at is left alone, at least.
const LOOK_FAILED: TimeDelta = TimeDelta::seconds(30);

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

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
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
                self.count_attempt(&tick, &answer);
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
                self.count_skew(account, answer);
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
            self.bell.notify_one();
        }
        if matches!(heard, Heard::Throttled(_)) {
            self.metrics.throttled(account);
        }
        self.count_pace(account);
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

pub(super) fn not_sent(message: &str) -> Answer {
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
