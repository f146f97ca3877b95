"""Functional Bayesian Tucker decomposition: tensors whose indices are real numbers, with uncertainty."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid, part, who
from interpolants.foundations.kinds import Count, NonNegative, OneOf, OneOrEach, Positive, Remedy
from interpolants.foundations.randomness import BLOCK
from interpolants.foundations.tell import OutsideWarning, tell
from interpolants.framework.answers import JointRows, Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.kernels.matern import SMOOTHNESS, Matern
from interpolants.sciml.gp.kernels.markov_chain import ChainPosterior
from interpolants.sciml.gp.latent_functions import LatentMode, LevelPosterior, start_mode
from interpolants.sciml.gp.mode_settings import ModeSettings, per_mode
from interpolants.sciml.gp.tucker_posterior import (
    NoisePrior,
    TuckerPosterior,
    sums_of,
    sweep,
    update_core,
)
from interpolants.sciml.gp.tucker_sums import Entries, contracted

# Largest core: its second moments alone take 128 MiB.
LARGEST_CORE = 4096
# First lengthscale where none is given, as a share of the range of the coordinates.
_FIRST_SHARE = 0.3
# Rounds after which starts are compared.
_TRIAL = 10


class FunctionalTucker(Method):
    """Tensor with continuous indices: ``y = sum_r W_r prod_k u^k_rk(x_k) + noise``, all unknowns with a posterior.

    ::

        model = FunctionalTucker(ranks=[2, 3, 3]).fit(points, values)     # points (N, K), values (N,)
        answer = model.predict(new_points)                                # .mean, .std, .quantile(0.95)

    Each column of ``points`` is a mode of the tensor, each row an entry that was observed. Mode k has R_k functions
    ``u^k_r``, independent Matern processes of variance 1 over the coordinate (or independent numbers for the levels of
    a discrete mode); the core has the prior N(0, 1), or is diagonal with ones (``core="diagonal"``, CP decomposition).
    The posterior is ``q(core) q(noise) prod_k q(U^k)``, improved factor by factor, each exactly given the others, so
    that the bound of the evidence rises with every sweep. Processes are inferred as Markov chains: time grows linearly
    with entries and with different coordinates. Everything is float64.

    Raises:
        InvalidInputError: If a setting does not fit, when fitted also if there are fewer than two entries, values that
            are no column of numbers, or a core that is too large (with its memory).

    Source: Fang, Yu, Wang, Li, Kirby & Zhe (2024), arXiv:2311.04829, whose model this is. They infer by conditional
    expectation propagation with damping; for this model its fixed point is that of the coordinate ascent used here,
    which keeps all second moments and needs no damping.
    """

    only_cpu: ClassVar[str] = "its filters over states are written in NumPy"
    noun: ClassVar[str] = "tensor decomposition"
    free: ClassVar[tuple[str, ...]] = ("checkpoint_every",)

    ranks: OneOrEach[Count] = field(default=3, kw_only=False)
    """Number of functions, for all modes or one each. A full core needs ``prod ranks <= 4096``, a diagonal one the same
    number for all."""
    modes: OneOrEach[Literal["auto", "continuous", "discrete"]] = "auto"
    """For all modes or one each; ``"auto"``: columns of words are discrete, all others continuous."""
    smoothness: OneOrEach[Annotated[float, OneOf(lambda: SMOOTHNESS)]] = 1.5
    """Of the processes, for all modes or one each."""
    lengthscales: Annotated[
        OneOrEach[Literal["auto"] | Positive], Remedy("Or leave it to the fit: 'auto'.")
    ] = "auto"
    """In units of the coordinate (days for dates), for all modes or one each; ``"auto"`` is chosen by the bound of the
    evidence. Discrete modes need none."""
    core: Literal["full", "diagonal"] = "full"
    """A diagonal one is of ones: the CP decomposition."""
    noise: Annotated[Literal["auto"] | Positive, Remedy("Or leave it to the fit: noise='auto'.")] = "auto"
    """Standard deviation of the noise in units of the values; ``"auto"`` is learnt."""
    rounding: OneOrEach[NonNegative] = 0.0
    """Coordinates are rounded to multiples of this, for all modes or one each; 0 merges equal ones only. Many nearly
    equal coordinates cost time and tell nothing."""
    unseen: Literal["refuse", "prior"] = "refuse"
    """What predictions are at a level of a discrete mode without data."""
    spread: Literal["model", "held"] = "model"
    """``"model"``, or ``"held"``: standard deviations of predictions are multiplied by one factor, for which held-out
    rows are most probable. Give rows like those to be predicted, such as all those of some places (``fit(...,
    held=...)``, or a split by group with ``held``): the factors of the posterior are independent, which makes
    predictions far from all data too sure."""
    starts: Count = 4
    """Random starts; the one whose bound is highest after ten rounds is continued. A single one may end in a poor local
    optimum."""
    sweeps: Count = 100
    """Most rounds through all factors after that."""
    stop: NonNegative = 1e-5
    """A round that raises the bound by less than this, per entry and in nats, is the last."""
    checkpoint_every: Count = 10
    """Rounds between checkpoints."""

    def check_settings(self) -> None:
        """Refuse a diagonal core with ranks that differ."""
        if self.core == "diagonal" and isinstance(self.ranks, tuple) and len(set(self.ranks)) > 1:
            remedy = f"Use ranks={max(self.ranks)} for all modes, or core='full'."
            raise invalid("a diagonal core needs the same rank in all modes", list(self.ranks), remedy)

    def roles(self) -> tuple[Role, ...]:
        """Coordinates of the entries, and their values."""
        points = Role(
            name="points", exact=True, words=True, about="Coordinates of entries, one mode a column."
        )
        return points, Role(name="values", exact=True, about="Values of the entries, one column.")

    # --- fit

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Sweeps until the bound rises no more; then the factor of the spread."""
        values = data["values"]
        if self.spread == "held" and not run.held:
            remedy = "fit(..., held={'points': ..., 'values': ...}), or held = 0.2 in the split of a recipe."
            raise invalid("spread='held' needs held-out rows", "none", remedy)
        settings = self._mode_settings(data["points"], values)
        centre, scale = float(values.mean()), float(values.std()) or 1.0
        prior = NoisePrior() if self.noise == "auto" else NoisePrior(known=(scale / float(self.noise)) ** 2)
        fit = _Fit.of(
            settings, data["points"], (values[:, 0] - centre) / scale, prior, self.core == "diagonal"
        )
        enough = self.stop * len(values)
        first = run.loop("starts", lambda source: None, fit.better, self.starts, every=1)
        found: TuckerPosterior = run.loop(
            "sweeps",
            lambda source: first,
            lambda q, k, source: sweep(q, fit.entries, prior),
            self.sweeps,
            every=self.checkpoint_every,
            until=lambda q: q.change < enough,
            log=lambda q: {"negative_bound": -q.bound},
            log_every=1,
        )
        state = {"posterior": found, "centre": centre, "scale": scale}
        return {**state, "widening": self._widening(state, run.held) if self.spread == "held" else 1.0}

    def _widening(self, state: Mapping[str, Any], held: Mapping[str, Tensor]) -> float:
        """Factor of the standard deviations for which held-out values are most probable."""
        q, points = state["posterior"], held["points"]
        for k, mode in enumerate(q.modes):
            if isinstance(mode.posterior, LevelPosterior):
                strange = points[~torch.isin(points[:, k], mode.posterior.places), k]
                with part("held"):
                    self._check_levels(k, strange)
        parts = [
            torch.stack(_standardised(q, block, noise=True))[:, :count] for block, count in _blocks(points)
        ]
        mean, variance = torch.cat(parts, 1)
        gap = (held["values"][:, 0] - state["centre"]) / state["scale"] - mean
        return float((gap.square() / variance).mean().sqrt())

    def _mode_settings(self, points: Tensor, values: Tensor) -> list[ModeSettings]:
        """Settings of each mode, checked against the data."""
        if points.ndim != 2 or values.shape[1:] != (1,):
            shapes = f"points {tuple(points.shape)}, values {tuple(values.shape)}"
            raise invalid("points must have shape (N, K), values (N,) or (N, 1)", shapes)
        if len(points) < 2:
            raise invalid("points must have at least two rows", len(points))
        count = points.shape[1]
        names = ("ranks", "modes", "smoothness", "lengthscales", "rounding")
        rows = zip(*(per_mode(name, getattr(self, name), count) for name in names), strict=True)
        forms = self.given["points"].forms or ("",) * count
        found = [
            ModeSettings.of(k, form, *row) for k, (form, row) in enumerate(zip(forms, rows, strict=True))
        ]
        size = math.prod(mode.rank for mode in found)
        if self.core == "full" and size > LARGEST_CORE:
            rule = f"a full core must have at most {LARGEST_CORE} entries"
            ranks, memory = " x ".join(str(mode.rank) for mode in found), 8 * size**2 / 2**30
            got = f"{ranks} = {size}, whose second moments take {memory:.1f} GiB"
            raise invalid(rule, got, "Lower the ranks, or use core='diagonal'.")
        return found

    # --- what was found

    @property
    def posterior(self) -> TuckerPosterior:
        """The posterior of functions, core and noise, for standardised values."""
        found: TuckerPosterior = self.fitted_state("posterior")["posterior"]
        return found

    @property
    def found_lengthscales(self) -> list[float]:
        """Lengthscale of each mode in units of its coordinate; NaN for discrete ones."""
        modes = [mode.posterior for mode in self.posterior.modes]
        return [mode.lengthscale if isinstance(mode, ChainPosterior) else math.nan for mode in modes]

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise, in units of the values."""
        return float(self.fitted_state("noise_std")["scale"] * self.posterior.noise_precision**-0.5)

    # --- answers

    @capability(reads={"x": "points"}, like="values")
    def predict(self, x: Tensor, *, noise: bool = True, joint: bool = False) -> Predictive:
        """Distribution of the value at each point: a Gaussian with the posterior's mean and variance.

        Outside the coordinates of the fit, predictions return to the prior within a few lengthscales, and their
        standard deviation says so; farther out than one lengthscale an `OutsideWarning` tells of it.

        Args:
            x: Coordinates, ``(B, K)``.
            noise: Of a measurement, with its noise; else of the value itself.
            joint: One distribution of all points together instead of one for each: the Gaussian with the posterior's
                mean and covariance.
        """
        self._check_places(x)
        scale, q = self.state["scale"], self.posterior
        wide = scale * self.state.get("widening", 1.0)
        parts = []
        for block, count in _blocks(x):
            mean, variance = _standardised(q, block, noise=noise)
            loc = self.state["centre"] + scale * mean
            parts.append(_gaussian(loc[:count, None], wide * variance[:count, None].sqrt()))
        answer = Predictive.joined(parts)
        if not joint:
            return answer
        variance = (answer.scale[0, :, 0] / wide).square()
        return replace(answer, joint=JointRows.of(_covariance(q, x)[None], variance[None]))

    @capability(reads={"x": "points"})
    def encode(self, x: Tensor) -> Predictive:
        """Latent functions of all modes at the coordinates of each point, one column each, ``(B, sum ranks)``.

        They are determined up to an invertible change of basis that the core undoes.

        Args:
            x: Coordinates, ``(B, K)``.
        """
        self._check_places(x)
        parts = []
        for block, count in _blocks(x):
            moments = [mode.posterior.at(block[:, k]) for k, mode in enumerate(self.posterior.modes)]
            mean = torch.cat([m for m, _ in moments], 1)
            variance = torch.cat([v.diagonal(dim1=1, dim2=2) for _, v in moments], 1)
            parts.append(_gaussian(mean[:count], variance[:count].clamp_min(0).sqrt()))
        return Predictive.joined(parts)

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Points are compared in lengthscales, which are finer."""
        return "" if argument == "x" else super().likened(verb, argument, options)

    def _check_places(self, x: Tensor) -> None:
        """Refuse levels without data, and tell of points far outside."""
        far = torch.zeros(len(x), dtype=torch.bool)
        for k, mode in enumerate(self.posterior.modes):
            places, column = mode.posterior.places, x[:, k]
            if isinstance(mode.posterior, LevelPosterior):
                self._check_levels(k, column[~torch.isin(column, places)])
            else:
                reach = mode.posterior.lengthscale
                far |= (column < places[0] - reach) | (column > places[-1] + reach)
        if bool(far.any()):
            told = f"{who()}: {int(far.sum())} of {len(x)} points lie more than a lengthscale outside the "
            told += (
                f"coordinates of the fit (row {int(far.nonzero()[0])} first); they get little but the prior"
            )
            tell(OutsideWarning, told)

    def _check_levels(self, mode: int, strange: Tensor) -> None:
        if len(strange) and self.unseen == "refuse":
            columns = self.given["points"].columns
            name = repr(str(columns[mode])) if columns else f"number {mode + 1}"
            shown = ", ".join(f"{level:g}" for level in sorted(set(strange.tolist()))[:5])
            remedy = "Make the mode continuous, or use unseen='prior' to get the prior there."
            rule = f"mode {name} is discrete, and its levels must be in the fit"
            raise invalid(rule, shown, remedy)


