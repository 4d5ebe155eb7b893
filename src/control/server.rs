//! The daemon's end of the control socket.
//!
//! A connection serves one request. It decides nothing: who may act the kernel's word about the peer says, what is to be done
//! goes to the loop, what is read comes from the ledger.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::{
    BY_HEADER, LEDGER_HEADER, NEWS_SECS_MAX, PauseBody, ResumeBody, SkipBody, TriggerBody,
    act_json, story_json, tick_json,
};
use crate::config::nearest;
use crate::daemon::Event;
use crate::daemon::asked::{Asked, Refusal, Trigger, Wish};
use crate::daemon::hand::pause_json;
use crate::domain::{EntryName, Reason, Scope, TickId, Timestamp};
use crate::ledger::{HistoryQuery, Ledger};
use crate::os::{self, Clock};

/// Most connections at once.
const CONNECTIONS_MAX: usize = 64;
/// How many of them may be of those who may only read: they must not keep out those who may act.
const READERS_MAX: usize = 16;
/// A request's header has to come within this.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// A body has to come within this.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// Most bytes of a header.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Most headers.
const HEADERS_MAX: usize = 32;
/// Most bytes of a body: variables may be long.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// The loop answers within this, or whoever asks is told to look later. A reload may have many files to read.
const ANSWER_MAX: Duration = Duration::from_secs(150);
/// A connection is over after this, whatever its client does.
const CONNECTION_MAX: Duration = Duration::from_secs(170);
/// How often the ledger is looked at for somebody who waits for news of a tick.
const NEWS_EVERY: Duration = Duration::from_millis(250);
/// Open ticks that a status lists.
const OPEN_MAX: u32 = 200;
/// Rows of the history that are handed out at once, and if nobody says how many.
const HISTORY_MAX: u32 = 1_000;
const HISTORY_DEFAULT: u32 = 50;
/// Ticks among which the one that was meant is looked for.
const NEAREST_FROM_MAX: u32 = 500;
/// Acts that are handed out.
const ACTS_MAX: u32 = 500;
/// After a failure to accept or to lock, before the next attempt.
const PAUSE: Duration = Duration::from_millis(50);
/// So often the lock on the directory is tried for.
const LOCK_TRIES: u32 = 100;
/// Of the places in the loop's queue so many are kept for signals, and for those who ask at the same moment as others.
const PLACES_KEPT: usize = 8;

/// Whoever comes when all places are taken.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 95\r\nconnection: close\r\n\r\n\
{\"error\":{\"message\":\"too many connections to the control socket; try again in a few seconds\"}}\n";

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another daemon has it.
    #[error(
        "another process listens on the control socket {0}; give each daemon one of its own with --control SOCKET, or none with \
         --control off"
    )]
    InUse(String),
    /// What is there is something else.
    #[error(
        "{0} is there and is no socket; it stays as it is: choose another place with --control SOCKET"
    )]
    NoSocket(String),
    /// The system does not let us.
    #[error(
        "cannot make the control socket {path}: {why}; choose another place with --control SOCKET, or none with --control off"
    )]
    Failed {
        /// Where.
        path: String,
        /// What the system says.
        why: io::Error,
    },
}

/// What the server works with.
pub struct Parts<L> {
    /// For what is read.
    pub ledger: Arc<L>,
    /// Its file, for clients that mean another one.
    pub ledger_path: PathBuf,
    /// The loop.
    pub tell: mpsc::Sender<Event>,
    /// The clock.
    pub clock: Clock,
    /// What a status says of the process.
    pub about: Arc<dyn Fn() -> Value + Send + Sync>,
}

impl<L> fmt::Debug for Parts<L> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Parts")
            .field("ledger_path", &self.ledger_path)
            .finish_non_exhaustive()
    }
}

/// A control socket that somebody listens on. When this is dropped nobody does, and its file is removed.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    file: (u64, u64),
    task: JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // Somebody may have put another one there.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|about| (about.dev(), about.ino()))
}

