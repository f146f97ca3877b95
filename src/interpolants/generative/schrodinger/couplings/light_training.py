"""Fit of the mixture potential of an entropic plan to two sample sets.

Loss ``L = E log c(x0) - E log v(x1)``: the relative entropy of the best plan to the present one, up to a constant, from
samples of the ends alone. Minimised by ``light_search``.

Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174, for the loss and its training by Adam; the alternation and
the quasi-Newton method are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import finite
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.randomness import generator as keyed
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan, check_eps
from interpolants.generative.schrodinger.couplings.light_search import Ends, Row, Search
from interpolants.generative.schrodinger.couplings.light_settings import LightTraining

_MOST_HELD_OUT = 10_000


@dataclass(frozen=True)
class LightFit:
    """A learnt plan and how it came about.

    Attributes:
        plan: The plan that was best on the held-out samples.
        heldout: Its loss there, in nats; comparable between plans on the same data with the same eps only.
        steps: Iterations that were made after the short alternation.
        converged: Whether the held-out loss had stopped falling, rather than the steps been used up.
        history: Rows of step, loss on the training rows before the last iteration (not with adam), loss on the
        held-out ones.
    """

    plan: LightPlan
    heldout: float
    steps: int
    converged: bool
    history: Sequence[Row]


def fit_light_plan(x0: Tensor, x1: Tensor, *, eps: float, settings: LightTraining | None = None) -> LightFit:
    """Learn the entropic plan from x0 to x1 for the reference ``sqrt(2 eps) W``.

    Args:
        x0: Samples of rho0, ``(N0, D)``, finite.
        x1: Samples of rho1, ``(N1, D)``; rows need not correspond.
        eps: Diffusivity, data units squared.
        settings: How; the defaults when None.

    Raises:
        InvalidInputError: If eps or the data break a rule, or there are more components than samples.
        DivergedError: If the loss becomes NaN or infinite.
    """
    settings = LightTraining() if settings is None else settings
    eps = check_eps("LightPlan", eps)
    _check_samples(x0, x1)
    source = keyed(settings.seed, "light training")
    dtype = torch.float32 if x0.device.type == "mps" else torch.float64
    (y0, held0), (y1, held1) = (_split(x.to(dtype), settings.heldout, source) for x in (x0, x1))
    if settings.n_components > len(y1):
        rule = f"n_components must be at most the number of training samples of x1, {len(y1)}"
        raise invalid("LightPlan", rule, settings.n_components, "Use fewer components.")
    centre0, centre1 = y0.mean(0), y1.mean(0)
    y0, held0, y1, held1 = y0 - centre0, held0 - centre0, y1 - centre1, held1 - centre1
    scale = math.sqrt(float(y0.square().mean() + y1.square().mean()) / 2) or 1.0
    e = 2 * eps / scale**2
    if (
        not e > 1e-9
    ):  # no mixture that fits into memory resolves this, and the potentials become NaN or infinite
        remedy = "Rescale the data, drop huge values, or raise eps."
        raise DivergedError(
            f"LightPlan: data of standard deviation {scale:.3g} are too wide for eps={eps!r}: the loss becomes "
            f"NaN or infinite. {remedy}"
        )
    ends = Ends(*(y / scale for y in (y0, y1, held0, held1)))
    search = Search(ends, e, settings, source)
    best = search.run()
    plan = LightPlan(eps, best.log_alpha, scale * best.offsets, best.slopes, centre0=centre0, centre1=centre1)
    # The density of x1 in data units is that of the scaled one over scale^D.
    unit = x1.shape[1] * math.log(scale)
    history = [{k: v if k == "step" else v + unit for k, v in row.items()} for row in search.history]
    return LightFit(plan, search.value + unit, search.steps, search.converged, history)


def _split(x: Tensor, share: float, source: Generator) -> tuple[Tensor, Tensor]:
    """Shuffled rows to learn from and rows to judge by; the same ones if nothing is to be kept apart."""
    x = x[torch.randperm(len(x), generator=source).to(x.device)]
    count = min(_MOST_HELD_OUT, int(share * len(x)))
    if count < 1:
        return x, x[:_MOST_HELD_OUT]
    return x[count:], x[:count]


def _check_samples(x0: Tensor, x1: Tensor) -> None:
    who = "LightPlan"
    for name, x in (("x0", x0), ("x1", x1)):
        if not isinstance(x, Tensor) or x.ndim != 2 or len(x) < 2 or not x.is_floating_point():
            what = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise invalid(who, f"{name} must be a floating-point tensor (N, D), N >= 2", what)
        finite(who, name, x, remedy="Drop or impute these rows.")
    if x0.shape[1] != x1.shape[1]:
        raise invalid(who, f"x1 must have {x0.shape[1]} dimensions like x0", x1.shape[1])
