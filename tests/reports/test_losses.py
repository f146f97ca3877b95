"""Curves of training as figures."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.reports.facts import StageFacts
from interpolants.reports.losses import loss_figure, running_mean


def stage(name="match", **curves):
    rows = [
        {"step": 10 * (k + 1), "lr": 0.1, "grad_norm": 2.0} for k in range(len(next(iter(curves.values()))))
    ]
    for key, values in curves.items():
        for row, value in zip(rows, values, strict=True):
            row |= {} if value is None else {key: value}
    return StageFacts(name=name, history=rows)


def names(panel):
    return [series.name for series in panel.series if series.name]


def test_losses_are_curves_and_clocks_settings_and_repeats_are_not():
    figure = loss_figure([stage(loss=[3.0, 2.0, 1.0], velocity=[3.0, 2.0, 1.0], noise_head=[1.0, 1.0, 0.5])])
    assert names(figure.panels[0]) == ["loss", "noise head"]
    assert figure.panels[0].series[0].arrays["x"].tolist() == [10, 20, 30]
    assert figure.panels[0].title == ""


def test_each_stage_is_a_panel_and_one_without_rows_is_left_out():
    stages = [stage("one", loss=[1.0, 2.0]), stage("two", loss=[1.0]), stage("a/b", loss=[2.0, 1.0])]
    figure = loss_figure(stages)
    assert [panel.title for panel in figure.panels] == ["stage one", "stage a/b"]
    assert loss_figure([stage(loss=[1.0])]) is None
    assert loss_figure([]) is None


@pytest.mark.parametrize(
    ("last", "scale"), [(1.0, "linear"), (1e-3, "log"), (-1.0, "linear"), (0.0, "linear")]
)
def test_the_axis_is_logarithmic_where_positive_numbers_span_much(last, scale):
    assert loss_figure([stage(loss=[2.0, 1.5, last])]).panels[0].y.scale == scale


def test_gaps_and_numbers_that_are_none_are_left_out():
    figure = loss_figure([stage(loss=[3.0, math.nan, 1.0], seldom=[None, 5.0, None], named=["a", "b", "c"])])
    assert names(figure.panels[0]) == ["loss"]
    assert figure.panels[0].series[0].arrays["y"].tolist() == [3.0, 1.0]


def test_the_running_mean_keeps_a_line_and_shrinks_noise():
    line = torch.arange(100.0)
    assert_close(running_mean(line), line.double())
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0))
    assert running_mean(noise).std() < 0.4 * noise.std()
