//! The client's looks against the sandbox: a run whose answer was lost is found again, or it is said why it cannot be
//! told; and what else is asked about runs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what is wrong by failing"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pipecron::codearts::http::Client;
use pipecron::codearts::{CodeArts, Start};
use pipecron::config::{Account, Credentials, NO_PROXY, Text};
use pipecron::domain::request::SecretRef;
use pipecron::domain::sighting::{Find, Look, PipelineAt, SeenRun, Sighting};
use pipecron::domain::{AccountName, AnswerKind, RunRequest};
use pipecron::os::Clock;
use pipecron::sandbox::settings::{Concurrency, Exceed};
use pipecron::sandbox::{FaultRule, RunStatus, SANDBOX_PASSWORD, SANDBOX_USER, Sandbox, Settings};

const PROJECT: &str = "54f90b75fc1447b1b65e8d3a9f77923d";
const PIPELINE: &str = "e5460d1d403146a1935c2d4b68ef506c";
const MARKER: &str = "[pipecron abcdefgh web@2026-11-24T18:00:00Z]";

fn epoch() -> DateTime<Utc> {
    "2026-11-24T18:00:00Z".parse().unwrap()
}

/// A sandbox, and a client of it.
struct World {
    sandbox: Sandbox,
    client: Client,
}

fn account(url: &str, credentials: Credentials) -> Account {
    Account {
        name: AccountName::parse("main").unwrap(),
        region: Some("cn-north-4".to_owned()),
        endpoint: url.to_owned(),
        iam_endpoint: url.to_owned(),
        metadata_endpoint: url.to_owned(),
        iam_project_id: None,
        credentials,
        proxy: Some(NO_PROXY.to_owned()),
        ca_file: None,
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(20),
        settle: Duration::from_secs(180),
        max_running: None,
        requests_per_second: 1_000,
    }
}

/// Runs that take an hour, as many at once as come.
fn settings() -> Settings {
    Settings {
        seed: Some(1),
        run_duration: Duration::from_secs(3600)..=Duration::from_secs(3600),
        concurrency: Concurrency {
            runs_max: None,
            exceed: Exceed::Abort,
        },
        ..Settings::default()
    }
}

fn client(account: Account) -> Client {
    let accounts = BTreeMap::from([(account.name.clone(), Arc::new(account))]);
    Client::new(&accounts, Clock::starting_at(epoch()))
}

impl World {
    async fn new(settings: Settings) -> Self {
        Self::with(settings, Credentials::Sandbox).await
    }

    async fn with(settings: Settings, credentials: Credentials) -> Self {
        let sandbox = Sandbox::start_at(settings, Clock::starting_at(epoch()))
            .await
            .unwrap();
        let client = client(account(&sandbox.base_url(), credentials));
        Self { sandbox, client }
    }

    fn fault(&self, rule: &str) {
        let rule: FaultRule = rule.parse().unwrap();
        assert!(self.sandbox.push_fault(rule));
    }

    async fn start(&self, description: &str) -> AnswerKind {
        self.start_at(PIPELINE, description).await
    }

    async fn start_at(&self, pipeline_id: &str, description: &str) -> AnswerKind {
        let start = Start {
            account: at().account,
            request: RunRequest {
                project_id: PROJECT.to_owned(),
                pipeline_id: pipeline_id.to_owned(),
                ..RunRequest::default()
            },
            marker: description.to_owned(),
            leave_within: Duration::from_secs(3600),
        };
        self.client.start(start).await.kind
    }

    async fn find(&self) -> Sighting {
        self.client.find(find()).await
    }

    fn run(&self, description: &str) -> pipecron::sandbox::Run {
        let runs = self.sandbox.runs();
        let ours = |run: &pipecron::sandbox::Run| run.description.as_deref() == Some(description);
        runs.into_iter().find(ours).unwrap()
    }

    fn asked(&self, call: &str) -> u64 {
        self.sandbox
            .requests()
            .by_call
            .get(call)
            .copied()
            .unwrap_or_default()
    }
}

