import torch

from interpolants.apps.causal.interventional import kept_exogenous


def test_of_many_rows_some_are_kept_from_the_first_to_the_last():
    u = torch.arange(10_000.0)[:, None]
    kept = kept_exogenous(u)
    assert len(kept) == 4096
    assert kept[[0, -1], 0].tolist() == [0, 9999]
    assert set(kept[:, 0].diff().tolist()) == {2, 3}
    assert kept_exogenous(u[:4096]) is not None
