"""Load by wrk, and the knee of the rate."""

import asyncio
import dataclasses
import json

from parts import program

# wrk's numbers of connections, of which the knee is the first that brings nearly the highest rate.
STEPS = [4, 8, 16, 32, 64]
NEARLY = 0.95
STEP_SECONDS = 3
# The runs of each step, of which the one with the highest rate counts: other programs of the machine
# can only lower it.
STEP_RUNS = 2


@dataclasses.dataclass
class Run:
    """The answers within some time. Latencies are in seconds; `p99` is a bound on that of the
    answers that were not refused, as if the refused ones had been the fastest."""

    requests: int
    refused: int
    broken: int
    seconds: float
    p50: float
    p99: float
    connections: int

    @property
    def accepted_rate(self):
        return (self.requests - self.refused) / self.seconds

    @property
    def rate(self):
        return self.requests / self.seconds


async def wrk(url, script, connections, seconds):
    options = [f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    process = await asyncio.create_subprocess_exec(
        *[program("wrk"), *options, url],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    figures = [line for line in output.splitlines() if line.startswith("JSON ")]
    if process.returncode != 0 or not figures:
        raise SystemExit(f"wrk ended with {process.returncode}:\n{output}")
    return Run(**json.loads(figures[0].removeprefix("JSON ")), connections=connections)


async def knee(url, script):
    """The run at the knee, after one that fills the caches."""
    await wrk(url, script, STEPS[-1], STEP_SECONDS)
    runs = [await best(url, script, connections) for connections in STEPS]
    most = max(run.accepted_rate for run in runs)
    return next(run for run in runs if run.accepted_rate >= NEARLY * most)


async def best(url, script, connections):
    runs = [await wrk(url, script, connections, STEP_SECONDS) for _ in range(STEP_RUNS)]
    return max(runs, key=lambda run: run.accepted_rate)
