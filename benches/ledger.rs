//! What a durable decision costs in the SQLite ledger: ticks opened in one commit, decisions that change nothing, callers
//! that share a commit, and all that is to be decided after days of downtime.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use pipecron::domain::plan::{self, Room};
use pipecron::domain::schedule::Schedule;
use pipecron::domain::zone::Zone;
use pipecron::domain::{
    AccountName, Attempt, CatchUp, Change, Entry, EntryName, EntryState, Mark, MarkChange, Origin,
    Plan, Policy, Reason, RunRequest, Tick, TickId, TickState, Timestamp,
};
use pipecron::ledger::{HistoryQuery, Ledger, SqliteLedger};
use pipecron::os::Clock;
use tokio::runtime::Runtime;

fn names(count: usize) -> Vec<EntryName> {
    let name = |number| EntryName::parse(&format!("nightly-{number}"));
    (0..count).map(|number| name(number).unwrap()).collect()
}

/// Claims a tick: what stands in the ledger before a request leaves. Ends those that are open, as an answer would.
fn claim(now: Timestamp, entry: &EntryName, state: &EntryState) -> Plan {
    let answered = state.open.iter().map(|open| Change {
        tick: Tick {
            state: TickState::Ended {
                reason: Reason::Started,
                at: now,
            },
            ..open.clone()
        },
        attempt: None,
    });
    let tick = Tick {
        id: TickId::scheduled(entry, now),
        entry: entry.clone(),
        due: now,
        origin: Origin::Scheduled,
        opened_at: now,
        account: AccountName::parse("main").unwrap(),
        request: RunRequest {
            project_id: "54f90b75fc1447b1b65e8d3a9f77923d".to_owned(),
            pipeline_id: "e5460d1d403146a1935c2d4b68ef506c".to_owned(),
            ..RunRequest::default()
        },
        policy: Policy::default(),
        doubt: None,
        deadline: now,
        state: TickState::Sent { at: now },
        attempts: 1,
        refusals: 0,
        holds: 0,
        run: None,
        missed: None,
        moved_from: Vec::new(),
        note: "due, sent at once".to_owned(),
    };
    let attempt = Attempt {
        tick: tick.id.clone(),
        number: 1,
        sent_at: now,
        answered_at: None,
        answer: None,
    };
    let opened = Change {
        tick,
        attempt: Some(attempt),
    };
    Plan {
        mark: MarkChange::Set(Mark {
            until: now,
            schedule: "0 2 * * * in UTC".to_owned(),
            crossed: BTreeSet::new(),
        }),
        changes: answered.chain([opened]).collect(),
        ..Plan::default()
    }
}

fn new_ledger() -> (SqliteLedger, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    (
        SqliteLedger::open(&path, Clock::system()).unwrap(),
        directory,
    )
}

fn commits(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("claim the ticks of entries in one commit");
    group.sample_size(20);
    for count in [1, 100, 1_000] {
        let (ledger, _directory) = new_ledger();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                runtime
                    .block_on(ledger.decide(names(count), claim))
                    .unwrap()
            });
        });
    }
    group.finish();
}

fn callers(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("callers at once, an entry each");
    group.sample_size(20);
    for count in [10, 100] {
        let (ledger, _directory) = new_ledger();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let calls = names(count)
                    .into_iter()
                    .map(|name| ledger.decide(vec![name], claim));
                runtime.block_on(join_all(calls))
            });
        });
    }
    group.finish();
}

fn idle(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("decide that there is nothing to do");
    group.sample_size(20);
    for count in [1, 100, 1_000] {
        let (ledger, _directory) = new_ledger();
        // As after a night: every entry has a mark and one open tick.
        runtime
            .block_on(ledger.decide(names(count), claim))
            .unwrap();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let nothing = |_, _: &EntryName, state: &EntryState| {
                    black_box(state);
                    Plan::default()
                };
                runtime
                    .block_on(ledger.decide(names(count), nothing))
                    .unwrap()
            });
        });
    }
    group.finish();
}

