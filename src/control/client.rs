//! The commands' end of the control socket.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{BY_HEADER, LEDGER_HEADER};
use crate::os;

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest wait for an answer: a reload may have many files to read.
const ANSWER_MAX: Duration = Duration::from_secs(180);

/// Longest wait for an answer to who only reads: nothing is lost by giving up, and the ledger can be read instead.
const READING_MAX: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody listens.
    #[error("no daemon answers on {socket}: {why}")]
    NoDaemon {
        /// Where it was looked for.
        socket: String,
        /// What the system says.
        why: String,
    },
    /// The system does not let us at it.
    #[error(
        "the control socket {socket} is not for this user; root, the daemon's user and its group may use it: try sudo"
    )]
    Denied {
        /// Where.
        socket: String,
    },
    /// Somebody listens, and takes nobody.
    #[error(
        "the daemon on {socket} takes no more connections: too many wait already, or it is stopped; nothing was asked, try again"
    )]
    Busy {
        /// Where.
        socket: String,
    },
    /// Somebody listens, and says nothing to who only reads.
    #[error("the daemon on {socket} did not answer in {} s: it hangs, or has too much to do", READING_MAX.as_secs())]
    Silent {
        /// Where.
        socket: String,
    },
    /// Somebody listens, but the answer did not come whole.
    #[error(
        "the daemon on {socket} gave no answer: {why}; whether it was done, `pipecron status` and `pipecron history` show"
    )]
    Broken {
        /// Where.
        socket: String,
        /// What went wrong.
        why: String,
    },
}

/// One request.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// `GET`, `POST`.
    pub method: Method,
    /// `/v1/status`.
    pub target: &'a str,
    /// What is sent.
    pub body: Option<Value>,
    /// The ledger on which the daemon is expected to work, if somebody named one.
    pub ledger: Option<&'a Path>,
}

/// Asks the daemon; gives the status and the body of its answer.
///
/// # Errors
/// When nobody listens, or no whole answer comes.
pub async fn ask(socket: &Path, ask: Ask<'_>) -> Result<(u16, Value), NoAnswer> {
    let place = socket.display().to_string();
    let stream = UnixStream::connect(socket).await.map_err(|error| {
        let (socket, why) = (place.clone(), error.to_string());
        let is = |kind: ErrorKind| error.kind() == kind;
        // It is there, and does not get to those who came before.
        let is_busy = is(ErrorKind::WouldBlock);
        match is(ErrorKind::PermissionDenied) {
            true => NoAnswer::Denied { socket },
            false if is_busy => NoAnswer::Busy { socket },
            false => NoAnswer::NoDaemon { socket, why },
        }
    })?;
    let broken = |why: String| NoAnswer::Broken {
        socket: place.clone(),
        why,
    };
    // Who waits for news of a tick says so, and is let wait.
    let only_reads = ask.method == Method::GET && !ask.target.contains("?wait=");
    let most = if only_reads { READING_MAX } else { ANSWER_MAX };
    match tokio::time::timeout(most, exchange(stream, ask)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(why)) => Err(broken(why)),
        Err(_) if only_reads => Err(NoAnswer::Silent { socket: place }),
        Err(_) => Err(broken(format!("none came in {} s", ANSWER_MAX.as_secs()))),
    }
}

async fn exchange(stream: UnixStream, ask: Ask<'_>) -> Result<(u16, Value), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let body = ask
        .body
        .map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let mut request = Request::builder()
        .method(ask.method)
        .uri(ask.target)
        .header("host", "pipecron")
        .header(BY_HEADER, header(&os::who()));
    if let Some(ledger) = ask.ledger {
        request = request.header(LEDGER_HEADER, header(&ledger.display().to_string()));
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let bytes = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| format!("what it said is no JSON ({error}); is it a pipecron?"))?;
        Ok((status, value))
    };
    let connection = async {
        // How it ends the answer tells.
        let _ = connection.await;
        std::future::pending::<()>().await
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        () = connection => Err("the connection ended".to_owned()),
    }
}

/// A header's value: what cannot stand in one is escaped.
fn header(text: &str) -> String {
    percent_encoding::percent_encode(text.as_bytes(), percent_encoding::CONTROLS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_does_not_wait_for_a_daemon_that_hangs_and_who_acts_does() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("c.sock");
        // It listens, and takes nobody in.
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let of = |method, target| Ask {
            method,
            target,
            body: None,
            ledger: None,
        };
        let begun = tokio::time::Instant::now();
        let silent = ask(&socket, of(Method::GET, "/v1/status")).await;
        assert!(matches!(silent, Err(NoAnswer::Silent { .. })), "{silent:?}");
        assert_eq!(begun.elapsed().as_secs(), READING_MAX.as_secs());
        for (method, target) in [
            (Method::POST, "/v1/reload"),
            (Method::GET, "/v1/ticks/a?wait=30&seen=0"),
        ] {
            let begun = tokio::time::Instant::now();
            let broken = ask(&socket, of(method, target)).await;
            assert!(matches!(broken, Err(NoAnswer::Broken { .. })), "{broken:?}");
            assert_eq!(begun.elapsed().as_secs(), ANSWER_MAX.as_secs());
        }
    }
}
