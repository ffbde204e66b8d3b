"""Runs the cells of the matrix, one after the other, in one running stack."""

import asyncio
import json
import time

import rings
from traffic import Tally
from watch import REPLICAS, TRUTH, Watch

# How long a fault holds: longer than the truth about it takes.
HELD = TRUTH + 0.5
# Both replicas agree within this time after the end of a fault.
AGREED = 60.0
# The lease of a killed holder runs out after 50 s, and another refresh follows.
REFRESHED = 75.0
# The broken promises of the load that are told, most frequent first.
SHOWN = 5
LISTS = ["", "popularity/", "activity/", "newest/", "trending/", "falling/"]
# The lists that GitHub orders too, and its name for the order.
ORDERS = {"": "best-match", "popularity/": "stars", "activity/": "updated"}


class Result:
    def __init__(self, cell, tally, broken, seconds, lines):
        self.cell, self.tally, self.broken = cell, tally, broken
        # The most lines that a process has logged.
        self.seconds, self.lines = seconds, lines


class Matrix:
    def __init__(self, stack, traffic, ringing):
        self.stack, self.traffic, self.ringing = stack, traffic, ringing
        self.topic = stack.topics[0]

    async def run(self, cell):
        began = time.monotonic()
        watch, tally = Watch(self.stack, cell), Tally()
        await watch.begin()
        await self.stack.stub("counters", "DELETE")
        self.ringing.sent, self.ringing.faults = 0, []
        (first,) = await self.stack.sql("SELECT coalesce(max(id), 0) FROM refreshes")
        self.traffic.tally = tally
        self.traffic.permits = self.ringing.permits = cell
        await self.begin(cell)
        await asyncio.gather(asyncio.sleep(HELD), self.write(watch))
        await watch.check_faults()
        await cell.heal()
        healed = time.monotonic()
        await watch.check_healed()
        watch.broken += await self.recover(healed)
        watch.broken += await self.refreshes(cell, int(first))
        seconds = time.monotonic() - began
        lines = watch.check_log(seconds)
        watch.broken += sorted(set(self.ringing.faults))
        watch.broken += [f"{fault} ({count})" for fault, count in tally.faults.most_common(SHOWN)]
        if len(tally.faults) > SHOWN:
            watch.broken.append(f"and {len(tally.faults) - SHOWN} others of the load")
        return Result(cell, tally, watch.broken, seconds, lines)

    async def begin(self, cell):
        if cell.database != "read_only":
            await cell.begin(self.stack)
            return
        # A refresh that can write nothing keeps its lease, and a trigger that joins it does not
        # notice that the database takes no writes.
        async with self.ringing.paused():
            await cell.begin(self.stack)

    async def write(self, watch):
        """Triggers a refresh on each replica, which then knows if the database takes writes."""
        for replica in watch.observed():
            await self.ringing.ring(replica)

    async def recover(self, healed):
        """Waits for a complete refresh and then compares both replicas with GitHub."""
        (last,) = await self.stack.sql("SELECT coalesce(max(id), 0) FROM refreshes")
        complete = f"SELECT id FROM refreshes WHERE id > {last} AND topic = '{self.topic}'"

        async def is_refreshed():
            return await self.stack.sql(f"{complete} AND outcome = 'complete'")

        try:
            left = healed + REFRESHED - time.monotonic()
            await self.stack.until(is_refreshed, "a refresh is complete again", left)
            async with self.ringing.paused():
                # The last trigger may have joined a refresh that did not see the last change.
                await self.stack.request("nginx", "/update_cache", "POST", timeout=60)
                return await self.disagreement(healed + AGREED)
        except TimeoutError as error:
            return [str(error)]

    async def disagreement(self, deadline):
        """Waits until all parts have the same lists. Returns the differences that stay."""
        while difference := await self.difference():
            if time.monotonic() > deadline:
                return [f"after {AGREED:.0f} s: {difference}"]
            await asyncio.sleep(0.2)
        return []

    async def difference(self):
        """The first difference between the lists of both replicas, the database and GitHub."""
        for ranking in LISTS:
            path = f"/api/{ranking}{self.topic}"
            answers = [await self.stack.request(replica, path, timeout=5) for replica in REPLICAS]
            statuses = [status for status, _, _ in answers]
            if statuses != [200, 200]:
                return f"{path} is {statuses}"
            (_, one, body), (_, other, _) = answers
            if one["ETag"] != other["ETag"]:
                return f"{path} differs between the replicas"
            if ranking in ORDERS:
                _, _, stored = await self.stack.request("api-a", f"/db/{ranking}{self.topic}")
                identities = [repository["id"] for repository in json.loads(body)]
                ranked = await self.stack.stub(f"ranked/{self.topic}/{ORDERS[ranking]}")
                if body != stored:
                    return f"{path} differs from the database"
                if identities != ranked[: len(identities)]:
                    return f"{path} differs from GitHub's order"
        return None

    async def refreshes(self, cell, first):
        """The promises about GitHub that the cell's refreshes broke: one refresh a trigger."""
        broken = []
        counters = await self.stack.stub("counters")
        for name in ["overlapping", "impatient", "over_limit"]:
            if counters[name]:
                broken.append(f"GitHub: {counters[name]} {name} requests")
        if counters["unexpected"]:
            broken.append(f"GitHub: unexpected {counters['unexpected'][:3]}")
        rows = await self.stack.sql(
            "SELECT count(*) FILTER (WHERE topic IS NOT NULL),"
            " count(*) FILTER (WHERE cause = 'request' AND parent_id IS NULL)"
            f" FROM refreshes WHERE id > {first}"
        )
        runs, triggered = map(int, rows[0].split("|"))
        if triggered > self.ringing.sent + 1:
            broken.append(f"{triggered} refreshes after {self.ringing.sent} triggers")
        attempts = rings.ATTEMPTS if cell.has_github_fault else 1
        # The first search may be one of a refresh that began before the cell.
        if counters["searches"] > rings.SEARCHES * attempts * (runs + 1):
            broken.append(f"GitHub: {counters['searches']} searches in {runs} refreshes")
        return broken
