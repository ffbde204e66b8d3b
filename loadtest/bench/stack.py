"""The stack as plain processes: the container's nginx, two replicas, Redis and PostgreSQL.

To compare with, it also has nginx without its cache, nginx with the same bytes as files, and
Varnish.
"""

import gzip
import os
import re
import subprocess
import time
from pathlib import Path

from processes import fetch, free_port, program, wait_for
from rankings import list_path

ROOT = Path(__file__).resolve().parents[2]
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist"

# A server of files inside nginx.conf, so that the settings there for all servers hold for it.
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

REPLICAS = ["api-a", "api-b"]
SERVERS = "stub redis postgres metrics-a metrics-b nginx uncached files varnish".split()


class Stack:
    # The folder of the programs that cargo has built.
    programs = BUILT

    def __init__(self, processes, topics=("kubernetes",), repositories=2000, coverage="top"):
        self.processes, self.folder, self.topics = processes, processes.folder, topics
        self.repositories, self.coverage = repositories, coverage
        self.ports = {name: free_port() for name in [*REPLICAS, *SERVERS]}

    def address(self, name):
        return f"127.0.0.1:{self.ports[name]}"

    def url(self, name, path=""):
        return f"http://{self.address(name)}{path}"

    def wait_for(self, holds, condition):
        wait_for(holds, condition, self.processes)

    def start(self):
        """Starts all but the proxies and refreshes the topics. Returns the refresh's seconds."""
        self.start_stub()
        self.start_redis()
        self.start_postgres()
        for replica in "ab":
            self.start_replica(replica)
        for replica in REPLICAS:
            self.wait_for(
                lambda: fetch(self.url(replica, "/health"))[0] == 200, f"{replica} answers"
            )
        self.wait_for(
            lambda: fetch(self.url("api-a", "/bootstrap_db"), "POST")[0] == 200,
            "the schema exists",
        )
        return self.refresh()

    def vacuum(self):
        """Runs the vacuum that PostgreSQL itself would run within a minute."""
        command = [program("psql"), "-q", "-c", "VACUUM ANALYZE", self.database_url]
        subprocess.run(command, check=True)

    def tables_bytes(self):
        """The bytes of all tables with their indexes."""
        query = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"
        command = [program("psql"), "-A", "-t", "-c", query, self.database_url]
        return int(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    def refresh(self):
        """Refreshes the topics. Returns the seconds that it took."""
        began = time.monotonic()
        status, _, body = fetch(self.url("api-a", "/update_cache"), "POST")
        assert status == 200 and b'"complete":true' in body, body[:500]
        return time.monotonic() - began

    def start_stub(self):
        topics = [part for topic in self.topics for part in ("--topic", topic)]
        generate = ["--generate", self.repositories, *topics]
        command = [self.programs / "github-stub", "--listen-addr", self.address("stub"), *generate]
        self.processes.start("github-stub", command)

    def start_redis(self):
        options = (
            "--bind 127.0.0.1 --appendonly no --maxmemory 128mb --maxmemory-policy allkeys-lru"
        )
        command = [program("redis-server"), "--port", self.ports["redis"], "--save", ""]
        self.processes.start("redis", [*command, *options.split()])

    def start_postgres(self):
        self.make_postgres(["--username=mirror"])
        self.run_postgres()

    def make_postgres(self, options):
        """Makes the database's folder, with these options of initdb."""
        data = self.processes.disk / "postgres"
        data.mkdir()
        as_user = []
        if os.geteuid() == 0:
            subprocess.run(["chown", "postgres", data], check=True)
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        initdb = program("initdb", *self.postgres_folders())
        subprocess.run(
            [*as_user, initdb, "-D", data, "--auth=trust", "--encoding=UTF8", *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )

    def run_postgres(self, *settings):
        options = ["-D", self.processes.disk / "postgres", "-p", self.ports["postgres"]]
        options += ["-h", "127.0.0.1", "-c", "unix_socket_directories="]
        for setting in settings:
            options += ["-c", setting]
        command = [program("postgres", *self.postgres_folders()), *options]
        self.processes.start("postgres", command, user="postgres")

    @staticmethod
    def postgres_folders():
        """The folders of the installed releases' programs, newest first."""
        versions = Path("/usr/lib/postgresql").glob("*/bin")
        return sorted(versions, key=lambda path: float(path.parent.name), reverse=True)

    @property
    def database_url(self):
        return f"postgres://mirror@{self.address('postgres')}/mirror"

    @property
    def redis_url(self):
        return f"redis://{self.address('redis')}/0"

    @property
    def github_url(self):
        return self.url("stub")

    def start_replica(self, replica, **settings):
        return self.processes.start(
            f"api-{replica}",
            [self.programs / "api"],
            LISTEN_ADDR=self.address(f"api-{replica}"),
            METRICS_ADDR=self.address(f"metrics-{replica}"),
            DATABASE_URL=self.database_url,
            REDIS_URL=self.redis_url,
            GITHUB_API_URL=self.github_url,
            TOPICS=",".join(self.topics),
            COVERAGE=self.coverage,
            SCHEDULER="external",
            LOG_FORMAT="json",
            # These are as in api/Dockerfile.
            MALLOC_MMAP_THRESHOLD_="131072",
            MALLOC_TRIM_THRESHOLD_="131072",
            **settings,
        )

    def start_proxies(self, varnish):
        """Starts nginx with its cache and the files, nginx without its cache, and Varnish."""
        files = self.folder / "files"
        self.write_files(files)
        configuration = (ROOT / "nginx/nginx.conf").read_text()
        file_server = FILES.format(port=self.ports["files"], root=files)
        self.start_nginx("nginx", configuration.rstrip().removesuffix("}") + file_server)
        self.start_nginx(
            "uncached", configuration.replace("proxy_cache lists;", "proxy_cache off;")
        )
        if varnish:
            self.start_varnish()
        for name in ["nginx", "uncached"] + ["varnish"] * varnish:
            self.wait_for(lambda: fetch(self.url(name, "/health"))[0] == 200, f"{name} answers")

    def write_files(self, files):
        """Writes the best-match list as the replica returns it, in each encoding."""
        url = self.url("api-a", list_path("api", "best match", "kubernetes"))
        bodies = {
            encoding: fetch(url, headers={"Accept-Encoding": encoding})[2]
            for encoding in ["identity", "gzip", "br"]
        }
        assert gzip.decompress(bodies["gzip"]) == bodies["identity"]
        (files / "gzip").mkdir(parents=True)
        (files / "list").write_bytes(bodies["identity"])
        (files / "list.br").write_bytes(bodies["br"])
        (files / "gzip" / "list").write_bytes(bodies["identity"])
        (files / "gzip" / "list.gz").write_bytes(bodies["gzip"])
        (files / "test").write_bytes(b"Oh, Hello World")

    def start_varnish(self):
        vcl = self.folder / "varnish.vcl"
        vcl.write_text(VARNISH.format(*(self.ports[replica] for replica in REPLICAS)))
        options = ["-a", self.address("varnish"), "-n", self.folder / "varnish", "-s", "malloc,64m"]
        self.processes.start("varnish", [program("varnishd"), "-F", "-f", vcl, *options])

    def start_nginx(self, name, configuration, rate_limit=1_000_000):
        # nginx's files are in memory, as in the container.
        folder = Path(self.folder, name)
        folder.mkdir()
        folder.chmod(0o755)
        limits = (ROOT / "nginx/limits.conf.template").read_text()
        limits = limits.replace("${TOPICS}", ",".join(self.topics[:100]))
        limits = limits.replace("${RATE_LIMIT}", str(rate_limit))
        (folder / "limits.conf").write_text(limits)
        upstream = (ROOT / "nginx/upstream.conf.template").read_text()
        # The nginx of Debian 12 does not support `resolve`, which addresses do not need.
        for replica in REPLICAS:
            upstream = upstream.replace(f"{replica}:5000 resolve", self.address(replica))
        upstream = re.sub(r"^resolver.*\n", "", upstream, flags=re.MULTILINE)
        (folder / "upstream.conf").write_text(upstream)
        (folder / "nginx.conf").write_text(
            configuration.replace("listen 8081;", f"listen {self.address(name)};")
        )
        directives = "daemon off;" + " user root;" * (os.geteuid() == 0)
        options = [
            "-p",
            f"{folder}/",
            "-c",
            folder / "nginx.conf",
            "-e",
            "stderr",
            "-g",
            directives,
        ]
        self.processes.start(name, [program("nginx"), *options])