@dataclass(frozen=True)
class _Fit:
    """The entries of a fit with the settings of their modes."""

    settings: Sequence[ModeSettings]
    places: Sequence[Tensor]
    entries: Entries
    prior: NoisePrior
    diagonal: bool

    @classmethod
    def of(
        cls, settings: Sequence[ModeSettings], points: Tensor, y: Tensor, prior: NoisePrior, diagonal: bool
    ) -> Self:
        """Merge equal coordinates."""
        merged = [mode.merged(points[:, k]) for k, mode in enumerate(settings)]
        places = [known for known, _ in merged]
        index = torch.stack([where for _, where in merged], 1)
        return cls(settings, places, Entries(index, y, tuple(map(len, places))), prior, diagonal)

    def start(self, source: Generator) -> TuckerPosterior:
        """Random functions, and the best core for them."""
        modes = [_random(mode, known, source) for mode, known in zip(self.settings, self.places, strict=True)]
        d = math.prod(mode.rank for mode in self.settings)
        prior = self.prior.known
        q = TuckerPosterior(
            modes=modes,
            core_mean=None if self.diagonal else torch.zeros(d, dtype=torch.float64),
            core_covariance=None if self.diagonal else torch.eye(d, dtype=torch.float64),
            noise_shape=1.0 if prior is None else prior,
            noise_rate=1.0 if prior is None else 0.0,
        )
        return update_core(q, sums_of(q, self.entries))

    def better(self, best: TuckerPosterior | None, k: int, source: Generator) -> TuckerPosterior:
        """Another start after a few rounds, where its bound is higher than that of the best so far."""
        q = self.start(source)
        for _ in range(_TRIAL):
            q = sweep(q, self.entries, self.prior)
        return q if best is None or q.bound > best.bound else best


