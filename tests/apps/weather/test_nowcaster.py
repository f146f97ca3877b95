from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import interpolants
from interpolants.apps.weather import Nowcaster, nowcaster
from interpolants.apps.weather.nowcast_net import PatchedNet, ToldFrames
from interpolants.apps.weather.nowcast_runs import WindowRows
from interpolants.apps.weather.sequences import SequenceUnits, Windows
from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.ranks import rank_correlation

TINY = {
    "past": 2,
    "future": 2,
    "net": {"kind": "grid_convolution", "width": 6, "blocks": 2},
    "steps": 4,
    "batch_size": 4,
    "n_steps": 8,
}


def uneven(n, rows=8, columns=8, seed=0):
    """``y_k = c + sigma e_k``, sigma from 0.2 in the first column to 1 in the last: P = K = 2, ``(n, 4, H, W)``."""
    g = torch.Generator().manual_seed(seed)
    c = torch.randn(n, 1, rows, columns, generator=g).expand(-1, 2, -1, -1)
    sigma = torch.logspace(-0.7, 0.0, columns)
    return torch.cat([c, c + sigma * torch.randn(n, 2, rows, columns, generator=g)], 1), sigma


@pytest.fixture(scope="module")
def tiny():
    return Nowcaster(**TINY).fit(uneven(12)[0])


# --- what is learnt ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_members_have_the_spread_of_each_place_and_uncertainty_tells_it():
    x, sigma = uneven(1500)
    model = Nowcaster(
        past=2, future=2, motion="none", patch=1, net={"kind": "grid_convolution", "width": 24, "blocks": 2},
        steps=500, lr=4e-3, ema=0.99, n_steps=40, batch_size=64,
    ).fit(x)  # fmt: skip
    test = uneven(40, seed=1)[0][:, :2]
    drawn = model.forecast(test, members=8).x[:, :, :, 0]
    by_column = drawn.var(1).mean((0, 1, 2)).sqrt()
    assert_close(by_column / sigma, torch.ones(8), rtol=0, atol=0.25)
    mean = drawn.mean((1, 2))
    slope = (mean * test[:, 0]).sum() / test[:, 0].square().sum()
    assert abs(float(slope) - 1) < 0.06
    u = model.uncertainty(test, members=2).x[..., 0, :, :]
    truth = sigma.expand(8, 8).flatten()
    assert float(rank_correlation(u.mean((0, 1, 2)).flatten(), truth)) > 0.9
    one = [float(rank_correlation(run.flatten(), truth)) for run in u[:, 0, 0]]
    assert sum(one) / len(one) > 0.4


@pytest.mark.slow
def test_a_weight_of_one_is_the_conditional_run_and_equal_bounds_are_a_constant(tiny):
    x = uneven(3, seed=1)[0][:, :2]
    plain = tiny.forecast(x, members=2, seed=3)
    idle = tiny.forecast(x, members=2, seed=3, guidance={"strength": 0.0})
    assert torch.equal(plain.x, idle.x)
    constant = tiny.forecast(x, members=2, seed=3, guidance=1.5)
    bounded = tiny.forecast(x, members=2, seed=3, guidance={"bounds": [1.5, 1.5]})
    assert_close(constant.x, bounded.x)
    assert not torch.equal(plain.x, tiny.forecast(x, members=2, seed=3, guidance={"strength": 2.0}).x)


def test_a_case_is_the_same_alone_and_a_member_whatever_their_number(tiny):
    """Under a weight by precision, whose state belongs to one run."""
    x = uneven(70, seed=2)[0][:, :2]
    options = {"guidance": {"strength": 1.0}, "seed": 5}
    many = tiny.forecast(x, members=2, **options).x
    assert_close(tiny.forecast(x[66:67], members=1, first_index=66, **options).x, many[66:67, :1])


# --- what was not seen ---------------------------------------------------------------------------------------


def test_cells_without_values_stay_so_and_others_are_answered(tiny):
    x = uneven(2, seed=3)[0][:, :2]
    gaps = x.clone()
    gaps[0, :, :2] = torch.nan  # never seen
    gaps[1, 0, 5] = torch.nan  # seen in the other frame
    found = tiny.forecast(gaps, members=2, guidance={"strength": 0.5}).x[:, :, :, 0]
    assert bool(found[0, :, :, :2].isnan().all())
    assert bool(found[0, :, :, 2:].isfinite().all())
    assert bool(found[1].isfinite().all())


def test_what_comes_unseen_does_not_count_where_it_was_seen_before():
    x = torch.zeros(1, 4, 1, 4, 4)
    x[0, 3, 0, 0] = torch.nan  # a gap of one future frame
    x[0, :, 0, 3] = torch.nan  # out of reach
    windows = Windows.of(x, 2, 2, "test")
    told = ToldFrames(past=2, future=2, variables=1, edges=("border", "border"), carries=False)
    batch = WindowRows(windows, torch.zeros(1, 2, 4, 4), told)(3, torch.Generator().manual_seed(0))
    expected = torch.ones(2, 4, 4, dtype=torch.bool)
    expected[1, 0] = False
    assert torch.equal(batch["known"], expected.expand(3, -1, -1, -1))
    assert bool((batch["x1"] == 0).all())
    counted = told.counted(batch["cond"])
    assert torch.equal(counted[0, 0].all(1), torch.tensor([True, True, True, False]))


