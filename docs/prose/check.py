"""Turns of phrase in docstrings, comments, messages, pages, TOML text and names that readers have to translate.

    python docs/prose/check.py                  hits above the baseline, with advice; exit 1 if there are any
    python docs/prose/check.py PATH ... --list  every hit as file:line: phrase [id] -> advice
    python docs/prose/check.py --files          files with the most hits
    python docs/prose/check.py --counts         hits by folder, class and phrase
    python docs/prose/check.py --write          lower the baseline (it never rises)

``phrases.toml`` lists the turns; README.md is the guide. ``baseline.json`` holds how many hits of each a file may have;
a file that it does not name must have none, so a file that moves takes its entry along under the new name. A line that
contains ``prose: keep`` is skipped. Only the standard library is needed.
"""

import argparse
import ast
import bisect
import collections
import fnmatch
import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BASELINE = HERE / "baseline.json"
Hit = tuple[str, int, str, str]  # file, line, id of the turn, words
Limits = dict[str, dict[str, int]]  # hits allowed, by file and turn
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
CODE = re.compile(r"``[^`]*``|`[^`\n]*`|https?://\S+|\]\([^)]*\)")
KINDS = ("first", "doc", "comment", "message", "text", "md", "toml")
RAISERS = {"invalid", "warn", "tell", "Argument", "Option"}
MESSAGES = {"rule", "remedy", "caveat", "told", "words", "message"}


class Text:
    """A run of prose: lines joined by single spaces, with the line number of every position."""

    def __init__(self, kind: str, line: int, raw: str) -> None:
        parts = [part.strip() for part in raw.split("\n")]
        self.kind, self.line, self.raw = kind, line, " ".join(parts)
        self.starts = [0, *itertools.accumulate(len(part) + 1 for part in parts[:-1])]
        self.plain = CODE.sub(lambda m: "`" * len(m.group()), self.raw)

    def line_at(self, position: int) -> int:
        """Line number of a position."""
        return self.line + bisect.bisect_right(self.starts, position) - 1


