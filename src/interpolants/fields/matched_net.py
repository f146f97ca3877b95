"""Network on another path: states and times of the target are mapped to those of the path of the training.

Two paths ``x_t = alpha x0 + beta x1`` and ``y_tau = A x0 + B x1`` pass through the same states up to a scale: where
``beta/alpha (t) = B/A (tau)``, ``y_tau = c x_t`` with ``c = A/alpha = B/beta``. So ``E[x1 | y_tau = y]`` and
``E[z | y_tau = y]`` are those of ``x_t = y/c``, and the velocity of the target follows from them by its own relation
``A' E[x0|y] + B' E[x1|y]``. No rate of ``t(tau)`` enters, and nothing is divided by a number that vanishes.

Differences from the sources: these multiply the velocity by ``dt/dtau`` instead, which is infinite at the ends of many
pairs of paths.

Source: Shaul et al. (2024), arXiv:2310.19075, section 2.2; Karras et al. (2022), arXiv:2206.00364, appendix C.
"""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.fields.conversions import At, Rule, plan
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError, invalid
from interpolants.foundations.inner_nets import WrapsNet
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.row_times import TakesOneTime, ask
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath

_WHO = "on"
# Halvings of [0, 1] after which a float64 time does not change.
_HALVINGS = 60
# Times kept per network: those of a run and of the next one.
_KEPT = 4096


def matched_heads(path: Path) -> tuple[str, ...]:
    """The two quantities that do not depend on the path, given the state; everything else follows from them."""
    return ("noise" if path.is_one_sided else "endpoint0"), "denoised"


def check_reachable(source: Path, target: Path) -> None:
    """Check that the states of two paths are the same up to a scale.

    Raises:
        InvalidInputError: If one of them is not ``alpha x0 + beta x1`` with one schedule for all directions and no
            latent term, if ``beta/alpha`` does not grow in time, or if their bases differ by more than a scale.
    """
    if source.is_one_sided != target.is_one_sided:
        rule = f"both paths must {'be one-sided' if source.is_one_sided else 'have two free ends'}"
        remedy = "A path with a base draws x0 itself; between two data sets x0 is given."
        raise invalid(_WHO, rule, f"{_name(source)} to {_name(target)}", remedy)
    for path in (source, target):
        _check_shape_of_path(path)
    if not source.is_one_sided or _same_base(source.base, target.base):
        return
    scales = [
        base.shared_scale if base is not None and base.is_centred else None for base in _bases(source, target)
    ]
    kinds = [getattr(base, "kind", None) for base in _bases(source, target)]
    moments = [base.moments for base in _bases(source, target)]
    if None in scales or kinds[0] != kinds[1] or moments[0] != moments[1]:
        rule = "both paths must start from the same base, up to one scale: the distributions differ otherwise"
        remedy = f"Pass a path with the base of the model, e.g. OneSidedLinear(base={source.base!r})."
        raise invalid(_WHO, rule, f"{source.base!r} to {target.base!r}", remedy)


def same_path(path: Path, second: Path) -> bool:
    """Return True if two paths have the same settings, a base of equal numbers among them."""
    if type(path) is not type(second):
        return False
    names = [part.name for part in fields(path) if part.name != "base"]  # type: ignore[arg-type]  # dataclasses
    pairs = [(getattr(path, name), getattr(second, name)) for name in names]
    alike = all(torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b) for a, b in pairs)
    return path is second or (alike and _same_base(path.base, second.base))


def _same_base(base: Any, second: Any) -> bool:
    if base is second or type(base) is not type(second):
        return base is second
    try:
        return bool(base.describe() == second.describe())
    except InvalidInputError:  # a custom distribution cannot be compared by its numbers
        return False


def _bases(source: Path, target: Path) -> tuple[Any, Any]:
    return source.base, target.base


def _name(path: Path) -> str:
    return type(path).__name__


def _check_shape_of_path(path: Path) -> None:
    """Check that a path is ``alpha(t) x0 + beta(t) x1``, with ``beta/alpha`` growing in time."""
    name = _name(path)
    if not isinstance(path, SpatiallyLinearPath) or path.is_static:
        rule = "the path must be alpha(t) x0 + beta(t) x1"
        raise invalid(_WHO, rule, name, "For example, 'one_sided_linear' or 'vp'.")
    if path.basis is not None:
        rule = "the path must have one schedule for all directions: one time cannot match several ratios"
        raise invalid(_WHO, rule, name, "Train on the target path.")
    if not path.is_one_sided and not path.envelope.is_zero:
        rule = "a two-sided path must have no latent term: another gamma is another family of distributions"
        raise invalid(_WHO, rule, name, "Train on the target path, or with envelope=ZeroEnvelope().")
    t = torch.linspace(0, 1, 257, dtype=torch.float64)
    if not bool((torch.atan2(path.beta(t), path.alpha(t)).diff() > 0).all()):
        rule = "beta/alpha must grow from t = 0 to 1"
        raise invalid(_WHO, rule, name, "For example, 'one_sided_linear' or 'vp'.")


def _scale(path: SpatiallyLinearPath, second: SpatiallyLinearPath) -> float:
    """The noise of x0 by which two paths are matched: 1 where they share the base."""
    if path.base is None or _same_base(path.base, second.base):
        return 1.0
    assert path.base.shared_scale is not None
    return float(path.base.shared_scale)


def match(source: SpatiallyLinearPath, target: SpatiallyLinearPath, tau: Tensor) -> tuple[Tensor, Tensor]:
    """The time of the source with the ratio of the target at ``tau``, and ``c``, each as ``tau``, in float64.

    Where the source has no such ratio, the time is the nearer end. ``c`` is then the ratio of the sizes
    ``sqrt(alpha^2 + beta^2)`` all the same.
    """
    tau = tau.double()
    noise, signal = target.alpha(tau) * _scale(target, source), target.beta(tau)
    size = _scale(source, target)
    t = time_of_ratio(source, size, signal, noise)
    return t, torch.hypot(noise, signal) / torch.hypot(source.alpha(t) * size, source.beta(t))


