//! What is read of an account's secrets on this machine: files, environment, the SDKs' profile. Blocks as long as that
//! takes; fetches nothing.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::codearts::auth::profile::{self, CHAIN_PROFILES, Profile};
use crate::codearts::auth::{Keys, Pass, iam};
use crate::codearts::{SANDBOX_AK, SANDBOX_SK, Secrets};
use crate::config::{Account, Credentials, Text};
use crate::domain::request::SecretRef;
use crate::os;

/// Largest credentials file, in bytes.
const PROFILE_BYTES_MAX: u64 = 1024 * 1024;

/// The sandbox's key.
pub(super) fn sandbox_keys() -> Keys {
    Keys {
        ak: SANDBOX_AK.to_owned(),
        sk: SecretString::from(SANDBOX_SK),
        security_token: None,
    }
}

fn secret(secret: &SecretRef) -> Result<SecretString, String> {
    os::read_secret(secret).map_err(|error| error.to_string())
}

/// A text that stands in the file or is kept elsewhere.
pub(super) fn text(text: &Text) -> Result<String, String> {
    match text {
        Text::Plain(text) => Ok(text.clone()),
        Text::Secret(at) => secret(at).map(|text| text.expose_secret().to_owned()),
    }
}

/// The keys or the token that an account's credentials name.
pub(super) fn read_pass(account: &Account) -> Result<Pass, String> {
    match &account.credentials {
        Credentials::Token(token) => secret(token).map(Pass::Token),
        Credentials::Keys {
            ak,
            sk,
            security_token,
        } => Ok(Pass::Keys(Keys {
            ak: text(ak)?,
            sk: secret(sk)?,
            security_token: security_token.as_ref().map(secret).transpose()?,
        })),
        Credentials::Chain
        | Credentials::Password { .. }
        | Credentials::Metadata
        | Credentials::Sandbox
        | Credentials::Profile { .. } => {
            Err("these credentials are not read but fetched".to_owned())
        }
    }
}

/// The user and password that an account's credentials name, and the project to scope to.
pub(super) fn read_user(account: &Account) -> Result<iam::User, String> {
    let Credentials::Password {
        domain,
        user,
        password,
        ..
    } = &account.credentials
    else {
        return Err("these credentials have no password".to_owned());
    };
    Ok(iam::User {
        domain: text(domain)?,
        user: text(user)?,
        password: secret(password)?,
        project: project(account)?,
    })
}

/// What a token is scoped to: the project given, else the region's root project, which has the region's name.
fn project(account: &Account) -> Result<String, String> {
    let given = match &account.credentials {
        Credentials::Password { project, .. } => project.clone(),
        Credentials::Chain
        | Credentials::Keys { .. }
        | Credentials::Token(_)
        | Credentials::Metadata
        | Credentials::Sandbox
        | Credentials::Profile { .. } => None,
    };
    given.or_else(|| account.region.clone()).ok_or_else(|| {
        "a token is for a project: give the account a `region`, or the credentials a `project`"
            .to_owned()
    })
}

/// The links of the chain that need no network: the keys and the IAM project's id, or why each has none.
pub(super) fn read_chain() -> Result<(Keys, Option<String>), Vec<String>> {
    let mut failed = Vec::new();
    match read_environment() {
        Ok(found) => return Ok(found),
        Err(why) => failed.push(format!("environment: {why}")),
    }
    match read_profile(None, &CHAIN_PROFILES) {
        Ok(profile) => return Ok((profile.keys, profile.project_id)),
        Err(why) => failed.push(format!("profile: {why}")),
    }
    Err(failed)
}

fn read_environment() -> Result<(Keys, Option<String>), String> {
    let want = |name: &str| os::variable(name).ok_or_else(|| format!("{name} is not set"));
    let keys = Keys {
        ak: want("HUAWEICLOUD_SDK_AK")?,
        sk: want("HUAWEICLOUD_SDK_SK")?.into(),
        security_token: os::variable("HUAWEICLOUD_SDK_SECURITY_TOKEN").map(SecretString::from),
    };
    Ok((keys, os::variable("HUAWEICLOUD_SDK_PROJECT_ID")))
}

/// A profile of `file`, or of the SDKs' usual one.
pub(super) fn read_profile(file: Option<&Path>, names: &[&str]) -> Result<Profile, String> {
    let path = match file {
        Some(file) => file.to_owned(),
        None => usual_profile_file()?,
    };
    let fail = |why: String| {
        format!(
            "the credentials file {} cannot be used: {why}",
            path.display()
        )
    };
    let bytes = os::read_file(&path, PROFILE_BYTES_MAX).map_err(fail)?;
    let text = String::from_utf8(bytes).map_err(|_| fail("it is not text in UTF-8".to_owned()))?;
    profile::parse(&text, names).map_err(fail)
}

fn usual_profile_file() -> Result<PathBuf, String> {
    if let Some(file) = os::variable("HUAWEICLOUD_SDK_CREDENTIALS_FILE") {
        return Ok(file.into());
    }
    os::variable("HOME")
        .map(|home| Path::new(&home).join(".huaweicloud").join("credentials"))
        .ok_or_else(|| "neither HUAWEICLOUD_SDK_CREDENTIALS_FILE nor HOME is set".to_owned())
}

/// Everything of an account's credentials that cannot be read now.
pub(super) fn check(account: &Account) -> Vec<String> {
    let texts = |texts: &[&Text]| {
        let problem = |text: &&Text| self::text(text).err();
        texts.iter().filter_map(problem).collect::<Vec<_>>()
    };
    let unread = |at: &SecretRef| secret(at).err();
    match &account.credentials {
        Credentials::Keys {
            ak,
            sk,
            security_token,
        } => {
            let mut problems = texts(&[ak]);
            problems.extend(unread(sk));
            problems.extend(security_token.as_ref().and_then(unread));
            problems
        }
        Credentials::Token(token) => unread(token).into_iter().collect(),
        Credentials::Password {
            domain,
            user,
            password,
            ..
        } => {
            let mut problems = texts(&[domain, user]);
            problems.extend(unread(password));
            problems.extend(project(account).err());
            problems
        }
        Credentials::Profile { profile, file } => {
            let profile = read_profile(file.as_deref(), &[profile]);
            profile.err().into_iter().collect()
        }
        // The chain may end at the metadata service, which only a request can tell.
        Credentials::Chain | Credentials::Metadata | Credentials::Sandbox => Vec::new(),
    }
}

/// The secret variables' values, read now.
pub(super) fn read_variables(wanted: Vec<(String, SecretRef)>) -> Result<Secrets, String> {
    wanted
        .into_iter()
        .map(|(variable, at)| match os::read_secret(&at) {
            Ok(value) => Ok((at, value)),
            Err(error) => Err(format!("the variable {variable}: {error}")),
        })
        .collect()
}
