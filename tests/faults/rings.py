"""Triggers refreshes as cron does, of a world that changes before each one."""

import asyncio
import contextlib
import itertools
import random
import time
from datetime import datetime, timezone

# Seconds from one trigger to the next.
PERIOD = 2.0
# The searches of a refresh: three queries of five pages.
SEARCHES = 15
# A page with something missing is requested again, at most three times.
ATTEMPTS = 4
# Statuses of a trigger while nothing fails, and while something does.
ACCEPTED = {202}
FAILING = {202, 403, 502, 503, 504}


class Rings:
    def __init__(self, stack, permits):
        self.stack, self.permits, self.sent, self.faults = stack, permits, 0, []
        self.ready, self.random = asyncio.Lock(), random.Random(7)
        self.stars = itertools.count(100_000)
        self.identities = []

    async def run(self):
        self.identities = await self.stack.stub(f"ranked/{self.stack.topics[0]}/stars")
        while True:
            began = time.monotonic()
            async with self.ready:
                await self.change()
                await self.ring()
            await asyncio.sleep(max(0.5, began + PERIOD - time.monotonic()))

    async def change(self):
        """Stars repositories from everywhere in the list, so that every list changes."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        for identity in self.random.sample(self.identities, 3):
            fields = {"stargazers_count": next(self.stars), "updated_at": now}
            await self.stack.stub(f"repositories/{identity}", "PATCH", fields)

    async def ring(self, name="nginx"):
        self.sent += 1
        permits = self.permits
        try:
            status, _, _ = await self.stack.request(
                name, "/update_cache", "POST", {"Prefer": "respond-async"}, timeout=5
            )
        except OSError:
            # nginx sends a refresh to one replica only, which may be stopped or killed.
            status = 504
        accepted = FAILING if permits.faults or self.permits.faults else ACCEPTED
        if status not in accepted:
            self.faults.append(f"/update_cache {status}")

    @contextlib.asynccontextmanager
    async def paused(self):
        """Sends no triggers inside, and begins when no refresh runs."""
        async with self.ready:

            async def is_idle():
                return not await self.stack.sql("SELECT name FROM leases WHERE owner IS NOT NULL")

            await self.stack.until(is_idle, "no refresh runs", 75)
            yield
