"""Pictures with exchanged colours, for a method whose transport is known: it adds a constant."""

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import NotAbleError, capability
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.methods.questions.exchanged_colours import exchanged_colours
from methods.noisy_sampler import NoisySampler

LEVELS = torch.from_numpy(np.random.default_rng(1).integers(20, 200, (6, 9, 3)).astype(np.uint8))


class OneWay(NoisySampler):
    @capability(reads={"x": "x1"}, like="x")
    def transport(self, x, *, eps=0.0, seed=0):
        return x


def coloured_task(shift, picture=LEVELS, kind=NoisySampler):
    method = kind(shift=shift)
    rows = (LEVELS.reshape(-1, 3).float() + 0.5) / 256
    values = {"x0": rows, "x1": rows + shift, "picture0": picture, "picture1": picture}
    task = Task.of([*method.roles(), *exchanged_colours().reads()], values, Split(test=0.5))
    task.fit(method)
    return method, task


def test_every_level_moves_by_the_shift_and_the_other_way_for_the_second_picture():
    method, task = coloured_task(10 / 256)
    found = ask(exchanged_colours(), method, task)
    assert torch.equal(found.arrays["before0"], LEVELS)
    assert torch.equal(found.arrays["after0"], LEVELS + 10)
    assert torch.equal(found.arrays["after1"], LEVELS - 10)
    assert [found[f"clipped{k}"].value for k in (0, 1)] == [0.0, 0.0]
    assert found.findings == ()
    (figure,) = found.figures
    assert [panel.series[0].arrays["images"].shape for panel in figure.panels] == [(1, 1, 6, 9, 3)] * 4
    assert figure.height == pytest.approx(2 * (figure.width / 2 * 6 / 9 + 30))


def test_what_leaves_the_range_is_clipped_and_said():
    method, task = coloured_task(100 / 256)
    found = ask(exchanged_colours(), method, task)
    expected = float((LEVELS > 156).double().mean())  # 156 and the shift are half a level above 1
    assert found["clipped0"].value == pytest.approx(expected)
    assert int(found.arrays["after0"].max()) == 255
    assert f"{100 * expected:.1f} % of the channel values of picture 0 left [0, 1]" in found.findings[0].text


def test_a_large_picture_is_thinned_by_whole_rows_and_columns():
    method, task = coloured_task(0.0)
    found = ask(exchanged_colours(n=20), method, task)
    assert torch.equal(found.arrays["before0"], LEVELS[::2, ::2])


def test_other_arrays_and_one_way_methods_are_refused():
    method, task = coloured_task(0.0, picture=LEVELS.float())
    with pytest.raises(InvalidInputError, match=r"picture0 must be a picture \(H, W, 3\) of uint8"):
        ask(exchanged_colours(), method, task)
    method, task = coloured_task(0.0, kind=OneWay)
    with pytest.raises(NotAbleError, match="goes one way only"):
        ask(exchanged_colours(), method, task)
