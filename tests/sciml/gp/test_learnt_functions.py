import pytest
import torch
from torch.testing import assert_close

from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.questions import ask
from interpolants.framework.task import Task
from interpolants.methods import MeanValue
from interpolants.sciml import FunctionalTucker, LearntFunctions


def test_it_shows_the_functions_that_encode_gives_and_a_bound_that_rises():
    g = torch.Generator().manual_seed(0)
    points = torch.rand(80, 2, dtype=torch.float64, generator=g)
    points[:, 1] = (3 * points[:, 1]).floor()
    values = torch.sin(5 * points[:, 0]) * (1 + points[:, 1])
    model = FunctionalTucker([2, 1], modes=["continuous", "discrete"], starts=1, sweeps=6)
    task = Task.of(model.roles(), {"points": points, "values": values})
    task.fit(model)
    found = ask(LearntFunctions(places=5), model, task)
    assert found["noise_std"].value == model.noise_std
    assert found["bound"].value == model.posterior.bound
    functions, bound = found.figures
    first, second = functions.panels
    assert [len(panel.series) for panel in (first, second)] == [4, 1]
    line = first.series[3].arrays
    assert_close(line["x"], torch.linspace(float(points[:, 0].min()), float(points[:, 0].max()), 5).double())
    asked = torch.stack([line["x"], torch.zeros_like(line["x"])], 1)
    assert_close(line["y"], model.encode(asked).mean[:, 1])
    assert second.series[0].arrays["x"].tolist() == [0, 1, 2]
    arrays = LearntFunctions(places=5).measure(model, task).arrays
    assert_close(arrays["std0"], model.encode(asked).std[:, :2])
    rise = bound.panels[0].series[0].arrays["y"]
    assert bool((rise.diff() >= 0).all())
    assert len(rise) == 6
    assert found.texts["Modes"][1] == "coordinate 2: rank 1, discrete"


def test_other_methods_have_none():
    points, values = torch.rand(9, 2).double(), torch.rand(9).double()
    task = Task.of(MeanValue().roles(), {"points": points, "values": values})
    with pytest.raises(NotAbleError):
        ask(LearntFunctions(), task.fit(MeanValue()), task)
