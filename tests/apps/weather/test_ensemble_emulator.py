import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.simulation import TextToSimulation
from interpolants.apps.weather import EnsembleEmulator, Nowcaster
from interpolants.apps.weather.data.lorenz96_ensemble import load_lorenz96_ensemble
from interpolants.apps.weather.ensemble_rivals import DressedSeeds
from interpolants.apps.weather.member_rows import MemberRows, TargetUnits
from interpolants.apps.weather.seeded_net import SeedEncoder
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning

TINY = {
    "net": {"kind": "grid_convolution", "width": 6, "blocks": 2},
    "encoder": {"features": 3, "blocks": 1},
    "steps": 6,
    "batch_size": 8,
    "n_steps": 3,
}


def gaussian(cases, members, points=1, spread=1.0, seed=0):
    """``mu + e_i``: cases of mean mu ~ N(0, 1), members with errors of their own."""
    g = torch.Generator().manual_seed(seed)
    mu = torch.randn(cases, 1, points, generator=g, dtype=torch.float64)
    return mu + spread * torch.randn(cases, members, points, generator=g, dtype=torch.float64)


def on_a_globe(cases=6, members=4):
    """A dataset of two variables on a globe, by dates."""
    xarray = pytest.importorskip("xarray")
    x = np.random.RandomState(0).standard_normal((2, cases, members, 4, 8)).astype(np.float32)
    coords = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(cases) * np.timedelta64(1, "D"),
        "number": range(members),
        "latitude": [67.5, 22.5, -22.5, -67.5],
        "longitude": np.arange(8) * 45.0,
    }
    axes = ("time", "number", "latitude", "longitude")
    return xarray.Dataset({"t": (axes, x[0], {"units": "K"}), "z": (axes, x[1])}, coords)


def emulator(**changes):
    return EnsembleEmulator(**{**TINY, **changes})


# --- what is learnt ------------------------------------------------------------------------------------------


def trained(around, r, steps):
    """Gaussian members with errors of deviation r, 4000 pairs of seeds, and what is emulated of them."""
    model = EnsembleEmulator(
        net={"kind": "grid_convolution", "width": 24, "blocks": 2}, encoder={"features": 8, "blocks": 1},
        steps=steps, batch_size=256, lr=4e-3, ema=0.99, n_steps=8, around=around,
    ).fit(gaussian(20_000, 5, spread=r))  # fmt: skip
    seeds = gaussian(4000, 2, spread=r, seed=1)
    return seeds, model.emulate(seeds, members=8).x[..., 0, 0]


def slope_and_variance(seeds, drawn):
    """Coefficient of the seeds' mean in the members' mean, and the variance about it."""
    mean = seeds.mean(1)[:, 0]
    slope = (mean * drawn.mean(1)).sum() / mean.square().sum()
    return float(slope), float((drawn - slope * mean[:, None]).square().mean())


@pytest.mark.slow
def test_a_further_member_has_the_law_that_the_seeds_give():
    """N(mean / (1 + r^2 / 2), r^2 + (r^2 / 2) / (1 + r^2 / 2)) for two seeds and errors of deviation r."""
    r, half = 0.8, 0.32
    seeds, drawn = trained("climatology", r, 700)
    slope, variance = slope_and_variance(seeds, drawn)
    assert abs(slope * (1 + half) - 1) < 0.03
    assert abs(variance / (r**2 + half / (1 + half)) - 1) < 0.03
    # A drawn member is as near to a seed as the law says: copied targets would make it much nearer.
    gap = (drawn[:, 0] - seeds[:, 0, 0]).square().mean()
    bias = half / (1 + half)  # of the mean, as a share of the seeds' mean
    expected = r**2 + bias + bias**2 * (1 + half) + half
    assert abs(float(gap) / expected - 1) < 0.08


@pytest.mark.slow
def test_around_the_seeds_it_does_not_know_the_climatology():
    """Mean of the seeds, and variance r^2 (1 + 1 / 2)."""
    slope, variance = slope_and_variance(*trained("seeds", 0.8, 350))
    assert abs(slope - 1) < 0.03
    assert abs(variance / (0.64 * 1.5) - 1) < 0.05


