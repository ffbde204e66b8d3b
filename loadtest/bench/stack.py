"""The stack as plain processes: the container's nginx, two replicas, Redis, PostgreSQL; beside it nginx without its cache,
the same bytes as files, and Varnish."""

import gzip
import os
import re
import subprocess
import time
from pathlib import Path

from processes import fetch, free_port, program, wait_for

ROOT = Path(__file__).resolve().parents[2]
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist"

# The same bytes as files, served with everything that nginx.conf sets for all servers.
FILES = """
    server {{
        listen 127.0.0.1:{port};
        root {root};
        default_type application/json;
        sendfile on;
        location = /list {{ }}
        location = /gzip/list {{ gzip_static on; }}
        location = /br/list {{ alias {root}/list.br; add_header Content-Encoding br; }}
        location = /test {{ default_type text/plain; }}
        location /plain/ {{
            sendfile off;
            alias {root}/;
            location = /plain/gzip/list {{ alias {root}/gzip/list; gzip_static on; }}
        }}
    }}
}}
"""

VARNISH = """
vcl 4.1;
import directors;
backend a {{ .host = "127.0.0.1"; .port = "{}"; }}
backend b {{ .host = "127.0.0.1"; .port = "{}"; }}
sub vcl_init {{ new both = directors.round_robin(); both.add_backend(a); both.add_backend(b); }}
sub vcl_recv {{ set req.backend_hint = both.backend(); }}
"""


