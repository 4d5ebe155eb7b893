//! Entries that share a pipeline and do not agree on what to do about each other's runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::check::{Check, listed};
use super::entry::overlap_word;
use super::excerpt::quoted;
use super::problem::{At, Finding, Kind};
use crate::domain::{Entry, EntryName, Overlap};

/// So many of them are named.
const NAMED_MAX: usize = 3;

/// Warns where an entry keeps its pipeline to one run and another one starts runs of it whatever goes on there: then
/// nobody keeps that promise (P6). Once for a pipeline.
pub(super) fn warn(
    check: &mut Check<'_>,
    entries: &BTreeMap<EntryName, Arc<Entry>>,
    names: &BTreeMap<&str, At>,
) {
    fn pipeline(entry: &Entry) -> (&str, &str) {
        (&entry.request.project_id, &entry.request.pipeline_id)
    }
    let enabled = entries.values().filter(|entry| entry.enabled);
    let mut enabled: Vec<&Entry> = enabled.map(Arc::as_ref).collect();
    let is_careless = |entry: &Entry| entry.policy.overlap == Overlap::Allow;
    // Few pipelines have entries of both kinds, and only those are put in order.
    let mut kinds: HashMap<(&str, &str), [bool; 2]> = HashMap::new();
    for entry in &enabled {
        let [careful, careless] = kinds.entry(pipeline(entry)).or_default();
        *careful |= !is_careless(entry);
        *careless |= is_careless(entry);
    }
    enabled.retain(|entry| kinds.get(&pipeline(entry)) == Some(&[true, true]));
    // Those of one pipeline stay in the order of their names.
    enabled.sort_by_key(|entry| pipeline(entry));
    for sharing in enabled.chunk_by(|one, other| pipeline(one) == pipeline(other)) {
        let (careless, careful): (Vec<&Entry>, Vec<&Entry>) =
            sharing.iter().partition(|entry| is_careless(entry));
        let at = |entry: &Entry| names.get(entry.name.as_str()).copied();
        if let (Some(one), Some(other)) = (careful.first(), careless.first())
            && let (Some(one_at), Some(other_at)) = (at(one), at(other))
        {
            let message = format!(
                "the entry {} says `overlap: {}`, but {} start{} runs of the same pipeline whatever goes on there, so more than \
                 one may be under way",
                quoted(one.name.as_str()),
                overlap_word(one.policy.overlap),
                named(&careless),
                if careless.len() == 1 { "s" } else { "" },
            );
            let help = "write the same `overlap` for all of them, in `defaults` for instance; if their runs may go on side by \
                        side, that is `allow`";
            check.report(
                Finding::warning(Kind::Conflict, one_at, message)
                    .help(help)
                    .related(other_at, "this one starts whatever runs"),
            );
        }
    }
}

fn named(entries: &[&Entry]) -> String {
    let names: Vec<&str> = entries
        .iter()
        .take(NAMED_MAX)
        .map(|entry| entry.name.as_str())
        .collect();
    let Some(more) = entries
        .len()
        .checked_sub(NAMED_MAX)
        .filter(|more| *more > 0)
    else {
        return listed(&names);
    };
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    format!("{} and {more} more", names.join(", "))
}
