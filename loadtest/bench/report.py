"""The report of the benchmark, as text and as a picture."""

import datetime
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from measure import median
from refresh import STEPS

# CPU of `/db` in the Flask service that this one replaces: 20,628 us, where a file took 36 us. The
# CPU of a file stands for the speed of the machine.
FLASK_DB_FILES = 20_628 / 36

# In docs/performance.md the text between these is generated; the rest is written by hand.
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(results, seconds):
    """Returns the text, the picture and the number of failed requests."""
    parts, svg, failed = [machine(seconds)], "", {}
    if "reads" in results:
        measured, _ = results["reads"]
        parts += [targets(results), reads(measured)]
        svg = picture(measured)
        for (name, connections), runs in measured.items():
            failed[f"{name} at {connections} connections"] = sum(run.failed for run in runs)
    if "refresh" in results:
        parts.append(refreshes(results["refresh"]))
    if "catalogue" in results:
        parts.append(catalogues(results["catalogue"]))
    if "queries" in results:
        parts.append(latencies(results["queries"]))
        failed["queries"] = sum(run.failed for run in results["queries"].values())
    if "pages" in results:
        runs, sizes = results["pages"]
        parts.append(pages(runs, sizes))
        failed["pages"] = sum(run.failed for run in runs.values())
    if "history" in results:
        parts.append(histories(results["history"]))
    if "growth" in results:
        parts.append(growth(results["growth"]))
        failed["growth"] = sum(row["failed"] for row in results["growth"])
    cases = [f"{name}: {count}" for name, count in failed.items() if count]
    parts.append(f"Failed requests: {', '.join(cases) or 'none'}.")
    return "\n\n".join(parts), svg, sum(failed.values())


def machine(seconds):
    def version(*command):
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return re.search(r"\d+\.\d+(\.\d+)?", done.stdout).group()

    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    model = model.group(1) if model else platform.machine()
    return (
        f"{datetime.date.today():%d %B %Y}, {os.cpu_count()} cores ({model}), "
        f"Linux {platform.release().split('-')[0]}, nginx {version('nginx', '-v')}, "
        f"Redis {version('redis-server', '--version')}; {seconds / 60:.0f} minutes."
    )


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def micros(measured, name, connections=32):
    return median(measured[name, connections], lambda run: run.micros)


def ratio(measured, name, base, connections=32):
    return micros(measured, base, connections) / micros(measured, name, connections)


# Ratios of a list's case to the file's case: the list, both cases, the least ratio.
RATIO_TARGETS = [
    ("through the proxy, gzip", "proxy, gzip", "file, gzip", 0.85),
    ("through the proxy, identity", "proxy, identity", "file, identity", 0.60),
    ("through nginx without its cache, gzip", "proxy without cache, gzip", "file, gzip", 0.40),
    (
        "through nginx without its cache, identity",
        "proxy without cache, identity",
        "file, identity",
        0.35,
    ),
    ("from a replica, gzip", "direct, gzip", "file, gzip", 1.3),
    ("from a replica, identity", "direct, identity", "file, identity", 0.9),
]


def targets(results):
    measured, cold_start = results["reads"]
    rows = []
    for source, name, base, least in RATIO_TARGETS:
        value = ratio(measured, name, base)
        rows.append(
            [f"ratio of a list {source}", f"at least {least}", f"{value:.2f}", mark(value >= least)]
        )
    value = FLASK_DB_FILES * micros(measured, "file, identity") / micros(measured, "/db direct")
    rows.append(
        [
            "CPU of the Flask service's `/db`, divided by ours",
            "at least 10",
            f"{value:.1f}",
            mark(value >= 10),
        ]
    )
    if "refresh" in results:
        steps = results["refresh"]["PostgreSQL"]["changed"]
        value = steps["all"] - steps["parse"]
        target = "refresh of 1,000 changed repositories, from writing to both replicas"
        rows.append([target, "under 60 ms", f"{value:.0f} ms", mark(value < 60)])
    target = "a replica's start to its first list"
    rows.append([target, "50 ms", f"{cold_start:.0f} ms", mark(cold_start <= 50)])
    lists, all_reads = (max_memory(measured, with_db) for with_db in (False, True))
    target = "a replica's resident memory under load of lists; and of `/db` too"
    value = f"{lists:.0f}; {all_reads:.0f} MB"
    rows.append([target, "30 MB", value, mark(all_reads <= 30)])
    return "## Targets\n\n" + table(["", "target", "measured", "reached"], rows)


