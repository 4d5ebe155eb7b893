//! Values that many entries have, kept once for all of them.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use crate::domain::request::{Source, Variable};
use crate::domain::schedule::Freeze;

/// So many different values of a kind are looked through for an equal one: where each entry has its own, the looking would
/// cost more than it saves.
const DIFFERENT_MAX: usize = 30_000;

/// What was read so far and may be met again.
#[derive(Debug, Default)]
pub(super) struct Same {
    pub(super) sources: Values<[Source]>,
    pub(super) variables: Values<[Variable]>,
    pub(super) texts: Values<[String]>,
    pub(super) freezes: Values<[Freeze]>,
    pub(super) labels: Values<BTreeSet<String>>,
}

/// Different values of a kind.
#[derive(Debug)]
pub(super) struct Values<T: ?Sized>(HashSet<Arc<T>>);

impl<T: ?Sized> Default for Values<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: ?Sized + Eq + Hash> Values<T> {
    /// The value; if there was an equal one, that one.
    pub(super) fn shared<V: Borrow<T> + Into<Arc<T>>>(&mut self, value: V) -> Arc<T> {
        if let Some(same) = self.0.get(value.borrow()) {
            return Arc::clone(same);
        }
        let value = value.into();
        if self.0.len() < DIFFERENT_MAX {
            self.0.insert(Arc::clone(&value));
        }
        value
    }
}
