//! The shell round the service: sockets on loopback, and the time.
//!
//! It decides nothing. It reads a request whole, asks the service what becomes of it, and does that, down to resetting
//! the connection. Everything a client can take has a limit: connections, time for a header, time for a body, size of
//! both, bytes of all bodies together, time to take an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, Sleep};

use super::faults::FaultRule;
use super::guide::Guide;
use super::log::Requests;
use super::message::{Hangup, Outcome, Pace, Request, Response, Welcome};
use super::run::{Run, RunStatus};
use super::service::Service;
use super::settings::Settings;
use crate::domain::Timestamp;
use crate::os::Clock;

/// A request's header has to come within this; an idle connection is closed after it.
const HEADER_TIME_MAX: Duration = Duration::from_secs(30);
/// A body has to come within this.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// The most bytes of a body (signing guide).
const BODY_BYTES_MAX: usize = 12 * 1024 * 1024;
/// The most bytes of all bodies that are being read.
const BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most bytes of a header: a token has several thousand.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// The most headers of a request.
const HEADERS_MAX: usize = 100;
/// A client that takes no byte of an answer for so long is left.
const WRITE_TIME_MAX: Duration = Duration::from_secs(60);
/// A stalled connection is closed after this: "for ever" is longer than any client waits, not longer than any test runs.
const STALL_MAX: Duration = Duration::from_secs(3600);
/// After a failure to accept or to listen, before the next attempt.
const PAUSE: Duration = Duration::from_millis(50);
/// Padding leaves in pieces of this size.
const PADDING: &[u8; 16 * 1024] = &[b' '; 16 * 1024];

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It would be reachable from other machines, and it knows no secret worth the name.
    #[error(
        "the sandbox listens on this machine only: {0} is not a loopback address; use 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// The address is not to be had.
    #[error("the sandbox cannot listen on {address}: {why}; choose another port, or 0 for any")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        why: io::Error,
    },
    /// No seed was given, and the system gave none.
    #[error("the sandbox cannot draw a seed: {0}")]
    Seed(String),
}

/// A running sandbox. It ends when this is dropped.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    address: SocketAddr,
    guide: Guide,
    end: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    service: Mutex<Service>,
    clock: Clock,
    /// The rules may have changed: is anybody to listen?
    changed: Notify,
    body_bytes: AtomicUsize,
    connections_max: usize,
}

impl Shared {
    /// The service. A panic in another thread left no half-done state that matters to a rehearsal.
    fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusing_for(&self) -> Option<Duration> {
        self.service().refusing_for(self.clock.now())
    }
}

