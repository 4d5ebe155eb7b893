//! Text for a terminal or a log in which nothing from outside steers, turns round or hides anything.
//!
//! Names, messages and answers come from files, arguments and a server. Whoever prints one of them through here cannot
//! forget to look at it: what a reader would not see is written out.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::config::is_unseen;

/// What the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text for people: `\u{1b}`.
    Text,
    /// Text for people with colours in it, which stay.
    Coloured,
    /// JSON, in which such a character can only stand within a string: `\u001b`.
    Json,
}

/// The text with everything written out that a reader would not see. Line ends and tabs stay.
pub fn plain(text: &str, form: Form) -> Cow<'_, str> {
    // Most of what is printed, and quickly seen.
    let is_plain = |byte: u8| matches!(byte, b'\n' | b'\t' | b' '..=b'~');
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut written: Option<String> = None;
    let (mut done, mut at) = (0, 0);
    while let Some(char) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let next = at + char.len_utf8();
        if matches!(char, '\n' | '\t') || !is_unseen(char) {
            at = next;
            continue;
        }
        let colour = match form {
            Form::Coloured => colour(text.get(at..).unwrap_or_default()),
            Form::Text | Form::Json => None,
        };
        if let Some(length) = colour {
            at += length;
            continue;
        }
        let written = written.get_or_insert_default();
        written.push_str(text.get(done..at).unwrap_or_default());
        write_out(written, char, form);
        (done, at) = (next, next);
    }
    match written {
        None => Cow::Borrowed(text),
        Some(mut written) => {
            written.push_str(text.get(done..).unwrap_or_default());
            Cow::Owned(written)
        }
    }
}

fn write_out(written: &mut String, char: char, form: Form) {
    match form {
        Form::Text | Form::Coloured => written.extend(char.escape_unicode()),
        Form::Json => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                written.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

/// The length of the colour that a text begins with, such as `ESC [ 31 m`.
fn colour(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\u{1b}[")?;
    let length = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    rest.get(length..)?.starts_with('m').then_some(length + 3)
}

/// A writer of such text.
#[derive(Debug)]
pub struct Plain<W: Write> {
    to: W,
    form: Form,
}

impl<W: Write> Plain<W> {
    /// Writes to `to`.
    pub fn new(to: W, form: Form) -> Self {
        Self { to, form }
    }
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    /// What is formatted comes in whole pieces of text.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        self.to.write_all(plain(&text, self.form).as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_would_not_see_is_written_out() {
        let evil = "a\u{1b}[31mb\r\u{7}\u{7f}\u{9b}2J\u{202e}c\u{e0041}\u{200b}\u{feff}d\n\te";
        assert_eq!(
            plain(evil, Form::Text),
            "a\\u{1b}[31mb\\u{d}\\u{7}\\u{7f}\\u{9b}2J\\u{202e}c\\u{e0041}\\u{200b}\\u{feff}d\n\te"
        );
        assert_eq!(
            plain("ok é 夜 👩\u{200d}💻\n", Form::Text),
            "ok é 夜 👩\u{200d}💻\n"
        );
        assert!(matches!(
            plain("nothing odd\n", Form::Text),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn colours_stay_where_they_are_ours_and_nothing_else_does() {
        let text = "\u{1b}[2m\u{1b}[1;31mred\u{1b}[0m \u{1b}[2J \u{1b}]0;title\u{7} \u{1b}[31";
        assert_eq!(
            plain(text, Form::Coloured),
            "\u{1b}[2m\u{1b}[1;31mred\u{1b}[0m \\u{1b}[2J \\u{1b}]0;title\\u{7} \\u{1b}[31"
        );
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "note": "a\u{1b}\u{9b}\u{202e}\u{e0041}é\n" });
        let text = value.to_string();
        let plain = plain(&text, Form::Json);
        assert_eq!(
            plain,
            "{\"note\":\"a\\u001b\\u009b\\u202e\\udb40\\udc41é\\n\"}"
        );
        let back: serde_json::Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(back, value);
    }

    #[test]
    fn a_writer_of_it_writes_the_same() {
        let mut written = Vec::new();
        let (name, count) = ("a\u{202e}", 7);
        writeln!(Plain::new(&mut written, Form::Text), "{name}: {count}").unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "a\\u{202e}: 7\n");
    }
}
