//! The temporary key of the instance we run on: the requests to the metadata service, and what its answers say. Pure.
//!
//! As the SDKs do it (huaweicloudsdkcore, `auth.internal`, `MetadataAccessor`): a session token first, on which newer
//! instances insist and which older ones do not know, then the key. The instance must have an agency.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::iam::why;
use super::{HttpRequest, HttpResponse, Keys, ends_here, instant};
use crate::codearts::facts::parse;
use crate::codearts::mask::Mask;
use crate::codearts::{Body, USER_AGENT};
use crate::domain::Timestamp;

/// What the service says, with 401, on an instance without an agency: no new session token helps then.
const NO_AGENCY: &str = "Please configure Cloud Service Agency first";
/// How long a session token is asked to live, in seconds.
pub const SESSION_SECS: u32 = 21_600;

/// The request for a session token.
pub fn session_request(endpoint: &str) -> HttpRequest {
    HttpRequest {
        method: "PUT".to_owned(),
        url: format!(
            "{}/meta-data/latest/api/token",
            endpoint.trim_end_matches('/')
        ),
        headers: vec![
            (
                "X-Metadata-Token-Ttl-Seconds".to_owned(),
                SESSION_SECS.to_string(),
            ),
            ("User-Agent".to_owned(), USER_AGENT.to_owned()),
        ],
        body: Vec::new(),
    }
}

/// The session token in the answer; none if the instance does not know of any (404, 405, 503).
///
/// # Errors
/// When the service failed.
pub fn read_session(response: &HttpResponse) -> Result<Option<SecretString>, String> {
    match (response.status, &response.body) {
        (200, Body::Whole(bytes)) => {
            let token = String::from_utf8_lossy(bytes).trim().to_owned();
            Ok((!token.is_empty()).then(|| SecretString::from(token)))
        }
        (404 | 405 | 503, _) => Ok(None),
        (_, _) => Err(failed("session token", response, &Mask::none())),
    }
}

/// The request for the key.
pub fn key_request(endpoint: &str, session: Option<&SecretString>) -> HttpRequest {
    let mut headers = vec![("User-Agent".to_owned(), USER_AGENT.to_owned())];
    if let Some(session) = session {
        headers.push((
            "X-Metadata-Token".to_owned(),
            session.expose_secret().to_owned(),
        ));
    }
    HttpRequest {
        method: "GET".to_owned(),
        url: format!(
            "{}/openstack/latest/securitykey",
            endpoint.trim_end_matches('/')
        ),
        headers,
        body: Vec::new(),
    }
}

/// Whether the answer to the request for the key asks for a new session token.
pub fn wants_session(response: &HttpResponse) -> bool {
    let says_no_agency = match &response.body {
        Body::Whole(bytes) => String::from_utf8_lossy(bytes).contains(NO_AGENCY),
        Body::Broken(_) => false,
    };
    response.status == 401 && !says_no_agency
}

/// The key in the answer, and until when it may be used by our clock. The parts are known by several names. `mask`
/// knows the session token.
///
/// # Errors
/// When there is none; the message holds no part of it.
pub fn read_key(
    response: &HttpResponse,
    mask: &Mask,
    now: Timestamp,
) -> Result<(Keys, Timestamp), String> {
    if response.status != 200 {
        return Err(failed("key", response, mask));
    }
    let body =
        parse(&response.body).map_err(|_| "the metadata service's key is not JSON".to_owned())?;
    let top = body.as_object();
    let credential = ["credential", "credentials"]
        .into_iter()
        .find_map(|name| top?.get(name)?.as_object())
        .or(top)
        .ok_or("the metadata service's key is not a JSON object")?;
    let text = |names: &[&str]| first_text(credential, names);
    let missing = |what: &str| format!("the metadata service's key has no {what}");
    let keys = Keys {
        ak: text(&["access", "accessKeyId", "access_key_id"])
            .ok_or_else(|| missing("access"))?
            .to_owned(),
        sk: text(&["secret", "secretAccessKey", "secret_access_key"])
            .ok_or_else(|| missing("secret"))?
            .into(),
        security_token: text(&["securitytoken", "securityToken", "security_token"])
            .map(SecretString::from),
    };
    let ends = text(&["expires_at", "expiration"])
        .and_then(instant)
        .ok_or_else(|| missing("expires_at that can be read"))?;
    let ends = ends_here(ends, response, now);
    if ends <= now {
        return Err("the metadata service's key has ended already".to_owned());
    }
    Ok((keys, ends))
}

fn first_text<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    names
        .iter()
        .filter_map(|name| object.get(*name)?.as_str())
        .find(|text| !text.is_empty())
}

fn failed(what: &str, response: &HttpResponse, mask: &Mask) -> String {
    let why = why(&parse(&response.body));
    mask.show(&format!(
        "the metadata service gave no {what} (HTTP {}): {why}",
        response.status
    ))
}
