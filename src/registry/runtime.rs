//! The only place that knows tokio: everything asynchronous of this program is started, timed and stopped here.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;

use super::error::{Cause, RegistryError};
use crate::system::Cancel;

/// How often a request looks whether it is still wanted.
const WATCH: Duration = Duration::from_millis(50);

/// Made with the first request, so that who never asks a registry starts no thread.
#[derive(Default)]
pub(super) struct Runtime(OnceLock<tokio::runtime::Runtime>);

impl Runtime {
    /// Runs `work` to its end on the caller's thread, or until `cancel` is set.
    pub(super) fn run<T>(
        &self,
        cancel: &Cancel,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        if cancel.is_cancelled() {
            return Err(RegistryError::Cancelled);
        }
        let watch = async {
            while !cancel.is_cancelled() {
                sleep(WATCH).await;
            }
        };
        self.get()?.block_on(async {
            match select(pin!(work), pin!(watch)).await {
                Either::Left((result, _)) => result,
                Either::Right(((), _)) => Err(RegistryError::Cancelled),
            }
        })
    }

    fn get(&self) -> Result<&tokio::runtime::Runtime, RegistryError> {
        if let Some(runtime) = self.0.get() {
            return Ok(runtime);
        }
        let made = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("registry")
            .enable_all()
            .build()
            .map_err(|error| RegistryError::Setup { source: Cause(error.to_string()) })?;
        Ok(self.0.get_or_init(|| made))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // After a cancelled upload a read may still be under way; nobody waits for it.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

pub(super) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The output of `work`, `None` when it takes longer than `limit`.
pub(super) async fn within<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(limit, work).await.ok()
}

/// The addresses of a host; none where it has none or nobody says (behind a proxy the proxy may know).
pub(super) async fn addresses(host: &str) -> Vec<IpAddr> {
    match within(Duration::from_secs(5), tokio::net::lookup_host((host, 0))).await {
        Some(Ok(found)) => found.map(|address| address.ip()).collect(),
        _ => Vec::new(),
    }
}

/// The giving end of a request's body.
pub(super) struct Feed(mpsc::Sender<io::Result<Vec<u8>>>);

impl Feed {
    /// Waits until the network has room for more; `false` when it wants nothing any more.
    pub(super) async fn give(&self, bytes: Vec<u8>) -> bool {
        self.0.send(Ok(bytes)).await.is_ok()
    }
}

/// A body that is fed while it is sent; it ends when its feed is dropped. Two pieces wait in it at most.
pub(super) fn body() -> (Feed, impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static) {
    let (sender, receiver) = mpsc::channel(2);
    let body = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (bytes, receiver))
    });
    (Feed(sender), body)
}

/// A file that is read without stopping what else goes on.
pub(super) struct FileReader(tokio::fs::File);

impl FileReader {
    pub(super) fn new(file: File) -> Self {
        Self(tokio::fs::File::from_std(file))
    }

    pub(super) async fn seek(&mut self, to: u64) -> io::Result<()> {
        self.0.seek(io::SeekFrom::Start(to)).await.map(drop)
    }

    /// The next bytes, at most `most`; none at the end.
    pub(super) async fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        self.0.set_max_buf_size(most);
        let mut bytes = vec![0; most];
        let count = self.0.read(&mut bytes).await?;
        bytes.truncate(count);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_ends_what_never_ends() {
        let cancel = Cancel::new();
        let runtime = Runtime::default();
        let (other, stopper) = (cancel.clone(), std::thread::current());
        let setter = std::thread::spawn(move || {
            std::thread::park();
            other.cancel();
            drop(stopper);
        });
        let result: Result<(), _> = runtime.run(&cancel, async {
            setter.thread().unpark();
            std::future::pending().await
        });
        assert!(result.unwrap_err().is_cancelled());
        setter.join().unwrap();
        let result: Result<(), _> = runtime.run(&cancel, async { Ok(()) });
        assert!(result.unwrap_err().is_cancelled(), "a set flag starts nothing");
    }

    #[test]
    fn a_body_that_nobody_takes_is_noticed() {
        let runtime = Runtime::default();
        let moment = Duration::from_millis(1);
        let result = runtime.run(&Cancel::new(), async {
            let (feed, body) = body();
            let taken = [feed.give(vec![1]).await, feed.give(vec![2]).await];
            let full = within(moment, feed.give(vec![3])).await;
            drop(body);
            Ok((taken, full, feed.give(vec![4]).await))
        });
        assert_eq!(result.unwrap(), ([true, true], None, false));
    }
}
