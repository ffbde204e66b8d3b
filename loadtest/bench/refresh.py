"""The second and third part: what a refresh costs, step by step, and what grows with topics and repositories."""

import collections
import json
import os
import statistics
import subprocess
from pathlib import Path

from measure import Case, measure, median, script
from processes import Processes, fetch, progress, wait_for
from stack import ROOT, Stack

STEPS = {
    "parse": "parsing the pages",
    "write": "writing the pages, a transaction each",
    "finish": "the last transaction: removals, ranks, star snapshot",
    "read": "reading the three lists' rows",
    "build": "JSON and compression",
    "publish": "Redis and the replica's own memory",
    "fresh": "until the other replica has them too",
    "all": "all together",
}


def steps(folder, disk, quick):
    """Medians in milliseconds: {database: {kind: {step: ms}}}."""
    results = {}
    with Processes(folder, disk) as processes:
        stack = Stack(processes)
        stack.start_redis()
        stack.start_postgres()
        wait_for(lambda: subprocess.run(["redis-cli", "-p", str(stack.ports["redis"]), "ping"], capture_output=True).stdout
                 == b"PONG\n", "Redis answers", processes)
        wait_for(lambda: b"ready" in (folder / "postgres.log").read_bytes(), "PostgreSQL is ready", processes)
        for database, url in {"PostgreSQL": stack.database_url, "SQLite": f"sqlite:{disk}/bench.db"}.items():
            progress(f"refreshes on {database}")
            environment = os.environ | {"DATABASE_URL": url, "REDIS_URL": stack.redis_url, "ROUNDS": "5" if quick else "15"}
            done = subprocess.run(["cargo", "bench", "--locked", "--quiet", "--profile", "dist", "-p", "api", "--bench", "refresh"],
                                  cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            kinds = collections.defaultdict(list)
            for line in done.stdout.splitlines():
                run = json.loads(line)
                kinds[run["kind"]].append(run["steps"])
            results[database] = {kind: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
                                 for kind, runs in kinds.items()}
    return results


def growth(folder, disk, quick):
    """Reads, memory and refreshes as the number of topics and of repositories grows: a row each."""
    rows = []
    for count in [1, 10] if quick else [1, 10, 100, 1_000]:
        topics = [f"topic-{number}" for number in range(count)]
        rows.append(grown(folder, disk, f"{count:,} topics of 100", topics, 100, "top", "topics"))
    if not quick:
        rows.append(grown(folder, disk, "1 topic of 35,000, kept whole", ["kubernetes"], 35_000, "complete", "whole"))
    return rows


def grown(folder, disk, what, topics, repositories, coverage, name):
    progress(what)
    inner = [Path(parent, f"{name}-{len(topics)}") for parent in (folder, disk)]
    for made in inner:
        made.mkdir()
        made.chmod(0o755)
    with Processes(*inner) as processes:
        stack = Stack(processes, topics, repositories, coverage)
        first = stack.start()
        again = stack.refresh()
        paths = [f"/api/popularity/{topic}" for topic in topics]
        for path in paths:
            assert fetch(stack.url("api-a", path))[0] == 200
        lists = sum(len(fetch(stack.url("api-a", f"/api/{ranking}{topic}"), headers={"Accept-Encoding": encoding})[2])
                    for topic in topics for ranking in ["", "popularity/", "activity/"] for encoding in ["identity", "gzip", "br"])
        stack.settle()

        def reads(route):
            lua = script(inner[0], route, [path.replace("api", route) for path in paths])
            case = Case(what, stack.url("api-a"), {"Accept-Encoding": "gzip"}, script=lua)
            return [measure(processes, case, 2) for _ in range(3)]

        kept = reads("api")
        memory = processes.memory("api-a")
        stored = reads("db")
        return {"what": what, "micros": median(kept, lambda run: run.micros), "stored": median(stored, lambda run: run.micros),
                "failed": sum(run.failed for run in kept + stored), "memory": memory, "lists": lists / 1e6, "first": first,
                "again": again}
