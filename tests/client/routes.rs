//! The ways to the service: TLS with a CA of one's own, proxies, the environment, the sandbox.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use pipecron::codearts::http::Client;
use pipecron::codearts::{CodeArts, SANDBOX_AK};
use pipecron::config::{Account, Credentials};
use pipecron::domain::request::{SecretRef, Variable, VariableValue};
use pipecron::domain::{Answer, AnswerKind};
use pipecron::os;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::stub::{AK, Reply, Stub, Vault, account, accounts, ask, client, json, start, started};

/// A certificate authority, and a server it vouches for.
struct Authority {
    pem: String,
    server: Arc<rustls::ServerConfig>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    Authority {
        pem: issuer.pem(),
        server: Arc::new(server),
    }
}

/// A server's TLS settings, and the PEM of who vouches for it.
pub(crate) fn tls_server() -> (String, Arc<rustls::ServerConfig>) {
    let authority = authority();
    (authority.pem, authority.server)
}

fn trusting(url: &str, vault: &Vault, ca_file: Option<&str>) -> Account {
    Account {
        ca_file: ca_file.map(|name| vault.path(name)),
        ..account(url, vault.keys())
    }
}

#[tokio::test]
async fn a_server_is_trusted_only_by_its_own_authority() {
    let vault = Vault::new();
    let (ours, other) = (authority(), authority());
    vault.keep("ours.pem", &ours.pem);
    vault.keep("other.pem", &other.pem);
    vault.keep("both.pem", &format!("# ours\n{}\n{}", other.pem, ours.pem));
    vault.keep("empty.pem", "");
    vault.keep(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
    );
    let stub = Stub::tls(ours.server, |_| started()).await;
    for (ca, words) in [
        (None, "certificate"),
        (Some("other.pem"), "certificate"),
        (Some("empty.pem"), "no certificate"),
        (Some("broken.pem"), "not PEM"),
        (Some("absent.pem"), "cannot read the CA file"),
    ] {
        let answer = ask(&client(trusting(&stub.url, &vault, ca)), "t1").await;
        let kind = match words {
            "certificate" => AnswerKind::NotSent,
            _ => AnswerKind::KeptHere,
        };
        assert_eq!(answer.kind, kind, "{ca:?}: {}", answer.message);
        assert!(answer.message.contains(words), "{ca:?}: {}", answer.message);
    }
    assert!(stub.seen().is_empty());
    for ca in ["ours.pem", "both.pem"] {
        let answer = ask(&client(trusting(&stub.url, &vault, Some(ca))), "t1").await;
        assert_eq!(answer.kind.name(), "started", "{ca}: {}", answer.message);
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let vault = Vault::new();
    let ours = authority();
    vault.keep("ca.pem", &ours.pem);
    let stub = Stub::tls(ours.server, |_| started()).await;
    let other_name = stub.url.replace("127.0.0.1", "127.0.0.2");
    let listener = TcpListener::bind(other_name.trim_start_matches("https://"))
        .await
        .unwrap();
    let to = stub.url.trim_start_matches("https://").to_owned();
    tokio::spawn(async move {
        let (mut from, _) = listener.accept().await.unwrap();
        let mut to = TcpStream::connect(to).await.unwrap();
        let _ = copy_bidirectional(&mut from, &mut to).await;
    });
    let answer = ask(&client(trusting(&other_name, &vault, Some("ca.pem"))), "t1").await;
    assert_eq!(answer.kind, AnswerKind::NotSent, "{}", answer.message);
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_new_authority_is_read_on_reload() {
    let vault = Vault::new();
    let (first, second) = (authority(), authority());
    vault.keep("ca.pem", &first.pem);
    let stub = Stub::tls(second.server, |_| started()).await;
    let account = trusting(&stub.url, &vault, Some("ca.pem"));
    let client = client(account.clone());
    assert_eq!(ask(&client, "t1").await.kind, AnswerKind::NotSent);
    vault.keep("ca.pem", &second.pem);
    assert_eq!(
        ask(&client, "t2").await.kind,
        AnswerKind::NotSent,
        "not before the reload"
    );
    client.replace_accounts(&accounts(account.clone()));
    assert_eq!(ask(&client, "t3").await.kind.name(), "started");
    std::fs::remove_file(vault.path("ca.pem")).unwrap();
    client.replace_accounts(&accounts(account));
    let answer = ask(&client, "t4").await;
    assert_eq!(
        answer.kind.name(),
        "started",
        "what works goes on: {}",
        answer.message
    );
}

/// What a proxy was asked for, and how.
type Asked = Arc<std::sync::Mutex<Vec<String>>>;

/// A proxy for CONNECT that answers with `reply`; if that is a 200, it connects to where it was asked to.
async fn tunnel(reply: Option<&'static str>) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Asked::default();
    let ours = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut from, _) = listener.accept().await.unwrap();
            let asked = Arc::clone(&ours);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(from.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let to = head.split(' ').nth(1).unwrap().to_owned();
                asked.lock().unwrap().push(head);
                let Some(reply) = reply else {
                    return std::future::pending().await;
                };
                from.write_all(reply.as_bytes()).await.unwrap();
                if reply.contains(" 200 ") {
                    let mut to = TcpStream::connect(to).await.unwrap();
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                }
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_proxy_is_used_for_https_and_gets_its_password() {
    let vault = Vault::new();
    let ours = authority();
    vault.keep("ca.pem", &ours.pem);
    let stub = Stub::tls(ours.server, |_| started()).await;
    let (proxy, asked) = tunnel(Some("HTTP/1.1 200 OK\r\n\r\n")).await;
    let account = Account {
        proxy: Some(format!("http://robot:proxy-secret@{proxy}")),
        ..trusting(&stub.url, &vault, Some("ca.pem"))
    };
    let answer = ask(&client(account), "t1").await;
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    // The base64 of robot:proxy-secret.
    assert!(
        asked[0].contains("Basic cm9ib3Q6cHJveHktc2VjcmV0"),
        "{}",
        asked[0]
    );
    assert!(
        !asked[0].contains("SDK-HMAC"),
        "the service's credentials are not the proxy's"
    );
    assert_eq!(stub.runs()[0].header("Proxy-Authorization"), None);
}

#[tokio::test]
async fn what_a_proxy_does_not_pass_on_is_not_sent() {
    let vault = Vault::new();
    let ours = authority();
    vault.keep("ca.pem", &ours.pem);
    let stub = Stub::tls(ours.server, |_| started()).await;
    for (name, reply) in [
        (
            "wants credentials",
            Some("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
        ),
        ("forbids it", Some("HTTP/1.1 403 Forbidden\r\n\r\n")),
        (
            "cannot reach it",
            Some("HTTP/1.1 503 Service Unavailable\r\n\r\n"),
        ),
        ("says nothing until the time is over", None),
    ] {
        let (proxy, asked) = tunnel(reply).await;
        let account = Account {
            proxy: Some(format!("http://robot:proxy-secret@{proxy}")),
            request_timeout: Duration::from_secs(if reply.is_some() { 20 } else { 1 }),
            ..trusting(&stub.url, &vault, Some("ca.pem"))
        };
        let answer = ask(&client(account), "t1").await;
        assert_eq!(
            answer.kind,
            AnswerKind::NotSent,
            "{name}: {}",
            answer.message
        );
        assert!(
            !answer.message.contains("proxy-secret"),
            "{name}: {}",
            answer.message
        );
        assert_eq!(asked.lock().unwrap().len(), 1, "{name}");
    }
    let account = Account {
        proxy: Some("http://127.0.0.1:1".to_owned()),
        ..trusting(&stub.url, &vault, Some("ca.pem"))
    };
    assert_eq!(
        ask(&client(account), "t1").await.kind,
        AnswerKind::NotSent,
        "no proxy there"
    );
    let account = Account {
        proxy: Some("nonsense://robot:proxy-secret@x".to_owned()),
        ..trusting(&stub.url, &vault, Some("ca.pem"))
    };
    let answer = ask(&client(account), "t1").await;
    assert_eq!(answer.kind, AnswerKind::KeptHere);
    assert!(
        !answer.message.contains("proxy-secret"),
        "{}",
        answer.message
    );
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_proxy_that_asks_for_a_password_is_the_accounts_trouble() {
    let vault = Vault::new();
    let proxy = Stub::new(|_| json(407, "<html>who are you?</html>")).await;
    let account = Account {
        proxy: Some(proxy.url.clone()),
        ..account("http://127.0.0.1:1", vault.keys())
    };
    let answer = ask(&client(account), "t1").await;
    assert_eq!(
        (answer.kind, answer.status),
        (AnswerKind::NotSent, Some(407))
    );
}

// What depends on the environment runs in a process of its own: a test calls this program again, with a variable
// that names the part to play. Without it those parts do nothing.

const STUB_URL: &str = "PIPECRON_TEST_STUB";

type Variables<'a> = Vec<(&'a str, &'a str)>;

/// Plays a part of this file with an environment, and gives what it printed.
async fn play(part: &str, stub: &Stub, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("routes::{part}"), "--nocapture"])
        .env_clear()
        .env(STUB_URL, &stub.url)
        .envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

async fn answer_of(account: Account) -> Answer {
    ask(&client(account), "t1").await
}

/// The stub's address, if we are in a process of our own.
fn stub_url() -> Option<String> {
    os::variable(STUB_URL)
}

#[expect(clippy::print_stdout, reason = "the parent reads it")]
fn tell(answer: &Answer) {
    println!("ANSWER {} {}", answer.kind.name(), answer.message);
}

#[tokio::test]
async fn part_chain() {
    if let Some(url) = stub_url() {
        tell(&answer_of(account(&url, Credentials::Chain)).await);
    }
}

#[tokio::test]
async fn part_usual_profile() {
    if let Some(url) = stub_url() {
        let credentials = Credentials::Profile {
            profile: "nightly".to_owned(),
            file: None,
        };
        tell(&answer_of(account(&url, credentials)).await);
    }
}

#[tokio::test]
async fn part_environment_proxy() {
    if let Some(url) = stub_url() {
        let vault = Vault::new();
        let account = Account {
            proxy: None,
            ..account(&url, vault.keys())
        };
        tell(&answer_of(account).await);
    }
}

/// A stub that plays the metadata service too, if `has_metadata`.
async fn chain_stub(has_metadata: bool) -> Stub {
    Stub::new(move |seen| match seen.target.as_str() {
        "/openstack/latest/securitykey" if has_metadata => json(
            200,
            r#"{"credential":{"access":"AKMETA","secret":"s","expires_at":"2026-11-26T18:00:00Z"}}"#,
        ),
        "/openstack/latest/securitykey" | "/meta-data/latest/api/token" => json(404, ""),
        _ => started(),
    })
    .await
}

#[tokio::test]
async fn the_chain_takes_environment_then_profile_then_metadata() {
    let vault = Vault::new();
    let home = vault.path("home");
    std::fs::create_dir_all(home.join(".huaweicloud")).unwrap();
    std::fs::write(
        home.join(".huaweicloud/credentials"),
        "[basic]\nak=AKHOME\nsk=s\n",
    )
    .unwrap();
    vault.keep(
        "sdk",
        "[basiccredentials]\nak=AKFILE\nsk=s\nproject_id=pf\n",
    );
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (home, file, nowhere) = (text(&home), text(&vault.path("sdk")), text(vault.folder()));
    let keys = [("HUAWEICLOUD_SDK_AK", "AKENV"), ("HUAWEICLOUD_SDK_SK", "s")];
    let token = [
        ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "env-token"),
        ("HUAWEICLOUD_SDK_PROJECT_ID", "pe"),
    ];
    let at_home = [("HOME", home.as_str())];
    let in_file = [("HUAWEICLOUD_SDK_CREDENTIALS_FILE", file.as_str())];
    let homeless = [("HOME", nowhere.as_str())];
    let rows: [(&str, Variables<'_>, &str, Option<&str>); 6] = [
        (
            "environment first",
            [&keys[..], &at_home, &in_file].concat(),
            "AKENV",
            None,
        ),
        (
            "with token and project",
            [&keys[..], &token, &at_home].concat(),
            "AKENV",
            Some("pe"),
        ),
        (
            "the named file",
            [&in_file[..], &at_home].concat(),
            "AKFILE",
            Some("pf"),
        ),
        ("the usual file", at_home.to_vec(), "AKHOME", None),
        (
            "half an environment",
            [&keys[..1], &at_home].concat(),
            "AKHOME",
            None,
        ),
        ("metadata last", homeless.to_vec(), "AKMETA", None),
    ];
    for (name, environment, ak, project) in rows {
        let stub = chain_stub(true).await;
        let said = play("part_chain", &stub, &environment).await;
        assert!(said.contains("ANSWER started"), "{name}: {said}");
        let run = stub.runs().remove(0);
        let authorization = run.header("Authorization").unwrap();
        assert!(
            authorization.contains(&format!("Access={ak},")),
            "{name}: {authorization}"
        );
        assert_eq!(run.header("X-Project-Id"), project, "{name}");
        let has_token = environment.contains(&token[0]);
        assert_eq!(
            run.header("X-Security-Token").is_some(),
            has_token,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_chain_that_finds_nothing_tells_all_it_tried() {
    let stub = chain_stub(false).await;
    let said = play("part_chain", &stub, &[("HUAWEICLOUD_SDK_AK", "AKENV")]).await;
    assert!(
        said.contains("ANSWER not_sent found no credentials"),
        "{said}"
    );
    for words in [
        "environment: HUAWEICLOUD_SDK_SK is not set",
        "profile: neither HUAWEICLOUD_SDK_CREDENTIALS_FILE nor HOME is set",
        "metadata: the metadata service gave no key (HTTP 404)",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(stub.runs().is_empty());
}

#[tokio::test]
async fn a_profile_without_a_file_is_sought_in_the_usual_one() {
    let vault = Vault::new();
    let stub = chain_stub(false).await;
    vault.keep(
        "sdk",
        "[basic]\nak=A\nsk=s\n[nightly]\nak=AKNIGHTLY\nsk=s\n",
    );
    let file = vault.path("sdk");
    let environment = [("HUAWEICLOUD_SDK_CREDENTIALS_FILE", file.to_str().unwrap())];
    let said = play("part_usual_profile", &stub, &environment).await;
    assert!(said.contains("ANSWER started"), "{said}");
    assert!(
        stub.runs()[0]
            .header("Authorization")
            .unwrap()
            .contains("Access=AKNIGHTLY,")
    );
}

#[tokio::test]
async fn the_environment_names_a_proxy_and_what_goes_round_it() {
    let stub = Stub::new(|_| started()).await;
    let proxy = Stub::new(|_| json(502, "the proxy")).await;
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        let said = play("part_environment_proxy", &stub, &[(name, &proxy.url)]).await;
        assert!(said.contains("ANSWER doubtful"), "{name}: {said}");
    }
    assert_eq!(proxy.runs().len(), 3);
    assert!(stub.seen().is_empty());
    let around = [
        ("HTTP_PROXY", proxy.url.as_str()),
        ("NO_PROXY", "127.0.0.1"),
    ];
    let said = play("part_environment_proxy", &stub, &around).await;
    assert!(said.contains("ANSWER started"), "{said}");
    assert_eq!(stub.runs().len(), 1);
}

#[tokio::test]
async fn no_proxy_at_all_ignores_the_environment() {
    // `account` says so; the chain's part uses it as it is.
    let stub = chain_stub(true).await;
    let proxy = Stub::new(|_| Reply::Close).await;
    let environment = [
        ("HTTP_PROXY", proxy.url.as_str()),
        ("HUAWEICLOUD_SDK_AK", "AKENV"),
        ("HUAWEICLOUD_SDK_SK", "s"),
    ];
    let said = play("part_chain", &stub, &environment).await;
    assert!(said.contains("ANSWER started"), "{said}");
    assert!(proxy.seen().is_empty());
}

#[tokio::test]
async fn the_sandbox_gets_nothing_of_the_real_account() {
    let vault = Vault::new();
    let real = Stub::new(|_| started()).await;
    let sandbox = Stub::new(|_| started()).await;
    let account = Account {
        proxy: Some(real.url.clone()),
        ca_file: Some(vault.path("absent.pem")),
        ..account(&real.url, vault.password("real-password"))
    }
    .for_sandbox(&format!("{}/", sandbox.url));
    let client = Client::new(&accounts(account), os::Clock::system());
    let mut start = start("t1");
    start.request.variables = Some(
        vec![Variable {
            name: "KEY".to_owned(),
            value: VariableValue::Secret(SecretRef::Env("NOT_SET_ANYWHERE".to_owned())),
        }]
        .into(),
    );
    assert!(client.check_secrets().is_empty());
    let answer = client.start(start).await;
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
    assert!(real.seen().is_empty());
    let run = sandbox.runs().remove(0);
    assert!(
        run.header("Authorization")
            .unwrap()
            .contains(&format!("Access={SANDBOX_AK},"))
    );
    assert!(!run.header("Authorization").unwrap().contains(AK));
    assert!(
        run.body.contains(r#"{"name":"KEY","value":"sandbox"}"#),
        "{}",
        run.body
    );
}
