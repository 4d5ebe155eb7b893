//! The sandbox as its clients see it: what arrives on the wire, and whether a run exists afterwards.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::time::Duration;

use pipecron::sandbox::{Fault, FaultRule, Sandbox, Settings};
use serde_json::{Value, json};
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

    fn is_silent(&self) -> bool {
        self.text.is_empty()
    }
}

/// Sends bytes on a new connection and reads until it ends.
async fn send(sandbox: &Sandbox, bytes: &[u8]) -> Wire {
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
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
    sandbox.stop().await;
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
async fn nobody_listens_for_a_while() {
    let sandbox = open().await;
    sandbox.push_fault(Fault::Refuse(Duration::from_secs(3600)));
    // The listener closes as soon as its task runs.
    let refused = async {
        while TcpStream::connect(sandbox.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    refused.await;
    sandbox.set_faults(Vec::new());
    while TcpStream::connect(sandbox.address()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(run(&sandbox).await.status(), 200);
}
