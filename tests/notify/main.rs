//! Telling people: what is written for each way, and what becomes of it on the wire.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod answers;
mod body;
mod mail;
mod messages;
mod render;
mod signatures;
mod stub;
mod wire;
