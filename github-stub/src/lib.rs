//! A GitHub stand-in: repository search, single repositories and rate limits over real HTTP, with
//! every fault that GitHub has been seen to show.
//!
//! The world is a plain model ([`World`]): repositories, faults to come, rate-limit windows and a
//! record of what was asked. A thin layer projects it onto HTTP. A test edits the world, pokes the
//! program under test and reads both:
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let stub = github_stub::Stub::start(github_stub::World::generate(2_000, 7,
//! "kubernetes")).await?; stub.world().settings.drop.insert(42); // searches silently leave this
//! repository out println!("GITHUB_API_URL={}", stub.url());
//! # Ok(()) }
//! ```

#![expect(clippy::expect_used, reason = "a test whose stand-in is broken should stop where it is")]

pub mod faults;
mod generate;
mod http;
pub mod limits;
mod query;
mod repository;
mod world;

pub use faults::{Fault, FaultKind};
pub use repository::Repository;
pub use world::{Counters, Settings, World};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, Utc};

/// Where the stand-in takes the time from; tests share a clock that they set.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A running stand-in. Dropping it stops it.
pub struct Stub {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
    server: tokio::task::JoinHandle<()>,
}

impl Stub {
    /// Serves `world` on a free port of the loopback interface, with the system's clock.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(world: World) -> std::io::Result<Self> {
        Self::start_with_clock(world, Arc::new(Utc::now)).await
    }

    /// The same with a clock of the caller's.
    ///
    /// # Errors
    /// When no port can be bound.
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

    /// What to set GITHUB_API_URL to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The world, to read and to edit. Do not hold the guard across an `await`.
    ///
    /// # Panics
    /// When a handler panicked while it held the world: the test is void then.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no handler panicked while it held the world")
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
        // Connections that are open outlive the listener for a moment.
        if let Ok(mut world) = self.world.lock() {
            world.stopped = true;
        }
    }
}

/// Serves `world` on `listener` until the process ends: what the binary does.
///
/// # Errors
/// When the listener fails.
pub async fn serve(world: World, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    axum::serve(listener, http::router(Arc::new(Mutex::new(world)), Arc::new(Utc::now))).await
}
