#!/usr/bin/env python3
"""Compares the description of the API with that of the last release, docs/openapi.json.

Ends with 1 if a client of the last release could break: a path, method, parameter, status, form or
field is gone, a parameter accepts less or became required, or a field has other types or may now be
absent. `--accept` writes the present description to docs/openapi.json instead.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

RELEASED = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"
METHODS = ("get", "post", "delete")
# Limits of a parameter's values, which accept less if they change in this direction.
LIMITS = {"minimum": 1, "minLength": 1, "maximum": -1, "maxLength": -1}


def resolved(api, value):
    while "$ref" in value:
        found = api
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def types(schema):
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def accepts_less(old, new):
    """Why a parameter accepts less than before, or nothing."""
    if types(old) - types(new):
        yield f"is no {' or '.join(sorted(types(old) - types(new)))} any more"
    if "enum" in new and ("enum" not in old or set(old["enum"]) - set(new["enum"])):
        yield "accepts fewer values"
    for key in ("pattern", "format", "anyOf"):
        if key in new and new[key] != old.get(key):
            yield f"has another {key}"
    for key, direction in LIMITS.items():
        if key in new and (key not in old or (new[key] - old[key]) * direction > 0):
            yield f"has a narrower {key}"


def answers_otherwise(old_api, new_api, old, new, seen=()):
    """How the values of an answer differ in a way that a client of the old ones may not expect."""
    name = old.get("$ref")
    if name in seen:
        return
    seen += (name,) if name else ()
    old, new = resolved(old_api, old), resolved(new_api, new)
    if types(old) != types(new):
        yield f" was {sorted(types(old))} and is {sorted(types(new))}"
    if old.get("format") != new.get("format"):
        yield f" was of format {old.get('format')} and is of {new.get('format')}"
    if "items" in old and "items" in new:
        for change in answers_otherwise(old_api, new_api, old["items"], new["items"], seen):
            yield f"[]{change}"
    for before, after in zip(old.get("oneOf", []), new.get("oneOf", [])):
        yield from answers_otherwise(old_api, new_api, before, after, seen)
    if len(old.get("oneOf", [])) != len(new.get("oneOf", [])):
        yield " has other alternatives"
    fields = new.get("properties", {})
    for field, before in old.get("properties", {}).items():
        if field not in fields:
            yield f".{field} is gone"
            continue
        if field in old.get("required", []) and field not in new.get("required", []):
            yield f".{field} may be absent"
        for change in answers_otherwise(old_api, new_api, before, fields[field], seen):
            yield f".{field}{change}"


def parameters(api, operation):
    all_of = (resolved(api, own) for own in operation.get("parameters", []))
    return {(own["in"], own["name"]): own for own in all_of}


def breaking(old_api, new_api):
    """Every change that can break a client."""
    for path, item in old_api["paths"].items():
        for method in filter(item.get, METHODS):
            at = f"{method.upper()} {path}"
            old, new = item[method], new_api["paths"].get(path, {}).get(method)
            if new is None:
                yield f"{at} is gone"
                continue
            if old.get("operationId") != new.get("operationId"):
                yield f"{at} has another operationId: clients' functions are named by it"
            before, after = parameters(old_api, old), parameters(new_api, new)
            for key, parameter in after.items():
                if parameter["required"] and not before.get(key, {}).get("required"):
                    yield f"{at}: the parameter {key[1]} is required now"
            for key, parameter in before.items():
                if key not in after:
                    yield f"{at}: the parameter {key[1]} is gone"
                    continue
                for change in accepts_less(parameter["schema"], after[key]["schema"]):
                    yield f"{at}: the parameter {key[1]} {change}"
            yield from (f"{at}: {change}" for change in answers(old_api, new_api, old, new))


def answers(old_api, new_api, old, new):
    for status, before in old["responses"].items():
        if status not in new["responses"]:
            yield f"{status} is gone"
            continue
        before = resolved(old_api, before)
        after = resolved(new_api, new["responses"][status])
        for header in before.get("headers", {}).keys() - after.get("headers", {}).keys():
            yield f"{status} has no {header} any more"
        for form, content in before.get("content", {}).items():
            if form not in after.get("content", {}):
                yield f"{status} has no {form} any more"
                continue
            schemas = content["schema"], after["content"][form]["schema"]
            for change in answers_otherwise(old_api, new_api, *schemas):
                yield f"{status} {form}{change}"


def description(program):
    """The description that a service of this program answers with."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "DATA_DIR": folder,
            "LISTEN_ADDR": "127.0.0.1:0",
            "LOG_FORMAT": "json",
            "SCHEDULER": "external",
        }
        names = ("DATABASE_URL", "DATABASE_URL_FILE", "REDIS_URL", "REDIS_URL_FILE", "PUBLIC_URL")
        environment = {**os.environ, **dict.fromkeys(names, ""), **settings}
        service = subprocess.Popen(
            [program], env=environment, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        try:
            for line in service.stderr:
                if found := re.search(r'"address":"([^"]+)"', line):
                    with urllib.request.urlopen(f"http://{found.group(1)}/openapi.json") as answer:
                        return json.load(answer)
            raise SystemExit(f"{program} did not start")
        finally:
            service.terminate()
            service.communicate()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", required=True, help="the program")
    parser.add_argument("--accept", action="store_true")
    options = parser.parse_args()
    present = description(options.api)
    if options.accept:
        RELEASED.write_text(json.dumps(present, indent=1, ensure_ascii=False) + "\n")
        return
    changes = list(breaking(json.loads(RELEASED.read_text()), present))
    print(*changes, sep="\n", end="\n" if changes else "")
    print(f"{len(changes)} breaking changes since the last release")
    sys.exit(bool(changes))


if __name__ == "__main__":
    main()
