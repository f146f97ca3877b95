"""Values of a policy from a table of its transitions, by an ensemble that knows the noise of its own errors."""

import copy
import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Count, NonNegative, Positive, Share, Whole
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, SettingWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.rl.assessments import ASSESSED, assessed
from interpolants.sciml.rl.critic_loss import Centre, CriticLoss, Head
from interpolants.sciml.rl.critics import Critics
from interpolants.sciml.rl.td_agent import check_members
from interpolants.sciml.rl.transitions import ROLES, checked_transitions, feature_units, features

# Rows' mean error is told where it is this many standard errors from 0, this share of their root mean square, and more
# than rounding.
_SURE, _LARGE, _ROUNDING = 6.0, 0.1, 1e-5
# What values are away from those to which the errors lead is told above this share of values and of errors, and this
# many standard errors of a mean over resampled critics. Directions that the rows tell next to nothing of are left out.
_AWAY, _BEYOND, _DETERMINED = 0.1, 1.5, 1e-6
# Features, such as numbered states, above which the move is taken to be the same for all states.
_MOST_FEATURES = 1000


class TDCritic(Method):
    """Policy evaluation: ``V(s)`` with ``E [r + gamma (1 - done) V(s') - V(s)] = 0``, by temporal differences.

    Each of E critics bootstraps from its own slowly moving copy, sees its own resampling of the rows, and gives the
    value and the law of its error, by the loss of :class:`~interpolants.sciml.rl.critic_loss.CriticLoss`::

        critic = TDCritic(gamma=0.99).fit(state=S, reward=r, next_state=S_after, done=ended)
        critic.predict(S_new)        # values
        critic.assess(S_new)         # with the noise of their errors and the disagreement of the ensemble

    Raises:
        InvalidInputError: If a setting is out of range, or a table does not fit, e.g. if ``done`` is not 0 or 1.
        DivergedError: If the loss is not finite.

    Source: Kim et al. (2024), arXiv:2408.02295.
    """

    noun: ClassVar[str] = "critic"
    only_cpu: ClassVar[str] = "its networks are small"

    gamma: Share = 0.99
    """Discount."""
    states: Whole = 0
    """Number of states, where a state is its number 0, 1, ...: then values are a table. 0 for measured states."""
    head: Head = "generalized"
    """Law of the errors; ``"squared"`` for none."""
    centre: Centre = "likelihood"
    """What values are: ``"likelihood"``, the centre of the law, robust against heavy tails and off the mean where noise
    is skewed or rewards take few values; or ``"mean"``."""
    agreement: NonNegative = 0.1
    """Weight lambda of the errors that are weighed by the agreement of the ensemble."""
    members: Count = 5
    """Critics."""
    resample: bool = True
    """Whether each critic counts every row by a Poisson number of its own, so that the ensemble tells how much the rows
    leave open."""
    fixed_scale: bool = False
    """Whether the scale is 1 and the power alone is learnt, as in the paper."""
    least_power: Annotated[float, Interval(gt=0, lt=2)] = 1.0
    """Least power of the law. Below 1 the likelihood has no bound where an error takes a few values alone, as without
    noise on rewards: then values collapse onto one outcome."""
    reward_scale: Literal["auto"] | Positive = "auto"
    """What rewards are divided by; ``"auto"`` is their mean size times the root of the horizon."""
    hidden: Literal["auto"] | tuple[Count, ...] = "auto"
    """Widths of the hidden layers; ``"auto"`` is none for numbered states, else two of 64."""
    steps: Count = 4000
    """Steps of Adam; the learning rate falls to 0 as a cosine."""
    batch_size: Annotated[int, Ge(2)] = 256
    """Transitions of a step."""
    lr: Positive = 5e-3
    """Learning rate."""
    follow: Annotated[float, Interval(gt=0, le=1)] = 0.05
    """Share by which the copies follow in a step."""

    def check_settings(self) -> None:
        """Refuse a single critic that is to agree, and make the loss."""
        check_members(self.members, self.agreement)
        self._loss = CriticLoss(self.head, self.centre, self.agreement)

    def roles(self) -> tuple[Role, ...]:
        """Transitions, row by row."""
        return ROLES

    # --- fit

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Temporal differences on minibatches."""
        rows = checked_transitions(data, self.given)
        units = feature_units(rows["state"], self.states)
        unit = self._unit(rows)
        source = generator(self.seed, "critics of transitions")
        batches = _Batches(self, units, rows, unit, source)
        critics = Critics(
            batches.x.shape[1], self._hidden, self.members, source,
            fixed_scale=self.fixed_scale, least_power=self.least_power,
        )  # fmt: skip
        copies = copy.deepcopy(critics).requires_grad_(False)
        optimizer = torch.optim.Adam(critics.parameters(), lr=self.lr)

        def step(k: int, source: Generator) -> dict[str, float]:
            optimizer.param_groups[0]["lr"] = 0.5 * self.lr * (1 + math.cos(math.pi * (k - 1) / self.steps))
            loss = batches.loss(critics, copies, source)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                for old, new in zip(copies.parameters(), critics.parameters(), strict=True):
                    old.lerp_(new, self.follow)
            return {"loss": float(loss.detach())}

        parts = {"critics": critics, "copies": copies, "optimizer": optimizer}
        with torch.enable_grad():
            run.live("temporal differences", parts, step, self.steps, every=500, log_every=50)
        self._check_means(batches, critics, unit)
        return {"critics": critics.tree(), "units": units, "unit": unit}

    def _check_means(self, batches: "_Batches", critics: Critics, unit: float) -> None:
        """Say so where errors do not average to 0, as those of values must: few outcomes, skewed noise, few steps."""
        with torch.no_grad():
            error = batches.mean_errors(critics)
        each = error * torch.cat([batches.x, torch.ones_like(error)], 1)
        error_of = each.std(0) / len(each) ** 0.5
        off = each.mean(0).abs()
        sure = (off > _SURE * error_of) & (off > _LARGE * each.square().mean(0).sqrt()) & (off > _ROUNDING)
        if self.head == "squared" or self.centre == "mean":
            self._check_settled(batches, critics, error, unit, surely_off=bool(sure.any()))
        elif bool(sure.any()):
            words = (
                "TDCritic.fit: the mean of the errors is not 0, so values are centres of a law and no means"
            )
            remedy = "take centre='mean', or more steps if the loss still falls"
            tell(SettingWarning, f"{words}; {remedy}")

    def _check_settled(
        self, batches: "_Batches", critics: Critics, error: Tensor, unit: float, *, surely_off: bool
    ) -> None:
        """Warn if values are far from those to which the rows' errors lead: over a long horizon small errors add up."""
        away, doubt = batches.away(error)
        with torch.no_grad():
            value = critics(batches.x).value.mean(1, keepdim=True).double()
        size = max(float(one.square().mean()) for one in (value + away, error.double())) ** 0.5
        moved = float(away.square().mean().sqrt())
        is_away = moved > _AWAY * size and moved > _BEYOND * doubt / self.members**0.5
        if surely_off or is_away:
            told = "TDCritic.fit: the mean of the errors is not 0, so values have not settled"
            told += f": by these errors they would still move by {unit * moved:.2g}"
            remedy = "use more steps, or a larger lr or follow; long horizons need many steps"
            tell(FitWarning, f"{told}; {remedy}")

    @property
    def _hidden(self) -> tuple[int, ...]:
        if not isinstance(self.hidden, str):
            return self.hidden
        return () if self.states else (64, 64)

    def _unit(self, rows: dict[str, Tensor]) -> float:
        """What rewards are divided by: near the size of a sum of rewards of either sign over the horizon."""
        if self.reward_scale != "auto":
            return float(self.reward_scale)
        horizon = 1 / max(1 - self.gamma * float(1 - rows["done"].mean()), 1e-3)
        size = float(rows["reward"].abs().mean()) * horizon**0.5
        return size if size > 0 else 1.0

    # --- answers

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of what is predicted and assessed."""
        return {"value": ("value",), "assessment": ASSESSED}.get(name, ())

    @capability(reads={"x": "state"}, like="value", blocks=True)
    def predict(self, x: Tensor) -> Tensor:
        """Values of states, the means over the ensemble.

        Args:
            x: States ``(B, D)``.

        Returns:
            ``(B, 1)``, in units of the reward.
        """
        return self._assessed(x)[:, :1]

    @capability(reads={"x": "state"}, like="assessment", blocks=True)
    def assess(self, x: Tensor) -> Tensor:
        """What the critics say of states.

        Args:
            x: States ``(B, D)``.

        Returns:
            ``(B, 4)``: value, standard deviation of its error by the law, standard deviation over the ensemble, power
            of the law; in units of the reward but for the last.
        """
        return self._assessed(x)

    def _assessed(self, x: Tensor) -> Tensor:
        seen = features(self.state["units"], x.flatten(1)).float()
        return assessed(Critics.of(self.state["critics"])(seen), self._loss, self.state["unit"])


class _Batches:
    """The loss of critics on random transitions."""

    def __init__(
        self, method: TDCritic, units: dict[str, Any], rows: dict[str, Tensor], unit: float, source: Generator
    ) -> None:
        self.method, self.criterion = method, CriticLoss(method.head, method.centre, method.agreement)
        self.x, self.after = (features(units, _where(rows, name)).float() for name in ("state", "next_state"))
        self.reward = (rows["reward"] / unit).float()[:, None]
        self.goes_on = (method.gamma * (1 - rows["done"])).float()[:, None]
        ones = torch.ones(len(self.x), method.members)
        self.counts = torch.poisson(ones, generator=source) if method.resample else None

    def loss(self, critics: Critics, copies: Critics, source: Generator) -> Tensor:
        """On one minibatch, drawn with replacement."""
        rows = torch.randint(len(self.x), (self.method.batch_size,), generator=source)
        target = self.reward[rows] + self.goes_on[rows] * copies(self.after[rows]).value
        counts = None if self.counts is None else self.counts[rows]
        found: Tensor = self.criterion(critics(self.x[rows]), target, counts)
        if not bool(torch.isfinite(found)):
            raise DivergedError("TDCritic.fit: the loss is not finite. Use a smaller lr.")
        return found

    def mean_errors(self, critics: Critics) -> Tensor:
        """Errors of the ensemble's mean values on all rows, ``(N, 1)``."""
        value, after = (critics(x).value.mean(1, keepdim=True) for x in (self.x, self.after))
        found: Tensor = self.reward + self.goes_on * after - value
        return found

    def away(self, error: Tensor) -> tuple[Tensor, float]:
        """By how much values would move until errors average to 0, ``(N, 1)``, and its root mean square standard error.

        The move is linear in the features f, with a constant: ``c = f' A^-1 mean f d``, ``A = mean f (f - gamma f')^T``
        over the rows, as least squares have it. Its covariance is ``A^-1 (mean d^2 f f^T) A^-T / N``.
        """
        one = torch.ones_like(error, dtype=torch.float64)
        parts = (self.x, self.after) if self.x.shape[1] <= _MOST_FEATURES else (one[:, :0], one[:, :0])
        f, after = (torch.cat([x.double(), one], 1) for x in parts)
        d, n = error.double(), len(error)
        inverse = torch.linalg.pinv(f.T @ (f - self.goes_on.double() * after) / n, rtol=_DETERMINED)
        spread = inverse @ (f.T @ (d.square() * f) / n) @ inverse.T / n
        variance = ((f @ spread) * f).sum(1).clamp_min(0)
        return f @ (inverse @ (f.T @ d / n)), float(variance.mean().sqrt())


def _where(rows: dict[str, Tensor], name: str) -> Tensor:
    """States of a column; after an end, which nothing is read of, the state before."""
    return torch.where(rows["done"][:, None] == 1, rows["state"], rows[name])
