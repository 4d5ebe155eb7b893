//! What becomes of a start when something breaks: "not sent" only when it is certain, and never a second request.

use std::time::Duration;

use pipecron::codearts::CodeArts;
use pipecron::config::Account;
use pipecron::domain::AnswerKind;
use tokio::net::TcpListener;

use crate::stub::{Does, RUN, Reply, Stub, Vault, account, ask, client, json, start, started};

/// Long enough for the loopback, short enough to wait for. Only where nothing else ends the wait.
const SHORT: Duration = Duration::from_millis(500);

fn hurried(url: &str, vault: &Vault, is_short: bool) -> Account {
    let mut account = account(url, vault.keys());
    if is_short {
        account.request_timeout = SHORT;
    }
    account
}

#[tokio::test]
async fn a_run_is_started_and_its_id_comes_back() {
    let vault = Vault::new();
    let stub = Stub::new(|_| {
        Reply::Http(
            200,
            vec![
                ("X-Request-Id", "req-1".to_owned()),
                ("Date", "Tue, 24 Nov 2026 18:00:01 GMT".to_owned()),
            ],
            format!(r#"{{"pipeline_run_id":"{RUN}"}}"#),
        )
    })
    .await;
    let answer = ask(&client(account(&stub.url, vault.keys())), "t1").await;
    assert_eq!(
        answer.kind,
        AnswerKind::Started {
            run_id: RUN.to_owned(),
            queue_id: None
        }
    );
    assert_eq!(answer.request_id.as_deref(), Some("req-1"));
    assert_eq!(
        answer.service_clock,
        Some("2026-11-24T18:00:01Z".parse().unwrap())
    );
    let runs = stub.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].method, "POST");
    assert_eq!(runs[0].body, r#"{"description":"[pipecron abcdefgh t1]"}"#);
    assert_eq!(
        runs[0].header("Content-Type"),
        Some("application/json;charset=utf-8")
    );
    assert_eq!(
        runs[0].header("User-Agent"),
        Some(concat!("pipecron/", env!("CARGO_PKG_VERSION")))
    );
}

#[tokio::test]
async fn what_cannot_have_left_is_not_sent() {
    let vault = Vault::new();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let plain = Stub::new(|_| started()).await;
    let tls_to_plain = plain.url.replace("http:", "https:");
    // Takes connections, and says nothing: TLS never comes up.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_tls = format!("https://{}", silent.local_addr().unwrap());
    use AnswerKind::{KeptHere, NotSent};
    for (name, url, kind) in [
        ("connection refused", refused.as_str(), NotSent),
        ("no such host", "http://no-such-host.invalid", NotSent),
        ("TLS to a server without", &tls_to_plain, NotSent),
        ("time over while TLS comes up", &silent_tls, NotSent),
        // Nobody could be asked, so that says nothing about the service.
        ("no address", "http://", KeptHere),
        ("no scheme", "cloudpipeline", KeptHere),
        ("a scheme that is not HTTP", "ftp://127.0.0.1", NotSent),
    ] {
        let is_short = name.starts_with("time over") || name.starts_with("TLS to");
        let answer = ask(&client(hurried(url, &vault, is_short)), "t1").await;
        assert_eq!(answer.kind, kind, "{name}: {}", answer.message);
        assert!(!answer.message.is_empty(), "{name}");
    }
    assert!(plain.runs().is_empty());
}