fn at() -> PipelineAt {
    PipelineAt {
        account: AccountName::parse("main").unwrap(),
        project_id: PROJECT.to_owned(),
        pipeline_id: PIPELINE.to_owned(),
    }
}

fn find() -> Find {
    Find {
        at: at(),
        marker: MARKER.to_owned(),
        since: epoch(),
        above: None,
    }
}

fn found(sighting: Sighting) -> SeenRun {
    match sighting {
        Sighting::Found(run) => *run,
        other => panic!("not found: {other:?}"),
    }
}

#[tokio::test]
async fn a_run_whose_answer_was_lost_is_found() {
    for how in [
        "lost=reset",
        "lost=close",
        "lost=cut",
        "empty",
        "not-json",
        "status=504,started=yes",
    ] {
        let world = World::new(settings()).await;
        world
            .start("[pipecron abcdefgh web@2026-11-23T18:00:00Z]")
            .await;
        world.fault(&format!("{how},next=1"));
        assert_eq!(world.start(MARKER).await, AnswerKind::Doubtful, "{how}");
        world
            .start("[pipecron abcdefgh web@2026-11-24T18:00:00Z+7]")
            .await;
        world.start("by hand").await;
        let run = found(world.find().await);
        assert_eq!(run.run_id, world.run(MARKER).id, "{how}");
        assert_eq!(run.number, Some(2));
        assert_eq!(
            run.started_at.map(|at| (at - epoch()).num_minutes()),
            Some(0)
        );
        assert_eq!(
            (run.status.unwrap().0.as_str(), run.queue_id),
            ("RUNNING", None)
        );
    }
}

#[tokio::test]
async fn what_was_not_started_is_absent() {
    let world = World::new(settings()).await;
    assert_eq!(world.find().await, Sighting::Absent, "an empty pipeline");
    for n in 0..3 {
        world.start(&format!("other {n}")).await;
    }
    world.fault("dropped=reset,next=1");
    assert_eq!(world.start(MARKER).await, AnswerKind::Doubtful);
    assert_eq!(world.find().await, Sighting::Absent);
    assert_eq!(world.asked("detail"), 3);
    let above = world.client.find(Find {
        above: Some(3),
        ..find()
    });
    assert_eq!(above.await, Sighting::Absent);
    assert_eq!(world.asked("detail"), 3, "older runs are not asked for");
}

