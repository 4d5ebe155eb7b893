//! What must not be shown: secrets, wherever they stand, also in files too broken to know what is what.
//!
//! A secret never stands in a file that is right, so here it is about files that are wrong. What is read as a tree hides the
//! values of secrets' keys exactly. What stands elsewhere, in a comment, in a key, in a text that should be a mapping, in a
//! file that is no YAML, is found by what it looks like: something behind a secret's key and `:` or `=`, a user and
//! password before an `@`, or the address of a chat's bot, where whoever knows it may post. The same look goes over whatever a sentence repeats of a file ([`masked`]).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use super::excerpt::floor_char;
use super::problem::At;

/// How far before a place a secret's key is looked for, in bytes.
const LOOK_BACK_BYTES: usize = 4096;
/// Keys whose value is a secret, wherever they stand and whatever stands before them, without case, `_` and `-`.
const SECRET_KEYS: [&str; 14] = [
    "sk",
    "secret",
    "secretkey",
    "secretaccesskey",
    "token",
    "securitytoken",
    "accesstoken",
    "authtoken",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "privatekey",
    "apikey",
];
/// What stands where a secret was.
pub(super) const MASK: &str = "***";

/// What must not be shown.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// These stretches.
    pub(super) spans: BTreeSet<At>,
    /// In these files, whatever follows a key that looks like a secret's: they could not be read to their end.
    pub(super) by_key: BTreeSet<u32>,
}

impl Hidden {
    /// The secrets in a window of a line of a file, in order; they may overlap.
    pub(super) fn within(
        &self,
        file: u32,
        text: &str,
        line_start: usize,
        window: &Range<usize>,
    ) -> Vec<Range<usize>> {
        let from = |start: usize| At {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: 0,
            file,
        };
        // Hidden stretches are scalars, which do not overlap: of those before the window only the last can reach into it.
        let before = self.spans.range(from(0)..from(window.start)).next_back();
        let within = self.spans.range(from(window.start)..from(window.end));
        let mut secrets: Vec<Range<usize>> = before
            .into_iter()
            .chain(within)
            .map(|at| at.range())
            .collect();
        secrets.retain(|secret| secret.end > window.start);
        if self.by_key.contains(&file) {
            secrets.extend(secret_by_key(text, line_start, window));
        }
        let line = text.get(window.clone()).unwrap_or_default();
        // Where no secret should be at all: in comments, in keys, in a text that is a piece of YAML.
        for found in on_line(line) {
            let value = window.start + found.start..window.start + found.end;
            let known = secrets
                .iter()
                .find(|secret| secret.start < value.end && secret.end > value.start);
            // What is known exactly says better what is hidden; but a part of the key before it is known to nobody.
            let is_braced = found_text(line, &found).starts_with(['{', '[']);
            let end = match known {
                Some(_) if is_braced => value.start,
                Some(known) => known.start,
                None => value.end,
            };
            if value.start < end {
                secrets.push(value.start..end);
            }
        }
        secrets.sort_by_key(|secret| secret.start);
        secrets
    }
}

/// What follows a key that looks like a secret's, to the end of the window.
fn secret_by_key(text: &str, line_start: usize, window: &Range<usize>) -> Option<Range<usize>> {
    let looked_at = window.start.saturating_sub(LOOK_BACK_BYTES);
    let from = floor_char(text, line_start.max(looked_at));
    let line = text.get(from..window.end)?;
    let before = text.get(floor_char(text, from.saturating_sub(LOOK_BACK_BYTES))..from)?;
    let goes_on = secret_goes_on(before);
    let start = if goes_on {
        line.len() - line.trim_start().len()
    } else {
        let of_item = || {
            is_secret_item(before)
                .then(|| values(line, &|key| key == "value").min())
                .flatten()
        };
        secret_value(line).into_iter().chain(of_item()).min()?
    };
    let start = (from + start).max(window.start);
    (start < window.end).then_some(start..window.end)
}

/// Whether the lines before end in the middle of a secret: `sk:` or `sk: |`, and perhaps lines without a key.
fn secret_goes_on(before: &str) -> bool {
    let lines = before.trim_end().rsplit(['\n', '\r']);
    lines
        .map(str::trim)
        .find_map(
            |line| match secret_value(line).and_then(|start| line.get(start..)) {
                Some(value) => Some(value.is_empty() || value.starts_with(['|', '>', '"', '\''])),
                None if line.contains(": ") || line.ends_with(':') => Some(false),
                None => None,
            },
        )
        .unwrap_or(false)
}

/// Whether what stands at a place seems to be a secret, so that nothing of it is repeated in advice.
pub(super) fn looks_secret(text: &str, line_start: usize, line_end: usize) -> bool {
    secret_by_key(text, line_start, &(line_start..line_end)).is_some()
}

