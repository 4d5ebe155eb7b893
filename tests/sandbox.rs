//! The sandbox as its clients see it: what arrives on the wire, and whether a run exists afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use pipecron::domain::Timestamp;
use pipecron::os::Clock;
use pipecron::sandbox::{
    Fault, FaultRule, RunStatus, SANDBOX_AK, SANDBOX_SK, Sandbox, Settings, StartError,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PROJECT: &str = "54f90b75fc1447b1b65e8d3a9f77923d";
const PIPELINE: &str = "e5460d1d403146a1935c2d4b68ef506c";

/// What came back on a connection of its own.
#[derive(Debug)]
struct Wire {
    text: String,
    reset: bool,
}

impl Wire {
    fn status(&self) -> u16 {
        let status = self
            .text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("no status in {self:?}"))
    }

    fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.body()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Refused with this status; a client that was still writing may see its connection reset instead.
    fn is_refused(&self, status: u16) -> bool {
        self.reset || self.status() == status
    }

    fn is_silent(&self) -> bool {
        self.text.is_empty()
    }
}

/// Sends bytes on a new connection and reads until it ends.
async fn send(sandbox: &Sandbox, bytes: &[u8]) -> Wire {
    // A reset can come before the connection is even reported as made.
    let mut stream = match TcpStream::connect(sandbox.address()).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
            return Wire {
                text: String::new(),
                reset: true,
            };
        }
        connected => connected.unwrap(),
    };
    let mut answer = Vec::new();
    let sent = stream.write_all(bytes).await;
    let read = stream.read_to_end(&mut answer).await;
    Wire {
        text: String::from_utf8_lossy(&answer).into_owned(),
        reset: sent.is_err() || read.is_err(),
    }
}

/// A request as text, on a connection that is not used again.
fn request(method: &str, target: &str, body: Option<&Value>) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    let length = body.len();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{kind}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn run_target() -> String {
    format!("/v5/{PROJECT}/api/pipelines/{PIPELINE}/run")
}

async fn run(sandbox: &Sandbox) -> Wire {
    send(
        sandbox,
        &request(
            "POST",
            &run_target(),
            Some(&json!({"description": "by a test"})),
        ),
    )
    .await
}

/// A sandbox that lets everybody in.
async fn open() -> Sandbox {
    let settings = Settings {
        check_auth: false,
        seed: Some(1),
        ..Settings::default()
    };
    Sandbox::start(settings).await.unwrap()
}

fn fault(text: &str) -> FaultRule {
    text.parse().unwrap()
}

async fn run_ids(sandbox: &Sandbox) -> Vec<String> {
    sandbox.runs().into_iter().map(|run| run.id).collect()
}