fn reading(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let (ledger, _directory) = new_ledger();
    for _ in 0..90 {
        runtime.block_on(ledger.decide(names(300), claim)).unwrap();
    }
    let mut group = criterion.benchmark_group("read a history of 27 000 rows");
    group.sample_size(20);
    let page = HistoryQuery {
        limit: Some(100),
        ..HistoryQuery::default()
    };
    group.bench_function("the newest 100", |bencher| {
        bencher.iter(|| runtime.block_on(ledger.history(page.clone())).unwrap());
    });
    let of_one = HistoryQuery {
        entries: names(1),
        ..HistoryQuery::default()
    };
    group.bench_function("all 90 of one entry", |bencher| {
        bencher.iter(|| runtime.block_on(ledger.history(of_one.clone())).unwrap());
    });
    group.finish();
}

/// 300 entries of the usual kinds: most of them nightly, some hourly, some every few minutes.
fn entries() -> HashMap<EntryName, Entry> {
    let kinds = [
        ("0 2 * * *", CatchUp::Latest),
        ("30 1 * * 1-5", CatchUp::None),
        ("15 3 * * 0", CatchUp::Latest),
        ("0 * * * *", CatchUp::All),
        ("*/5 * * * *", CatchUp::Latest),
        ("* * * * *", CatchUp::Latest),
    ];
    let entry = |(name, (cron, catch_up)): (EntryName, &(&str, CatchUp))| Entry {
        name,
        schedule: Some(Schedule::parse(&[cron], Arc::new(Zone::utc())).unwrap()),
        account: AccountName::parse("main").unwrap(),
        request: RunRequest {
            project_id: "54f90b75fc1447b1b65e8d3a9f77923d".to_owned(),
            pipeline_id: "e5460d1d403146a1935c2d4b68ef506c".to_owned(),
            ..RunRequest::default()
        },
        spread: Duration::ZERO,
        catch_up: *catch_up,
        catch_up_max: 100,
        deadline: Duration::from_secs(6 * 3600),
        policy: Policy::default(),
        enabled: true,
        not_before: None,
        not_after: None,
        alarm: Default::default(),
        ping: None,
        labels: Arc::default(),
        templates: None,
    };
    names(300)
        .into_iter()
        .zip(kinds.iter().cycle())
        .map(entry)
        .map(|entry| (entry.name.clone(), entry))
        .collect()
}

fn room(now: Timestamp) -> Room {
    Room {
        slots: 64,
        here_since: Some(now),
        ..Room::default()
    }
}

/// What a start after four days of downtime decides, in its one commit, before anything is sent.
fn downtime(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("four days of downtime, 300 entries");
    group.sample_size(20);
    let entries = Arc::new(entries());
    let downtime = TimeDelta::days(4);
    let stopped = "2026-11-24T01:10:00Z".parse::<Timestamp>().unwrap();

    let states: HashMap<&EntryName, EntryState> = entries
        .values()
        .map(|entry| {
            let schedule = entry.schedule.as_ref().unwrap().fingerprint();
            let mark = Some(Mark {
                until: stopped,
                schedule,
                crossed: BTreeSet::new(),
            });
            let state = EntryState {
                mark,
                ..EntryState::default()
            };
            (&entry.name, state)
        })
        .collect();
    let now = stopped + downtime;
    group.bench_function("decide alone", |bencher| {
        bencher.iter(|| {
            let mut room = room(now);
            let decide = |entry: &Entry| plan::plan(now, entry, &states[&entry.name], &mut room);
            entries.values().map(decide).collect::<Vec<_>>()
        });
    });

    let clock = {
        let _within = runtime.enter();
        Clock::starting_at(stopped)
    };
    let directory = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&directory.path().join("ledger.db"), clock.clone()).unwrap();
    let decide = || {
        let (entries, now) = (entries.clone(), clock.now());
        let mut room = room(now);
        let decide = move |now, name: &EntryName, state: &EntryState| {
            plan::plan(now, &entries[name], state, &mut room)
        };
        runtime.block_on(ledger.decide(names(300), decide)).unwrap()
    };
    decide();
    let stop_and_pass = || {
        let end = |now, _: &EntryName, state: &EntryState| {
            let end = |tick: &Tick| Change {
                tick: Tick {
                    state: TickState::Ended {
                        reason: Reason::Started,
                        at: now,
                    },
                    ..tick.clone()
                },
                attempt: None,
            };
            Plan {
                changes: state.open.iter().map(end).collect(),
                ..Plan::default()
            }
        };
        runtime.block_on(ledger.decide(names(300), end)).unwrap();
        clock.step(downtime);
    };
    group.bench_function("decide and store", |bencher| {
        bencher.iter_batched(stop_and_pass, |()| decide(), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, commits, callers, idle, reading, downtime);
criterion_main!(benches);
