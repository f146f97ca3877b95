"""The bridge between two distributions: two sample sets in, transport, generation and likelihood out."""

import functools
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, Self, TypeVar, overload

import torch
from torch import Tensor

from interpolants.couplings.condition_cost import tells_conditions_on_the_way
from interpolants.couplings.pairs import labels_within
from interpolants.data.arrays import restore
from interpolants.dynamics.modifiers import Modifier, check_modifiers
from interpolants.dynamics.posterior import sample_posterior
from interpolants.dynamics.renoise import renoise
from interpolants.dynamics.sample import Samples, Sampling
from interpolants.dynamics.sample import sample as run_dynamics
from interpolants.dynamics.solver_table import FittedSolver
from interpolants.fields.error_growth import growing_errors
from interpolants.fields.preconditioned import Preconditioned
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import is_among, number, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import find_card
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.foundations.types import Condition
from interpolants.framework.answers import Scored
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Whitened
from interpolants.framework.role import Role
from interpolants.framework.scikit_learn import are_labels
from interpolants.framework.self_checks import CheckReport
from interpolants.framework.transformed import in_two
from interpolants.likelihood.log_prob import Scoring
from interpolants.likelihood.log_prob import log_prob as flow_log_prob
from interpolants.likelihood.result import LogProb
from interpolants.methods.bridge.auto_eps import EpsChoice
from interpolants.methods.bridge.classification import class_log_likelihoods, classes_of
from interpolants.methods.bridge.completion import Incomplete, complete_rows, has_gaussian_base
from interpolants.methods.bridge.drawing import Drawing, Guided
from interpolants.methods.bridge.examples import Examples, examples_of
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.bridge.fitting import as_float32
from interpolants.methods.bridge.guidance import GuidedRun, check_knows_both, guided_run
from interpolants.methods.bridge.held_out import check_weights
from interpolants.methods.bridge.held_out_checks import held_out_checks
from interpolants.methods.bridge.noise_level import choose_level, known_choice, own_choice
from interpolants.methods.bridge.order_gap import order_gap
from interpolants.methods.bridge.rescheduled import rescheduled
from interpolants.methods.bridge.scored import check_scored, scored
from interpolants.methods.bridge.self_test import check_bridge
from interpolants.methods.bridge.solver_fitting import fitted_solver
from interpolants.methods.parts.start_points import Pool, draw_base
from interpolants.objectives.joint import joint_loss

_PARTLY = Role(name="x", like="x1", gaps=True, about="Rows with gaps, which are filled in.")
_HOW_SURELY = Role(
    name="known", like="x1", optional=True, about="How surely each entry is known, from 0 to 1."
)
# Noise at t = 1, in standardised units, below which the denoised state determines nothing else.
_LITTLE_NOISE = 1e-2

Fit = TypeVar("Fit", bound=Callable[..., Any])


def _positional_x1(fit: Fit) -> Fit:
    """Read ``fit(x)`` and ``fit(x, labels)`` as x1 and its condition on one-sided paths.

    ``fit(x0=x)`` stays a request for samples of x0, which these paths refuse.
    """

    @functools.wraps(fit)
    def fit_by_position(self: Any, *args: Any, **options: Any) -> Any:
        x, y = (*args, None, None)[:2]
        named = len(args) > 2 or options.get("x1") is not None
        if x is None or named or not self.first_path.is_one_sided:
            return fit(self, *args, **options)
        if y is None:
            return fit(self, **{**options, "x1": x})
        if options.get("cond") is None and are_labels(y, x):
            return fit(self, **{**options, "x1": x, "cond": y})
        return fit(self, *args, **options)

    return fit_by_position  # type: ignore[return-value]


