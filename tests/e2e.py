#!/usr/bin/env python3
"""Starts the stack from nothing, over the stand-in for GitHub, and checks it through the proxy.

    e2e.py [--rounds 3]        every check, and rounds in which replicas are killed under load;
                               then the last commit from unusual clones, and with a dead proxy
    e2e.py --chaos --rounds 20 only those rounds

The stack has a project name and a port of its own and leaves others alone. However the script ends,
it removes all of its stack, with the volumes.
"""

import argparse
import collections
import contextlib
import csv
import datetime
import gzip
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

sys.dont_write_bytecode = True
from load import Load  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
PROJECT = f"mirror-e2e-{os.getpid()}"
SERVICES = ["proxy", "api-a", "api-b", "redis", "database", "cron"]
OWN_SERVICES = ["api-a", "cron", "github-stub"]
# Characters that have a meaning in a URL, a shell or an .env file.
PASSWORD = "p@ss:w/rd?#%41 '\"$HOME\\"
TOKEN = "correct-horse-battery"
MEGABYTE = 1_000_000
LIST_KEYS = {
    "id",
    "name",
    "full_name",
    "html_url",
    "language",
    "updated_at",
    "pushed_at",
    "stargazers_count",
}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)


class Stack:
    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = ROOT
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "HOME", "XDG_RUNTIME_DIR") or name.startswith("DOCKER_")
        }
        self.environment |= {
            "COMPOSE_PROFILES": "demo",
            "APP_PORT_EXT": str(self.port),
            "GITHUB_API_URL": "http://github-stub:8090",
            "POSTGRES_PASSWORD": PASSWORD,
        }

    def run(self, *command, check=True, show=False, umask=-1, **environment):
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            umask=umask,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=None if show else subprocess.PIPE,
            stderr=None if show else subprocess.STDOUT,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout or ''}"
            )
        return done

    def compose(self, *arguments, **options):
        return self.run("docker", "compose", "-p", PROJECT, *arguments, **options)

    def execute(self, service, *command):
        return self.compose("exec", "-T", service, *command).stdout.strip()

    def sql(self, query):
        return self.execute("database", "psql", "-U", "mirror", "-d", "mirror", "-Atc", query)

    def container(self, service):
        return self.compose("ps", "-aq", service).stdout.partition("\n")[0]

    def inspect(self, service):
        return json.loads(self.run("docker", "inspect", self.container(service)).stdout)[0]

    def log(self, service):
        return self.run("docker", "logs", self.container(service)).stdout

    def tell_logs(self):
        """Prints the end of each log; of the proxy's log only failures and slow answers."""
        for service in self.compose("ps", "-a", "--services").stdout.split():
            lines = self.log(service).splitlines()
            if service == "proxy":
                fine = re.compile(r'"status":[234]\d\d,.*"seconds":0\.')
                lines = [line for line in lines if not fine.search(line)]
            print(f"-- {service}", *lines[-40:], sep="\n", file=sys.stderr)

    def access_log(self):
        lines = self.log("proxy").splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"time"')]

    def request(self, method, path, headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())

    def get(self, path, **headers):
        return self.request(
            "GET", path, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def up(self, *services, **environment):
        started = time.monotonic()
        self.compose("up", "-d", "--wait", *services, **environment)
        return time.monotonic() - started

    def down(self):
        label = f"label=com.docker.compose.project={PROJECT}"

        def gone():
            self.compose("down", "-v", "--remove-orphans", "-t", "1", check=False)
            kinds = ["container ls -aq", "volume ls -q", "network ls -q"]
            return not any(
                self.run("docker", *kind.split(), "--filter", label).stdout for kind in kinds
            )

        # `down` fails if the engine is still removing a container that a check has ended.
        wait_for(gone, f"docker removes all of {PROJECT}")


def equal(actual, expected, what):
    assert actual == expected, f"{what}: {actual!r} instead of {expected!r}"


def wait_for(holds, what, seconds=30):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def problem(answer, status, what):
    equal(answer.status, status, what)
    equal(answer.headers["content-type"], "application/problem+json", what)
    document = answer.json()
    missing = {"type", "title", "status", "detail", "instance", "request_id"} - document.keys()
    assert not missing, f"{what}: the problem document lacks {missing}"
    equal(
        (document["status"], document["request_id"]), (status, answer.headers["x-request-id"]), what
    )


def the_images(stack):
    """Images are small and have neither build tools nor root."""
    services = json.loads(stack.compose("config", "--format", "json").stdout)["services"]
    for service in OWN_SERVICES:
        image = services[service]["image"]
        about = json.loads(stack.run("docker", "image", "inspect", image).stdout)[0]
        assert about["Size"] < 120 * MEGABYTE, f"{image} has {about['Size'] / MEGABYTE:.0f} MB"
        equal(about["Config"]["User"], "mirror", f"{image}'s user")
        tools = "cc gcc cargo rustc make"
        found = stack.run(
            "docker",
            "run",
            "--rm",
            "--entrypoint",
            "sh",
            image,
            "-c",
            f"command -v {tools}",
            check=False,
        ).stdout
        equal(found, "", f"build tools in {image}")
        print(f"   {image}: {about['Size'] / MEGABYTE:.0f} MB")


def every_route(stack):
    """Every route answers with no step after `up`."""
    lists = {}
    routes = [
        f"{prefix}/{ranking}kubernetes"
        for prefix in ["/api", "/db"]
        for ranking in ["", "popularity/", "activity/"]
    ]
    for route in routes:
        equal(stack.get(route).status, 200, f"{route} at once")
    # The first lists may be there before cron's refresh has ended.
    wait_for(
        lambda: stack.get("/refreshes").json()[-1]["outcome"] == "complete",
        "cron's refresh has ended",
    )
    for route in routes:
        answer = stack.get(route)
        equal(answer.status, 200, f"{route}: {answer.body[:300]}")
        lists[route] = answer.json()
        equal(
            (len(lists[route]), {frozenset(item) for item in lists[route]}),
            (500, {frozenset(LIST_KEYS)}),
            route,
        )
        for header in [
            "etag",
            "last-modified",
            "x-refreshed-at",
            "x-complete",
            "x-total-count",
            "cache-status",
            "x-request-id",
        ]:
            assert answer.headers[header], f"{route} lacks {header}"
        equal(
            (answer.headers["x-complete"], answer.headers["x-total-count"]), ("true", "2000"), route
        )
        equal(stack.request("HEAD", route).headers["etag"], answer.headers["etag"], f"HEAD {route}")
        equal(stack.get(route, if_none_match=answer.headers["etag"]).status, 304, f"{route} again")
    for prefix in ["/api", "/db"]:
        stars = [item["stargazers_count"] for item in lists[f"{prefix}/popularity/kubernetes"]]
        equal(stars, sorted(stars, reverse=True), "popularity's order")
        updated = [item["updated_at"] for item in lists[f"{prefix}/activity/kubernetes"]]
        equal(updated, sorted(updated, reverse=True), "activity's order")
    equal(lists["/api/kubernetes"], lists["/db/kubernetes"], "/db")
    compressed = stack.get("/api/kubernetes", accept_encoding="gzip")
    equal(json.loads(gzip.decompress(compressed.body)), lists["/api/kubernetes"], "gzip")
    equal(
        stack.get("/api/kubernetes", accept_encoding="br").headers["content-encoding"], "br", "br"
    )

    for method, route in [("GET", "/bootstrap_db"), ("POST", "/bootstrap_db")]:
        equal(stack.request(method, route).json(), {"created": False}, f"{method} {route}")
    for method, route in [
        ("GET", "//update_cache"),
        ("POST", "/update_cache/"),
        ("GET", "/update_cache?topic=kubernetes"),
    ]:
        equal(stack.request(method, route).json()["complete"], True, f"{method} {route}")
    rung = stack.request("POST", "/update_cache", {"Prefer": "respond-async"})
    equal(rung.status, 202, "respond-async")
    equal(stack.get(rung.headers["location"]).status, 200, "its Location")
    equal(stack.get("/test").body, b"Oh, Hello World", "/test")
    equal(stack.get("/health").body, b"ok", "/health")
    assert stack.get("/basic_status").body.startswith(b"Active connections: "), "/basic_status"
    ready = stack.get("/ready")
    equal(
        (ready.status, ready.json()["ready"], ready.json()["database"]), (200, True, "up"), "/ready"
    )
    equal(stack.get("/topics").json()[0]["topic"], "kubernetes", "/topics")
    equal(stack.get("/topics/kubernetes").json()["complete"], True, "/topics/kubernetes")
    newest = stack.get("/refreshes").json()[0]
    equal(stack.get(f"/refreshes/{newest['id']}").json()["id"], newest["id"], "/refreshes/{id}")
    equal(stack.get("/").status, 200, "/")

    # A topic that TOPICS does not name is fetched when it is read, and can be deleted.
    equal(stack.get("/api/popularity/mcp").status, 200, "a topic on demand")
    equal(stack.request("DELETE", "/topics/mcp").status, 204, "DELETE")
    problem(stack.get("/topics/mcp"), 404, "a forgotten topic")
    problem(stack.get("/nothing"), 404, "no route")
    problem(stack.get("/api/not_a_topic"), 400, "no topic")
    problem(stack.request("PUT", "/api/kubernetes"), 405, "PUT")
    problem(stack.request("POST", "/update_cache", body=b"x" * 20_000), 413, "a body")
    equal(
        stack.get("/health", x_request_id="of-the-caller").headers["x-request-id"],
        "of-the-caller",
        "the request id",
    )


def with_a_past(stack):
    """Growth, repositories, pictures, feeds and events are right for a past that is known."""
    first = stack.get("/api/popularity/kubernetes").json()[0]
    number, name, stars = first["id"], first["full_name"], first["stargazers_count"]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    begin, yesterday, month = (today - datetime.timedelta(days) for days in [40, 1, 30])
    stack.sql(
        "INSERT INTO counts (repository_id, first_day, last_day, stargazers_count)"
        f" VALUES ({number}, '{begin}', '{yesterday}', {stars - 7})"
    )
    stack.sql(
        "INSERT INTO names (repository_id, until, full_name)"
        f" VALUES ({number}, '{yesterday} 10:00:00+00:00', 'former/name')"
    )

    for route in ["newest", "trending", "falling"]:
        equal(stack.get(f"/api/{route}/kubernetes").status, 200, route)
    created = [row["created_at"] for row in stack.get("/api/newest/kubernetes").json()]
    equal(created, sorted(created, reverse=True), "newest's order")
    trending = stack.get("/api/trending/kubernetes?window=30d")
    equal(trending.headers["x-window"], f"{month}/{today}", "X-Window")
    gained = {row["id"]: row["gained"] for row in trending.json()}
    equal(gained.get(number), 7, f"{name} in trending")
    problem(stack.get("/api/trending/kubernetes?window=8d"), 400, "an unknown window")

    answer = stack.get(f"/api/repos/{name}")
    repository = answer.json()
    equal((answer.status, repository["id"]), (200, number), name)
    equal(repository["growth"]["30d"]["gained"], 7, "its growth")
    places = [(place["topic"], place["popularity"]) for place in repository["topics_ranked"]]
    equal(places, [("kubernetes", 1)], "its places")
    equal([former["full_name"] for former in repository["former_names"]], ["former/name"], "names")
    equal(stack.get(f"/api/repositories/{number}").json(), repository, "the same by id")
    equal(stack.get(f"/api/repos/{name.upper()}").json(), repository, "the same in upper case")
    history = stack.get(f"/api/repos/{name}/history").json()
    days = [(day["day"], day["stargazers_count"]) for day in history["days"]]
    past = [(begin + datetime.timedelta(day), stars - 7) for day in range(40)]
    equal(days, [(str(day), count) for day, count in [*past, (today, stars)]], "its days")
    query = f"?from={yesterday}&to={yesterday}"
    equal(len(stack.get(f"/api/repos/{name}/history{query}").json()["days"]), 1, "a day")
    problem(stack.get("/api/repos/no/such"), 404, "an unknown repository")
    problem(stack.get(f"/api/repos/{name}/history?from={today}&to={yesterday}"), 400, "no days")

    pictures = [f"/charts/{name}.svg", "/charts/topics/kubernetes.svg"]
    pictures += [f"/badges/kubernetes/{name}.svg"]
    for route in pictures:
        answer = stack.get(route)
        equal(answer.status, 200, f"{route}: {answer.body[:300]}")
        equal(answer.headers["content-type"], "image/svg+xml", route)
        equal(ElementTree.fromstring(answer.body).tag, "{http://www.w3.org/2000/svg}svg", route)
        equal(stack.get(route, if_none_match=answer.headers["etag"]).status, 304, f"{route} again")
    for route in [f"/charts/{name}.json", f"/badges/kubernetes/{name}.json"]:
        equal(stack.get(route).status, 200, route)
    for route in ["/charts/no/such.svg", "/badges/kubernetes/no/such.svg"]:
        problem(stack.get(route), 404, route)
    for route in [
        "/api/repos/{}",
        "/api/repos/{}/history?to=2030-01-01",
        "/charts/{}.svg?range=30d",
        "/badges/kubernetes/{}.svg",
    ]:
        answer = stack.get(route.format("former/name"))
        moved = (answer.status, answer.headers["location"])
        equal(moved, (301, route.format(name)), f"{route} of a former name")

    for route, root in [
        ("/feeds/kubernetes/new.atom", "{http://www.w3.org/2005/Atom}feed"),
        ("/feeds/kubernetes/events.atom", "{http://www.w3.org/2005/Atom}feed"),
        ("/feeds/kubernetes/trending.atom", "{http://www.w3.org/2005/Atom}feed"),
        ("/feeds.opml", "opml"),
    ]:
        answer = stack.get(route)
        equal(answer.status, 200, f"{route}: {answer.body[:300]}")
        equal(ElementTree.fromstring(answer.body).tag, root, route)
    version = "https://jsonfeed.org/version/1.1"
    equal(stack.get("/feeds/kubernetes/new.json").json()["version"], version, "JSON Feed")
    events = stack.get("/topics/kubernetes/events")
    equal((events.status, events.headers["x-matched"]), (200, "0"), "events of a first filling")
    days = [day["day"] for day in stack.get("/topics/kubernetes/history").json()]
    equal(days, [str(today)], "the topic's days")


def get_export(stack, path, **headers):
    """An export. nginx gives a client one at a time, and may count one that has just ended."""
    answers = []

    def answered():
        answers.append(stack.get(path, **headers))
        return answers[-1].status != 429

    wait_for(answered, f"{path} is not refused")
    return answers[-1]


def queries(stack):
    """Filters, pages, formats, facets and exports agree with each other through the proxy."""
    total = stack.get("/topics/kubernetes").json()["stored"]
    list_of_go = stack.get("/api/popularity/kubernetes?language=go&fields=all&per_page=5")
    rows = list_of_go.json()
    matched = int(list_of_go.headers["x-matched"])
    equal({row["language"] for row in rows}, {"Go"}, "languages")
    assert 'rel="next"' in list_of_go.headers["link"], list_of_go.headers["link"]
    facets = stack.get("/topics/kubernetes/facets").json()
    equal(facets["matched"], total, "the facets' number of repositories")
    counts = {facet["value"]: facet["count"] for facet in facets["language"]}
    equal(counts["Go"], matched, "repositories in Go")
    answer = stack.get("/api/popularity/kubernetes", accept="text/csv")
    equal(answer.headers["content-type"].split(";")[0], "text/csv", "a list that Accept asks for")
    equal(len(list(csv.reader(io.StringIO(answer.body.decode())))), 501, "lines of CSV")
    answer = stack.get("/api/popularity/kubernetes")
    equal(answer.headers["content-type"], "application/json", "the list after it")
    export = get_export(stack, "/exports/kubernetes.ndjson")
    equal(len(export.body.splitlines()), total, "lines of the export")
    again = get_export(stack, "/exports/kubernetes.ndjson", if_none_match=export.headers["etag"])
    equal(again.status, 304, "the export again")
    days = get_export(stack, "/exports/kubernetes/history.csv").body.decode()
    counted = {row["repository_id"] for row in csv.DictReader(io.StringIO(days))}
    equal(len(counted), total, "repositories with days")
    problem(stack.get("/api/kubernetes?colour=red&stars=many"), 400, "two faults")
    problem(get_export(stack, "/exports/unheard-of.csv"), 404, "an export of an unknown topic")


def pages(stack):
    """Pages come whole through the proxy, and their numbers are those of the lists."""
    html = {"accept": "text/html"}
    first = stack.get("/", **html)
    equal(first.headers["content-type"], "text/html; charset=utf-8", "the first page")
    assert b'href="/t/kubernetes"' in first.body, "the first page names the topic"
    page = stack.get("/t/kubernetes/popularity?per_page=3", **html).body.decode()
    names = re.findall(r'href="/r/([^"]+)"', page)
    rows = stack.get("/api/popularity/kubernetes?per_page=3&page=1").json()
    equal(names, [row["full_name"] for row in rows], "the page's repositories")
    for path in sorted(set(re.findall(r'"(/assets/[^"]+)"', page))):
        answer = stack.get(path)
        equal(answer.status, 200, path)
        assert "immutable" in answer.headers["cache-control"], path
    for path in [f"/r/{names[0]}", f"/compare?repos={','.join(names[:2])}", "/status", "/docs"]:
        answer = stack.get(path, **html)
        equal((answer.status, b"</html>" in answer.body), (200, True), path)
    answer = stack.get("/t/kubernetes?stars=many", **html)
    assert answer.status == 400 and b"stars accepts a number" in answer.body, "a fault"
    answer = stack.get("/api/kubernetes?stars=many", **html)
    equal(answer.headers["content-type"], "text/html; charset=utf-8", "an error as a page")


def both_replicas(stack):
    """Requests go to both replicas."""
    for index in range(40):
        stack.get("/topics", x_request_id=f"both-{index}")
    entries = []

    def logged():
        entries[:] = [
            entry for entry in stack.access_log() if entry["request_id"].startswith("both-")
        ]
        return len(entries) == 40

    wait_for(logged, "40 entries in the access log")
    served = collections.Counter(entry["upstream"] for entry in entries)
    assert len(served) == 2 and min(served.values()) >= 10, (
        f"of 40 requests each replica got: {served}"
    )


def the_scheduler(stack):
    """cron triggers a refresh at its start and logs the report."""
    first = stack.get("/refreshes").json()[-1]
    equal((first["cause"], first["outcome"]), ("request", "complete"), "the first refresh")
    log = stack.log("cron")
    reports = [
        line for line in log.splitlines() if '"refresh":' in line and '"complete":true' in line
    ]
    assert reports, f"cron's log has no report:\n{log}"


def what_is_kept(stack):
    """PostgreSQL has the data, Redis the lists, with the settings of the stack."""
    # The three lists of 500 overlap.
    repositories = int(stack.sql("SELECT count(*) FROM repositories"))
    assert repositories >= 500, f"{repositories} repositories in PostgreSQL"
    equal(
        stack.sql("SELECT count(*) FROM counts WHERE current_date BETWEEN first_day AND last_day"),
        str(repositories),
        "today's counts",
    )
    equal(stack.sql("SHOW max_connections"), "200", "PostgreSQL's connections")
    equal(stack.sql("SHOW shared_preload_libraries"), "pg_stat_statements", "preloaded")
    equal(stack.sql("SHOW pg_stat_statements.max"), "10000", "its size")
    equal(stack.sql("SHOW pg_stat_statements.track"), "all", "what it tracks")
    assert int(stack.sql("SELECT count(*) FROM pg_stat_statements")) > 0, "no statement statistics"
    before = stack.execute("database", "cat", "/var/lib/postgresql/data/postgresql.conf")
    stack.execute("database", "bash", "/docker-entrypoint-initdb.d/init-db.sh")
    equal(
        stack.execute("database", "cat", "/var/lib/postgresql/data/postgresql.conf"),
        before,
        "init-db.sh once more",
    )

    keys = stack.execute("redis", "redis-cli", "--scan").split()
    assert any("kubernetes" in key for key in keys), f"Redis has {keys}"
    for name, value in [
        ("maxmemory", "134217728"),
        ("maxmemory-policy", "allkeys-lru"),
        ("save", ""),
        ("appendonly", "no"),
    ]:
        told = (
            stack.execute("redis", "redis-cli", "--raw", "config", "get", name).split("\n") + [""]
        )[1]
        equal(told, value, f"Redis's {name}")


def the_containers(stack):
    """Containers are confined and bounded, and only the proxy is published."""
    for service in SERVICES:
        about = stack.inspect(service)
        host, config = about["HostConfig"], about["Config"]
        equal(about["State"]["Health"]["Status"], "healthy", service)
        assert config["User"] not in ("", "root", "0"), f"{service} runs as root"
        equal(
            (host["ReadonlyRootfs"], host["CapDrop"], host["Privileged"]),
            (True, ["ALL"], False),
            service,
        )
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert 0 < host["Memory"] <= 512 * 2**20, f"{service}'s memory"
        equal(host["RestartPolicy"]["Name"], "unless-stopped", service)
        assert host["LogConfig"]["Config"].get("max-size"), f"{service}'s log grows for ever"
        published = {
            f"{binding['HostIp']}:{binding['HostPort']}"
            for bindings in (host["PortBindings"] or {}).values()
            for binding in bindings or []
        }
        equal(
            published,
            {f"127.0.0.1:{stack.port}"} if service == "proxy" else set(),
            f"{service}'s published ports",
        )
        networks = {
            name.removeprefix(f"{PROJECT}_") for name in about["NetworkSettings"]["Networks"]
        }
        expected = {
            "redis": {"back"},
            "database": {"back"},
            "proxy": {"front"},
            "cron": {"front"},
        }.get(service, {"front", "back"})
        equal(networks, expected, f"{service}'s networks")
    back = json.loads(stack.run("docker", "network", "inspect", f"{PROJECT}_back").stdout)[0]
    equal(back["Internal"], True, "the network of database and cache")


def down_and_up(stack):
    """Lists are there at once after a restart without GitHub."""
    before = stack.get("/api/popularity/kubernetes")
    stack.compose("down", "-t", "30")
    took = stack.up(*SERVICES, COMPOSE_PROFILES="")
    after = stack.get("/api/popularity/kubernetes")
    equal(
        (after.status, after.headers["etag"], after.body),
        (200, before.headers["etag"], before.body),
        "the list",
    )
    print(f"   up again in {took:.0f} s")
    stack.up()


def with_a_token(stack):
    """Maintenance wants the token under every spelling of the path, and cron sends it."""
    stack.up(MAINTENANCE_TOKEN=TOKEN)
    for name in ["update_cache", "bootstrap_db"]:
        for spelling in [
            "/{}",
            "//{}",
            "/{}/",
            "/{}//",
            "/%2f{}",
            "/%2F{}",
            "/{}%2f",
            "/./{}",
            "/x/../{}",
            "/{}?topic=kubernetes",
        ]:
            for path in [spelling.format(name), spelling.format(name.upper())]:
                for method in ["GET", "POST", "HEAD"]:
                    for authorization in [None, "Bearer wrong", f"Basic {TOKEN}"]:
                        headers = {"Authorization": authorization} if authorization else {}
                        status = stack.request(method, path, headers).status
                        assert status in (401, 404, 405), (
                            f"{method} {path} with {authorization}: {status}"
                        )
    problem(stack.get("/update_cache"), 401, "no token")
    problem(stack.request("DELETE", "/topics/kubernetes"), 401, "DELETE without the token")
    equal(stack.get("/api/kubernetes").status, 200, "reads are for everyone")
    report = stack.request("POST", "//update_cache", {"Authorization": f"Bearer {TOKEN}"})
    equal((report.status, report.json()["complete"]), (200, True), "with the token")
    wait_for(lambda: '"complete":true' in stack.log("cron"), "cron rings with the token")
    secrets_are_not_told(stack)
    stack.up()


def secrets_are_not_told(stack):
    """No image, log or command line of the stack has the token or the database's password."""
    for service in SERVICES:
        container = stack.inspect(service)
        image = container["Image"]
        told = {
            "image": stack.run("docker", "image", "inspect", image).stdout,
            "layers": stack.run("docker", "history", "--no-trunc", image).stdout,
            "log": stack.log(service),
            "command line": stack.run("docker", "top", container["Id"], "-o", "pid,args").stdout,
        }
        for place, text in told.items():
            for secret in [TOKEN, PASSWORD]:
                assert secret not in text, f"the {place} of {service} has a secret"


def open_to_everyone(stack):
    """The API does not start if it is published beyond loopback without a token."""
    done = stack.compose(
        "run", "--rm", "--no-deps", "-T", "api-a", check=False, APP_BIND_ADDR="0.0.0.0"
    )
    equal(done.returncode, 2, done.stdout)
    assert "MAINTENANCE_TOKEN is unset though APP_BIND_ADDR is 0.0.0.0" in done.stdout, done.stdout


def serving(stack):
    """The replicas that answered the last requests."""
    return {entry["upstream"] for entry in stack.access_log()[-300:] if entry["upstream"]}


def under_load(stack, rounds):
    """No list of 300 a second is lost while replicas are added, stopped, killed, recreated."""
    # /db stays out: it answers 503 if PostgreSQL takes more than a second, as on a busy machine.
    expected = {}
    # The proxy caches the first three for a second. The last one goes to a replica each time.
    for path in [
        "/api/kubernetes",
        "/api/popularity/kubernetes",
        "/api/activity/kubernetes",
        "/api/activity/Kubernetes",
    ]:
        for encoding in ["identity", "gzip", "br"]:
            expected[path, encoding] = stack.get(path, accept_encoding=encoding).body
    proxy = stack.inspect("proxy")["State"]["StartedAt"]
    with Load(stack.port, expected, requests_a_second=300) as load:
        for replicas in 3, 1:
            stack.compose(
                "up", "-d", "--wait", "--no-recreate", "--scale", f"api-b={replicas}", "api-b"
            )
            wait_for(
                lambda: len(serving(stack)) == 1 + replicas, f"{1 + replicas} replicas serve"
            )
            load.check(f"{1 + replicas} replicas serve")
        for index in range(rounds):
            replica = ["api-a", "api-b"][index % 2]
            stack.run("docker", "kill", stack.container(replica))
            time.sleep(2)
            stack.compose("up", "-d", "--wait", "--no-recreate", replica)
            load.check(f"round {index + 1}: {replica} was killed and came back")
            stack.compose("up", "-d", "--wait", "--force-recreate", "api-a")
            load.check(f"round {index + 1}: api-a was recreated")
    equal(stack.inspect("proxy")["State"]["StartedAt"], proxy, "the proxy was not touched")
    entries = stack.access_log()
    assert len(serving(stack)) >= 2, f"at the end only {serving(stack)} served"
    passed_on = sum("," in entry["upstream"] for entry in entries)
    # nginx writes a colon between the addresses before and after an internal redirect.
    again = sum(" : " in entry["upstream"] for entry in entries)
    print(
        f"   {load.summary()}; {passed_on} went to the other replica, {again} were asked once more"
    )


def run_all(stack, checks):
    for check in checks:
        name = check.__name__.replace("_", " ")
        print(f"== {name}: {check.__doc__.splitlines()[0]}", flush=True)
        check(stack)


@contextlib.contextmanager
def clone(stack, *options, umask=-1):
    """The stack has the files of a clone of the last commit inside `with`."""
    with tempfile.TemporaryDirectory() as folder:
        stack.run("git", "clone", "-q", *options, str(ROOT), folder, umask=umask)
        stack.folder = folder
        try:
            yield
        finally:
            stack.folder = ROOT


def starts_and_serves(stack, **environment):
    """Starts the stack from nothing, with the programs' images as they are, and reads its lists."""
    stack.down()
    took = stack.up("--no-build", **environment)
    wait_for(
        lambda: stack.get("/refreshes").json()[-1]["outcome"] == "complete",
        "cron's refresh has ended",
    )
    for route in ["/api/kubernetes", "/db/popularity/kubernetes", "/api/activity/kubernetes"]:
        equal((stack.get(route).status, len(stack.get(route).json())), (200, 500), route)
    equal(stack.sql("SHOW pg_stat_statements.max"), "10000", "init-db.sh")
    print(f"   healthy in {took:.0f} s")


def with_windows_line_ends(stack):
    """The stack serves from a clone with core.autocrlf=true."""
    with clone(stack, "-c", "core.autocrlf=true"):
        files = stack.run("git", "ls-files", "--eol").stdout.splitlines()
        equal([line for line in files if "w/crlf" in line or "w/mixed" in line], [], "CRLF")
        stack.compose("build", "-q", "proxy", "database")
        starts_and_serves(stack)


def with_private_files(stack):
    """The stack serves from a clone with umask 077."""
    with clone(stack, umask=0o077):
        mode = Path(stack.folder, "nginx/start.sh").stat().st_mode & 0o777
        equal(oct(mode), "0o700", "start.sh in the clone")
        stack.compose("build", "-q", "proxy", "database")
        starts_and_serves(stack)


def with_a_dead_proxy(stack):
    """The stack serves if Docker's client gives containers a proxy that does not answer."""
    client = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    dead = "http://127.0.0.1:1"
    with tempfile.TemporaryDirectory() as folder:
        config = {}
        for entry in client.iterdir() if client.is_dir() else []:
            if entry.name == "config.json":
                config = json.loads(entry.read_text())
            else:
                Path(folder, entry.name).symlink_to(entry.resolve())
        config["proxies"] = {"default": {"httpProxy": dead, "httpsProxy": dead}}
        Path(folder, "config.json").write_text(json.dumps(config))
        # The stand-in is asked over HTTP, so its requests would go to the proxy too.
        starts_and_serves(stack, DOCKER_CONFIG=folder, NO_PROXY="github-stub")
    for service in SERVICES:
        environment = stack.inspect(service)["Config"]["Env"]
        missing = {f"{name}={dead}" for name in ["http_proxy", "HTTP_PROXY"]} - set(environment)
        equal(missing, set(), f"{service}'s environment lacks")


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--chaos", action="store_true")
    arguments = arguments.parse_args()
    # SIGTERM raises SystemExit, so that the stack is removed too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    checks = [
        the_images,
        every_route,
        both_replicas,
        the_scheduler,
        what_is_kept,
        with_a_past,
        queries,
        pages,
        the_containers,
        down_and_up,
        with_a_token,
        open_to_everyone,
    ]
    checkouts = [with_windows_line_ends, with_private_files, with_a_dead_proxy]
    checks, checkouts = ([], []) if arguments.chaos else (checks, checkouts)
    stack = Stack()
    started = time.monotonic()
    try:
        print("== images are built", flush=True)
        stack.compose("build", "-q", show=True)
        print(f"   in {time.monotonic() - started:.0f} s", flush=True)
        print("== six containers and the stand-in, from nothing", flush=True)
        print(f"   healthy in {stack.up():.0f} s", flush=True)
        run_all(stack, checks)
        if arguments.rounds:
            print(f"== under load: {under_load.__doc__}", flush=True)
            under_load(stack, arguments.rounds)
        run_all(stack, checkouts)
    except (AssertionError, KeyError, ValueError, OSError, http.client.HTTPException) as error:
        print(
            f"FAILED: {error!r}" if not isinstance(error, AssertionError) else f"FAILED: {error}",
            file=sys.stderr,
        )
        print(stack.compose("ps", "-a").stdout, file=sys.stderr)
        stack.tell_logs()
        return 1
    finally:
        stack.down()
    print(f"== all of it took {time.monotonic() - started:.0f} s")
    print(f"{len(checks + checkouts) + bool(arguments.rounds)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
