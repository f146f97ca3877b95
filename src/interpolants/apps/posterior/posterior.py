"""Posterior of simulator parameters, learnt from pairs of parameters and simulations."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from annotated_types import Interval as Within
from torch import Tensor
from typing_extensions import override

from interpolants.apps.posterior.calibration import kolmogorov
from interpolants.apps.posterior.composition import composed_draws
from interpolants.apps.posterior.posterior_checks import COARSE_STEPS, check_posterior
from interpolants.apps.posterior.posterior_rivals import simulation_roles
from interpolants.apps.posterior.priors import optional_prior
from interpolants.apps.posterior.rounds import fit_by_simulator, inside
from interpolants.data.column_transforms import ColumnTransform, Interval, Log
from interpolants.dynamics.sample import sample as run_ode
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Answer, Check, Count
from interpolants.foundations.randomness import generator, key
from interpolants.foundations.tell import DataWarning, FitWarning, OutsideWarning, tell
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.role import Role
from interpolants.framework.roles import read, take
from interpolants.framework.self_checks import CheckReport
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.parts.start_points import draw_base

verb("log_posterior", "theta")
_OBSERVED = Role(
    name="observed",
    kind="environment",
    axis="",
    about="Independent observations of one parameter vector, (m, C).",
)
# Rejection: above this fraction outside of the bounds probit units pay, and the largest number of attempts.
_MUCH, _ROUNDS = 0.2, 40
# Attempts with one new draw per rejected one, and draws per rejected one in later attempts.
_SINGLE, _COPIES = 10, 32
# Draws that measure the fraction outside of the bounds in the fit; stored simulations for distances.
_LEAKAGE_DRAWS, _STORED = 1000, 2000
# Observations per block of the draws that normalise densities.
_MASS_ROWS = 64
# Draws per requested one, the smallest pool and the smallest relative effective size for a change of the prior.
_POOL, _SMALLEST_POOL, _LEAST_ESS = 4, 4000, 0.01
# Fraction of draws of a new prior that may lie where the old prior has simulated nothing.
_NEW_OUTSIDE = 0.01
# p-value below which parameters are not draws of the prior.
_UNLIKE = 1e-6


@dataclass(frozen=True)
class Weighted:
    """Draws for a new prior before resampling.

    Attributes:
        theta: Draws for the prior of the fit, ``(K, D)``.
        log_weights: Log ratio of the new to the old prior, ``(K,)``.
    """

    theta: Tensor
    log_weights: Tensor

    @property
    def ess(self) -> float:
        """Effective number of draws, relative to K."""
        weights = self.log_weights.softmax(0)
        return float(1 / weights.square().sum() / len(weights))

    def resampled(self, n: int, source: torch.Generator) -> Tensor:
        """Draw ``n`` rows with probabilities in proportion to the weights, by systematic resampling."""
        edges = self.log_weights.softmax(0).cumsum(0)
        points = (
            torch.arange(n, dtype=torch.float64) + torch.rand(1, generator=source, dtype=torch.float64)
        ) / n
        picks = torch.searchsorted(edges, points * edges[-1]).clamp_max(len(edges) - 1)
        return self.theta[picks[torch.randperm(n, generator=source)]]


class Posterior(Trained):
    """Learn ``p(theta | x)`` from simulations, and sample it for any observation.

    ::

        post = Posterior(prior=Box([-1, -1], [1, 1])).fit(theta, x)
        draws = post.sample(1000, x=x_o)                    # (1000, D)
        log_density = post.log_prob(theta_new, x=x_o)       # nats
        together = post.infer([x_1, x_2, x_3], n=1000)      # several observations of one theta
        post.with_prior(Normal([0, 0], [.3, .3])).sample(1000, x=x_o)
        print(post.check())                                 # calibration on simulations outside of the training

    A conditional flow from noise to parameters is trained by flow matching (a ``Bridge`` on the path
    ``theta_t = (1 - t) z + t theta`` with condition x). Draws outside of the prior's bounds are rejected, and densities
    are divided by the probability that is left.

    Raises:
        InvalidInputError: If a setting is unknown or out of range; when fitting also if parameters lie outside of the
            prior, or rows of theta and x do not match.

    Source: Wildberger et al. (2023), arXiv:2305.17161.
    """

    prior: Annotated[Any, Check(optional_prior)] = field(default=None, kw_only=False)
    """Prior from which the parameters were drawn: ``Box(low, high)``, ``Normal(mean, std)``, ``LogNormal(mean,
    std)``, a table or a distribution of PyTorch. None if only its draws are known: nothing is then
    rejected, and :meth:`infer` and new priors are not available."""
    bounds: Literal["auto", "reject", "probit", "logit", "none"] = "auto"
    """``"reject"`` redraws what lies outside of the prior's bounds. ``"probit"`` and ``"logit"`` learn in units in
    index no draw can leave them (the logarithm for one bound). ``"none"`` keeps all draws. ``"auto"`` is ``"reject"``,
    and trains again with ``"probit"`` if more than a fifth of the draws is outside."""
    net: Any = "auto"
    """Network, as in ``Bridge``: ``"auto"``, a name, a table with settings, or a module ``net(x, t, cond)``."""
    new_prior: Answer[Annotated[Any, Check(optional_prior)]] = None
    """Prior to answer for, in place of that of the fit; see :meth:`with_prior`."""
    held_out: Annotated[float, Within(ge=0, le=0.5)] = 0.1
    """Fraction of the simulations that training does not use. The weights with the smallest loss on them are kept, and
    :meth:`check` is computed from them."""
    rounds: Count = 1
    """Number of rounds of ``fit(simulator=, x_o=)``. Later rounds simulate where the posterior at ``x_o`` has its mass,
    and the answers hold at ``x_o`` only."""
    steps = 3000
    batch_size = 256
    _simulated = False

    @override
    def roles(self) -> tuple[Role, ...]:
        return simulation_roles()

    def fit(
        self,
        theta: Any = None,
        x: Any = None,
        *,
        simulator: Callable[[Tensor], Any] | None = None,
        x_o: Any = None,
        budget: int = 10_000,
        **options: Any,
    ) -> Self:
        """Learn from simulations; rows of ``x`` with NaN, from runs that failed, are dropped.

        Dropping rows is exact if x alone decides which runs are valid. It is biased if runs fail for reasons that
        depend on theta.

        Args:
            theta: Parameters drawn from the prior, ``(N, D)``.
            x: Simulation of each row of theta, ``(N, C)``.
            simulator: Function that returns simulations ``(n, C)`` of parameters ``(n, D)``, in place of theta and x.
            x_o: Observation of later rounds, ``(C,)``.
            budget: Number of simulations of ``simulator`` in all rounds.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        if simulator is None:
            self._check_single_round(x_o)
            return super().fit(theta, x, **options)
        if theta is not None or x is not None or options.get("resume"):
            value_text = "resume" if theta is None and x is None else "theta or x"
            remedy = "Omit theta, x and resume."
            raise invalid(self._caller("fit"), "simulator must be passed alone", value_text, remedy)
        result: Self = fit_by_simulator(self, simulator, x_o, budget, options)
        return result

    def fit_simulated(self, theta: Tensor, x: Tensor, options: Mapping[str, Any]) -> None:
        """Fit to simulations of rounds, which are not draws of the prior itself."""
        self._simulated = True
        try:
            super().fit(theta, x, **options)
        finally:
            self._simulated = False

    def _check_single_round(self, x_o: Any) -> None:
        if self.rounds > 1 or x_o is not None:
            value_text = f"rounds = {self.rounds}" if self.rounds > 1 else "x_o"
            remedy = "Call fit(simulator=..., x_o=..., budget=...)."
            raise invalid(self._caller("fit"), "a simulator must be passed for rounds", value_text, remedy)

    @override
    def check_settings(self) -> None:
        super().check_settings()
        if self.rounds > 1 and self.bounds == "none":
            rule = "bounds must not be 'none' for several rounds, which reject draws"
            raise invalid(type(self).__name__, rule, f"rounds = {self.rounds}", "Use bounds='auto'.")

    def restrict(self, regions: Sequence[dict[str, Any]], x_o: Tensor) -> None:
        """Restrict answers to the regions that earlier rounds have left, at one observation."""
        if regions:
            self.state.update(regions=list(regions), x_o=x_o)
            self.state["outside"] = self._outside(self.state["flow"], x_o[None])

    def _inside(self, theta: Tensor) -> Tensor:
        """Return True for rows within the bounds of the prior and the regions of earlier rounds."""
        return inside((self.state or {}).get("regions", ()), self.prior, theta)

    @override
    def fit_roles(self, values: Mapping[str, Any], **options: Any) -> Self:
        if not self._simulated:
            self._check_single_round(None)
        values, dropped = _valid(values)
        if (heldout := options.get("held")) is not None:
            options["held"], _ = _valid(heldout)
        super().fit_roles(values, **options)
        self.about["dropped"] = dropped
        return self

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Fit the conditional flow, measure how much of it is outside of the bounds, and fit again if that is much."""
        theta, x = data["theta"].double(), data["x"].double()
        heldout = {name: value.double() for name, value in run.held.items()} or None
        if theta.ndim != 2 or x.ndim != 2:
            shapes = f"{tuple(theta.shape)} and {tuple(x.shape)}"
            raise invalid(
                self._caller("fit"),
                "theta and x must be tables (N, D) and (N, C)",
                shapes,
                "Flatten the simulations.",
            )
        self._check_simulations(theta, x)
        flow = self._flow(run, "flow", self.bounds, theta, x, heldout)
        state: dict[str, Any] = {"flow": flow, "bounds": "reject" if self.bounds == "auto" else self.bounds}
        state["outside"] = self._outside(flow, x)
        if self.bounds == "auto" and state["outside"] > _MUCH:
            again = self._flow(run, "flow between bounds", "probit", theta, x, heldout)
            state = {"flow": again, "bounds": "probit", "outside": self._outside(again, x)}
        std = x.std(0)
        stored = (x[:_STORED] - x.mean(0)) / torch.where(std > 0, std, 1.0)
        distances = torch.cdist(stored, stored).fill_diagonal_(math.inf).min(1).values
        units = {"mean": x.mean(0), "std": torch.where(std > 0, std, 1.0)}
        return {
            **state,
            "known": stored,
            "reach": float(distances.max()),
            "gap": float(distances.median()),
            "variance": theta.var(0),
            **units,
        }

    def _check_simulations(self, theta: Tensor, x: Tensor) -> None:
        """Check that the prior can have drawn the parameters, and warn if there are few simulations.

        Warns:
            FitWarning: If there are fewer than 1,000.
            DataWarning: If the distribution of the parameters is not the prior.
        """
        if len(theta) < 1000:
            message = f"{self._caller('fit')}: {len(theta)} simulations are few, and posteriors from few are too narrow"
            tell(FitWarning, f"{message}. Simulate more often, and check() the result.")
        if self.prior is None:
            return
        if self.prior.dim != theta.shape[1]:
            rule = f"theta must have {self.prior.dim} columns, the parameters of the prior"
            raise invalid(self._caller("fit"), rule, theta.shape[1], "Pass theta first and x second.")
        swapped = x.shape == theta.shape and not self._unlike(x) and bool(self.prior.inside(x).all())
        remedy = "Drop these rows, or pass the prior that they were drawn from."
        if swapped:
            remedy = "All rows of x do: theta and x seem to be swapped. Pass theta first and x second."
        if bool((outside := ~self.prior.inside(theta)).any()):
            row = int(outside.nonzero()[0])
            value_text = f"{int(outside.sum())} of {len(theta)} rows outside (row {row}: {_text(theta[row])})"
            raise invalid(
                self._caller("fit"), "theta must lie within the bounds of the prior", value_text, remedy
            )
        if self.rounds > 1 or not (text := self._unlike(theta)):
            return
        if swapped:
            raise invalid(self._caller("fit"), "theta must be draws of the prior, as x are", text, remedy)
        message = f"{self._caller('fit')}: {text}. The posterior is that for the distribution of theta"
        tell(DataWarning, f"{message}, not for the prior. Pass the prior that theta was drawn from.")

    def _unlike(self, theta: Tensor) -> str:
        """The column that is least like draws of the prior, by a Kolmogorov-Smirnov test; empty if all may be draws."""
        levels = self.prior.levels(theta).sort(dim=0).values
        results = [kolmogorov(column) for column in levels.T]
        worst = min(range(len(results)), key=lambda k: results[k][1])
        distance, p = results[worst]
        if p >= _UNLIKE / len(results):
            return ""
        return f"column {worst} is {distance:.2f} from the prior by Kolmogorov-Smirnov (p = {p:.1g})"

    def _caller(self, verb: str) -> str:
        return f"{type(self).__name__}.{verb}"

    def _flow(
        self,
        run: Run,
        stage: str,
        bounds: str,
        theta: Tensor,
        x: Tensor,
        heldout: Mapping[str, Tensor] | None,
    ) -> Bridge:
        settings = self.training_params()
        template = Bridge(
            "one_sided_linear",
            net=self.net,
            transform=self._transforms(bounds),
            standardize=True,
            held_out=self.held_out,
            **settings,
        )
        unseen = None if heldout is None else {"x1": heldout["theta"], "cond": heldout["x"]}
        result: Bridge = run.fit(stage, template, heldout=unseen, x1=theta, cond=x)
        return result

    def _transforms(self, bounds: Any) -> dict[str, ColumnTransform] | None:
        """Column maps of the parameters that have bounds."""
        if self.prior is None or bounds not in ("probit", "logit"):
            return None
        maps: dict[str, ColumnTransform] = {}
        for k, (low, high) in enumerate(self.prior.bounds.T.tolist()):
            if math.isfinite(high):
                maps[str(k)] = Interval(low=low, high=high, shape=bounds)
            elif math.isfinite(low):  # of a log-normal prior, 0
                maps[str(k)] = Log()
        return maps or None

    def _outside(self, flow: Bridge, x: Tensor) -> float:
        """Fraction of draws outside of the prior's bounds, over observations like those of the fit."""
        if self.prior is None:
            return 0.0
        rows = torch.arange(_LEAKAGE_DRAWS) % len(x)
        draws = _draw(
            flow, _LEAKAGE_DRAWS, x[rows], seed=key(self.seed, "outside"), first=0, n_steps=COARSE_STEPS
        )
        return 1 - float(self._inside(draws).double().mean())

    # --- what is answered

    @override
    def cannot(self, verb: str) -> str:  # prose: keep  # a name of the framework
        if verb == "infer" and self.prior is None:
            return "several observations need the density of the prior; fit Posterior(prior=...)."
        if verb == "infer" and self.rounds > 1:
            return "several rounds hold at one observation; fit with rounds=1."
        return ""

    def _check_local(self, x: Tensor) -> None:
        """Check that observations are those of the rounds."""
        x_o = self.state.get("x_o")
        if x_o is None:
            return
        different = ((x - x_o).abs() > 1e-5 * self.state["std"]).any(1)
        if bool(different.any()):
            remedy = "check() tests it over the prior of the last round. For other x, fit with rounds=1."
            value_text = f"x = {_text(x[different][0])} after rounds at {_text(x_o)}"
            rule = "x must be the x_o of the fit if it has several rounds"
            raise invalid(type(self).__name__, rule, value_text, remedy)

    def with_prior(self, prior: Any) -> Self:
        """Return this posterior for another prior, whose mass must lie where the prior of the fit has simulated.

        Args:
            prior: As the setting ``prior``.

        Raises:
            InvalidInputError: If the new prior is wider than that of the fit, or that was not given.
        """
        twin = self.clone()
        if self.is_fitted:
            twin.take_over(self.learnt())
        twin.set_params(new_prior=prior)
        twin._check_new_prior()
        return twin

    def _check_new_prior(self) -> None:
        caller = self._caller("with_prior")
        if self.prior is None:
            raise invalid(caller, "the prior of the fit must be passed", "None", "Fit Posterior(prior=...).")
        if self.rounds > 1:
            rule = "rounds must be 1 for a new prior: later rounds have no simulations elsewhere"
            raise invalid(caller, rule, self.rounds, "Fit with rounds=1.")
        if self.new_prior.dim != self.prior.dim:
            raise invalid(caller, f"the prior must have {self.prior.dim} parameters", self.new_prior.dim)
        g = generator(self.seed, "new prior")
        old, new = (prior.sample(4000, generator=g) for prior in (self.prior, self.new_prior))
        # Where the density of the prior is below that of nearly all of its draws, nothing was simulated.
        threshold = torch.quantile(self.prior.log_prob(old), 1e-3)
        outside = float((self.prior.log_prob(new) < threshold).double().mean())
        if outside > _NEW_OUTSIDE:
            value_text = f"{outside:.0%} of its draws lie where the prior of the fit has no simulations"
            raise invalid(
                caller,
                "the new prior must not be wider than the old",
                value_text,
                "Simulate from the wider prior.",
            )

    @capability(like="theta")
    def sample(
        self,
        /,
        n: Count,
        *,
        x: Tensor | None = None,
        n_steps: Count = 50,
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Any:
        """Draw parameters from ``p(theta | x)``, ``(n, D)``.

        Args:
            n: Number of draws.
            x: One observation ``(C,)`` for all draws, or one per draw ``(n, C)``. For several observations of the same
                parameters, call :meth:`infer`.
            n_steps: Steps of Heun's method.
            seed: Seed of the draws.
            first_index: Index of the first draw within a larger job.
            settings: Settings of answers, for this call.

        Raises:
            InvalidInputError: If nearly all draws lie outside of the prior's bounds, or a new prior leaves fewer than
                1 % effective draws.

        Warns:
            OutsideWarning: If an observation is farther from all simulations than these are from each other.
            FitWarning: If more than a fifth of the draws was outside of the prior's bounds and was redrawn.
        """
        assert x is not None
        x = x.double()
        self._check_observed(x)
        if self.new_prior is None:
            return self.rejected_draws(n, x, n_steps, seed, first_index).to(self.given["theta"].torch_dtype)
        self._check_new_prior()
        draws = torch.empty(n, self.shapes["theta"][0], dtype=torch.float64)
        different, index = torch.unique(x, dim=0, return_inverse=True)
        for k, row in enumerate(different):
            mine = (index == k).nonzero().flatten()
            pool = self._reweighted(
                row, max(_POOL * len(mine), _SMALLEST_POOL), n_steps, key(seed, "pool", k)
            )
            draws[mine] = pool.resampled(len(mine), generator(seed, "resample", k))
        return draws.to(self.given["theta"].torch_dtype)

    def rejected_draws(self, n: int, x: Tensor, n_steps: int, seed: int, first: int = 0) -> Tensor:
        """Draws of the flow, those outside of the bounds redrawn with another seed."""
        flow: Bridge = self.state["flow"]
        draws = _draw(flow, n, x, seed=seed, first=first, n_steps=n_steps)
        if self.prior is None or self.state["bounds"] == "none":
            return draws
        out = ~self._inside(draws)
        fraction = float(out.double().mean())
        for attempt in range(_ROUNDS):
            if not bool(out.any()):
                break
            rows = out.nonzero().flatten()
            copies = 1 if attempt < _SINGLE else _COPIES
            starts = [
                draw_base(flow.fitted_path.base, flow.field_shape, n, key(seed, "redraw", attempt, k), first)
                for k in range(copies)
            ]
            fresh = _flowed(
                flow, torch.cat([start[rows] for start in starts]), x[rows].repeat(copies, 1), n_steps
            )
            valid = self._inside(fresh).reshape(copies, -1)
            picks = valid.int().argmax(0) * len(rows) + torch.arange(len(rows))
            draws[rows], out[rows] = fresh[picks], ~valid.any(0)
        caller = self._caller("sample")
        if bool(out.any()):
            value_text = (
                f"{fraction:.0%} of {n} draws outside, {int(out.sum())} of them in {_ROUNDS} attempts"
            )
            remedy = "Check that x is like the simulations, or fit with bounds='probit'."
            raise invalid(caller, "draws must reach the bounds of the prior", value_text, remedy)
        if fraction > _MUCH and n >= 50:
            message = (
                f"{caller}: {fraction:.0%} of the draws lay outside of the prior's bounds and were redrawn"
            )
            tell(
                FitWarning,
                f"{message}; the posterior is inaccurate there. Fit with bounds='probit', or simulate more.",
            )
        return draws

    def _reweighted(self, x: Tensor, size: int, n_steps: int, seed: int) -> Weighted:
        """Draws at one observation, with the ratio of the priors as weights."""
        theta = self.rejected_draws(size, x.expand(size, -1), n_steps, seed)
        result = Weighted(theta, self.new_prior.log_prob(theta) - self.prior.log_prob(theta))
        ess = result.ess if bool(result.log_weights.isfinite().any()) else 0.0
        if ess < _LEAST_ESS:
            value_text = f"{ess:.2%} of {size} draws at x = {_text(x)}"
            remedy = "Simulate from the new prior: the old posterior has too few draws there."
            raise invalid(
                self._caller("sample"),
                "at least 1 % of the draws must be effective for the new prior",
                value_text,
                remedy,
            )
        return result

    def summary(self, x: Any, *, n: int = 2000, seed: int = 0) -> Any:
        """Return a DataFrame with one row per parameter of the posterior at one observation.

        Columns are ``mean``, ``std``, the quantiles ``5%``, ``50%`` and ``95%``, ``ess``, the effective number of the
        ``n`` draws, and ``contraction``, 1 - posterior variance / prior variance; 0 if x says nothing on a parameter.

        Args:
            x: Observation, ``(C,)``.
            n: Number of draws.
            seed: Seed of the draws.
        """
        pandas = require("pandas", by="Posterior.summary")
        draws = torch.as_tensor(np.asarray(self.sample(n, x=x, seed=seed)), dtype=torch.float64)
        low, median, high = draws.quantile(torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64), 0)
        prior = self.prior if self.new_prior is None else self.new_prior
        variance = self.state["variance"]
        if prior is not None:
            variance = prior.sample(10_000, generator=generator(self.seed, "prior variance")).var(0)
        columns = {
            "mean": draws.mean(0),
            "std": draws.std(0),
            "5%": low,
            "50%": median,
            "95%": high,
            "ess": torch.full_like(low, n * self.ess(x, draws=max(n, _SMALLEST_POOL), seed=seed)),
            "contraction": 1 - draws.var(0) / variance,
        }
        names = self.columns("theta") or [f"theta {k + 1}" for k in range(draws.shape[1])]
        table = {name: value.tolist() for name, value in columns.items()}
        return pandas.DataFrame(table, index=pandas.Index(names, name="parameter"))

    def ess(self, x: Any, *, draws: int = 4000, seed: int = 0) -> float:
        """Effective number of draws for the new prior at one observation, relative to their number; 1 without one.

        Args:
            x: Observation, ``(C,)``.
            draws: Number of draws.
            seed: Seed of the draws.
        """
        self.fitted_state("ess")["flow"]
        if self.new_prior is None:
            return 1.0
        row = torch.as_tensor(np.asarray(x), dtype=torch.float64).reshape(-1)
        return self._reweighted(row, draws, 50, seed).ess

    @capability(like="theta")
    def log_posterior(
        self,
        /,
        theta: Tensor,
        *,
        x: Tensor | None = None,
        draws: Count = 1000,
        seed: int = 0,
        **settings: Any,
    ) -> Tensor:
        """Log density ``log p(theta | x)`` in nats, ``(B,)``; -inf outside of the prior's bounds.

        With ``bounds="reject"`` and with a new prior, the density is normalised by draws at each different observation.

        Args:
            theta: Parameters ``(B, D)``.
            x: One observation ``(C,)``, or one per row ``(B, C)``.
            draws: Draws per observation for the normalisation.
            seed: Seed of these draws.
            settings: Settings of answers, for this call.
        """
        assert x is not None
        return self._log_density(theta.double(), x.double(), draws, seed)

    def log_prob(self, theta: Any, **options: Any) -> Any:
        """Log density of parameters given an observation; see :meth:`log_posterior`.

        Args:
            theta: Parameters ``(B, D)``.
            options: Arguments of :meth:`log_posterior`, such as ``x``.
        """
        return self.log_posterior(theta, **options)

    def _log_density(self, theta: Tensor, x: Tensor, draws: int, seed: int) -> Tensor:
        self._check_observed(x)
        flow: Bridge = self.state["flow"]
        value = torch.as_tensor(flow.log_prob(theta, cond=x)).double()
        if self.prior is None:
            return value
        inside = self._inside(theta)
        cuts = self.state["bounds"] == "reject" or self.rounds > 1
        if cuts or self.new_prior is not None:
            value = value + self._log_ratio(theta) - self._log_mass(x, draws, seed)
        return value if self.state["bounds"] == "none" else value.masked_fill(~inside, -math.inf)

    def _log_ratio(self, theta: Tensor) -> Tensor:
        """Log ratio of the new prior to that of the fit; 0 without a new one, and outside of the old one."""
        if self.new_prior is None:
            return theta.new_zeros(len(theta))
        old = self.prior.log_prob(theta)
        return torch.where(old.isfinite(), self.new_prior.log_prob(theta) - old, 0.0)

    def _log_mass(self, x: Tensor, draws: int, seed: int) -> Tensor:
        """Log of the flow's mean of the ratio of priors within the bounds, at each row of x.

        All rows share their noise, so that the value of a row does not depend on the others.
        """
        different, index = torch.unique(x, dim=0, return_inverse=True)
        flow: Bridge = self.state["flow"]
        start = draw_base(flow.fitted_path.base, flow.field_shape, draws, key(seed, "mass"), 0)
        logs = []
        for rows in different.split(_MASS_ROWS):
            theta = _flowed(flow, start.repeat(len(rows), 1), rows.repeat_interleave(draws, 0), COARSE_STEPS)
            inside = self._inside(theta) | (self.state["bounds"] == "none")
            ratios = self._log_ratio(theta).masked_fill(~inside, -math.inf)
            logs.append(ratios.reshape(len(rows), draws).logsumexp(1) - math.log(draws))
        return torch.cat(logs)[index]

    @capability(reads={"observed": _OBSERVED}, like="theta")
    def infer(
        self,
        observed: Any,
        *,
        n: Count = 1000,
        using: Literal["particles", "gauss"] = "particles",
        n_steps: Count = 200,
        seed: int = 0,
    ) -> Any:
        """Draw parameters given several observations that are independent given theta, ``(n, D)``.

        ``p(theta | x_1..m)`` is proportional to ``p(theta)^(1 - m) prod_i p(theta | x_i)``. Errors of the single
        posteriors add up: relative to its width, the error of the result grows like the square root of m.

        Args:
            observed: Observations ``(m, C)``, one per row.
            n: Number of draws.
            using: ``"particles"`` weights and resamples particles along the flow, and is exact up to their number.
                ``"gauss"`` adds scores with Gaussian precisions: cheaper, exact only for Gaussian posteriors.
            n_steps: Steps of the solver.
            seed: Seed of the draws.

        Warns:
            FitWarning: If there are more than 100 observations.
        """
        x = simulation_roles()[1]
        read_like_x, _ = read(
            (x,), {"x": observed}, self._caller("infer"), before=self.given, rows=len(observed)
        )
        observed = read_like_x["x"].double()
        self._check_observed(observed)
        if len(observed) > 100:
            message = f"{self._caller('infer')}: errors of {len(observed)} posteriors add up to about "
            message += f"{math.sqrt(len(observed)):.0f} times that of one, in units of the posterior's width"
            tell(FitWarning, f"{message}. Fit to sets of observations instead.")
        samples = composed_draws(self, observed, n, using=using, n_steps=n_steps, seed=seed)
        return samples.to(self.given["theta"].torch_dtype)

    def _check_observed(self, x: Tensor) -> None:
        """Check that observations are those of the rounds, and warn if they are far from all simulations."""
        state = self.state
        self._check_local(x)
        rows = (torch.unique(x, dim=0)[:256] - state["mean"]) / state["std"]
        distances = torch.cdist(rows, state["known"]).min(1).values
        if float(distances.max()) > state["reach"]:
            worst = rows[distances.argmax()] * state["std"] + state["mean"]
            message = (
                f"{type(self).__name__}: the nearest simulation to x = {_text(worst)} is "
                f"{float(distances.max()):.3g} standard deviations away; neighbours among simulations are "
                f"{state['gap']:.3g} apart, {state['reach']:.3g} at most. The posterior there is an extrapolation"
            )
            tell(OutsideWarning, f"{message}. Check the simulator and the observation.")

    @capability()
    def check(self, *, n: Count = 300, seed: int = 0) -> CheckReport:
        """Test the calibration on held-out simulations: SBC, coverage, TARP, contraction, draws outside of the bounds.

        Args:
            n: Largest number of held-out simulations.
            seed: Seed of the draws.
        """
        return check_posterior(self, n=n, seed=seed)

    def held_out_simulations(self) -> tuple[Tensor, Tensor]:
        """Parameters and simulations that training did not use, in data units.

        After several rounds, these are the parameters within the region of the last round.

        Raises:
            InvalidInputError: If none were held out.
        """
        flow: Bridge = self.fitted_state("held_out_simulations")["flow"]
        rows = flow.held_out_rows
        if rows is None or rows.x1 is None or rows.cond is None:
            remedy = "Fit with held_out=0.1, or pass held={'theta': ..., 'x': ...} to fit."
            raise invalid(
                self._caller("check"), "simulations must have been held out of the training", "none", remedy
            )
        theta, x = flow.decoded(rows.x1).double(), rows.cond.double()
        if self.rounds == 1:
            return theta, x
        selected = self._inside(theta)
        return theta[selected], x[selected]


