//! `credentials:` of an account: which of the forms it is, and where its secrets are.
//!
//! A secret never stands in the file. When one does, the problem says how to write it instead, and neither the message
//! nor the source line repeats it: problems go to logs and to the status page.

use super::account::{Credentials, Text};
use super::check::{Check, KeySet, SECRET_FORMS};
use super::problem::{Finding, Kind};
use super::tree::{Pair, Shape, Value};
use crate::domain::request::SecretRef;

pub(super) static KEYS: KeySet = KeySet {
    what: "`credentials`",
    known: &[
        "ak",
        "sk",
        "security_token",
        "domain",
        "user",
        "password",
        "project",
        "token",
        "metadata",
        "profile",
        "file",
    ],
    later: &[],
    advice: &[
        ("access_key", "the access key's id is `ak`"),
        ("access_key_id", "the access key's id is `ak`"),
        ("secret_key", "the secret key is `sk`"),
        ("secret_access_key", "the secret key is `sk`"),
        ("secret", "the secret key is `sk`"),
        ("username", "the IAM user's name is `user`"),
        ("user_name", "the IAM user's name is `user`"),
        ("domain_name", "the account's name is `domain`"),
        ("account", "the account's name is `domain`"),
        (
            "agency",
            "write { metadata: true } for the agency of the instance",
        ),
        (
            "env",
            "leave `credentials` out for the SDKs' environment variables, or write { ak: { env: NAME }, sk: { env: NAME } }",
        ),
    ],
};

/// The forms and their keys; the first keys of a form are needed.
const FORMS: [(&str, &[&str], usize); 5] = [
    ("an access key", &["ak", "sk", "security_token"], 2),
    ("an IAM user", &["domain", "user", "password", "project"], 3),
    ("a ready-made token", &["token"], 1),
    ("the instance's agency", &["metadata"], 1),
    ("a profile", &["profile", "file"], 1),
];

/// Keys whose values are no secrets.
const NO_SECRETS: [&str; 7] = [
    "ak", "domain", "user", "project", "metadata", "profile", "file",
];

const FORMS_HELP: &str = "write one of: { ak, sk }, { ak, sk, security_token }, { domain, user, password }, { token }, \
    { metadata: true }, { profile }; or leave `credentials` out for the SDKs' chain";

/// Checks the value of `credentials`.
pub(super) fn read(check: &mut Check<'_>, value: Value<'_>) -> Option<Credentials> {
    let Shape::Mapping(mapping) = value.shape() else {
        check.hide(value);
        check.wrong_form(value, "credentials", "a mapping", FORMS_HELP);
        return None;
    };
    for pair in mapping.pairs(&mut check.findings) {
        // Also what stands under a misspelt key.
        if !NO_SECRETS.contains(&pair.key) && !matches!(pair.value.shape(), Shape::Mapping(_)) {
            check.hide(pair.value);
        }
    }
    let before = check.findings.errors();
    let pairs = check.keys(mapping, &KEYS);
    let (_, form, needed) = *form(check, value, &pairs, before)?;
    let get = |key: &str| {
        pairs
            .iter()
            .find(|pair| pair.key == key)
            .map(|pair| pair.value)
    };
    let missing: Vec<&str> = form
        .iter()
        .take(needed)
        .copied()
        .filter(|key| get(key).is_none())
        .collect();
    if !missing.is_empty() {
        // Rather a misspelt key than a missing one.
        if check.findings.errors() == before {
            let given: Vec<&str> = pairs.iter().map(|pair| pair.key).collect();
            let (given, missing) = (super::check::listed(&given), super::check::listed(&missing));
            let message = format!("`credentials` has {given}, but not {missing}");
            check.report(Finding::error(Kind::Missing, value.at(), message).help(FORMS_HELP));
        }
        return None;
    }
    // Every part is looked at before the first that is wrong ends it.
    let optional = |check: &mut Check<'_>, key: &str| match get(key) {
        Some(value) => secret(check, value, key).map(Some),
        None => Some(None),
    };
    match form {
        ["ak", ..] => {
            let ak = text(check, get("ak")?, "ak");
            let sk = secret(check, get("sk")?, "sk");
            let security_token = optional(check, "security_token");
            Some(Credentials::Keys {
                ak: ak?,
                sk: sk?,
                security_token: security_token?,
            })
        }
        ["domain", ..] => {
            let domain = text(check, get("domain")?, "domain");
            let user = text(check, get("user")?, "user");
            let password = secret(check, get("password")?, "password");
            let project = match get("project") {
                Some(value) => check
                    .some_text(value, "project")
                    .map(|project| Some(project.to_owned())),
                None => Some(None),
            };
            Some(Credentials::Password {
                domain: domain?,
                user: user?,
                password: password?,
                project: project?,
            })
        }
        ["token"] => secret(check, get("token")?, "token").map(Credentials::Token),
        ["metadata"] => {
            let value = get("metadata")?;
            if check.flag(value, "metadata")? {
                return Some(Credentials::Metadata);
            }
            let message = "`metadata: false` names no credentials";
            check.report(Finding::error(Kind::Value, value.at(), message).help(FORMS_HELP));
            None
        }
        _ => {
            let profile = check
                .some_text(get("profile")?, "profile")
                .map(str::to_owned);
            let file = match get("file") {
                Some(value) => check.path(value, "file").map(Some),
                None => Some(None),
            };
            Some(Credentials::Profile {
                profile: profile?,
                file: file?,
            })
        }
    }
}

