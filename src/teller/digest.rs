//! The digest: every entry of a channel, ran or not, in one table.

use std::collections::BTreeMap;

use crate::config::{Channel, Config};
use crate::daemon::night::{Answer, Class, duration};
use crate::domain::notice::{DIGEST_ROWS_MAX, Digest, DigestRow};
use crate::domain::{Entry, EntryName, Timestamp};
use crate::ledger::Glance;

/// How many of its newest ticks are looked at for each entry.
pub(super) const GLANCES: u32 = 30;

/// The entries that a channel is told of and that start by themselves.
pub(super) fn entries<'c>(
    config: &'c Config,
    channel: &'c Channel,
) -> impl Iterator<Item = &'c Entry> {
    let entries = config.entries.values().map(|entry| &**entry);
    entries.filter(|entry| {
        entry.enabled && entry.schedule.is_some() && super::concerns(channel, Some(entry))
    })
}

/// How these entries fared between two instants.
pub(super) fn digest(
    config: &Config,
    channel: &Channel,
    glances: &[Glance],
    since: Timestamp,
    until: Timestamp,
) -> Digest {
    let mut newest: BTreeMap<&EntryName, &Glance> = BTreeMap::new();
    for glance in glances {
        if glance.due <= since || glance.due > until {
            continue;
        }
        let place = newest.entry(&glance.entry).or_insert(glance);
        // A tick and its repetition by hand: the one that was opened later says how it ended.
        if (glance.due, glance.opened_at) > (place.due, place.opened_at) {
            *place = glance;
        }
    }
    let answer = Answer::of(newest.values().copied());
    let mut rows: Vec<DigestRow> = entries(config, channel)
        .map(|entry| row(config, entry, newest.get(&entry.name).copied(), until))
        .collect();
    // What somebody has to look at stands first; within that, by name.
    rows.sort_by_key(|row| (!row.is_trouble, row.due_local.is_empty()));
    let left_out = rows.len().saturating_sub(DIGEST_ROWS_MAX);
    rows.truncate(DIGEST_ROWS_MAX);
    Digest {
        since,
        until,
        answer: answer.to_string(),
        is_good: !answer.is_trouble(),
        rows,
        left_out: left_out as u64,
    }
}

fn row(config: &Config, entry: &Entry, newest: Option<&Glance>, now: Timestamp) -> DigestRow {
    let mut row = DigestRow {
        entry: entry.name.clone(),
        due_local: String::new(),
        outcome: "not due".to_owned(),
        is_trouble: false,
        duration_secs: None,
        text: String::new(),
        run_id: None,
        run_page: None,
    };
    let Some(glance) = newest else {
        return row;
    };
    let class = Class::of(glance);
    if let Some(schedule) = &entry.schedule {
        let zone = schedule.zone();
        let local = zone.local(glance.due).format("%a %H:%M");
        row.due_local = format!("{local} {}", zone.name());
    }
    row.outcome = match class {
        // Why says more than that.
        Class::LeftOut | Class::NotStarted => glance.state.word().replace('_', " "),
        Class::Good
        | Class::Running
        | Class::Waiting
        | Class::Doubtful
        | Class::Failed
        | Class::Canceled => class.words().to_owned(),
    };
    row.is_trouble = class.is_trouble();
    row.duration_secs = duration(glance, now).map(|length| length.num_seconds());
    if row.is_trouble {
        row.text = glance.note.clone();
    }
    row.run_page = super::run_page(config, glance);
    row.run_id = glance.run.as_ref().map(|run| run.id.clone());
    row
}
