//! `notices`: whom to tell, and how. Settings only; addresses and passwords by reference.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::cron::CronPattern;
use crate::domain::notice::Topic;
use crate::domain::request::{SecretRef, Text};
use crate::domain::zone::Zone;

pub use crate::domain::notice::Ping;

pub(super) mod doubts;
pub(super) mod read;

/// A place where messages go.
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Its name; the same alphabet as an account's.
    pub name: String,
    /// How it is reached.
    pub way: Way,
    /// What it is told of.
    pub topics: Vec<Topic>,
    /// Only entries that bear one of these labels; empty: all. Accounts and the daemon are told of in any case.
    pub labels: Vec<String>,
    /// How long it waits for more of the same before it tells.
    pub collect: Duration,
    /// Most messages in an hour; what comes beyond is told in one when there is room again.
    pub messages_per_hour: u32,
    /// When it gets a digest, if at all.
    pub digest: Option<DigestAt>,
    /// The proxy to use; if absent, the one the environment names; [`NO_PROXY`](super::NO_PROXY): none at all.
    pub proxy: Option<String>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Channel {
    /// Where its secrets are kept.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let secrets = match &self.way {
            Way::Json {
                url, secret, token, ..
            } => [url.secret(), secret.as_ref(), token.as_ref()],
            Way::Slack { url } | Way::WeCom { url } => [Some(url), None, None],
            Way::Feishu { url, secret } | Way::DingTalk { url, secret } => {
                [Some(url), secret.as_ref(), None]
            }
            Way::Mail(mail) => {
                let login = mail.login.as_ref();
                let user = login.and_then(|(user, _)| user.secret());
                [user, login.map(|(_, password)| password), None]
            }
        };
        secrets.into_iter().flatten()
    }
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    /// An address that takes our own JSON, or the body of a template.
    Json {
        /// Where it is posted to.
        url: Text,
        /// Signs the body, for who checks it: HMAC-SHA256, in hex, in the header `X-Pipecron-Signature`.
        secret: Option<SecretRef>,
        /// Sent as a bearer token.
        token: Option<SecretRef>,
        /// What is posted instead of our own JSON: a template.
        body: Option<String>,
    },
    /// An incoming webhook of Slack, or of what is compatible (Mattermost, Rocket.Chat).
    Slack {
        /// Its address, which is a secret.
        url: SecretRef,
    },
    /// A custom bot of Feishu (Lark).
    Feishu {
        /// Its address, which is a secret.
        url: SecretRef,
        /// Its signing key, if it demands signatures.
        secret: Option<SecretRef>,
    },
    /// A custom robot of `DingTalk`.
    DingTalk {
        /// Its address, which is a secret.
        url: SecretRef,
        /// Its signing key, if it demands signatures.
        secret: Option<SecretRef>,
    },
    /// A group robot of `WeCom`.
    WeCom {
        /// Its address, which is a secret.
        url: SecretRef,
    },
    /// Mail.
    Mail(Mail),
}

impl Way {
    /// The word that the configuration has for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Json { .. } => "json",
            Self::Slack { .. } => "slack",
            Self::Feishu { .. } => "feishu",
            Self::DingTalk { .. } => "dingtalk",
            Self::WeCom { .. } => "wecom",
            Self::Mail(_) => "mail",
        }
    }
}

/// How mail is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The server: its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// Who we are to it, if it wants to know: a user and where the password is.
    pub login: Option<(Text, SecretRef)>,
    /// Who it is from.
    pub from: String,
    /// Whom it goes to.
    pub to: Vec<String>,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// From the first byte (`smtps://`).
    Wrapped,
    /// After `STARTTLS`, which has to succeed (`smtp://`).
    Required,
    /// Not at all: only to this machine.
    None,
}

/// When a digest is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct DigestAt {
    /// When, as it is written.
    pub text: String,
    /// When, by the clock of its zone.
    pub pattern: CronPattern,
    /// The zone.
    pub zone: Arc<Zone>,
}

/// The daemon's own sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Where it goes.
    pub ping: Ping,
    /// How often.
    pub every: Duration,
}
