//! The CodeArts Pipeline service: an ask to a request, a response to an answer. No IO in this file.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use crate::config::Account;
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

    /// From now on these accounts are known, and their secrets are read again when they are next needed. Requests
    /// under way go on with what they began with.
    fn use_accounts(&self, accounts: &BTreeMap<AccountName, Arc<Account>>);
}