def _draw(flow: Bridge, n: int, x: Tensor, *, seed: int, first: int, n_steps: int) -> Tensor:
    """Draws of the flow, ``(n, D)`` float64."""
    start = draw_base(flow.fitted_path.base, flow.field_shape, n, seed, first)
    return _flowed(flow, start, x, n_steps)


def _flowed(flow: Bridge, start: Tensor, x: Tensor, n_steps: int) -> Tensor:
    """Parameters at the ends of the flow's paths from noise, ``(n, D)`` float64."""
    result = run_ode(flow.fields, start, method="heun", n_steps=n_steps, cond=x.float(), seed=0, eps=0.0)
    return flow.decoded(result.x).double()


def _valid(values: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Simulations as floating-point numbers, without rows of x that have NaN, and the number of these rows.

    Warns:
        DataWarning: If rows were dropped.
    """
    result = dict(values)
    theta, x = result.get("theta"), result.get("x")
    if theta is None or x is None or not hasattr(x, "__len__"):
        return result, 0
    if not hasattr(x, "iloc"):
        array = np.asarray(x)
        if array.dtype.kind in "iu":  # counts are numbers, and no labels
            result["x"] = x = array.astype(np.float64)
    if len(theta) != len(x):
        value_text = f"{len(theta)} rows of theta and {len(x)} of x"
        raise invalid("Posterior.fit", "theta and x must have the same number of rows", value_text)
    try:
        invalid_rows: Any = np.isnan(np.asarray(x, dtype=np.float64).reshape(len(x), -1)).any(1)
    except (TypeError, ValueError):  # words are read by the role
        return result, 0
    if not invalid_rows.any() or invalid_rows.all():
        return result, 0
    keep = torch.from_numpy(~invalid_rows).nonzero().flatten()
    failed = f"{int(invalid_rows.sum())} of {len(invalid_rows)} simulations have NaN and are dropped"
    message = f"Posterior.fit: {failed}, which is exact only "
    tell(
        DataWarning, message + "if x alone decides which runs are valid. Make failures rarer, or a part of x."
    )
    return {**result, "theta": take(theta, keep), "x": take(x, keep)}, int(invalid_rows.sum())


def _text(row: Tensor) -> str:
    numbers = ", ".join(f"{value:.4g}" for value in row.tolist()[:4])
    return f"({numbers}{', ...' if len(row) > 4 else ''})"
