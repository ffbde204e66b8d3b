#!/usr/bin/env python3
"""Checks the imports between the files of api/src: no circle, and none from a higher floor.

Prints each import that breaks a rule, with its file and line, and exits 1 if there is one. With a
path, that folder is checked in place of api/src.

An import is a path that leads to another file of api/src, in a `use` declaration or in other code:
`crate::a::B`, `super::B`, `self::a::B`, `a::B` of a child module `a`, and `api::a::B` in main.rs.
Code under `#[cfg(test)]` is exempt.

- A name belongs to the file that defines it, even if it is imported from a module that re-exports
  it. The import of a module itself belongs to the module's file.
- A parent (`foo.rs`) and its children (`foo/*.rs`) are files like any others: if the parent uses an
  item of a child and that child uses an item of the parent, they are a circle. To break it, move
  the shared items into a child of their own.
- `mod x;`, and `pub use x::…` of a module's own children, only publish names and are no imports.
- store/postgres.rs and store/sqlite.rs both compile the files of store/sql/ by `#[path]`. A module
  `dialect` for each database lists the names that these statements use. Imports through `dialect`,
  and its own, count as part of no circle, because it passes names of the parent to its children.

FLOORS gives the order: a file imports from its own room and from lower floors.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The library's name in main.rs.
LIBRARY = "api"

# The rooms, from the lowest floor to the highest. A room is a file, a folder, or both (`foo.rs` and
# `foo/`). Rooms on one floor do not import each other.
FLOORS = [
    {"clock", "single_flight", "task", "telemetry"},
    {"model"},
    {"lists", "feeds", "pictures"},
    {"store", "cache"},
    {"github", "archive", "purge"},
    {"refresh", "backfill"},
    {"error"},
    {"read"},
    {"config"},
    {"app"},
    {"http", "cli"},
    {"scheduler"},
    {"server"},
    {"main", "lib"},
]
# Rooms that may import less than everything below them.
ONLY = {"config": FLOORS[0] | {"model", "store", "cache", "github", "purge"}}
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

DIALECT = "dialect"

TOKEN = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*)
    | (?P<comment>/\*)
    | (?P<raw>b?c?r(?P<hashes>\#*)".*?"(?P=hashes))
    | (?P<string>[bc]?"(?:[^"\\]|\\.)*")
    | (?P<character>b?'(?:[^'\\]|\\(?:u\{[^}]*\}|x..|.))')
    | (?P<lifetime>'\w+)
    | (?P<word>(?:r\#)?[^\W\d]\w*)
    | (?P<number>\d\w*)
    | (?P<mark>::|.)
    """,
    re.VERBOSE | re.DOTALL,
)
COMMENT_EDGE = re.compile(r"/\*|\*/")
# A string of an attribute that names code, as in serialize_with = "crate::a::b".
PATH_STRING = re.compile(r'"((?:crate|super)(?:::\w+)+)"')
OPENING, CLOSING = {"(", "[", "{"}, {")", "]", "}"}
NAMED_ITEMS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
ITEM_WORDS = NAMED_ITEMS | {"async", "extern", "impl", "let", "macro_rules", "mod", "unsafe", "use"}
# Items that go on behind a group in braces, to a semicolon.
ENDED_BY_SEMICOLON = {"const", "let", "static", "use"}


class Token:
    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line


END = Token("end", "", 0)


class Tokens(list):
    """The tokens of a file or a part of it; behind the last one there are END tokens."""

    def at(self, index):
        return self[index] if 0 <= index < len(self) else END

    def text(self, index):
        return self.at(index).text

    def group_end(self, index):
        """The index behind the group in brackets that opens at `index`."""
        depth = 0
        while index < len(self):
            depth += self[index].text in OPENING
            depth -= self[index].text in CLOSING
            index += 1
            if depth == 0:
                break
        return index

    def item_end(self, index):
        """The index behind the item, statement or field that begins at `index`."""
        while self.text(index) == "#":
            index = self.group_end(index + 1)
        if self.text(index) == "pub":
            index += 1
            index = self.group_end(index) if self.text(index) == "(" else index
        first = self.text(index)
        while index < len(self):
            text = self.text(index)
            if text == ";" or (text == "," and first not in ITEM_WORDS):
                return index + 1
            if text in CLOSING:
                return index
            index = self.group_end(index) if text in OPENING else index + 1
            if text == "{" and first not in ENDED_BY_SEMICOLON:
                return index
        return index


