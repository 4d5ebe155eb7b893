//! The signature is that of the official SDK, byte for byte, for every vector.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::collections::BTreeMap;
use std::path::Path;

use chrono::NaiveDateTime;
use pipecron::codearts::HttpRequest;
use pipecron::codearts::auth::{Keys, sign};
use proptest::prelude::*;
use secrecy::SecretString;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    ak: String,
    sk: String,
    security_token: Option<String>,
    x_sdk_date: String,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    canonical_request: String,
    string_to_sign: String,
    authorization: String,
    headers: BTreeMap<String, String>,
    request_target: String,
}

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sign");
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

#[test]
fn every_vector_is_signed_byte_for_byte() {
    let vectors = vectors();
    assert!(vectors.len() >= 31, "only {} vectors", vectors.len());
    for vector in vectors {
        let name = &vector.name;
        let now = NaiveDateTime::parse_from_str(&vector.x_sdk_date, "%Y%m%dT%H%M%SZ")
            .unwrap()
            .and_utc();
        let keys = Keys {
            ak: vector.ak,
            sk: SecretString::from(vector.sk),
            security_token: vector.security_token.map(SecretString::from),
        };
        let request = HttpRequest {
            method: vector.method,
            url: vector.url,
            headers: vector.headers.into_iter().collect(),
            body: vector.body.unwrap_or_default().into_bytes(),
        };
        let signed = sign(request, &keys, now).unwrap();
        let expected = vector.expected;
        assert_eq!(
            signed.canonical_request, expected.canonical_request,
            "{name}: canonical request"
        );
        assert_eq!(
            signed.string_to_sign, expected.string_to_sign,
            "{name}: string to sign"
        );
        assert_eq!(
            signed.request.header("Authorization"),
            Some(expected.authorization.as_str()),
            "{name}: authorization"
        );
        let headers: BTreeMap<String, String> = signed.request.headers.iter().cloned().collect();
        assert_eq!(headers, expected.headers, "{name}: headers");
        assert_eq!(
            headers.len(),
            signed.request.headers.len(),
            "{name}: a header comes twice"
        );
        let (_, after_scheme) = signed.request.url.split_once("://").unwrap();
        let target_at = after_scheme.find('/').unwrap();
        assert_eq!(
            after_scheme[target_at..],
            expected.request_target,
            "{name}: request target"
        );
    }
}

#[test]
fn what_is_signed_is_what_the_http_library_sends() {
    // The library parses the address anew. If it rewrote one, the signature would not fit what is sent.
    for vector in vectors() {
        let target = &vector.expected.request_target;
        let origin = &vector.url[..vector.url.find("://").unwrap() + 3];
        let host = vector.expected.headers["Host"].as_str();
        let url = reqwest::Url::parse(&format!("{origin}{host}{target}")).unwrap();
        let mut sent = url.path().to_owned();
        if let Some(query) = url.query() {
            sent = format!("{sent}?{query}");
        }
        assert_eq!(&sent, target, "{}", vector.name);
    }
}

#[test]
fn an_address_without_a_host_is_refused() {
    let keys = Keys {
        ak: "AK".to_owned(),
        sk: SecretString::from("SK"),
        security_token: None,
    };
    for url in ["", "/v5/x", "https://", "https:///v5", "https://user@/v5"] {
        let request = HttpRequest {
            method: "GET".to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        assert!(
            sign(request, &keys, chrono::DateTime::UNIX_EPOCH).is_err(),
            "{url}"
        );
    }
}

proptest! {
    #[test]
    fn no_address_makes_it_panic_and_signing_again_changes_nothing(
        path in "(/[a-z%0-9. \u{e9}]{0,6}){0,3}",
        query in "([a-z%&=+;\u{e9}]{0,12})",
        name in "[A-Za-z_-]{1,10}",
        value in "[ -~]{0,10}",
    ) {
        let keys = Keys {
            ak: "AK".to_owned(),
            sk: SecretString::from("SK"),
            security_token: None,
        };
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: format!("https://example.com{path}?{query}#f"),
            headers: vec![(name, value)],
            body: b"{}".to_vec(),
        };
        let once = sign(request, &keys, chrono::DateTime::UNIX_EPOCH).unwrap();
        prop_assert!(!once.request.url.contains('#'));
        // A signed request can be signed again, and nothing about it changes.
        let again = sign(once.request.clone(), &keys, chrono::DateTime::UNIX_EPOCH).unwrap();
        prop_assert_eq!(again.canonical_request, once.canonical_request);
        prop_assert_eq!(again.request, once.request);
    }
}
