"""Between the steps: when and at which times a constraint acts, with a corrector and without."""

from dataclasses import dataclass, field

import pytest
import torch

from interpolants.dynamics import Langevin, sample
from interpolants.fields import LearnedFields
from interpolants.paths import VP


@dataclass
class Watching:
    """Puts nothing back, and remembers when it was asked and whether for a result."""

    seen: list = field(default_factory=list)

    def rows(self, x):
        return None

    def impose(self, x, t, known, path, z):
        self.seen.append(round(float(t), 6) if z is not None else "result")
        return x


@pytest.mark.parametrize("method", ["euler", "heun", "ancestral", "dpmpp_2m"])
@pytest.mark.parametrize(
    ("corrector", "finish", "wanted"),
    [
        (None, "step", [0.1, 0.3, 0.6, 0.8]),
        (None, "denoise", [0.1, 0.3, 0.6, "result"]),
        (Langevin(steps=2), "step", [0.1, 0.3, 0.3, 0.3, 0.6, 0.6, 0.6, 0.8, 0.8, 0.8]),
        (Langevin(before=True), "step", [0.1, 0.1, 0.3, 0.3, 0.6, 0.6, 0.8]),
        (Langevin(before=True), "denoise", [0.1, 0.1, 0.3, 0.3, 0.6, 0.6, "result"]),
    ],
)
def test_a_constraint_follows_the_start_every_step_and_every_correction_at_its_time(
    method, corrector, finish, wanted
):
    fields = LearnedFields(VP(), score=lambda x, t: -x)
    seen, x = Watching(), torch.ones(3, 12)
    run = {"time_grid": [0.1, 0.3, 0.6, 0.8], "method": method, "finish": finish, "seed": 0}
    sample(fields, x, constraint=seen, corrector=corrector, chunk=3, invariant=False, **run)
    assert seen.seen == wanted
