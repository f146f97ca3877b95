import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.causal.problems.counterfactual_images import CounterfactualImages
from interpolants.apps.causal.problems.pendulum_shadow import PendulumShadow
from interpolants.apps.causal.problems.thick_digits import ThickDigits
from interpolants.foundations.errors import InvalidInputError

PROBLEMS = {"pendulum": (PendulumShadow, 300), "digits": (ThickDigits, 300)}


def drawn(name, generator):
    if name == "digits":
        pytest.importorskip("sklearn")
    make, n = PROBLEMS[name]
    return make(), make().sample(n, generator=generator)


@pytest.mark.parametrize("name", PROBLEMS)
def test_only_the_effects_of_what_is_set_move_and_images_follow_the_scene(name, generator):
    problem, rows = drawn(name, generator)
    scene, graph = rows["scene"], problem.graph
    assert isinstance(problem, CounterfactualImages)
    assert_close(problem.images(scene), rows["x"])
    before = problem.factors(scene).double()
    assert_close(before.float(), rows["factors"])
    for name_set in graph.names:
        low, high = problem.attainable(scene, name_set)
        value = (0.7 * low + 0.3 * high).double()
        after = problem.factors(problem.act(scene, name_set, value)).double()
        assert_close(after[:, graph.place(name_set)], value, atol=5e-3, rtol=0)
        moves = {name_set, *graph.descendants(name_set)}
        for k, factor in enumerate(graph.names):
            assert bool((after[:, k] != before[:, k]).any()) == (factor in moves), (name_set, factor)
        # Set back to what it was, the scene is as it was.
        own = problem.act(problem.act(scene, name_set, value), name_set, before[:, graph.place(name_set)])
        if name_set == graph.names[0]:
            assert_close(problem.images(own), rows["x"], atol=0.02, rtol=0)


def test_the_shadow_is_where_rays_from_the_lamp_meet_the_ground():
    angle, light = torch.tensor([30.0, -20.0]), torch.tensor([6.0, 15.0])
    length, middle = PendulumShadow().projected(angle, light)
    for k in range(2):
        turn = math.radians(float(angle[k]))
        ends = []
        for x, y in ((10.0, 10.5), (10 + 8 * math.sin(turn), 10.5 - 8 * math.cos(turn))):
            way = 0.0
            while 20.5 + way * (y - 20.5) > -0.5:  # step along the ray, down to the ground
                way += 1e-4
            ends.append(float(light[k]) + way * (x - float(light[k])))
        assert float(length[k]) == pytest.approx(abs(ends[1] - ends[0]), abs=5e-3)
        assert float(middle[k]) == pytest.approx(sum(ends) / 2, abs=5e-3)


def test_the_picture_shows_lamp_rod_and_shadow_at_their_places():
    scene = torch.tensor([[0.0, 14.0, 6.0, 9.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]])
    x = PendulumShadow().images(scene)[0, 0]
    assert int(x[1].argmax()) == 14 + 2  # the lamp, two columns from the left edge
    assert int(x[14].argmax()) == 10 + 2  # the rod
    dark = (x[22] < 0.1).nonzero()[:, 0] - 2.0
    assert (float(dark.min()), float(dark.max())) == pytest.approx((9 - 3, 9 + 3), abs=1.0)


def test_a_shadow_is_blurred_evenly_and_displaced_normally(generator):
    problem = PendulumShadow()
    angle, light, length, middle = problem.sample(2000, generator=generator)["factors"].double().unbind(1)
    by_rays = problem.projected(angle, light)
    blur, lie = length - by_rays[0], middle - by_rays[1]
    assert float(blur.min()) > 0.5 - 1e-5
    assert float(blur.max()) < 2.5 + 1e-5
    assert float(blur.mean()) == pytest.approx(1.5, abs=4 * 2 / (12 * 2000) ** 0.5)
    assert float(lie.mean()) == pytest.approx(0, abs=4 * 0.5 / 2000**0.5)
    assert float(lie.std()) == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)


def test_no_scene_is_brighter_than_white_or_darker_than_black():
    scene = torch.tensor([[0.0, 14.0, 6.0, 9.0, 1.0, 0.0, sky, 0.5, 0.5, 1.0, 1.0] for sky in (3.0, -3.0)])
    bright, dark = PendulumShadow().images(scene)
    assert float(bright.max()) == 1
    assert 0 <= float(dark.min()) < 1e-6


def test_the_sky_is_tilted_about_the_pivot():
    """Column 12 and the height 10.5: what a slope adds on one side it takes away on the other."""
    scenes = torch.zeros(3, 11, dtype=torch.float64)
    scenes[1, 7] = scenes[2, 8] = 0.1
    plain, across, upwards = PendulumShadow().images(scenes)[:, 0].double()
    across, upwards = across - plain, upwards - plain
    assert_close(across[8, 12:], -across[8, :13].flip(0)[:12], atol=1e-6, rtol=0)
    assert_close(upwards[2:20, 23], -upwards[2:20, 23].flip(0), atol=1e-6, rtol=0)
    assert float(across[8, 23]) > 0.05
    assert float(upwards[2, 23]) > 0.05


def test_a_share_of_the_factors_is_told(generator):
    told = PendulumShadow(known=0.1).sample(2000, generator=generator)["factors"]
    share = float((~told.isnan()).double().mean())
    assert abs(share - 0.1) < 4 * math.sqrt(0.09 / 2000)
    assert bool((told.isnan().any(1) == told.isnan().all(1)).all())


def test_digits_measure_what_they_were_made_to_have(generator):
    problem, rows = drawn("digits", generator)
    assert_close(problem.read(rows["x"]), rows["factors"].double(), atol=1e-4, rtol=0)
    assert len(set(rows["scene"][:, 0].tolist())) == len(rows["x"])  # no digit is there twice
    thickness, intensity = rows["factors"].double().unbind(1)
    gap = intensity - problem.expected_intensity(thickness)
    assert float(gap.std()) == pytest.approx(0.1, rel=0.15)
    with pytest.raises(InvalidInputError, match=r"in \[1, 1797\], got 2000"):
        problem.sample(2000)