class Bridge(FittedBridge):
    """A learnt bridge between two distributions: transport, generate and score, by ODE or SDE, in both directions.

    ::

        bridge = Bridge(seed=0).fit(x0, x1)
        y = bridge.sample(1000, eps=0.5)               # forward SDE; eps=0 is the ODE; same trained model
        x = bridge.transport(x1_new, reverse=True)     # the other way
        lp = bridge.log_prob(x1_new)                   # nats, one per row

    Data may be arrays, tensors, DataFrames, datasets, a torch Distribution or a problem; answers come back in the
    kind that was given. States of any shape ``(N, *D)``; both ends must have the same event shape.

    Raises:
        InvalidInputError: If a name or setting is unknown; the nearest is named.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797.
    """

    @_positional_x1
    def fit(
        self,
        x0: Any = None,
        x1: Any = None,
        *,
        cond: Any = None,
        cond0: Any = None,
        weights: Any = None,
        weights0: Any = None,
        **options: Any,
    ) -> Self:
        """Learn the bridge from samples of the two distributions.

        On one-sided paths ``fit(x)`` is ``fit(x1=x)``. With one word or integer per row, ``fit(x, labels)`` is
        ``fit(x1=x, cond=labels)``. scikit-learn passes both by position.

        Args:
            x0: Samples of rho0; left out where the path has a Gaussian base (or is a mirror).
            x1: Samples of rho1. Of either end: an array; a memory-mapped array, a Zarr array or the path of a .npy,
                .zarr or .parquet, whose rows are read as they are needed; or what draws rows, afresh for every step:
                a function ``draw(n, generator)``, a distribution, an ``IterableDataset``.
            cond: What is known of each row of ``x1``: labels ``(N,)``, vectors ``(N, C)`` or fields ``(N, C, *D)``;
                several of these in a dict, or a table with columns of words (the network sees one vector or field,
                with a column of zeros and ones for each label). A data set of (sample, label) items that is ``x1`` may
                be passed here too: its labels are read.
            cond0: Likewise for ``x0``, for couplings. Those that pair within labels draw starts by the labels of x1:
                where labels are not equally frequent at both ends, those of x1 count. Of numbers, as many as in
                ``cond``, ``"minibatch_ot"`` and ``"sinkhorn"`` take ``|c0 - c1|^2`` into the cost.
            weights: How much each row of ``x1`` counts, ``(N,)``, finite and positive, of any sum; a pair's weight with
                ``coupling="paired"``. The bridge then leads to the weighted distribution, and ``check`` judges by it.
            weights0: Weight of each row of ``x0``, ``(N0,)``, as ``weights``.
            options: ``steps``, ``batch_size`` for this fit alone, and the options of
                :meth:`interpolants.framework.method.Method.fit_roles`.
        """
        if x0 is not None and self.first_path.is_one_sided:
            rule = "a one-sided path draws x0 from its own Gaussian base"
            remedy = "Leave x0 out, or use path='linear'. Conditions go by name: fit(x1=x, cond=y)."
            raise invalid(
                "Bridge.fit", rule, f"samples, on the path {type(self.first_path).__name__}", remedy
            )
        two_sided = not (self.first_path.is_one_sided or self.first_path.is_static)
        if two_sided and (x0 is None) != (x1 is None):
            rule = "x1 is needed, samples at t = 1" if x1 is None else "x0 is needed, samples at t = 0"
            remedy = "To generate from noise: Bridge('one_sided_linear').fit(x)."
            raise invalid("Bridge.fit", rule, "None", remedy)
        values = {"x0": x0, "x1": x1, "cond": cond, "cond0": cond0, "weights": weights, "weights0": weights0}
        options = {"progress": True, **options}
        return super().fit(**{n: value for n, value in values.items() if value is not None}, **options)

    def cannot(self, verb: str) -> str:
        """Log densities need that of rho0; completion, classes and variations a Gaussian base; classes labels."""
        if verb in ("classify", "complete", "vary") and not has_gaussian_base(self.first_path):
            return "its path does not start from a Gaussian base; fit Bridge(path='one_sided_linear')."
        if verb == "classify" and self.is_fitted and not classes_of(self):
            return "it was fitted without labels; fit with cond=labels, one class for each row."
        if verb != "log_prob":
            return ""
        if self.first_path.is_static:
            return "a path from data back to data has no density to start from."
        unknown = self.is_fitted and self.density0() is None
        return (
            "rho0 was given by samples and has no density; fit Bridge(leg={}), which learns one."
            if unknown
            else ""
        )

    def caveat(self, verb: str) -> str:
        """Log densities between two sample sets rest on a learnt one."""
        if verb != "log_prob" or not self.is_fitted or self.state["leg"] is None:
            return ""
        return "Log densities rest on that of x0, which was learnt from samples by a leg: its error adds to theirs."

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Sureness of :meth:`complete` has no units of the data; a masked flow compares the values that it holds."""
        holds = verb == "complete" and self.masks and options.get("using", "auto") in ("auto", "masked_flow")
        compared = argument == "known" or (argument == "x" and holds)
        return "" if compared else super().likened(verb, argument, options)

    # --- draws

    def on(self, path: Any) -> Self:
        """Return this bridge on another path, without training; see :func:`~interpolants.fields.on_path`.

        The network, the units and the rows stay those of this bridge. ``sample``, ``transport``, ``log_prob``,
        ``complete`` and guidance then follow the new path. A straighter path needs fewer Runge-Kutta steps.

        Args:
            path: Name of a path, ``{"kind": name, **settings}``, or a ``Path``: one-sided with the same base up to its
                scale, or two-sided without a latent term, as this bridge's is.

        Returns:
            A fitted bridge on ``path``, which can be saved; this bridge itself if ``path`` is already its path.

        Raises:
            InvalidInputError: If the path cannot be reached, or the bridge is not fitted.
            NotIdentifiableError: If noise and denoised state do not follow from the learnt quantities.
        """
        return rescheduled(self, path)

    def fit_solver(
        self,
        n: int,
        *,
        pairs: int = 2000,
        on: Any = None,
        guidance: Any = None,
        conditional: bool = True,
        **settings: Any,
    ) -> FittedSolver:
        """Fit a solver of ``n`` evaluations to this bridge; see :func:`~interpolants.dynamics.fit_solver`.

        ::

            fast = bridge.fit_solver(4, on="one_sided_linear")
            bridge.sample(1000, on="one_sided_linear", method=fast)

        Sample with the same ``on`` and ``guidance``; conditions may differ. The start points differ from those of
        ``sample`` at every seed.

        Args:
            n: Evaluations.
            pairs: Start points of the fit.
            on: Path to sample on, as in :meth:`on`.
            guidance: One strength of guidance, as in :meth:`sample`: a number or a function of t.
            conditional: Draw conditions from the rows of the fit, where these had some. False is for samples without
                a condition, which need ``drop_condition > 0``.
            settings: Settings of ``dynamics.SolverFit``: ``steps``, ``lr``, ``seed`` ...

        Returns:
            The solver, to pass as ``method=`` to ``sample`` and ``transport``.

        Raises:
            InvalidInputError: If the bridge is not fitted, or for the reasons of ``dynamics.fit_solver``.
        """
        if on is not None:
            same = {"pairs": pairs, "guidance": guidance, "conditional": conditional, **settings}
            return self.on(on).fit_solver(n, **same)
        self.fitted_state("fit_solver")["net"]
        pool = self.state["pool1"] if conditional else replace(self.state["pool1"], cond=None)
        return fitted_solver(
            n,
            pairs,
            pool,
            lambda count, seed, cond: self._start(count, False, seed, 0, cond),
            lambda cond: self._target(Guided(cond=cond, guidance=guidance))[:2],
            settings,
        )

    @overload
    def sample(
        self, /, n: Count, *, log_prob: Literal[False] = False, details: Literal[True], **options: Any
    ) -> Samples: ...
    @overload
    def sample(
        self, /, n: Count, *, log_prob: Any, details: Literal[False] = False, **options: Any
    ) -> Scored: ...
    @overload
    def sample(self, /, n: Count, **options: Any) -> Any: ...

    @capability(like="x1", shares=Drawing, passes=Sampling)
    def sample(
        self,
        /,
        n: Count,
        *,
        log_prob: bool | Mapping[str, Any] = False,
        details: bool = False,
        **options: Any,
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
        drawing, options = Drawing.among(options)
        if drawing.on is not None:
            same = {**vars(replace(drawing, on=None)), **options}
            return self.on(drawing.on).sample(n, log_prob=log_prob, details=details, **same)
        if log_prob:
            check_scored(self, log_prob, drawing.eps, drawing.reverse, options)
        seed = secrets.randbits(31) if drawing.seed is None else drawing.seed
        start = self._start(n, drawing.reverse, seed, drawing.first_index, drawing.cond)
        run = None if log_prob else {**options, "eps": drawing.eps, "reverse": drawing.reverse}
        fields, cond, first = self._target(drawing, run)
        if log_prob:
            own = log_prob if isinstance(log_prob, Mapping) else {}
            found = scored(self, start, (fields, cond), seed, drawing.first_index, options, own)
            return found if details else Scored(found.x, found.log_prob)
        how = self._how(drawing, options, fields, cond, first)
        done = run_dynamics(fields, start, how, seed=seed, cond=cond, first_index=drawing.first_index)
        return self._in_data_units(done) if details else self.decoded(done.x)

    @overload
    def transport(self, /, x: Tensor, *, details: Literal[False] = False, **options: Any) -> Tensor: ...
    @overload
    def transport(self, /, x: Any, *, details: Literal[True], **options: Any) -> Samples: ...
    @overload
    def transport(self, /, x: Any, **options: Any) -> Any: ...

    @capability(reads={"x": "x1"}, like="x", shares=Drawing, passes=Sampling)
    def transport(self, /, x: Tensor, *, details: bool = False, **options: Any) -> Any:
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
        if drawing.on is not None:
            same = {**vars(replace(drawing, on=None)), **options}
            return self.on(drawing.on).transport(x, details=details, **same)
        seed = secrets.randbits(31) if drawing.seed is None else drawing.seed
        run = {**options, "eps": drawing.eps, "reverse": drawing.reverse}
        fields, cond, first = self._target(drawing, run)
        start, how = self._inside("Bridge.transport", x), self._how(drawing, options, fields, cond, first)
        done = run_dynamics(fields, start, how, seed=seed, cond=cond, first_index=drawing.first_index)
        return self._in_data_units(done) if details else self.decoded(done.x)

    @capability(reads={"x": "x1"}, like="x", shares=Guided)
    def vary(
        self, /, x: Tensor, *, t: float = 0.5, seed: int = 0, n_steps: int = 6, **options: Any
    ) -> Tensor:
        """Draw a variation of each row: another row that has the same state at time t.

        A row gets noise up to time t, and a data point is drawn from the bridge's posterior ``p(x1 | x_t)``; on a
        one-sided path from a Gaussian base. Variations of rows of rho1 are distributed as rho1. Repeat a row for
        several variations.

        Args:
            x: Rows ``(n, *D)`` in data units.
            t: Time of the noisy state, in [0, 1): at 0 nothing of the row is left, near 1 nearly all.
            seed: Seed of the noise.
            n_steps: Steps of the solver, with two evaluations of the network each.
            options: The arguments of :class:`~interpolants.methods.bridge.drawing.Guided`.

        Returns:
            ``(n, *D)`` in the kind of ``x``.

        Raises:
            InvalidInputError: If t is outside [0, 1).

        Warns:
            OutsideWarning: If the rows lie far from all rows of the fit.
        """
        guided, _ = Guided.among(options)
        fields, cond, _ = self._target(guided)
        number("Bridge.vary", "t", t, at_least=0, below=1, remedy="At t = 1 a state is the row itself.")
        first = guided.first_index
        states = renoise(
            self.fitted_path, self._inside("Bridge.vary", x), 1.0, t, seed=seed, first_index=first
        )
        run = {"seed": seed, "n_steps": n_steps, "cond": cond, "first_index": first}
        return self.decoded(sample_posterior(fields, states, t, **run)[0])

    def _inside(self, caller: str, x: Tensor) -> Tensor:
        """Rows in the network's units.

        Raises:
            InvalidInputError: If a constant column has another value, or a transformed one a value without an image.
        """
        if bool(self.frame.outside(x).any()):
            rule = "columns that were constant in the fit must have their values, and transformed ones such as can be"
            remedy = "Drop these columns or rows, or fit again with rows like these."
            raise invalid(caller, rule, "rows with other values", remedy)
        return self.encoded(x)

    def _how(
        self,
        drawing: Drawing,
        options: dict[str, Any],
        fields: Fields,
        cond: Condition,
        first: tuple[Modifier, ...] = (),
    ) -> Sampling:
        """The way of a run along some fields, with modifiers that fit how the bridge has learnt."""
        if drawing.reverse or not is_among(drawing.eps, (0,)):
            _warn_of_errors_at_data(
                self, "sample", "SDEs and reverse runs can be wrong by many standard deviations"
            )
        level, rows = self._level(drawing.eps), self.state["pool1"].x
        given = check_modifiers("Bridge", options.get("modifiers", ()), fields)
        modifiers = (*first, *(one.measured_on(rows) for one in given))
        whitened = isinstance(in_two(self.frame)[2], Whitened)
        for modifier in modifiers:
            if modifier.asks_without_condition:
                check_knows_both(self, cond)
            if modifier.acts_by_entry and whitened:
                rule = f"{type(modifier).__name__} needs states whose entries are those of the data"
                remedy = "Fit Bridge(standardize=True, ...): every column then has a unit of its own."
                raise invalid("Bridge", rule, "whitened units, which mix columns", remedy)
        return Sampling(**{**options, "eps": level, "reverse": drawing.reverse, "modifiers": modifiers})

    def _in_data_units(self, done: Samples) -> Samples:
        path = None if done.path is None else self.decoded(done.path)
        return replace(done, x=self.decoded(done.x), path=path)

    def _target(self, guided: Guided, run: Mapping[str, Any] | None = None) -> GuidedRun:
        """The fields to follow, the condition to follow them with, and modifiers that guidance needs."""
        if guided.guidance is None:
            return GuidedRun(self.fields, as_float32(guided.cond))
        return guided_run(self, guided, run)

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

    # --- densities

    @overload
    def log_prob(self, /, x: Tensor, *, details: Literal[False] = False, **options: Any) -> Tensor: ...
    @overload
    def log_prob(self, /, x: Any, *, details: Literal[True], **options: Any) -> LogProb: ...
    @overload
    def log_prob(self, /, x: Any, **options: Any) -> Any: ...

    @capability(reads={"x": "x1"}, like="x", passes=Scoring)
    def log_prob(
        self,
        /,
        x: Tensor,
        *,
        cond: Tensor | None = None,
        seed: int = 0,
        first_index: int = 0,
        details: bool = False,
        **options: Any,
    ) -> Any:
        """Log density of the model of rho1 at ``x``, in nats per row (data units).

        It needs the density of rho0: the Gaussian base of a one-sided path, ``log_prob`` of what was passed as x0, or
        with two sample sets that of a Gaussian -> rho0 leg, which ``Bridge(leg={})`` learns in the fit. The error of a
        leg adds to the log densities.

        Columns that were constant in the fit are left out: the density is that of the others, and rows with another
        value there have -inf. So have rows with values that a ``transform`` does not take.

        Args:
            x: Points ``(n, *D)`` in data units.
            cond: As in :meth:`sample`.
            seed: Seed of the probes, or of the paths of an SDE.
            first_index: As in :meth:`sample`, for the probes of an estimated divergence.
            details: Return ``likelihood.LogProb`` instead of the plain array.
            options: Settings of ``likelihood.Scoring``: ``eps`` for the density of the SDE's model,
                ``noise_level`` (like ``eps``, in standardised units), ``divergence``, ``probes``, ``method`` ...

        Returns:
            ``(n,)`` in the kind of ``x``, or the details.
        """
        if options.get("end", 1) != 1:
            remedy = (
                "For the distribution of x0: likelihood.log_prob(bridge.fields, x, density of rho1, end=0)."
            )
            raise invalid("Bridge.log_prob", "end must be 1, the distribution of x1", options["end"], remedy)
        if "eps" in options:
            options["eps"] = self._level(options["eps"])
        _warn_of_errors_at_data(self, "log_prob", "the log densities can be wrong by thousands of nats")
        known = {"cond": as_float32(cond), "seed": seed, "first_index": first_index, **options}
        off = self.frame.outside(x)
        inside = x
        if bool(off.any()):  # some row of the model stands for each of these, whose answer is -inf
            row = self.frame.decode(torch.zeros(1, *self.field_shape, dtype=torch.float64)).to(x)
            inside = torch.where(off.reshape(-1, *(1,) * (x.ndim - 1)), row, x)
        done = flow_log_prob(self.fields, self.encoded(inside), self.density0(), **known)
        result = replace(done.shifted(self.frame.log_volume(inside.double())), x=self.decoded(done.x))
        if bool(off.any()):
            result = replace(result, log_prob=result.log_prob.masked_fill(off, -math.inf))
        return result if details else result.log_prob

    # --- gaps and classes

    @capability(reads={"x": _PARTLY, "known": _HOW_SURELY}, like="x", shares=Guided)
    def complete(
        self,
        /,
        x: Tensor,
        *,
        known: Tensor | None = None,
        sigma: Any = None,
        using: Any = "auto",
        seed: int = 0,
        **options: Any,
    ) -> Tensor:
        """Fill in the entries of rows that are NaN, given the others; on a one-sided path from a Gaussian base.

        A bridge with ``masks`` draws from the conditional distribution that it has learnt. The rules for others are
        heuristics, which come near it. Repeat a row for several draws.

        Args:
            x: Rows ``(n, *D)`` in data units, NaN where an entry is to be filled in.
            known: How surely each entry is known, from 0 to 1, of the shape of ``x``; None for 1. It is 0 wherever
                ``x`` is NaN. What is known for sure comes out as it came in.
            sigma: Standard deviation of Gaussian noise on known entries, in data units: a number, one per entry, or a
                table of columns such as ``{"alcohol": 0.3}``; 0 for entries without noise. The noisy entries are
                redrawn, given all others. Needs ``Bridge(masks="levels")``.
            using: ``"masked_flow"``, ``"repaint"``, ``"cyclic_one_way"``, a table with settings, or an object of these
                classes. ``"auto"``: ``"masked_flow"`` for a bridge with ``masks``, else ``"repaint"``.
            seed: Seed of the noise.
            options: The arguments of :class:`~interpolants.methods.bridge.drawing.Guided`.

        Returns:
            ``(n, *D)`` in the kind of ``x``.
        """
        guided, _ = Guided.among(options)
        fields, told, _ = self._target(guided)
        return complete_rows(self, fields, Incomplete(x, known, sigma), using, seed, told, guided.first_index)

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
            codes: 0 for a class that no row of the fit had.

        Raises:
            InvalidInputError: If the span or the number of levels is out of range.
        """
        scores = class_log_likelihoods(self, x, span, levels, seed, first_index)
        label = restore(scores.argmax(1), self.given["cond"])
        return {"label": label, "probability": scores.softmax(1).numpy()}

    # --- the noise level

    def choose_eps(
        self,
        x0: Any = None,
        x1: Any = None,
        *,
        cond: Any = None,
        cond0: Any = None,
        weights: Any = None,
        weights0: Any = None,
        **options: Any,
    ) -> EpsChoice:
        """Choose the noise level on data that training has not seen; kept for ``eps="auto"`` and saved with the bridge.

        It is made for the forward SDE; ``eps="auto"`` takes it for the backward one too, whose bound is the same.

        Args:
            x0: Held-out samples of rho0 in data units; left out where the path has a Gaussian base (or is a mirror).
            x1: Held-out samples of rho1; without them the rows that ``Bridge(held_out=...)`` set aside. Of 8 to 199 a
                constant is chosen by cross-validation, of more a schedule too.
            cond: What is known of each row of ``x1``.
            cond0: Likewise for ``x0``; used by couplings that pair within labels.
            weights: How much each row of ``x1`` counts; needed where the fit had some.
            weights0: Weight of each row of ``x0``, ``(N0,)``, as ``weights``.
            options: Anything else that ``auto_eps`` takes: ``criterion``, ``n``, ``n_steps``, ``seed`` ...

        Returns:
            The choice, its candidates and the reason; print its ``table()``.

        Raises:
            InvalidInputError: If there are no held-out data, or no score.
        """
        values = {"x0": x0, "x1": x1, "cond": cond, "cond0": cond0, "weights": weights, "weights0": weights0}
        check_weights("Bridge.choose_eps", self.given, values)
        rows = self.held_out_rows if x1 is None else self.rows_like_fit("choose_eps", values)
        self.state["eps_choice"] = choice = choose_level(self, rows, options)
        return choice

    def _level(self, eps: Any) -> Any:
        """A noise level as ``dynamics`` takes it."""
        if not (isinstance(eps, str) and eps == "auto"):
            return eps
        return (self.eps_choice or own_choice(self)).eps

    @property
    def eps_choice(self) -> EpsChoice | None:
        """How the noise level was chosen, by :meth:`choose_eps` or for ``eps="auto"``; None before."""
        state = self.fitted_state("eps_choice")
        return state["eps_choice"] or known_choice(state["net"])

    # --- tuning

    def tune(self, reward: Any, strength: float = 1.0, **settings: Any) -> Any:
        """Return this model tuned by a reward: it samples ``p(x) exp(strength r(x)) / Z``, p being this one.

        Args:
            reward: A function of rows that returns one finite number for each, ``(n,)``, or a table; see
                :class:`~interpolants.methods.reward_tuning.reward_tuning.RewardTuning`.
            strength: Factor of the reward in the exponent.
            settings: Other settings of ``RewardTuning``: ``max_kl``, ``n``, ``steps``, ``seed`` ...

        Returns:
            A fitted ``RewardTuning``; its ``bill()`` tells what was gained and lost.

        Raises:
            InvalidInputError: If the bridge is not fitted, or for the reasons of ``RewardTuning``.
        """
        kind: Any = find_card("reward_tuning", "method").load_entry()
        return kind(strength=strength, **settings).fit(model=self, reward=reward)

    # --- judging

    def examples(self, n: int, *, seed: int = 0) -> Examples:
        """At most ``n`` rows of each end in data units: held-out ones where some were set aside, else training data.

        Args:
            n: Number of rows.
            seed: Seed of the draws from the base, on paths that have one.
        """
        self.fitted_state("examples")["net"]
        return examples_of(self, whole("Bridge.examples", "n", n, at_least=1), seed)

    def loss_at(self, t: float, x0: Any, x1: Any, *, cond: Any = None, seed: int = 0) -> dict[str, Tensor]:
        """Loss of each learnt quantity at one time, per row, in the network's units.

        Args:
            t: The time, inside (0, 1).
            x0: Starts ``(n, *D)`` in data units, row by row with ``x1``; ignored on a path with a base.
            x1: Ends ``(n, *D)`` in data units.
            cond: Condition of each end.
            seed: Seed of the latent noise.

        Returns:
            ``(n,)`` for each name in ``heads``.
        """
        net, path = self.fitted_state("loss_at")["net"], self.state["path"]
        alone = path.base is not None or path.is_static
        rows = self.rows_like_fit("loss_at", {"x0": None if alone else x0, "x1": x1, "cond": cond})
        weight = net.weight if isinstance(net, Preconditioned) else None
        times = torch.full((len(rows.x1),), float(t))
        with torch.no_grad():
            return joint_loss(self.heads, path, weight)(
                net,
                x0=rows.x0,
                x1=rows.x1,
                t=times,
                cond=rows.cond,
                generator=generator(seed, "loss at a time"),
            )

    @capability()
    def check(self, *, n: int = 2000, seed: int = 0, eps: float = 0.5) -> CheckReport:
        """Test the trained bridge on rows that it has not seen, against itself, and against its data.

        For a bridge with ``masks`` it also tests whether the conditional distributions agree with each other.

        Print the report: its first line is the worst finding. Held-out rows are scored beside training rows and a
        Gaussian fit of these, or their arrival beside not moving.

        Args:
            n: Draws per check.
            seed: Seed of all draws.
            eps: Noise level of the SDE checks.
        """
        pools = self.fitted_state("check")["pool0"], self.state["pool1"]
        known: dict[str, Any] = {"coupling": self.pairing, "batch_size": self.batch_size}
        if (held := self.held_out_rows) is not None:
            starts = None if held.x0 is None else Pool(held.x0, held.cond0)
            known["held"] = starts, Pool(held.x1, held.cond)
        found = check_bridge(self.fields, *pools, self.field_shape, n=n, seed=seed, eps=eps, **known)
        masked = bool(self.masks) and math.prod(self.field_shape) > 1
        orders = (order_gap(self, seed),) if masked else ()
        return CheckReport((*held_out_checks(self, seed), *found.checks, *orders))


def _warn_of_errors_at_data(bridge: FittedBridge, verb: str, harm: str) -> None:
    """Warn where the velocity divides a network's error by a noise that vanishes at t = 1.

    The ODE from the base ends in the learnt denoiser and is right all the same.

    Args:
        bridge: A fitted bridge.
        verb: Its capability.
        harm: What can be wrong, and by how much.
    """
    path, heads = bridge.fitted_path, tuple(bridge.heads)
    if not path.is_one_sided or isinstance(bridge.network, Preconditioned):
        return
    grows = any(1 in ends for ends in growing_errors(path, heads, "velocity").values())
    if not grows and heads != ("denoised",):
        return
    if float(path.noise_scale(torch.ones((), dtype=torch.float64)).max()) > _LITTLE_NOISE:
        return
    told = (
        f"Bridge.{verb}: the velocity follows from heads={list(heads)}, whose error it divides by the noise that "
        f"vanishes at t=1; {harm}. Fit with precondition=True, or heads=['denoised', 'noise']."
    )
    tell(SettingWarning, told)
