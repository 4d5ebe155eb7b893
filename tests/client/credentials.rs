//! Tokens and keys: had once, kept, renewed in time, and read again when they are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use pipecron::codearts::auth::{Keys, sign};
use pipecron::codearts::http::Client;
use pipecron::codearts::{CodeArts, HttpRequest};
use pipecron::config::{Account, Credentials, Text};
use pipecron::domain::{Answer, AnswerKind};
use secrecy::SecretString;

use crate::stub::{
    AK, Does, Reply, SK, Seen, Stub, Vault, account, accounts, ask, client, epoch, json, start,
    started,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Moves the tests' clock. Only for as long as that takes: a clock that stood still would make every wait for the
/// network time out at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn token(number: usize, ends: DateTime<Utc>) -> Reply {
    let body = format!(
        r#"{{"token":{{"expires_at":"{}","issued_at":"x","project":{{"id":"p"}}}}}}"#,
        ends.format("%Y-%m-%dT%H:%M:%S%.6fZ")
    );
    let token = format!("MIIToken-number-{number}");
    Reply::Http(201, vec![("X-Subject-Token", token)], body)
}

/// IAM and the service in one: every token lives for a day from when the clock of the tests started.
async fn iam() -> Stub {
    let tokens = AtomicUsize::new(0);
    Stub::new(move |seen| {
        if seen.is_token() {
            let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
            return token(number, epoch() + TimeDelta::hours(24 * number as i64));
        }
        started()
    })
    .await
}

async fn many(client: &Client, count: usize) -> Vec<Answer> {
    let starts: Vec<_> = (0..count)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { client.start(start(&format!("t{number}"))).await })
        })
        .collect();
    let mut answers = Vec::new();
    for start in starts {
        answers.push(start.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn fifty_at_once_fetch_one_token_and_it_is_kept() {
    let vault = Vault::new();
    let stub = iam().await;
    let client = client(account(&stub.url, vault.password("correct horse")));
    for answer in many(&client, 50).await {
        assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    }
    assert_eq!(ask(&client, "later").await.kind.name(), "started");
    assert_eq!(stub.tokens().len(), 1);
    let runs = stub.runs();
    assert_eq!(runs.len(), 51);
    for run in runs {
        assert_eq!(run.header("X-Auth-Token"), Some("MIIToken-number-1"));
        assert_eq!(run.header("Authorization"), None);
    }
    let request = &stub.tokens()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/v3/auth/tokens?nocatalog=true")
    );
    assert_eq!(request.header("X-Auth-Token"), None);
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "domain": {"name": "acme"}, "name": "robot", "password": "correct horse"}}},
            "scope": {"project": {"name": "cn-north-4"}}
        }})
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let vault = Vault::new();
    let stub = iam().await;
    let client = client(account(&stub.url, vault.password("p")));
    ask(&client, "t1").await;
    pass(23 * HOUR).await;
    ask(&client, "t2").await;
    assert_eq!(stub.tokens().len(), 1, "an hour before its end it is good");
    pass(HOUR / 2 + Duration::from_secs(60)).await;
    ask(&client, "t3").await;
    let used = |number| {
        let token = format!("MIIToken-number-{number}");
        stub.runs().pop().unwrap().header("X-Auth-Token") == Some(token.as_str())
    };
    assert!(
        used(1),
        "the one that sets off the renewal does not wait for it"
    );
    ask_until(&client, || used(2)).await;
    assert_eq!(stub.tokens().len(), 2);
}

/// Starts runs until something that is done beside them is done.
async fn ask_until(client: &Client, is_so: impl Fn() -> bool) {
    for number in 0.. {
        assert!(number < 1000, "it was never done");
        let answer = ask(client, &format!("again{number}")).await;
        assert_eq!(answer.kind.name(), "started", "{}", answer.message);
        if is_so() {
            return;
        }
    }
}

