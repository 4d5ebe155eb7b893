//! What every part of the checking shares: the findings, the zones, and the reading of one value as a text, a number, ...
//!
//! Each reader reports what is wrong and then gives `None`: the caller goes on, so that one run finds everything.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::clock::ClockChanges;
use super::excerpt::quoted;
use super::notices::doubts;
use super::online::Online;
use super::problem::{At, Finding, Findings, Kind};
use super::same::Same;
use super::text::{self, Wrong};
use super::tree::{Mapping, Pair, Shape, Value};
use super::zones;
use crate::domain::request::SecretRef;
use crate::domain::template::{self, Samples};
use crate::domain::zone::Zone;

/// Names, addresses and paths are no longer.
const NAME_BYTES_MAX: usize = 4096;
/// What a text costs beside its bytes, about.
pub(super) const TEXT_BYTES: usize = 64;
/// The texts of one entry are no longer together: the service's gateway takes no larger body.
const REQUEST_BYTES_MAX: usize = 12_000_000;

/// A key that was given.
#[derive(Debug, Clone)]
pub(super) struct Given<T> {
    /// Where its value stands.
    pub(super) at: At,
    /// What it says; none if that was refused, and reported.
    pub(super) value: Option<T>,
}

/// The keys that a kind of mapping may have.
#[derive(Debug)]
pub(super) struct KeySet {
    /// What the mapping is, with an article.
    pub(super) what: &'static str,
    /// Its keys.
    pub(super) known: &'static [&'static str],
    /// What to say about keys that people may write and that are something else here.
    pub(super) advice: &'static [(&'static str, &'static str)],
}

/// The labels of an entry.
pub(super) type Labels = Arc<BTreeSet<String>>;

/// The state of a check.
#[derive(Debug)]
pub(super) struct Check<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) findings: Findings,
    /// How many bytes of text the mapping that is read has asked to keep; see [`Self::keep`].
    pub(super) kept_bytes: usize,
    /// The same for all entries together.
    pub(super) kept_bytes_total: usize,
    /// The keys that the unknown ones of the last mapping seem to mean: they are not missing, but misspelt.
    pub(super) meant: Vec<&'static str>,
    /// Whether the last mapping may have more keys, in something that was to be merged into it and is refused.
    pub(super) lacks: bool,
    /// Whether only accounts are wanted, and entries are not looked at.
    pub(super) only_accounts: bool,
    /// What the service says of the pipelines, if it was asked.
    pub(super) online: Option<Online<'a>>,
    /// Which entries are due while a clock changes.
    pub(super) clock: ClockChanges,
    /// The known keys of the last mapping that have no value, which counts as absent.
    pub(super) empty: Vec<(&'static str, At)>,
    /// What templates were found to make.
    pub(super) samples: Samples,
    /// The zones of templates, by that of the entry and those that they name.
    pub(super) template_zones: HashMap<(String, BTreeSet<String>), Arc<template::Zones>>,
    /// What entries share.
    pub(super) same: Same,
    /// Alarms that were warned of, by where they stand, and how many starts may still be looked at for others.
    pub(super) alarms_told: BTreeSet<At>,
    pub(super) alarm_starts: usize,
    zones: HashMap<String, Option<Arc<Zone>>>,
    utc: Arc<Zone>,
}

impl<'a> Check<'a> {
    pub(super) fn new(world: &'a World<'a>) -> Self {
        Self {
            world,
            findings: Findings::default(),
            kept_bytes: 0,
            kept_bytes_total: 0,
            meant: Vec::new(),
            lacks: false,
            only_accounts: false,
            online: None,
            empty: Vec::new(),
            clock: ClockChanges::default(),
            samples: Samples::default(),
            template_zones: HashMap::new(),
            same: Same::default(),
            alarms_told: BTreeSet::new(),
            alarm_starts: doubts::ALL_STARTS_MAX,
            zones: HashMap::new(),
            utc: Arc::new(Zone::utc()),
        }
    }

    /// Coordinated universal time, which holds where no zone is named.
    pub(super) fn utc(&self) -> Arc<Zone> {
        Arc::clone(&self.utc)
    }

    pub(super) fn report(&mut self, finding: Finding) {
        self.findings.add(finding);
    }

    /// Reports a text that is not what it should be, at the piece that is wrong if that stands in the file as it is.
    pub(super) fn wrong(&mut self, value: Value<'_>, kind: Kind, wrong: Wrong) {
        let piece = wrong.piece.zip(value.text_at());
        let at = piece.map_or_else(|| value.at(), |(piece, at)| at.part(piece));
        self.report(Finding::error(kind, at, wrong.message).help(wrong.help));
    }

