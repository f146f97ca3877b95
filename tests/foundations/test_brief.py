"""Values in a line of text."""

import numpy as np
import pytest
import torch

from interpolants.foundations.brief import brief


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.zeros(3, 2), "tensor(3, 2)"),
        (np.zeros(4), "array(4)"),
        ({"rate": 0.1, "start": {"mean": torch.zeros(5)}}, "{'rate': 0.1, 'start': {'mean': tensor(5)}}"),
        ([torch.zeros(1, 2), 3], "[tensor(1, 2), 3]"),
        (({"a": np.zeros((2, 2))},), "({'a': array(2, 2)})"),
        (torch.tensor(0.5), "tensor(0.5000)"),
        ((16, 32), "(16, 32)"),
        ("mlp", "'mlp'"),
        (None, "None"),
    ],
)
def test_arrays_are_told_by_their_shapes_and_the_rest_as_it_is(value, said):
    assert brief(value) == said
