//! What a person is told: notices, and how they become few messages. Pure.
//!
//! A *notice* is one thing that happened: a run failed, a tick was not started, credentials were refused. Notices of one
//! kind and one cause that come together make a *group*, and the groups that a channel is told at once make a *message*:
//! 300 failures of one cause are one message. [`Herald`] finds what there is to tell, [`Outbox`] says when.

use std::fmt;
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::request::Text;
use super::{AccountName, EntryName, Reason, TickId, Timestamp};

pub mod body;
mod herald;
mod outbox;
#[cfg(test)]
mod tests;

pub use herald::{AccountHealth, Found, Herald, Seen, Sight};
pub use outbox::{Outbox, Tact};

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A run failed or was canceled.
    Failed,
    /// A tick was given up, or nobody knows whether it ran.
    NotStarted,
    /// Ticks passed while the daemon was away.
    Missed,
    /// Another run was under way, and `overlap` let this tick go.
    Skipped,
    /// A run takes longer than `run_timeout`.
    Overdue,
    /// A tick is not started yet though it was due long ago (`not_started_within`), or there was no success for long
    /// (`no_success_for`).
    Late,
    /// A tick is in doubt for longer than its account's `settle`.
    Doubtful,
    /// What was told before is over.
    Recovered,
    /// Credentials were refused.
    Credentials,
    /// The service fails for everyone: nothing is started.
    Breaker,
    /// New configuration files were refused, or the daemon runs with the last good ones.
    Reload,
    /// The ledger cannot be written, or the loop does not answer: nothing is started.
    Daemon,
    /// Somebody wanted to see whether messages arrive.
    Test,
}

impl Topic {
    /// All that a channel may ask for.
    pub const ALL: [Self; 12] = [
        Self::Failed,
        Self::NotStarted,
        Self::Missed,
        Self::Skipped,
        Self::Overdue,
        Self::Late,
        Self::Doubtful,
        Self::Recovered,
        Self::Credentials,
        Self::Breaker,
        Self::Reload,
        Self::Daemon,
    ];

    /// Its name in configurations and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NotStarted => "not_started",
            Self::Missed => "missed",
            Self::Skipped => "skipped",
            Self::Overdue => "overdue",
            Self::Late => "late",
            Self::Doubtful => "doubtful",
            Self::Recovered => "recovered",
            Self::Credentials => "credentials",
            Self::Breaker => "breaker",
            Self::Reload => "reload",
            Self::Daemon => "daemon",
            Self::Test => "test",
        }
    }

    /// The topic of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Whether a channel that says nothing of topics is told. A skipped tick is what the entry asked for.
    pub fn is_usual(self) -> bool {
        self != Self::Skipped
    }

    /// Whether it says that something is well again, or only wants to be seen.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Recovered | Self::Test)
    }

    /// That of a tick that ended for this reason; none if nobody has to know.
    pub fn of_reason(reason: Reason) -> Option<Self> {
        match reason {
            Reason::Failed | Reason::Canceled => Some(Self::Failed),
            Reason::TooLate | Reason::Refused | Reason::GaveUp | Reason::Unknown => {
                Some(Self::NotStarted)
            }
            Reason::Missed => Some(Self::Missed),
            Reason::Skipped => Some(Self::Skipped),
            Reason::Succeeded
            | Reason::Started
            | Reason::Excluded
            | Reason::Paused
            | Reason::Superseded
            | Reason::Withdrawn => None,
        }
    }

    /// How `count` of them are told in a headline: `3 runs failed`.
    pub fn headline(self, count: u64) -> String {
        let one = count == 1;
        let (subject, said) = match self {
            Self::Failed => (if one { "run" } else { "runs" }, "failed"),
            Self::NotStarted => (if one { "tick" } else { "ticks" }, "not started"),
            Self::Missed => (if one { "entry" } else { "entries" }, "missed ticks"),
            Self::Skipped => (if one { "tick" } else { "ticks" }, "skipped"),
            Self::Overdue => (if one { "run" } else { "runs" }, "overdue"),
            Self::Late => (if one { "entry" } else { "entries" }, "late"),
            Self::Doubtful => (if one { "tick" } else { "ticks" }, "in doubt for long"),
            Self::Recovered => ("", "recovered"),
            Self::Credentials => {
                let subject = if one { "account" } else { "accounts" };
                (subject, "with refused credentials")
            }
            Self::Breaker => {
                let subject = if one { "account" } else { "accounts" };
                (subject, "stopped, for the service fails")
            }
            Self::Reload => return "configuration refused".to_owned(),
            Self::Daemon => return "pipecron cannot work".to_owned(),
            Self::Test => return "test message".to_owned(),
        };
        match subject {
            "" => format!("{count} {said}"),
            subject => format!("{count} {subject} {said}"),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What kind of thing.
    pub topic: Topic,
    /// When.
    pub at: Timestamp,
    /// Whose entry, if it is about one.
    pub entry: Option<EntryName>,
    /// Which account, if it is about one.
    pub account: Option<AccountName>,
    /// Which tick.
    pub tick: Option<TickId>,
    /// When that was due, for people who look at it by the clock of the entry's zone.
    pub due: Option<Timestamp>,
    /// That due time as the clock of the entry's zone shows it: `2026-11-25 02:00 Asia/Shanghai`.
    pub due_local: Option<String>,
    /// What is the same for all that have one cause: the reason and the service's code. Notices with the same topic and
    /// cause are told together.
    pub cause: String,
    /// What happened, in a sentence.
    pub text: String,
    /// The run, if there is one.
    pub run_id: Option<String>,
    /// Its page in the console, if that is known.
    pub run_page: Option<String>,
}

/// Most notices of a group that are told one by one; the others are counted.
pub const LISTED_MAX: usize = 20;
/// Most groups of a message; what comes beyond is counted.
pub const GROUPS_MAX: usize = 40;
/// Longest text of a notice, in characters.
pub const TEXT_CHARS_MAX: usize = 500;

/// Notices of one topic and one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// What kind of thing happened.
    pub topic: Topic,
    /// Why.
    pub cause: String,
    /// How often.
    pub count: u64,
    /// The first [`LISTED_MAX`] of them.
    pub notices: Vec<Notice>,
}

