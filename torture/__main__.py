"""``python -m torture [--scale 1] [--only NAME ...]``: attack the library and count in RELIABILITY.md.

Each attack that is done is kept in the work folder; called again with the same scale, the others follow.
"""

import argparse
import importlib
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

from interpolants.foundations.version import __version__

ATTACKS = ("kills", "signals", "failing_disks", "full_disks", "two_writers", "hostile_folders", "hostile_cards",
           "packed_files", "hostile_names", "command_lines", "odd_inputs", "hostile_requests", "bits")  # fmt: skip
HEAD = """# Reliability

Measured by `make torture`, which attacks the library and writes this page. *Right*: the right answer came of it, to the
bit where that is promised. *Refused*: a clear refusal, with everything that was there before in its place. *Harm*:
anything else: a traceback, a lost or half file, another number, memory or time beyond the limit. *Scale* is the share
of the full attack. Attacks run one after the other, and what one finds is mended before the next: a row is of the state
of the library at its time, and 0 after mending says that these cases are right, not that unseen ones are.

"""


def main() -> int:
    """Attack, and write what came of it."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the attempts; 1 takes about an hour"
    )
    parser.add_argument("--only", nargs="*", choices=ATTACKS, default=ATTACKS)
    parser.add_argument("--work", type=Path, default=Path("runs/torture"))
    parser.add_argument("--out", type=Path, default=Path("RELIABILITY.md"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        kept = given.work / f"{name}-{given.scale:g}.json"
        if not kept.exists():
            kept.write_text(json.dumps(_attacked(name, given.scale)))
    found = _largest(given.work)
    given.out.write_text(HEAD + _table(found))
    return int(any(row["harm"] for row in found))


def _largest(work: Path) -> list[dict]:
    """The result of each attack at the largest scale that was done."""
    found = []
    for name in ATTACKS:
        rows = [json.loads(file.read_text()) for file in work.glob(f"{name}-*.json")]
        found += [max(rows, key=lambda row: row["scale"])] if rows else []
    return found


def _attacked(name: str, scale: float) -> dict:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"torture-{name}-") as work:
        row = importlib.import_module(f"torture.{name}").attack(scale, Path(work))
    found = {**row.plain(), "seconds": round(time.monotonic() - begun), "scale": scale}
    print(_line(found), *row.harm, sep="\n", flush=True)
    return found


def _line(row: dict) -> str:
    counts = f"{row['tried']:,} | {row['right']:,} | {row['refused']:,} | {len(row['harm'])}"
    return f"| {row['attack']} | {counts} | {row['scale']:g} | {row['seconds']} |"


def _table(found: list[dict]) -> str:
    versions = f"interpolants {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}"
    heads = ["attack", "tried", "right", "refused", "harm", "scale", "seconds"]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|", *map(_line, found)]
    harms = [f"- {row['attack']}: `{text}`" for row in found for text in row["harm"]]
    told = ["", "## Harm", "", *harms] if harms else []
    return "\n".join([*lines, "", f"{versions}, {platform.system()}.", *told, ""])


if __name__ == "__main__":
    sys.exit(main())
