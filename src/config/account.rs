//! Accounts: where the service is, who we are there, and how we get there. Settings only; secrets by reference.
//!
//! It refuses what would send a key to the wrong place: plain `http://` to another machine, an address with a password
//! in it, two kinds of credentials at once. It never looks at a secret, an address or a file.

use std::path::PathBuf;
use std::time::Duration;

use super::check::{Check, KeySet};
use super::credentials;
use super::excerpt::quoted;
use super::problem::{At, Finding, Kind};
use super::regions;
use super::text;
use super::tree::{Shape, Value};
use crate::domain::AccountName;
use crate::domain::request::SecretRef;

pub use crate::domain::request::Text;

/// Who we are to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The SDKs' chain: environment, profile file, instance metadata.
    Chain,
    /// Access key and secret key; with a security token they are temporary.
    Keys {
        /// The access key's id.
        ak: Text,
        /// The secret key.
        sk: SecretRef,
        /// The token of temporary keys.
        security_token: Option<SecretRef>,
    },
    /// An IAM user and password, for which a token is fetched.
    Password {
        /// The account (domain) name.
        domain: Text,
        /// The IAM user's name.
        user: Text,
        /// The password.
        password: SecretRef,
        /// The IAM project to scope to; the region's root project if absent.
        project: Option<String>,
    },
    /// A ready-made IAM token.
    Token(SecretRef),
    /// The agency of the instance we run on.
    Metadata,
    /// The sandbox's own key, which opens nothing else; secret variables are sent as a dummy text.
    Sandbox,
    /// A profile in the SDKs' credentials file.
    Profile {
        /// The section's name.
        profile: String,
        /// The file; the SDKs' usual one if absent.
        file: Option<PathBuf>,
    },
}

/// A checked account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// The region, if one was given.
    pub region: Option<String>,
    /// Base address of the pipeline service, without a slash at the end.
    pub endpoint: String,
    /// Base address of IAM, without a slash at the end.
    pub iam_endpoint: String,
    /// Base address of the instance metadata service, without a slash at the end.
    pub metadata_endpoint: String,
    /// Sent as `X-Project-Id` when given.
    pub iam_project_id: Option<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// The proxy to use; if absent, the one the environment names; [`NO_PROXY`]: none at all.
    pub proxy: Option<String>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a whole exchange.
    pub request_timeout: Duration,
    /// How long a run whose start was not answered is looked for before "not started" is believed.
    pub settle: Duration,
    /// How many runs may be under way at once by our doing; none: as many as the service lets.
    pub max_running: Option<u32>,
    /// How many requests a second are made, of any kind.
    pub requests_per_second: u32,
}

/// What [`Account::proxy`] says when no proxy is to be used, whatever the environment says.
pub const NO_PROXY: &str = "none";

impl Account {
    /// The page of a run in the console; none if the account's service is not the region's own.
    pub fn run_page(&self, project_id: &str, pipeline_id: &str, run_id: &str) -> Option<String> {
        let region = self.region.as_deref()?;
        let is_its_own = regions::pipeline(region) == Some(&self.endpoint);
        is_its_own
            .then(|| regions::run_page(region, project_id, pipeline_id, run_id))
            .flatten()
    }

    /// The same account at the sandbox: every address is `url`, every secret is the sandbox's, and no proxy is
    /// between. Nothing of the real account's is read or sent.
    #[must_use]
    pub fn for_sandbox(&self, url: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self {
            name: self.name.clone(),
            region: self.region.clone(),
            endpoint: url.clone(),
            iam_endpoint: url.clone(),
            metadata_endpoint: url,
            iam_project_id: self.iam_project_id.clone(),
            credentials: Credentials::Sandbox,
            proxy: Some(NO_PROXY.to_owned()),
            ca_file: None,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            settle: self.settle,
            max_running: self.max_running,
            requests_per_second: self.requests_per_second,
        }
    }
}

