//! The first page: the answer, what needs somebody, the coming day, and every entry.

use std::collections::BTreeMap;

use askama::Template;

use super::super::draw::{self, Day, Drawing, RUNS_WIDTH, STRIP_WIDTH};
use super::super::figures::{self, Load, loads};
use super::super::words::{self, When};
use super::super::{STRIP_TICKS, Sight};
use super::{
    Alarm, Frame, Page, Query, TickRow, alarms, entry_url, length_words, made, paused, silent,
    tick_url, zone_of,
};
use crate::config::shown;
use crate::daemon::night::{Answer, Class, newest_of_night};
use crate::domain::zone::Zone;
use crate::domain::{Entry, EntryName, Timestamp, rfc3339};
use crate::ledger::Glance;

/// Ticks that the first page lists in one table.
const ROWS_MAX: usize = 100;
/// Entries that it lists.
const ENTRIES_MAX: usize = 3_000;

/// The start that comes next.
struct NextStart {
    entry: String,
    url: String,
    due: When,
    wait: String,
}

/// An entry in the list of all.
struct EntryRow {
    entry: String,
    url: String,
    labels: Vec<String>,
    next: Option<When>,
    silent: &'static str,
    paused: String,
    last: Option<LastTick>,
    strip: Drawing,
    lengths: Option<Drawing>,
    length: String,
    find: String,
}

struct LastTick {
    class: &'static str,
    url: String,
    state: String,
}

fn next_start(sight: &Sight, name: &EntryName, entry: &Entry) -> Option<Timestamp> {
    figures::starts(entry, sight.free_from(name)?).next()
}

fn entry_row(sight: &Sight, name: &EntryName, entry: &Entry, next: Option<Timestamp>) -> EntryRow {
    let glances = sight.glances.get(name).map_or(&[][..], Vec::as_slice);
    let zone = zone_of(sight, name);
    let last = glances.first().map(|glance| LastTick {
        class: Class::of(glance).name(),
        url: tick_url(glance.id.as_str()),
        state: words::state(glance),
    });
    let paused = paused(sight, name);
    let labels: Vec<String> = entry.labels.iter().map(|label| shown(label)).collect();
    let silent = match paused.is_empty() {
        true => silent(entry, sight.now),
        false => "when it is resumed",
    };
    let mut find = vec![name.as_str(), entry.account.as_str()];
    find.extend(labels.iter().map(String::as_str));
    find.extend(zone.map(Zone::name));
    find.extend(last.as_ref().map(|last| last.state.as_str()));
    find.push(if paused.is_empty() { "" } else { "paused" });
    find.push(if next.is_some() { "" } else { silent });
    let find = find.join(" ").to_lowercase();
    EntryRow {
        entry: name.to_string(),
        url: entry_url(name.as_str()),
        next: next.map(|at| When::new(at, zone)),
        silent,
        paused,
        last,
        strip: draw::strip(glances),
        lengths: draw::lengths(glances, sight.now),
        length: length_words(glances, sight.now),
        labels,
        find,
    }
}

/// The coming day of one account.
struct AccountDay {
    account: String,
    starts: String,
    day: Day,
    unseen: String,
}

impl AccountDay {
    fn of(load: &Load) -> Self {
        Self {
            account: load.account.to_string(),
            starts: match load.starts {
                1 => "1 start".to_owned(),
                many => format!("{many} starts"),
            },
            day: draw::day(load),
            unseen: match load.unseen {
                0 => String::new(),
                1 => "; of one entry that starts very often the first are drawn".to_owned(),
                many => format!("; of {many} entries that start very often the first are drawn"),
            },
        }
    }
}

/// An account and how it fares.
struct AccountLine {
    name: String,
    class: &'static str,
    words: String,
}