def test_roots_come_back_and_negative_rain_is_refused():
    x = torch.rand(2, 3, 1, 4, 4, dtype=torch.float64) * 50
    units = SequenceUnits.fit(x, "sqrt", "test")
    assert_close(units.decode(units.encode(x, "test")), x, rtol=1e-4, atol=1e-4)
    assert float(units.decode(torch.full((1, 1, 1), -50.0))) == 0.0
    with pytest.raises(InvalidInputError, match=">= 0 for roots"):
        SequenceUnits.fit(x - 30, "sqrt", "test")


def test_a_network_on_patches_sees_cells_and_knows_no_condition():
    net = PatchedNet(
        {"kind": "grid_convolution", "width": 4, "blocks": 1}, (2, 5, 6), 3, ("border", "border")
    )
    x, told = torch.randn(2, 2, 5, 6), torch.full((2, 3, 5, 6), torch.nan)
    with torch.no_grad():
        net.net.output.weight.normal_(generator=torch.Generator().manual_seed(0))
        assert net(x, torch.tensor(0.3), told).shape == x.shape
        assert torch.equal(net(x, torch.tensor(0.3), told), net(x, torch.tensor(0.3)))
    with pytest.raises(InvalidInputError, match="patch=1"):
        PatchedNet("grid_convolution", (2, 5, 6), 3, ("periodic", "border"))


def test_windows_are_those_with_a_last_past_frame_and_something_after_it(generator):
    x = torch.zeros(5, 12, 1, 2, 2)
    x[torch.rand(5, 12, generator=generator) < 0.6] = torch.nan
    seen = ~x[:, :, 0, 0, 0].isnan()
    wanted = [
        [n, t]
        for n in range(5)
        for t in range(12 - 5 + 1)
        if seen[n, t + 2] and (seen[n, t + 3] or seen[n, t + 4])
    ]
    assert 3 < len(wanted) < 30
    assert Windows.of(x, 3, 2, "test").at.tolist() == wanted


def test_the_network_on_patches_is_asked_at_the_time_of_the_state():
    class Clock(torch.nn.Module):
        def forward(self, x, t, cond=None):
            return 0 * x + t.reshape(-1, 1, 1, 1)

    net, t = PatchedNet(Clock(), (2, 4, 6), 1, ("border", "border")), torch.tensor([0.1, 0.7])
    assert_close(net(torch.randn(2, 2, 4, 6), t), t.reshape(2, 1, 1, 1).expand(2, 2, 4, 6))


@pytest.mark.parametrize(("cases", "count"), [(3, 3), (50, 5)])
def test_the_weight_is_chosen_by_held_windows_from_first_to_last_each_once(monkeypatch, cases, count):
    """Members that are as large as the weight, for futures of 1.25."""
    shown = []

    class Runs:
        def __init__(self, flow, state, before, motions, n_steps, eps):
            shown.append(before[:, 0, 0, 0, 0].tolist())
            assert torch.equal(before[:, 0, 0, 0, 0], motions[:, 0, 0, 0])

        def member(self, m, seed, first, weight):
            return SimpleNamespace(x=torch.full((count, 2, 4, 4), float(weight)))

    monkeypatch.setattr(nowcaster, "NowcastRuns", Runs)
    x = torch.full((5, 4, 1, 4, 4), 1.25)
    x[:, 0] = torch.arange(5.0)[:, None, None, None]
    x[0, 3, 0, 1, 1] = torch.nan  # does not count
    held = Windows.of(x, 2, 2, "test")
    motions = torch.arange(5.0)[:, None, None, None].expand(5, 2, 4, 4)
    found = Nowcaster(past=2, future=2, cases=cases)._best_constant({}, held, motions)
    assert found["constant"] == 1.25
    assert found["validation"]["1.25"] == 0
    assert shown == [[0.0, 2.0, 4.0] if cases == 3 else [0.0, 1.0, 2.0, 3.0, 4.0]]


