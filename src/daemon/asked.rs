//! What people ask of the running loop: the control socket hands it in, the loop answers between two decisions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Daemon, Health, hand};
use crate::codearts::{CodeArts, secret_variables};
use crate::config;
use crate::domain::plan::{self, ByHand};
use crate::domain::request::{RunRequest, Variable, VariableValue};
use crate::domain::{
    Entry, EntryName, EntryState, Origin, Overlap, Plan, Scope, Tick, Timestamp, rfc3339,
};
use crate::ledger::{HistoryQuery, Ledger, LedgerError};
use crate::os;

/// What came of what somebody asked for.
pub type Reply = Result<Value, Refusal>;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such thing; says what is like it.
    Unknown(String),
    /// It cannot be done; says why, and what can.
    Refused(String),
    /// It cannot be done now.
    NotNow(String),
    /// The files have these problems.
    Problems(Vec<String>),
}

impl From<LedgerError> for Refusal {
    fn from(failure: LedgerError) -> Self {
        Self::NotNow(format!("nothing was changed: {failure}"))
    }
}

/// Something that somebody asks for, and where the answer goes.
#[derive(Debug)]
pub struct Asked {
    /// Who.
    pub by: String,
    /// What.
    pub wish: Wish,
    /// Where they wait. If nobody waits any more it is done all the same.
    pub reply: oneshot::Sender<Reply>,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// How the loop stands.
    Status,
    /// Read the configuration again, and say what came of it.
    Reload,
    /// Hold entries still.
    Pause {
        /// Which.
        scope: Scope,
        /// Until when; none: until somebody resumes them.
        until: Option<Timestamp>,
        /// Why.
        reason: String,
    },
    /// Let them go on.
    Resume {
        /// Which: as they were paused.
        scope: Scope,
        /// Why.
        reason: String,
    },
    /// Mark coming ticks to be skipped, or take that back.
    Skip {
        /// The entry.
        entry: String,
        /// The due times.
        dues: Vec<Timestamp>,
        /// Why.
        reason: String,
        /// Take it back.
        undo: bool,
    },
    /// Start a run now.
    Trigger(Trigger),
}

impl Wish {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Reload => "reload",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Skip { undo: false, .. } => "skip",
            Self::Skip { undo: true, .. } => "skip that is taken back",
            Self::Trigger(_) => "trigger",
        }
    }
}

/// A run that somebody wants now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trigger {
    /// The entry.
    pub entry: String,
    /// Variables in place of the entry's, or beside them.
    pub variables: Vec<(String, String)>,
    /// The branch of all code sources.
    pub branch: Option<String>,
    /// Why.
    pub reason: String,
    /// Whatever else runs, and however many.
    pub force: bool,
    /// For this due time, which has passed; none: for now.
    pub due: Option<Timestamp>,
    /// With `due`: also if a run was started for it already.
    pub again: bool,
    /// Whoever asks twice with the same one gets the tick that is there.
    pub key: Option<String>,
}

/// How old may be what is said of how the loop stands: with many entries it takes a while to find out.
const STANDING_AGE_MAX: Duration = Duration::from_secs(1);
/// Most ticks by hand of one entry that may be open: whoever triggers in an endless loop is to notice.
const OPEN_BY_HAND_MAX: usize = 50;
/// A trigger whose answer was lost is asked for again within this; and who triggers is told what was triggered since.
const LATELY: TimeDelta = TimeDelta::minutes(15);
/// Rows that are looked through for that.
const ROWS_MAX: u32 = 1_000;
/// Length of what tells ticks by hand apart, a client's own word or ours: with it the marker has to fit.
pub const KEY_CHARS: usize = 4;
/// How many ticks a trigger is told of that are there beside it.
const BESIDE_MAX: usize = 5;

/// Whether a run was started for it, or may still be.
fn is_run_or_open(tick: &Tick) -> bool {
    tick.run.is_some() || !tick.state.is_ended()
}

fn beside_json(tick: &Tick) -> Value {
    json!({
        "tick": tick.id,
        "state": tick.state.word(),
        "opened_at": rfc3339(tick.opened_at),
    })
}