def max_memory(measured, with_db):
    return max(
        run.memory
        for (name, _), runs in measured.items()
        if with_db or not name.startswith("/db")
        for run in runs
    )


def mark(reached):
    return "yes" if reached else "**no**"


def reads(measured):
    others = [run.others for runs in measured.values() for run in runs]
    figures = (
        "CPU is microseconds a request: of all processes together, of the load generator alone "
        "(wrk; ab for HEAD), and of each other process. The ratio is the CPU of the file with the "
        "same bytes, divided by that of the case. Processes outside the benchmark used "
        f"{100 * sum(others) / len(others):.0f} % of the machine on average and "
        f"{100 * max(others):.0f} % at most."
    )
    text = ["## Reads", figures]
    head = [
        "case",
        "CPU µs",
        "load generator",
        "processes",
        "ratio",
        "requests/s",
        "p50 ms",
        "p99 ms",
    ]
    counts = {connections for _, connections in measured}
    for connections in sorted(counts, key=lambda count: (count != 32, count)):
        rows = [
            read_row(measured, name, connections)
            for name, own_connections in measured
            if own_connections == connections
        ]
        text.append(f"{connections} connection{'s' if connections > 1 else ''}:")
        text.append(table(head, rows))
    return "\n\n".join(text)


def read_row(measured, name, connections):
    runs, base = measured[name, connections], base_of(name)
    has_base = (base, connections) in measured
    return [
        name,
        f"{median(runs, lambda run: run.micros):.0f}",
        f"{median(runs, lambda run: run.micros_of('load')):.0f}",
        micros_by_service(runs),
        f"{ratio(measured, name, base, connections):.2f}" if has_base else "",
        f"{median(runs, lambda run: run.rate):,.0f}",
        f"{median(runs, lambda run: run.p50):.2f}",
        f"{median(runs, lambda run: run.p99):.2f}",
    ]


def micros_by_service(runs):
    """The CPU of each service that uses half a microsecond or more; both replicas are one."""
    services = {}
    for process in runs[0].cpu:
        used = median(runs, lambda run: run.micros_of(process))
        service = process.removesuffix("-a").removesuffix("-b")
        services[service] = services.get(service, 0) + used
    return ", ".join(
        f"{service} {used:.0f}"
        for service, used in services.items()
        if used >= 0.5 and service != "load"
    )


def base_of(name):
    """The case of the file that a case is compared with."""
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


def refreshes(results):
    columns = [(database, kind) for database, kinds in results.items() for kind in kinds]
    steps = [results[database][kind] for database, kind in columns]
    rows = [[name, *(f"{times[step]:.1f}" for times in steps)] for step, name in STEPS.items()]
    rates = [f"{times['rows'] / times['write'] * 1e3:,.0f}" for times in steps]
    rows.append(["rows a second while writing", *rates])
    figures = (
        "1,000 repositories in ten pages, two replicas with one Redis; medians in milliseconds. "
        "The figures of new repositories are of a single run."
    )
    head = ["", *(f"{database}, {kind}" for database, kind in columns)]
    return f"## A refresh, without GitHub\n\n{figures}\n\n{table(head, rows)}"