/// Whether the lines before are those of an item of a list that says of itself that its `value` is a secret.
fn is_secret_item(before: &str) -> bool {
    const LINES_MAX: usize = 8;
    for line in before.trim_end().rsplit(['\n', '\r']).take(LINES_MAX) {
        if says_secret(line) {
            return true;
        }
        if line.trim_start().starts_with('-') {
            return false;
        }
    }
    false
}

/// Whether a line names a variable as secrets are named, or says `secret: true`.
fn says_secret(line: &str) -> bool {
    let word = |start: usize| {
        let value = line.get(start..value_end(line, start)).unwrap_or_default();
        value.trim_matches(['"', '\''])
    };
    values(line, &|key| key == "name").any(|start| is_secret_name(word(start)))
        || values(line, &is_secret_key).any(|start| word(start) == "true")
}

/// Whether a key's value is a secret, wherever it stands.
pub(super) fn is_secret_key(key: &str) -> bool {
    // A stray character before a key makes it the last word of a longer one.
    is_secret_word(key.rsplit(char::is_whitespace).next().unwrap_or(key))
}

/// Whether a text under this key is probably a secret: `DEPLOY_TOKEN`, `deployToken`. An entry may be called `renew-token`,
/// so it says nothing of a mapping or a list.
pub(super) fn is_secret_name(key: &str) -> bool {
    let word = key.rsplit(char::is_whitespace).next().unwrap_or(key);
    let mut before = '_';
    word.char_indices().any(|(at, char)| {
        let begins =
            matches!(before, '_' | '-' | '.') || (before.is_lowercase() && char.is_uppercase());
        before = char;
        begins && word.get(at..).is_some_and(is_secret_word)
    })
}

fn is_secret_word(word: &str) -> bool {
    let letters = || word.chars().filter(|char| !matches!(char, '_' | '-'));
    SECRET_KEYS.iter().any(|secret| {
        letters()
            .map(|char| char.to_ascii_lowercase())
            .eq(secret.chars())
    })
}

/// Whether a mapping of these keys and texts says of itself that its `value` is a secret, as
/// `{ name: TOKEN, value: .. }` and `{ value: .., secret: true }` do.
pub(super) fn is_secret_pair(key: &str, text: &str) -> bool {
    match key {
        "name" => is_secret_name(text),
        _ => text == "true" && is_secret_key(key),
    }
}

/// Whether a text under a secret's key only says that there is one.
pub(super) fn is_flag(text: &str) -> bool {
    matches!(text, "true" | "false")
}

/// User and password of an address, with `://` or without.
pub(super) fn user_and_password(address: &str) -> Option<Range<usize>> {
    let end = address.rfind('@')?;
    let before = address.get(..end)?;
    let scheme = before.find("://");
    let start = match (scheme, before.find("//")) {
        (Some(scheme), _) => scheme + 3,
        (None, Some(slashes)) => slashes + 2,
        (None, None) => end - before.trim_start_matches(['[', '{', '(', ',', '`']).len(),
    };
    let user = before.get(start..)?;
    let has_password = user
        .split_once(':')
        .is_some_and(|(_, password)| !password.is_empty());
    // Who alone stands before the host of a web address is mostly a token; `git@` of ssh is none.
    let is_web = scheme.is_some_and(|scheme| {
        let scheme = before
            .get(..scheme)
            .unwrap_or_default()
            .to_ascii_lowercase();
        scheme.ends_with("http") || scheme.ends_with("https")
    });
    (has_password || (is_web && !user.is_empty())).then_some(start..end)
}

/// The users and passwords of addresses such as `http://user:password@host`, wherever they stand.
fn passwords(line: &str) -> impl Iterator<Item = Range<usize>> {
    // A password that was not escaped may hold any character but these: rather too much is hidden than a part shown.
    let words = line.split(|char: char| char.is_whitespace() || matches!(char, '"' | '\''));
    words.filter_map(move |word| {
        let at = word.as_ptr() as usize - line.as_ptr() as usize;
        let found = user_and_password(word)?;
        Some(at + found.start..at + found.end)
    })
}

/// Where bots of chats are posted to.
const BOT_HOSTS: [&str; 6] = [
    "hooks.slack.com",
    "open.feishu.cn",
    "open.larksuite.com",
    "oapi.dingtalk.com",
    "qyapi.weixin.qq.com",
    "discord.com",
];
/// What stands in the path of such an address on a host of one's own.
const BOT_PATHS: [&str; 4] = ["/hooks/", "/hook/", "/webhook/", "/webhooks/"];

/// What follows the host in the address of a chat's bot.
pub(super) fn bot_secret(address: &str) -> Option<Range<usize>> {
    let start = address.find("://")? + 3;
    let rest = address.get(start..)?;
    let (host, path) = rest.split_at(rest.find(['/', '?', '#'])?);
    let path = path.trim_end_matches(['}', ']', ',', ')', ';', '`']);
    let is_bot = BOT_HOSTS.iter().any(|bot| host.eq_ignore_ascii_case(bot));
    let lower = || path.to_ascii_lowercase();
    let is_hook =
        || BOT_PATHS.iter().any(|piece| lower().contains(piece)) && !path.ends_with(".git");
    let from = start + host.len() + 1;
    let end = start + host.len() + path.len();
    ((is_bot || is_hook()) && from < end).then_some(from..end)
}

