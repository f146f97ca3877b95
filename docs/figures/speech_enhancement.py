"""Draw ``docs/images/speech_enhancement.png`` from a run of its recipe.

::

    interpolants run --config speech_enhancement --out runs/speech
    python docs/figures/speech_enhancement.py runs/speech
"""

import sys
from pathlib import Path

from interpolants.framework.experiment import stored_answers
from interpolants.framework.figures import Figure
from interpolants.reports.draw import draw
from interpolants.runs.recipe_files import RecipeFolder
from interpolants.runs.recipe_run import RecipeRun

IMAGE = Path(__file__).parents[1] / "images" / "speech_enhancement.png"


def spectrograms(run: Path) -> Figure:
    """Those of the first signal, of the report's figure: clean, degraded, restored, one draw, and two rivals."""
    found = next(iter(stored_answers(RecipeRun(RecipeFolder.stored(run).recipe), run).values()))
    return next(figure for figure in found.figures if figure.name.endswith("spectrograms"))


if __name__ == "__main__":
    IMAGE.write_bytes(draw(spectrograms(Path(sys.argv[1])), dpi=90))
