"""Forecasting: from pairs (state now, state later) to ensembles of later states."""

from collections.abc import Iterator
from dataclasses import field, replace
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from interpolants.couplings.paired import Paired
from interpolants.dynamics.sample_from_point import sample_from_point
from interpolants.fields.point_source_fields import PointSourceFields, start_at
from interpolants.foundations.checks import is_among
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count, OneOrEach, Positive
from interpolants.foundations.randomness import generator, key
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.guidance.guided_bridge import GaussianMeasurement, GuidedDraws, guided_bridge
from interpolants.methods.parts.assimilation import (
    SPREAD_DRAWS,
    SPREAD_STARTS,
    Assimilated,
    Assimilation,
    Observed,
    filtered,
    free_draws,
    sensor_of,
    start_members,
)
from interpolants.methods.parts.choices import choose_path, choose_times
from interpolants.methods.parts.columns import warn_about_columns
from interpolants.methods.parts.conditions import ConditionForm, told_net
from interpolants.methods.parts.forecasts import ensemble_of, pair_roles
from interpolants.methods.parts.validation import followed
from interpolants.objectives.joint import JointLoss
from interpolants.objectives.point_source_loss import PointSourceLoss
from interpolants.objectives.times import StratifiedTimes, TimeSampler
from interpolants.paths.mirror import Diffusive
from interpolants.training.pairs import PairBatches, PathLoss, TimedNet, finished

# Members are computed in fixed groups of 1, 1, 2, 4, 8, 8, 8 ..., each with noise of its own, so that a member does not
# depend on how many there are.
_LARGEST_GROUP = 8
# Pairs among which neighbours are sought, and the least diffusivity, in standardised units.
_NEIGHBOURS, _LEAST_SCALE = 4000, 1e-3
# Smallest standard deviation of a forecast for the guide, in standardised units.
_SMALLEST_STD = 1e-4
_OURS = ("cond_dim", "n_classes", "cond_channels", "heads")


def _point_path(who: str, path: Any) -> Any:
    """A path that can start from a point; ``"auto"`` stays the word."""
    if is_among(path, ("auto",)):
        return path
    found: Any = choose_path(who, path)
    PointSourceFields(found, drift=nn.Identity())  # refuses a path that does not fit
    return found


def _known_times(who: str, times: Any) -> Any:
    """Times as they were asked for: the sampler is made for the path of the fit."""
    choose_times(who, times)
    return times


