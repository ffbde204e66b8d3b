"""The faults of each kind, and the cells of the matrix: each fault alone, and in pairs."""

import asyncio
import dataclasses
import itertools
import signal

from wire import REFUSED, SILENT

KINDS = ["GitHub", "Redis", "PostgreSQL", "replica"]


@dataclasses.dataclass
class Fault:
    kind: str
    name: str
    # An async generator: the fault holds from its first yield to its end.
    hold: object
    # The state of the database in /ready while the fault holds. A database that takes no writes is
    # seen by the replicas that tried one.
    database: str = "up"
    # The database cannot be read at some time of the fault.
    refuses_reads: bool = False
    # Redis cannot be used while the fault holds.
    loses_redis: bool = False
    # The replica that the fault concerns.
    replica: str = ""
    stops_replica: bool = False

    def __str__(self):
        return f"{self.kind} {self.name}"


class Cell:
    """Faults that hold at the same time."""

    def __init__(self, *faults):
        self.names = [str(fault) for fault in faults]
        # The holder of a refresh is killed while all else works.
        self.faults = sorted(faults, key=lambda fault: fault.name != "holder killed")
        self.refuses_reads = any(fault.refuses_reads for fault in faults)
        # A replica that begins anew has kept nothing.
        self.refuses_kept = self.refuses_reads and any(fault.replica for fault in faults)
        self.stops_replica = any(fault.stops_replica for fault in faults)
        self.breaks_exports = any(fault.kind in ("PostgreSQL", "replica") for fault in faults)
        self.loses_redis = any(fault.loses_redis for fault in faults)
        self.has_github_fault = any(fault.kind == "GitHub" for fault in faults)
        states = [fault.database for fault in faults if fault.database != "up"]
        self.database = states[0] if states else "up"

    def __str__(self):
        return " + ".join(self.names) or "no fault"

    async def begin(self, stack):
        self.holding = [fault.hold(stack) for fault in self.faults]
        for holding in self.holding:
            await anext(holding)

    async def heal(self):
        for holding in reversed(self.holding):
            await anext(holding, None)


def github(**fault):
    """A fault that GitHub's stand-in injects into every search."""

    async def hold(stack):
        faults = [fault | {"path": "/search", "times": 1_000_000}]
        await stack.stub("faults", "POST", faults)
        yield
        await stack.stub("faults", "DELETE")

    return hold


def wire(name, **state):
    async def hold(stack):
        await stack.wires[name].set(**state)
        yield
        await stack.wires[name].set()

    return hold


def stopped(name):
    async def hold(stack):
        stack.processes.send(name, signal.SIGSTOP)
        yield
        stack.processes.send(name, signal.SIGCONT)

    return hold


async def redis_killed(stack):
    stack.processes.kill("redis")
    yield
    stack.start_redis()


async def redis_flushed(stack):
    flushing = asyncio.create_task(flush(stack))
    yield
    flushing.cancel()


async def flush(stack):
    while True:
        await stack.redis("FLUSHALL")
        await asyncio.sleep(0.5)


async def redis_full(stack):
    await stack.redis("CONFIG SET maxmemory-policy noeviction")
    await stack.redis("CONFIG SET maxmemory 1")
    yield
    await stack.redis("CONFIG SET maxmemory 128mb")
    await stack.redis("CONFIG SET maxmemory-policy allkeys-lru")


async def database_killed(stack):
    stack.processes.kill("postgres", signal.SIGQUIT)
    yield
    await stack.start_database()


async def database_restarted(stack):
    stack.processes.kill("postgres", signal.SIGINT)
    await stack.start_database()
    yield


async def database_exhausted(stack):
    await stack.sql("ALTER ROLE mirror CONNECTION LIMIT 0", "postgres")
    sessions = "pg_stat_activity WHERE usename = 'mirror'"
    await stack.sql(f"SELECT pg_terminate_backend(pid) FROM {sessions}", "postgres")
    yield
    await stack.sql("ALTER ROLE mirror CONNECTION LIMIT -1", "postgres")


# A write fails as it does when a table cannot grow: with PostgreSQL's own code, in its statement.
FULL_DISK = """
CREATE OR REPLACE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END
$$;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON %I
            EXECUTE FUNCTION disk_full()', name);
    END LOOP;
END $$"""


async def database_full(stack):
    # Each takes a lock of every table, and may meet a deadlock with a replica's statement.
    await stack.until(lambda: stack.sql(f"{FULL_DISK}; SELECT 1"), "the disk is full")
    yield
    drop = "DROP FUNCTION disk_full CASCADE; SELECT 1"
    await stack.until(lambda: stack.sql(drop), "the disk has space again")


