"""NELBO: the upper bound on ``-log p`` of a token posterior, estimated with its error or summed exactly.

For a masked path the bound is the mean over all orders of revealing the tokens of the negative log-likelihood of the
sequence in that order; with the exact posterior it is ``-log p(x)`` itself.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.chunks import Chunk, Chunks
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.types import Condition, check_rows
from interpolants.generative.tokens.discrete.masking import Hidden, hide, hide_share
from interpolants.generative.tokens.discrete.posterior import Posterior, as_posterior

Form = Literal["time_free", "time"]
_MOST_SEQUENCES = 1 << 20


@dataclass(frozen=True)
class Nelbo:
    """An upper bound on the negative log-likelihood.

    Attributes:
        value: Mean over sequences, in nats per sequence.
        error: Its standard error over sequences and masks together; NaN for a single sequence.
        per_sequence: ``(B,)`` float64, unbiased for each sequence.
        length: L; of sequences of different lengths the mean number of tokens, their end included.
    """

    value: float
    error: float
    per_sequence: Tensor
    length: float

    @property
    def bits_per_token(self) -> float:
        """The bound in bits per token."""
        return self.value / (self.length * math.log(2))

    @property
    def bits_error(self) -> float:
        """Standard error of :attr:`bits_per_token`."""
        return self.error / (self.length * math.log(2))

    def __str__(self) -> str:
        return (
            f"{self.bits_per_token:.4f} ± {self.bits_error:.2g} bits per token (n = {len(self.per_sequence)})"
        )


@torch.no_grad()
def nelbo(
    posterior: Posterior,
    x1: Tensor,
    *,
    draws: int = 8,
    form: Form = "time_free",
    cond: Condition = None,
    generator: Generator | None = None,
    seed: int | None = None,
    first_index: int = 0,
    chunk: int | None = None,
) -> Nelbo:
    """Estimate the bound on a masked path.

    Args:
        posterior: mu, and the path.
        x1: Clean tokens, ``(B, L)``.
        draws: Masks per sequence, stratified over the number of masks.
        form: ``"time_free"`` sums over the number of masks; ``"time"`` integrates over the hidden share. The same mean,
            but without a finite variance, so that its error is no guide.
        cond: Condition, one row per sequence.
        generator: Source of the masks, on the CPU.
        seed: Instead of a generator: the masks of sequence i then belong to (seed, i), whatever its batch.
        first_index: Index of the first sequence in the whole job, with ``seed``.
        chunk: Sequences at once; chosen for the machine's cache when None.

    Raises:
        InvalidInputError: If the path has no mask, a token is out of range, ``draws`` is not positive, or
            conditions do not fit.
    """
    _check(posterior, x1, form)
    whole("nelbo", "draws", draws, at_least=1)
    check_rows("nelbo", cond, len(x1), "sequence")
    rows, length = x1.shape
    noise = None
    if seed is not None:
        shape = (length + 1,)
        noise = BlockNoise(
            seed, ("token bound",), first=first_index, count=rows, shape=shape, dtype=torch.float64
        )
    total = torch.zeros(rows, dtype=torch.float64)
    for draw in range(draws):
        if noise is None:
            place = torch.rand(rows, dtype=torch.float64, generator=generator)
            levels = torch.rand(rows, length, dtype=torch.float64, generator=generator)
        else:
            drawn = noise.uniform()
            place, levels = drawn[:, 0], drawn[:, 1:]
        u = (draw + place) / draws
        if form == "time_free":
            hidden = hide(1 + (u * length).long().clamp(max=length - 1), length, levels=levels)
            weight = length / hidden.where.sum(1).double()  # whole numbers would divide in the default type
        else:
            hidden = hide_share(u, length, levels=levels)
            weight = 1 / hidden.share
        total += weight * _missed(posterior, x1, hidden, cond, chunk).cpu()
    return summed_up(total / draws, length)


def summed_up(values: Tensor, length: float) -> Nelbo:
    """The bounds ``(B,)`` of sequences of ``length`` tokens each, with their mean and its error."""
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return Nelbo(float(values.mean()), error, values, length)


@torch.no_grad()
def exact_nelbo(
    posterior: Any, x1: Tensor, *, path: Any = None, form: Form = "time_free", nodes: int = 48
) -> Tensor:
    """The bound of each sequence, ``(B,)`` float64, by summing over all ``2^L`` masks.

    Args:
        posterior: A posterior, or what one can be made of with ``path``.
        x1: Clean tokens, ``(B, L)``; short ones.
        path: The masked path, if ``posterior`` does not carry one.
        form: ``"time_free"``, or ``"time"``: Gauss-Legendre quadrature of the integral over the hidden share,
            which is right whatever the schedule.
        nodes: Nodes of the quadrature.

    Raises:
        InvalidInputError: If there are too many masks, or the time-free form is asked of a posterior that uses time.
    """
    asked = as_posterior(posterior, path)
    _check(asked, x1, form)
    rows, length = x1.shape
    if rows << length > _MOST_SEQUENCES:
        rule = f"sequences times 2^L must be at most {_MOST_SEQUENCES}"
        raise invalid("exact_nelbo", rule, f"{rows} sequences of length {length}", "Use nelbo.")
    if form == "time_free" and asked.uses_time:
        remedy = "Use form='time', or nelbo, which gives each state a time."
        raise invalid("exact_nelbo", "the time-free sum needs a posterior without time", "one with", remedy)
    bits = torch.arange(1, 1 << length)
    masks = (bits[:, None] >> torch.arange(length) & 1).bool()
    n = masks.sum(1)
    if form == "time_free":
        choose = torch.tensor([math.comb(length, int(k)) for k in n], dtype=torch.float64)
        return _all_masks(asked, x1, masks, torch.tensor(0.5)) @ (1 / (n * choose))
    points, weights = np.polynomial.legendre.leggauss(nodes)
    found = torch.zeros(rows, dtype=torch.float64)
    for point, weight in zip(points, weights, strict=True):
        hidden = torch.tensor(0.5 * (point + 1), dtype=torch.float64)
        chance = hidden.pow(n - 1) * (1 - hidden).pow(length - n)
        t = asked.path.schedule.time_of_hidden(hidden)
        found += 0.5 * weight * (_all_masks(asked, x1, masks, t) @ chance)
    return found


def _all_masks(posterior: Posterior, x1: Tensor, masks: Tensor, t: Tensor) -> Tensor:
    """Cross-entropy summed over the masked positions, ``(B, M)``, for every mask ``(M, L)``."""
    count = len(masks)
    every, where = x1.repeat_interleave(count, 0), masks.repeat(len(x1), 1)
    hidden = Hidden(
        where, torch.full((len(every),), float(posterior.path.schedule.hidden(t)), dtype=torch.float64)
    )
    return _missed(posterior, every, hidden, None, None).reshape(len(x1), count)


def _missed(posterior: Posterior, x1: Tensor, hidden: Hidden, cond: Condition, chunk: int | None) -> Tensor:
    """Cross-entropy summed over the hidden positions, ``(B,)`` float64."""
    path = posterior.path
    assert path.mask is not None
    where = hidden.where.to(x1.device)
    x, t = x1.masked_fill(where, path.mask), path.schedule.time_of_hidden(hidden.share.to(x1.device))
    chunks = Chunks(
        posterior,
        lambda tokens, given: posterior(tokens, 0.5, given[0]),
        x,
        (cond, x1, t, where),
        networks=posterior.networks,
        chunk=chunk,
        first_index=0,
        invariant=False,
    )

    def missed(part: Chunk) -> tuple[Tensor]:
        given, clean, times, masked = part.cond
        mu = posterior(part.x, times, given).double()
        nats = -mu.gather(-1, clean[..., None]).squeeze(-1).log()
        return (nats.masked_fill(~masked, 0).sum(1),)

    return chunks.map(missed)[0]


def _check(posterior: Posterior, x1: Tensor, form: str) -> None:
    if posterior.path.mask is None:
        remedy = "A flow from another base has no bound here; compare samples instead."
        raise invalid("nelbo", "the path must have a mask token", type(posterior.path).__name__, remedy)
    one_of("nelbo", "form", form, ("time_free", "time"))
    posterior.path.check_tokens(x1, "x1")
