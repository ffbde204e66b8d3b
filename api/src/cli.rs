//! The command line: the commands and their flags.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Arg, Command};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::app::App;
use crate::archive;
use crate::backfill::{self, Backfill};
use crate::config::SETTINGS;
use crate::model::run::{Outcome, Trigger};
use crate::model::time::rfc3339;
use crate::model::topic::{Origin, Topic};

/// The interval at which progress is read.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// The number of rows after which the progress of an archive is shown again.
const PROGRESS_ROWS: u64 = 1_000;

/// The commands, and a flag for each setting that is not a secret.
#[must_use]
pub fn command() -> Command {
    let topic =
        Arg::new("topic").value_name("TOPIC").value_parser(|text: &str| text.parse::<Topic>());
    let refresh = Command::new("refresh")
        .about("Refresh one topic, or every tracked one, and show the progress")
        .arg(topic.clone());
    let folder = Arg::new("folder")
        .value_name("DIR")
        .required(true)
        .value_parser(clap::value_parser!(PathBuf));
    let command = Command::new("api")
        .version(settings::version())
        .about("Serves ranked lists of a GitHub topic's repositories.")
        .subcommand(Command::new("serve").about("Serve over HTTP (the default)"))
        .subcommand(
            Command::new("bootstrap").about("Create the database's schema if it is missing"),
        )
        .subcommand(refresh)
        .subcommand(
            Command::new("backfill")
                .about(
                    "Fetch GitHub's star history of a topic's repositories, and show the progress",
                )
                .arg(topic.required(true)),
        )
        .subcommand(
            Command::new("export")
                .about("Write everything that is kept to a folder, while the service runs")
                .arg(folder.clone()),
        )
        .subcommand(
            Command::new("import")
                .about("Merge an archive into the database, while the service runs")
                .arg(folder),
        )
        .subcommand(Command::new("healthcheck").about("Ask the running service for /health"));
    settings::with_flags(command, SETTINGS)
}

/// `api bootstrap`.
///
/// # Errors
/// If the schema cannot be created.
pub async fn bootstrap(app: &App) -> anyhow::Result<()> {
    let made = app.bootstrap().await.context("cannot make the schema")?;
    println!("{}", if made { "the schema was made" } else { "the schema is there" });
    Ok(())
}

/// `api refresh [TOPIC]`.
///
/// # Errors
/// If the refresh failed.
pub async fn refresh(app: &Arc<App>, topic: Option<&Topic>) -> anyhow::Result<()> {
    app.bootstrap().await.context("cannot make the schema")?;
    if let Some(topic) = topic {
        app.store.track(topic, Origin::Requested, None, app.clock.now()).await?;
    }
    let run = app.refresher.start(topic, Trigger::CommandLine).await?;
    let result = tokio::select! {
        result = app.refresher.refresh(topic, Trigger::CommandLine) => result?,
        never = show_progress(app, run.id) => never,
        never = app.refresher.run_purger() => never,
    };
    let refresh = result.refresh;
    let is_one = refresh.topics.is_empty();
    for topic in if is_one { std::slice::from_ref(&refresh) } else { &refresh.topics } {
        let name = topic.topic.as_deref().unwrap_or("all topics");
        let reason = topic.report.reason.as_ref();
        let reason = reason.map(|reason| format!("; not complete: {reason}"));
        println!("{name}: {}{}", topic.report, reason.unwrap_or_default());
    }
    app.refresher.purge().await;
    if refresh.outcome == Some(Outcome::Failed) {
        bail!("the refresh failed: {}", refresh.report.reason.as_deref().unwrap_or("see the log"));
    }
    Ok(())
}

/// `api backfill TOPIC`.
///
/// # Errors
/// If the topic is not tracked, the database fails, or GitHub fails again and again.
pub async fn backfill(app: &App, topic: &Topic) -> anyhow::Result<()> {
    app.store.bootstrap().await.context("cannot make the schema")?;
    let bar = progress_bar("{bar:40} {pos}/{len} repositories, {eta} left");
    let mut shown = None;
    let progress = |Backfill { done, all, .. }: &Backfill| {
        let percent = done * 100 / all.max(&1);
        match &bar {
            Some(bar) => {
                bar.set_length(*all as u64);
                bar.set_position(*done as u64);
            }
            None if shown != Some(percent) => eprintln!("{done} of {all} repositories done"),
            None => {}
        }
        shown = Some(percent);
    };
    let backfill =
        backfill::backfill(&*app.store, &app.github, &*app.clock, topic, progress).await?;
    let Backfill { all, done, not_offered, requests, limited_until } = backfill;
    println!("{topic}: {done} of {all} repositories done, {requests} requests");
    if not_offered > 0 {
        println!("GitHub offers no star history of {not_offered} of them today");
    }
    if let Some(until) = limited_until {
        let until = rfc3339(until);
        println!("GitHub's limit is used up to its reserve: run it again after {until}");
    }
    Ok(())
}

/// `api export DIR`.
///
/// # Errors
/// If the database cannot be read or the folder cannot be written.
pub async fn export(app: &App, folder: &Path) -> anyhow::Result<()> {
    let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
    let progress = |rows: u64| {
        if let Some(bar) = bar.as_ref().filter(|_| rows.is_multiple_of(PROGRESS_ROWS)) {
            bar.set_message(format!("{rows} rows"));
            bar.tick();
        }
    };
    let rows = archive::export(&*app.store, folder, app.clock.now(), progress).await?;
    println!("{rows} rows exported to {}", folder.display());
    Ok(())
}

/// `api import DIR`.
///
/// # Errors
/// If the archive is not whole, or the database cannot be written.
pub async fn import(app: &App, folder: &Path) -> anyhow::Result<()> {
    app.bootstrap().await.context("cannot make the schema")?;
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(1));
    let progress = |done: u64, all: u64| {
        if let Some(bar) = &bar {
            bar.set_length(all);
            bar.set_position(done);
        }
    };
    let imported = archive::import(&*app.store, folder, app.clock.now(), progress).await?;
    app.refresher.publish(&imported.topics).await?;
    println!("{} rows of {} topics imported", imported.rows, imported.topics.len());
    app.refresher.purge().await;
    Ok(())
}

/// A bar on standard error, if that is a terminal.
fn progress_bar(template: &str) -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(1).with_style(style).with_finish(ProgressFinish::AndClear)
    })
}

/// Shows the progress of a refresh on standard error: as a bar on a terminal, else line by line.
/// Never returns.
async fn show_progress<T>(app: &App, id: i64) -> T {
    let bar = progress_bar("{bar:40} {pos}/{len} requests {msg}");
    let mut shown = None;
    loop {
        tokio::time::sleep(PROGRESS_INTERVAL).await;
        let Ok(Some(refresh)) = app.store.refresh(id).await else { continue };
        let done = refresh.report.requests;
        let expected = refresh.report.requests_expected.max(done);
        match &bar {
            Some(bar) => {
                bar.set_length(expected.unsigned_abs());
                bar.set_position(done.unsigned_abs());
            }
            None if shown != Some((done, expected)) => {
                eprintln!("{done} of about {expected} requests done");
            }
            None => {}
        }
        shown = Some((done, expected));
    }
}

/// `api healthcheck`.
///
/// # Errors
/// If the service does not answer with success within three seconds.
pub async fn healthcheck(mut address: std::net::SocketAddr) -> anyhow::Result<()> {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let url = format!("http://{address}/health");
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).no_proxy().build()?;
    let answer = client.get(&url).send().await.and_then(reqwest::Response::error_for_status);
    answer.with_context(|| format!("{url} does not answer"))?;
    println!("ok");
    Ok(())
}
