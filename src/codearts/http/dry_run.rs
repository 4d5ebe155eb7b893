//! The request that would be sent, for a person to look at: exact, except that secrets are masked.

use std::path::Path;

use secrecy::SecretString;

use super::secrets::{read_chain, read_profile, sandbox_keys, text};
use crate::codearts::auth::{Keys, Pass};
use crate::codearts::mask::HIDDEN;
use crate::codearts::{HttpRequest, RequestError, Secrets, Start, request, secret_variables};
use crate::config::{Account, Credentials};
use crate::domain::Timestamp;

/// The request that `start` would send now, with every secret masked: the signature, tokens, secret variables. The
/// access key's id is shown if it can be read. Asks nobody and fetches nothing, and works with missing secrets too.
///
/// # Errors
/// When the request cannot be written at all.
pub fn dry_run(
    start: &Start,
    account: &Account,
    now: Timestamp,
) -> Result<HttpRequest, RequestError> {
    let secrets: Secrets = secret_variables(&start.request)
        .map(|(_, at)| (at.clone(), SecretString::from(HIDDEN)))
        .collect();
    let shown = shown_pass(account);
    let project_id = account
        .iam_project_id
        .as_deref()
        .or(shown.project_id.as_deref());
    let request = request(start, &account.endpoint, project_id, &secrets)?;
    let mut request = shown.pass.admit(request.clone(), now).unwrap_or(request);
    if let Some((before, _)) = request
        .header("Authorization")
        .and_then(|authorization| authorization.rsplit_once("Signature="))
    {
        let authorization = format!("{before}Signature={HIDDEN}");
        request.set_header("Authorization", &authorization);
    }
    Ok(request)
}

/// A pass without a secret in it, shaped like the one that would be used.
struct Shown {
    pass: Pass,
    project_id: Option<String>,
}

fn shown_pass(account: &Account) -> Shown {
    let alone = |pass: Pass| Shown {
        pass,
        project_id: None,
    };
    let temporary = || alone(Pass::Keys(keys(HIDDEN.to_owned(), true)));
    match &account.credentials {
        Credentials::Sandbox => alone(Pass::Keys(keys(sandbox_keys().ak, false))),
        Credentials::Keys {
            ak, security_token, ..
        } => {
            let ak = text(ak).unwrap_or_else(|_| HIDDEN.to_owned());
            alone(Pass::Keys(keys(ak, security_token.is_some())))
        }
        Credentials::Token(_) | Credentials::Password { .. } => {
            alone(Pass::Token(SecretString::from(HIDDEN)))
        }
        Credentials::Metadata => temporary(),
        Credentials::Profile { profile, file } => shown_profile(file.as_deref(), profile),
        Credentials::Chain => match read_chain() {
            Ok((found, project_id)) => Shown {
                pass: Pass::Keys(keys(found.ak, found.security_token.is_some())),
                project_id,
            },
            Err(_) => temporary(),
        },
    }
}

fn shown_profile(file: Option<&Path>, name: &str) -> Shown {
    match read_profile(file, &[name]) {
        Ok(profile) => Shown {
            pass: Pass::Keys(keys(profile.keys.ak, profile.keys.security_token.is_some())),
            project_id: profile.project_id,
        },
        Err(_) => Shown {
            pass: Pass::Keys(keys(HIDDEN.to_owned(), false)),
            project_id: None,
        },
    }
}

fn keys(ak: String, is_temporary: bool) -> Keys {
    Keys {
        ak,
        sk: SecretString::from(HIDDEN),
        security_token: is_temporary.then(|| SecretString::from(HIDDEN)),
    }
}
