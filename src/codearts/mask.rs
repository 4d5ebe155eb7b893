//! What is shown of a text that somebody else wrote: bounded, on one line, and without our secrets.
//!
//! The gateway repeats the request in its messages (its canonical form, `X-Security-Token` included), a proxy may
//! repeat any header. What we sent in confidence must not come back into the log by that way. A secret is also found
//! in pieces: an echo that was cut short still holds most of a key.

use std::collections::HashSet;
use std::fmt;

use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret, SecretString};

/// What stands in place of a secret.
pub const HIDDEN: &str = "***";
/// Longest message we keep, in characters.
pub const MESSAGE_CHARS_MAX: usize = 500;
/// How much of a text is looked at, in characters; the rest is dropped before anything else.
const LOOKED_AT_CHARS_MAX: usize = 8 * MESSAGE_CHARS_MAX;
/// Longest word we keep, in characters: an error code, a request's or a run's id.
pub const WORD_CHARS_MAX: usize = 128;
/// A secret shorter than this is in a word by chance.
const WORD_SECRET_BYTES_MIN: usize = 8;
/// A secret of at least this many bytes is also hidden in pieces ...
const PIECED_BYTES_MIN: usize = 16;
/// ... of at least this many bytes: fewer, and a password that holds an everyday word would blot out every message.
const PIECE_BYTES: usize = 12;

/// The secrets that a text must not show. Its `Debug` shows none.
#[derive(Clone, Default)]
pub struct Mask {
    secrets: Vec<SecretString>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Mask({} secrets)", self.secrets.len())
    }
}

impl Mask {
    /// A mask that hides nothing, but still bounds and cleans.
    pub fn none() -> Self {
        Self::default()
    }

    /// Hides `secret` too: as it is, as it stands within a JSON text, and percent-encoded.
    pub fn hide(&mut self, secret: &str) {
        let json = serde_json::to_string(secret).unwrap_or_default();
        let encoded = utf8_percent_encode(secret, super::RESERVED).to_string();
        for form in [secret, json.trim_matches('"'), &encoded] {
            let form = clean(form, usize::MAX);
            if !form.is_empty() && !self.knows(&form) {
                self.secrets.push(SecretString::from(form));
            }
        }
    }

    fn knows(&self, form: &str) -> bool {
        self.secrets
            .iter()
            .any(|secret| secret.expose_secret() == form)
    }

    /// `text` as it may be shown: on one line, at most [`MESSAGE_CHARS_MAX`] characters, secrets hidden.
    pub fn show(&self, text: &str) -> String {
        let text = clean(text, LOOKED_AT_CHARS_MAX);
        bound(&self.cover(&text, 1), MESSAGE_CHARS_MAX)
    }

    /// As [`Mask::show`], for a word that is known by its spelling, such as an error code: a secret of a few letters is
    /// in it by chance.
    pub fn show_word(&self, word: &str) -> String {
        let word = clean(word, LOOKED_AT_CHARS_MAX);
        bound(&self.cover(&word, WORD_SECRET_BYTES_MIN), WORD_CHARS_MAX)
    }

    /// Whether a word has a secret in it, see [`Mask::show_word`].
    pub fn hides_in(&self, word: &str) -> bool {
        self.show_word(word) != word
    }

    /// Puts [`HIDDEN`] over every secret of at least `bytes_min`. `text` must be clean, as the secrets are.
    fn cover(&self, text: &str, bytes_min: usize) -> String {
        let mut secret_at = vec![false; text.len()];
        let secrets = self.secrets.iter();
        for secret in secrets.filter(|secret| secret.expose_secret().len() >= bytes_min) {
            mark(
                text.as_bytes(),
                secret.expose_secret().as_bytes(),
                &mut secret_at,
            );
        }
        let mut shown = String::with_capacity(text.len());
        let mut covering = false;
        for (at, letter) in text.char_indices() {
            let hidden = (at..at + letter.len_utf8()).any(|byte| secret_at[byte]);
            match (hidden, covering) {
                (true, false) => shown.push_str(HIDDEN),
                (true, true) => {}
                (false, _) => shown.push(letter),
            }
            covering = hidden;
        }
        shown
    }
}