# --- users' data ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_radar_as_xarray_and_as_a_file_gives_the_times_that_follow(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    times = np.datetime64("2020-06-01T12:00", "ns") + np.arange(9) * np.timedelta64(5, "m")
    values = np.random.RandomState(0).gamma(1.0, size=(9, 6, 6)).astype(np.float32)
    values[:, 0, 0] = np.nan
    radar = xarray.DataArray(
        values, name="rain", dims=("time", "y", "x"), attrs={"units": "mm/h"},
        coords={"time": times, "y": np.arange(6) * 2.0, "x": np.arange(6) * 2.0},
    )  # fmt: skip
    model = Nowcaster(**TINY, transform="sqrt").fit(radar)
    found = model.forecast(radar[-3:], members=3).dataset()
    assert found.rain.dims == ("case", "member", "time", "y", "x")
    assert found.rain.attrs == {"units": "mm/h"}
    assert found.time.values.tolist() == (times[-1] + np.arange(1, 3) * np.timedelta64(5, "m")).tolist()
    assert float(found.rain.min()) >= 0
    assert np.isnan(found.rain.values[..., 0, 0]).all()
    radar.to_dataset().to_netcdf(tmp_path / "radar.nc", engine="h5netcdf")
    model.save(tmp_path / "model")
    again = interpolants.load(tmp_path / "model").forecast(str(tmp_path / "radar.nc"), members=3)
    np.testing.assert_array_equal(again.dataset().rain.values, found.rain.values)
    turned = radar[-3:].transpose("x", "y", "time")[:, ::-1]  # by their names and coordinates
    np.testing.assert_array_equal(model.forecast(turned, members=3).dataset().rain.values, found.rain.values)
    with pytest.raises(InvalidInputError, match="rain of context must be in mm/h"):
        model.forecast(radar[-3:].assign_attrs(units="mm/d"), members=3)
    assert model.uncertainty(radar[-3:], members=1).dataset().rain.attrs == {}  # squared standard units


def test_what_cannot_be_right_is_refused(tiny):
    x = uneven(4)[0]
    for bad, words in (
        ({"eps": 0.0, "guidance": {"strength": 0.5}}, "eps > 0"),
        ({"drop": 0.0, "guidance": 1.5}, "drop > 0"),
        ({"guidance": "strong"}, "guidance"),
        ({"guidance": {"strengh": 0.5}}, "strength"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            Nowcaster(**{**TINY, **bad})
    with pytest.raises(InvalidInputError, match="past \\+ future = 4 frames"):
        Nowcaster(**TINY).fit(x[:, :3])
    with pytest.raises(InvalidInputError, match="grid of 8 x 8"):
        tiny.forecast(x[:, :2, :6])
    with pytest.raises(InvalidInputError, match="at least 2 frames"):
        tiny.forecast(x[:, :1])
    blind = x[:, :2].clone()
    blind[2, 1] = torch.nan
    with pytest.raises(InvalidInputError, match="none in case 2"):
        tiny.forecast(blind)
    with pytest.raises(InvalidInputError, match="rows and columns"):
        Nowcaster(**TINY).fit(torch.randn(4, 4, 8))
    with pytest.raises(InvalidInputError, match="needs held-out sequences"):
        tiny.forecast(x[:, :2], guidance="validated")
    with pytest.raises(InvalidInputError, match="must be one that the verb accepts, got 'guidance'"):
        tiny.uncertainty(x[:, :2], guidance=1.5)  # its runs are not guided


@pytest.mark.slow
def test_the_best_constant_is_chosen_on_held_out_sequences():
    x = uneven(20)[0]
    model = Nowcaster(**TINY, weights=(1.0, 3.0)).fit(x[:14], held={"sequences": x[14:]})
    found = model.state["validation"]
    assert set(found) == {"1.0", "3.0"}
    assert model.state["constant"] == float(min(found, key=found.get))
    own = model.forecast(x[:2, :2], members=1, guidance="validated").x
    assert torch.equal(own, model.forecast(x[:2, :2], members=1, guidance=model.state["constant"]).x)


def test_a_record_with_a_frame_left_out_or_another_step_is_refused():
    xarray = pytest.importorskip("xarray")
    times = np.datetime64("2020-06-01", "ns") + np.arange(9) * np.timedelta64(5, "m")
    radar = xarray.DataArray(
        uneven(1)[0].repeat(1, 3, 1, 1)[0, :9].numpy(), dims=("time", "y", "x"), coords={"time": times}
    )
    with pytest.raises(InvalidInputError, match="600 between frames 3 and 4"):
        Nowcaster(**TINY).fit(radar[[0, 1, 2, 3, 5, 6, 7, 8]])
    with pytest.raises(InvalidInputError, match="evenly"):
        Nowcaster(**TINY).fit(radar[::-1])
    model = Nowcaster(**TINY).fit(radar)
    with pytest.raises(InvalidInputError, match="300 apart, as those of the fit, got 600"):
        model.forecast(radar[::2])


def test_the_filters_see_what_differs_from_its_surroundings_and_no_level():
    net = PatchedNet("grid_convolution", (1, 8, 8), 1, ("periodic", "periodic"), patch=1)
    with torch.no_grad():
        net.weights.normal_(generator=torch.Generator().manual_seed(0))
        x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        assert float(net._filtered(torch.ones(2, 1, 8, 8), torch.tensor(0.4)).abs().max()) < 1e-5
        assert_close(
            net._filtered(5 + x, torch.tensor(0.4)), net._filtered(x, torch.tensor(0.4)), atol=1e-4, rtol=0
        )
