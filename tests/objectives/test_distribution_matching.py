"""The discrepancy of batches: unbiased, exact for a linear kernel, matched within labels."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import mmd
from interpolants.objectives.distribution_matching import GaussianKernels, PolynomialKernel, mmd_loss


def draws(n, seed, shift=0.0):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)).double() + shift


@pytest.mark.parametrize("kernel", [PolynomialKernel(), GaussianKernels()])
def test_it_is_zero_on_average_for_one_distribution(kernel):
    found = torch.stack([mmd_loss(kernel, draws(30, 2 * k), draws(40, 2 * k + 1)) for k in range(400)])
    assert abs(float(found.mean())) < 3.5 * float(found.std()) / 20
    assert float(found.min()) < 0


def test_a_linear_kernel_compares_means():
    kernel, shift = PolynomialKernel(degree=1), 0.7
    found = torch.stack([mmd_loss(kernel, draws(50, k), draws(50, 999 + k, shift)) for k in range(300)])
    error = float(found.std()) / 300**0.5
    assert abs(float(found.mean()) - shift**2) < 4 * error  # |shift (1, 1, 1)|^2 / 3


def test_gaussian_kernels_are_those_of_the_metric():
    x, y = draws(40, 0), draws(50, 1, 0.3)
    found = mmd_loss(GaussianKernels((0.5, 1.0)), x, y)
    assert_close(float(found), mmd(x, y, bandwidths=[0.5 * 3**0.5, 3**0.5]).value)


def test_labels_are_matched_one_by_one():
    kernel = GaussianKernels()
    x, y = draws(60, 0), draws(60, 1)
    a, b = torch.arange(60) % 2, torch.arange(60) % 2
    swapped = torch.cat([x[a == 1] + 3, x[a == 0]]), torch.cat([a[a == 0], a[a == 1]])
    moved = torch.where((a == 1)[:, None], x + 3, x), torch.where((b == 1)[:, None], y + 3, y)
    same = mmd_loss(kernel, moved[0], moved[1], (a, b))
    crossed = mmd_loss(kernel, swapped[0], moved[1], (swapped[1], b))
    assert float(same) < 0.02
    assert float(crossed) > 0.1


def test_the_gradient_is_that_of_finite_differences():
    x, y = draws(6, 0), draws(7, 1)
    for kernel in (PolynomialKernel(), GaussianKernels()):
        assert torch.autograd.gradcheck(lambda z, k=kernel: mmd_loss(k, z, y), x.clone().requires_grad_())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mmd_loss(PolynomialKernel(), draws(1, 0), draws(5, 0)), "two rows or more"),
        (lambda: mmd_loss(PolynomialKernel(), draws(5, 0), draws(5, 0)[:, :2]), "one width"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()
