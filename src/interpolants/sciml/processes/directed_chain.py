"""Generator of paths from a chain of stochastic differential equations, each driven by the path before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Answer, Count, Each, NonNegative
from interpolants.foundations.randomness import BLOCK, by_block, generator
from interpolants.framework.capabilities import NotAbleError, capability
from interpolants.framework.role import Role
from interpolants.framework.series import listed
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.series import series_role
from interpolants.nets.perceptron import Perceptron
from interpolants.sciml.processes.chain_paths import (
    next_link,
    other_paths,
    resampled,
    windows_of,
)
from interpolants.sciml.processes.signature_loss import ExpectedSignature, energy_distances
from interpolants.training.pairs import finished

# Paths that differ by less than this share of their spread at a time (their start) are the same there.
_LEAST_SPREAD = 1e-3
# Sines and cosines of time that the networks see: a day has hours.
_HARMONICS = 3


class DirectedChainGenerator(Trained):
    """``dX = V_0(t, X, X~) dt + V(t, X, X~) dB``: a path X that is driven by a real one, its neighbour X~.

    V_0 and V are networks. X begins at the start of another real path, and B is new, so that all that X shares with
    its neighbour passes through the equation. The networks are trained until X has the law of the data, by its expected
    signature (averages of iterated integrals of the path up to a depth) and by energy distances. As X and X~ then have
    one law, X can be the neighbour of a next path. ``sample`` walks along this chain, which keeps the law and forgets
    the real path it began at::

        model = DirectedChainGenerator(window=24).fit(series)   # windows of one series; each of a list is a path
        model.sample(1000)                                      # (1000, 24, C), five links from real windows
        model.transport(paths, links=1)                         # the link that follows given paths

    Raises:
        InvalidInputError: If a setting is out of range, or when fitted, paths are too few, too short, of different
            length, constant, or have gaps that are refused.

    Source: Min, Hu & Ichiba (2023), arXiv:2304.13131. Ours: entries of signatures in units of their spread, a distance
    without bias, energy distances in place of a critic, starts of paths that do not overlap with the neighbour,
    strengths in units of the increments of the data.
    """

    noun: ClassVar[str] = "generator"
    only_cpu: ClassVar[str] = "its steps are small and one after the other"

    neighbour: bool = True
    """With the neighbour; False is the plain equation, whose start alone is real."""
    window: Annotated[int, Ge(2)] | None = None
    """Times of a path that is cut from longer series; None takes each series as a path."""
    stride: Count = 1
    """Times from the start of one window to that of the next. Windows that overlap are never paired."""
    gaps: Literal["refuse", "linear", "skip"] = "refuse"
    """``"linear"`` fills gaps by straight lines; ``"skip"`` leaves windows with gaps out."""
    relative: bool = False
    """Measure each path from its first value, for prices and other levels that wander: samples begin at 0."""
    standardise: Literal["times", "paths"] = "times"
    """``"times"``: each time of a path in units of its own spread, as the hours of days need; or ``"paths"``: one unit
    for all times, as paths need that spread from where they begin."""
    loss: Literal["signature", "energy", "both"] = "both"
    """``"signature"``, as published; ``"energy"``, energy distances of values, paths and increments, which also see
    peaks; or ``"both"``."""
    depth: Count = 4
    """Levels of the signature. C columns to depth m are ``sum_k (C + 1)^k`` numbers, at most 131,072. Two peaks need a
    depth of 4 or more."""
    weights: tuple[NonNegative, ...] = ()
    """Weight of each level; 1 if none are given. Entries are in units of their spread over the data."""
    noise: Count = 3
    """Brownian motions of a path."""
    hidden: Annotated[tuple[Count, ...], Each("every width")] = (64, 64)
    """Widths of both networks."""
    links: Answer[Count] = 5
    """Links that ``sample`` walks; take as many as the question ``chain_independence`` finds necessary. With one link a
    path still resembles the real one it began at."""
    steps = 600
    batch_size: Annotated[int, Ge(2)] = 256
    lr = 3e-3
    ema = 0.99

    def check_settings(self) -> None:
        """Refuse weights that are not those of the levels."""
        if self.weights and len(self.weights) != self.depth:
            raise invalid(f"weights must have one entry per level, {self.depth}", len(self.weights))

    def roles(self) -> tuple[Role, ...]:
        """A series that is cut into windows, or many."""
        return (series_role(),)

    def fit(self, series: Any, **options: Any) -> Self:
        """Learn from paths.

        Args:
            series: A list of series or an array ``(N, T, C)``, each a path; with ``window`` also a DataFrame or pandas'
                Series with dates, or an array ``(T,)`` or ``(T, C)``.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(series, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Both networks, by one gradient loop on the distance of a batch of links from the data."""
        windows = windows_of(listed(data["series"]), self.window, self.stride, self.gaps)
        units = PathUnits.of(windows.values, self.standardise, relative=self.relative)
        paths = units.encode(windows.values)
        target = None if self.loss == "energy" else ExpectedSignature.of(paths, self.depth, self.weights)
        columns = paths.shape[2]
        inputs = 1 + 2 * _HARMONICS + columns * (1 + self.neighbour)
        outputs = {"drift": columns, "strength": columns * self.noise}
        seeds = torch.randint(2**31, (2,), generator=generator(self.seed, "networks of a chain")).tolist()
        nets = nn.ModuleDict(
            {
                name: Perceptron(inputs, outputs[name], self.hidden, activation="silu", seed=seed)
                for name, seed in zip(outputs, seeds, strict=True)
            }
        )
        chain = Chain(nets, units.roughness.float(), self.neighbour)
        batches = PathBatches(paths, windows.apart, self.batch_size)
        result = run.train("chain", nets, _Loss(chain, target, self), batches, self.training())
        kept = {name: finished(net, result, prefix=f"{name}.") for name, net in nets.items()}
        return {**kept, "units": units.parts(), "paths": paths, "apart": windows.apart}

    # --- answers

    def cannot(self, verb: str) -> str:
        """A plain equation has no neighbours."""
        return (
            "a plain equation (neighbour=False) follows no path"
            if verb == "transport" and not self.neighbour
            else ""
        )

    @property
    def chain(self) -> "Chain":
        """The equation with what was learnt, in standardised units."""
        state = self.fitted_state("chain")
        nets = nn.ModuleDict({name: state[name] for name in ("drift", "strength")})
        return Chain(nets, PathUnits(**state["units"]).roughness.float(), self.neighbour)

    @capability()
    def sample(
        self,
        /,
        n: Count,
        *,
        ancestors: bool = False,
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Any:
        """Paths ``(n, T, C)`` in data units, at the end of a walk from real ones; path i belongs to (seed, i).

        Args:
            n: Number of paths.
            ancestors: Return the real paths too that the walks began at: a mapping with the paths ``x``, the
                ``ancestors (n, T, C)``, and their ``places (n,)`` among the windows of the fit, counted from 0.
            seed: Seed of neighbours, starts and noise.
            first_index: Index of the first path in a larger job.
            settings: Settings of answers, for this call.
        """
        state, draws = self.state, _Draws(seed, first_index, n)
        windows = len(state["paths"])
        index = draws.index("ancestors of a chain", windows)
        near = draws.index("first starts of a chain", windows - 2 * state["apart"] + 1)
        first = state["paths"][(index + state["apart"] + near) % windows, 0]
        paths = self._links(state["paths"][index], self.links if self.neighbour else 1, draws, first)[-1]
        units = PathUnits(**state["units"])
        if not ancestors:
            return units.decode(paths)
        if reason := self.cannot("transport"):
            raise NotAbleError(f"{who()}: {reason}, so that a path has no ancestor")
        return {"x": units.decode(paths), "ancestors": units.decode(state["paths"][index]), "places": index}

    @capability(reads={"x": "series"})
    def transport(self, x: Any, *, links: Count = 1, resample: bool = False, seed: int = 0) -> Tensor:
        """Paths ``(B, T, C)`` that follow given ones along the chain, in data units.

        Args:
            x: Paths with the times of the model: a series or several, without gaps, or with such as the settings fill.
            links: Links from them.
            resample: Put paths with another number of times on those of the model, by straight lines.
            seed: Seed of starts and noise.

        Raises:
            InvalidInputError: If paths have gaps that are refused, or another number of times.
        """
        length, columns = self.state["paths"].shape[1:]
        gaps = "refuse" if self.gaps == "skip" else self.gaps
        rows = [windows_of([one, one], None, 1, gaps).values[:1] for one in listed(x)]
        paths = torch.cat([resampled(row, length, resample) for row in rows])
        if paths.shape[2] != columns:
            raise invalid(f"paths must have {columns} columns", paths.shape[2])
        return self.walk(paths, links, seed=seed)[-1]

    def walk(self, paths: Tensor, links: int, *, seed: int = 0) -> list[Tensor]:
        """Each of the links that follow paths ``(B, T, C)``, all in data units.

        Args:
            paths: Paths at the times of the model.
            links: Number of links.
            seed: Seed of starts and noise.
        """
        whole(who(), "links", links, at_least=1)
        state = self.fitted_state("walk")
        if reason := self.cannot("transport"):
            raise NotAbleError(f"{who()}: {reason}")
        if paths.shape[1:] != state["paths"].shape[1:]:
            raise invalid(
                f"paths must be (B, T, C) with {tuple(state['paths'].shape[1:])}", tuple(paths.shape)
            )
        units = PathUnits(**state["units"])
        found = self._links(units.encode(paths.double()), links, _Draws(seed, 0, len(paths)), None)
        return [units.decode(one) for one in found]

    @torch.no_grad()
    def _links(self, paths: Tensor, links: int, draws: "_Draws", first: Tensor | None) -> list[Tensor]:
        """The links that follow paths, in standardised units."""
        state, chain, found = self.state, self.chain, []
        for link in range(links):
            if link or first is None:
                first = state["paths"][draws.index(("starts of a chain", link), len(state["paths"])), 0]
            noise = draws.normal(("noise of a chain", link), (paths.shape[1] - 1, self.noise))
            paths = chain.follow(paths, first, noise.unbind(1))
            found.append(paths)
        return found


class Chain:
    """The equation of a link.

    Args:
        nets: ``drift`` of time, state and neighbour, and ``strength``.
        roughness: Size of the increments of the data over unit time, ``(C,)``: the unit of the strength.
        neighbour: Whether they see the neighbour.
    """

    def __init__(self, nets: nn.ModuleDict, roughness: Tensor, neighbour: bool) -> None:
        self.nets, self.roughness, self.neighbour = nets, roughness, neighbour

    def follow(self, paths: Tensor, start: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        """The next link ``(B, T, C)`` of paths, from starts ``(B, C)`` and normal draws ``(B, m)`` by step."""
        beside = paths if self.neighbour else None
        return next_link(self._drift, self._strength, beside, start, noise, paths.shape[1])

    def _inputs(self, t: Tensor, x: Tensor, beside: Tensor | None) -> Tensor:
        turns = 2 * torch.pi * t * torch.arange(1, _HARMONICS + 1, device=t.device)
        time = torch.cat([2 * t[None] - 1, turns.sin(), turns.cos()]).to(x).expand(len(x), -1)
        return torch.cat([time, x] if beside is None else [time, x, beside], 1)

    def _drift(self, t: Tensor, x: Tensor, beside: Tensor | None) -> Tensor:
        found: Tensor = self.nets["drift"](self._inputs(t, x, beside))
        return found

    def _strength(self, t: Tensor, x: Tensor, beside: Tensor | None) -> Tensor:
        found = self.nets["strength"](self._inputs(t, x, beside)).unflatten(1, (x.shape[1], -1))
        strength: Tensor = found * (self.roughness / found.shape[2] ** 0.5)[:, None]
        return strength


@dataclass(frozen=True)
class PathUnits:
    """``(x - shift) / scale`` by time and column, of paths that may be measured from their first value.

    Attributes:
        shift: ``(T, C)``: mean over paths, or over paths and times.
        scale: ``(T, C)``: standard deviation over paths; that over all times too where paths do not differ at one.
        roughness: ``(C,)``: root mean square of standardised increments, over unit time.
        relative: Whether paths are measured from their first value.
    """

    shift: Tensor
    scale: Tensor
    roughness: Tensor
    relative: bool

    @classmethod
    def of(cls, paths: Tensor, by: str, *, relative: bool) -> Self:
        """Of paths ``(N, T, C)``, by ``"times"`` or ``"paths"``.

        Raises:
            InvalidInputError: If a column is the same for all paths.
        """
        paths = paths - paths[:, :1] if relative else paths
        shift = paths.mean(0) if by == "times" else paths.mean((0, 1)).expand_as(paths[0]).contiguous()
        scale = (paths - shift).square().mean(0).sqrt()
        whole_path = scale.square().mean(0).sqrt().expand_as(scale)
        if not bool((whole_path > 1e-12 * paths.abs().amax((0, 1)).clamp_min(1e-300)).all()):
            column = int(whole_path[0].argmin())
            raise invalid("paths must differ", f"column {column} is the same in all", "Leave it out.")
        scale = torch.where((scale > _LEAST_SPREAD * whole_path) & (by == "times"), scale, whole_path)
        steps = ((paths - shift) / scale).diff(dim=1).square().mean((0, 1)) * (paths.shape[1] - 1)
        return cls(shift, scale, steps.sqrt(), relative)

    def parts(self) -> dict[str, Any]:
        """As the state holds it."""
        return dict(vars(self))

    def encode(self, paths: Tensor) -> Tensor:
        """Data to standardised units, float32."""
        paths = paths - paths[:, :1] if self.relative else paths
        return ((paths - self.shift) / self.scale).float()

    def decode(self, paths: Tensor) -> Tensor:
        """Back, float64."""
        return paths.double() * self.scale + self.shift


@dataclass(frozen=True)
class PathBatches:
    """Neighbours of a step and the starts of other paths; the batch is a function of the step's generator alone."""

    paths: Tensor
    apart: int
    size: int

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> Mapping[str, Tensor]:
        """``neighbour (B, T, C)``, ``start (B, C)``, and ``real (B, T, C)``, other paths to be compared with."""
        count = max(2, self.size // world)
        index, real = torch.randint(len(self.paths), (2, count), generator=generator)
        others = other_paths(index, len(self.paths), self.apart, generator)
        return {"neighbour": self.paths[index], "start": self.paths[others, 0], "real": self.paths[real]}


class _Loss:
    """Distances of a batch of links from the data, in the form that the training loop calls."""

    def __init__(
        self, chain: Chain, target: ExpectedSignature | None, settings: DirectedChainGenerator
    ) -> None:
        self.chain, self.target, self.settings = chain, target, settings

    def __call__(self, nets: Any, batch: Mapping[str, Tensor], generator: Generator) -> dict[str, Tensor]:
        """One number of the batch for each distance."""
        chain = Chain(nets, self.chain.roughness, self.chain.neighbour)
        paths = batch["neighbour"]
        shape = paths.shape[1] - 1, len(paths), self.settings.noise
        noise = torch.randn(shape, dtype=paths.dtype, generator=generator)
        made = chain.follow(paths, batch["start"], noise.unbind(0))
        found = {} if self.target is None else {"signature": self.target.distance(made)}
        if self.settings.loss != "signature":
            found["energy"] = energy_distances(made, batch["real"], chain.roughness)
        return found


@dataclass(frozen=True)
class _Draws:
    """Random numbers by row: row i is a function of (seed, stream, i)."""

    seed: int
    first: int
    count: int

    def index(self, stream: Any, most: int) -> Tensor:
        """Whole numbers below ``most``, ``(count,)``."""

        def draw(source: Generator) -> Tensor:
            return torch.randint(most, (BLOCK,), generator=source)

        return self._rows(draw, stream)

    def normal(self, stream: Any, shape: tuple[int, ...]) -> Tensor:
        """Standard normal draws, ``(count, *shape)`` float32."""

        def draw(source: Generator) -> Tensor:
            return torch.randn(BLOCK, *shape, dtype=torch.float32, generator=source)

        return self._rows(draw, stream)

    def _rows(self, draw: Any, stream: Any) -> Tensor:
        words = stream if isinstance(stream, tuple) else (stream,)
        return by_block(draw, self.seed, words, first=self.first, count=self.count)