def tokens_of(text):
    found, at, line = Tokens(), 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        kind, end = match.lastgroup, match.end()
        if kind == "comment":
            depth = 1
            while depth:
                edge = COMMENT_EDGE.search(text, end)
                depth, end = depth + (1 if edge.group() == "/*" else -1), edge.end()
        elif kind != "space":
            found.append(Token(kind, match.group().removeprefix("r#"), line))
        line += text.count("\n", at, end)
        at = end
    return found


def split_tests(tokens):
    """The production code's tokens and those under #[cfg(test)]."""
    production, tests, at = Tokens(), Tokens(), 0
    while at < len(tokens):
        inner = tokens.text(at + 1) == "!"
        opening = at + 1 + inner
        if tokens.text(at) == "#" and tokens.text(opening) == "[":
            end = tokens.group_end(opening)
            words = [token.text for token in tokens[opening:end] if token.kind == "word"]
            if words in (["cfg", "test"], ["cfg", "all", "test"]):
                end = len(tokens) if inner else tokens.item_end(end)
                tests += tokens[at:end]
                at = end
                continue
        production.append(tokens[at])
        at += 1
    return production, tests


class Module:
    """A module in a file; an inline one has its parent's file."""

    def __init__(self, name, file, parent):
        self.name, self.file, self.parent = name, file, parent
        self.children, self.items = {}, set()
        # The path that each name brought in by `use` stands for, and those of `use …::*`.
        self.bound, self.globs = {}, []
        # (segments, line, whether it is a `pub use`) of each path.
        self.paths = []

    def above(self):
        """The module and the ones that it is in, from the inside."""
        module = self
        while module is not None:
            yield module
            module = module.parent

    def root(self):
        return list(self.above())[-1]

    def is_dialect(self):
        return any(module.name == DIALECT for module in self.above())


def use_leaves(tokens, at, prefix):
    """The (segments, name that they are bound to, line) of a `use` tree, and the index behind."""
    segments = list(prefix)
    while True:
        token = tokens.at(at)
        at += 1
        if token.text == "{":
            leaves = []
            while tokens.text(at) != "}":
                more, at = use_leaves(tokens, at, segments)
                leaves += more
                at += tokens.text(at) == ","
            return leaves, at + 1
        if token.text == "*":
            return [(segments, "*", token.line)], at
        if token.kind == "word":
            if token.text != "self" or not segments:
                segments.append(token.text)
            if tokens.text(at) == "as":
                return [(segments, tokens.text(at + 1), token.line)], at + 2
            if tokens.text(at) != "::":
                return [(segments, segments[-1], token.line)], at
        elif token.kind == "end":
            return [], at


