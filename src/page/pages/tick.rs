//! The page of one tick.

use askama::Template;

use super::super::Sight;
use super::super::words::{self, When};
use super::{Frame, Page, RunLink, entry_url, made, zone_of};
use crate::config::shown;
use crate::daemon::night::{Class, duration};
use crate::domain::{Tick, TickState, Timestamp, rfc3339};
use crate::ledger::{Glance, Story};

#[derive(Template)]
#[template(path = "tick.html", config = "src/page/askama.toml")]
struct TickPage {
    frame: Frame,
    id: String,
    class: &'static str,
    state: String,
    entry: String,
    entry_url: String,
    due: When,
    facts: Vec<(&'static str, String)>,
    run: Option<RunLink>,
    notes: Vec<(When, String)>,
    attempts: Vec<(u32, When, String)>,
}

/// The page of one tick: its whole story.
pub fn tick(sight: &Sight, story: &Story) -> Page {
    let tick = &story.tick;
    let zone = zone_of(sight, &tick.entry);
    let glance = Glance::from(tick.clone());
    let at = tick.pipeline_at();
    let run = tick
        .run
        .as_ref()
        .map(|run| RunLink::of(sight, &at.account, &at.project_id, &at.pipeline_id, run));
    made(
        200,
        TickPage {
            frame: Frame::of(sight),
            id: shown(tick.id.as_str()),
            class: Class::of(&glance).name(),
            state: words::state(&glance),
            entry: tick.entry.to_string(),
            entry_url: entry_url(tick.entry.as_str()),
            due: When::new(tick.due, zone),
            facts: tick_facts(tick, &glance, sight.now),
            run,
            notes: story
                .notes
                .iter()
                .map(|(at, note)| (When::new(*at, zone), shown(note)))
                .collect(),
            attempts: story
                .attempts
                .iter()
                .map(|attempt| {
                    (
                        attempt.number,
                        When::new(attempt.sent_at, zone),
                        shown(&attempt.words()),
                    )
                })
                .collect(),
        },
    )
}

fn tick_facts(tick: &Tick, glance: &Glance, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut facts = vec![("How it came", tick.origin.name().to_owned())];
    if let Some(missed) = tick.missed {
        let least = if missed.at_least { "at least " } else { "" };
        facts.push((
            "Stands for",
            format!(
                "{least}{} ticks, from {} to {}",
                missed.count,
                rfc3339(missed.from),
                rfc3339(missed.to)
            ),
        ));
    }
    match tick.state {
        TickState::Waiting { not_before } => {
            facts.push(("Not before", rfc3339(not_before)));
            facts.push(("Given up at", rfc3339(tick.deadline)));
        }
        TickState::Doubtful { look_at } => facts.push(("Next look", rfc3339(look_at))),
        TickState::Sent { at } => facts.push(("Sent", rfc3339(at))),
        TickState::Running { since } => facts.push(("Running since", rfc3339(since))),
        TickState::Ended { at, .. } => facts.push(("Ended", rfc3339(at))),
    }
    if let Some(length) = duration(glance, now) {
        facts.push(("How long", words::length(length)));
    }
    if let Some(run) = &tick.run {
        for (key, value) in [
            ("Run id", Some(&run.id)),
            ("Queue id", run.queue_id.as_ref()),
            ("Outcome", run.outcome.as_ref()),
            ("First failed stage", run.failed_stage.as_ref()),
        ] {
            facts.extend(
                value
                    .filter(|value| !value.is_empty())
                    .map(|value| (key, shown(value))),
            );
        }
    }
    facts.push(("Account", tick.account.to_string()));
    facts.push(("Project", shown(&tick.request.project_id)));
    facts.push(("Pipeline", shown(&tick.request.pipeline_id)));
    facts
}
