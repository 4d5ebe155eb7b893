//! A token for an IAM user and password: the request, and what the answer says. Pure.
//!
//! `POST /v3/auth/tokens` (help centre: "Obtaining a User Token Through Password Authentication"; huaweicloudsdkiam,
//! `iam_client` and `model.pwd_*`). The token is asked for a project, which regional services want; the name of a
//! region's root project is the region's id.

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{HttpRequest, HttpResponse, ends_here, instant};
use crate::codearts::answer::{retry_after, service_clock};
use crate::codearts::facts::{ServiceError, parse};
use crate::codearts::mask::Mask;
use crate::codearts::{JSON, USER_AGENT};
use crate::domain::Timestamp;

/// How long a token is believed to live when the answer does not say: much less than the 24 hours of the pages.
const LIFE_UNKNOWN: TimeDelta = TimeDelta::hours(1);

/// A user, with the password.
#[derive(Debug, Clone)]
pub struct User {
    /// The account's (domain's) name.
    pub domain: String,
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: SecretString,
    /// The project to scope to: a name, or an id of 32 hexadecimal digits.
    pub project: String,
}

/// A token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub token: SecretString,
    /// It may be used until then, by our clock.
    pub ends: Timestamp,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whether IAM does not accept the user and password, as opposed to having failed.
    pub unauthorized: bool,
    /// What it said; bounded, never a secret.
    pub message: String,
    /// How long it wants us to wait.
    pub retry_after: Option<std::time::Duration>,
}

/// The request for a token. `nocatalog` keeps the answer small.
pub fn token_request(iam_endpoint: &str, user: &User) -> HttpRequest {
    let by = if is_id(&user.project) { "id" } else { "name" };
    let body = json!({
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": { "user": {
                    "domain": { "name": user.domain },
                    "name": user.user,
                    "password": user.password.expose_secret(),
                } },
            },
            "scope": { "project": { by: user.project } },
        }
    });
    HttpRequest {
        method: "POST".to_owned(),
        url: format!(
            "{}/v3/auth/tokens?nocatalog=true",
            iam_endpoint.trim_end_matches('/')
        ),
        headers: vec![
            ("Content-Type".to_owned(), JSON.to_owned()),
            ("User-Agent".to_owned(), USER_AGENT.to_owned()),
        ],
        body: body.to_string().into_bytes(),
    }
}

fn is_id(project: &str) -> bool {
    project.len() == 32 && project.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The token in IAM's answer: 201, the token in `X-Subject-Token`, its end in `token.expires_at`.
///
/// # Errors
/// When there is none.
pub fn read_token(response: &HttpResponse, mask: &Mask, now: Timestamp) -> Result<Token, Refusal> {
    let body = parse(&response.body);
    let refuse = |unauthorized: bool, why: &str| Refusal {
        unauthorized,
        message: mask.show(&format!(
            "IAM gave no token (HTTP {}): {why}",
            response.status
        )),
        retry_after: retry_after(response, service_clock(response).unwrap_or(now)),
    };
    if !matches!(response.status, 200 | 201) {
        let unauthorized = matches!(response.status, 401 | 403);
        return Err(refuse(unauthorized, &why(&body)));
    }
    let token = response
        .header("X-Subject-Token")
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .ok_or_else(|| refuse(false, "the answer has no header X-Subject-Token"))?;
    let ends = body
        .as_ref()
        .ok()
        .and_then(|body| body.pointer("/token/expires_at"))
        .and_then(Value::as_str)
        .and_then(instant)
        .map_or(now + LIFE_UNKNOWN, |ends| ends_here(ends, response, now));
    if ends <= now {
        return Err(refuse(false, "the token it sent has ended already"));
    }
    Ok(Token {
        token: SecretString::from(token),
        ends,
    })
}

/// What an answer that is no success says, in a few words.
pub(super) fn why(body: &Result<Value, String>) -> String {
    match body {
        Ok(Value::Object(top)) => {
            let error = ServiceError::of(top);
            match (error.code, error.message) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (None, Some(text)) | (Some(text), None) => text,
                (None, None) => Value::Object(top.clone()).to_string(),
            }
        }
        Ok(other) => other.to_string(),
        Err(why) => why.clone(),
    }
}
