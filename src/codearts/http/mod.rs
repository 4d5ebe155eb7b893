//! The one way to the service: sessions by account, over HTTPS, within limits.
//!
//! It promises never to send the request that starts a run twice, to call a request "not sent" only if it is certain
//! that none left, and to show no secret. It refuses to wait without a limit, to follow a redirect, and to read an
//! answer of any size.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::{CodeArts, Start};
use crate::config::Account;
use crate::domain::sighting::{Find, Look, PipelineAt, SeenRun, Sighting};
use crate::domain::{AccountName, Answer, AnswerKind};
use crate::os::Clock;
use crate::os::tls::{Trust, certificates};
use crate::telemetry::metrics::Metrics;

mod credentials;
mod dry_run;
mod exchange;
mod gate;
mod lines;
mod looks;
mod pipelines;
mod rate;
mod secrets;
mod session;
mod sources;

pub use dry_run::dry_run;
pub use looks::longest_look;
pub use pipelines::PipelinePage;

use gate::Hold;
use rate::Rate;
use session::{Session, no_response};

/// The client. Copies share their sessions.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    metrics: Metrics,
    hold: Arc<Hold>,
    trust: Arc<Trust>,
    sessions: RwLock<Sessions>,
    /// Whoever knows an account's rate; also that of one which was just taken away, as it may come back.
    rates: Mutex<BTreeMap<AccountName, Arc<Rate>>>,
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
        Self::counting(accounts, clock, Metrics::default())
    }

    /// The same, counting what it does there.
    pub fn counting(
        accounts: &BTreeMap<AccountName, Arc<Account>>,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        let client = Self {
            inner: Arc::new(Inner {
                clock,
                metrics,
                hold: Arc::default(),
                trust: Arc::default(),
                sessions: RwLock::default(),
                rates: Mutex::default(),
            }),
        };
        client.replace_accounts(accounts);
        client
    }

    /// Goes on with these accounts, after a reload. One whose settings are unchanged keeps its session, its token
    /// included; its secrets and files are read again. Requests under way end under the account they began with; all
    /// requests of that name together keep to the new rate at once.
    pub fn replace_accounts(&self, accounts: &BTreeMap<AccountName, Arc<Account>>) {
        self.inner.trust.forget();
        let mut rates = self
            .inner
            .rates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        rates.retain(|name, rate| {
            accounts.contains_key(name) || Arc::strong_count(rate) > 1 || !rate.is_idle()
        });
        let mut sessions = self
            .inner
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *sessions = accounts
            .iter()
            .map(|(name, account)| {
                let per_second = account.requests_per_second;
                let rate = rates
                    .entry(name.clone())
                    .or_insert_with(|| Arc::new(Rate::new(per_second)));
                rate.set(per_second);
                let session = match sessions.get(name) {
                    Some(session) if session.account() == &**account => Arc::clone(session),
                    _ => Arc::new(Session::new(
                        Arc::clone(account),
                        self.inner.clock.clone(),
                        self.inner.metrics.clone(),
                        Arc::clone(&self.inner.hold),
                        Arc::clone(&self.inner.trust),
                        Arc::clone(rate),
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
            let ca = account.ca_file.as_deref().map(certificates);
            secrets::check(account)
                .into_iter()
                .chain(ca.and_then(Result::err))
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
        self.start_and_tell(start, || {}).await
    }

    async fn start_and_tell(&self, start: Start, left: impl FnOnce() + Send + 'static) -> Answer {
        match self.session(&start.account) {
            Some(session) => session.start(start, left).await,
            None => no_account(&start.account),
        }
    }

    async fn find(&self, find: Find) -> Sighting {
        match self.session(&find.at.account) {
            Some(session) => session.find(find).await,
            None => Sighting::Failed(no_account(&find.at.account)),
        }
    }

    async fn look(&self, runs: Vec<(PipelineAt, String)>) -> Vec<Look> {
        let mut looks: Vec<Option<Look>> = runs.iter().map(|_| None).collect();
        let mut accounts: BTreeMap<AccountName, Vec<usize>> = BTreeMap::new();
        for (index, (at, _)) in runs.iter().enumerate() {
            accounts.entry(at.account.clone()).or_default().push(index);
        }
        for (account, indices) in accounts {
            let wanted: Vec<_> = indices.iter().map(|index| runs[*index].clone()).collect();
            let seen = match self.session(&account) {
                Some(session) => session.look(wanted).await,
                None => vec![Look::Failed(no_account(&account)); wanted.len()],
            };
            for (index, look) in indices.into_iter().zip(seen) {
                looks[index] = Some(look);
            }
        }
        // Each index belongs to one account, so none is left; a run is never called vanished for want of an answer.
        looks
            .into_iter()
            .zip(runs)
            .map(|(look, (at, _))| look.unwrap_or_else(|| Look::Failed(no_account(&at.account))))
            .collect()
    }

    async fn under_way(&self, at: PipelineAt) -> Result<Vec<SeenRun>, Answer> {
        match self.session(&at.account) {
            Some(session) => session.under_way(at).await,
            None => Err(no_account(&at.account)),
        }
    }

    async fn stop(
        &self,
        at: PipelineAt,
        run_id: String,
        queue_id: Option<String>,
    ) -> Result<(), Answer> {
        match self.session(&at.account) {
            Some(session) => session.stop(at, run_id, queue_id).await,
            None => Err(no_account(&at.account)),
        }
    }

    fn use_accounts(&self, accounts: &BTreeMap<AccountName, Arc<Account>>) {
        self.replace_accounts(accounts);
    }

    fn hold_back(&self) {
        self.inner.hold.begin();
    }
}

fn no_account(account: &AccountName) -> Answer {
    no_response(
        AnswerKind::KeptHere,
        format!("there is no account {account} any more"),
    )
}

/// The longest [`CodeArts::start`] takes for this account. A lease on an attempt has to outlive it, and begins when the
/// attempt is written down, so before the wait for the account's rate: that is in it.
pub fn longest_start(account: &Account) -> Duration {
    session::longest_preparation(account)
        .saturating_add(rate::longest_wait(account.requests_per_second))
        .saturating_add(account.request_timeout)
        .saturating_add(Duration::from_secs(5))
}
