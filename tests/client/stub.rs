//! A server that does what it is told, and accounts that lead to it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use pipecron::codearts::http::Client;
use pipecron::codearts::{CodeArts, Start};
use pipecron::config::{Account, Credentials, NO_PROXY, Text};
use pipecron::domain::request::SecretRef;
use pipecron::domain::{AccountName, Answer, RunRequest};
use pipecron::os::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub(crate) const RUN: &str = "ad6b7f66283a45be9c1f82b06c831e59";
pub(crate) const PROJECT: &str = "54f90b75fc1447b1b65e8d3a9f77923d";
pub(crate) const PIPELINE: &str = "e5460d1d403146a1935c2d4b68ef506c";
pub(crate) const AK: &str = "AKTESTEXAMPLE0000001";
pub(crate) const SK: &str = "SkTestExampleDoNotUse0000000000000000001";

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Which connection it came on.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(there, _)| there.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_run(&self) -> bool {
        self.target.ends_with("/run")
    }

    pub(crate) fn is_token(&self) -> bool {
        self.target.contains("/v3/auth/tokens")
    }
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// A whole answer.
    Http(u16, Vec<(&'static str, String)>, String),
    /// These bytes, and then the connection is closed.
    Bytes(Vec<u8>),
    /// A whole answer, and then the connection is closed without a word about it.
    LastWord(String),
    /// A whole answer, when it is told to give it.
    Later(Arc<Notify>, String),
    /// An answer without end.
    Endless,
    /// Nothing, for ever.
    Stall,
    /// The connection is closed.
    Close,
}

/// What a row of a table makes the server do.
pub(crate) type Does = fn() -> Reply;

pub(crate) fn started() -> Reply {
    json(200, format!(r#"{{"pipeline_run_id":"{RUN}"}}"#))
}

pub(crate) fn json(status: u16, body: impl Into<String>) -> Reply {
    Reply::Http(status, Vec::new(), body.into())
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

impl Stub {
    /// A server on a free port that answers as `script` says.
    pub(crate) async fn new(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(script, None, |_| Duration::ZERO).await
    }

    /// The same over TLS.
    pub(crate) async fn tls(
        config: Arc<rustls::ServerConfig>,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(script, Some(config), |_| Duration::ZERO).await
    }

    /// The same, slower to shake hands with every connection, from nothing to eight milliseconds and again.
    pub(crate) async fn slow_tls(
        config: Arc<rustls::ServerConfig>,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let wait = |connection: usize| Duration::from_micros(connection as u64 % 100 * 80);
        Self::listen(script, Some(config), wait).await
    }

    async fn listen(
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
        wait: fn(usize) -> Duration,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let stub = Self {
            url: format!("{scheme}://{}", listener.local_addr().unwrap()),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (ours, script) = (stub.clone(), Arc::new(script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = {
                    let mut connections = ours.connections.lock().unwrap();
                    *connections += 1;
                    *connections
                };
                let (ours, script, tls) = (ours.clone(), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => ours.serve(stream, number, &*script).await,
                        Some(tls) => {
                            // Finer than the runtime's timer, which counts milliseconds.
                            let begun = std::time::Instant::now();
                            while begun.elapsed() < wait(number) {
                                tokio::task::yield_now().await;
                            }
                            let acceptor = tokio_rustls::TlsAcceptor::from(tls);
                            if let Ok(stream) = acceptor.accept(stream).await {
                                ours.serve(stream, number, &*script).await;
                            }
                        }
                    }
                });
            }
        });
        stub
    }

    async fn serve<S>(&self, mut stream: S, number: usize, script: &Script)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(seen) = read_request(&mut stream, number).await {
            self.seen.lock().unwrap().push(seen.clone());
            let bytes = match script(&seen) {
                Reply::Http(status, headers, body) => http(status, &headers, &body),
                Reply::Bytes(bytes) => {
                    let _ = stream.write_all(&bytes).await;
                    return;
                }
                Reply::LastWord(body) => {
                    let _ = stream.write_all(&http(200, &[], &body)).await;
                    return;
                }
                Reply::Later(told, body) => {
                    told.notified().await;
                    http(200, &[], &body)
                }
                Reply::Endless => {
                    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                    let mut outcome = stream.write_all(head).await;
                    while outcome.is_ok() {
                        outcome = stream.write_all(chunk.as_bytes()).await;
                    }
                    return;
                }
                Reply::Stall => return std::future::pending().await,
                Reply::Close => return,
            };
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests that would have started a run.
    pub(crate) fn runs(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::is_run).collect()
    }

    /// The requests for a token of IAM.
    pub(crate) fn tokens(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::is_token).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn http(status: u16, headers: &[(&str, String)], body: &str) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, connection: usize) -> Option<Seen> {
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
    let mut first = lines.next().unwrap().split(' ');
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut seen = Seen {
        method: first.next().unwrap().to_owned(),
        target: first.next().unwrap().to_owned(),
        headers,
        body: String::new(),
        connection,
    };
    let length: usize = seen
        .header("Content-Length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[head_ends + 4..].to_vec();
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8(body).unwrap();
    Some(seen)
}

/// When the tests' clock starts.
pub(crate) fn epoch() -> DateTime<Utc> {
    "2026-11-24T18:00:00Z".parse().unwrap()
}

pub(crate) fn name() -> AccountName {
    AccountName::parse("main").unwrap()
}

/// An account that leads to `url` with everything.
pub(crate) fn account(url: &str, credentials: Credentials) -> Account {
    Account {
        name: name(),
        region: Some("cn-north-4".to_owned()),
        endpoint: url.to_owned(),
        iam_endpoint: url.to_owned(),
        metadata_endpoint: url.to_owned(),
        iam_project_id: None,
        credentials,
        proxy: Some(NO_PROXY.to_owned()),
        ca_file: None,
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(20),
        settle: Duration::from_secs(180),
        max_running: None,
        requests_per_second: 1_000,
    }
}

/// A folder with files that hold secrets.
pub(crate) struct Vault(tempfile::TempDir);

impl Vault {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Keeps a text, and tells where. What is there is replaced in one step: a client that reads it just now must not find
    /// it empty.
    pub(crate) fn keep(&self, name: &str, text: &str) -> SecretRef {
        let mut new = tempfile::NamedTempFile::new_in(self.folder()).unwrap();
        new.write_all(text.as_bytes()).unwrap();
        new.persist(self.path(name)).unwrap();
        SecretRef::File(self.path(name))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// A permanent access key.
    pub(crate) fn keys(&self) -> Credentials {
        Credentials::Keys {
            ak: Text::Plain(AK.to_owned()),
            sk: self.keep("sk", SK),
            security_token: None,
        }
    }

    /// A user with a password.
    pub(crate) fn password(&self, password: &str) -> Credentials {
        Credentials::Password {
            domain: Text::Plain("acme".to_owned()),
            user: Text::Plain("robot".to_owned()),
            password: self.keep("password", password),
            project: None,
        }
    }
}

pub(crate) fn accounts(account: Account) -> BTreeMap<AccountName, Arc<Account>> {
    BTreeMap::from([(account.name.clone(), Arc::new(account))])
}

pub(crate) fn client(account: Account) -> Client {
    Client::new(&accounts(account), Clock::starting_at(epoch()))
}

/// A run to be started; the marker tells it from others.
pub(crate) fn start(marker: &str) -> Start {
    Start {
        account: name(),
        request: RunRequest {
            project_id: PROJECT.to_owned(),
            pipeline_id: PIPELINE.to_owned(),
            ..RunRequest::default()
        },
        marker: format!("[pipecron abcdefgh {marker}]"),
        leave_within: Duration::from_secs(3600),
    }
}

/// Starts one run.
pub(crate) async fn ask(client: &Client, marker: &str) -> Answer {
    client.start(start(marker)).await
}
