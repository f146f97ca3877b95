import math

import pytest
import torch

from interpolants.apps.causal.metrics.disentanglement import dci, lasso
from interpolants.foundations.errors import InvalidInputError


def factors(generator, n=2000):
    return torch.randn(n, 2, generator=generator, dtype=torch.float64)


def test_factors_as_their_own_codes_have_one_and_a_rotation_has_nothing(generator):
    y = factors(generator)
    own = dci(y[:, [1, 0]] * torch.tensor([3.0, -0.2]) + 1, y)
    assert (own.disentanglement, own.completeness) == pytest.approx((1, 1), abs=0.02)
    assert own.informativeness == pytest.approx(1, abs=1e-3)
    turned = dci(torch.stack([y.sum(1), y[:, 0] - y[:, 1]], 1), y)
    assert turned.disentanglement < 0.02
    assert turned.completeness < 0.02
    assert turned.informativeness == pytest.approx(1, abs=1e-3)


def test_a_factor_in_two_codes_is_less_complete_and_no_less_disentangled(generator):
    y = factors(generator)
    noise = torch.randn(len(y), 2, generator=generator, dtype=torch.float64)
    found = dci(torch.cat([y[:, :1] + noise, y[:, 1:]], 1), y)  # two noisy copies of the first factor
    assert found.disentanglement > 0.95
    share = found.importance[:2, 0].sum() / found.importance.sum()
    split = 1 - math.log(2) / math.log(3)  # of equal weights on two of three codes
    assert found.completeness == pytest.approx(float(share * split + 1 - share), abs=0.02)


def test_the_lasso_shrinks_orthogonal_weights_by_its_penalty():
    x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    y = x @ torch.tensor([[0.5], [-0.05]], dtype=torch.float64)
    assert lasso(x, y, 0.1).flatten().tolist() == pytest.approx([0.4, 0.0])


def test_what_has_no_answer_is_refused(generator):
    y = factors(generator, 20)
    with pytest.raises(InvalidInputError, match="every factor must vary"):
        dci(y, torch.stack([y[:, 0], torch.ones(20, dtype=torch.float64)], 1))
    with pytest.raises(InvalidInputError, match=r"factors \(N, F\) with F >= 2, got"):
        dci(y, y[:, :1])
    with pytest.raises(InvalidInputError, match="must be finite"):
        dci(y * float("nan"), y)


def test_units_and_offsets_of_codes_and_factors_do_not_matter():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double()
    plain, small = dci(x, x), dci(1e-12 * x, 1e-12 * x)
    assert small.disentanglement == pytest.approx(plain.disentanglement)
    assert small.informativeness == pytest.approx(plain.informativeness)
    constant = torch.stack([x[:, 0], torch.full((200,), 1e8 + 0.1, dtype=torch.float64)], 1)
    with pytest.raises(InvalidInputError, match="every factor must vary"):
        dci(x, constant)
