//! What templates make of sample ticks, remembered: entries by the hundred thousand say the same, and the engine is slow.
//!
//! An expression that was found good once is good wherever it stands, and one that says nothing of its entry makes the same
//! for every entry whose tick comes about in the same way, at the same instant and in the same zone. Nothing else is taken for granted: what is not
//! remembered is made again, so that remembering changes no answer.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::scan::{self, Piece};
use super::{Facts, LastSuccess, RENDERED_BYTES_MAX, Renderer, Unmade, Wrong, fits, templates};
use crate::domain::request::RunRequest;

/// So many expressions, and so many of the texts that they make, are remembered.
const KNOWN_MAX: usize = 20_000;
/// Longer texts are not.
const TEXT_BYTES_MAX: usize = 256;
/// What is different in each entry.
const OF_ENTRY: [&str; 3] = ["entry.name", "entry.labels", "tick.id"];

/// What is remembered.
#[derive(Debug, Default)]
pub struct Samples {
    known: HashMap<Box<str>, Known>,
    /// How many texts are remembered.
    texts: usize,
}

/// A good expression.
#[derive(Debug)]
struct Known {
    /// The zones that it names.
    zones: Box<[String]>,
    /// No sample of it was longer, in bytes.
    bytes_max: usize,
    /// Whether it says something that is different in each entry.
    is_of_entry: bool,
    /// What it makes.
    made: HashMap<Arc<Occasion>, Box<str>>,
}

/// Everything that an expression may know which says nothing of its entry.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Occasion {
    zone: String,
    origin: String,
    due: DateTime<Utc>,
    previous: Option<DateTime<Utc>>,
    last_success: Option<LastSuccess>,
}

impl Occasion {
    fn of(facts: &Facts<'_>) -> Self {
        Self {
            zone: facts.zones.own.name().to_owned(),
            origin: facts.origin.to_owned(),
            due: facts.due,
            previous: facts.previous,
            last_success: facts.last_success.cloned(),
        }
    }
}

impl Samples {
    /// Whether all expressions of a text were found good before, alone and for sample ticks, and the text is not too long.
    pub fn knows(&self, text: &str) -> bool {
        let Ok(pieces) = scan::pieces(text) else {
            return false;
        };
        let mut bytes = 0_usize;
        for piece in pieces {
            let longest = match piece {
                Piece::Text(range) => range.len(),
                Piece::Expression { inner, .. } => match self.known.get(part(text, &inner)) {
                    Some(known) => known.bytes_max,
                    None => return false,
                },
            };
            bytes = bytes.saturating_add(longest);
        }
        bytes <= RENDERED_BYTES_MAX
    }

    /// Remembers that a text is good, and made no more than so many bytes for sample ticks.
    pub fn learn(&mut self, text: &str, bytes_max: usize) {
        for piece in scan::pieces(text).unwrap_or_default() {
            let Piece::Expression { inner, .. } = piece else {
                continue;
            };
            let source = part(text, &inner);
            if let Some(known) = self.known.get_mut(source) {
                known.bytes_max = known.bytes_max.min(bytes_max);
                continue;
            }
            let mut zones = Vec::new();
            if let Ok(used) = scan::check(text, inner, None, &mut zones)
                && self.known.len() < KNOWN_MAX
            {
                let known = Known {
                    zones: zones.into_iter().map(|(name, _)| name).collect(),
                    bytes_max,
                    is_of_entry: used.iter().any(|name| OF_ENTRY.contains(name)),
                    made: HashMap::new(),
                };
                self.known.insert(source.into(), known);
            }
        }
    }

    /// The zones that a template names; none if that has to be found out.
    pub fn zones(&self, text: &str) -> Option<Vec<&str>> {
        let mut zones = Vec::new();
        for piece in scan::pieces(text).ok()? {
            if let Piece::Expression { inner, .. } = piece {
                let known = self.known.get(part(text, &inner))?;
                zones.extend(known.zones.iter().map(String::as_str));
            }
        }
        Some(zones)
    }

    /// Makes the templates of a request, as `render_request` does.
    ///
    /// # Errors
    /// As there.
    pub fn measure(
        &mut self,
        request: &RunRequest,
        facts: &Facts<'_>,
        description_chars_max: usize,
    ) -> Result<(), Unmade> {
        let occasion = Arc::new(Occasion::of(facts));
        let renderer = OnceCell::new();
        for (field, text) in templates(request) {
            let made = self.text(text, facts, &occasion, &renderer);
            fits(&field, text, made, description_chars_max)
                .map_err(|wrong| Unmade { field, wrong })?;
        }
        Ok(())
    }

