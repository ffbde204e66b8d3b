#!/usr/bin/env python3
"""Takes each rule of a refresh out of the code in turn and expects the tests to fail.

Works in a copy of the checkout, and prints a table as docs/refresh.md has it. `mutants.py WORD...` tries only rules whose
name has one of the words.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = "api/src/"
RUN, PAGES, SLICES = SRC + "refresh/run.rs", SRC + "refresh/pages.rs", SRC + "refresh/slices.rs"
QUOTA, SQL = SRC + "quota.rs", SRC + "store/sql/refreshes.rs"

# The rule; its file; what stands there; what stands there without the rule.
MUTANTS = [
    ("a partial run removes nothing and keeps best match", RUN, "complete.then_some(confirmed)", "Some(confirmed)"),
    ("incomplete results are not believed", PAGES, "if page.incomplete_results {", "if false {"),
    ("short pages are not believed", PAGES, "page.items() < expected", "false"),
    ("a page with something missing is read again", PAGES, "MAX_REFETCHES: usize = 2", "MAX_REFETCHES: usize = 0"),
    ("a count that halves makes the run partial", PAGES, "page.total_count.min(before) * 2 < page.total_count.max(before)", "false"),
    ("a last page without a next one is noticed", PAGES, "next.is_none() && offset < reach", "false"),
    ("a count that fell far is not taken for the whole topic", RUN, "total * 2 >= state.found.unwrap_or(0)", "true"),
    ("a result half as large waits for another", RUN, "size * 2 >= before", "true"),
    ("the other one comes ten minutes later", RUN, "TimeDelta::minutes(10)", "TimeDelta::minutes(0)"),
    ("1 in 100 may be unreadable", RUN, "self.report.skipped * TOLERATED_OF > self.report.found", "false"),
    ("unreadable items keep their places", PAGES, "unreadable.extend(skipped.id);", ""),
    ("the later copy of a repository counts", PAGES, "repositories.iter().rev().filter", "repositories.iter().filter"),
    ("an id has one place in best match", PAGES, "self.best_match.retain(|id| *id != repository.id);", ""),
    ("doubts are settled by asking", RUN, "Ok(Single::Found(_) | Single::Gone) => gone.push(id)", "Ok(Single::Found(_) | Single::Gone) => {}"),
    ("what still exists keeps its place", RUN, "if repository.has_topic(self.topic.as_str()) => found.push(*repository)", "if false => found.push(*repository)"),
    ("what left the topic is out", RUN, "if repository.has_topic(self.topic.as_str())", "if true"),
    ("doubts go by stars and by update", SQL, "(by_stars <= $3 OR by_update <= $3)", "by_stars <= $3"),
    ("overtaken is who has no place by either", SQL, "by_stars > $3 AND by_update > $3", "by_stars > $3"),
    ("whole topics lose nobody by being overtaken", SRC + "store.rs", "Self::All | Self::Since(_) => i64::MAX", "Self::All | Self::Since(_) => 500"),
    ("a lost lease stores nothing", SQL, "if kept.rows_affected() == 1 {", "if true {"),
    ("entries are kept for 30 days", SRC + "store.rs", "LEDGER_TIME: TimeDelta = TimeDelta::days(30)", "LEDGER_TIME: TimeDelta = TimeDelta::days(0)"),
    ("a whole topic is read past 1,000", SLICES, "too_large = total.filter(|total| *total > SEARCH_CAP);", "too_large = None;"),
    ("a slice with a hole is read again", SLICES, "match reading.lacks() {", "match reading.fault.clone() {"),
    ("slices of the last hour are not read again", SLICES, "if read.contains(&slice) {\n                Some", "if false {\n                Some"),
    ("older slices are", SLICES, "FRESH: TimeDelta = TimeDelta::hours(1)", "FRESH: TimeDelta = TimeDelta::days(9)"),
    ("what an earlier run read counts as shown", SQL, "UPDATE topic_repositories SET confirmed_in = $2\n             WHERE topic = $1 AND confirmed_in >=", "UPDATE topic_repositories SET confirmed_in = confirmed_in\n             WHERE topic = $1 AND $2 > 0 AND confirmed_in >="),
    ("a whole topic is compared with its count", RUN, "self.plan == Plan::Complete && (counted - size) * TOLERATED_OF > counted", "false"),
    ("an order by push is recognised", SRC + "refresh/reading.rs", "self.against_push < self.against_update", "false"),
    ("too many changes bring the whole run forward", RUN, "self.covered.covered_at = None;", ""),
    ("a whole topic is read whole every day", SRC + "refresh/plan.rs", "if covered_at.date_naive() == now.date_naive()", "if covered_at <= now"),
    ("changes are read back to the last run", PAGES, "Extent::Since(time) => reading.oldest.is_some_and(|oldest| oldest < time)", "Extent::Since(_) => true"),
    ("the limit is spread over its window", QUOTA, "(bucket == Bucket::Search).then", "false.then"),
    ("a turn is one request's", QUOTA, "self.next_at = self.next_at.max(Some(turn + spacing));", ""),
    ("a tenth of the limit is kept back", QUOTA, "Pace::Scheduled => (limit + 9) / 10", "Pace::Scheduled => -1"),
    ("half is kept back from readers' topics", QUOTA, "Pace::OnDemand | Pace::Waiting => limit / 2", "Pace::OnDemand | Pace::Waiting => 0"),
    ("an empty window is waited for", QUOTA, "self.pause(until.max(now + TimeDelta::seconds(1)));", "let _ = until;"),
    ("a secondary limit is waited for", QUOTA, "self.pause(now + retry_after.unwrap_or(doubled));", "let _ = (retry_after, doubled);"),
    ("a secondary limit holds for everything", SRC + "github.rs", "self.pause(bucket.other(), until).await?;", "let _ = until;"),
    ("after five of them the run ends", QUOTA, "self.strikes < MAX_STRIKES\n", "true\n"),
    ("nobody waits beyond the next ring", SRC + "github.rs", "if turn > patience.until {", "if false {"),
    ("one search at a time", SRC + "github.rs", "quota.busy_until.is_some_and(|until| until > now)", "false"),
    ("pages of another origin are not followed", SRC + "github/search.rs", "if url.origin() == base.origin()", "if true"),
]


def main() -> int:
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant[0] for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("target", ".git", "data"))
        for _, file, there, _ in chosen:
            if (copy / file).read_text().count(there) != 1:
                sys.exit(f"{file} does not have once: {there}")
        survivors = 0
        print("| without the rule | the tests |\n| --- | --- |", flush=True)
        for rule, file, there, without in chosen:
            path = copy / file
            text = path.read_text()
            path.write_text(text.replace(there, without))
            verdict = try_tests(copy)
            path.write_text(text)
            survivors += verdict == "**pass**"
            print(f"| {rule} | {verdict} |", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} were noticed", file=sys.stderr)
    return 1 if survivors else 0


def try_tests(copy: Path) -> str:
    """The first test that fails, by name."""
    environment = os.environ | {
        "CARGO_TARGET_DIR": os.environ.get("MUTANTS_TARGET_DIR", str(ROOT / "target/mutants")),
        "PROPERTY_SEEDS": "60",
    }
    built = subprocess.run(["cargo", "test", "--locked", "-p", "api", "--no-run"], cwd=copy, env=environment, capture_output=True, text=True)
    if built.returncode:
        sys.exit(f"it does not build:\n{built.stderr[-2000:]}")
    # From the quickest to the slowest; the first failure will do.
    for arguments in (["--lib"], ["--test", "it", "--", "store::", "refreshes::", "client::"], ["--test", "it", "--", "coverage::", "on_demand::"],
                      ["--test", "it", "--", "property::"]):
        tests = subprocess.run(
            ["api/tests/with-servers", "cargo", "test", "--locked", "-p", "api", *arguments],
            cwd=copy, env=environment, capture_output=True, text=True, timeout=900,
        )
        failed = [line.split()[1] for line in tests.stdout.splitlines() if line.startswith("test ") and line.endswith("FAILED")]
        if failed:
            return f"`{failed[0]}` fails"
        if tests.returncode:
            return "fail"
    return "**pass**"


if __name__ == "__main__":
    sys.exit(main())