class Crate:
    """The modules that `mod` lines lead to from a root file."""

    def __init__(self, root):
        self.root = Module(root.stem, root, None)
        # Files that a `mod` line leads to, and files or folders that only tests have.
        self.files, self.test_files = set(), set()
        self.read(self.root, root.parent)

    def read(self, module, folder):
        self.files.add(module.file)
        tokens, tests = split_tests(tokens_of(module.file.read_text(encoding="utf-8")))
        for at, token in enumerate(tests):
            if token.text == "mod" and tests.text(at + 2) == ";":
                name = tests.text(at + 1)
                self.test_files |= {folder / f"{name}.rs", folder / name}
        self.scan(module, tokens, folder)

    def scan(self, module, tokens, folder):
        """Notes the children, items and paths of a module."""
        at, published, path = 0, False, None
        while at < len(tokens):
            token, following = tokens[at], tokens.at(at + 1)
            starts = tokens.text(at - 1) not in (".", "::")
            if token.text == "#" and following.text == "[" and tokens.text(at + 2) == "path":
                path = tokens.text(at + 4).strip('"')
                at = tokens.group_end(at + 1)
                continue
            if token.text == "pub" and token.kind == "word":
                published = True
                # The path in `pub(in crate::a)` imports nothing.
                at = tokens.group_end(at + 1) if following.text == "(" else at + 1
                continue
            if token.kind == "word" and token.text == "mod" and following.kind == "word":
                at = self.submodule(module, tokens, at + 1, folder, path)
            elif token.text == "use" and starts and following.text != "<":
                leaves, at = use_leaves(tokens, at + 1, [])
                for segments, name, line in leaves:
                    module.paths.append((segments, line, published))
                    if name == "*":
                        module.globs.append(segments)
                    else:
                        module.bound.setdefault(name, segments)
            elif token.text in NAMED_ITEMS and following.kind == "word":
                module.items.add(following.text)
                at += 1
            elif token.text == "macro_rules":
                module.items.add(tokens.text(at + 2))
                at += 3
            elif token.kind == "word" and starts and following.text == "::":
                at = self.code_path(module, tokens, at)
            else:
                if match := PATH_STRING.fullmatch(token.text):
                    module.paths.append((match.group(1).split("::"), token.line, False))
                at += 1
            # An attribute between #[path] and its `mod` is unusual, and would lose it.
            published, path = False, None

    @staticmethod
    def code_path(module, tokens, at):
        segments, line = [tokens.text(at)], tokens.at(at).line
        while tokens.text(at + 1) == "::" and tokens.at(at + 2).kind == "word":
            at += 2
            segments.append(tokens.text(at))
        # A name that a `use` brought in counts there.
        if segments[0] in ("crate", "super", "self", LIBRARY) or segments[0] in module.children:
            module.paths.append((segments, line, False))
        return at + 1

    def submodule(self, module, tokens, at, folder, path):
        name = tokens.text(at)
        if tokens.text(at + 1) == "{":
            end = tokens.group_end(at + 1)
            module.children[name] = Module(name, module.file, module)
            self.scan(module.children[name], Tokens(tokens[at + 2 : end - 1]), folder / name)
            return end
        candidates = [folder / f"{name}.rs", folder / name / "mod.rs"]
        candidates = [module.file.parent / path] if path else candidates
        for file in filter(Path.is_file, candidates):
            module.children[name] = Module(name, file.resolve(), module)
            own_folder = file.name == "mod.rs" or path
            inside = file.parent if own_folder else file.with_suffix("")
            self.read(module.children[name], inside)
        return at + 1

    def modules(self):
        waiting = [self.root]
        while waiting:
            module = waiting.pop()
            yield module
            waiting += module.children.values()


class Resolver:
    """Finds the module that defines the end of a path."""

    def __init__(self, library):
        self.library = library

    def resolve(self, module, segments, depth=0):
        """The module, and whether the path leads through a dialect; None if it is not ours."""
        first, rest = segments[0], segments[1:]
        if first == "crate":
            return self.walk(module.root(), rest, depth)
        if first == LIBRARY and module.root() is not self.library:
            return self.walk(self.library, rest, depth)
        if first == "super" and module.parent is not None:
            return self.walk(module.parent, rest, depth)
        if first == "self":
            return self.walk(module, rest, depth)
        if first in module.children:
            return self.walk(module.children[first], rest, depth)
        # `use a::B` after `use super::a`.
        bound = module.bound.get(first)
        if bound and bound != segments and bound[0] != first and depth < 20:
            return self.resolve(module, [*bound, *rest], depth + 1)
        return None

    def walk(self, module, rest, depth):
        """Follows a path down from a module."""
        dialect = module.is_dialect()
        while rest:
            name = rest[0]
            if name == "super" and module.parent is not None:
                module = module.parent
            elif name in module.children:
                module = module.children[name]
            elif name in module.items or name == "self" or depth > 20:
                break
            else:
                found = self.passed_on(module, rest, depth)
                if found:
                    return found[0], dialect or found[1]
                break
            dialect = dialect or module.is_dialect()
            rest = rest[1:]
        return module, dialect

    def passed_on(self, module, rest, depth):
        """The definition of a name that a `use` of the module has brought there."""
        if rest[0] in module.bound:
            return self.resolve(module, [*module.bound[rest[0]], *rest[1:]], depth + 1)
        for glob in module.globs:
            found = self.resolve(module, [*glob, *rest], depth + 1)
            if found and rest[0] in found[0].items | found[0].children.keys():
                return found
        return None