/// Where every instance finds its metadata service; link-local, and never encrypted.
pub(super) const METADATA_ENDPOINT: &str = "http://169.254.169.254";
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const SETTLE: Duration = Duration::from_secs(180);
pub(super) const REQUESTS_PER_SECOND: u32 = 10;
/// No account has more runs at once; who wants no limit writes none.
pub(super) const MAX_RUNNING_MAX: u32 = 10_000;
/// Whole numbers alone: at less than one a second a look for a lost run, which takes several requests, would not come to
/// its end in time.
pub(super) const REQUESTS_PER_SECOND_MAX: u32 = 1_000;
/// A service that lists a run later than this cannot be worked with.
const SETTLE_MAX: Duration = Duration::from_secs(6 * 3600);
/// No exchange is waited for longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

pub(super) static KEYS: KeySet = KeySet {
    what: "an account",
    known: &[
        "region",
        "endpoint",
        "iam_endpoint",
        "metadata_endpoint",
        "iam_project_id",
        "credentials",
        "proxy",
        "ca_file",
        "connect_timeout",
        "request_timeout",
        "settle",
        "max_running",
        "requests_per_second",
    ],
    advice: &[
        ("ak", "it belongs under `credentials:`"),
        ("sk", "it belongs under `credentials:`"),
        ("security_token", "it belongs under `credentials:`"),
        ("token", "it belongs under `credentials:`"),
        ("user", "it belongs under `credentials:`"),
        ("password", "it belongs under `credentials:`"),
        ("domain", "it belongs under `credentials:`"),
        ("profile", "it belongs under `credentials:`"),
        ("metadata", "it belongs under `credentials:`"),
        (
            "project_id",
            "an entry has `project_id`; the IAM project of an account is `iam_project_id`",
        ),
        (
            "timeout",
            "there are `connect_timeout` and `request_timeout`",
        ),
        ("rate", "did you mean `requests_per_second`?"),
        ("rate_limit", "did you mean `requests_per_second`?"),
        ("qps", "did you mean `requests_per_second`?"),
        ("rps", "did you mean `requests_per_second`?"),
        (
            "concurrency",
            "did you mean `max_running`? it bounds the runs that are under way at once",
        ),
        (
            "max_runs",
            "did you mean `max_running`? it bounds the runs that are under way at once",
        ),
        ("overlap", "it belongs to an entry, or under `defaults`"),
        ("priority", "it belongs to an entry, or under `defaults`"),
    ],
};

/// The keys of an account as they are read.
#[derive(Debug, Default)]
struct Keys {
    region: Option<(String, At)>,
    endpoint: Option<Option<String>>,
    iam_endpoint: Option<Option<String>>,
    metadata_endpoint: Option<Option<String>>,
    iam_project_id: Option<String>,
    credentials: Option<(Option<Credentials>, At)>,
    proxy: Option<String>,
    ca_file: Option<PathBuf>,
    connect_timeout: Option<Duration>,
    request_timeout: Option<Duration>,
    settle: Option<Duration>,
    /// Whether there may be more, in something that was refused.
    lacks: bool,
    max_running: Option<u32>,
    requests_per_second: Option<u32>,
}

/// Checks what stands under an account's name.
pub(super) fn read(
    check: &mut Check<'_>,
    name: &AccountName,
    name_at: At,
    value: Value<'_>,
) -> Option<Account> {
    let mut keys = Keys::default();
    match value.shape() {
        Shape::Mapping(mapping) => {
            for pair in mapping.pairs(&mut check.findings) {
                if pair.key == "credentials" && pair.value.is_null() {
                    let message = "`credentials` has no value, so the SDKs' chain is used";
                    let help = "write them below it; or, if the chain is meant (environment, profile, metadata), remove the key";
                    check.report(Finding::warning(Kind::Idle, pair.key_at, message).help(help));
                }
                // A secret that stands one level too high is still a secret.
                if credentials::KEYS.known.contains(&pair.key) {
                    check.hide(pair.value);
                }
            }
            let pairs = check.keys(mapping, &KEYS);
            let is_meant = |key: &str| check.meant.contains(&key);
            keys.lacks = check.lacks || is_meant("region") || is_meant("endpoint");
            for pair in pairs {
                keys.take(check, pair.key, pair.value);
            }
        }
        Shape::Null => {}
        Shape::Text(_) | Shape::List(_) => {
            check.wrong_form(
                value,
                name.as_str(),
                "a mapping",
                "write its keys below it, such as `region: cn-north-4`",
            );
            return None;
        }
        Shape::Refused => return None,
    }
    finish(check, name, name_at, keys)
}

