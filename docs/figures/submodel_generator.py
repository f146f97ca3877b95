"""Draw ``docs/images/submodel_generator.png``: ``python docs/figures/submodel_generator.py``, two minutes on one core.

Quantities of a part of a plate, in whole plates and for motions of its interface that were drawn.
"""

from dataclasses import replace
from pathlib import Path

import torch

from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.reports.draw import save
from interpolants.sciml import SubmodelGenerator
from interpolants.sciml.uq.problems.clamped_plate import ClampedPlate
from interpolants.sciml.uq.submodel_quantities import TRUTH, SubmodelQuantities

IMAGES = Path(__file__).parents[1] / "images"
NET = {"kind": "mlp", "width": 64, "depth": 2}
INTERPOLANT = {
    "kind": "bridge",
    "path": "one_sided_linear",
    "net": NET,
    "steps": 6000,
    "batch_size": 256,
    "lr": 1e-3,
}

if __name__ == "__main__":
    plate = ClampedPlate()
    runs = plate.sample(1300, generator=torch.Generator().manual_seed(0))
    method = SubmodelGenerator(generator=INTERPOLANT)
    task = Task.of([*method.roles(), TRUTH], {**runs, "problem": plate}, Split(test=1000))
    rivals = [{"name": name, "twin": {"generator": kind}} for name, kind in
              (("Gaussian", "gaussian_fit"), ("Wasserstein GAN", "wasserstein_gan"))]  # fmt: skip
    task.fit(method)
    drawn = ask(SubmodelQuantities(), method, task, rivals).figures[0]
    save([replace(drawn, name="submodel_generator", panels=drawn.panels[:2], width=900)], IMAGES, dpi=80)
