"""The mixture, its path and the exact end points; the same as in the figure of the work-precision page."""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from interpolants.dynamics import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import OneSidedTrigonometric
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
PATH = OneSidedTrigonometric()
# Noise over signal at the first and at the last time.
SIGMA_MAX, SIGMA_MIN = math.exp(5), 0.02
FIRST, LAST = PATH.time_at_log_snr(torch.tensor([-10.0, -2 * math.log(SIGMA_MIN)], dtype=F64)).tolist()


class Problem(NamedTuple):
    """A flow with known ends.

    Attributes:
        fields: Exact fields.
        x: Starts at the first time, ``(N, 2)`` float64.
        right: Where the exact flow takes them at the last time.
    """

    fields: Fields
    x: Tensor
    right: Tensor

    def error(self, x: Tensor) -> float:
        """Root mean square distance from the exact ends."""
        return float((x - self.right).square().mean().sqrt())


@lru_cache(maxsize=4)
def problem(seed: int, rows: int) -> Problem:
    """Four modes in the plane from noise, with ends by 800 steps of ``rk4``."""
    mixture = GaussianMixture(
        torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=F64),
        torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5], [1.0, 1.5]], dtype=F64),
        torch.tensor([0.01, 0.04, 0.09, 0.02], dtype=F64),
    )
    fields = GaussianMixtureBridge(Gaussian((2,)), mixture).fields(PATH)
    x = torch.randn(rows, 2, dtype=F64, generator=torch.Generator().manual_seed(seed))
    right = sample(fields, x, method="rk4", n_steps=800, time_grid="log_snr", start=FIRST, stop=LAST).x
    return Problem(fields, x, right)


def noise(fields: Fields, x: Tensor, sigma: Tensor) -> Tensor:
    """The exact noise at a noise over signal, for libraries that count in these."""
    t = PATH.time_at_log_snr(-2 * sigma.double().log())
    return fields.evaluate(x.double(), t, ("noise",))["noise"]
