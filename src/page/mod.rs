//! The status page: what a release engineer reads at eight in the morning.
//!
//! Did every nightly run, once, and how did it end? The answer is one sentence at the top; below it stands what needs
//! somebody, then everything else. The pages are made here from what is known at one moment (a [`Sight`]), without looking at
//! a clock or a file, so that every one of them can be had in a test. [`server`] hands them out.
//!
//! The pages only read. They work without scripts, ask nobody but us for anything, and whatever comes from outside (names,
//! messages of the service, notes) is escaped by the templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Account;
use crate::daemon::{Health, Read};
use crate::domain::{AccountName, Entry, EntryName, Timestamp};
use crate::ledger::Glance;

mod draw;
mod figures;
mod pages;
pub mod server;
mod words;

use crate::daemon::night::newest_of_night;
pub use crate::daemon::night::{Answer, Class};
pub use pages::{Page, Query, entry, index, missing, tick, trouble};

/// How many ticks of an entry a strip shows.
pub const STRIP_TICKS: u32 = 30;
/// How many ticks of an entry its own page lists.
pub const LISTED_TICKS: u32 = 200;

/// What is known at one moment.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The moment.
    pub now: Timestamp,
    /// The machine.
    pub node: String,
    /// The ledger's id.
    pub ledger_id: String,
    /// When the daemon started.
    pub started_at: Option<Timestamp>,
    /// The entries.
    pub entries: BTreeMap<EntryName, Arc<Entry>>,
    /// The accounts.
    pub accounts: BTreeMap<AccountName, Arc<Account>>,
    /// How the accounts fare.
    pub health: BTreeMap<AccountName, Health>,
    /// The newest ticks, entry by entry, newest due first.
    pub glances: BTreeMap<EntryName, Vec<Glance>>,
    /// The ticks that have not ended, whatever their entry.
    pub open: Vec<Glance>,
    /// The entries that are held still.
    pub paused: BTreeMap<EntryName, Held>,
    /// What came of the last reload, if there was one.
    pub reload: Option<Read>,
    /// Whether the ledger fails: nothing is decided until it works again.
    pub ledger_fails: bool,
}

/// That an entry is held still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who asked for it, why, until when.
    pub words: String,
    /// When it ends by itself; none: when somebody lifts it.
    pub until: Option<Timestamp>,
}

impl Sight {
    /// How the night went.
    pub fn answer(&self) -> Answer {
        let entries = self.glances.values();
        Answer::of(entries.filter_map(|glances| newest_of_night(glances, self.now)))
    }

    /// From when on an entry starts by its schedule; none if nobody knows.
    fn free_from(&self, name: &EntryName) -> Option<Timestamp> {
        match self.paused.get(name) {
            None => Some(self.now),
            Some(held) => held.until.map(|until| until.max(self.now)),
        }
    }
}
