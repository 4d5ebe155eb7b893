//! The connections of an account: TLS, proxy, time limits.
//!
//! A run is started on a connection of its own, never on one that lay idle: a server that closes it just then leaves
//! us without an answer to a request that is already out, and the tick in doubt. (Measured against a server that closes
//! idle connections after a second, a request every second: 24 of 120 lost.) A new connection costs half a
//! millisecond of CPU and two round trips, and fails before anything is sent. Nothing is sent again by itself: the
//! retries of the HTTP library are off, a body that has passed its gate cannot be had twice, and no redirect is
//! followed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use crate::config::{Account, NO_PROXY};
use crate::os;

/// How long an idle connection is kept, where one is kept at all.
const IDLE: Duration = Duration::from_secs(15);
/// The SDKs' limit for the metadata service, which is next door or not there at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest file of certificates, in bytes: several times a whole system's bundle.
const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The system's certificates, loaded once for all accounts: they take 7 ms and more than a megabyte.
#[derive(Debug, Default)]
pub(super) struct Trust(Mutex<Option<Arc<Verifier>>>);

impl Trust {
    /// Has the system's certificates read again by whoever needs them next.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn system(&self) -> Result<Arc<Verifier>, String> {
        let mut system = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verifier) = &*system {
            return Ok(Arc::clone(verifier));
        }
        let verifier = Verifier::new(provider())
            .map(Arc::new)
            .map_err(|error| format!("the system's certificates cannot be used: {error}"))?;
        *system = Some(Arc::clone(&verifier));
        Ok(verifier)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

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

/// The account's own certificates, as they stand in the file.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read_ca(account: &Account) -> Result<Option<Vec<u8>>, String> {
    account
        .ca_file
        .as_deref()
        .map(|path| {
            os::read_file(path, CA_FILE_BYTES_MAX)
                .map_err(|why| format!("cannot read the CA file {}: {why}", path.display()))
        })
        .transpose()
}

/// The account's own certificates, parsed.
///
/// # Errors
/// When the file holds none, or something else.
pub(super) fn parse_ca(
    account: &Account,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = || {
        account
            .ca_file
            .as_deref()
            .unwrap_or_else(|| "".as_ref())
            .display()
    };
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the CA file {} is not PEM: {error}", path()))?;
    if certificates.is_empty() {
        return Err(format!("the CA file {} holds no certificate", path()));
    }
    Ok(certificates)
}

fn tls(purpose: Purpose, account: &Account, trust: &Trust) -> Result<rustls::ClientConfig, String> {
    let ca = read_ca(account)?;
    let address = match purpose {
        Purpose::Start | Purpose::Look => &account.endpoint,
        Purpose::Call => &account.iam_endpoint,
        Purpose::Metadata => &account.metadata_endpoint,
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    // On plain HTTP (the sandbox, the metadata service) a machine without certificates is no fault.
    if !address.starts_with("https:") && ca.is_none() {
        let mut config = builder
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        return Ok(config);
    }
    let verifier = match ca {
        None => trust.system()?,
        Some(pem) => Verifier::new_with_extra_roots(parse_ca(account, &pem)?, provider())
            .map(Arc::new)
            .map_err(|error| format!("the certificates cannot be used: {error}"))?,
    };
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
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
        Some(proxy) => builder.no_proxy().proxy(explicit_proxy(proxy)?),
    };
    builder.build().map_err(|error| {
        format!(
            "the connection cannot be set up: {}",
            super::exchange::causes(error)
        )
    })
}

/// The proxy an account names. One that cannot be used is refused, for the HTTP library would pass over a kind it does
/// not know and connect directly. The message does not repeat it: it may hold a password.
fn explicit_proxy(proxy: &str) -> Result<reqwest::Proxy, String> {
    let refuse = || {
        "the account's proxy is not usable: it must be http://HOST:PORT or https://HOST:PORT"
            .to_owned()
    };
    let is_http = match proxy.split_once("://") {
        Some((scheme, _)) => matches!(scheme, "http" | "https"),
        None => true,
    };
    if !is_http {
        return Err(refuse());
    }
    reqwest::Proxy::all(proxy).map_err(|_| refuse())
}
