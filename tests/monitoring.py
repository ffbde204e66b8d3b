#!/usr/bin/env python3
"""Checks what deploy/ has for Prometheus and Grafana against docs/operations.md, and by promtool.

- The rules and their unit tests pass. Each alert has a test in which it fires and one in which it
  does not, a severity, a summary, a description in one paragraph, and a section of its name in
  docs/operations.md, where its runbook_url leads.
- The dashboard is the one that deploy/dashboard.py writes. Its panels show each family of metrics
  that docs/operations.md lists, name no other one, and have expressions that Prometheus accepts.

Prints each fault and exits 1 if there is one.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(DEPLOY))
import dashboard  # noqa: E402

OPERATIONS = ROOT / "docs/operations.md"
SECTION = "### "
ALERT = re.compile(r"^      - alert: (\w+)$", re.M)
FAMILY = re.compile(r"^\| `((?:http|mirror|process)_\w+)(?:\{.*?\})?` \| (\w+) \|", re.M)
# Prometheus' own metric of each target.
TARGETS_OWN = {"up"}
HISTOGRAM_PARTS = ["_bucket", "_sum", "_count"]


def alerts():
    """The text of each alert's rule by its name."""
    parts = ALERT.split((DEPLOY / "alerts.yml").read_text())[1:]
    return dict(zip(parts[::2], parts[1::2]))


def faults_of_alerts():
    sections = OPERATIONS.read_text().splitlines()
    tests = re.split(r"^      - eval_time: ", (DEPLOY / "alerts_test.yml").read_text(), flags=re.M)
    for name, rule in alerts().items():
        for field in ["severity", "summary", "description"]:
            if not re.search(rf"^ +{field}: \S", rule, re.M):
                yield f"{name} has no {field}"
        if f"runbook_url: docs/operations.md#{name.lower()}\n" not in rule + "\n":
            yield f"{name}: its runbook_url does not lead to its section"
        if f"{SECTION}{name}" not in sections:
            yield f"{name} has no section in docs/operations.md"
        own = [test for test in tests if f"alertname: {name}\n" in test]
        if not any("exp_alerts:" in test for test in own):
            yield f"{name} fires in no unit test"
        if all("exp_alerts:" in test for test in own):
            yield f"{name} fires in every unit test"


def families():
    """The names of all series, with the family that each belongs to."""
    series = {}
    for name, kind in FAMILY.findall(OPERATIONS.read_text()):
        names = [name + part for part in HISTOGRAM_PARTS] if kind == "histogram" else [name]
        series |= dict.fromkeys(names, name)
    return series


def expressions():
    for panel in json.loads(dashboard.DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


def faults_of_dashboard():
    if dashboard.DASHBOARD.read_text() != dashboard.text():
        yield "deploy/grafana-dashboard.json is not the one that deploy/dashboard.py writes"
    series, shown = families(), set()
    if not series:
        yield "docs/operations.md lists no metrics"
    for title, expression in expressions():
        # Each selector has the job, so that a name before a brace is one of a series.
        for name in re.findall(r"(\w+)\{", expression):
            if name not in series.keys() | TARGETS_OWN:
                yield f"the panel {title} shows {name}, which no replica has"
            shown.add(series.get(name))
    for name in sorted(set(series.values()) - shown):
        yield f"no panel shows {name}"


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        yield f"promtool {' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}"


def faults_of_expressions():
    """Those of the dashboard as recording rules, since promtool checks rules alone."""
    rules = [
        {"record": f"panel:{index}", "expr": expression}
        for index, (_, expression) in enumerate(expressions())
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        yield from promtool("check", "rules", file.name)


def main():
    faults = [
        *faults_of_alerts(),
        *faults_of_dashboard(),
        *promtool("check", "rules", DEPLOY / "alerts.yml"),
        *promtool("test", "rules", DEPLOY / "alerts_test.yml"),
        *faults_of_expressions(),
    ]
    print(*faults, f"{len(alerts())} alerts and the dashboard, {len(faults)} faults", sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
