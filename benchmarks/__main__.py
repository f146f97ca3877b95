"""``python -m benchmarks WHAT [--rounds N] [--out FILE]``; ``--help`` lists what there is."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import against, fields, first_hour, functional_tucker, light_sb, overhead, pairs
from benchmarks.timing import table
from interpolants.foundations.memory import tune_malloc


def main() -> None:
    """Measure, print, and write a file if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    items = ("overhead", "against", "fields", "pairs", "light_sb", "functional_tucker", "first_hour")
    parser.add_argument("what", nargs="?", choices=items, default="overhead")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per overhead table, or per case")
    parser.add_argument("--base", default="main", help="commit to compare with, for against")
    parser.add_argument("--only", default="", help="cases whose name holds this, for against")
    parser.add_argument("--default-malloc", action="store_true", help="leave the allocator as it is")
    parser.add_argument("--steps", type=int, default=4000, help="training steps of fields and pairs")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the fields")
    parser.add_argument("--official", type=Path, help="checkout of the authors' code, for light_sb")
    parser.add_argument("--out", type=Path, help="also write the tables to this Markdown file")
    options = parser.parse_args()
    if not options.default_malloc:
        tune_malloc()
    parts: list[str] = []

    def report(line: str) -> None:
        parts.append(line)
        print(line, flush=True)

    if options.what == "against":
        found = against.compare(options.base, rounds=options.rounds, only=options.only)
        report(against.table(list(found), options.base))
    elif options.what == "fields":
        fields.run(steps=options.steps, seeds=options.seeds, n=10_000, report=report)
    elif options.what == "pairs":
        pairs.run(steps=options.steps, report=report)
    elif options.what == "first_hour":
        with tempfile.TemporaryDirectory() as folder:
            report(first_hour.table(list(first_hour.first_hour(Path(folder)))))
    elif options.what == "functional_tucker":
        functional_tucker.run(rounds=options.rounds, report=report)
    elif options.what == "light_sb":
        light_sb.run(options.official, rounds=options.rounds, report=report)
    else:
        _overhead(options.rounds, report)
    if options.out:
        options.out.write_text("\n".join(parts) + "\n")


def _overhead(rounds: int, report: Callable[[str], None]) -> None:
    report(f"Measured on: {overhead.machine()}. Ratios are to the first row of each table.\n")
    for title, run in (
        ("Training step, MLP 4x256, batch 4,096 (unit: 40 steps)", lambda: overhead.training(4096, rounds)),
        ("Training step, MLP 4x256, batch 256 (unit: 300 steps)", lambda: overhead.training(256, rounds)),
        ("Sampling, MLP 4x256, 4,096 points, 100 evaluations", lambda: overhead.sampling(4096, rounds)),
        ("Sampling, MLP 4x256, 64 points, 100 evaluations", lambda: overhead.sampling(64, rounds)),
        ("Log-likelihood, 1,000 points in 2-D, midpoint", lambda: overhead.likelihood(rounds)),
    ):
        report(table(title, run()))


if __name__ == "__main__":
    main()
