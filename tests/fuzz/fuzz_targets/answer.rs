//! `cargo fuzz run --fuzz-dir tests/fuzz answer`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (pipecron_fuzz::answer::TARGET.run)(data));
