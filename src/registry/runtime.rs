//! The only place that knows tokio: everything asynchronous of this program is started, timed and stopped here.

use std::fs::File;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::error::{Cause, RegistryError};
use crate::system::Cancel;

/// How much of a file is read and handed on at once.
const CHUNK: usize = 512 * 1024;
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

/// The addresses of a host, or why it has none.
pub(super) async fn look_up(host: &str) -> std::io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
}

/// The addresses of a host; none where it has none or nobody says (behind a proxy the proxy may know).
pub(super) async fn addresses(host: &str) -> Vec<IpAddr> {
    within(Duration::from_secs(5), look_up(host)).await.and_then(Result::ok).unwrap_or_default()
}

/// How many bytes of a body were handed to the network.
pub(super) struct Progress(mpsc::UnboundedReceiver<u64>);

/// The bytes of `file` as the body of a request, and its progress.
pub(super) fn file_body(
    file: File,
) -> (impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static, Progress) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK);
    let body = stream::try_unfold((file, sender), |(mut file, sender)| async move {
        let mut chunk = vec![0; CHUNK];
        let count = file.read(&mut chunk).await?;
        if count == 0 {
            return Ok(None);
        }
        chunk.truncate(count);
        let _ = sender.send(count as u64);
        Ok(Some((chunk, (file, sender))))
    });
    (body, Progress(receiver))
}

/// Waits for `request` while its body is sent: `None` when for `stall` no byte moved, or when the answer takes longer
/// than `answer` after the last byte. `report` gets the bytes handed over so far.
pub(super) async fn send_watched<F: Future>(
    request: F,
    mut progress: Progress,
    stall: Duration,
    answer: Duration,
    report: &dyn Fn(u64),
) -> Option<F::Output> {
    let mut request = pin!(request);
    let mut sent = 0;
    loop {
        let step = match within(stall, select(request.as_mut(), pin!(progress.0.recv()))).await? {
            Either::Left((output, _)) => Err(output),
            Either::Right((count, _)) => Ok(count),
        };
        match step {
            Err(output) => {
                while let Ok(count) = progress.0.try_recv() {
                    sent += count;
                    report(sent);
                }
                return Some(output);
            }
            Ok(Some(count)) => {
                sent += count;
                report(sent);
            }
            Ok(None) => return within(answer, request).await,
        }
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
        let file = tempfile::tempfile().unwrap();
        let (_body, progress) = file_body(file);
        let moment = Duration::from_millis(1);
        let ended: Option<()> = runtime
            .run(&Cancel::new(), async {
                Ok(send_watched(std::future::pending(), progress, moment, moment, &|_| {}).await)
            })
            .unwrap();
        assert!(ended.is_none());
    }
}
