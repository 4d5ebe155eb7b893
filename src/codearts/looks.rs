//! How runs stand, and what a pipeline does: what to ask for it, and what to make of what came back. No IO, no time.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::calls::{Call, LatestRun, QueueRecord, Shown};
use super::pages::Pages;
use super::search::{Step, concerns_all, may_wait};
use crate::domain::sighting::{Look, PipelineAt, SeenRun};
use crate::domain::{Answer, AnswerKind};

/// How many pipelines are asked about in one call. No maximum is documented.
pub const PIPELINES_PER_CALL: usize = 50;
/// How many of a pipeline's newest runs are looked at for what is under way: two pages, which overlap.
pub const NEWEST_RUNS: usize = 190;

/// A look at runs of one account: first many pipelines a call, then one by one what that does not tell.
#[derive(Debug)]
pub struct Round {
    runs: Vec<(PipelineAt, String)>,
    looks: Vec<Option<Look>>,
    /// Runs that are known to have failed; their details only tell where.
    failed: HashMap<usize, SeenRun>,
    /// Every further call would fail like this.
    end: Option<Answer>,
}

/// A call about several of the wanted runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The call.
    pub call: Call,
    /// Which of the wanted runs it may tell of.
    pub runs: Vec<usize>,
}

impl Round {
    /// A look at these runs.
    pub fn new(runs: Vec<(PipelineAt, String)>) -> Self {
        let looks = runs.iter().map(|_| None).collect();
        Self {
            runs,
            looks,
            failed: HashMap::new(),
            end: None,
        }
    }

    /// The calls to make first: `BatchShowPipelinesLatestStatus` for the pipelines of a project of which one run is
    /// wanted. Of several runs of a pipeline it can tell of one at most, and for a single pipeline it saves nothing.
    pub fn batches(&self) -> Vec<Batch> {
        let mut projects: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        for (at, (pipeline, _)) in self.runs.iter().enumerate() {
            projects
                .entry(&pipeline.project_id)
                .or_default()
                .entry(&pipeline.pipeline_id)
                .or_default()
                .push(at);
        }
        let is_one = |wanted: &Vec<usize>| {
            let ids: HashSet<&str> = wanted.iter().map(|at| self.runs[*at].1.as_str()).collect();
            ids.len() == 1
        };
        let mut batches = Vec::new();
        for (project_id, pipelines) in projects {
            let single: Vec<(&str, Vec<usize>)> = pipelines
                .into_iter()
                .filter(|(_, wanted)| is_one(wanted))
                .collect();
            for some in single
                .chunks(PIPELINES_PER_CALL)
                .filter(|some| some.len() > 1)
            {
                batches.push(Batch {
                    call: Call::Latest {
                        project_id: project_id.to_owned(),
                        pipeline_ids: some.iter().map(|(id, _)| (*id).to_owned()).collect(),
                    },
                    runs: some
                        .iter()
                        .flat_map(|(_, wanted)| wanted)
                        .copied()
                        .collect(),
                });
            }
        }
        batches
    }

    /// Takes what came of a batch. What it does not tell is asked for one by one; so is everything, if it failed
    /// because of one of its pipelines.
    pub fn take_batch(&mut self, runs: &[usize], shown: Shown) {
        let latest = match shown {
            Shown::Latest(latest) => latest,
            Shown::Failed(answer) => return self.note(&answer),
            Shown::Runs(_)
            | Shown::Queue(_)
            | Shown::Run(_)
            | Shown::NoRecord(_)
            | Shown::Blank(_)
            | Shown::Pipeline(_)
            | Shown::Pipelines(_)
            | Shown::Done => return,
        };
        let latest: HashMap<&str, &LatestRun> = latest
            .iter()
            .map(|latest| (latest.run.run_id.as_str(), latest))
            .collect();
        for at in runs.iter().copied() {
            let Some((pipeline, run_id)) = self.runs.get(at) else {
                continue;
            };
            let Some(latest) = latest.get(run_id.as_str()) else {
                continue;
            };
            let is_elsewhere = latest
                .pipeline_id
                .as_ref()
                .is_some_and(|id| *id != pipeline.pipeline_id);
            match latest.run.status.as_ref().map(|status| status.0.as_str()) {
                // A row without a status says nothing.
                None => {}
                Some(_) if is_elsewhere => {}
                Some("FAILED") => {
                    self.failed.insert(at, latest.run.clone());
                }
                Some(_) => self.looks[at] = Some(Look::Seen(Box::new(latest.run.clone()))),
            }
        }
    }

    /// The calls to make then, one a run. None if every call would fail.
    pub fn details(&self) -> Vec<(usize, Call)> {
        let wanted = self.runs.iter().zip(&self.looks).enumerate();
        wanted
            .filter(|(_, (_, look))| look.is_none() && self.end.is_none())
            .map(|(at, ((pipeline, run_id), _))| {
                let call = Call::Detail {
                    at: pipeline.clone(),
                    run_id: run_id.clone(),
                };
                (at, call)
            })
            .collect()
    }

    /// Why every further call would fail, if so.
    pub fn end(&self) -> Option<&Answer> {
        self.end.as_ref()
    }

