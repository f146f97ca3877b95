"""Spread of the ends of one start on a sampler whose noise is known; starts that a bridge draws itself."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.methods import Bridge
from interpolants.methods.questions.trajectories import Trajectories
from methods.noisy_sampler import noisy_task


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_a_flow_has_no_spread_and_noise_has_its_own(dim):
    method, task = noisy_task(shift=3.0, dim=dim, rows=400)
    found = ask(Trajectories(eps=[0.0, 0.5], repeats=4000, paths=6), method, task)
    assert found["spread_ode"].value == 0.0
    assert abs(found["spread_eps_0_5"].value - 0.5) < 0.03
    start, path = task.test["x0"][:6], found.arrays["paths/ode"]
    torch.testing.assert_close(path[-1] - path[0], torch.full((6, dim), 3.0))
    assert torch.equal(path[0], start)
    assert [figure.name for figure in found.figures] == ["one_start", "paths"]


def test_a_bridge_from_a_base_draws_its_own_starts_and_images_are_strips():
    from interpolants.framework.task import Split, Task

    x = torch.randn(60, 1, 4, 4, generator=torch.Generator().manual_seed(0)) + 5
    bridge = Bridge(
        "one_sided_linear", net={"kind": "mlp", "width": 8, "depth": 1}, steps=2, batch_size=8, seed=0
    )
    task = Task.of(bridge.roles(), {"x1": x}, Split(test=0.5))
    task.fit(bridge)
    found = ask(Trajectories(eps=[0.0], repeats=9, paths=3, options={"n_steps": 2}), bridge, task)
    assert torch.equal(found.arrays["paths/ode"][0], bridge.start_points(3, seed=1))
    # Starts are in the units of the data: the base has the data's mean and spread.
    assert abs(float(bridge.start_points(400, seed=1).mean()) - 5) < 0.2
    assert found.figures[1].panels[0].series[0].arrays["images"].shape[:2] == (3, 8)
    with pytest.raises(InvalidInputError, match="no option 'steps'"):
        ask(Trajectories(options={"steps": 2}), noisy_task(rows=50)[0], task)
