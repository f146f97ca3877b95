import pytest
import torch
from studies.common import run
from studies.restoration import experiment
from studies.restoration.experiment import STUDY

from interpolants.couplings import InPainting, SuperResolution


def test_spread_equals_skill_for_exact_draws_and_errors_are_those_of_the_distribution(generator):
    """Truth and draws from one N(0, s^2) per pixel: one draw errs by 2 s^2, the mean of M by s^2 (1 + 1/M)."""
    truth = 0.5 * torch.randn(3000, 1, 4, 4, generator=generator)
    made = 0.5 * torch.randn(5, 3000, 1, 4, 4, generator=generator)
    known = torch.zeros(3000, 1, 4, 4, dtype=torch.bool)
    known[:, :, :2] = True
    made[:, known] = truth[known]
    values = experiment._errors(made, truth, InPainting(), known)
    assert values["MSE known"] == 0
    assert values["MSE one"] == pytest.approx(0.5, rel=0.03)
    assert values["MSE mean"] == pytest.approx(0.25 * 1.2, rel=0.03)
    assert values["spread/skill"] == pytest.approx(1.0, rel=0.02)


def test_what_is_known_of_a_coarse_image_is_its_means():
    truth = torch.arange(64.0).reshape(1, 1, 8, 8)
    coupling = SuperResolution()
    values = experiment._errors(coupling.upsample(coupling.downsample(truth))[None], truth, coupling, None)
    assert values["MSE known"] == pytest.approx(0, abs=1e-9)
    assert values["MSE one"] > 1
    assert values["detail"] == pytest.approx(0, abs=1e-9)  # a coarse image has none


def test_all_methods_see_the_same_masks(generator):
    x = torch.randn(9, 1, 8, 8, generator=generator)
    plain = InPainting()
    masks = [
        experiment._start(coupling, plain, x, 3, k).field[:, :1]
        for k, coupling in enumerate((plain, experiment.FromNoise(plain), experiment.FromObservation(plain)))
    ]
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], masks[2])
    start = experiment._start(experiment.FromObservation(plain), plain, x, 3, 0)
    assert torch.equal(start.x0, x * masks[0])


@pytest.mark.slow  # trains six small U-Nets for 30 steps, about 10 s
def test_the_quick_study_runs_to_its_table_and_figure(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    assert (tmp_path / "restoration.png").stat().st_size > 5_000
    assert results.values("digits, in-painting, coupled", "MSE known, kept")[0] == 0
