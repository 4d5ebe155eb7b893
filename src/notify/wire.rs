//! One post over one connection, and the answer read within bounds.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};

use super::Heard;
use super::render::Post;
use super::{CONNECT, Undelivered, WHOLE};
use crate::codearts::{Mask, USER_AGENT};
use crate::config::NO_PROXY;
use crate::domain::Timestamp;
use crate::domain::notice::Signal;
use crate::os::tls::{self, Trust, causes};

/// Most that is read of an answer, in bytes: the services say what is wrong in a hundred.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Most that is sent with a signal, in bytes: what healthchecks.io keeps of it on its smallest plan.
const SIGNAL_BYTES_MAX: usize = 10_000;
/// Longest wait that the other side may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// A part of an address that is shorter than this is a word such as `send`, not a key.
const KEY_BYTES_MIN: usize = 8;

/// The connection to where an address leads, and what must not be told of it.
pub(super) struct Line {
    client: Client,
    url: Url,
    place: String,
    mask: Mask,
}

impl Line {
    /// Sets up the connection; makes none yet. Blocks while certificates are read.
    pub(super) fn new(
        trust: &Trust,
        address: &str,
        proxy: Option<&str>,
        ca_file: Option<&Path>,
    ) -> Result<Self, Undelivered> {
        let url = parse(address).map_err(Undelivered::for_good)?;
        let place = url.origin().ascii_serialization();
        let mut mask = Mask::none();
        hide_address(&mut mask, address, &url);
        let fail = |why: String| Undelivered::for_now(format!("{place}: {why}"));
        let tls = trust.client(url.as_str(), ca_file).map_err(fail)?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(USER_AGENT);
        builder = match proxy {
            // What goes to this machine goes there in the clear, and must not take a way around.
            _ if is_this_machine(&url) => builder.no_proxy(),
            None => builder,
            Some(NO_PROXY) => builder.no_proxy(),
            Some(proxy) => {
                if let Some(password) = Url::parse(proxy).ok().as_ref().and_then(Url::password) {
                    mask.hide(password);
                }
                let proxy = tls::proxy("the channel's", proxy).map_err(Undelivered::for_good)?;
                builder.no_proxy().proxy(proxy)
            }
        };
        let client = builder.build().map_err(|error| {
            let why = mask.show(&causes(error));
            fail(format!("the connection cannot be set up: {why}"))
        })?;
        Ok(Self {
            client,
            url,
            place,
            mask,
        })
    }

    /// Hides a secret that goes over it.
    pub(super) fn hide(&mut self, secret: &SecretString) {
        self.mask.hide(secret.expose_secret());
    }

    /// Where it leads: scheme, host and port.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Posts once. An answer is one as soon as its head is there; a body that breaks off is part of it.
    pub(super) async fn post(&self, post: Post, now: Timestamp) -> Result<Heard, Undelivered> {
        let mut request = self.client.post(self.url.clone()).body(post.body);
        for (name, value) in post.headers {
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                Undelivered::for_good(format!(
                    "{}: the header {name} would hold characters that may not stand in one; look at the secret",
                    self.place
                ))
            })?;
            // So that no layer below prints one.
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| {
            let is_timeout = error.is_timeout();
            let why = self.mask.show(&causes(error));
            Undelivered::for_now(if is_timeout {
                format!("{} did not answer in time: {why}", self.place)
            } else {
                format!("{} cannot be reached: {why}", self.place)
            })
        })?;
        Ok(self.hear(response, now).await)
    }

    async fn hear(&self, mut response: Response, now: Timestamp) -> Heard {
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| wait(text, now));
        let mut bytes = Vec::new();
        let body = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => {
                    break Err(format!("it has more than {ANSWER_BYTES_MAX} bytes"));
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Err(error) => {
                    let why = self.mask.show(&causes(error));
                    break Err(format!("it broke off: {why}"));
                }
            }
        };
        Heard {
            status,
            retry_after,
            body,
        }
    }
}

/// `Retry-After`: seconds or an instant (RFC 9110, section 10.2.3), within reason.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = httpdate::parse_http_date(text).ok()?;
            let now = std::time::SystemTime::from(now);
            let wait = until.duration_since(now).unwrap_or_default();
            Duration::from_secs(wait.as_millis().div_ceil(1000).try_into().ok()?)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// An address that may be posted to. What is said of one that may not never repeats it.
fn parse(address: &str) -> Result<Url, String> {
    let url = Url::parse(address.trim()).map_err(|error| {
        format!("the address is none ({error}); it must be like https://HOST/PATH")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the address must not hold a user or a password; give a token instead".to_owned(),
        );
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_this_machine(&url) => Ok(url),
        "http" => Err(
            "the address must begin with https://: plain http is only for this machine".to_owned(),
        ),
        _ => Err("the address must begin with https://".to_owned()),
    }
}

fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

/// Whether a host, as it stands in an address, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => bare.eq_ignore_ascii_case("localhost"),
    }
}

/// Hides what follows the host: all of it, and each part that can be a key.
fn hide_address(mask: &mut Mask, address: &str, url: &Url) {
    let whole = |path: &str, query: Option<&str>| match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let rest = whole(url.path(), url.query());
    let given = address
        .split_once("://")
        .and_then(|(_, rest)| rest.find(['/', '?']).and_then(|at| rest.get(at..)));
    for rest in [Some(rest.as_str()), given].into_iter().flatten() {
        if rest.len() > 1 {
            mask.hide(rest);
        }
    }
    let parts = url.path().split('/').map(str::to_owned);
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    for part in parts.chain(values) {
        if part.len() >= KEY_BYTES_MIN {
            mask.hide(&part);
        }
    }
}

/// Where a signal goes (<https://healthchecks.io/docs/http_api/>): its name is the last part of the path, before a query.
pub(super) fn signal_address(address: &SecretString, signal: Signal) -> Result<String, String> {
    let mut url = parse(address.expose_secret())?;
    let name = match signal {
        Signal::Start => "/start",
        Signal::Success => "",
        Signal::Fail => "/fail",
    };
    if !name.is_empty() {
        let path = format!("{}{name}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url.into())
}

pub(super) fn signal_post(url: String, mut body: String) -> Post {
    if body.len() > SIGNAL_BYTES_MAX {
        let end = (0..=SIGNAL_BYTES_MAX)
            .rev()
            .find(|&at| body.is_char_boundary(at));
        body.truncate(end.unwrap_or_default());
    }
    Post {
        url,
        headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
        body,
    }
}
