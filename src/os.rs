//! The doors: zone data, and later the clock, signals and secrets.
