//! The doors to the machine: the clock and the secrets.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the door through which clock and environment come in"
)]

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::domain::Timestamp;
use crate::domain::request::SecretRef;

/// The wall clock. In tests it is an instant plus tokio's own (paused) time, so that a day passes in no time.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Virtual {
        epoch: Timestamp,
        started: tokio::time::Instant,
    },
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `epoch` now and moves with tokio's time.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self(Source::Virtual {
            epoch,
            started: tokio::time::Instant::now(),
        })
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => chrono::Utc::now(),
            Source::Virtual { epoch, started } => crate::domain::after(epoch, started.elapsed()),
        }
    }
}

/// A secret that could not be read; says where it should be, never what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretError {
    /// Where it should be.
    pub secret: SecretRef,
    /// What went wrong and what to do.
    pub why: String,
}

impl fmt::Display for SecretError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.secret {
            SecretRef::Env(name) => {
                write!(
                    out,
                    "cannot read the secret in the environment variable {name}: {}",
                    self.why
                )
            }
            SecretRef::File(path) => write!(
                out,
                "cannot read the secret in the file {}: {}",
                path.display(),
                self.why
            ),
            SecretRef::Credential(name) => write!(
                out,
                "cannot read the service credential {name}: {}",
                self.why
            ),
        }
    }
}

impl std::error::Error for SecretError {}

/// Largest file a secret is read from, in bytes: a key, a password or an IAM token, which takes several thousand.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Reads a secret where it is kept. Blocks for as long as the file takes.
///
/// # Errors
/// When it is not there, cannot be read, is empty, too large, or not text.
pub fn read_secret(secret: &SecretRef) -> Result<SecretString, SecretError> {
    let fail = |why: String| SecretError {
        secret: secret.clone(),
        why,
    };
    let text = match secret {
        SecretRef::Env(name) => std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => fail("it is not set".to_owned()),
            std::env::VarError::NotUnicode(_) => fail("it is not text".to_owned()),
        })?,
        SecretRef::File(path) => read_secret_file(path).map_err(fail)?,
        SecretRef::Credential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).ok_or_else(|| {
                fail("CREDENTIALS_DIRECTORY is not set; start under systemd with LoadCredential=".to_owned())
            })?;
            read_secret_file(&directory.join(name)).map_err(fail)?
        }
    };
    if text.is_empty() {
        return Err(fail("it is empty".to_owned()));
    }
    Ok(SecretString::from(text))
}

fn read_secret_file(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if size > SECRET_BYTES_MAX {
        return Err(format!(
            "it has {size} bytes; a secret has at most {SECRET_BYTES_MAX}"
        ));
    }
    let mut text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}