def time_of_ratio(path: SpatiallyLinearPath, size: float, signal: Tensor, noise: Tensor) -> Tensor:
    """The time at which ``beta / (size alpha)`` is ``signal / noise``, in float64, or the nearer end.

    Args:
        path: A path on which ``beta / alpha`` grows.
        size: Scale of x0.
        signal: Numerators, in float64, >= 0.
        noise: Denominators of the same shape, >= 0.
    """
    if path.base is not None and size == path.base.shared_scale:
        return path.time_at_log_snr(2 * (signal.log() - noise.log()))
    low, high = torch.zeros_like(signal), torch.ones_like(signal)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = path.beta(middle) * noise < size * path.alpha(middle) * signal
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def covered(source: SpatiallyLinearPath, target: SpatiallyLinearPath) -> tuple[float, float]:
    """First and last time of the target whose ratio of signal to noise the source has.

    Before the first and after the last one the network is evaluated at the nearer end of the source.
    """
    limits = torch.tensor([0.0, 1.0], dtype=torch.float64)
    size = _scale(source, target)
    start, stop = time_of_ratio(
        target, _scale(target, source), source.beta(limits), source.alpha(limits) * size
    ).tolist()
    return start, stop


class MatchedNet(Remembered, WrapsNet, id="matched_net"):
    """Mean noise and denoised state on a target path, from a network that was trained on a source path.

    Args:
        net: The network, called ``net(x, t, cond)`` on the source; returns ``(B, K, *D)`` for K > 1 heads.
        source: The path that the network was trained on.
        target: The path of the states that are passed.
        heads: The K quantities of the network, in order.
        mean1: ``E[x1]``, as in :class:`~interpolants.fields.LearnedFields`.
        margin: Relations of the source are evaluated at times in ``[margin, 1 - margin]``; ``source.margin`` when None.

    Raises:
        InvalidInputError: As :func:`check_reachable`.
        NotIdentifiableError: If the two quantities do not follow from the heads.
    """

    def __init__(
        self,
        net: nn.Module,
        source: Path,
        target: Path,
        heads: Sequence[str],
        mean1: Tensor | None = None,
        margin: float | None = None,
    ) -> None:
        super().__init__()
        check_reachable(source, target)
        assert isinstance(source, SpatiallyLinearPath)
        assert isinstance(target, SpatiallyLinearPath)
        self.net, self.source, self.target, self.heads = net, source, target, tuple(heads)
        self.mean1, self.margin = mean1, source.margin if margin is None else margin
        self._steps: list[Rule] | None = self._rules()
        self._times: dict[float, tuple[Tensor, Tensor]] = {}

    def toward(self, target: Path) -> "MatchedNet":
        """The same network, matched to another path."""
        return MatchedNet(self.net, self.source, target, self.heads, self.mean1, self.margin)

    def __reduce__(self) -> Any:
        """Copies plan the relations again: these hold functions that another process cannot receive."""
        make, arguments, state = super().__reduce__()
        return make, arguments, {**state, "_steps": None, "_times": {}}

    def _rules(self) -> list[Rule]:
        """Relations of the source that lead from the heads to the two quantities."""
        steps: list[Rule] = []
        for quantity in matched_heads(self.target):
            rules = plan(self.source, self.heads, quantity)
            if rules is None:
                missing = f"{quantity} does not follow from {', '.join(self.heads)} on the path {_name(self.source)}"
                raise NotIdentifiableError(
                    f"{_WHO}: {missing}, so the fields of another path do not. Learn it too."
                )
            steps += [rule for rule in rules if rule not in steps]
        return steps

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """``(B, 2, *D)``: noise, or on two-sided paths ``endpoint0``, and ``denoised``, at ``t`` 0-d or ``(B,)``."""
        time, scale = self._matched(t, x)
        state = x / self.source.widen(scale, x)
        inside = time.clamp(self.margin, 1 - self.margin)
        raw = ask(self.net, state, inside if self.source.is_steep_at_0 else time, cond)
        values = dict(zip(self.heads, (raw,) if len(self.heads) == 1 else raw.unbind(1), strict=True))
        at = At(self.source, state, inside, self.mean1)
        if self._steps is None:
            self._steps = self._rules()
        for rule in self._steps:
            values[rule.target] = rule.formula(at, *(values[need] for need in rule.needs))
        return torch.stack([values[name] for name in matched_heads(self.target)], 1)

    def _matched(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Time of the source in the type that suits the states, and scale."""
        keeps = t.ndim == 0 and t.is_cpu and not t.requires_grad and not torch.compiler.is_compiling()
        key = float(t) if keeps else math.nan
        if keeps and key in self._times:
            time, scale = self._times[key]
        else:
            time, scale = match(self.source, self.target, t)
            if keeps and len(self._times) < _KEPT:
                self._times[key] = time, scale
        return time.to(time_dtype(x)), scale


class FieldsNet(TakesOneTime, nn.Module):
    """Fields as a network of some of their quantities, ``(B, K, *D)``.

    Args:
        fields: The fields.
        heads: The K quantities.
    """

    def __init__(self, fields: Any, heads: Sequence[str]) -> None:
        super().__init__()
        self.fields, self.heads = fields, tuple(heads)
        self.nets = nn.ModuleList(fields.networks)

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The quantities at ``x (B, *D)`` and ``t`` 0-d or ``(B,)``."""
        values = self.fields.evaluate(x, t, self.heads, cond)
        return torch.stack([values[name] for name in self.heads], 1)