def catalogues(results):
    names = {
        "load": "loading the catalogue, ms",
        "bytes": "its memory, MB",
        "rank": "the first 500 of a ranking, ms",
        "build": "all lists with their JSON and compression, ms",
    }
    scale = {"bytes": 1e-6}
    rows = [
        [text, *(f"{figures[name] * scale.get(name, 1):.1f}" for figures in results.values())]
        for name, text in names.items()
    ]
    figures = "A topic of 35,000 repositories; medians of nine."
    text = f"## A catalogue\n\n{figures}\n\n{table(['', *results], rows)}"
    return text + queries({name: one["queries"] for name, one in results.items()})


def queries(results):
    """The table of queries over a catalogue with every field."""

    def row(text, limit, value):
        values = [value(figures) for figures in results.values()]
        reached = mark(all(value <= limit for value in values)) if limit else ""
        return [text, limit or "", *(f"{value:,.2f}" for value in values), reached]

    kinds = [
        name
        for name, value in next(iter(results.values())).items()
        if name not in ["load", "bytes", "facets", "ndjson", "csv"]
    ]
    rows = [
        row("loading it, ms", None, lambda one: one["load"]),
        row("its memory, MB", None, lambda one: one["bytes"] / 1e6),
        *(row(f"{kind}, ms", 2, lambda one, kind=kind: one[kind]) for kind in kinds),
        row("facets, ms", 5, lambda one: one["facets"]),
    ]
    for name in ["ndjson", "csv"]:
        size = next(iter(results.values()))[name]["bytes"]
        limit = round(min(1.0, size / 100e6), 2)
        rows.append(
            row(
                f"export as {name}, {size / 1e6:.0f} MB, s",
                limit,
                lambda one, name=name: one[name]["time"] / 1e3,
            )
        )
    head = ["", "target", *results, "reached"]
    text = (
        "A query is answered from a catalogue with every field; a page has 100 rows if nothing "
        "else is said. The times are of one core, with JSON, without compression."
    )
    return f"\n\n### Queries\n\n{text}\n\n{table(head, rows)}"


def latencies(runs):
    """The table of queries over HTTP."""
    base = runs["/test"].p99

    def row(name, run):
        reached = "" if name == "/test" else mark(run.p99 - base <= 5)
        figures = [f"{run.micros:,.0f}", f"{run.rate:,.0f}", f"{run.p50:.2f}", f"{run.p99:.2f}"]
        return [name, *figures, reached]

    head = ["case", "CPU µs", "requests/s", "p50 ms", "p99 ms", "p99 within 5 ms of /test's"]
    text = (
        "A replica keeps the answers to queries until the topic changes, as many as its memory "
        "has room for. 32 connections, without a pause between requests."
    )
    rows = [row(name, run) for name, run in runs.items()]
    return f"### Queries over HTTP\n\n{text}\n\n{table(head, rows)}"


def pages(runs, sizes):
    """The table of pages for people."""

    def row(name, run):
        own = run.micros - run.micros_of("load")
        made = "made" in name
        reached = mark(own <= 3_000) if made else ""
        figures = [f"{own:,.0f}", f"{run.rate:,.0f}", f"{run.p50:.2f}", f"{run.p99:.2f}"]
        return [name, "3,000" if made else "", *figures, reached]

    head = ["page", "target", "CPU µs", "requests/s", "p50 ms", "p99 ms", "reached"]
    sizes = ", ".join(f"{name} {size / 1e3:.1f} KB" for name, size in sizes.items())
    text = (
        "A topic of 35,000 repositories; 32 connections, gzip. The CPU is of all processes but the "
        f"load generator. Compressed sizes: {sizes}."
    )
    rows = [row(name, run) for name, run in runs.items()]
    return f"### Pages\n\n{text}\n\n{table(head, rows)}"