#[tokio::test]
async fn a_renewal_that_fails_costs_nothing_while_the_token_is_good() {
    let vault = Vault::new();
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let stub = Stub::new(
        move |seen| match (seen.is_token(), is_down.load(Ordering::SeqCst)) {
            (true, false) => token(1, epoch() + TimeDelta::hours(24)),
            (true, true) => json(503, ""),
            (false, _) => started(),
        },
    )
    .await;
    let client = client(account(&stub.url, vault.password("p")));
    ask(&client, "t1").await;
    down.store(true, Ordering::SeqCst);
    pass(23 * HOUR + HOUR / 2 + Duration::from_secs(60)).await;
    for answer in many(&client, 20).await {
        assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    }
    // Another renewal would only be tried after a minute; until the first has failed there is none either.
    ask_until(&client, || stub.tokens().len() == 2).await;
    for answer in many(&client, 20).await {
        assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    }
    assert_eq!(
        stub.tokens().len(),
        2,
        "one renewal is tried, not one a tick"
    );
    pass(HOUR).await;
    let answer = ask(&client, "t3").await;
    assert_eq!(answer.kind, AnswerKind::NotSent, "{}", answer.message);
    assert!(answer.message.contains("HTTP 503"), "{}", answer.message);
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once() {
    let vault = Vault::new();
    let tokens = AtomicUsize::new(0);
    let stub = Stub::new(move |seen| {
        if seen.is_token() {
            let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
            return token(number, epoch() + TimeDelta::hours(24));
        }
        json(
            401,
            r#"{"error_code":"APIGW.0307","error_msg":"The token must be updated"}"#,
        )
    })
    .await;
    let client = client(account(&stub.url, vault.password("p")));
    for number in 1..=4 {
        let answer = ask(&client, &format!("t{number}")).await;
        assert_eq!(answer.kind, AnswerKind::Unauthorized, "{}", answer.message);
    }
    assert_eq!(
        stub.runs().len(),
        4,
        "one request a start, also after a 401"
    );
    assert_eq!(
        stub.tokens().len(),
        2,
        "a second token that is refused too is not its age"
    );
    pass(Duration::from_secs(301)).await;
    ask(&client, "t5").await;
    ask(&client, "t6").await;
    assert_eq!(stub.tokens().len(), 3, "later it is tried again");
}

#[tokio::test]
async fn a_missing_permission_does_not_cost_the_token() {
    let vault = Vault::new();
    let stub = Stub::new(|seen| {
        if seen.is_token() {
            return token(1, epoch() + TimeDelta::hours(24));
        }
        json(
            401,
            r#"{"error_code":"DEVCP.00021018","error_msg":"no permission"}"#,
        )
    })
    .await;
    let client = client(account(&stub.url, vault.password("p")));
    for _ in 0..3 {
        assert_eq!(ask(&client, "t").await.kind, AnswerKind::Refused);
    }
    assert_eq!(stub.tokens().len(), 1);
}

#[tokio::test]
async fn iam_is_asked_once_for_all_and_its_refusal_is_told() {
    let rows: Vec<(&str, Does, AnswerKind, &str)> = vec![
        (
            "wrong password",
            || {
                json(
                    401,
                    r#"{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}"#,
                )
            },
            AnswerKind::Unauthorized,
            "401: The username or password is wrong.",
        ),
        (
            "forbidden",
            || json(403, "{}"),
            AnswerKind::Unauthorized,
            "HTTP 403",
        ),
        (
            "a bad request",
            || json(400, r#"{"error":{"code":400,"message":"malformed"}}"#),
            AnswerKind::NotSent,
            "400: malformed",
        ),
        (
            "IAM fails",
            || json(500, "<html>"),
            AnswerKind::NotSent,
            "HTTP 500",
        ),
        (
            "no header",
            || json(201, "{}"),
            AnswerKind::NotSent,
            "X-Subject-Token",
        ),
        (
            "a spent token",
            || token(1, epoch() - TimeDelta::hours(1)),
            AnswerKind::NotSent,
            "has ended",
        ),
        (
            "IAM hangs",
            || Reply::Stall,
            AnswerKind::NotSent,
            "timed out",
        ),
        ("IAM closes", || Reply::Close, AnswerKind::NotSent, "IAM"),
    ];
    for (name, reply, kind, words) in rows {
        let vault = Vault::new();
        let stub = Stub::new(move |seen| if seen.is_token() { reply() } else { started() }).await;
        let mut account = account(&stub.url, vault.password("hush-hush-password"));
        if name == "IAM hangs" {
            account.request_timeout = Duration::from_millis(500);
        }
        let client = client(account);
        for answer in many(&client, 30).await {
            assert_eq!(answer.kind, kind, "{name}: {}", answer.message);
            assert!(answer.message.contains(words), "{name}: {}", answer.message);
            assert!(
                !answer.message.contains("hush"),
                "{name}: {}",
                answer.message
            );
        }
        assert!(stub.runs().is_empty(), "{name}");
        assert_eq!(
            stub.tokens().len(),
            1,
            "{name}: thirty wrong passwords would lock the user"
        );
    }
}

#[tokio::test]
async fn iam_may_ask_us_to_wait() {
    let vault = Vault::new();
    let stub =
        Stub::new(|_| Reply::Http(429, vec![("Retry-After", "30".to_owned())], String::new()))
            .await;
    let answer = ask(&client(account(&stub.url, vault.password("p"))), "t1").await;
    assert_eq!(answer.kind, AnswerKind::NotSent);
    assert_eq!(answer.retry_after, Some(Duration::from_secs(30)));
}

#[tokio::test]
async fn a_clock_that_is_wrong_does_not_spend_a_token() {
    let vault = Vault::new();
    // IAM's clock stands two days before ours.
    let stub = Stub::new(|seen| {
        if !seen.is_token() {
            return started();
        }
        Reply::Http(
            201,
            vec![
                ("X-Subject-Token", "MIIToken".to_owned()),
                ("Date", "Sun, 22 Nov 2026 18:00:00 GMT".to_owned()),
            ],
            r#"{"token":{"expires_at":"2026-11-23T18:00:00.000000Z"}}"#.to_owned(),
        )
    })
    .await;
    let client = client(account(&stub.url, vault.password("p")));
    ask(&client, "t1").await;
    let answer = ask(&client, "t2").await;
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    assert_eq!(stub.tokens().len(), 1);
}

#[tokio::test]
async fn a_token_needs_a_project() {
    let vault = Vault::new();
    let stub = iam().await;
    let with = |region: Option<&str>, project: Option<&str>| {
        let Credentials::Password {
            domain,
            user,
            password,
            ..
        } = vault.password("p")
        else {
            panic!("not a password");
        };
        Account {
            region: region.map(str::to_owned),
            ..account(
                &stub.url,
                Credentials::Password {
                    domain,
                    user,
                    password,
                    project: project.map(str::to_owned),
                },
            )
        }
    };
    let answer = ask(&client(with(None, None)), "t1").await;
    assert_eq!(answer.kind, AnswerKind::KeptHere);
    assert!(answer.message.contains("`project`"), "{}", answer.message);
    let id = "0123456789abcdef0123456789abcdef";
    for (region, project, scope) in [
        (
            Some("cn-east-3"),
            None,
            r#"{"name":"cn-east-3"}"#.to_owned(),
        ),
        (
            Some("cn-east-3"),
            Some("cn-east-3_web"),
            r#"{"name":"cn-east-3_web"}"#.to_owned(),
        ),
        (None, Some(id), format!(r#"{{"id":"{id}"}}"#)),
    ] {
        let answer = ask(&client(with(region, project)), "t1").await;
        assert_eq!(answer.kind.name(), "started", "{}", answer.message);
        let body = stub.tokens().pop().unwrap().body;
        assert!(
            body.contains(&format!(r#""scope":{{"project":{scope}}}"#)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_ready_made_token_is_sent_as_it_is() {
    let vault = Vault::new();
    let stub = iam().await;
    let at = vault.keep("token", "MIIReadyMade\n");
    let client = client(account(&stub.url, Credentials::Token(at)));
    assert_eq!(ask(&client, "t1").await.kind.name(), "started");
    assert_eq!(stub.runs()[0].header("X-Auth-Token"), Some("MIIReadyMade"));
    assert!(stub.tokens().is_empty());
}

/// Signs what arrived with the headers that were signed, and compares.
fn assert_signed(seen: &Seen, url: &str, keys: &Keys) {
    let authorization = seen.header("Authorization").unwrap();
    let names = authorization
        .split_once("SignedHeaders=")
        .and_then(|(_, rest)| rest.split_once(','))
        .unwrap()
        .0;
    for name in ["content-type", "host", "x-sdk-date"] {
        assert!(names.split(';').any(|there| there == name), "{names}");
    }
    let request = HttpRequest {
        method: seen.method.clone(),
        url: format!("{url}{}", seen.target),
        headers: names
            .split(';')
            .map(|name| (name.to_owned(), seen.header(name).unwrap().to_owned()))
            .collect(),
        body: seen.body.clone().into_bytes(),
    };
    let date = seen.header("X-Sdk-Date").unwrap();
    let signed_at = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ")
        .unwrap()
        .and_utc();
    assert!((signed_at - epoch()).num_minutes() < 5, "{date}");
    let signed = sign(request, keys, signed_at).unwrap();
    assert_eq!(signed.request.header("Authorization"), Some(authorization));
}

#[tokio::test]
async fn keys_sign_what_really_goes_over_the_wire() {
    let vault = Vault::new();
    let stub = iam().await;
    let mut account = account(&stub.url, vault.keys());
    account.iam_project_id = Some("0123456789abcdef0123456789abcdef".to_owned());
    let mut start = start("t1");
    start.request.description = Some("nightly 流水线".to_owned());
    let answer = client(account).start(start).await;
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    let run = stub.runs().remove(0);
    assert_eq!(
        run.header("X-Project-Id"),
        Some("0123456789abcdef0123456789abcdef")
    );
    let keys = Keys {
        ak: AK.to_owned(),
        sk: SecretString::from(SK),
        security_token: None,
    };
    assert_signed(&run, &stub.url, &keys);
}

#[tokio::test]
async fn temporary_keys_send_and_sign_their_token() {
    let vault = Vault::new();
    let stub = iam().await;
    let credentials = Credentials::Keys {
        ak: Text::Secret(vault.keep("ak", "AKTEMP\n")),
        sk: vault.keep("sk", SK),
        security_token: Some(vault.keep("token", "SecurityTokenOfTheTest==")),
    };
    let answer = ask(&client(account(&stub.url, credentials)), "t1").await;
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    let run = stub.runs().remove(0);
    assert_eq!(
        run.header("X-Security-Token"),
        Some("SecurityTokenOfTheTest==")
    );
    let authorization = run.header("Authorization").unwrap();
    assert!(authorization.contains("Access=AKTEMP, "), "{authorization}");
    assert!(
        authorization.contains(";x-security-token, "),
        "{authorization}"
    );
}

#[tokio::test]
async fn keys_are_read_again_after_a_refusal_and_on_reload() {
    let vault = Vault::new();
    let stub = Stub::new(|seen| {
        let authorization = seen.header("Authorization").unwrap();
        if authorization.contains("Access=NEW") {
            started()
        } else {
            json(401, r#"{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information"}"#)
        }
    })
    .await;
    let account = account(
        &stub.url,
        Credentials::Keys {
            ak: Text::Secret(vault.keep("ak", "OLD")),
            sk: vault.keep("sk", SK),
            security_token: None,
        },
    );
    let one = client(account.clone());
    assert_eq!(ask(&one, "t1").await.kind, AnswerKind::Unauthorized);
    vault.keep("ak", "NEW1");
    assert_eq!(
        ask(&one, "t2").await.kind.name(),
        "started",
        "read again after the refusal"
    );
    vault.keep("ak", "NEW2");
    ask(&one, "t3").await;
    one.replace_accounts(&accounts(account));
    ask(&one, "t4").await;
    let used: Vec<bool> = stub
        .runs()
        .iter()
        .map(|run| run.header("Authorization").unwrap().contains("Access=NEW2"))
        .collect();
    assert_eq!(used, [false, false, false, true], "kept until the reload");
}

#[tokio::test]
async fn a_reload_keeps_a_token_unless_its_password_changed() {
    let vault = Vault::new();
    let stub = iam().await;
    let account = account(&stub.url, vault.password("first"));
    let client = client(account.clone());
    ask(&client, "t1").await;
    client.replace_accounts(&accounts(account.clone()));
    ask(&client, "t2").await;
    assert_eq!(stub.tokens().len(), 1, "nothing changed");
    vault.keep("password", "second");
    client.replace_accounts(&accounts(account.clone()));
    ask(&client, "t3").await;
    assert_eq!(stub.tokens().len(), 2, "the password changed");
    assert!(stub.tokens()[1].body.contains("second"));
    std::fs::remove_file(vault.path("password")).unwrap();
    client.replace_accounts(&accounts(account.clone()));
    let answer = ask(&client, "t4").await;
    assert_eq!(
        answer.kind.name(),
        "started",
        "a token that is good outlives its password's file"
    );
    let mut changed = account;
    changed.region = Some("cn-east-3".to_owned());
    client.replace_accounts(&accounts(changed));
    let answer = ask(&client, "t5").await;
    assert_eq!(
        answer.kind,
        AnswerKind::KeptHere,
        "other settings, another session"
    );
    assert!(answer.message.contains("password"), "{}", answer.message);
}

#[tokio::test]
async fn a_profile_gives_keys_and_project() {
    let vault = Vault::new();
    let stub = iam().await;
    vault.keep(
        "credentials",
        "[basic]\nak=WRONG\nsk=x\n[nightly]\nak=AKPROFILE\nsk=s\nproject_id=fedcba9876543210fedcba9876543210\n",
    );
    let profile = |name: &str, file: &str| {
        account(
            &stub.url,
            Credentials::Profile {
                profile: name.to_owned(),
                file: Some(vault.path(file)),
            },
        )
    };
    let answer = ask(&client(profile("nightly", "credentials")), "t1").await;
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    let run = stub.runs().remove(0);
    assert!(
        run.header("Authorization")
            .unwrap()
            .contains("Access=AKPROFILE")
    );
    assert_eq!(
        run.header("X-Project-Id"),
        Some("fedcba9876543210fedcba9876543210")
    );
    let answer = ask(&client(profile("nobody", "credentials")), "t1").await;
    assert_eq!(answer.kind, AnswerKind::KeptHere);
    assert!(answer.message.contains("[nobody]"), "{}", answer.message);
    let answer = ask(&client(profile("basic", "absent")), "t1").await;
    assert!(answer.message.contains("absent"), "{}", answer.message);
}

/// A metadata service. `session` answers the request for a session token.
async fn instance(session: Does, life: TimeDelta) -> Stub {
    Stub::new(move |seen| match seen.target.as_str() {
        "/meta-data/latest/api/token" => session(),
        "/openstack/latest/securitykey" => json(
            200,
            format!(
                r#"{{"credential":{{"access":"AKMETA","secret":"meta-secret","securitytoken":"meta-security-token","expires_at":"{}"}}}}"#,
                (epoch() + life).format("%Y-%m-%dT%H:%M:%S%.6fZ")
            ),
        ),
        _ => started(),
    })
    .await
}

fn targets(stub: &Stub) -> Vec<String> {
    stub.seen()
        .iter()
        .filter(|seen| !seen.is_run())
        .map(|seen| format!("{} {}", seen.method, seen.target))
        .collect()
}

const SESSION: &str = "PUT /meta-data/latest/api/token";
const KEY: &str = "GET /openstack/latest/securitykey";

#[tokio::test]
async fn the_instance_gives_a_key_with_a_session_token() {
    let stub = instance(|| json(200, "session-token"), TimeDelta::hours(24)).await;
    let client = client(account(&stub.url, Credentials::Metadata));
    for answer in many(&client, 20).await {
        assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    }
    assert_eq!(targets(&stub), [SESSION, KEY]);
    let seen = stub.seen();
    assert_eq!(
        seen[0].header("X-Metadata-Token-Ttl-Seconds"),
        Some("21600")
    );
    assert_eq!(seen[1].header("X-Metadata-Token"), Some("session-token"));
    let run = &stub.runs()[0];
    assert_eq!(run.header("X-Security-Token"), Some("meta-security-token"));
    assert!(
        run.header("Authorization")
            .unwrap()
            .contains("Access=AKMETA")
    );
}

#[tokio::test]
async fn an_instance_without_session_tokens_is_not_asked_for_one_again() {
    for reply in [|| json(404, ""), || json(405, ""), || json(503, "")] as [Does; 3] {
        // The key has less than 40 minutes left, so it is asked for again a minute later.
        let stub = instance(reply, TimeDelta::minutes(30)).await;
        let client = client(account(&stub.url, Credentials::Metadata));
        ask(&client, "t1").await;
        ask(&client, "t2").await;
        assert_eq!(targets(&stub), [SESSION, KEY], "not again at once");
        pass(Duration::from_secs(61)).await;
        ask_until(&client, || targets(&stub).len() == 3).await;
        assert_eq!(targets(&stub), [SESSION, KEY, KEY]);
        assert_eq!(stub.seen()[1].header("X-Metadata-Token"), None);
    }
}

#[tokio::test]
async fn an_instance_key_is_renewed_forty_minutes_before_its_end() {
    let stub = instance(|| json(404, ""), TimeDelta::hours(6)).await;
    let client = client(account(&stub.url, Credentials::Metadata));
    ask(&client, "t1").await;
    pass(5 * HOUR).await;
    ask(&client, "t2").await;
    assert_eq!(targets(&stub), [SESSION, KEY]);
    pass(HOUR / 2).await;
    ask_until(&client, || targets(&stub).len() == 3).await;
    assert_eq!(targets(&stub), [SESSION, KEY, KEY]);
}

#[tokio::test]
async fn a_session_token_that_is_refused_is_fetched_anew_once() {
    let asked = AtomicUsize::new(0);
    let stub = Stub::new(move |seen| match seen.target.as_str() {
        "/meta-data/latest/api/token" => json(200, "session-token"),
        "/openstack/latest/securitykey" if asked.fetch_add(1, Ordering::SeqCst) == 0 => json(401, "Unauthorized"),
        "/openstack/latest/securitykey" => json(
            200,
            r#"{"credentials":{"accessKeyId":"AKMETA","secretAccessKey":"s","expiration":"2026-11-25T18:00:00Z"}}"#,
        ),
        _ => started(),
    })
    .await;
    let client = client(account(&stub.url, Credentials::Metadata));
    assert_eq!(ask(&client, "t1").await.kind.name(), "started");
    assert_eq!(targets(&stub), [SESSION, KEY, SESSION, KEY]);
}

#[tokio::test]
async fn what_an_instance_cannot_give_is_told() {
    let rows: Vec<(&str, Does, &str, usize)> = vec![
        (
            "no agency",
            || json(401, "Please configure Cloud Service Agency first"),
            "Cloud Service Agency",
            2,
        ),
        ("refused for ever", || json(401, "no"), "HTTP 401", 4),
        ("not there", || json(404, ""), "HTTP 404", 2),
        ("not JSON", || json(200, "secret-looking"), "not JSON", 2),
        (
            "no key",
            || json(200, r#"{"credential":{}}"#),
            "has no access",
            2,
        ),
        (
            "no end",
            || {
                json(
                    200,
                    r#"{"credential":{"access":"A","secret":"secret-looking"}}"#,
                )
            },
            "expires_at",
            2,
        ),
        (
            "ended",
            || {
                json(
                    200,
                    r#"{"credential":{"access":"A","secret":"secret-looking","expires_at":"2020-01-01T00:00:00.000000Z"}}"#,
                )
            },
            "has ended",
            2,
        ),
        ("closed", || Reply::Close, "cannot be reached", 2),
    ];
    for (name, key, words, requests) in rows {
        let stub = Stub::new(move |seen| match seen.target.as_str() {
            "/meta-data/latest/api/token" => json(200, "session-token"),
            _ => key(),
        })
        .await;
        let client = client(account(&stub.url, Credentials::Metadata));
        let answer = ask(&client, "t1").await;
        assert_eq!(answer.kind, AnswerKind::NotSent, "{name}");
        assert!(answer.message.contains(words), "{name}: {}", answer.message);
        assert!(
            !answer.message.contains("secret-looking"),
            "{name}: {}",
            answer.message
        );
        assert_eq!(stub.seen().len(), requests, "{name}");
    }
}
