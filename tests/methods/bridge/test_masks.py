"""Bridges with one time per entry: what they learn, under which settings, and what they refuse."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants import Bridge, load
from interpolants.fields.entry_preconditioned import EntryPreconditioned
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import DataWarning, OutsideWarning
from interpolants.guidance.masked_flow import MaskedFlow
from interpolants.metrics.energy_distance import energy_distance
from interpolants.objectives.masked_loss import entry_times

SMALL = {
    "path": "one_sided_linear",
    "net": {"kind": "mlp", "width": 16, "depth": 2},
    "steps": 40,
    "batch_size": 64,
    "seed": 0,
}
G = np.random.default_rng(0)
Z = G.normal(size=(400, 3))
ROWS = np.stack([Z[:, 0], 10 * (0.8 * Z[:, 0] + 0.6 * Z[:, 1]) + 3, np.exp(Z[:, 2])], 1)
TABLE = pd.DataFrame(ROWS, columns=["a", "b", "c"])
HOLES = pd.DataFrame(
    {"a": [1.0, np.nan, np.nan, 0.5], "b": [np.nan, 11.0, np.nan, 2.0], "c": [np.nan, np.nan, np.nan, 1.0]}
)


@pytest.fixture(scope="module")
def masked():
    return Bridge(masks=True, **SMALL).fit(x1=TABLE, progress=False)


@pytest.fixture(scope="module")
def levels():
    return Bridge(masks="levels", **SMALL).fit(x1=TABLE, progress=False)


def test_every_pattern_of_gaps_is_filled_row_by_row(masked):
    filled = masked.complete(HOLES, seed=1)
    assert list(filled.columns) == ["a", "b", "c"]
    assert not filled.isna().any().any()
    assert bool((filled.to_numpy()[HOLES.notna()] == HOLES.to_numpy()[HOLES.notna()]).all())
    pd.testing.assert_frame_equal(filled, masked.complete(HOLES, seed=1))
    assert not filled.equals(masked.complete(HOLES, seed=2))
    pd.testing.assert_frame_equal(filled[3:], HOLES[3:])  # nothing is hidden


def test_draws_follow_the_correlation_of_the_data(masked):
    given = pd.DataFrame({"a": [-1.0, 1.0] * 300, "b": np.nan, "c": np.nan})
    b = masked.complete(given, seed=0)["b"].to_numpy()
    assert b[::2].mean() == pytest.approx(-5, abs=1.2)  # 10 (0.8 a) + 3
    assert b[1::2].mean() == pytest.approx(11, abs=1.2)
    assert b[1::2].std() == pytest.approx(6, rel=0.2)


def test_noisy_entries_are_drawn_from_their_posterior(levels):
    given = pd.DataFrame({"a": np.full(600, 2.0), "b": np.nan, "c": np.nan})
    filled = levels.complete(given, sigma={"a": 1.0}, seed=0)
    assert filled["a"].mean() == pytest.approx(1.0, abs=0.15)  # prior and noise have variance 1
    assert filled["a"].std() == pytest.approx(0.5**0.5, rel=0.15)
    assert filled["b"].mean() == pytest.approx(11.0, abs=1.5)
    for sigma in ([1.0, 0.0, 0.0], np.tile([1.0, 0.0, 0.0], (600, 1))):
        pd.testing.assert_frame_equal(levels.complete(given, sigma=sigma, seed=0), filled)
    exact = levels.complete(HOLES, sigma=0.0, seed=3)
    pd.testing.assert_frame_equal(exact, levels.complete(HOLES, seed=3))


def test_equal_times_are_the_scalar_time_to_the_bit(masked):
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    t = torch.rand(20, generator=torch.Generator().manual_seed(1))
    denoised = [
        masked.fields.evaluate(x, when, ("denoised",))["denoised"] for when in (t, t[:, None].expand(20, 3))
    ]
    assert torch.equal(*denoised)


def test_the_rules_for_other_bridges_stay_and_the_best_is_taken_by_itself(masked):
    auto = masked.complete(HOLES, seed=1)
    pd.testing.assert_frame_equal(auto, masked.complete(HOLES, seed=1, using=MaskedFlow()))
    pd.testing.assert_frame_equal(auto, masked.complete(HOLES, seed=1, using="masked_flow"))
    assert not auto.equals(masked.complete(HOLES, seed=1, using="repaint"))
    assert not auto.equals(masked.complete(HOLES, seed=1, using={"kind": "masked_flow", "eps": 0.5}))


def test_a_stored_bridge_answers_the_same_and_checks_its_order_gap(masked, tmp_path):
    again = load(masked.save(tmp_path / "m"))
    assert isinstance(again.network, EntryPreconditioned)
    pd.testing.assert_frame_equal(again.complete(HOLES, seed=1), masked.complete(HOLES, seed=1))
    (gap,) = (check for check in again.check(n=40).checks if check.name == "order gap of masks")
    assert 0 < gap.value < 0.5


def test_the_order_gap_sees_conditionals_that_do_not_agree(masked, tmp_path):
    """A network whose answer for a hidden entry changes with the number of known entries has no joint distribution."""
    odd = load(masked.save(tmp_path / "m"))

    class Odd(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x, t, cond=None):
            known = (x[:, 3:] > 1.7).float().sum(1, keepdim=True)
            return self.net(x, t, cond) + 2 * known

    before = odd.check(n=40).checks[-1].value
    odd.network.net.net = Odd(odd.network.net.net)
    after = odd.check(n=40).checks[-1]
    assert after.name == "order gap of masks"
    assert after.value > 3 * before
    assert after.verdict == "fail"


def test_constant_columns_come_back_and_other_values_are_refused():
    rows = TABLE.assign(d=7.0)
    with pytest.warns(DataWarning, match="column d of x1 is constant"):
        model = Bridge(masks=True, **SMALL).fit(x1=rows, progress=False)
    filled = model.complete(HOLES.assign(d=[7.0, np.nan, np.nan, 7.0]), seed=0)
    assert (filled["d"] == 7.0).all()
    with pytest.raises(InvalidInputError, match="columns that were constant in the fit"):
        model.complete(HOLES.assign(d=8.0), seed=0)


def test_conditions_and_their_guidance_reach_the_masked_flow():
    labels = (Z[:, 0] > 0).astype(int)
    model = Bridge(masks=True, drop_condition=0.2, **{**SMALL, "steps": 300}).fit(
        x1=ROWS, cond=labels, progress=False
    )
    holes = np.full((100, 3), np.nan)
    means = [model.complete(holes, cond=np.full(100, k), seed=0)[:, 0].mean() for k in (0, 1)]
    assert means[1] - means[0] > 0.4
    ones = np.full(100, 1)
    one = model.complete(holes, cond=ones, guidance=2.0, seed=0)
    each = model.complete(
        holes, cond=ones, guidance=torch.full((100,), 2.0), guidance_interval=(0.0, 0.99999), seed=0
    )
    assert_close(one, each, rtol=1e-4, atol=1e-4)


def test_images_take_boxes_and_a_network_of_ones_own():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 1, 3, padding=1)

        def forward(self, x, t, cond=None):
            return self.conv(x)

    images = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = Bridge(**{**SMALL, "net": Own(), "steps": 10}, masks=True).fit(x1=images, progress=False)
    holes = images[:5].clone()
    holes[..., 4:] = math.nan
    filled = model.complete(holes, seed=0)
    assert torch.equal(filled[..., :4], images[:5, ..., :4])
    assert bool(filled.isfinite().all())


def test_times_of_entries_have_the_declared_masks():
    x, t = torch.zeros(6000, 1, 6, 6), torch.full((6000,), 0.3)
    times = entry_times(t, x, levels=False, generator=torch.Generator().manual_seed(0))
    assert times.unique().tolist() == pytest.approx([0.3, 1.0])
    unmasked = float((times < 1).flatten(1).all(1).double().mean())
    assert 0.5 < unmasked < 0.62  # half of the rows, and masks that know nothing
    right = torch.arange(6) >= 3
    halves = ((times == 1) == ~right).flatten(1).all(1).sum() + ((times == 1) == right).flatten(1).all(
        1
    ).sum()
    assert int(halves) > 3  # by single pixels once in 2^35 rows
    noisy = entry_times(t, x[:, 0, 0], levels=True, generator=torch.Generator().manual_seed(0))
    own = (noisy > 0.3) & (noisy < 1)
    assert 0.06 < float(own.double().mean()) < 0.11  # 1/3 x 1/2 x 1/2
    assert float(noisy.min()) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"path": "linear"}, "masks need a one-sided path"),
        ({"path": {"kind": "linear", "envelope": {"kind": "brownian"}}}, "masks need a one-sided path"),
        ({"path": "ve"}, r"masks need a one-sided path .* exact at t = 1"),
        ({"path": {"kind": "edm", "df": 4.0}}, "masks need a one-sided path"),
        ({"heads": "velocity"}, "masks need heads='denoised'"),
        ({"standardize": "whiten"}, r"whiten', which mixes columns\. Use standardize=True"),
        ({"precondition": False}, "masks need a preconditioned network"),
        ({"masks": "all"}, "masks must be"),
    ],
)
def test_settings_without_a_conditional_flow_are_refused(settings, rule):
    with pytest.raises(InvalidInputError, match=rule):
        Bridge(**{**SMALL, "masks": True, **settings})


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"sigma": -1.0}, "sigma must be finite and >= 0"),
        ({"sigma": math.nan}, "sigma must be finite and >= 0"),
        ({"sigma": {"a": math.inf}}, "sigma must be finite and >= 0"),
        ({"sigma": {"alcohol": 1.0}}, "sigma must name columns of the fit, got 'alcohol'"),
        ({"sigma": [1.0, 2.0]}, r"have shape \(3,\) or \(4, 3\)"),
        ({"sigma": "much"}, "sigma must be a number"),
        ({"sigma": HOLES}, "sigma must be a number"),
        ({"sigma": 0.1, "using": "repaint"}, "sigma needs using='masked_flow'"),
        ({"known": np.full((4, 3), 0.5)}, r"known must be 0 or 1 .* using='cyclic_one_way'"),
        ({"using": "masked_flows"}, "masked_flow"),
    ],
)
def test_questions_that_have_no_such_answer_are_refused(levels, options, rule):
    with pytest.raises(InvalidInputError, match=rule):
        levels.complete(HOLES, seed=0, **options)


def test_a_bridge_without_the_masks_that_are_needed_is_named(masked):
    plain = Bridge(**SMALL).fit(x1=TABLE, progress=False)
    with pytest.raises(InvalidInputError, match=r"one fitted with masks=False\. Fit Bridge\(masks=True\)"):
        plain.complete(HOLES, using="masked_flow")
    with pytest.raises(InvalidInputError, match=r"Fit Bridge\(masks='levels'\)"):
        plain.complete(HOLES, sigma=0.1)
    with pytest.raises(InvalidInputError, match=r"masks=True\. Fit Bridge\(masks='levels'\)"):
        masked.complete(HOLES, sigma=0.1)
    bent = Bridge(masks="levels", transform={"c": "log"}, **SMALL).fit(x1=TABLE, progress=False)
    with pytest.raises(InvalidInputError, match="sigma needs columns without a transform"):
        bent.complete(HOLES, sigma=0.1)
    assert (bent.complete(HOLES, seed=0)["c"] > 0).all()


def test_a_known_value_beyond_the_data_is_told(masked):
    with pytest.warns(OutsideWarning, match=r"column b of row 1 is 500, and .* in the fit"):
        masked.complete(HOLES.replace(11.0, 500.0), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masked.complete(HOLES, seed=0)


@pytest.mark.slow  # about 15 s
def test_trained_conditionals_are_far_nearer_than_replacement_at_little_cost_elsewhere():
    g = torch.Generator().manual_seed(0)
    means = 1.5 * torch.randn(3, 4, generator=g)
    roots = 0.5 * torch.randn(3, 4, 4, generator=g) + 0.3 * torch.eye(4)

    def draw(n):
        pick = torch.randint(3, (n,), generator=g)
        return means[pick] + torch.einsum("nij,nj->ni", roots[pick], torch.randn(n, 4, generator=g))

    x = draw(20_000)
    net = {"kind": "mlp", "width": 128, "depth": 3}
    settings = {
        "path": "one_sided_linear",
        "net": net,
        "steps": 1000,
        "batch_size": 256,
        "seed": 0,
        "held_out": 0,
    }
    masked = Bridge(masks=True, **settings).fit(x1=x, progress=False)
    scalar = Bridge(**settings, standardize=True).fit(x1=x, progress=False)
    test = draw(1500)
    for n_known in (1, 2, 3):
        holes = test.clone()
        holes[:, n_known:] = math.nan
        once = {"kind": "repaint", "n_steps": 100, "resamples": 1}  # as many evaluations
        ours, theirs = (
            float(energy_distance(model.complete(holes, seed=1, using=using), draw(1500)).value)
            for model, using in ((masked, "auto"), (scalar, once))
        )
        assert ours < 0.25 * theirs + 0.005
    assert float(energy_distance(masked.sample(1500, seed=2), test).value) < 0.01
