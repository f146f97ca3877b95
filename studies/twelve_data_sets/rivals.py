"""Rivals of the defaults: a Gaussian copula, and two other libraries for the same processor time."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from interpolants.foundations.extras import require
from interpolants.foundations.shrinkage import shrunk_correlation
from interpolants.nets.mlp import MLP

Draw = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor, Tensor]]
_CENTRES, _NEAR = 2000, 1e-12
_BATCH, _RATE = 256, 1e-3


def copula_log_prob(train: Tensor, x: Tensor) -> Tensor:
    """Log densities of a Gaussian copula with kernel estimates of the marginals, by Silverman's rule."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:_CENTRES]
    centres = train[order]
    quartiles = torch.quantile(train, torch.tensor([0.25, 0.75], dtype=train.dtype), dim=0)
    spread = torch.minimum(train.std(0), (quartiles[1] - quartiles[0]) / 1.34)
    width = 0.9 * torch.where(spread > 0, spread, train.std(0)) * len(train) ** -0.2
    (own, _), (z, log_density) = (_marginals(rows, centres, width) for rows in (centres, x))
    values, vectors = shrunk_correlation((own - own.mean(0)) / own.std(0))
    turned = ((z - own.mean(0)) / own.std(0)) @ vectors
    gain = -0.5 * ((turned.square() / values).sum(1) + values.log().sum() - z.square().sum(1))
    return gain - own.std(0).log().sum() + log_density


def _marginals(x: Tensor, centres: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Normal scores ``(N, D)`` and the sum of log densities ``(N,)``."""
    scores, total = torch.empty_like(x), torch.zeros(len(x), dtype=x.dtype)
    for k in range(x.shape[1]):
        away = (x[:, k, None] - centres[:, k]) / width[k]
        share = torch.special.ndtr(away).mean(1).clamp(_NEAR, 1 - _NEAR)
        scores[:, k] = torch.special.ndtri(share)
        log_kernel = torch.logsumexp(-0.5 * away.square(), 1) - torch.log(width[k] * len(centres))
        total += log_kernel - 0.5 * torch.log(torch.tensor(2 * torch.pi, dtype=x.dtype))
    return scores, total


def trained(draw: Draw, x0: Tensor | None, x1: Tensor, seconds: float, seed: int) -> nn.Module:
    """A velocity learnt by Adam on standardised rows for some seconds of the processor.

    Args:
        draw: Pairs of a batch -> times ``(B,)``, states and rates.
        x0: Starts; normal draws if None.
        x1: Ends.
        seconds: Processor time to spend.
        seed: Seed of weights and batches.
    """
    source = torch.Generator().manual_seed(seed)
    net = MLP(x1.shape[1], width=256, depth=4, seed=seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=_RATE)
    begun = time.process_time()
    while time.process_time() - begun < seconds:
        end = x1[torch.randint(len(x1), (_BATCH,), generator=source)]
        start = torch.randn(end.shape, generator=source)
        if x0 is not None:
            start = x0[torch.randint(len(x0), (_BATCH,), generator=source)]
        t, x, rate = draw(start, end, source)
        loss = (net(x, t) - rate).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval().requires_grad_(False)


def ot_cfm(seed: int) -> Draw:
    """Minibatch optimal transport of torchcfm, as in its examples."""
    matcher = require(
        "torchcfm.conditional_flow_matching", by="the study"
    ).ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)
    torch.manual_seed(seed)

    def draw(x0: Tensor, x1: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        t = torch.rand(len(x0), generator=source)
        t, x, rate = matcher.sample_location_and_conditional_flow(x0, x1, t=t)
        return t, x, rate

    return draw


def flow_matching(seed: int) -> Draw:
    """The straight path of flow_matching, as in its examples."""
    path = require("flow_matching.path", by="the study").CondOTProbPath()

    def draw(x0: Tensor, x1: Tensor, source: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        found = path.sample(t=torch.rand(len(x0), generator=source), x_0=x0, x_1=x1)
        return found.t, found.x_t, found.dx_t

    return draw
