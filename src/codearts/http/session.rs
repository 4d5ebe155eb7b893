//! One account's way to the service: its credentials and its connections.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::credentials::{Cause, Failure, Held, Keeper};
use super::exchange::{BODY_BYTES_MAX, Lost, exchange};
use super::gate::{HELD_BACK, HeldBack, Hold};
use super::lines::{Lines, Purpose};
use super::rate::{Errand, NoPermit, Permit, Rate, longest_wait};
use super::secrets::read_variables;
use super::sources::blocking;
use crate::codearts::{HttpRequest, Mask, Secrets, Start, read, request, secret_variables};
use crate::config::{Account, Credentials, NO_PROXY};
use crate::domain::request::SecretRef;
use crate::domain::{Answer, AnswerKind};
use crate::os::tls::Trust;
use crate::os::{self, Clock};
use crate::telemetry::metrics::Metrics;

/// What is sent to the sandbox in place of a secret variable.
const DUMMY: &str = "sandbox";

/// What everything done for an account stands on.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) account: Arc<Account>,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) hold: Arc<Hold>,
    trust: Arc<Trust>,
    lines: Arc<Lines>,
}

impl Ground {
    /// Measures how long a request takes, whatever comes of it.
    pub(super) async fn timed<T>(&self, call: &'static str, asked: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let came_of_it = asked.await;
        let account = &self.account.name;
        self.metrics.asked(account, call, began.elapsed());
        came_of_it
    }

    /// The client for a purpose.
    pub(super) async fn client(&self, purpose: Purpose) -> Result<reqwest::Client, Failure> {
        if let Some(client) = self.lines.ready(purpose) {
            return Ok(client);
        }
        let (account, trust, lines) = (
            Arc::clone(&self.account),
            Arc::clone(&self.trust),
            Arc::clone(&self.lines),
        );
        blocking(move || lines.make(purpose, &account, &trust)).await
    }
}

/// An account's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) ground: Arc<Ground>,
    pub(super) keeper: Arc<Keeper>,
    /// When the next request may leave; shared with the account's sessions before this one.
    pub(super) rate: Arc<Rate>,
}

impl Session {
    pub(super) fn new(
        account: Arc<Account>,
        clock: Clock,
        metrics: Metrics,
        hold: Arc<Hold>,
        trust: Arc<Trust>,
        rate: Arc<Rate>,
    ) -> Self {
        Self {
            ground: Arc::new(Ground {
                account,
                clock,
                metrics,
                hold,
                trust,
                lines: Arc::default(),
            }),
            keeper: Arc::default(),
            rate,
        }
    }

    pub(super) fn account(&self) -> &Account {
        &self.ground.account
    }

    /// Looks at files and secrets again before they are next used.
    pub(super) fn reread(&self) {
        self.keeper.reread();
        self.ground.lines.reread();
    }

