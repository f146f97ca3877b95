"""``python -m benchmarks [WHAT] [--out FILE]``; ``--help`` lists what there is, ``WHAT --help`` its options.

A benchmark is a module of this folder with a function ``run``, or a folder with such a module ``run``. Its keyword
arguments are the options; it hands every line of its answer to ``report``.
"""

import argparse
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interpolants.foundations.memory import tune_malloc


def main() -> None:
    """Measure, print, and write a file if asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--default-malloc", action="store_true", help="leave the allocator as it is")
    common.add_argument("--out", type=Path, help="also write the answer to this Markdown file")
    commands = parser.add_subparsers(dest="what", required=True)
    for name in benchmarks():
        run = _function(name)
        about = (inspect.getdoc(run) or "").partition("\n")[0]
        command = commands.add_parser(name, parents=[common], help=about, description=about)
        for option in _options(run):
            form = {"action": "store_true"} if option.default is False else {"type": _kind(option)}
            command.add_argument(f"--{option.name}", default=option.default, **form)
    words = sys.argv[1:]
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["overhead", *words]
    options = vars(parser.parse_args(words))
    _measure(options.pop("what"), options.pop("out"), options.pop("default_malloc"), options)


def benchmarks() -> list[str]:
    """Names of all benchmarks."""
    here = Path(__file__).parent
    single = [file.stem for file in here.glob("*.py") if "\ndef run(" in file.read_text("utf-8")]
    return sorted([*single, *(file.parent.name for file in here.glob("*/run.py"))])


def _function(name: str) -> Callable[..., None]:
    inside = ".run" if (Path(__file__).parent / name).is_dir() else ""
    found: Callable[..., None] = importlib.import_module(f"benchmarks.{name}{inside}").run
    return found


def _options(run: Callable[..., None]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(run).parameters.values() if p.name != "report"]


def _kind(option: inspect.Parameter) -> Callable[[str], Any]:
    """The type of an option: that of its default, a path where that is None."""
    return Path if option.default is None else type(option.default)


def _measure(what: str, out: Path | None, default_malloc: bool, options: dict[str, Any]) -> None:
    if not default_malloc:
        tune_malloc()
    parts: list[str] = []

    def report(line: str) -> None:
        parts.append(line)
        print(line, flush=True)

    _function(what)(**options, report=report)
    if out is not None:
        out.write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
