"""What was measured, as text and as a picture."""

import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from measure import median
from refresh import STEPS

# The Flask service that this one ports, measured in the same way on a machine of this kind.
FLASK_DB_MICROS = 20_628

# What docs/performance.md has between these is from here; the rest is written by hand.
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(results, took):
    """The text, the picture and how many requests failed."""
    parts, svg, failed = [machine(took)], "", 0
    if "reads" in results:
        measured, _ = results["reads"]
        parts += [targets(results), reads(measured)]
        svg = picture(measured)
        failed += sum(run.failed for runs in measured.values() for run in runs)
    if "refresh" in results:
        parts.append(refreshes(results["refresh"]))
    if "growth" in results:
        parts.append(growth(results["growth"]))
        failed += sum(row["failed"] for row in results["growth"])
    parts.append(f"Requests that failed: {failed}.")
    return "\n\n".join(parts), svg, failed


def machine(took):
    def version(*command):
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return re.search(r"\d+\.\d+(\.\d+)?", done.stdout).group()

    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (f"{datetime.date.today():%d %B %Y}, {os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), "
            f"Linux {platform.release().split('-')[0]}, nginx {version('nginx', '-v')}, "
            f"Redis {version('redis-server', '--version')}; {took / 60:.0f} minutes.")


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def micros(measured, name, connections=32):
    return median(measured[name, connections], lambda run: run.micros)


def ratio(measured, name, base):
    return micros(measured, base) / micros(measured, name)


def targets(results):
    measured, cold = results["reads"]
    rows = []
    for what, name, base, least in [
        ("list through the proxy, gzip, against the file", "proxy, gzip", "file, gzip", 0.85),
        ("list through the proxy, identity, against the file", "proxy, identity", "file, identity", 0.60),
        ("the same without nginx' cache, gzip", "proxy without cache, gzip", "file, gzip", 0.40),
        ("the same without nginx' cache, identity", "proxy without cache, identity", "file, identity", 0.35),
        ("direct, gzip, against the file", "direct, gzip", "file, gzip", 1.3),
        ("direct, identity, against the file", "direct, identity", "file, identity", 0.9),
    ]:
        reached = ratio(measured, name, base)
        rows.append([what, f"at least {least}", f"{reached:.2f}", mark(reached >= least)])
    reached = FLASK_DB_MICROS / micros(measured, "/db direct")
    rows.append(["`/db`, against the Flask service's", "10 × less CPU", f"{reached:.1f} ×", mark(reached >= 10)])
    if "refresh" in results:
        steps = results["refresh"]["PostgreSQL"]["changed"]
        reached = steps["all"] - steps["parse"]
        rows.append(["1,000 changed repositories: write, lists, compression, Redis, both replicas fresh", "under 60 ms", f"{reached:.0f} ms", mark(reached < 60)])
    rows.append(["a replica's start to its first list", "50 ms", f"{cold:.0f} ms", mark(cold <= 50)])
    lists, everything = (max(run.memory for (name, _), runs in measured.items() if with_db or not name.startswith("/db") for run in runs)
                         for with_db in (False, True))
    rows.append(["a replica's resident memory under load: lists; `/db` too", "30 MB", f"{lists:.0f}; {everything:.0f} MB", mark(everything <= 30)])
    return "## What it should reach\n\n" + table(["", "wanted", "reached", ""], rows)


def mark(reached):
    return "yes" if reached else "**no**"


