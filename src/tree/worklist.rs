use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Scope};

/// Waiting items that another thread is worth: a directory costs some 20 to 50 µs, a thread about as much.
const ENOUGH: usize = 16;
/// Most threads: beyond, they wait for the kernel's locks on directories.
const THREADS: usize = 4;

/// Does `work` for `first` and for every item that it adds, in no order. Each thread gathers into a value of its own; a
/// small list is done by the calling thread alone, and no thread outlives the call.
pub(super) fn work_off<T: Send, R: Send + Default>(
    first: T,
    work: &(impl Fn(T, &mut Vec<T>, &mut R) + Sync),
) -> Vec<R> {
    let list = List {
        state: Mutex::new(State { waiting: vec![first], busy: 0, idle: 0, threads: 1, gathered: Vec::new() }),
        most: OnceLock::new(),
        changed: Condvar::new(),
    };
    thread::scope(|scope| list.run(scope, work));
    list.state.into_inner().unwrap_or_else(PoisonError::into_inner).gathered
}

fn most() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(THREADS)
}

struct List<T, R> {
    state: Mutex<State<T, R>>,
    changed: Condvar,
    /// Threads that this machine is good for: asking costs a handful of files.
    most: OnceLock<usize>,
}

struct State<T, R> {
    waiting: Vec<T>,
    /// Threads that may still add items.
    busy: usize,
    /// Threads that wait for items.
    idle: usize,
    threads: usize,
    gathered: Vec<R>,
}

impl<T: Send, R: Send + Default> List<T, R> {
    fn lock(&self) -> MutexGuard<'_, State<T, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<'scope, W>(&'scope self, scope: &'scope Scope<'scope, '_>, work: &'scope W)
    where
        W: Fn(T, &mut Vec<T>, &mut R) + Sync,
    {
        let mut own = R::default();
        let mut more = Vec::new();
        let mut state = self.lock();
        loop {
            if let Some(item) = state.waiting.pop() {
                state.busy += 1;
                let begin = state.waiting.len() >= ENOUGH * state.threads
                    && state.threads < *self.most.get_or_init(most);
                state.threads += usize::from(begin);
                drop(state);
                if begin {
                    scope.spawn(move || self.run(scope, work));
                }
                work(item, &mut more, &mut own);
                state = self.lock();
                state.busy -= 1;
                state.waiting.append(&mut more);
                if state.idle > 0 && (state.waiting.len() > 1 || state.busy == 0) {
                    self.changed.notify_all();
                }
            } else if state.busy == 0 {
                state.gathered.push(own);
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_a_small_list_by_one_thread() {
        // Every number below 1 + 3 × `limit` is reached once, as in a tree.
        let reached = |limit: u32| {
            let gathered = work_off(0, &|number: u32, more: &mut Vec<u32>, own: &mut Vec<u32>| {
                own.push(number);
                if number < limit {
                    more.extend((1..=3).map(|child| 3 * number + child));
                }
            });
            let threads = gathered.len();
            let mut all = gathered.concat();
            all.sort_unstable();
            assert_eq!(all, (0..=3 * limit).collect::<Vec<_>>());
            threads
        };
        assert_eq!(reached(0), 1);
        assert_eq!(reached(4), 1);
        assert!(reached(20_000) <= THREADS);
    }
}