impl Sandbox {
    /// Starts a sandbox on the machine's clock.
    ///
    /// # Errors
    /// When the address is not of this machine alone, or is taken.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_at(settings, Clock::system()).await
    }

    /// Starts a sandbox on this clock.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_at(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        if !settings.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(settings.listen));
        }
        let seed = match settings.seed {
            Some(seed) => seed,
            None => getrandom::u64().map_err(|error| StartError::Seed(error.to_string()))?,
        };
        let failed = |why| StartError::Listen {
            address: settings.listen,
            why,
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            service: Mutex::new(Service::new(&settings, seed, clock.now())),
            clock,
            changed: Notify::new(),
            body_bytes: AtomicUsize::new(0),
            connections_max: settings.connections_max.max(1),
        });
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(listen(Arc::clone(&shared), listener, address, ended));
        Ok(Self {
            shared,
            address,
            guide: Guide::new(&format!("http://{address}"), &settings),
            end,
            task: Some(task),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address of every service it stands for, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.guide.base_url().to_owned()
    }

    /// What a person needs to use it.
    pub fn guide(&self) -> &Guide {
        &self.guide
    }

    /// All runs that are kept, oldest first.
    pub fn runs(&self) -> Vec<Run> {
        self.with(|service, now| service.runs(now).cloned().collect())
    }

    /// What was asked so far.
    pub fn requests(&self) -> Requests {
        self.with(|service, _| service.requests().clone())
    }

    /// Adds a rule about what goes wrong; false if there are too many.
    pub fn push_fault(&self, rule: impl Into<FaultRule>) -> bool {
        self.with(|service, now| service.push_fault(now, rule.into()))
    }

    /// Sets the rules about what goes wrong; those there were are forgotten.
    pub fn set_faults(&self, rules: Vec<FaultRule>) {
        self.with(|service, now| {
            service.clear_faults();
            for rule in rules {
                service.push_fault(now, rule);
            }
        });
    }

    /// Gives a run a status, whatever it had; false if there is no such run.
    pub fn set_status(&self, run_id: &str, status: RunStatus) -> bool {
        self.with(|service, now| service.set_status(now, run_id, status))
    }

    /// Does anything else with the service; no request is served meanwhile.
    pub fn with<T>(&self, work: impl FnOnce(&mut Service, Timestamp) -> T) -> T {
        let result = work(&mut self.shared.service(), self.shared.clock.now());
        self.shared.changed.notify_one();
        result
    }

    /// Ends it: nobody listens any more, and all connections are closed.
    pub async fn stop(mut self) {
        self.end.send_replace(true);
        if let Some(task) = self.task.take() {
            // It can only have ended, or have been aborted with its runtime.
            let _ = task.await;
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.end.send_replace(true);
    }
}

/// What the listener woke up for.
enum Woken {
    Ended,
    Changed,
    Reaped,
    Opened(io::Result<(TcpStream, SocketAddr)>),
}

async fn listen(
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
    mut ended: watch::Receiver<bool>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    // Every connection holds a receiver; a new value asks them all to finish what they do and close.
    let closing = watch::Sender::new(0_u64);
    loop {
        let Some(open) = &listener else {
            let Some(again) = reopen(&shared, address, &mut ended).await else {
                break;
            };
            listener = Some(again);
            continue;
        };
        let woken = tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => Woken::Ended,
            () = shared.changed.notified() => Woken::Changed,
            Some(_) = connections.join_next() => Woken::Reaped,
            accepted = open.accept() => Woken::Opened(accepted),
        };
        match woken {
            Woken::Ended => break,
            Woken::Changed if shared.refusing_for().is_some() => {
                listener = None;
                closing.send_modify(|round| *round += 1);
            }
            Woken::Changed | Woken::Reaped => {}
            Woken::Opened(Ok((stream, _))) => {
                let full = connections.len() >= shared.connections_max;
                let welcome = shared.service().connect(shared.clock.now());
                if full || welcome != Welcome::Served {
                    reset(stream);
                } else {
                    connections.spawn(serve(Arc::clone(&shared), stream, closing.subscribe()));
                }
            }
            // Too many open files, most likely: some will be closed.
            Woken::Opened(Err(_)) => tokio::time::sleep(PAUSE).await,
        }
    }
    connections.shutdown().await;
}

