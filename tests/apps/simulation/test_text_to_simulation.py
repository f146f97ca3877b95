import dataclasses

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.simulation import FrameStepper, TextToSimulation
from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.problems.plume import GaussianPlume
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning, SettingWarning
from interpolants.framework.method import load
from interpolants.runs.answers import read_rows

SMALL = {
    "box": [[0.0, 0.0], [1.0, 1.0]], "nodes": 8, "times_nodes": 8, "radius": 0.3, "width": 8, "queries": 20,
    "code_steps": 8, "code_batch": 4, "read_steps": 8, "read_batch": 8, "text_width": 16, "net_width": 16, "depth": 1,
    "heads": 2, "n_steps": 3, "steps": 8, "batch_size": 8, "warmup": 0, "lr": 0.01,
}  # fmt: skip


@pytest.fixture(scope="module")
def plumes():
    """Plumes on small meshes with their prompts."""
    problem = GaussianPlume(points=(20, 30), frames=5, held_out=0.0)
    return problem.sample(16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def simulator(plumes):
    """A simulator that has hardly learnt anything; not to be changed."""
    return TextToSimulation(**SMALL).fit(plumes["fields"], plumes["prompt"])


def values(parts):
    return [one.values for one in parts]


# --- what the answers depend on


def test_a_point_has_one_value_whatever_other_points_are_asked(simulator, plumes):
    mesh = plumes["fields"][3].points
    whole, some = (simulator.sample(1, points=points)[0] for points in (mesh, mesh[4:9]))
    assert whole.values.shape == (5, len(mesh), 1)
    assert_close(some.values, whole.values[:, 4:9], rtol=0, atol=1e-5)


def test_times_between_the_frames_can_be_asked(simulator):
    fine = simulator.sample(1, times=[0.0, 0.1, 0.25])[0]
    frames = simulator.sample(1)[0]
    assert fine.times.tolist() == [0.0, 0.1, 0.25]
    assert_close(fine.values[[0, 2]], frames.values[:2], rtol=0, atol=1e-5)


def test_no_prompt_in_a_row_is_no_prompt_at_all(simulator, plumes):
    free = simulator.sample(2, seed=3)
    assert_close(values(simulator.sample(2, prompt=[None, None], seed=3)), values(free), rtol=0, atol=1e-5)
    told = simulator.sample(2, prompt=plumes["prompt"][0], seed=3)
    assert float((told[0].values - free[0].values).abs().max()) > 1e-3


def test_only_the_first_frames_are_looked_at(simulator, plumes):
    one = plumes["fields"][0]
    changed = one.values.clone()
    changed[2:] = 100.0
    other = dataclasses.replace(one, values=changed)
    found, same = (simulator.forecast([x], members=2)[0].values for x in (one, other))
    assert found.shape == (2, 5, len(one.points), 1)
    assert torch.equal(found, same)
    changed[1] = 0.0
    moved = simulator.forecast([dataclasses.replace(one, values=changed)], members=2)[0].values
    single = (
        simulator.forecast([x], frames=1)[0].values for x in (one, dataclasses.replace(one, values=changed))
    )
    assert float((moved - found).abs().max()) > 1e-5
    assert torch.equal(*single)


def test_members_differ_and_follow_their_number(simulator, plumes):
    two, three = (simulator.forecast(plumes["fields"][:1], members=m)[0].values for m in (2, 3))
    assert torch.equal(two, three[:2])
    assert float((two[0] - two[1]).abs().max()) > 1e-3


def test_a_part_of_a_larger_job_has_the_members_of_the_whole(simulator, plumes):
    whole = simulator.forecast(plumes["fields"][:3], members=2)
    part = simulator.forecast(plumes["fields"][1:3], members=2, first_index=1)
    assert_close(values(part), values(whole)[1:], rtol=0, atol=1e-5)


# --- containers


def test_arrays_and_datasets_come_back_as_such(simulator, plumes):
    xarray = pytest.importorskip("xarray")
    one = plumes["fields"][0]
    found = simulator.forecast(one.to_xarray())
    assert isinstance(found, xarray.Dataset)
    assert found["u1"].dims == ("member", "time", "node")
    expected = simulator.forecast([one])[0].values
    assert_close(torch.from_numpy(found["u1"].to_numpy()), expected[..., 0])
    arrays = simulator.forecast([one.arrays()])
    assert isinstance(arrays[0]["values"], np.ndarray)
    assert_close(torch.from_numpy(arrays[0]["values"]), expected)


def test_channels_are_known_by_name(plumes):
    pytest.importorskip("xarray")
    two = [
        dataclasses.replace(
            one, values=torch.cat([one.values, 3 - one.values], -1), channels=("smoke", "air")
        )
        for one in plumes["fields"]
    ]
    model = TextToSimulation(**SMALL).fit([one.to_xarray() for one in two])
    data = two[0].to_xarray()
    found, turned = model.forecast(data), model.forecast(data[["air", "smoke"]])
    assert list(found.data_vars) == ["smoke", "air"]
    assert found.equals(turned)
    with pytest.raises(InvalidInputError, match="must have the channels smoke, air, got smoke, water"):
        model.forecast(data.rename(air="water"))


def test_files_are_read_and_the_model_comes_back(simulator, plumes, tmp_path):
    one = plumes["fields"][0]
    np.savez(tmp_path / "one.npz", **one.arrays())
    (tmp_path / "prompts.txt").write_text("\n".join(plumes["prompt"][:3]))
    back = load(simulator.save(tmp_path / "model"))
    fields, prompt = back.roles()
    read = read_rows(str(tmp_path / "one.npz"), fields)
    assert_close(torch.from_numpy(back.forecast(read)[0]["values"]), simulator.forecast([one])[0].values)
    assert read_rows(str(tmp_path / "prompts.txt"), prompt) == plumes["prompt"][:3]
    assert read_rows("A plume of width 0.1", prompt) == "A plume of width 0.1"


# --- what is refused, and what is warned of


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radius": 0.05}, "radius must be above .* so that every point has a node near it"),
        ({"nodes": 9}, "nodes must be even"),
        ({"patch": 3}, "patch must divide half of nodes"),
        ({"path": "linear"}, "base"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        TextToSimulation(**{**SMALL, **settings})


def test_what_does_not_fit_the_training_is_refused(simulator, plumes):
    one = plumes["fields"][0]
    outside = dataclasses.replace(one, points=one.points + 0.9)
    with pytest.raises(InvalidInputError, match=r"coordinate 1 of the points must lie in the box"):
        simulator.forecast([outside])
    with pytest.raises(InvalidInputError, match="times must lie in the box of the training"):
        simulator.sample(1, times=[0.0, 1.5])
    with pytest.raises(InvalidInputError, match="simulations must have 1 channels, got 2"):
        simulator.forecast([dataclasses.replace(one, values=one.values.repeat(1, 1, 2))])
    with pytest.raises(InvalidInputError, match="first frames must be at the times of the training"):
        simulator.forecast([dataclasses.replace(one, times=one.times + 0.1)])
    with pytest.raises(InvalidInputError, match="points must have 2 coordinates, got 3"):
        simulator.sample(1, points=torch.zeros(4, 3))
    with pytest.raises(InvalidInputError, match="must have at most 32 words"):
        simulator.sample(1, prompt="smoke " * 40)
    with pytest.raises(InvalidInputError, match="prompt must not be empty"):
        simulator.sample(1, prompt="  ")
    with pytest.raises(InvalidInputError, match="a prompt must have words"):
        simulator.sample(1, prompt="?!")
    with pytest.raises(InvalidInputError, match="must have as many rows"):
        simulator.forecast(plumes["fields"][:2], prompt=plumes["prompt"][:3])


def test_a_fit_refuses_what_it_cannot_learn_from(plumes):
    fields = plumes["fields"]
    constant = [dataclasses.replace(one, values=torch.ones_like(one.values)) for one in fields]
    with pytest.raises(InvalidInputError, match="every channel must vary"):
        TextToSimulation(**SMALL).fit(constant)
    late = [fields[0], dataclasses.replace(fields[1], times=fields[1].times + 0.5)]
    with pytest.raises(InvalidInputError, match="first frames of all simulations must be at the same times"):
        TextToSimulation(**SMALL).fit(late)
    with pytest.raises(InvalidInputError, match="must lie in the box"):
        TextToSimulation(**{**SMALL, "box": [[0, 0], [0.5, 0.5]]}).fit(fields)
    with pytest.raises(InvalidInputError, match="as many rows"):
        TextToSimulation(**SMALL).fit(fields, plumes["prompt"][:-1])


def test_words_and_numbers_that_were_not_learnt_are_told(simulator, plumes):
    with pytest.warns(OutsideWarning, match="no training prompt had 'volcano'"):
        simulator.sample(1, prompt="a volcano at x = 0.5")
    with pytest.warns(OutsideWarning, match="9 is outside of the numbers of the training"):
        simulator.sample(1, prompt=plumes["prompt"][0] + " 9")
    with pytest.warns(OutsideWarning, match=r"'0\.2,0\.3' is read as two numbers"):
        simulator.sample(1, prompt=plumes["prompt"][0] + " 0.2,0.3")
    with pytest.raises(InvalidInputError, match="prompt must be a text, or several"):
        simulator.sample(1, prompt=0.5)


def corner_mesh(size=0.1, n=20):
    source = torch.Generator().manual_seed(0)
    points = size * torch.rand(n, 2, generator=source).double()
    return MeshField(points, torch.linspace(0, 1, 5).double(), torch.rand(5, n, 1, generator=source))


def test_a_mesh_that_leaves_most_nodes_empty_is_told(simulator):
    with pytest.warns(SettingWarning, match="of the nodes have no point"):
        simulator.forecast([corner_mesh()])


@pytest.mark.parametrize("method", [TextToSimulation, FrameStepper])
def test_a_mesh_that_leaves_most_nodes_empty_is_told_of_before_it_is_learnt_from(method, plumes):
    """One point in a corner: nodes farther than 0.3 from it are 1 - (share of a quarter disc), the farthest at 1.4."""
    names = {field.name for field in dataclasses.fields(method)}
    settings = {k: v for k, v in SMALL.items() if k in names} | {"steps": 2}
    corner = corner_mesh(size=1e-3, n=2)
    line = torch.linspace(0, 1, 8).double()
    far = float((torch.cartesian_prod(line, line).norm(dim=1) > 0.3).double().mean())
    told = (
        f"{method.__name__}.fit: {far:.0%} of the nodes have no point .* radius 0.3; the farthest is 1.4 away"
    )
    with pytest.warns(SettingWarning, match=told):
        method(**settings).fit([*plumes["fields"], corner])


def test_without_prompts_in_the_fit_there_are_none_in_the_answer(plumes):
    model = TextToSimulation(**{**SMALL, "steps": 2}).fit(plumes["fields"])
    assert len(model.sample(2)) == 2
    with pytest.raises(InvalidInputError, match="fitted without prompt takes none"):
        model.sample(1, prompt="a plume")


# --- what is learnt


@pytest.mark.slow
def test_it_learns_what_words_and_numbers_and_frames_say():
    """Fields u = h (1 + t) on random meshes, told in words: the height of the answer is that of the prompt."""
    g = torch.Generator().manual_seed(1)
    heights = torch.rand(150, generator=g).double()
    times = torch.linspace(0, 1, 5).double()

    def field(h):
        mesh = torch.rand(30, 2, generator=g).double()
        return MeshField(mesh, times, (h * (1 + times)[:, None, None]).expand(5, 30, 1).float())

    said = ("a field of height {:.2f}", "height {:.2f} from the start", "it starts with height {:.2f}")
    prompts = [said[k % 3].format(float(h)) for k, h in enumerate(heights)]
    learns = {
        "code_steps": 120,
        "read_steps": 300,
        "steps": 500,
        "blind": 0.3,
        "net_width": 32,
        "text_width": 32,
        "lr": 5e-3,
    }
    model = TextToSimulation(**{**SMALL, **learns, "n_steps": 10}).fit([field(h) for h in heights], prompts)
    asked = torch.tensor([0.2, 0.5, 0.8]).double()
    told = model.sample(3, prompt=[f"from the start a height {float(h):.2f}" for h in asked])
    found = torch.stack([one.values[0].mean() for one in told]).double()
    assert_close(found, asked, rtol=0, atol=0.12)
    last = torch.stack([one.values[-1].mean() for one in told]).double()
    assert_close(last, 2 * asked, rtol=0, atol=0.24)
    seen = model.forecast([field(h) for h in asked])
    started = torch.stack([one.values[0, 0].mean() for one in seen]).double()
    assert float((started - asked).abs().mean()) < 0.12  # one draw each
    free = torch.stack([one.values[0].mean() for one in model.sample(40)])
    assert float(free.std()) > 0.15


@pytest.mark.slow
@pytest.mark.parametrize("head", ["noise", "denoised", "score"])
def test_whatever_quantity_is_learnt_samples_have_the_size_of_the_data(plumes, head):
    """Of a transformer that has learnt nothing: its errors had been divided by what vanishes at an end of the path."""
    model = TextToSimulation(**{**SMALL, "head": head}).fit(plumes["fields"], plumes["prompt"])
    latents = model.answering_with({"n_steps": 3})._latents(8, None, "midpoint", 0, 0)
    size = model.state["frame"].encode(latents).std()
    assert 0.3 < float(size) < 3


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "start"), [(1e-10, 0.0), (1.0, 1e7)])
def test_first_frames_are_compared_in_any_unit_and_from_any_zero_of_the_time(plumes, unit, start):
    """Times that differ by less than 1e-9, or than a millionth of what they count from, had been taken for the same."""
    fields = [dataclasses.replace(one, times=start + unit * one.times) for one in plumes["fields"]]
    model = TextToSimulation(**SMALL).fit(fields)
    own = fields[0].first(2)
    model.forecast([own])
    with pytest.raises(InvalidInputError, match="first frames must be at the times of the training"):
        model.forecast([dataclasses.replace(own, times=own.times + (own.times - start))])
    with pytest.raises(InvalidInputError, match="first frames of all simulations must be at the same times"):
        TextToSimulation(**SMALL).fit(
            [fields[0], dataclasses.replace(fields[1], times=2 * fields[1].times - start)]
        )


def test_answers_have_the_type_of_what_was_given_and_its_digits_far_from_0(plumes):
    """Such as pressures in pascals: they had been rounded to single precision."""
    far = [dataclasses.replace(one, values=1e9 + one.values.double()) for one in plumes["fields"]]
    model = TextToSimulation(**SMALL).fit(far)
    for found in (model.sample(1)[0].values, model.forecast([far[0].first(2)])[0].values):
        assert found.dtype == torch.float64
        assert bool((found != found.float()).any())


def test_first_frames_in_another_unit_are_told_though_their_mean_is_that_of_the_training(simulator, plumes):
    first = plumes["fields"][0].first(2)
    alternating = 1000.0 * (-1.0) ** torch.arange(first.values[0].numel()).reshape(first.values.shape[1:])
    far = dataclasses.replace(first, values=(first.values.mean() + alternating).expand_as(first.values))
    with pytest.warns(
        OutsideWarning, match="standard deviations from the training data; are the units the same"
    ):
        simulator.forecast([far], frames=1)
