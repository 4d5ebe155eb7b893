//! The doors to the machine: the clock, zone data, configuration files and secrets.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the door through which clock and environment come in"
)]

mod clock;
pub mod files;
pub mod process;
pub mod signals;
pub mod timer;
pub mod tls;
pub mod zones;

pub use clock::{Clock, Reading};

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use secrecy::SecretString;

use crate::domain::request::SecretRef;

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
    let bytes = read_file(path, SECRET_BYTES_MAX)?;
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not text in UTF-8".to_owned())?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text)
}

/// Where durable state belongs: the service manager's state directory, else `/var/lib/pipecron` for root, else the
/// user's own state directory.
///
/// # Errors
/// When none of these is known.
pub fn state_directory() -> std::io::Result<PathBuf> {
    // The service manager may give several, separated by colons; the first is ours.
    let given =
        variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    if let Some(directory) = given.filter(|directory| directory.is_absolute()) {
        return Ok(directory);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/pipecron"));
    }
    let absolute = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|directory| directory.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("pipecron"))
        .ok_or_else(|| {
            std::io::Error::other(
                "no state directory is known: HOME is not set; say where with --ledger",
            )
        })
}

/// A random word of small letters and digits, to tell apart what was made at the same instant. If the machine gives no
/// randomness, the clock and the process have to do: the word need not be secret.
pub fn random_word(length: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";
    let mut bytes = vec![0; length];
    if getrandom::fill(&mut bytes).is_err() {
        let seed = chrono::Utc::now().timestamp_subsec_nanos() ^ std::process::id();
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = seed
                .rotate_left(u32::try_from(index * 5).unwrap_or_default())
                .to_le_bytes()[0];
        }
    }
    bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

/// Who runs this process, for what is written down about it: whoever called sudo, else the user's name, else its number.
pub fn who() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(variable)
        .unwrap_or_else(|| {
            let user = rustix::process::geteuid().as_raw();
            user_name(user).unwrap_or_else(|| format!("uid {user}"))
        })
}

/// The user and group that this process acts as.
pub fn own_ids() -> (u32, u32) {
    (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

/// Largest list of users that is read, in bytes.
const USERS_BYTES_MAX: u64 = 4 << 20;

/// The name of a user of this machine; none if the machine's own list does not have it.
pub fn user_name(uid: u32) -> Option<String> {
    let users = read_file(Path::new("/etc/passwd"), USERS_BYTES_MAX).ok()?;
    let users = String::from_utf8_lossy(&users);
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Largest list of groups that is read, in bytes.
const GROUPS_BYTES_MAX: u64 = 4 << 20;

/// Whether the machine's own list of groups names this user as a member of this one. The kernel tells of a peer only the
/// group that it acts as, and people are members of others.
pub fn is_member(uid: u32, gid: u32) -> bool {
    let Some(user) = user_name(uid) else {
        return false;
    };
    let groups = read_file(Path::new("/etc/group"), GROUPS_BYTES_MAX).unwrap_or_default();
    lists_member(&String::from_utf8_lossy(&groups), gid, &user)
}

fn lists_member(groups: &str, gid: u32, user: &str) -> bool {
    groups.lines().any(|line| {
        let mut fields = line.split(':').skip(2);
        let is_it = fields
            .next()
            .is_some_and(|number| number.parse() == Ok(gid));
        let members = fields.next().unwrap_or_default();
        is_it && !user.is_empty() && members.split(',').any(|member| member.trim() == user)
    })
}

/// The directory for what lives as long as a process: the service manager's runtime directory, else `/run/pipecron` for
/// root, else a directory in the user's own.
pub fn runtime_directory() -> Option<PathBuf> {
    let given = variable("RUNTIME_DIRECTORY");
    let given = given.and_then(|list| list.split(':').next().map(PathBuf::from));
    if let Some(directory) = given.filter(|directory| directory.is_absolute()) {
        return Some(directory);
    }
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/run/pipecron"));
    }
    let own = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    own.filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("pipecron"))
}

/// The machine's name.
pub fn node_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Whatever this process makes from now on, log files above all, is for its user and group alone, or for fewer if its umask
/// says so.
pub fn keep_others_out() {
    let given = rustix::process::umask(Mode::RWXO | Mode::WGRP);
    rustix::process::umask(given | Mode::RWXO | Mode::WGRP);
}

/// Ends the process without any ceremony: somebody asked twice.
pub fn exit_at_once(code: i32) -> ! {
    std::process::exit(code)
}

/// Reads a small file. A pipe or a device is refused: it could keep us waiting for ever.
///
/// # Errors
/// When it cannot be read, is no regular file, or has more than `bytes_max` bytes.
pub fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(bytes_max.saturating_add(1))
                .read_to_end(&mut bytes)
        })
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("it has more than {bytes_max} bytes"));
    }
    Ok(bytes)
}

/// What an environment variable says; none if it is not set, empty, or not text.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::lists_member;

    #[test]
    fn a_member_is_whom_the_line_of_the_group_names() {
        let groups = "root:x:0:\npipecron:x:980:ada,bob\nweb:x:98:eve\nodd\n:::\n";
        for (gid, user, is_member) in [
            (980, "ada", true),
            (980, "bob", true),
            (980, "ad", false),
            (980, "", false),
            (98, "ada", false),
            (98, "eve", true),
            (0, "", false),
            (7, "ada", false),
        ] {
            assert_eq!(lists_member(groups, gid, user), is_member, "{gid} {user}");
        }
    }
}
