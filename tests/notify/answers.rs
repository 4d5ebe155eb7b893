//! What an answer means, service by service.

use std::time::Duration;

use pipecron::codearts::Mask;
use pipecron::notify::{Heard, Service, judge};

fn heard(status: u16, body: &str) -> Heard {
    Heard {
        status,
        retry_after: None,
        body: Ok(body.to_owned()),
    }
}

/// `arrived`, or whether it may pass, after how many seconds, and what is told.
fn verdict(service: Service, heard: &Heard) -> String {
    match judge(service, "https://chat.example", heard, &Mask::none()) {
        Ok(()) => "arrived".to_owned(),
        Err(undelivered) => {
            let may_pass = if undelivered.may_pass {
                "again"
            } else {
                "never"
            };
            let wait = undelivered.retry_after.unwrap_or_default().as_secs();
            format!("{may_pass} {wait} {}", undelivered.why)
        }
    }
}

#[test]
fn an_answer_means_what_its_service_says() {
    use Service::{DingTalk, Feishu, Json, Ping, Slack, WeCom};
    let mut told = String::new();
    for (service, status, body) in [
        (Json, 204, ""),
        (Json, 200, "{\"ok\":false}"),
        (Json, 400, "no such field"),
        (Json, 401, ""),
        (Json, 302, "<a href=\"https://other.example/?key=1\">"),
        (Json, 503, "<html>\n<h1>busy</h1>"),
        (Json, 408, ""),
        (Slack, 200, "ok"),
        (Slack, 200, "{\"success\":true}"),
        (Slack, 200, "{\"ok\":false,\"error\":\"invalid_payload\"}"),
        (Slack, 200, "{\"ok\":false,\"error\":\"ratelimited\"}"),
        (Slack, 400, "invalid_payload"),
        (Slack, 404, "no_service"),
        (Slack, 429, "rate_limited"),
        (Slack, 500, "rollup_error"),
        (
            Feishu,
            200,
            "{\"StatusCode\":0,\"StatusMessage\":\"success\",\"code\":0,\"data\":{},\"msg\":\"success\"}",
        ),
        (
            Feishu,
            200,
            "{\"Extra\":null,\"StatusCode\":0,\"StatusMessage\":\"success\"}",
        ),
        (
            Feishu,
            200,
            "{\"code\":19021,\"data\":{},\"msg\":\"sign match fail or timestamp is not within one hour from current time\"}",
        ),
        (
            Feishu,
            200,
            "{\"code\":19024,\"data\":{},\"msg\":\"Key Words Not Found\"}",
        ),
        (
            Feishu,
            400,
            "{\"code\":9499,\"data\":{},\"msg\":\"Bad Request\"}",
        ),
        (
            Feishu,
            200,
            "{\"code\":11232,\"msg\":\"frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]\"}",
        ),
        (Feishu, 200, "<html>Log in to the network</html>"),
        (DingTalk, 200, "{\"errcode\":0,\"errmsg\":\"ok\"}"),
        (
            DingTalk,
            200,
            "{\"errcode\":310000,\"errmsg\":\"sign not match\"}",
        ),
        (
            DingTalk,
            200,
            "{\"errcode\":130101,\"errmsg\":\"send too fast, exceed 20 times per minute\"}",
        ),
        (DingTalk, 200, "{\"errcode\":-1,\"errmsg\":\"system busy\"}"),
        (DingTalk, 200, "{\"errmsg\":\"ok\"}"),
        (WeCom, 200, "{\"errcode\":0,\"errmsg\":\"ok\"}"),
        (
            WeCom,
            200,
            "{\"errcode\":93000,\"errmsg\":\"invalid webhook url\"}",
        ),
        (
            WeCom,
            200,
            "{\"errcode\":45009,\"errmsg\":\"api freq out of limit\"}",
        ),
        (
            WeCom,
            200,
            "{\"errcode\":40058,\"errmsg\":\"markdown.content exceed max length 4096\"}",
        ),
        (Ping, 200, "OK"),
        (Ping, 200, "OK (not found)"),
        (Ping, 200, "OK (rate limited)"),
        (Ping, 404, "not found"),
    ] {
        let verdict = verdict(service, &heard(status, body));
        told.push_str(&format!("{service:?} {status} {body:?}\n    {verdict}\n"));
    }
    insta::assert_snapshot!("answers", told);
}

/// A 200 whose body is not there is no success where the body says how it went, and one everywhere else.
#[test]
fn a_success_that_cannot_be_read_is_none_where_it_matters() {
    let broken = Heard {
        status: 200,
        retry_after: None,
        body: Err("it broke off: connection reset".to_owned()),
    };
    for service in [Service::Json, Service::Slack, Service::Ping] {
        assert_eq!(verdict(service, &broken), "arrived", "{service:?}");
    }
    for service in [Service::Feishu, Service::DingTalk, Service::WeCom] {
        assert_eq!(
            verdict(service, &broken),
            "again 0 https://chat.example answered HTTP 200, but does not say whether the message arrived: it broke off: connection reset",
            "{service:?}"
        );
    }
}

#[test]
fn an_answer_that_repeats_a_secret_does_not_show_it() {
    let mut mask = Mask::none();
    mask.hide("SEC0123456789abcdef");
    let rows = [
        (Service::Json, heard(400, "bad SEC0123456789abcdef")),
        (
            Service::Slack,
            heard(200, "{\"ok\":false,\"error\":\"SEC0123456789abcdef\"}"),
        ),
        (
            Service::DingTalk,
            heard(200, "{\"errcode\":1,\"errmsg\":\"x SEC0123456789abcdef\"}"),
        ),
        (Service::WeCom, heard(200, "SEC0123456789abcdef")),
        (
            Service::Feishu,
            heard(200, "{\"k\":\"SEC0123456789abcdef\"}"),
        ),
    ];
    for (service, heard) in rows {
        let undelivered = judge(service, "https://chat.example", &heard, &mask).unwrap_err();
        assert!(undelivered.why.contains("***"), "{undelivered:?}");
        assert!(!undelivered.why.contains("0123"), "{undelivered:?}");
    }
}

#[test]
fn the_wait_that_a_server_asks_for_is_told() {
    let mut busy = heard(429, "slow down");
    busy.retry_after = Some(Duration::from_secs(30));
    assert_eq!(
        verdict(Service::Slack, &busy),
        "again 30 https://chat.example answered HTTP 429: slow down"
    );
}
