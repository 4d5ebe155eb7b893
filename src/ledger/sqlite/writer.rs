//! The one thread that writes: takes what has queued, stores it in one commit, answers all.
//!
//! A commit that is safe from a power cut costs a wait for the disk, and that wait costs the same for one decision as
//! for a hundred. While we wait the next ones queue up, so the busier it is the more share a wait.
//!
//! Those who share a commit have a savepoint each: a decision that cannot be stored takes back its own rows, not those
//! of its neighbours.

use std::fs::File;
use std::path::PathBuf;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::domain::Timestamp;
use crate::os::Clock;

use super::super::LedgerError;
use super::fault::{RowError, catch};
use super::file::{Lock, Standing};

/// Most jobs that share a commit.
const BATCH_JOBS_MAX: usize = 256;

/// What the thread is told.
pub(super) enum Message {
    /// Somebody waits for this before anything can be sent.
    Decision(Box<dyn Job>),
    /// This can wait until those have their answers.
    Chore(Box<dyn Job>),
    /// Write everything into the one file, let it go and end.
    Close(oneshot::Sender<Result<(), LedgerError>>),
}

/// Something to be done inside of a transaction.
pub(super) trait Job: Send {
    /// Whether somebody still waits for the answer.
    fn is_wanted(&self) -> bool;
    /// Does it, once, and keeps what came of it for `answer`.
    fn run(&mut self, conn: &Connection, now: Timestamp) -> Result<(), RowError>;
    /// Tells who waits: what came of it, or why it is not stored.
    fn answer(self: Box<Self>, stored: Result<(), LedgerError>);
}

/// A job made of a closure.
pub(super) struct Task<T, F> {
    work: Option<F>,
    came_of_it: Option<T>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Task<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection, Timestamp) -> Result<T, RowError> + Send + 'static,
{
    /// The job, and where its answer arrives.
    pub(super) fn of(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, LedgerError>>) {
        let (reply, answer) = oneshot::channel();
        let task = Self {
            work: Some(work),
            came_of_it: None,
            reply,
        };
        (Box::new(task), answer)
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection, Timestamp) -> Result<T, RowError> + Send + 'static,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, conn: &Connection, now: Timestamp) -> Result<(), RowError> {
        if let Some(work) = self.work.take() {
            self.came_of_it = Some(work(conn, now)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, stored: Result<(), LedgerError>) {
        let answer = match (stored, self.came_of_it) {
            (Ok(()), Some(came_of_it)) => Ok(came_of_it),
            (Err(error), _) => Err(error),
            // Never run, never answered with success: dropping the sender tells the caller that we are gone.
            (Ok(()), None) => return,
        };
        // Nobody may be waiting any more: what is stored is found at the next decision.
        let _ = self.reply.send(answer);
    }
}

/// What the thread owns. The connection is closed before the files are let go: fields are dropped in this order.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) path: PathBuf,
    pub(super) clock: Clock,
    pub(super) header: File,
    pub(super) lock: Lock,
    pub(super) standing: Standing,
}

/// What had queued.
#[derive(Default)]
struct Batch {
    decisions: Vec<Box<dyn Job>>,
    chores: Vec<Box<dyn Job>>,
    close: Option<oneshot::Sender<Result<(), LedgerError>>>,
}

impl Batch {
    fn take(first: Message, queue: &mut mpsc::Receiver<Message>) -> Self {
        let mut batch = Self::default();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Decision(job) => batch.decisions.push(job),
                Message::Chore(job) => batch.chores.push(job),
                Message::Close(reply) => {
                    batch.close = Some(reply);
                    break;
                }
            }
            if batch.decisions.len() + batch.chores.len() >= BATCH_JOBS_MAX {
                break;
            }
            next = queue.try_recv().ok();
        }
        batch
    }
}

impl Writer {
    /// Serves until it is told to close, or nobody is left who could tell it anything.
    pub(super) fn serve(self, mut queue: mpsc::Receiver<Message>) {
        while let Some(first) = queue.blocking_recv() {
            let batch = Batch::take(first, &mut queue);
            self.commit_together(batch.decisions);
            self.commit_together(batch.chores);
            if let Some(reply) = batch.close {
                // Whoever still queues is told that we are gone: their answers' senders are dropped with the queue.
                drop(queue);
                // Nobody may be waiting any more.
                let _ = reply.send(self.close());
                return;
            }
        }
        if let Err(error) = self.close() {
            tracing::warn!("{error}");
        }
    }

    fn commit_together(&self, jobs: Vec<Box<dyn Job>>) {
        let mut coming = jobs.into_iter().filter(|job| job.is_wanted()).peekable();
        while let Some(job) = coming.next() {
            if coming.peek().is_none() {
                self.commit_one(job);
            } else {
                self.commit_some(&mut std::iter::once(job).chain(&mut coming));
            }
        }
    }

