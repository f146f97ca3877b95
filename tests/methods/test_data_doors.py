"""What users hand in that would come out wrong and look right: masks, types, labels that are no numbering."""

import numpy as np
import pytest
import torch
from torch.masked import masked_tensor
from torch.utils.data import Dataset

from interpolants import Bridge
from interpolants.data.arrays import as_tensor
from interpolants.foundations import Gaussian
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import OneSidedLinear
from interpolants.problems import Checkerboard, EmpiricalBridge, GaussianMixture, Moons, OrnsteinUhlenbeck

TINY = {"net": {"kind": "mlp", "width": 16, "depth": 1}, "steps": 3, "seed": 0}
RNG = np.random.default_rng(0)
MASKED = np.ma.masked_equal(np.where(RNG.random((300, 2)) < 0.1, -9999.0, RNG.normal(size=(300, 2))), -9999.0)


class Rows(Dataset):
    def __len__(self):
        return len(MASKED)

    def __getitem__(self, i):
        return MASKED[i]


class Holder:
    values = MASKED


def fit(x1=None, **given):
    x1 = RNG.normal(size=(300, 2)) if x1 is None else x1
    return Bridge("one_sided_linear", **TINY).fit(x1=x1, progress=False, **given)


@pytest.mark.filterwarnings("ignore:The PyTorch API of MaskedTensors is in prototype stage")
@pytest.mark.parametrize(
    "make",
    [
        lambda: MASKED,
        lambda: list(MASKED),
        Rows,
        Holder,
        lambda: masked_tensor(torch.tensor(MASKED.data), torch.tensor(~MASKED.mask)),
    ],
)
def test_masked_values_are_gaps_and_never_numbers(make):
    with pytest.raises(InvalidInputError, match=r"x must be finite, got \d+ of 300 rows with NaN"):
        as_tensor(make(), "who")
    seen, _ = as_tensor(make(), "who", gaps=True)
    assert torch.equal(seen.isnan(), torch.tensor(MASKED.mask))
    with pytest.raises(InvalidInputError, match="x1 must be finite"):
        fit(make())


def test_a_mask_that_hides_nothing_changes_nothing():
    plain = MASKED.filled(0.0)
    x, kind = as_tensor(np.ma.array(plain), "who")
    assert torch.equal(x, torch.tensor(plain))
    assert kind.container == "numpy"
    fit(cond=np.ma.array(RNG.integers(0, 3, 300)))


@pytest.mark.parametrize("name", ["x1", "cond"])
def test_sparse_tensors_are_refused_in_every_role(name):
    given = {"x1": torch.randn(40, 2), "cond": torch.randn(40, 2)}
    with pytest.raises(InvalidInputError, match=rf"{name} must be dense, got torch\.sparse_coo"):
        Bridge("one_sided_linear", steps=1).fit(**{**given, name: given[name].to_sparse()})


@pytest.mark.parametrize(
    "cond",
    [
        MASKED,
        np.ma.masked_equal(RNG.integers(0, 3, 300), 1),
        np.ma.masked_equal(np.array(["a", "b", "c"] * 100), "b"),
    ],
)
def test_masked_conditions_are_refused(cond):
    with pytest.raises(InvalidInputError, match=r"cond must .*(finite|masked)"):
        fit(cond=cond)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
@pytest.mark.parametrize(
    "ask",
    [
        Checkerboard().log_prob,
        Moons().log_prob,
        Moons().score,
        OrnsteinUhlenbeck(1).log_prob,
        Gaussian(event_shape=(1,)).log_prob,
        Gaussian(event_shape=(1,)).score,
        GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1, 2)).responsibilities,
        lambda x: EmpiricalBridge(torch.zeros(3, 2)).fields(OneSidedLinear()).log_prob(x, 0.5),
    ],
)
def test_densities_refuse_states_that_would_cut_them_to_whole_numbers(ask, dtype):
    width = 1 if getattr(ask, "__self__", None).__class__.__name__ in ("OrnsteinUhlenbeck", "Gaussian") else 2
    with pytest.raises(InvalidInputError, match=r"x must be floating point, got torch\..* x\.float\(\)"):
        ask(torch.ones(3, width, dtype=dtype))


def test_labels_that_are_no_numbering_are_refused_before_a_network_is_built():
    with pytest.raises(InvalidInputError, match=r"got 2 different ones up to 10000000\. Number them"):
        fit(cond=np.r_[np.zeros(299, int), 10**7])
    assert fit(cond=np.r_[np.zeros(299, int), 2020]).classes == 2021
    assert len(fit(cond=np.array(["0", "10000000"] * 150)).given["cond"].columns) == 2


def test_samples_at_a_large_offset_keep_their_distinct_values():
    ends = [1e6 + k + RNG.normal(size=(400, 1)) for k in (0, 2)]
    bridge = Bridge(held_out=0, **TINY).fit(*ends, progress=False)
    for end, name in zip(ends, ("pool0", "pool1"), strict=True):
        assert len(bridge.state[name].x.unique()) > 395
        back = bridge.frame.decode(bridge.state[name].x.double())
        assert np.abs(np.sort(back.numpy(), 0) - np.sort(end, 0)).max() < 1e-5
    assert len(np.unique(bridge.sample(400, seed=1))) > 200  # starts are drawn with replacement
