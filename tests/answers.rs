//! What every answer of the service means, by name: a row for each code, each shape, each odd body.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use pipecron::codearts::{Body, HttpResponse, Mask, read};
use pipecron::domain::{Answer, AnswerKind};
use proptest::prelude::*;

const RUN: &str = "ad6b7f66283a45be9c1f82b06c831e59";

fn now() -> DateTime<Utc> {
    "2026-11-24T18:00:00Z".parse().unwrap()
}

fn response(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
    HttpResponse {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: Body::Whole(body.as_bytes().to_vec()),
    }
}

fn answer(status: u16, body: &str) -> Answer {
    read(&response(status, &[], body), &Mask::none(), now())
}

fn started(run_id: &str, queue_id: Option<&str>) -> AnswerKind {
    AnswerKind::Started {
        run_id: run_id.to_owned(),
        queue_id: queue_id.map(str::to_owned),
    }
}

/// `{"error_code": CODE, "error_msg": "m"}`, the service's usual refusal.
fn refusal(code: &str) -> String {
    format!(r#"{{"error_code":"{code}","error_msg":"m"}}"#)
}

#[test]
fn every_code_of_the_table_has_its_class() {
    use AnswerKind::{Busy, Doubtful, Refused, RefusedInPassing, Throttled, Unauthorized};
    let rows: &[(&str, &[u16], AnswerKind)] = &[
        ("APIGW.0308", &[200, 429, 403, 500, 503], Throttled),
        ("APIG.0308", &[200, 429], Throttled),
        ("COCT.0070003", &[500, 200, 400, 503], Throttled),
        ("COCT.0070500", &[500, 200], Doubtful),
        ("DEVCP.00020500", &[500, 200], Doubtful),
        ("DEVCP.00010000", &[500, 200], Doubtful),
        ("DEVPIPE.00011104", &[200, 400, 403, 500], Busy),
        ("DEVPIPE.00011105", &[200, 400, 409], Busy),
        ("DEVPIPE.00011169", &[200, 400, 500], Doubtful),
        ("DEVPIPE.00011170", &[200, 400, 500], Doubtful),
        ("DEVPIPE.00011136", &[200, 400, 404], Refused),
        ("DEVPIPE.00011401", &[200, 400, 404], Refused),
        ("DEVPIPE.00011412", &[200, 400], Refused),
        ("DEV_21_100169", &[200, 400], Refused),
        ("DEVPIPE.30021001", &[200, 400], Refused),
        ("DEVPIPE.30011001", &[200, 400], Refused),
        ("DEVPIPE.30011011", &[200, 400], Refused),
        ("DEVCP.00014031", &[200, 403], Refused),
        ("DEVCP.00012002", &[200, 404], Refused),
        ("DEVCP.00014004", &[200, 400], Refused),
        ("DEVCP.00021400", &[200, 400], Refused),
        ("DEVCP.00021018", &[401, 200, 403], Refused),
        ("DEV.00000001", &[401, 200], Unauthorized),
        ("APIGW.0301", &[401], Unauthorized),
        ("APIGW.0307", &[401], Unauthorized),
        ("APIGW.0303", &[401], Unauthorized),
        ("APIG.0301", &[401], Unauthorized),
        ("APIG.0305", &[401], Unauthorized),
        ("APIG.0307", &[401], Unauthorized),
        ("APIGW.9999", &[401], Unauthorized),
        ("APIGW.0302", &[403], Refused),
        ("APIG.0306", &[403], Refused),
        ("APIG.0310", &[403], Refused),
        ("APIG.0802", &[403], Refused),
        ("APIG.0401", &[403], Refused),
        ("APIG.0402", &[403], Refused),
        ("APIGW.0101", &[404], Refused),
        ("APIGW.0106", &[400], Refused),
        ("APIGW.0201", &[400, 413, 414, 494], Refused),
        ("APIGW.0201", &[502, 504, 200], Doubtful),
        ("APIG.0601", &[500], Doubtful),
        ("APIG.0606", &[500], Doubtful),
        ("APIGW.0609", &[500], Doubtful),
        ("APIG.0611", &[500], Doubtful),
        ("APIGW.0610", &[502], Doubtful),
        ("APIG.0613", &[503], Doubtful),
        // Not in the table.
        ("DEVPIPE.00099999", &[200, 201], RefusedInPassing),
        ("SOMETHING.ELSE", &[200], RefusedInPassing),
        ("PM.00000001", &[400, 401, 404], Refused),
        ("DEVPIPE.00099999", &[500, 503], Doubtful),
        ("DEVPIPE.00011401", &[500], Doubtful),
    ];
    for (code, statuses, kind) in rows {
        for status in *statuses {
            let answer = answer(*status, &refusal(code));
            assert_eq!(&answer.kind, kind, "{code} with {status}");
            assert_eq!(answer.code.as_deref(), Some(*code), "{code} with {status}");
            assert_eq!(answer.message, "m", "{code} with {status}");
            assert_eq!(answer.status, Some(*status));
        }
    }
}

#[test]
fn a_run_is_started_if_the_answer_names_it_and_no_error() {
    // ID stands for the run's id.
    let rows = [
        ("plain", r#"{"pipeline_run_id":ID}"#),
        (
            "beside others",
            r#"{"a":[1,{"b":null}],"pipeline_run_id":ID,"request_id":"q"}"#,
        ),
        (
            "beside an error_msg",
            r#"{"pipeline_run_id":ID,"error_msg":"m"}"#,
        ),
        (
            "beside an empty code",
            r#"{"pipeline_run_id":ID,"error_code":"","error":null}"#,
        ),
        (
            "all is well",
            r#"{"pipeline_run_id":ID,"error_code":"0","code":200,"message":"ok"}"#,
        ),
        (
            "beside a code of no error",
            r#"{"pipeline_run_id":ID,"code":"note","message":"m"}"#,
        ),
        (
            "after a byte order mark",
            "\u{feff}{\"pipeline_run_id\":ID}\n",
        ),
    ];
    for (name, body) in rows {
        for id in [RUN, "r-1"] {
            let body = body.replace("ID", &format!("\"{id}\""));
            for status in [200, 201, 202] {
                assert_eq!(answer(status, &body).kind, started(id, None), "{name}");
            }
        }
    }
}

#[test]
fn a_run_named_in_any_other_way_is_a_contradiction() {
    let long = "x".repeat(129);
    let rows = [
        (
            "beside an error code",
            200,
            r#"{"pipeline_run_id":ID,"error_code":"X","error_msg":"m"}"#,
        ),
        (
            "beside a busy code",
            200,
            r#"{"pipeline_run_id":ID,"error_code":"DEVPIPE.00011104"}"#,
        ),
        (
            "beside error.code",
            200,
            r#"{"pipeline_run_id":ID,"error":{"code":"X"}}"#,
        ),
        (
            "not at the top",
            200,
            r#"{"result":{"pipeline_run_id":ID}}"#,
        ),
        (
            "with a refusal",
            200,
            r#"{"error_code":"X","error_msg":"m","d":[{"pipeline_run_id":ID}]}"#,
        ),
        ("in a list", 200, r#"[{"pipeline_run_id":ID}]"#),
        ("in a list, refused", 400, r#"[{"pipeline_run_id":ID}]"#),
        ("with a client error", 400, r#"{"pipeline_run_id":ID}"#),
        ("with a server error", 500, r#"{"pipeline_run_id":ID}"#),
        ("with too many requests", 429, r#"{"pipeline_run_id":ID}"#),
        ("empty", 200, r#"{"pipeline_run_id":""}"#),
        ("blank", 200, r#"{"pipeline_run_id":"  "}"#),
        ("null", 200, r#"{"pipeline_run_id":null}"#),
        ("a number", 200, r#"{"pipeline_run_id":17}"#),
        ("an object", 200, r#"{"pipeline_run_id":{"id":"x"}}"#),
        ("with a line end", 200, r#"{"pipeline_run_id":"a\nb"}"#),
        (
            "with a letter that is no letter of an id",
            200,
            r#"{"pipeline_run_id":"流水线"}"#,
        ),
        ("endless", 200, r#"{"pipeline_run_id":"LONG"}"#),
        ("another spelling", 200, r#"{"pipelineRunId":ID}"#),
    ];
    for (name, status, body) in rows {
        let body = body
            .replace("ID", &format!("\"{RUN}\""))
            .replace("LONG", &long);
        assert_eq!(answer(status, &body).kind, AnswerKind::Doubtful, "{name}");
    }
    let both = format!(r#"{{"pipeline_run_id":"{RUN}","error_code":"X","error_msg":"m"}}"#);
    let message = answer(200, &both).message;
    assert_eq!(
        message,
        format!("the answer names the run {RUN}, but also says: m")
    );
}

#[test]
fn the_queued_shape_is_a_start_at_every_status() {
    for code in ["DEVPIPE.00011169", "DEVPIPE.00011170"] {
        for status in [200, 400, 409, 500] {
            let queued = |error: &str| {
                answer(
                    status,
                    &format!(r#"{{"error_code":"{code}","error_msg":"queued","error":{error}}}"#),
                )
                .kind
            };
            let name = format!("{code} with {status}");
            assert_eq!(
                queued(&format!(r#"{{"pipeline_run_id":"{RUN}","queue_id":"q1"}}"#)),
                started(RUN, Some("q1")),
                "{name}"
            );
            assert_eq!(
                queued(&format!(r#"{{"pipeline_run_id":"{RUN}","queue_id":77}}"#)),
                started(RUN, Some("77")),
                "{name}: a number as queue id"
            );
            assert_eq!(
                queued(&format!(r#"{{"pipeline_run_id":"{RUN}"}}"#)),
                started(RUN, None),
                "{name}: no queue id"
            );
            for nothing in [
                "null",
                "{}",
                r#"{"queue_id":"q1"}"#,
                r#"{"pipeline_run_id":""}"#,
                r#""text""#,
            ] {
                assert_eq!(queued(nothing), AnswerKind::Doubtful, "{name}: {nothing}");
            }
        }
    }
    let below = format!(
        r#"{{"error":{{"code":"DEVPIPE.00011169","message":"m","pipeline_run_id":"{RUN}","queue_id":"q"}}}}"#
    );
    assert_eq!(
        answer(200, &below).kind,
        started(RUN, Some("q")),
        "the code below error"
    );
    let top =
        format!(r#"{{"error_code":"DEVPIPE.00011170","pipeline_run_id":"{RUN}","queue_id":"q"}}"#);
    assert_eq!(
        answer(200, &top).kind,
        started(RUN, Some("q")),
        "the ids at the top"
    );
    let busy =
        format!(r#"{{"error_code":"DEVPIPE.00011104","error":{{"pipeline_run_id":"{RUN}"}}}}"#);
    assert_eq!(
        answer(200, &busy).kind,
        AnswerKind::Doubtful,
        "a busy code with a run"
    );
}

#[test]
fn an_error_is_found_in_every_shape() {
    let rows: &[(&str, &str, Option<&str>, &str)] = &[
        (
            "error_code",
            r#"{"error_code":"C","error_msg":"m"}"#,
            Some("C"),
            "m",
        ),
        ("error_code alone", r#"{"error_code":"C"}"#, Some("C"), ""),
        (
            "errorCode",
            r#"{"errorCode":"C","errorMsg":"m"}"#,
            Some("C"),
            "m",
        ),
        ("code", r#"{"code":"C","message":"m"}"#, Some("C"), "m"),
        ("a number", r#"{"code":17,"message":"m"}"#, Some("17"), "m"),
        (
            "error_code as a number",
            r#"{"error_code":404,"error_msg":"m"}"#,
            Some("404"),
            "m",
        ),
        (
            "error.code",
            r#"{"error":{"code":"C","message":"m"}}"#,
            Some("C"),
            "m",
        ),
        (
            "error.code alone",
            r#"{"error":{"code":"C"}}"#,
            Some("C"),
            "",
        ),
        (
            "error.error_code",
            r#"{"error":{"error_code":"C","error_msg":"m"}}"#,
            Some("C"),
            "m",
        ),
        (
            "nested",
            r#"{"a":{"b":{"errorCode":"C","errorMsg":"m"}}}"#,
            Some("C"),
            "m",
        ),
        (
            "nested in a list",
            r#"{"errors":[{"code":"C","message":"m"}]}"#,
            Some("C"),
            "m",
        ),
        (
            "a list",
            r#"[{"error_code":"C","error_msg":"m"}]"#,
            Some("C"),
            "m",
        ),
        (
            "the first shape wins",
            r#"{"code":"B","message":"n","error_code":"A","error_msg":"m"}"#,
            Some("A"),
            "m",
        ),
        (
            "with a request id",
            r#"{"error_code":"C","error_msg":"m","request_id":"r"}"#,
            Some("C"),
            "m",
        ),
    ];
    for (name, body, code, message) in rows {
        for (status, kind) in [
            (200, AnswerKind::RefusedInPassing),
            (400, AnswerKind::Refused),
        ] {
            let answer = answer(status, body);
            assert_eq!(answer.code.as_deref(), *code, "{name} with {status}");
            let without = format!("HTTP {status}, without a message");
            let message = if message.is_empty() {
                &without
            } else {
                *message
            };
            assert_eq!(answer.message, message, "{name} with {status}");
            assert_eq!(answer.kind, kind, "{name} with {status}");
        }
    }
}

#[test]
fn what_is_no_error_code_is_not_taken_for_a_refusal() {
    for body in [
        r#"{"error_code":null,"error_msg":null}"#,
        r#"{"error_code":"","error_msg":"m"}"#,
        r#"{"error_code":0,"error_msg":""}"#,
        r#"{"error_code":"0"}"#,
        r#"{"error_code":{},"error_msg":"m"}"#,
        r#"{"code":"200","message":"m"}"#,
        r#"{"code":"Success","message":"m"}"#,
        r#"{"code":"C"}"#,
        r#"{"error":"C"}"#,
        r#"{"error_msg":"could not start"}"#,
        r#"{"status":"success"}"#,
        r#"{"error":{"code":503,"message":"backend"}}"#,
        r#"{"error":{"code":"408","message":"time"}}"#,
        "{}",
        "[]",
        "null",
        "true",
        "17",
        r#""ad6b7f66283a45be9c1f82b06c831e59""#,
        "",
        " \n",
        "OK",
        "<html><body>502</body></html>",
        r#"{"pipeline_run_id":"ad6b7f66283a45be9c1f82b06c831e59""#,
        r#"{"pipeline_run_id":"a"} {"pipeline_run_id":"b"}"#,
    ] {
        for status in [200, 202, 204] {
            let answer = answer(status, body);
            assert_eq!(answer.kind, AnswerKind::Doubtful, "{body} with {status}");
            assert!(!answer.message.is_empty(), "{body} with {status}");
        }
    }
}

#[test]
fn without_a_code_the_status_decides() {
    use AnswerKind::{Doubtful, NotSent, Refused, Throttled, Unauthorized};
    let rows: &[(AnswerKind, &[u16])] = &[
        (
            Doubtful,
            &[
                100, 101, 199, 200, 204, 299, 300, 301, 302, 303, 304, 307, 308, 399,
            ],
        ),
        (
            Doubtful,
            &[408, 500, 501, 502, 503, 504, 505, 520, 599, 600, 999],
        ),
        (
            Refused,
            &[
                400, 402, 403, 404, 405, 409, 410, 411, 413, 415, 422, 451, 494, 499,
            ],
        ),
        (Unauthorized, &[401]),
        (Throttled, &[429]),
        (NotSent, &[407]),
    ];
    for (kind, statuses) in rows {
        for status in *statuses {
            for body in [
                "",
                "{}",
                "<html>",
                r#"{"error_msg":"m"}"#,
                r#"{"message":"m"}"#,
            ] {
                assert_eq!(&answer(*status, body).kind, kind, "{status} with {body:?}");
            }
        }
    }
    let iam = r#"{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}"#;
    assert_eq!(
        answer(401, iam).kind,
        Unauthorized,
        "the status again as a code"
    );
}

#[test]
fn a_body_that_broke_off_leaves_the_status() {
    use AnswerKind::{Doubtful, Refused, Throttled, Unauthorized};
    for (status, kind) in [
        (200, Doubtful),
        (429, Throttled),
        (401, Unauthorized),
        (404, Refused),
        (503, Doubtful),
    ] {
        let response = HttpResponse {
            body: Body::Broken("the answer has more than 9 bytes".to_owned()),
            ..response(status, &[], "")
        };
        let answer = read(&response, &Mask::none(), now());
        assert_eq!(answer.kind, kind, "{status}");
        assert!(
            answer.message.contains("more than 9 bytes"),
            "{}",
            answer.message
        );
    }
}

#[test]
fn bytes_that_are_no_text_do_not_hide_a_code() {
    let mut body = br#"{"error_code":"DEVPIPE.00011104","error_msg":""#.to_vec();
    body.extend_from_slice(&[0xb2, 0xa2, 0xb7]);
    body.extend_from_slice(br#""}"#);
    let response = HttpResponse {
        body: Body::Whole(body),
        ..response(200, &[], "")
    };
    assert_eq!(read(&response, &Mask::none(), now()).kind, AnswerKind::Busy);
}

#[test]
fn deep_and_wide_bodies_are_bounded() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert_eq!(answer(200, &deep).kind, AnswerKind::Doubtful);
    let wide = format!(
        r#"{{"error_code":"{}","error_msg":"{}"}}"#,
        "C".repeat(500_000),
        "m".repeat(500_000)
    );
    let answer = answer(200, &wide);
    assert!(answer.code.unwrap().chars().count() <= 128);
    assert!(answer.message.chars().count() <= 500);
}

#[test]
fn retry_after_is_read_in_both_forms_and_bounded() {
    let date = "Tue, 24 Nov 2026 18:00:00 GMT";
    let rows: &[(&str, Option<&str>, Option<u64>)] = &[
        ("0", None, Some(0)),
        ("7", None, Some(7)),
        (" 7 ", None, Some(7)),
        ("86400", None, Some(3600)),
        ("99999999999999999999999", None, Some(3600)),
        ("-1", None, None),
        ("1.5", None, None),
        ("", None, None),
        ("soon", None, None),
        ("Tue, 24 Nov 2026 18:01:30 GMT", None, Some(90)),
        ("Tue, 24 Nov 2026 17:01:30 GMT", None, Some(0)),
        ("Mon, 24 Nov 2036 18:00:00 GMT", None, Some(3600)),
        // The service's clock is an hour behind ours: its date counts from its own.
        (
            "Tue, 24 Nov 2026 17:00:30 GMT",
            Some("Tue, 24 Nov 2026 17:00:00 GMT"),
            Some(30),
        ),
        ("Tue, 24 Nov 2026 18:00:05 GMT", Some(date), Some(5)),
    ];
    for (text, date, seconds) in rows {
        let mut headers = vec![("retry-after", *text)];
        headers.extend(date.map(|date| ("date", date)));
        for status in [429, 503] {
            let answer = read(&response(status, &headers, ""), &Mask::none(), now());
            assert_eq!(
                answer.retry_after,
                seconds.map(Duration::from_secs),
                "{text:?} {date:?}"
            );
        }
    }
}

#[test]
fn the_service_clock_and_the_request_id_are_kept() {
    let body = r#"{"error_code":"APIGW.0301","error_msg":"m","request_id":"from-body"}"#;
    let both = read(
        &response(
            401,
            &[
                ("Date", "Tue, 24 Nov 2026 17:59:58 GMT"),
                ("X-Request-Id", "from-header"),
            ],
            body,
        ),
        &Mask::none(),
        now(),
    );
    assert_eq!(
        both.service_clock,
        Some("2026-11-24T17:59:58Z".parse().unwrap())
    );
    assert_eq!(both.request_id.as_deref(), Some("from-header"));
    let one = read(
        &response(401, &[("Date", "yesterday"), ("X-Request-Id", " ")], body),
        &Mask::none(),
        now(),
    );
    assert_eq!(
        (one.service_clock, one.request_id.as_deref()),
        (None, Some("from-body"))
    );
    let started = read(
        &response(
            200,
            &[("x-request-id", "r1")],
            &format!(r#"{{"pipeline_run_id":"{RUN}"}}"#),
        ),
        &Mask::none(),
        now(),
    );
    assert_eq!(
        (started.request_id.as_deref(), started.message.as_str()),
        (Some("r1"), "")
    );
}

#[test]
fn what_the_gateway_repeats_of_our_secrets_is_hidden() {
    let token = "gQpjbi1ub3J0aC00jEXAMPLE/SecurityToken+With=Symbols==";
    let mut mask = Mask::none();
    mask.hide(token);
    let body = format!(
        r#"{{"error_msg":"Incorrect IAM authentication information: verify signature fail, canonicalRequest:POST|/v5/x/|x-security-token:{token}|","error_code":"APIGW.0301","request_id":"{token}"}}"#
    );
    for (name, body) in [
        ("JSON", body.clone()),
        ("cut JSON", body[..body.len() - 40].to_owned()),
        (
            "in the code",
            format!(r#"{{"error_code":"{token}","error_msg":"m"}}"#),
        ),
        ("in HTML", format!("<p>{token}</p>")),
    ] {
        let response = response(401, &[("Location", token), ("X-Request-Id", token)], &body);
        let answer = read(&response, &mask, now());
        let shown = format!("{answer:?}{}", serde_json::to_string(&answer).unwrap());
        for piece in ["gQpjbi1u", "SecurityToken", "Symbols=="] {
            assert!(!shown.contains(piece), "{name}: {shown}");
        }
        assert!(shown.contains("***"), "{name}: {shown}");
        assert!(!format!("{response:?}").contains("gQpjbi1u"));
    }
}

/// JSON with the words that matter, in any place.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let word = prop_oneof![
        Just("DEVPIPE.00011104".to_owned()),
        Just("DEVPIPE.00011169".to_owned()),
        Just("APIGW.0301".to_owned()),
        Just(RUN.to_owned()),
        Just(String::new()),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        word.prop_map(serde_json::Value::from),
    ];
    let name = prop_oneof![
        Just("pipeline_run_id".to_owned()),
        Just("error_code".to_owned()),
        Just("error_msg".to_owned()),
        Just("error".to_owned()),
        Just("code".to_owned()),
        Just("message".to_owned()),
        Just("queue_id".to_owned()),
        "[a-z]{1,3}",
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..5)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        status in 0u16..1000,
        body in prop::collection::vec(any::<u8>(), 0..2000),
        header in ".{0,40}",
    ) {
        let mut response = response(status, &[("Retry-After", &header), ("Date", &header)], "");
        response.body = Body::Whole(body);
        let answer = read(&response, &Mask::none(), now());
        prop_assert!(answer.message.chars().count() <= 500);
        prop_assert!(!answer.message.chars().any(char::is_control));
    }

    #[test]
    fn no_answer_that_names_a_run_is_called_unstarted(status in 100u16..600, body in any_json()) {
        let text = body.to_string();
        let answer = answer(status, &text);
        if let AnswerKind::Started { run_id, .. } = &answer.kind {
            let quoted = format!("\"pipeline_run_id\":\"{run_id}\"");
            prop_assert!(text.contains(&quoted), "{text}");
        } else if text.contains(&format!("\"pipeline_run_id\":\"{RUN}\"")) {
            prop_assert_eq!(answer.kind, AnswerKind::Doubtful, "{}", text);
        }
    }
}
