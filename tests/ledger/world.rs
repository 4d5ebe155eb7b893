//! What the tests are made of: entries, ticks and plans in few words.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipecron::domain::{
    AccountName, Attempt, Change, EntryName, EntryState, Mark, MarkChange, Origin, Plan, Policy,
    Reason, RunRequest, Tick, TickId, TickState, Timestamp,
};
use pipecron::ledger::{Ledger, LedgerError};
use pipecron::os::Clock;

/// What the ledgers' clocks show when a test begins.
pub(crate) const START: &str = "2026-11-24T18:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn start() -> Timestamp {
    at(START)
}

pub(crate) fn clock() -> Clock {
    Clock::starting_at(start())
}

/// So many seconds after the start, or before.
pub(crate) fn second(seconds: i64) -> Timestamp {
    start() + chrono::TimeDelta::seconds(seconds)
}

/// Lets the clocks go on.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

pub(crate) fn entry(name: &str) -> EntryName {
    EntryName::parse(name).unwrap()
}

/// A scheduled tick, opened at its due time and waiting.
pub(crate) fn tick(name: &str, due: Timestamp) -> Tick {
    let entry = entry(name);
    Tick {
        id: TickId::scheduled(&entry, due),
        entry,
        due,
        origin: Origin::Scheduled,
        opened_at: due,
        account: AccountName::parse("main").unwrap(),
        request: RunRequest {
            project_id: "54f90b75fc1447b1b65e8d3a9f77923d".to_owned(),
            pipeline_id: "e5460d1d403146a1935c2d4b68ef506c".to_owned(),
            ..RunRequest::default()
        },
        policy: Policy::default(),
        doubt: None,
        deadline: due + chrono::TimeDelta::hours(6),
        state: TickState::Waiting { not_before: due },
        attempts: 0,
        refusals: 0,
        holds: 0,
        run: None,
        missed: None,
        moved_from: Vec::new(),
        note: "due".to_owned(),
    }
}

pub(crate) fn manual(name: &str, instant: Timestamp, random: &str) -> Tick {
    Tick {
        id: TickId::manual(&entry(name), instant, random),
        origin: Origin::Manual,
        ..tick(name, instant)
    }
}

pub(crate) fn sent(tick: &Tick, at: Timestamp) -> Tick {
    Tick {
        state: TickState::Sent { at },
        attempts: tick.attempts + 1,
        note: format!("attempt {}", tick.attempts + 1),
        ..tick.clone()
    }
}

pub(crate) fn ended(tick: &Tick, reason: Reason, at: Timestamp) -> Tick {
    Tick {
        state: TickState::Ended { reason, at },
        note: format!("ended as {}", reason.name()),
        ..tick.clone()
    }
}

pub(crate) fn attempt(tick: &Tick, number: u32, sent_at: Timestamp) -> Attempt {
    Attempt {
        tick: tick.id.clone(),
        number,
        sent_at,
        answered_at: None,
        answer: None,
    }
}

pub(crate) fn change(tick: &Tick) -> Change {
    Change {
        tick: tick.clone(),
        attempt: None,
    }
}

pub(crate) fn plan<'a>(ticks: impl IntoIterator<Item = &'a Tick>) -> Plan {
    Plan {
        changes: ticks.into_iter().map(change).collect(),
        ..Plan::default()
    }
}

pub(crate) fn mark(until: Timestamp) -> Mark {
    Mark {
        until,
        schedule: "0 2 * * * in UTC".to_owned(),
        crossed: BTreeSet::new(),
    }
}

pub(crate) fn set_mark(until: Timestamp) -> Plan {
    Plan {
        mark: MarkChange::Set(mark(until)),
        ..Plan::default()
    }
}

/// Stores a plan for one entry, whatever the ledger knows.
pub(crate) async fn store(
    ledger: &impl Ledger,
    name: &str,
    plan: Plan,
) -> Result<Plan, LedgerError> {
    let mut plans = ledger
        .decide(vec![entry(name)], move |_, _, _| plan.clone())
        .await?;
    assert_eq!(plans.len(), 1, "one entry, one plan");
    Ok(plans.remove(0))
}

/// Stores ticks that have to be stored.
pub(crate) async fn put<'a>(ledger: &impl Ledger, ticks: impl IntoIterator<Item = &'a Tick>) {
    for tick in ticks {
        let name = tick.entry.as_str();
        let stored = store(ledger, name, plan([tick])).await;
        stored.unwrap();
    }
}

/// What a decision about the entry is told.
pub(crate) async fn state(ledger: &impl Ledger, name: &str) -> EntryState {
    let seen = Arc::new(Mutex::new(None));
    let here = Arc::clone(&seen);
    let plans = ledger.decide(vec![entry(name)], move |_, _, state| {
        *here.lock().unwrap() = Some(state.clone());
        Plan::default()
    });
    plans.await.unwrap();
    let state = seen.lock().unwrap().take();
    state.unwrap()
}

/// The tick as the ledger has it.
pub(crate) async fn stored(ledger: &impl Ledger, tick: &Tick) -> Option<Tick> {
    let story = ledger.story(tick.id.clone()).await;
    story.unwrap().map(|story| story.tick)
}
