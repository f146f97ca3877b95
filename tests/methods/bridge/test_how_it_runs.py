"""The way from a call to the network and the loss: how many frames, and what the two pages of it say."""

import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import interpolants
from interpolants import Bridge

PAGES = Path(__file__).parents[3] / "docs" / "design"
SOURCE = Path(interpolants.__file__).parent


class Watched(nn.Module):
    """Two quantities of a state in the plane; notes the frames that it is called in, the innermost first."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.calls = []

    def forward(self, x, t, cond=None):
        self.calls.append(frames())
        return self.layer(torch.cat([x, t[:, None]], 1)).reshape(len(x), 2, 2)


def frames():
    """The functions of the library on the stack, the outermost first."""
    found, frame = [], sys._getframe(1)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(SOURCE):
            module = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
            found.append(f"{module}.{frame.f_code.co_qualname.partition('.<locals>')[0]}")
        frame = frame.f_back
    return found[::-1]


def points(n, seed):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def fitted():
    """A bridge with such a network, and the frames in which the loss asked it."""
    bridge = Bridge(
        "linear", net=Watched(), heads=("velocity", "noise"), steps=2, batch_size=16, held_out=0, seed=0
    )
    bridge.fit(points(32, 0), points(32, 1) + 1, progress=False)
    return bridge, list(inner(bridge).calls)


def inner(bridge):
    return next(module for module in bridge.network.modules() if isinstance(module, Watched))


def asked(bridge, **options):
    """Frames of each call of the network, from that of the verb to its own, which has the last place."""
    calls = inner(bridge).calls
    calls.clear()
    bridge.sample(5, seed=0, n_steps=3, **options)
    return [[*call, "forward"] for call in calls]


@pytest.mark.parametrize("options", [{"eps": 0.5}, {}], ids=["sde", "ode"])
def test_few_frames_lie_between_a_call_and_a_network(options, fitted):
    """A traceback of a user's network is read by that user. The first calls ask how rows may be cut."""
    bridge, _ = fitted
    calls = asked(bridge, **options)
    assert max(map(len, calls)) <= 15
    assert len(calls[-1]) <= 13
    # The verdict is known now; the first step looks at the shape of what the network gives.
    assert len(asked(bridge, **options)[0]) <= 14


def listed(page, part=0):
    """Names in the first column of a table."""
    tables = (PAGES / page).read_text(encoding="utf-8").split("|---|---|")[1:]
    return re.findall(r"^\| `([\w.]+)` \|", tables[part], re.MULTILINE)


def test_the_page_names_every_function_between_sample_and_the_network(fitted):
    assert asked(fitted[0], eps=0.5)[-1][:-1] == listed("how-a-sample-runs.md")


def test_the_page_names_what_lies_between_fit_and_the_loss(fitted):
    met = iter(fitted[1][-1])
    for name in listed("how-a-fit-runs.md"):
        assert name in met, f"{name} is not on the way, or out of order"


def test_the_page_names_the_decisions_of_a_fit_in_their_order():
    from interpolants.methods.bridge.fitting import learn

    places = []
    for name in listed("how-a-fit-runs.md", 1):
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(f"interpolants.{module}"), last)
        places.append(inspect.getsource(learn).index(f" {last}("))
    assert places == sorted(places)


@pytest.mark.parametrize("page", ["how-a-fit-runs.md", "how-a-sample-runs.md"])
def test_other_names_on_the_pages_are_those_of_the_code(page):
    """Whatever is written as ``Class.name``, or is a property of a bridge."""
    text = (PAGES / page).read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    for kind, name in re.findall(r"`([A-Z]\w+)\.(\w+)`", text):
        assert re.search(rf"^class {kind}\b", code, re.MULTILINE), kind
        assert re.search(rf"    def {name}\b", code), name
    assert len(text.splitlines()) < 50  # one screen
