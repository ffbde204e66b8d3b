//! Work in a task of its own, which goes on when the caller is dropped, and the threads for it.

use std::sync::{Arc, LazyLock};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// The runtime whose thread waits for the answers of the database and of Redis.
static INPUT: LazyLock<Runtime> = LazyLock::new(input_runtime);

#[expect(clippy::expect_used, reason = "a process that gets no thread cannot serve")]
fn input_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread")
}

/// The runtime to open connections to other services in, and for reads that follow each other. A
/// task that its thread wakes does not queue behind all requests: tokio takes up tasks from other
/// threads every second turn. Without it, each statement of a read would wait behind all requests
/// while it holds a connection.
pub(crate) fn input() -> &'static Runtime {
    &INPUT
}

/// Threads for work that takes CPU time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Threads {
    free: Arc<Semaphore>,
}

impl Threads {
    #[must_use]
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)) }
    }

    /// Runs work on a thread, when one is free.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.free).acquire_owned().await;
        join(spawn_blocking(move || {
            let _permit = permit;
            work()
        }))
        .await
    }
}

/// Awaits a task and resumes its panic in the caller.
pub(crate) async fn join<T>(task: impl Future<Output = Result<T, JoinError>>) -> T {
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The task was cancelled because the runtime is shutting down. The caller will be as well.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_waits_while_every_thread_is_in_use() {
        let threads = Threads::new(2);
        let (started, mut starts) = mpsc::unbounded_channel();
        let mut gates = Vec::new();
        for _ in 0..2 {
            let (gate, opened) = std::sync::mpsc::channel::<()>();
            gates.push(gate);
            let (threads, started) = (threads.clone(), started.clone());
            let work = move || {
                started.send(()).expect("a receiver");
                let _ = opened.recv();
            };
            tokio::spawn(async move { threads.run(work).await });
        }
        for _ in 0..2 {
            starts.recv().await.expect("a start");
        }
        let mut work = pin!(threads.run(|| 7));
        assert!(poll!(&mut work).is_pending());
        assert_eq!(threads.free.available_permits(), 0);
        drop(gates);
        assert_eq!(work.await, 7);
    }
}
