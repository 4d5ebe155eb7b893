//! Everything that can be made to go wrong, and whether a run exists afterwards.

use super::*;

#[test]
fn a_request_is_executed_late_whether_the_client_waits_or_not() {
    let mut world = World::new(|_| {});
    world.fault("late=60s,next=1");
    let Outcome::Later { after, ticket } = world.handle(&start_request()) else {
        panic!("not put off");
    };
    assert_eq!(after, Duration::from_secs(60));
    world.pass(59);
    assert!(world.list().is_empty());
    let wait = world.service.collect(world.now, ticket);
    assert_eq!(
        wait,
        Outcome::Later {
            after: Duration::from_secs(1),
            ticket
        }
    );
    world.pass(100);
    assert_eq!(world.list().len(), 1, "nobody had to come for the answer");
    let run = world.runs().remove(0);
    assert_eq!(
        run.accepted_at,
        after_secs(world.now, -99),
        "and it ran when it was due"
    );
    let outcome = world.service.collect(world.now, ticket);
    assert_eq!(
        outcome.response().unwrap().value(),
        json!({"pipeline_run_id": run.id})
    );
    assert_eq!(
        world.service.collect(world.now, ticket),
        Outcome::Silence(Hangup::Close),
        "an answer is given once"
    );
}

#[test]
fn only_so_many_requests_wait_to_be_carried_out() {
    let mut world = World::new(|_| {});
    world.fault("late=60s");
    for _ in 0..1_000 {
        assert!(matches!(
            world.handle(&start_request()),
            Outcome::Later { .. }
        ));
    }
    assert_eq!(world.answer(&start_request()).status, 503);
}

#[test]
fn what_is_dropped_starts_nothing_and_what_is_lost_starts_a_run() {
    for (text, outcome, runs) in [
        ("dropped=reset", Outcome::Silence(Hangup::Reset), 0),
        ("dropped=close", Outcome::Silence(Hangup::Close), 0),
        ("dropped=stall", Outcome::Silence(Hangup::Stall), 0),
        ("lost=reset", Outcome::Silence(Hangup::Reset), 1),
        ("lost=close", Outcome::Silence(Hangup::Close), 1),
        ("lost=stall", Outcome::Silence(Hangup::Stall), 1),
    ] {
        let mut world = World::new(|_| {});
        world.fault(text);
        assert_eq!(world.handle(&start_request()), outcome, "{text}");
        assert_eq!(world.runs().len(), runs, "{text}");
        assert_eq!(
            world.service.requests().started,
            u64::try_from(runs).unwrap()
        );
        let last = world.service.requests().last.back().unwrap().clone();
        assert_eq!(
            (last.status, last.faults.as_slice()),
            (None, [text.to_owned()].as_slice())
        );
    }
}

#[test]
fn an_answer_is_slow_or_drips_or_is_cut() {
    for (text, expected) in [
        ("slow=90s", (Duration::from_secs(90), Pace::Whole)),
        (
            "drip=3/1s",
            (
                Duration::ZERO,
                Pace::Drip {
                    bytes: 3,
                    every: Duration::from_secs(1),
                },
            ),
        ),
        ("lost=cut", (Duration::ZERO, Pace::Cut)),
    ] {
        let mut world = World::new(|_| {});
        world.fault(text);
        let Outcome::Answer { after, pace, .. } = world.handle(&start_request()) else {
            panic!("{text}");
        };
        assert_eq!((after, pace), expected, "{text}");
        assert_eq!(world.runs().len(), 1, "{text}: it was carried out at once");
    }
}

/// A rule, and the status, the number of runs afterwards, and the code in the answer.
const CANNED: &str = "
status=400:DEVCP.00021400                 400 0 /error_code DEVCP.00021400
status=401:APIGW.0301                     401 0 /error_code APIGW.0301
status=401:DEVCP.00021018                 401 0 /error_code DEVCP.00021018
status=401:DEV.00000001                   401 0 /error_code DEV.00000001
status=403:APIGW.0302                     403 0 /error_code APIGW.0302
status=404:APIGW.0101                     404 0 /error_code APIGW.0101
status=408                                408 0
throttle                                  429 0 /error_code APIGW.0308
status=500:COCT.0070003                   500 0 /error_code COCT.0070003
status=500:DEVCP.00010000,started=yes     500 1 /error_code DEVCP.00010000
status=502:APIGW.0201                     502 0 /error_code APIGW.0201
status=502                                502 0
status=503:APIG.0613                      503 0 /error_code APIG.0613
status=504:APIGW.0201,started=yes         504 1 /error_code APIGW.0201
redirect                                  307 0
code=DEVCP.00014031                       200 0 /error_code DEVCP.00014031
code=DEVPIPE.00011104                     200 0 /error_code DEVPIPE.00011104
code=DEVPIPE.00011401,shape=nested        200 0 /error/code DEVPIPE.00011401
message-only,message=no                   200 0 /error_msg  no
empty                                     200 1
empty,started=no                          200 0
not-json                                  200 1
truncated                                 200 1
truncated,started=no                      200 0
no-run-id                                 200 1
queued=60s                                200 1 /error_code DEVPIPE.00011169
";

