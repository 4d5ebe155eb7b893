//! Who is there? Signatures, IAM tokens, and the keys of the metadata service.
//!
//! The signature is recomputed from what arrived, by a reading of the documentation of its own: nothing is shared with
//! the client's signer, so that a mistake in one is not repeated in the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::dice;
use super::message::{Request, decode};
use super::run::Executor;
use super::settings::{AccessKey, Settings, User};
use crate::domain::{Timestamp, after};

/// How far `X-Sdk-Date` may be off the service's clock.
const DATE_OFF_MAX: TimeDelta = TimeDelta::minutes(15);
/// So many failed signatures in a row lock a key.
const STRIKES_MAX: u32 = 5;
/// For so long.
const LOCKED_FOR: Duration = Duration::from_secs(5 * 60);
/// How a token begins; anything else was never one.
const TOKEN_START: &str = "MIIsandbox.";
/// Real tokens have several kilobytes, and clients have limits that only those reach.
const TOKEN_FILLER_BYTES: usize = 2_500;
/// The most headers a signature may name.
const SIGNED_HEADERS_MAX: usize = 64;

const ALGORITHM: &str = "SDK-HMAC-SHA256 ";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) executor: Executor,
    /// How that was shown, in words fit for a list of requests.
    pub(super) shown_by: String,
}

/// Why a request is not let in: status 401 with this code and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) code: &'static str,
    pub(super) message: String,
}

fn denied(why: impl std::fmt::Display) -> Denied {
    Denied {
        code: "APIGW.0301",
        message: format!("Incorrect IAM authentication information: {why}"),
    }
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A project: what regional services want.
    Project,
    /// The account or nothing.
    Other,
}

/// A token that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// Failed signatures of a key.
#[derive(Debug, Clone, Copy, Default)]
struct Strikes {
    count: u32,
    locked_until: Option<Timestamp>,
}

/// The gate: what it knows, and who misbehaved.
#[derive(Debug)]
pub(super) struct Gate {
    open: bool,
    keys: BTreeMap<String, AccessKey>,
    /// Keys that the metadata service handed out; those that ended are dropped.
    handed_out: Vec<AccessKey>,
    users: Vec<User>,
    strikes: BTreeMap<String, Strikes>,
    seed: u64,
    /// Tokens are made with this, so none has to be kept.
    token_key: [u8; 32],
    token_life: Duration,
    /// Tokens of an earlier one are not good any more.
    token_epoch: u64,
    tokens_made: u64,
    metadata_key_life: Duration,
    keys_made: u64,
}

impl Gate {
    pub(super) fn new(settings: &Settings, seed: u64) -> Self {
        Self {
            open: !settings.check_auth,
            keys: settings
                .keys
                .iter()
                .map(|key| (key.ak.clone(), key.clone()))
                .collect(),
            handed_out: Vec::new(),
            users: settings.users.clone(),
            strikes: BTreeMap::new(),
            seed,
            token_key: dice::key(seed, "token"),
            token_life: settings.token_life,
            token_epoch: 0,
            tokens_made: 0,
            metadata_key_life: settings.metadata_key_life,
            keys_made: 0,
        }
    }

    /// Who sent a request, or why it is not let in.
    pub(super) fn admit(&mut self, now: Timestamp, request: &Request) -> Result<Caller, Denied> {
        let signature = request.header_text("authorization");
        let token = request.header_text("x-auth-token");
        match (signature, token) {
            _ if self.open => Ok(caller("anybody", "nothing: the gate is open".to_owned())),
            (Some(_), Some(_)) => Err(denied(
                "both a signature and an X-Auth-Token; send one of them",
            )),
            (Some(signature), None) => self.admit_signed(now, request, signature),
            (None, Some(token)) => self.admit_token(now, token),
            (None, None) => Err(denied("neither Authorization nor X-Auth-Token is there")),
        }
    }

