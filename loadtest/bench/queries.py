"""Measures queries over HTTP: a topic of 35,000 repositories, kept whole, on one replica."""

from measure import Case, measure, script
from processes import Processes, fetch, progress
from stack import Stack

# The kinds of queries. A replica keeps the answer to each.
KINDS = {
    "a rare language": "language=c%2B%2B",
    "a common language": "language=go",
    "words that nothing has": "q=unheard+of",
    "the last page": "page=350&per_page=100",
    "500 rows with all fields": "fields=all",
}

# More different pages than a replica keeps.
PAGES = 2_000


def latencies(folder, disk, quick):
    """The runs at 32 connections: {case: Run}."""
    progress("queries")
    with Processes(folder, disk) as processes:
        size = 3_500 if quick else 35_000
        stack = Stack(
            processes, topics=["kubernetes"], repositories=size, coverage="complete"
        )
        stack.start()
        replica = stack.url("api-a")
        cases = {"/test": Case("/test", replica + "/test")}
        for kind, query in KINDS.items():
            cases[kind] = Case(kind, f"{replica}/api/popularity/kubernetes?{query}")
        cases["facets"] = Case("facets", replica + "/topics/kubernetes/facets")
        pages = [
            f"/api/popularity/kubernetes?q=o&page={number + 1}&per_page=100"
            for number in range(PAGES)
        ]
        lua = script(folder, "pages", pages)
        cases["2,000 different pages"] = Case("pages", replica, script=lua)
        # The first query loads the topic.
        for case in cases.values():
            if case.script is None:
                assert fetch(case.url)[0] == 200
        return {name: measure(processes, case, 2 if quick else 5) for name, case in cases.items()}
