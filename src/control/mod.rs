//! The control socket: how commands reach the daemon that runs, and how it answers.
//!
//! HTTP with JSON over a Unix socket. Who is on the other end the kernel says: root, the daemon's own user and its own
//! group may act; others may read, if the socket's mode lets them in at all. What comes in is hostile until it is read: everything
//! has a limit, and the loop is asked through a queue that is never waited for.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub mod client;
pub mod server;

use crate::domain::{Act, Tick, TickState, rfc3339};
use crate::ledger::Story;

/// The header that says on which ledger the daemon is expected to work.
pub const LEDGER_HEADER: &str = "pipecron-ledger";
/// The header in which root says for whom it acts.
pub const BY_HEADER: &str = "pipecron-by";
/// Longest time in seconds for which a request for a tick waits for news.
pub const NEWS_SECS_MAX: u64 = 25;

/// `POST /v1/pause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseBody {
    /// `entry:NAME`, `label:WORD`, `all`.
    pub scope: String,
    /// RFC 3339.
    #[serde(default)]
    pub until: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeBody {
    /// As it was paused.
    pub scope: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/skip`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkipBody {
    /// The entry.
    pub entry: String,
    /// The due times of ticks to come, in RFC 3339.
    pub dues: Vec<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Take it back.
    #[serde(default)]
    pub undo: bool,
}

/// `POST /v1/trigger`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerBody {
    /// The entry.
    pub entry: String,
    /// Pairs of name and value.
    #[serde(default)]
    pub variables: Vec<(String, String)>,
    /// The branch of all code sources.
    #[serde(default)]
    pub branch: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Beside whatever else runs.
    #[serde(default)]
    pub force: bool,
    /// RFC 3339: for the tick that was due then.
    #[serde(default)]
    pub due: Option<String>,
    /// With `due`: also if a run was started for it already.
    #[serde(default)]
    pub again: bool,
    /// A word of the client's own, four small letters or digits: whoever asks twice with the same one, because the
    /// answer was lost, gets the tick that is there.
    #[serde(default)]
    pub key: Option<String>,
}

/// A tick as scripts see it. What is absent is null; keys are only ever added.
pub fn tick_json(tick: &Tick) -> Value {
    let (reason, ended_at) = match tick.state {
        TickState::Ended { reason, at } => (Some(reason.name()), Some(rfc3339(at))),
        TickState::Waiting { .. }
        | TickState::Sent { .. }
        | TickState::Doubtful { .. }
        | TickState::Running { .. } => (None, None),
    };
    let not_before = match tick.state {
        TickState::Waiting { not_before } => Some(rfc3339(not_before)),
        TickState::Sent { .. }
        | TickState::Doubtful { .. }
        | TickState::Running { .. }
        | TickState::Ended { .. } => None,
    };
    json!({
        "tick": tick.id,
        "entry": tick.entry,
        "due": rfc3339(tick.due),
        "origin": tick.origin,
        "state": tick.state.name(),
        "reason": reason,
        "attempts": tick.attempts,
        "run_id": tick.run.as_ref().map(|run| &run.id),
        "queue_id": tick.run.as_ref().and_then(|run| run.queue_id.as_ref()),
        "outcome": tick.run.as_ref().and_then(|run| run.outcome.as_ref()),
        "opened_at": rfc3339(tick.opened_at),
        "not_before": not_before,
        "deadline": rfc3339(tick.deadline),
        "ended_at": ended_at,
        "account": tick.account,
        "project_id": tick.request.project_id,
        "pipeline_id": tick.request.pipeline_id,
        "note": tick.note,
        "moved_from": tick.moved_from.iter().copied().map(rfc3339).collect::<Vec<_>>(),
        "missed": tick.missed.map(|missed| json!({
            "count": missed.count,
            "at_least": missed.at_least,
            "from": rfc3339(missed.from),
            "to": rfc3339(missed.to),
        })),
    })
}

/// A tick with what was decided about it.
pub fn story_json(story: &Story) -> Value {
    let mut object = tick_json(&story.tick);
    let note = |(at, note): &(_, String)| json!({ "at": rfc3339(*at), "note": note });
    object["story"] = story.notes.iter().map(note).collect();
    object
}

/// What somebody did, as scripts see it.
pub fn act_json(act: &Act) -> Value {
    json!({
        "at": rfc3339(act.at),
        "by": act.by,
        "what": act.what,
        "on": act.on,
        "reason": act.reason,
        "outcome": act.outcome,
    })
}