/// Which form the keys are of.
fn form(
    check: &mut Check<'_>,
    value: Value<'_>,
    pairs: &[Pair<'_>],
    errors_before: usize,
) -> Option<&'static (&'static str, &'static [&'static str], usize)> {
    let form_of = |key: &str| FORMS.iter().find(|(_, keys, _)| keys.contains(&key));
    let Some(first) = pairs.first() else {
        if check.findings.errors() == errors_before {
            let message = "`credentials` is empty";
            check.report(Finding::error(Kind::Missing, value.at(), message).help(FORMS_HELP));
        }
        return None;
    };
    let form = form_of(first.key)?;
    let stranger = pairs.iter().find(|pair| !form.1.contains(&pair.key));
    if let Some(stranger) = stranger {
        let other = form_of(stranger.key).map_or("something else", |(name, ..)| name);
        let message = format!("`credentials` has keys of {} and of {other}", form.0);
        check.report(
            Finding::error(Kind::Conflict, stranger.key_at, message)
                .help(FORMS_HELP)
                .related(first.key_at, format!("this belongs to {}", form.0)),
        );
        return None;
    }
    Some(form)
}

/// A setting that may stand in the file or be kept elsewhere.
fn text(check: &mut Check<'_>, value: Value<'_>, key: &str) -> Option<Text> {
    if let Shape::Mapping(mapping) = value.shape() {
        return check.secret_ref(mapping, value, key).map(Text::Secret);
    }
    let text = check.some_text(value, key)?;
    if text.chars().any(|c| c.is_control()) || text.trim() != text {
        let message = format!("`{key}` has a space at an end, or a character that cannot be seen");
        check.report(Finding::error(Kind::Value, value.at(), message).help("copy it again"));
        return None;
    }
    Some(Text::Plain(text.to_owned()))
}

/// A setting that must not stand in the file.
fn secret(check: &mut Check<'_>, value: Value<'_>, key: &str) -> Option<SecretRef> {
    match value.shape() {
        Shape::Mapping(mapping) => check.secret_ref(mapping, value, key),
        Shape::Text(text) => {
            let message = format!("`{key}` stands in the file as plain text, and no secret may");
            let variable = text.starts_with('$');
            let help = if variable {
                format!("variables are not expanded here; write `{key}: {{ env: NAME }}`")
            } else {
                format!(
                    "write `{key}: {{ env: NAME }}`, `{{ file: PATH }}` or `{{ credential: NAME }}`, and change the secret: \
                     whoever saw the file knows it"
                )
            };
            check.report(Finding::error(Kind::Secret, value.at(), message).help(help));
            None
        }
        Shape::Null | Shape::List(_) | Shape::Refused => {
            check.wrong_form(value, key, "the place of a secret", SECRET_FORMS);
            None
        }
    }
}
