"""A resumed fit goes on with the code of a user's own that it began with, by its answers at probe points."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from interpolants import Bridge
from interpolants.foundations import trees
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.code_probes import changed_code, code_answers
from interpolants.framework.stages import IDENTITY
from interpolants.paths import General, SpatiallyLinear
from interpolants.paths.linear import Linear

SMALL = {"steps": 8, "batch_size": 8, "held_out": 0, "checkpoint_every": 4, "schedule": "constant"}
MLP = {"kind": "mlp", "width": 8, "depth": 1}
X = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))


class Own(nn.Module):
    """A network whose forward may change while its weights do not."""

    sign = 1.0

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.arange(6.0).reshape(2, 3) / 10)
            self.layer.bias.zero_()

    def forward(self, x, t, cond=None):
        return self.sign * self.layer(torch.cat([x, t.expand(len(x))[:, None]], 1))


class Turned(Own):
    __qualname__ = "Own"
    sign = -1.0


def power(k):
    """Schedules of one name that are t to the power k."""

    def schedule(t):
        return t**k

    return schedule


def bent(k):
    def interpolant(t, x0, x1):
        return (1 - t**k) * x0 + t**k * x1

    return interpolant


@dataclass(frozen=True)
class OwnPath(Linear):
    """A path whose class is a user's own."""

    def alpha(self, t):
        return 1 - t


@dataclass(frozen=True)
class OwnPath2(Linear):
    __qualname__ = "OwnPath"

    def alpha(self, t):
        return (1 - t) ** 2


OWN = {
    "a network": (
        lambda: {"net": Own(), "heads": "velocity"},
        lambda: {"net": Turned(), "heads": "velocity"},
    ),
    "schedules": (
        lambda: {"path": SpatiallyLinear(lambda t: 1 - t, power(1)), "net": MLP},
        lambda: {"path": SpatiallyLinear(lambda t: 1 - t, power(2)), "net": MLP},
    ),
    "an interpolant": (
        lambda: {"path": General(bent(1)), "heads": "velocity", "net": MLP},
        lambda: {"path": General(bent(2)), "heads": "velocity", "net": MLP},
    ),
    "a class": (lambda: {"path": OwnPath(), "net": MLP}, lambda: {"path": OwnPath2(), "net": MLP}),
}


def fit(settings, out, **options):
    return Bridge(**settings, **SMALL).fit(X, X + 1, progress=False, out=out, **options)


@pytest.mark.parametrize("name", OWN)
def test_changed_code_is_refused_and_the_same_goes_on(name, tmp_path):
    same, other = OWN[name]
    whole = fit(same(), tmp_path / "whole")
    fit(same(), tmp_path / "run", steps=4)
    with pytest.raises(
        InvalidInputError, match=r"resume=True must continue with the same code, got (net|path)"
    ):
        fit(other(), tmp_path / "run", resume=True)
    again = fit(same(), tmp_path / "run", resume=True)
    assert trees.fingerprint(again.state["net"]) == trees.fingerprint(whole.state["net"])


def test_a_folder_of_before_goes_on_without_a_comparison(tmp_path):
    same, other = OWN["a network"]
    fit(same(), tmp_path / "run", steps=4)
    place = tmp_path / "run" / IDENTITY
    kept = trees.read(place)
    del kept["code"]
    trees.write(place, kept)
    assert fit(other(), tmp_path / "run", resume=True).is_fitted


def test_code_that_answers_at_random_or_not_at_all_is_left_out():
    rng = np.random.default_rng(0)

    def random(t):
        return t * rng.normal()

    def other(a, b, c, d, e):
        return a

    def seeded(t):
        return t * torch.rand(())

    answers = code_answers({"a": random, "b": other, "c": seeded, "d": power(2), "e": 3.0}, {})
    assert set(answers) == {"c", "d"}
    assert torch.equal(answers["d"], torch.tensor([0.125, 0.5, 0.875], dtype=torch.float64) ** 2)


def test_answers_are_compared_up_to_rounding():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert changed_code({"a": x}, {"a": x * (1 + 5e-6)}) == []
    assert changed_code({"a": x}, {"a": x * (1 + 5e-5)}) == ["a"]
    assert changed_code({"a": x}, {"a": x[:1]}) == ["a"]
    assert changed_code({"a": x}, {"b": x}) == []


def test_asking_changes_nothing_of_the_code():
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)).train()

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, x, t, cond=None):
            return self.inner(x)

    before = torch.random.get_rng_state()
    assert set(code_answers({"net": Around()}, {"x1": X})) == {"net"}
    assert net.training
    assert int(net[0].num_batches_tracked) == 0
    assert torch.equal(torch.random.get_rng_state(), before)
