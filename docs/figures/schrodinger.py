"""Draw the figure of ``docs/methods/schrodinger_bridges.md``: ``python docs/figures/schrodinger.py``.

The bridges are those of the study with seed 0; what has been measured in ``runs/studies/schrodinger_laptop`` is used.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the studies lie beside the package


def main() -> None:
    """Write ``docs/images/schrodinger_bridges.png``."""
    from studies.common import run
    from studies.schrodinger.experiment import SOLVERS, STUDY, TOYS, paths

    from interpolants.reports.draw import draw

    cases = [f"{TOYS} / {solver}" for solver in SOLVERS]
    results = run(STUDY, "laptop", [0], ROOT / "runs" / "studies" / "schrodinger_laptop", only=cases)
    (figure,) = paths(results)
    (ROOT / "docs" / "images" / "schrodinger_bridges.png").write_bytes(draw(figure))


if __name__ == "__main__":
    main()
