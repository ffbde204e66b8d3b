"""The services to load: one replica, nginx with two replicas, and one process with SQLite."""

import dataclasses

from parts import ROOT, WiredStack, free_port

# RATE_LIMIT of .env: requests a second that one client may send for answers that are made.
RATE_LIMIT = 500


@dataclasses.dataclass
class Target:
    """A service by the name of its process."""

    title: str
    name: str
    # The processes whose memory counts.
    processes: list
    # The process whose /health and /ready are asked, as an orchestrator does.
    judged: str
    # The target that has the same capacity, if it is not measured again.
    like: str = ""


TARGETS = [
    Target("one replica", "api-a", ["api-a"], "api-a"),
    Target("nginx, many clients", "nginx", ["nginx", "api-a", "api-b"], "api-a"),
    Target("nginx, one client", "limited", ["limited", "api-a", "api-b"], "api-a", like="nginx"),
    Target("one process", "alone", ["alone"], "alone"),
]


class Targets(WiredStack):
    """The stack without wires, beside it nginx with its limits, and a process of its own."""

    def __init__(self, processes, programs):
        super().__init__(processes, programs, wired=[])
        self.capacities = {}
        for name in ["limited", "alone", "metrics-alone"]:
            self.ports[name] = free_port()

    async def begin(self):
        await super().begin()
        self.start_nginx("limited", (ROOT / "nginx/nginx.conf").read_text(), RATE_LIMIT)
        await self.answers("limited")
        self.processes.start(
            "alone",
            [self.programs / "api"],
            LISTEN_ADDR=self.address("alone"),
            METRICS_ADDR=self.address("metrics-alone"),
            DATA_DIR=str(self.folder / "alone-data"),
            GITHUB_API_URL=self.github_url,
            TOPICS=",".join(self.topics),
            SCHEDULER="external",
            LOG_FORMAT="json",
        )
        await self.answers("alone")
        status, _, body = await self.request("alone", "/update_cache", "POST")
        assert status == 200 and b'"complete":true' in body, body[:500]