    /// Warns of a text that can be used and hardly means what it says.
    pub(super) fn doubt(&mut self, value: Value<'_>, kind: Kind, doubt: Wrong) {
        let piece = doubt.piece.zip(value.text_at());
        let at = piece.map_or_else(|| value.at(), |(piece, at)| at.part(piece));
        self.report(Finding::warning(kind, at, doubt.message).help(doubt.help));
    }

    fn settle<T>(&mut self, value: Value<'_>, key: &str, result: Result<T, Wrong>) -> Option<T> {
        let name = |wrong: Wrong| Wrong {
            message: format!("`{key}`: {}", wrong.message),
            ..wrong
        };
        result
            .map_err(|wrong| self.wrong(value, Kind::Value, name(wrong)))
            .ok()
    }

    /// A value of the wrong form. `wanted` continues "`key` must be".
    pub(super) fn wrong_form(&mut self, value: Value<'_>, key: &str, wanted: &str, help: &str) {
        let is = match value.shape() {
            Shape::Null => "there is nothing here",
            Shape::Text(_) => "this is a text",
            Shape::List(_) => "this is a list",
            Shape::Mapping(_) => "this is a mapping",
            Shape::Refused => return,
        };
        let message = format!("{} must be {wanted}, and {is}", quoted(key));
        self.report(Finding::error(Kind::Type, value.at(), message).help(help));
    }

