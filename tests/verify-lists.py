#!/usr/bin/env python3
"""Compares the service's three lists with lists that this script sorts from the same file.

Starts the GitHub stand-in with the file and the service over it, waits for a refresh and compares
the lists id by id. No code is shared with the service.
"""

import argparse
import gzip
import json
import os
import re
import subprocess
import tempfile
import urllib.request

MASK = 2**64 - 1


def best_match(repository):
    """The stand-in's order of best match: SplitMix64's finalizer over the id."""
    z = (repository["id"] + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def expected(file):
    with open(file, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    with (gzip.open if compressed else open)(file, "rt", encoding="utf-8") as lines:
        repositories = {item["id"]: item for item in map(json.loads, filter(str.strip, lines))}
    # GitHub's searches leave out forks.
    shown = [item for item in repositories.values() if not item.get("fork")]
    newest = sorted(
        sorted(shown, key=lambda item: item["id"]),
        key=lambda item: item["updated_at"],
        reverse=True,
    )
    return {
        "/api/kubernetes": sorted(shown, key=best_match),
        "/api/popularity/kubernetes": sorted(
            shown, key=lambda item: (-item["stargazers_count"], item["id"])
        ),
        "/api/activity/kubernetes": newest,
    }


def started(command, pattern, stream, **options):
    process = subprocess.Popen(command, text=True, **{stream: subprocess.PIPE}, **options)
    for line in getattr(process, stream):
        if found := re.search(pattern, line):
            return process, found.group(1)
    raise SystemExit(f"{command[0]} did not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("data", "api", "github-stub"):
        parser.add_argument(f"--{option}", required=True)
    options = parser.parse_args()
    command = [
        options.github_stub,
        "--listen-addr",
        "127.0.0.1:0",
        "--data",
        options.data,
        "--add-topic",
        "kubernetes",
    ]
    stub, url = started(command, r"(http://\S+)", "stdout")
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "GITHUB_API_URL": url,
            "DATA_DIR": folder,
            "LISTEN_ADDR": "127.0.0.1:0",
            "LOG_FORMAT": "json",
        }
        environment = {
            **os.environ,
            **settings,
            "SCHEDULER": "external",
            "TOPICS": "kubernetes",
            "RUST_LOG": "info",
        }
        api, address = started([options.api], r'"address":"([^"]+)"', "stderr", env=environment)
        try:
            report = json.load(urllib.request.urlopen(f"http://{address}/update_cache"))
            assert report["complete"], report
            for path, repositories in expected(options.data).items():
                served = [
                    item["id"]
                    for item in json.load(urllib.request.urlopen(f"http://{address}{path}"))
                ]
                wanted = [item["id"] for item in repositories[:500]]
                assert served == wanted, f"{path} differs"
                print(f"{path}: {len(served)} ids equal, in order")
        finally:
            for process in (api, stub):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
