"""Nothing in a training step or in a step of a sampler waits for the device: no value goes to the host."""

from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from interpolants.methods import Bridge
from interpolants.training import run_state
from interpolants.training.guard import Guard
from interpolants.training.step import READ_EVERY
from training import toy

WAITS = ("aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::equal")
COPIES = ("tolist", "cpu", "numpy", "__array__")


class Operations(TorchDispatchMode):
    """Counts the operations at which a host waits for its accelerator: item, bool, float, nonzero, equal."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.name().partition(".")[0] in WAITS
        return func(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Counts the calls that bring a tensor to the host, which on a CPU are no operation."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += getattr(func, "__name__", "") in COPIES
        return func(*args, **(kwargs or {}))


@contextmanager
def counted():
    """A list that holds the number of waits in the block, when it has ended."""
    found = []
    with Copies() as copies, Operations() as operations:
        yield found
    found.append(copies.count + operations.count)


def test_the_counter_sees_what_waits():
    x = torch.arange(3.0)
    with counted() as found:
        x.sum().item()
        bool(x[0] == 0)
        x.tolist()
        x.nonzero()
        x.cpu()
        _ = x + 1
    assert found[0] >= 5


def waits_of_training(monkeypatch, steps, *, deferred=True, **settings):
    """Waits of a training of so many steps, whose guard treats the CPU as an accelerator."""
    monkeypatch.setattr(run_state, "Guard", partial(_deferred if deferred else Guard))
    options = {"log_every": 1000, "checkpoint_every": 0, "batch_size": 32, **settings}
    with counted() as found:
        toy_fit(steps, options)
    return found[0]


def _deferred(device, *, sticky, deferred):
    return Guard(device, sticky=sticky, deferred=True)


def toy_fit(steps, options):
    from interpolants.training import TrainSettings, fit

    fit(
        toy.network(),
        toy.noisy_loss,
        toy.noisy_batches,
        TrainSettings(steps=steps, **options),
        progress=False,
    )


@pytest.mark.parametrize(
    "settings", [{}, {"clip_norm": None, "ema": None}, {"precision": "bf16"}, {"accumulate": 2}]
)
def test_a_training_step_waits_only_where_the_flag_is_read(monkeypatch, settings):
    few = waits_of_training(monkeypatch, READ_EVERY - 5, **settings)
    more = waits_of_training(monkeypatch, READ_EVERY - 1, **settings)
    assert more == few  # four steps more, and not one wait
    again = waits_of_training(monkeypatch, 3 * READ_EVERY - 1, **settings)
    assert again - more == 2  # the flag was read twice


def test_the_same_count_sees_a_guard_that_reads_every_step(monkeypatch):
    few = waits_of_training(monkeypatch, 10, deferred=False)
    assert waits_of_training(monkeypatch, 14, deferred=False) >= few + 4


@pytest.fixture(scope="module")
def bridge():
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    bridge = Bridge("one_sided_linear", net={"kind": "mlp", "width": 16, "depth": 2})
    return bridge.fit(x1=x, steps=5, batch_size=32, progress=False)


@pytest.mark.parametrize("eps", [0.0, 0.5])
def test_a_step_of_a_sampler_does_not_wait(bridge, eps):
    def waits(n_steps):
        with counted() as found:
            bridge.sample(64, seed=0, n_steps=n_steps, eps=eps)
        return found[0]

    waits(10)
    assert waits(40) - waits(20) <= 0
