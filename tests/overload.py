#!/usr/bin/env python3
"""Measures the capacity of the service, and loads it with ten times as much and with floods.

    overload.py                 every service; five minutes; writes docs/reliability.md
    overload.py --only replica  the services whose name has that text

wrk asks for a mix of lists, queries, pages and pictures: one replica, nginx with two replicas and
PostgreSQL, and one process with SQLite. Every figure is compared with the capacity that was
measured in the same run. Exits 1 if a bound is exceeded.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
for folder in "faults", "overload":
    sys.path.insert(0, str(Path(__file__).resolve().parent / folder))
from document import write  # noqa: E402
from floods import allow_files, floods  # noqa: E402
from capacity import STEPS  # noqa: E402
from mix import mix, repositories, script  # noqa: E402
from parts import BUILT, TOPIC, Parts  # noqa: E402
from targets import TARGETS, Targets  # noqa: E402
from trials import BURST, TIMES, flooded, overload, ratio  # noqa: E402

# More than the connections of all floods at once, of this process and of each part.
FILES = 8_192


async def run(folder, disk, programs, chosen):
    # A stop ends the processes too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    overloads, flooding = [], []
    with Parts(folder, disk) as processes:
        stack = Targets(processes, programs)
        await stack.begin()
        _, _, body = await stack.request("api-a", f"/api/popularity/{TOPIC}")
        names = repositories(body)
        requests = script(Path(folder), names)
        for target in chosen:
            overloads.append(await overload(stack, target, requests, mix(names)))
            tell(overload_row(overloads[-1]))
        each = floods(TOPIC)
        for target in chosen:
            if target.like:
                continue
            for several in [*([flood] for flood in each), each]:
                flooding.append(await flooded(stack, target, mix(names), several))
                tell(flood_row(flooding[-1]))
    return overloads, flooding


OVERLOAD = [
    "service", "burst", "capacity", "accepted", "refused", "p99 of accepted", "p99 of refusals",
    "/health", "/ready", "recovery", "exceeded bounds",
]
FLOOD = [
    "service", "clients", "connections", "p99 beside them", "memory", "kernel", "exceeded bounds"
]


def overload_row(result):
    capacity, loaded = result.knee, result.run
    return [
        result.title,
        f"{result.burst} of {BURST}",
        f"{capacity.accepted_rate:.0f}/s, {capacity.connections} connections, "
        f"p99 {capacity.p99 * 1e3:.0f} ms",
        f"{loaded.accepted_rate / capacity.accepted_rate:.2f}",
        f"{loaded.refused / loaded.requests:.1%}",
        f"{ratio(loaded.p99, capacity.p99):.1f}",
        *(f"{value * 1e3:.0f} ms" for value in (result.refusals, result.health, result.ready)),
        f"{result.recovery:.1f} s",
        "; ".join(result.broken) or "none",
    ]


def flood_row(result):
    return [
        result.title,
        result.flood,
        f"{result.connections:,}",
        f"{result.ratio:.1f}",
        f"{result.memory:+.0f} MB",
        f"{result.kernel:+.0f} MB",
        "; ".join(result.broken) or "none",
    ]


def tell(row):
    print(" | ".join(row), flush=True)


def table(head, rows):
    rule = ["---"] * len(head)
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *rows])


def report(overloads, flooding, seconds):
    """The text for docs/reliability.md."""
    return (
        f"`make overload` took {seconds / 60:.0f} minutes on {os.cpu_count()} cores, which wrk and "
        f"the databases shared. Capacity is the least of {', '.join(map(str, STEPS))} connections "
        f"that brings nearly the highest rate; the load is {TIMES} times those connections.\n\n"
        + table(OVERLOAD, map(overload_row, overloads))
        + "\n"
        + table(FLOOD, map(flood_row, flooding))
    )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="TEXT", help="services with this in their name")
    return parser.parse_args()


def main():
    arguments, began = parse_arguments(), time.monotonic()
    allow_files(FILES)
    chosen = [target for target in TARGETS if (arguments.only or "") in target.title]
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="overload-", dir=memory) as folder,
        tempfile.TemporaryDirectory(prefix="overload-") as disk,
    ):
        for path in folder, disk:
            os.chmod(path, 0o755)
        overloads, flooding = asyncio.run(run(folder, disk, BUILT.resolve(), chosen))
    if not arguments.only:
        write("overload", report(overloads, flooding, time.monotonic() - began))
    broken = sum(len(result.broken) for result in [*overloads, *flooding])
    print(f"{time.monotonic() - began:.0f} s, {broken} bounds were exceeded")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
