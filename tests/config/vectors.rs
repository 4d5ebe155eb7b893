//! A JSON body copied from the API's documentation pastes into an entry unchanged.

use std::fs;
use std::path::Path;

use pipecron::config::Kind;
use serde_json::Value;

use super::world::{ACCOUNT, IDS, check};

/// Every recorded request: its name, its body, and what the SDK made of it.
fn recorded() -> Vec<(String, Value, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/run-requests");
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let case: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            let (body, wire) = (&case["model"]["body"], &case["wire"]["body_json"]);
            (
                case["name"].as_str().unwrap().to_owned(),
                body.clone(),
                wire.clone(),
            )
        })
        .collect()
}

/// An entry that has the body's keys, written as JSON of the given form.
fn pasted(body: &Value, form: fn(&Value) -> String) -> String {
    let mut entry = serde_json::json!({
        "cron": "@daily",
        "project_id": "54f90b75fc1447b1b65e8d3a9f77923d",
        "pipeline_id": "e5460d1d403146a1935c2d4b68ef506c",
    });
    for (key, value) in body.as_object().into_iter().flatten() {
        entry[key] = value.clone();
    }
    format!("{ACCOUNT}schedules:\n  e: {}\n", form(&entry))
}

/// An entry that merges the body as it stands.
fn merged(body: &Value, form: fn(&Value) -> String) -> String {
    let body = if body.is_null() {
        &serde_json::json!({})
    } else {
        body
    };
    // Deeper than the key, which counts in spaces.
    let body = form(body).replace('\n', "\n  ");
    format!("{ACCOUNT}schedules:\n  e:\n{IDS}    cron: '@daily'\n    <<: {body}\n")
}

/// On one line; spread out, indented by spaces; spread out, indented by tabs; with escapes for all that is not ASCII.
const FORMS: [fn(&Value) -> String; 4] = [
    |json| json.to_string(),
    |json| {
        serde_json::to_string_pretty(json)
            .unwrap()
            .replace('\n', "\n    ")
    },
    |json| {
        serde_json::to_string_pretty(json)
            .unwrap()
            .replace("  ", "\t")
            .replace('\n', "\n    ")
    },
    |json| {
        let text = json.to_string();
        let escape = |unit: u16| format!("\\u{unit:04x}");
        text.chars()
            .map(|char| match char {
                ' '..='~' => char.to_string(),
                _ => char
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .copied()
                    .map(escape)
                    .collect(),
            })
            .collect()
    },
];

#[test]
fn every_recorded_body_pastes_in_and_gives_the_fields_the_sdk_sends() {
    let recorded = recorded();
    assert_eq!(recorded.len(), 25);
    for (name, body, wire) in recorded {
        let whole = FORMS.iter().map(|form| pasted(&body, *form));
        let merged = FORMS.iter().map(|form| merged(&body, *form));
        for text in whole.chain(merged) {
            let loaded = check(&text);
            if name == "18-description-1024-characters" {
                // The one departure: the marker has to find room.
                let [problem] = loaded.problems.as_slice() else {
                    panic!("{name}: {:?}", loaded.problems);
                };
                assert_eq!(problem.kind, Kind::Limit);
                assert!(
                    problem
                        .message
                        .contains("1024 characters, and 976 are left"),
                    "{problem}"
                );
                continue;
            }
            let errors: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
            let config = loaded
                .config
                .unwrap_or_else(|| panic!("{name}: {errors:?}\n{text}"));
            // Two variables of one name are a warning, and both are sent.
            let warned = name == "11-variables-order-and-duplicates";
            assert_eq!(errors.len(), usize::from(warned), "{name}: {errors:?}");
            let request = &config.entries.values().next().unwrap().request;
            let mut sent = serde_json::to_value(request).unwrap();
            for key in ["project_id", "pipeline_id"] {
                sent.as_object_mut().unwrap().remove(key);
            }
            // No body at all becomes an empty object.
            let expected = if wire.is_null() {
                serde_json::json!({})
            } else {
                wire.clone()
            };
            assert_eq!(sent, expected, "{name}\n{text}");
        }
    }
}