    /// Starts a run: gets everything ready, sends one request, classes what comes back.
    pub(super) async fn start(&self, start: Start, left: impl FnOnce() + Send) -> Answer {
        let hold = &self.ground.hold;
        let prepared = match hold.unless(self.prepare(&start)).await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(failure)) => return failed(failure),
            Err(HeldBack) => return held_back(),
        };
        left();
        let sent = exchange(&prepared.client, prepared.request, BODY_BYTES_MAX, hold);
        let answer = match self.ground.timed("RunPipeline", sent).await {
            Ok(response) => read(&response, &prepared.mask, self.ground.clock.now()),
            Err(lost) => unanswered(&lost, &prepared.mask),
        };
        self.heard(&answer, &prepared.held);
        answer
    }

    /// What an answer means for the other requests of the account.
    pub(super) fn heard(&self, answer: &Answer, held: &Arc<Held>) {
        match answer.kind {
            AnswerKind::Unauthorized => {
                self.keeper.refused(held);
                // Each of those who wait would be one more bad signature, and the gateway locks a key after five.
                self.rate.turn_back();
            }
            // Those who wait would only make it worse; they come again when the account has rested.
            AnswerKind::Throttled => self.rate.turn_back(),
            AnswerKind::Started { .. }
            | AnswerKind::Busy
            | AnswerKind::NotSent
            | AnswerKind::KeptHere
            | AnswerKind::Refused
            | AnswerKind::RefusedInPassing
            | AnswerKind::Doubtful => {}
        }
    }

    /// Gets everything ready, and waits for the permit last: so what has one leaves at once.
    async fn prepare(&self, start: &Start) -> Result<Prepared, Failure> {
        let latest = Instant::now() + start.leave_within;
        let begun = self.ground.clock.now();
        let mut patience = Patience::new(self.account());
        let secrets = patience.bear(self.variables(start)).await?;
        let client = patience.bear(self.ground.client(Purpose::Start)).await?;
        patience.bear(self.keeper.get(&self.ground)).await?;
        let wait = longest_wait(self.account().requests_per_second);
        let until = latest.min(Instant::now() + wait);
        let permit = self.permit(Errand::Start { until }).await?;
        // They are at hand, unless they ended or were refused during the wait.
        let held = patience.bear(self.keeper.get(&self.ground)).await?;
        // Its clock stands still while the machine sleeps, the other one does not.
        let taken = (self.ground.clock.now() - begun)
            .to_std()
            .unwrap_or_default();
        if Instant::now() > latest || taken > start.leave_within {
            return Err(Failure::ours(format!(
                "not sent: to get ready took longer than {} s, and what was decided then may hold no more",
                start.leave_within.as_secs()
            )));
        }
        self.write(start, secrets, client, held, permit)
    }

    /// Leave to send a request.
    pub(super) async fn permit(&self, errand: Errand) -> Result<Permit, Failure> {
        let account = self.account();
        let why = match self.rate.permit(errand).await {
            Ok(permit) => return Ok(permit),
            Err(NoPermit::TurnedBack) => {
                "the service has just refused another request of the account".to_owned()
            }
            Err(NoPermit::Crowded) => format!(
                "too many requests of the account wait already, of which {} a second leave",
                account.requests_per_second
            ),
            Err(NoPermit::TooLate) => format!(
                "its turn did not come in time; of the account's requests {} a second leave",
                account.requests_per_second
            ),
        };
        Err(Failure::ours(format!("not sent: {why}")))
    }

    fn write(
        &self,
        start: &Start,
        secrets: Secrets,
        client: reqwest::Client,
        held: Arc<Held>,
        permit: Permit,
    ) -> Result<Prepared, Failure> {
        let account = self.account();
        let project_id = account
            .iam_project_id
            .as_deref()
            .or(held.project_id.as_deref());
        let request = request(start, &account.endpoint, project_id, &secrets)
            .map_err(|error| Failure::ours(error.to_string()))?;
        let request = held
            .pass
            .admit(request, self.ground.clock.now())
            .map_err(|error| Failure::ours(error.to_string()))?;
        let mask = mask(account, &request, &held, &secrets);
        Ok(Prepared {
            client,
            held,
            request,
            mask,
            _permit: permit,
        })
    }

    async fn variables(&self, start: &Start) -> Result<Secrets, Failure> {
        let wanted: Vec<(String, SecretRef)> = secret_variables(&start.request)
            .map(|(name, at)| (name.to_owned(), at.clone()))
            .collect();
        if wanted.is_empty() {
            return Ok(Secrets::new());
        }
        if self.account().credentials == Credentials::Sandbox {
            let dummy = |(_, at)| (at, SecretString::from(DUMMY));
            return Ok(wanted.into_iter().map(dummy).collect());
        }
        blocking(move || read_variables(wanted)).await
    }
}

/// Everything to send one request.
struct Prepared {
    client: reqwest::Client,
    held: Arc<Held>,
    request: HttpRequest,
    mask: Mask,
    /// Kept until the answer is there.
    _permit: Permit,
}

/// How long getting ready for one request may take, whatever it waits for between.
pub(super) struct Patience {
    whole: Duration,
    left: Duration,
}

impl Patience {
    pub(super) fn new(account: &Account) -> Self {
        let whole = longest_preparation(account);
        Self { whole, left: whole }
    }

