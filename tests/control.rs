//! The control socket with friends and enemies: a real socket in a directory of its own, and a loop that answers as told.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use pipecron::config;
use pipecron::control::client::{Ask, NoAnswer, ask};
use pipecron::control::server::{Control, ControlError, Parts};
use pipecron::daemon::asked::{Asked, Refusal, Wish};
use pipecron::daemon::{Event, Standing};
use pipecron::domain::{Act, Scope};
use pipecron::ledger::{Ledger, MemoryLedger};
use pipecron::os::Clock;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Longest wait for something that should come at once, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

struct Place {
    directory: tempfile::TempDir,
    ledger: Arc<MemoryLedger>,
    control: Option<Control>,
    asked: mpsc::Receiver<Event>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Arc::new(MemoryLedger::new(Clock::system()));
        let (control, asked) = listen(&directory.path().join("c.sock"), &ledger).unwrap();
        Self {
            directory,
            ledger,
            control: Some(control),
            asked,
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("c.sock")
    }

    /// Says bytes, and gives what comes back until the server closes.
    async fn says(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        // The server may close before all is said.
        let _ = stream.write_all(bytes).await;
        let mut heard = Vec::new();
        let all = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard));
        let _ = all.await.unwrap();
        String::from_utf8_lossy(&heard).into_owned()
    }

    async fn asks(&self, method: Method, target: &str, body: Option<Value>) -> (u16, Value) {
        let request = Ask {
            method,
            target,
            body,
            ledger: None,
        };
        ask(&self.socket(), request).await.unwrap()
    }

    /// What the loop is asked next.
    async fn next(&mut self) -> Asked {
        match tokio::time::timeout(PATIENCE, self.asked.recv())
            .await
            .unwrap()
        {
            Some(Event::Asked(asked)) => *asked,
            other => unreachable!("{other:?}"),
        }
    }
}

fn listen(
    path: &Path,
    ledger: &Arc<MemoryLedger>,
) -> Result<(Control, mpsc::Receiver<Event>), ControlError> {
    let (tell, asked) = mpsc::channel(4);
    let parts = Parts {
        ledger: ledger.clone(),
        ledger_path: PathBuf::from("/ledgers/one.db"),
        tell,
        clock: Clock::system(),
        about: Arc::new(|| json!({ "running": true })),
    };
    Ok((Control::listen(path, 0o660, parts)?, asked))
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap()
}

#[tokio::test]
async fn a_wish_reaches_the_loop_and_its_answer_comes_back() {
    let mut place = Place::new();
    let socket = place.socket();
    let body = json!({ "scope": "label:web", "until": "2030-01-01T00:00:00Z", "reason": "the farm moves" });
    let asking = tokio::spawn(async move {
        let request = Ask {
            method: Method::POST,
            target: "/v1/pause",
            body: Some(body),
            ledger: Some(Path::new("/ledgers/one.db")),
        };
        ask(&socket, request).await.unwrap()
    });
    let asked = place.next().await;
    assert_eq!(
        asked.wish,
        Wish::Pause {
            scope: Scope::Label("web".to_owned()),
            until: Some("2030-01-01T00:00:00Z".parse().unwrap()),
            reason: "the farm moves".to_owned(),
        }
    );
    assert!(!asked.by.is_empty());
    let why = "there is no label \"web\"".to_owned();
    asked
        .reply
        .send(Err(Refusal::Unknown(why.clone())))
        .unwrap();
    let (status, answer) = asking.await.unwrap();
    assert_eq!((status, message(&answer)), (404, &*why));
}

