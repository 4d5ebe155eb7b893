//! An account's requests leave at its rate, whatever they are for, and over reloads; on a clock that stands still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pipecron::codearts::http::Client;
use pipecron::codearts::{CodeArts, Start};
use pipecron::config::Account;
use pipecron::domain::sighting::{Find, PipelineAt, Sighting};
use pipecron::domain::{AccountName, Answer, AnswerKind};
use pipecron::os::Clock;
use tokio::task::JoinHandle;

use crate::frozen::{Frozen, until};
use crate::stub::{
    PIPELINE, PROJECT, Reply, Seen, Stub, Vault, account, accounts, epoch, json, name, start,
    started,
};

/// A little more than a second: the runtime's timer counts milliseconds.
const A_SECOND: Duration = Duration::from_millis(1_001);

/// A client of an account with this rate.
struct World {
    time: Frozen,
    vault: Vault,
    stub: Stub,
    client: Client,
}

impl World {
    async fn new(per_second: u32, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let stub = Stub::new(script).await;
        let vault = Vault::new();
        let account = limited(account(&stub.url, vault.keys()), per_second);
        Self::with(stub, vault, account)
    }

    fn with(stub: Stub, vault: Vault, account: Account) -> Self {
        let time = Frozen::new();
        let client = Client::new(&accounts(account), Clock::starting_at(epoch()));
        Self {
            time,
            vault,
            stub,
            client,
        }
    }

    fn starts(&self, count: usize) -> Vec<JoinHandle<Answer>> {
        (0..count)
            .map(|number| {
                let client = self.client.clone();
                tokio::spawn(async move { client.start(start(&format!("t{number}"))).await })
            })
            .collect()
    }

    /// A first start reads the key. If several did, they would come to their turns in any order.
    async fn warms_up(&self) {
        assert_eq!(kinds(self.starts(1)).await, ["started"]);
        self.time.passes(A_SECOND).await;
    }

    /// So many requests of the account arrive now, and no more.
    async fn arrive(&self, count: usize) {
        let what = format!("{count} requests arrive");
        until(&what, || self.stub.seen().len() >= count).await;
        // What else has left would be here before what a client without a limit sends after it.
        let aside = Stub::new(|_| started()).await;
        let account = Account {
            name: AccountName::parse("aside").unwrap(),
            ..account(&aside.url, self.vault.keys())
        };
        let client = Client::new(&accounts(account.clone()), Clock::starting_at(epoch()));
        for _ in 0..20 {
            let start = Start {
                account: account.name.clone(),
                ..start("aside")
            };
            assert_eq!(client.start(start).await.kind.name(), "started");
        }
        assert_eq!(self.stub.seen().len(), count);
    }
}

fn limited(account: Account, requests_per_second: u32) -> Account {
    Account {
        requests_per_second,
        ..account
    }
}

async fn kinds(starts: Vec<JoinHandle<Answer>>) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    for start in starts {
        kinds.push(start.await.unwrap().kind.name());
    }
    kinds
}

#[tokio::test]
async fn starts_leave_at_the_rate_and_in_the_order_in_which_they_came() {
    let world = World::new(5, |_| started()).await;
    world.warms_up().await;
    let starts = world.starts(12);
    world.arrive(6).await;
    world.time.passes(Duration::from_millis(998)).await;
    world.arrive(6).await;
    world.time.passes(Duration::from_millis(3)).await;
    world.arrive(11).await;
    world.time.passes(A_SECOND).await;
    world.arrive(13).await;
    assert_eq!(kinds(starts).await, ["started"; 12]);
    let seconds: Vec<usize> = world.stub.runs()[1..]
        .iter()
        .map(|run| {
            let (_, number) = run.body.rsplit_once(" t").unwrap();
            number.trim_end_matches("]\"}").parse::<usize>().unwrap() / 5
        })
        .collect();
    assert!(seconds.is_sorted(), "{seconds:?}");
}

