"""Cuts of the times against brute force, and times that are drawn evenly."""

from itertools import combinations, pairwise

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.objectives.time_clusters import (
    ClusterBalancedTimes,
    TimeClusters,
    affinity_costs,
    best_cut,
    centre_costs,
)
from interpolants.paths import VP, Linear
from interpolants.training.multi_task import UncertaintyWeighting


def brute(costs, count, smallest, largest):
    n, best = len(costs), float("inf")
    for inner in combinations(range(1, n), count - 1):
        starts = [0, *inner, n]
        sizes = [b - a for a, b in pairwise(starts)]
        if smallest <= min(sizes) and max(sizes) <= largest:
            best = min(best, sum(float(costs[a, b - 1]) for a, b in pairwise(starts)))
    return best


def total(costs, starts):
    ends = [*starts[1:], len(costs)]
    return sum(float(costs[a, b - 1]) for a, b in zip(starts, ends, strict=True))


@pytest.mark.parametrize("kind", ["time", "snr", "affinity"])
@pytest.mark.parametrize(("smallest", "largest"), [(1, 12), (2, 5), (3, 4)])
def test_the_cut_is_the_cheapest_of_all(kind, smallest, largest):
    for seed in range(4):
        source = torch.Generator().manual_seed(seed)
        values = torch.rand(12, generator=source, dtype=torch.float64).cumsum(0)
        if kind == "affinity":
            rows = torch.randn(12, 5, generator=source, dtype=torch.float64)
            unit = rows / rows.norm(dim=1, keepdim=True)
            costs = affinity_costs(unit @ unit.T)
        else:
            costs = centre_costs(values if kind == "snr" else torch.arange(12).double())
        for count in (1, 3, 4):
            if count * smallest <= 12 <= count * largest:
                starts = best_cut(costs, count, smallest=smallest, largest=largest)
                assert total(costs, starts) == pytest.approx(brute(costs, count, smallest, largest), abs=1e-9)


def test_costs_are_the_sums_they_say():
    values = torch.tensor([0.0, 1.0, 3.0, 7.0])
    costs = centre_costs(values)
    assert costs[0, 3] == 1 + 0 + 2 + 6  # the lower of the two middle ones
    assert costs[1, 3] == 2 + 0 + 4
    assert costs[2, 2] == 0
    assert bool(torch.isinf(costs[3, 1]))
    affinity = torch.tensor([[1.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 1.0]])
    assert affinity_costs(affinity)[0, 2] == pytest.approx(-1.7)


def test_plateaus_come_back_exactly():
    values = torch.tensor([5.0] * 4 + [1.0] * 4 + [-3.0] * 4)
    assert best_cut(centre_costs(values), 3) == [0, 4, 8]


def test_equal_lengths_cost_what_the_equal_cut_costs():
    costs = centre_costs(torch.arange(100).double())
    assert total(costs, best_cut(costs, 5)) == pytest.approx(5 * 100)


def test_clusters_by_time_and_by_noise():
    assert_close(
        torch.tensor(TimeClusters.from_time(4).edges), torch.tensor([0.25, 0.5, 0.75]), atol=0.011, rtol=0
    )
    by_noise = TimeClusters.from_log_snr(VP(), 4, smallest=5)
    lengths = torch.tensor([0.0, *by_noise.edges, 1.0]).diff()
    assert float(lengths.max() / lengths.min()) > 1.3
    assert by_noise.of(torch.tensor([0.0, 1.0])).tolist() == [0, 3]
    times = torch.linspace(0.05, 0.95, 10)
    affinity = torch.block_diag(torch.ones(3, 3), torch.ones(7, 7))
    assert TimeClusters.from_affinity(times, affinity, 2).edges == (pytest.approx(0.3),)


def test_times_are_even_over_clusters_and_uniform_within():
    sampler = ClusterBalancedTimes(clusters=(0.1, 0.5))
    drawn = sampler.sample(3001, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(TimeClusters((0.1, 0.5)).of(drawn.t), minlength=3)
    assert sorted(counts.tolist()) == [1000, 1000, 1001]
    assert_close(float(drawn.t[drawn.t < 0.1].mean()), 0.05, atol=0.005, rtol=0)
    assert bool((drawn.weight == 1).all())
    again = sampler.sample(3001, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.t, drawn.t)


def test_times_stay_inside_without_a_margin_too():
    drawn = ClusterBalancedTimes(clusters=(0.5, 1 - 1e-9), margin=0).sample(30)
    assert bool((drawn.t < 1).all())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TimeClusters((0.5, 0.5)), "edges must be strictly increasing"),
        (lambda: best_cut(centre_costs(torch.arange(5).double()), 6), "count"),
        (lambda: best_cut(centre_costs(torch.arange(5).double()), 3, smallest=2), "must cover 5 places"),
        (lambda: TimeClusters.from_log_snr(Linear(), 3), "one-sided path"),
        (lambda: TimeClusters.from_affinity(torch.rand(3), torch.rand(2, 2), 2), "affinity must be finite"),
        (
            lambda: TimeClusters.from_affinity(torch.rand(2), torch.tensor([[1.0, 0.2], [0.9, 1.0]]), 2),
            "symmetric",
        ),
        (lambda: ClusterBalancedTimes(clusters=5, by="log_snr"), "by='log_snr' needs a path"),
        (
            lambda: ClusterBalancedTimes(clusters=300),
            r"ClusterBalancedTimes: clusters must .* \[1, 200\], got 300",
        ),
        (lambda: ClusterBalancedTimes(clusters=2.5), "clusters must be a whole number, inner edges"),
        (lambda: ClusterBalancedTimes(clusters=(0.5, "end")), "an edge must lie in"),
        (lambda: UncertaintyWeighting(3, path="vp"), "UncertaintyWeighting: path must be a path, got 'vp'"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()
