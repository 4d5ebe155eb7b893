//! Who we are to the service: the signature of an access key, or a token in a header. Pure: told the time, no IO.
//!
//! A request is signed as the official Python SDK signs it (huaweicloudsdkcore, `signer.signer` and
//! `auth.credentials`), byte for byte; `tests/sign.rs` holds it to that. What is signed is what is sent: nothing
//! below may rewrite the address or a signed header. Secrets are never shown: no `Debug` here prints one.

use std::fmt::{self, Write as _};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{HttpRequest, HttpResponse, RESERVED};
use crate::domain::Timestamp;

pub mod iam;
pub mod metadata;
pub mod profile;

/// The name of the algorithm. The others the SDKs know are for other services or have to be asked for.
const ALGORITHM: &str = "SDK-HMAC-SHA256";
/// What the SDKs put in place of the hash of a body that is not JSON.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// An access key.
#[derive(Clone)]
pub struct Keys {
    /// The access key's id; no secret.
    pub ak: String,
    /// The secret key.
    pub sk: SecretString,
    /// The token of a temporary key.
    pub security_token: Option<SecretString>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keys")
            .field("ak", &self.ak)
            .finish_non_exhaustive()
    }
}

/// What opens the door.
#[derive(Debug, Clone)]
pub enum Pass {
    /// The request is signed.
    Keys(Keys),
    /// The request bears this token as `X-Auth-Token`.
    Token(SecretString),
}

impl Pass {
    /// The request with what authenticates it. A signature holds for 15 minutes around `now`.
    ///
    /// # Errors
    /// When the request cannot be signed.
    pub fn admit(
        &self,
        mut request: HttpRequest,
        now: Timestamp,
    ) -> Result<HttpRequest, SignError> {
        match self {
            Self::Keys(keys) => sign(request, keys, now).map(|signed| signed.request),
            Self::Token(token) => {
                request.set_header("X-Auth-Token", token.expose_secret());
                Ok(request)
            }
        }
    }

    /// The secrets in it, for a mask.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let (first, second) = match self {
            Self::Keys(keys) => (&keys.sk, keys.security_token.as_ref()),
            Self::Token(token) => (token, None),
        };
        std::iter::once(first).chain(second)
    }
}

/// A request that cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It has no host to sign. The address is not shown: it may hold a password.
    #[error("the endpoint is no address with a scheme and a host")]
    Url,
    /// The key cannot be used.
    #[error("the secret key cannot be used to sign")]
    Key,
}

/// A signed request, and how its signature came about.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What to send: the headers are complete, the query is written as it was signed.
    pub request: HttpRequest,
    /// The request in canonical form.
    pub canonical_request: String,
    /// What the signature is over.
    pub string_to_sign: String,
}

