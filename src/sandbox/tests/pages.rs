//! The sandbox's own pages.

use super::*;

#[test]
fn the_pages_show_and_change_what_goes_on() {
    let mut world = World::new(|_| {});
    let id = world.start();
    let runs = world.get("/sandbox/runs");
    assert_eq!(
        (&runs[0]["id"], &runs[0]["description"], &runs[0]["status"]),
        (&json!(id), &json!("a run"), &json!("RUNNING"))
    );
    assert_eq!(world.get("/sandbox/runs?offset=1"), json!([]));
    assert_eq!(
        world.get(&format!("/sandbox/runs?pipeline_id={OTHER}")),
        json!([])
    );
    assert_eq!(world.get("/sandbox/requests")["by_call"]["run"], 1);
    assert_eq!(world.get("/sandbox/")["started"], 1);
    let set = world.post(
        "/sandbox/faults",
        &json!(["lost=reset,next=1", {"fault": "throttle", "on": "list"}]),
    );
    assert_eq!(set[1]["text"], "status=429:APIGW.0308,on=list");
    assert_eq!(
        world.handle(&start_request()),
        Outcome::Silence(Hangup::Reset)
    );
    assert_eq!(world.get("/sandbox/faults").as_array().unwrap().len(), 1);
    let bad =
        world.answer(&Request::new("PUT", "/sandbox/faults").json(&json!(["empty", "nonsense"])));
    assert_eq!(
        (bad.status, world.service.faults().len()),
        (400, 1),
        "a bad list changes nothing"
    );
    assert_eq!(
        world
            .answer(&Request::new("PUT", "/sandbox/faults").json(&json!(["empty", "late=1s"])))
            .status,
        200
    );
    assert_eq!(world.service.faults().len(), 2);
    assert_eq!(
        world
            .answer(&Request::new("DELETE", "/sandbox/faults"))
            .value(),
        json!([])
    );
}

#[test]
fn a_run_is_changed_by_hand() {
    let mut world = World::new(|_| {});
    let id = world.start();
    let changed = world.post(&format!("/sandbox/runs/{id}"), &json!({"status": "PAUSED"}));
    assert_eq!(changed["status"], "PAUSED");
    assert!(
        world.post(&format!("/sandbox/runs/{id}"), &json!({"forgotten": true}))["forgotten_from"]
            .is_string()
    );
    for (target, body, status) in [
        (
            format!("/sandbox/runs/{id}"),
            json!({"status": "DONE"}),
            400,
        ),
        (
            format!("/sandbox/runs/{OTHER}"),
            json!({"status": "PAUSED"}),
            404,
        ),
        ("/sandbox/nothing".to_owned(), json!({}), 404),
        ("/sandbox/faults".to_owned(), json!({}), 400),
    ] {
        assert_eq!(
            world
                .answer(&Request::new("POST", &target).json(&body))
                .status,
            status,
            "{target} {body}"
        );
    }
}

#[test]
fn a_web_page_does_not_reach_the_pages() {
    let mut world = World::new(|_| {});
    let ask = || Request::new("GET", "/sandbox/runs");
    for (name, value, status) in [
        ("origin", "https://example.com", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "none", 200),
        ("host", "evil.example.com:8089", 403),
        ("host", "127.0.0.1.example.com", 403),
        ("host", "localhost:8089", 200),
        ("host", "127.0.0.1:8089", 200),
        ("host", "[::1]:8089", 200),
    ] {
        assert_eq!(
            world.answer(&ask().header(name, value)).status,
            status,
            "{name}: {value}"
        );
    }
}