impl Control {
    /// Listens on the socket at `path`, in place of one that a dead process left. `mode` says who gets in; who may act is
    /// not decided by it.
    ///
    /// # Errors
    /// When somebody listens there, something else is there, or the system refuses.
    pub fn listen<L: Ledger>(
        path: &Path,
        mode: u32,
        parts: Parts<L>,
    ) -> Result<Self, ControlError> {
        let failed = |why| ControlError::Failed {
            path: path.display().to_string(),
            why,
        };
        let listener = bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        let file = identity(path).map_err(failed)?;
        let shared = Arc::new(Shared {
            parts,
            readers: AtomicUsize::new(0),
        });
        Ok(Self {
            path: path.to_owned(),
            file,
            task: tokio::spawn(accept(shared, listener)),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn bind(path: &Path) -> Result<UnixListener, ControlError> {
    let name = path.display().to_string();
    let failed = |why| ControlError::Failed {
        path: name.clone(),
        why,
    };
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(failed)?;
    // Two daemons that start at the same time must not take the other's socket for a dead one's.
    let directory = fs::File::open(directory).map_err(failed)?;
    lock(&directory, LOCK_TRIES).map_err(failed)?;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(about) if !about.file_type().is_socket() => return Err(ControlError::NoSocket(name)),
        Ok(_) => match knock(path) {
            Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed)?,
            // A full queue of connections is somebody, too.
            Ok(()) | Err(Errno::AGAIN) => return Err(ControlError::InUse(name)),
            Err(error) => return Err(failed(error.into())),
        },
    }
    UnixListener::bind(path).map_err(failed)
}

/// Locks a directory, for which nobody may make us wait for ever: whoever can read it can lock it.
fn lock(directory: &fs::File, tries: u32) -> io::Result<()> {
    for _ in 0..tries {
        match rustix::fs::flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other(
        "another process holds a lock on the directory",
    ))
}

/// Whether somebody listens there. One that is stopped and takes no more must not keep us waiting.
fn knock(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

struct Shared<L> {
    parts: Parts<L>,
    /// Connections of those who may only read.
    readers: AtomicUsize,
}

/// Who is on the other end.
#[derive(Debug, Clone)]
struct Peer {
    uid: u32,
    may_act: bool,
}

impl Peer {
    fn of(stream: &UnixStream) -> io::Result<Self> {
        let peer = stream.peer_cred()?;
        let (user, group) = os::own_ids();
        let mut known = Self::known((peer.uid(), peer.gid()), (user, group));
        known.may_act = known.may_act || os::is_member(peer.uid(), group);
        Ok(known)
    }

    /// Both as user and group.
    fn known((uid, gid): (u32, u32), (user, group): (u32, u32)) -> Self {
        Self {
            uid,
            may_act: uid == 0 || uid == user || gid == group,
        }
    }

    /// Whether it may have something done in this way.
    fn may(&self, method: &str) -> Result<(), Answer> {
        if self.may_act || method == "GET" {
            return Ok(());
        }
        Err(Answer::error(
            403,
            "root, the daemon's own user and its own group may do this; this user may only look: try sudo",
        ))
    }

    /// How it is written down who acted. Root may say for whom; nobody else is believed.
    fn name(&self, claim: Option<&str>) -> String {
        let claim = claim.map(|claim| percent_decode_str(claim).decode_utf8_lossy().into_owned());
        match claim.filter(|claim| self.uid == 0 && !claim.is_empty() && claim.len() < 100) {
            Some(claim) => claim,
            None => os::user_name(self.uid).unwrap_or_else(|| format!("uid {}", self.uid)),
        }
    }
}

async fn accept<L: Ledger>(shared: Arc<Shared<L>>, listener: UnixListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Too many open files, most likely: some will be closed.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(peer) = Peer::of(&stream) else {
            continue;
        };
        let is_full = connections.len() >= CONNECTIONS_MAX
            || (!peer.may_act && shared.readers.load(Ordering::Relaxed) >= READERS_MAX);
        if is_full {
            let _ = stream.try_write(BUSY);
            continue;
        }
        let place = Place::take(&shared, &peer);
        connections.spawn(serve(Arc::clone(&shared), stream, peer, place));
    }
}

/// A reader's place, until this is dropped.
struct Place<L>(Option<Arc<Shared<L>>>);

impl<L> Place<L> {
    fn take(shared: &Arc<Shared<L>>, peer: &Peer) -> Self {
        if peer.may_act {
            return Self(None);
        }
        shared.readers.fetch_add(1, Ordering::Relaxed);
        Self(Some(Arc::clone(shared)))
    }
}

impl<L> Drop for Place<L> {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.readers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

async fn serve<L: Ledger>(shared: Arc<Shared<L>>, stream: UnixStream, peer: Peer, place: Place<L>) {
    let service = service_fn(|request| {
        let (shared, peer) = (Arc::clone(&shared), peer.clone());
        async move {
            let answer = handle(&shared, &peer, request).await;
            Ok::<_, Infallible>(answer.into_response())
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the client's business: there is nobody to tell.
    let _ = timeout(CONNECTION_MAX, connection).await;
    drop(place);
}

/// A status and what is said.
struct Answer(u16, Value);

impl Answer {
    fn error(status: u16, message: impl Into<String>) -> Self {
        Self(status, json!({ "error": { "message": message.into() } }))
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let body = format!("{}\n", self.1);
        let response = Response::builder()
            .status(self.0)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)));
        response.unwrap_or_default()
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(why) => Self::error(404, why),
            Refusal::Refused(why) => Self::error(409, why),
            Refusal::NotNow(why) => Self::error(503, why),
            Refusal::Problems(problems) => Self(
                422,
                json!({ "error": {
                    "message": "the files have problems; the configuration that was loaded before stays",
                    "problems": problems,
                } }),
            ),
        }
    }
}

impl From<crate::ledger::LedgerError> for Answer {
    fn from(failure: crate::ledger::LedgerError) -> Self {
        Self::error(503, failure.to_string())
    }
}

/// Longest wait for the loop to say how things stand.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// Everything that can be asked for, with how.
const PATHS: [(&str, &str); 8] = [
    ("/v1/status", "GET"),
    ("/v1/acts", "GET"),
    ("/v1/history", "GET"),
    ("/v1/reload", "POST"),
    ("/v1/pause", "POST"),
    ("/v1/resume", "POST"),
    ("/v1/skip", "POST"),
    ("/v1/trigger", "POST"),
];
/// A tick by its id.
const TICKS: &str = "/v1/ticks/";

async fn handle<L: Ledger>(shared: &Shared<L>, peer: &Peer, request: Request<Incoming>) -> Answer {
    let parts = &shared.parts;
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if let Some(wanted) = header(LEDGER_HEADER) {
        let wanted = percent_decode_str(wanted).decode_utf8_lossy();
        if Path::new(&*wanted) != parts.ledger_path {
            return Answer::error(
                421,
                format!(
                    "this daemon works on the ledger {}, and {wanted} was named; say with --control which daemon is meant",
                    parts.ledger_path.display()
                ),
            );
        }
    }
    let path = request.uri().path().to_owned();
    if let Some(id) = path.strip_prefix(TICKS) {
        if request.method() != Method::GET {
            return Answer::error(405, format!("{TICKS} takes GET"));
        }
        let id = percent_decode_str(id).decode_utf8_lossy().into_owned();
        return match news(parts, &id, request.uri().query().unwrap_or_default()).await {
            Ok(answer) | Err(answer) => answer,
        };
    }
    let Some((_, method)) = PATHS.iter().find(|(known, _)| *known == path) else {
        let near = nearest(&path, PATHS.iter().map(|(known, _)| *known));
        let near = near.map_or_else(
            || PATHS.map(|(known, _)| known).join(", "),
            |near| format!("did you mean {near}?"),
        );
        let shown: String = path.chars().take(100).collect();
        return Answer::error(404, format!("there is no {shown:?} here; {near}"));
    };
    if request.method().as_str() != *method {
        return Answer::error(405, format!("{path} takes {method}"));
    }
    if let Err(refused) = peer.may(method) {
        return refused;
    }
    let by = peer.name(header(BY_HEADER));
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = match read(request).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let answer = match path.as_str() {
        "/v1/status" => status(parts, by).await,
        "/v1/acts" => acts(parts).await,
        "/v1/history" => history(parts, &query).await,
        path => act(parts, path, by, &body).await,
    };
    match answer {
        Ok(answer) | Err(answer) => answer,
    }
}

/// Reads a body whole.
async fn read(request: Request<Incoming>) -> Result<Bytes, Answer> {
    let too_long = || {
        Answer::error(
            413,
            format!("the body has more than {BODY_BYTES_MAX} bytes"),
        )
    };
    let body = request.into_body();
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_long());
    }
    let body = Limited::new(body, BODY_BYTES_MAX).collect();
    match timeout(BODY_TIME_MAX, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(_)) => Err(Answer::error(400, "the body did not come whole")),
        Err(_) => Err(Answer::error(408, "the body did not come in time")),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Answer> {
    serde_json::from_slice(body)
        .map_err(|error| Answer::error(400, format!("the body cannot be understood: {error}")))
}

fn scope(key: &str) -> Result<Scope, Answer> {
    let shown: String = key.chars().take(120).collect();
    let why = || format!("{shown:?} is no scope; write entry:NAME, label:WORD or all");
    Scope::from_key(key).ok_or_else(|| Answer::error(400, why()))
}

fn instant(text: &str) -> Result<Timestamp, Answer> {
    let shown: String = text.chars().take(60).collect();
    let why = |_| {
        Answer::error(
            400,
            format!("{shown:?} is no instant; write 2026-11-24T18:00:00Z"),
        )
    };
    text.parse().map_err(why)
}

/// What the loop is to do.
fn wish(path: &str, body: &[u8]) -> Result<Wish, Answer> {
    Ok(match path {
        "/v1/reload" => Wish::Reload,
        "/v1/pause" => {
            let body: PauseBody = parse(body)?;
            Wish::Pause {
                scope: scope(&body.scope)?,
                until: body.until.as_deref().map(instant).transpose()?,
                reason: body.reason,
            }
        }
        "/v1/resume" => {
            let body: ResumeBody = parse(body)?;
            Wish::Resume {
                scope: scope(&body.scope)?,
                reason: body.reason,
            }
        }
        "/v1/skip" => {
            let body: SkipBody = parse(body)?;
            Wish::Skip {
                entry: body.entry,
                dues: body
                    .dues
                    .iter()
                    .map(|due| instant(due))
                    .collect::<Result<_, _>>()?,
                reason: body.reason,
                undo: body.undo,
            }
        }
        _ => {
            let body: TriggerBody = parse(body)?;
            Wish::Trigger(Trigger {
                entry: body.entry,
                variables: body.variables,
                branch: body.branch,
                reason: body.reason,
                force: body.force,
                due: body.due.as_deref().map(instant).transpose()?,
                again: body.again,
                key: body.key,
            })
        }
    })
}

/// Has the loop do something.
async fn act<L>(parts: &Parts<L>, path: &str, by: String, body: &[u8]) -> Result<Answer, Answer> {
    ask(parts, by, wish(path, body)?)
        .await
        .map(|value| Answer(200, value))
}

/// Asks the loop. Its queue is never waited for: a loop that is behind has more important things to do.
async fn ask<L>(parts: &Parts<L>, by: String, wish: Wish) -> Result<Value, Answer> {
    let (reply, answer) = oneshot::channel();
    let asked = Event::Asked(Box::new(Asked { by, wish, reply }));
    let kept = PLACES_KEPT.min(parts.tell.max_capacity() / 2);
    if parts.tell.capacity() <= kept || parts.tell.try_send(asked).is_err() {
        let why = "the daemon is busy or ends, and nothing was done; try again in a few seconds";
        return Err(Answer::error(503, why));
    }
    match timeout(ANSWER_MAX, answer).await {
        Ok(Ok(reply)) => Ok(reply?),
        Ok(Err(_)) => Err(Answer::error(503, "the daemon ended before it was done")),
        Err(_) => Err(Answer::error(
            504,
            format!(
                "not done in {} s; it goes on, and the log says how it ends",
                ANSWER_MAX.as_secs()
            ),
        )),
    }
}

async fn status<L: Ledger>(parts: &Parts<L>, by: String) -> Result<Answer, Answer> {
    let mut status = parts.about.clone()();
    let loops = ask(parts, by, Wish::Status).await?;
    if let (Some(status), Value::Object(loops)) = (status.as_object_mut(), loops) {
        status.extend(loops);
    }
    add_ledger(&mut status, &*parts.ledger, parts.clock.now()).await?;
    Ok(Answer(200, status))
}

/// What the ledger knows of how things stand, for a status.
///
/// # Errors
/// When it cannot be read.
pub async fn add_ledger<L: Ledger>(
    status: &mut Value,
    ledger: &L,
    now: Timestamp,
) -> Result<(), crate::ledger::LedgerError> {
    let mut open = Vec::new();
    let mut counts = serde_json::Map::new();
    for state in ["waiting", "sent", "doubtful", "running"] {
        let query = HistoryQuery {
            state: Some(state.to_owned()),
            limit: Some(OPEN_MAX),
            ..HistoryQuery::default()
        };
        let ticks = ledger.history(query).await?;
        counts.insert(state.to_owned(), json!(ticks.len()));
        open.extend(ticks.iter().map(tick_json));
    }
    let pauses = ledger.pauses(now).await?;
    let pauses = pauses.iter().filter(|pause| pause.holds(now));
    status["ledger_id"] = json!(ledger.id());
    status["open"] = Value::Object(counts);
    status["open_ticks"] = Value::Array(open);
    status["pauses"] = pauses.map(pause_json).collect();
    Ok(())
}

async fn acts<L: Ledger>(parts: &Parts<L>) -> Result<Answer, Answer> {
    let acts = parts.ledger.acts(ACTS_MAX).await?;
    Ok(Answer(200, acts.iter().map(act_json).collect()))
}

/// Rows of the history, newest first: `entry` (several), `state`, `reason`, `since`, `until`, `limit`.
async fn history<L: Ledger>(parts: &Parts<L>, query: &str) -> Result<Answer, Answer> {
    let mut wanted = HistoryQuery {
        limit: Some(HISTORY_DEFAULT),
        ..HistoryQuery::default()
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy();
        let shown: String = value.chars().take(60).collect();
        let wrong = |what: &str| Answer::error(400, format!("{shown:?} is no {what}"));
        match key {
            "entry" => {
                let entry = EntryName::parse(&value).map_err(|_| wrong("name of an entry"))?;
                wanted.entries.push(entry);
            }
            "state" => {
                let is_state =
                    ["waiting", "sent", "doubtful", "running", "ended"].contains(&&*value);
                wanted.state = Some(value.into_owned()).filter(|_| is_state);
                if !is_state {
                    return Err(wrong("state"));
                }
            }
            "reason" => {
                let reason = Reason::from_name(&value).ok_or_else(|| wrong("reason"))?;
                wanted.reason = Some(reason);
            }
            "since" => wanted.since = Some(instant(&value)?),
            "until" => wanted.until = Some(instant(&value)?),
            "limit" => {
                let limit: u32 = value.parse().map_err(|_| wrong("number"))?;
                wanted.limit = Some(limit.min(HISTORY_MAX));
            }
            _ => {
                let key: String = key.chars().take(60).collect();
                let why = format!(
                    "{key:?} is not known; entry, state, reason, since, until and limit are"
                );
                return Err(Answer::error(400, why));
            }
        }
    }
    for entry in &wanted.entries {
        check_known(parts, entry).await?;
    }
    let ticks = parts.ledger.history(wanted).await?;
    Ok(Answer(200, ticks.iter().map(tick_json).collect()))
}

/// Refuses an entry that neither the ledger nor the loop knows: a name that is misspelt must not look like an entry that
/// never ran. One that is configured no more and has a history is known.
async fn check_known<L: Ledger>(parts: &Parts<L>, entry: &EntryName) -> Result<(), Answer> {
    let query = HistoryQuery {
        entries: vec![entry.clone()],
        limit: Some(1),
        ..HistoryQuery::default()
    };
    if !parts.ledger.history(query).await?.is_empty() {
        return Ok(());
    }
    let (reply, standing) = oneshot::channel();
    // Where the loop has no time nobody can say that there is none.
    let Ok(()) = parts.tell.try_send(Event::Look { reply }) else {
        return Ok(());
    };
    let Ok(Ok(standing)) = timeout(LOOK_MAX, standing).await else {
        return Ok(());
    };
    let entries = &standing.config.entries;
    if entries.contains_key(entry) {
        return Ok(());
    }
    let query = HistoryQuery {
        limit: Some(NEAREST_FROM_MAX),
        ..HistoryQuery::default()
    };
    let rows = parts.ledger.history(query).await?;
    let past = rows.iter().map(|tick| tick.entry.as_str());
    let known = entries.keys().map(EntryName::as_str).chain(past);
    let near = match nearest(entry.as_str(), known) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "neither the ledger nor the configuration knows it".to_owned(),
    };
    let why = format!("there is no entry {:?}; {near}", entry.as_str());
    Err(Answer::error(404, why))
}

