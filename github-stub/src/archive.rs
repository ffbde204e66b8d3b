//! The world's past as an archive, which `api import` reads: gzipped NDJSON files and a manifest.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::history::{History, Past};
use crate::repository::{Repository, rfc3339};
use crate::world::World;

/// The most repositories of a day's best match.
const BEST_MATCH: usize = 500;

/// The fields of a repository's row, but for its last one, as its item names them.
const ITEM_FIELDS: [&str; 23] = [
    "id",
    "node_id",
    "name",
    "full_name",
    "owner",
    "html_url",
    "description",
    "homepage",
    "language",
    "license",
    "topics",
    "default_branch",
    "fork",
    "archived",
    "disabled",
    "is_template",
    "size",
    "stargazers_count",
    "forks_count",
    "open_issues_count",
    "created_at",
    "updated_at",
    "pushed_at",
];

/// The fields of a row in their order.
type Row = Vec<(&'static str, Value)>;
type Rows<'a> = Box<dyn Iterator<Item = Row> + 'a>;

#[derive(Serialize)]
struct Manifest {
    format: u32,
    exported_at: String,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    name: String,
    rows: usize,
    /// Of the file's bytes.
    sha256: String,
}

/// Writes the past of the world into the folder, which is created if there is none.
///
/// # Errors
/// If the world has no past, or a file cannot be written; the message names the file.
pub fn write(world: &World, folder: &Path) -> anyhow::Result<()> {
    let history = world.history.as_ref().context("there is no past: set --history to its days")?;
    let archive = Archive { world, history };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let tables: [(&str, Rows<'_>); 8] = [
        ("topics", archive.topics()),
        ("repositories", archive.repositories()),
        ("members", archive.members()),
        ("counts", archive.counts()),
        ("backfilled", Box::new(std::iter::empty())),
        ("topic_days", archive.topic_days()),
        ("events", archive.events()),
        ("names", archive.names()),
    ];
    let mut files = Vec::new();
    for (table, rows) in tables {
        let name = format!("{table}.ndjson.gz");
        let (bytes, rows) = compress(rows)?;
        save(&folder.join(&name), &bytes)?;
        let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        files.push(File { name, rows, sha256 });
    }
    let exported_at = rfc3339(history.at(history.last));
    let manifest = serde_json::to_string_pretty(&Manifest { format: 1, exported_at, files })?;
    save(&folder.join("manifest.json"), format!("{manifest}\n").as_bytes())
}

fn save(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// The rows as a gzip file, and their number. The file's header has neither time nor name, so that
/// equal rows give equal bytes.
fn compress(rows: Rows<'_>) -> anyhow::Result<(Vec<u8>, usize)> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut count = 0;
    for row in rows {
        let fields: Vec<String> =
            row.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        writeln!(gzip, "{{{}}}", fields.join(","))?;
        count += 1;
    }
    Ok((gzip.finish()?, count))
}

struct Archive<'a> {
    world: &'a World,
    history: &'a History,
}

impl<'a> Archive<'a> {
    /// The repositories that have a past, in order of ids.
    fn pasts(&self) -> impl Iterator<Item = (&'a Repository, &'a Past)> + use<'a> {
        let world = self.world;
        let known = self.history.pasts.iter();
        known.filter_map(|(id, past)| Some((world.repository(*id)?, past)))
    }

    /// Each topic, with its repositories that have a past.
    fn by_topic(&self) -> impl Iterator<Item = (&'a str, Vec<(&'a Repository, &'a Past)>)> {
        self.history.topics.iter().map(|topic| {
            let members = self.pasts().filter(|(own, _)| own.topics.contains(topic));
            (topic.as_str(), members.collect())
        })
    }

    fn time(&self, run: usize) -> Value {
        json!(rfc3339(self.history.at(run)))
    }

    fn day(&self, run: usize) -> Value {
        json!(self.history.day(run).to_string())
    }

    fn topics(&'a self) -> Rows<'a> {
        Box::new(self.by_topic().map(move |(topic, members)| {
            vec![
                ("topic", json!(topic)),
                ("origin", json!("configured")),
                ("coverage", json!("complete")),
                ("tracked_at", self.time(0)),
                ("refreshed_at", self.time(self.history.last)),
                ("complete", json!(true)),
                ("total_count", json!(members.len())),
                ("found", json!(members.len())),
            ]
        }))
    }

    fn repositories(&'a self) -> Rows<'a> {
        let stored_at = self.time(self.history.last);
        Box::new(self.pasts().map(move |(own, _)| {
            let field = |key| match key {
                "owner" => own.item["owner"]["login"].clone(),
                "license" => own.item["license"]["spdx_id"].clone(),
                "is_template" => json!(false),
                _ => own.item[key].clone(),
            };
            let mut row: Row = ITEM_FIELDS.map(|key| (key, field(key))).into();
            row.push(("stored_at", stored_at.clone()));
            row
        }))
    }

    fn members(&'a self) -> Rows<'a> {
        Box::new(self.by_topic().flat_map(move |(topic, members)| {
            let ranked = best_match(&members, self.history.last);
            members.into_iter().map(move |(own, past)| {
                let rank = ranked.iter().position(|id| *id == own.id).map(|place| place + 1);
                let joined = if past.away.is_empty() { past.begin } else { past.away.end };
                let joined_at = if joined > 0 { self.time(joined) } else { Value::Null };
                vec![
                    ("topic", json!(topic)),
                    ("repository_id", json!(own.id)),
                    ("best_match_rank", json!(rank)),
                    ("joined_at", joined_at),
                ]
            })
        }))
    }

    fn counts(&'a self) -> Rows<'a> {
        Box::new(self.pasts().flat_map(move |(own, past)| {
            let seen = past.counts.iter().enumerate().filter(|(run, _)| past.is_seen(*run));
            seen.map(|(run, counts)| {
                vec![
                    ("repository_id", json!(own.id)),
                    ("day", self.day(run)),
                    ("stargazers_count", json!(counts.stars)),
                    ("forks_count", json!(counts.forks)),
                    ("open_issues_count", json!(counts.open_issues)),
                ]
            })
        }))
    }

    fn topic_days(&'a self) -> Rows<'a> {
        Box::new(self.by_topic().flat_map(move |(topic, members)| {
            (0..=self.history.last).map(move |run| {
                let count = members.iter().filter(|(_, past)| past.is_member(run)).count();
                let is_complete = !self.history.is_partial(run);
                vec![
                    ("topic", json!(topic)),
                    ("day", self.day(run)),
                    ("total_count", json!(count)),
                    ("stored", json!(count)),
                    ("complete", json!(is_complete)),
                    ("best_match", json!(is_complete.then(|| best_match(&members, run)))),
                ]
            })
        }))
    }

    fn events(&'a self) -> Rows<'a> {
        Box::new(self.by_topic().flat_map(move |(topic, members)| {
            let mut events: Vec<(usize, &Repository, &str, Row)> = Vec::new();
            for (own, past) in members {
                if past.begin > 0 {
                    events.push((past.begin, own, "joined", vec![]));
                }
                if !past.away.is_empty() {
                    let reason = vec![("reason", json!("topic_removed"))];
                    events.push((past.away.start, own, "left", reason));
                    events.push((past.away.end, own, "joined", vec![]));
                }
                if let Some((from, run)) = &past.former {
                    let names = vec![("from", json!(from)), ("to", json!(own.full_name()))];
                    events.push((*run, own, "renamed", names));
                }
                if let Some(run) = past.archived {
                    events.push((run, own, "archived", vec![]));
                }
            }
            events.sort_by_key(|(run, own, kind, _)| (*run, own.id, *kind));
            events.into_iter().map(move |(run, own, kind, details)| {
                let mut row = vec![
                    ("topic", json!(topic)),
                    ("at", self.time(run)),
                    ("kind", json!(kind)),
                    ("repository_id", json!(own.id)),
                    ("full_name", json!(own.full_name())),
                ];
                row.extend(details);
                row
            })
        }))
    }

    fn names(&'a self) -> Rows<'a> {
        Box::new(self.pasts().filter_map(|(own, past)| {
            let (former, run) = past.former.as_ref()?;
            Some(vec![
                ("repository_id", json!(own.id)),
                ("full_name", json!(former)),
                ("until", self.time(*run)),
            ])
        }))
    }
}

/// The first repositories of best match at a run.
fn best_match(members: &[(&Repository, &Past)], run: usize) -> Vec<u64> {
    let shown = members.iter().filter(|(_, past)| past.is_member(run));
    let mut ranked: Vec<&Repository> = shown.map(|(own, _)| *own).collect();
    ranked.sort_by_key(|own| own.best_match_key());
    ranked.iter().take(BEST_MATCH).map(|own| own.id).collect()
}