    fn admit_signed(
        &mut self,
        now: Timestamp,
        request: &Request,
        header: &str,
    ) -> Result<Caller, Denied> {
        let given = Given::parse(header)?;
        let key = self.key(given.access)?;
        let strikes = self.strikes.get(&key.ak).copied().unwrap_or_default();
        if let Some(until) = strikes.locked_until.filter(|until| now < *until) {
            return Err(denied(format_args!(
                "ak {} is locked until {} after {STRIKES_MAX} failed signatures",
                key.ak,
                crate::domain::rfc3339(until)
            )));
        }
        let date = check_date(now, request, &given)?;
        check_life(now, request, &key)?;
        let canonical = canonical_request(request, &given)?;
        let to_sign = format!(
            "SDK-HMAC-SHA256\n{date}\n{}",
            dice::hex(&Sha256::digest(&canonical))
        );
        if !is_signed(key.sk.expose_secret(), to_sign.as_bytes(), given.signature) {
            let count = if strikes.locked_until.is_some() {
                1
            } else {
                strikes.count + 1
            };
            let locked_until = (count >= STRIKES_MAX).then(|| after(now, LOCKED_FOR));
            self.strikes.insert(
                key.ak,
                Strikes {
                    count,
                    locked_until,
                },
            );
            let shown = String::from_utf8_lossy(&canonical).replace('\n', "|");
            return Err(denied(format_args!(
                "verify aksk signature fail, canonical request: {shown}"
            )));
        }
        self.strikes.remove(&key.ak);
        Ok(caller(&key.user, format!("ak {}", key.ak)))
    }

    fn key(&self, ak: &str) -> Result<AccessKey, Denied> {
        let handed_out = || self.handed_out.iter().find(|key| key.ak == ak);
        self.keys
            .get(ak)
            .or_else(handed_out)
            .cloned()
            .ok_or_else(|| {
                denied(format_args!(
                    "ak {} does not exist",
                    ak.chars().take(64).collect::<String>()
                ))
            })
    }

    fn admit_token(&self, now: Timestamp, text: &str) -> Result<Caller, Denied> {
        if !text.starts_with(TOKEN_START) {
            return Err(denied("the token cannot be decrypted"));
        }
        let renew = |why: &str| Denied {
            code: "APIGW.0307",
            message: format!("The token must be updated: {why}"),
        };
        let Some(claims) = self.read_token(text) else {
            return Err(renew("it was not made here"));
        };
        if claims.epoch != self.token_epoch {
            return Err(renew("it was revoked"));
        }
        if now >= claims.expires_at {
            return Err(renew("it has expired"));
        }
        if claims.scope == Scope::Other {
            return Err(renew("it is not scoped to a project"));
        }
        Ok(caller(&claims.user, "token".to_owned()))
    }

    /// Whether there is such a user with this password.
    pub(super) fn knows(&self, domain: &str, name: &str, password: &str) -> bool {
        self.users.iter().any(|user| {
            user.domain == domain && user.name == name && user.password.expose_secret() == password
        })
    }

    /// Makes a token for a user.
    pub(super) fn make_token(&mut self, now: Timestamp, user: &str, scope: Scope) -> Token {
        self.tokens_made += 1;
        let issued_at = now;
        let expires_at = after(now, self.token_life);
        let claims = Claims {
            epoch: self.token_epoch,
            expires_at,
            scope,
            user: user.to_owned(),
        };
        Token {
            text: self.seal(&claims, self.tokens_made),
            issued_at,
            expires_at,
        }
    }

    /// Makes all tokens there are no good, as a change of password does.
    pub(super) fn revoke_tokens(&mut self) {
        self.token_epoch += 1;
    }

    fn seal(&self, claims: &Claims, number: u64) -> String {
        let scope = match claims.scope {
            Scope::Project => "p",
            Scope::Other => "o",
        };
        let open = format!(
            "{}.{number}.{}.{scope}.{}.{}",
            claims.epoch,
            claims.expires_at.timestamp_millis(),
            dice::hex(claims.user.as_bytes()),
            "A".repeat(TOKEN_FILLER_BYTES),
        );
        let seal = mac(&self.token_key, open.as_bytes())
            .map(|mac| dice::hex(&mac.finalize().into_bytes()));
        format!("{TOKEN_START}{open}.{}", seal.unwrap_or_default())
    }