/// A tick's story, once it has more than `seen` lines or is over; or as it stands when the time that somebody is ready to wait
/// is over.
async fn news<L: Ledger>(parts: &Parts<L>, id: &str, query: &str) -> Result<Answer, Answer> {
    let number = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        values.next().and_then(|value| value.parse::<u64>().ok())
    };
    let wait = number("wait").unwrap_or(0).min(NEWS_SECS_MAX);
    let seen = number("seen").unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(wait);
    loop {
        let Some(story) = parts.ledger.story(TickId::from_text(id)).await? else {
            return Err(no_such_tick(&*parts.ledger, id).await?);
        };
        let lines = u64::try_from(story.notes.len()).unwrap_or(u64::MAX);
        if lines > seen || story.tick.state.is_ended() || Instant::now() >= until {
            return Ok(Answer(200, story_json(&story)));
        }
        tokio::time::sleep(NEWS_EVERY).await;
    }
}

/// Says so, and names the one that is most like it.
async fn no_such_tick<L: Ledger>(ledger: &L, id: &str) -> Result<Answer, Answer> {
    let id: String = id.chars().take(200).collect();
    let entry = EntryName::parse(id.split('@').next().unwrap_or_default());
    let query = HistoryQuery {
        entries: entry.into_iter().collect(),
        limit: Some(NEAREST_FROM_MAX),
        ..HistoryQuery::default()
    };
    let rows = ledger.history(query).await?;
    let near = match nearest(&id, rows.iter().map(|tick| tick.id.as_str())) {
        Some(near) => format!("did you mean {near}?"),
        None => "`pipecron history` lists them".to_owned(),
    };
    let why = format!("there is no tick {id:?} in the ledger; {near}");
    Ok(Answer::error(404, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_daemons_user_and_its_group_may_act_and_others_may_look() {
        let daemon = (990, 980);
        for (peer, may_act) in [
            ((0, 0), true),
            ((990, 100), true),
            ((1000, 980), true),
            ((1000, 1000), false),
            // The numbers of users and of groups have nothing to do with each other.
            ((980, 1000), false),
            ((1000, 990), false),
            ((1000, 0), false),
        ] {
            let known = Peer::known(peer, daemon);
            assert!(known.may("GET").is_ok(), "{peer:?}");
            match known.may("POST") {
                Ok(()) => assert!(may_act, "{peer:?}"),
                Err(Answer(status, _)) => assert_eq!((status, may_act), (403, false), "{peer:?}"),
            }
        }
    }

    #[test]
    fn a_loop_that_is_locked_out_of_its_directory_does_not_wait_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let theirs = fs::File::open(directory.path()).unwrap();
        rustix::fs::flock(&theirs, FlockOperation::LockExclusive).unwrap();
        let ours = fs::File::open(directory.path()).unwrap();
        assert!(lock(&ours, 1).is_err());
        drop(theirs);
        assert!(lock(&ours, 1).is_ok());
    }

    #[test]
    fn root_alone_says_for_whom_it_acts() {
        let name = |uid, claim| Peer::known((uid, uid), (990, 980)).name(claim);
        assert_eq!(name(0, Some("ada%0A")), "ada\n");
        assert_eq!(name(0, None), "root");
        assert_eq!(name(0, Some("")), "root");
        let nobody = u32::MAX - 7;
        assert_eq!(name(nobody, Some("root")), format!("uid {nobody}"));
    }
}
