//! What the server lets through, and whom.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use pipecron::daemon::{Event, Standing};
use pipecron::domain::{Change, Plan, Reason, Tick, TickId, TickState};
use pipecron::ledger::{Fault, Ledger, MemoryLedger};
use pipecron::os::Clock;
use pipecron::page::server::{Listen, Parts, Server, TOKEN_CHARS_MIN, check_token};
use pipecron::telemetry::metrics::Metrics;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::world::*;

/// A server beside a loop that does nothing but say how things stand.
pub(crate) struct Served {
    _server: Server,
    pub(crate) at: SocketAddr,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) looks: Arc<AtomicUsize>,
    /// Whether the loop answers.
    pub(crate) answers: Arc<AtomicBool>,
    ledger_fails: Arc<AtomicBool>,
    pub(crate) metrics: Metrics,
}

pub(crate) async fn served(yaml: &str, token: Option<&str>) -> Served {
    let (tell, mut events) = mpsc::channel(16);
    let config = config(yaml);
    let looks = Arc::new(AtomicUsize::new(0));
    let answers = Arc::new(AtomicBool::new(true));
    let ledger_fails = Arc::new(AtomicBool::new(false));
    let ledger = Arc::new(MemoryLedger::new(Clock::system()));
    let metrics = Metrics::default();
    metrics.use_config(&config);
    let parts = Parts {
        ledger: ledger.clone(),
        tell,
        clock: Clock::system(),
        node: "builder".to_owned(),
        token: token.map(|token| SecretString::from(token.to_owned())),
        metrics: metrics.clone(),
        loss: None,
    };
    let (bound, at) = oneshot::channel();
    let server = Server::start("127.0.0.1:0".parse().unwrap(), parts, bound);
    let (counted, is_up, fails) = (looks.clone(), answers.clone(), ledger_fails.clone());
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let Event::Look { reply } = event else {
                panic!("the pages only look");
            };
            counted.fetch_add(1, Ordering::SeqCst);
            if is_up.load(Ordering::SeqCst) {
                let _ = reply.send(Standing {
                    started_at: None,
                    config: config.clone(),
                    health: Default::default(),
                    ledger_fails: fails.load(Ordering::SeqCst),
                    reload: None,
                });
            }
        }
    });
    Served {
        _server: server,
        at: at.await.unwrap(),
        ledger,
        looks,
        answers,
        ledger_fails,
        metrics,
    }
}

/// Sends bytes and gives what comes back until the other side closes.
async fn raw(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // It may have heard enough before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(at: SocketAddr, path: &str, headers: &str) -> String {
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n{headers}\r\n");
    raw(at, request.as_bytes()).await
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
}

/// Writes a tick into the ledger that was due an hour ago and ended so.
async fn written(served: &Served, entry: &str, reason: Reason, note: &str) -> Tick {
    let now = Clock::system().now();
    let due = now - TimeDelta::hours(1);
    let tick = Tick {
        id: TickId::scheduled(&name(entry), due),
        due,
        opened_at: due,
        state: TickState::Ended { reason, at: now },
        note: note.to_owned(),
        ..crate::text::story_tick(&ended(entry, TimeDelta::zero(), reason))
    };
    let change = Change {
        tick: tick.clone(),
        attempt: None,
    };
    let decide = move |_, _: &_, _: &_| Plan {
        changes: vec![change.clone()],
        ..Plan::default()
    };
    let stored = served.ledger.decide(vec![name(entry)], decide).await;
    stored.unwrap();
    tick
}

/// Writes ticks of some entries into the ledger, one of which failed.
pub(crate) async fn fill(served: &Served) {
    for (number, reason) in [
        Reason::Succeeded,
        Reason::Failed,
        Reason::Refused,
        Reason::Excluded,
    ]
    .into_iter()
    .enumerate()
    {
        written(
            served,
            &format!("nightly-{number}"),
            reason,
            "as it was decided",
        )
        .await;
    }
}

/// And another one.
pub(crate) async fn fill_one_more(served: &Served) {
    written(served, "nightly-9", Reason::Succeeded, "ran").await;
}

