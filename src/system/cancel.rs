use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks long work to stop; every clone is the same flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    asked: Arc<AtomicBool>,
    urgent: Arc<AtomicBool>,
}

/// The work was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets it.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }
    /// Sets it, and asks that nothing is waited for.
    pub fn cancel_at_once(&self) {
        self.urgent.store(true, Ordering::SeqCst);
        self.cancel();
    }
    /// Whether nothing is to be waited for.
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::SeqCst)
    }
    /// Whether it is set.
    pub fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
    /// An error once it is set: `cancel.check()?` in loops.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
    /// A reader that fails once the work is asked to stop.
    pub fn watched<R: Read>(&self, reader: R) -> Watched<'_, R> {
        Watched { reader, cancel: self }
    }
    /// The flag itself, for a signal handler.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }
}

/// A reader that fails once work is cancelled.
#[derive(Debug)]
pub struct Watched<'a, R> {
    reader: R,
    cancel: &'a Cancel,
}

impl<R> Watched<'_, R> {
    /// The reader.
    pub fn into_inner(self) -> R {
        self.reader
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        self.reader.read(buffer)
    }
}
