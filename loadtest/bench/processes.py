"""The processes of the benchmark, and their CPU and memory by /proc."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Processes:
    """The started processes by name. A `with` block stops them at its end.

    The figures of a process include those of its descendants. `folder` is in memory, `disk` is not.
    """

    def __init__(self, folder, disk):
        self.folder, self.disk, self.running = Path(folder), Path(disk), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in reversed(list(self.running)):
            self.stop(name)

    def start(self, name, command, user=None, **environment):
        if user and os.geteuid() == 0:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *command]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)} | environment
        log = open(self.folder / f"{name}.log", "a")
        # nginx writes its access log to /dev/stdout, as in the container; the log is discarded.
        self.running[name] = subprocess.Popen(
            [str(part) for part in command],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        return self.running[name]

    def stop(self, name):
        process = self.running.pop(name)
        process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def check(self):
        for name, process in self.running.items():
            if process.poll() is not None:
                log = (self.folder / f"{name}.log").read_text()[-2000:]
                raise SystemExit(f"bench: {name} ended with {process.returncode}:\n{log}")

    def cpu(self):
        """CPU seconds of each name until now, including its descendants, even ended ones."""
        parents, used = {}, {}
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                try:
                    fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                parents[int(entry.name)] = int(fields[1])
                used[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS
        roots = {process.pid: name for name, process in self.running.items()}
        total = dict.fromkeys(self.running, 0.0)
        for pid, seconds in used.items():
            ancestor = pid
            while ancestor not in roots and ancestor in parents:
                ancestor = parents[ancestor]
            if ancestor in roots:
                total[roots[ancestor]] += seconds
        return total

    def memory(self, name):
        """Resident megabytes of a process, without its descendants."""
        pages = int(Path(f"/proc/{self.running[name].pid}/statm").read_text().split()[1])
        return pages * PAGE / 1e6


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def machine_busy():
    """CPU seconds that the machine was busy since its start."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def fetch(url, method="GET", headers=None, timeout=600, data=None):
    """Sends a request. Returns the status, the headers and the body of the answer."""
    request = urllib.request.Request(url, data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def wait_for(holds, condition, processes, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        processes.check()
        try:
            if holds():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(
                f"bench: timed out after {seconds} s, waiting until {condition}; "
                f"the logs are in {processes.folder}"
            )
        time.sleep(0.02)


def program(name, *folders):
    found = shutil.which(
        name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *map(str, folders)])
    )
    if not found:
        raise SystemExit(f"bench: {name} is not installed; `make bench` as root installs it")
    return found
