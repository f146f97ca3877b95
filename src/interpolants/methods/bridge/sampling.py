"""Samples of a fitted bridge: generated, transported, filled in, and the noise level at which they are best."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from interpolants.couplings.condition_cost import tells_conditions_on_the_way
from interpolants.couplings.pairs import labels_within
from interpolants.data.arrays import restore
from interpolants.dynamics.modifiers import Modifier, check_modifiers
from interpolants.dynamics.sample import Samples, Sampling
from interpolants.dynamics.sample import sample as run_dynamics
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import is_among, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.framework.answers import Scored
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Whitened, widened
from interpolants.framework.role import Role
from interpolants.framework.transformed import in_two
from interpolants.guidance.classifier_free import guide
from interpolants.methods.bridge.auto_eps import EpsChoice
from interpolants.methods.bridge.bridge_fit import as_float32
from interpolants.methods.bridge.classification import class_log_likelihoods
from interpolants.methods.bridge.completion import complete_rows
from interpolants.methods.bridge.densities import warn_of_errors_at_data
from interpolants.methods.bridge.drawing import Drawing, Guided
from interpolants.methods.bridge.examined import ExaminedBridge
from interpolants.methods.bridge.noise_level import choose_level, own_choice
from interpolants.methods.bridge.scored import check_scored, scored
from interpolants.methods.parts.start_points import Pool, draw_base

_PARTLY = Role(name="x", like="x1", gaps=True, about="Rows with gaps, which are filled in.")
_HOW_SURELY = Role(
    name="known", like="x1", optional=True, about="How surely each entry is known, from 0 to 1."
)


class SampledBridge(ExaminedBridge):
    """What a fitted :class:`interpolants.Bridge` samples."""

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Sureness of :meth:`complete` has no units of the data."""
        return "" if argument == "known" else super().likened(verb, argument, options)

    @capability(like="x1", shares=Drawing, passes=Sampling)
    def sample(
        self, n: int, *, log_prob: bool | Mapping[str, Any] = False, details: bool = False, **options: Any
    ) -> Any:
        """Draw ``n`` samples of rho1 (of rho0 when ``reverse``).

        Starts come from the Gaussian base, or from the stored samples of the other end, with replacement. Labels belong
        to rows of rho1: where these are the starts, a sample starts from one of its own label. So it does from
        rho0 where a coupling paired within labels of both ends. Where it paired by numbers that are known of both, a
        sample starts from one of the sqrt(N) stored rows whose conditions are nearest to its own.

        Args:
            n: Number of samples.
            log_prob: Also give the log density of each sample, by the same solve: ``x, lp = bridge.sample(n,
                log_prob=True)``. It needs what :meth:`log_prob` needs, and the flow; the solver is then ``"dopri5"``
                if none is named. In many dimensions ``{"divergence": "hutchinson", "probes": 8}``.
            details: Return ``dynamics.Samples`` (in data units) instead of the plain array; ``likelihood.LogProb`` with
                ``log_prob``.
            options: Settings of ``dynamics.Sampling``: ``method``, ``n_steps``, ``time_grid``, ``chunk`` ...

        Returns:
            ``(n, *D)`` in the kind that ``x1`` had, or the details.
        """
        whole("Bridge.sample", "n", n, at_least=1)
        drawing, options = Drawing.among(options)
        if log_prob:
            check_scored(self, log_prob, drawing.eps, drawing.reverse, options)
        seed = secrets.randbits(31) if drawing.seed is None else drawing.seed
        start = self._start(n, drawing.reverse, seed, drawing.first_index, drawing.cond)
        fields, cond = self._target(drawing)
        if log_prob:
            own = log_prob if isinstance(log_prob, Mapping) else {}
            found = scored(self, start, (fields, cond), seed, drawing.first_index, options, own)
            return found if details else Scored(found.x, found.log_prob)
        how = self._how(drawing, options, fields, cond)
        done = run_dynamics(fields, start, how, seed=seed, cond=cond, first_index=drawing.first_index)
        return self._in_data_units(done) if details else self.decoded(done.x)

    @capability(reads={"x": "x1"}, like="x", shares=Drawing, passes=Sampling)
    def transport(self, x: Tensor, *, details: bool = False, **options: Any) -> Any:
        """Carry given points from rho0 to rho1 (from rho1 to rho0 when ``reverse``).

        Args:
            x: Points ``(n, *D)`` in data units.
            details: Return ``dynamics.Samples`` (in data units) instead of the plain array.
            options: Settings of ``dynamics.Sampling``: ``method``, ``n_steps``, ``time_grid``, ``chunk`` ...

        Returns:
            ``(n, *D)`` in the kind of ``x``, or the details.

        Warns:
            OutsideWarning: If the points lie far from all rows that the end had in the fit.
        """
        drawing, options = Drawing.among(options)
        seed = secrets.randbits(31) if drawing.seed is None else drawing.seed
        fields, cond = self._target(drawing)
        if bool(self.frame.outside(x).any()):
            rule = "columns that were constant in the fit must have their values, and transformed ones such as can be"
            remedy = "Drop these columns or rows, or fit again with rows like these."
            raise invalid("Bridge.transport", rule, "rows with other values", remedy)
        start, how = self._encode(x), self._how(drawing, options, fields, cond)
        done = run_dynamics(fields, start, how, seed=seed, cond=cond, first_index=drawing.first_index)
        return self._in_data_units(done) if details else self.decoded(done.x)

    @capability(reads={"x": _PARTLY, "known": _HOW_SURELY}, like="x", shares=Guided)
    def complete(
        self, x: Tensor, *, known: Tensor | None = None, using: Any = "repaint", seed: int = 0, **options: Any
    ) -> Any:
        """Fill in the entries of rows that are NaN, given the others; on a one-sided path from a Gaussian base.

        The rules are heuristics, which come near the conditional distribution: repeat a row for several answers.

        Args:
            x: Rows ``(n, *D)`` in data units, NaN where an entry is to be filled in.
            known: How surely each entry is known, from 0 to 1, of the shape of ``x``; None for 1. It is 0 wherever
                ``x`` is NaN. What is known for sure comes out as it came in.
            using: ``"repaint"``, ``"cyclic_one_way"``, a table with settings, or an object of these classes.
            seed: Seed of the noise.
            options: The arguments of :class:`~interpolants.methods.bridge.drawing.Guided`.

        Returns:
            ``(n, *D)`` in the kind of ``x``.
        """
        guided, _ = Guided.among(options)
        fields, told = self._target(guided)
        return complete_rows(self, fields, x, known, using, seed, told, guided.first_index)

    @capability(reads={"x": "x1"})
    def classify(
        self,
        x: Tensor,
        *,
        span: tuple[float, float] = (-7.0, 7.0),
        levels: int = 16,
        seed: int = 0,
        first_index: int = 0,
    ) -> dict[str, Any]:
        """Labels of rows: the class under which the bridge predicts the noise of their noised states best.

        For exact fields, probabilities are those of the classes given the row, for even odds before it. A learnt
        network often tells classes at high noise only: then a span such as ``(-7.0, -2.0)`` errs less. One evaluation
        of the network per class and level.

        Args:
            x: Rows ``(n, *D)`` in data units.
            span: Lowest and highest log of signal over noise, ``log(beta^2 / alpha^2)``, for data in standard units.
            levels: Levels in between, each with noise of its own that all classes share.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job, so that parts agree with the whole.

        Returns:
            ``label``, ``(n,)`` as in the fit, and ``probability``, ``(n, K)`` for the K classes in the order of their
            codes.

        Raises:
            InvalidInputError: If the span or the number of levels is out of range.
        """
        scores = class_log_likelihoods(self, x, span, levels, seed, first_index)
        label = restore(scores.argmax(1), self.given["cond"])
        return {"label": label, "probability": scores.softmax(1).numpy()}

    def _how(self, drawing: Drawing, options: dict[str, Any], fields: Fields, cond: Condition) -> Sampling:
        """The way of a run along some fields."""
        if drawing.reverse or not is_among(drawing.eps, (0,)):
            warn_of_errors_at_data(
                self, "sample", "SDEs and reverse runs can be wrong by many standard deviations"
            )
        level = self._level(drawing.eps)
        modifiers = self._checked_modifiers(options.get("modifiers", ()), fields, cond)
        return Sampling(**{**options, "eps": level, "reverse": drawing.reverse, "modifiers": modifiers})

    def _in_data_units(self, done: Samples) -> Samples:
        path = None if done.path is None else self.decoded(done.path)
        return replace(done, x=self.decoded(done.x), path=path)

    def _encode(self, x: Tensor) -> Tensor:
        return self.frame.encode(x).float()

    def decoded(self, x: Tensor) -> Tensor:
        """States of the network in data units, in float64 where the data were."""
        return self.frame.decode(widened(x, self.given["x1"].torch_dtype))

    def _target(self, guided: Guided) -> tuple[Fields, Condition]:
        """The fields to follow and the condition to follow them with."""
        cond = as_float32(guided.cond)
        if guided.guidance is None:
            return self.fields, cond
        self._check_knows_both(cond)
        assert cond is not None
        strength = _strength(guided.guidance, len(cond))
        return guide(self.fields, cond, strength, guided.guidance_interval)

    def _checked_modifiers(self, given: Any, fields: Fields, cond: Condition) -> tuple[Modifier, ...]:
        """The modifiers of a run, if they fit how the bridge has learnt."""
        rows = self.state["pool1"].x
        modifiers = tuple(one.measured_on(rows) for one in check_modifiers("Bridge", given, fields))
        whitened = isinstance(in_two(self.frame)[2], Whitened)
        for modifier in modifiers:
            if modifier.asks_without_condition:
                self._check_knows_both(cond)
            if modifier.acts_by_entry and whitened:
                rule = f"{type(modifier).__name__} needs states whose entries are those of the data"
                remedy = "Fit Bridge(standardize=True, ...): every column then has a unit of its own."
                raise invalid("Bridge", rule, "whitened units, which mix columns", remedy)
        return modifiers

    def _check_knows_both(self, cond: Condition) -> None:
        """Refuse guidance of a network that has never been without its condition: what it answers then is arbitrary."""
        if cond is None or not self.drop_condition:
            found = "no condition" if cond is None else "a bridge with drop_condition=0"
            remedy = "Fit Bridge(drop_condition=0.1, ...) with cond=, and pass cond= here."
            raise invalid("Bridge", "guidance needs a bridge that knows both its fields", found, remedy)

    def _start(self, n: int, reverse: bool, seed: int, first: int, cond: Tensor | None) -> Tensor:
        """Start points in the network's units; of the samples' own labels where these say something of the starts."""
        pool0, pool1, base = self.state["pool0"], self.state["pool1"], self.state["path"].base
        if not reverse and base is not None:
            return draw_base(base, self.field_shape, n, seed, first)
        pool: Pool = pool1 if reverse or pool0 is None else pool0
        conds = [None if end is None else end.cond for end in (pool0, pool1)]
        if isinstance(cond, Tensor) and tells_conditions_on_the_way(self.pairing, *conds):
            return pool.draw_near(n, seed, first, cond)
        within = pool.cond is not None and labels_within(self.pairing, *conds) is not None
        told = cond is not None and not cond.is_floating_point() and (pool is pool1 or within)
        return pool.draw(n, seed, first, cond if told else None)

    def start_points(
        self, n: int, *, reverse: bool = False, seed: int = 0, cond: Tensor | None = None
    ) -> Tensor:
        """The points ``(n, *D)`` that :meth:`sample` starts from with these arguments, in data units."""
        self.fitted_state("start_points")["net"]
        return self.decoded(self._start(n, reverse, seed, 0, cond))

    # --- the noise level

    def choose_eps(
        self, x0: Any = None, x1: Any = None, *, cond: Any = None, cond0: Any = None, **options: Any
    ) -> EpsChoice:
        """Choose the noise level on data that training has not seen; kept for ``eps="auto"`` and saved with the bridge.

        It is made for the forward SDE; ``eps="auto"`` takes it for the backward one too, whose bound is the same.

        Args:
            x0: Held-out samples of rho0 in data units; left out where the path has a Gaussian base (or is a mirror).
            x1: Held-out samples of rho1; without them the rows that ``Bridge(held_out=...)`` set aside. Of 8 to 199 a
                constant is chosen by cross-validation, of more a schedule too.
            cond: What is known of each row of ``x1``.
            cond0: Likewise for ``x0``; used by couplings that pair within labels.
            options: Anything else that ``auto_eps`` takes: ``criterion``, ``n``, ``n_steps``, ``seed`` ...

        Returns:
            The choice, its candidates and the reason; print its ``table()``.

        Raises:
            InvalidInputError: If there are no held-out data, or no score.
        """
        given = {"x0": x0, "x1": x1, "cond": cond, "cond0": cond0}
        rows = self.held_out_rows if x1 is None else self.rows_like_fit("choose_eps", given)
        self.state["eps_choice"] = choice = choose_level(self, rows, options)
        return choice

    def _level(self, eps: Any) -> Any:
        """A noise level as ``dynamics`` takes it."""
        if not (isinstance(eps, str) and eps == "auto"):
            return eps
        return (self.eps_choice or own_choice(self)).eps


def _strength(guidance: Any, n: int) -> Any:
    """A strength of guidance as ``guide`` takes it, for ``n`` samples."""
    if callable(guidance):
        return guidance
    strength = torch.as_tensor(guidance, dtype=torch.float32)
    if strength.ndim > 1 or (strength.ndim == 1 and len(strength) != n):
        rule = f"guidance must be a number, a function of t or one number per sample, ({n},)"
        raise invalid("Bridge", rule, tuple(strength.shape))
    return strength
