//! Where credentials come from: read at the door, or fetched from IAM or the instance metadata service.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::credentials::{Cause, Failure, Held, Life, Origin};
use super::exchange::{BODY_BYTES_MAX, exchange};
use super::lines::Purpose;
use super::secrets::{read_chain, read_pass, read_profile, read_user, sandbox_keys};
use super::session::Ground;
use crate::codearts::auth::{Pass, iam, metadata};
use crate::codearts::{HttpRequest, HttpResponse, Mask};
use crate::config::Credentials;

/// A token is renewed when less than this is left of it, or less than a tenth of its life.
const TOKEN_LEFT: TimeDelta = TimeDelta::minutes(30);
/// A metadata key is renewed when less than this is left of it, as the SDKs do.
const KEY_LEFT: TimeDelta = TimeDelta::minutes(40);
/// An instance that knows no session tokens is asked again after this, as the SDKs do.
const NO_SESSION: Duration = Duration::from_secs(24 * 3600);
/// A session token is used until this long before its end.
const SESSION_LEFT: Duration = Duration::from_secs(600);

/// What the one who fetches has to remember.
#[derive(Debug, Default)]
pub(super) struct Flight {
    session: Session,
}

/// The session token of the metadata service.
#[derive(Debug, Default)]
enum Session {
    #[default]
    Unasked,
    /// The instance knows of none.
    Unknown { asked_at: Instant },
    Known {
        token: SecretString,
        asked_at: Instant,
    },
}

/// Gets credentials. `previous` are good, but due or to be looked at again.
pub(super) async fn obtain(
    ground: &Ground,
    flight: &mut Flight,
    previous: Option<&Arc<Held>>,
) -> Result<Held, Failure> {
    let account = &ground.account;
    match &account.credentials {
        Credentials::Sandbox => Ok(Held::read(Pass::Keys(sandbox_keys()), None)),
        Credentials::Keys { .. } | Credentials::Token(_) => {
            let account = Arc::clone(account);
            blocking(move || read_pass(&account))
                .await
                .map(|pass| Held::read(pass, None))
        }
        Credentials::Profile { profile, file } => {
            let (profile, file) = (profile.clone(), file.clone());
            let profile = blocking(move || read_profile(file.as_deref(), &[&profile])).await?;
            Ok(Held::read(Pass::Keys(profile.keys), profile.project_id))
        }
        Credentials::Password { .. } => {
            let account = Arc::clone(account);
            let user = blocking(move || read_user(&account)).await?;
            token(ground, previous, user).await
        }
        Credentials::Metadata => metadata_key(ground, flight, previous)
            .await
            .map_err(Failure::from),
        Credentials::Chain => chain(ground, flight, previous).await,
    }
}

/// Runs what may wait for a disk, off the async threads.
pub(super) async fn blocking<T, F>(work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, String> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(Failure::ours),
        Err(error) => Err(Failure::ours(format!("reading secrets failed: {error}"))),
    }
}

async fn token(
    ground: &Ground,
    previous: Option<&Arc<Held>>,
    user: iam::User,
) -> Result<Held, Failure> {
    let now = ground.clock.now();
    let origin = Origin::User(fingerprint(&user));
    if let Some(previous) = previous.filter(|held| held.origin == origin && !held.is_due(now)) {
        return Ok(Held::clone(previous));
    }
    let mut mask = Mask::none();
    mask.hide(user.password.expose_secret());
    let request = iam::token_request(&ground.account.iam_endpoint, &user);
    let response = call(ground, Purpose::Call, request)
        .await
        .map_err(|why| mask.show(&format!("cannot get a token from IAM: {why}")))?;
    let now = ground.clock.now();
    let token = iam::read_token(&response, &mask, now).map_err(|refusal| Failure {
        cause: match refusal.unauthorized {
            true => Cause::Refused,
            false => Cause::Unreached,
        },
        message: refusal.message,
        retry_after: refusal.retry_after,
    })?;
    tracing::info!(account = %ground.account.name, ends = %token.ends, "got a token from IAM");
    Ok(Held {
        pass: Pass::Token(token.token),
        project_id: None,
        life: Some(Life {
            renew_from: token.ends - TOKEN_LEFT.min((token.ends - now) / 10),
            ends: token.ends,
        }),
        origin,
    })
}

