//! Numbers and judgements: how a night went, how long runs take, how full the coming day is.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::Sight;
use crate::daemon::night::{NIGHT, duration};
use crate::domain::plan::spread_offset;
use crate::domain::{AccountName, Entry, EntryName, Reason, TickState, Timestamp, after};
use crate::ledger::Glance;

/// How long a run of this entry usually takes: the middle one of those that ended well.
pub(super) fn usual(glances: &[Glance]) -> Option<TimeDelta> {
    let ended_well = glances.iter().filter(|glance| {
        matches!(
            glance.state,
            TickState::Ended {
                reason: Reason::Succeeded,
                ..
            }
        )
    });
    let mut durations: Vec<TimeDelta> = ended_well
        .filter_map(|glance| duration(glance, glance.due))
        .collect();
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied()
}

/// How many stretches of a day are looked at.
pub(super) const STRETCHES: usize = 96;
/// How long each of them is.
const STRETCH_SECS: i64 = 900;
/// How long a run is taken to last of which nothing is known.
const UNKNOWN_RUN: TimeDelta = TimeDelta::minutes(15);
/// Starts that are looked at for one entry.
const STARTS_MAX: usize = 300;

/// How many runs of an account are to be expected at once in the coming day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Load {
    /// Whose.
    pub(super) account: AccountName,
    /// The limit, if there is one.
    pub(super) max_running: Option<u32>,
    /// Most runs at once in each stretch.
    pub(super) runs: [u32; STRETCHES],
    /// When the first stretch begins.
    pub(super) from: Timestamp,
    /// Starts in all.
    pub(super) starts: usize,
    /// Entries that start more often than is drawn.
    pub(super) unseen: usize,
}

impl Load {
    /// The fullest stretch, and how full it is.
    pub(super) fn peak(&self) -> (Timestamp, u32) {
        let (mut at, mut most) = (0, 0);
        for (place, runs) in self.runs.iter().enumerate() {
            if *runs > most {
                (at, most) = (place, *runs);
            }
        }
        (self.begin(at), most)
    }

    /// When a stretch begins.
    pub(super) fn begin(&self, place: usize) -> Timestamp {
        let secs = STRETCH_SECS * i64::try_from(place).unwrap_or_default();
        self.from + TimeDelta::seconds(secs)
    }
}

/// What an account has to expect, as it is gathered.
#[derive(Debug, Default)]
struct Expected {
    /// When a run begins (1) or ends (-1).
    edges: Vec<(Timestamp, i32)>,
    starts: usize,
    unseen: usize,
}

/// What is to be expected of each account, from when entries are due and how long their runs usually take. An account for
/// which nothing is due is left out.
pub(super) fn loads(sight: &Sight) -> Vec<Load> {
    let mut by_account: BTreeMap<&AccountName, Expected> = BTreeMap::new();
    let end = sight.now + NIGHT;
    let length = |name: &EntryName| {
        let glances = sight.glances.get(name);
        glances
            .and_then(|glances| usual(glances))
            .unwrap_or(UNKNOWN_RUN)
    };
    for (name, entry) in &sight.entries {
        let Some(from) = sight.free_from(name) else {
            continue;
        };
        let length = length(name);
        let expected = by_account.entry(&entry.account).or_default();
        let mut starts = starts(entry, from).take_while(|start| *start <= end);
        for start in starts.by_ref().take(STARTS_MAX) {
            expected.starts += 1;
            expected.edges.push((start, 1));
            expected.edges.push((start + length, -1));
        }
        expected.unseen += usize::from(starts.next().is_some());
    }
    // What runs already is there for as long as it usually takes, and is not over yet.
    for glance in &sight.open {
        let Some(entry) = sight.entries.get(&glance.entry) else {
            continue;
        };
        let began = glance.run.as_ref().map_or(sight.now, |run| run.started_at);
        let until = (began + length(&glance.entry)).max(sight.now + TimeDelta::seconds(1));
        let expected = by_account.entry(&entry.account).or_default();
        expected.edges.push((sight.now, 1));
        expected.edges.push((until, -1));
    }
    let loads = by_account.into_iter().filter_map(|(name, expected)| {
        let account = sight.accounts.get(name);
        (!expected.edges.is_empty()).then(|| Load {
            account: name.clone(),
            max_running: account.and_then(|account| account.max_running),
            runs: most_at_once(expected.edges, sight.now),
            from: sight.now,
            starts: expected.starts,
            unseen: expected.unseen,
        })
    });
    loads.collect()
}

/// When an entry starts, its spread included.
pub(super) fn starts(entry: &Entry, from: Timestamp) -> impl Iterator<Item = Timestamp> {
    let schedule = entry.schedule.as_ref().filter(|_| entry.enabled);
    let offset = spread_offset(entry);
    let first = entry
        .not_before
        .map_or(from, |begin| from.max(begin - TimeDelta::nanoseconds(1)));
    let mut cursor = Some(first);
    std::iter::from_fn(move || {
        let due = schedule?.next_after(cursor?)?;
        cursor = Some(due);
        let is_over = entry.not_after.is_some_and(|end| due > end);
        (!is_over).then(|| after(due, offset))
    })
}

fn most_at_once(mut edges: Vec<(Timestamp, i32)>, from: Timestamp) -> [u32; STRETCHES] {
    // At one instant what ends makes room for what begins.
    edges.sort_unstable();
    let mut most = [0_u32; STRETCHES];
    let mut runs = 0_i32;
    let mut edges = edges.into_iter().peekable();
    for (place, most) in most.iter_mut().enumerate() {
        let end = STRETCH_SECS * i64::try_from(place + 1).unwrap_or_default();
        let end = from + TimeDelta::seconds(end);
        let mut here = runs;
        while let Some((_, by)) = edges.next_if(|(at, _)| *at < end) {
            runs += by;
            here = here.max(runs);
        }
        *most = here.max(0).cast_unsigned();
    }
    most
}