/// The secret parts of the addresses of bots, wherever they stand.
fn bots(line: &str) -> impl Iterator<Item = Range<usize>> {
    let words = line.split(|char: char| char.is_whitespace() || matches!(char, '"' | '\''));
    words.filter_map(move |word| {
        let at = word.as_ptr() as usize - line.as_ptr() as usize;
        let found = bot_secret(word)?;
        Some(at + found.start..at + found.end)
    })
}

/// What looks like a secret on a line.
fn on_line(line: &str) -> Vec<Range<usize>> {
    let value = |start: usize| start..value_end(line, start);
    let mut found: Vec<Range<usize>> = secret_values(line).map(value).collect();
    found.extend(passwords(line));
    found.extend(bots(line));
    if says_secret(line) {
        found.extend(values(line, &|key| key == "value").map(value));
    }
    found.retain(|found| !found.is_empty());
    found
}

/// A text of a file for a sentence about it, without what looks like a secret in it.
pub(super) fn masked(text: &str) -> Cow<'_, str> {
    let mut found = on_line(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|found| found.start);
    let mut shown = String::new();
    let mut from = 0;
    for Range { start, end } in found {
        if start >= from {
            shown.push_str(text.get(from..start).unwrap_or_default());
            shown.push_str(MASK);
        }
        from = from.max(end);
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    Cow::Owned(shown)
}

/// An address without its user and password, whatever characters they have.
pub(super) fn without_password(address: &str) -> String {
    let Range { start, end } = user_and_password(address).unwrap_or_default();
    let mask = if end > start { MASK } else { "" };
    let piece = |piece: Option<&str>| piece.unwrap_or_default().to_owned();
    piece(address.get(..start)) + mask + &piece(address.get(end..))
}

/// Where on a line the first value of a secret's key begins.
fn secret_value(line: &str) -> Option<usize> {
    secret_values(line).min()
}

/// Where on a line the values of secrets' keys begin, unless they are references such as `{ env: NAME }`.
fn secret_values(line: &str) -> impl Iterator<Item = usize> {
    let of_names = values(line, &|key| is_secret_name(key) && !is_secret_key(key))
        .filter(|start| !matches!(line.as_bytes().get(*start), None | Some(b'{' | b'[')));
    let starts = values(line, &is_secret_key).chain(of_names);
    let starts: Vec<usize> = starts
        .filter(|start| {
            let value = line.get(*start..).unwrap_or_default();
            !is_reference(value) && !is_flag(found_text(line, &(*start..value_end(line, *start))))
        })
        .collect();
    starts.into_iter()
}

fn found_text<'l>(line: &'l str, found: &Range<usize>) -> &'l str {
    line.get(found.clone()).unwrap_or_default()
}

/// Where on a line the values of some keys begin, behind a `:` or a `=`.
fn values<'l>(line: &'l str, is_meant: &'l dyn Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    let is_word = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-');
    line.match_indices([':', '=']).filter_map(move |(mark, _)| {
        let key = line.get(..mark)?.trim_end().trim_end_matches(['"', '\'']);
        let word = key.rsplit(|char: char| !is_word(char)).next()?;
        let value = line.get(mark + 1..)?;
        let is_equality = value.starts_with('=');
        let start = line.len() - value.trim_start().len();
        (!is_equality && is_meant(word)).then_some(start)
    })
}

/// The end of the value that begins at `start` of a line, as far as it can be told without knowing what is around it.
fn value_end(line: &str, start: usize) -> usize {
    let value = line.get(start..).unwrap_or_default();
    let quote = value
        .chars()
        .next()
        .filter(|char| matches!(char, '"' | '\''));
    let length = match quote {
        Some(quote) => value
            .get(1..)
            .and_then(|rest| rest.find(quote))
            .map(|end| end + 2),
        None => value
            .find([',', '}', ']'])
            .map(|end| value.get(..end).map_or(end, |value| value.trim_end().len())),
    };
    start + length.unwrap_or(value.len())
}

/// Whether a value names the place of a secret, as `{ env: NAME }` does, rather than being one.
fn is_reference(value: &str) -> bool {
    let inner = value
        .strip_prefix('{')
        .and_then(|rest| rest.split('}').next());
    inner
        .and_then(|inner| inner.split_once(':'))
        .is_some_and(|(key, name)| {
            let unquoted = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
            is_reference_key(&unquoted(key)) && is_place(&unquoted(name))
        })
}

/// Whether a key names a place where secrets are kept.
pub(super) fn is_reference_key(key: &str) -> bool {
    matches!(key, "env" | "file" | "credential")
}

/// Whether a text can be the name of a variable, of a credential, or a path, and so is no secret.
pub(super) fn is_place(text: &str) -> bool {
    text.starts_with('/')
        || text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
