"""Measures the pages for people: a topic of 35,000 repositories, kept whole."""

import json

from measure import Case, measure, script
from processes import Processes, fetch, progress
from stack import Stack

BROWSER = {"Accept": "text/html", "Accept-Encoding": "gzip"}

# More different pages than a replica keeps.
PAGES = 2_000


def pages(folder, disk, quick):
    """The runs at 32 connections, {case: Run}, and the compressed bytes of each page."""
    progress("pages")
    with Processes(folder, disk) as processes:
        size = 3_500 if quick else 35_000
        stack = Stack(processes, topics=["kubernetes"], repositories=size, coverage="complete")
        stack.start()
        stack.start_proxies(varnish=False)
        replica, proxy = stack.url("api-a"), stack.url("nginx")
        names = repositories(replica)
        kept = {"/": "/", "/t/kubernetes": "/t/kubernetes", "/r": f"/r/{names[0]}"}
        cases = {}
        for name, path in kept.items():
            cases[f"{name} from nginx"] = Case(name, proxy + path, BROWSER)
            cases[f"{name} from a replica"] = Case(name, replica + path, BROWSER)
        different = {
            "/t/kubernetes/popularity": [
                f"/t/kubernetes/popularity?q=o&page={number + 1}" for number in range(PAGES)
            ],
            "/r": [f"/r/{name}" for name in names[:PAGES]],
        }
        for name, paths in different.items():
            lua = script(folder, f"pages{len(cases)}", paths)
            cases[f"{name}, made each time"] = Case(name, replica, BROWSER, script=lua)
        # The first page loads the topic.
        for case in cases.values():
            if case.script is None:
                assert fetch(case.url, headers=case.headers)[0] == 200, case.url
        sizes = {
            name: len(fetch(replica + path, headers=BROWSER)[2]) for name, path in kept.items()
        }
        sizes["style sheet and script"] = assets(replica)
        seconds = 2 if quick else 5
        return {name: measure(processes, case, seconds) for name, case in cases.items()}, sizes


def repositories(replica):
    """The names of many repositories."""
    names = []
    for page in range(1, PAGES // 500 + 1):
        path = f"/api/popularity/kubernetes?fields=full_name&per_page=500&page={page}"
        names += [row["full_name"] for row in json.loads(fetch(replica + path)[2])]
    return names


def assets(replica):
    """The compressed bytes of the files that every page needs."""
    html = fetch(replica + "/", headers={"Accept": "text/html"})[2].decode()
    paths = {part.split('"')[0] for part in html.split('"/assets/')[1:]}
    files = [path for path in paths if not path.endswith(".svg")]
    encoding = {"Accept-Encoding": "gzip"}
    return sum(len(fetch(f"{replica}/assets/{path}", headers=encoding)[2]) for path in files)
