"""Preconditioned network: inputs and outputs of unit variance at every noise level.

A state of a one-sided path is ``x = beta x1 + s g`` with data of spread ``sd`` and noise g of unit size. Whatever is to
be learnt is, to leading order, ``y = p x1 + q g``. For normal data the best linear guess of y and the size of what it
misses are

``skip = (p beta sd^2 + q s) / V``, ``out = |p s - q beta| sd / sqrt(V)``, ``V = beta^2 sd^2 + s^2``,

so the network F is asked for ``(y - skip x) / out`` given ``x / sqrt(V)``: ``field = skip x + out F``. Errors are
weighed by ``1 / out^2``, which gives F a loss of order one at every noise level. For ``y = x1`` this is the
preconditioning of Karras et al.

Heavy-tailed noise: a row of a Student-t has a spread of its own, and far out the state tells it. There
``s^2 = (df sigma^2 + N m) / (df + N)``, the posterior mean of the row's own variance, with m the noise per entry that
the state shows: ``|x|^2/N - beta^2 sd^2`` where x lies farther out than data could, and sigma^2 where it does not.
Inputs and outputs then stay of order one, and so do the losses of rows that stand out; a large noise that hides among
the data still makes a large loss, rare and for ``df < 4`` heavy: clip gradients there. For many degrees of freedom s is
sigma.

Source: Karras et al. (2022), arXiv:2206.00364, section 5; other quantities and heavy tails are derived here.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.checks import one_of, positive
from interpolants.foundations.devices import default_device, draws_on_cpu
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.inner_nets import WrapsNet
from interpolants.foundations.ops import expand_like, mean_event
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath

# Ratios of noise to signal, in units of the data's spread, between which the network's clock runs.
_LOUD, _QUIET = 1e3, 1e-3
_FLOOR = 1e-6
# A state farther out than so many standard deviations of the data is taken for noise; and how sharply that is decided.
_FAR, _SHARP = 3.0, 6.0


class _Level(NamedTuple):
    """At some states and times, widened to the states: beta, the noise's size s, V, and s over sigma."""

    beta: Tensor
    s: Tensor
    total: Tensor
    stretch: Tensor


def check_preconditioned(path: Path, heads: Sequence[str]) -> tuple[SpatiallyLinearPath, float]:
    """The path and the scale of its base, if they fit.

    Raises:
        InvalidInputError: As :class:`Preconditioned`.
    """
    who = "Preconditioned"
    if not isinstance(path, SpatiallyLinearPath) or path.base is None:
        remedy = "For example, use paths.EDM() or paths.OneSidedLinear()."
        raise invalid(who, "the path must be one-sided and spatially linear", type(path).__name__, remedy)
    if path.basis is not None:
        rule = "the path must have one schedule for all directions"
        raise invalid(who, rule, type(path).__name__, "Its coordinates have one size each; leave it out.")
    if path.base.shared_scale is None or not path.base.is_centred:
        remedy = "Whiten the data by the base's root."
        raise invalid(who, "the base must be centred with one scale", repr(path.base), remedy)
    for head in heads:
        one_of(who, "every head", head, QUANTITIES)
    return path, path.base.shared_scale


def can_precondition(path: Path, heads: Sequence[str]) -> bool:
    """Return True if a network of these quantities can be preconditioned on the path."""
    try:
        check_preconditioned(path, heads)
    except InvalidInputError:
        return False
    return True


