//! YAML text to checked settings and entries, or all problems at once. No IO: files come in as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::{AccountName, Entry, EntryName};

pub mod account;

pub use account::{Account, Credentials, NO_PROXY, Text};

/// A configuration file as it was read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFile {
    /// The path as it is to be shown.
    pub path: String,
    /// The text.
    pub text: String,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The accounts by name.
    pub accounts: BTreeMap<AccountName, Arc<Account>>,
    /// The entries by name.
    pub entries: BTreeMap<EntryName, Arc<Entry>>,
}
