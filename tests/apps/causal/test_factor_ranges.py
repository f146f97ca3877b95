import pytest
import torch

from interpolants.apps.causal.factor_ranges import FactorRanges
from interpolants.foundations.errors import InvalidInputError


def test_the_ends_of_the_range_and_a_margin_beyond_are_taken_and_more_is_refused():
    ranges = FactorRanges(("a",), torch.tensor([1.0]), torch.tensor([3.0]))
    for value in (0.95, 1.0, 3.0, 3.05):
        ranges.check("who", torch.tensor([[value]]), beyond=False)
    for value in (0.8, 3.2):
        with pytest.raises(
            InvalidInputError, match=r"do\['a'\] must lie within the values of the fit, 1 to 3"
        ):
            ranges.check("who", torch.tensor([[value]]), beyond=False)
