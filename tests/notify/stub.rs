//! A receiver on this machine that does what it is told, and remembers what it got.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use pipecron::notify::Notifier;
use pipecron::os::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::messages::at;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) target: String,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(there, _)| there == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the receiver does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A whole answer: status, more headers, body.
    Http(u16, &'static str, String),
    /// These bytes, and then the connection is closed.
    Bytes(&'static [u8]),
    /// An answer without end.
    Endless,
    /// Nothing, for ever.
    Stall,
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Http(200, "", body.to_owned())
}

/// The receiver.
#[derive(Debug, Clone)]
pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    pub(crate) async fn new(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            seen: Arc::default(),
        };
        let ours = stub.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (ours, reply) = (ours.clone(), reply.clone());
                tokio::spawn(async move { ours.serve(stream, reply).await });
            }
        });
        stub
    }

    async fn serve(&self, mut stream: TcpStream, reply: Reply) -> Option<()> {
        let seen = read_request(&mut stream).await?;
        self.seen.lock().unwrap().push(seen);
        match reply {
            Reply::Http(status, headers, body) => {
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
                );
                stream.write_all(text.as_bytes()).await.ok()
            }
            Reply::Bytes(bytes) => stream.write_all(bytes).await.ok(),
            Reply::Endless => {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head).await.ok()?;
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                loop {
                    stream.write_all(chunk.as_bytes()).await.ok()?;
                }
            }
            Reply::Stall => std::future::pending().await,
        }
    }

    /// The only request that came.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_ends = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_ends].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    while bytes.len() < head_ends + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen {
        target,
        headers,
        body: String::from_utf8(bytes.split_off(head_ends + 4)).unwrap(),
    })
}

pub(crate) fn now() -> DateTime<Utc> {
    at("2026-11-24T18:20:05Z")
}

pub(crate) fn notifier() -> Notifier {
    Notifier::new("build-7", Clock::starting_at(now()))
}
