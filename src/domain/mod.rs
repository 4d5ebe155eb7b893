//! What we talk about: entries, ticks, attempts, runs. Pure: no clock, no files, no randomness, no IO.
//!
//! An *entry* is one item under `schedules:`. Its schedule yields *ticks* (due instants). A tick has *attempts* (one
//! HTTP request each); an accepted attempt yields a *run*. `plan` decides, somebody else does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub mod calendar;
pub mod cron;
pub mod fuse;
pub mod notice;
pub mod overlap;
pub mod pace;
pub mod pause;
pub mod pipeline;
pub mod plan;
pub mod request;
pub mod retry;
pub mod schedule;
pub mod sighting;
pub mod template;
pub mod turn;
pub mod zone;

pub use overlap::{OtherRun, Overlap};
pub use pause::{Act, Pause, Scope};
pub use request::RunRequest;
pub use retry::{Answer, AnswerKind, Doubt, OnDoubt, Policy, Retry};
pub use sighting::PipelineAt;
pub use template::LastSuccess;
pub use turn::Turn;

/// An instant on the wall clock.
pub type Timestamp = DateTime<Utc>;

/// The instant in the one form we write: RFC 3339, UTC, to the millisecond, without a fraction when there is none.
pub fn rfc3339(instant: Timestamp) -> String {
    let fraction = match instant.timestamp_subsec_millis() {
        0 => SecondsFormat::Secs,
        _ => SecondsFormat::Millis,
    };
    instant.to_rfc3339_opts(fraction, true)
}

/// `instant` moved by `by`, held at the ends of time instead of overflowing.
pub fn after(instant: Timestamp, by: Duration) -> Timestamp {
    TimeDelta::from_std(by)
        .ok()
        .and_then(|by| instant.checked_add_signed(by))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A tick found due no longer than this ago is on time, not missed, whatever `catch_up` says: a restart at the
/// very minute of a nightly must not lose it, and the daemon never sleeps longer than this.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// A name that may not stand here, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {reason}")]
pub struct NameError {
    /// What was given.
    pub text: String,
    /// What is wrong with it, as the end of a sentence.
    pub reason: String,
}

/// Longest name of an entry, in characters: it stands in every tick's id and in the run's description.
pub const ENTRY_NAME_CHARS_MAX: usize = 100;

/// The name of an entry: ASCII letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
///
/// It is part of the tick's id, of the marker in a run's description, of log fields and metrics; this alphabet
/// needs no escaping in any of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryName(Arc<str>);

/// The name of an account; the same alphabet as an entry's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(Arc<str>);

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// Checks a name.
            ///
            /// # Errors
            /// When it is empty, too long, or holds a character outside the alphabet.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check_name(text).map(|()| Self(text.into()))
            }

            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    };
}
name!(EntryName);
name!(AccountName);

fn check_name(text: &str) -> Result<(), NameError> {
    let refuse = |reason: String| {
        Err(NameError {
            text: text.chars().take(120).collect(),
            reason,
        })
    };
    if text.is_empty() {
        return refuse("is empty; a name has at least one letter or digit".to_owned());
    }
    if text.chars().count() > ENTRY_NAME_CHARS_MAX {
        return refuse(format!("is longer than {ENTRY_NAME_CHARS_MAX} characters"));
    }
    if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return refuse("does not begin with a letter or digit (a-z, A-Z, 0-9)".to_owned());
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        Some(bad) => refuse(format!(
            "contains {bad:?}; a name is made of letters, digits, '.', '_' and '-'"
        )),
        None => Ok(()),
    }
}

/// What to do with the ticks missed while the daemon was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// None of them runs.
    None,
    /// The newest one runs.
    Latest,
    /// All run, up to `catch_up_max`, the newest ones.
    All,
}

