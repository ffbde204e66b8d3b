"""The rankings whose lists the benchmark reads: a new ranking is a row here."""

# The name of each ranking in the report, and its path segment; best match has none.
RANKINGS = {"best match": "", "popularity": "popularity/", "activity": "activity/"}


def list_path(root, ranking, topic):
    """The path of a list; `root` is `api` or `db`."""
    return f"/{root}/{RANKINGS[ranking]}{topic}"
