#!/usr/bin/env python3
"""Runs the stack under a moderate load with a refresh every few seconds, and looks for growth.

    soak.py --minutes 60    writes docs/reliability.md

nginx, two replicas, PostgreSQL, Redis and GitHub's stand-in run as processes. A client asks for 100
checked answers a second from every kind of route, after the capacity was measured. Memory,
descriptors, connections and tables are sampled; after a warm-up, each has a slope an hour. Exits 1
if a slope exceeds its bound or if an answer broke a promise.
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
for folder in "faults", "overload", "soak":
    sys.path.insert(0, str(Path(__file__).resolve().parent / folder))
from capacity import knee  # noqa: E402
from cells import Cell  # noqa: E402
from client import Client  # noqa: E402
from document import write  # noqa: E402
from mix import repositories, script  # noqa: E402
from parts import BUILT, TOPIC, Parts, WiredStack  # noqa: E402
from rings import PERIOD, Rings  # noqa: E402
from routes import routes  # noqa: E402
from samples import Samples  # noqa: E402
from slopes import HOUR, slopes  # noqa: E402
from stack import REPLICAS  # noqa: E402
from traffic import REQUESTS_A_SECOND, Traffic  # noqa: E402

SAMPLE_SECONDS = 5
# Different answers that each replica makes at first. They are larger than its caches for answers.
ANSWERS = 1_500
ANSWER = "/api/popularity/{}?stars=..{}&fields=all&per_page=100"
MOST_STARS = 10_000_000
# The minutes after which the slopes begin. A replica's memory grows for eight minutes and then stays
# the same, with full caches as with empty ones; pools open their connections in bursts.
WARM_UP = 9


async def fill(stack, replica):
    client = Client(stack.ports[replica])
    for number in range(ANSWERS):
        path = ANSWER.format(TOPIC, MOST_STARS + number)
        answer = await client.get(path, {"Accept-Encoding": "gzip"}, seconds=30)
        assert answer.status == 200, answer.body
    client.close()


async def capacity(stack, folder):
    """That of nginx by the mix of `make overload`, in requests a second."""
    status, _, body = await stack.request("nginx", f"/api/popularity/{TOPIC}")
    assert status == 200, body
    most = await knee(stack.url("nginx"), script(Path(folder), repositories(body)))
    return most.accepted_rate


async def run(folder, disk, minutes):
    # A stop ends the processes too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    seconds = minutes * 60
    with Parts(folder, disk) as processes:
        stack = WiredStack(processes, BUILT.resolve(), wired=[])
        await stack.begin()
        for replica in REPLICAS:
            await fill(stack, replica)
        most = await capacity(stack, folder)
        (identity, *_) = await stack.stub(f"ranked/{TOPIC}/stars")
        (name,) = await stack.sql(f"SELECT full_name FROM repositories WHERE id = {identity}")
        calm = Cell()
        rings, samples = Rings(stack, calm), Samples(stack)
        ringing = asyncio.create_task(rings.run())
        async with Traffic(stack.ports["nginx"], list(routes(name, identity)), calm) as traffic:
            while time.monotonic() - samples.began < seconds:
                await samples.take()
                progress(samples, seconds)
                await asyncio.sleep(SAMPLE_SECONDS)
                if ringing.done():
                    ringing.result()
        ringing.cancel()
        return most, samples, traffic.tally, rings


def progress(samples, seconds):
    if sys.stderr.isatty():
        done = time.monotonic() - samples.began
        print(f"\r{done:.0f} of {seconds:.0f} s", end="", file=sys.stderr, flush=True)


def row(slope):
    bound = f"{slope.bound:,.0f}" + " (exceeded)" * slope.is_exceeded
    figures = [f"{value:,.1f}" for value in (slope.first, slope.last)]
    cells = [slope.kind, slope.subject, *figures, f"{slope.hourly:+,.1f}", bound]
    return f"| {' | '.join(cells)} |\n"


def report(minutes, most, tally, rings, found):
    """The text for docs/reliability.md. Of tables, those that stay the same are left out."""
    always = ("memory, MB", "descriptors", "connections")
    told = [slope for slope in found if slope.hourly or slope.kind in always]
    return (
        f"`make soak MINUTES={minutes:.0f}`: {tally.requests} requests, {tally.faults.total()} of "
        f"which broke a promise, and {rings.sent} refreshes. The load was "
        f"{REQUESTS_A_SECOND / most:.1%} of the capacity, {most:.0f} requests a second. The slopes "
        f"are those after the first {WARM_UP} minutes.\n\n"
        "| figure | of | then | at the end | an hour | bound |\n"
        "| --- | --- | ---: | ---: | ---: | ---: |\n" + "".join(map(row, told))
    )


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    return parser.parse_args()


def main():
    minutes = parse_arguments().minutes
    if minutes < WARM_UP + 1:
        raise SystemExit(f"--minutes: {WARM_UP + 1} at least, of which {WARM_UP} have no slope")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="soak-", dir=memory) as folder,
        tempfile.TemporaryDirectory(prefix="soak-") as disk,
    ):
        for path in folder, disk:
            os.chmod(path, 0o755)
        most, samples, tally, rings = asyncio.run(run(folder, disk, minutes))
    found = list(slopes(samples.values, 60 * WARM_UP, HOUR / PERIOD))
    text = report(minutes, most, tally, rings, found)
    write("soak", text)
    print(text)
    for fault, count in [*tally.faults.most_common(), *((fault, 1) for fault in rings.faults)]:
        print(f"{count} times: {fault}")
    exceeded = sum(slope.is_exceeded for slope in found)
    return 1 if exceeded or tally.faults or rings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
