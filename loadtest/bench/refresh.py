"""Measures the steps of a refresh, and growth with the number of topics and repositories."""

import collections
import contextlib
import json
import os
import statistics
import subprocess
from pathlib import Path

from measure import Case, measure, median, script
from processes import Processes, fetch, progress, wait_for
from rankings import RANKINGS, list_path
from stack import ROOT, Stack

# The steps that api/benches/refresh.rs measures, and their names in the report.
STEPS = {
    "parse": "parsing the pages",
    "write": "writing the pages, a transaction each",
    "finish": "the last transaction: removals, ranks, the topic's day",
    "read": "reading the rows of the lists",
    "build": "JSON and compression",
    "publish": "writing to Redis and to the replica's memory",
    "fresh": "until the other replica has the lists too",
    "all": "all steps",
}


def steps(folder, disk, quick):
    """Medians in milliseconds: {database: {kind: {step: ms}}}."""
    with databases(folder, disk) as (stack, urls):
        return {database: steps_on(database, url, stack, quick) for database, url in urls.items()}


def catalogues(folder, disk):
    """The figures of api/benches/catalogue.rs: {database: {figure: value}}."""
    with databases(folder, disk) as (stack, urls):
        found = {}
        for database, url in urls.items():
            progress(f"a catalogue on {database}")
            found[database] = json.loads(run_bench("catalogue", stack, url))
        return found


@contextlib.contextmanager
def databases(folder, disk):
    """A stack of which only Redis and PostgreSQL run, and the address of each empty database."""
    with Processes(folder, disk) as processes:
        stack = Stack(processes)
        stack.start_redis()
        stack.start_postgres()
        ping = ["redis-cli", "-p", str(stack.ports["redis"]), "ping"]
        wait_for(
            lambda: subprocess.run(ping, capture_output=True).stdout == b"PONG\n",
            "Redis answers",
            processes,
        )
        wait_for(
            lambda: b"ready" in (folder / "postgres.log").read_bytes(),
            "PostgreSQL is ready",
            processes,
        )
        yield stack, {"PostgreSQL": stack.database_url, "SQLite": f"sqlite:{disk}/bench.db"}


def run_bench(name, stack, url, rounds=5):
    """Runs a benchmark of the api and returns its output."""
    command = f"cargo bench --locked --quiet --profile dist -p api --bench {name}"
    environment = os.environ | {
        "DATABASE_URL": url,
        "REDIS_URL": stack.redis_url,
        "ROUNDS": str(rounds),
    }
    return subprocess.run(
        command.split(), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def steps_on(database, url, stack, quick):
    progress(f"refreshes on {database}")
    output = run_bench("refresh", stack, url, rounds=5 if quick else 15)
    kinds = collections.defaultdict(list)
    for line in output.splitlines():
        run = json.loads(line)
        kinds[run["kind"]].append(run["steps"])
    return {
        kind: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for kind, runs in kinds.items()
    }


def growth(folder, disk, quick):
    """Measures each size of the stack. Returns a row for each."""
    rows = []
    for count in [1, 10] if quick else [1, 10, 100, 1_000]:
        topics = [f"topic-{number}" for number in range(count)]
        stack = {"topics": topics, "repositories": 100, "coverage": "top"}
        rows.append(measure_size(folder, disk, "topics", f"{count:,} topics of 100", stack))
    if not quick:
        stack = {"topics": ["kubernetes"], "repositories": 35_000, "coverage": "complete"}
        rows.append(measure_size(folder, disk, "whole", "1 topic of 35,000, kept whole", stack))
    return rows


def measure_size(folder, disk, kind, size, options):
    """Measures reads, memory and refreshes of a stack with these options."""
    progress(size)
    topics = options["topics"]
    folders = [Path(parent, f"{kind}-{len(topics)}") for parent in (folder, disk)]
    for made in folders:
        made.mkdir()
        made.chmod(0o755)
    with Processes(*folders) as processes:
        stack = Stack(processes, **options)
        first = stack.start()
        again = stack.refresh()
        for topic in topics:
            assert fetch(stack.url("api-a", list_path("api", "popularity", topic)))[0] == 200
        lists = lists_bytes(stack)
        stack.vacuum()

        def reads(root):
            paths = [list_path(root, "popularity", topic) for topic in topics]
            lua = script(folders[0], root, paths)
            case = Case(size, stack.url("api-a"), {"Accept-Encoding": "gzip"}, script=lua)
            return [measure(processes, case, 2) for _ in range(3)]

        api = reads("api")
        memory = processes.memory("api-a")
        db = reads("db")
        return {
            "size": size,
            "api_micros": median(api, lambda run: run.micros),
            "db_micros": median(db, lambda run: run.micros),
            "failed": sum(run.failed for run in api + db),
            "memory": memory,
            "lists": lists / 1e6,
            "first": first,
            "again": again,
        }


def lists_bytes(stack):
    """Reads every list in every encoding. Returns the total of their bytes."""
    total = 0
    for topic in stack.topics:
        for ranking in RANKINGS:
            url = stack.url("api-a", list_path("api", ranking, topic))
            for encoding in ["identity", "gzip", "br"]:
                _, _, body = fetch(url, headers={"Accept-Encoding": encoding})
                total += len(body)
    return total
