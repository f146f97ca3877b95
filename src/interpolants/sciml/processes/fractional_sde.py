"""Variational inference for a latent state that is driven by noise with memory."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import number, one_of
from interpolants.foundations.kinds import Count, Each, NonNegative
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.series import STEPS, Series, listed
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.series import over_time, series_role
from interpolants.sciml.processes.fractional_model import LEAST_NOISE, FractionalModel, Grid, ModelSettings
from interpolants.sciml.processes.fractional_paths import (
    continued,
    free_paths,
    steered,
    warn_of_poor_control,
    with_noise,
)
from interpolants.sciml.processes.guided_paths import Paths
from interpolants.sciml.processes.kernels.markov_fractional import OpenShare, unit_scale
from interpolants.sciml.processes.linear_fit import best_linear, hurst_error
from interpolants.sciml.processes.series_windows import (
    Units,
    WindowBatches,
    check_series,
    check_times,
    median_gap,
    on_steps,
    warn_at_edge,
    windows_of,
)


class FractionalSDE(Trained):
    """A latent state with noise of Hurst index H, its drift and H learnt from series with gaps and noise.

    ``dX = b(X) dt + sigma dB``, ``y_i = X(t_i) + noise e_i``. B is fractional Brownian motion of variance 1 at
    time 1: rough for H < 1/2, persistent for H > 1/2. It is approximated by the weighted sum of ``modes``
    Ornstein-Uhlenbeck states Y that one Brownian motion W drives, so that (X, Y) is Markov. Given the data, dW
    becomes ``u(t, X, Y) dt + dW``, and the bound ``E[sum_i log p(y_i | X) - int u^2 / 2 dt]`` of the log evidence
    is maximised::

        model = FractionalSDE().fit(series)          # an array, a DataFrame with dates, a list of them; NaN in gaps
        model.parameters["hurst"], model.parameters["hurst_error"]
        model.forecast(steps=10).quantile(0.9), model.complete(series).mean

    With a drift that is constant or linear the best u is linear in (X, Y) and known: the guide. The bound is then the
    evidence of the approximation, without draws. Otherwise it begins there, and networks learn drift and control.

    Raises:
        InvalidInputError: If a setting is out of range, or a series has several columns, too few values or only one.
        DivergedError: If a parameter becomes NaN or infinite.

    Source: Daems, Opper, Crevecoeur & Birdal (2024), arXiv:2310.12975. Ours: exact steps of Y, the guide in discrete
    time, a posterior of Y(0), unit variance, a longer grid of rates, gaps and uneven times, errors of H.
    """

    noun: ClassVar[str] = "process"
    only_cpu: ClassVar[str] = "its steps are small and in float64"

    values: Literal["levels", "increments"] = "levels"
    """``"levels"`` are values of X; ``"increments"`` are what X grows by from one time to the next, for stationary
    series with long memory."""
    drift: Literal["constant", "linear", "network"] = "constant"
    """``"linear"``, a pull to a centre; or ``"network"``, that and a network of X."""
    control: Literal["guide", "network", "both"] = "guide"
    """``"network"``, as in the paper, which is told time, state and the next value; or ``"both"``, the network in
    addition to the guide."""
    kind: Literal[1, 2] = 1
    """1, increments are stationary; or 2, the motion begins without a past."""
    modes: Count = 12
    """K."""
    hurst: Literal["auto"] | OpenShare = "auto"
    """H, or ``"auto"``."""
    noise: Literal["auto"] | NonNegative = "auto"
    """Standard deviation of the noise of values in data units, or ``"auto"``. The least is 1 % of the increments'
    size."""
    substeps: Count = 1
    """Steps from one value to the next: more where the drift bends or a network steers."""
    window: Annotated[int, Ge(8)] = 256
    """Longer series are cut into windows of so many values, each with a past of its own."""
    paths: Count = 8
    """Paths per window of a step, where networks learn."""
    hidden: Annotated[tuple[Count, ...], Each("every width")] = (32, 32)
    """Widths of the networks."""
    iterations: Count = 60
    """Most iterations of L-BFGS for H, sigma, noise and the linear drift."""
    steps = 300
    batch_size = 16
    lr = 3e-3
    clip_norm = 10.0
    ema = None

    def check_settings(self) -> None:
        """Refuse what does not fit together."""
        if self.values == "increments" and (self.drift != "constant" or self.substeps > 1):
            found = f"drift = {self.drift!r}, substeps = {self.substeps}"
            remedy = "Use values='levels' for a pull to a centre."
            raise invalid("increments go with a constant drift and one step each", found, remedy)

    def roles(self) -> tuple[Role, ...]:
        """A series or many, and the times of one that is not on a clock."""
        about = "times of the values of one series that is not on a regular clock"
        times = Role(name="times", axis="time", optional=True, exact=True, about=about)
        return series_role(), times

    def fit(self, series: Any, times: Any = None, **options: Any) -> Self:
        """Learn from one series or many.

        Args:
            series: An array ``(T,)``, a DataFrame or pandas' Series with dates, with NaN in gaps; or a list of them.
            times: Times ``(T,)`` of one array whose values are not evenly spaced; for levels alone.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(series, times, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The linear model by L-BFGS on its evidence, networks by Adam on the bound, then the error of H."""
        many = listed(data["series"])
        check_series(many, 4)
        units = Units.of(many, increments=self._increments)
        gap = median_gap(data.get("times"))
        times = check_times(data.get("times"), many, gap, increments=self._increments)
        longest = max(len(one) for one in many)
        length = longest if times is not None else min(self.window, longest)
        grid = self._grid(length, times)
        values, seen = windows_of(many, length)
        values = (values - units.shift) / units.unit
        y, mask = on_steps(values, seen, grid.every, increments=self._increments)
        fixed = {} if self.hurst == "auto" else {"hurst": float(self.hurst)}
        if self.noise != "auto":
            fixed["noise"] = max(float(self.noise) / units.unit, 2 * LEAST_NOISE)
        horizon, finest = float(grid.ends[-1]), float(grid.lengths.min()) * grid.every
        settings = self._model_settings(fixed, horizon, finest, max(3.0, 2 * units.spread))
        model = FractionalModel(settings)
        first = run.once("linear model", lambda source: best_linear(settings, grid, y, mask, self.iterations))
        model.load_state_dict(first, strict=False)
        if not settings.closed:
            batches = WindowBatches(y, mask, self.batch_size)
            run.train(
                "networks",
                model,
                _Loss(grid, self.paths, int(mask.sum()) / len(mask)),
                batches,
                self.training(),
            )
        if self.control == "network":
            warn_of_poor_control(model, grid, y, mask, self.paths, self.seed)
        if "hurst" in model.free:
            with torch.no_grad():
                h, share = float(model.value("hurst")), float(model.value("scale") / model.value("noise"))
            warn_at_edge(h, share, self.values)
        found = {name: value.detach() for name, value in model.state_dict().items()}
        spread = run.once("errors", lambda source: hurst_error(settings, found, grid, y, mask))
        state = {"weights": found, "spread": spread, "horizon": settings.horizon, "finest": settings.finest}
        tails = [one[-self.window :] for one in many]
        place = {"shift": units.shift, "unit": units.unit, "start": settings.start, "length": length}
        place["unit_variance"] = True  # states without it have a motion of kind 2 with another variance
        clock = None if data.get("times") is None else data["times"].flatten().double()[-self.window :]
        return {**state, **place, "tail": tails, "tail_times": clock, "gap": gap}

    @property
    def _increments(self) -> bool:
        return self.values == "increments"

    def _grid(self, length: int, times: Tensor | None = None) -> Grid:
        """Steps between values, whose first increment begins a step before it."""
        regular = torch.arange(length + self._increments, dtype=torch.float64)
        return Grid.of(regular if times is None else times, self.substeps)

    def _model_settings(
        self, fixed: Mapping[str, float], horizon: float, finest: float, start: float
    ) -> ModelSettings:
        return ModelSettings(
            increments=self._increments,
            kind=self.kind,
            modes=self.modes,
            horizon=horizon,
            finest=finest,
            start=start,
            drift=self.drift,
            control=self.control,
            hidden=self.hidden,
            fixed=fixed,
            seed=self.seed,
        )

    # --- what was found

    @property
    def model(self) -> FractionalModel:
        """The model with what was learnt, in standardised units."""
        state = self.fitted_state("model")
        settings = self._model_settings({}, state["horizon"], state["finest"], state["start"])
        model = FractionalModel(settings)
        model.load_state_dict(state["weights"])
        model.requires_grad_(False)
        if self.kind == 2 and "unit_variance" not in state:
            hurst = model.value("hurst")
            ratio = unit_scale(hurst, 2) / unit_scale(hurst, 1)
            model.put("scale", float(model.value("scale") * ratio.sqrt()))
        return model

    @property
    def parameters(self) -> dict[str, float]:
        """What was found, in data units and steps of the clock.

        ``hurst`` and its standard error, from the curvature of the bound, NaN where H is given; ``scale``: sigma,
        the standard deviation of the motion one step after its begin; ``noise``; and ``drift`` per step with a constant
        drift, or ``rate`` and ``centre`` of the linear part.
        """
        state, model = self.fitted_state("parameters"), self.model
        own = {name: float(model.value(name)) for name in model.raw}
        unit, shift = state["unit"], state["shift"]
        found = {"hurst": own["hurst"], "hurst_error": float(state["spread"])}
        found |= {"scale": unit * own["scale"], "noise": unit * own["noise"]}
        if "rate" in own:
            return found | {"rate": own["rate"], "centre": shift + unit * own["level"] / own["rate"]}
        return found | {"drift": unit * own["level"] + (shift if self._increments else 0.0)}

    def _model_with(self, given: Mapping[str, float]) -> FractionalModel:
        """The model with some parameters in the place of those found."""
        model, found = self.model, self.parameters
        known = [name for name in found if name != "hurst_error"]
        for name in given:
            one_of(who(), "every name in parameters", name, known)
        unit, shift = self.state["unit"], self.state["shift"]
        values = {name: number(who(), name, given.get(name, found[name])) for name in known}
        for name in {"hurst", "scale", "noise"} & set(given):
            model.put(name, values[name] / (1 if name == "hurst" else unit))
        if "rate" in known:
            if "rate" in given:
                model.put("rate", values["rate"])
            if {"rate", "centre"} & set(given):
                model.put("level", values["rate"] * (values["centre"] - shift) / unit)
        elif "drift" in given:
            model.put("level", (values["drift"] - (shift if self._increments else 0.0)) / unit)
        return model

    def caveat(self, verb: str) -> str:
        """The bound is below the evidence where networks are part of it."""
        closed = self.drift != "network" and self.control == "guide"
        return "" if closed or verb != "log_prob" else "a lower bound, from draws of paths"

    # --- answers

    @capability(reads={"x": "series"})
    def log_prob(
        self,
        x: Any,
        times: Tensor | None = None,
        *,
        parameters: Any = None,
        members: Count = 64,
        seed: int = 0,
    ) -> Tensor:
        """Log evidence of each series, ``(B,)`` nats in data units; a lower bound where networks are part of the
        model.

        Args:
            x: One series with gaps, or several.
            times: Times of one, if the fit had some.
            parameters: Values of some of :attr:`parameters` instead of those found, by name and in the same units, such
                as ``{"hurst": 0.3}``: the evidence at given parameters.
            members: Paths of the bound.
            seed: Seed of their noise.
        """
        many, unit = listed(x), self.state["unit"]
        check_series(many, 1)
        source, model = generator(seed, "paths of the bound"), self._model_with(parameters or {})
        bounds = []
        for one in many:
            grid, y, seen = self._placed_on_grid(one, times)
            bounds.append(model.bound(grid, y, seen, members, source)[0] - int(seen.sum()) * math.log(unit))
        return torch.stack(bounds)

    @capability(reads={"context": "series"}, like="context")
    def forecast(
        self,
        context: Any = None,
        times: Tensor | None = None,
        *,
        members: Count = 100,
        steps: Count = 1,
        noise: bool = True,
        seed: int = 0,
    ) -> Ensemble:
        """Members of what follows a series, given all of it.

        Args:
            context: The series so far, or several of one length, gaps allowed; that of the fit if none is given.
            times: Its times, if the fit had some; steps ahead are then as long as the median gap of the fit.
            members: M.
            steps: S.
            noise: With the noise of values; else of the state itself.
            seed: Seed of the draws.

        Returns:
            ``(B, M, S, 1)`` in data units, at the times that follow; at the steps 1 .. S for series that end at
            different times.
        """
        many = self.state["tail"] if context is None else listed(context)
        check_series(many, 1)
        times = self.state["tail_times"] if context is None else times
        source, model = generator(seed, "paths of a forecast"), self.model
        ahead = self._grid(steps + (not self._increments))
        drawn = []
        for one in many:
            end = self._steered(model, one, times, members, source).end
            drawn.append(continued(model, ahead, end, source, noise=noise))
        x = self._decoded(torch.cat(drawn))[..., None]
        first = many[0]
        together = all(torch.equal(one.times[-1], first.times[-1]) for one in many) and times is None
        if together:
            return over_time(x, first, first.after(steps))
        plain = Series(
            values=first.values, seen=first.seen, times=first.times, columns=first.columns, clock=STEPS
        )
        return over_time(x, plain, torch.arange(1, steps + 1, dtype=torch.float64))

    @capability(reads={"x": "series"}, like="x")
    def complete(
        self, x: Any, times: Tensor | None = None, *, members: Count = 100, noise: bool = True, seed: int = 0
    ) -> Ensemble:
        """Members of the whole series: gaps filled given all that was seen, which stays as it is.

        Args:
            x: One series with gaps, or several of one length.
            times: Times of one, if the fit had some.
            members: M.
            noise: Filled values have the noise of values; without, all members are paths of the state itself,
                where values were seen too.
            seed: Seed of the draws.

        Returns:
            ``(B, M, T, 1)`` in data units.
        """
        many = listed(x)
        check_series(many, 1)
        if len({len(one) for one in many}) > 1:
            raise invalid("series must be of one length", sorted({len(one) for one in many}), "Ask for each.")
        source, model = generator(seed, "paths of a completion"), self.model
        full = []
        for one in many:
            path = self._steered(model, one, times, members, source).x[0]
            path = path[:, 1:] if self._increments else path[:, :: self.substeps]
            if noise:
                path = with_noise(model, path, source)
                seen = (one.values[:, 0] - self.state["shift"]) / self.state["unit"]
                path = torch.where(one.seen[:, 0], seen, path)
            full.append(self._decoded(path))
        return over_time(torch.stack(full)[..., None], many[0], many[0].times)

    @capability()
    def sample(self, n: Count, *, steps: Count | None = None, noise: bool = True, seed: int = 0) -> Tensor:
        """Series that might have been, ``(n, S, 1)`` in data units.

        Args:
            n: Number of series.
            steps: S; the length of the windows of the fit if not given.
            noise: With the noise of values.
            seed: Seed of the draws.
        """
        grid = self._grid(self.state["length"] if steps is None else steps)
        source, model = generator(seed, "paths of the model"), self.model
        path = free_paths(model, grid, n, source, noise=noise)
        return self._decoded(path)[..., None]

    def _decoded(self, x: Tensor) -> Tensor:
        found: Tensor = self.state["shift"] + self.state["unit"] * x
        return found

    def _placed_on_grid(self, one: Series, times: Tensor | None) -> tuple[Grid, Tensor, Tensor]:
        """Grid of one series, its standardised values and what was seen, ``(1, N + 1)``."""
        if len(one) < 2 and not self._increments:
            raise invalid("a series of levels must have at least two times", len(one))
        gap = self.state.get("gap", median_gap(times))  # older files have none
        grid = self._grid(len(one), check_times(times, [one], gap, increments=self._increments))
        values = (one.values[:, 0] - self.state["shift"]) / self.state["unit"]
        y, seen = on_steps(values[None], one.seen[None, :, 0], grid.every, increments=self._increments)
        return grid, y, seen

    def _steered(
        self,
        model: FractionalModel,
        one: Series,
        times: Tensor | None,
        count: int,
        source: Generator,
    ) -> Paths:
        """Paths given a series: of the posterior itself where weights are equal, else chosen by their weights."""
        grid, y, seen = self._placed_on_grid(one, times)
        return steered(model, grid, y, seen, count, source)


class _Loss:
    """The bound of each window with its sign changed, per value."""

    def __init__(self, grid: Grid, paths: int, values: float) -> None:
        self.grid, self.paths, self.values = grid, paths, values

    def __call__(
        self, module: nn.Module, batch: Mapping[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """By name."""
        assert isinstance(module, FractionalModel)
        return {
            "bound": -module.bound(self.grid, batch["y"], batch["seen"], self.paths, generator) / self.values
        }