/// Signs a request with `SDK-HMAC-SHA256`.
///
/// # Errors
/// When the address has no host.
pub fn sign(mut request: HttpRequest, keys: &Keys, now: Timestamp) -> Result<Signed, SignError> {
    let url = Url::of(&request.url)?;
    let query = canonical_query(url.query);
    let path = canonical_path(url.path);
    let date = now.format("%Y%m%dT%H%M%SZ").to_string();
    let (host, sent_url) = (url.host.to_owned(), url.with_query(&query));

    for (_, value) in &mut request.headers {
        *value = value.trim().to_owned();
    }
    request.set_header("X-Sdk-Date", &date);
    if let Some(token) = &keys.security_token {
        request.set_header("X-Security-Token", token.expose_secret());
    }
    let payload = payload_hash(&mut request);
    request.set_header("Host", &host);
    request.url = sent_url;

    let (headers, signed_headers) = canonical_headers(&request);
    let method = request.method.to_uppercase();
    request.method.clone_from(&method);
    let canonical_request =
        format!("{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload}");
    let string_to_sign = format!(
        "{ALGORITHM}\n{date}\n{}",
        hex(&Sha256::digest(canonical_request.as_bytes()))
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(keys.sk.expose_secret().as_bytes())
        .map_err(|_| SignError::Key)?;
    mac.update(string_to_sign.as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    request.set_header(
        "Authorization",
        &format!(
            "{ALGORITHM} Access={}, SignedHeaders={signed_headers}, Signature={signature}",
            keys.ak
        ),
    );
    Ok(Signed {
        request,
        canonical_request,
        string_to_sign,
    })
}

/// The pieces of an address that are signed. We split it ourselves: a parser that follows the browsers' rules would
/// rewrite it, and then something else would be signed than is sent.
struct Url<'a> {
    before_path: &'a str,
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Url<'a> {
    fn of(url: &'a str) -> Result<Self, SignError> {
        let without_fragment = url.split_once('#').map_or(url, |(before, _)| before);
        let authority_at = without_fragment.find("://").ok_or(SignError::Url)? + 3;
        let rest = &without_fragment[authority_at..];
        let path_at = authority_at + rest.find(['/', '?']).unwrap_or(rest.len());
        let (before_path, target) = without_fragment.split_at(path_at);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let authority = &before_path[authority_at..];
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        if host.is_empty() {
            return Err(SignError::Url);
        }
        Ok(Self {
            before_path,
            host,
            path: if path.is_empty() { "/" } else { path },
            query,
        })
    }

    fn with_query(&self, query: &str) -> String {
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{query}", self.before_path, self.path)
    }
}

/// Decoded as a whole and encoded piece by piece, so that `%2F` becomes a plain separator; with a slash at the end
/// that only the signed text has.
fn canonical_path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let pieces: Vec<String> = decoded
        .split('/')
        .map(|piece| utf8_percent_encode(piece, RESERVED).to_string())
        .collect();
    let mut canonical = pieces.join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// Sorted by decoded name, then value; a name without a value gets an empty one.
fn canonical_query(query: &str) -> String {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    pairs.sort_unstable();
    let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

/// The block of signed headers, each line ended, and their names. Headers with `_` in the name are left out, as the
/// SDK does; `Authorization` cannot sign itself.
fn canonical_headers(request: &HttpRequest) -> (String, String) {
    let mut headers: Vec<(String, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_str()))
        .filter(|(name, _)| !name.contains('_') && name != "authorization")
        .collect();
    headers.sort_unstable();
    let mut block = String::new();
    for (name, value) in &headers {
        let _ = writeln!(block, "{name}:{value}");
    }
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    (block, names.join(";"))
}

/// The last line of the canonical request. A body that is not JSON is not hashed by the SDK, which then says so in a
/// header of its own.
fn payload_hash(request: &mut HttpRequest) -> String {
    const HEADER: &str = "X-Sdk-Content-Sha256";
    if request.body.is_empty() {
        return hex(&Sha256::digest(b""));
    }
    if let Some(given) = request.header(HEADER) {
        return given.to_owned();
    }
    let is_hashed = request.header("Content-Type").is_none_or(|kind| {
        kind.starts_with("application/json") || kind.starts_with("application/bson")
    });
    if is_hashed {
        return hex(&Sha256::digest(&request.body));
    }
    request.set_header(HEADER, UNSIGNED_PAYLOAD);
    UNSIGNED_PAYLOAD.to_owned()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The longest life that is believed of a token or key; both have hours.
const LIFE_MAX: TimeDelta = TimeDelta::days(30);

/// Until when something may be used by **our** clock, if its issuer says that it ends at `ends` by its own. The two
/// clocks are set against each other by the response's `Date`, so that a clock that is a day ahead does not make
/// every token look spent. A `Date` that gives it an absurd life is not believed.
fn ends_here(ends: Timestamp, response: &HttpResponse, now: Timestamp) -> Timestamp {
    super::answer::service_clock(response)
        .filter(|there| ends - there <= LIFE_MAX)
        .and_then(|there| ends.checked_add_signed(now - there))
        .unwrap_or(ends)
}

/// An instant as IAM and the metadata service write it: UTC, with or without a fraction, with or without the `Z`.
fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.with_timezone(&Utc))
        .or_else(|_| {
            NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|naive| naive.and_utc())
        })
        .ok()
}
