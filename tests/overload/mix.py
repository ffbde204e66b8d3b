"""The requests of the load: lists, queries, pages and pictures, most of which come again."""

import json
import random

from parts import TOPIC

# The shares of the kinds in a hundred requests.
SHARES = {"lists": 40, "queries": 25, "pages": 20, "pictures": 15}
# The requests of a script, which begins again after the last one. The different queries among them
# are more than a replica keeps.
REQUESTS = 20_000
SEED = 7

LUA = """
local requests = {{}}
for line in io.lines("{requests}") do
  local path, accept, encoding = line:match("^(%S+) (%S+) (%S+)$")
  local headers = {{ Host = "localhost", Accept = accept, ["Accept-Encoding"] = encoding }}
  requests[#requests + 1] = wrk.format("GET", path, headers)
end
local threads = 0
function setup(thread) thread:set("part", threads); threads = threads + 1 end
local at
function request()
  at = ((at or part * #requests / 2) + 1) % #requests
  return requests[at + 1]
end
function done(summary, latency)
  local errors = summary.errors
  local refused = errors.status
  local accepted = (summary.requests - refused) / summary.requests
  local highest = math.min(99.999, 100 - accepted)
  io.write(string.format('\\nJSON {{"requests": %d, "refused": %d, "broken": %d, "seconds": %f, '
    .. '"p50": %f, "p99": %f}}\\n', summary.requests, refused,
    errors.connect + errors.read + errors.write + errors.timeout, summary.duration / 1e6,
    latency:percentile(50) / 1e6, latency:percentile(highest) / 1e6))
end
"""


class Ask:
    """A request: its kind, its path and the headers that matter."""

    def __init__(self, kind, path, accept="*/*", encoding="gzip"):
        self.kind, self.path, self.accept, self.encoding = kind, path, accept, encoding

    @property
    def headers(self):
        return {"Accept": self.accept, "Accept-Encoding": self.encoding}


def repositories(answer):
    """The names in the body of a list."""
    return [row["full_name"] for row in json.loads(answer)]


def mix(names):
    """Endless requests in the shares of the kinds."""
    chosen = random.Random(SEED)
    kinds, weights = list(SHARES), list(SHARES.values())
    while True:
        (kind,) = chosen.choices(kinds, weights)
        yield MAKERS[kind](chosen, names)


def lists(chosen, _names):
    ranking = chosen.choice(["", "popularity/", "activity/", "newest/", "trending/"])
    return Ask("lists", f"/api/{ranking}{TOPIC}", encoding=chosen.choice(["gzip", "br"]))


def queries(chosen, _names):
    kept = ["popularity/{}?per_page=50", "{}?page=2&fields=all", "newest/{}?language=go&stars=1.."]
    if chosen.random() < 0.5:
        return Ask("queries", "/api/" + chosen.choice(kept).format(TOPIC))
    stars = chosen.randrange(1_000_000)
    return Ask("queries", f"/api/popularity/{TOPIC}?stars=..{stars}&per_page=100&fields=all")


def pages(chosen, names):
    paths = ["/", f"/t/{TOPIC}", f"/t/{TOPIC}/popularity", f"/r/{chosen.choice(names)}"]
    return Ask("pages", chosen.choice(paths), accept="text/html")


def pictures(chosen, names):
    name = chosen.choice(names)
    paths = [f"/charts/{name}.svg", f"/charts/topics/{TOPIC}.svg", f"/badges/{TOPIC}/{name}.svg"]
    return Ask("pictures", chosen.choice(paths))


MAKERS = {"lists": lists, "queries": queries, "pages": pages, "pictures": pictures}


def script(folder, names):
    """Writes the mix as a script for wrk."""
    requests, file = folder / "mix.txt", folder / "mix.lua"
    asked = mix(names)
    with requests.open("w") as lines:
        for _, ask in zip(range(REQUESTS), asked):
            lines.write(f"{ask.path} {ask.accept} {ask.encoding}\n")
    file.write_text(LUA.format(requests=requests))
    return file
