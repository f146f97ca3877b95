"""Effect of low-precision noise on Gumbel-max sampling: closed form, emulation and diagnostics.

``argmax_k (log pi_k + G_k)`` draws from pi if the G_k are Gumbel. A uniform of b bits never exceeds ``1 - 2^-b``, so
that ``G = -log(-log u)`` stays below a cap M: 16.6 for the 24 bits of float32, 36.7 for the 53 of float64. With
``pi_n`` far below the largest, class n can then hardly win: likely tokens gain, unlikely ones lose, as at a lower
temperature. Masked diffusion suffers most, because its steps draw from ``(delta mu, 1 - delta)`` with a small chance
delta of unmasking: all tokens are unlikely there, beside the mask.

Letters: ``pi`` or ``p`` a distribution over K classes, ``mu`` over V tokens, ``delta`` the chance of unmasking in a
step.

Source: Zheng, Chen, Mao, Liu, Zhu & Zhang (2024), arXiv:2409.02908, section 5 and proposition 5.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.generative.tokens.categorical import check_probabilities

FLOAT32_BITS, FLOAT64_BITS = 24, 53
_BISECTIONS = 80


def gumbel_cap(bits: int) -> float:
    """The largest Gumbel number that uniforms on a grid of ``2^-bits`` can give, ``-log(-log(1 - 2^-bits))``."""
    whole("gumbel_cap", "bits", bits, at_least=1, at_most=FLOAT64_BITS, remedy="24 is float32.")
    return -math.log(-math.log1p(-(2.0**-bits)))


def truncated_gumbel_distribution(p: Tensor, cap: float) -> Tensor:
    """The distribution of ``argmax_k (log p_k + G_k)`` when each Gumbel number is conditioned to lie below ``cap``.

    For ascending p, ``S_i = sum_{k >= i} p_k``, ``c = exp(-cap)`` and ``p_0 = 0``::

        p'_n = p_n sum_{i <= n} b_i
        b_i = exp((K + 1 - i) c) / S_i [exp(-S_i c / p_i) - exp(-S_i c / p_{i-1})]

    Args:
        p: Distribution, ``(K,)``, float32 or float64.
        cap: M, finite.

    Returns:
        ``(K,)`` float64.

    Raises:
        InvalidInputError: If ``p`` is no distribution or the cap is not finite.
    """
    check_probabilities(p, "truncated_gumbel_distribution")
    if p.ndim != 1 or not math.isfinite(cap):
        raise invalid(
            "truncated_gumbel_distribution", "p must have shape (K,) and cap be finite", (p.shape, cap)
        )
    ordered, order = (p.double() / p.double().sum()).sort()
    alive = ordered > 0
    pi = ordered[alive]
    tail = pi.flip(0).cumsum(0).flip(0)
    c = math.exp(-cap)
    at = torch.arange(len(pi), 0, -1, dtype=torch.float64) * c - tail * c / pi
    before = torch.cat([pi.new_zeros(1), pi[:-1]])
    # The difference of two exponentials that may be nearly equal.
    lower = tail * c / pi - tail * c / before
    beta = at.exp() * -torch.expm1(lower) / tail
    found = torch.zeros_like(ordered)
    found[alive] = pi * beta.cumsum(0)
    return torch.zeros_like(ordered).scatter(0, order, found)


def gumbel_draw(p: Tensor, *, bits: int = FLOAT32_BITS, generator: Generator | None = None) -> Tensor:
    """Draw by Gumbel-max with uniforms on a grid of ``2^-bits``: ``(..., K)`` -> ``(...)``.

    With 24 bits these are the draws that float32 noise gives, whatever the type of ``p``; the arithmetic is float64.
    For experiments: `interpolants.generative.tokens.categorical.categorical_sample` draws from p itself.
    """
    gumbel_cap(bits)
    check_probabilities(p, "gumbel_draw")
    grid = 2.0**bits
    u = torch.rand(p.shape, dtype=torch.float64, device=p.device, generator=generator)
    gumbel = -torch.log(-torch.log(torch.floor(u * grid) / grid))
    return (p.double().log() + gumbel).argmax(-1)


def entropy(p: Tensor) -> Tensor:
    """Entropy of distributions in nats: ``(..., K)`` -> ``(...)`` float64."""
    found: Tensor = torch.special.entr(p.double()).sum(-1)
    return found


def token_entropy(tokens: Tensor, vocabulary: int) -> float:
    """Entropy, in nats, of the frequencies of all tokens together; at most ``log(vocabulary)``."""
    counts = torch.bincount(tokens.flatten(), minlength=vocabulary)
    return float(entropy(counts.double() / counts.sum()))


def effective_temperature(p: Tensor, drawn: Tensor) -> float:
    """The temperature at which ``p^(1 / T)`` has the mean of log p that the distribution ``drawn`` has.

    It is the maximum-likelihood temperature of draws with these frequencies; 1 if they are p.

    Args:
        p: Distribution that was asked for, ``(K,)``, not uniform.
        drawn: Distribution that was drawn from, ``(K,)``.

    Raises:
        InvalidInputError: If ``p`` is uniform, where all temperatures are alike.
    """
    alive = p > 0
    log_p = p[alive].double().log()
    if float(log_p.max() - log_p.min()) < 1e-12:
        raise invalid("effective_temperature", "p must not be uniform", f"{len(p)} equal probabilities")
    wanted = float((drawn[alive].double() * log_p).sum() / drawn[alive].double().sum())
    low, high = -60.0, 60.0  # log of 1 / T; the mean of log p grows with it
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        mean = float(((log_p * math.exp(middle)).softmax(0) * log_p).sum())
        low, high = (middle, high) if mean < wanted else (low, middle)
    return math.exp(-0.5 * (low + high))


@dataclass(frozen=True)
class StepPrecision:
    """Effect of truncated noise on one step of ancestral sampling.

    Attributes:
        cap: M, the largest Gumbel number.
        unmask: Chance of unmasking, divided by the chance that was meant.
        entropy: Entropy of the token that is drawn, in nats.
        true_entropy: Entropy of mu, in nats.
        temperature: Effective temperature of the token.
    """

    cap: float
    unmask: float
    entropy: float
    true_entropy: float
    temperature: float


def step_precision(mu: Tensor, delta: float, cap: float) -> StepPrecision:
    """The closed form at a distribution of tokens ``mu (V,)`` and a chance ``delta`` in (0, 1) of unmasking.

    Raises:
        InvalidInputError: If ``delta`` is outside (0, 1), or an argument does not fit.
    """
    number("step_precision", "delta", delta, above=0, below=1, remedy="The chance of unmasking.")
    mu = mu.double() / mu.double().sum()
    distribution = truncated_gumbel_distribution(torch.cat([delta * mu, mu.new_tensor([1 - delta])]), cap)
    token = distribution[:-1] / distribution[:-1].sum()
    return StepPrecision(
        cap=cap,
        unmask=float(distribution[:-1].sum()) / delta,
        entropy=float(entropy(token)),
        true_entropy=float(entropy(mu)),
        temperature=effective_temperature(mu, token),
    )