/// One item under `schedules:`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name, unique in the configuration.
    pub name: EntryName,
    /// When it is due; none for `@manually`.
    pub schedule: Option<schedule::Schedule>,
    /// Whose credentials start it.
    pub account: AccountName,
    /// What is sent; its texts may be templates.
    pub request: RunRequest,
    /// The zones of its templates; none if it has no template.
    pub templates: Option<Arc<template::Zones>>,
    /// Starts lie up to this long after the due time, at an offset fixed by the entry's name.
    pub spread: Duration,
    /// What happens to missed ticks.
    pub catch_up: CatchUp,
    /// How many missed ticks `CatchUp::All` runs at most.
    pub catch_up_max: u32,
    /// A tick not started this long after its due time is given up.
    pub deadline: Duration,
    /// What becomes of a tick that is not started at once.
    pub policy: Policy,
    /// Whether it opens ticks at all.
    pub enabled: bool,
    /// No tick is due before this.
    pub not_before: Option<Timestamp>,
    /// No tick is due after this.
    pub not_after: Option<Timestamp>,
    /// What it wants to be told of beside the ends of its ticks.
    pub alarm: notice::Alarm,
    /// The dead man's switch that is told how its ticks fare.
    pub ping: Option<Arc<notice::Ping>>,
    /// Words to find it by. Many entries share theirs.
    pub labels: Arc<BTreeSet<String>>,
}

/// A tick's id: `ENTRY@DUE` for a scheduled one, `ENTRY@INSTANT+random` for a manual one, `ENTRY@DUE~INSTANT` for a row
/// that stands for missed ones. Instants in UTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TickId(String);

impl TickId {
    /// The id of the tick of `entry` that is due at `due`.
    pub fn scheduled(entry: &EntryName, due: Timestamp) -> Self {
        Self(format!("{entry}@{}", rfc3339(due)))
    }

    /// The id of a tick made by hand at `instant`; `random` tells apart two of the same instant.
    pub fn manual(entry: &EntryName, instant: Timestamp, random: &str) -> Self {
        let instant = instant.to_rfc3339_opts(SecondsFormat::Secs, true);
        Self(format!("{entry}@{instant}+{random}"))
    }

    /// What tells a tick made by hand from others of the same instant.
    pub fn random(&self) -> Option<&str> {
        self.0.rsplit_once('+').map(|(_, random)| random)
    }

    /// The id of the row for ticks of `entry` that were found missed at `now`, the last of which was due at `to`. It takes
    /// the place of none of them, and no two such rows are one: the same time may be missed twice, if the clock goes back.
    pub fn missed(entry: &EntryName, to: Timestamp, now: Timestamp) -> Self {
        Self(format!("{entry}@{}~{}", rfc3339(to), rfc3339(now)))
    }

    /// An id that a ledger kept or a person typed.
    pub fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TickId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// How a tick came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The entry's schedule was due.
    Scheduled,
    /// A person asked for it; it never moves the high-water mark.
    Manual,
    /// It is none: a row for ticks of the schedule that passed without being opened. Their due times stay free, for a
    /// clock that was ahead comes back, and then it is their time.
    Missed,
}

impl Origin {
    /// The origin's name in templates and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
            Self::Missed => "missed",
        }
    }
}

/// Where a tick stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TickState {
    /// To be sent, no earlier than `not_before`.
    Waiting {
        /// The next attempt leaves no earlier.
        not_before: Timestamp,
    },
    /// The attempt of the tick's current number is on its way; its answer is not known.
    Sent {
        /// When the attempt was decided.
        at: Timestamp,
    },
    /// The answer to an attempt was lost: its run is looked for, next at `look_at`.
    Doubtful {
        /// The next look is no earlier.
        look_at: Timestamp,
    },
    /// The run was started and is followed to its end.
    Running {
        /// When we learned of it.
        since: Timestamp,
    },
    /// Over, for this reason.
    Ended {
        /// Why.
        reason: Reason,
        /// When it was decided.
        at: Timestamp,
    },
}

