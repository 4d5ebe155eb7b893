//! Time that stands still while the network does its work.

use std::time::{Duration, Instant};

/// As long as this is there, tokio's clock stands still, and is moved by the test alone. A paused clock goes on by itself
/// when nothing is to be done, and to wait for a packet looks like that: every time limit would strike at once. It does
/// not while a blocking task runs.
pub(crate) struct Frozen {
    _blocks: std::sync::mpsc::Sender<()>,
}

impl Frozen {
    pub(crate) fn new() -> Self {
        tokio::time::pause();
        let (blocks, blocked) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || blocked.recv());
        Self { _blocks: blocks }
    }

    /// Time passes.
    pub(crate) async fn passes(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

/// Lets the others work until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::task::yield_now().await;
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}
