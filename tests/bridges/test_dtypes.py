"""Bridges whose network is made here learn from samples of float64 and of float32, whatever torch's default type."""

import pytest
import torch

from interpolants.bridges import Multimarginal, Rectification, Restoration

FEW = {"steps": 2, "batch_size": 16}
SMALL = {"kind": "mlp", "width": 8, "depth": 1}
BRIDGES = {
    "rectification": lambda: Rectification(net=SMALL, train=FEW, n_steps=4),
    "gradient": lambda: Rectification(net=SMALL, train=FEW, n_steps=4, gradient=True),
    "multimarginal": lambda: Multimarginal(latent=0.5, net=SMALL, train=FEW),
    "restoration": lambda: Restoration(net=SMALL, train=FEW),
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
