//! How a night went: what a tick counts as, and the answer to "did every nightly run, and how did it end?".

use std::collections::BTreeMap;
use std::fmt;

use chrono::TimeDelta;

use crate::domain::{Reason, TickState, Timestamp};
use crate::ledger::Glance;

/// How a tick is shown. Each has a colour, a height and a word of its own: nobody has to tell colours apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Its run ended well, or was started and is not followed.
    Good,
    /// Its run is under way, or it was sent.
    Running,
    /// It waits to be sent.
    Waiting,
    /// Nobody knows yet, or ever, whether it has a run.
    Doubtful,
    /// Its run failed.
    Failed,
    /// Somebody ended its run, or the service passed over it.
    Canceled,
    /// It was to run and did not.
    NotStarted,
    /// It was not to run: a calendar, a pause, a newer tick.
    LeftOut,
}

impl Class {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Good,
        Self::Running,
        Self::Waiting,
        Self::Doubtful,
        Self::Failed,
        Self::Canceled,
        Self::NotStarted,
        Self::LeftOut,
    ];

    /// That of a tick.
    pub fn of(glance: &Glance) -> Self {
        match glance.state {
            TickState::Waiting { .. } => Self::Waiting,
            TickState::Sent { .. } | TickState::Running { .. } => Self::Running,
            TickState::Doubtful { .. } => Self::Doubtful,
            TickState::Ended { reason, .. } => Self::of_reason(reason),
        }
    }

    fn of_reason(reason: Reason) -> Self {
        match reason {
            Reason::Succeeded | Reason::Started => Self::Good,
            Reason::Failed => Self::Failed,
            Reason::Canceled => Self::Canceled,
            Reason::Unknown => Self::Doubtful,
            Reason::Missed
            | Reason::Skipped
            | Reason::TooLate
            | Reason::Refused
            | Reason::GaveUp => Self::NotStarted,
            Reason::Excluded | Reason::Paused | Reason::Superseded | Reason::Withdrawn => {
                Self::LeftOut
            }
        }
    }

    /// In a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Good => "succeeded",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Doubtful => "in doubt",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::NotStarted => "not started",
            Self::LeftOut => "left out",
        }
    }

    /// In a style sheet.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Doubtful => "doubtful",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::NotStarted => "not-started",
            Self::LeftOut => "left-out",
        }
    }

    /// Whether somebody has to look.
    pub fn is_trouble(self) -> bool {
        match self {
            Self::Doubtful | Self::Failed | Self::Canceled | Self::NotStarted => true,
            Self::Good | Self::Running | Self::Waiting | Self::LeftOut => false,
        }
    }
}

/// How far back the answer looks.
pub const NIGHT: TimeDelta = TimeDelta::hours(24);

/// The answer: how the newest tick of each entry that was due in the last day ended.
///
/// An entry counts once, by its newest tick: one that failed at two and was run again by hand at seven succeeded. What was
/// not to run (a day off, a pause) is told, but is no nightly of this night.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    counts: BTreeMap<Class, usize>,
}

impl Answer {
    /// From the newest tick of each entry that had one.
    pub fn of<'g>(newest: impl IntoIterator<Item = &'g Glance>) -> Self {
        let mut counts = BTreeMap::new();
        for glance in newest {
            *counts.entry(Class::of(glance)).or_default() += 1;
        }
        Self { counts }
    }

    /// How many of a class there are.
    pub fn count(&self, class: Class) -> usize {
        self.counts.get(&class).copied().unwrap_or_default()
    }

    /// How many were to run.
    pub fn nightlies(&self) -> usize {
        let all: usize = self.counts.values().sum();
        all - self.count(Class::LeftOut)
    }

    /// Whether somebody has to look.
    pub fn is_trouble(&self) -> bool {
        self.counts.keys().any(|class| class.is_trouble())
    }

    /// Whether all that is known is good, but not all is known yet.
    pub fn is_open(&self) -> bool {
        self.count(Class::Running) + self.count(Class::Waiting) > 0
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nightlies, good) = (self.nightlies(), self.count(Class::Good));
        match (nightlies, good) {
            (0, _) => out.write_str("Nothing was to run in the last 24 hours")?,
            (1, 1) => out.write_str("The one nightly of the last 24 hours succeeded")?,
            (all, good) if all == good => {
                write!(out, "All {all} nightlies of the last 24 hours succeeded")?;
            }
            (1, _) => out.write_str("0 of 1 nightly of the last 24 hours succeeded")?,
            (all, good) => write!(
                out,
                "{good} of {all} nightlies of the last 24 hours succeeded"
            )?,
        }
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Good) {
            match self.count(class) {
                0 => {}
                count => write!(out, ", {count} {}", class.words())?,
            }
        }
        Ok(())
    }
}

/// The newest tick of the last day, if any was due then.
pub fn newest_of_night(glances: &[Glance], now: Timestamp) -> Option<&Glance> {
    let since = now.checked_sub_signed(NIGHT).unwrap_or(now);
    // A clock that was ahead left rows in the future; they say nothing of this night.
    let mut of_night = glances
        .iter()
        .filter(|glance| glance.due >= since && glance.due <= now);
    let first = of_night.next()?;
    // A tick and its repetition by hand are both for one due time: the one that was opened later says how it ended.
    let same_due = of_night.take_while(|glance| glance.due == first.due);
    std::iter::once(first)
        .chain(same_due)
        .max_by_key(|glance| glance.opened_at)
}

/// How long its run took, or takes so far.
pub fn duration(glance: &Glance, now: Timestamp) -> Option<TimeDelta> {
    let run = glance.run.as_ref()?;
    let end = match (run.ended_at, &glance.state) {
        (Some(end), _) => end,
        (None, TickState::Running { .. }) => now,
        (None, _) => return None,
    };
    // Two clocks are involved, and one may have been set.
    Some((end - run.started_at).max(TimeDelta::zero()))
}
