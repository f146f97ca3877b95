"""The bridge between two distributions: two sample sets in, transport, generation and likelihood out."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from interpolants.couplings.pairs import labels_within
from interpolants.dynamics.sample import Samples
from interpolants.dynamics.sample import sample as run_dynamics
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.framework.answers import Scored
from interpolants.framework.capabilities import capability
from interpolants.framework.roles import Role
from interpolants.guidance.classifier_free import guide
from interpolants.likelihood.log_prob import log_prob as flow_log_prob
from interpolants.methods.bridge.auto_eps import EpsChoice
from interpolants.methods.bridge.bridge_fit import as_float32
from interpolants.methods.bridge.completion import complete_rows, has_gaussian_base
from interpolants.methods.bridge.densities import warn_of_lone_denoised
from interpolants.methods.bridge.examined import ExaminedBridge
from interpolants.methods.bridge.noise_level import choose_level, own_choice
from interpolants.methods.bridge.scored import check_scored, scored
from interpolants.methods.parts.start_points import Pool, draw_base

_PARTLY = Role(name="x", like="x1", gaps=True, about="Rows with gaps, which are filled in.")
_HOW_SURELY = Role(
    name="known", like="x1", optional=True, about="How surely each entry is known, from 0 to 1."
)


class Bridge(ExaminedBridge):
    """A learnt bridge between two distributions: transport, generate and score, by ODE or SDE, in both directions.

    ::

        bridge = Bridge(path="linear", seed=0).fit(x0, x1)
        y = bridge.sample(1000, eps=0.5)               # forward SDE; eps=0 is the ODE; same trained model
        x = bridge.transport(x1_new, reverse=True)     # the other way
        lp = bridge.log_prob(x1_new)                   # nats, one per row

    Data may be arrays, tensors, DataFrames, datasets, a torch Distribution or a problem; answers come back in the
    kind that was given. States of any shape ``(N, *D)``; both ends must have the same event shape.

    Args:
        path: Name of a path, ``{"kind": name, **settings}``, or a ``Path``. One-sided paths generate from a Gaussian.
            Paths that are made from data are fitted to x1 by ``{"kind": name, "fit": {settings}}``.
        coupling: How x0 and x1 are paired while training: ``"independent"``, ``"paired"``, ``"minibatch_ot"``,
            ``"sinkhorn"``, a table with settings, or a coupling.
        net: ``"auto"`` (MLP for vectors, U-Net for images), a name, a table with settings, or an ``nn.Module`` called
            as ``net(x, t, cond)``, ``t (B,)``, that returns ``(B, K, *D)`` for K > 1 quantities. It sees states of unit
            size. A plain MLP of your own is slow to learn fine structure from these: give its first layer ``4 * x``.
        learn: ``"auto"`` or the quantities to learn, e.g. ``("velocity", "noise")``; any sufficient pair.
        times: ``"auto"``, ``"uniform"``, ``"stratified"``, ``"logit_normal"``, ``"importance"`` (drawn where the loss
            varies most, learnt while training), ``"noise"`` (by noise level, on one-sided paths), a table with
            settings, or a ``TimeSampler``.
        aggregate: How losses of several intervals of time are weighed against each other: ``"uncertainty_weighting"``,
            ``"pcgrad"``, ``"nash_mtl"``, ``"min_snr"``, a table with settings, or a function as
            ``training.fit(aggregate=)`` takes it. None for their plain mean.
        standardize: Units to learn in. True: mean 0 and standard deviation 1 of the pooled data (one map for both ends;
            per column for tables, overall for images). ``"whiten"``: uncorrelated too, in which N(0, I) is a Gaussian
            fit of the data. ``"auto"``: whitened for vectors on a path from a standard normal base, up to 256 columns;
            else True. ``eps`` is in those units squared. Vectors and fields of conditions are standardised too, for
            networks that are not your own.
        transform: A map of single columns of a table before ``standardize``, for heavy tails, bounds and sizes over
            orders of magnitude: ``"log"``, ``"asinh"``, ``"quantile"`` (normal quantiles), a table with settings, or a
            mapping of columns to these, ``{"price": "log"}``, by number ``{"0": "log"}`` where they have no names.
            Samples come back in data units, and log densities have the Jacobian of each row. ``eps``, ``fields`` and
            what is given to the fields are in transformed units. A column that does not vary is left as it is.
        drop_condition: Chance that a row is learnt from without its condition, in [0, 1). Above 0 (0.1 is usual) the
            bridge also knows the fields without a condition, which ``guidance`` needs.
        held_out: Share of the rows that training does not see, in [0, 0.5]; 0 for none. The weights with the least
            loss on them are kept, the fit ends early when it finds no better ones for a quarter of ``steps``,
            :meth:`check` judges by them, and ``eps="auto"`` is chosen by them. ``"auto"``: a tenth, 2,000 at most, of
            fewer than 400 rows up to 40 or a fifth, of fewer than 40 none. ``fit(held=...)`` gives rows of your own.
        precondition: Give the network inputs, outputs and losses of one size at all noise levels, on a one-sided path;
            see ``fields.Preconditioned``. Goes well with ``times="noise"`` and ``heads="denoised"``. ``"auto"``: for
            networks of the library on vectors, from a centred Gaussian base of one scale.
        perturb: Noise on the rows of x1 in every batch, for data on a thin set: a standard deviation in standardised
            units, or ``training.InstanceNoise``. The bridge then leads to data with that noise.
        penalties: Terms beside the loss, each a table such as ``{"kind": "fokker_planck_residual", "weight": 0.1}``;
            see ``objectives.Penalty``. Each goes with one quantity to learn.
        leg: Settings that differ for a Gaussian -> rho0 bridge learnt in the same fit, for ``log_prob`` of two sample
            sets; ``{}`` for none that differs: the fit takes twice as long. None learns no leg.

    Raises:
        InvalidInputError: If a name or setting is unknown; the nearest is named.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797.
    """

    def cannot(self, verb: str) -> str:
        """Log densities need that of rho0, completion a Gaussian base."""
        if verb == "complete" and not has_gaussian_base(self.first_path):
            return "its path does not start from a Gaussian base; fit Bridge(path='one_sided_linear')."
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

    # --- sampling

    @capability(like="x1", passes=run_dynamics)
    def sample(
        self,
        n: int,
        *,
        eps: Any = 0.0,
        reverse: bool = False,
        seed: int | None = None,
        cond: Tensor | None = None,
        guidance: Any = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        first_index: int = 0,
        log_prob: bool | Mapping[str, Any] = False,
        details: bool = False,
        **options: Any,
    ) -> Any:
        """Draw ``n`` samples of rho1 (of rho0 when ``reverse``).

        Starts come from the Gaussian base, or from the stored samples of the other end, with replacement. Labels belong
        to rows of rho1: where these are the starts, a sample starts from one of its own label. So it does from
        rho0 where a coupling paired within labels of both ends.

        Args:
            n: Number of samples.
            eps: Noise level; 0 runs the ODE. A number, a function of t, a ``dynamics.NoiseLevel``, or ``"auto"``: the
                level that :meth:`choose_eps` finds best on data that training has not seen.
            reverse: Generate rho0 from rho1.
            seed: Seed of starts and noise; drawn afresh when None.
            cond: One condition for all samples (a label, a vector), or one row per sample.
            guidance: Strength w of classifier-free guidance, ``f_u + w (f_c - f_u)`` between the fields without and
                with the condition: a number, a function of t, or one per sample. None or 1 is the condition alone;
                it needs ``drop_condition > 0`` in training.
            guidance_interval: Times between which there is guidance.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.
            log_prob: Also give the log density of each sample, by the same solve: ``x, lp = bridge.sample(n,
                log_prob=True)``. It needs what :meth:`log_prob` needs, and the flow; the solver is then ``"dopri5"``
                if none is named. In many dimensions ``{"divergence": "hutchinson", "probes": 8}``.
            details: Return ``dynamics.Samples`` (in data units) instead of the plain array; ``likelihood.LogProb`` with
                ``log_prob``.
            options: Anything else that ``dynamics.sample`` takes: ``method``, ``n_steps``, ``time_grid``, ``chunk`` ...

        Returns:
            ``(n, *D)`` in the kind that ``x1`` had, or the details.
        """
        whole("Bridge.sample", "n", n, at_least=1)
        if log_prob:
            check_scored(self, log_prob, eps, reverse, options)
        seed = secrets.randbits(31) if seed is None else seed
        start = self._start(n, reverse, seed, first_index, cond)
        target = self._target(cond, guidance, guidance_interval)
        if log_prob:
            own = log_prob if isinstance(log_prob, Mapping) else {}
            found = scored(self, start, target, seed, first_index, options, own)
            return found if details else Scored(found.x, found.log_prob)
        done = self._run(start, eps, reverse, seed, target, first_index, options)
        return done if details else done.x

    @capability(reads={"x": "x1"}, like="x", passes=run_dynamics)
    def transport(
        self,
        x: Tensor,
        *,
        eps: Any = 0.0,
        reverse: bool = False,
        seed: int | None = None,
        cond: Tensor | None = None,
        guidance: Any = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        first_index: int = 0,
        details: bool = False,
        **options: Any,
    ) -> Any:
        """Carry given points from rho0 to rho1 (from rho1 to rho0 when ``reverse``).

        Args:
            x: Points ``(n, *D)`` in data units.
            eps: As in :meth:`sample`.
            reverse: Carry points of rho1 to rho0.
            seed: Seed of the noise; drawn afresh when None.
            cond: As in :meth:`sample`.
            guidance: As in :meth:`sample`.
            guidance_interval: As in :meth:`sample`.
            first_index: As in :meth:`sample`.
            details: Return ``dynamics.Samples`` (in data units) instead of the plain array.
            options: As in :meth:`sample`.

        Returns:
            ``(n, *D)`` in the kind of ``x``, or the details.
        """
        seed = secrets.randbits(31) if seed is None else seed
        target = self._target(cond, guidance, guidance_interval)
        if bool(self.frame.outside(x).any()):
            rule = "columns that were constant in the fit must have their values, and transformed ones such as can be"
            remedy = "Drop these columns or rows, or fit again with rows like these."
            raise invalid("Bridge.transport", rule, "rows with other values", remedy)
        done = self._run(self._encode(x), eps, reverse, seed, target, first_index, options)
        return done if details else done.x

    @capability(reads={"x": _PARTLY, "known": _HOW_SURELY}, like="x")
    def complete(
        self,
        x: Tensor,
        *,
        known: Tensor | None = None,
        using: Any = "repaint",
        seed: int = 0,
        cond: Tensor | None = None,
        guidance: Any = None,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        first_index: int = 0,
    ) -> Any:
        """Fill in the entries of rows that are NaN, given the others; on a one-sided path from a Gaussian base.

        The rules are heuristics, which come near the conditional distribution: repeat a row for several answers.

        Args:
            x: Rows ``(n, *D)`` in data units, NaN where an entry is to be filled in.
            known: How surely each entry is known, from 0 to 1, of the shape of ``x``; None for 1. It is 0 wherever
                ``x`` is NaN. What is known for sure comes out as it came in.
            using: ``"repaint"``, ``"cyclic_one_way"``, a table with settings, or an object of these classes.
            seed: Seed of the noise.
            cond: As in :meth:`sample`.
            guidance: As in :meth:`sample`.
            guidance_interval: As in :meth:`sample`.
            first_index: Index of the first row in a larger job, so that parts agree with the whole.

        Returns:
            ``(n, *D)`` in the kind of ``x``.
        """
        fields, told = self._target(cond, guidance, guidance_interval)
        return complete_rows(self, fields, x, known, using, seed, told, first_index)

    def _run(
        self,
        start: Tensor,
        eps: Any,
        reverse: bool,
        seed: int,
        target: tuple[Fields, Condition],
        first: int,
        options: dict[str, Any],
    ) -> Samples:
        fields, cond = target
        settings = {
            "eps": self._level(eps),
            "reverse": reverse,
            "seed": seed,
            "cond": cond,
            "first_index": first,
        }
        done = run_dynamics(fields, start, **settings, **options)
        path = None if done.path is None else self.decoded(done.path)
        return replace(done, x=self.decoded(done.x), path=path)

    def _encode(self, x: Tensor) -> Tensor:
        return self.frame.encode(x).float()

    def decoded(self, x: Tensor) -> Tensor:
        """States of the network in data units, in float64 where the data were."""
        wide = self.given["x1"].torch_dtype == torch.float64
        return self.frame.decode(x.double() if wide else x)

    def _target(
        self, cond: Tensor | None, guidance: Any, interval: tuple[float, float]
    ) -> tuple[Fields, Condition]:
        """The fields to follow and the condition to follow them with."""
        cond = as_float32(cond)
        if guidance is None:
            return self.fields, cond
        if cond is None or not self.drop_condition:
            found = "no condition" if cond is None else "a bridge with drop_condition=0"
            remedy = "Fit Bridge(drop_condition=0.1, ...) with cond=, and pass cond= here."
            raise invalid("Bridge", "guidance needs a bridge that knows both its fields", found, remedy)
        return guide(self.fields, cond, _strength(guidance, len(cond)), interval)

    def _start(self, n: int, reverse: bool, seed: int, first: int, cond: Tensor | None) -> Tensor:
        """Start points in the network's units; of the samples' own labels where these say something of the starts."""
        pool0, pool1, base = self.state["pool0"], self.state["pool1"], self.state["path"].base
        if not reverse and base is not None:
            return draw_base(base, self.field_shape, n, seed, first)
        pool: Pool = pool1 if reverse or pool0 is None else pool0
        conds = [None if end is None else end.cond for end in (pool0, pool1)]
        within = pool.cond is not None and labels_within(self.coupling, *conds) is not None
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

    # --- likelihood

    @capability(reads={"x": "x1"}, like="x", passes=flow_log_prob)
    def log_prob(
        self,
        x: Tensor,
        *,
        cond: Tensor | None = None,
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
            first_index: As in :meth:`sample`, for the probes of an estimated divergence.
            details: Return ``likelihood.LogProb`` instead of the plain array.
            options: Anything else that ``likelihood.log_prob`` takes: ``eps`` for the density of the SDE's model,
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
        warn_of_lone_denoised(self)
        known = {"cond": as_float32(cond), "first_index": first_index, **options}
        off = self.frame.outside(x)
        inside = self._inside(x, off)
        done = flow_log_prob(self.fields, self._encode(inside), self.density0(), **known)
        result = replace(done.shifted(self.frame.log_volume(inside.double())), x=self.decoded(done.x))
        if bool(off.any()):
            result = replace(result, log_prob=result.log_prob.masked_fill(off, -math.inf))
        return result if details else result.log_prob

    def _inside(self, x: Tensor, off: Tensor) -> Tensor:
        """Rows, with some row of the model in place of those that are outside of it."""
        if not bool(off.any()):
            return x
        row = self.frame.decode(torch.zeros(1, *self.field_shape, dtype=torch.float64)).to(x)
        return torch.where(off.reshape(-1, *(1,) * (x.ndim - 1)), row, x)


def _strength(guidance: Any, n: int) -> Any:
    """A strength of guidance as ``guide`` takes it, for ``n`` samples."""
    if callable(guidance):
        return guidance
    strength = torch.as_tensor(guidance, dtype=torch.float32)
    if strength.ndim > 1 or (strength.ndim == 1 and len(strength) != n):
        rule = f"guidance must be a number, a function of t or one number per sample, ({n},)"
        raise invalid("Bridge", rule, tuple(strength.shape))
    return strength
