"""Two-sample metrics by the name that their cards declare, and the floor that two sets of real data have."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from interpolants.foundations.card_file import Card
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.randomness import generator
from interpolants.metrics.estimate import Estimate, Metric

# Random splits of the real data that a floor is averaged over.
SPLITS = 10


def two_sample_cards() -> dict[str, Card]:
    """Cards of the metrics that compare two sets of samples, by the name that questions use."""
    return {card.two_sample: card for card in load_cards() if card.kind == "metric" and card.two_sample}


def two_sample(who: str, name: str) -> tuple[Card, Metric]:
    """Card and function of a metric, by its card's ``two_sample``, or by its id.

    Raises:
        InvalidInputError: If no card declares it; the nearest is named.
    """
    known = two_sample_cards()
    card = known.get(name) or {card.id: card for card in known.values()}.get(name)
    if card is None:
        raise invalid(who, "every distance must be a two-sample metric", repr(name), nearest(name, known))
    metric: Metric = card.load_entry()  # type: ignore[assignment]
    return card, metric


def real_floor(
    distance: Callable[[Tensor, Tensor, Generator], Estimate], pool: Tensor, n: int, m: int, seed: int
) -> Estimate:
    """Mean and spread of a distance between random sets of real data.

    Args:
        distance: The distance.
        pool: Real rows ``(N, *D)``.
        n: Rows of one set; both sets shrink alike where the pool is too small for them.
        m: Rows of the other.
        seed: Seed of the splits.
    """
    if n + m > len(pool):
        n, m = (max(2, min(k * len(pool) // (n + m), len(pool) - 2)) for k in (n, m))
    values = []
    for number in range(SPLITS):
        order = torch.randperm(len(pool), generator=generator(seed, "floor of distances", number))
        source = generator(seed, "directions of a metric")
        values.append(distance(pool[order[:n]], pool[order[n : n + m]], source).value)
    found = torch.tensor(values, dtype=torch.float64)
    return Estimate(float(found.mean()), float(found.std()), min(n, m), "floor")
