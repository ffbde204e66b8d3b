#!/usr/bin/env python3
"""Causes each alert of deploy/alerts.yml, and sees it fire and end.

The stack of the fault tests runs as processes, beside a Prometheus that scrapes both replicas and
has the rules. Every duration of the rules is divided by FACTOR, and nothing else of them is changed.
A node_exporter watches a disk of a few megabytes, which the test fills. If the machine forbids to
mount one in a namespace, that alert is left out, or the test fails if REQUIRE_ALL_BACKENDS is set.

Exits 1 if an alert does not fire while its cause holds, fires without it, or does not end.
"""

import asyncio
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "faults"))
from cells import Cell, Fault, faults, github  # noqa: E402
from monitoring import DEPLOY, alerts  # noqa: E402
from parts import BUILT, TOPIC, Parts, WiredStack, free_port, program  # noqa: E402

# A minute of the rules is half a second here.
FACTOR = 120
# Prometheus scrapes the replicas and evaluates the rules so often.
INTERVAL = "500ms"
# The schedule of the replicas, and how often the test triggers a refresh, in seconds.
SCHEDULE, TRIGGER = "*/5 * * * * *", 2.0
# No alert may fire for this time before the first cause, in seconds.
CALM = 3.0
# An alert has to fire, and to end, within this time. It is generous: the machine may be busy.
LIMIT = 90.0
READERS = 4
DISK_SIZE = 4 << 20

CONFIGURATION = """
global: {{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: mirror
    static_configs: [{{targets: ["{a}", "{b}"]}}]
  - job_name: node
    static_configs: [{{targets: ["{node}"]}}]
"""

KNOWN = {str(fault): fault for fault in faults()}
# GitHub refuses the token, which no retry mends.
FORBIDDEN = Fault("GitHub", "forbidden", github(kind="forbidden"))


