import pytest
import torch
from studies.common import run
from studies.images import experiment
from studies.images.experiment import STUDY

from interpolants.foundations.errors import MissingExtraError


@pytest.fixture(scope="module", autouse=True)
def clothes():
    try:
        return experiment.images(4, 500)
    except MissingExtraError as missing:
        pytest.skip(str(missing))


@pytest.mark.slow
def test_images_are_averaged_and_keep_their_range(clothes):
    seen, unseen = clothes
    assert seen.shape == (500, 1, 7, 7)
    assert unseen.shape == (10_000, 1, 7, 7)
    assert -1 <= float(seen.min()) < float(seen.max()) <= 1


def test_spread_is_the_distance_of_two_members_of_a_group(generator):
    x = (
        torch.randn(3, 200, 1, 4, 4, generator=generator)
        * torch.tensor([1.0, 2.0, 3.0])[:, None, None, None, None]
    )
    # E|x - y|^2 = 2 sigma^2, mean over the groups.
    assert experiment.spread(x) == pytest.approx((2 * (1 + 4 + 9) / 3) ** 0.5, rel=0.03)
    pair = torch.stack([torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)], 1)
    assert experiment.spread(pair) == pytest.approx(1.0)
    assert experiment.spread(torch.ones(2, 5, 1, 3, 3)) == 0


@pytest.mark.slow
def test_the_quick_study_runs_to_its_table_and_figures(tmp_path):
    results = run(STUDY, "quick", range(1), tmp_path)
    # One start and no noise: one sample, up to rounding; a mirror's ODE gives back what it is given.
    for case in experiment.PATHS:
        assert results.values(case, "eps=0 spread")[0] == pytest.approx(0, abs=1e-5)
    assert results.values("mirror", "eps=10 spread")[0] > 0.01
    assert "test images" in (tmp_path / "table.md").read_text()
    names = {"samples.png", "one_start.png", "neighbours.png", "variety.png"}
    assert {p.name for p in tmp_path.glob("*.png")} == names
