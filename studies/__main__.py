"""The command of all studies: ``python -m studies checkerboard --size laptop --seeds 3``."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from interpolants.foundations.errors import InvalidInputError
from studies.common import ROOT, SIZES, TABLE, Study, prepare, redraw, run


def names() -> list[str]:
    """Names of all studies."""
    return sorted(file.parent.name for file in (ROOT / "studies").glob("*/experiment.py"))


def find(name: str) -> Study:
    """A study by its name."""
    study: Study = importlib.import_module(f"studies.{name}.experiment").STUDY
    return study


def parser() -> argparse.ArgumentParser:
    """What the command understands."""
    made = argparse.ArgumentParser(prog="python -m studies", description="Run a numerical experiment.")
    made.add_argument("study", choices=names())
    made.add_argument("--size", choices=SIZES, default="laptop", help="quick: seconds; full: as in the paper")
    made.add_argument("--seeds", type=_positive, default=3, metavar="N", help="measure seeds 0 .. N-1")
    made.add_argument("--out", type=Path, help="folder of the results, gone on with if it has some")
    made.add_argument("--case", action="append", default=[], help="only this case; may be repeated")
    made.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes")
    made.add_argument("--threads", type=_positive, help="threads of the computation, of each process")
    made.add_argument("--redraw", action="store_true", help="only write table and figures again")
    return made


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be >= 1")
    return number


def say(text: str) -> None:
    """One line for whoever waits."""
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def command(arguments: Sequence[str] | None = None) -> int:
    """Run a study, or draw it again, and show its table; wrong use is told in words and ends with status 2."""
    reader = parser()
    options = reader.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    study, size, seeds = find(options.study), options.size, range(options.seeds)
    out = options.out or Path("runs") / "studies" / f"{study.name}_{size}"
    try:
        if options.redraw:
            study.stored(out)
        else:
            prepare(study, size, seeds, out, options.case)
    except InvalidInputError as error:  # what a study's own computation raises keeps its traceback
        reader.error(str(error))
    if options.redraw:
        redraw(study, out)
    else:
        run(study, size, seeds, out, only=options.case, workers=options.workers, progress=_tell)
    say((out / TABLE).read_text(encoding="utf-8"))
    say(f"results, table and figures: {out}")
    return 0


def _tell(cell: str, seconds: float) -> None:
    say(f"{cell}: {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(command())
