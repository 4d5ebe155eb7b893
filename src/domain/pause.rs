//! Pauses: what somebody wants held still for a while, and who did what by hand.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Entry, EntryName, Timestamp, after, rfc3339};

/// Most pauses that hold at the same time.
pub const PAUSES_MAX: usize = 200;
/// Most pauses that are kept after they are over: the oldest are forgotten first.
pub const PAUSES_KEPT_MAX: usize = 1_000;
/// Most acts that are kept: the oldest are forgotten first.
pub const ACTS_MAX: usize = 10_000;
/// Longest reason that a person may give, in characters.
pub const REASON_CHARS_MAX: usize = 200;
/// Longest pause with an end: ten years, so that no end lies beyond what a ledger can say.
pub const PAUSE_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// What a pause holds still.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One entry, also one that is not configured at the moment.
    Entry(EntryName),
    /// All entries with this label, also those that get it later.
    Label(String),
    /// Everything.
    All,
}

impl Scope {
    /// Whether it is about this entry.
    pub fn includes(&self, name: &EntryName, labels: &BTreeSet<String>) -> bool {
        match self {
            Self::Entry(entry) => entry == name,
            Self::Label(label) => labels.contains(label),
            Self::All => true,
        }
    }

    /// As a ledger keeps it: `entry:NAME`, `label:WORD`, `all`.
    pub fn key(&self) -> String {
        match self {
            Self::Entry(entry) => format!("entry:{entry}"),
            Self::Label(label) => format!("label:{label}"),
            Self::All => "all".to_owned(),
        }
    }

    /// The scope of that key.
    pub fn from_key(key: &str) -> Option<Self> {
        match key.split_once(':') {
            None if key == "all" => Some(Self::All),
            Some(("entry", name)) => EntryName::parse(name).ok().map(Self::Entry),
            Some(("label", label)) => Some(Self::Label(label.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(entry) => write!(out, "entry {entry}"),
            Self::Label(label) => write!(out, "label {label}"),
            Self::All => out.write_str("all entries"),
        }
    }
}

/// That somebody took a pause back before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifted {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
}

/// A time during which no ticks are opened. It is kept after its end: ticks that were due then may be decided later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What it holds still.
    pub scope: Scope,
    /// When somebody asked for it; it holds from then on.
    pub since: Timestamp,
    /// When it ends by itself; none: when somebody lifts it.
    pub until: Option<Timestamp>,
    /// Who asked.
    pub by: String,
    /// Why; empty if nobody said.
    pub reason: String,
    /// Whether somebody lifted it.
    pub lifted: Option<Lifted>,
}

impl Pause {
    /// When it is over; none: nobody knows yet.
    pub fn end(&self) -> Option<Timestamp> {
        let lifted = self.lifted.as_ref().map(|lifted| lifted.at);
        match (self.until, lifted) {
            (Some(until), Some(lifted)) => Some(until.min(lifted)),
            (one, other) => one.or(other),
        }
    }

    /// Whether it holds now. One that was asked for by a clock that was ahead holds as well: somebody asked, and nobody
    /// took it back.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.lifted.is_none() && self.until.is_none_or(|until| now < until)
    }

    /// Whether it held at this instant.
    pub fn covers(&self, instant: Timestamp) -> bool {
        self.since <= instant && self.end().is_none_or(|end| instant < end)
    }

    /// Whether it is about this entry.
    pub fn is_about(&self, entry: &Entry) -> bool {
        self.scope.includes(&entry.name, &entry.labels)
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scope, by, since, ..
        } = self;
        write!(out, "pause of {scope} by {by} at {}", rfc3339(*since))?;
        match (&self.lifted, self.until) {
            (Some(lifted), _) => {
                write!(out, ", lifted by {} at {}", lifted.by, rfc3339(lifted.at))?
            }
            (None, Some(until)) => write!(out, " until {}", rfc3339(until))?,
            (None, None) => {}
        }
        match self.reason.as_str() {
            "" => Ok(()),
            reason => write!(out, ": {reason}"),
        }
    }
}

/// The latest instant at which a pause that is asked for now may end.
pub fn latest_end(now: Timestamp) -> Timestamp {
    after(now, PAUSE_MAX)
}

/// Something that a person did by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What, in the word of the command: `pause`, `trigger`.
    pub what: String,
    /// To what: an entry, a label, a tick; empty if it is about everything.
    pub on: String,
    /// Why; empty if nobody said.
    pub reason: String,
    /// What came of it, in a sentence.
    pub outcome: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2027-02-04T{text}:00Z").parse().unwrap()
    }

    #[test]
    fn a_scope_comes_back_from_its_key() {
        let name = EntryName::parse("nightly-web").unwrap();
        let label = |text: &str| Scope::Label(text.to_owned());
        for scope in [
            Scope::All,
            Scope::Entry(name),
            label("team:web"),
            label("all"),
            label(""),
        ] {
            assert_eq!(Scope::from_key(&scope.key()), Some(scope));
        }
        for key in ["", "All", "entry:", "entry:a b", "tag:x"] {
            assert_eq!(Scope::from_key(key), None, "{key}");
        }
    }

    #[test]
    fn when_a_pause_holds_and_what_it_covers() {
        let pause = |until: Option<&str>, lifted: Option<&str>| Pause {
            scope: Scope::All,
            since: at("10:00"),
            until: until.map(at),
            by: "ada".to_owned(),
            reason: String::new(),
            lifted: lifted.map(|text| Lifted {
                at: at(text),
                by: "bob".to_owned(),
            }),
        };
        // (until, lifted, instant, whether it holds if it is now, whether it covers it)
        for (until, lifted, instant, holds, covers) in [
            (None, None, "10:00", true, true),
            (None, None, "23:59", true, true),
            // The clock was set back after somebody asked: it holds, though it covers nothing of that time.
            (None, None, "09:59", true, false),
            (Some("12:00"), None, "11:59", true, true),
            (Some("12:00"), None, "12:00", false, false),
            (Some("12:00"), None, "09:00", true, false),
            (Some("12:00"), Some("11:00"), "10:59", false, true),
            (Some("12:00"), Some("11:00"), "11:00", false, false),
            (Some("12:00"), Some("13:00"), "12:30", false, false),
            (None, Some("11:00"), "09:00", false, false),
            // Lifted by a clock that was set back since: it never covers anything.
            (None, Some("09:30"), "10:30", false, false),
        ] {
            let pause = pause(until, lifted);
            let seen = (pause.holds(at(instant)), pause.covers(at(instant)));
            assert_eq!(seen, (holds, covers), "{pause} at {instant}");
        }
    }
}
