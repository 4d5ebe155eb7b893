//! Pipelines over the wire, without a socket: what is asked, what is read of what came, and what is not believed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what is wrong by failing"
)]

use pipecron::codearts::calls::{Call, Shown};
use pipecron::codearts::pipelines::{denied, ends_all};
use pipecron::codearts::{Body, HttpResponse, Mask};
use pipecron::domain::pipeline::{Denial, Seen, SeenConcurrency, SeenPipeline};
use pipecron::domain::{AccountName, Answer, PipelineAt};
use serde_json::{Value, json};

const PIPELINE: &str = "e5460d1d403146a1935c2d4b68ef506c";

fn show() -> Call {
    Call::Pipeline {
        at: PipelineAt {
            account: AccountName::parse("main").unwrap(),
            project_id: "p1".to_owned(),
            pipeline_id: PIPELINE.to_owned(),
        },
    }
}

fn list(offset: u64) -> Call {
    Call::Pipelines {
        project_id: "p1".to_owned(),
        offset,
    }
}

fn read(call: &Call, status: u16, body: &str) -> Shown {
    let response = HttpResponse {
        status,
        headers: Vec::new(),
        body: Body::Whole(body.as_bytes().to_vec()),
    };
    let now = "2026-11-24T18:00:00Z".parse().unwrap();
    call.read(&response, &Mask::none(), now)
}

fn pipeline(body: &Value) -> SeenPipeline {
    match read(&show(), 200, &body.to_string()) {
        Shown::Pipeline(pipeline) => *pipeline,
        other => panic!("{body}: {other:?}"),
    }
}

fn failed(shown: Shown) -> Answer {
    match shown {
        Shown::Failed(answer) => answer,
        other => panic!("read: {other:?}"),
    }
}

/// As the SDKs' model and the page "Querying Pipeline Details" have it.
fn detail() -> Value {
    let definition = json!({"stages": [
        {"name": "Build", "identifier": "16384123", "sequence": 0, "pre": [], "jobs": [
            {"id": "", "name": "Compile all", "identifier": "JOB_abc", "sequence": 0, "steps": []},
            {"name": "单元测试", "identifier": "JOB_def"},
        ]},
        {"name": "Deploy", "identifier": "16384124", "jobs": null},
    ]});
    json!({
        "id": PIPELINE, "name": "nightly-web", "project_id": "p1", "banned": false, "is_publish": false,
        "definition": definition.to_string(),
        "variables": [
            {"name": "MODE", "sequence": 1, "type": "enum", "value": "full", "is_secret": false, "is_runtime": true,
             "is_reset": false, "latest_value": "", "limits": ["full", "quick"], "description": "how much"},
            {"name": "KEY", "sequence": 2, "type": "string", "value": "hunter2", "is_secret": true, "is_runtime": false},
            {"name": "TAG", "type": "string", "value": "", "is_runtime": true, "required": true, "limits": ["x"]},
        ],
        "sources": [{"type": "code", "params": {"git_type": "codehub", "codehub_id": 2111699716_u64,
            "git_url": "https://example.com/a/b.git", "default_branch": "master", "alias": null}}],
        "concurrency_control": {"concurrency_number": 5, "exceed_action": "ABORT", "enable": true},
        "triggers": [{"x": 1}],
    })
}

#[test]
fn each_question_has_its_request() {
    for (call, expected) in [
        (
            show(),
            format!("GET /v5/p1/api/pipelines/{PIPELINE} application/json "),
        ),
        (
            list(100),
            "POST /v5/p1/api/pipelines/list application/json;charset=utf-8 \
             {\"limit\":100,\"offset\":100,\"sort_dir\":\"asc\",\"sort_key\":\"name\"}"
                .to_owned(),
        ),
    ] {
        assert!(call.is_look());
        let request = call.request("https://x/", None).unwrap();
        let written = format!(
            "{} {} {} {}",
            request.method,
            request.url.strip_prefix("https://x").unwrap(),
            request.header("Content-Type").unwrap(),
            String::from_utf8(request.body.clone()).unwrap()
        );
        assert_eq!(written, expected);
    }
}

#[test]
fn a_pipeline_is_read_whole() {
    insta::assert_debug_snapshot!(pipeline(&detail()));
}

