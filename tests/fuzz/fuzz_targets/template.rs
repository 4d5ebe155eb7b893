//! `cargo fuzz run --fuzz-dir tests/fuzz template`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (pipecron_fuzz::template::TARGET.run)(data));
