#!/usr/bin/env python3
"""Measures the stack: `make bench`, or `make bench QUICK=1` for a look in a minute and a half.

Everything runs on this machine, the load generator too, so the figure to trust is the CPU time a request costs all processes
together. What is compared runs side by side: each round measures every case once, and medians over the rounds count."""

import argparse
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
import refresh  # noqa: E402
import report  # noqa: E402
from measure import Case, measure  # noqa: E402
from processes import Processes, fetch, progress  # noqa: E402
from stack import BUILT, ROOT, Stack  # noqa: E402

LISTS = {"best match": "/api/kubernetes", "popularity": "/api/popularity/kubernetes", "activity": "/api/activity/kubernetes"}
ENCODINGS = ["identity", "gzip", "br"]


def cases(stack, quick, varnish):
    """Every case once, at 32 connections; and which of them at 1 and at 256 too."""
    replica, proxy, uncached, files = (stack.url(name) for name in ["api-a", "nginx", "uncached", "files"])
    every, also = [], []

    def case(name, url, also_at_other_connections=False, **more):
        every.append(Case(name, url, **more))
        if also_at_other_connections:
            also.append(name)

    for encoding in ENCODINGS:
        accept = {"Accept-Encoding": encoding}
        file = files + {"identity": "/list", "gzip": "/gzip/list", "br": "/br/list"}[encoding]
        case(f"file, {encoding}", file, encoding != "br", headers=accept)
        # nginx' own default.
        if encoding != "br":
            case(f"file without sendfile, {encoding}", file.replace(files, files + "/plain"), headers=accept)
        for name, path in LISTS.items():
            first = name == "best match"
            if first or not quick:
                suffix = "" if first else f" ({name})"
                case(f"proxy, {encoding}{suffix}", proxy + path, first and encoding != "br", headers=accept)
                case(f"direct, {encoding}{suffix}", replica + path, first and encoding != "br", headers=accept)
        case(f"proxy without cache, {encoding}", uncached + LISTS["best match"], encoding != "br", headers=accept)
        # Varnish asks for gzip alone, and unpacks it for others.
        if varnish and encoding != "br":
            case(f"Varnish, {encoding}", stack.url("varnish", LISTS["best match"]), True, headers=accept)
    etag = fetch(replica + LISTS["best match"], headers={"Accept-Encoding": "gzip"})[1]["ETag"]
    same = {"Accept-Encoding": "gzip", "If-None-Match": etag}
    other = {"Accept-Encoding": "br", "If-None-Match": etag}
    file_etag = {"Accept-Encoding": "gzip", "If-None-Match": fetch(files + "/gzip/list", headers={"Accept-Encoding": "gzip"})[1]["ETag"]}
    case("file, 304", files + "/gzip/list", True, headers=file_etag, status=304)
    case("proxy, 304", proxy + LISTS["best match"], True, headers=same, status=304)
    case("proxy, 304 by another encoding's ETag", proxy + LISTS["best match"], headers=other, status=304)
    case("direct, 304", replica + LISTS["best match"], True, headers=same, status=304)
    case("file, HEAD", files + "/gzip/list", method="HEAD", headers={"Accept-Encoding": "gzip"})
    case("proxy, HEAD", proxy + LISTS["best match"], method="HEAD", headers={"Accept-Encoding": "gzip"})
    case("direct, HEAD", replica + LISTS["best match"], method="HEAD", headers={"Accept-Encoding": "gzip"})
    for name, path in LISTS.items():
        first = name == "best match"
        if first or not quick:
            suffix = "" if first else f" ({name})"
            case(f"/db direct{suffix}", replica + path.replace("/api", "/db"), first)
            case(f"/db proxy{suffix}", proxy + path.replace("/api", "/db"), first)
    case("file, /test", files + "/test")
    case("proxy, /test", proxy + "/test")
    case("direct, /test", replica + "/test")
    if quick:
        return every
    return every + [Case(**(vars(one) | {"connections": connections}))
                    for connections in [1, 256] for one in every if one.name in also]


def check(case):
    """That the case is what it says."""
    status, headers, _ = fetch(case.url, case.method, case.headers)
    encoding = case.headers.get("Accept-Encoding", "identity")
    got = headers.get("Content-Encoding", "identity")
    assert status == case.status, f"{case.name}: {status} instead of {case.status}"
    assert status == 304 or got == encoding, f"{case.name}: {got} instead of {encoding}"


def cold_starts(stack, processes, times):
    """Milliseconds from the start of a replica to its first list, which Redis has."""
    took = []
    for _ in range(times):
        processes.stop("api-b")
        started = time.perf_counter()
        stack.start_replica("b")
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", stack.ports["api-b"])
                connection.request("GET", LISTS["popularity"])
                answer = connection.getresponse()
                if answer.status == 200 and len(answer.read()) > 1000:
                    break
            except OSError:
                time.sleep(0.0005)
        took.append((time.perf_counter() - started) * 1e3)
    return sorted(took)[len(took) // 2]


def reads(folder, disk, quick, varnish):
    """The first part: lists as they are read."""
    # Many short rounds: what disturbs the machine lasts for seconds.
    seconds, rounds = 1, 1 if quick else 7
    with Processes(folder, disk) as processes:
        stack = Stack(processes)
        stack.start()
        stack.settle()
        stack.start_proxies(varnish)
        every = cases(stack, quick, varnish)
        for case in every:
            check(case)
        measured = {}
        for number in range(rounds):
            for case in every:
                progress(f"round {number + 1} of {rounds}: {case.name}, {case.connections} connections")
                runs = measured.setdefault((case.name, case.connections), [])
                runs.append(measure(processes, case, seconds))
        progress("cold starts")
        return measured, cold_starts(stack, processes, 3 if quick else 11)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true", help="fewer and shorter runs; the report goes to target/")
    arguments.add_argument("--only", choices=["reads", "refresh", "growth"], help="one part; nothing is written")
    arguments = arguments.parse_args()
    began = time.monotonic()
    varnish = shutil.which("varnishd", path=os.environ["PATH"] + ":/usr/sbin") is not None
    # nginx' folder is in memory, as in the container; the databases are on the disk.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=memory) as folder, tempfile.TemporaryDirectory(prefix="bench-") as disk:
        places = {part: places_for(part, folder, disk) for part in ["reads", "refresh", "growth"]}
        parts = {
            "reads": lambda: reads(*places["reads"], arguments.quick, varnish),
            "refresh": lambda: refresh.steps(*places["refresh"], arguments.quick),
            "growth": lambda: refresh.growth(*places["growth"], arguments.quick),
        }
        results = {name: part() for name, part in parts.items() if arguments.only in (None, name)}
    text, svg, failed = report.write(results, time.monotonic() - began)
    print(text)
    if arguments.only is None:
        report.save(text, svg, BUILT.parent if arguments.quick else ROOT / "docs")
    sys.exit(1 if failed else 0)


def places_for(part, *parents):
    """A folder in each, into which servers that are somebody else may look."""
    places = [Path(parent, part) for parent in parents]
    for place in places:
        place.parent.chmod(0o755)
        place.mkdir(mode=0o755)
    return places


if __name__ == "__main__":
    main()