impl TickState {
    /// The state's name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Sent { .. } => "sent",
            Self::Doubtful { .. } => "doubtful",
            Self::Running { .. } => "running",
            Self::Ended { .. } => "ended",
        }
    }

    /// How it stands, in one word: for what ended the reason.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ended { reason, .. } => reason.name(),
            Self::Waiting { .. }
            | Self::Sent { .. }
            | Self::Doubtful { .. }
            | Self::Running { .. } => self.name(),
        }
    }

    /// Whether the tick is over.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

/// Why a tick ended. Every tick ends in exactly one of these ways (P5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The run ended well.
    Succeeded,
    /// The run failed.
    Failed,
    /// The run was canceled, or the service passed over it.
    Canceled,
    /// The run was started, and the entry's runs are not followed.
    Started,
    /// A calendar or a freeze excludes it, or somebody asked that it be skipped.
    Excluded,
    /// It was due during a pause.
    Paused,
    /// Its time passed while the daemon was away, and the entry's `catch_up` or `deadline` let it go.
    Missed,
    /// Another run of the pipeline was under way, and the entry's `overlap` says skip.
    Skipped,
    /// A newer tick of the entry took its place while it waited, as `overlap` says (queue or replace).
    Superseded,
    /// Not started within the entry's `deadline`.
    TooLate,
    /// The service refused it for good.
    Refused,
    /// The service refused it in passing as often as `retry` allows.
    GaveUp,
    /// Its entry was removed or switched off before it was sent.
    Withdrawn,
    /// Nobody knows: an answer was lost and the run could not be looked for, or a run vanished.
    Unknown,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Succeeded,
        Self::Failed,
        Self::Canceled,
        Self::Started,
        Self::Excluded,
        Self::Paused,
        Self::Missed,
        Self::Skipped,
        Self::Superseded,
        Self::TooLate,
        Self::Refused,
        Self::GaveUp,
        Self::Withdrawn,
        Self::Unknown,
    ];

    /// The reason's name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Started => "started",
            Self::Excluded => "excluded",
            Self::Paused => "paused",
            Self::Missed => "missed",
            Self::Skipped => "skipped",
            Self::Superseded => "superseded",
            Self::TooLate => "too_late",
            Self::Refused => "refused",
            Self::GaveUp => "gave_up",
            Self::Withdrawn => "withdrawn",
            Self::Unknown => "unknown",
        }
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// The run that CodeArts started for a tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The service's id of the run (`pipeline_run_id`).
    pub id: String,
    /// The id in the pipeline's queue, when the run was accepted but has to wait there (`queue_id`).
    pub queue_id: Option<String>,
    /// When we learned of it.
    pub started_at: Timestamp,
    /// Its number within the pipeline (`run_number`), once seen.
    pub number: Option<u64>,
    /// How it ended, in the service's own word, once known.
    pub outcome: Option<String>,
    /// When it ended, by the service's clock, once known.
    pub ended_at: Option<Timestamp>,
    /// The first stage that failed, once known.
    pub failed_stage: Option<String>,
    /// Whether it was reported that it takes longer than `run_timeout`.
    pub overdue: bool,
    /// Whether it is still looked at although its tick has ended: it is not followed, but as long as it is under way it
    /// holds one of its account's places and its pipeline.
    pub watched: bool,
}

impl Run {
    /// A run of which nothing is known yet but that it was started.
    pub fn started(at: Timestamp) -> Self {
        Self {
            id: String::new(),
            queue_id: None,
            started_at: at,
            number: None,
            outcome: None,
            ended_at: None,
            failed_stage: None,
            overdue: false,
            watched: false,
        }
    }
}

/// Ticks that were dropped together: one row stands for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// How many.
    pub count: u64,
    /// Whether there were more than `count`: counting has a limit.
    pub at_least: bool,
    /// The first one's due time.
    pub from: Timestamp,
    /// The last one's due time.
    pub to: Timestamp,
}

