//! Feeds inputs to a target on a thread of its own, and watches it: a panic or a hang is told together with its input.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What came of inputs that broke nothing.
#[derive(Debug, Default)]
pub(crate) struct Thrown {
    /// How many they were.
    pub(crate) inputs: u64,
    /// How long the slowest took, and which it was.
    pub(crate) longest: Duration,
    pub(crate) longest_at: u64,
}

/// An input that broke the target.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Which it was.
    pub(crate) at: u64,
    pub(crate) input: Vec<u8>,
    /// What happened.
    pub(crate) how: String,
}

/// The input under way, so that it can be told when nobody can be asked any more.
#[derive(Debug, Default)]
struct UnderWay {
    at: AtomicU64,
    input: Mutex<Vec<u8>>,
}

impl UnderWay {
    fn broken(&self, how: String) -> Broken {
        Broken {
            at: self.at.load(Ordering::SeqCst),
            input: self
                .input
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            how,
        }
    }
}

/// Feeds all inputs. One that takes between once and twice `time_max` is a hang; its thread is left behind.
pub(crate) fn guarded(
    run: fn(&[u8]),
    inputs: impl Iterator<Item = Vec<u8>> + Send + 'static,
    time_max: Duration,
) -> Result<Thrown, Broken> {
    let under_way = Arc::new(UnderWay::default());
    let (done, wait) = channel();
    let seen = Arc::clone(&under_way);
    let worker = thread::spawn(move || {
        let mut thrown = Thrown::default();
        for (at, input) in (0..).zip(inputs) {
            seen.at.store(at, Ordering::SeqCst);
            input.clone_into(&mut seen.input.lock().unwrap_or_else(PoisonError::into_inner));
            let began = Instant::now();
            run(&input);
            let took = began.elapsed();
            if took > thrown.longest {
                (thrown.longest, thrown.longest_at) = (took, at);
            }
            thrown.inputs += 1;
        }
        // Nobody waits only if the test has failed already.
        let _ = done.send(thrown);
    });
    let mut last = None;
    loop {
        match wait.recv_timeout(time_max) {
            Ok(thrown) => return Ok(thrown),
            Err(RecvTimeoutError::Disconnected) => {
                let cause = worker.join().err();
                let words = cause.as_ref().and_then(|cause| {
                    cause
                        .downcast_ref::<String>()
                        .map(String::as_str)
                        .or_else(|| cause.downcast_ref::<&str>().copied())
                });
                return Err(
                    under_way.broken(format!("it panics: {}", words.unwrap_or("without a word")))
                );
            }
            Err(RecvTimeoutError::Timeout) => {
                let at = under_way.at.load(Ordering::SeqCst);
                if last == Some(at) {
                    return Err(under_way.broken(format!("it takes longer than {time_max:?}")));
                }
                last = Some(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(of: &[&str]) -> impl Iterator<Item = Vec<u8>> + Send + 'static + use<> {
        let of: Vec<Vec<u8>> = of.iter().map(|input| input.as_bytes().to_vec()).collect();
        of.into_iter()
    }

    #[test]
    fn a_panic_is_told_with_its_input() {
        let run = |input: &[u8]| assert_ne!(input, b"bad", "so it is");
        let broken = guarded(
            run,
            inputs(&["good", "bad", "later"]),
            Duration::from_secs(60),
        )
        .unwrap_err();
        assert_eq!((broken.at, broken.input.as_slice()), (1, b"bad".as_slice()));
        assert!(broken.how.contains("so it is"), "{}", broken.how);
    }

    #[test]
    fn a_hang_is_told_with_its_input() {
        let run = |input: &[u8]| {
            if input == b"bad" {
                loop {
                    thread::park();
                }
            }
        };
        let broken =
            guarded(run, inputs(&["bad", "later"]), Duration::from_millis(20)).unwrap_err();
        assert_eq!((broken.at, broken.input.as_slice()), (0, b"bad".as_slice()));
        assert!(broken.how.contains("takes longer"), "{}", broken.how);
    }

    #[test]
    fn inputs_that_break_nothing_are_counted() {
        let thrown = guarded(|_| {}, inputs(&["a", "b", "c"]), Duration::from_secs(60)).unwrap();
        assert_eq!(thrown.inputs, 3);
    }
}
