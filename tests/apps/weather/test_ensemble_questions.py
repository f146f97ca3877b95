import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather import DressedSeeds, EmulatedEnsembles, EnsembleClimatology, SeedRegression
from interpolants.apps.weather.ensemble_figures import paired_figure
from interpolants.apps.weather.ensemble_questions import _share
from interpolants.data.gridded_files import gridded_of
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.metrics.crps import crps

xarray = pytest.importorskip("xarray")
pytest.importorskip("scoringrules")


def data(cases=40, members=6, bias=0.0):
    rng = np.random.RandomState(0)
    x = rng.standard_normal((cases, 1, 3, 4)) + rng.standard_normal((cases, members, 3, 4)) + bias
    coords = {
        "time": range(cases),
        "number": range(members),
        "latitude": [80.0, 0, -80],
        "longitude": [0.0, 1, 2, 3],
    }
    return xarray.DataArray(x, coords, ("time", "number", "latitude", "longitude"), name="t")


def task(x, **more):
    roles = (*DressedSeeds().roles(), *EmulatedEnsembles().reads())
    return Task.of(roles, {"ensemble": x, **more}, Split(by="time", test=20))


def test_scores_are_weighed_by_area_and_do_not_see_the_seeds():
    one = task(data())
    model = one.fit(DressedSeeds())
    found = ask(EmulatedEnsembles(members=30), model, one)
    test = data()[20:].values
    drawn = model.emulate(data()[20:, :2], members=30, seed=1).x[:, :, 0].double()
    cap = 1 - math.sin(math.radians(40))
    weights = torch.tensor([cap, 2 - 2 * cap, cap])
    weights = weights.double()[:, None].expand(3, 4) / weights.mean()
    by_row = torch.stack([
        torch.tensor(crps(drawn[..., r, c], torch.from_numpy(test[:, 2, r, c])).value)
        for r in range(3) for c in range(4)
    ])  # fmt: skip
    assert found["crps"].value == pytest.approx(float((by_row.double() * weights.flatten()).mean()), rel=1e-6)
    seeds = torch.from_numpy(test[:, :2])
    ordinary = torch.stack([
        torch.tensor(crps(seeds[..., r, c], torch.from_numpy(test[:, 2, r, c]), fair=False).value)
        for r in range(3) for c in range(4)
    ])  # fmt: skip
    assert found["crps_of_seeds"].value == pytest.approx(
        float((ordinary.double() * weights.flatten()).mean()), rel=1e-6
    )
    assert found["crps"].floor < found["crps"].value  # of the three members that are left
    assert [figure.name for figure in found.figures] == ["case", "ranks", "spectra"]


def test_the_truth_is_a_role_of_its_own_where_there_is_one_and_bias_is_left():
    x = data()
    truth = x[:, :1] - 2.0
    one = task(x, truth=truth)
    found = ask(EmulatedEnsembles(members=40), one.fit(DressedSeeds()), one, rivals=["seed_regression"])
    assert found["bias"].value == pytest.approx(2.0, abs=0.2)
    assert found["bias_left"].value == pytest.approx(1.0, abs=0.1)
    assert [figure.name for figure in found.figures] == ["case", "ranks", "spectra", "paired"]


def test_climatology_knows_nothing_of_the_seeds_and_regression_is_reliable():
    one = task(data(cases=400))
    task_of = Task(
        one.values,
        {"case": {"train": torch.arange(200), "held": torch.arange(0), "test": torch.arange(200, 400)}},
        one.axes,
    )
    found = ask(
        EmulatedEnsembles(members=20), task_of.fit(SeedRegression()), task_of, rivals=["ensemble_climatology"]
    )
    assert found["spread_skill"].value == pytest.approx(1.0, abs=0.06)
    assert abs(found["copying"].rivals["ensemble_climatology"]) < 0.1
    # Two members share half of their variance; regression on two seeds gives its members less of a single one.
    assert found["copying"].floor == pytest.approx(0.5, abs=0.06)
    assert found["crps"].rivals["ensemble_climatology"] > found["crps"].value
    assert found["unreliability"].value < 1e-3


def test_too_few_members_or_impossible_sizes_are_refused():
    with pytest.raises(InvalidInputError, match="members must be at least n_seeds = 3, got 2"):
        EmulatedEnsembles(n_seeds=3, members=2)
    one = task(data(members=2))
    with pytest.raises(InvalidInputError, match="2 seeds and one member as truth, got 2 members"):
        EmulatedEnsembles().measure(one.fit(EnsembleClimatology()), one)