/// One due instant of an entry, with everything needed to act on it: a retry sends what was decided at first.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// `ENTRY@DUE`, unique in the ledger.
    pub id: TickId,
    /// Whose tick it is.
    pub entry: EntryName,
    /// When it was due. Of a scheduled tick, unique within the entry (P1).
    pub due: Timestamp,
    /// How it came to be.
    pub origin: Origin,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Whose credentials start it.
    pub account: AccountName,
    /// What is sent; never a secret, only where it is to be found.
    pub request: RunRequest,
    /// What becomes of it if it is not started at once.
    pub policy: Policy,
    /// After this it is given up.
    pub deadline: Timestamp,
    /// Where it stands.
    pub state: TickState,
    /// How many attempts were made.
    pub attempts: u32,
    /// How many of them count against `retry.max_attempts`.
    pub refusals: u32,
    /// How many of the last answers, without a break, kept it waiting for a reason that does not count: unreachable,
    /// throttled, busy, unauthorized. They make the waits grow.
    pub holds: u32,
    /// Since when its run is in doubt, and how often it was looked for; none when nothing is in doubt.
    pub doubt: Option<Doubt>,
    /// The run that was started.
    pub run: Option<Run>,
    /// For a row that stands for dropped ticks: which.
    pub missed: Option<Missed>,
    /// The instants on days off that it stands for, because a calendar moved them here.
    pub moved_from: Vec<Timestamp>,
    /// The last thing that was decided about it, in a sentence.
    pub note: String,
}

impl Tick {
    /// What the ledger remembers of it as the entry's last success, if it is one.
    pub fn success(&self) -> Option<LastSuccess> {
        let TickState::Ended {
            reason: Reason::Succeeded,
            ..
        } = self.state
        else {
            return None;
        };
        let run = self.run.as_ref();
        Some(LastSuccess {
            due: self.due,
            run_id: run.map(|run| run.id.clone()).unwrap_or_default(),
            number: run.and_then(|run| run.number),
        })
    }

    /// What ends the description of the run, so that it can be found again: `[pipecron LEDGER TICK]`.
    pub fn marker(&self, ledger: &str) -> String {
        marker(ledger, &self.id)
    }

    /// Where its run is started.
    pub fn pipeline_at(&self) -> PipelineAt {
        PipelineAt {
            account: self.account.clone(),
            project_id: self.request.project_id.clone(),
            pipeline_id: self.request.pipeline_id.clone(),
        }
    }

    /// Whether both start runs of one pipeline, whoever's credentials they use.
    pub fn shares_pipeline(&self, other: &Self) -> bool {
        self.request.project_id == other.request.project_id
            && self.request.pipeline_id == other.request.pipeline_id
    }

    /// Whether its instant has come. That of one by hand had when it was asked for, whatever the clock shows now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.due || self.origin == Origin::Manual
    }

    /// Whether its run is looked at although it has ended.
    pub fn is_watched(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.watched)
    }

    /// Whether it has, or may have, a run under way.
    pub fn is_live(&self) -> bool {
        match self.state {
            TickState::Waiting { .. } => false,
            TickState::Sent { .. } | TickState::Doubtful { .. } | TickState::Running { .. } => true,
            TickState::Ended { .. } => self.is_watched(),
        }
    }

    /// Whether it holds one of its account's places. A look that is made as a precaution does not.
    pub fn holds_place(&self) -> bool {
        self.is_live() && !self.doubt.is_some_and(|doubt| doubt.precaution)
    }
}

/// The marker of a tick in a ledger.
pub fn marker(ledger: &str, tick: &TickId) -> String {
    format!("[pipecron {ledger} {tick}]")
}

/// How many characters a description may have beside the marker of this tick.
pub fn description_chars_max(tick: &TickId) -> usize {
    let marker = marker("LLLLLLLL", tick).chars().count();
    request::DESCRIPTION_CHARS_MAX.saturating_sub(marker + 1)
}

/// One HTTP request for a tick, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The tick.
    pub tick: TickId,
    /// 1, 2, ...
    pub number: u32,
    /// When it was decided, before it left (P3).
    pub sent_at: Timestamp,
    /// When its answer was recorded; none while it is under way, and for ever if we died in between.
    pub answered_at: Option<Timestamp>,
    /// The answer.
    pub answer: Option<Answer>,
}

