"""How good emulated ensembles are, beside the seeds that they were made of.

Letters: B cases, N members that were drawn, K seeds, C variables, G axes of the grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.apps.weather.data.climatology import GridClimatology
from interpolants.apps.weather.ensemble_figures import (
    case_figure,
    paired_figure,
    ranks_figure,
    spectra_figure,
)
from interpolants.apps.weather.ensembles import ensemble_role, of_same_cases
from interpolants.apps.weather.metrics.event_scores import brier_of_cases, log_loss_of_cases
from interpolants.apps.weather.metrics.field_scores import (
    correlation_of_cases,
    power_spectrum,
    spectral_gap,
    variogram_of_cases,
)
from interpolants.data.gridded import Gridded
from interpolants.foundations import asked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Positive, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Figure
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.roles import read
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import with_seed
from interpolants.metrics.crps import crps_of_cases, energy_of_cases, score_estimate
from interpolants.metrics.ensemble import rank_counts, spread_skill, unreliability
from interpolants.metrics.estimate import Estimate

_OTHERS = "the members that were left out"
# Most pairs of entries of the variogram score; of larger fields so many are drawn.
_PAIRS = 4000


@dataclass(frozen=True, kw_only=True)
class EmulatedEnsembles(Question):
    """Scores of emulated ensembles against what came; points count by their area.

    The truth is the role ``truth`` where the task has one, else one of the members that are no seeds. Seeds are the
    first K members of each test case, and are not scored among the others. Scores are in data units, or in
    deviations of the climatology where there are several variables.
    """

    needs: ClassVar[str] = "emulate"
    front: ClassVar[tuple[str, ...]] = ("case", "ranks")
    numbers: ClassVar[Mapping[str, About]] = {
        "crps": About(
            "CRPS, fair", note="Its mean does not depend on the size of the ensemble.",
            floor_of=_OTHERS,
        ),
        "crps_as_seeds": About(
            "CRPS of as many members as seeds",
            note="Ordinary, at equal size; the same score of the seeds themselves is named next.",
        ),
        "crps_of_seeds": About("CRPS of the seeds", "neither", note="Ordinary."),
        "energy_score": About("Energy score, fair", note="Of whole fields.", floor_of=_OTHERS),
        "variogram": About(
            "Variogram score, fair", note="Of pairs of points: sees their dependence.", floor_of=_OTHERS
        ),
        "spectral_gap": About(
            "Gap of spectra", note="Of power along the last axis: mean absolute log ratio.", floor_of=_OTHERS
        ),
        "error": About("Error of the ensemble mean", note="Root mean square."),
        "anomaly_correlation": About(
            "Anomaly correlation", "higher", note="Of the ensemble mean, over the points of a case."
        ),
        "spread_skill": About("Spread over skill", "neither", note="1 if reliable, less if overconfident."),
        "unreliability": About("Unreliability of ranks", note="0 for even ranks, 1 where all are the same."),
        "brier": About("Brier score of extremes, fair", note="Of anomalies beyond the deviations that are asked for."),
        "log_loss": About("Log loss of extremes", note="In nats; of ensembles of one size."),
        "bias": About("Bias of the ensemble mean", "neither", note="Signed, over all points."),
        "bias_left": About(
            "Bias beside that of the seeds", note="As a share; told where the seeds are biased beyond three errors."
        ),
        "copying": About(
            "Correlation with a seed", "neither", note="Of anomalies; of true members it is the floor.",
            floor_of=_OTHERS,
        ),
    }  # fmt: skip

    n_seeds: Count = 2
    """K."""
    members: Annotated[int, Ge(2)] = 31
    """N, at least K."""
    event: Positive = 2.0
    """An event is an anomaly beyond so many deviations of the climatology, to either side."""
    window: Annotated[int, Interval(ge=0, le=365)] = 0
    """Days of the climatology of events and units, as in the emulator."""
    scaled: bool | None = None
    """Divide by the deviation of the climatology: for several variables, whose units differ. None: where there are
    several."""
    seed: Whole = 1
    """Seed of the ensembles, of random ranks, and of the pairs of the variogram score."""

    def check_settings(self) -> None:
        """Refuse fewer members than seeds."""
        if self.members < self.n_seeds:
            raise asked.invalid(f"members must be at least n_seeds = {self.n_seeds}", self.members)

    def reads(self) -> Sequence[Role]:
        """What came, if it is known apart from the members."""
        about = "what came, one member for each case"
        return (Role(name="truth", kind="ensemble", axis="case", optional=True, about=about),)

    def measure(self, method: Method, task: Task) -> Measured:
        """Scores by case."""
        known = self._known(task)
        options: dict[str, Any] = with_seed(method, "emulate", self.seed)
        answer: Any = method
        drawn = answer.emulate(known.seeds, members=self.members, **options).x.double()
        x, y, seeds = (known.flat(part) for part in (drawn, known.truth, known.seeds.values.double()))
        y = y[:, 0]
        counts = rank_counts(x, y, generator=generator(self.seed, "ranks of ensembles")).sum(0)
        bias, seed_bias = (known.over_points(part.mean(1) - y) for part in (x, seeds))
        values: dict[str, Number] = {
            "crps": crps_of_cases(known.by_area(x), known.by_area(y), fair=True),
            "crps_as_seeds": crps_of_cases(known.by_area(x[:, : self.n_seeds]), known.by_area(y), fair=False),
            "crps_of_seeds": crps_of_cases(known.by_area(seeds), known.by_area(y), fair=False),
            "energy_score": energy_of_cases(known.by_area(x, 0.5), known.by_area(y, 0.5), fair=True),
            "variogram": known.variogram(x, y, self.seed),
            "error": _root(known.over_points((x.mean(1) - y).square())),
            "anomaly_correlation": known.correlation(x.mean(1), y),
            "spread_skill": spread_skill(known.by_area(x, 0.5), known.by_area(y, 0.5)),
            "unreliability": unreliability(counts),
            **self._events(x, y, known),
            "bias": bias,
            "copying": known.correlation(x[:, 0], seeds[:, 0]),
        }  # fmt: skip
        if (left := _share(bias, seed_bias)) is not None:
            values["bias_left"] = left
        spectra = known.spectra(drawn), known.spectra(known.truth)
        if (gap := spectral_gap(*spectra)) is not None:
            values["spectral_gap"] = gap
        arrays = {
            "ranks": counts, "crps": torch.as_tensor(values["crps"]), "drawn": drawn[0],
            "spectrum": spectra[0].mean(0)[0],
        }  # fmt: skip
        return Measured(values, arrays)

    def _events(self, x: Tensor, y: Tensor, known: "Known") -> dict[str, Number]:
        limit = self.event * known.flat_std
        events, came = (((part - known.flat_mean).abs() > limit).double() for part in (x, y))
        return {"brier": brier_of_cases(events, came, fair=True), "log_loss": log_loss_of_cases(events, came)}

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """Scores of the members that are neither seeds nor truth, where there are two and no analysis."""
        if "analysis" in task.values:
            return {}
        known = self._known(task)
        others = known.others.double()
        if others.shape[1] < 2:
            return {}
        x, y, seeds = (known.flat(part) for part in (others, known.truth, known.seeds.values.double()))
        scores = {
            "crps": crps_of_cases(known.by_area(x), known.by_area(y[:, 0]), fair=True),
            "energy_score": energy_of_cases(known.by_area(x, 0.5), known.by_area(y[:, 0], 0.5), fair=True),
            "variogram": known.variogram(x, y[:, 0], self.seed),
            "copying": known.correlation(x[:, 0], seeds[:, 0]),
        }
        found = {name: score_estimate(score, name) for name, score in scores.items() if len(score) > 1}
        gap = spectral_gap(known.spectra(others), known.spectra(known.truth))
        return found if gap is None else found | {"spectral_gap": gap}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """One case, ranks, spectra, and scores of method and rival case by case."""
        known = self._known(task)
        found = [case_figure(known.seeds[:1], known.truth[0, 0], own.arrays["drawn"])]
        found.append(ranks_figure({"the emulator": own.arrays["ranks"]} | _of(rivals, "ranks")))
        shown = {"what came": known.truth, "the seeds": known.seeds.values.double()}
        spectra = {name: known.spectra(fields).mean(0)[0] for name, fields in shown.items()}
        spectra |= {"the emulator": own.arrays["spectrum"]} | _of(rivals, "spectrum")
        found.append(spectra_figure(spectra, known.seeds.grid, half=not known.circle))
        if rivals and len(own.arrays["crps"]) > 1:
            found.append(paired_figure(own.arrays["crps"], _of(rivals, "crps")))
        return found

    def _known(self, task: Task) -> "Known":
        """Seeds, truth and the rest of the test part, and the climatology of the training part."""
        roles = (ensemble_role(), *self.reads())
        who = "emulated_ensembles"
        train, test = (self._read(roles, part, who) for part in (task.train, task.test))
        members, truth = test["ensemble"], test.get("truth")
        truth = None if truth is None else of_same_cases(who, members, truth, "truth")
        count, needed = members.values.shape[1], self.n_seeds + int(truth is None)
        if count < needed:
            rule = f"test cases must have {self.n_seeds} seeds" + (
                "" if truth is not None else " and one member as truth"
            )
            raise invalid(who, rule, f"{count} members")
        left = members.values[:, self.n_seeds :]
        climate = GridClimatology.fit(train["ensemble"], self.window, who=who)
        scaled = members.grid.shape[0] > 1 if self.scaled is None else self.scaled
        return Known(
            seeds=members.some_members(slice(self.n_seeds)),
            truth=(left[:, :1] if truth is None else truth.values[:, :1]).double(),
            others=left[:, 1:] if truth is None else left,
            moments=climate.at(members, who=who),
            scaled=scaled,
        )

    @staticmethod
    def _read(roles: Sequence[Role], part: Mapping[str, Any], who: str) -> dict[str, Gridded]:
        names = {role.name for role in roles}
        return read(roles, {name: value for name, value in part.items() if name in names}, who)[0]


@dataclass(frozen=True, kw_only=True)
class Known:
    """Test cases of a task.

    Attributes:
        seeds: The seeds.
        truth: What came, ``(B, 1, C, *G)`` float64.
        others: Members that are neither, ``(B, M, C, *G)``.
        moments: Mean and deviation of the climatology, ``(B or 1, 1, C, *G)``.
        scaled: Whether scores are in units of that deviation.
    """

    seeds: Gridded
    truth: Tensor
    others: Tensor
    moments: tuple[Tensor, Tensor]
    scaled: bool

    def flat(self, x: Tensor) -> Tensor:
        """``(B, M, C, *G)`` -> ``(B, M, D)``, in the units of the scores."""
        return (x / self.moments[1] if self.scaled else x).flatten(2)

    @property
    def flat_mean(self) -> Tensor:
        """Mean of the climatology, ``(B or 1, D)``, which broadcasts with members if there is one for all cases."""
        return self._moment(0)

    @property
    def flat_std(self) -> Tensor:
        """Its deviation."""
        return self._moment(1)

    def _moment(self, k: int) -> Tensor:
        return self.flat(self.moments[k])[:, 0]

    @property
    def weights(self) -> Tensor:
        """Share of the area of each entry, ``(D,)`` with mean 1."""
        area = self.seeds.grid.weights()
        return area.expand(self.seeds.grid.shape).reshape(-1)

    def by_area(self, x: Tensor, power: float = 1.0) -> Tensor:
        """Entries times weights: the CRPS is homogeneous, so that its mean becomes a weighted one; 0.5 for norms."""
        return x * self.weights**power

    def over_points(self, x: Tensor) -> Tensor:
        """Weighted mean over entries, ``(B, D)`` -> ``(B,)``."""
        return (x * self.weights).mean(1)

    def correlation(self, a: Tensor, b: Tensor) -> Tensor:
        """Correlation of the anomalies of two fields over their entries, ``(B, D)`` twice -> ``(B,)``."""
        first, second = ((x - self.flat_mean) / self.flat_std for x in (a, b))
        return correlation_of_cases(first, second, self.weights)

    def variogram(self, x: Tensor, y: Tensor, seed: int) -> Tensor:
        """Variogram score of members ``(B, M, D)`` against ``(B, D)``, pairs weighed by the areas of their points."""
        count = x.shape[2]
        pairs = torch.triu_indices(count, count, 1) if count * (count - 1) <= 2 * _PAIRS else None
        if pairs is None:
            source = generator(seed, "pairs of points")
            first = torch.randint(count, (_PAIRS,), generator=source)
            pairs = torch.stack(
                [first, (first + torch.randint(1, count, (_PAIRS,), generator=source)) % count]
            )
        if not pairs.shape[1]:
            return torch.zeros(len(x), dtype=torch.float64)
        weights = self.weights[pairs[0]] * self.weights[pairs[1]]
        return variogram_of_cases(x, y, pairs, weights, fair=x.shape[1] > 1)

    @property
    def circle(self) -> bool:
        """Whether the last axis of the grid closes."""
        return self.seeds.grid.edges()[-1] == "periodic"

    def spectra(self, x: Tensor) -> Tensor:
        """Power by wavenumber along the last axis, mean over members and rows, ``(B, M, C, *G)`` -> ``(B, C, K)``."""
        power = power_spectrum(x, periodic=self.circle).mean(1)
        if power.ndim == 3:
            return power
        return (power * self.seeds.grid.weights()[:, :1]).mean(2)


def _root(squares: Tensor) -> Estimate:
    """Root of a mean over cases, with its error by the delta method."""
    square = (
        score_estimate(squares, "error")
        if len(squares) > 1
        else Estimate(float(squares.mean()), 0.0, 1, "error")
    )
    root = square.value**0.5
    return Estimate(root, square.error / (2 * root) if root else 0.0, square.n, "error")


def _share(bias: Tensor, seeds: Tensor) -> Estimate | None:
    """``|mean bias| / |mean bias of the seeds|`` with its error over cases; None where the seeds may have no bias."""
    n = len(bias)
    if n < 2 or float(seeds.mean().abs()) < 3 * float(seeds.std()) / n**0.5:
        return None
    ratio = float(bias.mean() / seeds.mean())
    error = float((bias - ratio * seeds).std() / seeds.mean().abs()) / n**0.5
    return Estimate(abs(ratio), error, n, "bias left")


def _of(rivals: Mapping[str, Measured], name: str) -> dict[str, Tensor]:
    return {key.replace("_", " "): one.arrays[name] for key, one in rivals.items()}
