"""Adam by the kernel alone: the bits of PyTorch's own optimizer, whatever parameters have gradients and when."""

import pytest
import torch
from torch import nn

from interpolants.training import TrainSettings, optimizers
from interpolants.training.fused_adam import AdamGroup, FusedAdam
from interpolants.training.optimizers import Optimizer


def _parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    source = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(n, 3, generator=source, dtype=dtype)) for n in (1, 4, 2)]


def _gradients(step: int, parameters: list[nn.Parameter], *, missing: bool) -> None:
    source = torch.Generator().manual_seed(step)
    for place, p in enumerate(parameters):
        drawn = torch.randn(p.shape, generator=source, dtype=p.dtype)
        p.grad = None if missing and (step + place) % 3 == 0 else drawn


def _theirs(parameters: list[nn.Parameter], decoupled: bool) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    groups = [
        {"params": parameters[:2], "weight_decay": 0.1, "lr": 0.02},
        {"params": parameters[2:], "weight_decay": 0.0, "lr": 0.04},
    ]
    return kind(groups, betas=(0.8, 0.9), fused=True)


def _ours(parameters: list[nn.Parameter], decoupled: bool) -> FusedAdam:
    groups = [AdamGroup(parameters[:2], 0.1, 1.0), AdamGroup(parameters[2:], 0.0, 2.0)]
    return FusedAdam(groups, betas=(0.8, 0.9), decoupled=decoupled)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_are_those_of_pytorch(decoupled: bool, missing: bool, dtype: torch.dtype):
    mine, yours = _parameters(dtype), _parameters(dtype)
    ours, theirs = _ours(mine, decoupled), _theirs(yours, decoupled)
    for step in range(8):
        _gradients(step, mine, missing=missing)
        _gradients(step, yours, missing=missing)
        ours.step(0.02)
        theirs.step()
    for a, b in zip(mine, yours, strict=True):
        assert torch.equal(a, b)
        assert {key: value.tolist() for key, value in ours.state[a].items()} == {
            key: value.tolist() for key, value in theirs.state[b].items()
        }


def test_a_step_that_is_switched_off_changes_nothing_and_is_not_counted():
    parameters = _parameters()
    adam = _ours(parameters, decoupled=False)
    _gradients(0, parameters, missing=False)
    adam.step(0.02, torch.tensor(1.0))
    before = [p.detach().clone() for p in parameters]
    adam.step(0.02, torch.tensor(0.0))
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    assert all(adam.state[p]["step"] == 1 for p in parameters)


def test_a_parameter_that_never_had_a_gradient_has_no_state():
    parameters = _parameters()
    adam = _ours(parameters, decoupled=False)
    parameters[0].grad = torch.ones_like(parameters[0])
    adam.step(0.02)
    assert adam.state.keys() == {parameters[0]}


def test_state_that_is_put_in_is_used():
    mine, yours = _parameters(), _parameters()
    ours, theirs = _ours(mine, decoupled=False), _ours(yours, decoupled=False)
    for step in range(3):
        _gradients(step, mine, missing=False)
        ours.step(0.02)
    for a, b in zip(mine, yours, strict=True):
        b.data.copy_(a)
        theirs.state[b].update({key: value.clone() for key, value in ours.state[a].items()})
    theirs.forget()
    for adam, parameters in ((ours, mine), (theirs, yours)):
        _gradients(3, parameters, missing=False)
        adam.step(0.02)
    assert all(torch.equal(a, b) for a, b in zip(mine, yours, strict=True))
    assert all(theirs.state[p]["step"] == 4 for p in yours)


def test_parameters_of_two_types_are_each_moved_by_their_kernel():
    mixed = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3, dtype=torch.float64))]
    adam = FusedAdam([AdamGroup(mixed, 0.0, 1.0)], betas=(0.9, 0.999), decoupled=False)
    for p in mixed:
        p.grad = torch.ones_like(p)
    adam.step(0.1)
    assert all(torch.allclose(p.double(), torch.full((3,), 0.9, dtype=torch.float64)) for p in mixed)


def test_counts_take_one_operation_for_all_parameters():
    """Not one for each: that, and finding the tensors anew, is what PyTorch's own takes a third of its time for."""
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(30)]
    adam = FusedAdam([AdamGroup(parameters, 0.0, 1.0)], betas=(0.9, 0.999), decoupled=False)
    for p in parameters:
        p.grad = torch.ones_like(p)
    adam.step(0.1)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        adam.step(0.1)
    names = [event.name for event in profile.events()]
    assert names.count("aten::add_") == 1
    assert names.count("aten::_fused_adam_") == 1


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_pytorch_without_the_kernels_gives_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch):
    """Its own optimizer is taken then: with a step that is switched off, and with state from a checkpoint."""
    settings = TrainSettings(optimizer=name, weight_decay=0.1)
    with_kernels, without = (dict(zip("abc", _parameters(), strict=True)) for _ in range(2))
    ours = Optimizer(with_kernels, settings)
    monkeypatch.setattr(optimizers, "HAS_KERNELS", False)
    theirs = Optimizer(without, settings)
    assert type(theirs._dense).__name__ == "_Rented"
    assert theirs.takes_flag
    for step in range(6):
        if step == 4:
            stored = ours.tensors()
            theirs = Optimizer(without, settings)
            theirs.load(stored)
        for optimizer, parameters in ((ours, with_kernels), (theirs, without)):
            _gradients(step, list(parameters.values()), missing=True)
            optimizer.step(0.02, torch.tensor(float(step != 2)))
    assert all(torch.equal(with_kernels[key], without[key]) for key in "abc")
    assert ours.tensors().keys() == theirs.tensors().keys()
    assert all(torch.equal(value, theirs.tensors()[key]) for key, value in ours.tensors().items())
