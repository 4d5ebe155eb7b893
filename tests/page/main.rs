//! The status page: what it says, what it lets through, and, where Chromium is, how it looks and behaves in a browser.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

mod browser;
mod server;
mod text;
mod world;
