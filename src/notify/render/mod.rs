//! A message in the words of each way: what is posted where, or the mail. Pure.
//!
//! What stands in a message came from outside: names of branches, messages of the service. Each text is made one bounded
//! line first (`page`), and then each way takes away what its own language would make of it: links, mentions, headings.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use crate::domain::Timestamp;
use crate::domain::notice::{Message, body};

mod chat;
mod mail;
mod page;

pub use chat::{dingtalk, feishu, slack, wecom};
pub use mail::{Letter, mail};

/// What is posted. Its `Debug` shows no address: that of a chat service is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Post {
    /// Where to.
    pub url: String,
    /// `Content-Type` and what else is needed; values may be secrets.
    pub headers: Vec<(&'static str, String)>,
    /// What.
    pub body: String,
}

impl fmt::Debug for Post {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Post")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// The content type of what is JSON.
const JSON: &str = "application/json; charset=utf-8";

impl Post {
    fn json(url: &SecretString, body: &serde_json::Value) -> Self {
        Self {
            url: url.expose_secret().to_owned(),
            headers: vec![("Content-Type", JSON.to_owned())],
            body: body.to_string(),
        }
    }
}

/// A message with who tells it and when.
#[derive(Debug, Clone, Copy)]
pub struct Told<'m> {
    /// What is told.
    pub message: &'m Message,
    /// The node that tells it.
    pub node: &'m str,
    /// When.
    pub now: Timestamp,
}

/// Our own JSON, or what the template makes of it. With a secret the body is signed: its HMAC-SHA256 in hex, the way
/// other senders of webhooks do it.
///
/// # Errors
/// When the template cannot be used on this message.
pub fn json(
    told: Told<'_>,
    url: &str,
    secret: Option<&SecretString>,
    token: Option<&SecretString>,
    template: Option<&str>,
) -> Result<Post, String> {
    let made = match template {
        None => body::own_json(told.message, told.node),
        Some(template) => body::from_template(template, told.message, told.node)
            .map_err(|why| format!("the template of the body cannot be used: {why}"))?,
    };
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&made).is_ok();
    let content = if is_json {
        JSON
    } else {
        "text/plain; charset=utf-8"
    };
    let mut headers = vec![("Content-Type", content.to_owned())];
    if let Some(secret) = secret {
        let signature = hmac(secret.expose_secret().as_bytes(), made.as_bytes());
        headers.push((
            "X-Pipecron-Signature",
            format!("sha256={}", hex(&signature)),
        ));
    }
    if let Some(token) = token {
        let bearer = format!("Bearer {}", token.expose_secret());
        headers.push(("Authorization", bearer));
    }
    Ok(Post {
        url: url.to_owned(),
        headers,
        body: made,
    })
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key of any length will do for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
