//! An account's looks at runs, and the stopping of one. Nothing here starts anything, so a call that broke off may be
//! made again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::credentials::{Cause, Failure, Held};
use super::exchange::{Lost, SHOWN_BYTES_MAX, exchange};
use super::gate::HeldBack;
use super::lines::Purpose;
use super::rate::{Errand, LOOKS_AT_ONCE, Permit};
use super::session::{
    Patience, Session, failed, held_back, longest_preparation, mask, never_sent, no_response,
};
use crate::codearts::calls::{Call, Shown};
use crate::codearts::looks::{Round, UnderWay};
use crate::codearts::search::{Search, Step, concerns_all};
use crate::codearts::{Mask, Secrets};
use crate::config::Account;
use crate::domain::sighting::{Find, Look, PipelineAt, SeenRun, Sighting};
use crate::domain::{Answer, AnswerKind};

/// After this a look asks no further: a service that takes its time with each of hundreds of calls must not keep us for
/// hours. What it waits for its permits is within that.
const LOOK_TIME: Duration = Duration::from_secs(300);

/// The longest a look at runs, or the stopping of one, takes for this account.
pub fn longest_look(account: &Account) -> Duration {
    // The last call may begin just before the time is over, and be made twice.
    LOOK_TIME + 2 * (longest_preparation(account) + account.request_timeout)
}

/// What came of one request.
struct Outcome {
    shown: Shown,
    /// What it was made with, if it was made.
    held: Option<Arc<Held>>,
    /// Whether the connection was lost.
    broke_off: bool,
}

impl Session {
    /// Looks for a run by its marker.
    pub(super) async fn find(&self, find: Find) -> Sighting {
        let errand = looking();
        let mut search = Search::new(find);
        loop {
            match search.next() {
                Step::Ask(call) => search.feed(self.call(&call, errand).await),
                Step::Done(sighting) => return sighting,
            }
        }
    }

    /// What a pipeline does now.
    pub(super) async fn under_way(&self, at: PipelineAt) -> Result<Vec<SeenRun>, Answer> {
        let errand = before_a_start();
        let mut look = UnderWay::new(at);
        loop {
            match look.next() {
                Step::Ask(call) => look.feed(self.call(&call, errand).await),
                Step::Done(runs) => return runs,
            }
        }
    }

    /// Looks at runs.
    pub(super) async fn look(self: Arc<Self>, runs: Vec<(PipelineAt, String)>) -> Vec<Look> {
        let errand = looking();
        let mut round = Round::new(runs);
        for batch in round.batches() {
            if round.end().is_none() {
                let shown = self.call(&batch.call, errand).await;
                round.take_batch(&batch.runs, shown);
            }
        }
        let ask = |(at, call): (usize, Call)| {
            let session = Arc::clone(&self);
            async move { (at, session.call(&call, errand).await) }
        };
        let mut details = futures_util::stream::iter(round.details())
            .map(ask)
            .buffer_unordered(LOOKS_AT_ONCE);
        while round.end().is_none() {
            let Some((at, shown)) = details.next().await else {
                break;
            };
            round.take_detail(at, shown);
        }
        round.finish()
    }

    /// Asks for a run to be stopped; for one that waits, to be taken out of the queue. If it has left the queue since,
    /// it is stopped after all.
    pub(super) async fn stop(
        &self,
        at: PipelineAt,
        run_id: String,
        queue_id: Option<String>,
    ) -> Result<(), Answer> {
        let errand = before_a_start();
        if let Some(queue_id) = queue_id {
            let (at, run_id) = (at.clone(), run_id.clone());
            let call = Call::CancelQueuing {
                at,
                run_id,
                queue_id,
            };
            match self.done(&call, errand).await {
                Err(answer) if !concerns_all(&answer) => {}
                outcome => return outcome,
            }
        }
        self.done(&Call::Stop { at, run_id }, errand).await
    }

    async fn done(&self, call: &Call, errand: Errand) -> Result<(), Answer> {
        if let Shown::Failed(answer) = self.call(call, errand).await {
            Err(answer)
        } else {
            Ok(())
        }
    }

    /// Makes a call, and once more at once if that may help: with new credentials if the old ones were refused, or if a
    /// kept connection was closed under a look.
    pub(super) async fn call(&self, call: &Call, errand: Errand) -> Shown {
        if Instant::now() >= errand.until() {
            return Shown::Failed(unasked(call));
        }
        let first = self.ask(call, errand, None).await;
        let refused = first
            .held
            .as_ref()
            .filter(|_| is_unauthorized(&first.shown));
        let again = if first.broke_off {
            self.ask(call, errand, None).await
        } else if refused.is_some() {
            // A signature that was refused is refused again, and the gateway locks a key after five: only other
            // credentials are worth another request.
            self.ask(call, errand, refused).await
        } else {
            return first.shown;
        };
        // If it was not made, what was said first stands.
        if again.held.is_some() {
            again.shown
        } else {
            first.shown
        }
    }

