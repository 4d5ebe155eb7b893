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

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    /// Whatever arrives, it is answered, and what was there still works.
    #[test]
    fn nothing_that_arrives_breaks_the_service(
        method in "(GET|POST|PUT|DELETE|[A-Z]{0,8})",
        target in "/(v5/[0-9a-f]{31,33}/api/pipelines/[0-9a-f]{31,33}/|v3/|sandbox/)?[a-z0-9/%?&=._~+-]{0,60}",
        name in "(authorization|x-auth-token|x-sdk-date|host|content-type)",
        value in "(SDK-HMAC-SHA256 Access=SANDBOXACCESSKEY0001, SignedHeaders=)?.{0,80}",
        body in "(\\PC{0,80}|[\\[\\]{}\",:0-9a-z]{0,80})",
    ) {
        let mut world = World::new(|settings| settings.check_auth = value.len() % 2 == 0);
        let mut request = Request::new(&method, &target).header(&name, &value);
        request.body = body.into_bytes();
        let outcome = world.handle(&request);
        proptest::prop_assert!(outcome.response().is_some());
        proptest::prop_assert!(world.runs().len() <= 1);
    }

    /// A rule is read or refused; what is read can be written and read again.
    #[test]
    fn any_text_is_a_rule_or_is_none(text in "(lost|slow|status|code|drip|ends|skew|huge|late)?[a-z0-9=,:%/+ .-]{0,60}") {
        if let Ok(rule) = text.parse::<FaultRule>() {
            proptest::prop_assert_eq!(rule.to_string().parse::<FaultRule>(), Ok(rule.clone()));
            proptest::prop_assert_eq!(FaultRule::from_json(&rule.to_json()), Ok(rule));
        }
    }
}