    /// A text, which a number, true or false is as well: what stands there counts.
    pub(super) fn text<'t>(&mut self, value: Value<'t>, key: &str) -> Option<&'t str> {
        match value.shape() {
            Shape::Text(text) => Some(text),
            Shape::Null | Shape::List(_) | Shape::Mapping(_) | Shape::Refused => {
                let help = match only_text(value) {
                    Some(text) => format!(
                        "write it without the brackets or the `-`: {key}: {}",
                        short(text)
                    ),
                    None => format!(
                        "write one text after `{}:`, and nothing below it",
                        short(key)
                    ),
                };
                self.wrong_form(value, key, "a text", &help);
                None
            }
        }
    }

    /// A text that is not empty.
    pub(super) fn some_text<'t>(&mut self, value: Value<'t>, key: &str) -> Option<&'t str> {
        let text = self.text(value, key)?;
        if text.trim().is_empty() {
            let message = format!("`{key}` is empty");
            self.report(
                Finding::error(Kind::Value, value.at(), message)
                    .help("write it, or leave the key out"),
            );
            return None;
        }
        if text.len() > NAME_BYTES_MAX {
            let message = format!("`{key}` is longer than {NAME_BYTES_MAX} bytes");
            self.report(
                Finding::error(Kind::Limit, value.at(), message)
                    .help("nothing that is meant here is so long"),
            );
            return None;
        }
        Some(text)
    }

    /// Counts a text that an entry keeps, as an alias can repeat a long one a million times in a short file.
    pub(super) fn keep(&mut self, value: Value<'_>, text: &str) -> Option<()> {
        let before = self.kept_bytes;
        self.kept_bytes = before.saturating_add(text.len() + TEXT_BYTES);
        if self.kept_bytes <= REQUEST_BYTES_MAX {
            return Some(());
        }
        // Said once for each mapping.
        if before <= REQUEST_BYTES_MAX {
            let message = "what is sent would be larger than 12 MB, and the service takes no more";
            let help = "put what is long into the repository, and its path into a variable";
            self.report(Finding::error(Kind::Limit, value.at(), message).help(help));
        }
        None
    }

    /// A list of texts.
    pub(super) fn texts<'t>(
        &mut self,
        value: Value<'t>,
        key: &str,
    ) -> Option<Vec<(&'t str, Value<'t>)>> {
        let Shape::List(list) = value.shape() else {
            let help = match value.shape() {
                Shape::Text(text) if !text.contains([',', ' ']) => {
                    format!("write it in brackets: {key}: [{}]", short(text))
                }
                Shape::Text(_)
                | Shape::Null
                | Shape::List(_)
                | Shape::Mapping(_)
                | Shape::Refused => {
                    "write [a, b], or each on a line of its own after a `- `".to_owned()
                }
            };
            self.wrong_form(value, key, "a list of texts", &help);
            return None;
        };
        // All of them are looked at, also after one that is wrong.
        let mut item_text = |item: Value<'t>| match item.shape() {
            Shape::Text(text) => Some((text, item)),
            Shape::Null | Shape::List(_) | Shape::Mapping(_) | Shape::Refused => {
                let help = "write a text; an empty one is \"\"";
                self.wrong_form(item, key, "a list of texts", help);
                None
            }
        };
        let texts: Vec<Option<_>> = list.items().map(&mut item_text).collect();
        texts.into_iter().collect()
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, value: Value<'_>, key: &str) -> Option<bool> {
        match value.shape() {
            Shape::Text("true" | "True" | "TRUE") if value.is_plain() => Some(true),
            Shape::Text("false" | "False" | "FALSE") if value.is_plain() => Some(false),
            Shape::Text(text) => {
                let message = format!(
                    "`{key}` must be true or false, and this is {}",
                    quoted(text)
                );
                let help = match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "1" => "write true",
                    "no" | "off" | "n" | "0" => "write false",
                    "true" | "false" => "write it without quotes",
                    "true," | "false," => "write it without the comma",
                    _ => "write true or false",
                };
                self.report(Finding::error(Kind::Value, value.at(), message).help(help));
                None
            }
            Shape::Null | Shape::List(_) | Shape::Mapping(_) | Shape::Refused => {
                self.wrong_form(value, key, "true or false", "write true or false");
                None
            }
        }
    }

    /// A whole number from 1 to `max`.
    pub(super) fn count(&mut self, value: Value<'_>, key: &str, max: u32) -> Option<u32> {
        let text = self.text(value, key)?;
        self.settle(value, key, text::whole(text, 1..max.saturating_add(1)))
    }

    /// A whole number from 1 to `max`, for a key without which there is no limit.
    pub(super) fn limit(&mut self, value: Value<'_>, key: &str, max: u32) -> Option<u32> {
        let text = self.text(value, key)?;
        let number = text::whole(text, 1..max.saturating_add(1)).map_err(|wrong| Wrong {
            help: format!("{}; without `{key}` there is no limit", wrong.help),
            ..wrong
        });
        self.settle(value, key, number)
    }

    /// A whole number in a range that may begin below zero.
    pub(super) fn number(
        &mut self,
        value: Value<'_>,
        key: &str,
        range: RangeInclusive<i32>,
    ) -> Option<i32> {
        let text = self.text(value, key)?;
        self.settle(value, key, text::signed(text, range))
    }

    /// A factor of at least 1.
    pub(super) fn factor(&mut self, value: Value<'_>, key: &str) -> Option<f64> {
        let text = self.text(value, key)?;
        self.settle(value, key, text::factor(text))
    }

    /// A duration of at least `min`.
    pub(super) fn duration(
        &mut self,
        value: Value<'_>,
        key: &str,
        min: Duration,
    ) -> Option<Duration> {
        self.duration_within(value, key, min, text::DURATION_MAX)
    }

    /// A duration of at least `min` and at most `max`.
    pub(super) fn duration_within(
        &mut self,
        value: Value<'_>,
        key: &str,
        min: Duration,
        max: Duration,
    ) -> Option<Duration> {
        let text = self.text(value, key)?;
        let duration = self.settle(value, key, text::duration(text))?;
        if duration < min || duration > max {
            let (word, end) = if duration < min {
                ("least", min)
            } else {
                ("most", max)
            };
            let message = format!("`{key}` must be at {word} {}", text::show_duration(end));
            self.report(
                Finding::error(Kind::Value, value.at(), message)
                    .help("write a number and a unit, such as 90s or 20m"),
            );
            return None;
        }
        Some(duration)
    }

    /// A day or an instant.
    pub(super) fn bound(&mut self, value: Value<'_>, key: &str) -> Option<text::Bound> {
        let text = self.text(value, key)?;
        self.settle(value, key, text::bound(text))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        value: Value<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text(value, key)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.not_one_of(value, key, text, &names);
        None
    }

    /// Reports a text that is not one of a few words.
    pub(super) fn not_one_of(&mut self, value: Value<'_>, key: &str, text: &str, words: &[&str]) {
        let message = format!("`{key}` cannot be {}", quoted(text));
        let help = match text::nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`? possible are {}", listed(words)),
            None => format!("write one of {}", listed(words)),
        };
        self.report(Finding::error(Kind::Value, value.at(), message).help(help));
    }

    /// An id of 32 letters and digits.
    pub(super) fn id32<'t>(&mut self, value: Value<'t>, key: &str) -> Option<&'t str> {
        let text = self.text(value, key)?;
        self.settle(value, key, text::id32(text, key).map(|()| text))
    }

    /// The path of a file on the machine the daemon runs on.
    pub(super) fn path(&mut self, value: Value<'_>, key: &str) -> Option<PathBuf> {
        let text = self.some_text(value, key)?;
        if text.starts_with('~') || text.contains('\0') {
            let message = format!(
                "`{key}` is {}, which is no path: `~` is not expanded",
                quoted(text)
            );
            self.report(
                Finding::error(Kind::Value, value.at(), message)
                    .help("write the whole path, beginning with `/`"),
            );
            return None;
        }
        if !text.starts_with('/') {
            let message = format!(
                "the path {} is relative to the directory in which pipecron starts",
                quoted(text)
            );
            self.report(
                Finding::warning(Kind::Value, value.at(), message)
                    .help("write the whole path, beginning with `/`"),
            );
        }
        Some(PathBuf::from(text))
    }

    /// A time zone by its IANA name.
    pub(super) fn zone(&mut self, value: Value<'_>, key: &str) -> Option<Arc<Zone>> {
        let name = self.some_text(value, key)?;
        if let Some(zone) = self.known_zone(name) {
            if zone.name() != name {
                let message = format!(
                    "the time zone {} is written {}",
                    quoted(name),
                    quoted(zone.name())
                );
                let help = format!(
                    "write {}; editors and other programs tell letter cases apart",
                    zone.name()
                );
                self.report(Finding::warning(Kind::Zone, value.at(), message).help(help));
            }
            return Some(zone);
        }
        let help = match self.zone_meant(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => zones::meant(name, &|name| (self.world.zone)(name).is_some()),
        };
        let message = format!("there is no time zone {}", quoted(name));
        self.report(Finding::error(Kind::Zone, value.at(), message).help(help));
        None
    }

    /// The zone of that name, if there is one.
    pub(super) fn known_zone(&mut self, name: &str) -> Option<Arc<Zone>> {
        if let Some(known) = self.zones.get(name) {
            return known.clone();
        }
        let zone = (self.world.zone)(name);
        self.zones.insert(name.to_owned(), zone.clone());
        zone
    }

    /// Which zone was probably meant.
    pub(super) fn zone_meant(&self, name: &str) -> Option<&'a str> {
        if self.findings.are_many() {
            return None;
        }
        let names = || self.world.zone_names.iter().map(String::as_str);
        // People know the city. The one most asked for is called after another.
        let city = name.rsplit('/').next().unwrap_or(name).replace(' ', "_");
        let city = if city.eq_ignore_ascii_case("beijing") {
            "Shanghai"
        } else {
            &city
        };
        let last = |known: &str| {
            known
                .rsplit('/')
                .next()
                .is_some_and(|last| last.eq_ignore_ascii_case(city))
        };
        // CST is not CET misspelt.
        let abbreviation = name.len() < 5 && name.chars().all(|c| c.is_ascii_uppercase());
        names().find(|known| last(known)).or_else(|| {
            if abbreviation {
                None
            } else {
                text::nearest(name, names())
            }
        })
    }

    /// A reference to a secret: `{ env: NAME }`, `{ file: PATH }` or `{ credential: NAME }`.
    pub(super) fn secret_ref(
        &mut self,
        mapping: Mapping<'_>,
        value: Value<'_>,
        key: &str,
    ) -> Option<SecretRef> {
        let mut is_strange = false;
        for pair in mapping.pairs(&mut self.findings) {
            if !SECRET.known.contains(&pair.key) {
                is_strange = true;
                self.hide(pair.value);
                if may_be_secret(pair.key) {
                    self.findings.hide(pair.key_at);
                }
            } else if matches!(pair.value.shape(), Shape::List(_) | Shape::Mapping(_)) {
                // Nor is what stands there repeated in advice.
                is_strange = true;
                self.hide(pair.value);
                self.wrong_form(pair.value, pair.key, "a text", SECRET_FORMS);
            }
        }
        let mut pairs = self.keys(mapping, &SECRET);
        pairs.retain(|pair| !matches!(pair.value.shape(), Shape::List(_) | Shape::Mapping(_)));
        let [pair] = pairs.as_slice() else {
            // A key that nobody knows is reported already.
            if pairs.len() > 1 || !(is_strange || self.lacks) {
                let message =
                    format!("`{key}` must name exactly one place where the secret is kept");
                self.report(Finding::error(Kind::Conflict, value.at(), message).help(SECRET_FORMS));
            }
            return None;
        };
        match pair.key {
            "file" => self.path(pair.value, "file").map(SecretRef::File),
            "env" => {
                let name = self.some_text(pair.value, "env")?;
                let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                if first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return Some(SecretRef::Env(name.to_owned()));
                }
                // It may be the secret itself, so it is not repeated.
                self.findings.hide(pair.value.at());
                let message =
                    "`env` must be the name of an environment variable: letters, digits and `_`";
                self.report(Finding::error(Kind::Secret, pair.value.at(), message).help(
                    "write the variable's name, such as { env: HUAWEICLOUD_SDK_SK }, without a `$`, and never its value",
                ));
                None
            }
            _ => {
                let name = self.some_text(pair.value, "credential")?;
                if name.contains(['/', '\0']) || name.starts_with('.') || name.len() > 255 {
                    self.findings.hide(pair.value.at());
                    let message = "`credential` must be a name without `/`";
                    self.report(Finding::error(Kind::Secret, pair.value.at(), message).help(
                        "write the name that the unit's LoadCredential= gives it; a path is written { file: PATH }",
                    ));
                    return None;
                }
                Some(SecretRef::Credential(name.to_owned()))
            }
        }
    }

    /// The mapping's pairs with known keys and a value; others are reported.
    pub(super) fn keys<'t>(&mut self, mapping: Mapping<'t>, set: &KeySet) -> Vec<Pair<'t>> {
        let before = self.findings.errors();
        let mut pairs = mapping.pairs(&mut self.findings);
        self.lacks = self.findings.errors() > before;
        self.meant.clear();
        self.empty.clear();
        pairs.retain(|pair| {
            if let Some(known) = set.known.iter().find(|known| **known == pair.key) {
                if pair.value.is_null() {
                    self.empty.push((known, pair.key_at));
                }
                return !pair.value.is_null();
            }
            self.unknown_key(pair, set);
            false
        });
        pairs
    }

    /// Never shows the texts in a value.
    pub(super) fn hide(&mut self, value: Value<'_>) {
        for scalar in value.scalars() {
            self.findings.hide(scalar.at());
        }
    }

    fn unknown_key(&mut self, pair: &Pair<'_>, set: &KeySet) {
        let message = unknown_key(pair.key, set);
        if self.findings.are_many() {
            self.report(Finding::error(Kind::UnknownKey, pair.key_at, message));
            return;
        }
        let advice = set
            .advice
            .iter()
            .find(|(key, _)| pair.key.eq_ignore_ascii_case(key));
        let help = match advice {
            Some((_, advice)) => {
                let named = |known: &&&str| advice.contains(&format!("`{known}`"));
                self.meant.extend(set.known.iter().find(named));
                (*advice).to_owned()
            }
            None => match text::nearest(pair.key, set.known.iter().copied()) {
                Some(near) => {
                    self.meant.push(near);
                    format!("did you mean `{near}`?")
                }
                None => format!("possible are {}", listed(set.known)),
            },
        };
        self.report(Finding::error(Kind::UnknownKey, pair.key_at, message).help(help));
    }
}

/// Whether a key where a secret's place is named may be the secret itself: in braces it is read as a key.
fn may_be_secret(key: &str) -> bool {
    const USUAL: [&str; 8] = [
        "value", "secret", "name", "type", "key", "path", "variable", "vault",
    ];
    !USUAL.contains(&key) && text::nearest(key, SECRET.known.iter().copied()).is_none()
}

/// What is said of a key that nobody knows.
pub(super) fn unknown_key(key: &str, set: &KeySet) -> String {
    if std::ptr::eq(set, &SECRET) && may_be_secret(key) {
        return format!("{} has no such key", set.what);
    }
    format!("{} has no key {}", set.what, quoted(key))
}

/// How a secret is written.
pub(super) const SECRET_FORMS: &str = "write { env: NAME } for an environment variable, { file: PATH } for a file, or \
    { credential: NAME } for a credential of the service manager";

pub(super) static SECRET: KeySet = KeySet {
    what: "a secret",
    known: &["env", "file", "credential"],
    advice: &[(
        "value",
        "a secret does not stand in the file; name the place where it is kept",
    )],
};

/// The text of a list that holds nothing else.
fn only_text<'t>(value: Value<'t>) -> Option<&'t str> {
    let Shape::List(list) = value.shape() else {
        return None;
    };
    let mut items = list.items();
    let first = items.next()?.text()?;
    items.next().is_none().then_some(first)
}

/// A text as it is repeated in advice.
fn short(text: &str) -> String {
    quoted(text).trim_matches('`').to_owned()
}

/// `a`, `b` and `c`.
pub(super) fn listed(names: &[&str]) -> String {
    const LISTED_MAX: usize = 40;
    let quoted: Vec<String> = names
        .iter()
        .take(LISTED_MAX)
        .map(|name| quoted(name))
        .collect();
    match quoted.as_slice() {
        _ if names.len() > LISTED_MAX => format!(
            "{} and {} more",
            quoted.join(", "),
            names.len() - LISTED_MAX
        ),
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => quoted.join(""),
    }
}
