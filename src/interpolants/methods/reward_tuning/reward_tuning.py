"""Tuning of a fitted bridge by a reward: one shot of weighted matching.

Notation: p is the distribution of the samples of the old model, r the reward, a the strength, and the target is the
tilt ``p_a ∝ p exp(a r)``. On a path ``x_t = alpha x0 + beta x1`` with rate ``I'``, the velocity of the bridge to p_a
from the same base is ``E[I' e^{a r(x1)} | x_t] / E[e^{a r(x1)} | x_t]`` with x1 from p: the minimiser of the usual loss
with weights ``e^{a r(x1)}``. No gradient of r occurs.

Weights may multiply the loss, or rows may be drawn in proportion to them. With weights w of mean 1 and a gradient g of
one row, whose mean under the tilt is m, the mean over a batch of B rows has the variance ``E_a[w (g - m)^2] / B`` in
the first case (with normalised weights) and ``E_a[(g - m)^2] / B`` in the second. Where w and g are unrelated the ratio
is ``E_a w = 1 / (effective fraction)`` >= 1. So rows are drawn.

Source: Potaptchik, Lee & Albergo (2025), arXiv:2512.21829, section 3 for the weighted and the implicit loss. The
implicit loss, in rounds, was no better in trials wherever the effective fraction was above .1, and lost samples at
larger strengths; it is not offered.
"""

import copy
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.couplings.paired import Paired
from interpolants.data.arrays import restore
from interpolants.dynamics.sample import Sampling
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count, Positive
from interpolants.foundations.randomness import key
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.likelihood.log_prob import Scoring
from interpolants.methods.bridge.drawing import Drawing
from interpolants.methods.bridge.fitted import FittedBridge
from interpolants.methods.bridge.fitting import match_further
from interpolants.methods.bridge.held_out import Ends
from interpolants.methods.parts.start_points import Pool
from interpolants.methods.reward_tuning.bill import Draws, TuningBill, new_bill
from interpolants.methods.reward_tuning.rewards import choose_reward, rewards_of
from interpolants.methods.reward_tuning.tilt import (
    effective_fraction,
    frontier,
    largest_strength,
    tilt_kl,
    weights_of,
)

_WHO = "RewardTuning.fit"
# Effective fractions of the draws: below the first a fit is refused, below the last it warns; the strength that an
# error names keeps the second.
_REFUSED, _NAMED, _WARNED = 0.01, 0.05, 0.1
# Draws whose log densities are in the bill, and the largest number of columns, each of which costs an evaluation.
_SCORED, _SCORED_COLUMNS = 1000, 16
# Fraction of the draws that judge the fit, and the largest number of these, of draws of the new model, and of training
# rows that neighbours are looked for among.
_JUDGE, _MOST, _TRAINING = 0.2, 2000, 10_000


