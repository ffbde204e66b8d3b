"""A measurement: load by wrk or ab for some seconds, and the CPU that all processes used."""

import os
import re
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from processes import machine_busy, program


@dataclass
class Case:
    """A request to measure and the expected status."""

    name: str
    url: str
    headers: dict = field(default_factory=dict)
    method: str = "GET"
    status: int = 200
    connections: int = 32
    script: Path = None


@dataclass
class Run:
    requests: int
    seconds: float
    failed: int
    p50: float
    p99: float
    # CPU seconds of each process by its name, and of the load generator as `load`.
    cpu: dict
    # The share of the machine's CPU that other processes used.
    others: float
    # Megabytes of the larger replica in the middle of the run.
    memory: float

    @property
    def rate(self):
        return self.requests / self.seconds

    @property
    def micros(self):
        """CPU microseconds a request, of all processes together."""
        return sum(self.cpu.values()) * 1e6 / max(self.requests, 1)

    def micros_of(self, name):
        return self.cpu.get(name, 0.0) * 1e6 / max(self.requests, 1)


def measure(processes, case, seconds):
    load = ab if case.method == "HEAD" else wrk
    busy, before = machine_busy(), processes.cpu()
    process = subprocess.Popen(
        load(case, seconds), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    time.sleep(seconds / 2)
    memory = max(processes.memory(name) for name in processes.running if name.startswith("api-"))
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    processes.check()
    after, busy = processes.cpu(), machine_busy() - busy
    if process.returncode != 0:
        raise SystemExit(
            f"bench: {case.name}: {process.args} ended with {process.returncode}:\n{output}"
        )
    cpu = {name: after[name] - before.get(name, 0.0) for name in after}
    cpu["load"] = usage.ru_utime + usage.ru_stime
    read = read_ab if case.method == "HEAD" else read_wrk
    requests, duration, failed, p50, p99 = read(output)
    others = max(0.0, busy - sum(cpu.values())) / (duration * os.cpu_count())
    return Run(requests, duration, failed, p50, p99, cpu, others, memory)


def wrk(case, seconds):
    headers = [part for name, value in case.headers.items() for part in ("-H", f"{name}: {value}")]
    threads = min(2, case.connections)
    script = ["-s", case.script] if case.script else []
    options = [f"-t{threads}", f"-c{case.connections}", f"-d{seconds}s", "--latency"]
    return [program("wrk"), *options, *headers, *script, case.url]


UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def read_wrk(output):
    def number(pattern, default=None):
        found = re.search(pattern, output)
        if not found and default is None:
            raise SystemExit(f"bench: wrk's output is of an unknown form:\n{output}")
        return found.groups() if found else default

    def latency(percent):
        value, unit = number(rf"{percent}%\s+([\d.]+)(us|ms|s|m)")
        return float(value) * UNITS[unit]

    requests, seconds, unit = number(r"(\d+) requests in ([\d.]+)(s|m)")
    failed = sum(map(int, number(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", ())))
    failed += sum(map(int, number(r"Non-2xx or 3xx responses: (\d+)", ())))
    return int(requests), float(seconds) * UNITS[unit] / 1e3, failed, latency(50), latency(99)


def ab(case, seconds):
    """The command for HEAD: wrk would wait for the body, which an answer to HEAD lacks."""
    headers = [part for name, value in case.headers.items() for part in ("-H", f"{name}: {value}")]
    options = ["-q", "-k", "-i", f"-c{case.connections}", f"-t{seconds}", "-n10000000"]
    return [program("ab"), *options, *headers, case.url]


def read_ab(output):
    def number(pattern):
        found = re.search(pattern, output)
        return float(found.group(1)) if found else 0.0

    # ab's count of lengths is left out: a request id changes the length, which is no failure.
    failed = sum(
        number(pattern)
        for pattern in [r"Receive: (\d+)", r"Exceptions: (\d+)", r"Non-2xx responses: +(\d+)"]
    )
    return (
        int(number(r"Complete requests: +(\d+)")),
        number(r"Time taken for tests: +([\d.]+)"),
        int(failed),
        number(r" 50%\s+(\d+)"),
        number(r" 99%\s+(\d+)"),
    )


def median(runs, value):
    return statistics.median(value(run) for run in runs)


def script(folder, name, paths):
    """Writes a wrk script that requests these paths in turn."""
    file = Path(folder, f"{name}.lua")
    file.write_text(
        "local paths = {" + ",".join(f'"{path}"' for path in paths) + "}\nlocal at = 0\n"
        "request = function() at = at % #paths + 1; return wrk.format('GET', paths[at]) end\n"
    )
    return file
