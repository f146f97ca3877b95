"""Classifier two-sample test: accuracy of a small network that separates two sample sets."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike, normal, pooled, shuffled, unit_of

_BATCH = 256
_RATE = 1e-2


def c2st(
    x: ArrayLike,
    y: ArrayLike,
    *,
    hidden: Sequence[int] = (64, 64),
    folds: int = 5,
    steps: int = 300,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Balanced held-out accuracy of a classifier of x against y: 0.5 indistinguishable, 1 disjoint.

    An MLP on standardised, flattened samples is trained ``folds`` times, all in one batch of matrix
    products, each time without one fold, and judged on that fold. Every sample is thus judged once, by a
    network that never saw it. Batches hold both sets in equal parts and the accuracy is the mean of the two
    sets' accuracies, so that 0.5 keeps its meaning when N and M differ. The value is a lower bound on the
    Bayes accuracy: a weak classifier sees nothing, which is not a proof that there is nothing.

    The error is the larger of two: that of the two proportions over all judged samples, and the spread of the
    accuracy over folds by sqrt(folds), which also sees that samples of one fold share a network. Near 0.5 it
    can still be too small by a third.

    Args:
        x: First set, (N, *D), N >= folds.
        y: Second set, (M, *D), M >= folds.
        hidden: Widths of the hidden layers; ``()`` is logistic regression.
        folds: Number of folds, >= 2.
        steps: Steps of AdamW, batches of 256.
        generator: Folds, weights and batches; the same generator state gives the same value.

    Raises:
        InvalidInputError: If a set is too small, not floating point or not finite, the event shapes differ,
            or an option is out of range.

    Source: Lopez-Paz & Oquab, arXiv:1610.06545.
    """
    whole("c2st", "folds", folds, at_least=2)
    whole("c2st", "steps", steps, at_least=1)
    for width in hidden:
        whole("c2st", "every hidden width", width, at_least=1)
    x, y = pooled("c2st", x, y, minimum=folds)
    both = torch.cat([x, y])
    scale = unit_of(both)
    x, y = ((z - both.mean(0)) / scale for z in (x, y))
    x, y = (z.float()[shuffled(len(z), generator).to(z.device)] for z in (x, y))
    with torch.enable_grad():
        layers = _train(x, y, hidden, folds, steps, generator)
    with torch.no_grad():
        hits = [_hits(layers, z, sign) for z, sign in ((x, -1.0), (y, 1.0))]
    accuracies = [float(torch.cat(hit).mean()) for hit in hits]
    proportions = sum(_proportion_variance(a, len(z)) for a, z in zip(accuracies, (x, y), strict=True)) / 4
    by_fold = torch.stack([(a.mean() + b.mean()) / 2 for a, b in zip(*hits, strict=True)])
    variance = max(proportions, float(by_fold.var()) / folds)
    return Estimate(sum(accuracies) / 2, math.sqrt(variance), min(len(x), len(y)), "C2ST accuracy")


def _train(
    x: Tensor, y: Tensor, hidden: Sequence[int], folds: int, steps: int, generator: torch.Generator | None
) -> list[Tensor]:
    """Weights and biases, alternating, each with a leading dimension of folds."""
    widths = [x.shape[1], *hidden, 1]
    layers: list[Tensor] = []
    for inputs, outputs in pairwise(widths):
        weight = normal((folds, inputs, outputs), generator, x.device).float() / math.sqrt(inputs)
        if outputs == 1:
            weight.zero_()  # no opinion yet: logistic regression then sets out along the mean difference
        layers += [weight.requires_grad_(), x.new_zeros(folds, 1, outputs).requires_grad_()]
    optimizer = torch.optim.AdamW(layers, lr=_RATE, weight_decay=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / steps)
        batch = torch.cat([_draw(z, folds, generator) for z in (x, y)], 1)
        logits = _forward(layers, batch).squeeze(-1)
        half = logits.shape[1] // 2
        # Logistic loss: x should get a negative logit, y a positive one. Folds share no weight, so they add.
        loss = torch.nn.functional.softplus(torch.cat([logits[:, :half], -logits[:, half:]], 1)).mean(1).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return layers


def _draw(z: Tensor, folds: int, generator: torch.Generator | None) -> Tensor:
    """Training samples for each fold, (folds, batch / 2, D); row r belongs to the test set of fold r mod folds."""
    home = generator.device if generator is not None else torch.device("cpu")
    draw = torch.rand((folds, _BATCH // 2), generator=generator, device=home, dtype=torch.float64)
    fold = torch.arange(folds, device=home)[:, None]
    held_out = (len(z) - fold + folds - 1) // folds
    rank = (draw * (len(z) - held_out)).long()  # among the rows of the other folds, in order
    group, position = rank // (folds - 1), rank % (folds - 1)
    return z[(group * folds + position + (position >= fold)).to(z.device)]


def _forward(layers: list[Tensor], batch: Tensor) -> Tensor:
    for index in range(0, len(layers), 2):
        batch = torch.baddbmm(layers[index + 1], batch, layers[index])
        if index + 2 < len(layers):
            batch = torch.nn.functional.silu(batch)
    return batch


def _hits(layers: list[Tensor], z: Tensor, sign: float) -> list[Tensor]:
    """Per fold, whether the logit of each held-out sample has the right sign; a tie is half a hit."""
    folds, hits = len(layers[0]), []
    for fold in range(folds):
        logits = _forward([part[fold : fold + 1] for part in layers], z[None, fold::folds]) * sign
        hits.append((torch.sign(logits).double().flatten() + 1) / 2)
    return hits


def _proportion_variance(share: float, n: int) -> float:
    smoothed = (n * share + 0.5) / (n + 1)  # so that a perfect score does not claim to have no error
    return smoothed * (1 - smoothed) / n
