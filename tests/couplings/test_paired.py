import torch

from interpolants.couplings import Paired


def test_rows_keep_their_partner_and_nothing_is_copied():
    x0, x1 = torch.randn(5, 2), torch.randn(5, 3)
    pairs = Paired().pair(x0, x1, cond1=x1)
    assert pairs.x0 is x0
    assert pairs.x1 is x1
    assert pairs.cond1 is x1
    assert torch.equal(pairs.index1, torch.arange(5))
