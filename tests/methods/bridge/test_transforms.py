"""Bridges that learn transformed columns: known densities, refusals, and every answer in data units."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import interpolants as itp
from interpolants import Bridge
from interpolants.data import Log, Quantile
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning
from interpolants.framework.frames import Standard, Varying
from interpolants.framework.transformed import Transformed, in_two
from interpolants.likelihood import log_prob
from interpolants.methods import PriorRestoration
from interpolants.methods.bridge.densities import FramedDensity
from interpolants.methods.parts.column_maps import bent_columns, choose_transform
from interpolants.operators import Mask

F64 = torch.float64
QUIET = {"progress": False}
TINY = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "batch_size": 64, "steps": 30, "seed": 0}


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def prices(n=600, s=1.5, seed=0):
    """A log-normal column and a normal one."""
    x = normal(n, 2, seed=seed)
    return torch.stack([(s * x[:, 0]).exp(), x[:, 1]], 1)


class Exact(nn.Module):
    """The velocity of ``(1 - t) z + t x1`` for ``x1 ~ N(0, s^2)``."""

    def __init__(self, s):
        super().__init__()
        self.s = s
        self.nothing = nn.Parameter(torch.zeros(1))

    def forward(self, x, t, cond=None):
        t = t.reshape(-1, *(1,) * (x.ndim - 1))
        rate = (t * self.s**2 - (1 - t)) / ((1 - t).square() + (t * self.s).square())
        return rate * x + 0 * self.nothing


@pytest.fixture(scope="module")
def exact():
    settings = {"standardize": False, "held_out": 0, "steps": 1, "batch_size": 64}
    return Bridge("one_sided_linear", net=Exact(1.5), transform="log", **settings).fit(
        x1=prices()[:, :1], **QUIET
    )


def test_exact_fields_of_the_logarithm_and_the_jacobian_give_the_log_normal_density(exact):
    x = prices(seed=3)[:50, :1]
    law = torch.distributions.LogNormal(torch.zeros(1, dtype=F64), 1.5)
    fields = LearnedFields(exact.fitted_path, velocity=Exact(1.5).double())
    found = log_prob(fields, exact.frame.encode(x), exact.density0(), method="dopri5", rtol=1e-9, atol=1e-9)
    assert_close(found.log_prob + exact.frame.log_volume(x), law.log_prob(x)[:, 0], rtol=0, atol=1e-6)
    assert_close(exact.log_prob(x), law.log_prob(x)[:, 0], rtol=0, atol=2e-3)
    sde = exact.log_prob(x, eps=0.5, n_steps=100, paths=64, seed=0, details=True)
    assert_close(sde.log_prob.double(), law.log_prob(x)[:, 0], rtol=0, atol=0.2)
    assert bool(((sde.low < law.log_prob(x)[:, 0]) & (law.log_prob(x)[:, 0] < sde.high)).float().mean() > 0.9)


def test_samples_and_their_densities_come_by_one_solve(exact):
    x, lp = exact.sample(64, seed=1, log_prob=True)
    law = torch.distributions.LogNormal(torch.zeros(1, dtype=F64), 1.5)
    assert_close(lp, law.log_prob(x)[:, 0], rtol=0, atol=2e-3)
    assert bool((x > 0).all())


def test_the_answers_to_a_table_are_tables_and_the_density_integrates_to_one(tmp_path):
    table = pd.DataFrame(prices(400).numpy()[:, :1], columns=["price"])
    bridge = Bridge("one_sided_linear", transform={"price": "quantile"}, **TINY).fit(x1=table, **QUIET)
    bridge = Bridge.load(bridge.save(tmp_path / "kept"))
    assert bridge.get_params()["transform"] == {"price": "quantile"}
    ends = bridge.frame.decode(torch.linspace(-8, 8, 4001, dtype=F64)[:, None])[:, 0].numpy()
    middle = pd.DataFrame({"price": (ends[1:] + ends[:-1]) / 2})
    lp = bridge.log_prob(middle)
    assert isinstance(lp, pd.Series)
    assert float((np.exp(lp.to_numpy()) * np.diff(ends)).sum()) == pytest.approx(1, abs=2e-3)
    assert list(bridge.sample(3, seed=0).columns) == ["price"]


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "transform", ["log", {"kind": "log", "shift": 0.5}, {"0": "log"}, {"0": Log(), "1": "quantile"}, "asinh"]
)
def test_a_bridge_of_transformed_columns_is_that_of_the_columns_with_the_jacobian(transform, tmp_path):
    x = prices() + torch.tensor([0.0, 20.0], dtype=F64)
    bridge = Bridge("one_sided_linear", transform=transform, **TINY).fit(x1=x, **QUIET)
    bend, unbend, linear = in_two(bridge.frame)
    by_hand = Bridge("one_sided_linear", **TINY).fit(x1=bend(x), **QUIET)
    assert_close(linear.encode(bend(x)), by_hand.frame.encode(bend(x)))
    new = prices(20, seed=5) + torch.tensor([0.0, 20.0], dtype=F64)
    slopes = (
        torch.autograd.functional.jacobian(lambda rows: bend(rows).sum(0), new)
        .diagonal(dim1=0, dim2=2)
        .log()
        .sum(1)
    )
    assert_close(bridge.log_prob(new), by_hand.log_prob(bend(new)) + slopes, rtol=0, atol=1e-4)
    assert_close(bridge.sample(50, seed=1), unbend(by_hand.sample(50, seed=1)), rtol=1e-6, atol=1e-9)
    assert_close(
        bridge.transport(new, reverse=True).double(), unbend(by_hand.transport(bend(new), reverse=True))
    )
    again = Bridge.load(bridge.save(tmp_path / "kept"))
    assert torch.equal(again.log_prob(new), bridge.log_prob(new))
    assert torch.equal(again.sample(5, seed=1), bridge.sample(5, seed=1))


@pytest.mark.slow
def test_known_entries_are_completed_in_data_units():
    bridge = Bridge("one_sided_linear", transform={"0": "log"}, **TINY).fit(x1=prices(), **QUIET)
    rows = prices(6, seed=2)
    rows[::2, 0], rows[1::2, 1] = torch.nan, torch.nan
    filled = bridge.complete(rows)
    known = ~rows.isnan()
    assert torch.equal(filled[known], rows[known])
    assert bool((filled[:, 0] > 0).all())
    by_hand = Bridge("one_sided_linear", **TINY).fit(
        x1=torch.stack([prices()[:, 0].log(), prices()[:, 1]], 1), **QUIET
    )
    told = by_hand.complete(torch.stack([rows[:, 0].log(), rows[:, 1]], 1))
    assert_close(filled[:, 0].log(), told[:, 0], rtol=1e-5, atol=1e-5)


def test_values_that_a_transform_does_not_take_have_no_density_and_are_refused_elsewhere():
    x = prices()
    bridge = Bridge("one_sided_linear", transform={"0": "log"}, **TINY).fit(x1=x, **QUIET)
    odd = torch.cat([x[:3], torch.tensor([[-1.0, 0.0], [0.0, 1.0]], dtype=F64)])
    lp = bridge.log_prob(odd)
    assert torch.equal(lp[:3], bridge.log_prob(x[:3]))
    assert bool((lp[3:] == -math.inf).all())
    assert torch.isfinite(bridge.log_prob(x[:3].float())).all()
    with pytest.raises(InvalidInputError, match=r"Bridge.transport: .*transformed ones"):
        bridge.transport(odd, reverse=True)
    with pytest.raises(InvalidInputError, match="column 0 must have values that its transform takes, got -1"):
        bridge.choose_eps(x1=odd.repeat(100, 1))
    with pytest.raises(
        InvalidInputError, match=r"Bridge.fit: column 0 of x1: a logarithm needs values above 0, got -1\."
    ):
        Bridge("one_sided_linear", transform="log", **TINY).fit(x1=odd.repeat(100, 1), **QUIET)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ("logg", "transform must be one of asinh, interval, log, quantile, .*Did you mean 'log'"),
        ({"price": "lag"}, "Did you mean 'log'"),
        ({0: "log"}, "Write '0'"),
        (3, "column_transform must be a name"),
        ({"kind": "log", "shft": 1}, "shift"),
    ],
)
def test_unknown_transforms_are_refused_at_once(transform, words):
    with pytest.raises(InvalidInputError, match=words):
        Bridge("one_sided_linear", transform=transform)


def test_unknown_columns_and_images_are_refused_at_fit():
    table = pd.DataFrame(prices(60).numpy(), columns=["price", "carat"])
    with pytest.raises(InvalidInputError, match=r"got 'prise'\. Did you mean 'price'"):
        Bridge("one_sided_linear", transform={"prise": "log"}, **TINY).fit(x1=table, **QUIET)
    with pytest.raises(InvalidInputError, match="transform is for columns of a table"):
        Bridge("one_sided_linear", transform="log", **TINY).fit(x1=torch.rand(60, 1, 4, 4), **QUIET)


@pytest.mark.slow
def test_two_sample_sets_share_their_transforms_and_a_leg_has_them_too():
    x0, x1 = (pd.DataFrame(prices(300, seed=k).numpy() * (1 + k), columns=["price", "z"]) for k in (0, 1))
    bridge = Bridge(transform={"price": "log"}, leg={}, **TINY).fit(x0, x1, **QUIET)
    leg = bridge.state["leg"]
    assert isinstance(leg.frame, Transformed)
    made = bridge.transport(x0.iloc[:20], eps=0.2, seed=0)
    assert bool((made["price"] > 0).all())
    rows = torch.tensor(x1.to_numpy()[:20])
    start = FramedDensity(leg, bridge.frame)
    flow = log_prob(bridge.fields, bridge.frame.encode(rows).float(), start)
    assert_close(
        torch.tensor(bridge.log_prob(x1.iloc[:20]).to_numpy()),
        flow.log_prob.double() + bridge.frame.log_volume(rows),
    )
    assert bridge.check(n=200).checks


def test_a_density_of_the_start_is_carried_into_transformed_units():
    law = torch.distributions.Independent(torch.distributions.LogNormal(torch.zeros(2, dtype=F64), 1.5), 1)
    x = law.sample((200,))
    frame = Transformed((Log().fit(x[:, 0]), Log().fit(x[:, 1])), Standard(1.0, 2.0))
    z = frame.encode(x)
    normals = torch.distributions.Normal(-0.5, 0.75)  # of (log x - 1) / 2
    assert_close(FramedDensity(law, frame).log_prob(z), normals.log_prob(z).sum(1))


def test_a_density_of_the_start_gives_one_value_per_row_or_per_entry():
    x, frame = normal(50, 2), Standard(0.0, 1.0)
    entries = torch.distributions.Normal(torch.zeros(2, dtype=F64), 1.0)
    whole = torch.distributions.Independent(entries, 1)
    assert_close(FramedDensity(entries, frame).log_prob(x), FramedDensity(whole, frame).log_prob(x))

    class Components:  # of a mixture, not yet mixed
        def log_prob(self, rows):
            return torch.zeros(len(rows), 3)

    with pytest.raises(InvalidInputError, match=r"one value per row, \(50,\), got shape \(50, 3\)"):
        FramedDensity(Components(), frame).log_prob(x)


def test_the_density_of_the_start_is_that_of_the_columns_that_vary_wherever_they_stand():
    x = torch.cat([torch.full((50, 1), 3.0, dtype=F64), normal(50, 2)], 1)
    frame = Varying.of(x, Standard()).fit(x)

    class Law:
        def log_prob(self, rows):
            return rows[:, 1:].sum(1)

    z = frame.encode(x)
    assert_close(FramedDensity(Law(), frame).log_prob(z), x[:, 1:].sum(1) + x[:, 1:].std(0).log().sum())


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_constant_columns_are_left_out_beside_transformed_ones():
    x = torch.cat([torch.full((300, 1), 0.1, dtype=F64), prices(300)], 1)
    with pytest.warns(DataWarning, match="column 0 of x1 is constant"):
        bridge = Bridge("one_sided_linear", transform="asinh", **TINY).fit(x1=x, **QUIET)
    without = Bridge("one_sided_linear", transform="asinh", **TINY).fit(x1=x[:, 1:], **QUIET)
    made = bridge.sample(20, seed=1)
    assert torch.equal(made[:, 0], x[:20, 0])
    assert torch.equal(made[:, 1:], without.sample(20, seed=1))
    assert torch.equal(bridge.log_prob(x[:9]), without.log_prob(x[:9, 1:]))
    off = x[:3].clone()
    off[1, 0] = 0.2
    assert torch.isfinite(bridge.log_prob(off)).tolist() == [True, False, True]
    assert torch.isfinite(bridge.log_prob(off[:1].float())).all()


def test_a_heavy_column_is_named_with_the_setting_and_no_more_once_it_is_set():
    x = prices(3000, s=2.5)
    with pytest.warns(DataWarning, match=r"heavy-tailed, .*transform=\{'0': 'log'\}"):
        Bridge("one_sided_linear", **TINY).fit(x1=x, **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        Bridge("one_sided_linear", transform={"0": "log"}, **TINY).fit(x1=x, **QUIET)


def test_the_gaussian_that_a_check_compares_with_is_of_the_transformed_columns():
    bridge = Bridge("one_sided_linear", transform={"0": "log"}, **TINY).fit(x1=prices(), **QUIET)
    first = next(c for c in bridge.check(n=200).checks if c.name.startswith("log density"))
    assert "a Gaussian fit of the transformed columns" in first.message
    law = torch.distributions.LogNormal(torch.zeros(1, dtype=F64), 1.5)
    held = bridge.frame.decode(bridge.held_out_rows.x1.double())
    truth = law.log_prob(held[:, 0]) + torch.distributions.Normal(0.0, 1.0).log_prob(held[:, 1])
    assert first.limit == pytest.approx(float(truth.mean()), abs=0.05)


@pytest.mark.slow
def test_a_prior_of_transformed_columns_restores_in_data_units():
    model = Bridge("one_sided_linear", transform={"0": "log"}, heads=("noise",), **TINY).fit(
        x1=prices().float(), **QUIET
    )
    prior = PriorRestoration(operator=Mask(torch.tensor([False, True]))).fit(model=model)
    made = prior.restore(prices(4)[:, 1:].float()).x
    assert bool((made[..., 0] > 0).all())
    assert prior.residual(made[:, 0], prices(4)[:, 1:].float()) < 0.5


def test_float32_rows_at_an_offset_keep_their_digits():
    x = (1e6 + 5 * normal(400, 1)).float()
    frame = Bridge("one_sided_linear", transform="log", **TINY).fit(x1=x, **QUIET).frame
    assert len(frame.encode(x).unique()) == len(x.unique())
    assert float(frame.encode(x.double()).std()) == pytest.approx(1, abs=0.05)


def test_a_command_line_and_a_recipe_set_it(tmp_path):
    recipe = tmp_path / "prices.toml"
    prices_file = tmp_path / "prices.csv"
    pd.DataFrame(prices(200).numpy(), columns=["price", "z"]).to_csv(prices_file, index=False)
    recipe.write_text(
        f'''title = "Prices"
seed = 0
[data.x1]
file = "{prices_file}"
[method]
kind = "bridge"
path = "one_sided_linear"
transform = {{ price = "log" }}
net = {{ kind = "mlp", width = 8, depth = 1 }}
steps = 10
'''
    )
    from typer.testing import CliRunner

    from interpolants.cli.app import app

    done = CliRunner().invoke(app, ["run", "--config", str(recipe), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    model = itp.load(tmp_path / "run")
    assert isinstance(model.frame, Transformed)
    assert bool((model.sample(50, seed=0)["price"] > 0).all())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*heavy-tailed")
def test_it_pays_on_a_log_normal_column():
    train, test = prices(3000, seed=0), prices(2000, seed=1)
    settings = {"steps": 400, "seed": 0, "net": {"kind": "mlp", "width": 64, "depth": 3}}
    nats = {}
    for name, transform in {"none": None, "log": {"0": "log"}, "quantile": {"0": Quantile()}}.items():
        bridge = Bridge("one_sided_linear", transform=transform, **settings).fit(x1=train, **QUIET)
        nats[name] = float(bridge.log_prob(test).mean())
    law = torch.distributions.LogNormal(torch.zeros(1, dtype=F64), 1.5)
    truth = float(
        (law.log_prob(test[:, 0]) + torch.distributions.Normal(0.0, 1.0).log_prob(test[:, 1])).mean()
    )
    assert nats["log"] > truth - 0.03
    assert nats["quantile"] > truth - 0.06
    assert nats["none"] < truth - 0.1


def test_of_many_rows_evenly_spread_ones_are_looked_at():
    x = torch.arange(2 * 2**16 + 1, dtype=F64)[:, None] - 2**16
    frame = bent_columns("who", "x1", choose_transform("who", "asinh"), x, ())
    quartiles = torch.tensor([-(2.0**15), 0.0, 2.0**15], dtype=F64)[:, None]
    wanted = math.asinh(0.6744898)  # in standard deviations of a normal law
    assert_close(frame.bend(quartiles)[:, 0], wanted * quartiles[:, 0].sign(), atol=1e-3, rtol=0)