#[tokio::test]
async fn the_pages_are_handed_out_with_a_strict_policy() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/?q=web", "text/html; charset=utf-8"),
        ("/entry/web", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/icon-fine.svg", "image/svg+xml"),
        ("/icon-open.svg", "image/svg+xml"),
        ("/icon-bad.svg", "image/svg+xml"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
    ] {
        let answer = get(served.at, path, "").await;
        assert_status(&answer, 200);
        assert!(
            answer.contains(&format!("content-type: {kind}\r\n")),
            "{path}: {answer}"
        );
        assert!(
            answer.contains(
                "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';"
            ),
            "{answer}"
        );
        assert!(
            answer.contains("x-content-type-options: nosniff\r\n"),
            "{answer}"
        );
    }
    for (path, words) in [
        ("/entry/wbe", "Did you mean"),
        ("/entry/%00%ff", "There is no page"),
        ("/entry/no such", "400 Bad Request"),
        ("/tick/web@2026-11-24T18:00:00Z", "There is no tick"),
        ("/nothing", "There is no page"),
        ("/../../etc/passwd", "There is no page"),
    ] {
        let answer = get(served.at, path, "").await;
        let is_404 = answer.starts_with("HTTP/1.1 404 ") || answer.starts_with("HTTP/1.1 400 ");
        assert!(is_404 && answer.contains(words), "{path}: {answer}");
    }
}

#[tokio::test]
async fn nothing_but_reading_is_possible() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nhost: {}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi",
            served.at
        );
        let answer = raw(served.at, request.as_bytes()).await;
        assert_status(&answer, 405);
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{answer}");
    }
    let head = format!(
        "HEAD / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
        served.at
    );
    let answer = raw(served.at, head.as_bytes()).await;
    assert_status(&answer, 200);
    assert!(answer.ends_with("\r\n\r\n"), "a head and no body: {answer}");
}

#[tokio::test]
async fn a_page_from_elsewhere_cannot_have_a_browser_read_ours() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    let port = served.at.port();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("LOCALHOST".to_owned(), 200),
        (format!("[::1]:{port}"), 200),
        ("127.8.0.1".to_owned(), 200),
        (format!("evil.example.com:{port}"), 421),
        ("localhost.example.com".to_owned(), 421),
        ("localhost:80:evil".to_owned(), 421),
        ("10.0.0.1".to_owned(), 421),
        (String::new(), 421),
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_status(&raw(served.at, request.as_bytes()).await, status);
    }
    // Whoever watches may call it what they like, and learns nothing.
    let request = b"GET /healthz HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n";
    assert!(raw(served.at, request).await.ends_with("\r\n\r\nok\n"));
}

