"""Families of dynamical systems with random parameters: equations as text, and their trajectories.

Letters: N trajectories, S times of the window that is seen, T times in all, D states of the largest system.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

from interpolants.data.equation_tokens import rounded
from interpolants.data.equation_trees import Ends, read_system, shown_system
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Check, Count, NonNegative, Positive
from interpolants.foundations.randomness import generator
from interpolants.foundations.records import record
from interpolants.problems.dynamical_systems import DynamicalSystem, dynamical_system

PARTS = ("train", "test")
# One equation in five is a test equation, whoever draws it; draws without one of the part, after which there is none;
# rounds of redrawn starts; starts of a family after which one must have stayed; the integrator's refinement.
_TEST_EVERY, _MISSES, _ROUNDS, _TRIES, _FINER = 5, 500, 20, 64, 3


@record("drawn_equations")
@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnEquations:
    """Trajectories of drawn equations.

    Attributes:
        times: ``(N, T)`` float64, from 0.
        values: States without noise, ``(N, T, D)``; zeros for states that a system has not.
        window: States at the first S times with noise, ``(N, S, D)``.
        labels: What is to be predicted: states at the other times, ``(N, T - S, D)``.
        dims: States of each system, ``(N,)``.
        family: Number of the family of each trajectory, ``(N,)``.
        equation: Number of the equation of each trajectory, ``(N,)``.
        systems: The equations as text.
        rejected: Starts that were drawn again, as their trajectories left the allowed size.
    """

    times: Tensor
    values: Tensor
    window: Tensor
    labels: Tensor
    dims: Tensor
    family: Tensor
    equation: Tensor
    systems: list[str]
    rejected: int

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def trees(self) -> list[Ends]:
        """The equations as trees."""
        return [read_system(text) for text in self.systems]

    @property
    def seen(self) -> Tensor:
        """Times and states of the window, as a user has them, ``(N, S, 1 + D)``."""
        return torch.cat([self.times[:, : self.window.shape[1], None], self.window], 2)


def _systems(who: str, value: Any) -> tuple[DynamicalSystem, ...]:
    """Systems, from their names or as they are; one alone is a tuple of one."""
    given = (value,) if isinstance(value, str | DynamicalSystem) else tuple(value)
    if not given:
        raise invalid("systems must have at least one entry", "none")
    return tuple(one if isinstance(one, DynamicalSystem) else dynamical_system(one) for one in given)


@dataclass(frozen=True, kw_only=True)
class EquationFamilies(Checked):
    """Families of autonomous systems: parameters are uniform about their values, starts uniform in the systems' boxes.

    Parameters are rounded to three digits before trajectories are calculated, so that text and data agree. One equation
    in five, told by a hash of its numbers, is a test equation: no draw of ``"train"`` ever holds it.

    Raises:
        InvalidInputError: If a setting is out of range or a system unknown.

    Source: Liu, Zhang & Schaeffer (2024), arXiv:2309.16816; irregular times and the split by equation are ours.
    """

    systems: Annotated[tuple[Any, ...], Check(_systems)] = ("lorenz", "rossler", "halvorsen", "thomas")
    """Names of :func:`~interpolants.problems.dynamical_systems.dynamical_system`, or systems of your own."""
    spread: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    """Parameters differ by at most this share, where a system has no range for them."""
    window: Positive = 2.0
    """End of the times that are seen, in the systems' time."""
    end: Positive = 6.0
    """Last time."""
    points: Annotated[int, Ge(2)] = 64
    """Times in the window, S."""
    later: Count = 128
    """Times after it."""
    noise: NonNegative = 0.02
    """Size of the noise on the window, as a share of the root mean square of the whole trajectory."""
    irregular: bool = False
    """Times are uniform draws instead of a grid."""
    noisy_labels: bool = False
    """Noise on what is to be predicted too: the setting of the paper, whose errors have a floor then."""
    largest: Positive = 1000.0
    """Trajectories with a larger state are rejected."""

    def check_settings(self) -> None:
        """Refuse a last time within the window."""
        number(who(), "end", self.end, above=self.window, remedy="It is the last time, after the window.")

    @property
    def states(self) -> int:
        """D, states of the largest system."""
        return max(int(system.dim) for system in self.systems)

    def draw(
        self, equations: int, starts: int, *, seed: int, part: str = "train", name: str = ""
    ) -> DrawnEquations:
        """Trajectories of new equations, as many of each family.

        Args:
            equations: Number of equations.
            starts: Trajectories of each.
            seed: Seed.
            part: ``"train"`` or ``"test"``: no equation is in both.
            name: Name of the draw; two draws of one name are the same.

        Raises:
            InvalidInputError: If parameters vary so little that a family has no equation of the part.
            DivergedError: If a family's trajectories keep leaving the allowed size.
        """
        one_of("EquationFamilies.draw", "part", part, PARTS)
        whole("EquationFamilies.draw", "equations", equations, at_least=1)
        source = generator(seed, "equations", part, name)
        parts: list[dict[str, Any]] = []
        texts: list[str] = []
        for k, system in enumerate(self.systems):
            count = equations // len(self.systems) + (k < equations % len(self.systems))
            if count:
                parts.append(self._family(k, system, count, starts, part, source, len(texts)))
                texts += parts[-1].pop("texts")
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0] if name != "rejected"}
        rejected = sum(part["rejected"] for part in parts)
        return self._noisy(joined, texts, rejected, source)

    def _family(
        self,
        k: int,
        system: DynamicalSystem,
        count: int,
        starts: int,
        part: str,
        source: Generator,
        first: int,
    ) -> dict[str, Any]:
        drawn = list(self._equations(system, count, part, source))
        rows = {
            n: torch.tensor([d[n] for d in drawn], dtype=torch.float64).repeat_interleave(starts)
            for n in system.used
        }
        total = count * starts
        times, values, rejected = self._solved(system, rows, total, source)
        padded = torch.zeros(*values.shape[:2], self.states, dtype=torch.float64)
        padded[..., : system.dim] = values
        return {
            "times": times,
            "values": padded,
            "dims": torch.full((total,), system.dim),
            "family": torch.full((total,), k),
            "equation": first + torch.arange(count).repeat_interleave(starts),
            "texts": [shown_system(system.equations(**one)) for one in drawn],
            "rejected": rejected,
        }

    def _equations(
        self, system: DynamicalSystem, count: int, part: str, source: Generator
    ) -> Iterator[Mapping[str, float]]:
        """Parameters of new equations of one part."""
        found = missed = 0
        while found < count:
            share = torch.rand(max(len(system.used), 1), generator=source, dtype=torch.float64).tolist()
            drawn = {
                name: self._parameter(system, name, s) for name, s in zip(system.used, share, strict=False)
            }
            if not system.used or _is_test(system.name, drawn) == (part == "test"):
                found, missed = found + 1, 0
                yield drawn
                continue
            missed += 1
            if missed == _MISSES:
                rule = f"parameters of {system.name} must vary enough for equations of both parts"
                remedy = f"Raise spread: none of {_MISSES} draws is a {part} equation."
                raise invalid(rule, f"spread={self.spread:g}", remedy)

    def _parameter(self, system: DynamicalSystem, name: str, share: float) -> float:
        value = system.parameters[name]
        edge = self.spread * abs(value)
        low, high = system.ranges.get(name, (value - edge, value + edge))
        return rounded(low + share * (high - low))

    def _solved(
        self, system: DynamicalSystem, rows: Mapping[str, Tensor], n: int, source: Generator
    ) -> tuple[Tensor, Tensor, int]:
        """Times and states of n trajectories; starts that lead too far are drawn again."""
        times = self._times(n, source)
        values = torch.zeros(n, times.shape[1], system.dim, dtype=torch.float64)
        open_rows, rejected = torch.arange(n), 0
        for _ in range(_ROUNDS):
            start = system.starts(len(open_rows), generator=source)
            own = {name: column[open_rows] for name, column in rows.items()}
            found = system.trajectories(start, times[open_rows], own, finer=_FINER, largest=self.largest)
            good = (found.abs() <= self.largest).flatten(1).all(1)
            values[open_rows[good]] = found[good]
            open_rows = open_rows[~good]
            rejected += len(open_rows)
            if not len(open_rows):
                return times, values, rejected
            # Rounds enough for all rows need a start in three that stays: none of 64 does by chance once in 1e11.
            if len(open_rows) == n and rejected >= _TRIES:
                break
        told = f"{len(open_rows)} of {n} trajectories of {system.name} leave |u| <= {self.largest:g}"
        raise DivergedError(
            f"EquationFamilies: {told} from all of {rejected} starts. Narrow its boxes of starts, or shorten end."
        )

    def _times(self, n: int, source: Generator) -> Tensor:
        """``(n, T)``: a grid, or sorted draws of which S lie in the window; the first is 0."""
        total = self.points + self.later
        if not self.irregular:
            # The grid's step is that of the window, so that the paper's 64 of 192 points are these.
            inside = torch.linspace(0, self.window, self.points, dtype=torch.float64)
            after = torch.linspace(self.window, self.end, self.later + 1, dtype=torch.float64)[1:]
            return torch.cat([inside, after]).expand(n, total).contiguous()
        inside, after = (
            torch.rand(n, k, generator=source, dtype=torch.float64) for k in (self.points - 1, self.later)
        )
        first = torch.zeros(n, 1, dtype=torch.float64)
        later = self.window + (self.end - self.window) * after.sort(1).values
        return torch.cat([first, self.window * inside.sort(1).values, later], 1)

    def _noisy(
        self, rows: Mapping[str, Tensor], texts: Sequence[str], rejected: int, source: Generator
    ) -> DrawnEquations:
        """With noise whose size is exactly the share of each whole trajectory's."""
        values = rows["values"]
        noise = torch.randn(values.shape, generator=source, dtype=torch.float64)
        here = torch.arange(self.states) < rows["dims"][:, None]
        noise = noise * here[:, None]
        scale = self.noise * values.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
        noisy = values + scale[:, None, None] * noise
        labels = (noisy if self.noisy_labels else values)[:, self.points :]
        window = noisy[:, : self.points]
        return DrawnEquations(**rows, window=window, labels=labels, systems=list(texts), rejected=rejected)


def _is_test(name: str, drawn: Mapping[str, float]) -> bool:
    words = f"{name} {sorted(drawn.items())}"
    return hashlib.sha256(words.encode()).digest()[0] % _TEST_EVERY == 0
