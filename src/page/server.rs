//! Hands the pages out over HTTP, to this machine or to whoever knows the token.
//!
//! It only reads: nothing that comes in changes anything. Who asks is hostile until it is known: there is a limit on
//! connections, on the size and time of what is asked, and on how often all entries are looked at for it. On a loopback address the
//! `Host` of a request has to be one of this machine, or a page elsewhere could have a browser read ours (DNS rebinding); on any
//! other address the token is asked for.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::pages::{Page, Query};
use super::{Held, LISTED_TICKS, STRIP_TICKS, Sight, pages};
use crate::daemon::{Event, Standing};
use crate::domain::pause::Pause;
use crate::domain::{EntryName, TickId, Timestamp};
use crate::ledger::{Glance, HistoryQuery, Ledger};
use crate::os::Clock;
use crate::telemetry::Loss;
use crate::telemetry::metrics::{Form, Metrics};

mod measures;

use measures::Measured;

/// Most connections at once.
const CONNECTIONS_MAX: usize = 24;
/// A request's header has to come within this.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// A connection is over after this, whatever its client does.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// Most bytes of a header.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Most headers.
const HEADERS_MAX: usize = 64;
/// The loop says how things stand within this, or it is not well.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// For so long what was seen is shown again instead of being looked at anew.
const FRESH: Duration = Duration::from_secs(1);
/// Open ticks of one state that are looked at.
const OPEN_MAX: u32 = 500;
/// Ticks that are looked at for one page.
const GLANCES_MAX: u32 = 150_000;
/// After a failure to listen or to accept, before the next attempt.
const AGAIN: Duration = Duration::from_secs(5);
/// How often in a row it is told that listening fails: the first time, then each hour.
const TOLD_EVERY: u32 = 720;
/// Least length of a token, in characters: nobody counts how often one is guessed.
pub const TOKEN_CHARS_MIN: usize = 20;

/// Where the pages are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

/// Where they are when nobody says.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:8717";

impl Listen {
    /// `127.0.0.1:8717`, `[::1]:8717`, `localhost:8717` or `off`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let text = text
            .strip_prefix("localhost:")
            .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        text.parse().map(Self::At).map_err(|_| {
            format!("write an address and a port ({LISTEN_DEFAULT}, [::1]:8717), or off")
        })
    }

    /// Whether only this machine can get there.
    pub fn is_local(self) -> bool {
        match self {
            Self::Off => true,
            Self::At(address) => address.ip().is_loopback(),
        }
    }
}

/// What the server works with.
pub struct Parts<L> {
    /// For what is read.
    pub ledger: Arc<L>,
    /// The loop.
    pub tell: mpsc::Sender<Event>,
    /// The clock.
    pub clock: Clock,
    /// The machine's name.
    pub node: String,
    /// Who does not know it gets nothing, if there is one.
    pub token: Option<SecretString>,
    /// What is counted, for Prometheus.
    pub metrics: Metrics,
    /// The lost log lines, if somebody counts them.
    pub loss: Option<Loss>,
}

impl<L> fmt::Debug for Parts<L> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Parts")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// A server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Hands out pages at `address`. An address that is taken is told, and tried again and again: what else has it may go away,
    /// and no nightly waits for a page. `bound` hears where it listens at last: port 0 is any port.
    pub fn start<L: Ledger>(
        address: SocketAddr,
        parts: Parts<L>,
        bound: oneshot::Sender<SocketAddr>,
    ) -> Self {
        let shared = Arc::new(Shared {
            needs_local_host: address.ip().is_loopback() && parts.token.is_none(),
            own: address.ip(),
            began: parts.clock.now(),
            parts,
            seen: Mutex::new(None),
            measured: Measured::default(),
        });
        Self {
            task: tokio::spawn(async move {
                let listener = listen(address).await;
                let at = listener.local_addr().unwrap_or(address);
                info!("the status page is at http://{at}/");
                let _ = bound.send(at);
                accept(shared, listener).await;
            }),
        }
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    let mut failures = 0_u32;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(failure) if failures.is_multiple_of(TOLD_EVERY) => warn!(
                "there is no status page: cannot listen on {address}: {failure}; it is tried again. Choose another place with --listen, or \
                 --listen off"
            ),
            Err(_) => {}
        }
        failures = failures.wrapping_add(1);
        tokio::time::sleep(AGAIN).await;
    }
}

