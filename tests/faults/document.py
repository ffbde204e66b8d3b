"""The parts of docs/reliability.md that programs write."""

import re

from parts import ROOT

DOCUMENT = ROOT / "docs/reliability.md"


def write(program, text):
    """Replaces the text between the marks of a program."""
    begin, end = (f"<!-- {program}: {mark} -->\n" for mark in ("begin", "end"))
    document = DOCUMENT.read_text()
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.S)
    assert pattern.search(document), f"{DOCUMENT} has no marks of {program}"
    DOCUMENT.write_text(pattern.sub(lambda _: begin + text + end, document))
