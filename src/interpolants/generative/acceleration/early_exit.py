"""Early exit from a trained transformer or residual perceptron: depth where a sample needs it."""

import copy
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from annotated_types import Interval
from torch import Generator, Tensor, nn

from interpolants.dynamics.modifiers import Modifier
from interpolants.dynamics.sample import Sampling
from interpolants.dynamics.sample import sample as run_dynamics
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.asked import who
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.equal_rows import copies, together, uncut
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Answer, Check, Count, NonNegative
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import Condition, take_rows
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Frame, FramedFields
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.generative.acceleration.exit_heads import ExitHeads
from interpolants.generative.acceleration.exit_training import ExitLoss, ExitProblem, calibrated
from interpolants.generative.acceleration.layer_exit import (
    CRITERIA,
    LayerExit,
    StaticExit,
    layered,
    weights_hash,
)
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.parts.choices import choose_coupling
from interpolants.methods.parts.conditions import check_told
from interpolants.methods.parts.learning import in_one_precision
from interpolants.methods.parts.start_points import StartPoints
from interpolants.objectives.times import StratifiedTimes
from interpolants.paths.path import PathSample, SpatiallyLinearPath
from interpolants.training.pairs import PairBatches, finished
from interpolants.training.settings import TrainSettings

_WHO = "EarlyExit"
# Factor on the learning rate of the estimates.
_ESTIMATES_LEARN = 10.0
_TRIALS = 10
# Times of the calibration, and its most rows at each.
_TIMES, _ROWS = 33, 256
STATIC, FULL = "static", "full"
EVERY = (*CRITERIA, STATIC, FULL)
# The published choices; the code differs from the paper.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"criterion": "absolute", "threshold": 0.1, "head": "separate", "weighting": "elements"},
    "code": {
        "criterion": "absolute",
        "threshold": 0.08,
        "head": "shared",
        "weighting": "batch",
        "plain": 0.0,
    },
}