/// Waits until somebody is to listen again, and listens. None: the sandbox ends.
async fn reopen(
    shared: &Shared,
    address: SocketAddr,
    ended: &mut watch::Receiver<bool>,
) -> Option<TcpListener> {
    loop {
        let wait = match shared.refusing_for() {
            Some(wait) => wait.max(Duration::from_millis(1)),
            None => match TcpListener::bind(address).await {
                Ok(listener) => return Some(listener),
                // Somebody took the port meanwhile; it may come back.
                Err(_) => PAUSE,
            },
        };
        tokio::select! {
            biased;
            _ = ended.wait_for(|ended| *ended) => return None,
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn reset(stream: TcpStream) {
    // Without it the client sees an orderly close: still no answer.
    let _ = stream.set_zero_linger();
    drop(stream);
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, mut closing: watch::Receiver<u64>) {
    // Answers are small and clients wait for them.
    let _ = stream.set_nodelay(true);
    let resets = Arc::new(AtomicBool::new(false));
    let wire = Wire {
        stream,
        resets: Arc::clone(&resets),
        stuck: None,
    };
    let service = service_fn(|request| answer(Arc::clone(&shared), Arc::clone(&resets), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(wire), service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is the client's business or a fault's doing: there is nobody to tell.
    let asked_to_close = tokio::select! {
        biased;
        changed = closing.changed() => changed.is_ok(),
        _ = connection.as_mut() => return,
    };
    if asked_to_close {
        connection.as_mut().graceful_shutdown();
    }
    let _ = connection.await;
}

/// The exchange ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

async fn answer(
    shared: Arc<Shared>,
    resets: Arc<AtomicBool>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Answer>, NoAnswer> {
    let request = match read(&shared, request).await {
        Ok(request) => request,
        Err(Unread::Slow) => return Err(NoAnswer),
        Err(Unread::Answered(response)) => return answered(response, Pace::Whole),
    };
    let mut outcome = {
        let now = shared.clock.now();
        shared.service().handle(now, &request)
    };
    drop(request);
    shared.changed.notify_one();
    loop {
        match outcome {
            Outcome::Answer {
                response,
                after,
                pace,
            } => {
                tokio::time::sleep(after).await;
                return answered(response, pace);
            }
            Outcome::Later { after, ticket } => {
                tokio::time::sleep(after).await;
                let now = shared.clock.now();
                outcome = shared.service().collect(now, ticket);
            }
            Outcome::Silence(hangup) => {
                resets.store(hangup == Hangup::Reset, Ordering::Relaxed);
                if hangup == Hangup::Stall {
                    tokio::time::sleep(STALL_MAX).await;
                }
                return Err(NoAnswer);
            }
        }
    }
}

fn answered(response: Response, pace: Pace) -> Result<hyper::Response<Answer>, NoAnswer> {
    let mut builder = hyper::Response::builder()
        .status(response.status)
        .header("content-length", response.length());
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    builder
        .body(Answer::new(response, pace))
        .map_err(|_| NoAnswer)
}

/// Why a request was not read.
enum Unread {
    /// It did not come in time, or the client left.
    Slow,
    /// It is more than is taken.
    Answered(Response),
}

/// Bytes of a body that count against those of all bodies, until this is dropped.
struct Share<'a> {
    all: &'a AtomicUsize,
    mine: usize,
}

impl Share<'_> {
    /// Takes so many more; false if there are not so many left.
    fn take(&mut self, bytes: usize) -> bool {
        self.mine += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed) + bytes <= BODIES_BYTES_MAX
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.mine, Ordering::Relaxed);
    }
}

async fn read(shared: &Shared, request: hyper::Request<Incoming>) -> Result<Request, Unread> {
    let (head, mut incoming) = request.into_parts();
    let too_large = || {
        let message = "The request body exceeds the size limit";
        Unread::Answered(super::answers::gateway(413, "APIGW.0201", message, ""))
    };
    if incoming.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut body = Vec::new();
    let mut share = Share {
        all: &shared.body_bytes,
        mine: 0,
    };
    let deadline = Instant::now() + BODY_TIME_MAX;
    while let Some(frame) = tokio::time::timeout_at(deadline, incoming.frame())
        .await
        .map_err(|_| Unread::Slow)?
    {
        let Ok(bytes) = frame.map_err(|_| Unread::Slow)?.into_data() else {
            continue;
        };
        if body.len() + bytes.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
        if !share.take(bytes.len()) {
            let busy = super::answers::failure(
                503,
                "SANDBOX.FULL",
                "the sandbox is reading as much as it can",
            );
            return Err(Unread::Answered(busy));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(Request {
        method: head.method.as_str().to_owned(),
        target: head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body,
    })
}

/// A response's body on its way.
struct Answer {
    body: Bytes,
    padding: u64,
    pace: Pace,
    /// The next drop leaves then.
    next: Option<Pin<Box<Sleep>>>,
    /// The half that comes has gone.
    cut: bool,
}

impl Answer {
    fn new(response: Response, pace: Pace) -> Self {
        let mut body = Bytes::from(response.body);
        if pace == Pace::Cut {
            body.truncate(body.len() / 2);
        }
        Self {
            body,
            padding: response.padding_bytes,
            pace,
            next: None,
            cut: false,
        }
    }

    /// The next piece of at most so many bytes; none if all has gone.
    fn piece(&mut self, most: usize) -> Option<Bytes> {
        if !self.body.is_empty() {
            return Some(self.body.split_to(most.min(self.body.len())));
        }
        let size = PADDING
            .len()
            .min(most)
            .min(usize::try_from(self.padding).unwrap_or(usize::MAX));
        self.padding -= u64::try_from(size).unwrap_or(0);
        (size > 0).then(|| Bytes::from_static(PADDING.get(..size).unwrap_or_default()))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = NoAnswer;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoAnswer>>> {
        match self.pace {
            Pace::Whole => Poll::Ready(self.piece(usize::MAX).map(|piece| Ok(Frame::data(piece)))),
            Pace::Drip { bytes, every } => {
                if let Some(next) = &mut self.next {
                    ready!(next.as_mut().poll(context));
                }
                self.next = Some(Box::pin(tokio::time::sleep(every)));
                Poll::Ready(self.piece(bytes).map(|piece| Ok(Frame::data(piece))))
            }
            Pace::Cut => {
                self.padding = 0;
                if let Some(piece) = self.piece(usize::MAX) {
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                if self.cut {
                    return Poll::Ready(Some(Err(NoAnswer)));
                }
                // Once more round, so that what was written so far leaves before the end does.
                self.cut = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A connection that can be reset when it is dropped, and that leaves a client which takes nothing.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    resets: Arc<AtomicBool>,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.resets.load(Ordering::Relaxed) {
            // Without it the client sees an orderly close: still no answer.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl Wire {
    /// Passes on what a write came to; one that is stuck for too long fails.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck = self
            .stuck
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIME_MAX)));
        stuck
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
