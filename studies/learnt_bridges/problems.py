"""What a method gets to see of a problem, and what its answers are held against."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.problems.gaussian_mixture import GaussianMixture
from studies.bridges_compared.experiment import DIGITS_EPS, digits
from studies.which_bridge.problems import keyed, mixtures

DIGITS = "digits 3 to 8"
_TRUE, _OTHER, _START, _DATA = range(4)


@dataclass(frozen=True)
class Samples:
    """A problem as a method gets to see it, and what its answers are held against.

    Attributes:
        x0: Samples of the start distribution to learn from.
        x1: Samples of the end distribution to learn from.
        test0: Others of the start distribution.
        test1: Others of the end distribution.
        eps: Level of the Schroedinger bridge.
        rho0: The start distribution, where it is known.
        rho1: The end distribution, where it is known.
    """

    x0: Tensor
    x1: Tensor
    test0: Tensor
    test1: Tensor
    eps: float
    rho0: GaussianMixture | None = None
    rho1: GaussianMixture | None = None


def samples(task: str, seed: int, *, data: int, n: int, repeats: int) -> Samples:
    """``"learn to generate"`` starts from white noise, ``"learn to translate"`` from the other mixture."""
    if task == DIGITS:
        sets = digits(seed)
        starts = sets["test x0"].repeat(repeats, 1)
        return Samples(sets["x0"], sets["x1"], starts, sets["test x1"], DIGITS_EPS)
    exact = mixtures(seed, 2)
    rho0, rho1 = exact.rho0.to(dtype=torch.float32), exact.rho1.to(dtype=torch.float32)
    if task == "learn to generate":
        one = torch.ones(1)
        rho0 = GaussianMixture(one, torch.zeros(1, 2), one)
    g = keyed(seed, _DATA)
    x0, x1 = rho0.sample(data, generator=g), rho1.sample(data, generator=g)
    test0 = rho0.sample(n, generator=keyed(seed, _START))
    test1 = rho1.sample(n, generator=keyed(seed, _TRUE))
    return Samples(x0, x1, test0, test1, exact.eps, rho0, rho1)