    /// Waits for a part of it, and no longer than what is left.
    pub(super) async fn bear<T>(
        &mut self,
        part: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let outcome = tokio::time::timeout(self.left, part).await;
        self.left = self.left.saturating_sub(begun.elapsed());
        outcome.unwrap_or_else(|_| Err(too_slow(self.whole)))
    }
}

/// How long credentials and secrets may take. A token may have to be fetched twice: the fetch we waited for can be
/// given up by the one who made it.
pub(super) fn longest_preparation(account: &Account) -> Duration {
    account
        .request_timeout
        .saturating_mul(2)
        .saturating_add(Duration::from_secs(10))
}

/// Getting ready took longer than that.
fn too_slow(patience: Duration) -> Failure {
    Failure::from(format!(
        "credentials and secrets could not be had within {} s",
        patience.as_secs()
    ))
}

/// Hides what we send in confidence from what is shown of the answer: credentials, the signature (it opens the door
/// for a quarter of an hour), secret variables, the proxy's password.
pub(super) fn mask(
    account: &Account,
    request: &HttpRequest,
    held: &Held,
    secrets: &Secrets,
) -> Mask {
    let mut mask = Mask::none();
    for secret in held.pass.secrets().chain(secrets.values()) {
        mask.hide(secret.expose_secret());
    }
    if let Some((_, signature)) = request
        .header("Authorization")
        .and_then(|authorization| authorization.rsplit_once("Signature="))
    {
        mask.hide(signature);
    }
    for proxy in proxies(account) {
        hide_proxy_password(&mut mask, &proxy);
    }
    mask
}

/// The proxies that may stand between: the account's, else those the environment names.
fn proxies(account: &Account) -> Vec<String> {
    const NAMES: [&str; 6] = [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    match account.proxy.as_deref() {
        Some(NO_PROXY) => Vec::new(),
        Some(proxy) => vec![proxy.to_owned()],
        None => NAMES.into_iter().filter_map(os::variable).collect(),
    }
}

/// Hides a proxy's password as it is written, as it is meant, and as it goes over the wire.
fn hide_proxy_password(mask: &mut Mask, proxy: &str) {
    let Some((user_info, _)) = proxy.rsplit_once('@') else {
        return;
    };
    let user_info = user_info
        .split_once("://")
        .map_or(user_info, |(_, rest)| rest);
    let Some((user, password)) = user_info.split_once(':') else {
        return;
    };
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    mask.hide(password);
    mask.hide(&decode(password));
    let both = format!("{}:{}", decode(user), decode(password));
    mask.hide(&BASE64_STANDARD.encode(both));
}

pub(super) fn failed(failure: Failure) -> Answer {
    let kind = match failure.cause {
        Cause::Refused => AnswerKind::Unauthorized,
        Cause::Unreached => AnswerKind::NotSent,
        Cause::Ours => AnswerKind::KeptHere,
    };
    Answer {
        retry_after: failure.retry_after,
        ..no_response(kind, Mask::none().show(&failure.message))
    }
}

/// Nothing was sent, as nothing is to be sent any more.
pub(super) fn held_back() -> Answer {
    no_response(AnswerKind::KeptHere, format!("not sent: {HELD_BACK}"))
}

/// What never left: whose doing that is.
pub(super) fn never_sent(lost: &Lost) -> AnswerKind {
    match lost.kept_here {
        true => AnswerKind::KeptHere,
        false => AnswerKind::NotSent,
    }
}

fn unanswered(lost: &Lost, mask: &Mask) -> Answer {
    if lost.never_sent {
        no_response(
            never_sent(lost),
            mask.show(&format!("not sent: {}", lost.why)),
        )
    } else {
        no_response(
            AnswerKind::Doubtful,
            mask.show(&format!("no answer from {}", lost.why)),
        )
    }
}

/// An answer without a response.
pub(super) fn no_response(kind: AnswerKind, message: String) -> Answer {
    Answer {
        kind,
        status: None,
        code: None,
        message,
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}
