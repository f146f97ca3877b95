"""Lines of k-space against the matrix of the operator and a transform written out."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.operators.k_space import KSpaceLines
from interpolants.operators.measurement import as_matrix

F64 = torch.float64


@pytest.mark.parametrize(("lines", "size"), [([3, 1, 5], 6), ([2, 1], 5), ([0, 2, 3], 4)])
def test_the_pseudo_inverse_is_that_of_the_matrix(lines, size, generator):
    operator = KSpaceLines(lines, size)
    shape = (1, size, 4)
    matrix = as_matrix(operator, shape)
    y = torch.randn(3, 1, len(lines), 4, 2, dtype=F64, generator=generator)  # no real image has just this one
    expected = y.flatten(1) @ torch.linalg.pinv(matrix).mT
    assert_close(operator.pinv(y), expected.reshape(3, *shape))
    x = torch.randn(2, *shape, dtype=F64, generator=generator)
    assert_close(operator(operator.pinv(operator(x))), operator(x))


@pytest.mark.parametrize("size", [5, 6])
def test_a_line_is_the_sum_over_pixels_with_the_frequency_counted_from_the_middle(size, generator):
    x = torch.randn(1, 1, size, 4, dtype=F64, generator=generator)
    seen = KSpaceLines([size // 2, size // 2 + 1], size)(x)
    rows, columns = torch.meshgrid(torch.arange(size, dtype=F64), torch.arange(4, dtype=F64), indexing="ij")
    for k, frequency in enumerate((0, 1)):
        for j in range(4):
            phase = -2 * math.pi * (frequency * rows / size + j * columns / 4)
            expected = (
                torch.stack([(x[0, 0] * phase.cos()).sum(), (x[0, 0] * phase.sin()).sum()])
                / (4 * size) ** 0.5
            )
            assert_close(seen[0, 0, k, j], expected)


def test_lines_that_cannot_be_are_refused():
    for lines, rule in (
        ([3, 3], "lines must be different"),
        ([0, 1], "lines must contain the central one, 3, got .0, 1.. Without it the mean"),
        ([3, 6], r"every line must be a whole number in \[0, 5\], got 6"),
    ):
        with pytest.raises(InvalidInputError, match=rule):
            KSpaceLines(lines, 6)
    with pytest.raises(InvalidInputError, match=r"images must have shape \(B, C, 6, W\)"):
        KSpaceLines([3], 6)(torch.zeros(1, 1, 5, 4))
