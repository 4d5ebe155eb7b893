//! No secret comes out: not in an answer, not in a `Debug`, not in a dry run, whatever a server repeats of it.

use std::sync::{Arc, Mutex};

use pipecron::codearts::http::dry_run;
use pipecron::codearts::{CodeArts, Start};
use pipecron::config::{Account, Credentials, Text};
use pipecron::domain::request::{SecretRef, Variable, VariableValue};
use pipecron::domain::{Answer, AnswerKind};
use serde_json::{Value, json};

use crate::stub::{
    AK, RUN, Reply, SK, Seen, Stub, Vault, account, accounts, ask, client, epoch, json as reply,
    start, started,
};

const PASSWORD: &str = "correct horse \"battery\" staple";
const TOKEN: &str = "MIIGNAYJKoZIhvcNAQcCoIIGJTCCBiECAQExDTALBglghkgBZQMEAgEwggRCBgkqhkiG9w0BBw";
const SECURITY_TOKEN: &str = "gQpjbi1ub3J0aC00jEXAMPLE/SecurityToken+With=Symbols==";
const VARIABLE: &str = "deploy:p@ss/word\nof two lines";
const PROXY_PASSWORD: &str = "pr0xy-passw0rd-of-the-test";

/// Every secret, and pieces of the long ones.
const SECRETS: [&str; 10] = [
    SK,
    "SkTestExampleDoNotUse",
    "battery",
    TOKEN,
    "MIIGNAYJKoZIhv",
    SECURITY_TOKEN,
    "EXAMPLE/SecurityToken",
    "deploy:p@ss",
    "of two lines",
    PROXY_PASSWORD,
];

fn assert_silent(name: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{name} shows {secret}: {text}");
    }
    assert!(
        !text.contains("Signature=") || text.contains("Signature=***"),
        "{name}: {text}"
    );
}

fn shown(answer: &Answer) -> String {
    format!("{answer:?} {}", serde_json::to_string(answer).unwrap())
}

/// A run with a secret variable.
fn secretive(vault: &Vault) -> Start {
    let mut start = start("t1");
    start.request.variables = Some(
        vec![
            Variable {
                name: "MODE".to_owned(),
                value: VariableValue::Value("full".to_owned()),
            },
            Variable {
                name: "DEPLOY_KEY".to_owned(),
                value: VariableValue::Secret(vault.keep("variable", VARIABLE)),
            },
        ]
        .into(),
    );
    start
}

fn every_kind(vault: &Vault) -> Vec<(&'static str, Credentials)> {
    let mut kinds = vec![
        ("keys", vault.keys()),
        ("password", vault.password(PASSWORD)),
        ("token", Credentials::Token(vault.keep("token", TOKEN))),
        ("metadata", Credentials::Metadata),
    ];
    kinds.push((
        "temporary keys",
        Credentials::Keys {
            ak: Text::Plain(AK.to_owned()),
            sk: vault.keep("sk", SK),
            security_token: Some(vault.keep("security", SECURITY_TOKEN)),
        },
    ));
    let profile = format!("[nightly]\nak={AK}\nsk={SK}\nsecurity_token={SECURITY_TOKEN}\n");
    vault.keep("profile", &profile);
    kinds.push((
        "profile",
        Credentials::Profile {
            profile: "nightly".to_owned(),
            file: Some(vault.path("profile")),
        },
    ));
    kinds
}

/// Answers for IAM and the metadata service, none for a run.
fn credentials_for(seen: &Seen) -> Option<Reply> {
    match seen.target.as_str() {
        "/meta-data/latest/api/token" => Some(reply(200, TOKEN)),
        "/openstack/latest/securitykey" => Some(reply(
            200,
            json!({"credential": {"access": AK, "secret": SK, "securitytoken": SECURITY_TOKEN,
                "expires_at": "2026-11-25T18:00:00.000000Z"}})
            .to_string(),
        )),
        _ if seen.is_token() => Some(Reply::Http(
            201,
            vec![("X-Subject-Token", TOKEN.to_owned())],
            r#"{"token":{"expires_at":"2026-11-25T18:00:00.000000Z"}}"#.to_owned(),
        )),
        _ => None,
    }
}

/// Everything that arrived, as one text.
fn echo(seen: &Seen) -> String {
    let headers: Vec<String> = seen
        .headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    format!("{}|{}", headers.join("|"), seen.body)
}