    /// Makes a call, unless it would be with credentials like `refused`.
    async fn ask(&self, call: &Call, errand: Errand, refused: Option<&Arc<Held>>) -> Outcome {
        let ready = self.get_ready(call, errand, refused);
        match self.ground.hold.unless(ready).await {
            Ok(Ok((client, held, _permit))) => self.send(call, &client, held).await,
            Ok(Err(failure)) => Outcome::none(failed(failure)),
            Err(HeldBack) => Outcome::none(held_back()),
        }
    }

    /// Waits for the permit last, as a start does.
    async fn get_ready(
        &self,
        call: &Call,
        errand: Errand,
        refused: Option<&Arc<Held>>,
    ) -> Result<(reqwest::Client, Arc<Held>, Permit), Failure> {
        // To stop a run is done on a connection of its own, as a start is: it should not break off.
        let purpose = if call.is_look() {
            Purpose::Look
        } else {
            Purpose::Start
        };
        let mut patience = Patience::new(self.account());
        let client = patience.bear(self.ground.client(purpose)).await?;
        let other = |held: Arc<Held>| match refused {
            Some(refused) if refused.is_like(&held) => Err(Failure {
                cause: Cause::Refused,
                ..Failure::from("there are no other credentials".to_owned())
            }),
            Some(_) | None => Ok(held),
        };
        other(patience.bear(self.keeper.get(&self.ground)).await?)?;
        let permit = self.permit(errand).await?;
        let held = other(patience.bear(self.keeper.get(&self.ground)).await?)?;
        Ok((client, held, permit))
    }

    async fn send(&self, call: &Call, client: &reqwest::Client, held: Arc<Held>) -> Outcome {
        let account = self.account();
        let project_id = account
            .iam_project_id
            .as_deref()
            .or(held.project_id.as_deref());
        let request = call
            .request(&account.endpoint, project_id)
            .map_err(|error| error.to_string())
            .and_then(|request| {
                held.pass
                    .admit(request, self.ground.clock.now())
                    .map_err(|error| error.to_string())
            });
        let request = match request {
            Ok(request) => request,
            Err(why) => return Outcome::none(failed(Failure::ours(why))),
        };
        let mask = mask(account, &request, &held, &Secrets::new());
        let asked = exchange(client, request, SHOWN_BYTES_MAX, &self.ground.hold);
        let (shown, broke_off) = match self.ground.timed(call.name(), asked).await {
            Ok(response) => (call.read(&response, &mask, self.ground.clock.now()), false),
            Err(lost) => {
                let broke_off = call.is_look() && !lost.never_sent && !lost.given_up;
                (Shown::Failed(unanswered(call, &lost, &mask)), broke_off)
            }
        };
        if let Shown::Failed(answer) = &shown {
            self.heard(answer, &held);
        }
        Outcome {
            shown,
            held: Some(held),
            broke_off,
        }
    }
}

impl Outcome {
    /// Nothing was sent.
    fn none(answer: Answer) -> Self {
        Self {
            shown: Shown::Failed(answer),
            held: None,
            broke_off: false,
        }
    }
}

pub(super) fn looking() -> Errand {
    Errand::Look {
        until: Instant::now() + LOOK_TIME,
    }
}

/// What a pipeline does is looked at, and a run stopped, when a start waits for it.
fn before_a_start() -> Errand {
    Errand::Start {
        until: Instant::now() + LOOK_TIME,
    }
}

fn is_unauthorized(shown: &Shown) -> bool {
    matches!(shown, Shown::Failed(answer) if answer.kind == AnswerKind::Unauthorized)
}

fn unasked(call: &Call) -> Answer {
    no_response(
        AnswerKind::KeptHere,
        format!(
            "{}: not asked, the look took longer than {} s",
            call.name(),
            LOOK_TIME.as_secs()
        ),
    )
}

/// No answer came: nothing was to be started, so nothing is in doubt.
fn unanswered(call: &Call, lost: &Lost, mask: &Mask) -> Answer {
    let (kind, what) = if lost.never_sent {
        (never_sent(lost), "not sent")
    } else {
        (AnswerKind::RefusedInPassing, "no answer")
    };
    let message = format!("{}: {what}: {}", call.name(), lost.why);
    no_response(kind, mask.show(&message))
}
