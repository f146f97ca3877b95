"""The bridge between two distributions: two sample sets in, transport, generation and likelihood out."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.framework.capabilities import capability
from interpolants.likelihood.log_prob import Scoring
from interpolants.likelihood.log_prob import log_prob as flow_log_prob
from interpolants.methods.bridge.bridge_fit import as_float32
from interpolants.methods.bridge.classification import classes_of
from interpolants.methods.bridge.completion import has_gaussian_base
from interpolants.methods.bridge.densities import warn_of_errors_at_data
from interpolants.methods.bridge.sampling import SampledBridge


class Bridge(SampledBridge):
    """A learnt bridge between two distributions: transport, generate and score, by ODE or SDE, in both directions.

    ::

        bridge = Bridge(seed=0).fit(x0, x1)
        y = bridge.sample(1000, eps=0.5)               # forward SDE; eps=0 is the ODE; same trained model
        x = bridge.transport(x1_new, reverse=True)     # the other way
        lp = bridge.log_prob(x1_new)                   # nats, one per row

    Data may be arrays, tensors, DataFrames, datasets, a torch Distribution or a problem; answers come back in the
    kind that was given. States of any shape ``(N, *D)``; both ends must have the same event shape.

    Args:
        path: Name of a path, ``{"kind": name, **settings}``, or a ``Path``. One-sided paths generate from a Gaussian.
            Paths that are made from data are fitted to x1 by ``{"kind": name, "fit": {settings}}``. ``"auto"``:
            ``"linear"``, between two sets; its latent term is a tenth where the coupling is ``"auto"`` and pairs.
        coupling: How x0 and x1 are paired while training: ``"independent"``, ``"paired"``, ``"minibatch_ot"``,
            ``"sinkhorn"``, a table with settings, or a coupling. ``"auto"``: ``"minibatch_ot"`` between two sets of
            vectors of up to 64 columns with 200 rows a column, without conditions, if path and heads are ``"auto"``
            too and SciPy is installed; else ``"independent"``. What was taken is ``bridge.pairing``.
        net: ``"auto"`` (MLP for vectors, U-Net for images), a name, a table with settings, or an ``nn.Module`` called
            as ``net(x, t, cond)``, ``t (B,)``, that returns ``(B, K, *D)`` for K > 1 quantities. It sees states of unit
            size. A plain MLP of your own is slow to learn fine structure from these: give its first layer ``4 * x``.
        heads: ``"auto"`` or the quantities to learn, e.g. ``("velocity", "noise")``; the others follow from them. On
            every two-sided path ``"velocity"`` or ``"mean_rate"`` with ``"noise"`` or ``"score"`` hold when learnt.
            Pairs whose errors grow without bound at an end of the path, such as ``("endpoint0", "noise")``, warn at
            ``fit``.
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
            orders of magnitude: ``"log"``, ``"asinh"``, ``"quantile"`` (normal quantiles), ``"interval"`` (logit
            between 0 and 1, or other bounds: ``{"kind": "interval", "low": 0.0, "high": inf}`` for one), a table with
            settings, or a mapping of columns to these, ``{"price": "log"}``, by number ``{"0": "log"}`` where they
            have no names.
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
        """Log densities need that of rho0, completion and classes a Gaussian base, classes labels."""
        if verb in ("classify", "complete") and not has_gaussian_base(self.first_path):
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

    @capability(reads={"x": "x1"}, like="x", passes=Scoring)
    def log_prob(
        self,
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
        warn_of_errors_at_data(self, "log_prob", "the log densities can be wrong by thousands of nats")
        known = {"cond": as_float32(cond), "seed": seed, "first_index": first_index, **options}
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
