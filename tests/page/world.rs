//! Moments to look at: entries from YAML, ticks as a ledger would give them.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use pipecron::config::{Config, SourceFile, World, parse};
use pipecron::domain::{EntryName, Origin, PipelineAt, Reason, Run, TickId, TickState, Timestamp};
use pipecron::ledger::Glance;
use pipecron::os::zones::Zones;
use pipecron::page::Sight;

/// The moment of all tests: eight in the morning in Shanghai.
pub(crate) fn now() -> Timestamp {
    "2026-11-25T00:00:00Z".parse().unwrap()
}

pub(crate) fn name(text: &str) -> EntryName {
    EntryName::parse(text).unwrap()
}

/// The configuration of a text.
pub(crate) fn config(yaml: &str) -> Config {
    let zones = Zones::built_in();
    let names = zones.names();
    let world = World {
        zone: &|name| zones.get(name),
        zone_names: &names,
        now: now(),
    };
    let file = SourceFile {
        path: "a.yaml".to_owned(),
        text: yaml.to_owned(),
    };
    let loaded = parse(&[file], &world);
    loaded
        .config
        .unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

pub(crate) const PROJECT: &str = "54f90b75fc1447b1b65e8d3a9f77923d";
pub(crate) const PIPELINE: &str = "e5460d1d403146a1935c2d4b68ef506c";

/// A text with these lines for an account, and these entries with a line each.
pub(crate) fn yaml(account: &str, entries: &[(&str, &str)]) -> String {
    let mut text = format!("accounts:\n  main: {{ region: cn-north-4{account} }}\nschedules:\n");
    for (name, lines) in entries {
        text.push_str(&format!(
            "  {name}:\n    project_id: {PROJECT}\n    pipeline_id: {PIPELINE}\n    {}\n",
            lines.replace('\n', "\n    ")
        ));
    }
    text
}

/// A nightly at two in Shanghai.
pub(crate) const NIGHTLY: &str = "cron: '0 2 * * *'\ntimezone: Asia/Shanghai";

/// A moment with these entries and nothing else.
pub(crate) fn sight(yaml: &str) -> Sight {
    let config = config(yaml);
    Sight {
        now: now(),
        node: "builder".to_owned(),
        ledger_id: "abcdefgh".to_owned(),
        started_at: Some(now() - TimeDelta::days(3)),
        entries: config.entries,
        accounts: config.accounts,
        health: BTreeMap::new(),
        glances: BTreeMap::new(),
        open: Vec::new(),
        paused: BTreeMap::new(),
        reload: None,
        ledger_fails: false,
    }
}

/// A tick that was due so long ago.
pub(crate) fn glance(entry: &str, ago: TimeDelta, state: TickState) -> Glance {
    let (entry, due) = (name(entry), now() - ago);
    Glance {
        id: TickId::scheduled(&entry, due),
        entry,
        due,
        at: PipelineAt {
            account: pipecron::domain::AccountName::parse("main").unwrap(),
            project_id: PROJECT.to_owned(),
            pipeline_id: PIPELINE.to_owned(),
        },
        origin: Origin::Scheduled,
        opened_at: due,
        state,
        run: None,
        doubt_since: None,
        note: "a note".to_owned(),
    }
}

/// One that ended.
pub(crate) fn ended(entry: &str, ago: TimeDelta, reason: Reason) -> Glance {
    let at = now() - ago + TimeDelta::minutes(30);
    glance(entry, ago, TickState::Ended { reason, at })
}

/// With a run that took so long.
pub(crate) fn took(mut glance: Glance, length: TimeDelta) -> Glance {
    glance.run = Some(Run {
        id: "8ab1".to_owned(),
        number: Some(17),
        ended_at: Some(glance.due + length),
        ..Run::started(glance.due)
    });
    glance
}

/// Puts ticks into a moment, in the order of the history.
pub(crate) fn put(sight: &mut Sight, glances: impl IntoIterator<Item = Glance>) {
    for glance in glances {
        if !glance.state.is_ended() {
            sight.open.push(glance.clone());
        }
        sight
            .glances
            .entry(glance.entry.clone())
            .or_default()
            .push(glance);
    }
    for glances in sight.glances.values_mut() {
        glances.sort_by(|a, b| b.due.cmp(&a.due).then_with(|| a.id.cmp(&b.id)));
    }
}
