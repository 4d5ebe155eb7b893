//! One account's way to the service: its credentials and its connections.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use super::credentials::{Failure, Held, Keeper};
use super::exchange::{Lost, exchange};
use super::lines::{Lines, Purpose, Trust};
use super::secrets::read_variables;
use super::sources::blocking;
use crate::codearts::{HttpRequest, Mask, Secrets, Start, read, request, secret_variables};
use crate::config::{Account, Credentials, NO_PROXY};
use crate::domain::request::SecretRef;
use crate::domain::{Answer, AnswerKind};
use crate::os::{self, Clock};

/// What is sent to the sandbox in place of a secret variable.
const DUMMY: &str = "sandbox";

/// What everything done for an account stands on.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) account: Arc<Account>,
    pub(super) clock: Clock,
    trust: Arc<Trust>,
    lines: Arc<Lines>,
}

impl Ground {
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
    ground: Arc<Ground>,
    keeper: Arc<Keeper>,
}

impl Session {
    pub(super) fn new(account: Arc<Account>, clock: Clock, trust: Arc<Trust>) -> Self {
        Self {
            ground: Arc::new(Ground {
                account,
                clock,
                trust,
                lines: Arc::default(),
            }),
            keeper: Arc::default(),
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
    pub(super) async fn start(&self, start: Start) -> Answer {
        let patience = longest_preparation(self.account());
        let prepared = match tokio::time::timeout(patience, self.prepare(&start)).await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(failure)) => return failed(failure),
            Err(_) => {
                return failed(Failure::from(format!(
                    "credentials and secrets could not be had within {} s",
                    patience.as_secs()
                )));
            }
        };
        let answer = match exchange(&prepared.client, prepared.request).await {
            Ok(response) => read(&response, &prepared.mask, self.ground.clock.now()),
            Err(lost) => unanswered(&lost, &prepared.mask),
        };
        if answer.kind == AnswerKind::Unauthorized {
            self.keeper.refused(&prepared.held);
        }
        answer
    }

    async fn prepare(&self, start: &Start) -> Result<Prepared, Failure> {
        let account = self.account();
        let secrets = self.variables(start).await?;
        let client = self.ground.client(Purpose::Start).await?;
        let held = self.keeper.get(&self.ground).await?;
        let project_id = account
            .iam_project_id
            .as_deref()
            .or(held.project_id.as_deref());
        let request = request(start, &account.endpoint, project_id, &secrets)
            .map_err(|error| Failure::from(error.to_string()))?;
        let request = held
            .pass
            .admit(request, self.ground.clock.now())
            .map_err(|error| Failure::from(error.to_string()))?;
        let mask = mask(account, &request, &held, &secrets);
        Ok(Prepared {
            client,
            held,
            request,
            mask,
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
}

/// How long credentials and secrets may take. A token may have to be fetched twice: the fetch we waited for can be
/// given up by the one who made it.
pub(super) fn longest_preparation(account: &Account) -> Duration {
    account
        .request_timeout
        .saturating_mul(2)
        .saturating_add(Duration::from_secs(10))
}

/// Hides what we send in confidence from what is shown of the answer: credentials, the signature (it opens the door
/// for a quarter of an hour), secret variables, the proxy's password.
fn mask(account: &Account, request: &HttpRequest, held: &Held, secrets: &Secrets) -> Mask {
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

fn failed(failure: Failure) -> Answer {
    let kind = if failure.unauthorized {
        AnswerKind::Unauthorized
    } else {
        AnswerKind::NotSent
    };
    Answer {
        retry_after: failure.retry_after,
        ..no_response(kind, Mask::none().show(&failure.message))
    }
}

fn unanswered(lost: &Lost, mask: &Mask) -> Answer {
    if lost.never_sent {
        no_response(
            AnswerKind::NotSent,
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
