//! What the work costs without a tool: `floor walk DIR…` looks at every path with two threads, `floor hash DIR…` reads
//! and hashes every file with them. Not a benchmark by itself: `benches/peers` runs it beside the tools.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program: a failure ends it")]

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex};

use imgpack::model::Hasher;

struct Work {
    queue: Mutex<(VecDeque<PathBuf>, usize)>,
    change: Condvar,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let hash = match arguments.next().as_deref() {
        Some("walk") => false,
        Some("hash") => true,
        // `cargo bench` runs it without words.
        _ => return,
    };
    let roots: VecDeque<PathBuf> = arguments.map(PathBuf::from).collect();
    let open = roots.len();
    let work = Work { queue: Mutex::new((roots, open)), change: Condvar::new() };
    let (mut files, mut bytes) = (0, 0);
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| run(&work, hash)));
        for thread in threads {
            let (seen, length) = thread.join().unwrap();
            files += seen;
            bytes += length;
        }
    });
    println!("{files} files, {bytes} bytes");
}

/// Takes directories until none is left and none is being listed.
fn run(work: &Work, hash: bool) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    loop {
        let mut queue = work.queue.lock().unwrap();
        let directory = loop {
            if let Some(directory) = queue.0.pop_front() {
                break directory;
            }
            if queue.1 == 0 {
                return (files, bytes);
            }
            queue = work.change.wait(queue).unwrap();
        };
        drop(queue);
        let mut below = Vec::new();
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                below.push(entry.path());
            } else {
                files += 1;
                bytes += metadata.len();
                if hash && metadata.is_file() {
                    Hasher::read_all(File::open(entry.path()).unwrap()).unwrap();
                }
            }
        }
        let mut queue = work.queue.lock().unwrap();
        queue.1 = queue.1 + below.len() - 1;
        queue.0.extend(below);
        work.change.notify_all();
    }
}
