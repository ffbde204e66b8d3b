"""Runs schemathesis with all of its checks, at its default depth, on the description at a URL."""

import os
import pathlib
import sys
import tempfile

from schemathesis.cli import schemathesis

with tempfile.TemporaryDirectory() as folder:
    # Schemathesis keeps examples of earlier runs in the working folder.
    os.chdir(folder)
    os.environ["SCHEMATHESIS_HOOKS"] = "hooks"
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    schemathesis(["run", sys.argv[1], "--seed", "1", "--workers", "2", "--no-color"])
