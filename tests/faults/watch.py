"""Checks what the replicas tell of themselves: /ready, the metrics and the log."""

import asyncio
import collections
import json
import re
import time

REPLICAS = ["api-a", "api-b"]
METRICS = {"api-a": "metrics-a", "api-b": "metrics-b"}
# Within this time /ready and the metrics have to tell the truth.
TRUTH = 5.0
# A process may log so many lines a minute. The first failure of each kind in a minute is logged at
# once, so a cell counts as a minute at least.
LINES_A_MINUTE = 100
LOGS = [*REPLICAS, "nginx"]


class Sample:
    """An answer of a replica's /ready, or nothing."""

    def __init__(self, at, status, document):
        self.at, self.status, self.document = at, status, document

    def database(self):
        return self.document["database"]

    def has_redis(self):
        return any(tier["tier"] == "redis" and tier["can_answer"] for tier in self.caches())

    def caches(self):
        return self.document["cache"]

    def is_consistent(self):
        """Whether the status says what the parts do."""
        reads = self.database() in ("up", "read_only")
        can_answer = reads or any(tier["can_answer"] for tier in self.caches())
        return (self.status == 200) == self.document["ready"] == can_answer


def message(line):
    """The message of a line of the log, with the path of its request."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    return f"{entry['message']} {entry.get('span', {}).get('path', '')}"


async def sample(stack, replica):
    at = time.monotonic()
    try:
        status, _, body = await stack.request(replica, "/ready", timeout=4)
        return Sample(at, status, json.loads(body))
    except OSError:
        return None


async def metrics(stack, replica):
    """The values of the replica's metrics, summed over their labels; empty without an answer."""
    try:
        _, _, body = await stack.request(METRICS[replica], "/metrics", timeout=4)
    except OSError:
        return {}
    values = {}
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", body.decode(), re.M):
        values[name] = values.get(name, 0.0) + float(value)
    return values


class Watch:
    """Observes one cell, from before its faults until after their end."""

    def __init__(self, stack, cell):
        self.stack, self.cell, self.broken = stack, cell, []
        self.before, self.lines = {}, {}

    async def begin(self):
        for replica in REPLICAS:
            self.before[replica] = await metrics(self.stack, replica)
        self.lines = {name: len(self.stack.processes.log(name)) for name in LOGS}

    def observed(self):
        """The replicas that no fault concerns: those that were replaced count from nothing."""
        concerned = "".join(fault.replica for fault in self.cell.faults)
        return [replica for replica in REPLICAS if replica[-1] not in concerned]

    async def check_faults(self):
        """Checks the truth about faults that have held for some time."""
        for replica in self.observed():
            seen = await sample(self.stack, replica)
            if seen is None:
                self.broken.append(f"{replica} /ready has no answer")
                continue
            if not seen.is_consistent():
                self.broken.append(f"{replica} /ready is {seen.status}: {seen.document}")
            if self.cell.loses_redis and seen.has_redis():
                self.broken.append(f"{replica} /ready has a Redis that does not answer")
            if seen.database() != self.cell.database:
                self.broken.append(f"{replica} /ready: database {seen.database()}")
        await self.check_metrics()
        self.check_repeats()

    def check_repeats(self):
        """Checks that no failure is logged faster than a process may log."""
        for name in LOGS:
            lines = self.stack.processes.log(name)[self.lines[name] :]
            texts = collections.Counter(re.sub(r"\d+", "0", message(line)) for line in lines)
            for text, count in texts.items():
                if count > LINES_A_MINUTE * TRUTH / 60 + 1:
                    self.broken.append(f"{name} logged {count} times: {text}")

    async def check_metrics(self):
        for replica in self.observed():
            now, before = await metrics(self.stack, replica), self.before[replica]
            failing = now.get("mirror_database_writes_failing", 0) > 0
            if failing != (self.cell.database != "up"):
                self.broken.append(f"{replica} mirror_database_writes_failing is {failing:d}")

            def grew(name):
                return now.get(name, 0) > before.get(name, 0)

            if self.cell.database not in ("up", "read_only"):
                if not grew("mirror_database_errors_total"):
                    self.broken.append(f"{replica} mirror_database_errors_total does not grow")
            if self.cell.loses_redis and "mirror_cache_errors_total" in now:
                if not grew("mirror_cache_errors_total"):
                    self.broken.append(f"{replica} mirror_cache_errors_total does not grow")
            if not grew("http_requests_total"):
                self.broken.append(f"{replica} http_requests_total does not grow")

    async def check_healed(self):
        """Checks that both replicas tell of no fault within a time of its end."""
        began, wrong = time.monotonic(), {}
        while time.monotonic() < began + TRUTH:
            wrong = {}
            for replica in REPLICAS:
                seen = await sample(self.stack, replica)
                if seen is None or seen.status != 200 or seen.database() != "up":
                    wrong[replica] = seen and seen.document
                failing = (await metrics(self.stack, replica)).get("mirror_database_writes_failing")
                if failing:
                    wrong[replica] = "mirror_database_writes_failing"
            if not wrong:
                return
            await asyncio.sleep(0.2)
        self.broken += [f"{replica} after {TRUTH:.0f} s: {why}" for replica, why in wrong.items()]

    def check_log(self, seconds):
        """Returns the most lines that a process has logged during the cell."""
        logged = {name: len(self.stack.processes.log(name)) - self.lines[name] for name in LOGS}
        for name, lines in logged.items():
            if lines > LINES_A_MINUTE * max(1, seconds / 60):
                self.broken.append(f"{name} logged {lines} lines")
        return max(logged.values())
