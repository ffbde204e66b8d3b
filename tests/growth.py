#!/usr/bin/env python3
"""Recomputes growth from an archive, and compares it with the answers of a running service.

    growth.py ARCHIVE URL TOPIC [DAY...]

Reads nothing but the archive's files. Compares every row of every window and measure, of the last
day and of the past days that are named. Exits 1 at the first difference, which it prints.
"""

import gzip
import json
import sys
import urllib.request
from datetime import date, timedelta
from math import sqrt
from pathlib import Path
from statistics import median


def rows(archive, name):
    if not Path(archive, f"{name}.ndjson.gz").exists():
        return []
    with gzip.open(Path(archive, f"{name}.ndjson.gz"), "rt") as file:
        return [json.loads(line) for line in file]


def growth(counts, created, last, width):
    """The growth of a repository, from its stars and forks by day, in the window that ends on last."""

    def series(place):
        days = sorted(day for day in counts if day <= last and counts[day][place] is not None)
        seen = {day: counts[day][place] for day in days}

        def known(day):
            if day in seen:
                return seen[day]
            before = [one for one in days if one < day]
            after = [one for one in days if one > day]
            same = before and after and seen[before[-1]] == seen[after[0]]
            return seen[before[-1]] if same else None

        def start(day):
            if known(day) is not None:
                return day, known(day)
            if created and day < created <= last:
                return created, 0
            return next(((one, seen[one]) for one in days if one > day), None)

        return seen, days, known, start

    seen, days, known, start = series(0)
    first = last - timedelta(width)
    if not days or not start(first):
        return None
    day_before, before = start(first)
    gained = seen[days[-1]] - before
    ends = [first - timedelta(width * k) for k in range(9)]
    ends = [None if created and end < created else known(end) for end in ends]
    gains = [new - old for new, old in zip(ends, ends[1:]) if None not in (new, old)]
    usual = float(median(gains)) if len(gains) >= 3 else None
    day = timedelta(1)
    follows = [one for one in days if one > first and one - day in seen]
    steps = [(seen[one] - seen[one - day], one) for one in follows]
    best = max(steps, key=lambda step: (step[0], -step[1].toordinal()), default=(0, None))
    forks, fork_days, _, fork_start = series(1)
    fork_before = fork_days and fork_start(first)
    return {
        "stars_before": before, "day_before": str(day_before), "days": (last - day_before).days,
        "stars_after": seen[days[-1]], "day_after": str(days[-1]), "gained": gained,
        "percent": gained / before * 100 if before else None,
        "velocity": gained / sqrt(max(before, 100)), "usual": usual,
        "acceleration": None if usual is None else gained / max(usual, 1),
        "best_day": str(best[1]) if best[0] > 0 else None,
        "best_day_gained": best[0] if best[0] > 0 else None,
        "forks_gained": forks[fork_days[-1]] - fork_before[1] if fork_before else None,
    }


def expected(grown, measure):
    if measure == "falling":
        chosen = [(one["gained"], id, one) for id, one in grown if one["gained"] < 0]
        return [(id, one) for _, id, one in sorted(chosen, key=lambda row: row[:2])][:500]
    chosen = [(id, one) for id, one in grown if one["gained"] > 0 and one[measure] is not None]
    if measure == "percent":
        chosen = [(id, one) for id, one in chosen if one["stars_before"] >= 50]
    return sorted(chosen, key=lambda row: (-row[1][measure], -row[1]["gained"], row[0]))[:500]


def main(archive, url, topic, *days):
    counts, created = {}, {}
    for row in rows(archive, "counts"):
        own = counts.setdefault(row["repository_id"], {})
        own[date.fromisoformat(row["day"])] = (row["stargazers_count"], row["forks_count"])
    for row in rows(archive, "repositories"):
        created[row["id"]] = row["created_at"] and date.fromisoformat(row["created_at"][:10])
    members = [row for row in rows(archive, "members") if row["topic"] == topic]
    former = [row for row in rows(archive, "former_members") if row["topic"] == topic]
    present = {row["repository_id"] for row in members}
    today = max(day for id in present for day in counts.get(id, {}))
    compared = 0
    for day in [None, *map(date.fromisoformat, days)]:
        own = present
        if day:
            own = {row["repository_id"] for row in members if (row.get("since") or "") <= str(day)}
            had = [row for row in former if row["first_day"] <= str(day) <= row["last_day"]]
            own |= {row["repository_id"] for row in had}
        for width in (1, 7, 30, 90):
            last = day or today
            grown = [(id, growth(counts.get(id, {}), created[id], last, width)) for id in own]
            grown = [(id, one) for id, one in grown if one]
            for measure in ("gained", "percent", "velocity", "acceleration", "falling"):
                route = "falling" if measure == "falling" else "trending"
                by = "" if measure == "falling" else f"&by={measure}"
                past = f"&day={day}" if day else ""
                address = f"{url}/api/{route}/{topic}?window={width}d{by}{past}"
                served = json.load(urllib.request.urlopen(address))
                wanted = expected(grown, measure)
                ids = [id for id, _ in wanted]
                assert [row["id"] for row in served] == ids, f"{address}: other rows, {ids}"
                for row, (_, one) in zip(served, wanted):
                    assert {key: row[key] for key in one} == one, f"{address}: {row} is not {one}"
                compared += len(served)
    print(compared, "rows are equal")


if __name__ == "__main__":
    main(*sys.argv[1:])
