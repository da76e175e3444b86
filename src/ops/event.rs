use std::time::Duration;

use crate::model::{Class, Identity, Platform, Size};

/// One image for one platform: what a line of progress is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// What is built.
    pub identity: Identity,
    /// For which platform.
    pub platform: Platform,
}

/// What is being done for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Reading the base.
    Base,
    /// Finding and hashing the sources.
    Hashing,
    /// Waiting for a builder that others use.
    Waiting,
    /// Running a builder (`go`, `rust`).
    Building {
        /// Its name.
        builder: &'static str,
    },
    /// Packing layers.
    Packing,
    /// Sending blobs and manifests.
    Pushing,
}

/// Something happened. Sent from any thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The tasks of the command, in the order of its report. Sent once, first.
    Tasks(Vec<Task>),
    /// A task entered a phase. One builder run may serve several tasks; each gets the event.
    Phase {
        /// The task.
        task: Task,
        /// What is done now.
        phase: Phase,
    },
    /// A line of a builder's output, without control characters.
    Output {
        /// The first of the tasks it works for.
        task: Task,
        /// The line.
        text: String,
    },
    /// A layer is there.
    Layer {
        /// The task.
        task: Task,
        /// Its class.
        class: Class,
        /// What it is.
        title: String,
        /// Its compressed size.
        transfer: Size,
        /// How long it took to make; `None`: it was there already.
        made: Option<Duration>,
    },
    /// A task is done: its image's manifest exists.
    Done {
        /// The task.
        task: Task,
        /// Config, manifest and layers.
        transfer: Size,
    },
    /// A task failed; the error itself is returned at the end.
    Failed {
        /// The task.
        task: Task,
    },
    /// Bytes on their way to a registry, over all uploads.
    Upload {
        /// Where to (`ghcr.io/acme/web`).
        repository: String,
        /// Bytes sent so far.
        sent: u64,
        /// Bytes to send.
        total: u64,
    },
    /// Bytes on their way from a registry: layers of bases.
    Download {
        /// Where from (`docker.io/library/debian`).
        repository: String,
        /// Bytes that came so far; falls back when something has to be read again.
        received: u64,
        /// Bytes that are going to come, as far as is known.
        total: u64,
    },
    /// Something the user should know that is no error.
    Note(String),
    /// Something that is probably not what the user wants.
    Warning(String),
}

/// Takes what happens: a terminal, plain lines, a test.
pub trait Observer: Send + Sync {
    /// Takes one event; must return soon.
    fn event(&self, event: Event);
}

/// Takes everything and shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: Event) {}
}
