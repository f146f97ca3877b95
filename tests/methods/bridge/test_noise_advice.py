"""The noise level that check() recommends for an arrival: the least that helps clearly, and only for draws of a set."""

from types import SimpleNamespace

import pytest
import torch

from interpolants.methods.bridge import held_out_checks
from interpolants.metrics.estimate import Estimate

SCORED = SimpleNamespace(fields=SimpleNamespace(has_score=True))


def advice(monkeypatch, flow, by_level, error=0.01, cond=None):
    def distance(bridge, start, x1, cond, eps, seed):
        return None if by_level[eps] is None else Estimate(by_level[eps], error, 100, "distance")

    monkeypatch.setattr(held_out_checks, "_distance", distance)
    start = torch.zeros(3, 2)
    return held_out_checks._noise_helps(SCORED, start, start, cond, Estimate(flow, error, 100, "distance"), 0)


def test_the_least_level_that_halves_the_distance_is_named_although_more_noise_is_nearer(monkeypatch):
    found = advice(monkeypatch, 1.0, {0.1: 0.8, 0.25: 0.4, 0.5: 0.2, 1.0: 0.05})
    assert found.startswith("; with eps=0.25 it is 0.4: take that to draw a set, not to carry single rows")
    assert "fit with them as cond=" in found


def test_a_bridge_that_knows_a_condition_is_not_told_to_take_one(monkeypatch):
    found = advice(monkeypatch, 1.0, {0.1: 0.4, 0.25: 0, 0.5: 0, 1.0: 0}, cond=torch.zeros(3))
    assert "eps=0.1" in found
    assert "cond=" not in found


@pytest.mark.parametrize(
    ("flow", "by_level"),
    [
        (1.0, {0.1: 0.9, 0.25: 0.8, 0.5: 0.7, 1.0: 0.6}),  # nothing halves it
        (0.01, {0.1: 0.0, 0.25: 0.0, 0.5: 0.0, 1.0: 0.0}),  # within the error
        (-0.01, {0.1: -0.02, 0.25: -0.03, 0.5: -0.04, 1.0: -0.05}),  # below zero by chance
        (1.0, dict.fromkeys((0.1, 0.25, 0.5, 1.0))),  # lost rows
    ],
)
def test_without_a_clear_gain_no_level_is_named(flow, by_level, monkeypatch):
    assert advice(monkeypatch, flow, by_level) == ""
