"""``python -m benchmarks [--rounds N] [--default-malloc] [--out FILE]``: print the overhead tables."""

import argparse
from pathlib import Path

from benchmarks import overhead
from benchmarks.timing import table
from interpolants.foundations.memory import tune_malloc


def main() -> None:
    """Measure, print, and write a file if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds per table")
    parser.add_argument("--default-malloc", action="store_true", help="leave the allocator as it is")
    parser.add_argument("--out", type=Path, help="also write the tables to this Markdown file")
    options = parser.parse_args()
    if not options.default_malloc:
        tune_malloc()
    parts = [f"Measured on: {overhead.machine()}. Ratios are to the first row of each table.\n"]
    print(parts[0])
    for title, run in (
        (
            "Training step, MLP 4x256, batch 4,096 (unit: 20 steps)",
            lambda: overhead.training(4096, options.rounds),
        ),
        (
            "Training step, MLP 4x256, batch 256 (unit: 20 steps)",
            lambda: overhead.training(256, options.rounds),
        ),
        (
            "Sampling, MLP 4x256, 4,096 points, 100 evaluations",
            lambda: overhead.sampling(4096, options.rounds),
        ),
        ("Sampling, MLP 4x256, 64 points, 100 evaluations", lambda: overhead.sampling(64, options.rounds)),
        ("Log-likelihood, 1,000 points in 2-D, midpoint", lambda: overhead.likelihood(options.rounds)),
    ):
        parts.append(table(title, run()))
        print(parts[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
