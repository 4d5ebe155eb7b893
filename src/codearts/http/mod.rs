//! The one way to the service: sessions by account, over HTTPS, within limits.
//!
//! It promises never to send the request that starts a run twice, to call a request "not sent" only if it is certain
//! that none left, and to show no secret. It refuses to wait without a limit, to follow a redirect, and to read an
//! answer of any size.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::{CodeArts, Start};
use crate::config::Account;
use crate::domain::{AccountName, Answer, AnswerKind};
use crate::os::Clock;

mod credentials;
mod dry_run;
mod exchange;
mod gate;
mod lines;
mod secrets;
mod session;
mod sources;

pub use dry_run::dry_run;

use lines::Trust;
use session::{Session, no_response};

/// The client. Copies share their sessions.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    trust: Arc<Trust>,
    sessions: RwLock<Sessions>,
}

type Sessions = BTreeMap<AccountName, Arc<Session>>;

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts: Vec<AccountName> = self.sessions().keys().cloned().collect();
        out.debug_struct("Client")
            .field("accounts", &accounts)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client for these accounts. Reads nothing and connects to nobody yet: an account whose secrets cannot be read
    /// rests alone, and says so when it is asked for a run.
    pub fn new(accounts: &BTreeMap<AccountName, Arc<Account>>, clock: Clock) -> Self {
        let client = Self {
            inner: Arc::new(Inner {
                clock,
                trust: Arc::default(),
                sessions: RwLock::default(),
            }),
        };
        client.replace_accounts(accounts);
        client
    }

    /// Goes on with these accounts, after a reload. One whose settings are unchanged keeps its session, its token
    /// included; its secrets and files are read again. Requests under way end under the account they began with.
    pub fn replace_accounts(&self, accounts: &BTreeMap<AccountName, Arc<Account>>) {
        self.inner.trust.forget();
        let mut sessions = self
            .inner
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *sessions = accounts
            .iter()
            .map(|(name, account)| {
                let session = match sessions.get(name) {
                    Some(session) if session.account() == &**account => Arc::clone(session),
                    _ => Arc::new(Session::new(
                        Arc::clone(account),
                        self.inner.clock.clone(),
                        Arc::clone(&self.inner.trust),
                    )),
                };
                session.reread();
                (name.clone(), session)
            })
            .collect();
    }

    /// Which accounts' secrets cannot be read now, and why. Blocks for as long as the files take; fetches nothing.
    pub fn check_secrets(&self) -> Vec<(AccountName, String)> {
        let sessions = self.sessions().clone();
        let check = |(name, session): (AccountName, Arc<Session>)| {
            let account = session.account();
            let ca = lines::read_ca(account)
                .and_then(|pem| pem.map_or(Ok(Vec::new()), |pem| lines::parse_ca(account, &pem)));
            secrets::check(account)
                .into_iter()
                .chain(ca.err())
                .map(move |why| (name.clone(), why))
                .collect::<Vec<_>>()
        };
        sessions.into_iter().flat_map(check).collect()
    }

    fn sessions(&self) -> RwLockReadGuard<'_, Sessions> {
        self.inner
            .sessions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, account: &AccountName) -> Option<Arc<Session>> {
        self.sessions().get(account).cloned()
    }
}

impl CodeArts for Client {
    async fn start(&self, start: Start) -> Answer {
        match self.session(&start.account) {
            Some(session) => session.start(start).await,
            None => no_response(
                AnswerKind::NotSent,
                format!("there is no account {} any more", start.account),
            ),
        }
    }

    fn use_accounts(&self, accounts: &BTreeMap<AccountName, Arc<Account>>) {
        self.replace_accounts(accounts);
    }
}

/// The longest [`CodeArts::start`] takes for this account. A lease on an attempt has to outlive it.
pub fn longest_start(account: &Account) -> Duration {
    session::longest_preparation(account)
        .saturating_add(account.request_timeout)
        .saturating_add(Duration::from_secs(5))
}
