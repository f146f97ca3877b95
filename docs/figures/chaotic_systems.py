"""Draw ``docs/images/chaotic_systems.png``: ``python docs/figures/chaotic_systems.py RUN``.

RUN is the folder of a run of the recipe ``delay_network``, whose stored figure is drawn; seconds.
"""

import sys
from dataclasses import replace
from pathlib import Path

from interpolants.foundations import trees
from interpolants.framework.answered import Answered
from interpolants.reports.draw import save

IMAGES, RUN = Path(__file__).parents[1] / "images", Path(sys.argv[1] if len(sys.argv) > 1 else "runs/chaos")


def figures(folder: Path) -> dict[str, object]:
    """Figures of the run by name."""
    found: Answered = trees.read(folder / "gathered")
    return {figure.name: figure for figure in found.figures}


if __name__ == "__main__":
    drawn = next(figure for name, figure in figures(RUN).items() if name.endswith("errors"))
    save([replace(drawn, name="chaotic_systems")], IMAGES, dpi=80)
