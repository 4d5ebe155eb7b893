//! Templates in the files: what cannot work is an error when they are read, not at two in the night.
//!
//! Where a template stands it is checked by itself, once, and rendered for a sample tick with and without a predecessor and
//! a last success. What it makes for the name and zone of an entry is measured when the entry is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::check::Check;
use super::doubts;
use super::excerpt::quoted;
use super::problem::{At, Finding, Kind};
use super::text::{self, Wrong};
use super::tree::Value;
use crate::domain::plan::previous_tick;
use crate::domain::template::{
    self, Facts, Field, LastSuccess, RENDERED_BYTES_MAX, Zones, has_marks,
};
use crate::domain::zone::Zone;
use crate::domain::{Entry, Origin, RunRequest, TickId, Timestamp, description_chars_max, rfc3339};

/// Checks a text that may be a template.
pub(super) fn check(check: &mut Check<'_>, value: Value<'_>, text: &str) -> Option<()> {
    if !has_marks(text) {
        if let Some(doubt) = doubts::of_text(text) {
            check.doubt(value, Kind::Value, doubt);
        }
        return Some(());
    }
    for doubt in doubts::of_template(text) {
        check.doubt(value, Kind::Template, doubt);
    }
    if check.samples.knows(text) {
        return Some(());
    }
    let wrong = match template::check(text) {
        Ok(checked) => {
            let mut named = BTreeMap::new();
            for (name, span) in checked.zones {
                let Some(zone) = check.known_zone(&name) else {
                    let help = match check.zone_meant(&name) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "write an IANA name such as Europe/Berlin or UTC".to_owned(),
                    };
                    let wrong = Wrong {
                        piece: Some(span),
                        ..Wrong::new(format!("there is no time zone {}", quoted(&name)), help)
                    };
                    check.wrong(value, Kind::Zone, wrong);
                    return None;
                };
                named.insert(name, zone);
            }
            let own = check.utc();
            match sample(text, check.world.now, Zones { own, named }) {
                Ok(bytes_max) => {
                    check.samples.learn(text, bytes_max);
                    return Some(());
                }
                Err(wrong) => wrong,
            }
        }
        Err(wrong) => wrong,
    };
    let word = text.get(wrong.span.clone()).unwrap_or_default();
    let help = match text::nearest(word, wrong.known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => wrong.help,
    };
    let wrong = Wrong {
        piece: Some(wrong.span),
        ..Wrong::new(wrong.message, help)
    };
    check.wrong(value, Kind::Template, wrong);
    None
}

/// Renders a template for a tick that stands for all, and says what is wrong, or how many bytes it makes at most.
fn sample(text: &str, due: Timestamp, zones: Zones) -> Result<usize, template::Wrong> {
    let labels = BTreeSet::from(["label".to_owned()]);
    let zones = Arc::new(zones);
    let id = format!("entry@{}", rfc3339(due));
    let success = sample_success(due);
    let with = Facts {
        entry: "entry",
        labels: &labels,
        zones: &zones,
        tick: &id,
        origin: Origin::Scheduled.name(),
        due,
        previous: Some(due),
        last_success: Some(&success),
    };
    let without = Facts {
        previous: None,
        last_success: None,
        ..with
    };
    let by_hand = Facts {
        origin: Origin::Manual.name(),
        ..with
    };
    let made = template::render(text, &with)?.len();
    let of = |what: &str, facts: &Facts<'_>| match template::render(text, facts) {
        Ok(made) => Ok(made.len()),
        Err(wrong) => Err(template::Wrong {
            message: format!("{what}: {}", wrong.message),
            ..wrong
        }),
    };
    let made = made.max(of("for a tick by hand", &by_hand)?);
    let what = "for a tick before which nothing was due and nothing succeeded";
    Ok(made.max(of(what, &without)?))
}

fn sample_success(due: Timestamp) -> LastSuccess {
    LastSuccess {
        due,
        run_id: "0123456789abcdef0123456789abcdef".to_owned(),
        number: Some(1),
    }
}

/// The zones that the templates of a request name, if it has templates.
pub(super) fn zones(
    check: &mut Check<'_>,
    request: &RunRequest,
    own: Arc<Zone>,
) -> Option<Arc<Zones>> {
    let mut names = BTreeSet::new();
    let mut has_templates = false;
    for (_, text) in template::templates(request) {
        has_templates = true;
        if let Some(known) = check.samples.zones(text) {
            names.extend(known.into_iter().map(str::to_owned));
        } else if let Ok(checked) = template::check(text) {
            names.extend(checked.zones.into_iter().map(|(name, _)| name));
        }
    }
    if !has_templates {
        return None;
    }
    // Entries by the hundred thousand have the same.
    let key = (own.name().to_owned(), names);
    if let Some(zones) = check.template_zones.get(&key) {
        return Some(Arc::clone(zones));
    }
    let named = key.1.iter().filter_map(|name| {
        let zone = check.known_zone(name)?;
        Some((name.clone(), zone))
    });
    let named = named.collect();
    let zones = Arc::new(Zones { own, named });
    check.template_zones.insert(key, Arc::clone(&zones));
    Some(zones)
}

/// Makes the request of a complete entry for sample ticks. What is wrong is reported where `at` says the field stands.
pub(super) fn check_entry(
    check: &mut Check<'_>,
    entry: &Entry,
    at: impl Fn(&Field) -> At,
) -> Option<()> {
    let Some(zones) = &entry.templates else {
        return Some(());
    };
    let now = check.world.now;
    let next = (entry.schedule.as_ref()).and_then(|schedule| schedule.next_after(now));
    let due = next.unwrap_or(now);
    // The longest id, as for a description without templates.
    let id = TickId::manual(&entry.name, due, "xxxx");
    let previous = previous_tick(entry, due).unwrap_or(due);
    let success = sample_success(due);
    for (origin, has_past) in [(Origin::Scheduled, true), (Origin::Manual, false)] {
        let facts = Facts {
            entry: entry.name.as_str(),
            labels: &entry.labels,
            zones,
            tick: id.as_str(),
            origin: origin.name(),
            due,
            previous: has_past.then_some(previous),
            last_success: has_past.then_some(&success),
        };
        let room = description_chars_max(&id);
        if let Err(unmade) = check.samples.measure(&entry.request, &facts, room) {
            let message = format!("{unmade}");
            let finding = Finding::error(Kind::Template, at(&unmade.field), message);
            check.report(finding.help(unmade.wrong.help));
            return None;
        }
    }
    Some(())
}

const _: () = assert!(RENDERED_BYTES_MAX >= 4 * crate::domain::request::VARIABLE_VALUE_CHARS_MAX);
