//! Compresses groups on a few threads that all layers of a command share.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use crate::model::Digest;
use crate::store::GroupRange;
use crate::tar::Framing;

/// Bytes that groups on their way may hold, whatever the number of layers and threads.
const ROOM: usize = 64 << 20;
/// More threads would wait for room.
const MOST_THREADS: usize = 16;

/// The threads and the memory for compressing. It starts none before the first group comes.
///
/// Its threads only compress and never wait for others, so that it may be used from any thread.
#[derive(Debug)]
pub struct Press {
    threads: usize,
    workers: OnceLock<Workers>,
    room: Arc<Room>,
}

/// A group to be compressed.
pub struct Job {
    /// Its bytes.
    pub plain: Arc<Vec<u8>>,
    /// How.
    pub framing: Framing,
    /// Where the result may be already.
    pub known: Option<GroupRange>,
}

/// A compressed group.
pub struct Packed {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub checksum: Digest,
    /// Whether they were copied from an older layer.
    pub copied: bool,
}

/// A group on its way to its bytes.
pub struct Pending(Receiver<io::Result<Packed>>);

impl Pending {
    /// Waits for the bytes.
    pub fn wait(self) -> io::Result<Packed> {
        self.0.recv().map_err(|_| io::Error::other("a compressing thread ended early"))?
    }
}

impl Job {
    /// Copies the group if it is there, else compresses it, on this thread.
    pub fn run(&self) -> io::Result<Packed> {
        if let Some((bytes, checksum)) = self.copy() {
            return Ok(Packed { bytes, checksum, copied: true });
        }
        let bytes = self.framing.compress(&self.plain)?;
        Ok(Packed { checksum: Digest::of(&bytes), bytes, copied: false })
    }

    /// An index may name any bytes: they are taken only if they are whole and of this content.
    fn copy(&self) -> Option<(Vec<u8>, Digest)> {
        let (bytes, checksum) = self.known.as_ref()?.read(self.framing.bound(self.plain.len()))?;
        self.framing.holds(&bytes, &self.plain).then_some((bytes, checksum))
    }
}

impl Press {
    /// A press of this many threads at most.
    pub fn new(threads: usize) -> Self {
        Self { threads: threads.clamp(1, MOST_THREADS), workers: OnceLock::new(), room: Arc::default() }
    }

    /// Number of its threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether there are threads.
    pub fn has_started(&self) -> bool {
        self.workers.get().is_some()
    }

    /// Waits for the memory that a group of `length` bytes needs on its way; it is free again when the value is dropped.
    ///
    /// A thread that waits for room must not be the one that has to give it back.
    pub fn room(&self, framing: Framing, length: usize) -> Reserved {
        let bytes = (length + framing.bound(length) + framing.memory()).min(ROOM);
        let mut used = self.room.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used + bytes > ROOM {
            used = self.room.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += bytes;
        Reserved { room: Arc::clone(&self.room), bytes }
    }

    /// Hands a group to the threads.
    pub fn submit(&self, job: Job) -> Pending {
        let (reply, pending) = sync_channel(1);
        let workers = self.workers.get_or_init(|| Workers::start(self.threads));
        if let Some(sender) = &workers.sender {
            // Fails only where no thread is left; then nobody replies, and `wait` says so.
            let _ = sender.send((job, reply));
        }
        Pending(pending)
    }
}

#[derive(Debug, Default)]
struct Room {
    used: Mutex<usize>,
    freed: Condvar,
}

/// Memory that is taken until this is dropped.
pub struct Reserved {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        *self.room.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.room.freed.notify_all();
    }
}

type Work = (Job, SyncSender<io::Result<Packed>>);

#[derive(Debug)]
struct Workers {
    /// `None` while they are being ended.
    sender: Option<Sender<Work>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(threads: usize) -> Self {
        let (sender, receiver) = channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        let work = || {
            let receiver = Arc::clone(&receiver);
            move || {
                let next = || receiver.lock().ok()?.recv().ok();
                while let Some((job, reply)) = next() {
                    let packed = job.run();
                    drop(job);
                    // Nobody waits for it where the layer failed.
                    let _ = reply.send(packed);
                }
            }
        };
        // Fewer threads than asked for are slower and no error.
        let threads = (0..threads)
            .filter_map(|_| std::thread::Builder::new().name("press".into()).spawn(work()).ok())
            .collect();
        Self { sender: Some(sender), threads }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
