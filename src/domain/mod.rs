//! What we talk about: entries, ticks, requests. Pure: no clock, no files, no randomness.

pub mod zone;
