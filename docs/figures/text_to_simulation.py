"""Draw ``docs/images/text_to_simulation.png``: ``python docs/figures/text_to_simulation.py RUN``.

RUN is the folder of ``interpolants run --config text_to_simulation --out RUN``; its model is asked for a plume that it
has not seen, in a phrasing that it has not seen.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from interpolants import load
from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.problems.plume import GaussianPlume
from interpolants.apps.simulation.simulation_questions import mesh_panel
from interpolants.framework.figures import Figure
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
SHOWN = (0, 4, 8, 11)


def figure(run: Path) -> Figure:
    """The truth, the answer to its sentence, and the answer to its first two frames, at four times."""
    method: Any = load(run)
    drawn: Any = GaussianPlume(held_out=1.0).sample(1, generator=torch.Generator().manual_seed(5))
    (truth,), (prompt,) = drawn["fields"], drawn["prompt"]
    print(prompt)
    told = method.sample(1, prompt=prompt, points=truth, seed=1)[0]
    (seen,) = method.forecast([truth.first(2)], seed=1)
    rows: dict[str, MeshField] = {
        "exact": truth,
        "from the sentence": told,
        "from two frames": replace(seen, values=seen.values[0]),
    }
    panels = [
        mesh_panel(
            one.points, one.values[k, :, 0], float(truth.values[k].max()), f"{name}, t = {truth.times[k]:.2g}"
        )
        for name, one in rows.items()
        for k in SHOWN
    ]
    return Figure(name="text_to_simulation", panels=tuple(panels), columns=len(SHOWN), width=860, height=680)


if __name__ == "__main__":
    save([figure(Path(sys.argv[1]))], IMAGES, dpi=80)
