//! Our `RunPipeline` requests are those of the official SDK, before the marker is added.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::HashMap;
use std::path::Path;

use pipecron::codearts::{RequestError, Secrets, Start, USER_AGENT, request};
use pipecron::domain::request::{SecretRef, Variable, VariableValue};
use pipecron::domain::{AccountName, RunRequest};
use secrecy::SecretString;
use serde_json::{Value, json};

const ENDPOINT: &str = "https://cloudpipeline-ext.cn-north-4.myhuaweicloud.com";

fn vectors() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/run-requests");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect()
}

fn run_request(model: &Value) -> RunRequest {
    let mut fields = json!({});
    if let Some(body) = model["body"].as_object() {
        fields = Value::Object(body.clone());
    }
    fields["project_id"] = model["project_id"].clone();
    fields["pipeline_id"] = model["pipeline_id"].clone();
    serde_json::from_value(fields).unwrap()
}

fn start(request: RunRequest, marker: &str) -> Start {
    Start {
        account: AccountName::parse("main").unwrap(),
        request,
        marker: marker.to_owned(),
        leave_within: std::time::Duration::from_secs(3600),
    }
}

#[test]
fn every_vector_gives_the_same_request() {
    let vectors = vectors();
    assert!(vectors.len() >= 25, "only {} vectors", vectors.len());
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let (model, wire) = (&vector["model"], &vector["wire"]);
        let start = start(run_request(model), "");
        let ours = request(
            &start,
            ENDPOINT,
            model["iam_project_id"].as_str(),
            &HashMap::new(),
        )
        .unwrap();
        assert_eq!(ours.method, wire["method"], "{name}");
        assert_eq!(
            ours.url,
            format!("{ENDPOINT}{}", wire["path"].as_str().unwrap()),
            "{name}"
        );
        let theirs = &wire["headers_without_auth"];
        for header in ["Content-Type", "X-Project-Id"] {
            assert_eq!(
                ours.header(header),
                theirs[header].as_str(),
                "{name}: {header}"
            );
        }
        assert_eq!(ours.header("User-Agent"), Some(USER_AGENT), "{name}");
        let body: Value = serde_json::from_slice(&ours.body).unwrap();
        match wire["body_present"].as_bool() {
            Some(true) => assert_eq!(body, wire["body_json"], "{name}"),
            // On purpose not as the SDK: we always send a body, as a request without one is said to be refused.
            _ => assert_eq!(body, json!({}), "{name}"),
        }
    }
}

#[test]
fn fields_are_sent_in_the_order_of_the_model() {
    let vectors = vectors();
    let all = vectors
        .iter()
        .find(|vector| vector["name"] == "25-all-fields")
        .unwrap();
    let ours = request(
        &start(run_request(&all["model"]), ""),
        ENDPOINT,
        None,
        &HashMap::new(),
    )
    .unwrap();
    let text = String::from_utf8(ours.body).unwrap();
    let mut places: Vec<usize> = Vec::new();
    for field in [
        "sources",
        "type",
        "params",
        "git_type",
        "alias",
        "codehub_id",
        "default_branch",
        "git_url",
        "endpoint_id",
        "build_params",
        "build_type",
        "event_type",
        "target_branch",
        "tag",
        "change_request_ids",
        "description",
        "variables",
        "choose_jobs",
        "choose_stages",
        "sub_hook",
        "execution_plan_id",
    ] {
        places.push(
            text.find(&format!("\"{field}\":"))
                .unwrap_or_else(|| panic!("no {field} in {text}")),
        );
    }
    assert!(places.is_sorted(), "{text}");
}

fn body_of(run: RunRequest, marker: &str) -> Value {
    let ours = request(&start(run, marker), ENDPOINT, None, &HashMap::new()).unwrap();
    serde_json::from_slice(&ours.body).unwrap()
}

#[test]
fn the_marker_ends_the_description() {
    let run = |description: Option<&str>| RunRequest {
        project_id: "p".to_owned(),
        pipeline_id: "l".to_owned(),
        description: description.map(str::to_owned),
        ..RunRequest::default()
    };
    let marker = "[pipecron abcdefgh nightly@2026-11-24T18:00:00Z]";
    for (given, sent) in [
        (None, marker.to_owned()),
        (Some(""), marker.to_owned()),
        (Some("nightly"), format!("nightly {marker}")),
    ] {
        assert_eq!(
            body_of(run(given), marker)["description"],
            sent,
            "{given:?}"
        );
    }
    // Too long a text loses its own end, never the marker.
    let long = "项".repeat(1024);
    let body = body_of(run(Some(&long)), marker);
    let sent = body["description"].as_str().unwrap();
    assert_eq!(sent.chars().count(), 1024);
    assert!(sent.ends_with(&format!("项 {marker}")));
}

#[test]
fn secret_variables_are_put_in_and_a_missing_one_is_named() {
    let at = SecretRef::Env("DEPLOY_KEY".to_owned());
    let run = RunRequest {
        project_id: "p".to_owned(),
        pipeline_id: "l".to_owned(),
        variables: Some(
            vec![
                Variable {
                    name: "MODE".to_owned(),
                    value: VariableValue::Value("full".to_owned()),
                },
                Variable {
                    name: "KEY".to_owned(),
                    value: VariableValue::Secret(at.clone()),
                },
            ]
            .into(),
        ),
        ..RunRequest::default()
    };
    let start = start(run, "");
    let secrets: Secrets = [(at, SecretString::from("hush"))].into();
    let ours = request(&start, ENDPOINT, None, &secrets).unwrap();
    let body: Value = serde_json::from_slice(&ours.body).unwrap();
    assert_eq!(
        body["variables"],
        json!([{"name": "MODE", "value": "full"}, {"name": "KEY", "value": "hush"}])
    );
    assert!(!format!("{ours:?}").contains("hush"));
    let error = request(&start, ENDPOINT, None, &Secrets::new()).unwrap_err();
    assert_eq!(
        error,
        RequestError::NoSecret {
            variable: "KEY".to_owned()
        }
    );
}

#[test]
fn an_id_cannot_change_the_address() {
    for (id, path) in [
        ("a/../b", Some("a%2F..%2Fb")),
        ("a?b#c", Some("a%3Fb%23c")),
        ("é", Some("%C3%A9")),
        ("..", None),
        (".", None),
        ("", None),
    ] {
        let run = RunRequest {
            project_id: id.to_owned(),
            pipeline_id: "l".to_owned(),
            ..RunRequest::default()
        };
        let url = request(
            &start(run, ""),
            &format!("{ENDPOINT}/"),
            None,
            &HashMap::new(),
        )
        .map(|request| request.url)
        .ok();
        let expected = path.map(|path| format!("{ENDPOINT}/v5/{path}/api/pipelines/l/run"));
        assert_eq!(url, expected, "{id:?}");
    }
}
