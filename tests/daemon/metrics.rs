//! What is counted: the numbers of a day, of failures, of a restart and of a reload.

use pipecron::telemetry::metrics::{ENTRIES_MAX, Form, Outside};

use super::*;

/// What Prometheus would have of the process that runs: each series with its number.
fn measured(world: &World) -> BTreeMap<String, f64> {
    let outside = Outside {
        now: world.now(),
        ..Outside::default()
    };
    let page = world.metrics.page(Form::Prometheus, outside);
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// These series without `pipecron_`, with their numbers: none for one that is not there.
#[track_caller]
fn assert_measured(world: &World, expected: &[(&str, Option<f64>)]) {
    let measured = measured(world);
    for (series, number) in expected {
        let found = measured.get(&format!("pipecron_{series}")).copied();
        let near: Vec<_> = measured
            .iter()
            .filter(|(name, _)| name.contains(series.split('{').next().unwrap()))
            .collect();
        assert_eq!(found, *number, "{series}; there is {near:?}");
    }
}

fn seconds(instant: &str) -> Option<f64> {
    let instant: Timestamp = instant.parse().unwrap();
    Some(instant.timestamp() as f64)
}

fn followed(name: &str, cron: &str) -> Entry {
    let mut entry = entry(name, cron);
    entry.policy.follow = true;
    entry
}

/// All runs end so, and it is seen.
async fn run_ends(world: &World, status: &'static str) {
    let runs: Vec<String> = world.service.runs.lock().unwrap().keys().cloned().collect();
    for run in runs {
        world.service.ends(&run, status);
    }
    world.passes(10 * 60 * Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "one day, told in its order")]
async fn a_day_with_failures_in_numbers() {
    let mut world = World::at("2026-11-24T01:30:00Z");
    let mut late = entry("late", "0 4 * * *");
    late.spread = Duration::from_secs(600);
    let mut off = entry("off", "0 2 * * *");
    off.enabled = false;
    let mut config = config([
        followed("nightly", "0 2 * * *"),
        followed("broken", "0 3 * * *"),
        late,
        off,
        entry("refused", "0 5 * * *"),
    ]);
    let main = AccountName::parse("main").unwrap();
    let limited = Account {
        max_running: Some(7),
        ..Account::clone(&config.accounts[&main])
    };
    config.accounts.insert(main, Arc::new(limited));
    world.begin(config);
    world.passes(Duration::from_secs(60)).await;
    assert_measured(
        &world,
        &[
            ("ticks_ended_total{reason=\"too_late\"}", Some(0.0)),
            (
                "attempts_total{account=\"main\",class=\"started\"}",
                Some(0.0),
            ),
            ("entry_last_end_success{entry=\"nightly\"}", None),
            (
                "entry_next_due_timestamp_seconds{entry=\"nightly\"}",
                seconds("2026-11-24T02:00:00Z"),
            ),
            ("entry_next_due_timestamp_seconds{entry=\"off\"}", None),
            ("entries{state=\"active\"}", Some(4.0)),
            ("entries{state=\"disabled\"}", Some(1.0)),
            ("account_max_running{account=\"main\"}", Some(7.0)),
            ("account_max_running{account=\"other\"}", None),
            ("runs_under_way{account=\"main\"}", Some(0.0)),
        ],
    );

    // The first attempt never reaches the service, the second one is throttled.
    world
        .service
        .answers([AnswerKind::NotSent, AnswerKind::Throttled]);
    world.passes(45 * Duration::from_secs(60)).await;
    assert_measured(
        &world,
        &[
            ("ticks_open{state=\"running\"}", Some(1.0)),
            ("ticks_open{state=\"waiting\"}", Some(0.0)),
            ("runs_under_way{account=\"main\"}", Some(1.0)),
            ("account_throttled_total{account=\"main\"}", Some(1.0)),
            ("start_lateness_seconds_count", Some(1.0)),
        ],
    );
    run_ends(&world, "COMPLETED").await;
    world.passes(HOUR).await;
    run_ends(&world, "FAILED").await;
    world.passes(HOUR).await;
    world.service.answers([AnswerKind::Refused]);
    world.passes(HOUR).await;
    assert_eq!(
        world.ends().await,
        ["succeeded", "failed", "started", "refused"]
    );
    assert_measured(
        &world,
        &[
            ("ticks_opened_total{origin=\"scheduled\"}", Some(4.0)),
            ("ticks_ended_total{reason=\"succeeded\"}", Some(1.0)),
            ("ticks_ended_total{reason=\"failed\"}", Some(1.0)),
            ("ticks_ended_total{reason=\"refused\"}", Some(1.0)),
            // It ended when it was started. That its run is over is no second end.
            ("ticks_ended_total{reason=\"started\"}", Some(1.0)),
            ("ticks_open{state=\"running\"}", Some(0.0)),
            (
                "attempts_total{account=\"main\",class=\"started\"}",
                Some(3.0),
            ),
            (
                "attempts_total{account=\"main\",class=\"not_sent\"}",
                Some(1.0),
            ),
            (
                "attempts_total{account=\"main\",class=\"throttled\"}",
                Some(1.0),
            ),
            (
                "attempts_total{account=\"main\",class=\"refused\"}",
                Some(1.0),
            ),
            (
                "attempts_total{account=\"other\",class=\"refused\"}",
                Some(0.0),
            ),
            // Retries are not starts, and a spread is not lateness: everything left on time.
            ("start_lateness_seconds_count", Some(4.0)),
            ("start_lateness_seconds_bucket{le=\"0.005\"}", Some(4.0)),
            ("runs_under_way{account=\"main\"}", Some(1.0)),
            (
                "entry_last_success_due_timestamp_seconds{entry=\"nightly\"}",
                seconds("2026-11-24T02:00:00Z"),
            ),
            (
                "entry_last_success_due_timestamp_seconds{entry=\"broken\"}",
                None,
            ),
            ("entry_last_end_success{entry=\"nightly\"}", Some(1.0)),
            ("entry_last_end_success{entry=\"broken\"}", Some(0.0)),
            ("entry_last_end_success{entry=\"late\"}", Some(1.0)),
            ("entry_last_end_success{entry=\"refused\"}", Some(0.0)),
            ("ledger_errors_total", Some(0.0)),
        ],
    );
    run_ends(&world, "COMPLETED").await;
    assert_measured(
        &world,
        &[
            ("ticks_ended_total{reason=\"started\"}", Some(1.0)),
            ("ticks_opened_total{origin=\"scheduled\"}", Some(4.0)),
            ("runs_under_way{account=\"main\"}", Some(0.0)),
        ],
    );
    let measured = measured(&world);
    assert!(measured["pipecron_wakes_total"] > 200.0, "a turn a minute");
    assert!(measured["pipecron_ledger_commit_duration_seconds_count"] >= 10.0);
    let progress = measured["pipecron_loop_last_progress_timestamp_seconds"];
    let now = world.now().timestamp() as f64;
    assert!(now - progress <= 61.0, "{progress} at {now}");
}

#[tokio::test(start_paused = true)]
async fn what_was_before_a_restart_comes_from_the_ledger() {
    let mut world = World::at("2026-11-24T01:59:00Z");
    let set = || {
        [
            followed("good", "0 2 * * *"),
            followed("bad", "1 2 * * *"),
            followed("long", "0 3 * * *"),
            entry("unfollowed", "0 3 * * *"),
        ]
    };
    world.start(set());
    world.passes(90 * Duration::from_secs(1)).await;
    world.service.ends("run-1", "COMPLETED");
    world.passes(60 * Duration::from_secs(1)).await;
    world.service.ends("run-2", "FAILED");
    world.passes(HOUR + 120 * Duration::from_secs(1)).await;
    assert_eq!(
        world.ends().await,
        ["succeeded", "failed", "started", "running"]
    );
    world.stop().await;

    world.passes(20 * HOUR).await;
    world.start(set());
    world.passes(Duration::from_secs(1)).await;
    let inherited = [
        (
            "entry_last_success_due_timestamp_seconds{entry=\"good\"}",
            seconds("2026-11-24T02:00:00Z"),
        ),
        ("entry_last_end_success{entry=\"good\"}", Some(1.0)),
        (
            "entry_last_success_due_timestamp_seconds{entry=\"bad\"}",
            None,
        ),
        ("entry_last_end_success{entry=\"bad\"}", Some(0.0)),
        ("entry_last_end_success{entry=\"long\"}", None),
        // The places that an earlier process took are still taken, also where its tick has ended.
        ("ticks_open{state=\"running\"}", Some(1.0)),
        ("runs_under_way{account=\"main\"}", Some(2.0)),
        // A counter begins with the process.
        ("ticks_opened_total{origin=\"scheduled\"}", Some(0.0)),
        ("ticks_ended_total{reason=\"started\"}", Some(0.0)),
    ];
    assert_measured(&world, &inherited);
    for run in ["run-3", "run-4"] {
        world.service.ends(run, "COMPLETED");
    }
    world.passes(Duration::from_secs(600)).await;
    let ended = [
        ("ticks_ended_total{reason=\"succeeded\"}", Some(1.0)),
        // It ended in the process before.
        ("ticks_ended_total{reason=\"started\"}", Some(0.0)),
        ("ticks_opened_total{origin=\"scheduled\"}", Some(0.0)),
        ("runs_under_way{account=\"main\"}", Some(0.0)),
        (
            "entry_last_success_due_timestamp_seconds{entry=\"long\"}",
            seconds("2026-11-24T03:00:00Z"),
        ),
    ];
    assert_measured(&world, &ended);
    world.stop().await;

    // Down for the nightly: it is caught up two hours late, and that shows.
    world.passes(6 * HOUR).await;
    world.start([followed("good", "0 2 * * *")]);
    world.passes(Duration::from_secs(60)).await;
    let late = [
        ("ticks_opened_total{origin=\"scheduled\"}", Some(1.0)),
        ("start_lateness_seconds_count", Some(1.0)),
        ("start_lateness_seconds_bucket{le=\"3600\"}", Some(0.0)),
        ("start_lateness_seconds_bucket{le=\"14400\"}", Some(1.0)),
    ];
    assert_measured(&world, &late);
}

#[tokio::test(start_paused = true)]
async fn what_leaves_the_configuration_loses_its_series_and_a_refused_reload_shows() {
    let mut world = World::at("2026-11-24T01:59:00Z");
    world.start([
        followed("stays", "0 2 * * *"),
        followed("goes", "0 2 * * *"),
    ]);
    world.passes(Duration::from_secs(120)).await;
    run_ends(&world, "COMPLETED").await;
    let both = [
        ("entry_last_end_success{entry=\"stays\"}", Some(1.0)),
        ("entry_last_end_success{entry=\"goes\"}", Some(1.0)),
        ("config_last_reload_successful", Some(1.0)),
        ("config_from_ledger", Some(0.0)),
    ];
    assert_measured(&world, &both);
    world.reload(Err(vec!["bad".to_owned()])).await;
    let refused = [
        ("reloads_total{result=\"refused\"}", Some(1.0)),
        ("reloads_total{result=\"taken\"}", Some(0.0)),
        ("config_last_reload_successful", Some(0.0)),
        ("entry_last_end_success{entry=\"goes\"}", Some(1.0)),
    ];
    assert_measured(&world, &refused);
    let only = [followed("stays", "0 2 * * *"), followed("new", "0 2 * * *")];
    world.reload(Ok(config(only))).await;
    let taken = [
        ("reloads_total{result=\"taken\"}", Some(1.0)),
        ("config_last_reload_successful", Some(1.0)),
        ("entry_last_end_success{entry=\"stays\"}", Some(1.0)),
        ("entry_last_end_success{entry=\"goes\"}", None),
        (
            "entry_next_due_timestamp_seconds{entry=\"new\"}",
            seconds("2026-11-25T02:00:00Z"),
        ),
    ];
    assert_measured(&world, &taken);
    let page = measured(&world);
    let goes: Vec<&String> = page.keys().filter(|key| key.contains("goes")).collect();
    assert!(goes.is_empty(), "{goes:?}");
    let hash = page
        .keys()
        .any(|key| key.starts_with("pipecron_config_info{hash=\""));
    assert!(hash);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_entries_have_series_of_their_own() {
    let mut world = World::at("2026-11-24T01:59:00Z");
    let more = ENTRIES_MAX + 3;
    world.start((0..more).map(|number| entry(&format!("e{number:05}"), "0 2 1 1 *")));
    world.passes(Duration::from_secs(120)).await;
    let all = more as f64;
    let counted = [
        ("entries{state=\"active\"}", Some(all)),
        ("entries_left_out", Some(3.0)),
        (
            "entry_next_due_timestamp_seconds{entry=\"e00000\"}",
            seconds("2027-01-01T02:00:00Z"),
        ),
        ("entry_next_due_timestamp_seconds{entry=\"e05000\"}", None),
    ];
    assert_measured(&world, &counted);
    world
        .reload(Ok(config([entry("e05000", "0 2 1 1 *")])))
        .await;
    let few = [
        ("entries_left_out", Some(0.0)),
        (
            "entry_next_due_timestamp_seconds{entry=\"e05000\"}",
            seconds("2027-01-01T02:00:00Z"),
        ),
    ];
    assert_measured(&world, &few);
}

#[tokio::test(start_paused = true)]
async fn a_failing_ledger_a_broken_service_and_a_wrong_clock_show() {
    let mut world = World::at("2026-11-24T01:59:00Z");
    let theirs = world.clock.apart(TimeDelta::zero());
    theirs.step(TimeDelta::seconds(-90));
    *world.service.clock.lock().unwrap() = Some(theirs);
    world.start([entry("minutely", "* * * * *")]);
    world.passes(Duration::from_secs(90)).await;
    let ahead = [
        ("account_clock_skew_seconds{account=\"main\"}", Some(90.0)),
        ("account_clock_skew_seconds{account=\"other\"}", None),
        ("account_breaker_open{account=\"main\"}", Some(0.0)),
        ("account_resting{account=\"main\"}", Some(0.0)),
    ];
    assert_measured(&world, &ahead);
    world.ledger.fail_commits(2, Fault::Full);
    world.passes(Duration::from_secs(120)).await;
    assert_measured(&world, &[("ledger_errors_total", Some(2.0))]);
    world.service.always(Some(AnswerKind::NotSent));
    world.passes(Duration::from_secs(600)).await;
    let broken = [
        ("account_breaker_open{account=\"main\"}", Some(1.0)),
        ("account_resting{account=\"main\"}", Some(1.0)),
        ("account_credentials_refused{account=\"main\"}", Some(0.0)),
        ("account_breaker_open{account=\"other\"}", Some(0.0)),
    ];
    assert_measured(&world, &broken);
    let waiting = measured(&world)["pipecron_ticks_open{state=\"waiting\"}"];
    assert!(waiting >= 5.0, "{waiting}");
    world.service.always(None);
    world.passes(Duration::from_secs(600)).await;
    let mended = [
        ("account_breaker_open{account=\"main\"}", Some(0.0)),
        ("account_resting{account=\"main\"}", Some(0.0)),
        ("ticks_open{state=\"waiting\"}", Some(0.0)),
    ];
    assert_measured(&world, &mended);
    world.service.always(Some(AnswerKind::Unauthorized));
    world.passes(Duration::from_secs(200)).await;
    let refused = [("account_credentials_refused{account=\"main\"}", Some(1.0))];
    assert_measured(&world, &refused);
}
