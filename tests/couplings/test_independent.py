import torch

from interpolants.couplings import Independent


def test_x1_is_permuted_uniformly():
    # 6 permutations of 3 rows, 6,000 draws, seed 0: each count is binomial, 1000 +- 5 x 28.9.
    generator = torch.Generator().manual_seed(0)
    x = torch.arange(3.0)[:, None]
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(6000):
        index = tuple(Independent().pair(x, x, generator=generator).index1.tolist())
        counts[index] = counts.get(index, 0) + 1
    assert len(counts) == 6
    assert all(abs(count - 1000) < 145 for count in counts.values())


def test_an_order_that_both_share_is_broken():
    generator = torch.Generator().manual_seed(3)
    x = torch.linspace(-1, 1, 4000)[:, None]
    pairs = Independent().pair(x, x, generator=generator)
    correlation = torch.corrcoef(torch.cat([pairs.x0, pairs.x1], 1).T)[0, 1]
    assert abs(correlation) < 5 / 4000**0.5
    assert torch.equal(pairs.index0, torch.arange(4000))
    assert torch.equal(pairs.index1.sort().values, torch.arange(4000))


def test_unequal_sizes_use_a_random_subset_of_the_larger_batch():
    generator = torch.Generator().manual_seed(1)
    small, large = torch.zeros(50, 2), torch.zeros(1000, 3)
    for x0, x1, name in ((small, large, "index1"), (large, small, "index0")):
        rows = torch.arange(len(x0))
        pairs = Independent().pair(x0, x1, generator=generator, cond0=rows)
        assert torch.equal(pairs.cond0, pairs.index0)
        index = getattr(pairs, name).double()
        assert len(pairs.x0) == len(pairs.x1) == 50
        assert len(index.unique()) == 50
        assert abs(index.mean() - 499.5) < 5 * 288.7 / 50**0.5
