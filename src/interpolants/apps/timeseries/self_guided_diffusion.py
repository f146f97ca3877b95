"""Self-guided diffusion: one unconditional model of windows of a series forecasts, and fills gaps, by guidance.

Letters: C columns, L times of a window, k lags, S steps ahead, M members, B series; ``e1 = E[x1 | x_t]``.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from interpolants.apps.timeseries.guided_windows import GuidedWindows
from interpolants.apps.timeseries.refined_windows import FORECAST, Refinement, forecast_members
from interpolants.apps.timeseries.training_windows import TrainingWindows, warn_if_narrow, warn_if_trend
from interpolants.apps.timeseries.unseen_columns import warn_of_unseen
from interpolants.apps.timeseries.window_units import Scale, WindowUnits
from interpolants.data.windows import padded_front
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Answer, Check, Count, Each, NonNegative, OneOf
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.far_values import warn_if_far
from interpolants.framework.role import Role
from interpolants.framework.series import Series, listed
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.choices import choose_path
from interpolants.methods.parts.conditional_flow import ConditionalFlow
from interpolants.methods.parts.series import on_one_clock, one_series, over_time, series_role
from interpolants.nets.build import named_net
from interpolants.paths.discrete_schedule import DiscreteSchedule, linear_betas

# How far a value may lie from what a column was throughout the training, and count as this constant.
_CONSTANT = 1e-6
# The paper's schedule: 100 noise variances from 1e-4 to 0.1.
_LEVELS, _FIRST, _LAST = 100, 1e-4, 0.1


def _noise_path(who: str, value: Any) -> Any:
    """A path; the paper's for ``"auto"``."""
    if isinstance(value, str) and value == "auto":
        return DiscreteSchedule.from_betas(linear_betas(_LEVELS, _FIRST, _LAST))
    return choose_path(who, value)


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

    Raises:
        InvalidInputError: If a setting is out of range, or the path has no Gaussian base.

    Source: Kollovieh, Ansari, Bohlke-Schneider, Zschiegner, Wang & Wang (2023), arXiv:2307.11494. Ours: the gradient at
    the output, gaps in the training part, any one-sided path, several columns.
    """

    only_cpu: ClassVar[str] = "series stay where they were read"
    noun: ClassVar[str] = "forecaster"

    context: Count = 168
    """Times of a window that are known when forecasting."""
    horizon: Count = 24
    """Times of a window to forecast at once; longer forecasts go on from their own."""
    lags: Annotated[tuple[Count, ...], Each("every lag")] = ()
    """Steps back of further copies of every column that the model sees, such as ``(24, 168)`` for hours."""
    scale: Scale = "standard"
    """``"standard"``: mean 0 and deviation 1 over the training part; ``"window"``: the mean absolute value of what is
    seen of each window, for series of different sizes, of which none may be 0 for a whole context; ``"level"``: the
    mean of what is seen of each window and its deviation from it, for series with trends or whose level wanders:
    forecasts go on from the level, and do not know it."""
    path: Annotated[Any, Check(_noise_path, "name | table | object")] = "auto"
    """A one-sided path with a Gaussian base: a name, a table or a ``Path``; ``"auto"`` is the paper's diffusion of 100
    steps."""
    net: Any = "gated_convolution"
    """A network for sequences ``(C (1 + k), L)``: a name, a table, or an ``nn.Module`` called as ``net(x, t)``."""
    head: Annotated[str, OneOf(lambda: QUANTITIES)] = "noise"
    """Quantity that the network learns; ``"noise"``, ``"denoised"``, ``"velocity"`` and ``"score"`` are usual."""
    times: Any = "auto"
    """Where in time to learn, as in ``Bridge``."""
    guidance: Answer[Literal["quantile", "mse"]] = "quantile"
    """Energy of the gap to what was seen."""
    strength: Answer[NonNegative] = 4.0
    """Strength s of the guidance; 0 is none."""
    at: Answer[Literal["input", "output"]] = "output"
    """Whether the gradient goes through the network, or stops at its output."""
    n_steps: Answer[Count] = 100
    """Steps of the sampler."""
    steps = 4000
    batch_size = 24
    lr = 4e-3
    ema = 0.998

    def check_settings(self) -> None:
        """Make the flow, of a quantity and times that go with the path."""
        self.flow = ConditionalFlow(  # a score alone may be of any size
            who=who(), path=self.path, head=self.head, times=self.times, wrapped=("score",)
        )

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
        if self.scale == "standard":
            warn_if_trend(series, self.columns("series"))
        inner = named_net(self.net, windows.shape, who=who(), seed=self.seed).float()
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
        /,
        context: Any = None,
        *,
        members: Count = 100,
        steps: Count | None = None,
        method: str = "ancestral",
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Ensemble:
        """Members of what follows a series; beyond the horizon each goes on from where it is.

        Args:
            context: The series so far, of which the last ``context`` times (and lags) are used; gaps and a shorter
                history are allowed. That of the fit if none is given. Or several series.
            members: M.
            steps: S; the horizon if not given.
            method: ``"ancestral"`` (DDPM), ``"ddim"``, or an ODE solver.
            seed: Seed of starts and noise; member m of series b is one number of (seed, M, b, m).
            first_index: Index of the first series in a larger job.
            settings: Settings of answers, for this call.

        Returns:
            ``(B, M, S, C)`` in data units, at the times that follow; at the steps 1 .. S for series that end at
            different times.

        Raises:
            InvalidInputError: If nothing of a context was seen, or it is zero throughout with ``scale="window"``.
            DivergedError: If states outgrow the data.
        """
        ahead = self.horizon if steps is None else steps
        many = listed(self.state["tail"] if context is None else context)
        values, seen = self._histories(many)
        self._warn_if_far(values, seen)
        windows = self._windows(members, method, self.strength)
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
        /,
        x: Any,
        *,
        members: Count = 16,
        method: str = "ancestral",
        seed: int = 0,
        **settings: Any,
    ) -> Ensemble:
        """Members of the whole series: gaps filled, what was seen as it is.

        Windows overlap by half; a gap is filled by the window in whose middle it is, so that longer gaps than half a
        window are pieced together.

        Args:
            x: One series with gaps, of any length.
            members: M.
            method: ``"ancestral"``, ``"ddim"``, or an ODE solver.
            seed: Seed of starts and noise.
            settings: Settings of answers, for this call.

        Returns:
            ``(1, M, T, C)`` in data units, at the times of the series.
        """
        series = one_series(who(), x)
        windows = self._windows(members, method, self.strength)
        self._warn_if_far(series.values[None], series.seen[None])
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
        self, /, forecast: Any, context: Any = None, *, members: Count = 1, seed: int = 0, **options: Any
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
        known = self.state["tail"][0] if context is None else one_series(who(), context)
        parts = forecast_members(forecast, members, self.horizon, known)
        values, seen = (x.repeat(members, 1, 1) for x in self._histories([known]))
        values, seen = torch.cat([values, parts], 1), torch.cat([seen, torch.zeros_like(parts).bool()], 1)
        windows = self._windows(1, "ancestral", 0.0)
        done = Refinement(**options).refined(windows, values, seen, generator(seed, "refine"))
        return over_time(done[None, :, self.context :], known, known.after(self.horizon))

    @capability(takes=("n_steps",))
    def sample(
        self,
        /,
        n: Count,
        *,
        method: str = "ancestral",
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Tensor:
        """Windows of series that might have been, ``(n, L, C)`` in data units, without guidance.

        Args:
            n: Number of windows.
            method: As in :meth:`forecast`.
            seed: Seed of starts and noise; window i is one number of (seed, i).
            first_index: Index of the first window in a larger job.
            settings: Settings of answers, for this call.
        """
        return self._windows(1, method, 0.0).free(n, seed, first_index)

    def _windows(self, members: int, method: str, strength: float) -> GuidedWindows:
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
            guidance=self.guidance,
            strength=strength,
            at=self.at,
            n_steps=self.n_steps,
        )

    def _histories(self, many: Sequence[Series]) -> tuple[Tensor, Tensor]:
        """The last times of each series, ``(B, context + longest lag, C)``, and what was seen of them."""
        columns = self.state["units"].shift.shape[0]
        for number_, one in enumerate(many):
            where = f"series {one.name or number_}" if len(many) > 1 else "the series"
            if one.values.shape[1] != columns:
                rule = f"{where} must have the {columns} columns of the fit"
                raise invalid(rule, one.values.shape[1])
            if not bool(one.seen[-self.context :].any()):
                rule = f"some of the last {self.context} values of {where} must be seen"
                raise invalid(rule, "gaps only")
            warn_of_unseen(who(), where, one.seen[-self.reach :], self.columns("series"))
        values = [padded_front(one.values[None], self.reach) for one in many]
        return torch.cat(values), torch.cat([padded_front(one.seen[None], self.reach) for one in many])

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Values are compared in the units of windows, of which one may have its own."""
        return "" if argument in ("context", "x") else super().likened(verb, argument, options)

    def _warn_if_far(self, values: Tensor, seen: Tensor) -> None:
        """Tell of values that are unlike those of the fit; windows with units of their own may have any."""
        units: WindowUnits = self.state["units"]
        if units.kind == "standard":
            z = torch.where(seen, (values - units.shift) / units.scale, torch.nan)
            if units.flat is not None:  # of a constant anything else is new
                z = torch.where(units.flat & (z.abs() > _CONSTANT), torch.inf, z)
            remedy = "If the series has a trend, take scale='level'."
            warn_if_far(who(), "the series", z, self.columns("series"), remedy=remedy)

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
