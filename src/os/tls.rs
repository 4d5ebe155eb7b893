//! Whom we trust on the wire: the machine's certificates and those of a file. With it, the TLS and the proxy of an HTTP
//! client, which everything that speaks HTTP sets up alike. Blocks while certificates are read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

/// Largest file of certificates, in bytes: several times a whole system's bundle.
const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The system's certificates, loaded once for all: they take 7 ms and more than a megabyte.
#[derive(Debug, Default)]
pub struct Trust(Mutex<Option<Arc<Verifier>>>);

impl Trust {
    /// Has the system's certificates read again by whoever needs them next.
    pub fn forget(&self) {
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

    /// TLS for an HTTP client that talks to `address`, trusting the certificates of `ca_file` too.
    ///
    /// # Errors
    /// When the certificates cannot be read or used.
    pub fn client(
        &self,
        address: &str,
        ca_file: Option<&Path>,
    ) -> Result<rustls::ClientConfig, String> {
        let extra = ca_file.map(certificates).transpose()?;
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        // On plain HTTP (the sandbox, the metadata service) a machine without certificates is no fault.
        let mut config = if extra.is_none() && !address.starts_with("https:") {
            builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth()
        } else {
            let verifier = match extra {
                None => self.system()?,
                Some(extra) => Verifier::new_with_extra_roots(extra, provider())
                    .map(Arc::new)
                    .map_err(|error| format!("the certificates cannot be used: {error}"))?,
            };
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The certificates of a CA file, as they stand there now.
///
/// # Errors
/// When the file cannot be read, holds none, or something else.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let pem = super::read_file(path, CA_FILE_BYTES_MAX)
        .map_err(|why| format!("cannot read the CA file {shown}: {why}"))?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the CA file {shown} is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("the CA file {shown} holds no certificate"));
    }
    Ok(certificates)
}

/// The proxy that `whose` settings name. One that cannot be used is refused, for the HTTP library would pass over a kind
/// it does not know and connect directly. The message does not repeat it: it may hold a password.
///
/// # Errors
/// When it is none for HTTP.
pub fn proxy(whose: &str, proxy: &str) -> Result<reqwest::Proxy, String> {
    let refuse =
        || format!("{whose} proxy is not usable: it must be http://HOST:PORT or https://HOST:PORT");
    let is_http = match proxy.split_once("://") {
        Some((scheme, _)) => matches!(scheme, "http" | "https"),
        None => true,
    };
    if !is_http {
        return Err(refuse());
    }
    reqwest::Proxy::all(proxy).map_err(|_| refuse())
}

/// The causes of an HTTP client's error, outermost first, each once. The error itself names its kind and the address,
/// which could hold a password; it is only told if there is no cause.
pub fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = String::new();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        cause = error.source();
    }
    if text.is_empty() {
        error.to_string()
    } else {
        text
    }
}
