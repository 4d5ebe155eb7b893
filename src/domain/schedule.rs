//! When an entry is due.

/// When an entry is due: patterns in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule;
