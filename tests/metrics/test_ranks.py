import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.ranks import rank_correlation


def test_it_is_spearmans_with_ties():
    stats = pytest.importorskip("scipy.stats")
    g = torch.Generator().manual_seed(0)
    a = torch.randint(0, 6, (80,), generator=g).double()
    b = a + torch.randint(0, 4, (80,), generator=g)
    assert abs(float(rank_correlation(a, b)) - stats.spearmanr(a, b)[0]) < 1e-12
    assert abs(float(rank_correlation(a, -a.exp())) + 1) < 1e-12


def test_what_has_no_ranks_is_refused():
    for a, b, words in (
        (torch.zeros(3), torch.arange(3.0), "constant"),
        (torch.tensor([0.0, torch.nan]), torch.arange(2.0), "finite"),
        (torch.zeros(3), torch.zeros(2), "vectors of the same length"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            rank_correlation(a, b)
