//! The configuration: what is accepted, what is refused, and how a problem reads.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "config/world.rs"]
mod world;

#[path = "config/calendars.rs"]
mod calendars;

#[path = "config/vectors.rs"]
mod vectors;

#[path = "config/example.rs"]
mod example;

#[path = "config/ahead.rs"]
mod ahead;

#[path = "config/gallery.rs"]
mod gallery;

#[path = "config/hostile.rs"]
mod hostile;

#[path = "config/draft.rs"]
mod draft;

#[path = "config/online.rs"]
mod online;

#[path = "config/values.rs"]
mod values;

#[path = "config/files.rs"]
mod files;

#[path = "config/keys.rs"]
mod keys;

#[path = "config/notices.rs"]
mod notices;