def histories(results):
    """The table of history."""

    def row(text, limit, value):
        values = [value(figures) for figures in results.values()]
        reached = mark(all(value < limit for value in values)) if limit else ""
        return [text, limit or "", *(f"{value:,.1f}" for value in values), reached]

    counts = next(iter(results.values()))["rows"]["counts.ndjson.gz"]
    days = next(iter(results.values()))["days"]
    rows = [
        row(f"tables of {days} days, MB", 200, lambda one: one["bytes"] / 1e6),
        row(
            "writing a day's counts: its first whole run less its second one, s",
            2,
            lambda one: one["first_whole"] - one["second_whole"],
        ),
        row("a run that shows 700 changed ones: the slowest, s", None, lambda one: one["slowest"]),
        row(f"export of {counts:,} counts, s", 60, lambda one: one["export"]["seconds"]),
        row("its memory, MB", 100, lambda one: one["export"]["megabytes"]),
        row("import into the other database, s", 60, lambda one: one["import"]["seconds"]),
        row("its memory, MB", 100, lambda one: one["import"]["megabytes"]),
    ]
    names = {
        ("growth", "week"): ("growth within a week of a topic: loading it, ms", None),
        ("growth", "quarter"): ("within a quarter, ms", None),
        ("growth", "past"): ("as of a past day, ms", None),
        ("growth", "list"): ("a trending list of it, ms", None),
        ("repository", "history"): ("three years of days of a repository, ms", 5),
        ("repository", "chart"): ("a chart of eight such ones, ms", 3),
        ("repository", "badge"): ("a badge, ms", 3),
    }
    for (part, name), (text, limit) in names.items():
        rows.append(row(text, limit, lambda one, part=part, name=name: one[part][name]))
    figures = (
        "A topic of 35,000 repositories that is kept whole; 2 % of them change each day. Sizes are "
        "those of all tables with their indexes, vacuumed by PostgreSQL itself."
    )
    return f"## History\n\n{figures}\n\n{table(['', 'target, under', *results, 'reached'], rows)}"


def growth(rows):
    head = [
        "",
        "CPU µs a read",
        "of `/db`",
        "replica's memory, MB",
        "its lists, MB",
        "first refresh, s",
        "second refresh, without changes, s",
    ]
    lines = [
        [
            row["size"],
            f"{row['api_micros']:.0f}",
            f"{row['db_micros']:,.0f}",
            f"{row['memory']:.0f}",
            f"{row['lists']:.1f}",
            f"{row['first']:.1f}",
            f"{row['again']:.1f}",
        ]
        for row in rows
    ]
    figures = (
        "Reads request the topics in turn, direct, gzip, 32 connections. The stub of GitHub has no "
        "rate limit."
    )
    return f"## Growth\n\n{figures}\n\n{table(head, lines)}"


def picture(measured):
    """A bar for each case at 32 connections, in CPU microseconds a request."""
    kinds = ["file", "direct", "proxy", "proxy without cache", "Varnish"]
    groups = [
        [f"{kind}, {encoding}" for kind in kinds if (f"{kind}, {encoding}", 32) in measured]
        for encoding in ["gzip", "identity"]
    ]
    longest = max(micros(measured, name) for group in groups for name in group)
    bars, y = [], 34
    for group in groups:
        for name in group:
            value = micros(measured, name)
            width = 420 * value / longest
            color = "#8a8f98" if name.startswith("file") else "#2f6fde"
            bars.append(
                f'<text x="190" y="{y + 14}" text-anchor="end">{name}</text>'
                f'<rect x="200" y="{y + 2}" width="{width:.0f}" height="16" fill="{color}"/>'
                f'<text x="{206 + width:.0f}" y="{y + 14}">{value:.0f}</text>'
            )
            y += 22
        y += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{y}" '
        'font-family="sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="#fff"/>'
        '<text x="10" y="20" font-weight="bold">CPU microseconds a request, all processes and the '
        f"load generator, 32 connections</text>{''.join(bars)}</svg>\n"
    )


def save(text, svg, folder):
    """Writes the picture, and the text between the marks of performance.md."""
    (folder / "performance.svg").write_text(svg)
    file = folder / "performance.md"
    if file.exists():
        old = file.read_text()
    else:
        old = f"# Performance\n\n![CPU a request](performance.svg)\n\n{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    _, _, after = rest.partition(END)
    file.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    print(f"\nwrote {file}", file=sys.stderr)
