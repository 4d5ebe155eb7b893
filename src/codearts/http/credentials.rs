//! What an account opens the door with: had once, kept, renewed before it ends, and read again when it is refused.
//!
//! Three hundred ticks at two in the morning fetch one token: whoever comes while a fetch is under way waits for it
//! and takes what it brings, a failure as well. If each tried on its own, one wrong password would lock the IAM user.
//! What is still good is never held up by its own renewal, nor lost by one that fails.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::exchange::{BODY_BYTES_MAX, exchange};
use super::lines::Purpose;
use super::session::Ground;
use crate::codearts::auth::profile::{self, CHAIN_PROFILES, Profile};
use crate::codearts::auth::{Keys, Pass, iam, metadata};
use crate::codearts::{HttpRequest, HttpResponse, Mask, SANDBOX_AK, SANDBOX_SK};
use crate::config::{Account, Credentials, Text};
use crate::domain::Timestamp;
use crate::domain::request::SecretRef;
use crate::os;

/// A token is renewed when less than this is left of it, or less than a tenth of its life.
const TOKEN_LEFT: TimeDelta = TimeDelta::minutes(30);
/// A metadata key is renewed when less than this is left of it, as the SDKs do.
const KEY_LEFT: TimeDelta = TimeDelta::minutes(40);
/// A renewal of what is still good is tried no more often than this.
const RENEWAL_REST: Duration = Duration::from_secs(60);
/// A failure is told again to whoever asks within this time, until a reload: the ticks of one instant do not all come in
/// the same moment.
const FAILURE_REST: Duration = Duration::from_secs(3);
/// What was fetched is dropped because it was refused no more often than this: if the new one is refused too, it is not
/// its age, and to fetch a third helps nobody.
const DROP_REST: Duration = Duration::from_secs(300);
/// An instance that knows no session tokens is asked again after this, as the SDKs do.
const NO_SESSION: Duration = Duration::from_secs(24 * 3600);
/// A session token is used until this long before its end.
const SESSION_LEFT: Duration = Duration::from_secs(600);
/// Largest credentials file, in bytes.
const PROFILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whether somebody refused them, as opposed to not having been reached.
    pub(super) unauthorized: bool,
    /// What went wrong; never a secret.
    pub(super) message: String,
    /// How long the one who refused wants us to wait.
    pub(super) retry_after: Option<Duration>,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self {
            unauthorized: false,
            message,
            retry_after: None,
        }
    }
}

/// Credentials that we have.
#[derive(Clone)]
pub(super) struct Held {
    /// What opens the door.
    pub(super) pass: Pass,
    /// The IAM project's id that came with them.
    pub(super) project_id: Option<String>,
    /// From when on they are to be renewed, and when they end; none: never.
    life: Option<Life>,
    /// What they were had with, to see whether that has changed.
    origin: Origin,
}

impl fmt::Debug for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Held")
            .field("pass", &self.pass)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy)]
struct Life {
    renew_from: Timestamp,
    ends: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Read where they are kept.
    Read,
    /// Fetched with the user and password of this hash.
    User([u8; 32]),
    /// Fetched from the metadata service.
    Metadata,
}

impl Held {
    fn read(pass: Pass, project_id: Option<String>) -> Self {
        Self {
            pass,
            project_id,
            life: None,
            origin: Origin::Read,
        }
    }

    /// Whether it opens the door in the same way as `other`: then what was refused to one is refused to both.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same_id = match (&self.pass, &other.pass) {
            (Pass::Keys(one), Pass::Keys(two)) => one.ak == two.ak,
            (Pass::Token(_), Pass::Token(_)) => true,
            (Pass::Keys(_), Pass::Token(_)) | (Pass::Token(_), Pass::Keys(_)) => false,
        };
        let (ours, theirs) = (self.pass.secrets(), other.pass.secrets());
        same_id
            && ours
                .map(ExposeSecret::expose_secret)
                .eq(theirs.map(ExposeSecret::expose_secret))
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.life.is_some_and(|life| life.renew_from <= now)
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.life.is_some_and(|life| life.ends <= now)
    }
}

