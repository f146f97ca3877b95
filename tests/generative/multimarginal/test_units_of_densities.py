"""Units and types of columns are followed, or a warning names what is not; seeds are checked."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import DataWarning
from interpolants.generative.multimarginal.multimarginal import Multimarginal
from odd_columns import check_odd_columns_are_named, odd_rows

F64 = torch.float64
SMALL = {"kind": "mlp", "width": 8, "depth": 1}
QUICK = {"net": SMALL, "steps": 10, "batch_size": 32}
SOURCE = generator(0, "units")
POWERS = st.integers(-20, 20).map(lambda k: 2.0**k)  # 1e-6 to 1e6, exact: equal to the last bits
MARGINALS = [
    torch.randn(200, 2, dtype=F64, generator=SOURCE) * (1 + k) + torch.tensor([k, 0.0]) for k in range(3)
]


@pytest.mark.slow
@pytest.mark.parametrize("coupling", ["independent", "minibatch_ot"])
@settings(max_examples=4, deadline=None, derandomize=True)
@given(scales=st.tuples(POWERS, POWERS))
def test_units_of_columns_do_not_matter(coupling, scales):
    # Pairs are made by distances in data units: there one unit for all columns does not matter.
    s = torch.tensor(scales if coupling == "independent" else scales[:1] * 2, dtype=F64)
    fits = [
        Multimarginal(densities=3, coupling=coupling, **QUICK).fit(*[x * unit for x in MARGINALS])
        for unit in (torch.ones(2, dtype=F64), s)
    ]
    made = [fit.sample(8, source=0, target=2, seed=0, n_steps=4) for fit in fits]
    assert_close(made[1] / s, made[0], rtol=1e-5, atol=1e-6)


def test_an_offset_does_not_matter_and_latent_noise_keeps_its_unit():
    for offset, unit in ((1e4, 1.0), (0.0, 2.0**12)):
        fits = [
            Multimarginal(densities=3, latent=0.5 * s**2, **QUICK).fit(*[x * s + m for x in MARGINALS])
            for m, s in ((0.0, 1.0), (offset, unit))
        ]
        noise = [0.1, 0.1 * unit**2]
        made = [f.sample(8, target=2, seed=0, n_steps=4, eps=e) for f, e in zip(fits, noise, strict=True)]
        assert_close((made[1] - offset) / unit, made[0], rtol=1e-5, atol=1e-6)


def test_columns_that_latent_noise_drowns_are_named():
    scale = torch.tensor([1.0, 1e-3], dtype=F64)
    with pytest.warns(DataWarning, match=r"column 1 of the samples is drowned in noise .* Lower latent"):
        Multimarginal(densities=3, latent=0.5, **QUICK).fit(*[x * scale for x in MARGINALS])


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_other_units_than_one_are_named(scale):
    s = torch.tensor([1.0, scale], dtype=F64)
    with pytest.warns(DataWarning, match=r"has mean .* is learnt in these units\. Standardise before fit"):
        Multimarginal(densities=2, standardize=False, **QUICK).fit(*[x * s for x in MARGINALS[:2]])


def test_odd_columns_are_named():
    check_odd_columns_are_named(lambda x: Multimarginal(densities=2, **QUICK).fit(x, odd_rows(1)))


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def default_type(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("default_type")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_network_is_of_the_type_of_the_samples(dtype):
    model = Multimarginal(latent=0.5, net=SMALL, steps=2, batch_size=16)
    made = model.fit(*[x.to(dtype) for x in MARGINALS[:2]]).transport(MARGINALS[0][:3].to(dtype))
    assert made.dtype == dtype
    assert bool(made.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_no_network_is_learnt_in_half_precision(dtype):
    with pytest.raises(InvalidInputError, match=rf"x\d must be float32 or float64, .* got {dtype}\. Pass x"):
        Multimarginal(net=SMALL).fit(torch.zeros(40, 2, dtype=dtype), torch.ones(40, 2, dtype=dtype))


@pytest.mark.parametrize("seed", [True, 1.5, -1, 2**64, "7", torch.tensor(3)], ids=repr)
def test_a_seed_that_is_no_whole_number_is_refused_by_its_name(seed):
    with pytest.raises(InvalidInputError, match=r"Multimarginal: seed must be (a whole number|below 2)"):
        Multimarginal(seed=seed)