impl Keys {
    fn take(&mut self, check: &mut Check<'_>, key: &str, value: Value<'_>) {
        let (least, most) = (Duration::from_millis(1), TIMEOUT_MAX);
        match key {
            "region" => {
                self.region = check
                    .some_text(value, key)
                    .map(|text| (text.to_owned(), value.at()))
            }
            "endpoint" => self.endpoint = Some(endpoint(check, value, key, Plain::Loopback)),
            "iam_endpoint" => {
                self.iam_endpoint = Some(endpoint(check, value, key, Plain::Loopback))
            }
            "metadata_endpoint" => {
                self.metadata_endpoint = Some(endpoint(check, value, key, Plain::Anywhere))
            }
            "iam_project_id" => self.iam_project_id = check.id32(value, key).map(str::to_owned),
            "credentials" => self.credentials = Some((credentials::read(check, value), value.at())),
            "proxy" => self.proxy = proxy(check, value),
            "ca_file" => self.ca_file = check.path(value, key),
            "connect_timeout" => {
                self.connect_timeout = check.duration_within(value, key, least, most)
            }
            "request_timeout" => {
                self.request_timeout = check.duration_within(value, key, least, most)
            }
            "settle" => {
                self.settle = check.duration_within(value, key, Duration::from_secs(1), SETTLE_MAX);
            }
            "max_running" => self.max_running = check.limit(value, key, MAX_RUNNING_MAX),
            "requests_per_second" => {
                self.requests_per_second = check.count(value, key, REQUESTS_PER_SECOND_MAX)
            }
            _ => {}
        }
    }
}

/// What several keys say together.
fn finish(check: &mut Check<'_>, name: &AccountName, name_at: At, keys: Keys) -> Option<Account> {
    let region = keys.region.as_ref().map(|(region, _)| region.as_str());
    let endpoint = match (keys.endpoint, &keys.region) {
        (Some(endpoint), _) => endpoint,
        (None, Some((region, at))) => {
            let known = regions::pipeline(region);
            if known.is_none() {
                unknown_region(check, region, *at);
            }
            known.map(str::to_owned)
        }
        (None, None) if keys.lacks => None,
        (None, None) => {
            let message = format!(
                "the account {} has neither `region` nor `endpoint`",
                quoted(name.as_str())
            );
            let help = "write `region: cn-north-4`, or another one that has CodeArts Pipeline";
            check.report(Finding::error(Kind::Missing, name_at, message).help(help));
            None
        }
    };
    let iam_endpoint = match keys.iam_endpoint {
        Some(endpoint) => endpoint,
        None => Some(regions::iam(region)),
    };
    let metadata_endpoint = match keys.metadata_endpoint {
        Some(endpoint) => endpoint,
        None => Some(METADATA_ENDPOINT.to_owned()),
    };
    if let (Some((Some(Credentials::Password { project: None, .. }), at)), None) =
        (&keys.credentials, region)
        && !keys.lacks
    {
        let message = "with a user and a password, a token is fetched for one project, and neither `project` nor `region` says which";
        let help = "give the account its `region`, or the credentials a `project` (the name of the IAM project, such as cn-north-4)";
        check.report(Finding::error(Kind::Missing, *at, message).help(help));
    }
    let credentials = match keys.credentials {
        Some((credentials, _)) => credentials,
        None => Some(Credentials::Chain),
    };
    Some(Account {
        name: name.clone(),
        region: region.map(str::to_owned),
        endpoint: endpoint?,
        iam_endpoint: iam_endpoint?,
        metadata_endpoint: metadata_endpoint?,
        iam_project_id: keys.iam_project_id,
        credentials: credentials?,
        proxy: keys.proxy,
        ca_file: keys.ca_file,
        connect_timeout: keys.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        request_timeout: keys.request_timeout.unwrap_or(REQUEST_TIMEOUT),
        settle: keys.settle.unwrap_or(SETTLE),
        max_running: keys.max_running,
        requests_per_second: keys.requests_per_second.unwrap_or(REQUESTS_PER_SECOND),
    })
}

