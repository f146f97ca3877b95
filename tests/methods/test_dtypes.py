"""Bridges whose network is made here learn from samples of float64 and of float32, whatever torch's default type."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import (
    FlowMap,
    Rectification,
)

FEW = {"steps": 2, "batch_size": 16}
SMALL = {"kind": "mlp", "width": 8, "depth": 1}
BRIDGES = {
    "rectification": lambda: Rectification(net=SMALL, **FEW, n_steps=4),
    "gradient": lambda: Rectification(net=SMALL, **FEW, n_steps=4, gradient=True),
}


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def default_type(request):
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("default_type")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", BRIDGES)
def test_the_network_is_of_the_type_of_the_samples(name, dtype):
    source = torch.Generator().manual_seed(0)
    x0, x1 = (torch.randn(40, 2, generator=source, dtype=dtype) for _ in range(2))
    made = BRIDGES[name]().fit(x0, x1).transport(x0[:3])
    assert made.dtype == dtype
    assert bool(made.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [*BRIDGES, "flow_map"])
def test_no_network_is_learnt_in_half_precision(name, dtype):
    more = {
        "flow_map": lambda: FlowMap(net=SMALL, **FEW),
    }
    x0, x1 = torch.zeros(40, 2, dtype=dtype), torch.ones(40, 2, dtype=dtype)
    with pytest.raises(InvalidInputError, match=rf"x\d must be float32 or float64, .* got {dtype}\. Pass x"):
        {**BRIDGES, **more}[name]().fit(x0, x1)


@pytest.mark.usefixtures("default_type")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_flow_map_from_a_base_starts_in_the_type_of_the_samples(dtype):
    x1 = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=dtype)
    made = FlowMap(path="one_sided_linear", net=SMALL, **FEW).fit(x1=x1).sample(3, seed=0)
    assert made.dtype == dtype
    assert bool(made.isfinite().all())
