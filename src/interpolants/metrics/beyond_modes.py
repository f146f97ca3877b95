"""Samples that lie far from every mode of a mixture: between modes, or outside."""

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid

_WHO = "beyond_modes"


def beyond_modes(x: Tensor, means: Tensor, deviation: float, *, reach: float = 6.0) -> Tensor:
    """Which samples are further than ``reach`` deviations from the nearest mode, ``(N,)`` bool.

    Samples that are not finite count as beyond. In D dimensions a share ``Q(D/2, reach^2 / 2)`` of exact samples of
    well-separated isotropic modes is beyond: 2e-9 for D = 1, 1.5e-8 for D = 2.

    Args:
        x: Samples ``(N, D)``.
        means: Modes ``(K, D)``.
        deviation: Standard deviation of the modes, in every direction, > 0.
        reach: In deviations, > 0.

    Raises:
        InvalidInputError: If a number is out of range or the dimensions differ.
    """
    number(_WHO, "deviation", deviation, above=0), number(_WHO, "reach", reach, above=0)
    if x.ndim != 2 or means.ndim != 2 or x.shape[1] != means.shape[1] or not len(means):
        found = f"{tuple(x.shape)} and {tuple(means.shape)}"
        raise invalid(_WHO, "samples (N, D) and modes (K, D) must have one D", found)
    nearest = torch.cdist(x.double(), means.double(), compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    return ~(nearest <= reach * deviation)  # NaN is beyond
