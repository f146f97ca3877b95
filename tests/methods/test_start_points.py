"""Rows to start from."""

import torch

from interpolants.methods.parts.start_points import Pool


def test_stored_rows_are_drawn_alike_often():
    """Of 4,000 draws 1,000 each, with a deviation of 27."""
    plain = Pool(torch.arange(4)).draw(4000, seed=0, first=0)
    assert (torch.bincount(plain, minlength=4) - 1000).abs().max() < 110
    labelled = Pool(torch.arange(8), torch.arange(8) % 2)
    some = labelled.draw(4000, 0, 0, labels=torch.ones(4000, dtype=torch.long))
    assert (torch.bincount(some, minlength=8)[1::2] - 1000).abs().max() < 110