#[tokio::test]
async fn a_run_is_found_on_a_later_page() {
    let world = World::new(Settings {
        list_rows_max: 10,
        ..settings()
    })
    .await;
    world.fault("lost=reset,next=1");
    world.start(MARKER).await;
    for n in 0..35 {
        world.start(&format!("other {n}")).await;
    }
    assert_eq!(found(world.find().await).run_id, world.run(MARKER).id);
    assert_eq!(world.asked("list"), 4);
    assert_eq!(world.asked("detail"), 36);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_listed_late_is_found_then() {
    let world = World::new(settings()).await;
    world.fault("lost=reset,next=1");
    world.fault("unlisted=2m,next=1");
    world.start(MARKER).await;
    assert_eq!(world.find().await, Sighting::Absent);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.find().await, Sighting::Absent);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(found(world.find().await).run_id, world.run(MARKER).id);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_carried_out_late_is_found_then() {
    let world = World::new(settings()).await;
    world.fault("late=3m,next=1");
    assert_eq!(
        world.start(MARKER).await,
        AnswerKind::Doubtful,
        "we gave up first"
    );
    assert_eq!(world.find().await, Sighting::Absent);
    tokio::time::sleep(Duration::from_secs(180)).await;
    found(world.find().await);
}

#[tokio::test]
async fn a_queued_run_is_found_where_its_details_are_shown_and_unexplained_elsewhere() {
    for queued_listed in [true, false] {
        let world = World::new(Settings {
            queued_listed,
            ..settings()
        })
        .await;
        world.start("runs").await;
        world.fault("lost=reset,next=1");
        world.fault("queued=10m,next=1");
        assert_eq!(world.start(MARKER).await, AnswerKind::Doubtful);
        let ours = world.run(MARKER);
        let sighting = world.find().await;
        if queued_listed {
            let run = found(sighting);
            assert_eq!((run.run_id, run.queue_id), (ours.id, ours.queue_id));
        } else {
            let Sighting::Unexplained(why) = sighting else {
                panic!("{sighting:?}");
            };
            assert!(why.contains(&ours.id), "{why}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_left_the_queue_is_found_and_waits_no_more() {
    let world = World::new(settings()).await;
    world.fault("lost=reset,next=1");
    world.fault("queued=10m,next=1");
    world.start(MARKER).await;
    assert!(matches!(world.find().await, Sighting::Unexplained(_)));
    tokio::time::sleep(Duration::from_secs(601)).await;
    let run = found(world.find().await);
    assert_eq!(
        (run.status.unwrap().0.as_str(), run.queue_id),
        ("RUNNING", None)
    );
}

#[tokio::test]
async fn a_run_that_was_forgotten_is_absent_and_has_vanished() {
    let world = World::new(settings()).await;
    let AnswerKind::Started { run_id, .. } = world.start(MARKER).await else {
        panic!("not started");
    };
    world
        .sandbox
        .with(|service, now| assert!(service.forget_run(now, &run_id)));
    assert_eq!(world.find().await, Sighting::Absent);
    assert_eq!(
        world.client.look(vec![(at(), run_id)]).await,
        [Look::Vanished]
    );
}

#[tokio::test]
async fn a_look_that_is_throttled_says_so_and_asks_no_further() {
    let world = World::new(settings()).await;
    world.start(MARKER).await;
    world.fault("throttle,retry-after=7,on=any");
    let Sighting::Failed(answer) = world.find().await else {
        panic!("not failed");
    };
    assert_eq!(answer.kind, AnswerKind::Throttled);
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(world.asked("queue") + world.asked("list"), 1);
    let runs: Vec<_> = (0..40).map(|n| (at(), format!("{n:032}"))).collect();
    let before = world.sandbox.requests().count;
    for look in world.client.look(runs).await {
        assert!(matches!(look, Look::Failed(answer) if answer.kind == AnswerKind::Throttled));
    }
    let asked = world.sandbox.requests().count - before;
    assert!(
        asked <= 16,
        "{asked} requests though the first was throttled"
    );
    let answer = world.client.under_way(at()).await.unwrap_err();
    assert_eq!(answer.kind, AnswerKind::Throttled);
    let answer = world
        .client
        .stop(at(), "r".repeat(32), Some("q".to_owned()))
        .await;
    assert_eq!(answer.unwrap_err().kind, AnswerKind::Throttled);
}

#[tokio::test]
async fn a_look_that_fails_says_how() {
    let rows = [
        ("status=503", AnswerKind::RefusedInPassing),
        ("status=504:APIGW.0201", AnswerKind::RefusedInPassing),
        ("code=DEVCP.00014031", AnswerKind::Refused),
        ("empty", AnswerKind::RefusedInPassing),
        ("not-json", AnswerKind::RefusedInPassing),
        ("truncated", AnswerKind::RefusedInPassing),
        ("no-run-id", AnswerKind::RefusedInPassing),
        ("message-only", AnswerKind::RefusedInPassing),
        ("redirect", AnswerKind::RefusedInPassing),
        ("huge=6000000", AnswerKind::RefusedInPassing),
        ("dropped=reset", AnswerKind::RefusedInPassing),
    ];
    for (rule, kind) in rows {
        let world = World::new(settings()).await;
        world.start(MARKER).await;
        world.fault(&format!("{rule},on=list"));
        match world.find().await {
            Sighting::Failed(answer) => assert_eq!(answer.kind, kind, "{rule}: {}", answer.message),
            other => panic!("{rule}: {other:?}"),
        }
    }
    let nobody = client(account("http://127.0.0.1:1", Credentials::Sandbox));
    let Sighting::Failed(answer) = nobody.find(find()).await else {
        panic!("not failed");
    };
    assert_eq!(answer.kind, AnswerKind::NotSent, "{}", answer.message);
}

#[tokio::test]
async fn a_look_whose_connection_broke_is_taken_once_more() {
    let world = World::new(settings()).await;
    world.start(MARKER).await;
    world.fault("lost=reset,on=list,next=1");
    world.fault("dropped=close,on=detail,next=1");
    found(world.find().await);
    assert_eq!((world.asked("list"), world.asked("detail")), (2, 2));
}

fn password(vault: &tempfile::TempDir, password: &str) -> Credentials {
    let path = vault.path().join("password");
    std::fs::write(&path, password).unwrap();
    Credentials::Password {
        domain: Text::Plain("sandbox".to_owned()),
        user: Text::Plain(SANDBOX_USER.to_owned()),
        password: SecretRef::File(path),
        project: None,
    }
}

#[tokio::test]
async fn a_token_that_was_refused_is_renewed_once_and_the_look_taken_again() {
    let vault = tempfile::tempdir().unwrap();
    let world = World::with(settings(), password(&vault, SANDBOX_PASSWORD)).await;
    world.start(MARKER).await;
    assert_eq!(world.asked("token"), 1);
    world.sandbox.with(|service, _| service.revoke_tokens());
    found(world.find().await);
    assert_eq!(world.asked("token"), 2);
    assert_eq!(world.asked("queue"), 2, "once refused, once more");
    // Refused again at once: the new token was not too old, so a third helps nobody.
    world.sandbox.with(|service, _| service.revoke_tokens());
    let Sighting::Failed(answer) = world.find().await else {
        panic!("not failed");
    };
    assert_eq!(answer.kind, AnswerKind::Unauthorized);
    assert_eq!((world.asked("token"), world.asked("queue")), (2, 3));
}

#[tokio::test]
async fn a_key_that_was_refused_is_not_tried_again() {
    let vault = tempfile::tempdir().unwrap();
    let path = vault.path().join("sk");
    std::fs::write(&path, "wrong").unwrap();
    let keys = Credentials::Keys {
        ak: Text::Plain(pipecron::codearts::SANDBOX_AK.to_owned()),
        sk: SecretRef::File(path.clone()),
        security_token: None,
    };
    let world = World::with(settings(), keys).await;
    let Sighting::Failed(answer) = world.find().await else {
        panic!("not failed");
    };
    assert_eq!(answer.kind, AnswerKind::Unauthorized);
    assert_eq!(
        world.sandbox.requests().count,
        1,
        "five wrong ones would lock the key"
    );
    // The right one was put there meanwhile: it is read, and the look goes on.
    std::fs::write(&path, pipecron::codearts::SANDBOX_SK).unwrap();
    assert_eq!(world.find().await, Sighting::Absent);
}

#[tokio::test]
async fn many_pipelines_take_one_call_and_failures_a_detail() {
    let world = World::new(settings()).await;
    let mut runs = Vec::new();
    for n in 0..20 {
        let pipeline_id = format!("{n:032}");
        let AnswerKind::Started { run_id, .. } = world.start_at(&pipeline_id, "x").await else {
            panic!("not started");
        };
        let at = PipelineAt {
            pipeline_id,
            ..at()
        };
        runs.push((at, run_id));
    }
    world.sandbox.set_status(&runs[3].1, RunStatus::Failed);
    world.sandbox.set_status(&runs[4].1, RunStatus::Completed);
    // Somebody starts a newer run of the sixth; the seventh never was.
    world.start_at(&runs[5].0.pipeline_id, "newer").await;
    runs[6].1 = "f".repeat(32);
    let looks = world.client.look(runs.clone()).await;
    for (n, (look, (_, run_id))) in looks.iter().zip(&runs).enumerate() {
        let Look::Seen(run) = look else {
            assert_eq!((n, look), (6, &Look::Vanished));
            continue;
        };
        let expected = match n {
            3 => ("FAILED", Some("Build")),
            4 => ("COMPLETED", None),
            _ => ("RUNNING", None),
        };
        assert_eq!(run.run_id, *run_id);
        let status = run.status.as_ref().map(|status| status.0.as_str());
        assert_eq!((status.unwrap(), run.failed_stage.as_deref()), expected);
    }
    assert_eq!(
        (world.asked("latest-status"), world.asked("detail")),
        (1, 3)
    );
    world.fault("status=500,on=latest-status,next=1");
    let again = world.client.look(runs).await;
    assert!(again.iter().all(|look| !matches!(look, Look::Failed(_))));
}

#[tokio::test]
async fn what_is_under_way_is_seen_whoever_started_it() {
    let world = World::new(Settings {
        concurrency: Concurrency {
            runs_max: Some(2),
            exceed: Exceed::Queue,
        },
        ..settings()
    })
    .await;
    assert_eq!(world.client.under_way(at()).await, Ok(Vec::new()));
    for text in ["runs", "pauses", "waits", "waits too"] {
        world.start(text).await;
    }
    let paused = world.run("pauses").id;
    world.sandbox.set_status(&paused, RunStatus::Paused);
    let mut seen: Vec<_> = world
        .client
        .under_way(at())
        .await
        .unwrap()
        .into_iter()
        .map(|run| (run.run_id, run.status.unwrap().0, run.queue_id))
        .collect();
    seen.sort();
    let mut expected: Vec<_> = world
        .sandbox
        .runs()
        .into_iter()
        .map(|run| (run.id, run.status.name().to_owned(), run.queue_id))
        .collect();
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn a_run_is_stopped_and_a_waiting_one_leaves_the_queue() {
    let world = World::new(Settings {
        concurrency: Concurrency {
            runs_max: Some(1),
            exceed: Exceed::Queue,
        },
        ..settings()
    })
    .await;
    for text in ["runs", "waits", "waits too"] {
        world.start(text).await;
    }
    let waiting = world.run("waits");
    let stop = |run: pipecron::sandbox::Run, queue_id| world.client.stop(at(), run.id, queue_id);
    stop(waiting.clone(), waiting.queue_id).await.unwrap();
    assert_eq!(world.run("waits").status, RunStatus::Canceled);
    assert_eq!((world.asked("cancel-queuing"), world.asked("stop")), (1, 0));
    // One that has left the queue since is stopped.
    let queue_id = world.run("waits too").queue_id;
    stop(world.run("runs"), None).await.unwrap();
    assert_eq!(world.run("waits too").status, RunStatus::Running);
    stop(world.run("waits too"), queue_id).await.unwrap();
    assert_eq!(world.run("waits too").status, RunStatus::Canceled);
    // One that is over is not stopped, and the service says so.
    let answer = stop(world.run("runs"), None).await.unwrap_err();
    assert_eq!(answer.kind, AnswerKind::RefusedInPassing);
    let answer = world
        .client
        .stop(at(), "f".repeat(32), None)
        .await
        .unwrap_err();
    assert_eq!(answer.kind, AnswerKind::Refused);
}

#[tokio::test]
async fn an_account_that_is_gone_looks_at_nothing() {
    let world = World::new(settings()).await;
    world.client.use_accounts(&BTreeMap::new());
    assert!(matches!(world.find().await, Sighting::Failed(_)));
    let looks = world.client.look(vec![(at(), "r".to_owned()); 2]).await;
    assert!(looks.iter().all(|look| matches!(look, Look::Failed(_))));
    assert!(world.client.under_way(at()).await.is_err());
    assert!(world.client.stop(at(), "r".to_owned(), None).await.is_err());
    assert!(world.client.look(Vec::new()).await.is_empty());
}

#[tokio::test]
async fn a_run_from_before_the_attempt_is_not_asked_for() {
    let world = World::new(settings()).await;
    world.start(MARKER).await;
    let later = world.client.find(Find {
        since: epoch() + TimeDelta::hours(1),
        ..find()
    });
    assert_eq!(later.await, Sighting::Absent);
    assert_eq!(world.asked("detail"), 0);
}