class Preconditioned(Remembered, WrapsNet, id="preconditioned"):
    """``field = skip x + out F(x / sqrt(V), clock)`` for every quantity that a network F has a head for.

    The clock is the logarithm of noise over signal, from 0 (noise alone) to 1 (data alone); it takes the place of t, so
    that a network sees the same thing on every path.

    Args:
        net: The network F, called ``F(x, t, cond)``; returns ``(B, K, *D)`` for K > 1 heads.
        path: A one-sided spatially linear path whose base is centred, with one scale for all entries.
        heads: The K quantities, in order.
        data_std: sd, the standard deviation of the data about zero, over all entries; finite and > 0.

    Raises:
        InvalidInputError: If the path has no such base, a head is unknown, or ``data_std`` is out of range.
    """

    def __init__(self, net: nn.Module, path: Path, heads: Sequence[str], data_std: float) -> None:
        super().__init__()
        positive("Preconditioned", "data_std", data_std)
        self.path, self._scale = check_preconditioned(path, heads)
        self.net, self.heads, self.data_std = net, tuple(heads), float(data_std)
        # An outline of the network, on the device meta, has no values; the rates need some.
        outlined = default_device().type == "meta" and not draws_on_cpu()
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device="cpu" if outlined else None)
        rates = torch.stack([self.path.alpha_dot(ends), self.path.beta_dot(ends)])
        steep = not bool(rates.isfinite().all()) and not {"velocity", "mean_rate"}.isdisjoint(heads)
        self._is_steep = steep or self.heads == ("score",)

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The quantities at ``x (B, *D)``, ``t`` 0-d or ``(B,)``: ``(B, *D)``, or ``(B, K, *D)`` for K > 1 heads."""
        t = self._entered(t)
        at = self._level(x, t)
        raw = ask(self.net, x / at.total.sqrt(), self._clock(at, x), cond)
        single = len(self.heads) == 1
        outputs = (raw,) if single else raw.unbind(1)
        values = []
        for head, output in zip(self.heads, outputs, strict=True):
            skip, out = self._coefficients(head, at, t, x)
            values.append(torch.addcmul(skip * x, out, output))
        return values[0] if single else torch.stack(values, 1)

    def weight(self, x: Tensor, t: Tensor) -> dict[str, Tensor]:
        """``1 / out^2`` by head, ``(B,)``: what makes the squared error of a field that of the network."""
        at = self._level(x, t)
        found = {}
        for head in self.heads:
            _, out = self._coefficients(head, at, t, x)
            found[head] = out.square().reciprocal().reshape(-1).expand(x.shape[0])
        return found

    def _entered(self, t: Tensor) -> Tensor:
        """The time to look at: where a rate or a score is infinite at an end, that of inside stands for it."""
        if not self._is_steep:
            return t
        margin = self.path.margin
        return torch.where((t <= 0) | (t >= 1), t.clamp(margin, 1 - margin), t)

    def _level(self, x: Tensor, t: Tensor) -> _Level:
        beta, alpha = (self._wide(value, x) for value in (self.path.beta(t), self.path.alpha(t)))
        sigma = (alpha * self._scale).clamp_min(_FLOOR * self.data_std)
        data = beta.square() * self.data_std**2
        variance = sigma.square()
        assert self.path.base is not None
        df = self.path.base.moments
        if math.isfinite(df):
            size = x[0].numel()
            wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
            shown = expand_like(mean_event(wide.square()), x).to(x.dtype)
            far = torch.sigmoid(_SHARP * (shown / (_FAR**2 * data + _FLOOR**2)).clamp_min(_FLOOR**2).log())
            own = (variance + far * (shown - data - variance)).clamp_min(0)
            variance = (df * variance + size * own) / (df + size)
        s = variance.sqrt()
        return _Level(beta, s, data + variance, s / sigma)

    def _coefficients(self, head: str, at: _Level, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """``skip`` and ``out``."""
        p, q = self._mixture(head, at, t, x)
        skip = (p * at.beta * self.data_std**2 + q * at.s) / at.total
        out = (p * at.s - q * at.beta).abs() * self.data_std / at.total.sqrt()
        return skip, out

    def _mixture(self, head: str, at: _Level, t: Tensor, x: Tensor) -> tuple[Any, Any]:
        """Shares of x1 and of the unit noise in what a head learns."""
        if head in ("velocity", "mean_rate"):
            alpha_dot, beta_dot = (self._wide(v, x) for v in (self.path.alpha_dot(t), self.path.beta_dot(t)))
            return beta_dot, alpha_dot * self._scale * at.stretch
        if head == "denoised":
            return 1.0, 0.0
        if head == "endpoint0":
            return 0.0, self._scale * at.stretch
        return 0.0, at.stretch if head == "noise" else -1 / at.s

    def _clock(self, at: _Level, x: Tensor) -> Tensor:
        """``()`` or ``(B,)``."""
        ratio = at.s / (at.beta * self.data_std).clamp_min(_FLOOR)
        share = (math.log(_LOUD) - ratio.log()) / math.log(_LOUD / _QUIET)
        clock = share.clamp(0, 1)
        return clock.reshape(x.shape[0]) if clock.ndim else clock

    def _wide(self, value: Tensor, x: Tensor) -> Tensor:
        return expand_like(value, x).to(x.dtype)
