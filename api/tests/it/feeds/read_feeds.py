"""Reads Atom feeds as a feed reader does, with feedparser, and prints what it found as JSON.

The arguments are the folder that feedparser is installed in, and the files.
"""

import json
import sys
import xml.etree.ElementTree

sys.path.insert(0, sys.argv[1])

import feedparser  # noqa: E402


def found_in(path):
    if path.endswith(".opml"):
        outlines = xml.etree.ElementTree.parse(path).getroot().iter("outline")
        return [outline.get("xmlUrl") for outline in outlines if outline.get("xmlUrl")]
    with open(path, "rb") as file:
        feed = feedparser.parse(file.read())
    return {
        "bozo": bool(feed.bozo),
        "reason": repr(feed.get("bozo_exception")),
        "version": feed.version,
        "title": feed.feed.get("title"),
        "author": feed.feed.get("author"),
        "updated": feed.feed.get("updated"),
        "links": {link["rel"]: link["href"] for link in feed.feed.get("links", [])},
        "entries": [
            {
                "id": entry.get("id"),
                "title": entry.get("title"),
                "updated": entry.get("updated"),
                "link": entry.get("link"),
                "html": entry.content[0].value if "content" in entry else None,
            }
            for entry in feed.entries
        ],
    }


print(json.dumps([found_in(path) for path in sys.argv[2:]]))
