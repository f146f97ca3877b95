"""Rivals of an emulator: seeds with noise around their mean, a regression on the seeds, and climatology.

Letters: N cases, M members, K seeds, C variables, G axes of the grid.
"""

import math
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from torch import Generator, Tensor

from interpolants.apps.weather.ensembles import analysis_role, checked_seeds, ensemble_role, of_same_cases
from interpolants.data.gridded import Gridded
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Answer, Count
from interpolants.foundations.randomness import BLOCK, by_block, key
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import constant_columns
from interpolants.framework.gridded import GriddedEnsemble, gridded_ensemble
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

# ``E|Z| = sqrt(2 / pi)`` of a standard normal number: from a mean absolute error to a standard deviation.
_OF_ABSOLUTE = math.sqrt(math.pi / 2)


class GaussianAroundSeeds(Method):
    """``mean(seeds) + spread(seeds) z``, z independent for all points; abstract: a subclass learns mean and spread.

    With an analysis they are learnt from its members, else from the members that are no seeds.
    """

    only_cpu: ClassVar[str] = "fields stay where they were read"
    noun: ClassVar[str] = "emulator"

    n_seeds: Count = 2
    """K."""

    def roles(self) -> tuple[Role, ...]:
        """Ensembles, and the analysis if there is one."""
        return ensemble_role(), analysis_role()

    def split(self, data: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Seeds and what they shall tell of, ``(N, K, C, *G)`` and ``(N, M, C, *G)`` float64."""
        members: Gridded = data["ensemble"]
        if members.values.shape[1] <= self.n_seeds:
            rule = f"ensembles must have more than n_seeds = {self.n_seeds} members"
            raise invalid(rule, members.values.shape[1])
        x = members.values.double()
        if (analysis := data.get("analysis")) is None:
            return x[:, : self.n_seeds], x[:, self.n_seeds :]
        found = of_same_cases(who(), members, analysis, "analysis")
        return x[:, : self.n_seeds], found.values.double()

    def law(self, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of a further member, each ``(N, C, *G)``."""
        raise NotImplementedError

    @capability(reads={"seeds": "ensemble"}, like="seeds")
    def emulate(
        self, seeds: Gridded, *, members: Count = 31, seed: int = 0, first_index: int = 0
    ) -> GriddedEnsemble:
        """Members ``(B, members, C, *G)`` in data units.

        Args:
            seeds: K members of each case.
            members: M.
            seed: Seed of the noise.
            first_index: Index of the first case in a larger job.
        """
        mean, spread = self.law(checked_seeds(who(), seeds, self.n_seeds).double())

        def noise(m: int) -> Tensor:
            def draw(source: Generator) -> Tensor:
                return torch.randn(BLOCK, *seeds.grid.shape, generator=source, dtype=torch.float64)

            own = key(seed, "noise around seeds", m) >> 33
            return by_block(draw, own, ("dressing",), first=first_index, count=len(seeds))

        x = torch.stack([mean + spread * noise(m) for m in range(members)], 1)
        return gridded_ensemble(x, seeds)


class DressedSeeds(GaussianAroundSeeds):
    """Gaussian dressing: the mean of the seeds, and one deviation for each variable.

    Source: Roulston & Smith (2003).
    """

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Root mean square of the other members about the seeds' mean, ``(C,)``."""
        seeds, others = self.split(data)
        gap = (others - seeds.mean(1, keepdim=True)).square()
        return {"spread": gap.transpose(0, 2).flatten(1).mean(1).sqrt()}

    def law(self, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """The mean, and the deviation everywhere."""
        mean = seeds.mean(1)
        return mean, _wide(self.state["spread"], mean).expand_as(mean)


class SeedRegression(GaussianAroundSeeds):
    """Linear in the local mean and spread of the seeds: ``mean = a + b m + c d``, ``deviation = e + f d``, by variable.

    Source: Gneiting, Raftery, Westveld & Goldman (2005), whose coefficients are fitted by the CRPS; here least squares.
    """

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Coefficients ``(C, 3)`` and ``(C, 2)``."""
        seeds, others = self.split(data)
        mean, gap = _local(seeds)
        found = [self._fit(mean[:, k], gap[:, k], others[:, :, k]) for k in range(mean.shape[1])]
        return {name: torch.stack([one[k] for one in found]) for k, name in enumerate(("mean", "spread"))}

    @staticmethod
    def _fit(mean: Tensor, gap: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        m, d = (x[:, None].expand_as(others).reshape(-1) for x in (mean, gap))
        y, known = others.reshape(-1), torch.stack([m, d], 1)
        first = _least_squares(known, y)
        left = (y - first[0] - known @ first[1:]).abs() * _OF_ABSOLUTE
        return first, _least_squares(known[:, 1:], left)

    def law(self, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Both at each point; a deviation is at least a hundredth of what it is for seeds that agree."""
        mean, gap = _local(seeds)
        a, b, c = (_wide(x, mean) for x in self.state["mean"].unbind(1))
        e, f = (_wide(x, mean) for x in self.state["spread"].unbind(1))
        return a + b * mean + c * gap, torch.maximum(e + f * gap, 0.01 * e.abs())


def _local(seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean absolute deviation of the seeds, ``(N, C, *G)`` each."""
    mean = seeds.mean(1)
    return mean, (seeds - mean[:, None]).abs().mean(1)


def _wide(x: Tensor, like: Tensor) -> Tensor:
    return x.reshape(1, -1, *(1,) * (like.ndim - 2))


def _least_squares(x: Tensor, y: Tensor) -> Tensor:
    """Intercept and slopes on columns ``(n, k)``, whatever their units; columns that do not vary have no slope."""
    mean, varies = x.mean(0), ~constant_columns(x)
    size = torch.where(varies, x.std(0, correction=0), 1.0)
    z = torch.where(varies, (x - mean) / size, 0.0)
    ridge = 1e-10 * len(z) * torch.eye(z.shape[1], dtype=z.dtype)  # columns that say the same share it
    slopes = torch.linalg.solve(z.T @ z + ridge, z.T @ (y - y.mean())) / size
    return torch.cat([(y.mean() - slopes @ mean)[None], slopes])


class EnsembleClimatology(Method):
    """Members of other cases, drawn at random from the training part, whatever the seeds."""

    only_cpu: ClassVar[str] = "fields stay where they were read"
    noun: ClassVar[str] = "climatology"

    window: Answer[Annotated[int, Interval(ge=0, le=365)]] = 0
    """Days around the day of the year of a case that members are drawn from; 0 for any."""

    def roles(self) -> tuple[Role, ...]:
        """Ensembles."""
        return (ensemble_role(),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Keep them."""
        return {"members": data["ensemble"]}

    @capability(reads={"seeds": "ensemble"}, like="seeds")
    def emulate(
        self, /, seeds: Gridded, *, members: Count = 31, seed: int = 0, first_index: int = 0, **settings: Any
    ) -> GriddedEnsemble:
        """Members ``(B, members, C, *G)``.

        Args:
            seeds: Seeds, of which only their number and dates are used.
            members: M.
            seed: Seed of the draws.
            first_index: Index of the first case in a larger job.
            settings: Settings of answers, for this call.

        Raises:
            InvalidInputError: If no case of the training part is near enough in the year.
        """
        known: Gridded = self.state["members"]

        def draw(source: Generator) -> Tensor:
            return torch.rand(BLOCK, members, 2, generator=source, dtype=torch.float64)

        own = key(seed, "climatology of ensembles") >> 33
        u = by_block(draw, own, ("cases",), first=first_index, count=len(seeds))
        near = [self._near(known, seeds, row) for row in range(len(seeds))]
        case = torch.stack([one[(u[i, :, 0] * len(one)).long()] for i, one in enumerate(near)])
        x = known.values[case, (u[..., 1] * known.values.shape[1]).long()]
        return gridded_ensemble(x, seeds)

    def _near(self, known: Gridded, seeds: Gridded, row: int) -> Tensor:
        """Cases to draw from, by the day of the year."""
        days, day = known.day_of_year(), seeds.day_of_year()
        if not self.window or days is None or day is None:
            return torch.arange(len(known))
        gap = (days - day[row]).abs()
        found = (torch.minimum(gap, 365 - gap) <= self.window // 2).nonzero()[:, 0]
        if not len(found):
            rule = f"the training data must have cases within {self.window // 2} days of each requested day"
            raise invalid(rule, f"none near day {int(day[row]) + 1}")
        return found
