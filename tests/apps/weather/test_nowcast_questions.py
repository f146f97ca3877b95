import pytest
import torch

from interpolants.apps.weather import FramePersistence, Nowcaster, NowcastSkill
from interpolants.apps.weather.nowcast_questions import _rank, _root, _within_frames
from interpolants.apps.weather.problems.advected_blobs import AdvectedBlobs
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task

pytest.importorskip("scoringrules")


def rising(n=10, gaps=False):
    """Frames that rise by one each step; the last frame is unseen in a column, with nonsense before it."""
    x = torch.arange(6.0)[None, :, None, None].expand(n, 6, 4, 5).clone()
    if gaps:
        x[:, :, :, 0] = 1e3
        x[:, 4:, :, 0] = torch.nan
    return x


def asked(x, **settings):
    method = FramePersistence(past=2, future=2)
    task = Task.of(method.roles(), {"sequences": x}, Split(test=4))
    given = {"past": 2, "future": 2, **settings}
    return ask(NowcastSkill(**given), task.fit(method), task)


@pytest.mark.parametrize("gaps", [False, True])
def test_scores_of_a_field_that_rises_are_those_of_a_hand(gaps):
    """Errors 1 and 2 of persistence; cells that were not seen do not count."""
    found = asked(rising(gaps=gaps), threshold=4.5)
    assert abs(found["crps"].value - 1.5) < 1e-6
    assert abs(found["error"].value - 2.5**0.5) < 1e-6
    assert found["csi"].value == 0.0  # frames 4 and 5 come, and the last one has the event
    assert asked(rising(gaps=gaps), threshold=2.5)["csi"].value == 1.0
    assert "spread_skill" not in [score.name for score in found.scores]


def test_true_variance_and_floor_come_from_the_problem():
    problem = AdvectedBlobs(rows=16, columns=16, width=1.5, life=2, births=2.0, frames=4)
    x = problem.sample(40, generator=torch.Generator().manual_seed(0))
    model = Nowcaster(
        past=2, future=2, edges=["periodic", "periodic"], steps=3, batch_size=4, n_steps=8,
        net={"kind": "grid_convolution", "width": 6, "blocks": 2},
    )  # fmt: skip
    task = Task.of(model.roles(), {"sequences": x}, Split(test=8), truths={"sequences": problem})
    question = NowcastSkill(past=2, future=2, members=3, cases=4, runs=1)
    found = ask(question, task.fit(model), task)
    draws = problem.sample_births(4000, ahead=2, generator=torch.Generator().manual_seed(1))
    floor = float((draws[::2] - draws[1::2]).abs().mean()) / 2
    assert abs(found["crps"].floor / floor - 1) < 0.1
    assert {score.name for score in found.scores} >= {"spread_rank", "uncertainty_rank", "one_run_rank"}
    assert {figure.name for figure in found.figures} == {"nowcast", "by_lead", "uncertainty"}


def test_the_error_of_a_rank_correlation_is_its_spread_over_other_cases(generator):
    true = torch.linspace(0, 1, 30).reshape(1, 1, 5, 6)
    drawn = true + torch.randn(150, 12, 1, 1, 5, 6, generator=generator)
    spread = torch.tensor([_within_frames(each.sum(0), true) for each in drawn]).std()
    errors = [_rank(each, true, "rank").error for each in drawn[:10]]
    assert sum(errors) / 10 == pytest.approx(float(spread), rel=0.3)


def test_the_error_of_a_root_over_cases_is_that_of_the_jackknife():
    source = torch.Generator().manual_seed(0)
    known = torch.rand(60, 5, generator=source) < 0.8
    squares = torch.rand(60, 5, generator=source).double().square()
    found = _root(squares[known], known)
    left_out = torch.stack(
        [
            (squares[keep][known[keep]].sum() / known[keep].sum()).sqrt()
            for keep in (torch.arange(60) != k for k in range(60))
        ]
    )
    assert found.value == pytest.approx(float(squares[known].mean().sqrt()))
    assert found.error == pytest.approx(float(left_out.std(correction=0)) * 59**0.5, rel=0.05)
