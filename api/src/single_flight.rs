//! Single flight: callers who want the same value at the same time share one computation.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio_util::task::TaskTracker;

/// A computation to wait for; `None` if it panicked.
pub(crate) type Flight<V> = Shared<BoxFuture<'static, Option<V>>>;

/// The computations in flight, by key.
pub(crate) struct SingleFlight<K, V: Clone> {
    flights: Arc<Mutex<HashMap<K, Flight<V>>>>,
    tasks: TaskTracker,
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Runs computations as tasks of `tasks`: they go on when their callers leave.
    #[must_use]
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self { flights: Arc::default(), tasks }
    }

    /// Joins the computation of this key, or starts it. The caller may drop the returned flight
    /// without waiting for it.
    pub(crate) fn join<F>(&self, key: &K, start: impl FnOnce() -> F) -> Flight<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key) {
            return flight.clone();
        }
        let entry = Entry { flights: Arc::clone(&self.flights), key: key.clone() };
        let work = start();
        let task = self.tasks.spawn(async move {
            // Dropped when the work ends, also by a panic.
            let _entry = entry;
            work.await
        });
        let flight = task.map(Result::ok).boxed().shared();
        flights.insert(key.clone(), flight.clone());
        flight
    }
}

/// Removes a computation from those in flight when it ends.
struct Entry<K: Eq + Hash, V: Clone> {
    flights: Arc<Mutex<HashMap<K, Flight<V>>>>,
    key: K,
}

impl<K: Eq + Hash, V: Clone> Drop for Entry<K, V> {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
