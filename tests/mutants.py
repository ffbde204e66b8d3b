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

ROOT = Path(__file__).resolve().parents[1]
SRC = "api/src/"
RUN, PAGES, SLICES = SRC + "refresh/run.rs", SRC + "refresh/pages.rs", SRC + "refresh/slices.rs"
QUOTA, SQL, TOPICS = SRC + "quota.rs", SRC + "store/sql/refreshes.rs", SRC + "store/sql/topics.rs"

# The rule; where the tests are that should notice; its file; what stands there; what stands there without the rule.
MUTANTS = [
    ("a partial run removes nothing and keeps best match", "refreshes::one_in_part", RUN, "complete.then_some(confirmed)", "Some(confirmed)"),
    ("incomplete results are not believed", "refreshes::one_in_part", PAGES, "if page.incomplete_results {", "if false {"),
    ("short pages are not believed", "refreshes::one_in_part", PAGES, "page.items() < expected", "false"),
    ("a page with something missing is read again", "client::tries_again_what_passes", PAGES, "MAX_REFETCHES: usize = 2", "MAX_REFETCHES: usize = 0"),
    ("a count that halves makes the run partial", "refreshes::one_in_part", PAGES, "page.total_count.min(before) * 2 < page.total_count.max(before)", "false"),
    ("a last page without a next one is noticed", "client::", PAGES, "next.is_none() && offset < reach", "false"),
    ("a count that fell far is not taken for the whole topic", "refreshes::", RUN, "total * 2 >= state.found.unwrap_or(0)", "true"),
    ("a result half as large waits for another", "refreshes::a_result_half", RUN, "size * 2 >= before", "true"),
    ("the other one comes ten minutes later", "refreshes::a_result_half", RUN, "TimeDelta::minutes(10)", "TimeDelta::minutes(0)"),
    ("1 in 100 may be unreadable", "refreshes::a_bad_item", RUN, "self.report.skipped * TOLERATED_OF > self.report.found", "false"),
    ("unreadable items keep their places", "refreshes::a_bad_item", PAGES, "unreadable.extend(skipped.id);", ""),
    ("doubts are settled by asking", "refreshes::what_is_gone", RUN, "Ok(Single::Found(_) | Single::Gone) => gone.push(id)", "Ok(Single::Found(_) | Single::Gone) => {}"),
    ("what still exists keeps its place", "refreshes::dropped_ones", RUN, "!repository.private && repository.has_topic(", "false && repository.has_topic("),
    ("what left the topic is out", "refreshes::what_is_gone", RUN, "!repository.private && repository.has_topic(self.topic.as_str())", "!repository.private"),
    ("private ones are shown to nobody", "refreshes::what_is_private", PAGES, "!repository.private && ids.insert", "ids.insert"),
    ("one that turned private is out", "refreshes::what_is_private", RUN, "!repository.private && ", ""),
    ("U+0000 is left out", "lib repository::", SRC + "repository.rs", "text.retain(|character| character != '\\0');", "text.retain(|_| true);"),
    ("what a run stored is published though it failed", "refreshes::what_one_that_failed", RUN, ".append(&mut self.touched);", ".clear();"),
    ("a revision has one Last-Modified however many read it", "store::", TOPICS, 'if present.try_get("is_unlisted")? {', "if true {"),
    ("doubts go by stars and by update", "store::", SQL, "(by_stars <= $3 OR by_update <= $3)", "by_stars <= $3"),
    ("overtaken is who has no place by either", "store::", SQL, "by_stars > $3 AND by_update > $3", "by_stars > $3"),
    ("whole topics lose nobody by being overtaken", "coverage::", SQL, "if let Scope::First(depth) = confirmed.scope {", "let depth = confirmed.scope.depth().min(500);\n            {"),
    ("every repository of a whole topic may be in doubt", "coverage::what_is_deleted", SRC + "store.rs", "Self::All | Self::Since { .. } => i64::MAX", "Self::All | Self::Since { .. } => 500"),
    ("a lost lease stores nothing", "store::sqlite::leases", SQL, "if kept.rows_affected() == 1 {", "if true {"),
    ("entries are kept for 30 days", "store::sqlite::keeps_a_ledger", SRC + "store.rs", "LEDGER_TIME: TimeDelta = TimeDelta::days(30)", "LEDGER_TIME: TimeDelta = TimeDelta::days(0)"),
    ("a whole topic is read past 1,000", "coverage::more_changes", SLICES, "too_large = total.filter(|total| *total > SEARCH_CAP);", "too_large = None;"),
    ("a slice with a hole is read again", "coverage::repositories_that_move", SLICES, "reading.lacks_some() && reading.fault.is_none() && rereads", "false && rereads"),
    ("slices of the last hour are not read again", "coverage::slices_that", SLICES, "let Some(read_at) = read.get(&slice)", "let Some(read_at) = read.get(&slice).filter(|_| false)"),
    ("older slices are", "coverage::slices_that", SLICES, "FRESH: TimeDelta = TimeDelta::hours(1)", "FRESH: TimeDelta = TimeDelta::days(9)"),
    ("what an earlier run read counts as shown", "coverage::slices_that", SQL, "UPDATE topic_repositories SET confirmed_in = $2, confirmed_at = $5\n", "UPDATE topic_repositories SET confirmed_in = confirmed_in + 0 * $2, confirmed_at = $5\n"),
    ("a whole topic is compared with its count", "coverage::", RUN, "self.plan == Plan::Complete && (counted - size - 1) * TOLERATED_OF > counted", "false"),
    ("an order by push is recognised", "coverage::is_right_too", SRC + "refresh/reading.rs", "self.against_push < self.against_update", "false"),
    ("too many changes bring the whole run forward", "coverage::more_changes", RUN, "self.covered.covered_at = None;", ""),
    ("a whole topic is read whole every day", "coverage::once_a_day", SRC + "refresh/plan.rs", "if covered_at.date_naive() == now.date_naive()", "if covered_at <= now"),
    ("changes are read back to the last run", "coverage::", PAGES, "Extent::Since(time) => reading.oldest.is_some_and(|oldest| oldest < time)", "Extent::Since(_) => true"),
    ("the limit is spread over its window", "lib quota::", QUOTA, "(bucket == Bucket::Search).then", "false.then"),
    ("a turn is one request's", "lib quota::", QUOTA, "self.next_at = Some(next.max(at + spacing));", "self.next_at = Some(next);"),
    ("a tenth of the limit is kept back", "lib quota::", QUOTA, "Pace::Scheduled => (limit + 9) / 10", "Pace::Scheduled => -1"),
    ("half is kept back from readers' topics", "lib quota::", QUOTA, "Pace::OnDemand | Pace::Waiting => limit / 2", "Pace::OnDemand | Pace::Waiting => 0"),
    ("an empty window is waited for", "lib quota::", QUOTA, "self.pause(end.filter(|end| *end > now).unwrap_or(now + SECONDARY_WAIT));", "let _ = end;"),
    ("a secondary limit is waited for", "lib quota::", QUOTA, "self.pause(now + retry_after.unwrap_or(doubled));", "let _ = (retry_after, doubled);"),
    ("a secondary limit holds for everything", "property::", SRC + "github.rs", "self.pause(bucket.other(), until).await?;", "let _ = until;"),
    ("after five of them the run ends", "lib quota::", QUOTA, "self.strikes < MAX_STRIKES\n", "true\n"),
    ("nobody waits beyond the next ring", "client::stops_as_partial", SRC + "github.rs", "if turn.at > patience.until.max(now) {", "if false {"),
    ("one search at a time", "coverage::topics_side", SRC + "github.rs", "bucket == Bucket::Search && quota.is_busy(now)", "false"),
    ("who cannot wait may still ask at once", "refreshes::what_is_gone", SRC + "github.rs", "patience.until.max(now)", "patience.until"),
    ("readers who must wait take no turns", "lib quota::", QUOTA, "return Turn { at: allowed, is_ours: false };", ""),
    ("unreadable items keep their rank", "refreshes::a_bad_item", SRC + "github/search.rs", "order.extend(id);", ""),
    ("what was taken over is brought up to date", "coverage::slices_that", SLICES, "self.read_changes(since - CHANGES_OVERLAP).await?;", "let _ = since;"),
    ("only GitHub says that a repository is gone", "lib answer::", SRC + "github/answer.rs", "404 | 410 | 451) && is_json(&answer.headers)", "404 | 410 | 451)"),
    ("only GitHub says that there is no limit", "lib answer::", SRC + "github/answer.rs", "(good && is_json(&answer.headers)) ||", "good ||"),
    ("before the first answer the lowest limit is assumed", "lib quota::", QUOTA, "limit: Some(ASSUMED_LIMIT)", "limit: None"),
    ("until then nobody queues by it", "lib quota::", QUOTA, "self.remaining.is_none() && at > allowed", "false"),
    ("pages of another origin are not followed", "lib search::", SRC + "github/search.rs", "if url.origin() == base.origin()", "if true"),
]


