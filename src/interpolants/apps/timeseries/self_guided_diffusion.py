"""Self-guided diffusion: one unconditional model of windows of a series forecasts, and fills gaps, by guidance.

Letters: C columns, L times of a window, k lags, S steps ahead, M members, B series; ``e1 = E[x1 | x_t]``.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from interpolants.apps.timeseries.guided_windows import GUIDES, GuidedWindows
from interpolants.apps.timeseries.refined_windows import FORECAST, Refinement, forecast_members
from interpolants.apps.timeseries.training_windows import TrainingWindows, warn_if_narrow
from interpolants.apps.timeseries.unseen_columns import warn_of_unseen
from interpolants.apps.timeseries.window_units import SCALES, WindowUnits
from interpolants.data.windows import padded_front
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.far_values import warn_if_far
from interpolants.framework.role import Role
from interpolants.framework.series import Series, listed
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.guidance.energy import PLACES
from interpolants.methods.parts.choices import choose_path
from interpolants.methods.parts.conditional_flow import ConditionalFlow
from interpolants.methods.parts.forecasts import check_sizes
from interpolants.methods.parts.series import on_one_clock, one_series, over_time, series_role
from interpolants.nets.build import named_net
from interpolants.paths.discrete_schedule import DiscreteSchedule, linear_betas

# How far a value may lie from what a column was throughout the training, and count as this constant.
_CONSTANT = 1e-6
# The paper's schedule: 100 noise variances from 1e-4 to 0.1.
_LEVELS, _FIRST, _LAST = 100, 1e-4, 0.1


class SelfGuidedDiffusion(Trained):
    """Learn the distribution of windows of a series, and guide its samples by what was seen of them.

    ::

        model = SelfGuidedDiffusion(context=168, horizon=24).fit(history)    # a table with dates, and gaps or not
        ahead = model.forecast(history, members=100, steps=48)               # .x (1, 100, 48, C), .summary() by date
        whole = model.complete(history)                                      # gaps filled, what was seen as it is

    One network learns a quantity of a one-sided path from Gaussian noise to windows, without conditions. Samples are
    guided by an energy of ``y - e1`` over the entries y that were seen (``guidance.EnergyGuided``): a context of any
    length with any gaps, and no network for the task.

    ``guidance="quantile"`` gives member i of M the level ``i / (M + 1)``: quantiles of single times are right, but a
    member of a low level is low at all of them, so that members are no paths that could come. ``guidance="mse"`` has
    exchangeable members and diverges where it is strong. At the output (``at="output"``) the gradient does not go
    through the network; at the input it does, at two to three times the cost, and needs another strength.

    Args:
        context: Times of a window that are known when forecasting.
        horizon: Times of a window to forecast at once; longer forecasts go on from their own.
        lags: Steps back of further copies of every column that the model sees, such as ``(24, 168)`` for hours.
        scale: ``"standard"``: mean 0 and deviation 1 over the training part; ``"window"``: the mean absolute value of
            what is seen of each window, for series of different sizes, of which none may be 0 for a whole context;
            ``"level"``: the mean of what is seen of each window and its deviation from it, for series with trends or
            whose level wanders: forecasts go on from the level, and do not know it.
        path: A one-sided path with a Gaussian base: a name, a table or a ``Path``; ``"auto"`` is the paper's diffusion
            of 100 steps.
        net: A network for sequences ``(C (1 + k), L)``: a name, a table, or an ``nn.Module`` called as ``net(x, t)``.
        head: Quantity that the network learns: ``"noise"``, ``"denoised"``, ``"velocity"`` or ``"score"``.
        times: Where in time to learn, as in ``Bridge``.
        guidance: ``"quantile"`` or ``"mse"``.
        strength: s, >= 0; 0 is no guidance.
        at: ``"output"`` or ``"input"``.
        n_steps: Steps of the sampler.

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no Gaussian base.

    Source: Kollovieh, Ansari, Bohlke-Schneider, Zschiegner, Wang & Wang (2023), arXiv:2307.11494. Ours: the gradient at
    the output, gaps in the training part, any one-sided path, several columns.
    """

    only_cpu: ClassVar[str] = "series stay where they were read"
    noun: ClassVar[str] = "forecaster"
    answering: ClassVar[tuple[str, ...]] = ("guidance", "strength", "at", "n_steps")

    context: int = 168
    horizon: int = 24
    lags: Sequence[int] = ()
    scale: str = "standard"
    path: Any = "auto"
    net: Any = "gated_convolution"
    head: str = "noise"
    times: Any = "auto"
    guidance: str = "quantile"
    strength: float = 4.0
    at: str = "output"
    n_steps: int = 100
    steps = 4000
    batch_size = 24
    lr = 4e-3
    ema = 0.998

    def check_settings(self) -> None:
        """Refuse settings, and make the path and the flow."""
        who = "SelfGuidedDiffusion"
        whole(who, "context", self.context, at_least=1), whole(who, "horizon", self.horizon, at_least=1)
        self.lags = tuple(whole(who, "every lag", lag, at_least=1) for lag in self.lags)
        one_of(who, "scale", self.scale, SCALES)
        if isinstance(self.path, str) and self.path == "auto":
            self.path = DiscreteSchedule.from_betas(linear_betas(_LEVELS, _FIRST, _LAST))
        self.path = choose_path(who, self.path)
        self.flow = ConditionalFlow(  # a score alone may be of any size
            who=who, path=self.path, head=self.head, times=self.times, wrapped=("score",)
        )
        self._guide()

    def _guide(self, **asked: Any) -> dict[str, Any]:
        """Settings of the guidance, with those that were asked for in their place."""
        who = "SelfGuidedDiffusion"
        given = {name: value for name, value in asked.items() if value is not None}
        found = {name: getattr(self, name) for name in self.answering} | given
        one_of(who, "guidance", found["guidance"], GUIDES), one_of(who, "at", found["at"], PLACES)
        number(who, "strength", found["strength"], at_least=0)
        whole(who, "n_steps", found["n_steps"], at_least=1)
        return found

    @property
    def length(self) -> int:
        """L."""
        return self.context + self.horizon

    @property
    def reach(self) -> int:
        """Times of history that a forecast uses: the context, and before it the longest lag."""
        return self.context + max(self.lags, default=0)

    def roles(self) -> tuple[Role, ...]:
        """A series, or many with the same columns."""
        return (series_role(),)

    def fit(self, series: Any, **options: Any) -> Self:
        """Learn from one series, or from many with the same columns.

        Args:
            series: A DataFrame or pandas' Series with dates, or an array ``(T,)`` or ``(T, C)``, with NaN in gaps; or a
                list of them.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(series, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The quantity of the path, by one gradient loop over windows."""
        series = listed(data["series"])
        units = WindowUnits.fit(self.scale, series, self.context)
        windows = TrainingWindows(
            series, context=self.context, length=self.length, lags=self.lags, units=units
        )
        inner = named_net(self.net, windows.shape, who="SelfGuidedDiffusion", seed=self.seed).float()
        warn_if_narrow(inner, windows.shape)
        net = self.flow.learnt(run, "windows", self.flow.wrap(inner), windows.rows, self.training())
        return {
            "net": net,
            "units": units.keeping(*windows.some_units(run.generator("scales"))),
            "largest": windows.largest,
            "shape": list(windows.shape),
            "tail": [one[-self.reach :] for one in series],
        }

    # --- capabilities

    @capability(reads={"context": "series"}, like="context")
    def forecast(
        self,
        context: Any = None,
        *,
        members: int = 100,
        steps: int | None = None,
        guidance: str | None = None,
        strength: float | None = None,
        at: str | None = None,
        n_steps: int | None = None,
        method: str = "ancestral",
        seed: int = 0,
        first_index: int = 0,
    ) -> Ensemble:
        """Members of what follows a series; beyond the horizon each goes on from where it is.

        Args:
            context: The series so far, of which the last ``context`` times (and lags) are used; gaps and a shorter
                history are allowed. That of the fit if none is given. Or several series.
            members: M.
            steps: S; the horizon if not given.
            guidance: ``"quantile"`` or ``"mse"``; as the settings say if not given, like what follows.
            strength: Strength of the guidance.
            at: ``"output"`` or ``"input"``.
            n_steps: Steps of the sampler.
            method: ``"ancestral"`` (DDPM), ``"ddim"``, or an ODE solver.
            seed: Seed of starts and noise; member m of series b is one number of (seed, M, b, m).
            first_index: Index of the first series in a larger job.

        Returns:
            ``(B, M, S, C)`` in data units, at the times that follow; at the steps 1 .. S for series that end at
            different times.

        Raises:
            InvalidInputError: If nothing of a context was seen, or it is zero throughout with ``scale="window"``.
            DivergedError: If states outgrow the data.
        """
        ahead = self.horizon if steps is None else steps
        check_sizes("SelfGuidedDiffusion.forecast", members, ahead)
        many = listed(self.state["tail"] if context is None else context)
        values, seen = self._histories(many)
        self._warn_if_far("SelfGuidedDiffusion.forecast", values, seen)
        guide = self._guide(guidance=guidance, strength=strength, at=at, n_steps=n_steps)
        windows = self._windows(members, guide, method, "SelfGuidedDiffusion.forecast")
        values, seen = values.repeat_interleave(members, 0), seen.repeat_interleave(members, 0)
        blocks: list[Tensor] = []
        for k in range(-(-ahead // self.horizon)):
            unknown = values.new_zeros(len(values), self.horizon, values.shape[2])
            whole_window = torch.cat([values, unknown], 1), torch.cat([seen, unknown.bool()], 1)
            blocks.append(windows.draw(*whole_window, seed, first_index, k)[:, self.context :])
            values = torch.cat([values, blocks[-1]], 1)[:, -self.reach :]
            seen = torch.cat([seen, torch.ones_like(unknown, dtype=torch.bool)], 1)[:, -self.reach :]
        x = torch.cat(blocks, 1)[:, :ahead].reshape(len(many), members, ahead, -1)
        return on_one_clock(x, many, ahead)

    @capability(reads={"x": "series"}, like="x")
    def complete(
        self,
        x: Any,
        *,
        members: int = 16,
        guidance: str | None = None,
        strength: float | None = None,
        at: str | None = None,
        n_steps: int | None = None,
        method: str = "ancestral",
        seed: int = 0,
    ) -> Ensemble:
        """Members of the whole series: gaps filled, what was seen as it is.

        Windows overlap by half; a gap is filled by the window in whose middle it is, so that longer gaps than half a
        window are pieced together.

        Args:
            x: One series with gaps, of any length.
            members: M.
            guidance: As in :meth:`forecast`, like what follows.
            strength: Strength of the guidance.
            at: ``"output"`` or ``"input"``.
            n_steps: Steps of the sampler.
            method: ``"ancestral"``, ``"ddim"``, or an ODE solver.
            seed: Seed of starts and noise.

        Returns:
            ``(1, M, T, C)`` in data units, at the times of the series.
        """
        who = "SelfGuidedDiffusion.complete"
        series = one_series(who, x)
        check_sizes(who, members, 1)
        guide = self._guide(guidance=guidance, strength=strength, at=at, n_steps=n_steps)
        windows = self._windows(members, guide, method, who)
        self._warn_if_far(who, series.values[None], series.seen[None])
        full = series.values.expand(members, *series.values.shape).clone()
        places = self._places(series)
        if places:
            tiles = [self._tile(series, start) for start, _, _ in places]
            values, seen = (
                torch.stack(part).repeat_interleave(members, 0) for part in zip(*tiles, strict=True)
            )
            drawn = windows.draw(values, seen, seed, 0, 0).reshape(len(places), members, self.length, -1)
            for one, (start, first, last) in zip(drawn, places, strict=True):
                full[:, first:last] = one[:, first - start : last - start]
        full = torch.where(series.seen, series.values, full)
        return over_time(full[None], series, series.times)

    @capability(reads={"forecast": FORECAST, "context": "series"}, like="context", passes=Refinement)
    def refine(
        self, forecast: Any, context: Any = None, *, members: int = 1, seed: int = 0, **options: Any
    ) -> Ensemble:
        """Another method's forecast, moved to where the model of windows finds it likely.

        Args:
            forecast: A forecast ``(S, C)`` of the horizon that follows the context; or members ``(M, S, C)``.
            context: The series so far; that of the fit if none is given.
            members: M; those of the forecast are gone through in turn.
            seed: Seed of the noise.
            options: Settings of :class:`~interpolants.apps.timeseries.refined_windows.Refinement`.

        Returns:
            ``(1, M, S, C)`` in data units, at the times that follow.
        """
        who = "SelfGuidedDiffusion.refine"
        known = self.state["tail"][0] if context is None else one_series(who, context)
        parts = forecast_members(who, forecast, members, self.horizon, known)
        values, seen = (x.repeat(members, 1, 1) for x in self._histories([known]))
        values, seen = torch.cat([values, parts], 1), torch.cat([seen, torch.zeros_like(parts).bool()], 1)
        windows = self._windows(1, self._guide(strength=0.0), "ancestral", who)
        done = Refinement(**options).refined(windows, values, seen, generator(seed, "refine"))
        return over_time(done[None, :, self.context :], known, known.after(self.horizon))

    @capability()
    def sample(
        self,
        n: int,
        *,
        n_steps: int | None = None,
        method: str = "ancestral",
        seed: int = 0,
        first_index: int = 0,
    ) -> Tensor:
        """Windows of series that might have been, ``(n, L, C)`` in data units, without guidance.

        Args:
            n: Number of windows.
            n_steps: Steps of the sampler.
            method: As in :meth:`forecast`.
            seed: Seed of starts and noise; window i is one number of (seed, i).
            first_index: Index of the first window in a larger job.
        """
        whole("SelfGuidedDiffusion.sample", "n", n, at_least=1)
        guide = self._guide(strength=0.0, n_steps=n_steps)
        return self._windows(1, guide, method, "SelfGuidedDiffusion.sample").free(n, seed, first_index)

    def _windows(self, members: int, guide: dict[str, Any], method: str, who: str) -> GuidedWindows:
        state = self.state
        return GuidedWindows(
            net=state["net"],
            flow=self.flow,
            units=state["units"],
            shape=tuple(state["shape"]),
            lags=tuple(self.lags),
            largest=state["largest"],
            members=members,
            method=method,
            who=who,
            **guide,
        )

    def _histories(self, many: Sequence[Series]) -> tuple[Tensor, Tensor]:
        """The last times of each series, ``(B, context + longest lag, C)``, and what was seen of them."""
        columns, who = self.state["units"].shift.shape[0], "SelfGuidedDiffusion.forecast"
        for number_, one in enumerate(many):
            where = f"series {one.name or number_}" if len(many) > 1 else "the series"
            if one.values.shape[1] != columns:
                rule = f"{where} must have the {columns} columns of the fit"
                raise invalid(who, rule, one.values.shape[1])
            if not bool(one.seen[-self.context :].any()):
                rule = f"some of the last {self.context} values of {where} must be seen"
                raise invalid(who, rule, "gaps only")
            warn_of_unseen(who, where, one.seen[-self.reach :], self.columns("series"))
        values = [padded_front(one.values[None], self.reach) for one in many]
        return torch.cat(values), torch.cat([padded_front(one.seen[None], self.reach) for one in many])

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Values are compared in the units of windows, of which one may have its own."""
        return "" if argument in ("context", "x") else super().likened(verb, argument, options)

    def _warn_if_far(self, who: str, values: Tensor, seen: Tensor) -> None:
        """Tell of values that are unlike those of the fit; windows with units of their own may have any."""
        units: WindowUnits = self.state["units"]
        if units.kind == "standard":
            z = torch.where(seen, (values - units.shift) / units.scale, torch.nan)
            if units.flat is not None:  # of a constant anything else is new
                z = torch.where(units.flat & (z.abs() > _CONSTANT), torch.inf, z)
            remedy = "If the series has a trend, take scale='level'."
            warn_if_far(who, "the series", z, self.columns("series"), remedy=remedy)

    def _places(self, series: Series) -> list[tuple[int, int, int]]:
        """Starts of windows with gaps in their care, and from where to where that is."""
        last = max(len(series) - self.length, 0)
        starts = [*range(0, last, max(self.length // 2, 1)), last]
        middle = [start + self.length // 2 for start in starts]
        edges = [0, *((a + b) // 2 for a, b in pairwise(middle)), len(series)]
        found = zip(starts, pairwise(edges), strict=True)
        return [(s, a, b) for s, (a, b) in found if not bool(series.seen[a:b].all())]

    def _tile(self, series: Series, start: int) -> tuple[Tensor, Tensor]:
        """A window with the times before it that lags reach, ``(longest lag + L, C)``, and what was seen of it."""
        stop, reach = start + self.length, self.reach + self.horizon
        parts = []
        for x in (series.values, series.seen):
            missing = max(stop - len(x), 0)  # of a series shorter than a window
            end = torch.cat([x, x.new_zeros(missing, x.shape[1])])[:stop]
            parts.append(padded_front(end[None], reach)[0])
        return parts[0], parts[1]
