"""Columns of tables as they come: small units, large offsets, constant, collinear, heavy-tailed, whole numbers."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning
from interpolants.framework.frames import Standard, Varying
from interpolants.methods.parts.columns import warn_about_columns, warn_about_spaces
from interpolants.methods.restoration.prior_restoration import PriorRestoration
from interpolants.operators import Mask

QUIET = {"progress": False}
TINY = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "batch_size": 128, "steps": 200, "seed": 0}


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("mean", "std"), [(5e-7, 5e-8), (1e6, 1.0), (1.7e9, 1e3), (0.0, 1e-30), (1e200, 1e199)]
)
def test_no_unit_makes_a_column_constant(mean, std):
    x = mean + std * normal(400, 2)
    frame = Standard().fit(x)
    assert_close(frame.encode(x).std(0), torch.ones(2, dtype=torch.float64), rtol=1e-6, atol=0)
    assert len(frame.encode(x).float().unique()) > 790
    assert_close(frame.decode(frame.encode(x)), x, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("offset", "spread"), [(1e7, 1.0), (1.7e9, 1e3)])
def test_rounded_values_that_vary_are_not_constant(offset, spread):
    x = (offset + spread * normal(400, 1)).float()
    assert float(Standard().fit(x).encode(x).std()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 2.5, 1e-9, 1e12])
def test_a_constant_keeps_its_scale(value):
    assert float(Standard().fit(torch.full((50, 1), value)).scale) == 1.0


def test_a_bridge_learns_wavelengths():
    x = 5e-7 + 5e-8 * normal(500, 1)
    made = Bridge("one_sided_linear", **TINY).fit(x1=x, **QUIET).sample(1000, seed=1)
    assert float(made.mean()) == pytest.approx(5e-7, rel=0.05)
    assert float(made.std()) == pytest.approx(5e-8, rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("standardize", [True, False])
def test_constant_columns_are_exact_and_left_out_of_log_prob(standardize, tmp_path):
    x = torch.cat([normal(500, 1), torch.full((500, 1), 0.1, dtype=torch.float64), normal(500, 1, seed=1)], 1)
    settings = {**TINY, "steps": 30, "standardize": standardize}
    with pytest.warns(DataWarning, match=r"column 1 of x1 is constant"):
        bridge = Bridge("one_sided_linear", **settings).fit(x1=x, **QUIET)
    bridge = Bridge.load(bridge.save(tmp_path / "kept"))
    without = Bridge("one_sided_linear", **settings).fit(x1=x[:, [0, 2]], **QUIET)
    made = bridge.sample(50, seed=1)
    assert torch.equal(made[:, 1], x[:50, 1])
    assert torch.equal(made[:, [0, 2]], without.sample(50, seed=1))
    assert torch.equal(bridge.log_prob(x[:20]), without.log_prob(x[:20, [0, 2]]))
    assert torch.isfinite(bridge.log_prob(x[:20].float())).all()
    assert bridge.check(n=200).checks


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_rows_off_a_constant_have_no_density_and_cannot_be_carried():
    x0, x1 = (torch.cat([normal(300, 1, seed=k) + k, torch.full((300, 1), 3.0)], 1) for k in (0, 1))
    with pytest.warns(DataWarning, match="constant"):
        bridge = Bridge(**{**TINY, "steps": 30}, leg={}).fit(x0, x1, **QUIET)
    odd = torch.cat([x1[:3], x1[:1] + 1])
    assert torch.isfinite(bridge.log_prob(odd)).tolist() == [True, True, True, False]
    assert float(bridge.log_prob(odd)[3]) == -math.inf
    assert bool((bridge.transport(x0[:5], eps=0.2)[:, 1] == 3).all())
    with pytest.raises(InvalidInputError, match="columns that were constant in the fit"):
        bridge.transport(odd)


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_known_entries_off_a_constant_are_not_completed():
    x = torch.cat([normal(300, 2), torch.full((300, 1), 3.0)], 1)
    with pytest.warns(DataWarning, match="constant"):
        bridge = Bridge("one_sided_linear", **{**TINY, "steps": 30}).fit(x1=x, **QUIET)
    gaps = torch.tensor([[1.0, math.nan, 3.0], [1.0, math.nan, math.nan], [math.nan, 0.5, 3.0]])
    using = {"kind": "repaint", "n_steps": 4, "resamples": 1}
    assert bool((bridge.complete(gaps, using=using)[:, 2] == 3).all())
    gaps[1, 2] = 5
    with pytest.raises(InvalidInputError, match=r"constant in the fit .* got another value in row 1"):
        bridge.complete(gaps, using=using)
    unknown = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    assert bool((bridge.complete(gaps, known=unknown, using=using)[:, 2] == 3).all())


@pytest.mark.parametrize("columns", [1, 2])
def test_a_single_row_repeated_is_refused_by_name(columns):
    with (
        pytest.warns(DataWarning, match="constant"),
        pytest.raises(InvalidInputError, match=r"Bridge.fit: rows of x1 must differ"),
    ):
        Bridge("one_sided_linear", **TINY).fit(x1=torch.full((100, columns), 5.0), **QUIET)


def test_varying_undoes_itself_at_any_place_of_the_constants():
    x = normal(40, 5)
    x[:, [0, 3]] = torch.tensor([7.0, 1e6], dtype=torch.float64)
    frame = Varying.of(x, Standard()).fit(x)
    assert frame.encode(x).shape == (40, 3)
    assert_close(frame.decode(frame.encode(x)), x, rtol=1e-12, atol=1e-12)
    assert_close(frame.decode(frame.encode(x)[None]), x[None], rtol=1e-12, atol=1e-12)
    scale = x[:, [1, 2, 4]].std(0)
    assert_close(frame.log_volume(x), -scale.log().sum().expand(40))


def told(x, columns=(), **how):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_about_columns("Bridge.fit", "x1", torch.as_tensor(x), columns, **how)
    return [str(one.message) for one in caught]


def test_odd_columns_are_named_with_a_remedy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 5))
    x[:, 1] = rng.integers(0, 9, 2000)
    x[:, 2] = rng.standard_cauchy(2000)
    x[:, 4] = 3 * x[:, 0] - 2 * x[:, 3] + 5
    tied, whole, far = told(x, ("a", "b", "c", "d", "e"))
    assert "columns a, d, e of x1 are collinear" in tied
    assert "column b of x1 is of whole numbers" in whole
    assert "uniform noise" in whole
    assert "column c of x1 is heavy-tailed" in far
    assert "data.Quantile" in far
    assert told(np.round(10 * x)[:, :2]) == [
        whole.replace("column b", "columns 0, 1").replace("is of", "are of")
    ]


def test_tails_are_met_by_the_setting_where_there_is_one():
    x = np.random.default_rng(0).standard_cauchy((2000, 2))
    x[:, 1] = np.abs(x[:, 1])
    (far,) = told(x, ("gain", "price"), transforms=True)
    assert "columns gain, price of x1 are heavy-tailed" in far
    assert "Fit with transform={'gain': 'quantile', 'price': 'log'}" in far
    assert told(x, learnt=torch.as_tensor(x).asinh(), transforms=True) == []


def test_what_gives_samples_alone_says_what_samples_are():
    x = np.random.default_rng(0).normal(size=(500, 4))
    x[:, 1], x[:, 2], x[:, 3] = np.round(5 * x[:, 1]), 3.0, 2 * x[:, 0]
    constant, whole = told(x, density=False)
    assert "column 2 of x1 is constant, which samples are only nearly. Drop" in constant
    assert "column 1 of x1 is of whole numbers, which samples are not" in whole


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(size=(5000, 4)),
        lambda rng: rng.normal(5e-7, 5e-8, size=(5000, 4)),
        lambda rng: rng.exponential(size=(5000, 4)),
        lambda rng: rng.uniform(size=(60, 80)),
        lambda rng: rng.multivariate_normal([0, 0], [[1, 0.999], [0.999, 1]], 500),
        lambda rng: rng.normal(size=(500, 4)).astype("float32") + 1e4,
    ],
)
def test_ordinary_columns_are_not_named(draw):
    assert told(draw(np.random.default_rng(1))) == []


@pytest.mark.slow
def test_a_bridge_without_its_constant_columns_is_a_prior_of_whole_rows():
    x = torch.cat([normal(300, 2).float(), torch.full((300, 1), 5.0)], 1)
    with pytest.warns(DataWarning, match="constant"):
        model = Bridge("one_sided_linear", **TINY, heads=("noise",)).fit(x1=x, **QUIET)
    prior = PriorRestoration(operator=Mask(torch.tensor([True, False, True]))).fit(model=model)
    made = prior.restore(x[:3, [0, 2]]).x
    assert made.shape == (3, 1, 3)
    assert bool((made[..., 2] == 5).all())


def rain(n=1000, dry=0.57):
    """A column of which a share is exactly 0 and no value is negative, beside a normal one."""
    wet = torch.arange(n) >= dry * n
    return torch.stack([torch.where(wet, normal(n).exp(), 0.0), normal(n, seed=1)], 1)


def test_atoms_are_told_with_their_share_and_the_bound_that_samples_cross():
    words = r"of x1, 5\d % of column 0 are exactly 0, the least value, which samples cross\. .*{'0': {'kind': 'int"
    with pytest.warns(DataWarning, match=words):
        Bridge("one_sided_linear", **{**TINY, "steps": 2}).fit(x1=rain(), **QUIET)
    with pytest.warns(DataWarning, match=r"57 % of column mm are exactly 0.*'mm': {'kind': 'int"):
        warn_about_columns("Bridge.fit", "x1", rain(), ("mm", "level"), transforms=True)
    with pytest.warns(DataWarning, match=r"are exactly 5, the largest value.*draw the value yourself\.$"):
        warn_about_columns("WassersteinGAN.fit", "x1", 5 - rain(), density=False)
    inside = torch.cat([normal(900, 1), torch.full((100, 1), 0.25, dtype=torch.float64)])
    with pytest.warns(DataWarning, match=r"10 % of column 0 are exactly 0\.25\. No sample"):
        warn_about_columns("Bridge.fit", "x1", inside)


@pytest.mark.parametrize(
    "x",
    [
        normal(1000, 2),
        rain(dry=0.04),
        rain(80),
        torch.cat([rain()[:, :1].sign() * 0.5, normal(1000, 1)], 1),  # two values
        torch.cat([(normal(1000, 1) * 3).round() / 4, normal(1000, 1, seed=1)], 1),  # few values
        rain()[:, :1].repeat(1, 200) * (1 + normal(200).square()),  # pixels
    ],
    ids=["continuous", "few zeros", "few rows", "two values", "few values", "pixels"],
)
def test_columns_without_atoms_are_left_alone(x):
    assert not [words for words in caught(x) if "exactly" in words]


def caught(x):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_about_columns("Bridge.fit", "x1", x)
    return [str(one.message) for one in told]


def test_a_transformed_column_is_not_told_again():
    x = rain()
    learnt = torch.stack([(x[:, 0] + 1).log(), x[:, 1]], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_about_columns("Bridge.fit", "x1", x, learnt=learnt, transforms=True)


def test_the_remedy_keeps_samples_inside_of_the_bound():
    x = rain()
    wet = x[x[:, 0] > 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bounds = {"0": {"kind": "interval", "low": 0.0, "high": math.inf}}
        made = Bridge("one_sided_linear", **{**TINY, "steps": 20}, transform=bounds).fit(x1=wet, **QUIET)
    assert float(made.sample(200, seed=1)[:, 0].min()) > 0


def directions(n=200):
    g = np.random.default_rng(0)
    lat, lon = g.uniform(-60, 60, n), g.uniform(-180, 180, n)
    return pd.DataFrame(
        {"lat": lat, "lon": lon, "wind_dir": g.uniform(0, 360, n), "hour": g.uniform(0, 24, n)}
    )


def told_of(frame):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_about_spaces("Bridge.fit", "x1", torch.tensor(frame.to_numpy()), tuple(frame.columns))
    return [str(one.message) for one in caught]


def test_angles_and_places_are_named_once_with_the_bridge_that_takes_them():
    (told,) = told_of(directions())
    assert (
        "lat, lon may be places in degrees; wind_dir may be an angle in degrees; hour may be an hour" in told
    )
    setting = "{'lat, lon': 'sphere', 'wind_dir': 'circle', 'hour': {'kind': 'circle', 'period': 24}}"
    assert f"Use GeodesicBridge(space={setting})" in told


@pytest.mark.parametrize(
    "frame",
    [
        directions() / 10,  # a city, a narrow wind
        directions().rename(columns={"lat": "a", "lon": "b", "wind_dir": "director", "hour": "hourly_pay"}),
        directions() * 3,  # no degrees, no hours
        directions().drop(columns=["lat", "hour", "wind_dir"]),
    ],
)
def test_numbers_without_the_range_or_the_name_are_left_alone(frame):
    assert told_of(frame) == []


def test_a_bridge_tells_of_them_at_fit():
    with pytest.warns(DataWarning, match="wind_dir may be an angle in degrees") as caught:
        Bridge("one_sided_linear", steps=1).fit(x1=directions()[["wind_dir"]], progress=False)
    assert len(caught) == 1