class Stack:
    def __init__(self, processes, topics=("kubernetes",), repositories=2000, coverage="top"):
        self.processes, self.folder, self.topics = processes, processes.folder, topics
        self.repositories, self.coverage = repositories, coverage
        names = ["stub", "redis", "postgres", "api-a", "api-b", "metrics-a", "metrics-b", "nginx", "uncached", "files", "varnish"]
        self.ports = {name: free_port() for name in names}

    def url(self, name, path=""):
        return f"http://127.0.0.1:{self.ports[name]}{path}"

    def start(self):
        """GitHub's stand-in, database, cache and replicas, with the lists there."""
        processes, ports = self.processes, self.ports
        topics = [part for topic in self.topics for part in ("--topic", topic)]
        processes.start("github-stub", [BUILT / "github-stub", "--listen-addr", f"127.0.0.1:{ports['stub']}",
                                        "--generate", self.repositories, *topics])
        self.start_redis()
        self.start_postgres()
        for replica in "ab":
            self.start_replica(replica)
        for replica in "ab":
            wait_for(lambda: fetch(self.url(f"api-{replica}", "/health"))[0] == 200, "a replica answers", processes)
        wait_for(lambda: fetch(self.url("api-a", "/bootstrap_db"), "POST")[0] == 200, "the schema is made", processes)
        return self.refresh()

    def settle(self):
        """What PostgreSQL does of itself within a minute."""
        subprocess.run([program("psql"), "-q", "-c", "VACUUM ANALYZE", self.database_url], check=True)

    def refresh(self):
        """Seconds."""
        began = time.monotonic()
        status, _, body = fetch(self.url("api-a", "/update_cache"), "POST")
        assert status == 200 and b'"complete":true' in body, body[:500]
        return time.monotonic() - began

    def start_redis(self):
        self.processes.start("redis", [
            program("redis-server"), "--port", self.ports["redis"], "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru"])

    def start_postgres(self):
        bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
        data = self.processes.disk / "postgres"
        data.mkdir()
        as_user = []
        if os.geteuid() == 0:
            subprocess.run(["chown", "postgres", data], check=True)
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        subprocess.run([*as_user, program("initdb", *bins), "-D", data, "--username=mirror", "--auth=trust", "--encoding=UTF8"],
                       check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.processes.start("postgres", [program("postgres", *bins), "-D", data, "-p", self.ports["postgres"],
                                          "-h", "127.0.0.1", "-c", "unix_socket_directories="], user="postgres")

    @property
    def database_url(self):
        return f"postgres://mirror@127.0.0.1:{self.ports['postgres']}/mirror"

    @property
    def redis_url(self):
        return f"redis://127.0.0.1:{self.ports['redis']}/0"

    def start_replica(self, replica):
        return self.processes.start(
            f"api-{replica}", [BUILT / "api"], LISTEN_ADDR=f"127.0.0.1:{self.ports[f'api-{replica}']}",
            METRICS_ADDR=f"127.0.0.1:{self.ports[f'metrics-{replica}']}", DATABASE_URL=self.database_url,
            REDIS_URL=self.redis_url, GITHUB_API_URL=self.url("stub"), TOPICS=",".join(self.topics), COVERAGE=self.coverage,
            SCHEDULER="external", LOG_FORMAT="json",
            # As in api/Dockerfile.
            MALLOC_MMAP_THRESHOLD_="131072", MALLOC_TRIM_THRESHOLD_="131072")

    def start_proxies(self, varnish):
        """nginx with and without its cache, and Varnish; the files are those that the service serves."""
        ports, files = self.ports, self.folder / "files"
        (files / "gzip").mkdir(parents=True)
        _, _, body = fetch(self.url("api-a", "/api/kubernetes"))
        compressed = {encoding: fetch(self.url("api-a", "/api/kubernetes"), headers={"Accept-Encoding": encoding})[2]
                      for encoding in ["gzip", "br"]}
        assert gzip.decompress(compressed["gzip"]) == body
        (files / "list").write_bytes(body)
        (files / "list.br").write_bytes(compressed["br"])
        (files / "gzip" / "list").write_bytes(body)
        (files / "gzip" / "list.gz").write_bytes(compressed["gzip"])
        (files / "test").write_bytes(b"Oh, Hello World")
        plain = (ROOT / "nginx/nginx.conf").read_text()
        with_files = plain.rstrip().removesuffix("}") + FILES.format(port=ports["files"], root=files)
        self.start_nginx("nginx", with_files)
        self.start_nginx("uncached", plain.replace("proxy_cache lists;", "proxy_cache off;"))
        if varnish:
            vcl = self.folder / "varnish.vcl"
            vcl.write_text(VARNISH.format(ports["api-a"], ports["api-b"]))
            self.processes.start("varnish", [program("varnishd"), "-F", "-f", vcl, "-a", f"127.0.0.1:{ports['varnish']}",
                                             "-n", self.folder / "varnish", "-s", "malloc,64m"])
        for name in ["nginx", "uncached"] + ["varnish"] * varnish:
            wait_for(lambda: fetch(self.url(name, "/health"))[0] == 200, f"{name} answers", self.processes)

    def start_nginx(self, name, configuration):
        # In memory, as in the container.
        folder = Path(self.folder, name)
        folder.mkdir()
        folder.chmod(0o755)
        limits = (ROOT / "nginx/limits.conf.template").read_text()
        limits = limits.replace("${TOPICS}", ",".join(self.topics[:100])).replace("${RATE_LIMIT}", "1000000")
        (folder / "limits.conf").write_text(limits)
        upstream = (ROOT / "nginx/upstream.conf").read_text()
        # Debian's older nginx neither knows `resolve` nor needs it for addresses.
        for replica in ["api-a", "api-b"]:
            upstream = upstream.replace(f"{replica}:5000 resolve", f"127.0.0.1:{self.ports[replica]}")
        upstream = re.sub(r"^resolver.*\n", "", upstream, flags=re.MULTILINE)
        (folder / "upstream.conf").write_text(upstream)
        (folder / "nginx.conf").write_text(configuration.replace("listen 8081;", f"listen 127.0.0.1:{self.ports[name]};"))
        self.processes.start(name, [program("nginx"), "-p", f"{folder}/", "-c", folder / "nginx.conf", "-e", "stderr",
                                    "-g", "daemon off;" + " user root;" * (os.geteuid() == 0)])