/// What a channel is told at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What happened, the worst first.
    pub groups: Vec<Group>,
    /// How many notices are in none of them, for there were too many causes or too many messages.
    pub left_out: u64,
    /// A digest, if that is what it is.
    pub digest: Option<Digest>,
}

impl Message {
    /// How many notices it stands for.
    pub fn count(&self) -> u64 {
        let told: u64 = self.groups.iter().map(|group| group.count).sum();
        told + self.left_out
    }

    /// What it says, in a line.
    pub fn title(&self) -> String {
        if let Some(digest) = &self.digest {
            return digest.answer.clone();
        }
        let mut parts: Vec<(Topic, u64)> = Vec::new();
        for group in &self.groups {
            match parts.iter_mut().find(|(topic, _)| *topic == group.topic) {
                Some((_, count)) => *count += group.count,
                None => parts.push((group.topic, group.count)),
            }
        }
        let alone = match self.groups.as_slice() {
            [only] if only.count == 1 => only.notices.first(),
            _ => None,
        };
        let about = alone.and_then(|notice| match (&notice.entry, &notice.account) {
            (Some(entry), _) => Some(entry.to_string()),
            (None, Some(account)) => Some(format!("account {account}")),
            (None, None) => None,
        });
        if let (Some(about), Some(notice)) = (about, alone) {
            return format!("{about}: {}", notice.cause);
        }
        let mut said: Vec<String> = parts
            .iter()
            .map(|(topic, count)| topic.headline(*count))
            .collect();
        if self.left_out > 0 {
            said.push(format!("{} more", self.left_out));
        }
        said.join(", ")
    }

    /// Whether there is nothing in it that somebody has to mend.
    pub fn is_good(&self) -> bool {
        match &self.digest {
            Some(digest) => digest.is_good,
            None => self.left_out == 0 && self.groups.iter().all(|group| group.topic.is_good()),
        }
    }
}

/// Most rows of a digest; those that went well are left out first.
pub const DIGEST_ROWS_MAX: usize = 200;

/// How the entries fared since the last digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// From when on.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// The answer in a sentence: `41 of 43 nightlies succeeded, 1 running, 1 failed`.
    pub answer: String,
    /// Whether nobody has to look.
    pub is_good: bool,
    /// One row an entry, those that somebody has to look at first.
    pub rows: Vec<DigestRow>,
    /// How many rows are left out.
    pub left_out: u64,
}

/// How an entry fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestRow {
    /// Which.
    pub entry: EntryName,
    /// When its newest tick was due, by the clock of its zone: `02:00 Asia/Shanghai`; empty if none was.
    pub due_local: String,
    /// How it ended, in a word or two: `succeeded`, `failed`, `running`, `not due`.
    pub outcome: String,
    /// Whether somebody has to look.
    pub is_trouble: bool,
    /// How long its run took, in seconds.
    pub duration_secs: Option<i64>,
    /// More about it, when somebody has to look; else empty.
    pub text: String,
    /// The run, if there is one.
    pub run_id: Option<String>,
    /// Its page in the console, if that is known.
    pub run_page: Option<String>,
}

/// What a dead man's switch is told, by the conventions of healthchecks.io (<https://healthchecks.io/docs/http_api/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// A run was started: the address with `/start`.
    Start,
    /// It went well: the address itself.
    Success,
    /// It did not: the address with `/fail`.
    Fail,
}

/// What an entry wants to be told beside the ends of its ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Alarm {
    /// Its last success must not lie further back.
    pub no_success_for: Option<Duration>,
    /// A tick must be started so long after it is due, and the entry's spread is over.
    pub not_started_within: Option<Duration>,
}

/// A dead man's switch: an address that misses us when we are silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// Its address.
    pub url: Text,
}

/// A time as a message says it: `26 h`, `45 min`.
fn short(length: TimeDelta) -> String {
    let minutes = length.num_minutes().max(0);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes:02} min"),
    }
}

/// A text that is not longer than [`TEXT_CHARS_MAX`].
fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