fn unknown_region(check: &mut Check<'_>, region: &str, at: At) {
    let names: Vec<&str> = regions::names().collect();
    let help = match text::nearest(region, names.iter().copied()) {
        Some(near) => {
            format!("did you mean `{near}`? if the region is new, give its `endpoint` as well")
        }
        None => format!(
            "known are {}; for another one give its `endpoint` as well",
            super::check::listed(&names)
        ),
    };
    let message = format!(
        "no region {} with CodeArts Pipeline is known",
        quoted(region)
    );
    check.report(Finding::error(Kind::Value, at, message).help(help));
}

/// Where plain `http://` may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain {
    /// To this machine.
    Loopback,
    /// To any machine.
    Anywhere,
}

/// Never shows an address with a user in it: also what is no address may be a user and a password.
fn hide_user(check: &mut Check<'_>, value: Value<'_>, text: &str) {
    if text.contains('@') {
        check.findings.hide(value.at());
    }
}

/// The base address of a service, without a slash at its end.
fn endpoint(check: &mut Check<'_>, value: Value<'_>, key: &str, plain: Plain) -> Option<String> {
    let text = check.some_text(value, key)?;
    hide_user(check, value, text);
    let mut refuse = |message: String, help: &str| {
        check.report(Finding::error(Kind::Value, value.at(), message).help(help));
        None
    };
    let example = "write an address such as https://cloudpipeline-ext.cn-north-4.myhuaweicloud.com";
    let address = match text::address(text) {
        Ok(address) => address,
        Err(why) => {
            let meant = text::https(text).filter(|_| !text.contains("://"));
            let help = meant.map_or_else(
                || example.to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            return refuse(format!("`{key}` is no address: {why}"), &help);
        }
    };
    if address.user.is_some() {
        let message = format!("`{key}` has a user or password in it");
        check.report(
            Finding::error(Kind::Secret, value.at(), message)
                .help("who we are stands in `credentials`"),
        );
        return None;
    }
    if address.path.contains(['?', '#']) {
        return refuse(
            format!("`{key}` has a query or a fragment"),
            "leave out what begins with `?` or `#`",
        );
    }
    if !address.secure && plain == Plain::Loopback && !address.is_loopback() {
        return refuse(
            format!(
                "`{key}` is plain http://, over which anyone on the way can read and change requests"
            ),
            "write https://; plain http:// is possible only to this machine (127.0.0.1, [::1], localhost)",
        );
    }
    Some(text.trim_end_matches('/').to_owned())
}

pub(super) fn proxy(check: &mut Check<'_>, value: Value<'_>) -> Option<String> {
    let text = check.some_text(value, "proxy")?;
    hide_user(check, value, text);
    if text == NO_PROXY {
        return Some(text.to_owned());
    }
    match text::address(text) {
        Ok(address) if address.user.is_some() => {
            let message = "`proxy` has a user or password in it, and no secret stands in the file";
            let help = "leave `proxy` out, and set HTTPS_PROXY in the environment of the service";
            check.report(Finding::error(Kind::Secret, value.at(), message).help(help));
            None
        }
        Ok(address) if !matches!(address.path, "" | "/") => {
            let message = "`proxy` has a path, a query or a fragment";
            let help = "write an address such as http://proxy.example.com:3128";
            check.report(Finding::error(Kind::Value, value.at(), message).help(help));
            None
        }
        Ok(_) => Some(text.trim_end_matches('/').to_owned()),
        Err(why) => {
            let message = format!("`proxy` is no address: {why}");
            let help = "write an address such as http://proxy.example.com:3128";
            check.report(Finding::error(Kind::Value, value.at(), message).help(help));
            None
        }
    }
}
