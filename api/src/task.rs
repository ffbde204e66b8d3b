//! Work in a task of its own, which goes on when the caller is dropped.

use tokio::task::JoinHandle;

/// Awaits a task and resumes its panic in the caller.
pub(crate) async fn join<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The task was cancelled because the runtime is shutting down. The caller will be as well.
        Err(_) => std::future::pending().await,
    }
}
