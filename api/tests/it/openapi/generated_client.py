"""Generates a client from the description of the service at a URL, and reads with it."""

import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

service = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    # The service answers with its own address only if PUBLIC_URL is set.
    with urllib.request.urlopen(f"{service}/openapi.json") as answer:
        (folder / "openapi.json").write_bytes(answer.read())
    # The generator knows no other texts than text/*, and formats its code unless told not to.
    others = ["application/atom+xml", "application/x-ndjson", "image/svg+xml"]
    texts = {other: "text/plain" for other in others}
    config = {"post_hooks": [], "content_type_overrides": texts}
    (folder / "config.json").write_text(json.dumps(config))
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    paths = ["--path", "openapi.json", "--config", "config.json", "--output-path", "mirror"]
    subprocess.run(generator + paths + ["--fail-on-warning"], cwd=folder, check=True)
    sys.path.insert(0, str(folder))
    client = importlib.import_module("mirror").Client(base_url=service)

    def read(module, *arguments, **parameters):
        function = importlib.import_module(f"mirror.api.{module}")
        return function.sync(*arguments, client=client, **parameters)

    models = importlib.import_module("mirror.models")
    rows = read("lists.list_popularity", "kubernetes")
    stars = [row.stargazers_count for row in rows]
    assert len(rows) > 20 and stars == sorted(stars, reverse=True), stars
    filtered = read("lists.list_popularity", "kubernetes", language="Go", stars="1..", per_page=5)
    in_go = [row.id for row in rows if row.language == "Go" and row.stargazers_count >= 1]
    assert [row.id for row in filtered] == in_go[:5] and filtered, filtered
    window = models.ListTrendingWindow("30d")
    [grown] = read("lists.list_trending", "kubernetes", window=window)
    assert grown.gained == 5 and grown.full_name == "istio/istio", grown
    [event] = read("topics.list_events", "kubernetes", kind="archived", per_page=1)
    assert event.kind == models.EventKind.ARCHIVED, event
    problem = read("lists.list_popularity", "-")
    assert isinstance(problem, models.Problem) and problem.status == 400, problem
    with urllib.request.urlopen(f"{service}/api/popularity/kubernetes") as answer:
        assert [row.id for row in rows] == [row["id"] for row in json.load(answer)]