#[tokio::test]
async fn what_may_have_arrived_is_in_doubt() {
    let vault = Vault::new();
    let rows: Vec<(&str, Does)> = vec![
        ("closed without an answer", || Reply::Close),
        ("no answer in time", || Reply::Stall),
        ("not HTTP", || Reply::Bytes(b"hello\r\n\r\n".to_vec())),
        ("half a head", || {
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())
        }),
        ("half a body", || {
            Reply::Bytes(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{{\"pipeline_run_id\":\"{RUN}\""
                )
                .into(),
            )
        }),
        ("a bad chunk", || {
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec())
        }),
        ("an endless body", || Reply::Endless),
        ("an endless head", || {
            Reply::Bytes(format!("HTTP/1.1 200 OK\r\n{}", "X-Pad: y\r\n".repeat(200_000)).into())
        }),
        ("an upgrade", || {
            Reply::Bytes(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
                    .to_vec(),
            )
        }),
        ("an interim answer only", || {
            Reply::Bytes(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())
        }),
        ("a redirect", || {
            Reply::Http(
                307,
                vec![("Location", "/v5/elsewhere/run".to_owned())],
                String::new(),
            )
        }),
        ("a server error", || json(500, "")),
        ("an empty success", || json(200, "")),
        ("a huge length", || {
            Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}".to_vec())
        }),
    ];
    for (name, reply) in rows {
        let stub = Stub::new(move |_| reply()).await;
        let is_short = name == "no answer in time";
        let answer = ask(&client(hurried(&stub.url, &vault, is_short)), "t1").await;
        assert_eq!(
            answer.kind,
            AnswerKind::Doubtful,
            "{name}: {}",
            answer.message
        );
        assert!(!answer.message.is_empty(), "{name}");
        assert_eq!(stub.seen().len(), 1, "{name}: one request");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_hide_the_status() {
    let vault = Vault::new();
    for (status, kind) in [
        (404, AnswerKind::Refused),
        (429, AnswerKind::Throttled),
        (503, AnswerKind::Doubtful),
    ] {
        let stub = Stub::new(move |_| {
            Reply::Bytes(
                format!("HTTP/1.1 {status} S\r\nRetry-After: 9\r\nContent-Length: 99\r\n\r\n{{")
                    .into(),
            )
        })
        .await;
        let answer = ask(&client(account(&stub.url, vault.keys())), "t1").await;
        assert_eq!(answer.kind, kind, "{}", answer.message);
        assert_eq!(answer.retry_after, Some(Duration::from_secs(9)));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let vault = Vault::new();
    let elsewhere = Stub::new(|_| started()).await;
    let to = format!("{}/v5/x/run", elsewhere.url);
    let stub =
        Stub::new(move |_| Reply::Http(302, vec![("Location", to.clone())], String::new())).await;
    let answer = ask(&client(account(&stub.url, vault.keys())), "t1").await;
    assert_eq!(
        (answer.kind, answer.status),
        (AnswerKind::Doubtful, Some(302))
    );
    assert!(
        answer.message.contains("not followed"),
        "{}",
        answer.message
    );
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_costs_no_run() {
    let vault = Vault::new();
    let stub = Stub::new(|_| Reply::LastWord(format!(r#"{{"pipeline_run_id":"{RUN}"}}"#))).await;
    let client = client(account(&stub.url, vault.keys()));
    for number in 0..50 {
        let answer = ask(&client, &format!("t{number}")).await;
        assert_eq!(
            answer.kind.name(),
            "started",
            "{number}: {}",
            answer.message
        );
    }
    assert_eq!(stub.runs().len(), 50);
    assert_eq!(
        stub.connections(),
        50,
        "no run is started on a connection that lay idle"
    );
}

#[tokio::test]
async fn every_run_is_started_on_a_connection_of_its_own() {
    let vault = Vault::new();
    // This server would keep its connections.
    let stub = Stub::new(|_| started()).await;
    let client = client(account(&stub.url, vault.keys()));
    for number in 0..5 {
        assert_eq!(
            ask(&client, &format!("t{number}")).await.kind.name(),
            "started"
        );
    }
    assert_eq!(stub.connections(), 5);
}

#[tokio::test]
async fn no_fault_makes_it_send_a_run_twice() {
    let vault = Vault::new();
    // Every kind of end, in turn, with many at once.
    let stub = Stub::new(|seen| match seen.connection % 5 {
        0 => Reply::Close,
        1 => Reply::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec()),
        2 => Reply::LastWord("{}".to_owned()),
        3 => json(503, ""),
        _ => started(),
    })
    .await;
    let client = client(account(&stub.url, vault.keys()));
    let starts: Vec<_> = (0..100)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { client.start(start(&format!("t{number}"))).await })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
    let mut bodies: Vec<String> = stub.runs().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies.len(), 100);
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 100, "each tick once");
}

#[tokio::test]
async fn throttling_carries_the_wait() {
    let vault = Vault::new();
    let stub = Stub::new(|_| {
        Reply::Http(
            429,
            vec![("Retry-After", "17".to_owned())],
            r#"{"error_code":"APIGW.0308","error_msg":"The throttling threshold has been reached"}"#.to_owned(),
        )
    })
    .await;
    let answer = ask(&client(account(&stub.url, vault.keys())), "t1").await;
    assert_eq!(answer.kind, AnswerKind::Throttled);
    assert_eq!(answer.retry_after, Some(Duration::from_secs(17)));
    assert_eq!(answer.code.as_deref(), Some("APIGW.0308"));
}

#[tokio::test]
async fn an_account_that_is_gone_sends_nothing() {
    let vault = Vault::new();
    let stub = Stub::new(|_| started()).await;
    let client = client(account(&stub.url, vault.keys()));
    client.replace_accounts(&std::collections::BTreeMap::new());
    let answer = ask(&client, "t1").await;
    assert_eq!(answer.kind, AnswerKind::KeptHere);
    assert!(answer.message.contains("main"), "{}", answer.message);
    assert!(stub.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_time_limit_that_strikes_at_any_moment_tells_the_truth() {
    // The server takes longer and longer to shake hands, until the limit strikes before the request has left, while it
    // leaves, and after. What is called unsent must never arrive.
    let vault = Vault::new();
    let (pem, server) = crate::routes::tls_server();
    vault.keep("ca.pem", &pem);
    let stub = Stub::slow_tls(server, |_| started()).await;
    let account = Account {
        ca_file: Some(vault.path("ca.pem")),
        request_timeout: Duration::from_millis(4),
        ..account(&stub.url, vault.keys())
    };
    let hurried = client(account.clone());
    let mut unsent = Vec::new();
    let mut in_time = 0;
    for step in 0..400 {
        let marker = format!("t{step}");
        let kind = ask(&hurried, &marker).await.kind;
        in_time += usize::from(kind.name() == "started");
        if kind == AnswerKind::NotSent {
            unsent.push(marker);
        }
    }
    let patient = Account {
        request_timeout: Duration::from_secs(20),
        ..account
    };
    // What was on its way has arrived by then.
    assert_eq!(ask(&client(patient), "last").await.kind.name(), "started");
    let arrived: Vec<String> = stub.runs().into_iter().map(|seen| seen.body).collect();
    for marker in &unsent {
        let words = format!("abcdefgh {marker}]");
        assert!(
            !arrived.iter().any(|body| body.contains(&words)),
            "{marker} arrived"
        );
    }
    assert!(
        !unsent.is_empty(),
        "no limit struck before the request left"
    );
    assert!(in_time < 400);
    eprintln!(
        "{} unsent, {in_time} in time, {} arrived",
        unsent.len(),
        arrived.len()
    );
}
