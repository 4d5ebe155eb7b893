//! `credentials:` of an account: which of the forms it is, and where its secrets are.
//!
//! A secret never stands in the file. When one does, the problem says how to write it instead, and neither the message
//! nor the source line repeats it: problems go to logs and to the status page.

use std::path::PathBuf;

use super::account::{Credentials, Text};
use super::check::{Check, KeySet, SECRET_FORMS, listed};
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
pub(super) const FORMS: [(&str, &[&str], usize); 5] = [
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
    let misspelt = check.findings.errors() > before;
    // Every part is looked at before anything that is wrong ends it.
    let mut parts = Parts::default();
    for pair in &pairs {
        parts.take(check, pair.key, pair.value);
    }
    let (_, form, needed) = *form(check, value, &pairs, misspelt)?;
    let given = |key: &&str| pairs.iter().any(|pair| pair.key == *key);
    let missing: Vec<&str> = form
        .iter()
        .take(needed)
        .copied()
        .filter(|key| !given(key))
        .collect();
    if !missing.is_empty() {
        if !misspelt {
            let given: Vec<&str> = pairs.iter().map(|pair| pair.key).collect();
            let message = format!(
                "`credentials` has {}, but not {}",
                listed(&given),
                listed(&missing)
            );
            check.report(Finding::error(Kind::Missing, value.at(), message).help(FORMS_HELP));
        }
        return None;
    }
    if check.findings.errors() > before {
        return None;
    }
    parts.assemble(form)
}

/// The values of the keys, as far as they are given and good.
#[derive(Debug, Default)]
struct Parts {
    ak: Option<Text>,
    sk: Option<SecretRef>,
    security_token: Option<SecretRef>,
    domain: Option<Text>,
    user: Option<Text>,
    password: Option<SecretRef>,
    project: Option<String>,
    token: Option<SecretRef>,
    profile: Option<String>,
    file: Option<PathBuf>,
}

impl Parts {
    fn take(&mut self, check: &mut Check<'_>, key: &str, value: Value<'_>) {
        match key {
            "ak" => self.ak = text(check, value, key),
            "sk" => self.sk = secret(check, value, key),
            "security_token" => self.security_token = secret(check, value, key),
            "domain" => self.domain = text(check, value, key),
            "user" => self.user = text(check, value, key),
            "password" => self.password = secret(check, value, key),
            "project" => self.project = check.some_text(value, key).map(str::to_owned),
            "token" => self.token = secret(check, value, key),
            "metadata" => metadata(check, value),
            "profile" => self.profile = check.some_text(value, key).map(str::to_owned),
            "file" => self.file = check.path(value, key),
            _ => {}
        }
    }

    fn assemble(self, form: &[&str]) -> Option<Credentials> {
        Some(match form {
            ["ak", ..] => Credentials::Keys {
                ak: self.ak?,
                sk: self.sk?,
                security_token: self.security_token,
            },
            ["domain", ..] => Credentials::Password {
                domain: self.domain?,
                user: self.user?,
                password: self.password?,
                project: self.project,
            },
            ["token"] => Credentials::Token(self.token?),
            ["metadata"] => Credentials::Metadata,
            _ => Credentials::Profile {
                profile: self.profile?,
                file: self.file,
            },
        })
    }
}

fn metadata(check: &mut Check<'_>, value: Value<'_>) {
    if check.flag(value, "metadata") == Some(false) {
        let message = "`metadata: false` names no credentials";
        check.report(Finding::error(Kind::Value, value.at(), message).help(FORMS_HELP));
    }
}

/// Which form the keys are of.
fn form(
    check: &mut Check<'_>,
    value: Value<'_>,
    pairs: &[Pair<'_>],
    misspelt: bool,
) -> Option<&'static (&'static str, &'static [&'static str], usize)> {
    let form_of = |key: &str| FORMS.iter().find(|(_, keys, _)| keys.contains(&key));
    let Some(first) = pairs.first() else {
        if !misspelt {
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
pub(super) fn text(check: &mut Check<'_>, value: Value<'_>, key: &str) -> Option<Text> {
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
pub(super) fn secret(check: &mut Check<'_>, value: Value<'_>, key: &str) -> Option<SecretRef> {
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
