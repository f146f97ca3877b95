"""Losses for token networks: cross-entropy of the clean tokens given a state of the path.

The bound on ``-log p(x1)`` of a masked path is, with n masks left and the schedule gone by a change of variables,

    NELBO = int_0^1 kappa' / (1 - kappa) E[sum_{l masked} -log mu_l(x1_l | x_t)] dt
          = sum_{n=1}^L (1 / n) E[sum_{l masked} -log mu_l]  =  L E_{n ~ U{1..L}} E[mean over the masked -log mu_l],

because ``int C(L, n) h^(n-1) (1 - h)^(L-n) dh = 1 / n``. The best mu does not depend on the time.

Source: Zheng, Chen, Mao, Liu, Zhu & Zhang (2024), arXiv:2409.02908, section 3; Gat et al. (2024), arXiv:2407.15595, for
flows from other bases.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.types import Condition
from interpolants.generative.tokens.discrete.masking import Hidden, hide, hide_share, stratified
from interpolants.generative.tokens.discrete.paths import DiscretePath


class TokenLoss(Protocol):
    """A loss for networks of logits: ``loss(net, x1, generator=...)`` -> ``(B,)`` nats per token."""

    def __call__(
        self, net: Any, x1: Tensor, *, generator: Generator | None = None, cond: Condition = None
    ) -> Tensor:
        """Evaluate on clean tokens ``x1 (B, L)``."""
        ...


@dataclass(frozen=True)
class MaskedCrossEntropy(Checked):
    """The bound on ``-log p`` of a masked path, divided by L.

    Time-free: n over ``1 ... L`` stratified over the batch, n random positions masked, the mean cross-entropy there.
    A network that takes a time is given the one at which such a state occurs; one that does not may ignore it. The mean
    of the loss over batches is the bound per token, and its variance does not blow up where little is masked, as that
    of the time integral does.

    Raises:
        InvalidInputError: If the path has no mask.
    """

    path: DiscretePath
    """The masked path."""
    time_free: bool = True
    """Whether to use the sum over n; else the integral over the hidden share h, stratified: every position masked with
    probability h, the sum of cross-entropies divided by ``h L``. The same mean, but no finite variance: terms of size 1
    / h come with a chance in proportion to h."""

    def check_settings(self) -> None:
        """Refuse paths without a mask."""
        if self.path.mask is None:
            remedy = "Use Masked(vocabulary), or DiscreteFlowLoss for this path."
            raise invalid("the path must have a mask token", type(self.path).__name__, remedy)

    def __call__(
        self, net: Any, x1: Tensor, *, generator: Generator | None = None, cond: Condition = None
    ) -> Tensor:
        """Loss per sequence, in nats per token, ``(B,)``."""
        self.path.check_tokens(x1, "x1")
        rows, length = x1.shape
        u = stratified(rows, generator=generator, device=x1.device)
        if self.time_free:
            hidden = hide(1 + (u * length).long().clamp(max=length - 1), length, generator=generator)
        else:
            hidden = hide_share(u, length, generator=generator)
        missed = self._missed(net, x1, hidden, cond)
        if self.time_free:
            return missed.sum(1) / hidden.where.sum(1)
        return missed.sum(1) / (hidden.share * length).to(missed.dtype)

    def _missed(self, net: Any, x1: Tensor, hidden: Hidden, cond: Condition) -> Tensor:
        """Cross-entropies at the hidden positions, zero elsewhere, ``(B, L)``."""
        assert self.path.mask is not None
        x = x1.masked_fill(hidden.where, self.path.mask)
        t = self.path.schedule.time_of_hidden(hidden.share)
        return cross_entropy(net(x, t, cond), x1, self.path).masked_fill(~hidden.where, 0)


@dataclass(frozen=True)
class DiscreteFlowLoss:
    """Cross-entropy of the clean tokens at times stratified over [0, 1), averaged over the undecided positions.

    For any base. Its minimum is the posterior, like that of every weighting over times; it is no bound on a likelihood.

    Args:
        path: The path.
    """

    path: DiscretePath

    def __call__(
        self, net: Any, x1: Tensor, *, generator: Generator | None = None, cond: Condition = None
    ) -> Tensor:
        """Loss per sequence, in nats per token, ``(B,)``."""
        t = stratified(len(x1), generator=generator, device=x1.device)
        x = self.path.sample(x1=x1, t=t, generator=generator).x_t
        open_ = self.path.undecided(x)
        missed = cross_entropy(net(x, t, cond), x1, self.path).masked_fill(~open_, 0)
        return missed.sum(1) / open_.sum(1).clamp(min=1)


def cross_entropy(logits: Tensor, x1: Tensor, path: DiscretePath) -> Tensor:
    """``-log mu_l(x1_l)`` from logits ``(B, L, V)`` or ``(B, L, S)``: ``(B, L)`` nats, at least in float32."""
    clean = logits[..., : path.vocabulary]
    wide = clean if clean.dtype == torch.float64 else clean.float()
    return functional.cross_entropy(wide.transpose(1, 2), x1, reduction="none")
