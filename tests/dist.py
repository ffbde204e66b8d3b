#!/usr/bin/env python3
"""Tries what `make dist` has made, over the stand-in for GitHub: dist.py --github-stub PROGRAM.

For each processor: unpack the tarball, run ./api, ask it for a list, run ./cron --once. x86_64 runs in a Debian
container with nothing but the tarball, aarch64 under QEMU's user emulation. The script also checks
the checksums, and that both programs are static and tell their version and revision.
"""

import argparse
import itertools
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARTIFACTS = ROOT / "target/artifacts"
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
TIMEOUT = 120


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(url):
    """The JSON at the address as soon as it answers 200."""
    until = time.monotonic() + TIMEOUT
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return json.load(response)
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > until:
                raise AssertionError(f"{url} does not answer: {error}") from error
            time.sleep(0.2)


def container(name, command, environment):
    """Runs a command in a bare container without certificate authorities, on this network."""
    command = f"rm -rf /etc/ssl && {command}"
    options = [f"--env={key}={value}" for key, value in environment.items()]
    return [
        *["docker", "run", "--rm", "--name", name, "--network", "host", *options],
        *["--volume", f"{ARTIFACTS}:/artifacts:ro", "debian:trixie-slim", "sh", "-c", command],
    ]


def emulated(folder, command, environment):
    """Runs a command under QEMU, whose emulator takes the place of `./`."""
    variables = [f"{key}={value}" for key, value in environment.items()]
    command = command.replace("/artifacts", str(ARTIFACTS)).replace("./", "qemu-aarch64 ./")
    return ["env", "-C", folder, *variables, "sh", "-c", command]


def try_out(arch, stub):
    name = f"github-topic-mirror-{VERSION}-{arch}-linux"
    unpack = f"tar -xzf /artifacts/{name}.tar.gz && cd {name}"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {"LISTEN_ADDR": f"127.0.0.1:{port}", "GITHUB_API_URL": stub, "DATA_DIR": "data"}
    environment |= {"API_URL": url, "STATE_FILE": "last-success"}
    numbers = itertools.count()
    with tempfile.TemporaryDirectory(prefix="dist-") as folder:

        def run(command):
            command = f"{unpack} && {command}"
            if arch == "aarch64":
                return emulated(folder, command, environment)
            return container(f"{Path(folder).name}-{next(numbers)}", command, environment)

        for program in ["api", "cron"]:
            text = output(*run(f"./{program} --version"))
            told = rf"{program} {re.escape(VERSION)} \(revision [0-9a-f]{{12}}(-modified)?, "
            assert re.fullmatch(rf"{told}{arch}-linux-musl\)\n", text), text
            print(f"   {text.strip()}")
        process = subprocess.Popen(run("exec ./api"), stderr=subprocess.DEVNULL)
        try:
            rows = answer(f"{url}/api/popularity/kubernetes")
            output(*run("./cron --once"))
        finally:
            process.terminate()
            code = process.wait(60)
        assert code == 0, f"./api ended with {code} at SIGTERM"
        assert len(rows) == 500, f"{len(rows)} rows"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--github-stub", required=True)
    program = parser.parse_args().github_stub
    output("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=ARTIFACTS)
    listed = {line.split()[1] for line in (ARTIFACTS / "SHA256SUMS").read_text().splitlines()}
    present = {path.name for path in ARTIFACTS.iterdir()} - {"SHA256SUMS"}
    assert listed == present, f"SHA256SUMS has other files: {sorted(listed ^ present)}"
    port = free_port()
    command = [program, "--listen-addr", f"127.0.0.1:{port}", "--generate", "2000", "--seed", "7"]
    stub = subprocess.Popen([*command, "--topic", "kubernetes"], stderr=subprocess.DEVNULL)
    failed = 0
    try:
        for arch in ["x86_64", "aarch64"]:
            try:
                try_out(arch, f"http://127.0.0.1:{port}")
                print(f"{arch}: unpacked, started, served a list")
            except (AssertionError, subprocess.CalledProcessError) as error:
                failed += 1
                print(f"FAILED: {arch}: {error}", file=sys.stderr)
    finally:
        stub.kill()
        stub.wait()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