impl Attempt {
    /// The answer in a few words. A message that begins with the status says it once.
    pub fn words(&self) -> String {
        let Some(answer) = &self.answer else {
            return "no answer recorded".to_owned();
        };
        let status = answer.status.map(|status| format!("HTTP {status}"));
        let rest = status
            .as_ref()
            .and_then(|status| answer.message.strip_prefix(status));
        let message = match (rest, &answer.code) {
            (None, _) | (Some(_), None) => answer.message.as_str(),
            (Some(rest), Some(_)) => rest.trim_start_matches([':', ',', ' ']),
        };
        let status = status.filter(|_| rest.is_none() || answer.code.is_some());
        let request = answer
            .request_id
            .as_ref()
            .map(|id| format!("(request {id})"));
        let words = [
            Some(answer.kind.name()),
            status.as_deref(),
            answer.code.as_deref(),
            Some(message),
            request.as_deref(),
        ];
        words
            .into_iter()
            .flatten()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Up to when an entry's ticks were decided, and under which schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Every tick due up to here is decided.
    pub until: Timestamp,
    /// The schedule's fingerprint; under another one the entry starts from now.
    pub schedule: String,
    /// If its schedule may move ticks: the instants on days off whose decision lies on the other side of `until` than they
    /// do. Those up to it are moved to a day that is still to come, and are not decided; those after it were moved to a
    /// day that has passed, and are.
    pub crossed: BTreeSet<Timestamp>,
}

impl Mark {
    /// Whether its schedule may move ticks to another day.
    pub fn moves(&self) -> bool {
        schedule::moves(&self.schedule)
    }

    /// Since when ticks are to be decided, as the clock stands now.
    ///
    /// A mark ahead of now comes from a clock that was ahead. How long it was, nobody knows; what came due in the last
    /// moments is on time even so, unless there is a row that says it was decided.
    pub fn since(&self, now: Timestamp) -> Timestamp {
        if self.until <= now {
            return self.until;
        }
        let moments = TimeDelta::from_std(ON_TIME).unwrap_or_default();
        now.checked_sub_signed(moments).unwrap_or(now)
    }
}

/// An instant that somebody wants skipped. It is the one that a pattern names, also where a calendar moves it to another
/// day: so the mark goes along when the calendar changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The instant.
    pub due: Timestamp,
    /// Who asked.
    pub by: String,
    /// When.
    pub asked_at: Timestamp,
    /// Why; empty if nobody said.
    pub reason: String,
}

impl Skip {
    /// The mark by which the start at `due` is skipped; none if it is not: it stands for something that bears none.
    pub fn of_start<'s>(
        skips: &'s BTreeMap<Timestamp, Self>,
        schedule: &schedule::Schedule,
        due: Timestamp,
    ) -> Option<&'s Self> {
        if skips.is_empty() {
            return None;
        }
        let instants = schedule.instants_of(due).into_iter();
        let marks: Option<Vec<&Self>> = instants.map(|instant| skips.get(&instant)).collect();
        marks?.first().copied()
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "skip asked by {} at {}",
            self.by,
            rfc3339(self.asked_at)
        )?;
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(out, ": {reason}"),
        }
    }
}