#[tokio::test]
async fn the_history_of_an_entry_that_nobody_knows_is_refused_with_the_nearest_name() {
    let mut place = Place::new();
    let files = [config::SourceFile {
        path: "a.yaml".to_owned(),
        text: "accounts: { main: { region: cn-north-4 } }\nschedules:\n  nightly-web: { cron: '@daily', \
               project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: 54f90b75fc1447b1b65e8d3a9f77923d }\n"
            .to_owned(),
    }];
    let world = config::World {
        zone: &|_| None,
        zone_names: &[],
        now: Clock::system().now(),
    };
    let config = config::parse(&files, &world).config.unwrap();
    for (entry, status, words) in [
        ("nightly-wbe", 404, "did you mean \"nightly-web\"?"),
        ("zzz", 404, "neither the ledger nor the configuration"),
        ("nightly-web", 200, ""),
    ] {
        let socket = place.socket();
        let target = format!("/v1/history?entry={entry}");
        let asking = tokio::spawn(async move {
            let request = Ask {
                method: Method::GET,
                target: &target,
                body: None,
                ledger: None,
            };
            ask(&socket, request).await.unwrap()
        });
        let event = tokio::time::timeout(PATIENCE, place.asked.recv()).await;
        let Some(Event::Look { reply }) = event.unwrap() else {
            unreachable!("the loop is asked what it knows")
        };
        let standing = Standing {
            started_at: None,
            config: config.clone(),
            health: std::collections::BTreeMap::new(),
            ledger_fails: false,
            reload: None,
        };
        reply.send(standing).unwrap();
        let (seen, answer) = asking.await.unwrap();
        assert_eq!(seen, status, "{entry}: {answer}");
        if status != 200 {
            assert!(message(&answer).contains(words), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_is_bad_gets_a_clear_answer_and_never_reaches_the_loop() {
    let mut place = Place::new();
    let pause = |scope: &str| Some(json!({ "scope": scope }));
    let long = Some(json!({ "scope": "x".repeat(300 * 1024) }));
    let typo = Some(json!({ "scope": "all", "untill": "x" }));
    let until = Some(json!({ "scope": "all", "until": "tomorrow" }));
    let (post, get) = (Method::POST, Method::GET);
    for (method, target, body, status, words) in [
        (&get, "/v1/statsu", None, 404, "did you mean \"/v1/status\""),
        (&get, "/", None, 404, "/v1/reload"),
        (&get, "/v1/pause", None, 405, "takes POST"),
        (&post, "/v1/status", None, 405, "takes GET"),
        (&post, "/v1/ticks/a", None, 405, "takes GET"),
        (&post, "/v1/pause", None, 400, "cannot be understood"),
        (&post, "/v1/pause", pause("entry:a b"), 400, "no scope"),
        (&post, "/v1/pause", typo, 400, "unknown field `untill`"),
        (&post, "/v1/pause", until, 400, "no instant"),
        (&post, "/v1/pause", long, 413, "more than"),
        (&get, "/v1/ticks/a%40b", None, 404, "no tick \"a@b\""),
        (&get, "/v1/history?state=odd", None, 400, "no state"),
        (&get, "/v1/history?reason=odd", None, 400, "no reason"),
        (&get, "/v1/history?entry=a%20b", None, 400, "no name"),
        (&get, "/v1/history?limit=-1", None, 400, "no number"),
        (&get, "/v1/history?since=now", None, 400, "no instant"),
        (&get, "/v1/history?entri=a", None, 400, "entry, state"),
    ] {
        let (seen, answer) = place.asks(method.clone(), target, body).await;
        assert_eq!(seen, status, "{method} {target}: {answer}");
        let words = words.replace('"', "");
        let said = message(&answer).replace('"', "");
        assert!(said.contains(&words), "{method} {target}: {answer}");
    }
    let another = Ask {
        method: Method::POST,
        target: "/v1/reload",
        body: None,
        ledger: Some(Path::new("/ledgers/two.db")),
    };
    let (status, answer) = ask(&place.socket(), another).await.unwrap();
    assert_eq!(status, 421, "{answer}");
    assert!(message(&answer).contains("/ledgers/one.db"));
    // What is no HTTP at all, and heads that are too long or have too many lines.
    let many = (0..100)
        .map(|n| format!("x-{n}: y\r\n"))
        .collect::<String>();
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(),
        b"GET /v1/status\r\n\r\n".to_vec(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(64 * 1024)).into_bytes(),
        format!("GET /v1/status HTTP/1.1\r\n{many}\r\n").into_bytes(),
        b"POST /v1/pause HTTP/1.1\r\ncontent-length: 999999999999\r\n\r\n{}".to_vec(),
    ] {
        let heard = place.says(&bytes).await;
        let is_refused = heard.is_empty() || heard.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{heard:?}");
    }
    // A body without a length that never ends.
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1024, "x".repeat(64 * 1024));
    let head = "POST /v1/pause HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
    let heard = place
        .says(format!("{head}{}", chunk.repeat(160)).as_bytes())
        .await;
    assert!(
        heard.is_empty() || heard.starts_with("HTTP/1.1 413"),
        "{heard:?}"
    );
    assert!(place.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_loop_that_is_behind_is_not_waited_for() {
    let mut place = Place::new();
    let post = |socket: PathBuf| async move {
        let request = Ask {
            method: Method::POST,
            target: "/v1/reload",
            body: None,
            ledger: None,
        };
        ask(&socket, request).await.unwrap()
    };
    // Its queue has four places, and half of them are kept for signals.
    let waiting = [0, 1].map(|_| tokio::spawn(post(place.socket())));
    while place.asked.len() < 2 {
        tokio::task::yield_now().await;
    }
    let (status, answer) = post(place.socket()).await;
    assert_eq!(status, 503, "{answer}");
    for waiting in waiting {
        let asked = place.next().await;
        assert_eq!(asked.wish, Wish::Reload);
        asked.reply.send(Ok(json!({ "entries": 1 }))).unwrap();
        assert_eq!(waiting.await.unwrap(), (200, json!({ "entries": 1 })));
    }
    // It ends while somebody waits.
    let waiting = tokio::spawn(post(place.socket()));
    drop(place.next().await);
    assert_eq!(waiting.await.unwrap().0, 503);
}

#[tokio::test]
async fn silent_clients_take_their_places_and_no_more_and_give_them_back() {
    let mut place = Place::new();
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(UnixStream::connect(place.socket()).await.unwrap());
    }
    let heard = place
        .says(b"GET /v1/acts HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert!(heard.starts_with("HTTP/1.1 503"), "{heard:?}");
    let (head, body) = heard.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())));
    let said: Value = serde_json::from_str(body).unwrap();
    assert!(message(&said).contains("too many connections"));
    // Those who say nothing are left after a while; here they go by themselves.
    silent.clear();
    loop {
        let heard = place
            .says(b"GET /v1/acts HTTP/1.1\r\nhost: x\r\n\r\n")
            .await;
        if heard.starts_with("HTTP/1.1 200") {
            break;
        }
    }
    assert!(place.asked.try_recv().is_err());
}

#[tokio::test]
async fn acts_are_read_from_the_ledger() {
    let place = Place::new();
    let act = Act {
        at: "2026-11-24T18:00:00Z".parse().unwrap(),
        by: "ada".to_owned(),
        what: "pause".to_owned(),
        on: "all entries".to_owned(),
        reason: String::new(),
        outcome: "paused".to_owned(),
    };
    place.ledger.put_act(act).await.unwrap();
    let (status, acts) = place.asks(Method::GET, "/v1/acts", None).await;
    assert_eq!((status, acts[0]["by"].as_str()), (200, Some("ada")));
}

#[tokio::test]
async fn a_socket_is_for_the_daemons_group_and_goes_with_it() {
    let mut place = Place::new();
    let socket = place.socket();
    let about = std::fs::metadata(&socket).unwrap();
    assert!(about.file_type().is_socket());
    assert_eq!(about.permissions().mode() & 0o777, 0o660);
    // Somebody listens: it stays.
    let taken = listen(&socket, &place.ledger).unwrap_err();
    assert!(matches!(taken, ControlError::InUse(_)), "{taken}");
    drop(place.control.take());
    assert!(!socket.exists());
    let request = || Ask {
        method: Method::GET,
        target: "/v1/status",
        body: None,
        ledger: None,
    };
    let gone = ask(&socket, request()).await.unwrap_err();
    assert!(matches!(gone, NoAnswer::NoDaemon { .. }), "{gone}");
    // What a killed daemon left is replaced.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let gone = ask(&socket, request()).await.unwrap_err();
    assert!(matches!(gone, NoAnswer::NoDaemon { .. }), "{gone}");
    drop(listen(&socket, &place.ledger).unwrap());
    // What is no socket is somebody's.
    std::fs::write(&socket, "mine").unwrap();
    let mine = listen(&socket, &place.ledger).unwrap_err();
    assert!(matches!(mine, ControlError::NoSocket(_)), "{mine}");
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "mine");
}