/// A client's own word for what it asks.
fn key(key: &str) -> Result<&str, Refusal> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match key.len() == KEY_CHARS && key.chars().all(is_plain) {
        true => Ok(key),
        false => Err(Refusal::Refused(format!(
            "the key has to be {KEY_CHARS} small letters or digits"
        ))),
    }
}

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// Does what somebody asks for, and answers.
    pub(super) async fn answer(&mut self, asked: Asked) {
        let Asked { by, wish, reply } = asked;
        let now = self.now();
        let (ledger, config) = (&self.parts.ledger, &self.parts.config);
        let came_of_it = match wish {
            Wish::Reload => return self.start_reload(&by, Some(reply)),
            Wish::Status => Ok(self.stands(now)),
            Wish::Pause {
                scope,
                until,
                reason,
            } => hand::pause(&**ledger, config, now, by, scope, until, reason).await,
            Wish::Resume { scope, reason } => hand::resume(&**ledger, now, by, scope, reason).await,
            Wish::Skip {
                entry,
                dues,
                reason,
                undo,
            } => hand::skip(&**ledger, config, now, by, &entry, dues, reason, undo).await,
            Wish::Trigger(wanted) => self.open_by_hand(&by, wanted).await,
        };
        // Whoever asked may have left.
        let _ = reply.send(came_of_it);
    }

    /// Opens a tick that somebody wants; it goes on in the loop like all others.
    async fn open_by_hand(&mut self, by: &str, wanted: Trigger) -> Reply {
        hand::check_reason(&wanted.reason)?;
        let found = hand::entry(&self.parts.config, &wanted.entry)?;
        let mut entry = Entry::clone(found);
        let variables = variables(&entry.request, &wanted.variables)?;
        if let Some(branch) = &wanted.branch {
            use_branch(&mut entry.request, branch)?;
        }
        let name = entry.name.clone();
        let others = self.others(&name, &wanted).await?;
        let key = wanted.key.as_deref().map(key).transpose()?;
        let is_it = |tick: &&Tick| key.is_some_and(|key| tick.id.random() == Some(key));
        if let Some(there) = others.iter().find(is_it) {
            // Asked before, and the answer was lost.
            return Ok(json!({ "tick": there.id, "repeated": true, "beside": [] }));
        }
        if let Some(due) = wanted.due {
            self.check_due(&entry, due, &others, wanted.again)?;
        }
        let mut room = self.room(std::slice::from_ref(&name), BTreeSet::new());
        if wanted.force {
            entry.policy.overlap = Overlap::Allow;
            room.called = None;
            room.max_running.clear();
        }
        let mut why = hand::by_hand(by, &wanted.reason);
        if let Some(due) = wanted.due {
            why = format!("{why}, for the tick due {}", rfc3339(due));
        }
        let random = key.map_or_else(|| os::random_word(KEY_CHARS), str::to_owned);
        let (entry, due) = (Arc::new(entry), wanted.due);
        let decide = move |now, _: &EntryName, state: &EntryState| {
            let by_hand = |tick: &&Tick| tick.origin == Origin::Manual;
            if state.open.iter().filter(by_hand).count() >= OPEN_BY_HAND_MAX {
                return Plan::default();
            }
            let by_hand = ByHand {
                random: &random,
                due,
                variables: &variables,
                why: &why,
            };
            plan::open_manual(now, &entry, state, by_hand, &mut room)
        };
        let began = tokio::time::Instant::now();
        let plans = self.parts.ledger.decide(vec![name.clone()], decide).await;
        match &plans {
            Ok(_) => self.metrics.stored(began.elapsed()),
            Err(_) => self.metrics.not_stored(),
        }
        let plans = plans?;
        self.ledger_works();
        let mut opened = None;
        for plan in plans {
            opened = plan.changes.last().map(|change| change.tick.id.clone());
            if let Some(at) = plan.wake_at {
                self.alarms.bring_forward(&name, at);
            }
            self.carry_out(&name, plan);
        }
        let Some(id) = opened else {
            return Err(Refusal::NotNow(format!(
                "nothing was started: {OPEN_BY_HAND_MAX} ticks of {name} that were triggered by hand are open already; `pipecron \
                 status` shows what they wait for"
            )));
        };
        info!(
            entry = name.as_str(),
            tick = id.as_str(),
            "triggered by {by}"
        );
        let outcome = format!("opened {id}");
        let subject = format!("entry {name}");
        let now = self.now();
        hand::note(
            &*self.parts.ledger,
            now,
            by,
            "trigger",
            subject,
            wanted.reason,
            outcome,
        )
        .await;
        let beside = others.iter().filter(|tick| is_run_or_open(tick));
        let beside: Vec<Value> = beside.take(BESIDE_MAX).map(beside_json).collect();
        Ok(json!({ "tick": id, "repeated": false, "beside": beside }))
    }

    /// What was started by hand of the entry lately; or, for a due time, all that there is of that.
    async fn others(&self, name: &EntryName, wanted: &Trigger) -> Result<Vec<Tick>, LedgerError> {
        let (since, until) = match wanted.due {
            Some(due) => (due, Some(due + TimeDelta::nanoseconds(1))),
            None => (self.now() - LATELY, None),
        };
        let query = HistoryQuery {
            entries: vec![name.clone()],
            since: Some(since),
            until,
            limit: Some(ROWS_MAX),
            ..HistoryQuery::default()
        };
        let mut rows = self.parts.ledger.history(query).await?;
        rows.retain(|tick| wanted.due.is_some() || tick.origin == Origin::Manual);
        Ok(rows)
    }

    /// Whether a run may be started for this due time.
    fn check_due(
        &self,
        entry: &Entry,
        due: Timestamp,
        rows: &[Tick],
        again: bool,
    ) -> Result<(), Refusal> {
        let what = rfc3339(due);
        if due > self.now() {
            let why = format!("{what} is still to come; what is to run then runs by its schedule");
            return Err(Refusal::Refused(why));
        }
        let schedule = entry.schedule.as_ref();
        let is_start = schedule.is_some_and(|schedule| schedule.last_until(due) == Some(due));
        if !is_start && rows.is_empty() {
            let last = schedule.and_then(|schedule| schedule.last_until(due));
            let near = last.map_or_else(String::new, |last| {
                format!("; the one before was due {}", rfc3339(last))
            });
            let why = format!("no tick of {} was due at {what}{near}", entry.name);
            return Err(Refusal::Unknown(why));
        }
        match rows.iter().find(|tick| is_run_or_open(tick)) {
            Some(there) if !again => Err(Refusal::Refused(format!(
                "{} is {} already, for the tick due {what}; say again to start another run for it",
                there.id,
                there.state.word()
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// How the loop stands or stood a moment ago, as far as only it knows.
    fn stands(&mut self, now: Timestamp) -> Value {
        let seen = tokio::time::Instant::now();
        match &self.stood {
            Some((at, standing)) if seen.duration_since(*at) < STANDING_AGE_MAX => standing.clone(),
            Some(_) | None => {
                let standing = self.standing(now);
                self.stood = Some((seen, standing.clone()));
                standing
            }
        }
    }

    fn standing(&self, now: Timestamp) -> Value {
        let entries = &self.parts.config.entries;
        let next = entries.values().filter_map(|entry| {
            let schedule = entry.schedule.as_ref().filter(|_| entry.enabled)?;
            let after = entry.not_before.map_or(now, |begin| now.max(begin));
            let due = schedule.next_after(after)?;
            let is_open = entry.not_after.is_none_or(|end| due <= end);
            is_open.then_some((due, &entry.name))
        });
        let next = next
            .min()
            .map(|(due, entry)| json!({ "entry": entry, "due": rfc3339(due) }));
        let account = |name: &crate::domain::AccountName| {
            let health = self.paces.get(name).map(|pace| Health::of(pace, now));
            let health = health.unwrap_or_default();
            json!({
                "account": name,
                "rests_until": health.rests_until.map(rfc3339),
                "breaker": health.is_broken,
                "credentials_refused": health.is_refused,
            })
        };
        json!({
            "now": rfc3339(now),
            "started_at": self.here_since.map(rfc3339),
            "entries": entries.len(),
            "accounts": self.parts.config.accounts.keys().map(account).collect::<Vec<_>>(),
            "next": next,
            "requests_under_way": self.under_way.len(),
            "ledger_fails": self.trouble.is_some(),
            "last_reload": self.last_read.as_ref().map(|read| json!({
                "at": rfc3339(read.at),
                "by": read.by,
                "refused": !read.problems.is_empty(),
                "problems": read.problems,
            })),
        })
    }
}

/// The variables that are to be set, each once, the last of a name.
///
/// A variable that is a secret in the configuration stays one: a value that is given would stand in the ledger.
///
/// # Errors
/// When one of them cannot be a variable, or is a secret.
pub fn variables(
    request: &RunRequest,
    given: &[(String, String)],
) -> Result<Vec<Variable>, Refusal> {
    let mut variables = RunRequest::default();
    for (name, value) in given {
        config::check_variable(name, value).map_err(Refusal::Refused)?;
        if secret_variables(request).any(|(secret, _)| secret == name) {
            return Err(Refusal::Refused(format!(
                "{name} is a secret of the entry, and a value given here would be written down; change it where it is kept"
            )));
        }
        variables.set_variable(name, &VariableValue::Value(value.clone()));
    }
    Ok(variables
        .variables
        .map_or_else(Vec::new, |list| list.to_vec()))
}

/// Longest name of a branch, in characters.
const BRANCH_CHARS_MAX: usize = 250;

/// Builds all code sources of a request from this branch.
///
/// # Errors
/// When it has none, or this is no name for a branch.
pub fn use_branch(request: &mut RunRequest, branch: &str) -> Result<(), Refusal> {
    if branch.is_empty()
        || branch.chars().count() > BRANCH_CHARS_MAX
        || branch.contains(|c: char| c.is_control() || c.is_whitespace())
    {
        let why = format!(
            "{:?} is no name of a branch: 1 to {BRANCH_CHARS_MAX} characters without spaces",
            branch.chars().take(60).collect::<String>()
        );
        return Err(Refusal::Refused(why));
    }
    let mut all = request
        .sources
        .take()
        .map_or_else(Vec::new, |all| all.to_vec());
    let sources = all.iter_mut();
    let mut params: Vec<_> = sources
        .filter_map(|source| source.params.as_mut())
        .collect();
    if params.is_empty() {
        let why = "the entry names no code source, so there is nothing to build from another branch; the pipeline's own source \
                   counts"
            .to_owned();
        return Err(Refusal::Refused(why));
    }
    for params in &mut params {
        let build = params.build_params.get_or_insert_default();
        build.build_type = "branch".to_owned();
        build.target_branch = Some(branch.to_owned());
        build.tag = None;
    }
    request.sources = Some(all.into());
    Ok(())
}

/// Says that nobody was there to hear it.
pub(super) fn unanswered(asked: &Asked) {
    let (by, what) = (&asked.by, asked.wish.name());
    warn!("{by} asked for a {what}, and pipecron is ending: it was not done");
}