    /// One transaction for one job: the usual case, when the daemon decides about all entries that are due in one call.
    /// It needs no savepoint, which costs more the more pages it covers (with a thousand entries a third of the time).
    fn commit_one(&self, mut job: Box<dyn Job>) {
        let ran = self
            .begin()
            .and_then(|()| catch(|| job.run(&self.conn, self.clock.now())));
        let ending = if ran.is_ok() && job.is_wanted() {
            self.commit()
        } else {
            self.roll_back();
            ran.map_err(|error| self.failed(error))
        };
        job.answer(ending);
    }

    /// One transaction: all jobs that come, or those up to one that broke it.
    fn commit_some(&self, coming: &mut dyn Iterator<Item = Box<dyn Job>>) {
        if let Err(error) = self.begin() {
            let error = self.failed(error);
            coming.for_each(|job| job.answer(Err(error.clone())));
            return;
        }
        let mut ran = Vec::new();
        for mut job in coming {
            match self.run(&mut *job) {
                Ok(true) => ran.push(job),
                Ok(false) => {}
                Err(error) => {
                    job.answer(Err(error.clone()));
                    // A full disk makes SQLite take back the whole transaction. What ran before this job is lost too.
                    if self.conn.is_autocommit() {
                        ran.into_iter()
                            .for_each(|job| job.answer(Err(error.clone())));
                        return;
                    }
                }
            }
        }
        let ending = self.commit();
        ran.into_iter().for_each(|job| job.answer(ending.clone()));
    }

    /// Runs a job within a savepoint. False if nobody waits for it any more and its rows were taken back.
    fn run(&self, job: &mut dyn Job) -> Result<bool, LedgerError> {
        let result = self.execute("SAVEPOINT job").and_then(|()| {
            // A decision's own panic is caught further in; this is for what is dropped with it.
            catch(|| job.run(&self.conn, self.clock.now()))
        });
        // The caller may have gone away meanwhile. Then nobody does what was decided: better that it was not.
        let keep = result.is_ok() && job.is_wanted();
        let ended = if keep {
            self.execute("RELEASE job")
        } else {
            self.execute("ROLLBACK TO job")
                .and_then(|()| self.execute("RELEASE job"))
        };
        if ended.is_err() {
            // It cannot be said which rows are whose any more.
            self.roll_back();
        }
        result
            .and(ended)
            .map(|()| keep)
            .map_err(|error| self.failed(error))
    }

    fn begin(&self) -> Result<(), RowError> {
        self.execute("BEGIN IMMEDIATE")
    }

    /// Takes everything back, unless SQLite has done so already.
    fn roll_back(&self) {
        if !self.conn.is_autocommit() {
            // The error that led here is the one that says what is wrong.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }

    fn execute(&self, sql: &str) -> Result<(), RowError> {
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Commits. When no row was touched SQLite writes nothing and does not wait for the disk.
    fn commit(&self) -> Result<(), LedgerError> {
        // Looked at before, so that nothing is written into what somebody has moved away, perhaps to keep it.
        let committed = self
            .stands()
            .and_then(|()| self.execute("COMMIT").map_err(|error| self.failed(error)));
        if committed.is_err() {
            self.roll_back();
        }
        // And after, for only this tells that the next process will find it: a request leaves on the strength of it.
        committed.and_then(|()| self.stands())
    }

    /// That our files are where the next process looks for them.
    fn stands(&self) -> Result<(), LedgerError> {
        self.standing
            .check()
            .map_err(|(fault, why)| LedgerError::Failed {
                path: self.path.clone(),
                verb: "written",
                fault,
                why,
            })
    }

    fn failed(&self, error: RowError) -> LedgerError {
        error.on(&self.path, "written")
    }

    /// Moves what is in the write-ahead log into the ledger, and lets both go.
    fn close(self) -> Result<(), LedgerError> {
        let Self {
            conn,
            path,
            header,
            lock,
            standing,
            clock: _,
        } = self;
        match standing.leave() {
            Ok(None) => {}
            Ok(Some(log)) => tracing::error!(
                "the last commits of the ledger that was at {path} are in {log}: if you have moved that ledger, stop pipecron \
                 and put this beside it, under its name with -wal at the end, before it is opened again",
                path = path.display(),
                log = log.display()
            ),
            Err(error) => tracing::error!(
                "the log {path}-wal is that of a ledger which is not there any more, and could not be moved out of the way: \
                 {error}; move it yourself before the next start",
                path = path.display()
            ),
        }
        let closed = conn.close();
        drop(header);
        drop(lock);
        closed.map_err(|(_, error)| RowError::from(error).on(&path, "closed"))
    }
}
