"""Sampling inside ``torch.inference_mode()``: the same samples, and networks that can be trained afterwards."""

import pytest
import torch

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.nets import MLP, UNet
from interpolants.paths import Linear, OneSidedLinear, VariancePreserving
from stirred_nets import stirred

CASES = {
    "velocity": (OneSidedLinear(), {"velocity": lambda: MLP(2, width=16, depth=2)}, (2,), 0.0),
    "velocity and score": (
        Linear(),
        {"velocity": lambda: MLP(2, width=16, depth=2), "score": lambda: MLP(2, width=16, depth=2)},
        (2,),
        0.5,
    ),
    "noise": (VariancePreserving(), {"noise": lambda: MLP(2, width=16, depth=2)}, (2,), 1.0),
    "images": (OneSidedLinear(), {"velocity": lambda: UNet((1, 8, 8), channels=4, blocks=1)}, (1, 8, 8), 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_samples_are_the_same_and_the_network_still_learns(case, generator):
    path, nets, shape, eps = CASES[case]
    made = {name: stirred(make()) for name, make in nets.items()}
    fields = LearnedFields(path, **made)
    x = torch.randn(70, *shape, generator=generator)
    with torch.inference_mode():  # first, so that whatever is remembered is made here
        inside = sample(fields, x, eps=eps, n_steps=4, seed=0).x
    assert inside.is_inference()
    assert torch.equal(inside, sample(fields, x, eps=eps, n_steps=4, seed=0).x)
    sample(fields, x, eps=eps, n_steps=4, seed=0, differentiable=True).x.square().sum().backward()
    for net in made.values():
        assert all(w.grad is not None and bool(w.grad.isfinite().all()) for w in net.parameters())
