//! The real client meets the sandbox: two readings of one documentation, made apart, have to agree.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use pipecron::codearts::http::Client;
use pipecron::codearts::{CodeArts, Start};
use pipecron::config::{Account, Credentials, NO_PROXY, Text};
use pipecron::domain::request::{SecretRef, Variable, VariableValue};
use pipecron::domain::{AccountName, Answer, AnswerKind, RunRequest};
use pipecron::os::Clock;
use pipecron::sandbox::settings::{AccessKey, Metadata};
use pipecron::sandbox::{
    FaultRule, SANDBOX_AK, SANDBOX_DOMAIN, SANDBOX_PASSWORD, SANDBOX_SK, SANDBOX_USER, Sandbox,
    Settings,
};
use secrecy::SecretString;

/// A sandbox, and a client with one account there.
struct Rehearsal {
    sandbox: Sandbox,
    client: Client,
    /// Secrets are kept in files that live as long as this.
    _secrets: Vec<tempfile::NamedTempFile>,
}

/// Secrets of an account, in files.
#[derive(Default)]
struct Secrets(Vec<tempfile::NamedTempFile>);

impl Secrets {
    fn keep(&mut self, secret: &str) -> SecretRef {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(secret.as_bytes()).unwrap();
        let path = file.path().to_owned();
        self.0.push(file);
        SecretRef::File(path)
    }
}

fn name() -> AccountName {
    AccountName::parse("main").unwrap()
}

impl Rehearsal {
    async fn new(
        change: impl FnOnce(&mut Settings),
        credentials: impl FnOnce(&mut Secrets, &Sandbox) -> Credentials,
    ) -> Self {
        let mut settings = Settings {
            seed: Some(3),
            ..Settings::default()
        };
        change(&mut settings);
        let sandbox = Sandbox::start(settings).await.unwrap();
        let mut secrets = Secrets::default();
        let account = Account {
            name: name(),
            region: Some("cn-north-4".to_owned()),
            endpoint: sandbox.base_url(),
            iam_endpoint: sandbox.base_url(),
            metadata_endpoint: sandbox.base_url(),
            iam_project_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
            credentials: credentials(&mut secrets, &sandbox),
            proxy: Some(NO_PROXY.to_owned()),
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            settle: Duration::from_secs(180),
            max_running: None,
            requests_per_second: 1_000,
        };
        let accounts = BTreeMap::from([(name(), Arc::new(account))]);
        Self {
            client: Client::new(&accounts, Clock::system()),
            sandbox,
            _secrets: secrets.0,
        }
    }

    async fn with_keys() -> Self {
        Self::new(|_| {}, keys).await
    }

    fn fault(&self, text: &str) {
        assert!(self.sandbox.push_fault(text.parse::<FaultRule>().unwrap()));
    }

    async fn start(&self) -> Answer {
        let request = RunRequest {
            project_id: "54f90b75fc1447b1b65e8d3a9f77923d".to_owned(),
            pipeline_id: "e5460d1d403146a1935c2d4b68ef506c".to_owned(),
            description: Some("nightly: 流水线".to_owned()),
            variables: Some(
                vec![Variable {
                    name: "MODE".to_owned(),
                    value: VariableValue::Value("full".to_owned()),
                }]
                .into(),
            ),
            ..RunRequest::default()
        };
        let start = Start {
            account: name(),
            request,
            marker: "[pipecron abcdefgh web@2026-11-24T18:00:00Z]".to_owned(),
            leave_within: Duration::from_secs(3600),
        };
        self.client.start(start).await
    }

    fn asked(&self, call: &str) -> u64 {
        self.sandbox
            .requests()
            .by_call
            .get(call)
            .copied()
            .unwrap_or(0)
    }
}

fn keys(secrets: &mut Secrets, _: &Sandbox) -> Credentials {
    Credentials::Keys {
        ak: Text::Plain(SANDBOX_AK.to_owned()),
        sk: secrets.keep(SANDBOX_SK),
        security_token: None,
    }
}

fn password(secrets: &mut Secrets, _: &Sandbox) -> Credentials {
    Credentials::Password {
        domain: Text::Plain(SANDBOX_DOMAIN.to_owned()),
        user: Text::Plain(SANDBOX_USER.to_owned()),
        password: secrets.keep(SANDBOX_PASSWORD),
        project: None,
    }
}