    /// Takes what came of a detail.
    pub fn take_detail(&mut self, at: usize, shown: Shown) {
        if let Shown::Failed(answer) = &shown {
            self.note(answer);
        }
        let known = self.failed.get(&at);
        let look = match (shown, known) {
            (Shown::Run(run), _) => Look::Seen(run),
            // How it ended is known; only where is not.
            (_, Some(failed)) => Look::Seen(Box::new(failed.clone())),
            (Shown::NoRecord(_), None) => Look::Vanished,
            (Shown::Blank(answer) | Shown::Failed(answer), None) => Look::Failed(answer),
            (
                Shown::Runs(_)
                | Shown::Queue(_)
                | Shown::Latest(_)
                | Shown::Pipeline(_)
                | Shown::Pipelines(_)
                | Shown::Done,
                None,
            ) => Look::Failed(mismatched()),
        };
        if let Some(place) = self.looks.get_mut(at) {
            *place = Some(look);
        }
    }

    /// What came of it, in the order of the runs.
    pub fn finish(self) -> Vec<Look> {
        let (failed, end) = (self.failed, self.end);
        let rest = |at: usize| match (failed.get(&at), &end) {
            (Some(run), _) => Look::Seen(Box::new(run.clone())),
            (None, Some(answer)) => Look::Failed(answer.clone()),
            (None, None) => Look::Failed(unasked("the run was not asked for".to_owned())),
        };
        let looks = self.looks.into_iter().enumerate();
        looks
            .map(|(at, look)| look.unwrap_or_else(|| rest(at)))
            .collect()
    }

    fn note(&mut self, answer: &Answer) {
        if self.end.is_none() && concerns_all(answer) {
            self.end = Some(answer.clone());
        }
    }
}

/// What a pipeline does now: its queue, then its newest runs, of which those count that are not over.
///
/// The list is not narrowed to some statuses: a status that we do not know would be left out, and its run started over.
/// It is read down to the [`NEWEST_RUNS`] newest runs; one that is still under way below them is not seen.
#[derive(Debug)]
pub struct UnderWay {
    at: PipelineAt,
    queue: Pages<QueueRecord>,
    list: Pages<SeenRun>,
    failed: Option<Answer>,
}

impl UnderWay {
    /// A look that has asked nothing yet.
    pub fn new(at: PipelineAt) -> Self {
        Self {
            at,
            queue: Pages::new(usize::MAX),
            list: Pages::new(NEWEST_RUNS),
            failed: None,
        }
    }

    /// What is to be asked next, or what came of it.
    pub fn next(&self) -> Step<Result<Vec<SeenRun>, Answer>> {
        let at = || self.at.clone();
        if let Some(answer) = &self.failed {
            return Step::Done(Err(answer.clone()));
        }
        if let Some(offset) = self.queue.next() {
            return Step::Ask(Call::Queue { at: at(), offset });
        }
        if let Some(offset) = self.list.next() {
            let (at, since) = (at(), None);
            return Step::Ask(Call::Runs { at, since, offset });
        }
        let cuts = [
            ("queue", self.queue.cut()),
            ("list of runs", self.list.cut()),
        ];
        Step::Done(
            match cuts.into_iter().find_map(|(name, cut)| Some((name, cut?))) {
                // Runs may have been missed, and "nothing is under way" would start one more.
                Some((name, why)) => Err(Answer {
                    kind: AnswerKind::RefusedInPassing,
                    ..unasked(format!("the {name}: {why}"))
                }),
                None => Ok(self.runs()),
            },
        )
    }

    /// Takes what came of the call that [`UnderWay::next`] asked for.
    pub fn feed(&mut self, shown: Shown) {
        let reads_queue = self.queue.next().is_some();
        match shown {
            Shown::Queue(page) if reads_queue => self.queue.take(page),
            Shown::Runs(page) if !reads_queue && self.list.next().is_some() => {
                self.list.take(page);
            }
            Shown::Failed(answer) => self.failed = Some(answer),
            Shown::Queue(_)
            | Shown::Runs(_)
            | Shown::Run(_)
            | Shown::NoRecord(_)
            | Shown::Blank(_)
            | Shown::Latest(_)
            | Shown::Pipeline(_)
            | Shown::Pipelines(_)
            | Shown::Done => self.failed = Some(mismatched()),
        }
    }

    fn runs(&self) -> Vec<SeenRun> {
        let listed: HashSet<&str> = self
            .list
            .rows
            .iter()
            .map(|run| run.run_id.as_str())
            .collect();
        let queue_ids: HashMap<&str, &Option<String>> = self
            .queue
            .rows
            .iter()
            .map(|record| (record.run_id.as_str(), &record.queue_id))
            .collect();
        // The list was read after the queue: what it says of a run is newer.
        let from_list = self.list.rows.iter().map(|run| SeenRun {
            queue_id: queue_ids
                .get(run.run_id.as_str())
                .and_then(|id| (*id).clone())
                .filter(|_| may_wait(run)),
            ..run.clone()
        });
        let from_queue = self
            .queue
            .rows
            .iter()
            .filter(|record| !listed.contains(record.run_id.as_str()))
            .map(|record| record.clone().into_run());
        let is_over = |run: &SeenRun| run.status.as_ref().is_some_and(|status| status.is_final());
        from_list
            .chain(from_queue)
            .filter(|run| !is_over(run))
            .collect()
    }
}

/// An answer for what was not asked.
fn unasked(message: String) -> Answer {
    Answer {
        kind: AnswerKind::KeptHere,
        status: None,
        code: None,
        message,
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}

/// What was fed does not belong to the call that was asked for.
pub(super) fn mismatched() -> Answer {
    unasked("the answer is to another call than the one that was made".to_owned())
}