/// What the ledger knows of an entry when something is to be decided about it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EntryState {
    /// The high-water mark; none for an entry that has to start from now.
    pub mark: Option<Mark>,
    /// Its ticks that have not ended or whose runs are watched, oldest due first.
    pub open: Vec<Tick>,
    /// Due times that would be decided now ([`Mark::since`]; without a mark those to come) and for which a scheduled row
    /// is there already: a clock that was set back must not open them again.
    pub decided: BTreeSet<Timestamp>,
    /// If its schedule may move ticks ([`Mark::moves`]): what was decided since [`RECENT_DAYS`] days before that, each row
    /// by its due time and by the instants that it stands for. A calendar that changed must not start again under another
    /// day what ran already.
    pub recent: BTreeSet<Timestamp>,
    /// The instants that somebody wants skipped, of those that would be decided now or are to come; if its schedule may move
    /// ticks, also of the last [`RECENT_DAYS`] days before that.
    pub skips: BTreeMap<Timestamp, Skip>,
    /// Pauses, whatever they are about, that are not over or were not when the first of what would be decided now was due.
    pub pauses: Vec<Pause>,
    /// Ticks of other entries that have, or may have, a run under way at a pipeline that one of this entry's waiting
    /// ticks is for.
    pub others: Vec<Tick>,
    /// How many places are taken of each account that one of this entry's waiting ticks uses, whoever took them.
    pub taken: BTreeMap<AccountName, u32>,
    /// Its newest tick whose run ended well, by due time.
    pub last_success: Option<LastSuccess>,
    /// For a tick in doubt: the highest `run_number` known at its pipeline of a run that is surely older.
    pub known_numbers: BTreeMap<TickId, u64>,
}

impl EntryState {
    /// Whether there is a row that is due then or stands for this instant.
    pub fn is_spent(&self, instant: Timestamp) -> bool {
        self.decided.contains(&instant) || self.recent.contains(&instant)
    }
}

/// How far back a decision is told what was decided, if ticks may be moved: as far as they are, and a day.
pub const RECENT_DAYS: TimeDelta = TimeDelta::days(schedule::MOVED_DAYS_MAX + 1);
/// Most ticks to come of one entry that may be marked to be skipped.
pub const SKIPS_MAX: usize = 100;

/// A run that started so long before an attempt, by whichever clock, is older than that attempt's.
pub const SURELY_OLDER: TimeDelta = TimeDelta::hours(1);

/// A row to write: a tick as it is to stand, and what belongs to the change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The tick, new or as it is to be. Its `note` is also added to its story.
    pub tick: Tick,
    /// The attempt that was made or answered, if that is the change.
    pub attempt: Option<Attempt>,
}

/// Something to be asked of CodeArts, once the plan that holds it is stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Start the run of this tick; its state is `Sent`, the attempt's number is its `attempts`.
    Start(Box<Tick>),
    /// Look for the run of this tick by its marker; it is the look after `doubt.looks` others.
    Find {
        /// The tick.
        tick: Box<Tick>,
        /// The highest `run_number` that is known to be older.
        above: Option<u64>,
    },
    /// Look at what the pipeline of this tick has under way, to rule on its start.
    Survey(Box<Tick>),
    /// Stop these runs, which this tick is to replace.
    Stop {
        /// The tick.
        tick: Box<Tick>,
        /// The runs.
        runs: Vec<OtherRun>,
    },
    /// Look at this pipeline, to learn whether the service works.
    Probe(PipelineAt),
}

/// A new mark, or that there is to be none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MarkChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is this from now on.
    Set(Mark),
    /// The entry starts from now when it is next decided.
    Clear,
}

/// What was decided about an entry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// What becomes of the mark.
    pub mark: MarkChange,
    /// The rows to write.
    pub changes: Vec<Change>,
    /// What to do, once this is stored.
    pub asks: Vec<Ask>,
    /// Ticks whose runs are to be followed; named again each time, so that a restart forgets none.
    pub running: Vec<Tick>,
    /// Decide again no later than this.
    pub wake_at: Option<Timestamp>,
    /// There is a tick ready to be sent, but no room for it now: decide again as soon as there is.
    pub wants_room: bool,
    /// Ticks that are ready and wait for a place of their account: they are to be called in turn.
    pub in_turn: Vec<Turn>,
    /// A tick waits until this pipeline is free: decide again as soon as a run there is over.
    pub wants_pipeline: Option<PipelineAt>,
}

impl Plan {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.mark == MarkChange::Keep && self.changes.is_empty()
    }
}
