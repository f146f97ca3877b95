"""Memory of what was learnt: its layout. That it is apart from the caller's arrays is a law of methods."""

import torch
from torch import nn

from interpolants.foundations.shared_memory import lay_out_rows_first


def test_tensors_are_laid_out_as_files_hold_them_and_weights_as_they_were():
    table = torch.arange(6.0).reshape(2, 3)
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    state = {"modes": table.T, "net": net, "inner": [table.T[:2], table.to_sparse()]}
    modes = state["modes"]
    lay_out_rows_first(state)
    assert state["modes"] is modes
    assert modes.is_contiguous()
    assert torch.equal(modes, table.T)
    assert state["inner"][0].is_contiguous()
    assert net.weight.is_contiguous(memory_format=torch.channels_last)
    assert not net.weight.is_contiguous()
