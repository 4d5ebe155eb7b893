//! Was a run with this marker started? A machine that says what to ask, is told what came back, and ends with a
//! [`Sighting`]. No IO, no time.
//!
//! 1. The pipeline's queue. It comes first because runs go from the queue to the list and never back: a run that left
//!    the queue just after we looked there is in the list when we look there. The other way round it would be in
//!    neither.
//! 2. The list of runs that started since the attempt, page by page.
//! 3. The details of each run that may be it, newest first: no list gives the description back (SDKs; help centre:
//!    "Obtaining Pipeline Execution Records").
//!
//! The machine finds nothing by chance and misses nothing in silence: only a description that ends with the marker is
//! a find, and "absent" is said only if every place was read to its end and every run there was told from ours.

use std::collections::{HashMap, HashSet, VecDeque};

use chrono::TimeDelta;

use super::calls::{Call, QueueRecord, Shown};
use super::looks::mismatched;
use super::pages::{PAGES_MAX, Pages};
use crate::domain::sighting::{Find, SeenRun, Sighting};
use crate::domain::{Answer, AnswerKind, Timestamp};

/// Runs that started this long before `since` may still be it: the service's clock stamps them, ours stamped `since`.
/// The gateway takes no signature that is more than 15 minutes off its clock (help centre, API Request Signing Guide).
pub const CLOCK_MARGIN: TimeDelta = TimeDelta::minutes(20);
/// The most runs whose details are looked at.
pub const DETAILS_MAX: usize = 200;
/// How many runs are named in a message.
const NAMED_MAX: usize = 3;

/// What a machine wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<T> {
    /// Make this call, and feed what comes of it.
    Ask(Call),
    /// This is what came of it all. Nothing is to be asked any more.
    Done(T),
}

/// A search.
#[derive(Debug)]
pub struct Search {
    find: Find,
    stage: Stage,
    queue: Pages<QueueRecord>,
    /// The queue could not be read; a find in the list does not need it.
    queue_failed: Option<Answer>,
    list: Pages<SeenRun>,
    candidates: VecDeque<Candidate>,
    /// Why "absent" cannot be said.
    doubts: Vec<String>,
    /// Runs that cannot be told from ours.
    unexplained: Vec<String>,
}

#[derive(Debug)]
enum Stage {
    Queue,
    List,
    Details,
    Done(Sighting),
}

/// A run that may be it.
#[derive(Debug)]
struct Candidate {
    run_id: String,
    number: Option<u64>,
    at: Option<Timestamp>,
    /// Its record in the queue, and the id that has there, if any.
    queued: Option<Option<String>>,
}

impl Search {
    /// A search that has asked nothing yet.
    pub fn new(find: Find) -> Self {
        // Every description ends with an empty text.
        let stage = if find.marker.trim().is_empty() {
            let why = "a run without a marker cannot be told from others".to_owned();
            Stage::Done(Sighting::Unexplained(why))
        } else {
            Stage::Queue
        };
        Self {
            find,
            stage,
            queue: Pages::new(usize::MAX),
            queue_failed: None,
            list: Pages::new(usize::MAX),
            candidates: VecDeque::new(),
            doubts: Vec::new(),
            unexplained: Vec::new(),
        }
    }

    /// What is to be asked next, or what came of it. Changes nothing.
    pub fn next(&self) -> Step<Sighting> {
        let at = || self.find.at.clone();
        match &self.stage {
            Stage::Queue => Step::Ask(Call::Queue {
                at: at(),
                offset: self.queue.next().unwrap_or_default(),
            }),
            Stage::List => Step::Ask(Call::Runs {
                at: at(),
                since: Some(self.from()),
                offset: self.list.next().unwrap_or_default(),
            }),
            Stage::Details => match self.candidates.front() {
                Some(candidate) => Step::Ask(Call::Detail {
                    at: at(),
                    run_id: candidate.run_id.clone(),
                }),
                None => Step::Done(self.verdict()),
            },
            Stage::Done(sighting) => Step::Done(sighting.clone()),
        }
    }

    /// Takes what came of the call that [`Search::next`] asked for. What comes after the end is ignored.
    pub fn feed(&mut self, shown: Shown) {
        match (&self.stage, shown) {
            (Stage::Done(_), _) => {}
            (Stage::Queue, Shown::Queue(page)) => {
                self.queue.take(page);
                if self.queue.next().is_none() {
                    self.stage = Stage::List;
                }
            }
            (Stage::Queue, Shown::Failed(answer)) if !concerns_all(&answer) => {
                self.queue_failed = Some(answer);
                self.stage = Stage::List;
            }
            (Stage::List, Shown::Runs(page)) => {
                self.list.take(page);
                if self.list.next().is_none() {
                    self.choose();
                    self.stage = Stage::Details;
                }
            }
            (Stage::Details, shown) => self.take_detail(shown),
            (_, Shown::Failed(answer)) => self.stage = Stage::Done(Sighting::Failed(answer)),
            (Stage::Queue | Stage::List, _) => {
                self.stage = Stage::Done(Sighting::Failed(mismatched()));
            }
        }
    }

