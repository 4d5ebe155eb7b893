//! `cargo fuzz run --fuzz-dir tests/fuzz config`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (pipecron_fuzz::config::TARGET.run)(data));
