#!/usr/bin/env python3
"""Takes each marked rule out of the code in turn and expects the tests to fail.

A mark stands in the source above the rule:

    // mutant in refreshes: short pages are not believed
    //     page.items() < expected => false

It names the tests that should notice (a file of api/tests/it, or a module with unit tests), the
rule, and below that the fragment of code to replace and its replacement. The fragment is in one of
the lines below the mark.

Works in a copy of the checkout, and prints each rule with the test that failed without it.
`mutants.py WORD...` tries only the rules with one of the words in them. `mutants.py --list` prints
the rules without running them, as the table of docs/refresh.md; `--check` compares the two.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INTEGRATION_TESTS = ROOT / "api/tests/it"
WITH_SERVERS = ROOT / "tests/with-servers"
# The document that has the table of the rules.
DOCUMENT = ROOT / "docs/refresh.md"

MARK = re.compile(r"^\s*// mutant in ([\w:]+): (\S.*)$")
CHANGE = re.compile(r"^\s*//     (\S.*?) => (\S.*)$")

# A fragment is within this many lines below its mark.
REACH = 30
# Seconds after which tests that never end count as failed.
LONGEST_RUN = 1200


@dataclass
class Mutant:
    rule: str
    # The tests that should notice: a module.
    tests: str
    file: Path
    # The line with the fragment, counted from 0.
    line: int
    fragment: str
    replacement: str

    def apply(self, text):
        lines = text.split("\n")
        lines[self.line] = lines[self.line].replace(self.fragment, self.replacement)
        return "\n".join(lines)

    def command(self):
        is_integration = (INTEGRATION_TESTS / self.tests.split("::")[0]).with_suffix(".rs").exists()
        target = ["--test", "it"] if is_integration else ["--lib"]
        return ["cargo", "test", "--locked", "-p", "api", *target]


def marks(path):
    """The mutants that a file's marks describe. A mark that is not understood ends the program."""
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines):
        mark = MARK.match(line)
        if not mark:
            if "// mutant" in line:
                sys.exit(f"{path}:{number + 1}: this mark is not understood")
            continue
        change = CHANGE.match(lines[number + 1])
        if not change:
            sys.exit(f"{path}:{number + 2}: `fragment => replacement` is missing below the mark")
        fragment, replacement = change.groups()
        below = range(number + 2, min(number + 2 + REACH, len(lines)))
        is_code = lambda at: not lines[at].lstrip().startswith("//")
        found = [at for at in below if is_code(at) and fragment in lines[at]]
        if not found or lines[found[0]].count(fragment) != 1:
            sys.exit(f"{path}:{number + 2}: the fragment is not below the mark, once in a line")
        yield Mutant(mark[2], mark[1], path.relative_to(ROOT), found[0], fragment, replacement)


def all_mutants():
    mutants = [mutant for path in sorted(ROOT.glob("api/src/**/*.rs")) for mutant in marks(path)]
    rules = [mutant.rule for mutant in mutants]
    if twice := {rule for rule in rules if rules.count(rule) > 1}:
        sys.exit(f"marked twice: {', '.join(sorted(twice))}")
    return mutants


def run_tests(copy, mutant):
    """How the tests took the mutant: the first test that failed, by name."""
    target = os.environ.get("MUTANTS_TARGET_DIR", str(ROOT / "target/mutants"))
    environment = os.environ | {"CARGO_TARGET_DIR": target, "PROPERTY_SEEDS": "120"}
    command = mutant.command()
    build = [*command, "--no-run"]
    built = subprocess.run(build, cwd=copy, env=environment, capture_output=True, text=True)
    if built.returncode:
        sys.exit(f"{mutant.file}: {mutant.rule}: does not build:\n{built.stderr[-2000:]}")
    run = [str(copy / WITH_SERVERS.relative_to(ROOT)), *command, "--", f"{mutant.tests}::"]
    try:
        done = subprocess.run(
            run, cwd=copy, env=environment, capture_output=True, text=True, timeout=LONGEST_RUN
        )
    except subprocess.TimeoutExpired:
        return f"`{mutant.tests}` never end"
    result = re.compile(r"^test (\S+) .*FAILED$", re.MULTILINE).search(done.stdout)
    if result:
        return f"`{result[1]}` fails"
    if "running 0 tests" in done.stdout:
        sys.exit(f"{mutant.file}: {mutant.rule}: no tests in {mutant.tests}")
    return "fail" if done.returncode else "**pass**"


def try_all(mutants):
    survivors = 0
    print("| without the rule | the tests |\n| --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("target", ".git", "data"))
        for mutant in mutants:
            path = copy / mutant.file
            text = path.read_text(encoding="utf-8")
            path.write_text(mutant.apply(text), encoding="utf-8")
            result = run_tests(copy, mutant)
            path.write_text(text, encoding="utf-8")
            survivors += result == "**pass**"
            print(f"| {mutant.rule} | {result} |", flush=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} were noticed", file=sys.stderr)
    return 1 if survivors else 0


def table(mutants):
    rows = [f"| {m.rule} | `{m.file}` | `{m.tests}` |" for m in mutants]
    return "\n".join(["| rule | file | tests |", "| --- | --- | --- |", *rows])


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    mutants = all_mutants()
    chosen = [m for m in mutants if not words or any(word in m.rule for word in words)]
    if "--check" in sys.argv[1:]:
        is_current = table(mutants) in DOCUMENT.read_text(encoding="utf-8")
        if not is_current:
            print(f"the table in {DOCUMENT.relative_to(ROOT)} is not that of mutants.py --list")
        return 0 if is_current else 1
    if "--list" not in sys.argv[1:]:
        return try_all(chosen)
    print(table(chosen))
    return 0


if __name__ == "__main__":
    sys.exit(main())
