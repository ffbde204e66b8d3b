//! A seeded generator of repositories with realistic names, languages, nulls, and star counts that
//! have ties and a long tail.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::repository::{Repository, rfc3339};

const FIRST: &[&str] = &[
    "cloud", "open", "fast", "tiny", "red", "blue", "north", "deep", "quick", "iron", "silver",
    "bright", "solid", "wide", "kind", "calm", "bold", "spark", "wave", "river", "stone", "forest",
    "harbor", "summit",
];
const SECOND: &[&str] = &[
    "operator",
    "proxy",
    "mesh",
    "scheduler",
    "dashboard",
    "cli",
    "agent",
    "controller",
    "gateway",
    "registry",
    "monitor",
    "runner",
    "exporter",
    "toolkit",
    "charts",
    "sandbox",
    "builder",
    "cache",
    "queue",
    "tracer",
    "backup",
    "lab",
    "docs",
    "examples",
];
const LANGUAGES: &[&str] = &[
    "Go",
    "Go",
    "Go",
    "Python",
    "Python",
    "Shell",
    "TypeScript",
    "JavaScript",
    "Rust",
    "Java",
    "HCL",
    "C++",
];
const LICENSES: &[(&str, &str, &str)] = &[
    ("apache-2.0", "Apache License 2.0", "Apache-2.0"),
    ("mit", "MIT License", "MIT"),
    ("gpl-3.0", "GNU General Public License v3.0", "GPL-3.0"),
    ("other", "Other", "NOASSERTION"),
];

/// Generates `count` repositories of `topic`; equal arguments give equal repositories. `now` is the
/// newest possible `updated_at`; ids begin above `id`.
pub(crate) fn repositories(
    count: usize,
    seed: u64,
    topic: &str,
    now: DateTime<Utc>,
    mut id: u64,
) -> Vec<Repository> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|index| {
            id += random.u64(1..5_000);
            repository(id, index, topic, now, &mut random)
        })
        .collect()
}

fn repository(
    id: u64,
    index: usize,
    topic: &str,
    now: DateTime<Utc>,
    random: &mut fastrand::Rng,
) -> Repository {
    let (first, second) = (pick(FIRST, random), pick(SECOND, random));
    let owner = format!("{}{}", pick(FIRST, random), random.u32(1..400));
    let name = format!("{first}-{second}-{index}");
    // A Pareto distribution: few repositories have tens of thousands of stars, most have under ten.
    let tail = 2.0 / random.f64().max(1e-5).powf(0.9);
    let stars = unsigned(tail).min(250_000).saturating_sub(2);
    let forks = stars / random.u64(3..12);
    let updated = now - TimeDelta::seconds(signed(random.f64().powi(3) * 3.0e8));
    let created = updated - TimeDelta::seconds(random.i64(86_400..250_000_000));
    // Stars update most repositories after their last push.
    let pushed =
        updated - TimeDelta::seconds(signed(random.f64().powi(2) * 2.0e7)).min(updated - created);
    let language = if random.u32(..10) == 0 { Value::Null } else { json!(pick(LANGUAGES, random)) };
    let license = license(random);
    let description = match random.u32(..12) {
        0 => Value::Null,
        1 => json!(format!("🚀 {first} {second} – \"quoted\", naïve & 日本語")),
        _ => json!(format!("A {first} {second} for {topic} clusters")),
    };
    let mut item = Map::new();
    let fields = [
        ("id", json!(id)),
        ("full_name", json!(format!("{owner}/{name}"))),
        ("description", description),
        ("homepage", if random.bool() { json!("") } else { Value::Null }),
        ("language", language),
        ("license", license),
        ("stargazers_count", json!(stars)),
        ("watchers_count", json!(stars)),
        ("watchers", json!(stars)),
        ("forks_count", json!(forks)),
        ("forks", json!(forks)),
        ("open_issues_count", json!(random.u64(..=forks + 3))),
        ("size", json!(random.u64(1..200_000))),
        ("archived", json!(random.u32(..20) == 0)),
        ("topics", json!([topic, second])),
        ("created_at", json!(rfc3339(created))),
        ("updated_at", json!(rfc3339(updated))),
        ("pushed_at", json!(rfc3339(pushed))),
    ];
    item.extend(fields.map(|(key, value)| (key.to_owned(), value)));
    Repository::new(item).expect("the generator fills id, full_name and the dates")
}

fn pick(list: &[&'static str], random: &mut fastrand::Rng) -> &'static str {
    list[random.usize(..list.len())]
}

fn license(random: &mut fastrand::Rng) -> Value {
    let choice = random.usize(..LICENSES.len() + 1);
    if choice == 0 {
        return Value::Null;
    }
    let (key, name, spdx) = LICENSES[choice - 1];
    json!({
        "key": key,
        "name": name,
        "spdx_id": spdx,
        "url": (key != "other").then(|| format!("https://api.github.com/licenses/{key}")),
        "node_id": format!("L_{choice}"),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "values are seconds and stars, far below 2^53")]
pub(crate) fn signed(value: f64) -> i64 {
    value as i64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, far below 2^53"
)]
fn unsigned(value: f64) -> u64 {
    value as u64
}
