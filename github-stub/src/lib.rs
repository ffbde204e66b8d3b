//! A stub of GitHub's API: repository search, single repositories and rate limits over real HTTP,
//! with every fault that GitHub's answers have shown.
//!
//! [`World`] is the model: repositories, faults to inject, rate-limit windows and a record of the
//! requests. A thin layer serves it over HTTP. A test edits the world, calls the program under test
//! and then inspects both:
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use github_stub::{Stub, World};
//!
//! let stub = Stub::start(World::generate(2_000, 7, "kubernetes")).await?;
//! // Searches silently leave this repository out.
//! stub.world().settings.drop.insert(42);
//! println!("GITHUB_API_URL={}", stub.url());
//! # Ok(()) }
//! ```

#![expect(clippy::expect_used, reason = "a test whose stub is broken cannot go on")]

pub mod archive;
pub mod faults;
mod generate;
mod history;
mod http;
pub mod limits;
mod query;
mod repository;
mod world;

pub use faults::{Fault, FaultKind};
pub use repository::Repository;
pub use world::{Counters, Settings, Shown, World};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};

/// The stub's clock; a test can share one that it sets.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A running stub, which stops when it is dropped.
pub struct Stub {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    server: tokio::task::JoinHandle<()>,
}

impl Stub {
    /// Serves `world` on a free port of the loopback interface, with the system's clock.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start(world: World) -> std::io::Result<Self> {
        Self::start_with_clock(world, Arc::new(Utc::now)).await
    }

    /// Serves `world` as [`Stub::start`] does, with a clock of the caller's.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start_with_clock(world: World, now: Now) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let world = Arc::new(Mutex::new(world));
        let router = http::router(Arc::clone(&world), now);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("github-stub: {error}");
            }
        });
        Ok(Self { address, world, server })
    }

    /// The value for GITHUB_API_URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Locks the world, to read and to edit it. Do not hold the guard across an `await`.
    ///
    /// # Panics
    /// If a handler panicked while it held the lock.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no handler panicked while it held the lock")
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
        // Open connections outlive the listener: `stopped` ends their next request.
        if let Ok(mut world) = self.world.lock() {
            world.stopped = true;
        }
    }
}

/// Serves `world` on `listener` until the process ends.
///
/// # Errors
/// If the listener fails.
pub async fn serve(world: World, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    axum::serve(listener, http::router(Arc::new(Mutex::new(world)), Arc::new(Utc::now))).await
}
