//! What pipelines look like, asked for many of them: each once, several at a time, within the account's rate.
//!
//! It only looks. An account that cannot be asked at all (no connection, refused credentials) is asked once: each further
//! bad signature would bring its key nearer to being locked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::looks::looking;
use super::rate::LOOKS_AT_ONCE;
use super::session::{Session, no_response};
use super::{Client, no_account};
use crate::codearts::calls::{Call, ROWS, Shown};
use crate::codearts::pipelines::{denied, ends_all};
use crate::domain::pipeline::{PipelineRow, Seen, SeenPipeline, Told};
use crate::domain::{AccountName, Answer, AnswerKind, PipelineAt};

/// How often what the service was too busy for is asked.
const ROUNDS: u32 = 3;
/// How long it is left alone between, unless it says how long.
const REST: Duration = Duration::from_secs(2);
/// The longest rest, whatever the service says: somebody waits at a terminal.
const REST_MAX: Duration = Duration::from_secs(30);

/// A page of a project's pipelines, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelinePage {
    /// What is on it.
    pub rows: Vec<PipelineRow>,
    /// How many there are on all pages, if the service says so.
    pub total: Option<u64>,
    /// Where the next one begins; none behind the last one.
    pub next: Option<u64>,
}

impl Client {
    /// Asks about pipelines. `heard` is called for each answer, from time to time, to show that it goes on.
    pub async fn show_pipelines(
        &self,
        wanted: &BTreeSet<PipelineAt>,
        heard: &(dyn Fn() + Sync),
    ) -> Told {
        let mut accounts: BTreeMap<&AccountName, Vec<PipelineAt>> = BTreeMap::new();
        for at in wanted {
            accounts.entry(&at.account).or_default().push(at.clone());
        }
        let of_account = |(account, wanted): (&AccountName, Vec<PipelineAt>)| {
            let (session, account) = (self.session(account), account.clone());
            async move {
                match session {
                    Some(session) => session.pipelines(wanted, heard).await,
                    None => {
                        let seen = denied(&no_account(&account));
                        wanted.into_iter().map(|at| (at, seen.clone())).collect()
                    }
                }
            }
        };
        let told = futures_util::future::join_all(accounts.into_iter().map(of_account)).await;
        told.into_iter().flatten().collect()
    }

    /// What one pipeline looks like.
    ///
    /// # Errors
    /// What the service said instead.
    pub async fn show_pipeline(&self, at: &PipelineAt) -> Result<Box<SeenPipeline>, Answer> {
        match self.session(&at.account) {
            Some(session) => session.pipeline(at.clone()).await,
            None => Err(no_account(&at.account)),
        }
    }

    /// A page of a project's pipelines, from the one at `offset` on. How far a list is followed is for the caller to say.
    ///
    /// # Errors
    /// What the service said instead.
    pub async fn list_pipelines(
        &self,
        account: &AccountName,
        project_id: &str,
        offset: u64,
    ) -> Result<PipelinePage, Answer> {
        let Some(session) = self.session(account) else {
            return Err(no_account(account));
        };
        let call = Call::Pipelines {
            project_id: project_id.to_owned(),
            offset,
        };
        let shown = session.patiently(&call).await;
        let Shown::Pipelines(page) = shown else {
            return Err(unexpected(shown));
        };
        let end = offset.saturating_add(page.rows.len() as u64);
        let has_more = match page.total {
            Some(total) => !page.rows.is_empty() && end < total,
            None => page.rows.len() as u64 >= ROWS,
        };
        Ok(PipelinePage {
            rows: page.rows,
            total: page.total,
            next: has_more.then_some(end),
        })
    }
}

/// The pipelines of one account, as far as they were asked about.
struct Asking<'h> {
    told: Vec<(PipelineAt, Seen)>,
    /// What the service was too busy for.
    again: Vec<PipelineAt>,
    /// How long it is left alone before that is asked again.
    rest: Option<Duration>,
    /// Why nothing more is asked, if so.
    ended: Option<Answer>,
    heard: &'h (dyn Fn() + Sync),
}

impl Asking<'_> {
    fn take(&mut self, at: PipelineAt, answer: Result<Box<SeenPipeline>, Answer>, round: u32) {
        let answer = match answer {
            Ok(pipeline) => {
                self.told.push((at, Seen::Pipeline(pipeline)));
                return (self.heard)();
            }
            Err(answer) => answer,
        };
        if round < ROUNDS && may_pass(&answer, self.rest.is_some()) {
            let wait = wait(&answer, round);
            self.rest = Some(self.rest.map_or(wait, |rest| rest.max(wait)));
            return self.again.push(at);
        }
        self.told.push((at, denied(&answer)));
        if ends_all(&answer) {
            self.ended = Some(answer);
        }
        (self.heard)();
    }
}