def _random(mode: ModeSettings, known: Tensor, source: Generator) -> LatentMode:
    """A mode with random functions; its first lengthscale is a share of the range of its coordinates."""
    noise = torch.randn(len(known), mode.rank, dtype=torch.float64, generator=source)
    span = float(known[-1] - known[0]) or 1.0
    scale = _FIRST_SHARE * span if mode.lengthscale is None else mode.lengthscale
    kernel = None if mode.discrete else Matern(mode.smoothness)
    fixed = mode.lengthscale is not None or len(known) == 1
    return start_mode(known, 0.5 + 0.5 * noise, kernel, scale, fixed=fixed)


def _standardised(q: TuckerPosterior, x: Tensor, *, noise: bool) -> tuple[Tensor, Tensor]:
    """Mean and variance of standardised values at points, ``(B,)`` each."""
    moments = [mode.posterior.at(x[:, k]) for k, mode in enumerate(q.modes)]
    second = [v + m[:, :, None] * m[:, None, :] for m, v in moments]
    mean, square = contracted([m for m, _ in moments], second, q.core)
    variance = (square - mean.square()).clamp_min(torch.finfo(torch.float64).tiny)
    return mean, variance + 1 / q.noise_precision if noise else variance


def _covariance(q: TuckerPosterior, x: Tensor) -> Tensor:
    """Covariance of standardised values without noise at each two of the points, ``(B, B)``."""
    means = [mode.posterior.at(x[:, k])[0] for k, mode in enumerate(q.modes)]
    across = [mode.posterior.between(x[:, k]) for k, mode in enumerate(q.modes)]
    found, core = [], q.core
    for i in range(
        len(x)
    ):  # of one row with all at a time: moments of all pairs at once would fill the memory
        ones = [m[i].expand_as(m) for m in means]
        second = [c[i] + m[i, :, None] * m[:, None, :] for m, c in zip(means, across, strict=True)]
        found.append(contracted(ones, second, core)[1])
    mean = contracted(means, [m[:, :, None] * m[:, None, :] for m in means], core)[0]
    return torch.stack(found) - torch.outer(mean, mean)


def _gaussian(mean: Tensor, std: Tensor) -> Predictive:
    return Predictive(loc=mean[None], scale=std[None])


def _blocks(x: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Rows in blocks of 64, the last one filled up with its first row, and how many of each are asked for."""
    for block in torch.split(x, BLOCK):
        short = BLOCK - len(block)
        yield torch.cat([block, block[:1].expand(short, -1)]), len(block)


__all__ = ["FunctionalTucker"]