#[tokio::test]
async fn a_server_that_repeats_everything_gives_nothing_away() {
    type Shape = fn(&str) -> Reply;
    let shapes: Vec<(&str, Shape)> = vec![
        ("message", |all| {
            reply(
                401,
                json!({"error_code": "APIGW.0301", "error_msg": all}).to_string(),
            )
        }),
        ("code", |all| {
            reply(
                200,
                json!({"error_code": all, "error_msg": "m"}).to_string(),
            )
        }),
        ("HTML", |all| reply(502, format!("<html>{all}</html>"))),
        ("request id", |all| {
            let id = all.replace(['\r', '\n'], " ");
            Reply::Http(500, vec![("X-Request-Id", id)], String::new())
        }),
        ("cut in the middle", |all| {
            reply(400, format!("{{\"error_msg\":\"{}", &all[..all.len() - 3]))
        }),
        ("beside a run", |all| {
            reply(
                200,
                json!({"pipeline_run_id": RUN, "error_msg": all}).to_string(),
            )
        }),
        ("redirect", |all| {
            let to = all.replace(['\r', '\n'], " ");
            Reply::Http(302, vec![("Location", to)], String::new())
        }),
        ("body again, as text within JSON", |all| {
            let body = all.rsplit_once('|').unwrap().1;
            reply(
                400,
                json!({"error_code": "X", "error_msg": format!("bad: {body}")}).to_string(),
            )
        }),
    ];
    let vault = Vault::new();
    for (kind, credentials) in every_kind(&vault) {
        for (shape, say) in &shapes {
            let say = *say;
            let stub =
                Stub::new(move |seen| credentials_for(seen).unwrap_or_else(|| say(&echo(seen))))
                    .await;
            let client = client(account(&stub.url, credentials.clone()));
            let answer = client.start(secretive(&vault)).await;
            assert!(
                answer.status.is_some(),
                "{kind}, {shape}: {}",
                answer.message
            );
            assert_silent(&format!("{kind}, {shape}"), &shown(&answer));
            assert_silent(kind, &format!("{client:?}"));
            // The secrets did go where they belong.
            let run = stub.runs().remove(0);
            let body: Value = serde_json::from_str(&run.body).unwrap();
            assert_eq!(body["variables"][1]["value"], VARIABLE);
        }
    }
}

#[tokio::test]
async fn iam_that_repeats_the_password_gives_nothing_away() {
    let vault = Vault::new();
    let shapes: Vec<fn(&Seen) -> Reply> = vec![
        |seen| {
            reply(
                401,
                json!({"error": {"code": 401, "message": seen.body}}).to_string(),
            )
        },
        |seen| reply(400, seen.body.clone()),
        |seen| reply(500, format!("<pre>{}</pre>", seen.body)),
    ];
    for say in shapes {
        let stub = Stub::new(say).await;
        let answer = ask(&client(account(&stub.url, vault.password(PASSWORD))), "t1").await;
        assert_silent("IAM", &shown(&answer));
        assert!(answer.message.contains("***"), "{}", answer.message);
    }
}

