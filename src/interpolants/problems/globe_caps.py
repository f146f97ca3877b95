"""Mixture of von Mises-Fisher distributions on the globe, in degrees of latitude and longitude."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Positive
from interpolants.problems.toys import Toy
from interpolants.spaces.codes import LatitudeLongitude
from interpolants.spaces.sphere import Sphere

_GLOBE, _DEGREES = Sphere(2), LatitudeLongitude(unit="degrees")


@dataclass(frozen=True)
class GlobeCaps(Toy):
    """Equal mixture of caps with density ``kappa / (2 pi (1 - exp(-2 kappa))) exp(kappa (cos r - 1))`` per steradian.

    r is the angle from the centre of the cap. By default one of the five centres is the north pole, and one lies on the
    date line. Rows are latitude and longitude in degrees, the latter in [-180, 180). Log densities are per square of a
    degree of each column.

    Raises:
        InvalidInputError: If centres and concentrations differ in number, or a centre is not a place.

    Source: Fisher (1953), doi:10.1098/rspa.1953.0064.
    """

    centres: Sequence[Sequence[float]] = (
        (90.0, 0.0),
        (10.0, 180.0),
        (0.0, 45.0),
        (-25.0, -73.0),
        (-45.0, 90.0),
    )
    """Latitude and longitude of each centre, in degrees."""
    kappa: Sequence[Positive] = (10.0, 20.0, 40.0, 15.0, 30.0)
    """Concentration of each cap: about 1 over the variance of an angle in radians."""

    def check_settings(self) -> None:
        """Check that each centre is a place and has a concentration."""
        centres = torch.as_tensor(self.centres, dtype=torch.float64)
        if centres.shape != (len(self.kappa), 2):
            rule = f"centres must have a latitude and a longitude for each of the {len(self.kappa)} entries of kappa"
            raise invalid(rule, tuple(centres.shape))
        _DEGREES.check(centres, ("latitude", "longitude"))

    @property
    def _centres(self) -> Tensor:
        return _DEGREES.encode(torch.as_tensor(self.centres, dtype=torch.float64))

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, 2)``, in torch's default type."""
        cap = torch.randint(len(self.kappa), (n,), generator=generator)
        kappa = torch.tensor(self.kappa, dtype=torch.float64)[cap]
        uniform = torch.rand(n, generator=generator, dtype=torch.float64)
        cosine = 1 + torch.log(uniform + (1 - uniform) * torch.exp(-2 * kappa)) / kappa
        centre = self._centres[cap]
        direction = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        side = _GLOBE.project(_GLOBE.tangent(centre, direction))
        points = cosine[:, None] * centre + (1 - cosine * cosine).clamp_min(0).sqrt()[:, None] * side
        return _DEGREES.decode(points).to(torch.get_default_dtype())

    def _log_prob(self, x: Tensor) -> Tensor:
        kappa = torch.tensor(self.kappa, dtype=torch.float64)
        constant = kappa.log() - math.log(2 * math.pi) - torch.log1p(-torch.exp(-2 * kappa))
        cosine = _DEGREES.encode(x) @ self._centres.T
        per_steradian = torch.logsumexp(constant + kappa * (cosine - 1), 1) - math.log(len(kappa))
        return per_steradian + _DEGREES.log_volume(x)