    fn read_token(&self, text: &str) -> Option<Claims> {
        let (open, seal) = text.strip_prefix(TOKEN_START)?.rsplit_once('.')?;
        mac(&self.token_key, open.as_bytes())?
            .verify_slice(&dice::unhex(seal)?)
            .ok()?;
        let mut parts = open.split('.');
        let epoch = parts.next()?.parse().ok()?;
        let _number = parts.next()?;
        let expires_at = DateTime::from_timestamp_millis(parts.next()?.parse().ok()?)?;
        let scope = if parts.next()? == "p" {
            Scope::Project
        } else {
            Scope::Other
        };
        let user = String::from_utf8(dice::unhex(parts.next()?)?).ok()?;
        Some(Claims {
            epoch,
            expires_at,
            scope,
            user,
        })
    }

    /// A token for the metadata service.
    pub(super) fn make_metadata_token(&mut self, now: Timestamp, life: Duration) -> String {
        let expires = after(now, life).timestamp_millis();
        let open = format!("metadata-{expires}");
        let seal = mac(&self.token_key, open.as_bytes())
            .map(|mac| dice::hex(&mac.finalize().into_bytes()));
        format!("{open}-{}", seal.unwrap_or_default())
    }

    /// Whether a token of the metadata service is good.
    pub(super) fn is_metadata_token(&self, now: Timestamp, text: &str) -> bool {
        let read = || {
            let (open, seal) = text.rsplit_once('-')?;
            mac(&self.token_key, open.as_bytes())?
                .verify_slice(&dice::unhex(seal)?)
                .ok()?;
            open.strip_prefix("metadata-")?.parse::<i64>().ok()
        };
        read().is_some_and(|expires| now.timestamp_millis() < expires)
    }

    /// The key that the metadata service hands out now: the newest one, while more than half of its life is left.
    pub(super) fn metadata_key(&mut self, now: Timestamp) -> AccessKey {
        self.handed_out
            .retain(|key| key.expires_at.is_some_and(|end| now < end));
        let half_way = after(now, self.metadata_key_life / 2);
        let fresh = self
            .handed_out
            .last()
            .filter(|key| key.expires_at.is_some_and(|end| end > half_way));
        if let Some(key) = fresh {
            return key.clone();
        }
        self.keys_made += 1;
        let id = |purpose| dice::id(self.seed, purpose, self.keys_made).to_ascii_uppercase();
        let key = AccessKey {
            ak: format!("HST{}", id("metadata ak").get(..17).unwrap_or_default()),
            sk: SecretString::from(format!("{}{}", id("metadata sk"), "sandbox")),
            user: "agency".to_owned(),
            security_token: Some(SecretString::from(format!(
                "{}{}",
                id("metadata token"),
                "B".repeat(600)
            ))),
            expires_at: Some(after(now, self.metadata_key_life)),
        };
        self.handed_out.push(key.clone());
        key
    }
}

/// What a token says.
struct Claims {
    epoch: u64,
    expires_at: Timestamp,
    scope: Scope,
    user: String,
}

/// The id that belongs to a user's name.
pub(super) fn executor(user: &str) -> Executor {
    Executor {
        id: dice::id_of(&format!("user {user}")),
        name: user.to_owned(),
    }
}

fn caller(user: &str, shown_by: String) -> Caller {
    Caller {
        executor: executor(user),
        shown_by,
    }
}

/// None only for a key that HMAC does not take, and it takes all.
fn mac(key: &[u8], text: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac)
}

fn is_signed(sk: &str, text: &[u8], signature: &str) -> bool {
    // Upper-case digits would be read as the same number, but they are not what the documentation says.
    let lower = signature.bytes().all(|byte| !byte.is_ascii_uppercase());
    let given = dice::unhex(signature).filter(|_| lower);
    mac(sk.as_bytes(), text)
        .zip(given)
        .is_some_and(|(mac, given)| mac.verify_slice(&given).is_ok())
}

