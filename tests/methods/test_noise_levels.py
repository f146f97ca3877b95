"""Distances by noise level on a sampler whose samples are known."""

import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.methods.questions.noise_levels import NoiseLevels
from interpolants.methods.questions.sample_quality import SampleQuality
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from methods.noisy_sampler import noisy_task


@pytest.mark.slow
def test_the_distance_grows_by_what_the_noise_adds_to_the_spread():
    method, task = noisy_task()
    found = ask(NoiseLevels(eps=[0.0, 1.0]), method, task)
    still, noisy = found["sliced_w2_ode"], found["sliced_w2_eps_1"]
    assert abs(still.value - still.floor) < 4 * still.floor_error + 2 * still.error
    # W2 of N(0, 1) and N(0, 1 + eps^2) along every line.
    assert abs(noisy.value - (2**0.5 - 1)) < 0.05
    gap = found["ode_against_sde"]
    assert abs(gap.value - (2**0.5 - 1)) < 0.05
    assert gap.floor == still.floor
    table = found.texts["Noise levels, held-out data"]
    assert table[0].split(" | ")[2] == "evaluations"
    assert table[2].startswith("| ODE | known | 7 |")
    assert [figure.name for figure in found.figures] == ["samples", "levels"]
    near = ask(NoiseLevels(eps=[0.0, 0.2]), method, task).figures[1].panels[0]
    assert (near.y.scale, near.y.low) == ("linear", 0.0)


@pytest.mark.slow
def test_rivals_without_a_noise_level_have_one_number_for_all_and_the_rows_as_they_are_keep_the_shift():
    method, task = noisy_task(shift=3.0)
    found = ask(NoiseLevels(eps=[0.0, 0.5], n=800), method, task, ["unchanged", "gaussian_fit"])
    for rival in ("unchanged", "gaussian_fit"):
        assert found["sliced_w2_ode"].rivals[rival] == found["sliced_w2_eps_0_5"].rivals[rival]
    # A shift by (3, 3) along the lines of the plane: 3 sqrt(2) |cos|, whose mean square is 9.
    assert abs(found["sliced_w2_ode"].rivals["unchanged"] - 3) < 0.15
    assert found["sliced_w2_ode"].rivals["gaussian_fit"] < 0.3
    assert "unchanged" not in found["ode_against_sde"].rivals
    assert found.figures[1].panels[0].y.scale == "log"  # unchanged is far off


@pytest.mark.slow
def test_the_other_direction_is_the_same_question_with_the_roles_exchanged():
    method, task = noisy_task(shift=3.0)
    back = NoiseLevels(role="x0", start="x1", eps=[0.0], options={"reverse": True})
    found = ask(back, method, task, ["unchanged"])["sliced_w2_ode"]
    assert found.title == "Sliced Wasserstein-2 distance to held-out x0, ODE"
    assert abs(found.value - found.floor) < 4 * found.floor_error + 2 * found.error
    assert abs(found.rivals["unchanged"] - 3) < 0.15


def test_any_metric_whose_card_declares_it_is_a_distance_by_its_name_or_id():
    method, task = noisy_task(shift=1.0, rows=600)
    found = ask(NoiseLevels(distances=["mmd", "sliced_wasserstein"], eps=[0.0, 0.2], n=100), method, task)
    assert abs(found["mmd_ode"].value) < 0.05
    assert found["mmd_ode"].unit == ""
    assert found["sliced_wasserstein_ode"].unit == "standard units"
    curve = found.figures[1].panels[0]
    assert curve.series[0].arrays["x"].tolist() == list(curve.x.ticks) == [0, 1]
    assert curve.x.names == ("ODE", "SDE, eps = 0.2")
    for question in (NoiseLevels, SampleQuality):
        with pytest.raises(InvalidInputError, match="Did you mean 'energy_distance'"):
            question(distances=["energy_distence"])


def test_what_cannot_be_asked_is_refused_before_anything_is_drawn():
    method, task = noisy_task(rows=100)
    with pytest.raises(
        InvalidInputError, match=r"sample and transport take no option 'epss'\. Did you mean 'eps'"
    ):
        ask(NoiseLevels(options={"epss": 1}), method, task)
    blind = GaussianFit().fit(task.train["x1"])
    with pytest.raises(InvalidInputError, match="no noise level"):
        ask(NoiseLevels(), blind, task)
    for eps in ([], "auto", [0.5, 0.5], [-1.0], ["atuo"]):
        with pytest.raises(InvalidInputError, match=r"NoiseLevels: (eps|noise levels) must"):
            NoiseLevels(eps=eps)
