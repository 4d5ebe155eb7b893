//! A request's body that knows whether it was handed to a connection, so that "never sent" is a fact and no guess.
//!
//! An error says what went wrong, not when: "timed out" may mean while connecting, or while the service was working.
//! The body tells. The HTTP layer asks for it only when it writes the request; as long as it was not asked for, no
//! server can have got a request it could carry out. When we give up, the gate is shut in the same step that looks
//! whether something has passed: what was not handed out by then never will be, even if the connection comes up in
//! that very moment.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

const OPEN: u8 = 0;
const PASSED: u8 = 1;
const SHUT: u8 = 2;

/// Our side: shut it to learn whether the body has passed. Shut when it is dropped, so that a request whose caller
/// has gone away is not sent behind its back.
#[derive(Debug)]
pub(super) struct Gate(Arc<AtomicU8>);

impl Gate {
    /// Lets nothing pass from now on. True if nothing has passed: the request was never sent, and will not be.
    pub(super) fn shut(&self) -> bool {
        move_on(&self.0, SHUT) != PASSED
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Moves an open gate to `state`; tells what it is then.
fn move_on(gate: &AtomicU8, state: u8) -> u8 {
    match gate.compare_exchange(OPEN, state, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => state,
        Err(there) => there,
    }
}

/// The connection's side: a body in one piece.
#[derive(Debug)]
pub(super) struct GatedBody {
    gate: Arc<AtomicU8>,
    bytes: Option<Bytes>,
}

/// A body of `bytes`, and its gate.
pub(super) fn gated(bytes: Vec<u8>) -> (Gate, GatedBody) {
    // An empty body is never asked for, so nobody could tell when its request leaves.
    let state = if bytes.is_empty() { PASSED } else { OPEN };
    let gate = Arc::new(AtomicU8::new(state));
    let body = GatedBody {
        gate: Arc::clone(&gate),
        bytes: (!bytes.is_empty()).then(|| Bytes::from(bytes)),
    };
    (Gate(gate), body)
}

/// The request was given up before it was sent.
#[derive(Debug, thiserror::Error)]
#[error("given up before it was sent")]
pub(super) struct GivenUp;

impl Body for GatedBody {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(match move_on(&self.gate, PASSED) {
            PASSED => Ok(Frame::data(bytes)),
            _ => Err(GivenUp),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn what_has_passed_cannot_be_called_unsent() {
        let (gate, body) = gated(b"{}".to_vec());
        assert_eq!(body.size_hint().exact(), Some(2));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{}");
        assert!(!gate.shut());
    }

    #[tokio::test]
    async fn what_was_called_unsent_cannot_pass() {
        let (gate, body) = gated(b"{}".to_vec());
        assert!(gate.shut());
        assert!(body.collect().await.is_err());
        assert!(gate.shut());
    }

    #[tokio::test]
    async fn a_caller_that_went_away_sends_nothing() {
        let (gate, body) = gated(b"{}".to_vec());
        drop(gate);
        assert!(body.collect().await.is_err());
    }

    #[test]
    fn a_request_without_a_body_may_always_have_been_sent() {
        assert!(!gated(Vec::new()).0.shut());
    }
}