class Import:
    def __init__(self, importer, imported, line, path, dialect):
        self.importer, self.imported = importer, imported
        self.line, self.path, self.dialect = line, path, dialect


def imports_of(crates, library):
    """Every import between files, once for each line and imported file."""
    found, resolver = {}, Resolver(library.root)
    for crate in crates:
        for module in crate.modules():
            for segments, line, published in module.paths:
                target = resolver.resolve(module, segments)
                if not target or target[0].file == module.file:
                    continue
                if published and module in target[0].above():
                    continue
                dialect = target[1] or module.is_dialect()
                key = (module.file, line, target[0].file)
                path = "::".join(segments)
                found.setdefault(key, Import(module.file, target[0].file, line, path, dialect))
    return sorted(found.values(), key=lambda each: (each.importer, each.line))


def shortest_way(start, goal, neighbours):
    """The files from one to another along imports, or None."""
    before, waiting = {start: None}, [start]
    for file in waiting:
        if file == goal:
            way = []
            while file is not None:
                way.append(file)
                file = before[file]
            return way[::-1]
        for following in neighbours.get(file, ()):
            if following not in before:
                before[following] = file
                waiting.append(following)
    return None


class Check:
    def __init__(self, source):
        self.source = source
        roots = [source / "lib.rs", source / "main.rs"]
        self.crates = [Crate(root) for root in roots if root.is_file()]
        self.imports = imports_of(self.crates, self.crates[0])

    def name(self, file):
        return file.relative_to(ROOT if file.is_relative_to(ROOT) else self.source)

    def room(self, file):
        return file.relative_to(self.source).parts[0].removesuffix(".rs")

    def strangers(self):
        """Files that the floors or the `mod` lines do not know."""
        reached = set().union(*(crate.files for crate in self.crates))
        tests = set().union(*(crate.test_files for crate in self.crates))
        for file in sorted(self.source.rglob("*.rs")):
            if file in tests or any(folder in tests for folder in file.parents):
                continue
            if self.room(file) not in FLOOR:
                yield f"{self.name(file)}: `{self.room(file)}` is missing in FLOORS of structure.py"
            elif file not in reached:
                yield f"{self.name(file)}: no `mod` line leads to this file"

    def against_floors(self):
        for each in self.imports:
            importer, imported = self.room(each.importer), self.room(each.imported)
            if importer == imported or not {importer, imported} <= FLOOR.keys():
                continue
            lower = FLOOR[imported] < FLOOR[importer]
            if not lower or imported not in ONLY.get(importer, FLOOR):
                yield self.line(each, f"{importer} may not import {imported}")

    def circles(self):
        neighbours = {}
        counted = [each for each in self.imports if not each.dialect]
        for each in counted:
            neighbours.setdefault(each.importer, []).append(each.imported)
        for each in counted:
            way = shortest_way(each.imported, each.importer, neighbours)
            if way:
                circle = " > ".join(str(file.relative_to(self.source)) for file in way)
                yield self.line(each, f"a circle, since the way back is {circle}")

    def line(self, each, fault):
        return f"{self.name(each.importer)}:{each.line}: `{each.path}`: {fault}"


def main():
    source = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "api/src"
    check = Check(source)
    faults = [*check.strangers(), *check.against_floors(), *check.circles()]
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(check.imports)} imports between files, {len(faults)} against the rules")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
