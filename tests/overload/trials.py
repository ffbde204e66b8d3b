"""The trials of one service: a burst of pages, ten times the load of its capacity, and floods of
connections."""

import asyncio
import dataclasses
import itertools
import os
import re
import time
from pathlib import Path

from client import Client
from floods import Flooding
from capacity import knee, wrk
from mix import Ask
from parts import TOPIC, descendants
from probe import Probe, accepted, faults, percentile, refused

# Pages that a calm service is asked for at once, each for the first time.
BURST = 32
STARS = itertools.count()
# The load beyond capacity, as a multiple of the connections at the knee.
TIMES = 10
LOAD_SECONDS = 8
CALM_SECONDS = 2
FLOOD_SECONDS = 4
# The bounds: latencies as ratios, times in seconds, memory in MB.
ACCEPTED_P99 = 5.0
REFUSAL_SECONDS = 0.5
HEALTH_SECONDS = 0.1
RECOVERY_SECONDS = 5.0
FLOOD_P99 = 5.0
FLOOD_MEMORY = 100.0
# A share of the answers that a busy machine may delay beyond a bound in seconds.
LATE_PERCENT = 99
# Latencies below this are one figure: a machine that other programs keep busy delays by as much.
NOISE = 0.02
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclasses.dataclass
class Overload:
    """The figures of ten times the load."""

    title: str
    knee: object
    burst: int
    run: object
    refusals: float
    health: float
    ready: float
    recovery: float
    broken: list


@dataclasses.dataclass
class Flooded:
    """The figures of a flood."""

    title: str
    flood: str
    connections: int
    ratio: float
    memory: float
    kernel: float
    broken: list


def beside(stack, target, mix):
    return Probe(stack.ports[target.name], mix, stack.ports[target.judged])


def ratio(value, base):
    return max(value, NOISE) / max(base, NOISE)


async def burst(port):
    """The answers to BURST new pages that are asked for at once."""
    clients = [Client(port) for _ in range(BURST)]
    asks = [Ask("pages", f"/t/{TOPIC}?stars={next(STARS)}..", "text/html") for _ in clients]
    began = time.monotonic()
    asked = [Probe.ask(client, ask, began) for client, ask in zip(clients, asks)]
    answers = await asyncio.gather(*asked)
    for client in clients:
        client.close()
    return answers


async def capacity_beside(stack, target, script, mix):
    """The knee, and the broken promises to clients beside it as beside the load: they take a share
    of the CPU."""
    async with beside(stack, target, mix) as probe:
        most = await knee(stack.url(target.name), script)
    return most, faults(probe.answers)


async def overload(stack, target, script, mix):
    """Loads a service beyond its capacity, with clients beside the load and after it."""
    url = stack.url(target.name)
    at_once, broken = await burst(stack.ports[target.name]), []
    if target.like:
        capacity = stack.capacities[target.like]
    else:
        capacity, broken = await capacity_beside(stack, target, script, mix)
    stack.capacities[target.name] = capacity
    async with beside(stack, target, mix) as probe:
        await asyncio.sleep(CALM_SECONDS)
        began = time.monotonic()
        run = await wrk(url, script, TIMES * capacity.connections, LOAD_SECONDS)
        ended = time.monotonic()
        await asyncio.sleep(RECOVERY_SECONDS + 1)
    during, after = probe.within(began, ended), probe.within(ended, time.monotonic())
    bad = [one for one in after if one.status != 200 or one.seconds > ACCEPTED_P99 * capacity.p99]
    result = Overload(
        target.title,
        capacity,
        len(accepted(at_once)),
        run,
        percentile(refused(during), LATE_PERCENT),
        percentile(probe.within(began, ended, "/health"), LATE_PERCENT),
        percentile(probe.within(began, ended, "/ready"), LATE_PERCENT),
        max((one.at + one.seconds - ended for one in bad), default=0.0),
        faults(at_once) + broken + faults(during) + faults(after),
    )
    result.broken += missed(result)
    return result


def missed(result):
    """The bounds that the figures exceed."""
    p99 = ratio(result.run.p99, result.knee.p99)
    bounds = {
        f"{BURST - result.burst} of {BURST} pages of a burst were not answered": result.burst < BURST,
        f"p99 of accepted requests is {p99:.1f} times that at capacity": p99 > ACCEPTED_P99,
        f"{result.run.broken} connections or answers broke": result.run.broken > 0,
        f"refusals took {result.refusals:.2f} s": result.refusals > REFUSAL_SECONDS,
        f"/health took {result.health:.2f} s": result.health > HEALTH_SECONDS,
        f"/ready took {result.ready:.2f} s": result.ready > HEALTH_SECONDS,
        f"recovery took {result.recovery:.1f} s": result.recovery > RECOVERY_SECONDS,
    }
    return [text for text, is_missed in bounds.items() if is_missed]


async def flooded(stack, target, mix, chosen):
    """Floods a service, with clients beside it before the flood and during it."""
    async with beside(stack, target, mix) as probe:
        began = time.monotonic()
        await asyncio.sleep(CALM_SECONDS)
        memory, kernel = resident(stack, target), kernel_memory()
        calm = probe.within(began, time.monotonic())
        async with Flooding(stack.ports[target.name], chosen):
            await asyncio.sleep(1)
            began = time.monotonic()
            await asyncio.sleep(FLOOD_SECONDS)
            memory, kernel = resident(stack, target) - memory, kernel_memory() - kernel
            during = probe.within(began, time.monotonic())
    harm = ratio(percentile(during, LATE_PERCENT), percentile(calm, LATE_PERCENT))
    broken = faults(during)
    if lost := len(during) - len(accepted(during)):
        broken.append(f"{lost} of {len(during)} requests beside it were not answered")
    if harm > FLOOD_P99:
        broken.append(f"p99 beside it is {harm:.1f} times that without it")
    if memory > FLOOD_MEMORY:
        broken.append(f"memory grew by {memory:.0f} MB")
    names = chosen[0].name if len(chosen) == 1 else "all of these at once"
    connections = sum(flood.connections for flood in chosen)
    return Flooded(target.title, names, connections, harm, memory, kernel, broken)


def resident(stack, target):
    """Resident megabytes of the service's processes and of their descendants."""
    roots = [stack.processes.running[name].pid for name in target.processes]
    pages = 0
    for process in [*roots, *(child for root in roots for child in descendants(root))]:
        pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * PAGE_MB


def kernel_memory():
    """Megabytes of the buffers of all TCP connections of the machine."""
    text = Path("/proc/net/sockstat").read_text()
    return int(re.search(r"^TCP:.* mem (\d+)", text, re.M).group(1)) * PAGE_MB
