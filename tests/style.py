#!/usr/bin/env python3
"""Checks the source's style: lengths of lines, functions and files, and how comments begin.

Prints each place that breaks a rule and exits 1 if there is one. Docstrings of Python count as
comments. With paths, only those are checked.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Characters in a line of Rust, code and comments.
MAX_LINE = 100
# Lines of a Rust file of production code, without its tests.
MAX_FILE = 350
# Lines of a function of production code, from `fn` to its closing brace.
MAX_FUNCTION = 60
# Of all comment sentences, the share that may have a question word for a subject.
MAX_QUESTION_SHARE = 0.01

QUESTION_WORD = re.compile(r"(?:What|Who|Whoever|Whose|Whom|Where|Which|Whatever)\b")
COMMENT = {
    ".rs": re.compile(r"^\s*//[/!]? ?(.*)$"),
    ".py": re.compile(r"^\s*# ?(?!!)(.*)$"),
    ".sql": re.compile(r"^\s*-- ?(.*)$"),
}
HASH_COMMENT = COMMENT[".py"]
HASH_SUFFIXES = {".conf", ".template", ".sh", ".toml", ".yml", ".yaml"}
HASH_NAMES = {"Makefile", "Dockerfile", ".env", "with-servers"}
FUNCTION = re.compile(r"^(\s*)(?:pub(?:\([^)]*\))? )?(?:const )?(?:async )?fn \w")
# A file's tests, which stand at its end: the attribute, perhaps others, then the module.
TESTS = re.compile(r"^#\[cfg\(test\)\]\n(?:#\[.*\n)*mod \w", re.MULTILINE)


def sources(arguments):
    if arguments:
        return [Path(argument).resolve() for argument in arguments]
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def comment_pattern(path):
    if path.suffix in HASH_SUFFIXES or path.name in HASH_NAMES:
        return HASH_COMMENT
    return COMMENT.get(path.suffix)


def comment_lines(lines, pattern):
    """The text of each line's comment; empty for a line without one."""
    for line in lines:
        match = pattern.match(line)
        yield match.group(1).strip() if match else ""


def docstrings(lines):
    """Yields (line number, lines) of each docstring of a Python file."""
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text.splitlines()


def sentences_of(texts, first=1):
    """Yields (line number of its block, sentence); an empty text ends a block."""
    block, start = [], 0
    for number, text in enumerate([*texts, ""], first):
        if text:
            start = start if block else number
            block.append(text.strip())
        elif block:
            for sentence in re.split(r"(?<=[.!?:;])\s+", " ".join(block)):
                yield start, sentence
            block = []


def comment_sentences(path, lines, pattern):
    """Yields (line number, sentence) of each sentence in the file's comments."""
    yield from sentences_of(comment_lines(lines, pattern))
    if path.suffix == ".py":
        for first, texts in docstrings(lines):
            yield from sentences_of(texts, first)


def production(path):
    relative = path.relative_to(ROOT).parts
    return path.suffix == ".rs" and "tests" not in relative and "benches" not in relative


def check_lengths(path, lines):
    if path.suffix != ".rs":
        return
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            yield number, f"{len(line)} characters, more than {MAX_LINE}"
    if not production(path):
        return
    text = "\n".join(lines)
    tests = TESTS.search(text)
    own = text.count("\n", 0, tests.start()) if tests else len(lines)
    if own > MAX_FILE:
        yield 1, f"{own} lines without tests, more than {MAX_FILE}"
    for at, line in enumerate(lines[:own]):
        match = FUNCTION.match(line)
        if not match or line.rstrip().endswith((";", "}")):
            continue
        # A method of a trait may have no body: its signature ends with a semicolon.
        ends = (n for n in range(at, own) if lines[n].rstrip().endswith(("{", ";")))
        opening = next(ends, at)
        if lines[opening].rstrip().endswith(";"):
            continue
        closing = match.group(1) + "}"
        end = next((n for n in range(opening, own) if lines[n].rstrip() == closing), at)
        if end - at + 1 > MAX_FUNCTION:
            yield at + 1, f"a function of {end - at + 1} lines, more than {MAX_FUNCTION}"


def main():
    faults, questions, sentences = [], [], 0
    for path in sources(sys.argv[1:]):
        pattern = comment_pattern(path)
        if pattern is None:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        name = path.relative_to(ROOT)
        faults += [f"{name}:{number}: {fault}" for number, fault in check_lengths(path, lines)]
        for number, sentence in comment_sentences(path, lines, pattern):
            sentences += 1
            if QUESTION_WORD.match(sentence) and not sentence.endswith("?"):
                questions.append(f"{name}:{number}: {sentence[:90]}")
    share = len(questions) / max(sentences, 1)
    print(
        f"{len(questions)} of {sentences} comment sentences begin with a question word "
        f"({share:.1%}; at most {MAX_QUESTION_SHARE:.0%})"
    )
    for place in questions + faults:
        print(place)
    too_many = share > MAX_QUESTION_SHARE
    print(f"{len(faults)} lines, functions and files are too long")
    return 1 if faults or too_many else 0


if __name__ == "__main__":
    sys.exit(main())