fn account_lines(sight: &Sight) -> Vec<AccountLine> {
    let lines = sight.accounts.values().map(|account| {
        let health = sight.health.get(&account.name).cloned().unwrap_or_default();
        let rests = health
            .rests_until
            .filter(|until| *until > sight.now)
            .map_or_else(String::new, |until| {
                format!(", rests until {}", rfc3339(until))
            });
        let stands = match (health.is_refused, health.is_broken) {
            (true, _) => "its credentials are refused",
            (false, true) => "the service fails",
            (false, false) => "well",
        };
        let limit = account
            .max_running
            .map_or_else(String::new, |max| format!(", max_running {max}"));
        let region = account.region.as_deref().unwrap_or("no region");
        AccountLine {
            name: account.name.to_string(),
            class: if health.is_refused || health.is_broken {
                "trouble"
            } else {
                ""
            },
            words: format!("{stands}{rests} ({}{limit})", shown(region)),
        }
    });
    lines.collect()
}

fn reload_words(sight: &Sight) -> String {
    match &sight.reload {
        None => "The configuration is as it was read at the start.".to_owned(),
        Some(reload) => format!(
            "The last reload, at {} by {}, was {}.",
            rfc3339(reload.at),
            shown(&reload.by),
            if reload.problems.is_empty() {
                "taken"
            } else {
                "refused"
            }
        ),
    }
}

#[derive(Template)]
#[template(path = "index.html", config = "src/page/askama.toml")]
struct Index {
    frame: Frame,
    answer: Answer,
    next: Option<NextStart>,
    alarms: Vec<Alarm>,
    bad: Vec<TickRow>,
    bad_more: usize,
    open: Vec<TickRow>,
    open_more: usize,
    query: String,
    total: usize,
    found: usize,
    rows: Vec<EntryRow>,
    days: Vec<AccountDay>,
    day_width: usize,
    strip_ticks: u32,
    strip_width: usize,
    lengths_width: usize,
    accounts: Vec<AccountLine>,
    reload: String,
}

/// The first page: the answer, what needs somebody, and every entry.
pub fn index(sight: &Sight, query: &Query) -> Page {
    let bad: Vec<&Glance> = sight
        .glances
        .values()
        .filter_map(|glances| newest_of_night(glances, sight.now))
        .filter(|glance| Class::of(glance).is_trouble() && glance.state.is_ended())
        .collect();
    let nexts: BTreeMap<&EntryName, Timestamp> = sight
        .entries
        .iter()
        .filter_map(|(name, entry)| Some((name, next_start(sight, name, entry)?)))
        .collect();
    let next = nexts
        .iter()
        .min_by_key(|(_, at)| **at)
        .map(|(name, at)| NextStart {
            entry: name.to_string(),
            url: entry_url(name.as_str()),
            due: When::new(*at, zone_of(sight, name)),
            wait: words::length(*at - sight.now),
        });
    let all = sight
        .entries
        .iter()
        .map(|(name, entry)| entry_row(sight, name, entry, nexts.get(name).copied()))
        .filter(|row| query.wants(&row.find));
    let mut found = 0;
    let mut rows = Vec::new();
    for row in all {
        found += 1;
        if rows.len() < ENTRIES_MAX {
            rows.push(row);
        }
    }
    let table = |glances: &[&Glance]| {
        let rows = glances.iter().take(ROWS_MAX);
        rows.map(|glance| TickRow::of(sight, glance)).collect()
    };
    let open: Vec<&Glance> = sight.open.iter().collect();
    made(
        200,
        Index {
            frame: Frame::of(sight),
            answer: sight.answer(),
            next,
            alarms: alarms(sight),
            bad_more: bad.len().saturating_sub(ROWS_MAX),
            bad: table(&bad),
            open_more: open.len().saturating_sub(ROWS_MAX),
            open: table(&open),
            query: query.words.clone(),
            total: sight.entries.len(),
            found,
            rows,
            days: loads(sight).iter().map(AccountDay::of).collect(),
            day_width: draw::DAY_WIDTH,
            strip_ticks: STRIP_TICKS,
            strip_width: STRIP_WIDTH,
            lengths_width: RUNS_WIDTH,
            accounts: account_lines(sight),
            reload: reload_words(sight),
        },
    )
}
