//! The connections of an account: TLS, proxy, time limits.
//!
//! A run is started on a connection of its own, never on one that lay idle: a server that closes it just then leaves
//! us without an answer to a request that is already out, and the tick in doubt. (Measured against a server that closes
//! idle connections after a second, a request every second: 24 of 120 lost.) A new connection costs half a
//! millisecond of CPU and two round trips, and fails before anything is sent. Nothing is sent again by itself: the
//! retries of the HTTP library are off, a body that has passed its gate cannot be had twice, and no redirect is
//! followed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::{Account, NO_PROXY};
use crate::os::tls::{self, Trust};

/// How long an idle connection is kept, where one is kept at all.
const IDLE: Duration = Duration::from_secs(15);
/// The SDKs' limit for the metadata service, which is next door or not there at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To start a run, or to stop one: each on a new connection.
    Start,
    /// A request that may be sent again, to IAM: connections are kept for a while.
    Call,
    /// A look at runs, which may be taken again: connections are kept for a while, for one look asks many times.
    Look,
    /// The instance metadata service: never through a proxy.
    Metadata,
}

/// An account's clients, made when they are first needed, and again after a reload: certificates may be new.
#[derive(Debug, Default)]
pub(super) struct Lines {
    made: Mutex<Made>,
    /// Held while one is made, so that many ticks at once make one.
    making: Mutex<()>,
}

#[derive(Debug, Default)]
struct Made {
    /// How often there was a reload.
    reloads: u64,
    clients: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    purpose: Purpose,
    /// How often there had been a reload when it was made.
    as_of: u64,
    client: reqwest::Client,
}

impl Lines {
    /// Has the certificates read again before the next request.
    pub(super) fn reread(&self) {
        self.made().reloads += 1;
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for a purpose, if it is there and up to date.
    pub(super) fn ready(&self, purpose: Purpose) -> Option<reqwest::Client> {
        let made = self.made();
        made.clients
            .iter()
            .find(|line| line.purpose == purpose && line.as_of == made.reloads)
            .map(|line| line.client.clone())
    }

    /// The client for a purpose. Blocks while certificates are read.
    ///
    /// # Errors
    /// When the certificates, the proxy or TLS cannot be set up.
    pub(super) fn make(
        &self,
        purpose: Purpose,
        account: &Account,
        trust: &Trust,
    ) -> Result<reqwest::Client, String> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.ready(purpose) {
            return Ok(client);
        }
        let as_of = self.made().reloads;
        let fresh = tls(purpose, account, trust).and_then(|tls| client(purpose, account, tls));
        let clients = &mut self.made().clients;
        let old = clients.iter().position(|line| line.purpose == purpose);
        match (fresh, old) {
            (Ok(client), old) => {
                if let Some(at) = old {
                    clients.swap_remove(at);
                }
                clients.push(Line {
                    purpose,
                    as_of,
                    client: client.clone(),
                });
                Ok(client)
            }
            // A file that went away must not stop what works; it is looked for again with every start.
            (Err(why), Some(at)) => {
                tracing::warn!(account = %account.name, "{why}; going on as before the reload");
                Ok(clients[at].client.clone())
            }
            (Err(why), None) => Err(why),
        }
    }
}

fn tls(purpose: Purpose, account: &Account, trust: &Trust) -> Result<rustls::ClientConfig, String> {
    let address = match purpose {
        Purpose::Start | Purpose::Look => &account.endpoint,
        Purpose::Call => &account.iam_endpoint,
        Purpose::Metadata => &account.metadata_endpoint,
    };
    trust.client(address, account.ca_file.as_deref())
}

fn client(
    purpose: Purpose,
    account: &Account,
    tls: rustls::ClientConfig,
) -> Result<reqwest::Client, String> {
    let (connect, whole) = match purpose {
        Purpose::Start | Purpose::Call | Purpose::Look => {
            (account.connect_timeout, account.request_timeout)
        }
        Purpose::Metadata => (
            METADATA_TIMEOUT.min(account.connect_timeout),
            METADATA_TIMEOUT.min(account.request_timeout),
        ),
    };
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .connect_timeout(connect)
        .timeout(whole)
        .read_timeout(whole)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false);
    builder = match purpose {
        Purpose::Call => builder,
        Purpose::Look => builder.pool_max_idle_per_host(super::rate::LOOKS_AT_ONCE),
        Purpose::Start | Purpose::Metadata => builder.pool_max_idle_per_host(0),
    };
    builder = match account.proxy.as_deref() {
        _ if purpose == Purpose::Metadata => builder.no_proxy(),
        None => builder,
        Some(NO_PROXY) => builder.no_proxy(),
        Some(proxy) => builder
            .no_proxy()
            .proxy(tls::proxy("the account's", proxy)?),
    };
    builder
        .build()
        .map_err(|error| format!("the connection cannot be set up: {}", tls::causes(error)))
}