/// Marks every byte of `text` that belongs to `secret`, or to a piece of it that is long enough to be no chance.
fn mark(text: &[u8], secret: &[u8], secret_at: &mut [bool]) {
    let mut mark_all = |width: usize, is_secret: &dyn Fn(&[u8]) -> bool| {
        for (at, window) in text.windows(width).enumerate() {
            if is_secret(window) {
                secret_at[at..at + width].fill(true);
            }
        }
    };
    if secret.len() >= PIECED_BYTES_MIN {
        let pieces: HashSet<&[u8]> = secret.windows(PIECE_BYTES).collect();
        mark_all(PIECE_BYTES, &|window| pieces.contains(window));
    } else if !secret.is_empty() {
        mark_all(secret.len(), &|window| window == secret);
    }
}

/// One line without characters that steer a terminal or reorder a line; runs of white space become one space.
fn clean(text: &str, chars_max: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(chars_max));
    for letter in text.chars().take(chars_max) {
        if letter.is_whitespace() || letter.is_control() {
            if !cleaned.ends_with(' ') && !cleaned.is_empty() {
                cleaned.push(' ');
            }
        } else if !is_unseen(letter) {
            cleaned.push(letter);
        }
    }
    cleaned.truncate(cleaned.trim_end().len());
    cleaned
}

/// Characters that take no room but change how the rest of the line looks.
fn is_unseen(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn bound(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let mut bounded: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    bounded.push('…');
    bounded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        let mut mask = Mask::none();
        secrets.iter().for_each(|secret| mask.hide(secret));
        mask
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_and_in_pieces() {
        let long = "gQpjbi1ub3J0aC00jEXAMPLE/SecurityToken+With=Symbols==";
        let rows = [
            ("whole", long, format!("got {long}!"), "got ***!"),
            ("cut short", long, format!("got {}", &long[..20]), "got ***"),
            ("its end", long, format!("…{} got", &long[40..]), "…*** got"),
            (
                "percent-encoded",
                "a/b c",
                "x=a%2Fb%20c".to_owned(),
                "x=***",
            ),
            (
                "within JSON",
                "a\"b",
                r#"{"v":"a\"b"}"#.to_owned(),
                r#"{"v":"***"}"#,
            ),
            (
                "over two lines",
                "one\ntwo",
                "one\r\ntwo.".to_owned(),
                "***.",
            ),
            (
                "very short",
                "7",
                "pin 7 or 17".to_owned(),
                "pin *** or 1***",
            ),
            ("not ASCII", "пароль", "a пароль b".to_owned(), "a *** b"),
            (
                "split by what is not seen",
                "hidden",
                "hid\u{200b}den".to_owned(),
                "***",
            ),
        ];
        for (name, secret, text, shown) in rows {
            assert_eq!(mask(&[secret]).show(&text), shown, "{name}");
        }
    }

    #[test]
    fn a_text_is_one_bounded_line() {
        let shown = Mask::none().show(&format!(
            "\u{1b}[31mred\u{7} \n\n\t line\u{202e}{}",
            "x".repeat(10_000)
        ));
        assert!(shown.starts_with("[31mred linexxx"), "{shown}");
        assert_eq!(shown.chars().count(), MESSAGE_CHARS_MAX);
        assert!(shown.ends_with('…'));
    }

    #[test]
    fn the_end_of_the_limit_leaves_no_piece() {
        let secret = "0123456789abcdefghijklmnopqrstuvwxyz";
        for lead in 450..520 {
            let shown = mask(&[secret]).show(&format!("{}{secret}", ".".repeat(lead)));
            assert!(!shown.contains("0123"), "{lead}: {shown}");
        }
    }
}