class Forecaster(Trained):
    """Learn the distribution of a later state given the state now, and draw ensembles and roll-outs from it.

    ::

        forecaster = Forecaster(seed=0).fit(now, later)
        ensemble = forecaster.forecast(x, members=50)             # ensemble.x: (B, 50, *D)
        rollout = forecaster.forecast(x, members=50, steps=20)    # rollout.x: (B, 50, 20, *D)

    One network learns the drift of a diffusion that starts at the point ``x0 = now`` and has the distribution of
    ``later | now`` at t = 1. The noise level is chosen when forecasting (``eps=``), and all give one distribution.

    Raises:
        InvalidInputError: If a name or setting is unknown, or the path cannot start from a point.

    Source: Chen, Goldstein, Hua, Albergo, Boffi & Vanden-Eijnden (2024), arXiv:2403.13724.
    """

    noun: ClassVar[str] = "forecaster"
    former: ClassVar = {
        "ensemble": "Call forecast(x, members=M).x.",
        "rollout": "Call forecast(x, members=M, steps=S).x, (B, M, S, *D), without the start.",
        "verify": "Call metrics.verify_forecast(ensemble.x, later, ...).",
        "normaliser": "It is state['frame'].",
    }

    path: Annotated[Any, Check(_point_path)] = field(default="auto", kw_only=False)
    """Name of a two-sided path with latent noise, a table ``{"kind": ..., **settings}``, or a ``Path``, in standardised
    units. ``"auto"`` is ``Diffusive`` with ``2 scale`` the variance of later given now, estimated from neighbours:
    noise much wider than the answer must be undone, much narrower has nowhere to go."""
    net: Any = "auto"
    """``"auto"`` (MLP for vectors, U-Net for images), a name, a table with settings, or an ``nn.Module`` called as
    ``net(x, t, cond)`` where cond holds the state now: ``{"vector": (B, D + C)}`` or ``{"field": (B, K, H, W)}``, and
    ``"label"`` if there are labels."""
    times: Annotated[Any, Check(_known_times)] = "auto"
    """Where in time to learn: ``"auto"`` (stratified), the name of a time sampler, a table, or a sampler."""
    standardize: bool = True
    """Learn in units where the pooled states have mean 0 and standard deviation 1 per coordinate (overall for images).
    ``eps`` is in those units squared."""

    def roles(self) -> tuple[Role, ...]:
        """Pairs of states, and what else is known of each pair."""
        return (*pair_roles(), Role(name="cond", kind="condition", optional=True))

    def fit(self, now: Any, later: Any, *, cond: Any = None, **options: Any) -> Self:
        """Learn from pairs: row i of ``later`` is what became of row i of ``now``.

        Args:
            now: States, ``(N, *D)``.
            later: States one lag later, ``(N, *D)``.
            cond: What else is known of each pair: labels ``(N,)``, vectors ``(N, C)`` or fields ``(N, C, *D)``.
            options: As in :meth:`interpolants.framework.method.Method.fit`. ``held={"now": ..., "later": ...}`` keeps
                the weights with the least loss on these; take later pairs: neighbours in time are alike.
        """
        known = {} if cond is None else {"cond": cond}
        return super().fit(now, later, **known, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The drift, by one gradient loop."""
        now, later, cond = data["now"], data["later"], _as_float32(data.get("cond"))
        warn_about_columns("Forecaster.fit", "later", later, self.columns("later"), density=False)
        frame = Standard().fit(torch.cat([now, later])) if self.standardize else Standard()
        first, second = _encoded(frame, now), _encoded(frame, later)
        path = self.path
        if path == "auto":
            path = Diffusive(scale=max(0.5 * _inner_variance(first, second, self.seed), _LEAST_SCALE))
        form = ConditionForm.of(cond, units=self.standardize and not isinstance(self.net, nn.Module))
        net = StartNet(self.net, tuple(now.shape[1:]), form, seed=self.seed)
        times = choose_times("Forecaster", self.times, path)
        matching, even, held = JointLoss([PointSourceLoss(path)]), StratifiedTimes(), run.held
        batches = _batches(first, second, cond, self.batch_size, times)

        def drawn(size: int) -> PairBatches:
            rows = _encoded(frame, held["now"]), _encoded(frame, held["later"])
            return _batches(*rows, _as_float32(held.get("cond")), size, even)

        settings, options = followed(
            run, self.training(), PathLoss(matching, even), drawn if held else None, images=now.ndim > 2
        )
        loss = PathLoss(matching, times)
        result = run.train("forecaster", TimedNet(net, times), loss, batches, settings, **options)
        return {"net": finished(net, result), "path": path, "frame": frame}

    @property
    def fields(self) -> PointSourceFields:
        """The learnt fields, in the network's (standardised) units; for ``dynamics.sample_from_point``.

        Raises:
            InvalidInputError: If the forecaster is not fitted.
        """
        if not self.is_fitted:
            remedy = "Call fit(now, later) first."
            raise invalid("Forecaster.fields", "the forecaster must be fitted", "one that is not", remedy)
        return PointSourceFields(self.state["path"], drift=self.state["net"])

    @capability(reads={"context": "now"}, like="context")
    def forecast(
        self,
        context: Tensor,
        *,
        members: Count = 50,
        steps: Count = 1,
        cond: Tensor | None = None,
        eps: Any = "reference",
        n_steps: int = 50,
        method: str | None = None,
        time_grid: Any = "auto",
        first: float | None = None,
        on_failure: str = "raise",
        chunk: int | None = None,
        seed: int = 0,
        first_index: int = 0,
    ) -> Ensemble:
        """Draw later states of each state; with several steps each member goes on from where it is.

        Member m of start i is one number of (seed, i, m): it does not depend on the batch, nor on how many members
        or steps there are.

        Args:
            context: States now, ``(B, *D)``, in data units.
            members: Members M of each ensemble.
            steps: Lags S to go.
            cond: What else is known of each row, as in :meth:`fit`; held fixed over the lags.
            eps: Noise level: ``"reference"``, ``"follmer"``, a number >= 0, a function of t or a ``NoiseLevel``.
            n_steps: Steps of the solver per lag, as ``method``, ``time_grid``, ``first``, ``on_failure`` and ``chunk``
                in :func:`interpolants.dynamics.sample_from_point`.
            method: Solver by name.
            time_grid: Times of the steps.
            first: Time of the first step.
            on_failure: ``"raise"`` if a member fails, or ``"keep"`` and report it in ``status``.
            chunk: Rows sent through the network at once.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job, so that parts agree with the whole.

        Returns:
            Members ``(B, M, *D)``, or ``(B, M, S, *D)`` for more than one step, in data units.
        """
        fields, known = self.fields, _as_float32(cond)
        frame: Standard = self.state["frame"]
        rows, *shape = context.shape
        states = _encoded(frame, context)[:, None].expand(-1, members, *shape)
        status = torch.zeros(states.shape[:2], dtype=torch.long)
        lags = []
        for lag in range(steps):
            moved, failed = [], []
            for number, (begin, size) in enumerate(_groups(members)):
                group = states[:, begin : begin + size]
                count = group.shape[1]
                if count < size:  # the last group is filled up, for its rows to keep their places
                    group = torch.cat([group, group[:, :1].expand(-1, size - count, *shape)], 1)
                done = sample_from_point(
                    fields,
                    group.reshape(-1, *shape),
                    eps=eps,
                    n_steps=n_steps,
                    method=method,
                    time_grid=time_grid,
                    first=first,
                    on_failure=on_failure,
                    chunk=chunk,
                    seed=key(seed, "forecast member", lag, number),
                    cond=None if known is None else known.repeat_interleave(size, 0),
                    first_index=first_index * size,
                )
                moved.append(done.x.reshape(rows, size, *shape)[:, :count])
                failed.append(done.status.reshape(rows, size)[:, :count])
            states = torch.cat(moved, 1)
            status = torch.where(status > 0, status, torch.cat(failed, 1))
            lags.append(frame.decode(states.double()).to(context.dtype))
        later = self.given["later"]
        return ensemble_of(lags, status=status, columns=later.columns if later.container == "pandas" else ())

    @capability(
        reads={
            "y": Role(
                name="y", kind="measurements", axis="", about="File with measurements, one row per time."
            ),
            "start": "now",
        },
        like="start",
        passes=Assimilation,
    )
    def assimilate(
        self,
        /,
        y: Observed,
        start: Tensor,
        noise: OneOrEach[Positive],
        *,
        operator: Any = None,
        cond: Tensor | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Assimilated:
        """Estimate a hidden state from noisy measurements over time: filter, smoother and evidence.

        The measurement of a time is ``y = H(x) + noise`` of the state then. Times are one lag apart, and the first is
        one lag after ``start``. Where a row of y is NaN, members are forecast as in :meth:`forecast`.

        Args:
            y: Measurements, ``(K, *M)``; NaN where nothing was measured.
            start: State before the first time, ``(1, *D)``, or rows that have its distribution, ``(S, *D)``.
            noise: Standard deviation of the noise, > 0, in the units of y: one number, or one per entry.
            operator: H: names or numbers of the measured columns, a matrix ``(M, D)``, an ``Operator``, or a
                differentiable function of states ``(B, *D)`` in data units. None for the columns that y and the states
                have in common by name, or whole states.
            cond: What else is known of each row of ``start``, as in :meth:`fit`; held fixed over time.
            seed: Seed of all noise.
            options: Settings of :class:`~interpolants.methods.parts.assimilation.Assimilation`: ``method``,
                ``members``, ``lag``, ``inflation``, ``ess`` and ``n_steps``.

        Returns:
            Weighted members ``(K, N, *D)`` with their mean, standard deviation, log evidence and effective number.

        Raises:
            InvalidInputError: If a name, shape or setting breaks its rule.
            DivergedError: If members or weights became NaN or infinite.

        Warns:
            FitWarning: If the weights collapse to less than two members, or y lies far from its forecasts.
        """
        settings, fields, frame = Assimilation(**options), self.fields, self.state["frame"]
        names = [str(name) for name in self.columns("now")]
        sensor = sensor_of(y, noise, operator, tuple(start.shape[1:]), names, start)
        index = start_members(start, settings.members, seed)
        cond, members = _as_float32(cond), _encoded(frame, start)[index]

        def cond_of(starts: Tensor) -> Tensor | None:
            return None if cond is None else cond[index[starts]]

        def forecast(x: Tensor, starts: Tensor, k: int, stream: str = "assimilate forecast") -> Tensor:
            return sample_from_point(
                fields, x, n_steps=settings.n_steps, seed=key(seed, stream, k), cond=cond_of(starts)
            ).x

        def draw(x: Tensor, starts: Tensor, k: int, measurement: GaussianMeasurement) -> GuidedDraws:
            if settings.method != "guided" or not len(measurement.y):
                return free_draws(forecast(x, starts, k), measurement, settings.inflation)
            picks = torch.linspace(0, len(x) - 1, min(len(x), SPREAD_STARTS)).long()
            picks = picks.repeat_interleave(SPREAD_DRAWS)
            free = forecast(x[picks], starts[picks], k, "assimilate spread").double()
            std = free.reshape(-1, SPREAD_DRAWS, *free.shape[1:]).var(1).mean(0).sqrt()
            return guided_bridge(
                fields,
                x,
                measurement,
                std.clamp_min(_SMALLEST_STD),
                n_steps=settings.n_steps,
                seed=key(seed, "assimilate guided", k),
                cond=cond_of(starts),
            )

        answer = filtered(sensor, members, settings, draw, frame, seed)
        answer = replace(answer, x=answer.x.to(start.dtype), names=tuple(names))
        return answer.smoothed(settings.lag) if settings.lag else answer


class StartNet(Remembered, id="start_net"):
    """A network that is told the start of the process and what else is known: ``f(x, t, start_at(x0, cond))``.

    Args:
        net: As in :class:`Forecaster`; one of the library's is made in float32.
        shape: Event shape of the state.
        form: What is known of each row.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: If the name or a setting is unknown, or fields come with states that are vectors.
    """

    def __init__(
        self,
        net: Any,
        shape: tuple[int, ...],
        form: ConditionForm | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.form = form or ConditionForm()
        self.place = "vector" if len(shape) == 1 else "field"
        if self.form.field and self.place == "vector":
            rule = "cond must be labels or vectors for states that are vectors"
            raise invalid("Forecaster.fit", rule, "fields")
        made = told_net("Forecaster", net, shape, self.form.settings(**{self.place: shape[0]}), _OURS, seed)
        self.net = made if isinstance(net, nn.Module) else made.float()

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The network's output, ``(B, *D)``."""
        told = self.form.join(cond["cond"], **{self.place: cond["x0"]})
        output: Tensor = ask(self.net, x, t, told)
        return output


def _groups(members: int) -> Iterator[tuple[int, int]]:
    """The first member and the size of each group that holds one of ``members``."""
    begin = 0
    while begin < members:
        size = max(1, min(begin, _LARGEST_GROUP))
        yield begin, size
        begin += size


def _batches(
    first: Tensor, second: Tensor, cond: Tensor | None, size: int, times: TimeSampler
) -> PairBatches:
    known = start_at(first, cond)
    return PairBatches(first, second, size, Paired(), times, cond=known, who="Forecaster.fit")


def _encoded(frame: Standard, x: Tensor) -> Tensor:
    """States in the network's units: the difference to the mean is taken in float64, the network works in float32."""
    return frame.encode(x.double()).float()


def _as_float32(cond: Tensor | None) -> Tensor | None:
    return cond.float() if cond is not None and cond.is_floating_point() else cond


def _inner_variance(now: Tensor, later: Tensor, seed: int) -> float:
    """Variance of later given now, averaged over coordinates: half the squared gap between nearest neighbours' futures.

    Too large by what the flow itself does between neighbours, and that is harmless here.
    """
    rows = torch.randperm(len(now), generator=generator(seed, "forecast neighbours"))[:_NEIGHBOURS]
    x, y = now[rows].flatten(1), later[rows].flatten(1)
    if len(x) < 2:
        return 1.0
    apart = torch.cdist(x, x).fill_diagonal_(torch.inf)
    return float(0.5 * (y - y[apart.argmin(1)]).square().mean())
