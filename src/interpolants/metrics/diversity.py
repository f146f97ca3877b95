"""Memorisation check: distances of generated samples to the training data against those of held-out data."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.metrics.estimate import Estimate
from interpolants.metrics.pairwise import nearest
from interpolants.metrics.samples import ArrayLike, pooled


@dataclass(frozen=True)
class Memorisation:
    """Nearest training neighbours of generated and of held-out samples.

    Args:
        closer: Chance that a generated sample is closer to the training set than a held-out one: 0.5 is
            as it should be, 1 is copying, below 0.5 is too far from the data.
        generated: Distance of each generated sample to its nearest training sample, (G,), data units.
        held_out: The same for held-out samples, (H,).
        neighbour: Index into the training set of each generated sample's neighbour, (G,).
    """

    closer: Estimate
    generated: Tensor
    held_out: Tensor
    neighbour: Tensor


def memorisation(
    generated: ArrayLike,
    training: ArrayLike,
    held_out: ArrayLike,
    *,
    generator: torch.Generator | None = None,
) -> Memorisation:
    """Compare nearest-neighbour distances to the training set by the Mann-Whitney statistic.

    ``P(d(generated) < d(held_out)) + P(equal) / 2`` over all pairs, Euclidean distance of flattened samples.
    The error is analytic (DeLong) and takes the training set as given.

    Args:
        generated: Samples of the model, (G, *D).
        training: What the model was trained on, (N, *D).
        held_out: Data it never saw, (H, *D).
        generator: Not used: nothing is drawn. Accepted so that all metrics are called alike.

    Raises:
        InvalidInputError: If a set is too small, not floating point or not finite, or the event shapes
            differ.

    Source: Meehan, Chaudhuri & Dasgupta, arXiv:2004.05675; DeLong et al., Biometrics 44 (1988), for the
    error.
    """
    made, known = pooled("memorisation (x generated, y training)", generated, training)
    unseen, _ = pooled("memorisation (x held_out, y training)", held_out, training)
    of_made, neighbour = nearest(made, known)
    of_unseen, _ = nearest(unseen, known)
    wins = _share_above(of_made, of_unseen)
    losses = 1 - _share_above(of_unseen, of_made)
    variance = float(wins.var() / len(wins) + losses.var() / len(losses))
    closer = Estimate(float(wins.mean()), variance**0.5, min(len(made), len(unseen)), "closer to training")
    return Memorisation(closer, of_made, of_unseen, neighbour)


def _share_above(values: Tensor, others: Tensor) -> Tensor:
    """For each value, the share of ``others`` above it, ties counted half."""
    ordered = others.sort().values
    above = len(others) - torch.searchsorted(ordered, values, right=True)
    not_below = len(others) - torch.searchsorted(ordered, values, right=False)
    return (above + not_below).to(values.dtype) / (2 * len(others))
