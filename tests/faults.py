#!/usr/bin/env python3
"""Breaks the parts of the stack, alone and in pairs, under load, and checks what it promises.

    faults.py                every cell, a quarter of an hour; writes docs/reliability.md
    faults.py --sample       a few cells, less than a minute
    faults.py --only Redis   the cells whose name has that text

nginx, two replicas, PostgreSQL, Redis and GitHub's stand-in run as processes on free ports, with a
wire between them that can be cut. Prints the cells with the promises that were broken and exits 1
if there is one.
"""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))
from cells import Cell, cells  # noqa: E402
from document import write  # noqa: E402
from matrix import Matrix  # noqa: E402
from parts import BUILT, TOPIC, Parts, WiredStack  # noqa: E402
from rings import Rings  # noqa: E402
from routes import routes  # noqa: E402
from traffic import REQUESTS_A_SECOND, Traffic  # noqa: E402

# Each kind of fault has a part in one of these cells.
SAMPLE = ["GitHub empty + replica restarted", "Redis stopped + PostgreSQL read-only"]


async def existing(stack, candidates):
    """The routes that this release has: those for people may come later."""
    found = []
    for route in candidates:
        _, headers, _ = await stack.request("nginx", route.path, headers=route.headers)
        if route.name != "pages" or headers["Content-Type"].startswith(route.content):
            found.append(route)
    return found


async def run(folder, disk, programs, chosen):
    # A stop ends the processes too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    results = []
    with Parts(folder, disk) as processes:
        stack = WiredStack(processes, programs)
        await stack.begin()
        (identity, *_) = await stack.stub(f"ranked/{TOPIC}/stars")
        (name,) = await stack.sql(f"SELECT full_name FROM repositories WHERE id = {identity}")
        calm = Cell()
        stack.rings = Rings(stack, calm)
        table = await existing(stack, routes(name, identity))
        ringing = asyncio.create_task(stack.rings.run())
        async with Traffic(stack.ports["nginx"], table, calm) as traffic:
            matrix = Matrix(stack, traffic, stack.rings)
            for cell in chosen:
                results.append(await matrix.run(cell))
                tell(results[-1])
                if ringing.done():
                    ringing.result()
            traffic.permits = calm
        ringing.cancel()
        await stack.close()
    return results


def tell(result):
    tally = result.tally
    verdict = "FAIL" if result.broken else "ok"
    print(
        f"{verdict:4} {result.cell}: {tally.requests} requests, {tally.refused.total()} refused, "
        f"slowest {tally.slowest:.1f} s, {result.lines} lines, {result.seconds:.0f} s",
        *[f"     refused: {dict(tally.refused)}"] * bool(tally.refused),
        *[f"     {promise}" for promise in result.broken],
        sep="\n",
        flush=True,
    )


def table(results, seconds):
    """The report, for docs/reliability.md."""
    requests = sum(result.tally.requests for result in results)
    broken = sum(bool(result.broken) for result in results)
    lines = [
        f"`make faults` ran {len(results)} cells with {requests} requests, {REQUESTS_A_SECOND} a "
        f"second, in {seconds / 60:.0f} minutes; {broken} of the cells broke a promise.",
        "",
        "| faults | requests | refused | slowest | log lines | broken promises |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for result in results:
        tally = result.tally
        promises = "; ".join(result.broken).replace("|", "\\|") or "none"
        lines.append(
            f"| {result.cell} | {tally.requests} | {tally.refused.total()} | {tally.slowest:.1f} s "
            f"| {result.lines} | {promises} |"
        )
    return "\n".join(lines) + "\n"


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", action="store_true", help="a few cells; writes nothing")
    parser.add_argument("--only", metavar="TEXT", help="cells with this in their name")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="copies the logs there")
    parser.add_argument(
        "--programs", type=Path, metavar="FOLDER", help="the folder of the programs"
    )
    return parser.parse_args()


def main():
    arguments, began = parse_arguments(), time.monotonic()
    chosen = list(cells())
    if arguments.sample:
        chosen = [cell for cell in chosen if str(cell) in SAMPLE]
    if arguments.only:
        chosen = [cell for cell in chosen if arguments.only in str(cell)]
    programs = arguments.programs or BUILT.with_name("debug" if arguments.sample else "dist")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="faults-", dir=memory) as folder,
        tempfile.TemporaryDirectory(prefix="faults-") as disk,
    ):
        for path in folder, disk:
            os.chmod(path, 0o755)
        try:
            results = asyncio.run(run(folder, disk, programs.resolve(), [Cell(), *chosen]))
        finally:
            if arguments.logs:
                arguments.logs.mkdir(parents=True, exist_ok=True)
                for log in Path(folder).glob("*.log"):
                    shutil.copy(log, arguments.logs)
    if not (arguments.sample or arguments.only):
        write("faults", table(results, time.monotonic() - began))
    broken = sum(bool(result.broken) for result in results)
    print(f"{len(results)} cells in {time.monotonic() - began:.0f} s, {broken} broke a promise")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
