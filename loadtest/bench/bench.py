#!/usr/bin/env python3
"""Measures the stack: `make bench`, or `make bench QUICK=1` for a minute and a half.

The stack and the load generator share this machine, so the figure to rely on is the CPU time that
a request costs all processes together. Each round measures every case once, which spreads a
disturbance of the machine over all cases. The report has medians over the rounds.
"""

import argparse
import http.client
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
import history  # noqa: E402
import pages  # noqa: E402
import queries  # noqa: E402
import refresh  # noqa: E402
import report  # noqa: E402
from measure import Case, measure  # noqa: E402
from processes import Processes, fetch, progress  # noqa: E402
from rankings import RANKINGS, list_path  # noqa: E402
from stack import BUILT, ROOT, Stack  # noqa: E402

TOPIC = "kubernetes"
ENCODINGS = ["identity", "gzip", "br"]
PARTS = ["reads", "refresh", "catalogue", "queries", "pages", "history", "growth"]


class Cases:
    """The cases in order, all at 32 connections, and the names of those for 1 and 256 too."""

    def __init__(self):
        self.cases, self.names_at_other_connections = [], []

    def add(self, name, url, at_other_connections=False, **options):
        self.cases.append(Case(name, url, **options))
        if at_other_connections:
            self.names_at_other_connections.append(name)

    def at_all_connections(self):
        return self.cases + [
            Case(**(vars(case) | {"connections": connections}))
            for connections in [1, 256]
            for case in self.cases
            if case.name in self.names_at_other_connections
        ]


def read_cases(stack, quick, varnish):
    cases = Cases()
    for encoding in ENCODINGS:
        add_lists(cases, stack, encoding, quick, varnish)
    add_conditional_reads(cases, stack)
    gzip = {"Accept-Encoding": "gzip"}
    best_match = list_path("api", "best match", TOPIC)
    replica, proxy, files = (stack.url(name) for name in ["api-a", "nginx", "files"])
    cases.add("file, HEAD", files + "/gzip/list", method="HEAD", headers=gzip)
    cases.add("proxy, HEAD", proxy + best_match, method="HEAD", headers=gzip)
    cases.add("direct, HEAD", replica + best_match, method="HEAD", headers=gzip)
    for ranking, first, suffix in rankings_of(quick):
        path = list_path("db", ranking, TOPIC)
        cases.add(f"/db direct{suffix}", replica + path, first)
        cases.add(f"/db proxy{suffix}", proxy + path, first)
    cases.add("file, /test", files + "/test")
    cases.add("proxy, /test", proxy + "/test")
    cases.add("direct, /test", replica + "/test")
    return cases.cases if quick else cases.at_all_connections()


def rankings_of(quick):
    """Yields each ranking, whether it is the first, and the suffix of its cases' names."""
    for ranking in RANKINGS:
        first = ranking == "best match"
        if first or not quick:
            yield ranking, first, "" if first else f" ({ranking})"


def add_lists(cases, stack, encoding, quick, varnish):
    """Adds the reads of whole lists in one encoding."""
    replica, proxy, uncached, files = (
        stack.url(name) for name in ["api-a", "nginx", "uncached", "files"]
    )
    accept = {"Accept-Encoding": encoding}
    best_match = list_path("api", "best match", TOPIC)
    file = {"identity": "/list", "gzip": "/gzip/list", "br": "/br/list"}[encoding]
    # Brotli is measured at 32 connections alone.
    other = encoding != "br"
    cases.add(f"file, {encoding}", files + file, other, headers=accept)
    # nginx sends files without sendfile by default.
    if encoding != "br":
        cases.add(f"file without sendfile, {encoding}", f"{files}/plain{file}", headers=accept)
    for ranking, first, suffix in rankings_of(quick):
        path = list_path("api", ranking, TOPIC)
        cases.add(f"proxy, {encoding}{suffix}", proxy + path, first and other, headers=accept)
        cases.add(f"direct, {encoding}{suffix}", replica + path, first and other, headers=accept)
    cases.add(f"proxy without cache, {encoding}", uncached + best_match, other, headers=accept)
    # Varnish requests gzip alone, and decompresses it for other clients.
    if varnish and encoding != "br":
        cases.add(f"Varnish, {encoding}", stack.url("varnish", best_match), True, headers=accept)


