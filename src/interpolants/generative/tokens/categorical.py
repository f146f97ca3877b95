"""Sampling from categorical distributions, computed in float64 whatever the dtype of the probabilities.

A float32 uniform has 24 bits. Through ``-log(-log u)`` it can never exceed 16.6, so that classes with probabilities
below about 1e-7 of the largest are drawn too rarely: the draw has a lower temperature than was asked for
(`discrete.precision` has the closed form). Upcasting the probabilities does not help; the noise must be
fine.
"""

from typing import Literal

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid

TOLERANCE = 1e-4
Draw = Literal["inverse_cdf", "race"]


def categorical_sample(
    p: Tensor,
    *,
    method: Draw = "inverse_cdf",
    uniform: Tensor | None = None,
    generator: Generator | None = None,
    dtype: torch.dtype = torch.float64,
    who: str = "categorical_sample",
) -> Tensor:
    """Draw one class per row: ``p (..., K)`` -> ``(...)`` int64.

    ``inverse_cdf`` finds the first class whose cumulated probability exceeds a uniform: one random number per draw.
    ``race`` gives each class an exponential clock, ``argmin_k E_k / p_k`` with ``E = -log(1 - u)``: K numbers per draw,
    the same distribution as Gumbel-max and no logarithm of p. A class of probability 0 is never drawn by either.

    Args:
        p: Probabilities, float32 or float64; rows sum to 1 within 1e-4 and are normalised exactly here.
        method: ``"inverse_cdf"`` or ``"race"``.
        uniform: Numbers in [0, 1), ``(...)`` for the inverse CDF and ``(..., K)`` for the race; drawn when left out.
        generator: Source of the uniforms, on the device of ``p``.
        dtype: Type of the noise and of the arithmetic; anything below float64 is for experiments on precision.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If ``p`` has half precision, is negative, or is not normalised.
    """
    check_probabilities(p, who)
    one_of(who, "method", method, ("inverse_cdf", "race"))
    shape = p.shape if method == "race" else p.shape[:-1]
    if uniform is None:
        uniform = torch.rand(shape, dtype=dtype, device=p.device, generator=generator)
    elif uniform.shape != shape:
        raise invalid(who, f"uniform must have shape {tuple(shape)}", tuple(uniform.shape))
    p, uniform = p.to(dtype), uniform.to(dtype)
    if method == "race":
        return (-torch.log1p(-uniform) / p).nan_to_num_(nan=torch.inf).argmin(-1)
    cdf = p.cumsum(-1)
    # u < 1 keeps the product below the total after rounding, so the last class with mass is the largest answer.
    target = uniform.unsqueeze(-1) * cdf[..., -1:]
    return torch.searchsorted(cdf.contiguous(), target, right=True).squeeze(-1)


def check_probabilities(p: Tensor, who: str, *, tolerance: float = TOLERANCE) -> None:
    """Refuse probabilities of half precision, and on the CPU those that are negative or do not sum to one.

    Raises:
        InvalidInputError: If a rule is broken; values are read on the CPU only, where that does not stall a queue.
    """
    if p.dtype not in (torch.float32, torch.float64):
        remedy = "Upcast the logits before the softmax: logits.double().softmax(-1)."
        raise invalid(who, "probabilities must be float32 or float64", str(p.dtype), remedy)
    if not p.is_cpu or p.numel() == 0:
        return
    # A NaN fails both comparisons.
    if not float(p.min()) >= 0:
        raise invalid(who, "probabilities must be >= 0", float(p.min()), "Pass a softmax, not logits.")
    off = (p.sum(-1) - 1).abs().max()
    if not float(off) <= tolerance:
        total = float(p.sum(-1).flatten()[int((p.sum(-1) - 1).abs().argmax())])
        raise invalid(
            who,
            f"probabilities must sum to 1 within {tolerance:g}",
            total,
            "Divide by the sum over the last axis.",
        )