struct Shared<L> {
    parts: Parts<L>,
    /// Whether a request has to name this machine as its host.
    needs_local_host: bool,
    own: IpAddr,
    /// When the server was made, as the process began.
    began: Timestamp,
    seen: Mutex<Option<Seen>>,
    measured: Measured,
}

/// What was seen last.
#[derive(Clone)]
struct Seen {
    at: Instant,
    sight: Arc<Sight>,
    /// The first page, once somebody wanted it.
    index: Option<Bytes>,
}

async fn accept<L: Ledger>(shared: Arc<Shared<L>>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Too many open files, most likely: some will be closed.
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        if connections.len() >= CONNECTIONS_MAX {
            let _ = stream.try_write(BUSY);
            continue;
        }
        connections.spawn(serve(Arc::clone(&shared), stream));
    }
}

/// Whoever comes when all places are taken.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 5\r\nconnection: close\r\n\r\n";

async fn serve<L: Ledger>(shared: Arc<Shared<L>>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, &request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the client's business: there is nobody to tell.
    let _ = timeout(CONNECTION_MAX, connection).await;
}

/// What is given back.
struct Answer {
    status: u16,
    kind: &'static str,
    body: Bytes,
    /// Whether a browser may keep it for a while.
    is_fixed: bool,
}

impl Answer {
    fn text(status: u16, text: impl Into<String>) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: Bytes::from(text.into()),
            is_fixed: false,
        }
    }

    fn html(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            kind: "text/html; charset=utf-8",
            body: body.into(),
            is_fixed: false,
        }
    }

    fn fixed(kind: &'static str, body: &'static str) -> Self {
        Self {
            status: 200,
            kind,
            body: Bytes::from_static(body.as_bytes()),
            is_fixed: true,
        }
    }
}

impl From<Page> for Answer {
    fn from(page: Page) -> Self {
        Self::html(page.status, page.html)
    }
}

/// Nothing but what we hand out ourselves, and no frame round it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

async fn answer<L: Ledger>(
    shared: &Arc<Shared<L>>,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let answer = find(shared, request).await;
    let mut response = Response::builder()
        .status(answer.status)
        .header("content-type", answer.kind)
        .header(
            "cache-control",
            if answer.is_fixed {
                "max-age=300"
            } else {
                "no-store"
            },
        )
        .header("content-security-policy", POLICY)
        .header("x-content-type-options", "nosniff")
        .header("referrer-policy", "no-referrer")
        .header("cross-origin-resource-policy", "same-origin");
    match answer.status {
        401 => {
            response = response.header(
                "www-authenticate",
                "Basic realm=\"pipecron\", charset=\"UTF-8\"",
            )
        }
        405 => response = response.header("allow", "GET, HEAD"),
        _ => {}
    }
    let body = match *request.method() {
        Method::HEAD => Bytes::new(),
        _ => answer.body,
    };
    response.body(Full::new(body)).unwrap_or_default()
}

async fn find<L: Ledger>(shared: &Arc<Shared<L>>, request: &Request<Incoming>) -> Answer {
    if *request.method() != Method::GET && *request.method() != Method::HEAD {
        return Answer::text(405, "these pages only read: GET or HEAD\n");
    }
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let path = request.uri().path();
    // Whoever watches over services asks these without a token, and learns nothing else.
    match path {
        "/healthz" => return health(shared).await,
        "/readyz" => return ready(shared).await,
        _ => {}
    }
    if shared.needs_local_host && !is_local_host(header("host").unwrap_or_default(), shared.own) {
        return Answer::text(
            421,
            "this page is for this machine alone: ask for it as localhost or 127.0.0.1, or give it a token (--listen-token-file)\n",
        );
    }
    if let Some(token) = &shared.parts.token
        && !is_allowed(header("authorization").unwrap_or_default(), token)
    {
        return Answer::text(
            401,
            "the token is needed: as the password of any user, or as a bearer token\n",
        );
    }
    match path {
        "/style.css" => return Answer::fixed("text/css; charset=utf-8", include_str!("style.css")),
        "/page.js" => {
            return Answer::fixed("text/javascript; charset=utf-8", include_str!("page.js"));
        }
        "/icon-fine.svg" => return Answer::fixed(ICON, include_str!("icon-fine.svg")),
        "/icon-open.svg" => return Answer::fixed(ICON, include_str!("icon-open.svg")),
        "/icon-bad.svg" | "/favicon.ico" => {
            return Answer::fixed(ICON, include_str!("icon-bad.svg"));
        }
        _ => {}
    }
    if path == "/metrics" {
        let form = Form::wanted(header("accept").unwrap_or_default());
        return measures::answer(shared, form).await;
    }
    match page(shared, path, request.uri().query().unwrap_or_default()).await {
        Ok(answer) => answer,
        Err(why) => pages::trouble(&why).into(),
    }
}

