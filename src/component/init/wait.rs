//! Services that have to be there first.

use std::ffi::OsString;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::dial::{Address, in_words};
use super::kernel::{self, Exit, SIGCHLD, SIGKILL, Signals};
use super::{FAILED, say, signal_exit, start, variables};

/// The first word of init where it is a child that tries to reach an address.
pub const REACH: &str = "--reach";

/// For one number of a host.
const ONE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// After this, one is told what is waited for.
const TOLD: Duration = Duration::from_secs(2);
/// How much longer a child may take to say why it was not there.
const GRACE: Duration = Duration::from_millis(500);

/// Waits until all of them answer; else how init has to end.
pub fn wait(addresses: &[String], timeout: Duration, own: &OsString, signals: &Signals) -> Result<(), Exit> {
    let end = Instant::now() + timeout;
    for written in addresses {
        let address =
            variables(written, &[]).and_then(|text| Address::parse(&text, None)).map_err(|error| {
                say(&format!("--wait {written}: {error}"));
                FAILED
            })?;
        let left = end.saturating_duration_since(Instant::now());
        let words = [address.name(), left.as_millis().to_string(), in_words(timeout)].map(OsString::from);
        let child = start(own, REACH, &words)?;
        if let Err(exit) = wait_for(child, &address, end + GRACE, timeout, signals) {
            kernel::kill(child, SIGKILL);
            return Err(exit);
        }
    }
    Ok(())
}

fn wait_for(
    child: i32,
    address: &Address,
    end: Instant,
    timeout: Duration,
    signals: &Signals,
) -> Result<(), Exit> {
    let begin = Instant::now();
    let mut told = false;
    loop {
        let next = if told { end } else { end.min(begin + TOLD) };
        match signals.next_within(next.saturating_duration_since(Instant::now())) {
            Some(SIGCHLD) => {
                while let Some((process, exit)) = kernel::reap() {
                    if process == child {
                        // Why, it said itself.
                        return if exit == 0 { Ok(()) } else { Err(FAILED) };
                    }
                }
            }
            Some(signal) if kernel::ends(signal) => return Err(signal_exit(signal)),
            _ => {}
        }
        if Instant::now() >= end {
            say(&format!("{} was not there within {}: no answer", address.name(), in_words(timeout)));
            return Err(FAILED);
        }
        if !told && begin.elapsed() >= TOLD {
            told = true;
            say(&format!("waiting for {}", address.name()));
        }
    }
}

/// In the child: tries until somebody answers. Words: the address, for how many milliseconds, and that in words.
pub fn reach(words: &[OsString]) -> Exit {
    let texts: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let [address, left, timeout] = texts.as_slice() else { return FAILED };
    let (Ok(address), Ok(left)) = (Address::parse(address, None), left.parse()) else { return FAILED };
    let end = Instant::now() + Duration::from_millis(left);
    loop {
        match address.connect(ONE) {
            Ok(_) => return 0,
            Err(error) if Instant::now() >= end => {
                say(&format!("{} was not there within {timeout}: {error}", address.name()));
                return FAILED;
            }
            Err(_) => sleep(PAUSE),
        }
    }
}
