import pytest
import torch

from interpolants.framework.task import Split, Task
from interpolants.methods.questions.sample_quality import SampleQuality
from interpolants.methods.questions.torus import period_axis, torus_figure
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.spaces import Angle

CODES = [("hour", Angle(period=24.0, low=0.0)), ("direction", Angle(low=-180.0))]


def test_axes_are_one_period_with_ticks_at_its_quarters():
    axes = [period_axis(*pair) for pair in CODES]
    assert [(axis.low, axis.high) for axis in axes] == [(0, 24), (-180, 180)]
    assert axes[1].ticks == (-180, -90, 0, 90, 180)


def test_pairs_outside_of_a_period_are_told_and_not_wrapped():
    x = torch.tensor([[1.0, 0.0], [23.0, -200.0], [25.0, 10.0], [3.0, 179.0]])
    figure = torus_figure("samples", {"real": x[:1], "made": x}, CODES)
    assert [panel.title for panel in figure.panels] == ["real", "made, 50 % outside"]
    assert figure.panels[1].series[0].arrays["x"].tolist() == [1, 23, 25, 3]


def test_samples_of_two_angles_are_drawn_on_the_torus_and_of_one_in_the_plane():
    x = 360 * torch.rand(80, 3, generator=torch.Generator().manual_seed(0))
    method = GaussianFit().fit(x[:60])
    task = Task.of(method.roles(), {"x1": x}, Split(test=0.25))

    def drawn(space):
        question = SampleQuality(space=space, n=20)
        return question.figures(question.measure(method, task), {}, task)[0].panels[0]

    torus = drawn({"0": "circle", "2": "circle"})
    assert (torus.x.label, torus.y.label) == ("x1", "x3")
    assert (torus.x.high, torus.y.high) == (360, 360)
    assert drawn({"0": "circle"}).x.high != pytest.approx(360)
