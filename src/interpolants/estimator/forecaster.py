"""The estimator of forecasting: pairs (state now, state later) in, the law of later states out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import torch
from torch import Tensor

from interpolants.couplings.paired import Paired
from interpolants.data.arrays import Kind, as_tensor, restore
from interpolants.dynamics.point_source import sample_from_point
from interpolants.estimator import choices
from interpolants.estimator.forecast_scores import ForecastScores, verify_forecast
from interpolants.estimator.normaliser import Normaliser
from interpolants.estimator.start_net import Given, StartNet, as_given, make_start_net
from interpolants.estimator.starts import Pool
from interpolants.fields.point_source import PointSourceFields
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.randomness import generator, key
from interpolants.foundations.types import Condition
from interpolants.objectives.losses import JointLoss
from interpolants.objectives.point_source import PointSourceLoss
from interpolants.paths.mirror import Diffusive
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.training.engine import FitResult
from interpolants.training.engine import fit as train
from interpolants.training.pairs import PairBatches, PathLoss, TimedNet, finished

# Members are computed in fixed groups of 1, 1, 2, 4, 8, 8, 8 ..., each with noise of its own, so that a member does not
# depend on how many there are.
_LARGEST_GROUP = 8
# Pairs among which neighbours are sought, and the least diffusivity, in standardised units.
_NEIGHBOURS, _LEAST_SCALE = 4000, 1e-3


class Forecaster:
    """Learns the law of a later state given the state now, and draws ensembles and roll-outs from it.

    ::

        forecaster = Forecaster(seed=0).fit(now, later)
        members = forecaster.ensemble(x, 50)           # (B, 50, *D)
        future = forecaster.rollout(x, steps=20, members=50)
        print(forecaster.verify(now_test, later_test, members=50))

    One network learns the drift of a diffusion that starts at the point ``x0 = now`` and has the law of ``later | now``
    at t = 1. The noise level of the ensemble is chosen afterwards (``eps=``); every choice gives one law.

    Args:
        path: Name of a two-sided path with latent noise, a table ``{"kind": ..., **settings}``, or a ``Path``, in
            standardised units. ``"auto"`` is ``Diffusive`` with ``2 scale`` the variance of later given now, estimated
            from neighbours: noise much wider than the answer must be undone, much narrower has nowhere to go.
        net: ``"auto"`` (MLP for vectors, U-Net for images), a name, a table with settings, or an ``nn.Module`` called
            as ``net(x, t, cond)`` where cond holds the state now: ``{"vector": (B, D + C)}`` or
            ``{"field": (B, K, H, W)}``, and ``"label"`` if there are labels.
        times: As in :class:`Bridge`.
        standardize: Learn in units where the pooled states have mean 0 and standard deviation 1 per coordinate (overall
            for images). ``eps`` is in those units squared.
        seed: Seed of initial weights, training and default sampling, >= 0.
        train: Settings of the training loop, e.g. ``steps=5000, lr=2e-3`` (see ``training.TrainSettings``).

    Raises:
        InvalidInputError: If a name or setting is unknown, or the path cannot start from a point.

    Source: Chen, Goldstein, Hua, Albergo, Boffi & Vanden-Eijnden (2024), arXiv:2403.13724.
    """

    def __init__(
        self,
        path: Any = "auto",
        *,
        net: Any = "auto",
        times: Any = "auto",
        standardize: bool = True,
        seed: int = 0,
        **train: Any,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise invalid("Forecaster", "seed must be an integer >= 0", seed)
        self._auto_path = isinstance(path, str) and path == "auto"
        wanted = {"kind": "diffusive", "scale": 0.5} if self._auto_path else path
        chosen = _ours(lambda: choices.choose_path(wanted))
        PointSourceFields(chosen, drift=_nothing)  # refuses a path that does not fit
        assert isinstance(chosen, SpatiallyLinearPath)
        self.path = chosen
        self.times = _ours(lambda: choices.choose_times(times))
        defaults: dict[str, Any] = {"seed": seed, "schedule": "cosine", "warmup": 50, "lr": 2e-3}
        self.settings = _ours(lambda: choices.train_settings({**defaults, **train}))
        self._settings_when_made = self.settings
        self.seed, self.standardize = seed, standardize
        self._wanted_net, self._wanted_times = net, times
        self.net: StartNet | None = None
        self.normaliser = Normaliser.identity()
        self.shape: tuple[int, ...] = ()
        self.result: FitResult | None = None
        self.history: list[dict[str, Any]] = []
        self._climate: Pool | None = None
        self._kind: Kind | None = None
        self._given: Given | None = None

    # --- learning

    def fit(
        self,
        now: Any,
        later: Any,
        *,
        cond: Any = None,
        steps: int | None = None,
        batch_size: int | None = None,
        progress: bool = True,
        out: str | FilePath | None = None,
        resume: bool = False,
    ) -> "Forecaster":
        """Learn from pairs: row i of ``later`` is what became of row i of ``now``.

        Args:
            now: States, ``(N, *D)``.
            later: States one lag later, ``(N, *D)``.
            cond: What else is known of each pair: labels ``(N,)``, vectors ``(N, C)`` or fields ``(N, C, *D)``.
            steps: Training steps, instead of the forecaster's setting.
            batch_size: Rows per step, instead of the forecaster's setting.
            progress: Show a progress bar.
            out: Folder for checkpoints and logs.
            resume: Go on from the checkpoints in ``out``.

        Returns:
            The forecaster itself, fitted.

        Raises:
            InvalidInputError: If the data do not fit each other.
            DivergedError: If training leaves the finite numbers.
        """
        first, self._kind = as_tensor(now, "Forecaster.fit", "now")
        second, _ = as_tensor(later, "Forecaster.fit", "later")
        if first.shape != second.shape:
            rule = f"later must have the shape of now, {tuple(first.shape)}"
            raise invalid(
                "Forecaster.fit", rule, tuple(second.shape), "Row i of later is what became of row i of now."
            )
        overrides = {k: v for k, v in (("steps", steps), ("batch_size", batch_size)) if v is not None}
        made = self._settings_when_made.model_dump()
        self.settings = _ours(lambda: choices.train_settings({**made, **overrides}))
        self.shape, self.net = tuple(first.shape[1:]), None
        first, second = first.float(), second.float()
        self.normaliser = Normaliser.of(first, second) if self.standardize else Normaliser.identity()
        first, second = self.normaliser.encode(first), self.normaliser.encode(second)
        given = as_given(cond, len(first), "Forecaster.fit")
        self._given = Given.of(given)
        self._climate = Pool.of(second, None, self.seed)
        if self._auto_path:
            self.path = Diffusive(scale=max(0.5 * _inner_variance(first, second, self.seed), _LEAST_SCALE))
        net = make_start_net(self._wanted_net, self.shape, self._given, self.seed)
        self.times = _ours(lambda: choices.choose_times(self._wanted_times))
        batches = PairBatches(
            first,
            second,
            self.settings.batch_size,
            Paired(),
            self.times,
            cond={"x0": first, "cond": given},
            who="Forecaster.fit",
        )
        loss = PathLoss(JointLoss([PointSourceLoss(self.path)]), self.times)
        timed = TimedNet(net, self.times)
        self.result = train(timed, loss, batches, self.settings, out=out, resume=resume, progress=progress)
        self.history = [dict(row) for row in self.result.history]
        done = finished(net, self.result)
        assert isinstance(done, StartNet)
        self.net = done
        return self

    @property
    def fields(self) -> PointSourceFields:
        """The learnt fields, in the network's (standardised) units.

        Raises:
            InvalidInputError: If the forecaster is not fitted.
        """
        return PointSourceFields(self.path, drift=self._fitted("fields"))

    def _fitted(self, what: str) -> StartNet:
        if self.net is None:
            raise invalid(
                f"Forecaster.{what}",
                "the forecaster must be fitted",
                "one that is not",
                "Call fit(now, later) first.",
            )
        return self.net

    # --- forecasting

    def ensemble(
        self,
        x: Any,
        members: int = 50,
        *,
        cond: Any = None,
        eps: Any = "reference",
        seed: int | None = None,
        first_index: int = 0,
        **options: Any,
    ) -> Any:
        """Draw later states of each state in ``x``.

        Member m of start i is one number of (seed, i, m): it does not depend on the batch, nor on how many members
        there are.

        Args:
            x: States now, ``(B, *D)``, in data units.
            members: Members M of each ensemble, >= 1.
            cond: What else is known of each row, as in :meth:`fit`.
            eps: Noise level: ``"reference"``, ``"follmer"``, a number >= 0, a function of t or a ``NoiseLevel``.
            seed: Seed of the noise; the forecaster's own when None.
            first_index: Index of the first row in a larger job, so that parts agree with the whole.
            options: Anything else that ``dynamics.sample_from_point`` takes: ``n_steps``, ``method`` ...

        Returns:
            ``(B, M, *D)`` in data units, an array or a tensor like ``x``.
        """
        points, kind = self._points(x, "ensemble")
        given = self._checked(cond, len(points))
        states = points[:, None].expand(-1, _whole(members, "members"), *self.shape)
        drawn = self._advance(states, given, eps, self._seed(seed), 0, first_index, options)
        return _like(self.normaliser.decode(drawn), kind)

    def rollout(
        self,
        x: Any,
        steps: int,
        members: int = 50,
        *,
        cond: Any = None,
        eps: Any = "reference",
        seed: int | None = None,
        first_index: int = 0,
        **options: Any,
    ) -> Any:
        """Forecast further ahead: each member goes on from where it is, ``steps`` times.

        Args:
            x: States now, ``(B, *D)``.
            steps: Lags to go, >= 1.
            members: Members M, >= 1.
            cond: Held fixed over the roll-out.
            eps: As in :meth:`ensemble`.
            seed: As in :meth:`ensemble`; the first step is the ensemble of that seed.
            first_index: As in :meth:`ensemble`.
            options: As in :meth:`ensemble`.

        Returns:
            ``(steps + 1, B, M, *D)``; the first is ``x`` itself.
        """
        points, kind = self._points(x, "rollout")
        given = self._checked(cond, len(points))
        states = points[:, None].expand(-1, _whole(members, "members"), *self.shape)
        kept = [states]
        for step in range(_whole(steps, "steps")):
            states = self._advance(states, given, eps, self._seed(seed), step, first_index, options)
            kept.append(states)
        return _like(self.normaliser.decode(torch.stack(kept)), kind)

    def _advance(
        self,
        states: Tensor,
        cond: Condition,
        eps: Any,
        seed: int,
        step: int,
        first_index: int,
        options: dict[str, Any],
    ) -> Tensor:
        """One lag: ``(B, M, *D)`` -> ``(B, M, *D)``, group of members by group of members."""
        parts, fields = [], self.fields
        for number, (begin, size) in enumerate(_groups(states.shape[1])):
            group = states[:, begin : begin + size]
            count = group.shape[1]
            if count < size:  # the last group is filled up, for its rows to keep their places
                group = torch.cat([group, group[:, :1].expand(-1, size - count, *self.shape)], 1)
            done = sample_from_point(
                fields,
                group.reshape(-1, *self.shape),
                eps=eps,
                seed=key(seed, "forecast member", step, number),
                cond=None if cond is None else cond.repeat_interleave(size, 0),
                first_index=first_index * size,
                **options,
            )
            parts.append(done.x.reshape(-1, size, *self.shape)[:, :count])
        return torch.cat(parts, 1)

    def verify(
        self,
        now: Any,
        later: Any,
        members: int = 50,
        *,
        cond: Any = None,
        oracle: Any = None,
        eps: Any = "reference",
        seed: int | None = None,
        **options: Any,
    ) -> ForecastScores:
        """Score the ensembles of ``now`` against what came, beside persistence, climatology and, if known, the truth.

        Args:
            now: States, ``(N, *D)``, not used in training.
            later: What became of them.
            members: Members M of each ensemble, >= 2.
            cond: As in :meth:`ensemble`.
            oracle: The true law: a problem with ``members(x, count, generator=...)``, or such a function.
            eps: As in :meth:`ensemble`.
            seed: As in :meth:`ensemble`.
            options: As in :meth:`ensemble`.

        Returns:
            Scores with errors; printing them gives a table.
        """
        start, _ = as_tensor(now, "Forecaster.verify", "now")
        truth, _ = as_tensor(later, "Forecaster.verify", "later")
        if start.shape != truth.shape:
            rule = f"later must have the shape of now, {tuple(start.shape)}"
            raise invalid("Forecaster.verify", rule, tuple(truth.shape))
        if members < 2:
            raise invalid("Forecaster.verify", "members must be >= 2", members)
        drawn = self.ensemble(start, members, cond=cond, eps=eps, seed=seed, **options)
        assert self._climate is not None
        climate = self.normaliser.decode(self._climate.x)
        return verify_forecast(
            drawn,
            start,
            truth,
            climate,
            oracle=oracle,
            generator=generator(self._seed(seed), "forecast scores"),
        )

    def _points(self, x: Any, who: str) -> tuple[Tensor, Kind]:
        self._fitted(who)
        points, kind = as_tensor(x, f"Forecaster.{who}", "x")
        if tuple(points.shape[1:]) != self.shape:
            rule = f"x must have the event shape the forecaster was fitted to, {self.shape}"
            raise invalid(f"Forecaster.{who}", rule, tuple(points.shape[1:]))
        return self.normaliser.encode(points.float()), kind

    def _checked(self, cond: Any, rows: int) -> Tensor | None:
        given = as_given(cond, rows, "Forecaster")
        if (form := Given.of(given)) is None or self._given is None:
            same = form is None and self._given is None
        else:
            same = form.fits(self._given)
        if not same:
            wanted = "none" if self._given is None else str(self._given)
            rule = f"cond must be what the forecaster was fitted with, {wanted}"
            raise invalid("Forecaster", rule, "none" if form is None else str(form))
        return given

    def _seed(self, seed: int | None) -> int:
        return self.seed if seed is None else seed

    # --- storage

    def save(self, folder: str | FilePath) -> FilePath:
        """Write the forecaster to a folder: safetensors and JSON, no code.

        Raises:
            InvalidInputError: If the path or network is of your own making, which a file cannot hold.
        """
        from interpolants.estimator.forecast_store import save_forecaster

        return save_forecaster(self, FilePath(folder))

    @classmethod
    def load(cls, folder: str | FilePath) -> "Forecaster":
        """Read a forecaster that :meth:`save` wrote.

        Raises:
            InvalidInputError: If the folder is missing, damaged or not a forecaster.
        """
        from interpolants.estimator.forecast_store import load_forecaster

        return load_forecaster(FilePath(folder))

    def __repr__(self) -> str:
        state = "fitted" if self.net is not None else "not fitted"
        return f"Forecaster(path={self.path!r}, shape={self.shape}, {state})"


def _groups(members: int) -> Iterator[tuple[int, int]]:
    """The first member and the size of each group that holds one of ``members``."""
    begin = 0
    while begin < members:
        size = max(1, min(begin, _LARGEST_GROUP))
        yield begin, size
        begin += size


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


def _like(x: Tensor, kind: Kind) -> Any:
    """An answer with more dimensions than the input: an array for arrays and tables, else a tensor."""
    plain = replace(kind, flat=False)
    return restore(x, replace(plain, container="numpy") if kind.container == "pandas" else plain)


def _whole(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise invalid("Forecaster", f"{name} must be an integer >= 1", value)
    return value


def _nothing(x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
    return torch.zeros_like(x)


def _ours(choose: Callable[[], Any]) -> Any:
    """A choice shared with the bridge, whose refusals name the forecaster instead."""
    try:
        return choose()
    except InvalidInputError as error:
        raise type(error)(str(error).replace("Bridge", "Forecaster", 1)) from None