#[tokio::test]
async fn a_start_arrives_as_it_was_meant() {
    let rehearsal = Rehearsal::with_keys().await;
    let answer = rehearsal.start().await;
    let run = rehearsal.sandbox.runs().remove(0);
    let expected = AnswerKind::Started {
        run_id: run.id.clone(),
        queue_id: None,
    };
    assert_eq!(answer.kind, expected, "{answer:?}");
    assert!(
        answer.request_id.is_some() && answer.service_clock.is_some(),
        "{answer:?}"
    );
    let description = "nightly: 流水线 [pipecron abcdefgh web@2026-11-24T18:00:00Z]";
    assert_eq!(run.description.as_deref(), Some(description));
    assert_eq!(run.marker.unwrap().tick, "web@2026-11-24T18:00:00Z");
    assert_eq!(run.variables, [("MODE".to_owned(), "full".to_owned())]);
}

#[tokio::test]
async fn every_kind_of_credentials_opens() {
    let temporary = |settings: &mut Settings| {
        settings.keys.push(AccessKey {
            ak: "HSTTEMPORARY00000001".to_owned(),
            sk: SecretString::from("temporary"),
            user: "agency".to_owned(),
            security_token: Some(SecretString::from("token of the temporary key")),
            expires_at: None,
        });
    };
    let with_token = |secrets: &mut Secrets, _: &Sandbox| Credentials::Keys {
        ak: Text::Plain("HSTTEMPORARY00000001".to_owned()),
        sk: secrets.keep("temporary"),
        security_token: Some(secrets.keep("token of the temporary key")),
    };
    let metadata = |settings: &mut Settings| settings.metadata = Metadata::TokenRequired;
    for (what, rehearsal) in [
        ("keys", Rehearsal::with_keys().await),
        (
            "temporary keys",
            Rehearsal::new(temporary, with_token).await,
        ),
        ("password", Rehearsal::new(|_| {}, password).await),
        (
            "metadata",
            Rehearsal::new(metadata, |_, _| Credentials::Metadata).await,
        ),
        (
            "sandbox",
            Rehearsal::new(|_| {}, |_, _| Credentials::Sandbox).await,
        ),
    ] {
        for _ in 0..2 {
            let answer = rehearsal.start().await;
            assert!(
                matches!(answer.kind, AnswerKind::Started { .. }),
                "{what}: {answer:?}"
            );
        }
        assert_eq!(rehearsal.sandbox.runs().len(), 2, "{what}");
        assert!(
            rehearsal.asked("token") <= 1 && rehearsal.asked("metadata-key") <= 1,
            "{what}: kept"
        );
    }
}

#[tokio::test]
async fn a_token_that_was_revoked_is_renewed_for_the_next_attempt() {
    let rehearsal = Rehearsal::new(|_| {}, password).await;
    rehearsal.start().await;
    rehearsal.sandbox.with(|service, _| service.revoke_tokens());
    let refused = rehearsal.start().await;
    assert_eq!(refused.kind, AnswerKind::Unauthorized, "{refused:?}");
    assert_eq!(refused.code.as_deref(), Some("APIGW.0307"));
    let answer = rehearsal.start().await;
    assert!(
        matches!(answer.kind, AnswerKind::Started { .. }),
        "{answer:?}"
    );
    assert_eq!(
        (rehearsal.asked("token"), rehearsal.sandbox.runs().len()),
        (2, 2)
    );
}

#[tokio::test]
async fn a_wrong_key_or_password_opens_nothing() {
    let wrong_key = |secrets: &mut Secrets, _: &Sandbox| Credentials::Keys {
        ak: Text::Plain(SANDBOX_AK.to_owned()),
        sk: secrets.keep("not the key"),
        security_token: None,
    };
    let wrong_password = |secrets: &mut Secrets, _: &Sandbox| Credentials::Password {
        domain: Text::Plain(SANDBOX_DOMAIN.to_owned()),
        user: Text::Plain(SANDBOX_USER.to_owned()),
        password: secrets.keep("not the password"),
        project: None,
    };
    for rehearsal in [
        Rehearsal::new(|_| {}, wrong_key).await,
        Rehearsal::new(|_| {}, wrong_password).await,
    ] {
        let answer = rehearsal.start().await;
        assert!(
            matches!(answer.kind, AnswerKind::Unauthorized | AnswerKind::NotSent),
            "{answer:?}"
        );
        assert!(!answer.message.contains("not the"), "no secret: {answer:?}");
        assert!(rehearsal.sandbox.runs().is_empty());
    }
}

