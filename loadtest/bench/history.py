"""Measures a year of history: its size, the writing of a day, and the archive."""

import json
import os
import subprocess
import time
from pathlib import Path

from processes import progress
from refresh import databases
from stack import BUILT, ROOT

# Days after which the archive is written: about a million counts of 35,000 repositories.
ARCHIVED_DAYS = 28
YEAR = 364
QUICK_YEAR = 60


def years(folder, disk, quick):
    """The figures of each database: {database: {figure: value}}."""
    last = QUICK_YEAR if quick else YEAR
    with databases(folder, disk) as (stack, urls):
        found = {}
        for database, url in urls.items():
            progress(f"{last + 1} days on {database}")
            write_days(url, 0, ARCHIVED_DAYS)
            archive = Path(disk, "archive")
            figures = {"export": run_api("export", archive, url)}
            manifest = json.loads((archive / "manifest.json").read_text())
            figures["rows"] = {file["name"]: file["rows"] for file in manifest["files"]}
            # The archive of one database goes into the other.
            other = next(other for name, other in urls.items() if name != database)
            figures["import"] = run_api("import", archive, f"{other}-copy")
            figures |= write_days(url, ARCHIVED_DAYS + 1, last)
            figures["days"] = last + 1
            is_postgres = database == "PostgreSQL"
            figures["bytes"] = stack.tables_bytes() if is_postgres else sqlite_bytes(url)
            found[database] = figures
        return found


def write_days(url, first, last):
    command = "cargo bench --locked --quiet --profile dist -p api --bench history"
    environment = os.environ | {
        "DATABASE_URL": url,
        "FIRST_DAY": str(first),
        "LAST_DAY": str(last),
    }
    done = subprocess.run(
        command.split(), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def sqlite_bytes(url):
    return Path(url.removeprefix("sqlite:")).stat().st_size


def run_api(command, archive, url):
    """Runs `api export` or `api import`: its seconds, and its largest memory in MB."""
    environment = os.environ | {"DATABASE_URL": url, "LOG_FORMAT": "json"}
    began = time.monotonic()
    process = subprocess.Popen([BUILT / "api", command, archive], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"api {command} failed"
    return {"seconds": time.monotonic() - began, "megabytes": usage.ru_maxrss / 1e3}