def add_conditional_reads(cases, stack):
    replica, proxy, files = (stack.url(name) for name in ["api-a", "nginx", "files"])
    best_match = list_path("api", "best match", TOPIC)

    def headers(etag, encoding="gzip"):
        return {"Accept-Encoding": encoding, "If-None-Match": etag}

    etag = gzip_etag(replica + best_match)
    file = files + "/gzip/list"
    cases.add("file, 304", file, True, headers=headers(gzip_etag(file)), status=304)
    cases.add("proxy, 304", proxy + best_match, True, headers=headers(etag), status=304)
    cases.add(
        "proxy, 304 by another encoding's ETag",
        proxy + best_match,
        headers=headers(etag, "br"),
        status=304,
    )
    cases.add("direct, 304", replica + best_match, True, headers=headers(etag), status=304)


def gzip_etag(url):
    _, headers, _ = fetch(url, headers={"Accept-Encoding": "gzip"})
    return headers["ETag"]


def check(case):
    """Asserts that the answer has the case's status and encoding."""
    status, headers, _ = fetch(case.url, case.method, case.headers)
    expected = case.headers.get("Accept-Encoding", "identity")
    encoding = headers.get("Content-Encoding", "identity")
    assert status == case.status, f"{case.name}: {status} instead of {case.status}"
    assert status == 304 or encoding == expected, f"{case.name}: {encoding} instead of {expected}"


def cold_start(stack, processes, times):
    """The median milliseconds from a replica's start to its first list, which Redis has."""
    durations = []
    for _ in range(times):
        processes.stop("api-b")
        started = time.perf_counter()
        stack.start_replica("b")
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", stack.ports["api-b"])
                connection.request("GET", list_path("api", "popularity", TOPIC))
                answer = connection.getresponse()
                if answer.status == 200 and len(answer.read()) > 1000:
                    break
            except OSError:
                time.sleep(0.0005)
        durations.append((time.perf_counter() - started) * 1e3)
    return sorted(durations)[len(durations) // 2]


def reads(folder, disk, quick, varnish):
    """Measures reads of lists. Returns the runs of each case, and the cold start."""
    # A disturbance of the machine lasts for seconds: many short rounds keep it out of the median.
    seconds, rounds = 1, 1 if quick else 7
    with Processes(folder, disk) as processes:
        stack = Stack(processes)
        stack.start()
        stack.vacuum()
        stack.start_proxies(varnish)
        cases = read_cases(stack, quick, varnish)
        for case in cases:
            check(case)
        measured = {}
        for number in range(rounds):
            for case in cases:
                progress(
                    f"round {number + 1} of {rounds}: {case.name}, {case.connections} connections"
                )
                runs = measured.setdefault((case.name, case.connections), [])
                runs.append(measure(processes, case, seconds))
        progress("cold starts")
        return measured, cold_start(stack, processes, 3 if quick else 11)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter runs; the report goes to target/"
    )
    parser.add_argument("--only", choices=PARTS, help="measure one part and write no file")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    began = time.monotonic()
    varnish = shutil.which("varnishd", path=os.environ["PATH"] + ":/usr/sbin") is not None
    # nginx's folder is in memory, as in the container; the databases are on the disk.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=memory) as folder,
        tempfile.TemporaryDirectory(prefix="bench-") as disk,
    ):
        folders = {part: make_folders(part, folder, disk) for part in PARTS}
        parts = {
            "reads": lambda: reads(*folders["reads"], arguments.quick, varnish),
            "refresh": lambda: refresh.steps(*folders["refresh"], arguments.quick),
            "catalogue": lambda: refresh.catalogues(*folders["catalogue"]),
            "queries": lambda: queries.latencies(*folders["queries"], arguments.quick),
            "pages": lambda: pages.pages(*folders["pages"], arguments.quick),
            "history": lambda: history.years(*folders["history"], arguments.quick),
            "growth": lambda: refresh.growth(*folders["growth"], arguments.quick),
        }
        results = {name: part() for name, part in parts.items() if arguments.only in (None, name)}
    text, svg, failed = report.write(results, time.monotonic() - began)
    print(text)
    if arguments.only is None:
        report.save(text, svg, BUILT.parent if arguments.quick else ROOT / "docs")
    sys.exit(1 if failed else 0)


def make_folders(part, *parents):
    """Makes a folder for `part` in each parent, which servers of other users can enter."""
    folders = [Path(parent, part) for parent in parents]
    for folder in folders:
        folder.parent.chmod(0o755)
        folder.mkdir(mode=0o755)
    return folders


if __name__ == "__main__":
    main()
