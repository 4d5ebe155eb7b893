//! Accounts: where the service is, who we are there, and how we get there. Settings only; secrets by reference.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::AccountName;
use crate::domain::request::SecretRef;

/// A setting that may be written plainly or kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// It stands in the file.
    Plain(String),
    /// It is to be read from there.
    Secret(SecretRef),
}

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
}

/// What [`Account::proxy`] says when no proxy is to be used, whatever the environment says.
pub const NO_PROXY: &str = "none";

impl Account {
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
        }
    }
}