/// A fault at the start, what the client makes of it, and how many runs there are afterwards.
const FAULTS: &str = "
refuse=1h                               not_sent     0
dropped=reset                           doubtful     0
dropped=close                           doubtful     0
lost=reset                              doubtful     1
lost=close                              doubtful     1
lost=cut                                doubtful     1
slow=5ms                                started      1
late=5ms                                started      1
drip=7/1ms                              started      1
throttle                                throttled    0
status=500:COCT.0070003                 throttled    0
status=401:APIGW.0301                   unauthorized 0
status=401:DEVCP.00021018               refused      0
status=403:APIGW.0302                   refused      0
status=404:APIGW.0101                   refused      0
status=400:DEVCP.00021400               refused      0
status=408                              doubtful     0
status=500:DEVCP.00010000,started=yes   doubtful     1
status=502                              doubtful     0
status=503:APIG.0613                    doubtful     0
status=504:APIGW.0201,started=yes       doubtful     1
redirect                                doubtful     0
code=DEVPIPE.00011104                   busy         0
code=DEVPIPE.00011105,shape=nested      busy         0
code=DEVPIPE.00011401                   refused      0
code=DEVCP.00014031                     refused      0
message-only                            doubtful     0
empty                                   doubtful     1
not-json                                doubtful     1
truncated                               doubtful     1
no-run-id                               doubtful     1
huge=100000000                          doubtful     1
queued=1h                               started      1
unlisted=1h                             started      1
skew=1h                                 started      1
";

#[tokio::test]
async fn every_fault_is_classed_and_no_start_is_repeated() {
    for row in FAULTS.lines().filter(|row| !row.is_empty()) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [rule, kind, runs] = words.as_slice() else {
            panic!("{row}");
        };
        let rehearsal = Rehearsal::with_keys().await;
        // The client has been at it for a while: it has a connection that it could use again.
        rehearsal.start().await;
        rehearsal.fault(rule);
        if rule.starts_with("refuse") {
            let address = rehearsal.sandbox.address();
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
        let answer = rehearsal.start().await;
        assert_eq!(answer.kind.name(), *kind, "{rule}: {answer:?}");
        let started = rehearsal.sandbox.runs().len() - 1;
        assert_eq!(started.to_string(), *runs, "{rule}: {answer:?}");
        let queued = matches!(
            &answer.kind,
            AnswerKind::Started {
                queue_id: Some(_),
                ..
            }
        );
        assert_eq!(queued, rule.starts_with("queued"), "{rule}: {answer:?}");
    }
}

#[tokio::test]
async fn when_to_come_again_is_understood_in_both_forms() {
    let rehearsal = Rehearsal::with_keys().await;
    rehearsal.fault("throttle,retry-after=7,next=1");
    rehearsal.fault("throttle,retry-after=date:3000,next=1");
    let seconds = rehearsal.start().await;
    assert_eq!(
        seconds.retry_after,
        Some(Duration::from_secs(7)),
        "{seconds:?}"
    );
    let date = rehearsal.start().await;
    let wait = date.retry_after.unwrap();
    // A date has whole seconds, and some pass on the way.
    assert!(
        wait > Duration::from_secs(1000) && wait <= Duration::from_secs(3001),
        "{date:?}"
    );
}

#[tokio::test]
async fn an_iam_that_is_down_leaves_the_start_unsent() {
    for rule in [
        "status=503:APIG.0613",
        "dropped=close",
        "status=401",
        "not-json",
        "redirect",
    ] {
        let rehearsal = Rehearsal::new(|_| {}, password).await;
        rehearsal.fault(&format!("{rule},on=token"));
        let answer = rehearsal.start().await;
        let not_sent = matches!(answer.kind, AnswerKind::NotSent | AnswerKind::Unauthorized);
        assert!(not_sent, "{rule}: {answer:?}");
        assert_eq!(
            (rehearsal.asked("run"), rehearsal.sandbox.runs().len()),
            (0, 0),
            "{rule}"
        );
    }
}