/// What a list says, or nothing if there was no usable answer.
async fn list(sandbox: &Sandbox) -> Vec<String> {
    let target = format!("/v5/{PROJECT}/api/pipelines/{PIPELINE}/pipeline-runs/list");
    let wire = send(sandbox, &request("POST", &target, Some(&json!({})))).await;
    let rows = wire.json()["pipeline_runs"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    rows.iter()
        .map(|row| row["pipeline_run_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits for something that another task brings about.
async fn until(mut done: impl AsyncFnMut() -> bool) {
    while !done().await {
        tokio::task::yield_now().await;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A signed start, as the documentation says it is made; by hand, and only for this one request.
fn signed(sandbox: &Sandbox, at: Timestamp, sk: &str) -> Vec<u8> {
    let (target, body, host) = (
        run_target(),
        r#"{"description":"signed"}"#,
        sandbox.address(),
    );
    let date = at.format("%Y%m%dT%H%M%SZ");
    let names = "content-type;host;x-sdk-date";
    let canonical = format!(
        "POST\n{target}/\n\ncontent-type:application/json\nhost:{host}\nx-sdk-date:{date}\n\n{names}\n{}",
        hex(&Sha256::digest(body))
    );
    let text = format!(
        "SDK-HMAC-SHA256\n{date}\n{}",
        hex(&Sha256::digest(canonical))
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(sk.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nX-Sdk-Date: {date}\r\n\
         Authorization: SDK-HMAC-SHA256 Access={SANDBOX_AK}, SignedHeaders={names}, Signature={signature}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn a_run_is_started_over_the_wire() {
    let sandbox = open().await;
    let wire = run(&sandbox).await;
    assert_eq!(wire.status(), 200);
    let runs = sandbox.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!(wire.json(), json!({"pipeline_run_id": runs[0].id}));
    assert_eq!(runs[0].description.as_deref(), Some("by a test"));
    assert!(wire.header("date").unwrap().ends_with("GMT"));
    assert_eq!(wire.header("x-request-id").unwrap().len(), 32);
    assert_eq!(sandbox.requests().by_call["run"], 1);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_signature_opens_and_a_wrong_one_says_why() {
    let at: Timestamp = "2024-03-05T06:07:08Z".parse().unwrap();
    let sandbox = Sandbox::start_at(Settings::default(), Clock::starting_at(at))
        .await
        .unwrap();
    assert_eq!(
        send(&sandbox, &signed(&sandbox, at, SANDBOX_SK))
            .await
            .status(),
        200
    );
    let late = send(
        &sandbox,
        &signed(&sandbox, at - TimeDelta::hours(1), SANDBOX_SK),
    )
    .await;
    assert_eq!(
        (late.status(), &late.json()["error_code"]),
        (401, &json!("APIGW.0301"))
    );
    assert!(late.body().contains("signature expired"));
    for _ in 0..5 {
        let wrong = send(&sandbox, &signed(&sandbox, at, "another key")).await;
        assert_eq!(wrong.status(), 401);
        assert!(
            wrong.body().contains("POST|/v5/"),
            "the canonical request is shown: {wrong:?}"
        );
        assert!(!wrong.body().contains("another key"));
    }
    let locked = send(&sandbox, &signed(&sandbox, at, SANDBOX_SK)).await;
    assert!(
        locked.status() == 401 && locked.body().contains("locked"),
        "{locked:?}"
    );
    assert_eq!(
        run(&sandbox).await.status(),
        401,
        "and without any nobody comes in"
    );
    assert_eq!(sandbox.runs().len(), 1);
}

#[tokio::test]
async fn an_answer_is_lost_after_the_run_was_started() {
    let sandbox = open().await;
    for (how, reset) in [("reset", true), ("close", false)] {
        let before = sandbox.runs().len();
        sandbox.push_fault(fault(&format!("lost={how},next=1")));
        let wire = run(&sandbox).await;
        assert!(wire.is_silent(), "{how}: {wire:?}");
        assert_eq!(wire.reset, reset, "{how}");
        assert_eq!(sandbox.runs().len(), before + 1, "{how}");
    }
    assert_eq!(run(&sandbox).await.status(), 200);
}

#[tokio::test]
async fn a_request_is_dropped_before_anything_is_done() {
    let sandbox = open().await;
    for (how, reset) in [
        ("dropped=reset", true),
        ("dropped=close", false),
        ("reset-connection", true),
    ] {
        sandbox.push_fault(fault(&format!("{how},next=1")));
        let wire = run(&sandbox).await;
        assert!(wire.is_silent(), "{how}: {wire:?}");
        assert_eq!(wire.reset, reset, "{how}");
    }
    assert!(sandbox.runs().is_empty());
}

#[tokio::test]
async fn half_of_an_answer_comes() {
    let sandbox = open().await;
    sandbox.push_fault(fault("lost=cut,next=1"));
    let wire = run(&sandbox).await;
    let length: usize = wire.header("content-length").unwrap().parse().unwrap();
    assert_eq!(wire.status(), 200);
    assert_eq!(wire.body().len(), length / 2, "{wire:?}");
    assert_eq!(sandbox.runs().len(), 1);
}

#[tokio::test]
async fn an_answer_comes_late_or_in_drops_and_is_whole() {
    let sandbox = open().await;
    for text in ["slow=5ms", "drip=1/1ms", "late=5ms"] {
        sandbox.push_fault(fault(&format!("{text},next=1")));
        let wire = run(&sandbox).await;
        let started = run_ids(&sandbox).await;
        assert_eq!(
            wire.json()["pipeline_run_id"],
            json!(started.last()),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_run_appears_after_the_client_gave_up() {
    let sandbox = open().await;
    sandbox.push_fault(fault("late=20ms,next=1"));
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    stream
        .write_all(&request("POST", &run_target(), Some(&json!({}))))
        .await
        .unwrap();
    // It was read: the rule is used up.
    until(async || sandbox.with(|service, _| service.faults().is_empty())).await;
    drop(stream);
    until(async || list(&sandbox).await.len() == 1).await;
}

#[tokio::test]
async fn a_stalled_answer_never_comes_and_its_connection_ends_with_the_client() {
    let settings = Settings {
        check_auth: false,
        connections_max: 1,
        ..Settings::default()
    };
    let sandbox = Sandbox::start(settings).await.unwrap();
    sandbox.push_fault(fault("lost=stall,next=1"));
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    stream
        .write_all(&request("POST", &run_target(), Some(&json!({}))))
        .await
        .unwrap();
    until(async || !sandbox.runs().is_empty()).await;
    assert!(
        run(&sandbox).await.is_silent(),
        "there is one connection, and it is taken"
    );
    let nothing = stream.try_read(&mut [0; 1]);
    assert_eq!(nothing.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(stream);
    until(async || !run(&sandbox).await.is_silent()).await;
}

#[tokio::test]
async fn nobody_listens_for_a_while() {
    let sandbox = open().await;
    let mut idle = TcpStream::connect(sandbox.address()).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    until(async || sandbox.requests().count == 1).await;
    sandbox.push_fault(Fault::Refuse(Duration::from_secs(3600)));
    until(async || TcpStream::connect(sandbox.address()).await.is_err()).await;
    let mut answer = Vec::new();
    idle.read_to_end(&mut answer).await.unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 404"),
        "an idle connection is closed, too"
    );
    sandbox.set_faults(Vec::new());
    until(async || TcpStream::connect(sandbox.address()).await.is_ok()).await;
    assert_eq!(run(&sandbox).await.status(), 200);
}

#[tokio::test]
async fn nobody_listens_after_a_request_said_so_and_then_somebody_does() {
    let sandbox = open().await;
    let wire = send(
        &sandbox,
        &request("POST", "/sandbox/faults", Some(&json!("refuse=50ms"))),
    )
    .await;
    assert_eq!(wire.status(), 200, "the answer still comes");
    until(async || TcpStream::connect(sandbox.address()).await.is_ok()).await;
    until(async || !run(&sandbox).await.is_silent()).await;
}

#[tokio::test]
async fn an_answer_of_any_size_streams() {
    let sandbox = open().await;
    sandbox.push_fault(fault("huge=3000000,next=1"));
    let wire = run(&sandbox).await;
    assert!(wire.body().len() > 3_000_000);
    assert_eq!(
        wire.json()["pipeline_run_id"],
        json!(run_ids(&sandbox).await[0]),
        "and it is JSON"
    );
    sandbox.push_fault(fault("huge=999999999999,next=1"));
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    stream
        .write_all(&request("POST", &run_target(), Some(&json!({}))))
        .await
        .unwrap();
    let mut some = vec![0; 1_000_000];
    stream.read_exact(&mut some).await.unwrap();
    drop(stream);
    assert_eq!(run(&sandbox).await.status(), 200);
}

#[tokio::test]
async fn what_the_gateway_says_arrives() {
    let sandbox = open().await;
    for (text, status, header) in [
        ("throttle,retry-after=7", 429, Some(("retry-after", "7"))),
        ("throttle,retry-after=date:7", 429, None),
        ("status=502", 502, Some(("content-type", "text/html"))),
        ("redirect", 307, Some(("location", "/moved"))),
        ("empty", 200, Some(("content-length", "0"))),
        ("status=408", 408, None),
    ] {
        sandbox.push_fault(fault(&format!("{text},next=1")));
        let wire = run(&sandbox).await;
        assert_eq!(wire.status(), status, "{text}");
        if let Some((name, value)) = header {
            assert_eq!(wire.header(name), Some(value), "{text}");
        }
    }
    sandbox.push_fault(fault("skew=-1d,next=1"));
    let date = run(&sandbox).await.header("date").unwrap().to_owned();
    let date = DateTime::parse_from_rfc2822(&date)
        .unwrap()
        .with_timezone(&Utc);
    let now = sandbox.with(|_, now| now);
    assert!(now - date > TimeDelta::hours(23), "{date}");
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let sandbox = open().await;
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    let one = String::from_utf8(request("POST", &run_target(), Some(&json!({})))).unwrap();
    let kept = one.replace("Connection: close\r\n", "");
    // All are on their way before the first answer: the last one closes.
    stream
        .write_all(format!("{kept}{kept}{one}").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3);
    assert_eq!(sandbox.runs().len(), 3);
}

#[tokio::test]
async fn the_pages_are_there() {
    let sandbox = open().await;
    run(&sandbox).await;
    let wire = send(&sandbox, &request("GET", "/sandbox/runs", None)).await;
    assert_eq!(wire.json()[0]["description"], "by a test");
    assert_eq!(wire.header("x-total-count"), Some("1"));
    let id = wire.json()[0]["id"].as_str().unwrap().to_owned();
    assert!(sandbox.set_status(&id, RunStatus::Failed));
    let wire = send(&sandbox, &request("GET", "/sandbox/runs", None)).await;
    assert_eq!(wire.json()[0]["status"], "FAILED");
    let wire = send(&sandbox, &request("GET", "/sandbox/requests", None)).await;
    assert_eq!(wire.json()["count"], 1, "the pages themselves do not count");
    let guide = sandbox.guide().to_string();
    assert!(guide.contains(&sandbox.base_url()) && guide.contains(SANDBOX_AK));
}

#[tokio::test]
async fn faults_can_be_set_as_a_person_types_them() {
    let sandbox = open().await;
    // As `curl -d` sends it.
    let plain = |method: &str, body: &str| {
        format!(
            "{method} /sandbox/faults HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let wire = send(&sandbox, plain("POST", "lost=reset,next=1").as_bytes()).await;
    assert_eq!(
        (wire.status(), &wire.json()[0]["text"]),
        (200, &json!("lost=reset,next=1"))
    );
    assert!(run(&sandbox).await.is_silent());
    assert_eq!(sandbox.runs().len(), 1);
    let two = "status=503,message=a%2Cb\r\n\n  late=2m\n";
    let wire = send(&sandbox, plain("PUT", two).as_bytes()).await;
    let texts: Vec<Value> = (0..3).map(|row| wire.json()[row]["text"].clone()).collect();
    assert_eq!(
        texts,
        [
            json!("status=503,message=a%2Cb"),
            json!("late=120s"),
            json!(null)
        ]
    );
    for (body, words) in [
        (
            "lose=reset",
            &["did you mean lost?", "reset-connection"][..],
        ),
        (
            "late=2m\nlots=reset",
            &["the rule \"lots=reset\"", "did you mean lost?"],
        ),
        ("lost=reset,nxt=1", &["did you mean next?"]),
        ("", &["there is no rule", "lost=reset"]),
        ("{\"fault\": \"lots\"}", &["did you mean lost?"]),
        ("{\"fault\": ", &["JSON"]),
    ] {
        let wire = send(&sandbox, plain("POST", body).as_bytes()).await;
        let error = wire.json()["error"].as_str().unwrap().to_owned();
        assert_eq!(wire.status(), 400, "{body}");
        for word in words {
            assert!(error.contains(word), "{body}: {error}");
        }
    }
    let wire = send(&sandbox, &request("GET", "/sandbox/faults", None)).await;
    assert_eq!(
        wire.json().as_array().unwrap().len(),
        2,
        "a bad list changes nothing"
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let sandbox = open().await;
    let target = run_target();
    let head = |headers: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
    };
    let wire = send(&sandbox, head("Content-Length: 12582913\r\n").as_bytes()).await;
    assert_eq!(
        (wire.status(), &wire.json()["error_code"]),
        (413, &json!("APIGW.0201"))
    );
    let large = head(&format!("X-Large: {}\r\n", "x".repeat(100_000)));
    assert!(send(&sandbox, large.as_bytes()).await.is_refused(431));
    let many = head(&"X-Many: x\r\n".repeat(200));
    assert_eq!(send(&sandbox, many.as_bytes()).await.status(), 431);
    assert_eq!(send(&sandbox, b"nonsense\r\n\r\n").await.status(), 400);
    let token = head(&format!("X-Auth-Token: {}\r\n", "x".repeat(6_000)));
    assert_eq!(
        send(&sandbox, token.as_bytes()).await.status(),
        400,
        "a long token is none of that"
    );
    assert!(sandbox.runs().is_empty());
}

#[tokio::test]
async fn bodies_without_end_are_refused_as_soon_as_they_are_too_long() {
    let sandbox = open().await;
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        run_target()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(65_536));
    let mut chunks = 0;
    while stream.write_all(chunk.as_bytes()).await.is_ok() {
        chunks += 1;
        assert!(chunks < 2_000, "128 MiB were taken");
    }
    assert_eq!(run(&sandbox).await.status(), 200);
}

/// Clients that let large answers wait do not fill the memory.
#[tokio::test]
async fn answers_that_wait_have_a_limit_together() {
    let settings = Settings {
        check_auth: false,
        exchange_bytes_max: 500_000,
        ..Settings::default()
    };
    let sandbox = Sandbox::start(settings).await.unwrap();
    let body = json!({"variables": [{"name": "LARGE", "value": "x".repeat(8192)}]});
    for _ in 0..5 {
        send(&sandbox, &request("POST", &run_target(), Some(&body))).await;
    }
    let large = request(
        "POST",
        &run_target(),
        Some(&json!({"execution_plan_id": "x".repeat(600_000)})),
    );
    assert!(send(&sandbox, &large).await.is_refused(503));
    let target = format!(
        "/v5/{PROJECT}/api/pipelines/{PIPELINE}/pipeline-runs/{}/run-variables?mode=0",
        run_ids(&sandbox).await[0]
    );
    sandbox.push_fault(fault("slow=1d,on=variables,next=100"));
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
        stream
            .write_all(&request("GET", &target, None))
            .await
            .unwrap();
        waiting.push(stream);
    }
    until(async || sandbox.requests().by_call.get("variables") == Some(&100)).await;
    assert!(
        send(&sandbox, &request("GET", &target, None))
            .await
            .is_silent()
    );
    drop(waiting);
    until(async || {
        !send(&sandbox, &request("GET", &target, None))
            .await
            .is_silent()
    })
    .await;
}

/// Time is tokio's here, and passes when nothing else can happen: a client that keeps silent meets every limit at once.
#[tokio::test(start_paused = true)]
async fn clients_that_take_their_time_are_left() {
    let sandbox = open().await;
    for start in [
        "",
        "POST / HT",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{",
    ] {
        let wire = send(&sandbox, start.as_bytes()).await;
        assert!(wire.is_silent(), "{start:?}: {wire:?}");
    }
    assert_eq!(run(&sandbox).await.status(), 200);
}

/// A client that asks for much and takes none of it.
#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answer_is_left() {
    let settings = Settings {
        check_auth: false,
        connections_max: 1,
        ..Settings::default()
    };
    let sandbox = Sandbox::start(settings).await.unwrap();
    sandbox.push_fault(fault("huge=999999999999,next=1"));
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    stream
        .write_all(&request("POST", &run_target(), Some(&json!({}))))
        .await
        .unwrap();
    // Tokio's time again: this hour passes as soon as nobody can do anything more.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(run(&sandbox).await.status(), 200, "its place is free");
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_stall_ends_after_longer_than_anybody_waits() {
    let sandbox = open().await;
    sandbox.push_fault(fault("dropped=stall,next=1"));
    assert!(run(&sandbox).await.is_silent());
}

#[tokio::test]
async fn it_listens_on_this_machine_only() {
    let at = |listen: &str| Settings {
        listen: listen.parse().unwrap(),
        ..Settings::default()
    };
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = Sandbox::start(at(listen)).await.unwrap_err();
        assert!(
            matches!(error, StartError::NotLoopback(_)),
            "{listen}: {error}"
        );
    }
    let sandbox = open().await;
    let taken = Sandbox::start(at(&sandbox.address().to_string()))
        .await
        .unwrap_err();
    assert!(matches!(taken, StartError::Listen { .. }), "{taken}");
    assert!(taken.to_string().contains("or 0 for any"), "{taken}");
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_or_dropped() {
    let sandbox = open().await;
    let (address, mut stream) = (
        sandbox.address(),
        TcpStream::connect(sandbox.address()).await.unwrap(),
    );
    sandbox.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    // Closed or reset: in any case nothing comes.
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let sandbox = open().await;
    let address = sandbox.address();
    drop(sandbox);
    until(async || TcpStream::connect(address).await.is_err()).await;
}

/// Many clients at once, and everything goes wrong: the runs are those that were started, no more and no less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_fire_there_is_a_run_for_each_start_and_no_other() {
    let rules = [
        "lost=reset,chance=0.2",
        "lost=close,chance=0.2",
        "dropped=reset,chance=0.2",
        "lost=cut,chance=0.2",
    ];
    let settings = Settings {
        check_auth: false,
        seed: Some(11),
        faults: rules.map(fault).to_vec(),
        ..Settings::default()
    };
    let sandbox = std::sync::Arc::new(Sandbox::start(settings).await.unwrap());
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let sandbox = std::sync::Arc::clone(&sandbox);
        clients.spawn(async move {
            let target = format!("/v5/{PROJECT}/api/pipelines/{client:032}/run");
            let mut answered = Vec::new();
            for _ in 0..25 {
                let wire = send(&sandbox, &request("POST", &target, Some(&json!({})))).await;
                let value = serde_json::from_str::<Value>(wire.body()).unwrap_or_default();
                answered.extend(value["pipeline_run_id"].as_str().map(str::to_owned));
            }
            answered
        });
    }
    let answered: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
    let (runs, requests) = (run_ids(&sandbox).await, sandbox.requests());
    assert_eq!(requests.count, 200);
    assert_eq!(runs.len(), usize::try_from(requests.started).unwrap());
    assert!(
        answered.iter().all(|id| runs.contains(id)),
        "who was told of a run has one"
    );
    assert!(
        !answered.is_empty() && answered.len() < runs.len(),
        "some answers were lost"
    );
}
