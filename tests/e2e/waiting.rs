//! Waiting for something to be so, with a deadline, and saying what was not.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

const BETWEEN: Duration = Duration::from_millis(50);

/// Asks again and again until it is so; panics with the last reason after `deadline`.
pub(crate) fn until<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut ask: impl FnMut() -> Result<T, E>,
) -> T {
    let begin = Instant::now();
    loop {
        match ask() {
            Ok(value) => return value,
            Err(reason) if begin.elapsed() > deadline => panic!("{what}: not after {deadline:?}: {reason}"),
            Err(_) => thread::sleep(BETWEEN),
        }
    }
}