    fn take_detail(&mut self, shown: Shown) {
        let Some(candidate) = self.candidates.pop_front() else {
            return;
        };
        match shown {
            Shown::Run(run) => match run.description.as_deref() {
                Some(text) if bears(text, &self.find.marker) => {
                    self.stage = Stage::Done(Sighting::Found(Box::new(candidate.found(*run))));
                }
                // Whether a run that waits shows its description is not known.
                None if candidate.queued.is_some() => self.unexplained.push(candidate.run_id),
                Some(_) | None => {}
            },
            Shown::NoRecord(_) | Shown::Blank(_) => self.unexplained.push(candidate.run_id),
            // A run that went away while we looked.
            Shown::Failed(answer) if answer.status == Some(404) => {
                self.unexplained.push(candidate.run_id);
            }
            Shown::Failed(answer) => self.stage = Stage::Done(Sighting::Failed(answer)),
            Shown::Runs(_)
            | Shown::Queue(_)
            | Shown::Latest(_)
            | Shown::Pipeline(_)
            | Shown::Pipelines(_)
            | Shown::Done => {
                self.stage = Stage::Done(Sighting::Failed(mismatched()));
            }
        }
    }

    /// Since when a run may be it, by the service's clock.
    fn from(&self) -> Timestamp {
        self.find
            .since
            .checked_sub_signed(CLOCK_MARGIN)
            .unwrap_or(self.find.since)
    }

    /// Chooses the runs whose details have to be looked at, newest first.
    fn choose(&mut self) {
        let from = self.from();
        let is_new = |at: Option<Timestamp>| at.is_none_or(|at| at >= from);
        let records = std::mem::take(&mut self.queue.rows);
        let listed: HashSet<&str> = self
            .list
            .rows
            .iter()
            .map(|run| run.run_id.as_str())
            .collect();
        let waiting = records
            .iter()
            .filter(|record| !listed.contains(record.run_id.as_str()) && is_new(record.enqueued_at))
            .map(Candidate::waiting);
        let queue_ids: HashMap<&str, &Option<String>> = records
            .iter()
            .map(|record| (record.run_id.as_str(), &record.queue_id))
            .collect();
        let is_newer = |run: &&SeenRun| {
            run.number
                .is_none_or(|number| self.find.above.is_none_or(|above| number > above))
        };
        let listed = self
            .list
            .rows
            .iter()
            .filter(is_newer)
            .filter(|run| is_new(run.started_at))
            .map(|run| Candidate {
                run_id: run.run_id.clone(),
                number: run.number,
                at: run.started_at,
                queued: queue_ids.get(run.run_id.as_str()).copied().cloned(),
            });
        let mut candidates: Vec<Candidate> = waiting.chain(listed).collect();
        // What has no time comes first: it may be newer than all.
        candidates.sort_by_key(|run| {
            std::cmp::Reverse((run.at.unwrap_or(Timestamp::MAX_UTC), run.number))
        });
        if candidates.len() > DETAILS_MAX {
            self.doubts.push(format!(
                "{} runs since the attempt may be it, and only {DETAILS_MAX} are looked at",
                candidates.len()
            ));
            candidates.truncate(DETAILS_MAX);
        }
        for (name, cut) in [
            ("list of runs", self.list.cut()),
            ("queue", self.queue.cut()),
        ] {
            if let Some(why) = cut.filter(|_| name != "queue" || self.queue_failed.is_none()) {
                self.doubts.push(format!("the {name}: {why}"));
            }
        }
        self.candidates = candidates.into();
    }

    /// What is to be said when every candidate was looked at.
    fn verdict(&self) -> Sighting {
        if let Some(answer) = &self.queue_failed {
            return Sighting::Failed(answer.clone());
        }
        let mut doubts = self.doubts.clone();
        if !self.unexplained.is_empty() {
            let count = self.unexplained.len();
            let named: Vec<&str> = self
                .unexplained
                .iter()
                .take(NAMED_MAX)
                .map(String::as_str)
                .collect();
            let more = if count > NAMED_MAX { ", ..." } else { "" };
            doubts.push(format!(
                "what {count} of the runs since the attempt are cannot be told ({}{more})",
                named.join(", ")
            ));
        }
        if doubts.is_empty() {
            Sighting::Absent
        } else {
            Sighting::Unexplained(doubts.join("; "))
        }
    }
}

impl Candidate {
    fn waiting(record: &QueueRecord) -> Self {
        Self {
            run_id: record.run_id.clone(),
            number: None,
            at: record.enqueued_at,
            queued: Some(record.queue_id.clone()),
        }
    }

    /// The run, with what was known of it before.
    fn found(self, detail: SeenRun) -> SeenRun {
        let queue_id = self.queued.flatten().filter(|_| may_wait(&detail));
        SeenRun {
            number: detail.number.or(self.number),
            queue_id,
            ..detail
        }
    }
}

/// The most calls that a search makes.
pub const CALLS_MAX: usize = 2 * PAGES_MAX as usize + DETAILS_MAX;

/// Whether a description is that of the run with this marker. The marker ends it: one that stands in the middle was
/// written by a person, and one with more behind it is another.
fn bears(description: &str, marker: &str) -> bool {
    let marker = marker.trim();
    !marker.is_empty() && description.trim_end().ends_with(marker)
}

/// Whether a run may be in the queue, by its status: the words of one that is not are known (SDKs, run status).
pub(super) fn may_wait(run: &SeenRun) -> bool {
    run.status.as_ref().is_none_or(|status| {
        !status.is_final() && !matches!(status.0.as_str(), "RUNNING" | "PAUSED" | "SUSPEND")
    })
}

/// Whether the next call would fail as well.
pub(super) fn concerns_all(answer: &Answer) -> bool {
    match answer.kind {
        AnswerKind::NotSent
        | AnswerKind::KeptHere
        | AnswerKind::Throttled
        | AnswerKind::Unauthorized => true,
        AnswerKind::Started { .. }
        | AnswerKind::Busy
        | AnswerKind::Refused
        | AnswerKind::RefusedInPassing
        | AnswerKind::Doubtful => false,
    }
}