impl Session {
    async fn pipelines(
        self: Arc<Self>,
        wanted: Vec<PipelineAt>,
        heard: &(dyn Fn() + Sync),
    ) -> Vec<(PipelineAt, Seen)> {
        let mut asking = Asking {
            told: Vec::with_capacity(wanted.len()),
            again: Vec::new(),
            rest: None,
            ended: None,
            heard,
        };
        // One goes ahead: with credentials that nobody knows the others are better not sent.
        let mut left = wanted;
        let others = left.split_off(left.len().min(1));
        let mut unasked = self.ask_all(left, &mut asking, 1).await;
        unasked.extend(others);
        for round in 1..=ROUNDS {
            unasked = self.ask_all(unasked, &mut asking, round).await;
            unasked.append(&mut asking.again);
            if unasked.is_empty() || asking.ended.is_some() {
                break;
            }
            tokio::time::sleep(asking.rest.take().unwrap_or_default()).await;
        }
        let seen = asking
            .ended
            .as_ref()
            .map_or_else(|| Seen::Unknown("it was not asked".to_owned()), denied);
        let mut told = asking.told;
        told.extend(unasked.into_iter().map(|at| (at, seen.clone())));
        told
    }

    /// Asks about these until there is a reason to ask no more, and gives back those that were not asked about.
    async fn ask_all(
        self: &Arc<Self>,
        wanted: Vec<PipelineAt>,
        asking: &mut Asking<'_>,
        round: u32,
    ) -> Vec<PipelineAt> {
        if asking.ended.is_some() {
            return wanted;
        }
        let mut open: BTreeSet<PipelineAt> = wanted.iter().cloned().collect();
        let ask = |at: PipelineAt| {
            let session = Arc::clone(self);
            async move { (session.pipeline(at.clone()).await, at) }
        };
        let mut answers = futures_util::stream::iter(wanted)
            .map(ask)
            .buffer_unordered(LOOKS_AT_ONCE);
        while asking.ended.is_none() {
            let Some((answer, at)) = answers.next().await else {
                break;
            };
            open.remove(&at);
            asking.take(at, answer, round);
        }
        open.into_iter().collect()
    }

    async fn pipeline(&self, at: PipelineAt) -> Result<Box<SeenPipeline>, Answer> {
        let shown = self.call(&Call::Pipeline { at }, looking()).await;
        if let Shown::Pipeline(pipeline) = shown {
            Ok(pipeline)
        } else {
            Err(unexpected(shown))
        }
    }

    /// Makes a call, again if the service was too busy for it.
    async fn patiently(&self, call: &Call) -> Shown {
        let mut round = 1;
        loop {
            let shown = self.call(call, looking()).await;
            let Shown::Failed(answer) = &shown else {
                return shown;
            };
            if round >= ROUNDS || !may_pass(answer, false) {
                return shown;
            }
            let wait = wait(answer, round);
            tokio::time::sleep(wait).await;
            round += 1;
        }
    }
}

/// Whether to ask again is worth while: the service is busy, or one of our own requests was turned back because another
/// one had just been told so.
fn may_pass(answer: &Answer, is_throttled: bool) -> bool {
    match answer.kind {
        AnswerKind::Throttled | AnswerKind::RefusedInPassing => true,
        AnswerKind::KeptHere => is_throttled,
        AnswerKind::Started { .. }
        | AnswerKind::NotSent
        | AnswerKind::Busy
        | AnswerKind::Unauthorized
        | AnswerKind::Refused
        | AnswerKind::Doubtful => false,
    }
}

fn wait(answer: &Answer, round: u32) -> Duration {
    let usual = if answer.kind == AnswerKind::Throttled {
        REST * round
    } else {
        Duration::ZERO
    };
    answer.retry_after.unwrap_or(usual).min(REST_MAX)
}

/// What is said where something else came than was asked for.
fn unexpected(shown: Shown) -> Answer {
    match shown {
        Shown::Failed(answer) | Shown::NoRecord(answer) | Shown::Blank(answer) => answer,
        Shown::Runs(_)
        | Shown::Queue(_)
        | Shown::Run(_)
        | Shown::Latest(_)
        | Shown::Pipeline(_)
        | Shown::Pipelines(_)
        | Shown::Done => no_response(
            AnswerKind::RefusedInPassing,
            "the answer is to another question".to_owned(),
        ),
    }
}
