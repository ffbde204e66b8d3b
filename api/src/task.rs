//! Work that is done even when whoever waits for it leaves.

use tokio::task::JoinHandle;

/// What a task brings; its panic is its waiter's own.
pub(crate) async fn end_of<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime has stopped, and so will this.
        Err(_) => std::future::pending().await,
    }
}