async def disk_full(stack):
    file = stack.disk() / "file"
    file.write_bytes(bytes(DISK_SIZE * 95 // 100))
    yield
    file.unlink()


UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]

QUOTA = Fault("GitHub", "quota", github(kind="primary_limit", status=403, reset_in=3))
DISK_FULL = Fault("disk", "full", disk_full)


@dataclasses.dataclass
class Cause:
    faults: list
    alerts: set
    # They may fire as well, if the faults hold for long.
    others: set = dataclasses.field(default_factory=set)


STALE = {"MirrorListOld", "MirrorRefreshesFailing"}
CAUSES = [
    Cause(
        [FORBIDDEN, KNOWN["Redis killed"], KNOWN["replica killed"]],
        {*STALE, "MirrorWithoutRedis", "MirrorReplicaDown"},
    ),
    Cause([QUOTA], {"MirrorGitHubQuotaUsedUp"}, STALE),
    Cause([DISK_FULL], {"MirrorDiskAlmostFull"}, STALE),
    Cause(
        [KNOWN["PostgreSQL black hole"]], {"MirrorWritesFailing", "MirrorServerErrors"}, STALE
    ),
]


class WatchedStack(WiredStack):
    """The stack, and a Prometheus over it."""

    def __init__(self, processes, programs, has_disk):
        super().__init__(processes, programs)
        self.has_disk = has_disk

    def start_replica(self, replica, **settings):
        return super().start_replica(replica, REFRESH_SCHEDULE=SCHEDULE, **settings)

    def import_past(self):
        """Leaves it out: no alert concerns it."""

    def start_node_exporter(self):
        """Starts a node_exporter that sees one disk, in namespaces of its own.

        There anyone may mount a file system in memory. Its entry in the table of mounts, of which
        the exporter reads a copy, has another type, because the rule leaves out those in memory.
        """
        self.ports["node"] = free_port()
        if not self.has_disk:
            return
        folder = self.processes.folder / "node"
        (folder / "disk").mkdir(parents=True)
        (folder / "1").mkdir()
        (folder / "1" / "mounts").write_text(f"disk {folder}/disk ext4 rw 0 0\n")
        mount = f"mount -t tmpfs -o size={DISK_SIZE} disk {folder}/disk"
        exporter = [
            program("prometheus-node-exporter"),
            f"--path.procfs={folder}",
            "--collector.disable-defaults",
            "--collector.filesystem",
            "--collector.filesystem.mount-points-exclude=^$",
            f"--web.listen-address={self.address('node')}",
            "--log.level=error",
        ]
        shell = ["sh", "-ec", f'{mount}; exec "$@"', "sh", *exporter]
        self.processes.start("node", [*UNSHARE, *shell])

    def disk(self):
        """The folder of the exporter's disk, as seen from here."""
        root = Path(f"/proc/{self.processes.running['node'].pid}/root")
        return root / (self.processes.folder / "node" / "disk").relative_to("/")

    def start_prometheus(self):
        self.ports["prometheus"] = free_port()
        folder = self.processes.folder / "prometheus"
        folder.mkdir()
        (folder / "alerts.yml").write_text(shortened((DEPLOY / "alerts.yml").read_text()))
        targets = {name: self.address(f"metrics-{name}") for name in "ab"}
        targets["node"] = self.address("node")
        (folder / "prometheus.yml").write_text(CONFIGURATION.format(interval=INTERVAL, **targets))
        self.processes.start(
            "prometheus",
            [
                program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={self.address('prometheus')}",
                "--log.level=warn",
            ],
        )

    async def ask_prometheus(self, path):
        status, _, body = await self.request("prometheus", f"/api/v1/{path}", timeout=5)
        if status != 200:
            raise ConnectionError(f"Prometheus is not ready: {status}")
        return json.loads(body)["data"]

    async def firing(self):
        found = await self.ask_prometheus("alerts")
        active = [alert for alert in found["alerts"] if alert["state"] == "firing"]
        return {alert["labels"]["alertname"] for alert in active}

    async def is_scraped(self):
        """Whether Prometheus has all metrics of the rules, and has evaluated these."""
        ages = await self.ask_prometheus("query?query=mirror_topic_age_seconds")
        disks = await self.ask_prometheus("query?query=node_filesystem_size_bytes")
        (group,) = (await self.ask_prometheus("rules"))["groups"]
        health = {rule["health"] for rule in group["rules"]}
        return (len(ages["result"]), len(disks["result"]), health) == (2, self.has_disk, {"ok"})


def shortened(rules):
    """The rules with every duration divided by FACTOR."""

    def shorter(match):
        milliseconds = int(match[2]) * 60_000 // FACTOR
        return f"{match[1]}{milliseconds}ms{match[3]}"

    text, changed = re.subn(r"(for: |\[)(\d+)m(\]|$)", shorter, rules, flags=re.M)
    assert changed == len(re.findall(r"for: |\[\d", rules)), "a duration that is not in minutes"
    return text


async def trigger(stack):
    """Triggers refreshes as cron does, but on one replica.

    The other one is killed, and a lease that it had would keep the topic from being refreshed.
    """
    while True:
        began = time.monotonic()
        try:
            headers = {"Prefer": "respond-async"}
            await stack.request("api-a", "/update_cache", "POST", headers, timeout=5)
        except OSError:
            # The database may not answer.
            pass
        await asyncio.sleep(max(0.1, began + TRIGGER - time.monotonic()))


async def read(stack):
    """Reads lists, from the caches and from the database."""
    while True:
        for path in [f"/api/{TOPIC}", f"/db/{TOPIC}"]:
            try:
                await stack.request("nginx", path, timeout=10)
            except OSError:
                pass
            await asyncio.sleep(0.2)


async def watch(stack, allowed, expected=None, seconds=LIMIT):
    """Waits until the expected alerts fire, or for the whole time. Returns those that did.

    Fails if another one fires than those that are allowed.
    """
    began, seen = time.monotonic(), set()
    while time.monotonic() < began + seconds:
        firing = await stack.firing()
        seen |= firing
        if not seen <= allowed:
            raise AssertionError(f"{sorted(seen - allowed)} fired without its cause")
        if expected is not None and (expected <= firing if expected else not firing):
            return seen
        await asyncio.sleep(0.2)
    if expected is None:
        return seen
    missing = sorted(expected - seen) if expected else f"no end of {sorted(firing)}"
    raise AssertionError(f"after {seconds:.0f} s: {missing}")


async def run(folder, disk, programs, has_disk):
    # A stop ends the processes too.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    with Parts(folder, disk) as processes:
        stack, tasks = WatchedStack(processes, programs, has_disk), []
        try:
            await stack.begin()
            stack.start_node_exporter()
            stack.start_prometheus()
            tasks += [asyncio.create_task(trigger(stack))]
            tasks += [asyncio.create_task(read(stack)) for _ in range(READERS)]
            await stack.until(stack.is_scraped, "Prometheus has the replicas' metrics")
            await watch(stack, set(), seconds=CALM)
            for cause in CAUSES:
                if has_disk or DISK_FULL not in cause.faults:
                    await check(stack, cause)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # A refresh that runs gives its lease back, for which it needs the wire to the database.
            for name in processes.running.keys() & {"api-a", "api-b"}:
                await asyncio.to_thread(processes.stop, name)
            await stack.close()


async def check(stack, cause):
    cell, allowed = Cell(*cause.faults), cause.alerts | cause.others
    began = time.monotonic()
    await cell.begin(stack)
    await watch(stack, allowed, cause.alerts)
    fired = time.monotonic()
    await cell.heal()
    await watch(stack, allowed, set())
    ended = time.monotonic()
    print(
        f"ok   {cell}: {', '.join(sorted(cause.alerts))} fired in {fired - began:.0f} s "
        f"and ended in {ended - fired:.0f} s",
        flush=True,
    )


def can_mount():
    """Whether anyone may mount a file system in a namespace, which some machines forbid."""
    mount = [*UNSHARE, "mount", "-t", "tmpfs", "disk", "/mnt"]
    return subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode == 0


def main():
    began, has_disk = time.monotonic(), can_mount()
    caused = set().union(*(cause.alerts for cause in CAUSES))
    left = alerts().keys() - caused
    if left:
        print(f"FAIL no cause of {sorted(left)}")
        return 1
    if not has_disk:
        print("MirrorDiskAlmostFull is left out: nobody may mount a disk in a namespace here")
        if os.environ.get("REQUIRE_ALL_BACKENDS"):
            return 1
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(prefix="alerts-", dir=memory) as folder,
        tempfile.TemporaryDirectory(prefix="alerts-") as disk,
    ):
        for path in folder, disk:
            os.chmod(path, 0o755)
        try:
            asyncio.run(run(folder, disk, BUILT.with_name("debug").resolve(), has_disk))
        except AssertionError as error:
            print(f"FAIL {error}")
            return 1
    fired = len(caused) - (not has_disk)
    print(f"{fired} alerts fired and ended, in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