#[tokio::test]
async fn who_does_not_know_the_token_gets_nothing() {
    let token = "correct horse battery staple";
    let served = served(&yaml("", &[("web", NIGHTLY)]), Some(token)).await;
    let basic = |pair: &str| {
        use base64::Engine;
        format!(
            "authorization: Basic {}\r\n",
            base64::prelude::BASE64_STANDARD.encode(pair)
        )
    };
    for (header, status) in [
        (String::new(), 401),
        (format!("authorization: Bearer {token}\r\n"), 200),
        (format!("authorization: bearer {token}\r\n"), 200),
        (basic(&format!("anybody:{token}")), 200),
        (basic(&format!(":{token}")), 200),
        (basic(token), 401),
        (basic(&format!("{token}:")), 401),
        (format!("authorization: Bearer {token}x\r\n"), 401),
        (format!("authorization: Bearer {}\r\n", &token[1..]), 401),
        ("authorization: Bearer \r\n".to_owned(), 401),
        ("authorization: Basic !!!\r\n".to_owned(), 401),
        (format!("authorization: Digest {token}\r\n"), 401),
    ] {
        for path in ["/", "/style.css", "/entry/web"] {
            let answer = get(served.at, path, &header).await;
            assert_status(&answer, status);
            assert_eq!(
                answer.contains("www-authenticate: Basic"),
                status == 401,
                "{header}"
            );
            assert!(status == 200 || !answer.contains("web"), "{answer}");
        }
    }
    // With a token the name by which it is asked for does not matter: it may stand behind another server.
    let request = format!(
        "GET / HTTP/1.1\r\nhost: status.example.com\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    assert_status(&raw(served.at, request.as_bytes()).await, 200);
    let short = SecretString::from("x".repeat(TOKEN_CHARS_MIN - 1));
    assert!(check_token(&short).unwrap_err().contains("at least 20"));
    assert!(check_token(&SecretString::from("x".repeat(TOKEN_CHARS_MIN))).is_ok());
}

#[test]
fn an_address_is_read_and_judged() {
    for (text, is_local) in [
        ("off", true),
        ("127.0.0.1:8717", true),
        ("localhost:1", true),
        ("[::1]:8717", true),
        ("0.0.0.0:8717", false),
        ("[::]:8717", false),
        ("192.0.2.7:80", false),
    ] {
        assert_eq!(Listen::parse(text).unwrap().is_local(), is_local, "{text}");
    }
    for text in [
        "",
        "on",
        "8717",
        ":8717",
        "127.0.0.1",
        "localhost",
        "example.com:80",
        "127.0.0.1:99999",
    ] {
        assert!(
            Listen::parse(text).unwrap_err().contains("127.0.0.1:8717"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn health_is_the_loops_and_readiness_the_ledgers_as_well() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    served.ledger_fails.store(true, Ordering::SeqCst);
    assert_status(&get(served.at, "/healthz", "").await, 200);
    let answer = get(served.at, "/readyz", "").await;
    assert_status(&answer, 503);
    assert!(answer.contains("the ledger fails"), "{answer}");
    // A loop that drops the question is ending.
    served.answers.store(false, Ordering::SeqCst);
    for path in ["/healthz", "/readyz", "/"] {
        let answer = get(served.at, path, "").await;
        assert_status(&answer, 503);
        assert!(answer.contains("look again in a few seconds"), "{answer}");
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_is_said_on_the_page() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    served.ledger.fail_reads(1, Fault::Io);
    let answer = get(served.at, "/", "").await;
    assert_status(&answer, 503);
    assert!(answer.contains("could not be read"), "{answer}");
    assert_status(&get(served.at, "/", "").await, 200);
}

#[tokio::test]
async fn many_who_look_at_once_cost_one_look() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    let looks = (0..20).map(|_| get(served.at, "/", ""));
    for answer in futures_util::future::join_all(looks).await {
        assert_status(&answer, 200);
    }
    let count = served.looks.load(Ordering::SeqCst);
    // One, or a second one where the machine takes longer than a second for all of them.
    assert!(count < 10, "{count} looks for 20 readers");
}

#[tokio::test]
async fn hostile_clients_get_a_clear_end_and_keep_nobody_out_for_long() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    let at = served.at;
    let long = format!(
        "GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "x".repeat(100_000)
    );
    let answer = raw(at, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let many = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n",
        "a: b\r\n".repeat(1000)
    );
    assert!(raw(at, many.as_bytes()).await.starts_with("HTTP/1.1 4"));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"nonsense\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    // Those that say nothing take the places; who comes then is told to come again.
    let mut silent = Vec::new();
    for _ in 0..24 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    let mut busy = false;
    for _ in 0..100 {
        let answer = get(at, "/healthz", "").await;
        if answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after") {
            busy = true;
            break;
        }
    }
    assert!(busy, "a limit on connections");
    drop(silent);
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while !get(at, "/healthz", "").await.starts_with("HTTP/1.1 200 ") {
        assert!(
            tokio::time::Instant::now() < until,
            "their places are free again"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_pages_show_what_is_in_the_ledger() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    let refused = written(&served, "web", Reason::Refused, "refused: it is Tuesday").await;
    let id = refused.id;
    let answer = get(served.at, "/", "").await;
    assert!(
        answer.contains("0 of 1 nightly of the last 24 hours succeeded, 1 not started"),
        "{answer}"
    );
    assert!(answer.contains("refused: it is Tuesday"), "{answer}");
    let path = format!("/tick/{}", id.as_str().replace('@', "%40"));
    let answer = get(served.at, &path, "").await;
    assert_status(&answer, 200);
    assert!(answer.contains("refused: it is Tuesday"), "{answer}");
    let answer = get(served.at, "/entry/web", "").await;
    assert!(answer.contains("not started: refused"), "{answer}");
}

#[tokio::test]
async fn the_metrics_are_handed_out_under_the_same_rules() {
    let token = "a-token-of-more-than-20-characters";
    let with_token = served(&yaml("", &[("web", NIGHTLY)]), Some(token)).await;
    assert_status(&get(with_token.at, "/metrics", "").await, 401);
    let bearer = format!("authorization: Bearer {token}\r\n");
    assert_status(&get(with_token.at, "/metrics", &bearer).await, 200);

    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    let foreign = "GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_status(&raw(served.at, foreign.as_bytes()).await, 421);
    let answer = get(served.at, "/metrics", "").await;
    assert_status(&answer, 200);
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(answer.contains(kind), "{answer}");
    assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    for series in [
        "\npipecron_entries{state=\"active\"} 1\n",
        "\npipecron_entry_next_due_timestamp_seconds{entry=\"web\"} ",
        "\nprocess_resident_memory_bytes ",
        "\nprocess_start_time_seconds ",
        "\npipecron_ticks_ended_total{reason=\"gave_up\"} 0\n",
    ] {
        assert!(answer.contains(series), "{series} is not in {answer}");
    }
    let open = "accept: application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5\r\n";
    let answer = get(served.at, "/metrics", open).await;
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(answer.contains(kind), "{answer}");
    assert!(answer.contains("\n# EOF\n"), "{answer}");
}

#[tokio::test]
async fn a_scrape_asks_nothing_of_the_loop_and_little_of_the_ledger() {
    let served = served(&yaml("", &[("web", NIGHTLY)]), None).await;
    served.answers.store(false, Ordering::SeqCst);
    served.metrics.woke(Clock::system().now());
    let progress = "\npipecron_loop_last_progress_timestamp_seconds ";
    // A loop that hangs is what the page has to tell of; a ledger that fails costs the pauses alone.
    served.ledger.fail_reads(u32::MAX, Fault::Io);
    let first = get(served.at, "/metrics", "").await;
    assert!(first.contains(progress), "{first}");
    // Whoever asks in an endless loop gets what was written a moment ago.
    let cpu = |page: &str| {
        let line = page.lines().find(|line| line.starts_with("process_cpu"));
        line.map(str::to_owned)
    };
    let mut same = 0;
    for _ in 0..50 {
        same += usize::from(cpu(&get(served.at, "/metrics", "").await) == cpu(&first));
    }
    assert!(same > 10, "{same}");
    assert_eq!(served.looks.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_paused_is_counted_as_paused() {
    let served = served(&yaml("", &[("web", NIGHTLY), ("app", NIGHTLY)]), None).await;
    let now = Clock::system().now();
    let pause = pipecron::domain::Pause {
        scope: pipecron::domain::Scope::Entry(name("web")),
        since: now,
        until: None,
        by: "alice".to_owned(),
        reason: String::new(),
        lifted: None,
    };
    served.ledger.put_pause(pause).await.unwrap();
    let answer = get(served.at, "/metrics", "").await;
    assert!(
        answer.contains("\npipecron_entries{state=\"paused\"} 1\n"),
        "{answer}"
    );
    assert!(
        answer.contains("\npipecron_entries{state=\"active\"} 1\n"),
        "{answer}"
    );
    let due = "\npipecron_entry_next_due_timestamp_seconds{entry=";
    assert!(answer.contains(&format!("{due}\"app\"}}")), "{answer}");
    assert!(!answer.contains(&format!("{due}\"web\"}}")), "{answer}");
}
