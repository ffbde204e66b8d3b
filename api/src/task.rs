//! Work in a task of its own, which goes on when the caller is dropped, and the threads for it.

use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

/// The threads that write and compress answers at a time: half of the cores, as the other half
/// serves. With more, the threads that serve connections would get a small share of the CPU.
static THREADS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(threads())));

fn threads() -> usize {
    available_parallelism().map_or(1, usize::from).div_ceil(2)
}

/// The runtime whose thread waits for the answers of the database and of Redis.
static INPUT: LazyLock<Runtime> = LazyLock::new(input_runtime);

#[expect(clippy::expect_used, reason = "a process that gets no thread cannot serve")]
fn input_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a thread")
}

/// The runtime to open connections to other services in. A task that its thread wakes does not
/// queue behind all requests: tokio takes up tasks from other threads every few turns. Without it,
/// each statement of a read would wait behind all requests while it holds a connection.
pub(crate) fn input() -> &'static Runtime {
    &INPUT
}

/// Runs work that takes CPU time on a thread of its own, when one is free.
pub(crate) async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // The semaphore is never closed.
    let permit = Arc::clone(&THREADS).acquire_owned().await;
    join(spawn_blocking(move || {
        let _permit = permit;
        work()
    }))
    .await
}

/// Awaits a task and resumes its panic in the caller.
pub(crate) async fn join<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The task was cancelled because the runtime is shutting down. The caller will be as well.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_waits_while_every_thread_is_in_use() {
        let (started, mut starts) = mpsc::unbounded_channel();
        let mut gates = Vec::new();
        for _ in 0..threads() {
            let (gate, opened) = std::sync::mpsc::channel::<()>();
            let started = started.clone();
            gates.push(gate);
            tokio::spawn(compute(move || {
                started.send(()).expect("a receiver");
                let _ = opened.recv();
            }));
        }
        for _ in 0..threads() {
            starts.recv().await.expect("a start");
        }
        assert_eq!(THREADS.available_permits(), 0);
        let work = tokio::spawn(compute(|| 7));
        drop(gates);
        assert_eq!(work.await.expect("no panic"), 7);
    }
}
