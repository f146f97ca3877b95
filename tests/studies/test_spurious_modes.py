import math

import pytest
import torch
from studies.common import run
from studies.spurious_modes import experiment
from studies.spurious_modes.experiment import STUDY

from interpolants.problems.gaussian_mixture import GaussianMixture

HALF = torch.tensor([0.5, 0.5], dtype=torch.float64)


def two(apart):
    means = torch.tensor([[-apart / 2, 0.0], [apart / 2, 0.0]], dtype=torch.float64)
    return GaussianMixture(HALF, means, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize(("apart", "count"), [(1.9, 1), (2.1, 2), (6.0, 2)])
def test_two_equal_gaussians_have_two_modes_from_two_deviations_on(apart, count):
    assert len(experiment.modes(two(apart))) == count


def test_modes_are_stationary_points():
    distribution = experiment.problem().marginal(experiment.PATHS["linear, gamma = 0"], 0.5)
    top = experiment.modes(distribution)
    # Two pairs of the twelve products lie too close together.
    assert len(top) == 10
    assert float(distribution.score(top).abs().max()) < 1e-4


def test_components_told_apart_go_from_one_to_all(generator):
    for apart, count in ((0.0, 1.0), (20.0, 2.0)):
        distribution = two(apart)
        assert experiment.distinct(
            distribution, distribution.sample(500, generator=generator)
        ) == pytest.approx(count, abs=1e-3)
    distribution = two(2.0)
    some = experiment.distinct(distribution, distribution.sample(20_000, generator=generator))
    # The capacity of two signals at +-1 in unit Gaussian noise, 0.337 nats.
    assert some == pytest.approx(math.exp(0.337), abs=0.02)


def test_the_encoder_decoder_forgets_everything_half_way(generator):
    distribution = experiment.problem().marginal(experiment.PATHS["encoder-decoder"], 0.5)
    assert len(experiment.modes(distribution)) == 1
    assert experiment.distinct(distribution, distribution.sample(500, generator=generator)) == pytest.approx(
        1, abs=1e-6
    )


def test_steepness_of_a_known_field(generator):
    """From N(0, Id) to N(0, 4 Id) by the linear path without noise, b = (beta 4 - alpha) x / (alpha^2 + 4 beta^2)."""
    ends = [
        GaussianMixture([1.0], torch.zeros(1, 2).double(), torch.tensor([v]).double()) for v in (1.0, 4.0)
    ]
    bridge = experiment.GaussianMixtureBridge(*ends)
    fields = bridge.fields(experiment.PATHS["linear, gamma = 0"])
    slope = (4 * 0.25 - 0.75) / (0.75**2 + 4 * 0.25**2)
    x = torch.randn(10, 2, generator=generator, dtype=torch.float64)
    assert experiment.steep(fields, x, 0.25) == pytest.approx(2 * slope**2, rel=1e-6)


@pytest.mark.slow
def test_the_quick_study_runs_to_its_table_and_figures(tmp_path):
    only = ["linear, gamma = 0", "encoder-decoder"]
    results = run(STUDY, "quick", range(1), tmp_path, only=only)
    assert results.values("linear, gamma = 0", "most modes") == [12]
    assert results.values("encoder-decoder", "most modes") == [4]
    assert "is worse than encoder-decoder (relative error)" in (tmp_path / "table.md").read_text()
    assert {p.name for p in tmp_path.glob("*.png")} == {"distributions.png", "modes.png"}