/// The parts of an `Authorization` header.
struct Given<'a> {
    access: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Given<'a> {
    fn parse(header: &'a str) -> Result<Self, Denied> {
        let parts = header.strip_prefix(ALGORITHM).ok_or_else(|| {
            denied("Authorization does not begin with SDK-HMAC-SHA256 and a space")
        })?;
        let mut parts = parts.split(", ");
        let mut part = |name: &str| {
            let value = parts
                .next()
                .and_then(|part| part.strip_prefix(name))
                .filter(|value| !value.is_empty());
            value.ok_or_else(|| {
                denied(format_args!(
                    "Authorization has no {name} where it should be"
                ))
            })
        };
        let given = Self {
            access: part("Access=")?,
            signed_headers: part("SignedHeaders=")?,
            signature: part("Signature=")?,
        };
        match parts.next() {
            Some(_) => Err(denied("Authorization goes on after the signature")),
            None => Ok(given),
        }
    }

    fn signs(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name)
    }
}

/// The signed date, if it is there, signed, and near enough to the service's clock.
fn check_date<'a>(
    now: Timestamp,
    request: &'a Request,
    given: &Given<'_>,
) -> Result<&'a str, Denied> {
    let text = request
        .header_text("x-sdk-date")
        .ok_or_else(|| denied("X-Sdk-Date is missing"))?;
    let date = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ")
        .map_err(|_| {
            denied(format_args!(
                "X-Sdk-Date {text:?} is not like 20240305T060708Z"
            ))
        })?
        .and_utc();
    if !given.signs("x-sdk-date") {
        return Err(denied("SignedHeaders does not name x-sdk-date"));
    }
    if (now - date).abs() > DATE_OFF_MAX {
        return Err(denied(format_args!(
            "signature expired, now time is {}, X-Sdk-Date is {text}; they may be 15 minutes apart",
            now.format("%Y%m%dT%H%M%SZ")
        )));
    }
    Ok(text)
}

/// A temporary key has an end, and comes with its token; others come without one.
fn check_life(now: Timestamp, request: &Request, key: &AccessKey) -> Result<(), Denied> {
    if key.expires_at.is_some_and(|end| now >= end) {
        return Err(denied(format_args!("ak {} has expired", key.ak)));
    }
    let given = request.header_text("x-security-token");
    match (&key.security_token, given) {
        (None, None) => Ok(()),
        (Some(token), Some(given)) if token.expose_secret() == given => Ok(()),
        (Some(_), Some(_)) => Err(denied("X-Security-Token is not the one of this ak")),
        (Some(_), None) => Err(denied("X-Security-Token is missing; this ak is temporary")),
        (None, Some(_)) => Err(denied(
            "X-Security-Token is there, but this ak is permanent",
        )),
    }
}

/// What should have been signed, from what arrived.
fn canonical_request(request: &Request, given: &Given<'_>) -> Result<Vec<u8>, Denied> {
    let mut text = Vec::new();
    text.extend_from_slice(request.method.to_ascii_uppercase().as_bytes());
    text.push(b'\n');
    text.extend_from_slice(canonical_path(request.path()).as_bytes());
    text.push(b'\n');
    text.extend_from_slice(canonical_query(request.query()).as_bytes());
    text.push(b'\n');
    append_headers(&mut text, request, given.signed_headers)?;
    text.push(b'\n');
    text.extend_from_slice(given.signed_headers.as_bytes());
    text.push(b'\n');
    text.extend_from_slice(body_hash(request, given)?.as_bytes());
    Ok(text)
}

