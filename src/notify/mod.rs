//! Telling people: one message to one channel, one sign of life to one dead man's switch. Once; whether it is tried again
//! is for the caller to decide, who is told whether that is worth it.
//!
//! Secrets are read at each delivery, so that they can be changed without a restart, and nothing that is given back
//! holds one (P11): of an address only the scheme and the host are told, for the rest of a webhook's is its key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::config::Text;
use crate::config::notices::{Channel, Ping, Way};
use crate::domain::Timestamp;
use crate::domain::notice::{Message, Signal};
use crate::domain::request::SecretRef;
use crate::os::tls::Trust;
use crate::os::{self, Clock};

mod answers;
pub mod render;
mod smtp;
mod wire;

pub use answers::{Heard, Service, judge};

use render::{Letter, Post, Told};
use wire::Line;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a delivery may take in all.
const WHOLE: Duration = Duration::from_secs(30);

/// A message did not arrive, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Undelivered {
    /// Who was asked, what went wrong, and what to do. Holds no secret, and of an address only its scheme and host.
    pub why: String,
    /// Whether the same may arrive at another try.
    pub may_pass: bool,
    /// How long to wait before that, if the other side said so.
    pub retry_after: Option<Duration>,
}

impl Undelivered {
    /// It may arrive at another try.
    pub(crate) fn for_now(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            may_pass: true,
            retry_after: None,
        }
    }

    /// Somebody has to mend something first.
    pub(crate) fn for_good(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            may_pass: false,
            retry_after: None,
        }
    }
}

/// What tells people, as the daemon sees it. Tests put something else behind it.
pub trait Deliver: Send + Sync + 'static {
    /// Brings a message to a channel. A message that is reported as undelivered may have arrived all the same: the
    /// answer can be what was lost.
    fn deliver(
        &self,
        channel: &Channel,
        message: &Message,
    ) -> impl Future<Output = Result<(), Undelivered>> + Send;

    /// Gives a dead man's switch a signal, with a few words that it may show.
    fn ping(
        &self,
        ping: &Ping,
        signal: Signal,
        body: &str,
    ) -> impl Future<Output = Result<(), Undelivered>> + Send;
}

/// Tells people over HTTP and SMTP.
#[derive(Debug, Clone)]
pub struct Notifier {
    node: Arc<str>,
    clock: Clock,
    trust: Arc<Trust>,
}

impl Notifier {
    /// One that speaks for a node.
    pub fn new(node: &str, clock: Clock) -> Self {
        Self {
            node: node.into(),
            clock,
            trust: Arc::default(),
        }
    }

    /// Has the system's certificates read again before the next delivery.
    pub fn reread(&self) {
        self.trust.forget();
    }
}

impl Deliver for Notifier {
    async fn deliver(&self, channel: &Channel, message: &Message) -> Result<(), Undelivered> {
        let now = self.clock.now();
        let (node, trust) = (Arc::clone(&self.node), Arc::clone(&self.trust));
        let (channel, message) = (channel.clone(), message.clone());
        let parcel = blocking(move || {
            let told = Told {
                message: &message,
                node: &node,
                now,
            };
            Parcel::pack(&channel, told, &trust)
        })
        .await?;
        match parcel {
            Parcel::Post(service, line, post) => send(service, &line, post, now).await,
            Parcel::Mail(server, letter) => server.send(&letter).await,
        }
    }

    async fn ping(&self, ping: &Ping, signal: Signal, body: &str) -> Result<(), Undelivered> {
        let now = self.clock.now();
        let trust = Arc::clone(&self.trust);
        let (ping, body) = (ping.clone(), body.to_owned());
        let (line, post) = blocking(move || {
            let address = read_text(&ping.url)?;
            let url = wire::signal_address(&address, signal).map_err(Undelivered::for_good)?;
            let line = Line::new(&trust, &url, None, None)?;
            Ok((line, wire::signal_post(url, body)))
        })
        .await?;
        send(Service::Ping, &line, post, now).await
    }
}

async fn send(
    service: Service,
    line: &Line,
    post: Post,
    now: Timestamp,
) -> Result<(), Undelivered> {
    let answer = line.post(post, now).await?;
    judge(service, line.place(), &answer, line.mask())
}

/// Reads files and certificates where that does not hold up others.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Undelivered> + Send + 'static,
) -> Result<T, Undelivered> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Undelivered::for_now(format!(
            "the message could not be written: {error}"
        ))),
    }
}

/// A message with all that is needed to send it.
enum Parcel {
    Post(Service, Line, Post),
    Mail(smtp::Server, Letter),
}

impl Parcel {
    fn pack(channel: &Channel, told: Told<'_>, trust: &Trust) -> Result<Self, Undelivered> {
        let optional = |at: &Option<SecretRef>| at.as_ref().map(read_secret).transpose();
        let (service, post, secrets) = match &channel.way {
            Way::Json {
                url,
                secret,
                token,
                body,
            } => {
                let url = read_text(url)?;
                let (secret, token) = (optional(secret)?, optional(token)?);
                let post = render::json(
                    told,
                    url.expose_secret(),
                    secret.as_ref(),
                    token.as_ref(),
                    body.as_deref(),
                )
                .map_err(Undelivered::for_good)?;
                (Service::Json, post, [secret, token])
            }
            Way::Slack { url } => (
                Service::Slack,
                render::slack(told, &read_secret(url)?),
                [None, None],
            ),
            Way::Feishu { url, secret } => {
                let (url, secret) = (read_secret(url)?, optional(secret)?);
                let post = render::feishu(told, &url, secret.as_ref());
                (Service::Feishu, post, [secret, None])
            }
            Way::DingTalk { url, secret } => {
                let (url, secret) = (read_secret(url)?, optional(secret)?);
                let post = render::dingtalk(told, &url, secret.as_ref());
                (Service::DingTalk, post, [secret, None])
            }
            Way::WeCom { url } => (
                Service::WeCom,
                render::wecom(told, &read_secret(url)?),
                [None, None],
            ),
            Way::Mail(mail) => {
                let login = match &mail.login {
                    None => None,
                    Some((user, password)) => Some((read_text(user)?, read_secret(password)?)),
                };
                let letter =
                    render::mail(told, &channel.name, mail).map_err(Undelivered::for_good)?;
                let server = smtp::Server::new(mail, login, told.node, channel.ca_file.as_deref())?;
                return Ok(Self::Mail(server, letter));
            }
        };
        let mut line = Line::new(
            trust,
            &post.url,
            channel.proxy.as_deref(),
            channel.ca_file.as_deref(),
        )?;
        for secret in secrets.iter().flatten() {
            line.hide(secret);
        }
        Ok(Self::Post(service, line, post))
    }
}

/// A secret that is not there now may be there at the next try: somebody is just changing it.
fn read_secret(at: &SecretRef) -> Result<SecretString, Undelivered> {
    os::read_secret(at).map_err(|error| Undelivered::for_now(error.to_string()))
}

fn read_text(text: &Text) -> Result<SecretString, Undelivered> {
    match text {
        Text::Plain(text) => Ok(SecretString::from(text.clone())),
        Text::Secret(at) => read_secret(at),
    }
}