async def database_read_only(stack):
    await stack.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    (before,) = await stack.sql("SELECT clock_timestamp()")
    await stack.sql("SELECT pg_reload_conf()")
    # A replica that wrote before the server has read its settings would know nothing of them. The
    # server tells the sessions that exist, and then begins others.
    is_read = f"SELECT 1 WHERE pg_conf_load_time() > '{before}'"
    await stack.until(lambda: stack.sql(is_read), "PostgreSQL is read-only")
    yield
    await stack.sql("ALTER SYSTEM RESET default_transaction_read_only")
    await stack.sql("SELECT pg_reload_conf()")


async def replica_killed(stack):
    stack.processes.kill("api-b")
    yield
    stack.start_replica("b")


async def replica_restarted(stack):
    await restart(stack, "b")
    yield


async def replicas_rolled(stack):
    await restart(stack, "a")
    await restart(stack, "b")
    yield


async def restart(stack, replica):
    await asyncio.to_thread(stack.processes.stop, f"api-{replica}")
    stack.start_replica(replica)
    await stack.answers(f"api-{replica}")


async def holder_killed(stack):
    """Kills the replica that has a refresh's lease in the middle of the refresh."""
    async with stack.rings.paused():
        await stack.stub("settings", "POST", {"latency_millis": 300})
        began = await stack.searches()
        headers = {"Prefer": "respond-async"}
        await stack.request("api-a", "/update_cache", "POST", headers, timeout=5)

        async def is_searching():
            return await stack.searches() >= began + 3

        await stack.until(is_searching, "the refresh has begun", 5)
        stack.processes.kill("api-a")
        await stack.stub("settings", "POST", {})
    yield
    stack.start_replica("a")


def faults():
    """Every fault. The last replica fault takes longest, since a lease has to run out."""
    limit = {"kind": "secondary_limit", "status": 403, "retry_after": 4}
    away = {"database": "down", "refuses_reads": True}
    lost = {"loses_redis": True}
    return [
        Fault("GitHub", "refused", wire("stub", state=REFUSED)),
        Fault("GitHub", "slow", wire("stub", rate=100_000)),
        Fault("GitHub", "HTML", github(kind="html_error", status=502)),
        Fault("GitHub", "short", github(kind="short", missing=10)),
        Fault("GitHub", "empty", github(kind="empty")),
        Fault("GitHub", "limits", github(**limit)),
        Fault("Redis", "killed", redis_killed, **lost),
        Fault("Redis", "stopped", stopped("redis"), **lost),
        Fault("Redis", "flushed", redis_flushed),
        Fault("Redis", "full", redis_full),
        Fault("Redis", "slow", wire("redis", delay=0.3), **lost),
        Fault("Redis", "black hole", wire("redis", state=SILENT), **lost),
        Fault("PostgreSQL", "killed", database_killed, **away),
        Fault("PostgreSQL", "restarted", database_restarted, refuses_reads=True),
        Fault("PostgreSQL", "stopped", stopped("postgres"), **away),
        Fault("PostgreSQL", "exhausted", database_exhausted, "busy", refuses_reads=True),
        Fault("PostgreSQL", "full disk", database_full, "read_only"),
        Fault("PostgreSQL", "read-only", database_read_only, "read_only"),
        Fault("PostgreSQL", "black hole", wire("postgres", state=SILENT), **away),
        Fault("replica", "killed", replica_killed, replica="b"),
        Fault("replica", "stopped", stopped("api-b"), replica="b", stops_replica=True),
        Fault("replica", "restarted", replica_restarted, replica="b"),
        Fault("replica", "rolled", replicas_rolled, replica="ab"),
        Fault("replica", "holder killed", holder_killed, replica="a"),
    ]


def cells():
    """Yields each fault alone, and of each two kinds pairs in which every fault has a part."""
    all_faults = faults()
    of = {kind: [fault for fault in all_faults if fault.kind == kind] for kind in KINDS}
    for fault in all_faults:
        yield Cell(fault)
    for offset, (one, other) in enumerate(itertools.combinations(KINDS, 2), 1):
        first, second = of[one], of[other]
        for index in range(max(len(first), len(second))):
            # A turn of the offset, or small kinds would meet the same faults of each other kind.
            pair = first[index % len(first)], second[(index + offset) % len(second)]
            yield Cell(*pair)