fn canonical_path(path: &str) -> String {
    let pieces: Vec<String> = decode(path)
        .split(|byte| *byte == b'/')
        .map(encode)
        .collect();
    let mut path = pieces.join("/");
    if !path.ends_with('/') {
        path.push('/');
    }
    path
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

/// Percent-encodes all but letters, digits and `-_.~`.
fn encode(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

fn append_headers(text: &mut Vec<u8>, request: &Request, signed: &str) -> Result<(), Denied> {
    let names: Vec<&str> = signed.split(';').collect();
    if names.len() > SIGNED_HEADERS_MAX {
        return Err(denied(format_args!(
            "SignedHeaders names more than {SIGNED_HEADERS_MAX} headers"
        )));
    }
    let sorted: BTreeSet<&str> = names.iter().copied().collect();
    if !sorted.iter().eq(names.iter()) || signed.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(denied(
            "SignedHeaders is not sorted, in lower case, each name once",
        ));
    }
    for name in names {
        let mut values = request
            .headers
            .iter()
            .filter(|(have, _)| have == name)
            .map(|(_, value)| value);
        let value = match (values.next(), values.next()) {
            (Some(value), None) => value,
            (None, _) => return Err(denied(format_args!("the signed header {name} is missing"))),
            (Some(_), Some(_)) => {
                return Err(denied(format_args!(
                    "the signed header {name} is there twice"
                )));
            }
        };
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        text.extend_from_slice(value.trim_ascii());
        text.push(b'\n');
    }
    Ok(())
}

fn body_hash(request: &Request, given: &Given<'_>) -> Result<String, Denied> {
    let hash = dice::hex(&Sha256::digest(&request.body));
    let stated = request
        .header_text("x-sdk-content-sha256")
        .filter(|_| !request.body.is_empty());
    match stated {
        None => Ok(hash),
        Some(_) if !given.signs("x-sdk-content-sha256") => {
            Err(denied("X-Sdk-Content-Sha256 is there but not signed"))
        }
        Some(UNSIGNED) => Ok(UNSIGNED.to_owned()),
        Some(stated) if stated == hash => Ok(hash),
        Some(_) => Err(denied("X-Sdk-Content-Sha256 is not the hash of the body")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const NOW: &str = "20240305T060708Z";

    fn at(text: &str) -> Timestamp {
        NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ")
            .unwrap()
            .and_utc()
    }

    /// A case of the signing vectors, which were made by the official SDK: the gate that knows its key, its clock, and
    /// the request as it arrives.
    fn vector(case: &Value) -> (Gate, Timestamp, Request) {
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let settings = Settings {
            keys: vec![AccessKey {
                ak: text("ak"),
                sk: SecretString::from(text("sk")),
                user: "vector".to_owned(),
                security_token: case["security_token"].as_str().map(SecretString::from),
                expires_at: None,
            }],
            ..Settings::default()
        };
        let mut request = Request::new(
            &text("method"),
            case["expected"]["request_target"].as_str().unwrap(),
        );
        for (name, value) in case["expected"]["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        request.body = case["body"]
            .as_str()
            .unwrap_or_default()
            .as_bytes()
            .to_vec();
        (Gate::new(&settings, 1), at(&text("x_sdk_date")), request)
    }

    fn case(name: &str) -> Value {
        let path = format!(
            "{}/tests/vectors/sign/{name}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn run_pipeline() -> (Gate, Timestamp, Request) {
        vector(&case("04-run-pipeline-documented-example"))
    }

    fn set(request: &mut Request, name: &str, value: &str) {
        request.headers.retain(|(have, _)| have != name);
        request
            .headers
            .push((name.to_owned(), value.as_bytes().to_vec()));
    }

    fn why(result: Result<Caller, Denied>) -> String {
        let denied = result.unwrap_err();
        assert_eq!(denied.code, "APIGW.0301");
        denied.message
    }

    #[test]
    fn what_the_sdk_signs_is_let_in() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/sign");
        let mut cases = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let case: Value =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let (mut gate, now, request) = vector(&case);
            let result = gate.admit(now, &request);
            assert!(result.is_ok(), "{}: {result:?}", path.display());
            cases += 1;
        }
        assert_eq!(cases, 31);
    }

    #[test]
    fn a_changed_request_is_not() {
        type Change = (&'static str, fn(&mut Request));
        let changes: [Change; 6] = [
            ("method", |it| it.method = "PUT".to_owned()),
            ("path", |it| it.target.push('x')),
            ("query", |it| it.target.push_str("?a=b")),
            ("body", |it| it.body.push(b' ')),
            ("signed header", |it| {
                set(it, "content-type", "application/json")
            }),
            ("date", |it| set(it, "x-sdk-date", "20240305T060709Z")),
        ];
        for (what, change) in changes {
            let (mut gate, now, mut request) = run_pipeline();
            change(&mut request);
            let message = why(gate.admit(now, &request));
            assert!(
                message.contains("verify aksk signature fail"),
                "{what}: {message}"
            );
        }
        let (mut gate, now, mut request) = run_pipeline();
        set(&mut request, "accept", "anything that is not signed");
        assert!(gate.admit(now, &request).is_ok());
    }

    #[test]
    fn a_bad_authorization_says_what_is_bad() {
        let (_, _, good) = run_pipeline();
        let authorization = good.header_text("authorization").unwrap().to_owned();
        let swap = |from: &str, to: &str| authorization.replace(from, to);
        let table = [
            (String::new(), "does not begin with"),
            ("Bearer x".to_owned(), "does not begin with"),
            (
                swap("SDK-HMAC-SHA256 ", "SDK-HMAC-SHA256, "),
                "does not begin with",
            ),
            (swap("Access=", "Key="), "no Access="),
            (
                swap("AKTESTEXAMPLE0000001", "AKNOBODY"),
                "ak AKNOBODY does not exist",
            ),
            (
                swap(", SignedHeaders", ",SignedHeaders"),
                "no SignedHeaders=",
            ),
            (swap("content-type;host", "host;content-type"), "not sorted"),
            (swap("host;", "Host;"), "not sorted"),
            (swap("host;", "host;host;"), "not sorted"),
            (
                swap("host;", "host;other;"),
                "the signed header other is missing",
            ),
            (swap(";x-sdk-date", ""), "does not name x-sdk-date"),
            (
                swap("Signature=", "Signature=0"),
                "verify aksk signature fail",
            ),
            (
                authorization
                    .to_uppercase()
                    .replace("SDK-HMAC-SHA256 ACCESS", "SDK-HMAC-SHA256 Access"),
                "no SignedHeaders=",
            ),
            (format!("{authorization}, Extra=1"), "goes on"),
        ];
        for (header, expected) in table {
            let (mut gate, now, mut request) = run_pipeline();
            set(&mut request, "authorization", &header);
            let message = why(gate.admit(now, &request));
            assert!(message.contains(expected), "{header}: {message}");
        }
    }

    #[test]
    fn a_signature_is_good_for_fifteen_minutes_either_way() {
        let minute = TimeDelta::minutes(1);
        for (off, good) in [
            (-16, false),
            (-15, true),
            (0, true),
            (15, true),
            (16, false),
        ] {
            let (mut gate, now, request) = run_pipeline();
            let result = gate.admit(now + minute * off, &request);
            assert_eq!(result.is_ok(), good, "{off}: {result:?}");
        }
        let (mut gate, now, request) = run_pipeline();
        assert!(
            why(gate.admit(now + minute * 60, &request))
                .contains("signature expired, now time is 20240305T070708Z")
        );
        let (mut gate, now, mut request) = run_pipeline();
        set(&mut request, "x-sdk-date", "2024-03-05T06:07:08Z");
        assert!(why(gate.admit(now, &request)).contains("is not like"));
    }

    #[test]
    fn five_bad_signatures_in_a_row_lock_the_key_for_five_minutes() {
        let (mut gate, now, good) = run_pipeline();
        let mut bad = good.clone();
        bad.body.push(b' ');
        for _ in 0..4 {
            assert!(gate.admit(now, &bad).is_err());
        }
        assert!(gate.admit(now, &good).is_ok(), "four are not yet five");
        for _ in 0..5 {
            assert!(why(gate.admit(now, &bad)).contains("verify"));
        }
        assert!(why(gate.admit(now, &good)).contains("is locked until 2024-03-05T06:12:08Z"));
        assert!(why(gate.admit(now + TimeDelta::seconds(299), &good)).contains("locked"));
        assert!(gate.admit(now + TimeDelta::seconds(300), &good).is_ok());
    }

    #[test]
    fn a_temporary_key_comes_with_its_token_and_has_an_end() {
        let (mut gate, now, good) = vector(&case("20-security-token"));
        let mut without = good.clone();
        without
            .headers
            .retain(|(name, _)| name != "x-security-token");
        assert!(why(gate.admit(now, &without)).contains("X-Security-Token is missing"));
        let mut other = good.clone();
        set(&mut other, "x-security-token", "another");
        assert!(why(gate.admit(now, &other)).contains("not the one of this ak"));
        let key = gate.keys.values_mut().next().unwrap();
        key.expires_at = Some(now);
        assert!(why(gate.admit(now, &good)).contains("has expired"));

        let (mut gate, now, mut permanent) = run_pipeline();
        set(&mut permanent, "x-security-token", "any");
        assert!(why(gate.admit(now, &permanent)).contains("is permanent"));
    }

    #[test]
    fn a_token_is_good_until_it_ends_or_is_revoked() {
        let now = at(NOW);
        let mut gate = Gate::new(&Settings::default(), 3);
        let token = gate.make_token(now, "somebody", Scope::Project);
        let with = |text: &str| Request::new("GET", "/").header("X-Auth-Token", text);
        let code = |gate: &mut Gate, now, text: &str| {
            gate.admit(now, &with(text)).map_err(|denied| denied.code)
        };
        assert!(token.text.len() > 2_000, "as long as a real one");
        assert_eq!(
            gate.admit(now, &with(&token.text)).unwrap().executor.name,
            "somebody"
        );
        assert_eq!(
            code(&mut gate, token.expires_at, &token.text),
            Err("APIGW.0307")
        );
        assert_eq!(code(&mut gate, now, "nonsense"), Err("APIGW.0301"));
        assert_eq!(
            code(&mut gate, now, &format!("{}00", token.text)),
            Err("APIGW.0307")
        );
        assert_eq!(
            code(&mut gate, now, &token.text.replacen(".0.1.", ".0.2.", 1)),
            Err("APIGW.0307")
        );
        let unscoped = gate.make_token(now, "somebody", Scope::Other);
        assert_eq!(code(&mut gate, now, &unscoped.text), Err("APIGW.0307"));
        let second = gate.make_token(now, "somebody", Scope::Project);
        assert!(
            gate.admit(now, &with(&token.text)).is_ok(),
            "a new token does not end an older one"
        );
        gate.revoke_tokens();
        assert_eq!(code(&mut gate, now, &second.text), Err("APIGW.0307"));
    }

    #[test]
    fn nobody_comes_in_without_saying_who_they_are() {
        let (mut gate, now, request) = run_pipeline();
        let both = request.header("x-auth-token", "x");
        assert!(why(gate.admit(now, &both)).contains("send one of them"));
        assert!(why(gate.admit(now, &Request::new("GET", "/"))).contains("neither"));
        let open = Settings {
            check_auth: false,
            ..Settings::default()
        };
        assert!(
            Gate::new(&open, 1)
                .admit(now, &Request::new("GET", "/"))
                .is_ok()
        );
    }

    #[test]
    fn a_header_that_is_there_twice_cannot_be_signed() {
        let (mut gate, now, request) = run_pipeline();
        let twice = request.header("content-type", "application/json;charset=utf-8");
        assert!(why(gate.admit(now, &twice)).contains("there twice"));
    }

    #[test]
    fn the_metadata_service_hands_out_one_key_until_half_its_life_is_over() {
        let now = at(NOW);
        let mut gate = Gate::new(&Settings::default(), 3);
        let first = gate.metadata_key(now);
        assert_eq!(gate.metadata_key(now + TimeDelta::hours(11)).ak, first.ak);
        let second = gate.metadata_key(now + TimeDelta::hours(13));
        assert_ne!(second.ak, first.ak);
        assert!(
            gate.key(&first.ak).is_ok(),
            "the first one is good to its end"
        );
        gate.metadata_key(now + TimeDelta::hours(36));
        assert!(gate.key(&first.ak).is_err());
        let token = gate.make_metadata_token(now, Duration::from_secs(60));
        assert!(gate.is_metadata_token(now, &token));
        assert!(!gate.is_metadata_token(now + TimeDelta::seconds(60), &token));
        assert!(!gate.is_metadata_token(now, "metadata-99999999999999-00"));
    }
}
