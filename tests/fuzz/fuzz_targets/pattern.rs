//! `cargo fuzz run --fuzz-dir tests/fuzz pattern`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (pipecron_fuzz::pattern::TARGET.run)(data));