#[test]
fn canned_answers_are_what_the_documentation_shows() {
    for row in CANNED.lines().filter(|row| !row.is_empty()) {
        let mut words = row.split_whitespace();
        let text = words.next().unwrap();
        let status: u16 = words.next().unwrap().parse().unwrap();
        let runs: usize = words.next().unwrap().parse().unwrap();
        let code = words.next().zip(words.next());
        let mut world = World::new(|_| {});
        world.fault(&format!("{text},next=1"));
        let response = world.answer(&start_request());
        assert_eq!(
            (response.status, world.runs().len()),
            (status, runs),
            "{text}"
        );
        match code {
            Some((place, code)) => assert_eq!(
                response.value().pointer(place),
                Some(&json!(code)),
                "{text}"
            ),
            None => assert!(response.value().get("pipeline_run_id").is_none(), "{text}"),
        }
        let is_gateway = code.is_some_and(|(_, code)| code.starts_with("APIG"));
        assert_eq!(
            response.value().get("request_id").is_some(),
            is_gateway,
            "{text}"
        );
        let next = world.answer(&start_request()).value();
        assert!(next["pipeline_run_id"].is_string(), "{text}: once only");
    }
}

#[test]
fn a_throttled_client_is_told_when_to_come_again_in_two_forms() {
    let mut world = World::new(|_| {});
    world.fault("throttle,retry-after=7,next=1");
    world.fault("throttle,retry-after=date:90,next=1");
    world.fault("throttle,next=1");
    let told = |world: &mut World| {
        world
            .answer(&start_request())
            .header_text("retry-after")
            .map(str::to_owned)
    };
    assert_eq!(told(&mut world).as_deref(), Some("7"));
    assert_eq!(
        told(&mut world).as_deref(),
        Some("Tue, 24 Nov 2026 18:01:30 GMT")
    );
    assert_eq!(told(&mut world), None);
}

#[test]
fn a_huge_answer_costs_no_memory() {
    let mut world = World::new(|_| {});
    world.fault("huge=99999999999");
    let response = world.answer(&start_request());
    assert!(response.body.len() < 100);
    assert!(response.length() > 99_999_999_999);
}

#[test]
fn a_run_is_listed_late_or_forgotten() {
    let mut world = World::new(|_| {});
    world.fault("lost=reset,next=1");
    world.fault("unlisted=60s,next=1");
    assert_eq!(
        world.handle(&start_request()),
        Outcome::Silence(Hangup::Reset)
    );
    let id = world.runs()[0].id.clone();
    world.pass(59);
    assert!(world.list().is_empty());
    assert_eq!(
        world.get(&of("/pipeline-runs/detail"))["error_code"],
        "DEVCP.00012002"
    );
    assert_eq!(
        world.detail(&id)["id"],
        json!(id),
        "asked for by its id it is there"
    );
    world.pass(1);
    assert_eq!(world.list(), [id]);

    world.fault("forgotten=5s,next=1");
    let id = world.start();
    assert_eq!(world.list().len(), 2);
    world.pass(5);
    assert_eq!(world.list().len(), 1);
    assert_eq!(world.detail(&id)["error_code"], "DEVCP.00012002");
    assert_eq!(world.runs().len(), 2, "we still know of it");
}

#[test]
fn runs_come_to_what_a_rule_says() {
    let mut world = World::new(|_| {});
    world.fault("ends=FAILED,takes=5s,next=1");
    world.fault("ends=PAUSED,next=1");
    let (failed, paused) = (world.start(), world.start());
    world.pass(5);
    assert_eq!(world.detail(&failed)["status"], "FAILED");
    assert_eq!(world.detail(&failed)["stages"][0]["status"], "FAILED");
    world.pass(15);
    let detail = world.detail(&paused);
    assert_eq!(
        (&detail["status"], &detail["end_time"]),
        (&json!("PAUSED"), &Value::Null)
    );
    assert_eq!(detail["pause_time"], json!(world.now.timestamp_millis()));
    world.pass(100_000);
    assert_eq!(
        world.detail(&paused)["status"],
        "PAUSED",
        "until somebody decides"
    );
}

