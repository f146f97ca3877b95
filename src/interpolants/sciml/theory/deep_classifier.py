"""A deep classifier of the plainest kind, to see from which initialisation it learns."""

import math
from itertools import pairwise

import torch
from torch import Generator, Tensor
from torch.nn import functional

from interpolants.sciml.theory.sampled_networks import Ensemble

_BATCH = 64
Rows = tuple[Tensor, Tensor]


def accuracy_after_training(
    ensemble: Ensemble, train: Rows, test: Rows, steps: int, lr: float, source: Generator
) -> float:
    """Share of test rows whose class is right after plain stochastic gradient descent on the cross-entropy.

    The network is one of the ensemble: all of its layers, the first and the last too, have the variances of the
    ensemble. Columns are standardised by the training rows.

    Args:
        ensemble: Depth, width, activation and variances.
        train: Rows ``(N, D)`` and labels ``(N,)``.
        test: The same, unseen.
        steps: Steps of 64 rows.
        lr: Their size.
        source: Seeds weights and batches.

    Returns:
        The accuracy; NaN if the training left the range of numbers.
    """
    mean = train[0].mean(0)
    std = train[0].std(0)
    scale = torch.where(std > 0, std, torch.ones_like(std))
    x, x_test = ((rows[0] - mean) / scale for rows in (train, test))
    classes = int(torch.cat([train[1], test[1]]).max()) + 1
    sizes = [x.shape[1], *[ensemble.width] * (ensemble.depth - 1), classes]
    weights, biases = _drawn(ensemble, sizes, source)

    def outputs(rows: Tensor) -> Tensor:
        z = torch.addmm(biases[0], rows, weights[0].t())
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            z = torch.addmm(bias, ensemble.activation.call(z), weight.t())
        return z

    sgd = torch.optim.SGD([*weights, *biases], lr=lr)
    for _ in range(steps):
        rows = torch.randint(len(x), (_BATCH,), generator=source)
        loss = functional.cross_entropy(outputs(x[rows]), train[1][rows])
        if not bool(loss.isfinite()):
            return math.nan
        sgd.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        sgd.step()
    with torch.no_grad():
        return float((outputs(x_test).argmax(1) == test[1]).float().mean())


def _drawn(ensemble: Ensemble, sizes: list[int], source: Generator) -> tuple[list[Tensor], list[Tensor]]:
    weights, biases = [], []
    for fan_in, fan_out in pairwise(sizes):
        weight = torch.empty(fan_out, fan_in, dtype=torch.float32)
        weight.normal_(0, math.sqrt(ensemble.weight_variance / fan_in), generator=source)
        bias = torch.empty(fan_out, dtype=torch.float32)
        bias.normal_(0, math.sqrt(ensemble.bias_variance), generator=source)
        weights.append(weight.requires_grad_())
        biases.append(bias.requires_grad_())
    return weights, biases