def python_texts(source: str) -> tuple[list[Text], list[tuple[int, str, str]]]:
    """Return the prose of a module, and its names as (line, kind, name)."""
    texts, names = list[Text](), list[tuple[int, str, str]]()
    visited, messages, tree = (
        set[int](),
        set[int](),
        ast.parse(source),
    )  # keep the tree: ids of freed nodes are reused
    strings = list[tuple[int, int, int, int]]()
    for node in ast.walk(tree):
        if type(node) in (ast.Load, ast.Attribute, ast.Name):
            if type(node) is ast.Name and isinstance(node.ctx, ast.Store):
                names.append((node.lineno, "variable", node.id))
            continue
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            body, name = node.body, getattr(node, "name", "")
            if isinstance(node, ast.FunctionDef) and not name.startswith("__"):
                names.append((node.lineno, "function", name))
            value = body[0].value if body and isinstance(body[0], ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                visited.add(id(value))
                head, _, rest = value.value.partition("\n\n")
                texts.append(Text("first", value.lineno, head))
                if rest.strip():
                    texts.append(Text("doc", value.lineno + head.count("\n") + 2, rest))
                if isinstance(node, ast.FunctionDef) and not name.startswith("_") and len(head.split()) <= 3:
                    names.append((value.lineno, "short docstring", head.strip()))
        elif isinstance(node, ast.arg):
            names.append((node.lineno, "argument", node.arg))
        elif isinstance(node, ast.Raise):
            messages.update(id(child) for child in ast.walk(node))
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in RAISERS or called.endswith(("Error", "Warning")):
                messages.update(id(child) for child in ast.walk(node))
        elif isinstance(node, ast.Assign) and MESSAGES & {
            getattr(n, "id", "") for n in ast.walk(node.targets[0])
        }:
            messages.update(id(child) for child in ast.walk(node))
        elif isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            strings.append((node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0))
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            words = "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts)
            if id(node) not in visited and words.count(" ") > 1:
                texts.append(Text("message" if id(node) in messages else "text", node.lineno, words))
            visited.update(id(part) for part in parts)
    inside: dict[int, list[tuple[int, int]]] = collections.defaultdict(list)
    for top, left, bottom, right in strings:
        for row in range(top, bottom + 1):
            inside[row].append((left if row == top else 0, right if row == bottom else 10**6))
    comments = list[tuple[int, str]]()
    for row, line in enumerate(source.split("\n"), 1):
        at = line.find("#")
        while at >= 0 and any(a <= at < b for a, b in inside[row]):
            at = line.find("#", at + 1)
        if at >= 0:
            comments.append((row, line[at + 1 :]))
    return texts + blocks("comment", comments), names


def blocks(kind: str, rows: list[tuple[int, str]]) -> list[Text]:
    """Join consecutive lines to texts."""
    texts, start, lines = [], 0, []
    for row, line in [*rows, (-1, "")]:
        if lines and row != start + len(lines):
            texts.append(Text(kind, start, "\n".join(lines)))
            lines = []
        start = start if lines else row
        lines.append(line)
    return texts


def page_texts(source: str) -> list[Text]:
    """Return the paragraphs of a Markdown page, without fenced code."""
    rows, fenced = [], False
    for row, line in enumerate(source.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and line.strip():
            rows.append((row, line))
    return blocks("md", rows)


def toml_texts(source: str) -> list[Text]:
    """Return the comments of a TOML file, and its strings of three words or more."""
    texts, comments = [], []
    for row, line in enumerate(source.split("\n"), 1):
        if line.lstrip().startswith("#"):
            comments.append((row, line.lstrip("# ")))
        else:
            texts += [
                Text("toml", row, part) for part in re.findall(r'"([^"]*)"', line) if part.count(" ") > 1
            ]
    return texts + blocks("toml", comments)


class Phrases:
    """The turns and names of phrases.toml, ready to search."""

    def __init__(self, path: Path) -> None:
        content = tomllib.loads(path.read_text())
        self.skip, self.names = content["scope"]["skip"], content["names"]
        self.turns = {turn["id"]: turn for turn in content["turn"]}
        self.openers, self.anywhere = [], []
        self.by_word: dict[str, list[tuple[str, re.Pattern[str], set[str]]]] = collections.defaultdict(list)
        self.loose = {name for name, turn in self.turns.items() if turn["level"] == "look"}
        for turn in content["turn"]:
            kinds = set(turn.get("in", KINDS))
            anchored = turn["pattern"].startswith("^")
            entry = (turn["id"], re.compile(turn["pattern"], 0 if anchored else re.IGNORECASE), kinds)
            if anchored or not turn.get("start"):
                (self.openers if anchored else self.anywhere).append(entry)
            for word in () if anchored else turn.get("start", ()):
                self.by_word[word].append(entry)

    def advice(self, name: str) -> str:
        """Return what to write instead of a turn or a name."""
        if name == "short docstring":
            return "say what the function does or returns, or leave the docstring to be inherited"
        return str(self.names[name[5:]] if name.startswith("name:") else self.turns[name]["use"])

    def line(self, hit: Hit) -> str:
        """Return a hit as file:line: words [id] -> advice."""
        file, row, name, words = hit
        return f"{file}:{row}: {words} [{name}] -> {self.advice(name)}"

    def hits(self, text: Text) -> list[tuple[int, str, str]]:
        """Return (line, id, words) of every turn in a text."""
        fits = ((name, rule) for name, rule, kinds in self.openers if text.kind in kinds)
        out = [(0, name, text.raw[:50]) for name, rule in fits if rule.match(text.raw)]
        plain = text.plain
        ended: dict[str, int] = {}
        for word in WORD.finditer(plain):
            first, start = word.group().lower(), word.start()
            for name, rule, kinds in self.by_word.get(first) or self.by_word.get(first.partition("'")[0], ()):
                if text.kind in kinds and start >= ended.get(name, 0) and (match := rule.match(plain, start)):
                    out.append((start, name, match.group()))
                    ended[name] = match.end()
        for name, rule, kinds in self.anywhere:
            if text.kind in kinds:
                out += [(match.start(), name, match.group()) for match in rule.finditer(plain)]
        return [(text.line_at(at), name, words) for at, name, words in out]


def scan(root: Path, only: list[str], phrases: Phrases) -> list[Hit]:
    """Return (file, line, id, words) of every hit in a tree."""
    command = ["git", "-C", str(root), "ls-files"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    files = listed or [p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if p.is_file()]
    out = []
    for file in files:
        if only and not any(file == part or file.startswith(part.rstrip("/") + "/") for part in only):
            continue
        skipped = any(fnmatch.fnmatch(file, glob) for glob in phrases.skip)
        if skipped or not file.endswith((".py", ".md", ".toml")) or not (root / file).exists():
            continue
        source, names = (root / file).read_text(errors="replace"), []
        if file.endswith(".py"):
            texts, names = python_texts(source)
        else:
            texts = page_texts(source) if file.endswith(".md") else toml_texts(source)
        exempt = {row for row, line in enumerate(source.split("\n"), 1) if "prose: keep" in line}
        for text in texts:
            out += [(file, row, name, words) for row, name, words in phrases.hits(text) if row not in exempt]
        for row, kind, name in names:
            if row in exempt:
                continue
            if kind == "short docstring":
                out.append((file, row, kind, name))
            elif name.lstrip("_") in phrases.names:
                out.append((file, row, "name:" + name.lstrip("_"), f"{kind} {name}"))
    return out


def above(hits: list[Hit], baseline: Limits) -> list[Hit]:
    """Return the hits of each file and phrase that are more than the baseline allows."""
    counts = collections.Counter((file, name) for file, _, name, _ in hits)
    risen = {(file, name) for (file, name), n in counts.items() if n > baseline.get(file, {}).get(name, 0)}
    return [hit for hit in hits if (hit[0], hit[2]) in risen]


def lowered(hits: list[Hit], baseline: Limits | None) -> Limits:
    """Return the baseline of these hits, nowhere above the former one if there is one."""
    new: Limits = {}
    for (file, name), n in sorted(collections.Counter((file, name) for file, _, name, _ in hits).items()):
        if limit := n if baseline is None else min(n, baseline.get(file, {}).get(name, 0)):
            new.setdefault(file, {})[name] = limit
    return new


def write(limits: Limits, path: Path) -> None:
    """Write a baseline, one file a line."""
    lines = (f"{json.dumps(file)}: {json.dumps(found)}" for file, found in sorted(limits.items()))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def report(hits: list[Hit], phrases: Phrases, args: argparse.Namespace) -> Iterator[str]:
    """Return the lines of --list, --files and --counts."""
    if args.list:
        yield from (phrases.line(hit) for hit in sorted(hits))
    if args.files:
        yield from (f"{n:5d} {file}" for file, n in collections.Counter(hit[0] for hit in hits).most_common())
    if args.counts:
        classes = {hit[2]: hit[2].partition(":")[0] for hit in hits}
        classes |= {name: turn["class"] for name, turn in phrases.turns.items()}
        folders = collections.Counter((hit[0].partition("/")[0], classes[hit[2]]) for hit in hits)
        yield from (f"{n:5d} {folder:20s} {kind}" for (folder, kind), n in sorted(folders.items()))
        turns = collections.Counter(hit[2] for hit in hits).most_common()
        yield from (f"{n:5d} {name:22s} {phrases.advice(name)}" for name, n in turns)
    yield f"{len(hits)} hits in {len({hit[0] for hit in hits})} files"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check, or print what is asked for."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("paths", nargs="*", help="Files and folders to read [default: all that git tracks].")
    options.add_argument("--list", action="store_true", help="Print every hit.")
    options.add_argument("--files", action="store_true", help="Print the number of hits per file.")
    options.add_argument(
        "--counts", action="store_true", help="Print the number of hits per folder and phrase."
    )
    options.add_argument("--all", action="store_true", help="Include the turns of level 'look'.")
    options.add_argument("--write", action="store_true", help="Lower the baseline to the hits of today.")
    args = options.parse_args(arguments)
    if args.write and (args.paths or args.all):
        options.error("--write reads all files, and the turns of level 'change'")
    phrases = Phrases(HERE / "phrases.toml")
    hits = [hit for hit in scan(ROOT, args.paths, phrases) if args.all or hit[2] not in phrases.loose]
    if args.list or args.files or args.counts:
        for line in report(hits, phrases, args):
            print(line)
        return 0
    baseline: Limits | None = json.loads(BASELINE.read_text()) if BASELINE.exists() else None
    if args.write:
        baseline = lowered(hits, baseline)
        write(baseline, BASELINE)
    risen = above(hits, baseline or {})
    for hit in sorted(risen):
        print(phrases.line(hit))
    print(
        f"prose: {len(hits)} hits in {len({hit[0] for hit in hits})} files, {len(risen)} above the baseline"
    )
    return 1 if risen else 0


if __name__ == "__main__":
    sys.exit(main())
