"""The routes that the load asks, and what each of them needs to answer."""

import dataclasses
import json

from parts import LISTED, TOPIC

# Answers whatever fails, as long as a replica lives.
PROCESS = "process"
# Answers as long as a replica, Redis, the database or nginx has the last good list.
LIST = "list"
# Answers from the memory of a replica that has answered it once, or from the database.
KEPT = "kept"
# May answer 503 while the database cannot be read.
DATABASE = "database"


@dataclasses.dataclass
class Route:
    name: str
    path: str
    needs: str
    headers: dict = dataclasses.field(default_factory=dict)
    # The rows that the answer has at least, if it is a JSON array.
    rows: int = 0
    # The beginning of its Content-Type.
    content: str = "application/json"
    statuses: tuple = (200,)
    # Asks once more with the ETag of the last answer.
    is_conditional: bool = False
    # The longest time to answer, in seconds. nginx asks the other replica after five seconds.
    seconds: float = 6.0
    # At most one request at a time.
    is_export: bool = False
    last_etag: str = ""


def routes(repository, identity):
    """The table, with the repository that pictures and pages show."""
    return [*lists(), *queries(), *documents(repository, identity), *pages(repository)]


def lists():
    shown = {"": LISTED, "popularity/": LISTED, "activity/": LISTED, "newest/": LISTED}
    for ranking, rows in (shown | {"trending/": 1}).items():
        for encoding in ["identity", "gzip", "br"]:
            path, headers = f"/api/{ranking}{TOPIC}", {"Accept-Encoding": encoding}
            for is_conditional in [False, True]:
                yield Route("lists", path, LIST, headers, rows, is_conditional=is_conditional)
    # A weight, a date and a foreign ETag, which nginx leaves to a replica.
    for headers in [
        {"Accept-Encoding": "gzip;q=0.5, identity;q=0.1"},
        {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"},
        {"If-None-Match": '"0"'},
    ]:
        yield Route("lists", f"/api/popularity/{TOPIC}", LIST, headers, LISTED)


def queries():
    gzip = {"Accept-Encoding": "gzip"}
    yield Route("queries", f"/api/popularity/{TOPIC}?per_page=50", KEPT, gzip, 50)
    yield Route("queries", f"/api/{TOPIC}?page=2&fields=all", KEPT, gzip, 100)
    yield Route("queries", f"/api/newest/{TOPIC}?language=go&stars=1..", KEPT, {}, 1)
    yield Route(
        "queries", f"/api/activity/{TOPIC}?format=csv", KEPT, gzip, content="text/csv"
    )
    yield Route("queries", f"/api/trending/{TOPIC}?window=30d&by=velocity", KEPT, gzip, 1)
    yield Route("queries", f"/topics/{TOPIC}/facets", KEPT, gzip, is_conditional=True)


def documents(repository, identity):
    for path in [f"/db/{TOPIC}", f"/db/popularity/{TOPIC}", f"/db/activity/{TOPIC}"]:
        yield Route("/db", path, DATABASE, rows=LISTED)
    for path in [
        "/topics",
        f"/topics/{TOPIC}",
        f"/topics/{TOPIC}/history",
        f"/topics/{TOPIC}/events?per_page=10",
        "/refreshes",
        f"/api/repos/{repository}",
        f"/api/repositories/{identity}/history",
    ]:
        yield Route("documents", path, DATABASE)
    for path in [f"/charts/{repository}.svg", f"/charts/topics/{TOPIC}.svg"]:
        yield Route("pictures", path, KEPT, content="image/svg+xml", is_conditional=True)
    badge = f"/badges/{TOPIC}/{repository}.svg"
    yield Route("pictures", badge, KEPT, content="image/svg+xml")
    feed = f"/feeds/{TOPIC}/trending.atom"
    yield Route("feeds", feed, KEPT, content="application/atom+xml")
    yield Route("feeds", "/feeds.opml", DATABASE, content="text/x-opml")
    yield Route("exports", f"/exports/{TOPIC}.csv", DATABASE, content="text/csv", is_export=True)
    yield Route("process", "/health", PROCESS, content="text/plain")
    yield Route("process", "/openapi.json", PROCESS, {"Accept-Encoding": "gzip"})
    yield Route("process", "/docs", PROCESS, content="text/html")
    yield Route("process", "/", PROCESS, content="text/plain")
    yield Route("process", "/ready", PROCESS, statuses=(200, 503))


def pages(repository):
    """The pages for people."""
    html = {"Accept": "text/html"}
    for path in ["/", f"/t/{TOPIC}", f"/t/{TOPIC}/popularity", f"/r/{repository}", "/status"]:
        yield Route("pages", path, DATABASE, html, content="text/html")


def rows_of(route, text):
    """The number of rows of a JSON array; a fault of the text is a ValueError."""
    if route.content != "application/json":
        return None
    value = json.loads(text)
    return len(value) if isinstance(value, list) else None
