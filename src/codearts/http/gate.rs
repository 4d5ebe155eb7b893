//! A request's body that knows whether it was handed to a connection, so that "never sent" is a fact and no guess.
//!
//! An error says what went wrong, not when: "timed out" may mean while connecting, or while the service was working.
//! The body tells. The HTTP layer asks for it only when it writes the request; as long as it was not asked for, no
//! server can have got a request it could carry out. When we give up, the gate is shut in the same step that looks
//! whether something has passed: what was not handed out by then never will be, even if the connection comes up in
//! that very moment.
//!
//! A [`Hold`] is for all requests at once: when pipecron ends, whatever has not left by then stays here, and is known to
//! have stayed here. Who waits for something that comes before is told at once instead of being killed in the midst of
//! it, which would leave the tick in doubt.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::watch;

/// From when on nothing leaves any more. There is no way back.
#[derive(Debug, Default)]
pub(super) struct Hold(watch::Sender<bool>);

/// What is said of a request that a hold kept here.
pub(super) const HELD_BACK: &str = "pipecron is being stopped";

impl Hold {
    pub(super) fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it begins; over at once if it has.
    pub(super) async fn begins(&self) {
        let mut is_on = self.0.subscribe();
        // An error would say that the sender is gone, which is ours.
        let _ = is_on.wait_for(|is_on| *is_on).await;
    }

    /// What comes of `work`, unless the hold begins before it is done.
    ///
    /// # Errors
    /// When the hold has begun; `work` was dropped then.
    pub(super) async fn unless<T>(&self, work: impl Future<Output = T>) -> Result<T, HeldBack> {
        tokio::select! {
            biased;
            () = self.begins() => Err(HeldBack),
            done = work => Ok(done),
        }
    }
}

/// A hold has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldBack;

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

    #[tokio::test]
    async fn a_hold_ends_every_wait_and_stays() {
        let hold = Arc::new(Hold::default());
        assert_eq!(hold.unless(async { 7 }).await, Ok(7));
        let waits = {
            let hold = Arc::clone(&hold);
            tokio::spawn(async move { hold.unless(std::future::pending::<()>()).await })
        };
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        hold.begin();
        assert_eq!(waits.await.unwrap(), Err(HeldBack));
        assert_eq!(hold.unless(async { 7 }).await, Err(HeldBack));
    }

    #[test]
    fn a_request_without_a_body_may_always_have_been_sent() {
        assert!(!gated(Vec::new()).0.shut());
    }
}
