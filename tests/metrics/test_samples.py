import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import (
    GaussianKDE,
    c2st,
    energy_distance,
    kde_kl,
    log_ratio,
    memorisation,
    mmd,
    sliced_wasserstein,
    wasserstein,
)

METRICS = [energy_distance, mmd, sliced_wasserstein, wasserstein, c2st, kde_kl, log_ratio]
GOOD = torch.linspace(-1, 1, 40).reshape(20, 2)


def broken(value):
    x = GOOD.clone()
    x[3, 1] = value
    return x


BAD = {
    "integers": (GOOD.long(), "must be floating point, got torch.int64"),
    "numpy integers": (np.ones((5, 2), dtype=np.int32), "must be floating point, got torch.int32"),
    "strings": (np.array(["a", "b"]), "must be a tensor or a numeric array"),
    "complex": (torch.zeros(5, 2, dtype=torch.complex64), "must be floating point"),
    "empty": (GOOD[:0], "must contain at least"),
    "one sample": (GOOD[:1], "must contain at least"),
    "no features": (torch.zeros(5, 0), "must contain at least"),
    "a number": (torch.tensor(1.0), "must contain at least"),
    "nan": (broken(float("nan")), "must be finite, got 1 of 20 rows"),
    "infinity": (broken(float("inf")), "must be finite, got 1 of 20 rows"),
}


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)
@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("swap", [False, True])
def test_unfit_samples_are_refused_and_named(metric, case, swap):
    bad, message = BAD[case]
    pair, culprit = ((GOOD, bad), "y") if swap else ((bad, GOOD), "x")
    with pytest.raises(InvalidInputError, match=f"{metric.__name__}: {culprit} {message}"):
        metric(*pair)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)
def test_different_event_shapes_are_refused_even_of_equal_size(metric):
    with pytest.raises(InvalidInputError, match=r"same event shape, got \(2, 1\) and \(1, 2\)"):
        metric(GOOD.reshape(20, 2, 1), GOOD.reshape(20, 1, 2))


@pytest.mark.parametrize("metric", METRICS[:-1], ids=lambda m: m.__name__)
def test_arrays_images_half_precision_and_gradients_are_accepted_and_agree(metric):
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    y = torch.randn(24, 2, generator=torch.Generator().manual_seed(1)).bfloat16() + 1
    before = x.clone()
    few = {"judge": "mlp", "steps": 30} if metric is c2st else {}
    wanted = metric(x.double(), y.double(), generator=torch.Generator().manual_seed(2), **few)
    read_only = x.double().numpy()[::-1][::-1]
    read_only.flags.writeable = False
    for a, b in (
        (x, y),
        (x.float().requires_grad_(), y.float()),
        (x.reshape(30, 1, 2), y.reshape(24, 1, 2)),
        (read_only, y.double().numpy()),
    ):
        with torch.no_grad():
            assert metric(a, b, generator=torch.Generator().manual_seed(2), **few) == wanted
    assert torch.equal(x, before)


def test_numbers_without_event_shape_are_one_dimensional_samples():
    x, y = torch.randn(30), torch.randn(20)
    assert energy_distance(x, y) == energy_distance(x[:, None], y[:, None])


def test_memorisation_and_density_estimate_refuse_too():
    with pytest.raises(InvalidInputError, match="must be finite"):
        memorisation(GOOD, GOOD, broken(float("nan")))
    with pytest.raises(InvalidInputError, match="GaussianKDE: x must be finite"):
        GaussianKDE(broken(float("nan")))
