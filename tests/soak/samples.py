"""Samples of what a running stack holds: memory, descriptors, connections and tables."""

import asyncio
import os
import re
import time
from pathlib import Path

from parts import descendants

PARTS = ["api-a", "api-b", "nginx", "redis"]
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
SIZES = "SELECT relname, n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables"
ROWS = "SELECT format('SELECT %L, count(*) FROM %I', relname, relname) FROM pg_stat_user_tables"
CLIENTS = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'mirror'"


class Samples:
    """The values over time of each figure, by its kind and its subject."""

    def __init__(self, stack):
        self.stack, self.values, self.began = stack, {}, time.monotonic()

    def add(self, kind, subject, value):
        at = time.monotonic() - self.began
        self.values.setdefault((kind, subject), []).append((at, float(value)))

    async def take(self):
        for name in PARTS:
            root = self.stack.processes.running[name].pid
            processes = [root, *descendants(root)]
            self.add("memory, MB", name, sum(map(resident, processes)))
            self.add("descriptors", name, sum(map(descriptors, processes)))
        (clients,) = await self.stack.sql(CLIENTS)
        self.add("connections", "PostgreSQL", clients)
        redis = await self.redis()
        self.add("connections", "Redis", redis["connected_clients"])
        self.add("data, MB", "Redis", int(redis["used_memory"]) / 1e6)
        for row in await self.stack.sql(SIZES):
            table, dead, size = row.split("|")
            self.add("dead rows", table, dead)
            self.add("data, MB", table, int(size) / 1e6)
        counts = " UNION ALL ".join(await self.stack.sql(ROWS))
        for row in await self.stack.sql(counts):
            self.add("rows", *row.split("|"))

    async def redis(self):
        """The facts that Redis tells of itself."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.stack.ports["redis"])
        try:
            writer.write(b"INFO\r\n")
            size = int((await reader.readline())[1:])
            text = (await reader.readexactly(size)).decode()
        finally:
            writer.close()
        return dict(re.findall(r"^(\w+):(\S+)\r$", text, re.M))


def resident(process):
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_MB


def descriptors(process):
    return len(list(Path(f"/proc/{process}/fd").iterdir()))
