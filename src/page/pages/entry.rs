//! The page of one entry.

use askama::Template;
use chrono::TimeDelta;

use super::super::draw::{self, Drawing, STRIP_WIDTH};
use super::super::figures;
use super::super::words::When;
use super::super::{LISTED_TICKS, Sight};
use super::{Frame, Page, TickRow, length_words, made, paused, silent, zone_of};
use crate::config::{show_duration, shown};
use crate::domain::plan::spread_offset;
use crate::domain::{Entry, EntryName, Timestamp, rfc3339};
use crate::ledger::Glance;

/// Starts that an entry's page lists.
const NEXT_MAX: usize = 10;

#[derive(Template)]
#[template(path = "entry.html", config = "src/page/askama.toml")]
struct EntryPage {
    frame: Frame,
    name: String,
    labels: Vec<String>,
    paused: String,
    facts: Vec<(&'static str, String)>,
    next: Vec<(When, String)>,
    silent: &'static str,
    ticks: Vec<TickRow>,
    more: bool,
    strip: Drawing,
    strip_width: usize,
    length: String,
}

/// The page of one entry, with its last ticks; none if there is no such entry. One that was removed has a page as long as
/// ticks of it are known.
pub fn entry(sight: &Sight, name: &EntryName, glances: &[Glance]) -> Option<Page> {
    let entry = sight.entries.get(name);
    if entry.is_none() && glances.is_empty() {
        return None;
    }
    let more = glances.len() > LISTED_TICKS as usize;
    let listed = &glances[..glances.len().min(LISTED_TICKS as usize)];
    let next = entry.map_or_else(Vec::new, |entry| {
        let zone = zone_of(sight, name);
        let free = sight.free_from(name).into_iter();
        free.flat_map(|from| figures::starts(entry, from))
            .take(NEXT_MAX)
            .map(|start| (When::new(start, zone), start_note(entry, start)))
            .collect()
    });
    let page = EntryPage {
        frame: Frame::of(sight),
        name: name.to_string(),
        labels: entry.map_or_else(Vec::new, |entry| {
            entry.labels.iter().map(|label| shown(label)).collect()
        }),
        paused: paused(sight, name),
        facts: entry.map_or_else(
            || {
                vec![(
                    "Configuration",
                    "it is not in the configuration any more".to_owned(),
                )]
            },
            |entry| facts(entry),
        ),
        next,
        silent: entry.map_or("never: it was removed", |entry| silent(entry, sight.now)),
        ticks: listed
            .iter()
            .map(|glance| TickRow::of(sight, glance))
            .collect(),
        more,
        strip: draw::strip(glances),
        strip_width: STRIP_WIDTH,
        length: length_words(glances, sight.now),
    };
    Some(made(200, page))
}

/// What there is to say of a coming start.
fn start_note(entry: &Entry, start: Timestamp) -> String {
    let Some(schedule) = &entry.schedule else {
        return String::new();
    };
    let offset = TimeDelta::from_std(spread_offset(entry)).unwrap_or_default();
    let due = start.checked_sub_signed(offset).unwrap_or(start);
    schedule
        .moved_from(due)
        .map(|moved| moved.to_string())
        .unwrap_or_default()
}

fn facts(entry: &Entry) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(schedule) = &entry.schedule {
        facts.push(("Pattern", shown(&schedule.texts().join(", "))));
        let hashed: Vec<String> = schedule
            .hashed()
            .iter()
            .map(|(text, is)| format!("{text} is {is}"))
            .collect();
        if !hashed.is_empty() {
            facts.push(("H", shown(&hashed.join(", "))));
        }
        facts.push(("Zone", schedule.zone().name().to_owned()));
    } else {
        facts.push(("Pattern", "only by hand".to_owned()));
    }
    if !entry.spread.is_zero() {
        facts.push((
            "Spread",
            format!(
                "{}; it starts {} after it is due",
                show_duration(entry.spread),
                show_duration(spread_offset(entry))
            ),
        ));
    }
    let window = [("from", entry.not_before), ("to", entry.not_after)]
        .into_iter()
        .filter_map(|(word, at)| Some(format!("{word} {}", rfc3339(at?))))
        .collect::<Vec<_>>();
    if !window.is_empty() {
        facts.push(("Window", window.join(" ")));
    }
    facts.push(("Deadline", show_duration(entry.deadline)));
    facts.push(("Account", entry.account.to_string()));
    facts.push(("Project", shown(&entry.request.project_id)));
    facts.push(("Pipeline", shown(&entry.request.pipeline_id)));
    facts
}
