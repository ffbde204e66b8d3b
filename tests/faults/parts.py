"""The stack of the fault tests as plain processes, with a wire between each two parts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "loadtest/bench"))
from processes import Processes, fetch, free_port, program  # noqa: E402
from stack import BUILT, Stack  # noqa: E402
from wire import Wire  # noqa: E402

TOPIC = "kubernetes"
# More than the lists show, so that a list of fewer repositories than 500 is a shorter one.
REPOSITORIES = 700
LISTED = 500
# The days of the made-up past, for lists by growth and for charts.
HISTORY = 40
SEED = 7
# The services behind wires.
WIRED = ["postgres", "redis", "stub"]


class Parts(Processes):
    """Processes that a test may kill, stop and continue."""

    def send(self, name, number):
        """Sends a signal to a process and to its descendants, the process first."""
        for process in [self.running[name].pid, *descendants(self.running[name].pid)]:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                pass

    def kill(self, name, number=signal.SIGKILL):
        process = self.running.pop(name)
        process.send_signal(number)
        process.wait()

    def log(self, name):
        """The lines that the process has logged."""
        return (self.folder / f"{name}.log").read_text().splitlines()


def descendants(root):
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(root, []))
    for process in found:
        found += children.get(process, [])
    return found


class WiredStack(Stack):
    """nginx, two replicas, PostgreSQL, Redis and GitHub's stand-in.

    The replicas reach those of the last three that are `wired` over wires. The database's role is
    no superuser, so that limits hold for it.
    """

    def __init__(self, processes, programs, wired=WIRED):
        super().__init__(processes, topics=(TOPIC,), repositories=REPOSITORIES)
        self.programs = programs
        self.wires = {name: Wire(free_port(), self.ports[name]) for name in wired}

    def reached(self, name):
        """The address by which the replicas reach a service."""
        wire = self.wires.get(name)
        return f"127.0.0.1:{wire.port}" if wire else self.address(name)

    @property
    def database_url(self):
        return f"postgres://mirror@{self.reached('postgres')}/mirror"

    @property
    def redis_url(self):
        return f"redis://{self.reached('redis')}/0"

    @property
    def github_url(self):
        return f"http://{self.reached('stub')}"

    async def begin(self):
        """Starts every part, and imports the past."""
        for wire in self.wires.values():
            await wire.open()
        self.start_stub()
        self.start_redis()
        self.make_postgres(["--username=postgres", "--no-sync"])
        await self.start_database()
        await self.sql("CREATE ROLE mirror LOGIN CREATEDB", "postgres")
        for replica in "ab":
            self.start_replica(replica)
        for replica in "ab":
            await self.answers(f"api-{replica}")
        await self.request("api-a", "/bootstrap_db", "POST")
        await asyncio.to_thread(self.import_past)
        status, _, body = await self.request("api-a", "/update_cache", "POST")
        assert status == 200 and b'"complete":true' in body, body[:500]
        self.start_nginx("nginx", (ROOT / "nginx/nginx.conf").read_text())
        await self.answers("nginx")

    async def close(self):
        for wire in self.wires.values():
            await wire.close()

    def start_stub(self):
        command = [self.programs / "github-stub", *self.world()]
        self.processes.start("stub", [*command, "--listen-addr", self.address("stub")])

    @staticmethod
    def world():
        world = {"generate": REPOSITORIES, "seed": SEED, "history": HISTORY, "topic": TOPIC}
        return [part for name, value in world.items() for part in (f"--{name}", value)]

    def import_past(self):
        archive = self.processes.folder / "past"
        stub = [self.programs / "github-stub", *self.world(), "--archive", archive]
        environment = {"PATH": os.environ["PATH"], "DATABASE_URL": self.database_url}
        for command in [stub, [self.programs / "api", "import", archive]]:
            command = [str(part) for part in command]
            subprocess.run(
                command, env=environment, check=True, capture_output=True, cwd=archive.parent
            )

    def start_replica(self, replica, **settings):
        # A schedule of minutes: the test triggers refreshes itself, and the period bounds waits.
        settings = {"REFRESH_SCHEDULE": "*/10 * * * *"} | settings
        return super().start_replica(replica, **settings)

    async def start_database(self):
        self.run_postgres("fsync=off", "max_connections=60")
        await self.until(lambda: self.sql("SELECT 1", "postgres"), "PostgreSQL answers")

    async def sql(self, statement, database="mirror"):
        """Runs a statement past the wire, as a superuser. Returns the rows as lines of text."""
        psql = program("psql", *self.postgres_folders())
        url = f"postgres://postgres@{self.address('postgres')}/{database}"
        # The statements that end a read-only server's state have to be run by one.
        environment = {"PGOPTIONS": "-c default_transaction_read_only=off -c lock_timeout=5s"}
        process = await asyncio.create_subprocess_exec(
            *[psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement, url],
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode != 0:
            raise OSError(errors.decode().strip())
        return output.decode().splitlines()

    async def redis(self, command):
        """Sends a command past the wire and returns the first line of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["redis"])
        try:
            writer.write(command.encode() + b"\r\n")
            return (await asyncio.wait_for(reader.readline(), 5)).decode().strip()
        finally:
            writer.close()

    async def stub(self, control, method="GET", value=None):
        """Asks GitHub's stand-in for something, past the wire. Returns its JSON."""
        headers = {"Content-Type": "application/json"}
        data = None if value is None else json.dumps(value).encode()
        url = self.url("stub", f"/_stub/{control}")
        _, _, body = await asyncio.to_thread(fetch, url, method, headers, 10, data)
        return json.loads(body) if body else None

    async def searches(self):
        return (await self.stub("counters"))["searches"]

    async def request(self, name, path, method="GET", headers=None, timeout=60):
        return await asyncio.to_thread(fetch, self.url(name, path), method, headers, timeout)

    async def answers(self, name, seconds=30):
        async def is_healthy():
            return (await self.request(name, "/health", timeout=1))[0] == 200

        await self.until(is_healthy, f"{name} answers", seconds)

    async def until(self, holds, condition, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            try:
                if await holds():
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {seconds:.0f} s it is not so that {condition}")
            await asyncio.sleep(0.1)
