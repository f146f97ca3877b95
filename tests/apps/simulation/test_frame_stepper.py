import dataclasses

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.simulation import FrameStepper
from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.frame_stepper import _step_loss
from interpolants.apps.simulation.nets.point_packs import PointPack
from interpolants.apps.simulation.simulation_questions import relative_l2
from interpolants.foundations.errors import InvalidInputError

TIMES = torch.linspace(0, 1, 6).double()
SMALL = {"box": [[0, 0], [1, 1]], "nodes": 8, "radius": 0.3, "width": 16, "depth": 1, "heads": 2, "steps": 2}


def growing(n, seed):
    """Fields ``h(x) 1.2^k`` on random meshes: the last two frames tell the next one."""
    g = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(n):
        mesh = torch.rand(40, 2, generator=g).double()
        wave = 1 + 0.5 * torch.sin(3 * mesh @ torch.randn(2, generator=g).double())
        values = wave[None, :, None] * 1.2 ** torch.arange(6).reshape(-1, 1, 1)
        found.append(MeshField(mesh, TIMES, values.float()))
    return found


def test_standing_still_repeats_the_last_given_frame():
    fields = growing(3, 0)
    found = FrameStepper(change="none").fit(fields).forecast(fields[:2], frames=2, members=3)
    assert found[0].values.shape == (3, 6, 40, 1)
    for one, truth in zip(found, fields, strict=False):
        assert_close(one.values[0, :2], truth.values[:2])
        assert_close(one.values[0, 2:], truth.values[1:2].expand(4, -1, -1))


def test_a_large_mesh_weighs_as_much_as_a_small_one():
    """The mean over packed points would count a simulation by its points."""

    def nothing(places, frames):
        return torch.zeros(len(frames), 1)

    parts = [torch.ones(10, 1), torch.zeros(30, 1)]
    batch = {"places": None, "frames": torch.zeros(40, 2, 1), "change": PointPack.of(parts), "scale": 0.5}
    assert_close(_step_loss(nothing, batch, None)["change"], torch.tensor([4.0, 0.0]))


def test_the_loss_of_a_step_is_the_square_of_its_error_in_units_of_the_usual_change(generator):
    change, error = torch.randn(2, 7, 3, generator=generator)
    batch = {"places": None, "frames": torch.zeros(7, 2, 3), "change": PointPack.of([change]), "scale": 0.5}
    for sign in (-1, 0, 1):
        found = _step_loss(lambda places, frames, sign=sign: change + sign * error, batch, None)["change"]
        assert_close(found, sign**2 * error.square().mean()[None] / 0.25)


def test_what_it_cannot_step_through_is_refused():
    fields = growing(2, 0)
    uneven = [dataclasses.replace(one, times=TIMES**2) for one in fields]
    with pytest.raises(InvalidInputError, match="more than 2 times, evenly spaced"):
        FrameStepper(**SMALL).fit(uneven)
    slower = dataclasses.replace(fields[1], times=2 * TIMES)
    with pytest.raises(InvalidInputError, match="as far apart as those of row 0"):
        FrameStepper(**SMALL).fit([fields[0], slower])
    model = FrameStepper(**SMALL).fit([fields[0], dataclasses.replace(fields[1], times=TIMES + 5)])
    assert_close(model.state["times"], fields[0].times)  # the clock is that of the first
    with pytest.raises(InvalidInputError, match="times must be None"):
        model.forecast(fields, times=[0.0, 0.1])
    with pytest.raises(InvalidInputError, match="the context must have at least 2 frames, got 1"):
        model.forecast([one.first(1) for one in fields])
    assert model.forecast([one.first(1) for one in fields], frames=1)[0].values.shape == (1, 6, 40, 1)


@pytest.mark.slow
def test_it_learns_growth_by_a_share_a_frame():
    model = FrameStepper(**{**SMALL, "steps": 400, "batch_size": 16, "lr": 5e-3, "width": 32}).fit(
        growing(60, 1)
    )
    fresh = growing(4, 2)
    found = model.forecast(fresh)
    still = [one.values[1:2].expand(6, -1, -1) for one in fresh]
    own = sum(relative_l2(a.values[0, -1], b.values[-1]) for a, b in zip(found, fresh, strict=True)) / 4
    other = sum(relative_l2(a[-1], b.values[-1]) for a, b in zip(still, fresh, strict=True)) / 4
    assert own < 0.1 < 0.4 < other


def test_fields_that_stand_still_go_on_standing_still():
    points = torch.rand(30, 2, generator=torch.Generator().manual_seed(0))
    values = torch.sin(6 * points[:, :1]).expand(4, 30, 1)
    one = {"points": points, "times": torch.arange(4.0), "values": values}
    sizes = {"nodes": 4, "width": 8, "depth": 1, "heads": 2, "radius": 0.5}
    model = FrameStepper(steps=2, batch_size=2, **sizes).fit([one, one])
    ahead = model.forecast([{**one, "times": torch.arange(2.0), "values": values[:2]}])[0]
    assert float((torch.as_tensor(ahead["values"]) - values).abs().max()) < 1e-5


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e6])
def test_times_are_compared_in_any_unit(unit):
    """Steps below 1e-8 had all been taken for the same; so had those of given frames of any length."""
    fields = [dataclasses.replace(one, times=unit * TIMES) for one in growing(2, 0)]
    with pytest.raises(InvalidInputError, match="evenly spaced"):
        FrameStepper(**SMALL).fit([dataclasses.replace(one, times=unit * TIMES**2) for one in fields])
    model = FrameStepper(**SMALL).fit(fields)
    with pytest.raises(InvalidInputError, match=r"frames must be .* apart, as those of the fit"):
        model.forecast([dataclasses.replace(fields[0], times=unit * TIMES**2)])


def test_errors_of_units_name_the_method():
    flat = [dataclasses.replace(one, values=torch.full_like(one.values, 0.1)) for one in growing(2, 0)]
    with pytest.raises(InvalidInputError, match=r"^FrameStepper.fit: every channel must vary"):
        FrameStepper(**SMALL).fit(flat)