#[test]
fn clocks_can_be_off() {
    let mut world = World::new(|_| {});
    world.fault("skew=-90s,on=detail");
    let id = world.start();
    let request = Request::new(
        "GET",
        &of(&format!("/pipeline-runs/detail?pipeline_run_id={id}")),
    );
    let response = world.answer(&request);
    assert_eq!(
        response.header_text("date"),
        Some("Tue, 24 Nov 2026 17:58:30 GMT")
    );
    assert_eq!(
        response.value()["current_system_time"],
        json!(world.now.timestamp_millis() - 90_000)
    );
    let mut world = World::new(|settings| settings.clock_skew_secs = 3_600);
    let id = world.start();
    let ahead = json!(world.now.timestamp_millis() + 3_600_000);
    let detail = world.detail(&id);
    assert_eq!(
        (&detail["start_time"], &detail["current_system_time"]),
        (&ahead, &ahead),
        "the whole service is ahead"
    );
    world.pass(20);
    assert_eq!(
        world.detail(&id)["status"],
        "COMPLETED",
        "and its runs take as long as ever"
    );
}

#[test]
fn connections_are_reset_or_nobody_listens() {
    let mut world = World::new(|_| {});
    world.fault("reset-connection,next=1");
    assert_eq!(world.service.connect(world.now), Welcome::Reset);
    assert_eq!(world.service.connect(world.now), Welcome::Served);
    world.fault("refuse=30s");
    assert_eq!(world.service.connect(world.now), Welcome::Refused);
    assert_eq!(
        world.service.refusing_for(world.now),
        Some(Duration::from_secs(30))
    );
    assert_eq!(
        world.handle(&start_request()),
        Outcome::Silence(Hangup::Reset),
        "an open connection is no way in"
    );
    world.pass(30);
    assert_eq!(world.service.connect(world.now), Welcome::Served);
    assert!(world.runs().is_empty());
}

#[test]
fn a_forced_status_counts() {
    let mut world = World::new(|_| {});
    let id = world.start();
    assert!(world.service.set_status(world.now, &id, RunStatus::Suspend));
    world.pass(1_000);
    assert_eq!(world.detail(&id)["status"], "SUSPEND");
    assert!(
        !world
            .service
            .set_status(world.now, OTHER, RunStatus::Suspend)
    );
    assert!(world.service.forget_run(world.now, &id));
    assert!(world.list().is_empty());
}

#[test]
fn a_clock_that_goes_back_breaks_nothing() {
    let mut world = World::new(|_| {});
    let id = world.start();
    world.now = after_secs(world.now, -86_400);
    assert_eq!(world.detail(&id)["status"], "RUNNING");
    world.now = Timestamp::MAX_UTC;
    assert_eq!(world.detail(&id)["status"], "COMPLETED");
    world.now = Timestamp::MIN_UTC;
    world.start();
    assert_eq!(world.answer(&start_request()).status, 200);
}

/// Whatever goes wrong, a run is there for each start that was carried out, and for no other.
#[test]
fn there_are_as_many_runs_as_starts_that_were_carried_out() {
    let rules = [
        "dropped=reset,chance=0.1",
        "lost=close,chance=0.1",
        "lost=cut,chance=0.1",
        "late=45s,chance=0.2",
        "status=504:APIGW.0201,started=yes,chance=0.1",
        "status=503,chance=0.1",
        "code=DEVPIPE.00011104,chance=0.1",
        "empty,chance=0.1",
        "queued=30s,chance=0.1",
        "unlisted=30s,chance=0.3",
        "ends=PAUSED,chance=0.02",
    ];
    for seed in 0..40 {
        let settings = Settings {
            check_auth: false,
            tenant_runs_max: (seed % 2 == 0).then_some(8),
            ..Settings::default()
        };
        let mut world = World::new(|_| {});
        world.service = Service::new(&settings, seed, world.now);
        for rule in rules {
            world.fault(rule);
        }
        let (mut answered, mut late) = (0, Vec::new());
        for _ in 0..120 {
            match world.handle(&start_request()) {
                Outcome::Later { ticket, .. } => late.push(ticket),
                outcome @ (Outcome::Answer { .. } | Outcome::Silence(_)) => {
                    answered += usize::from(is_started(&outcome));
                }
            }
            world.pass(3);
        }
        world.pass(45);
        for ticket in late {
            answered += usize::from(is_started(&world.service.collect(world.now, ticket)));
        }
        let started = usize::try_from(world.service.requests().started).unwrap();
        let runs = world.runs();
        assert_eq!(runs.len(), started, "seed {seed}");
        assert!(
            answered > 0 && answered < started,
            "seed {seed}: some answers were lost"
        );
        let unique: std::collections::BTreeSet<&str> =
            runs.iter().map(|run| run.id.as_str()).collect();
        assert_eq!(unique.len(), runs.len());
        world.service.clear_faults();
        world.pass(100_000);
        let rows = world.post(&of("/pipeline-runs/list"), &json!({"limit": 100}));
        assert_eq!(
            rows["total"],
            json!(started),
            "seed {seed}: in the end all are listed"
        );
    }
}

fn is_started(outcome: &Outcome) -> bool {
    let Outcome::Answer { response, pace, .. } = outcome else {
        return false;
    };
    let value = response.value();
    *pace != Pace::Cut
        && (value.get("pipeline_run_id").is_some()
            || value.pointer("/error/pipeline_run_id").is_some())
}
