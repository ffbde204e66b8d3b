//! The stub as a program: `github-stub --generate 2000 --seed 7`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use chrono::Utc;
use clap::Parser;
use github_stub::World;
use github_stub::limits::Limit;

/// A stub of GitHub's API: repository search with rate limits and faults, for tests, demos and load
/// tests.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The address to listen on; port 0 picks a free port.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "HOST:PORT")]
    listen_addr: SocketAddr,
    /// Serve the search items of this file: one JSON object a line, plain or gzip.
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    data: Option<PathBuf>,
    /// Add this topic to every repository of --data (repeatable).
    #[arg(long, value_name = "TOPIC", requires = "data")]
    add_topic: Vec<String>,
    /// Generate this many repositories for each topic.
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    generate: usize,
    /// The generator's seed; equal seeds give equal repositories.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// A topic to generate repositories for (repeatable).
    #[arg(long, value_name = "TOPIC", default_value = "kubernetes")]
    topic: Vec<String>,
    /// Give generated repositories a past of this many days, made up from the seed and today's
    /// date; 0 means none.
    #[arg(long, value_name = "DAYS", default_value_t = 0, conflicts_with = "data")]
    #[arg(value_parser = clap::value_parser!(u16).range(..=3_650))]
    history: u16,
    /// Write that past as an archive, which `api import` reads, into this folder, and exit.
    #[arg(long, value_name = "DIR", requires = "history")]
    archive: Option<PathBuf>,
    /// Limit requests as GitHub does: searches to 30 a minute with a token and 10 without, other
    /// requests to 5,000 and 60 an hour.
    #[arg(long)]
    limits: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut world = match &arguments.data {
        Some(file) => World::read(file, &arguments.add_topic)?,
        None if arguments.history > 0 => World::generate_with_history(
            arguments.generate,
            arguments.seed,
            &arguments.topic,
            arguments.history.into(),
            Utc::now().date_naive(),
        ),
        None => {
            let mut world = World::default();
            for (seed, topic) in (arguments.seed..).zip(&arguments.topic) {
                world.add_generated(arguments.generate, seed, topic);
            }
            world
        }
    };
    if let Some(folder) = &arguments.archive {
        github_stub::archive::write(&world, folder)?;
        println!("github-stub: the archive is in {}", folder.display());
        return Ok(());
    }
    if arguments.limits {
        world.settings.search_limit = Some(Limit { with_token: 30, without_token: 10 });
        world.settings.core_limit = Some(Limit { with_token: 5_000, without_token: 60 });
    }
    let repositories = world.repositories().count();
    let listener =
        tokio::net::TcpListener::bind(arguments.listen_addr).await.with_context(|| {
            format!("cannot listen on {}: choose another --listen-addr", arguments.listen_addr)
        })?;
    println!("github-stub: {repositories} repositories on http://{}", listener.local_addr()?);
    github_stub::serve(world, listener).await.context("the listener failed")
}
