//! The configuration: what is accepted, what is refused, and how a problem reads.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

#[path = "config/world.rs"]
mod world;

#[path = "config/vectors.rs"]
mod vectors;

#[path = "config/example.rs"]
mod example;

#[path = "config/broken.rs"]
mod broken;