    fn text(
        &mut self,
        text: &str,
        facts: &Facts<'_>,
        occasion: &Arc<Occasion>,
        renderer: &OnceCell<Renderer<'static>>,
    ) -> Result<String, Wrong> {
        let mut whole = String::new();
        for piece in scan::pieces(text)? {
            match piece {
                Piece::Text(range) => whole.push_str(part(text, &range)),
                Piece::Expression { inner, .. } => {
                    let source = part(text, &inner);
                    if source.trim() == "entry.name" {
                        whole.push_str(facts.entry);
                        continue;
                    }
                    let known = self.known.get_mut(source);
                    let mut known = known.filter(|known| !known.is_of_entry);
                    if let Some(known) = &known
                        && let Some(made) = known.made.get(occasion)
                    {
                        whole.push_str(made);
                        continue;
                    }
                    let renderer = renderer.get_or_init(|| Renderer::new(facts));
                    let made = renderer.expression(text, &inner)?;
                    whole.push_str(&made);
                    if let Some(known) = &mut known
                        && self.texts < KNOWN_MAX
                        && made.len() <= TEXT_BYTES_MAX
                    {
                        self.texts += 1;
                        known.made.insert(Arc::clone(occasion), made.into());
                    }
                }
            }
            if whole.len() > RENDERED_BYTES_MAX {
                return Err(super::too_long(text));
            }
        }
        Ok(whole)
    }
}

fn part<'t>(text: &'t str, range: &Range<usize>) -> &'t str {
    text.get(range.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::domain::template::{Zones, render};
    use crate::domain::zone::Zone;

    #[test]
    fn what_is_remembered_is_what_would_be_made() {
        let texts = [
            "no template",
            "{{ entry.name }} {{entry.name}} {{ tick.local | date('%F') }}",
            "{{ tick.due | date('%F') }} {{ tick.id }}",
            "{{ tick.local }} {{ entry.timezone }} {{ tick.due | in_zone('UTC') }}",
            "{{ entry.labels | join(',') }} {{ 'one' if 'one' in entry.labels else 'other' }}",
            "{{ 'A' if tick.origin == 'manual' else 'B' }}",
            "{{ tick.previous | default('none') }}, {{ last_success.number | default('-') }}",
            "{{ last_success.due | date('%F') | default('never') }}",
            "{{ 'x' if entry.name == 'one' else tick.previous }}",
            "{{ tick.previous }}",
        ];
        let mut samples = Samples::default();
        for text in texts {
            assert_eq!(samples.knows(text), text == "no template", "{text}");
            samples.learn(text, 100);
            assert!(samples.knows(text), "{text}");
        }
        let instants: [DateTime<Utc>; 3] = [
            "2026-11-27T20:00:00Z",
            "2026-11-28T20:00:00Z",
            "2026-11-29T20:00:00Z",
        ]
        .map(|instant| instant.parse().unwrap());
        let zone = |name: &str, offset| Arc::new(Zone::new(name, offset, Vec::new()));
        let mut compared = 0;
        // The second round meets what the first left.
        for _ in 0..2 {
            let both = [zone("Asia/Tokyo", 9 * 3600), zone("UTC", 0)];
            let entries = ["one", "two"].into_iter();
            for (name, own) in entries.flat_map(|name| both.clone().map(|own| (name, own))) {
                let named = BTreeMap::from([("UTC".to_owned(), zone("UTC", 0))]);
                let zones = Arc::new(Zones { own, named });
                let labels = BTreeSet::from([name.to_owned()]);
                for (due, before) in [(1, 0), (2, 0), (2, 1)] {
                    for (origin, previous) in [
                        ("scheduled", Some(instants[before])),
                        ("manual", None),
                        ("scheduled", None),
                    ] {
                        let success = LastSuccess {
                            due: instants[before],
                            run_id: "r1".to_owned(),
                            number: Some(1),
                        };
                        let facts = Facts {
                            entry: name,
                            labels: &labels,
                            zones: &zones,
                            tick: &format!("{name}@{due}"),
                            origin,
                            due: instants[due],
                            previous,
                            last_success: previous.map(|_| &success),
                        };
                        let occasion = Arc::new(Occasion::of(&facts));
                        for text in texts {
                            let made = samples.text(text, &facts, &occasion, &OnceCell::new());
                            assert_eq!(made, render(text, &facts), "{text}");
                            compared += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(compared, 720);
        // By zone and occasion, and not made again.
        let known = &samples.known[" tick.previous | default('none') "];
        assert_eq!(known.made.len(), 14);
    }

    #[test]
    fn nothing_is_taken_for_known_that_may_be_too_long() {
        let mut samples = Samples::default();
        samples.learn("{{ tick.id }}", RENDERED_BYTES_MAX / 2);
        assert!(samples.knows("{{ tick.id }}{{ tick.id }}"));
        assert!(!samples.knows("{{ tick.id }}{{ tick.id }}!"));
        assert!(!samples.knows("{{ tick.due }}"));
        assert!(!samples.knows("{{ tick.id }} {% if x %}"));
    }
}