def reads(measured):
    others = [run.others for runs in measured.values() for run in runs]
    text = ["## Reads", "CPU is microseconds a request, over all processes together, and of the load generator alone (wrk; ab "
            "for HEAD). The ratio is the file's CPU by the case's, for the same bytes. "
            f"Others used {100 * sum(others) / len(others):.0f} % of the machine meanwhile, {100 * max(others):.0f} % at most."]
    for connections in sorted({connections for _, connections in measured}, key=lambda count: (count != 32, count)):
        rows = []
        for (name, own_connections), runs in measured.items():
            if own_connections != connections:
                continue
            base = base_of(name)
            against = f"{ratio_at(measured, name, base, connections):.2f}" if (base, connections) in measured else ""
            services = {}
            for service in runs[0].cpu:
                used = median(runs, lambda run: run.micros_of(service))
                kind = service.removesuffix("-a").removesuffix("-b")
                services[kind] = services.get(kind, 0) + used
            split = ", ".join(f"{service} {used:.0f}" for service, used in services.items() if used >= 0.5 and service != "load")
            rows.append([name, f"{median(runs, lambda run: run.micros):.0f}", f"{median(runs, lambda run: run.micros_of('load')):.0f}",
                         split, against, f"{median(runs, lambda run: run.rate):,.0f}",
                         f"{median(runs, lambda run: run.p50):.2f}", f"{median(runs, lambda run: run.p99):.2f}"])
        text.append(f"{connections} connection{'s' if connections > 1 else ''}:")
        text.append(table(["case", "CPU µs", "load's", "of it", "ratio", "requests/s", "p50 ms", "p99 ms"], rows))
    return "\n\n".join(text)


def base_of(name):
    if "/test" in name:
        return "file, /test"
    if "HEAD" in name:
        return "file, HEAD"
    if "304" in name:
        return "file, 304"
    if name.startswith("/db"):
        return "file, identity"
    encoding = name.split(", ")[-1].split(" (")[0]
    return f"file, {encoding}"


def ratio_at(measured, name, base, connections):
    return micros(measured, base, connections) / micros(measured, name, connections)


def refreshes(results):
    text = ["## A refresh, without GitHub", "1,000 repositories in ten pages, two replicas over Redis; medians in milliseconds, of new ones a single run."]
    columns = [(database, kind) for database, kinds in results.items() for kind in kinds]
    rows = [[told, *(f"{results[database][kind][step]:.1f}" for database, kind in columns)] for step, told in STEPS.items()]
    rows.append(["rows a second while writing", *(
        f"{results[database][kind]['rows'] / results[database][kind]['write'] * 1e3:,.0f}" for database, kind in columns)])
    text.append(table(["", *(f"{database}, {kind}" for database, kind in columns)], rows))
    return "\n\n".join(text)


def growth(rows):
    lines = [[row["what"], f"{row['micros']:.0f}", f"{row['stored']:,.0f}", f"{row['memory']:.0f}", f"{row['lists']:.1f}", f"{row['first']:.1f}",
              f"{row['again']:.1f}"] for row in rows]
    return "## Growth\n\nReads go over all topics in turn, direct, gzip, 32 connections. The stand-in for GitHub sets no pace.\n\n" + table(
        ["", "CPU µs a read", "of `/db`", "replica's memory, MB", "its lists, MB", "first refresh, s", "the next, nothing changed, s"], lines)


def picture(measured):
    """A bar for each case at 32 connections, in CPU microseconds a request."""
    groups = [[name for name in (f"file, {encoding}", f"direct, {encoding}", f"proxy, {encoding}",
                                 f"proxy without cache, {encoding}", f"Varnish, {encoding}") if (name, 32) in measured]
              for encoding in ["gzip", "identity"]]
    longest = max(micros(measured, name) for group in groups for name in group)
    parts, y = [], 34
    for group in groups:
        for name in group:
            value = micros(measured, name)
            width = 420 * value / longest
            color = "#8a8f98" if name.startswith("file") else "#2f6fde"
            parts.append(f'<text x="190" y="{y + 14}" text-anchor="end">{name}</text>'
                         f'<rect x="200" y="{y + 2}" width="{width:.0f}" height="16" fill="{color}"/>'
                         f'<text x="{206 + width:.0f}" y="{y + 14}">{value:.0f}</text>')
            y += 22
        y += 12
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{y}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="#fff"/><text x="10" y="20" font-weight="bold">CPU microseconds a request, all '
            f'processes and the load generator, 32 connections</text>{"".join(parts)}</svg>\n')


def save(text, svg, folder):
    (folder / "performance.svg").write_text(svg)
    file = folder / "performance.md"
    old = file.read_text() if file.exists() else f"# Performance\n\n![CPU a request](performance.svg)\n\n{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    file.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")
    print(f"\nwritten to {file}", file=sys.stderr)