/// Tells whether a token was had with the same user and password, without keeping the password.
fn fingerprint(user: &iam::User) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [
        &user.domain,
        &user.user,
        user.password.expose_secret(),
        &user.project,
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

async fn call(
    ground: &Ground,
    purpose: Purpose,
    request: HttpRequest,
) -> Result<HttpResponse, String> {
    let client = ground
        .client(purpose)
        .await
        .map_err(|failure| failure.message)?;
    let asked = exchange(&client, request, BODY_BYTES_MAX, &ground.hold);
    let name = match purpose {
        Purpose::Metadata => "metadata",
        Purpose::Start | Purpose::Look | Purpose::Call => "token",
    };
    ground.timed(name, asked).await.map_err(|lost| lost.why)
}

async fn metadata_key(
    ground: &Ground,
    flight: &mut Flight,
    previous: Option<&Arc<Held>>,
) -> Result<Held, String> {
    let now = ground.clock.now();
    if let Some(previous) =
        previous.filter(|held| held.origin == Origin::Metadata && !held.is_due(now))
    {
        return Ok(Held::clone(previous));
    }
    if flight.session.is_to_be_asked() {
        flight.session = ask_session(ground).await?;
    }
    let mut response = ask_key(ground, &flight.session).await?;
    if metadata::wants_session(&response) {
        flight.session = ask_session(ground).await?;
        response = ask_key(ground, &flight.session).await?;
    }
    let now = ground.clock.now();
    let mut mask = Mask::none();
    if let Some(token) = flight.session.token() {
        mask.hide(token.expose_secret());
    }
    let (keys, ends) = metadata::read_key(&response, &mask, now)?;
    Ok(Held {
        pass: Pass::Keys(keys),
        project_id: None,
        life: Some(Life {
            renew_from: ends - KEY_LEFT,
            ends,
        }),
        origin: Origin::Metadata,
    })
}

impl Session {
    fn token(&self) -> Option<&SecretString> {
        match self {
            Self::Known { token, .. } => Some(token),
            Self::Unasked | Self::Unknown { .. } => None,
        }
    }

    fn is_to_be_asked(&self) -> bool {
        let life = Duration::from_secs(u64::from(metadata::SESSION_SECS)) - SESSION_LEFT;
        match self {
            Self::Unasked => true,
            Self::Unknown { asked_at } => asked_at.elapsed() >= NO_SESSION,
            Self::Known { asked_at, .. } => asked_at.elapsed() >= life,
        }
    }
}

async fn ask_session(ground: &Ground) -> Result<Session, String> {
    let asked_at = Instant::now();
    let request = metadata::session_request(&ground.account.metadata_endpoint);
    let response = call(ground, Purpose::Metadata, request)
        .await
        .map_err(unreachable)?;
    Ok(match metadata::read_session(&response)? {
        Some(token) => Session::Known { token, asked_at },
        None => Session::Unknown { asked_at },
    })
}

async fn ask_key(ground: &Ground, session: &Session) -> Result<HttpResponse, String> {
    let request = metadata::key_request(&ground.account.metadata_endpoint, session.token());
    call(ground, Purpose::Metadata, request)
        .await
        .map_err(unreachable)
}

fn unreachable(why: String) -> String {
    format!("the instance metadata service cannot be reached: {why}")
}

/// The SDKs' chain (huaweicloudsdkcore and the Go SDK, `auth.provider`): environment, profile file, metadata. One that
/// fails is passed over; if all do, all are reported.
async fn chain(
    ground: &Ground,
    flight: &mut Flight,
    previous: Option<&Arc<Held>>,
) -> Result<Held, Failure> {
    let local = blocking(|| Ok(read_chain())).await?;
    let mut failed = match local {
        Ok((keys, project_id)) => return Ok(Held::read(Pass::Keys(keys), project_id)),
        Err(failed) => failed,
    };
    match metadata_key(ground, flight, previous).await {
        Ok(held) => Ok(held),
        Err(why) => {
            failed.push(format!("metadata: {why}"));
            Err(Failure::from(format!(
                "found no credentials ({})",
                failed.join("; ")
            )))
        }
    }
}
