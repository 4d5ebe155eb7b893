//! The CodeArts Pipeline service: an ask to a request, a response to an answer. No IO in this file.

use std::future::Future;

use crate::domain::{AccountName, Answer, RunRequest};

/// A run to be started.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Whose credentials start it.
    pub account: AccountName,
    /// What is sent.
    pub request: RunRequest,
    /// What ends the description: `[pipecron LEDGER TICK]`.
    pub marker: String,
}

/// The service, as the daemon sees it. Tests put something else behind it.
pub trait CodeArts: Send + Sync + 'static {
    /// Sends one request that starts a run, and classes what comes back. Never sends it twice.
    fn start(&self, start: Start) -> impl Future<Output = Answer> + Send;
}