const ICON: &str = "image/svg+xml";

/// Whether a `Host` is a name of this machine.
fn is_local_host(host: &str, own: IpAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match address.unwrap_or(name).parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address == own,
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether an `Authorization` brings the token, as a bearer's or as the password of whatever user.
fn is_allowed(authorization: &str, token: &SecretString) -> bool {
    let Some((scheme, given)) = authorization.split_once(' ') else {
        return false;
    };
    let given = given.trim();
    let given = if scheme.eq_ignore_ascii_case("bearer") {
        given.as_bytes().to_vec()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let Ok(pair) = BASE64_STANDARD.decode(given) else {
            return false;
        };
        match pair.iter().position(|byte| *byte == b':') {
            Some(colon) => pair[colon + 1..].to_vec(),
            None => return false,
        }
    } else {
        return false;
    };
    // How long a comparison of digests takes says nothing of the token.
    Sha256::digest(&given) == Sha256::digest(token.expose_secret().as_bytes())
}

/// Asks the loop how things stand. Its queue is never waited for.
async fn look<L>(shared: &Shared<L>) -> Result<Standing, String> {
    let (reply, standing) = oneshot::channel();
    let tell = &shared.parts.tell;
    let why = || "the daemon is busy or ends; look again in a few seconds".to_owned();
    tell.try_send(Event::Look { reply }).map_err(|_| why())?;
    match timeout(LOOK_MAX, standing).await {
        Ok(Ok(standing)) => Ok(standing),
        Ok(Err(_)) => Err(why()),
        Err(_) => Err(format!(
            "the daemon's loop did not answer in {} s",
            LOOK_MAX.as_secs()
        )),
    }
}

async fn health<L>(shared: &Shared<L>) -> Answer {
    match look(shared).await {
        Ok(_) => Answer::text(200, "ok\n"),
        Err(why) => Answer::text(503, format!("{why}\n")),
    }
}

async fn ready<L>(shared: &Shared<L>) -> Answer {
    match look(shared).await {
        Ok(standing) if standing.ledger_fails => {
            Answer::text(503, "the ledger fails: nothing is started\n")
        }
        Ok(_) => Answer::text(200, "ok\n"),
        Err(why) => Answer::text(503, format!("{why}\n")),
    }
}

async fn page<L: Ledger>(shared: &Shared<L>, path: &str, query: &str) -> Result<Answer, String> {
    let segment = |prefix: &str| {
        let name = path.strip_prefix(prefix)?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        Some(name.into_owned())
    };
    if path == "/" {
        return index(shared, &words(query)).await;
    }
    let sight = sight(shared).await?.sight;
    if let Some(name) = segment("/entry/") {
        let Ok(entry) = EntryName::parse(&name) else {
            return Ok(pages::missing(&sight, "entry", &name, &[]).into());
        };
        let ledger = &shared.parts.ledger;
        let glances = ledger
            .glances(vec![entry.clone()], LISTED_TICKS + 1)
            .await
            .map_err(|failure| failure.to_string())?;
        let page = pages::entry(&sight, &entry, &glances);
        return Ok(page
            .unwrap_or_else(|| pages::missing(&sight, "entry", &name, &[]))
            .into());
    }
    if let Some(id) = segment("/tick/") {
        let story = shared.parts.ledger.story(TickId::from_text(&id)).await;
        return match story.map_err(|failure| failure.to_string())? {
            Some(story) => Ok(pages::tick(&sight, &story).into()),
            None => {
                let entry = EntryName::parse(id.split('@').next().unwrap_or_default());
                let known = entry.ok().and_then(|entry| sight.glances.get(&entry));
                let known = known.map_or(&[][..], Vec::as_slice);
                Ok(pages::missing(&sight, "tick", &id, known).into())
            }
        };
    }
    Ok(pages::missing(&sight, "page", path, &[]).into())
}

/// What a query looks for.
fn words(query: &str) -> Query {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let text = pairs.find(|(key, _)| *key == "q").map(|(_, text)| text);
    let text = text.unwrap_or_default().replace('+', " ");
    Query::new(&percent_decode_str(&text).decode_utf8_lossy())
}

async fn index<L: Ledger>(shared: &Shared<L>, query: &Query) -> Result<Answer, String> {
    let seen = sight(shared).await?;
    if *query != Query::default() {
        return Ok(pages::index(&seen.sight, query).into());
    }
    if let Some(index) = seen.index {
        return Ok(Answer::html(200, index));
    }
    let page = pages::index(&seen.sight, query);
    let html = Bytes::from(page.html);
    let mut kept = shared.seen.lock().await;
    if let Some(kept) = kept.as_mut()
        && Arc::ptr_eq(&kept.sight, &seen.sight)
    {
        kept.index = Some(html.clone());
    }
    Ok(Answer::html(page.status, html))
}

/// What is known now, or was a moment ago. One looks, and the others wait for what it sees.
async fn sight<L: Ledger>(shared: &Shared<L>) -> Result<Seen, String> {
    let mut seen = shared.seen.lock().await;
    if let Some(seen) = &*seen
        && seen.at.elapsed() < FRESH
    {
        return Ok(seen.clone());
    }
    let sight = Arc::new(see(shared).await?);
    let fresh = Seen {
        at: Instant::now(),
        sight,
        index: None,
    };
    *seen = Some(fresh.clone());
    Ok(fresh)
}

async fn see<L: Ledger>(shared: &Shared<L>) -> Result<Sight, String> {
    let Standing {
        started_at,
        config,
        health,
        ledger_fails,
        reload,
    } = look(shared).await?;
    let Parts {
        ledger,
        clock,
        node,
        ..
    } = &shared.parts;
    let failed = |failure: crate::ledger::LedgerError| failure.to_string();
    let names: Vec<EntryName> = config.entries.keys().cloned().collect();
    // Where there are very many entries the newest ticks of each have to do: all of this stands in memory.
    let each = GLANCES_MAX / u32::try_from(names.len()).unwrap_or(u32::MAX).max(1);
    let each = each.clamp(1, STRIP_TICKS);
    let mut glances: BTreeMap<EntryName, Vec<Glance>> = BTreeMap::new();
    for glance in ledger.glances(names, each).await.map_err(failed)? {
        glances
            .entry(glance.entry.clone())
            .or_default()
            .push(glance);
    }
    let mut open = Vec::new();
    for state in ["doubtful", "sent", "running", "waiting"] {
        let query = HistoryQuery {
            state: Some(state.to_owned()),
            limit: Some(OPEN_MAX),
            ..HistoryQuery::default()
        };
        let ticks = ledger.history(query).await.map_err(failed)?;
        open.extend(ticks.into_iter().map(Glance::from));
    }
    let now = clock.now();
    let pauses = ledger.pauses(now).await.map_err(failed)?;
    let pauses: Vec<Pause> = pauses
        .into_iter()
        .filter(|pause| pause.holds(now))
        .collect();
    let paused = config.entries.iter().filter_map(|(name, entry)| {
        let holds = |pause: &&Pause| pause.scope.includes(name, &entry.labels);
        // The one that ends last is the one that counts; one without an end never does.
        let last = pauses
            .iter()
            .filter(holds)
            .max_by_key(|pause| (pause.until.is_none(), pause.until))?;
        let held = Held {
            words: last.to_string(),
            until: last.until,
        };
        Some((name.clone(), held))
    });
    Ok(Sight {
        now,
        paused: paused.collect(),
        node: node.clone(),
        ledger_id: ledger.id().to_owned(),
        started_at,
        entries: config.entries,
        accounts: config.accounts,
        health,
        glances,
        open,
        reload,
        ledger_fails,
    })
}

/// Whether this can be a token.
///
/// # Errors
/// When it is too short to keep anybody out.
pub fn check_token(token: &SecretString) -> Result<(), String> {
    let count = token.expose_secret().chars().count();
    if count < TOKEN_CHARS_MIN {
        return Err(format!(
            "it has {count} characters, and takes at least {TOKEN_CHARS_MIN}"
        ));
    }
    Ok(())
}
