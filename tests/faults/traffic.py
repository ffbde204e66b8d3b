"""The load beside the faults: a steady rate of requests, each of whose answers is checked."""

import asyncio
import collections
import gzip
import hashlib
import itertools
import time

import routes as table
from client import Broken, Client

# Requests in flight at once. More requests wait.
CLIENTS = 64
REQUESTS_A_SECOND = 100
# An export may wait this long for a replica and for a statement.
EXPORT_SECONDS = 30
# A machine that other programs keep busy delays an answer by this much, in seconds.
BUSY = 1.0
# The service gives up a read of the database after this time, or a little later.
READ_TIME = 0.7
# The share of requests that a busy machine may delay that long.
LATE_SHARE = 0.01
# nginx gives up a replica that is silent after this time.
NGINX_WAITS = 5.0


class Tally:
    """The answers to the requests that were sent during a cell."""

    def __init__(self):
        self.requests, self.slowest = 0, 0.0
        # Answers of 503 by the kind of the route, and broken promises by their text.
        self.refused, self.faults = collections.Counter(), collections.Counter()
        # Answers of 503 because the machine was too busy for the time limit of a read.
        self.late = 0


class Traffic:
    """Sends requests while it is open. `permits` is the present cell, which judges refusals."""

    def __init__(self, port, all_routes, permits):
        self.port, self.routes, self.permits = port, all_routes, permits
        self.tally, self.digests, self.exporting = Tally(), {}, False
        self.queue, self.tasks = asyncio.Queue(), []

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(self.work()) for _ in range(CLIENTS)]
        self.tasks.append(asyncio.create_task(self.pace()))
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def pace(self):
        started = time.monotonic()
        for index, route in enumerate(itertools.cycle(self.routes)):
            await asyncio.sleep(max(0.0, started + index / REQUESTS_A_SECOND - time.monotonic()))
            if not (route.is_export and self.exporting):
                self.exporting |= route.is_export
                self.queue.put_nowait((route, self.tally, self.permits))

    async def work(self):
        client = Client(self.port)
        try:
            while True:
                route, tally, permits = await self.queue.get()
                await self.ask(client, route, tally, permits)
        finally:
            client.close()

    async def ask(self, client, route, tally, permits):
        headers = dict(route.headers)
        if route.is_conditional and route.last_etag:
            headers["If-None-Match"] = route.last_etag
        tally.requests += 1
        began = time.monotonic()
        limit = EXPORT_SECONDS if route.is_export else route.seconds + NGINX_WAITS + BUSY
        try:
            answer = await client.get(route.path, headers, limit)
            seconds = time.monotonic() - began
            fault = self.fault_of(route, answer, headers, seconds, tally, permits)
        except (TimeoutError, asyncio.TimeoutError):
            fault = "no answer in time"
        except Broken as error:
            is_cut = route.is_export and (permits.breaks_exports or self.permits.breaks_exports)
            fault = None if is_cut else f"broke off: {error}"
        except (OSError, ValueError, KeyError) as error:
            fault = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - began
        if route.is_export:
            self.exporting = False
        else:
            tally.slowest = max(tally.slowest, seconds)
            waits = NGINX_WAITS * max(permits.stops_replica, self.permits.stops_replica)
            if fault is None and seconds > route.seconds + waits + BUSY:
                fault = f"took more than {route.seconds + waits:.0f} s"
        if fault:
            tally.faults[f"{route.path} {fault}"] += 1

    def fault_of(self, route, answer, sent, seconds, tally, permits):
        """The promise that an answer breaks, if it does."""
        if answer.status == 304 and route.is_conditional and "If-None-Match" in sent:
            return None
        if answer.status == 503 and 503 not in route.statuses:
            return self.fault_of_refusal(route, answer, seconds, tally, permits)
        if answer.status not in route.statuses:
            return f"{answer.status}"
        content = answer.headers.get("content-type", "")
        if not content.startswith(route.content):
            return f"Content-Type {content}"
        return self.fault_of_body(route, answer)

    def fault_of_refusal(self, route, answer, seconds, tally, permits):
        tally.refused[route.name] += 1
        cells = [permits, self.permits]
        may_refuse = {
            table.DATABASE: any(cell.refuses_reads for cell in cells),
            table.KEPT: any(cell.refuses_kept for cell in cells),
        }
        if route.needs not in may_refuse:
            return "503"
        if "retry-after" not in answer.headers:
            return "503 without Retry-After"
        if may_refuse[route.needs]:
            return None
        tally.late += seconds > READ_TIME
        if seconds > READ_TIME and tally.late <= max(3, LATE_SHARE * tally.requests):
            return None
        return "503 though it can be answered"

    def fault_of_body(self, route, answer):
        etag = answer.headers.get("etag")
        if etag:
            route.last_etag = etag
            digest = hashlib.sha256(answer.body).digest()
            known = self.digests.setdefault((route.path, etag), digest)
            if known != digest:
                return "other bytes under the same ETag"
            if known is not digest:
                return None
        encoding = answer.headers.get("content-encoding", "identity")
        if encoding == "br":
            return None
        text = gzip.decompress(answer.body) if encoding == "gzip" else answer.body
        rows = table.rows_of(route, text)
        return f"{rows} rows" if rows is not None and rows < route.rows else None
