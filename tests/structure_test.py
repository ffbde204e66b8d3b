#!/usr/bin/env python3
"""Tests structure.py on small source trees."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
from structure import Check  # noqa: E402


def faults(files):
    """The faults of a tree of {name: text}, each cut to its place."""
    with tempfile.TemporaryDirectory() as folder:
        # The path that modules get is free of symbolic links.
        source = Path(folder).resolve()
        for name, text in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        check = Check(source)
        found = [*check.strangers(), *check.against_floors(), *check.circles()]
        return sorted(fault.split(": ")[0] for fault in found)


ROOT = "mod cache; mod config; mod error; mod http; mod lists; mod model; mod store;"
EMPTY = {
    f"{room}.rs": "" for room in ("cache", "config", "error", "http", "lists", "model", "store")
}


class Structure(unittest.TestCase):
    def check(self, expected, **files):
        """`a__b` is the file a/b.rs."""
        named = {name.replace("__", "/") + ".rs": text for name, text in files.items()}
        self.assertEqual(faults({"lib.rs": ROOT, **EMPTY, **named}), expected)

    def test_import_from_a_higher_or_the_same_floor_is_a_fault(self):
        self.check([], http="use crate::model::Topic;", model="pub struct Topic;")
        self.check(["model.rs:2"], model="\nuse crate::http::Router;", http="pub struct Router;")
        self.check(["store.rs:1"], store="use crate::{cache::Tiers, model::Topic};")
        self.check(["lists.rs:3"], lists="fn f() {\n    // crate::http\n    crate::store::g();\n}")
        self.check(["store.rs:1"], store='#[serde(with = "crate::http::seconds")] struct A;')

    def test_config_imports_only_from_some_rooms_below(self):
        self.check(["config.rs:2"], config="use crate::store::A;\nuse crate::lists::B;")

    def test_tests_comments_and_strings_are_exempt(self):
        self.check([], model="#[cfg(test)]\nmod tests { use crate::http::A; }\nfn f() {}")
        self.check([], model='/* /* use crate::http::A; */ */ const A: &str = r#"crate::http::A"#;')
        self.check([], model="#[cfg(test)] use crate::http::{A, B};\n#[cfg(test)] fn f() {}")
        self.check([], model="#[cfg(test)]\nmod tests;", model__tests="use crate::http::A;")
        self.check(["model.rs:2"], model="#[cfg(test)] fn f() {}\nuse crate::http::A;")
        self.check(["model.rs:1"], model="#[cfg(not(test))] use crate::http::A;")

    def test_parent_and_child_that_import_each_other_are_a_circle(self):
        child = "use super::Parent;\npub struct Child;"
        self.check([], store="mod a; pub struct Parent;", store__a=child)
        self.check([], store="mod a; pub use a::Child; pub struct Parent;", store__a=child)
        for use in (
            "use a::Child;",
            "fn f() { a::f() }",
            "use self::a::*;",
            "use crate::store::a;",
        ):
            self.check(
                ["store.rs:2", "store/a.rs:1"],
                store=f"mod a; pub struct Parent;\n{use}",
                store__a=child,
            )

    def test_name_belongs_to_the_file_that_defines_it(self):
        parent = "mod a; mod b; pub use a::A; pub(crate) use b::B as C;"
        self.check([], store=parent, store__a="pub struct A;", store__b="use super::A; struct B;")
        self.check(
            ["store/a.rs:1", "store/b.rs:1"],
            store=parent,
            store__a="use super::C; pub struct A;",
            store__b="use crate::store::A; pub struct B;",
        )
        globbed = "mod a; mod b; pub use a::*;"
        self.check([], store=globbed, store__a="pub struct A;", store__b="use super::A;")

    def test_circle_of_three_files_is_reported_at_each_import(self):
        self.check(
            ["http/a.rs:1", "http/b.rs:1", "http/c.rs:1"],
            http="mod a; mod b; mod c;",
            http__a="use super::b::B;",
            http__b="pub struct B; fn f() { super::c::f() }",
            http__c="use crate::http::a::A;",
        )

    def test_statements_of_two_databases_use_their_dialect(self):
        database = (
            '#[path = "sql/rows.rs"] mod rows;\npub(super) struct Sql;\nuse rows::text;\n'
            "mod dialect { pub(super) use super::Sql; pub(super) const A: u8 = 1; }"
        )
        databases = {
            "store": "mod postgres; mod sqlite;",
            "store__postgres": database,
            "store__sqlite": database,
        }
        self.check([], **databases, store__sql__rows="use super::dialect::{A, Sql};")
        own = "use super::Sql;"
        self.check(
            ["store/postgres.rs:3", "store/sql/rows.rs:1", "store/sql/rows.rs:1"]
            + ["store/sqlite.rs:3"],
            **databases,
            store__sql__rows=own,
        )

    def test_main_imports_from_the_library(self):
        self.check([], main="use api::http::A; fn main() { api::store::f() }")
        self.check(["http.rs:1"], http="use crate::Root;", lib=ROOT + "pub struct Root;")

    def test_file_without_a_floor_or_a_mod_line_is_a_fault(self):
        self.check(["helpers.rs"], lib=ROOT + "mod helpers;", helpers="")
        self.check(["store/lost.rs"], store__lost="")


if __name__ == "__main__":
    unittest.main()
