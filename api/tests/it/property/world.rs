//! Random changes of the world and random faults of GitHub.

use std::collections::BTreeSet;

use api::clock::Clock;
use github_stub::{Fault, FaultKind, World};
use serde_json::{Value, json};

use super::{Simulation, TOPIC};

/// No server listens at this address.
const OTHER_ORIGIN: &str = "http://127.0.0.1:9";

/// One fault of every kind, with random numbers.
pub(super) fn fault_kinds(random: &mut fastrand::Rng) -> Vec<FaultKind> {
    let limited = [403, 429][random.usize(..2)];
    let retry_after = random.bool().then(|| random.u32(1..120));
    vec![
        FaultKind::PrimaryLimit {
            status: limited,
            reset_in: [20, 60, 600, 7_200, 0, -30, 1 << 40][random.usize(..7)],
        },
        FaultKind::SecondaryLimit { status: limited, retry_after },
        FaultKind::Forbidden,
        FaultKind::TokenPolicy,
        FaultKind::Unauthorized,
        FaultKind::Unavailable,
        FaultKind::NotFound,
        FaultKind::HtmlError { status: 500 + random.u16(..5) },
        FaultKind::JsonError { status: [408, 421, 425, 500, 503][random.usize(..5)] },
        FaultKind::NotJson,
        FaultKind::Slow { millis: 1 },
        FaultKind::Cut,
        FaultKind::Reset,
        FaultKind::Redirect { to: format!("{OTHER_ORIGIN}/search/repositories") },
        FaultKind::Incomplete { keep: random.usize(..100) },
        FaultKind::Short { missing: random.usize(1..60) },
        FaultKind::Empty,
        FaultKind::Drift { by: random.i64(-300..300) },
        FaultKind::Repeat { count: random.usize(1..20) },
        FaultKind::Hole { count: random.usize(1..20) },
        FaultKind::BadItems { count: random.usize(1..10) },
        FaultKind::ForeignLink { origin: OTHER_ORIGIN.to_owned() },
        FaultKind::LinkLines { origin: OTHER_ORIGIN.to_owned() },
        FaultKind::LoopLink,
        FaultKind::OddReset { reset: [0, -1, 1_790_000_000_000, i64::MAX][random.usize(..4)] },
        FaultKind::BadText { count: random.usize(1..100) },
        FaultKind::OddFields { count: random.usize(1..100) },
        FaultKind::LongTexts { count: random.usize(1..20) },
        FaultKind::LongNames { count: random.usize(1..5) },
    ]
}

fn edit(world: &mut World, id: u64, fields: &Value) {
    world.edit(id, fields.as_object().expect("an object").clone()).expect("a valid repository");
}

impl Simulation {
    /// A random repository of the topic.
    fn pick(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.stub.world().ranked(TOPIC, "stars");
        (!ids.is_empty()).then(|| ids[self.random.usize(..ids.len())])
    }

    /// Stars, renames, pushes to, relabels, deletes and creates repositories.
    pub(super) fn change_the_world(&mut self) {
        let now = self.clock.now();
        let stamp = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        for _ in 0..self.random.usize(..12) {
            let Some(id) = self.pick() else { return };
            let kind = self.random.u8(..12);
            let (stars, suffix) = (self.random.i64(0..100_000), self.random.u32(..));
            let mut world = self.stub.world();
            match kind {
                0..6 => world.star(id, stars, now),
                6 => {
                    let name = format!("r{suffix}");
                    let full_name = format!("renamed/{name}");
                    let fields =
                        json!({ "full_name": full_name, "name": name, "updated_at": stamp });
                    edit(&mut world, id, &fields);
                }
                7 => edit(&mut world, id, &json!({ "pushed_at": stamp, "updated_at": stamp })),
                8 => edit(&mut world, id, &json!({ "topics": ["other"] })),
                9 => drop(world.remove(id)),
                _ => {
                    world.add_generated(1, u64::from(suffix), TOPIC);
                    let new = world.repositories().last().expect("the added repository").id;
                    let fields =
                        json!({ "created_at": stamp, "pushed_at": stamp, "updated_at": stamp });
                    edit(&mut world, new, &fields);
                }
            }
        }
        // In one of 25 rounds the most starred two thirds are deleted at once.
        if self.random.u8(..25) == 0 {
            let ids = self.stub.world().ranked(TOPIC, "stars");
            for id in &ids[..ids.len() * 2 / 3] {
                self.stub.world().remove(*id);
            }
        }
    }

    /// Sets up to five faults, and perhaps repositories that searches drop and a shuffled order.
    pub(super) fn prepare_faults(&mut self) {
        let dropped: BTreeSet<u64> = match self.random.u8(..4) {
            0 => (0..self.random.usize(..20)).filter_map(|_| self.pick()).collect(),
            _ => BTreeSet::new(),
        };
        let shuffle = (self.random.u8(..4) == 0).then(|| self.random.u64(..));
        let mut faults = Vec::new();
        for _ in 0..self.random.usize(..6) {
            let kinds = fault_kinds(&mut self.random);
            let kind = kinds[self.random.usize(..kinds.len())].clone();
            let of_lookups = matches!(
                kind,
                FaultKind::NotFound | FaultKind::Unavailable | FaultKind::TokenPolicy
            );
            let mut fault = Fault::from(kind).skip(self.random.u32(..4));
            if of_lookups {
                fault = fault.at("/repositories/").skip(0);
            } else if self.random.bool() {
                fault.page = Some(self.random.usize(1..4));
            }
            let times =
                if of_lookups || self.random.u8(..8) == 0 { 30 } else { self.random.u32(1..4) };
            faults.push(fault.times(times));
        }
        let clock_ahead = [0, 0, 10_800, -10_800][self.random.usize(..4)];
        let mut world = self.stub.world();
        world.faults = faults;
        (world.settings.drop, world.settings.shuffle) = (dropped, shuffle);
        world.settings.clock_ahead = clock_ahead;
    }
}