#[tokio::test]
async fn every_call_to_the_service_counts() {
    let world = World::new(1, |seen| match seen.target.as_str() {
        _ if seen.is_run() => started(),
        target if target.contains("/queued-pipeline") => {
            json(200, r#"{"queuedPipelines":[],"total":0}"#)
        }
        target if target.ends_with("/pipeline-runs/list") => {
            json(200, r#"{"pipeline_runs":[],"total":0}"#)
        }
        _ => json(200, r#"{"success":true}"#),
    })
    .await;
    let at = PipelineAt {
        account: name(),
        project_id: PROJECT.to_owned(),
        pipeline_id: PIPELINE.to_owned(),
    };
    let find = Find {
        at: at.clone(),
        marker: "[pipecron abcdefgh t]".to_owned(),
        since: epoch(),
        above: None,
    };
    let client = world.client.clone();
    let all = tokio::spawn(async move {
        let started = client.start(start("t")).await;
        assert_eq!(started.kind.name(), "started", "{}", started.message);
        assert_eq!(client.find(find).await, Sighting::Absent);
        assert_eq!(client.under_way(at.clone()).await, Ok(Vec::new()));
        let run = "run".to_owned();
        let _ = client.stop(at.clone(), run.clone(), None).await;
        client.look(vec![(at, run)]).await
    });
    // The start; queue and list twice; the stop; the look.
    for count in 1..=7 {
        world.arrive(count).await;
        world.time.passes(A_SECOND).await;
    }
    all.await.unwrap();
    world.arrive(7).await;
    let targets: Vec<String> = world
        .stub
        .seen()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    assert!(targets[5].ends_with("/run/stop"), "{targets:?}");
}

fn token(number: u32, ends: DateTime<Utc>) -> Reply {
    let ends = ends.format("%Y-%m-%dT%H:%M:%S%.6fZ");
    let body = format!(r#"{{"token":{{"expires_at":"{ends}"}}}}"#);
    let token = format!("MIIToken-number-{number}");
    Reply::Http(201, vec![("X-Subject-Token", token)], body)
}

#[tokio::test]
async fn a_token_costs_no_permit_and_one_that_ends_while_a_start_waits_is_not_used() {
    let tokens = std::sync::atomic::AtomicU32::new(0);
    let stub = Stub::new(move |seen| {
        if seen.is_token() {
            let number = tokens.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            return token(
                number,
                epoch() + TimeDelta::milliseconds(i64::from(number) * 2_500),
            );
        }
        started()
    })
    .await;
    let vault = Vault::new();
    let account = limited(account(&stub.url, vault.password("p")), 1);
    let world = World::with(stub, vault, account);
    let starts = world.starts(4);
    // The token and the first start, without a moment between.
    world.arrive(2).await;
    for count in [3, 4] {
        world.time.passes(A_SECOND).await;
        world.arrive(count).await;
    }
    world.time.passes(A_SECOND).await;
    world.arrive(6).await;
    assert_eq!(kinds(starts).await, ["started"; 4]);
    let used: Vec<String> = world
        .stub
        .runs()
        .iter()
        .map(|run| run.header("X-Auth-Token").unwrap().to_owned())
        .collect();
    let expected = [1, 1, 1, 2].map(|number| format!("MIIToken-number-{number}"));
    assert_eq!(used, expected);
}

#[tokio::test]
async fn a_reload_changes_the_rate_at_once_and_forgets_nothing() {
    let world = World::new(1, |_| started()).await;
    let waiting = world.starts(4);
    world.arrive(1).await;
    let account = |per_second| limited(account(&world.stub.url, world.vault.keys()), per_second);
    world.client.replace_accounts(&accounts(account(3)));
    world.arrive(3).await;
    world.time.passes(A_SECOND).await;
    world.arrive(4).await;
    assert_eq!(kinds(waiting).await, ["started"; 4]);

    // One left in this second; a session of other settings knows of it.
    let other = |per_second| Account {
        request_timeout: Duration::from_secs(30),
        ..account(per_second)
    };
    world.client.replace_accounts(&accounts(other(3)));
    let more = world.starts(4);
    world.arrive(6).await;
    // The account goes and comes again: those who wait are still the first in the row.
    world.client.replace_accounts(&BTreeMap::new());
    world.client.replace_accounts(&BTreeMap::new());
    world.client.replace_accounts(&accounts(other(4)));
    let last = tokio::spawn({
        let client = world.client.clone();
        async move { client.start(start("last")).await }
    });
    world.arrive(7).await;
    assert!(!world.stub.runs()[6].body.contains("last"));
    world.time.passes(A_SECOND).await;
    world.arrive(9).await;
    assert_eq!(kinds(more).await, ["started"; 4]);
    assert_eq!(kinds(vec![last]).await, ["started"]);

    // Nor does it help to have nothing under way while it is gone: two left in this second, so one is left of three.
    world.client.replace_accounts(&BTreeMap::new());
    world.client.replace_accounts(&BTreeMap::new());
    world.client.replace_accounts(&accounts(account(3)));
    assert_eq!(kinds(world.starts(1)).await, ["started"]);
    let waits = world.starts(1);
    world.arrive(10).await;
    world.time.passes(A_SECOND).await;
    assert_eq!(kinds(waits).await, ["started"]);
}

#[tokio::test]
async fn other_accounts_do_not_wait() {
    let world = World::new(1, |_| started()).await;
    let other = Account {
        name: AccountName::parse("other").unwrap(),
        ..limited(account(&world.stub.url, world.vault.keys()), 1)
    };
    let mut both = accounts(limited(account(&world.stub.url, world.vault.keys()), 1));
    both.insert(other.name.clone(), Arc::new(other.clone()));
    world.client.replace_accounts(&both);
    let starts = world.starts(2);
    world.arrive(1).await;
    let of_other = Start {
        account: other.name,
        ..start("other")
    };
    assert_eq!(world.client.start(of_other).await.kind.name(), "started");
    world.arrive(2).await;
    world.time.passes(A_SECOND).await;
    assert_eq!(kinds(starts).await, ["started"; 2]);
}

#[tokio::test]
async fn the_wait_is_not_part_of_the_time_for_a_request() {
    let stub = Stub::new(|_| started()).await;
    let vault = Vault::new();
    let account = Account {
        request_timeout: Duration::from_millis(1_500),
        ..limited(account(&stub.url, vault.keys()), 1)
    };
    let world = World::with(stub, vault, account);
    // The credentials and secrets may take twice that and ten seconds more.
    let starts = world.starts(20);
    for count in 1..=20 {
        world.arrive(count).await;
        world.time.passes(A_SECOND).await;
    }
    assert_eq!(kinds(starts).await, ["started"; 20]);
}

#[tokio::test]
async fn when_the_service_wants_no_more_those_who_wait_do_not_go() {
    for (status, kind) in [(429, "throttled"), (401, "unauthorized")] {
        let world = World::new(1, move |seen| match seen.connection {
            1 => started(),
            _ => json(status, r#"{"error_code":"APIGW.0301"}"#),
        })
        .await;
        world.warms_up().await;
        let answers = kinds(world.starts(5)).await;
        assert_eq!(answers.iter().filter(|is| **is == kind).count(), 1);
        assert_eq!(answers.iter().filter(|is| **is == "kept_here").count(), 4);
        world.arrive(2).await;
    }
    // A refusal of one request says nothing about the others.
    let world = World::new(1, |_| json(404, r#"{"error_code":"DEVPIPE.00011101"}"#)).await;
    let starts = world.starts(2);
    world.arrive(1).await;
    world.time.passes(A_SECOND).await;
    assert_eq!(kinds(starts).await, ["refused"; 2]);
}

#[tokio::test]
async fn no_start_waits_for_ever() {
    let world = World::new(1, |_| started()).await;
    world.warms_up().await;
    let starts = world.starts(300);
    world.arrive(2).await;
    let mut crowded = 0;
    for start in starts {
        if start.is_finished() {
            let answer = start.await.unwrap();
            if answer.kind == AnswerKind::KeptHere {
                assert!(answer.message.contains("1 a second"), "{}", answer.message);
                crowded += 1;
            }
        }
    }
    assert_eq!(crowded, 300 - 1 - 256);
}

/// The clock that counts the wait stands still while the machine sleeps; what was decided then holds no more.
#[tokio::test]
async fn a_start_that_waits_while_the_machine_sleeps_stays_here() {
    let stub = Stub::new(|_| started()).await;
    let vault = Vault::new();
    let account = limited(account(&stub.url, vault.keys()), 1);
    let time = Frozen::new();
    let clock = Clock::starting_at(epoch());
    let world = World {
        client: Client::new(&accounts(account), clock.clone()),
        time,
        vault,
        stub,
    };
    world.warms_up().await;
    let starts = world.starts(2);
    world.arrive(2).await;
    clock.step(TimeDelta::hours(8));
    world.time.passes(A_SECOND).await;
    let mut kinds = kinds(starts).await;
    kinds.sort_unstable();
    assert_eq!(kinds, ["kept_here", "started"]);
    assert_eq!(world.stub.runs().len(), 2);
}