/// Keeps the credentials of one account.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    state: Mutex<State>,
    /// Whoever holds this gets credentials for all.
    flight: Arc<tokio::sync::Mutex<Flight>>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Arc<Held>>,
    /// How often a reload asked to look again where they are kept, ...
    reloads: u64,
    /// ... and how often that had happened when what is held was looked for.
    as_of: u64,
    renewal_failed_at: Option<Instant>,
    /// How the last attempt to get any ended, if badly.
    failure: Option<(Instant, Failure)>,
    dropped_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Flight {
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

/// What is at hand.
enum AtHand {
    Fresh(Arc<Held>),
    /// Good, but it will end soon.
    Aging(Arc<Held>),
    /// Good, but there was a reload.
    Questioned(Arc<Held>),
    Nothing,
}

impl Keeper {
    /// Credentials that are good now.
    pub(super) async fn get(self: &Arc<Self>, ground: &Arc<Ground>) -> Result<Arc<Held>, Failure> {
        match self.at_hand(ground.clock.now()) {
            AtHand::Fresh(held) => Ok(held),
            // Renewed beside us: nobody waits for what is not needed yet.
            AtHand::Aging(held) => {
                if let Ok(mut flight) = Arc::clone(&self.flight).try_lock_owned() {
                    let (keeper, ground) = (Arc::clone(self), Arc::clone(ground));
                    tokio::spawn(async move { keeper.renew(&ground, &mut flight).await });
                }
                Ok(held)
            }
            // After a reload the person expects the new secret to be used, not the old one once more.
            AtHand::Questioned(held) => {
                let mut flight = self.flight.lock().await;
                self.renew(ground, &mut flight).await;
                Ok(self.state().held.clone().unwrap_or(held))
            }
            AtHand::Nothing => self.fetch_once(ground).await,
        }
    }

    /// Looks again where the credentials are kept, before they are next used. A token stays if nothing has changed.
    pub(super) fn reread(&self) {
        let mut state = self.state();
        state.reloads += 1;
        state.renewal_failed_at = None;
        state.failure = None;
    }

    /// The service did not accept `used`.
    pub(super) fn refused(&self, used: &Arc<Held>) {
        let mut state = self.state();
        let is_current = state
            .held
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, used));
        let is_resting = used.origin != Origin::Read
            && state.dropped_at.is_some_and(|at| at.elapsed() < DROP_REST);
        if is_current && !is_resting {
            state.held = None;
            state.dropped_at = Some(Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_hand(&self, now: Timestamp) -> AtHand {
        let state = self.state();
        let Some(held) = state.held.as_ref().filter(|held| !held.has_ended(now)) else {
            return AtHand::Nothing;
        };
        let held = Arc::clone(held);
        let is_resting = state
            .renewal_failed_at
            .is_some_and(|at| at.elapsed() < RENEWAL_REST);
        if is_resting {
            AtHand::Fresh(held)
        } else if state.reloads != state.as_of {
            AtHand::Questioned(held)
        } else if held.is_due(now) {
            AtHand::Aging(held)
        } else {
            AtHand::Fresh(held)
        }
    }

    /// Renews what is at hand, if that is still called for. If it fails, what is good is kept.
    async fn renew(&self, ground: &Ground, flight: &mut Flight) {
        let held = match self.at_hand(ground.clock.now()) {
            AtHand::Aging(held) | AtHand::Questioned(held) => held,
            AtHand::Fresh(_) | AtHand::Nothing => return,
        };
        let as_of = self.state().reloads;
        match obtain(ground, flight, Some(&held)).await {
            Ok(new) => {
                self.keep(ground, new, as_of);
            }
            Err(failure) => {
                tracing::warn!(
                    account = %ground.account.name,
                    "could not renew the credentials, going on with those at hand: {}",
                    failure.message
                );
                self.state().renewal_failed_at = Some(Instant::now());
            }
        }
    }

    async fn fetch_once(&self, ground: &Ground) -> Result<Arc<Held>, Failure> {
        let mut flight = self.flight.lock().await;
        match self.at_hand(ground.clock.now()) {
            AtHand::Fresh(held) | AtHand::Aging(held) | AtHand::Questioned(held) => {
                return Ok(held);
            }
            AtHand::Nothing => {}
        }
        if let Some((at, failure)) = &self.state().failure
            && at.elapsed() < FAILURE_REST
        {
            return Err(failure.clone());
        }
        let as_of = self.state().reloads;
        match obtain(ground, &mut flight, None).await {
            Ok(new) => Ok(self.keep(ground, new, as_of)),
            Err(failure) => {
                self.state().failure = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// Keeps what was had. If it is due at once (short-lived, or the same key again), it is left alone for a while. A
    /// reload that came while it was being had is still owed: it may have been had with the old password.
    fn keep(&self, ground: &Ground, held: Held, as_of: u64) -> Arc<Held> {
        let is_due = held.is_due(ground.clock.now());
        let held = Arc::new(held);
        let mut state = self.state();
        state.as_of = as_of;
        state.failure = None;
        state.renewal_failed_at = is_due.then(Instant::now);
        state.held = Some(Arc::clone(&held));
        held
    }
}

/// Gets credentials. `previous` are good, but due or to be looked at again.
async fn obtain(
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
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(error) => Err(Failure::from(format!("reading secrets failed: {error}"))),
    }
}

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

fn read_pass(account: &Account) -> Result<Pass, String> {
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

fn read_user(account: &Account) -> Result<iam::User, String> {
    let Credentials::Password {
        domain,
        user,
        password,
        project,
    } = &account.credentials
    else {
        return Err("these credentials have no password".to_owned());
    };
    Ok(iam::User {
        domain: text(domain)?,
        user: text(user)?,
        password: secret(password)?,
        project: project.clone().or_else(|| account.region.clone()).ok_or_else(|| {
            "a token is for a project: give the account a `region`, or the credentials a `project`".to_owned()
        })?,
    })
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
        unauthorized: refusal.unauthorized,
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
    exchange(&client, request, BODY_BYTES_MAX)
        .await
        .map_err(|lost| lost.why)
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

/// What of an account's credentials cannot be read now. Fetches nothing.
pub(super) fn check(account: &Account) -> Vec<String> {
    let outcome = match &account.credentials {
        Credentials::Keys { .. } | Credentials::Token(_) => read_pass(account).map(drop),
        Credentials::Password { .. } => read_user(account).map(drop),
        Credentials::Profile { profile, file } => {
            read_profile(file.as_deref(), &[profile]).map(drop)
        }
        // The chain may end at the metadata service, which only a request can tell.
        Credentials::Chain | Credentials::Metadata | Credentials::Sandbox => Ok(()),
    };
    outcome.err().into_iter().collect()
}

/// The secret variables' values, read now.
pub(super) fn read_variables(
    wanted: Vec<(String, SecretRef)>,
) -> Result<crate::codearts::Secrets, String> {
    wanted
        .into_iter()
        .map(|(variable, at)| match os::read_secret(&at) {
            Ok(value) => Ok((at, value)),
            Err(error) => Err(format!("the variable {variable}: {error}")),
        })
        .collect()
}