#[tokio::test]
async fn a_proxys_password_is_not_told() {
    let vault = Vault::new();
    let proxy = Stub::new(|seen| reply(502, echo(seen))).await;
    let with_password = proxy
        .url
        .replace("http://", &format!("http://robot:{PROXY_PASSWORD}@"));
    let account = Account {
        proxy: Some(with_password),
        ..account("http://127.0.0.1:1", vault.keys())
    };
    let client = client(account);
    let answer = client.start(secretive(&vault)).await;
    assert_eq!(answer.status, Some(502), "{}", answer.message);
    assert_silent("proxy", &shown(&answer));
    // As it goes over the wire.
    let sent = proxy.seen().remove(0);
    let basic = sent.header("Proxy-Authorization").unwrap().to_owned();
    assert!(
        !shown(&answer).contains(basic.trim_start_matches("Basic ")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn secrets_that_cannot_be_sent_are_not_told() {
    let vault = Vault::new();
    let stub = Stub::new(|_| started()).await;
    let with_line_end = format!("{TOKEN}\nX-Evil: 1");
    for credentials in [
        Credentials::Token(vault.keep("bad-token", &with_line_end)),
        Credentials::Keys {
            ak: Text::Secret(vault.keep("bad-ak", "AK\r\nX-Evil: 1")),
            sk: vault.keep("sk", SK),
            security_token: Some(vault.keep(
                "bad-security",
                &format!("{SECURITY_TOKEN}\n{SECURITY_TOKEN}"),
            )),
        },
    ] {
        let answer = ask(&client(account(&stub.url, credentials)), "t1").await;
        assert_eq!(answer.kind, AnswerKind::KeptHere);
        assert_silent("line end", &shown(&answer));
        assert!(answer.message.contains("header"), "{}", answer.message);
    }
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_secret_variable_that_cannot_be_read_is_named() {
    let vault = Vault::new();
    let stub = Stub::new(|_| started()).await;
    let client = client(account(&stub.url, vault.keys()));
    let mut start = secretive(&vault);
    std::fs::remove_file(vault.path("variable")).unwrap();
    let answer = client.start(start.clone()).await;
    assert_eq!(answer.kind, AnswerKind::KeptHere);
    for words in ["the variable DEPLOY_KEY", "variable: No such file"] {
        assert!(answer.message.contains(words), "{}", answer.message);
    }
    start.request.variables = Some(
        vec![Variable {
            name: "K".to_owned(),
            value: VariableValue::Secret(SecretRef::File(vault.folder().to_owned())),
        }]
        .into(),
    );
    let answer = client.start(start).await;
    assert!(
        answer.message.contains("not a regular file"),
        "{}",
        answer.message
    );
    assert!(stub.seen().is_empty());
    // It is read with every request: as soon as it is there, the run starts.
    let answer = client.start(secretive(&vault)).await;
    assert_eq!(answer.kind.name(), "started");
}

#[tokio::test]
async fn two_secrets_under_one_name_are_both_sent() {
    let vault = Vault::new();
    let stub = Stub::new(|_| started()).await;
    let mut start = start("t1");
    let variable = |text: &str| Variable {
        name: "K".to_owned(),
        value: VariableValue::Secret(vault.keep(text, text)),
    };
    start.request.variables = Some(vec![variable("one"), variable("two")].into());
    let answer = client(account(&stub.url, vault.keys())).start(start).await;
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    let body: Value = serde_json::from_str(&stub.runs()[0].body).unwrap();
    assert_eq!(
        body["variables"],
        json!([{"name": "K", "value": "one"}, {"name": "K", "value": "two"}])
    );
}

#[tokio::test]
async fn a_secret_is_nobodys_id() {
    let vault = Vault::new();
    for name in ["pipeline_run_id", "error"] {
        let stub = Stub::new(move |seen| {
            let token = seen.header("X-Auth-Token").unwrap();
            if name == "error" {
                let error = json!({"pipeline_run_id": token, "queue_id": token});
                return reply(
                    200,
                    json!({"error_code": "DEVPIPE.00011169", "error": error}).to_string(),
                );
            }
            reply(200, json!({"pipeline_run_id": token}).to_string())
        })
        .await;
        let credentials = Credentials::Token(vault.keep("token", TOKEN));
        let answer = ask(&client(account(&stub.url, credentials)), "t1").await;
        assert_eq!(answer.kind, AnswerKind::Doubtful, "{name}");
        assert_silent(name, &shown(&answer));
    }
}

#[tokio::test]
async fn a_secret_of_a_letter_spoils_no_id_and_no_code() {
    let vault = Vault::new();
    let mut start = start("t1");
    start.request.variables = Some(
        vec![Variable {
            name: "K".to_owned(),
            value: VariableValue::Secret(vault.keep("digit", "1")),
        }]
        .into(),
    );
    let stub = Stub::new(|_| started()).await;
    let answer = client(account(&stub.url, vault.keys()))
        .start(start.clone())
        .await;
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    let busy =
        Stub::new(|_| reply(200, r#"{"error_code":"DEVPIPE.00011104","error_msg":"m"}"#)).await;
    let answer = client(account(&busy.url, vault.keys())).start(start).await;
    assert_eq!(answer.code.as_deref(), Some("DEVPIPE.00011104"));
    assert_eq!(answer.kind, AnswerKind::Busy);
}

#[test]
fn every_secret_that_cannot_be_read_is_reported() {
    let vault = Vault::new();
    let absent = |name: &str| SecretRef::File(vault.path(name));
    let rows = [
        Credentials::Keys {
            ak: Text::Secret(absent("first")),
            sk: absent("second"),
            security_token: Some(absent("third")),
        },
        Credentials::Password {
            domain: Text::Secret(absent("first")),
            user: Text::Secret(absent("second")),
            password: absent("third"),
            project: None,
        },
    ];
    for credentials in rows {
        let problems = client(account("https://example.com", credentials)).check_secrets();
        assert_eq!(problems.len(), 3, "{problems:?}");
        for ((_, why), name) in problems.iter().zip(["first", "second", "third"]) {
            assert!(why.contains(name), "{why}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_reported_by_account() {
    let vault = Vault::new();
    let rows: Vec<(&str, Credentials, Option<&str>)> = vec![
        ("good keys", vault.keys(), None),
        ("good password", vault.password(PASSWORD), None),
        ("chain", Credentials::Chain, None),
        ("metadata", Credentials::Metadata, None),
        ("sandbox", Credentials::Sandbox, None),
        (
            "no file",
            Credentials::Token(SecretRef::File(vault.path("absent"))),
            Some("absent"),
        ),
        (
            "no variable",
            Credentials::Token(SecretRef::Env("NOT_SET_ANYWHERE".to_owned())),
            Some("NOT_SET_ANYWHERE"),
        ),
        (
            "empty",
            Credentials::Token(vault.keep("empty", "\n")),
            Some("is empty"),
        ),
        (
            "no profile",
            Credentials::Profile {
                profile: "nobody".to_owned(),
                file: Some(vault.path("sk")),
            },
            Some("[nobody]"),
        ),
    ];
    for (name, credentials, words) in rows {
        let problems = client(account("https://example.com", credentials)).check_secrets();
        assert_eq!(
            problems.len(),
            usize::from(words.is_some()),
            "{name}: {problems:?}"
        );
        if let (Some(words), Some((account, why))) = (words, problems.first()) {
            assert_eq!(account.as_str(), "main");
            assert!(why.contains(words), "{name}: {why}");
            assert_silent(name, why);
        }
    }
    let bad_ca = Account {
        ca_file: Some(vault.path("sk")),
        ..account("https://example.com", vault.keys())
    };
    let problems = client(bad_ca).check_secrets();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].1.contains("holds no certificate"),
        "{problems:?}"
    );
}

#[tokio::test]
async fn a_dry_run_is_the_real_request_with_its_secrets_masked() {
    let vault = Vault::new();
    for (kind, credentials) in every_kind(&vault) {
        let stub = Stub::new(|seen| credentials_for(seen).unwrap_or_else(started)).await;
        let mut account = account(&stub.url, credentials);
        account.iam_project_id = Some("0123456789abcdef0123456789abcdef".to_owned());
        let start = secretive(&vault);
        let dry = dry_run(&start, &account, epoch()).unwrap();
        assert!(stub.seen().is_empty(), "{kind}: a dry run asks nobody");
        client(account).start(start).await;
        let real = stub.runs().remove(0);

        let shown = dry.to_json();
        assert_silent(kind, &shown.to_string());
        assert_eq!(shown["method"], real.method, "{kind}");
        assert_eq!(
            shown["url"],
            format!("{}{}", stub.url, real.target),
            "{kind}"
        );
        let mut body: Value = serde_json::from_str(&real.body).unwrap();
        body["variables"][1]["value"] = json!("***");
        assert_eq!(shown["body"], body, "{kind}");
        let headers = shown["headers"].as_object().unwrap();
        // What the HTTP layer adds by itself is not ours to show.
        let added = ["accept", "content-length", "host"];
        for (name, value) in &real.headers {
            let value = value.as_str();
            let there = headers
                .iter()
                .find(|(there, _)| there.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str().unwrap());
            match name.to_lowercase().as_str() {
                name if added.contains(&name) => {}
                "x-auth-token" | "x-security-token" => assert_eq!(there, Some("***"), "{kind}"),
                "x-sdk-date" => assert!(there.is_some(), "{kind}"),
                "authorization" => {
                    let (before, _) = value.rsplit_once("Signature=").unwrap();
                    let before = if kind == "metadata" {
                        before.replace(AK, "***")
                    } else {
                        before.to_owned()
                    };
                    assert_eq!(
                        there,
                        Some(format!("{before}Signature=***").as_str()),
                        "{kind}"
                    );
                }
                _ => assert_eq!(there, Some(value), "{kind}: {name}"),
            }
        }
    }
}

#[test]
fn a_dry_run_works_without_any_secret() {
    let absent = || SecretRef::File("/absent/secret".into());
    for credentials in [
        Credentials::Chain,
        Credentials::Metadata,
        Credentials::Token(absent()),
        Credentials::Keys {
            ak: Text::Secret(absent()),
            sk: absent(),
            security_token: Some(absent()),
        },
        Credentials::Password {
            domain: Text::Secret(absent()),
            user: Text::Secret(absent()),
            password: absent(),
            project: None,
        },
        Credentials::Profile {
            profile: "nobody".to_owned(),
            file: Some("/absent/profile".into()),
        },
    ] {
        let mut start = start("t1");
        start.request.variables = Some(
            vec![Variable {
                name: "K".to_owned(),
                value: VariableValue::Secret(absent()),
            }]
            .into(),
        );
        let dry = dry_run(
            &start,
            &account("https://example.com", credentials),
            epoch(),
        )
        .unwrap();
        let shown = dry.to_json();
        let authenticates = shown["headers"]["Authorization"].is_string()
            || shown["headers"]["X-Auth-Token"] == "***";
        assert!(authenticates, "{shown}");
        assert_eq!(shown["body"]["variables"][0]["value"], "***");
    }
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_holds_no_secret_even_at_its_most_talkative() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let vault = Vault::new();
    let guard = tracing::subscriber::set_default(subscriber);
    for (_, credentials) in every_kind(&vault) {
        let stub =
            Stub::new(|seen| credentials_for(seen).unwrap_or_else(|| reply(401, echo(seen)))).await;
        let account = account(&stub.url, credentials);
        let client = client(account.clone());
        client.start(secretive(&vault)).await;
        client.replace_accounts(&accounts(account));
        client.start(secretive(&vault)).await;
    }
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("got a token from IAM"), "{text}");
    assert_silent("log", &text);
}
