#!/usr/bin/env python3
"""Runs the code blocks of the documents in FILES on a clean clone, in their order.

A block of the kind `console` has commands after `$ `, each with its output below; times, request
ids and ages may differ. The comment `<!-- beside: make demo -->` before it names a command that
runs at the same time. A block of the kind `sql` is a query that must fit SQLite's schema, and one
of the kind `yaml` is a configuration of Prometheus beside the rules of deploy/. One of the kind
`ini` is a unit of systemd, which sets the service's own settings. Every command of the other blocks
must exist. Ports 8081 and 8090 must be free. The script removes the demo's containers and data.
"""

import configparser
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The project that `make stack-demo` starts. A stack over the real GitHub is another one.
DEMO = "github-topic-mirror-demo"
FILES = ["README.md", "docs/operations.md", "CONTRIBUTING.md"]
BLOCK = re.compile(
    r"(?:<!-- beside: (?P<beside>[^\n]*) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
STEP = re.compile(r"^\$ (?P<command>.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.M)
# The parts of an output that differ between runs.
VARYING = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "TIME"),
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r'"(age_seconds|stored|found)":\d+', r'"\1":N'),
    # The demo's past ends today, so the size of a list depends on the date.
    (r"kubernetes \|  \d+", "kubernetes | N"),
    (r"\d+ requests in \d+ s \(\d+ a second\)", "N requests"),
    (r"\d+ms;", "Nms;"),
]


def plain(output):
    for pattern, name in VARYING:
        output = re.sub(pattern, name, output)
    return "\n".join(line.rstrip() for line in output.strip().splitlines())


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def served():
    try:
        # The first list is there before the refresh has ended; X-Complete tells them apart.
        with urllib.request.urlopen(
            "http://127.0.0.1:8081/api/popularity/kubernetes", timeout=5
        ) as answer:
            return answer.headers["x-complete"] == "true"
    except (urllib.error.URLError, OSError):
        return False


class Beside:
    """A command that runs while blocks are tried."""

    def __init__(self, command, clone):
        self.clone = clone
        for port in (8081, 8090):
            # The command beside the block before may still be stopping.
            until = time.monotonic() + 10
            while listens(port):
                if time.monotonic() > until:
                    raise AssertionError(f"port {port} is taken: stop what listens there")
                time.sleep(0.2)
        print(f"== beside: {command}", flush=True)
        started = time.monotonic()
        # With MAKELEVEL, the inner make would print lines of its own.
        self.environment = {
            name: value for name, value in os.environ.items() if name != "MAKELEVEL"
        }
        # Removes the data of a demo that somebody ran by hand, which no document shows.
        self.take_down(command)
        self.process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=clone,
            env=self.environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            while not served():
                if self.process.poll():
                    raise AssertionError(f"{command} ended with {self.process.returncode}")
                if time.monotonic() - started > 1_800:
                    raise AssertionError(f"{command} does not serve after half an hour")
                time.sleep(0.2)
            # A command that starts containers ends when they are healthy.
            if "stack" in command and self.process.wait() != 0:
                raise AssertionError(f"{command} ended with {self.process.returncode}")
        except BaseException:
            self.stop()
            raise
        print(f"   serves after {time.monotonic() - started:.0f} s", flush=True)

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait()
        self.take_down(self.process.args[-1])

    def take_down(self, command):
        if "stack" in command:
            subprocess.run(
                ["docker", "compose", "-p", DEMO, "--profile", "demo", "down", "-v", "-t", "1"],
                cwd=self.clone,
                env=self.environment,
                capture_output=True,
                check=True,
            )


def console(text, beside):
    steps = list(STEP.finditer(text))
    for step in steps:
        done = subprocess.run(
            ["bash", "-c", step["command"]],
            cwd=beside.clone,
            env=beside.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=900,
        )
        printed, expected = plain(done.stdout), plain(step["output"])
        # Of the output of make, a document shows only the end.
        if not (
            printed.endswith(f"\n{expected}")
            if step["command"].startswith("make ")
            else printed == expected
        ):
            raise AssertionError(
                f"$ {step['command']}\nprints\n{done.stdout}\n"
                f"but the document says\n{step['output']}"
            )
    return len(steps)


def commands(text, clone):
    """Checks that each command is a target of the Makefile or one that compose accepts."""
    lines = [line.split("#")[0].split() for line in text.splitlines() if line.split("#")[0].strip()]
    for words in lines:
        trial = {
            "make": ["make", "-n", *words[1:]],
            "docker": ["docker", "compose", "--dry-run", *words[2:]],
        }.get(words[0])
        if trial is None:
            raise AssertionError(f"a command that this script does not know: {' '.join(words)}")
        done = subprocess.run(
            trial, cwd=clone, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(trial)}\n{done.stdout}")
    return len(lines)


def query(text, clone):
    database = sqlite3.connect(":memory:")
    for migration in sorted((clone / "api/migrations/sqlite").glob("*.sql")):
        database.executescript(migration.read_text())
    try:
        database.execute(text)
    except sqlite3.Error as error:
        raise AssertionError(f"{error}:\n{text}") from error
    return 1


def configuration(text, clone):
    file = clone / "deploy/prometheus.yml"
    file.write_text(text)
    done = subprocess.run(["promtool", "check", "config", file], text=True, capture_output=True)
    if done.returncode != 0:
        raise AssertionError(f"{done.stderr}\n{text}")
    return 1


def unit(text, clone):
    parsed = configparser.RawConfigParser()
    parsed.optionxform = str
    parsed.read_string(text)
    readme = (clone / "README.md").read_text()
    for word in parsed["Service"]["Environment"].split():
        name = word.partition("=")[0].removesuffix("_FILE")
        if f"| `{name}` |" not in readme:
            raise AssertionError(f"README.md has no setting {name}:\n{text}")
    return 1


def main():
    beside, tried = None, 0
    with tempfile.TemporaryDirectory(prefix="readme-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        # Shares the compiled dependencies with this checkout.
        (ROOT / "target").mkdir(exist_ok=True)
        (clone / "target").symlink_to(ROOT / "target")
        try:
            for block in BLOCK.finditer("".join((clone / file).read_text() for file in FILES)):
                if block["kind"] == "":
                    tried += commands(block["text"], clone)
                    continue
                if block["kind"] == "sql":
                    tried += query(block["text"], clone)
                    continue
                if block["kind"] == "ini":
                    tried += unit(block["text"], clone)
                    continue
                if block["kind"] == "yaml":
                    tried += configuration(block["text"], clone)
                    continue
                if block["kind"] != "console" or not block["beside"]:
                    raise AssertionError(
                        f"a block without a comment that says what runs beside it:\n{block['text']}"
                    )
                if beside is None or beside.process.args[-1] != block["beside"]:
                    if beside:
                        beside.stop()
                    beside = Beside(block["beside"], clone)
                tried += console(block["text"], beside)
        except AssertionError as error:
            print(f"FAILED: {error}", file=sys.stderr)
            return 1
        finally:
            if beside:
                beside.stop()
    print(f"{tried} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
