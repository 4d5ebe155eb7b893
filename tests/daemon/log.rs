//! What the loop said: every test runs in a thread of its own, and finds there what was logged in it.

use std::cell::RefCell;
use std::io::{Result, Write};
use std::sync::Once;

thread_local! {
    static SAID: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Keeper;

impl Write for Keeper {
    fn write(&mut self, line: &[u8]) -> Result<usize> {
        SAID.with_borrow_mut(|said| said.extend_from_slice(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// From here on what is logged is kept. One subscriber for all tests: where each had its own, a line that another test
/// met first would be off for all.
pub(crate) fn keep() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| {
        tracing_subscriber::fmt()
            .with_writer(|| Keeper)
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .init();
    });
}

/// The lines that were logged in this test so far and contain all of `words`.
pub(crate) fn said(words: &[&str]) -> Vec<String> {
    let all = SAID.with_borrow(|said| String::from_utf8(said.clone()).unwrap());
    all.lines()
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .map(str::to_owned)
        .collect()
}

/// Forgets what was logged in this test so far.
pub(crate) fn forget() {
    SAID.with_borrow_mut(Vec::clear);
}