class EarlyExit(Trained):
    """Heads and error estimates at the layers of a fitted model's network, by which each sample leaves when it may.

    ::

        quick = EarlyExit(criterion="relative", threshold=0.02).fit(x1=images, model=bridge)
        y = quick.sample(1000)
        done = quick.sample(1000, criterion="relative", threshold=0.1, details=True)
        done.reports[-1]["layers"]                       # mean number of layers of each sample
        done.reports[-1]["computed"]                     # layers that were computed for it, padding included

    The network must be one of layers: ``image_transformer``, or ``mlp`` with ``residual=True``. Compare with
    ``criterion="static"`` at the same mean number of layers: that is the rival that a rule must beat.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Tang et al. (2024), arXiv:2309.17074.
    """

    noun: ClassVar[str] = "early exit"

    criterion: Answer[Literal["absolute", "relative", "gap", "static", "full"]] = "relative"
    """``"absolute"`` (published), ``"relative"``, ``"gap"``; ``"static"`` takes ``threshold`` layers, and ``"full"``
    all; see ``acceleration.LayerExit``."""
    threshold: Answer[NonNegative] = 0.02
    """Of the criterion, at most 1; a number of layers for ``"static"``."""
    tune: bool = True
    """Train the network along with the heads, from the model's weights; the full model then changes too. False keeps it
    as it is."""
    head: Literal["separate", "shared"] = "separate"
    """``"separate"`` heads, or the network's own ``"shared"`` by all layers."""
    weighting: Literal["elements", "batch", "none"] = "elements"
    """Weights of the layers' errors: ``"elements"`` of ``1 - u``, ``"batch"``, or ``"none"``."""
    uncertainty: NonNegative = 1.0
    """Weight of the loss of the estimates."""
    layers: NonNegative = 1.0
    """Weight of the weighted loss of layers before the last."""
    plain: NonNegative = 0.1
    """Weight of their loss without weights, against poor early layers."""
    space: Literal["noise", "denoised", "velocity"] = "noise"
    """Quantity in whose units errors are estimated, for ``"absolute"`` and ``"relative"``."""
    gap_space: Literal["noise", "denoised", "velocity"] = "denoised"
    """Likewise for ``"gap"``; ``"denoised"`` weighs errors as the samples will."""
    calibrate: Annotated[float, Interval(gt=0, le=0.5)] = 0.1
    """Share of the rows that training does not see and calibration uses."""
    coupling: Annotated[Any, Check(choose_coupling)] = "independent"
    """How x0 and x1 are paired, as in the model's own training."""
    drop_condition: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Chance of a row to be learnt from without its condition, as in the model's own training."""
    base: Mapping[str, Any] | None = None
    """Settings of a :class:`~interpolants.methods.bridge.bridge.Bridge` to train first, where no model is given."""
    lr = 1e-3
    consecutive: Answer[Count] = 1
    """Number of consecutive layers that must meet the criterion before a sample exits."""

    def check_settings(self) -> None:
        """Refuse a threshold that the criterion does not have, and settings that no base has."""
        _check_threshold(who(), self.criterion, self.threshold)
        if self.base is not None:
            self._first()

    def _first(self) -> Bridge:
        return Bridge(
            **{"coupling": self.coupling, "drop_condition": self.drop_condition, **(self.base or {})}
        )

    def training(self, **changes: Any) -> TrainSettings:
        """The settings of the gradient loop; estimates learn faster than the network, which is there already."""
        own = {"exits.estimates": {"lr": _ESTIMATES_LEARN}, **self.groups}
        return super().training(**{"groups": own, **changes})

    def roles(self) -> tuple[Role, ...]:
        """Samples like those of the model's own training, and the model."""
        return (
            Role(
                name="x0",
                axis="x0",
                like="x1",
                optional=True,
                about="samples at t = 0, for a path without a base",
            ),
            Role(name="x1", axis="x1", about="samples at t = 1"),
            Role(
                name="cond", kind="condition", axis="x1", optional=True, about="condition of each row of x1"
            ),
            Role(name="model", kind="model", axis="", optional=True, needs="fields", about="a fitted model"),
        )

    def fit(
        self, x0: Any = None, x1: Any = None, *, cond: Any = None, model: Any = None, **options: Any
    ) -> Self:
        """Train heads and estimates.

        Args:
            x0: Samples at t = 0; left out where the model's path has a Gaussian base.
            x1: Samples at t = 1, ``(N, *D)``, of the kind that the model was trained on.
            cond: What is known of each row of ``x1``, where the model is conditional.
            model: A fitted model with ``fields`` of one network of layers; with ``base`` it is trained here.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        given = {"x0": x0, "x1": x1, "cond": cond, "model": model}
        return super().fit(**{name: value for name, value in given.items() if value is not None}, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The model if there is none, its heads, and the calibration."""
        if ("model" in data) == (self.base is not None):
            found = "both" if "model" in data else "neither"
            raise invalid(f"{_WHO}.fit", "exactly one of model and base must be passed", found)
        data = in_one_precision(f"{_WHO}.fit", data)
        rows = {name: data[name] for name in ("x0", "x1", "cond") if name in data}
        model = data["model"] if "model" in data else run.fit("base", self._first(), **rows)
        check_told(f"{_WHO}.fit", model, rows.get("cond"))
        fields, frame = _fields_of(model)
        encoded: dict[str, Tensor] = {
            name: frame.encode(rows[name]).float() for name in ("x0", "x1") if name in rows
        }
        path, cond = fields.path, rows.get("cond")
        assert path is not None
        if path.base is None and "x0" not in encoded:
            raise invalid(f"{_WHO}.fit", "x0 must be passed for a path without a base", "none")

        problem = self._problem(fields)
        inner: Any = layered(f"{_WHO}.fit", problem.inner)
        exits = ExitHeads(inner.n_layers, inner.width, inner.per_token, head=self.head, seed=self.seed)
        exits = exits.to(next(problem.inner.parameters()))
        parts = nn.ModuleDict({"exits": exits})
        if self.tune:
            parts["net"] = copy.deepcopy(problem.inner).requires_grad_(True).train()
        away, kept = _apart(encoded["x1"], cond, self.calibrate, self.seed)
        ends = encoded.get("x0"), encoded["x1"][kept]
        times, known = StratifiedTimes(), take_rows(cond, kept)
        batches = PairBatches(*ends, self.batch_size, self.coupling, times, cond=known, who=f"{_WHO}.fit")
        drop = self.drop_condition if cond is not None else 0.0
        loss = ExitLoss(problem, self.tune, self.uncertainty, self.layers, self.plain, self.weighting, drop)
        done: Any = finished(parts, run.train("exits", parts, loss, batches, self.training()), prefix="")

        net = done["net"] if self.tune else None
        tuned = self._problem(_through(fields, net))
        draw, source = _drawing(tuned, encoded, cond, away), generator(self.seed, "calibration")
        # Over the whole path; where its rate is infinite at the start, from where samplers ask.
        steep = isinstance(path, SpatiallyLinearPath) and path.is_steep_at_0
        clock = torch.linspace(tuned.fields.margin if steep else 0.0, 1.0, _TIMES)
        table = calibrated(tuned, done["exits"], draw, clock, source)
        starts = StartPoints.of(
            path.base, encoded.get("x0"), seed=self.seed, shape=tuple(encoded["x1"].shape[1:])
        )
        learnt = {"exits": done["exits"], "net": net, "table": table, "hash": weights_hash(tuned.inner)}
        return {"model": model, "starts": starts, **learnt}

    def _problem(self, fields: LearnedFields) -> ExitProblem:
        return ExitProblem(fields, {"error": self.space, "gap": self.gap_space})

    # --- what was learnt

    @property
    def fields(self) -> LearnedFields:
        """The full model's fields, tuned where it was."""
        state = self.fitted_state("fields")
        return _through(_fields_of(state["model"])[0], state["net"])

    @property
    def frame(self) -> Frame:
        """The units of :attr:`fields`: the model's."""
        return _fields_of(self.fitted_state("frame")["model"])[1]

    @property
    def exits(self) -> ExitHeads:
        """Heads and estimates."""
        found: ExitHeads = self.fitted_state("exits")["exits"]
        return found

    @property
    def table(self) -> dict[str, Tensor]:
        """The calibration; see ``exit_training.calibrated``."""
        found: dict[str, Tensor] = self.fitted_state("table")["table"]
        return found

    def modifier(self, criterion: str | None = None, threshold: float | None = None) -> Modifier | None:
        """The exits as a modifier of any run of :attr:`fields`; None for all layers.

        Args:
            criterion: Instead of that of the settings.
            threshold: Likewise; the number of layers for ``"static"``.
        """
        kind: Any = self.criterion if criterion is None else one_of(who(), "criterion", criterion, EVERY)
        limit = self.threshold if threshold is None else threshold
        _check_threshold(who(), kind, limit)
        state = self.fitted_state("modifier")
        if kind == FULL:
            return None
        if kind == STATIC:
            return StaticExit(state["exits"], int(limit), state["hash"])
        told = state["table"]
        rows = sorted(zip(told["clock"].tolist(), told["error"][:, -1].tolist(), strict=True))
        return LayerExit(state["exits"], kind, float(limit), tuple(rows), state["hash"], self.consecutive)

    def threshold_for(
        self, share: float, criterion: str | None = None, *, n: int = 128, **options: Any
    ) -> float:
        """The threshold with which samples go through a share of the layers, to the nearest that was tried.

        Args:
            share: Mean number of layers over N, in (0, 1].
            criterion: Instead of that of the settings.
            n: Number of samples of a trial; ten trials are made.
            options: Of :meth:`sample`, those of the later runs: ``n_steps``, ``method`` ...
        """
        number(f"{_WHO}.threshold_for", "share", share, above=0, at_most=1)
        kind = self.criterion if criterion is None else criterion
        one_of(f"{_WHO}.threshold_for", "criterion", kind, CRITERIA)
        goal, low, high = share * self.exits.n_layers, 0.0, 1.0
        best = (float("inf"), low)
        for _ in range(_TRIALS):
            middle = (low + high) / 2
            done = self.sample(n, criterion=kind, threshold=middle, details=True, **options)
            found = float(done.reports[-1]["layers"].mean())
            best = min(best, (abs(found - goal), middle))
            low, high = (middle, high) if found > goal else (low, middle)
        return best[1]

    # --- capabilities

    @capability(like="x1", passes=Sampling, takes=("criterion", "threshold", "consecutive"))
    def sample(
        self,
        /,
        n: Count,
        *,
        seed: int = 0,
        cond: Tensor | None = None,
        first_index: int = 0,
        details: bool = False,
        **options: Any,
    ) -> Any:
        """Draw samples, each layer asked only for those that have not left.

        Args:
            n: Number of samples.
            settings: Settings of answers, for this call.
            seed: Seed of starts and noise.
            cond: One condition for all samples, or one row per sample.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.
            details: Return ``dynamics.Samples`` in data units; the last report has the layers of each sample, and
                those that were computed.
            options: Settings of ``dynamics.Sampling``: ``eps``, ``method``, ``n_steps`` ...
        """
        start = self.state["starts"].draw(n, seed, first_index)
        exits = self.modifier()
        given = options.pop("modifiers", ())
        several = [*given] if isinstance(given, list | tuple) else [given]
        done = run_dynamics(
            self.fields,
            start.float(),
            modifiers=[*several, *([] if exits is None else [exits])],
            seed=seed,
            first_index=first_index,
            cond=cond.float() if cond is not None and cond.is_floating_point() else cond,
            **options,
        )
        x = self.frame.decode(done.x.to(self.given["x1"].torch_dtype))
        return type(done)(**{**vars(done), "x": x, "path": None}) if details else x

    def depth_profile(self, n: int = 256, **options: Any) -> dict[str, Tensor]:
        """Layers by evaluation along a run.

        Args:
            n: Number of samples.
            options: Of :meth:`sample`.

        Returns:
            ``mean``, ``low`` and ``high`` (a tenth of the samples is below, above), ``(calls,)``.
        """
        done = self.sample(n, details=True, **options)
        layers = done.reports[-1]["by_call"] if done.reports else None
        if layers is None or not layers.numel():
            raise invalid("EarlyExit.depth_profile", "rows must be able to leave", "all layers, always")
        low, high = (torch.quantile(layers, q, dim=0) for q in (0.1, 0.9))
        return {"mean": layers.mean(0), "low": low, "high": high}


