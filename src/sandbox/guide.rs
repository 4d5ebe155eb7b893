//! What a person needs to use a running sandbox, as text; printing it is somebody else's work.

use std::fmt;

use secrecy::ExposeSecret;

use super::settings::Settings;

/// A region to put into examples: the sandbox stands for every one of them.
const REGION: &str = "cn-north-4";

/// How to reach a sandbox, and as whom.
#[derive(Debug, Clone)]
pub struct Guide {
    base_url: String,
    ak: String,
    /// Shown on purpose: it opens nothing but sandboxes.
    sk: String,
    user: Option<Login>,
}

/// An IAM user as a client names it.
#[derive(Debug, Clone)]
struct Login {
    domain: String,
    name: String,
    /// Shown on purpose, as above.
    password: String,
}

/// The variable that the guide puts the user's password into.
const PASSWORD: &str = "SANDBOX_PASSWORD";

impl Guide {
    /// The guide to a sandbox at this address that behaves like this. It names the first key and the first user that are
    /// known.
    pub fn new(base_url: &str, settings: &Settings) -> Self {
        let key = settings.keys.first();
        Self {
            base_url: base_url.to_owned(),
            ak: key.map(|key| key.ak.clone()).unwrap_or_default(),
            sk: key
                .map(|key| key.sk.expose_secret().to_owned())
                .unwrap_or_default(),
            user: settings.users.first().map(|user| Login {
                domain: user.domain.clone(),
                name: user.name.clone(),
                password: user.password.expose_secret().to_owned(),
            }),
        }
    }

    /// The base address of every service it stands for.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Lines for a shell: the environment that the official SDKs and pipecron read.
    pub fn environment(&self) -> String {
        let region = REGION.to_ascii_uppercase().replace('-', "_");
        format!(
            "export HUAWEICLOUD_SDK_AK={}\n\
             export HUAWEICLOUD_SDK_SK={}\n\
             export HUAWEICLOUD_SDK_IAM_ENDPOINT={url}\n\
             export HUAWEICLOUD_SDK_REGION_CODEARTSPIPELINE_{region}={url}\n",
            self.ak,
            self.sk,
            url = self.base_url,
        )
    }

    /// An account for pipecron's configuration. The secret key is in the environment that `environment` sets.
    pub fn account_yaml(&self) -> String {
        format!(
            "accounts:\n\
             \x20 sandbox:\n\
             \x20   region: {REGION}\n\
             \x20   endpoint: {url}\n\
             \x20   iam_endpoint: {url}\n\
             \x20   metadata_endpoint: {url}\n\
             \x20   credentials: {{ ak: {}, sk: {{ env: HUAWEICLOUD_SDK_SK }} }}\n",
            self.ak,
            url = self.base_url,
        )
    }

    /// The IAM user, for whoever rehearses with a password: a line for the shell and one for the account.
    fn login(&self) -> Option<(String, String)> {
        let user = self.user.as_ref()?;
        Some((
            format!("export {PASSWORD}={}", user.password),
            format!(
                "    credentials: {{ domain: {}, user: {}, password: {{ env: {PASSWORD} }} }}",
                user.domain, user.name
            ),
        ))
    }
}

impl fmt::Display for Guide {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "The sandbox listens on {}", self.base_url)?;
        writeln!(out, "\nIn a shell:\n\n{}", self.environment())?;
        writeln!(out, "In the configuration:\n\n{}", self.account_yaml())?;
        if let Some((shell, credentials)) = self.login() {
            writeln!(
                out,
                "Or as its IAM user, whose token is fetched:\n\n{shell}\n\n{credentials}\n"
            )?;
        }
        writeln!(out, "Its runs:    curl {}/sandbox/runs", self.base_url)?;
        writeln!(
            out,
            "To fail it:  curl {}/sandbox/faults -d lost=reset,next=1",
            self.base_url
        )?;
        writeln!(
            out,
            "To mend it:  curl {}/sandbox/faults -X DELETE",
            self.base_url
        )?;
        writeln!(out, "`pipecron sandbox --help` names all faults.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_says_where_and_as_whom() {
        let guide = Guide::new("http://127.0.0.1:8089", &Settings::default());
        assert_eq!(
            guide.environment(),
            "export HUAWEICLOUD_SDK_AK=SANDBOXACCESSKEY0001\n\
             export HUAWEICLOUD_SDK_SK=sandbox-secret-key\n\
             export HUAWEICLOUD_SDK_IAM_ENDPOINT=http://127.0.0.1:8089\n\
             export HUAWEICLOUD_SDK_REGION_CODEARTSPIPELINE_CN_NORTH_4=http://127.0.0.1:8089\n"
        );
        let account =
            "accounts:\n  sandbox:\n    region: cn-north-4\n    endpoint: http://127.0.0.1:8089\n";
        assert!(
            guide.account_yaml().starts_with(account),
            "{}",
            guide.account_yaml()
        );
        let text = guide.to_string();
        for line in [
            "export SANDBOX_PASSWORD=sandbox-password",
            "    credentials: { domain: sandbox, user: sandbox, password: { env: SANDBOX_PASSWORD } }",
            "curl http://127.0.0.1:8089/sandbox/faults -d lost=reset,next=1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_sandbox_without_users_names_none() {
        let settings = Settings {
            users: Vec::new(),
            ..Settings::default()
        };
        let text = Guide::new("http://127.0.0.1:8089", &settings).to_string();
        assert!(!text.contains("IAM user"), "{text}");
    }
}
