//! What PID 1 needs of the kernel and std has not: signals that are waited for, children that are not ours, process groups.
//!
//! Every function here takes numbers, or references to values of the C library's size in which every pattern of bits is
//! right, and installs no handler: none can do harm whatever it is given, so that all are declared safe, and nobody needs a
//! block of unsafe code. That the declarations are those of musl (`signal.h`, `sys/wait.h`, `unistd.h`) is all that has to
//! be believed; both architectures have the same.
#![expect(
    unsafe_code,
    reason = "declarations of the C library; there is no unsafe block and no unsafe function"
)]

use std::time::Duration;

/// `sigset_t`
#[repr(C)]
struct Set([u64; 16]);

/// `struct timespec`
#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

/// `siginfo_t`, of which nothing is read.
#[repr(C)]
struct Info([u64; 16]);

/// `SIG_DFL`, the one disposition that can be asked for here.
#[repr(usize)]
enum Disposition {
    Default = 0,
}

unsafe extern "C" {
    safe fn sigfillset(set: &mut Set) -> i32;
    safe fn sigdelset(set: &mut Set, signal: i32) -> i32;
    safe fn sigprocmask(how: i32, set: &Set, old: Option<&mut Set>) -> i32;
    #[link_name = "signal"]
    safe fn dispose(signal: i32, how: Disposition) -> usize;
    safe fn sigtimedwait(set: &Set, info: Option<&mut Info>, time: &Time) -> i32;
    safe fn sigwaitinfo(set: &Set, info: Option<&mut Info>) -> i32;
    safe fn waitpid(process: i32, status: &mut i32, options: i32) -> i32;
    #[link_name = "kill"]
    safe fn send(process: i32, signal: i32) -> i32;
    safe fn setpgid(process: i32, group: i32) -> i32;
    safe fn getpgrp() -> i32;
    safe fn tcsetpgrp(file: i32, group: i32) -> i32;
}

const SIG_SETMASK: i32 = 2;
const WNOHANG: i32 = 1;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
pub const SIGKILL: i32 = 9;
const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGABRT: i32 = 6;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;
pub const SIGCHLD: i32 = 17;
pub const SIGTTIN: i32 = 21;
pub const SIGTTOU: i32 = 22;
const SIGSYS: i32 = 31;

/// How a child ended, as a shell says it: its own number, or 128 and the signal's.
pub type Exit = u8;

/// Signals that are held back until somebody waits for them: all but those that tell this program its own faults.
pub struct Signals(Set);

impl Signals {
    /// Holds them back from now on, also in threads that are started later.
    pub fn hold() -> Self {
        let mut set = Set([0; 16]);
        sigfillset(&mut set);
        for fault in [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS] {
            sigdelset(&mut set, fault);
        }
        sigprocmask(SIG_SETMASK, &set, None);
        // Who started init may ignore it, which is inherited: the kernel would then tell of no child.
        dispose(SIGCHLD, Disposition::Default);
        Self(set)
    }

    /// The next signal.
    pub fn next(&self) -> i32 {
        loop {
            let signal = sigwaitinfo(&self.0, None);
            if signal > 0 {
                return signal;
            }
        }
    }

    /// The next signal, if one comes in time.
    pub fn next_within(&self, time: Duration) -> Option<i32> {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let time = Time { seconds, nanoseconds: i64::from(time.subsec_nanos()) };
        let signal = sigtimedwait(&self.0, None, &time);
        (signal > 0).then_some(signal)
    }
}

/// Lets every signal through.
pub fn release_signals() {
    sigprocmask(SIG_SETMASK, &Set([0; 16]), None);
}

/// A child that ended, ours or one that lost its parent, with how it ended; `None` where none has.
pub fn reap() -> Option<(i32, Exit)> {
    let mut status = 0;
    let process = waitpid(-1, &mut status, WNOHANG);
    let [signal, code, ..] = status.to_le_bytes();
    let signal = signal & 0x7f;
    (process > 0).then_some((process, if signal == 0 { code } else { 128 + signal }))
}

/// Whether a signal asks a program to end.
pub fn ends(signal: i32) -> bool {
    matches!(signal, SIGHUP | SIGINT | SIGQUIT | SIGTERM)
}

/// Sends a signal.
pub fn kill(process: i32, signal: i32) {
    send(process, signal);
}

/// Makes this process the first of a group of its own, and where there is a terminal the one that reads from it.
pub fn lead_group(has_terminal: bool) {
    setpgid(0, 0);
    if has_terminal {
        tcsetpgrp(0, getpgrp());
    }
}