def _check_threshold(who: str, criterion: str, threshold: float) -> None:
    if criterion == STATIC:
        layers = int(threshold) if float(threshold).is_integer() else threshold
        whole(who, "threshold (layers)", layers, at_least=1)
    elif criterion != FULL:
        number(who, "threshold", threshold, at_least=0, at_most=1)


def _fields_of(model: Any) -> tuple[LearnedFields, Frame]:
    """Fields of one network, and their units.

    Raises:
        InvalidInputError: If the model has others.
    """
    who = f"{_WHO}.fit"
    if not isinstance(model, FramedFields) or not isinstance(model.fields, LearnedFields):
        raise invalid(
            who,
            "model must have learnt fields and their units",
            type(model).__name__,
            "Pass a fitted model, for example a Bridge.",
        )
    if len(model.fields.networks) != 1:
        raise invalid(who, "model must have one network", len(model.fields.networks))
    return model.fields, model.frame


def _through(fields: LearnedFields, net: nn.Module | None) -> LearnedFields:
    return fields if net is None else fields.through(lambda inner: net)


def _apart(x1: Tensor, cond: Condition, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of rows for the calibration, and of those for training; equal rows are in one of them."""
    rows, first = len(x1), copies(x1, cond)
    if rows < 4:
        raise invalid(f"{_WHO}.fit", "x1 must have at least four rows", rows)
    order = together(torch.randperm(rows, generator=generator(seed, "calibration rows")), first)
    count = uncut(order, first, min(max(2, round(share * rows)), rows - 2))
    return order[:count].sort().values, order[count:].sort().values


def _drawing(problem: ExitProblem, ends: Mapping[str, Tensor], cond: Condition, away: Tensor) -> Any:
    """States at a time, from rows that training did not see."""

    def draw(time: Tensor, source: Generator) -> tuple[PathSample, Condition]:
        index = away[torch.randint(len(away), (_ROWS,), generator=source)]
        x1, x0 = ends["x1"][index], None
        if "x0" in ends:
            x0 = ends["x0"][torch.randint(len(ends["x0"]), (_ROWS,), generator=source)]
        t = time.float().expand(_ROWS)
        return problem.path.sample(x0=x0, x1=x1, t=t, generator=source), take_rows(cond, index)

    return draw
