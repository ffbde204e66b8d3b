//! Single flight: many who want the same thing at once wait for one who gets it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio_util::task::TaskTracker;

pub(crate) type Flight<V> = Shared<BoxFuture<'static, Option<V>>>;

/// What is being got, by key.
pub(crate) struct SingleFlight<K, V: Clone> {
    under_way: Arc<Mutex<HashMap<K, Flight<V>>>>,
    tasks: TaskTracker,
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// SingleFlight that are tasks of `tasks`: they go on when those who wait do not.
    #[must_use]
    pub(crate) fn new(tasks: TaskTracker) -> Self {
        Self { under_way: Arc::default(), tasks }
    }

    /// The flight of this key, started if there is none: to be waited for, or not. Brings `None`
    /// when it panicked.
    pub(crate) fn join<F>(&self, key: &K, start: impl FnOnce() -> F) -> Flight<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = under_way.get(key) {
            return flight.clone();
        }
        let landing = Landing { under_way: Arc::clone(&self.under_way), key: key.clone() };
        let work = start();
        let task = self.tasks.spawn(async move {
            // Dropped when the work is done, and also when it panics.
            let _landing = landing;
            work.await
        });
        let flight = task.map(Result::ok).boxed().shared();
        under_way.insert(key.clone(), flight.clone());
        flight
    }
}

struct Landing<K: Eq + Hash, V: Clone> {
    under_way: Arc<Mutex<HashMap<K, Flight<V>>>>,
    key: K,
}

impl<K: Eq + Hash, V: Clone> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