#[test]
fn what_cannot_be_read_is_not_shown_rather_than_empty() {
    type Change = (&'static str, Value, fn(&SeenPipeline) -> bool);
    let long: Vec<Value> = (0..1_001)
        .map(|n| json!({"name": format!("V{n}")}))
        .collect();
    let nameless = json!({"stages": [{"name": "Build", "jobs": []}]}).to_string();
    let odd_jobs = json!({"stages": [{"identifier": "a", "jobs": "none"}]}).to_string();
    let changes: [Change; 13] = [
        ("definition", json!(null), |seen| seen.stages.is_none()),
        ("definition", json!("{"), |seen| seen.stages.is_none()),
        ("definition", json!("[]"), |seen| seen.stages.is_none()),
        ("definition", json!("{\"stages\": 3}"), |seen| {
            seen.stages.is_none()
        }),
        ("definition", json!(nameless), |seen| seen.stages.is_none()),
        ("definition", json!(odd_jobs), |seen| seen.stages.is_none()),
        ("definition", json!({"stages": []}), |seen| {
            seen.stages.as_ref().is_some_and(Vec::is_empty)
        }),
        ("variables", json!({}), |seen| seen.variables.is_none()),
        ("variables", json!([[]]), |seen| seen.variables.is_none()),
        ("variables", json!(long), |seen| seen.variables.is_none()),
        ("variables", json!([]), |seen| {
            seen.variables.as_ref().is_some_and(Vec::is_empty)
        }),
        ("sources", json!("x"), |seen| seen.sources.is_none()),
        ("concurrency_control", json!([5]), |seen| {
            seen.concurrency.is_none()
        }),
    ];
    for (field, value, holds) in changes {
        let mut body = detail();
        body[field] = value.clone();
        let seen = pipeline(&body);
        assert!(holds(&seen), "{field} = {value}: {seen:?}");
    }
}

#[test]
fn a_limit_counts_only_where_it_is_on() {
    for (control, expected) in [
        (
            json!({"concurrency_number": "3", "exceed_action": "QUEUE", "enable": "true"}),
            Some((3, false)),
        ),
        (
            json!({"concurrency_number": 3, "exceed_action": "ABORT", "enable": true}),
            Some((3, true)),
        ),
        (
            json!({"concurrency_number": 3, "exceed_action": "ABORT", "enable": false}),
            None,
        ),
        (
            json!({"concurrency_number": 0, "exceed_action": "ABORT", "enable": true}),
            None,
        ),
        (
            json!({"concurrency_number": -1, "exceed_action": "ABORT", "enable": true}),
            None,
        ),
        (json!(null), None),
    ] {
        let mut body = detail();
        body["concurrency_control"] = control.clone();
        let expected = expected.map(|(runs_max, refuses)| SeenConcurrency { runs_max, refuses });
        assert_eq!(pipeline(&body).concurrency, expected, "{control}");
    }
}

#[test]
fn an_answer_about_something_else_is_none() {
    let other = detail().to_string().replace(PIPELINE, &"a".repeat(32));
    assert!(
        failed(read(&show(), 200, &other))
            .message
            .contains("instead")
    );
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "<html>",
        &format!("{{\"id\":{{}}}}{}", "x"),
    ] {
        failed(read(&show(), 200, body));
    }
    for body in [
        "",
        "[]",
        "{}",
        r#"{"total":1}"#,
        r#"{"total":1,"pipelines":[{"name":"x"}]}"#,
    ] {
        failed(read(&list(0), 200, body));
    }
    // Nested as deep as a body may be.
    failed(read(&show(), 200, &"[".repeat(100_000)));
}

#[test]
fn a_list_is_read_row_by_row() {
    let body = json!({"total": 2, "offset": 0, "current_system_time": 1, "pipelines": [
        {"pipeline_id": PIPELINE, "name": "nightly\u{1b}[31m-web", "banned": true, "latest_run": {}},
        {"pipeline_id": "b", "name": null},
    ]});
    let Shown::Pipelines(page) = read(&list(0), 200, &body.to_string()) else {
        panic!("not read");
    };
    let rows: Vec<_> = page
        .rows
        .iter()
        .map(|row| (row.id.as_str(), row.name.contains('\u{1b}'), row.is_banned))
        .collect();
    assert_eq!(rows, [(PIPELINE, false, Some(true)), ("b", false, None)]);
    assert_eq!(page.total, Some(2));
}

#[test]
fn a_refusal_says_why_there_is_nothing_to_see() {
    for (status, body, expected, is_for_all) in [
        (
            200,
            r#"{"error_code":"DEVPIPE.00011401","error_msg":"no"}"#,
            Some(Denial::NoPipeline),
            false,
        ),
        (
            400,
            r#"{"error_code":"DEVPIPE.00011401","error_msg":"no"}"#,
            Some(Denial::NoPipeline),
            false,
        ),
        (
            200,
            r#"{"error_code":"DEVPIPE.00011136","error_msg":"no"}"#,
            Some(Denial::OtherProject),
            false,
        ),
        (
            200,
            r#"{"error":{"code":"DEVPIPE.00011412","message":"no"}}"#,
            Some(Denial::NoProject),
            false,
        ),
        (
            401,
            r#"{"error_code":"DEVCP.00021018","error_msg":"no"}"#,
            Some(Denial::NotAllowed),
            false,
        ),
        (
            200,
            r#"{"error_code":"DEVCP.00014031","error_msg":"no"}"#,
            Some(Denial::NotAllowed),
            false,
        ),
        (
            403,
            r#"{"error_code":"APIGW.0302","error_msg":"no"}"#,
            None,
            true,
        ),
        (
            401,
            r#"{"error_code":"APIGW.0301","error_msg":"no"}"#,
            None,
            true,
        ),
        (
            404,
            r#"{"error_code":"APIGW.0101","error_msg":"no"}"#,
            None,
            true,
        ),
        (
            429,
            r#"{"error_code":"APIGW.0308","error_msg":"no"}"#,
            None,
            true,
        ),
        (
            504,
            r#"{"error_code":"APIGW.0201","error_msg":"no"}"#,
            None,
            false,
        ),
        (500, "oops", None, false),
        // A 404 without a word of the service speaks of the path, not of the pipeline.
        (404, "not found", None, false),
    ] {
        let answer = failed(read(&show(), status, body));
        let seen = match denied(&answer) {
            Seen::Denied(denial, words) => {
                assert!(words.starts_with("no (D"), "{words}");
                Some(denial)
            }
            Seen::Unknown(_) => None,
            Seen::Pipeline(_) => panic!("{body} shows a pipeline"),
        };
        assert_eq!(
            (seen, ends_all(&answer)),
            (expected, is_for_all),
            "{status} {body}"
        );
    }
}
