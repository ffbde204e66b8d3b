//! Random changes of the world.

use api::clock::Clock;
use chrono::SecondsFormat;
use github_stub::World;
use serde_json::{Value, json};

use super::{Simulation, TOPICS};

fn edit(world: &mut World, id: u64, fields: &Value) {
    world.edit(id, fields.as_object().expect("an object").clone()).expect("a valid repository");
}

impl Simulation {
    /// A random repository, of whatever topic or of none.
    pub(super) fn pick(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.stub.world().repositories().map(|one| one.id).collect();
        (!ids.is_empty()).then(|| ids[self.random.usize(..ids.len())])
    }

    /// Stars, renames, archives, relabels, hides, deletes, restores and creates repositories.
    pub(super) fn change_the_world(&mut self) {
        for _ in 0..self.random.usize(..10) {
            self.change_a_repository();
        }
        for _ in 0..if self.is_large { 6 } else { 0 } {
            self.let_others_overtake_one();
        }
    }

    /// A repository that best match does not show falls in the other two rankings.
    fn let_others_overtake_one(&mut self) {
        let mut world = self.stub.world();
        let ids = world.ranked(TOPICS[0], "best-match").split_off(500);
        let Some(id) = self.random.choice(ids) else { return };
        let fields = json!({ "stargazers_count": 0, "updated_at": "2010-01-01T00:00:00Z" });
        edit(&mut world, id, &fields);
    }

    fn change_a_repository(&mut self) {
        let Some(id) = self.pick() else { return };
        let stamp = self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let (number, topic) = (self.random.u32(..2_000), self.random.usize(..TOPICS.len()));
        let (kind, is_new) = (self.random.u8(..16), self.random.bool());
        let mut world = self.stub.world();
        let own = world.repository(id).expect("a repository").clone();
        match kind {
            0..4 => {
                edit(&mut world, id, &json!({ "stargazers_count": number, "updated_at": stamp }));
            }
            4 => edit(&mut world, id, &json!({ "forks_count": number })),
            5 => edit(&mut world, id, &json!({ "open_issues_count": number })),
            6 => {
                let (name, full_name) = (format!("r{number}"), format!("renamed/r{number}"));
                edit(&mut world, id, &json!({ "full_name": full_name, "name": name }));
            }
            7 => edit(&mut world, id, &json!({ "archived": !own.archived })),
            8..11 => {
                let mut topics = own.topics;
                let before = topics.len();
                topics.retain(|own| own != TOPICS[topic]);
                if topics.len() == before {
                    topics.push(TOPICS[topic].to_owned());
                }
                edit(&mut world, id, &json!({ "topics": topics }));
            }
            11 => {
                world.remove(id);
                self.deleted.push(own);
            }
            12 => self.deleted.pop().into_iter().for_each(|own| world.insert(own)),
            13 => {
                let private = own.item["private"] == false;
                edit(&mut world, id, &json!({ "private": private }));
            }
            _ => {
                world.add_generated(1, u64::from(number), TOPICS[topic]);
                let new = world.repositories().last().expect("the added repository").id;
                if is_new {
                    let fields =
                        json!({ "created_at": stamp, "pushed_at": stamp, "updated_at": stamp });
                    edit(&mut world, new, &fields);
                }
            }
        }
    }
}