class RewardTuning(Trained):
    """Tune a fitted bridge by a reward: the result samples ``p(x) exp(strength r(x)) / Z``, p being the old model.

    ::

        tuned = RewardTuning(strength=1.5).fit(model=bridge, reward=lambda x: -x.mean(1))
        tuned.sample(64)
        print(tuned.bill())                       # reward gained, KL divergence paid, and what was lost
        tuned = bridge.tune(reward, strength=1.5)      # the same

    The old model is sampled once, the reward is evaluated once for each sample, and a copy of the network is trained
    further on samples that are drawn in proportion to ``exp(strength r)``. The reward needs no gradient. A fitted model
    does not need the reward, and files do not contain it.

    It answers as the old model does: ``sample``, ``transport``, ``log_prob`` and ``fields``. The start of the path
    does not change. The model must be a :class:`~interpolants.methods.bridge.bridge.Bridge` without conditions.

    Raises:
        InvalidInputError: If a setting is unknown or out of range.

    Source: Potaptchik, Lee & Albergo (2025), arXiv:2512.21829.
    """

    noun: ClassVar[str] = "tuned bridge"  # prose: keep  # a name of the framework
    per_fit: ClassVar[tuple[str, ...]] = (*Trained.per_fit, "reward")

    strength: Annotated[float, Interval(ge=0)] = 1.0
    """a, the factor of the reward in the exponent; 0 returns the old model."""
    reward: Annotated[Any, Check(choose_reward, "function | table")] = None
    """A function of rows in data units, in the container of the fit of the model, that returns one finite number for
    each, ``(n,)``; or ``{"kind": "column", "column": "x", "scale": 1.0}``. It may also be passed to ``fit``."""
    max_kl: Positive | None = None
    """Largest ``KL(p_a || p)`` in nats; the strength is reduced to meet it. None for no limit."""
    n: Annotated[int, Ge(100)] = 10_000
    """Number of samples of the old model. A fifth of them, 2,000 at most, judge the fit."""
    options: Mapping[str, Any] | None = None
    """Options of ``sample`` of the model for these samples, such as ``method`` and ``n_steps``."""
    steps = 1000
    batch_size = 512
    lr = 1e-3
    ema = 0.99

    def roles(self) -> tuple[Role, ...]:
        """A fitted bridge; optionally rows of its data, whose tilt is part of the bill."""
        return (
            Role(name="model", kind="model", axis="", needs="fields", about="a fitted bridge"),
            Role(name="x1", axis="x1", optional=True, about="held-out rows of the data"),
        )

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Draw from the model, weight the draws, train a copy of the network on them, and write the bill."""
        model = _checked_model(data["model"])
        if self.reward is None:
            remedy = "Pass reward=, a function of rows -> (n,), or {'kind': 'column', 'column': 0}."
            raise invalid(_WHO, "reward is needed", "None", remedy)
        data_rewards = self._data_rewards(model, data.get("x1"))
        draws = run.once("draws of the model", lambda source: vars(self._draws(model, "old", self.n)))
        old = Draws(**draws)
        strength = self._strength(old.rewards)
        n = len(old.x) - min(_MOST, math.ceil(_JUDGE * len(old.x)))
        train, judge = old[:n], old[n:]
        tuned = model if strength == 0 else self._tuned(model, train, judge, strength, run)
        new = self._draws(tuned, "new", len(judge.x), repeat=False)
        training = model.state["pool1"].x[:_TRAINING]
        ratios = self._log_ratios(tuned, model, new.x)
        bill = new_bill(old, judge, new, training, ratios, data_rewards, (strength, float(self.strength)))
        # Answers are like the rows of this fit; without rows, like those of the model.
        roles = [name for name in ("x0", "x1") if name in model.given]
        self.given = {**{name: model.given[name] for name in roles}, **self.given}
        self.shapes = {**{name: model.shapes[name] for name in roles}, **self.shapes}
        kl, reward = frontier(old.rewards, strength)
        return {"model": tuned, "bill": bill, "frontier": {"kl": kl, "reward": reward}}

    def _draws(self, model: Any, name: str, n: int, *, repeat: bool = True) -> Draws:
        """Samples of a model and their rewards, which are evaluated in data units."""
        seed = key(self.seed, "draws of a reward tuning", name)
        x = model.sample(n, seed=seed, details=True, **(self.options or {})).x
        rows = restore(x.cpu(), model.given["x1"])
        return Draws(model.encoded(x), rewards_of(_WHO, self.reward, rows, repeat=repeat))

    def _log_ratios(self, tuned: Any, model: Any, x: Tensor) -> Tensor | None:
        """Log density of the tuned model over that of the model at rows in the network's units, where it is cheap."""
        if x.ndim != 2 or x.shape[1] > _SCORED_COLUMNS or not model.can("log_prob"):
            return None
        rows, seed = model.decoded(x[:_SCORED]), key(self.seed, "log densities of a reward tuning")
        new, old = (bridge.log_prob(rows, seed=seed, details=True).log_prob for bridge in (tuned, model))
        ratios: Tensor = (new - old).cpu()
        return ratios

    def _data_rewards(self, model: FittedBridge, rows: Tensor | None) -> Tensor | None:
        if rows is None:
            return None
        form, fitted = self.given["x1"], model.given["x1"]
        differ = bool(fitted.headings) and form.headings != fitted.headings
        if model.shapes["x1"] != tuple(rows.shape[1:]) or differ:
            label = f"shape {tuple(rows.shape[1:])}, columns {list(form.headings)}"
            raise invalid(_WHO, "x1 must have the columns of the fit of the model, in their order", label)
        return rewards_of(_WHO, self.reward, restore(rows.cpu(), fitted), repeat=False)

    def _strength(self, rewards: Tensor) -> float:
        """The strength to use; a limit of the KL divergence reduces it.

        Raises:
            InvalidInputError: If the weights leave too few effective draws.
        """
        strength, limit = float(self.strength), self.max_kl
        if limit is not None:
            strength = largest_strength(lambda a: tilt_kl(rewards, a).value <= limit, strength)
            if strength < self.strength:
                tell(
                    FitWarning,
                    f"{_WHO}: strength {strength:.4g} is used, with KL {limit:g} nats, as max_kl demands.",
                )
        fraction = effective_fraction(rewards, strength)
        if fraction >= _WARNED:
            return strength
        possible = largest_strength(lambda a: effective_fraction(rewards, a) >= _NAMED, strength)
        label = f"{fraction:.2g} at strength {strength:.4g}"
        remedy = f"With strength={possible:.3g} it is {_NAMED}."
        if fraction < _REFUSED:
            rule = f"the effective fraction of the weighted draws must be at least {_REFUSED}"
            raise invalid(_WHO, rule, label, remedy)
        tell(
            FitWarning,
            f"{_WHO}: few draws have most of the weight: their effective fraction is {label}. {remedy}",
        )
        return strength

    def _tuned(self, model: Any, train: Draws, judge: Draws, strength: float, run: Run) -> Any:
        """A bridge like the model whose network is trained further on weighted draws."""
        pool0 = model.state["pool0"]
        x0, cond0 = (None, None) if pool0 is None else (pool0.x, pool0.cond)
        rows, away = (
            Ends(x0, draws.x, None, cond0, weights_of(draws.rewards, strength)) for draws in (train, judge)
        )
        changes = {**self.training_params(), "held_out": 0.0}
        trainer = type(model)(**{**model.params(), **changes})
        net = copy.deepcopy(model.network).requires_grad_(True).train()
        path, seed = model.fitted_path, self.seed
        net = match_further(
            trainer, net, path, model.pairing, rows, away.evened(seed, paired=False), run, fresh={}
        )
        # Reverse runs start from rows of rho1: those of the tilt.
        pool1 = Pool.of(train.x, None, seed, rows.weights)
        learnt = model.learnt()
        state = {**model.state, "net": net, "pool1": pool1, "held": None, "eps_choice": None}
        # The settings of the training are those of this method; the bridge that answers has the model's own.
        return type(model)(**model.params()).take_over({**learnt, "state": state})

    # --- answers

    @property
    def fields(self) -> Any:
        """The tuned fields, in units of :attr:`frame`."""
        return self.fitted_state("fields")["model"].fields

    @property
    def frame(self) -> Any:
        """The map from data units to those of the fields, that of the old model."""
        return self.fitted_state("frame")["model"].frame

    def cannot(self, verb: str) -> str:  # prose: keep  # a name of the framework
        """Reason of the old model, empty where it has the verb."""
        reason = self.state["model"].cannot(verb) if self.is_fitted and verb != "bill" else ""
        return str(reason)

    def caveat(self, verb: str) -> str:
        """The effective fraction of the draws, and the caveat of the model."""
        if not self.is_fitted:
            return ""
        text = f"Learnt from draws with an effective fraction of {self.state['bill'].effective_fraction:.2g}."
        return " ".join(part for part in (text, self.state["model"].caveat(verb)) if part)

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """Role of the old model."""
        return str(self.fitted_state(verb)["model"].likened(verb, argument, options))

    @capability(like="x1", shares=Drawing, passes=Sampling)
    def sample(self, /, n: Count, *, details: bool = False, **options: Any) -> Any:
        """Draw ``n`` samples of the tilted distribution.

        Args:
            n: Number of samples.
            details: Return ``dynamics.Samples`` (in data units) instead of the plain array.
            options: Settings of ``dynamics.Sampling``: ``method``, ``n_steps``, ``time_grid``, ``chunk`` ...

        Returns:
            ``(n, *D)`` in the kind that ``x1`` had in this fit or in that of the model, or the details.
        """
        return self.state["model"].sample(n, details=details, **options)

    @capability(reads={"x": "x1"}, like="x", shares=Drawing, passes=Sampling)
    def transport(self, /, x: Tensor, *, details: bool = False, **options: Any) -> Any:
        """Transport points from rho0 to the tilted distribution (from it to rho0 when ``reverse``).

        Args:
            x: Points ``(n, *D)`` in data units.
            details: Return ``dynamics.Samples`` (in data units) instead of the plain array.
            options: Settings of ``dynamics.Sampling``: ``method``, ``n_steps``, ``time_grid``, ``chunk`` ...

        Returns:
            ``(n, *D)`` in the kind of ``x``, or the details.
        """
        return self.state["model"].transport(x, details=details, **options)

    @capability(reads={"x": "x1"}, like="x", passes=Scoring)
    def log_prob(
        self, /, x: Tensor, *, seed: int = 0, first_index: int = 0, details: bool = False, **options: Any
    ) -> Any:
        """Log density of the tuned model at ``x``, in nats per row (data units).

        Args:
            x: Points ``(n, *D)`` in data units.
            seed: Seed of the probes, or of the paths of an SDE.
            first_index: Index of the first row in a larger job.
            details: Return ``likelihood.LogProb`` instead of the plain array.
            options: Settings of ``likelihood.Scoring``: ``divergence``, ``probes``, ``method`` ...

        Returns:
            ``(n,)`` in the kind of ``x``, or the details.
        """
        return self.state["model"].log_prob(x, seed=seed, first_index=first_index, details=details, **options)

    @capability()
    def bill(self) -> TuningBill:
        """Reward gained, KL divergence paid and what was lost, as measured at the end of the fit.

        Print it for a table. The old model, the new one and the target are compared; the target is the old model's
        samples weighted by ``exp(strength r)``, of which those for distances were not learnt from.
        """
        bill: TuningBill = self.state["bill"]
        return bill


def _checked_model(model: Any) -> FittedBridge:
    """The model, if its samples can be tilted.

    Raises:
        InvalidInputError: If it is not a bridge, has conditions, keeps pairs together, or leads from data back to data.
    """
    if not isinstance(model, FittedBridge):
        raise invalid(_WHO, "model must be a fitted Bridge", type(model).__name__)
    if model.is_conditional:
        raise invalid(
            _WHO, "model must be a bridge without conditions", "one with cond", "Fit one for a single label."
        )
    if isinstance(model.pairing, Paired):
        rule = "model must be a bridge of unpaired sets: a tilt of x1 alone would break its pairs"
        raise invalid(_WHO, rule, "coupling='paired'")
    if model.fitted_path.is_static:
        raise invalid(_WHO, "model must start from a base or from x0", type(model.fitted_path).__name__)
    return model