@pytest.mark.slow
def test_on_lorenz_96_it_is_sharper_than_dressing_and_reliable():
    from interpolants.apps.weather import DressedSeeds
    from interpolants.metrics.crps import crps
    from interpolants.metrics.ensemble import spread_skill

    train = load_lorenz96_ensemble(n=600).x
    test, truth = (load_lorenz96_ensemble("test", test=150, part=part).x for part in ("members", "truth"))
    model = EnsembleEmulator(edges=["periodic"], steps=150, ema=0.98, n_steps=6).fit(train)
    own, rival = (
        one.emulate(test[:, :2], members=15).x[:, :, 0] for one in (model, DressedSeeds().fit(train))
    )
    assert crps(own, truth[:, 0]).value < 0.98 * crps(rival, truth[:, 0]).value
    assert 0.85 < spread_skill(own, truth[:, 0]).value < 1.2


# --- batches -------------------------------------------------------------------------------------------------


def batch(members, analysis=None, *, seeds=2, alpha=1.0, units=None, size=4000):
    rows = MemberRows(
        members=members,
        analysis=analysis,
        season=None,
        units=units or TargetUnits(),
        seeds=seeds,
        alpha=alpha,
    )
    return rows(size, torch.Generator().manual_seed(0))


def test_a_target_is_never_one_of_its_seeds_and_all_members_are_either():
    members = torch.arange(15.0).reshape(3, 5, 1, 1)
    found = batch(members)
    target, seeds = found["x1"].flatten(), found["cond"]["seeds"].flatten(1)
    assert not bool((seeds == target[:, None]).any())
    assert bool((seeds // 5 == target[:, None] // 5).all())  # of one case
    assert torch.bincount(target.long(), minlength=15).min() > 200
    assert torch.bincount(seeds.flatten().long(), minlength=15).min() > 400


def test_a_share_of_alpha_of_the_targets_is_of_the_forecast_model():
    found = batch(torch.zeros(3, 5, 1, 1), torch.ones(3, 4, 1, 1), alpha=0.25)
    assert abs(float(found["x1"].mean()) - 0.75) < 0.03
    assert bool((batch(torch.zeros(3, 5, 1, 1), torch.ones(3, 4, 1, 1), alpha=1.0)["x1"] == 0).all())


def test_units_around_the_seeds_have_size_one_and_go_back():
    members = gaussian(3000, 5, points=3, spread=0.2)[:, :, None].float()
    units = TargetUnits.around_seeds(members, None, 2)
    found = batch(members, units=units)
    assert_close(found["x1"].square().mean(), torch.tensor(1.0), rtol=0.03, atol=0)
    back = units.decode(found["x1"], batch(members)["cond"]["seeds"])
    assert_close(back, batch(members)["x1"])
    assert_close(found["cond"]["seeds"].sum(1), torch.zeros_like(back), rtol=0, atol=1e-5)
    assert bool((units.scale[:, 0] > 0).all())


def test_features_of_a_set_do_not_depend_on_its_order_but_on_who_was_high_where():
    net, g = SeedEncoder(1, ("periodic",), features=4, blocks=2).double(), torch.Generator().manual_seed(0)
    seeds = torch.randn(2, 3, 1, 8, generator=g, dtype=torch.float64)
    assert_close(net(seeds[:, [2, 0, 1]]), net(seeds))
    # Two seeds that change places at half of the points have the same mean and spread at each point.
    mixed = seeds[:, :2].clone()
    mixed[..., :4] = seeds[:, [1, 0], :, :4]
    assert_close(net(mixed)[:, 4:], net(seeds[:, :2])[:, 4:])
    assert not torch.allclose(net(mixed)[:, :4], net(seeds[:, :2])[:, :4])


def test_features_are_what_the_blocks_tell_and_nothing_beside():
    net = SeedEncoder(2, ("periodic",), features=4, blocks=2)
    with torch.no_grad():
        for part in net.blocks.parameters():
            part.zero_()
    found = net(torch.randn(2, 3, 2, 8, generator=torch.Generator().manual_seed(0)))[:, :4]
    assert_close(found, net.output.bias[:, None].expand(2, 4, 8))


# --- answers -------------------------------------------------------------------------------------------------


def test_coordinates_and_names_come_back_and_a_seed_order_changes_nothing(tmp_path):
    data = on_a_globe()
    model = emulator().fit(data)
    assert model.state["edges"] == ["pole", "periodic"]
    two = data.isel(number=slice(2))
    answer = model.emulate(two[["z", "t"]], members=3)  # variables in another order
    found = answer.dataset()
    assert dict(found.sizes) == {"time": 6, "number": 3, "latitude": 4, "longitude": 8}
    assert list(found.data_vars) == ["t", "z"]
    assert found.t.attrs["units"] == "K"
    assert (found.time.values == data.time.values).all()
    turned = model.emulate(data.isel(number=[1, 0]).transpose("longitude", "latitude", "number", "time").transpose(
        "number", "time", "latitude", "longitude"), members=3)  # fmt: skip
    assert_close(turned.x, answer.x, rtol=1e-4, atol=1e-4)
    answer.write_file(tmp_path / "a.nc")
    from interpolants.data.gridded_files import read_gridded

    assert_close(read_gridded(str(tmp_path / "a.nc"), "test", "x").values, answer.x)
    assert answer.table().shape == (6 * 3 * 4 * 8, 2)


def test_a_member_does_not_depend_on_how_many_there_are_and_cases_have_noise_of_their_own():
    model = emulator(edges=["periodic"]).fit(gaussian(20, 4, points=9))
    seeds = gaussian(1, 2, points=9).expand(5, 2, 9)
    few, many = (model.emulate(seeds, members=m).x for m in (2, 5))
    assert_close(few, many[:, :2])
    assert not torch.allclose(many[0], many[1])
    assert_close(model.emulate(seeds[2:], members=2, first_index=2).x, few[2:])


def test_a_sampler_with_noise_of_its_own_follows_the_seed():
    """Its noise had been another one at each call."""
    x = gaussian(12, 4, points=6)
    model = emulator(edges=["periodic"]).fit(x)
    one, again, other = (
        model.emulate(x[:3, :2], members=2, method="ancestral", seed=seed).x for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_climatology_of_days_is_told_to_the_network():
    data = on_a_globe(cases=8)
    model = emulator(window=7).fit(data)
    assert model.state["climatology"].mean.shape == (365, 2, 4, 8)
    assert model.state["net"].net.settings["cond_channels"] == 3 + 2 + 2
    assert model.emulate(data.isel(number=slice(2)), members=2).x.shape == (8, 2, 2, 4, 8)
    late = data.isel(number=slice(2)).assign_coords(time=data.time + np.timedelta64(181, "D"))
    with pytest.raises(InvalidInputError, match="none near day 181 of the year"):
        model.emulate(late, members=2)


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"head": "speed"}, "head must be one of"),
        ({"path": "linear"}, "Gaussian base"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(InvalidInputError, match=words):
        EnsembleEmulator(**settings)


def test_ensembles_that_do_not_fit_are_refused():
    x = gaussian(8, 4, points=5)
    with pytest.raises(InvalidInputError, match=r"more than n_seeds = 4 members.*got 4"):
        emulator(n_seeds=4).fit(x)
    with pytest.raises(InvalidInputError, match="alpha < 1 needs an analysis"):
        emulator(alpha=0.5).fit(x)
    with pytest.raises(InvalidInputError, match="analysis must be on a grid of 5 points, got 4"):
        emulator().fit(x, gaussian(8, 3, points=4))
    flat = x.clone()
    flat[..., 3] = 1.0
    with pytest.raises(InvalidInputError, match="deviation > 0, got 0 for x at point 3"):
        emulator().fit(flat)
    gaps = x.clone()
    gaps[2, 1, 3] = math.nan
    with pytest.raises(
        InvalidInputError, match="1 missing or infinite values, the first in x of case 2, member 1"
    ):
        emulator().fit(gaps)


def test_seeds_that_do_not_fit_are_refused():
    data = on_a_globe()
    model = emulator().fit(data)
    seeds = data.isel(number=slice(2))
    for bad, words in (
        (data, "each case must have 2 seeds, got 4"),
        (seeds.isel(latitude=slice(3)), "grid of 4 x 8 points, got 3 x 8"),
        (seeds.drop_vars("z"), "variables t, z"),
        (seeds.assign_coords(longitude=seeds.longitude + 1), "longitude of the other fields"),
        (seeds.where(seeds.t < 1), "missing or infinite"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            model.emulate(bad)


def test_alpha_is_the_share_of_members_that_are_left():
    x, truth = gaussian(8, 5, points=5), gaussian(8, 3, points=5, seed=1)
    assert emulator().fit(x, truth).state["alpha"] == 0.5  # of (5 - 2) and 3
    assert emulator(alpha=0.0).fit(x, truth).state["alpha"] == 0.0
    assert emulator().fit(x).state["alpha"] == 1.0


def test_an_analysis_is_brought_to_the_grid_and_cases_of_the_ensemble():
    data = on_a_globe()
    analysis = (data.isel(number=slice(2)) + 1).assign(t=lambda d: d.t.assign_attrs(units="K"))
    turned = analysis[["z", "t"]].sortby("latitude").transpose("longitude", ...)
    plain, other = (
        emulator().fit(data, one).emulate(data.isel(number=slice(2)), members=1).x
        for one in (analysis, turned)
    )
    assert torch.equal(plain, other)
    rivals = [DressedSeeds().fit(data, one).state["spread"] for one in (analysis, turned)]
    assert torch.equal(*rivals)
    for bad, words in (
        (analysis.isel(time=slice(None, None, -1)), "the same dates, got the same dates in another order"),
        (
            analysis.assign_coords(time=analysis.time + np.timedelta64(1, "D")),
            "the same dates, got other dates",
        ),
        (analysis.assign(t=analysis.t.assign_attrs(units="degC")), "t of analysis must be in K"),
    ):
        for method in (emulator(), DressedSeeds()):
            with pytest.raises(InvalidInputError, match=words):
                method.fit(data, bad)


def test_seeds_in_other_units_are_told_of():
    data = on_a_globe()
    model = emulator().fit(data)
    with pytest.warns(OutsideWarning, match="column t of seeds lies"):
        model.emulate(data.isel(number=slice(2)).assign(t=lambda d: d.t + 273), members=1)


def test_a_variable_that_is_the_same_in_all_members_is_told_by_the_seeds():
    """Such as a prescribed temperature of the sea: distances from the seeds had been 0 / 0."""
    first = gaussian(12, 4, points=3)
    x = torch.stack([first, first[:, :1].expand(-1, 4, -1) + 5], 2)
    found = emulator(around="seeds").fit(xarray_of(x)).emulate(xarray_of(x[:, :2]), members=3)
    assert_close(found.x[:, :, 1], x[:, :3, 1], rtol=0, atol=1e-3)


def xarray_of(x):
    xarray = pytest.importorskip("xarray")
    axes = ("time", "number", "longitude")
    return xarray.Dataset({name: (axes, x[:, :, k].numpy()) for k, name in enumerate("ab")})


@pytest.mark.cases(2)
@pytest.mark.parametrize("head", ["denoised", "noise", "score", "endpoint0"])
def test_any_quantity_gives_members_of_the_size_of_the_data(head):
    """Of a network that has learnt little: a division by what vanishes had made errors 1000 times as large."""
    members = gaussian(64, 4)
    model = emulator(head=head, n_steps=8, steps=60).fit(members)
    drawn = model.emulate(members[:, :2], members=4).x
    assert 0.3 < float(drawn.std()) < 3


@pytest.mark.parametrize("make", [EnsembleEmulator, Nowcaster, TextToSimulation])
def test_a_quantity_that_no_network_of_fields_answers_is_refused(make):
    """By the method's name, and whatever is asked for, with the list that it takes."""
    listed = rf"{make.__name__}: head must be one of {', '.join(QUANTITIES)}, got"
    for head in ("log_density", "velocities"):
        with pytest.raises(InvalidInputError, match=listed):
            make(head=head)
