//! The command line: a flag for every setting that is no secret, and what to do.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::OsStr;
use clap::{Arg, ArgMatches, Command, value_parser};
use indicatif::{ProgressBar, ProgressStyle};

use crate::app::App;
use crate::config::{SETTINGS, Setting, Source};
use crate::model::run::{Outcome, Trigger};
use crate::model::topic::{Origin, Topic};

/// How often progress is looked up.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// The commands and flags.
#[must_use]
pub fn command() -> Command {
    let secrets: Vec<&str> =
        SETTINGS.iter().filter(|setting| setting.secret).map(|setting| setting.name).collect();
    Command::new("api")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serves ranked lists of a GitHub topic's repositories.")
        .after_help(format!(
            "Each flag is also an environment variable (LISTEN_ADDR); the flag wins. Only in the environment, or in a file \
             named by NAME_FILE: {}.",
            secrets.join(", ")
        ))
        .args(SETTINGS.iter().filter(|setting| !setting.secret).map(flag))
        .subcommand(Command::new("serve").about("Serve over HTTP (the default)"))
        .subcommand(Command::new("bootstrap").about("Make the database's schema, or find it there"))
        .subcommand(
            Command::new("refresh")
                .about("Refresh one topic, or every tracked one, and show the progress")
                .arg(Arg::new("topic").value_name("TOPIC").value_parser(|text: &str| text.parse::<Topic>())),
        )
        .subcommand(Command::new("healthcheck").about("Ask the running service for /health"))
}

fn flag(setting: &Setting) -> Arg {
    let default = if setting.default.is_empty() {
        String::new()
    } else {
        format!(" [default: {}]", setting.default)
    };
    Arg::new(setting.name)
        .long(setting.name.to_ascii_lowercase().replace('_', "-"))
        .value_name("VALUE")
        .value_parser(value_parser!(OsString))
        .global(true)
        .help(format!("{}{default}", setting.help))
}

/// Settings from the flags, then from the environment.
pub fn source(matches: &ArgMatches) -> impl Source {
    |name: &str| {
        let flag = matches.try_get_one::<OsString>(name).ok().flatten().cloned();
        flag.or_else(|| std::env::var_os(OsStr::from(name.to_owned()).as_os_str()))
    }
}

/// `api bootstrap`.
///
/// # Errors
/// When the schema cannot be made.
pub async fn bootstrap(service: &App) -> anyhow::Result<()> {
    let made = service.bootstrap().await.context("cannot make the schema")?;
    println!("{}", if made { "the schema was made" } else { "the schema is there" });
    Ok(())
}

/// `api refresh [TOPIC]`.
///
/// # Errors
/// When nothing could be refreshed.
pub async fn refresh(service: &Arc<App>, topic: Option<&Topic>) -> anyhow::Result<()> {
    service.bootstrap().await.context("cannot make the schema")?;
    if let Some(topic) = topic {
        service.store.track(topic, Origin::Requested, None, service.clock.now()).await?;
    }
    let joined = service.refresher.start(topic, Trigger::CommandLine).await?;
    let bar = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} requests {msg}");
        ProgressBar::new(1).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    let showing = async {
        let mut shown = (-1, -1);
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            let Ok(Some(refresh)) = service.store.refresh(joined.id).await else { continue };
            let done = refresh.report.requests;
            let expected = refresh.report.requests_expected.max(done);
            match &bar {
                Some(bar) => {
                    bar.set_length(expected.unsigned_abs());
                    bar.set_position(done.unsigned_abs());
                }
                None if shown != (done, expected) => {
                    eprintln!("{done} of about {expected} requests done")
                }
                None => {}
            }
            shown = (done, expected);
        }
    };
    let ended = tokio::select! {
        ended = service.refresher.refresh(topic, Trigger::CommandLine) => ended?,
        never = showing => never,
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let refresh = ended.refresh;
    for one in
        if refresh.topics.is_empty() { std::slice::from_ref(&refresh) } else { &refresh.topics }
    {
        let reason = one
            .report
            .reason
            .as_ref()
            .map(|reason| format!("; not complete: {reason}"))
            .unwrap_or_default();
        println!("{}: {}{reason}", one.topic.as_deref().unwrap_or("all topics"), one.report);
    }
    if refresh.outcome == Some(Outcome::Failed) {
        bail!("the refresh failed: {}", refresh.report.reason.as_deref().unwrap_or("see the log"));
    }
    Ok(())
}

/// `api healthcheck`.
///
/// # Errors
/// When the service does not answer `ok`.
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