def main() -> int:
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant[0] for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("target", ".git", "data"))
        for _, _, file, there, _ in chosen:
            if (copy / file).read_text().count(there) != 1:
                sys.exit(f"{file} does not have once: {there}")
        survivors = 0
        print("| without the rule | the tests |\n| --- | --- |", flush=True)
        for rule, tests, file, there, without in chosen:
            path = copy / file
            text = path.read_text()
            path.write_text(text.replace(there, without))
            verdict = try_tests(copy, tests)
            path.write_text(text)
            survivors += verdict == "**pass**"
            print(f"| {rule} | {verdict} |", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} were noticed", file=sys.stderr)
    return 1 if survivors else 0


def try_tests(copy: Path, tests: str) -> str:
    """The first test that fails, by name."""
    environment = os.environ | {
        "CARGO_TARGET_DIR": os.environ.get("MUTANTS_TARGET_DIR", str(ROOT / "target/mutants")),
        "PROPERTY_SEEDS": "120",
    }
    target = ["--lib"] if tests.startswith("lib ") else ["--test", "it"]
    command = ["cargo", "test", "--locked", "-p", "api", *target]
    built = subprocess.run([*command, "--no-run"], cwd=copy, env=environment, capture_output=True, text=True)
    if built.returncode:
        sys.exit(f"it does not build:\n{built.stderr[-2000:]}")
    run = ["tests/with-servers", *command, "--", tests.removeprefix("lib ")]
    try:
        done = subprocess.run(run, cwd=copy, env=environment, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        return f"`{tests}` never end"
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("test ") and line.endswith("FAILED")]
    if failed:
        return f"`{failed[0]}` fails"
    return "fail" if done.returncode else "**pass**"


if __name__ == "__main__":
    sys.exit(main())