def test_floors_are_those_of_members_that_are_neither_seeds_nor_the_truth():
    others = EmulatedEnsembles()._known(task(data())).others
    assert_close(others[:, :, 0], torch.from_numpy(data()[20:, 3:].values).to(others))


def test_scores_by_pairs_stand_in_a_square_for_each_rival():
    own = torch.rand(9)
    for rivals in ({"a": own + 1}, {"a": own + 1, "b": own}):
        figure = paired_figure(own, rivals)
        assert len(figure.panels) == len(rivals)
        assert figure.width == len(rivals) * figure.height


def test_several_variables_are_scored_in_units_of_their_climatology():
    big = xarray.Dataset({"t": data(), "z": 1000 * data()})
    one = Task.of(
        DressedSeeds().roles(), {"ensemble": gridded_of(big, "test", "big")}, Split(by="time", test=20)
    )
    found = EmulatedEnsembles(members=10).measure(one.fit(DressedSeeds()), one)
    assert float(found.values["crps"].mean()) < 2


def test_scores_of_fields_are_those_by_hand():
    one = task(data())
    found = EmulatedEnsembles(members=20, event=1.0).measure(one.fit(DressedSeeds()), one).values
    known = EmulatedEnsembles()._known(one)
    drawn = one.fit(DressedSeeds()).emulate(data()[20:, :2], members=20, seed=1).x[:, :, 0].double().numpy()
    truth, climate = data()[20:].values[:, 2], data()[:20].values
    mean, std = climate.mean((0, 1)), climate.reshape(-1, 3, 4).std(0)
    cap = 1 - math.sin(math.radians(40))
    area = np.repeat(np.array([cap, 2 - 2 * cap, cap])[:, None], 4, 1)
    a, b = (drawn.mean(1) - mean) / std, (truth - mean) / std
    by_hand = (area * a * b).sum((1, 2)) / np.sqrt((area * a**2).sum((1, 2)) * (area * b**2).sum((1, 2)))
    np.testing.assert_allclose(found["anomaly_correlation"], by_hand, rtol=1e-5)
    flat_x, flat_y, w = drawn.reshape(20, 20, 12), truth.reshape(20, 12), area.flatten()
    total, mass = np.zeros(20), 0.0
    for i in range(12):
        for j in range(i + 1, 12):
            apart = np.abs(flat_x[..., i] - flat_x[..., j]) ** 0.5
            gap = (np.abs(flat_y[:, i] - flat_y[:, j]) ** 0.5 - apart.mean(1)) ** 2 - apart.var(
                1, ddof=1
            ) / 20
            total, mass = total + w[i] * w[j] * gap, mass + w[i] * w[j]
    np.testing.assert_allclose(found["variogram"], total / mass, rtol=1e-6)
    spectrum = known.spectra(torch.from_numpy(truth)[:, None, None])
    weighted = (truth**2 * area / area.mean()).mean((1, 2))
    np.testing.assert_allclose(spectrum[:, 0].sum(1), weighted, rtol=1e-10)  # Parseval, rows by their area
    assert found["spectral_gap"].value > 0
    assert float(torch.as_tensor(found["log_loss"]).mean()) > 0


def test_noise_without_neighbours_shows_in_spectrum_and_variogram_score():
    x = data(cases=120)
    smooth = x.mean("longitude").broadcast_like(x).transpose(*x.dims)  # a member is the same along a row
    one = task(smooth)
    found = ask(EmulatedEnsembles(members=20), one.fit(DressedSeeds()), one)
    fields = smooth[20:40].values[:, 2][:, None, None]
    own = EmulatedEnsembles()._known(one).spectra(torch.tensor(fields))
    assert float(own[..., 1:].sum()) < 1e-20
    assert found["variogram"].floor < found["variogram"].value


def test_the_share_of_a_bias_has_the_error_of_a_ratio():
    source = torch.Generator().manual_seed(0)
    seeds = 1 + 0.1 * torch.randn(4000, 50, dtype=torch.float64, generator=source)
    bias = 0.5 * seeds + 0.2 * torch.randn(4000, 50, dtype=torch.float64, generator=source)
    found = [_share(*pair) for pair in zip(bias, seeds, strict=True)]
    spread = torch.tensor([one.value for one in found]).std()
    assert sum(one.error for one in found) / 4000 == pytest.approx(float(spread), rel=0.05)
    assert _share(bias[0], seeds[0] - 1) is None
