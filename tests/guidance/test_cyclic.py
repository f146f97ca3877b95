"""Completion of a Gaussian field whose conditional distribution is known, by both rules; settings and refusals."""

import warnings
from functools import cache

import numpy as np
import pandas
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics.renoise import renoise
from interpolants.dynamics.sample import sample
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.guidance.cyclic import Coordinates, CyclicOneWay, Job, RePaint, Track, regressed
from interpolants.methods import Bridge
from interpolants.paths import VE, VP, Linear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

C3 = torch.tensor([[1.0, 0.5, 0.9], [0.5, 2.0, 0.8], [0.9, 0.8, 1.2]], dtype=torch.float64)
N, SEED = 24, slice(9, 15)
PLACES = torch.arange(N).double()
COVARIANCE = 0.9 * torch.exp(-(PLACES[:, None] - PLACES).abs() / 3) + 0.001 * torch.eye(N).double()
BACKGROUND = torch.tensor([k for k in range(N) if not SEED.start <= k < SEED.stop])


@cache
def field(path=None):
    path = VP() if path is None else path
    target = GaussianMixture(torch.ones(1).double(), torch.zeros(1, N).double(), COVARIANCE[None])
    return GaussianMixtureBridge(path.base, target).fields(path)


@cache
def truth():
    """A row, and the exact conditional mean and standard deviation of its background."""
    root = torch.linalg.cholesky(COVARIANCE)
    row = root @ torch.randn(N, generator=torch.Generator().manual_seed(0)).double()
    inside = COVARIANCE[SEED, SEED]
    across = COVARIANCE[BACKGROUND][:, SEED]
    weights = across @ torch.linalg.inv(inside)
    rest = COVARIANCE[BACKGROUND][:, BACKGROUND] - weights @ across.T
    return row, weights @ row[SEED], rest.diagonal().sqrt()


def job(rows=400, **settings):
    row, _, _ = truth()
    mask = torch.zeros(rows, N).double()
    mask[:, SEED] = 1
    return Job(field(), torch.where(mask > 0, row, torch.nan), mask, seed=1, **settings)


@cache
def errors(rule):
    """Relative error of the mean, ratio of the spread next to the seed, error of the seed."""
    row, mean, spread = truth()
    x = rule.complete(job()).x
    near = [k for k, place in enumerate(BACKGROUND.tolist()) if place in (SEED.start - 1, SEED.stop)]
    found = x[:, BACKGROUND]
    wrong = (found.mean(0) - mean).square().mean().sqrt() / mean.square().mean().sqrt()
    wide = (found.std(0) / spread)[near].mean()
    return float(wrong), float(wide), float((x[:, SEED] - row[SEED]).square().mean().sqrt())


def test_cycles_bring_the_mean_nearer_and_settle():
    none, ten, twenty = (errors(CyclicOneWay(cycles=c, paste=False)) for c in (0, 10, 20))
    assert ten[0] <= 0.5 * none[0]
    assert abs(ten[0] - twenty[0]) < 0.07
    assert ten[2] > 0.05  # the last way moves the seed
    changes = CyclicOneWay(cycles=6).complete(job()).changes
    assert float(changes[0]) > 5 * float(changes[-1])


def test_an_inverted_track_is_better_than_a_noised_one_on_a_rough_field():
    inverted, noised = (errors(CyclicOneWay(track=track, paste=False)) for track in ("inverted", "noised"))
    assert inverted[0] < 0.8 * noised[0]
    assert inverted[2] < 0.6 * noised[2]


def test_resampling_brings_mean_and_spread_nearer():
    once, often = (errors(RePaint(n_steps=50, resamples=r)) for r in (1, 6))
    assert often[0] < 0.75 * once[0]
    assert 0.8 < often[1] < 1.25
    assert often[2] < 1e-12


def test_everything_known_comes_back_and_nothing_known_is_a_plain_run():
    row = truth()[0].expand(5, N)
    whole = Job(field(), row, torch.ones(5, N).double(), seed=2)
    for rule in (RePaint(n_steps=10), CyclicOneWay(cycles=2)):
        assert_close(rule.complete(whole).x, row)
    empty = Job(field(), torch.full((5, N), torch.nan).double(), torch.zeros(5, N).double(), seed=2)
    found = RePaint(n_steps=10, jump=10, resamples=1).complete(empty).x
    start = empty.start("completion start")
    options = {"method": "ancestral", "n_steps": 10, "seed": empty.seed_of("forth", 0, 0), "finish": "mean"}
    assert_close(
        found, sample(field(), start, **options).x, atol=1e-4, rtol=1e-4
    )  # times in other units of rounding


def test_the_last_step_adds_no_noise_where_the_path_ends_with_some():
    """All is known, and nothing is pasted: what comes back is what the last step left."""
    path, row = VE(smin=0.1), truth()[0].expand(5, N)
    assert float(path.alpha(torch.ones(()))) > 1e-3
    whole = Job(field(path), row, torch.ones(5, N).double(), seed=2)
    assert_close(RePaint(n_steps=10, jump=4, resamples=1, paste=False).complete(whole).x, row)


def test_fresh_noise_puts_back_the_state_that_the_path_has_at_that_time(generator):
    row = truth()[0].expand(5, N)
    x, z = torch.randn(2, 5, N, generator=generator).double()
    track = Track(Job(field(), row, torch.ones(5, N).double()))
    for time in (0.2, 0.7):
        t = torch.tensor(time).double()
        assert_close(track.impose(x, t, track.rows(x), VP(), z), VP().interpolate(t, z, row))
        assert_close(track.impose(x, t, track.rows(x), VP(), None), VP().interpolate(t, 0 * z, row))


def test_no_cycle_is_one_overwrite_and_a_way_to_the_data():
    this = job(rows=6)
    found = CyclicOneWay(cycles=0, late=(), paste=False).complete(this).x
    canvas = torch.where(this.mask > 0, this.x, 0.0)
    grid = np.linspace(0, 1, 51)
    early = sample(field(), canvas, reverse=True, time_grid=grid[25:], start=0.5).x
    assert_close(found, sample(field(), early, time_grid=grid[25:], start=0.5).x, atol=1e-6, rtol=0)


def test_a_late_time_next_to_the_turn_is_imposed_at_the_step_after_it():
    """On 10 steps the nearest time to 0.54 is 0.5, the turn itself: what was known was never put back."""
    settings = {"cycles": 0, "n_steps": 10, "paste": False}
    never, near, next_step = (
        CyclicOneWay(**settings, late=late).complete(job(rows=6)).x for late in ((), (0.54,), (0.6,))
    )
    assert not torch.equal(near, never)
    assert torch.equal(near, next_step)


def test_fill_is_a_value_of_the_data_wherever_their_centre_lies():
    """Coordinates shifted by 3: a canvas filled with 5 is one of 2 there; without a value it is the centre."""
    this, shift = job(rows=6), 3.0
    moved = Job(field(), this.x, this.mask, seed=1, coordinates=Coordinates(of_data=lambda v: v - shift))
    settings = {"cycles": 0, "late": (), "paste": False}
    found = CyclicOneWay(**settings, fill=5.0).complete(moved).x
    assert torch.equal(found, CyclicOneWay(**settings, fill=2.0).complete(this).x)
    centre = CyclicOneWay(**settings).complete(moved).x
    assert torch.equal(centre, CyclicOneWay(**settings, fill=shift).complete(moved).x)
    assert torch.equal(centre, CyclicOneWay(**settings, fill=0.0).complete(this).x)
    logs = Coordinates(of_data=torch.log)
    with pytest.raises(InvalidInputError, match="fill must be a value that the transform takes, got -1"):
        CyclicOneWay(fill=-1.0).complete(Job(field(), this.x, this.mask, coordinates=logs))


def test_a_soft_mask_lies_between():
    this = job(rows=300)
    soft = Job(field(), this.x, 0.5 * this.mask, seed=1)
    row = truth()[0]
    sure, half = (RePaint(n_steps=30).complete(one).x[:, SEED] for one in (this, soft))
    assert float((sure - row[SEED]).abs().max()) < 1e-12
    assert 0.01 < float((half - row[SEED]).abs().mean()) < float((half - row[SEED] / 2).abs().mean()) + 1


def test_rows_do_not_depend_on_their_batch():
    whole = RePaint(n_steps=10, resamples=2).complete(job(rows=90)).x
    part = job(rows=90, first_index=0)
    cut = Job(field(), part.x[64:90], part.mask[64:90], seed=1, first_index=64)
    assert torch.equal(RePaint(n_steps=10, resamples=2).complete(cut).x, whole[64:90])


def test_known_entries_may_be_those_of_other_coordinates():
    """The same problem in coordinates that are turned: the answer turns with it."""
    turn = torch.linalg.qr(torch.randn(N, N, generator=torch.Generator().manual_seed(4)).double())[0]
    turned_law = GaussianMixture(
        torch.ones(1).double(), torch.zeros(1, N).double(), (turn @ COVARIANCE @ turn.T)[None]
    )
    turned = GaussianMixtureBridge(Gaussian(), turned_law).fields(VP())
    this, row, mean = job(), truth()[0], truth()[1]
    coordinates = Coordinates(lambda u: u @ turn, lambda v: v @ turn.T)
    found = RePaint(n_steps=50, resamples=6).complete(
        Job(turned, this.x, this.mask, seed=1, coordinates=coordinates)
    )
    x = coordinates.of_state(found.x)
    assert_close(x[:, SEED], row[SEED].expand(len(x), -1))
    wrong = (x[:, BACKGROUND].mean(0) - mean).norm() / mean.norm()
    assert float(wrong) < errors(RePaint(n_steps=50, resamples=6))[0] + 0.25


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CyclicOneWay(back=0.6), "0 < back < turn < 1"),
        (lambda: CyclicOneWay(late=(0.4,)), "late times must lie"),
        (lambda: CyclicOneWay(n_steps=4, back=0.45).complete(job(rows=2)), "Take more steps"),
        (lambda: Job(field(), torch.zeros(3, N), torch.ones(2, N)), "shape of the rows"),
        (
            lambda: Job(field(), torch.full((2, N), torch.nan), torch.ones(2, N)),
            "known entries must be finite",
        ),
        (lambda: renoise(Linear(), torch.zeros(2, 2), 0.5, 0.2, seed=0), "from a Gaussian base"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


# --- through a trained bridge --------------------------------------------------------------------------------


@cache
def trained():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one column is constant on purpose
        return _trained()


def _trained():
    source = torch.Generator().manual_seed(0)
    u = torch.randn(2000, 1, generator=source)
    x = torch.cat([u, -2 * u + 0.3 * torch.randn(2000, 1, generator=source), torch.full((2000, 1), 7.0)], 1)
    table = pandas.DataFrame((x * torch.tensor([1.0, 50.0, 1.0]) + torch.tensor([100.0, 0.0, 0.0])).numpy())
    table.columns = ["a", "b", "c"]
    net = {"kind": "mlp", "width": 32, "depth": 2}
    return Bridge(path="one_sided_linear", net=net, steps=300, seed=0).fit(x1=table)


def test_entries_follow_by_regression_and_alone_where_they_are_uncorrelated():
    change = torch.tensor([[1.0, -2.0, 0.0], [0.5, 0.0, 0.0]]).double()
    known = torch.tensor([[True, True, False], [True, False, False]])
    found = regressed(change, known, C3)
    assert_close(found[0, 2], C3[2, :2] @ torch.linalg.solve(C3[:2, :2], change[0, :2]))
    assert_close(found[1, 1:], C3[1:, 0] / C3[0, 0] * 0.5)
    assert torch.equal(found[known], change[known])
    assert_close(regressed(change, known, torch.diag(C3.diagonal())), change)
    flat = torch.cat([torch.cat([C3, torch.zeros(3, 1)], 1), torch.zeros(1, 4)]).double()  # a constant entry
    wide = regressed(torch.cat([change, change[:, :1] * 0], 1), torch.cat([known, ~known[:, 2:]], 1), flat)
    assert_close(wide[:, :3], found)


@pytest.mark.parametrize("cycles", [4])
def test_whitened_units_change_no_answer(cycles):
    """The field of the first tests in whitened units: the base is then correlated where entries are known."""
    values, vectors = torch.linalg.eigh(COVARIANCE)
    root, inverse = ((vectors * values**power) @ vectors.T for power in (0.5, -0.5))
    white = GaussianMixture(torch.ones(1).double(), torch.zeros(1, N).double(), torch.eye(N)[None].double())
    fields = GaussianMixtureBridge(Gaussian(), white).fields(VP())
    this, mean, spread = job(), truth()[1], truth()[2]
    coordinates = Coordinates(lambda u: u @ root, lambda v: v @ inverse, COVARIANCE)
    for rule in (RePaint(n_steps=20, resamples=1), CyclicOneWay(cycles=cycles)):
        found = rule.complete(Job(fields, this.x, this.mask, seed=1, coordinates=coordinates))
        x = coordinates.of_state(found.x)[:, BACKGROUND]
        error = spread / len(x) ** 0.5
        assert float(((x.mean(0) - mean) / error).square().mean()) < 3  # exact: the data are the Gaussian fit


@pytest.mark.slow
@pytest.mark.parametrize("using", ["repaint", {"kind": "cyclic_one_way", "cycles": 4}, RePaint(n_steps=20)])
def test_a_bridge_completes_tables_in_their_own_units(using):
    a = np.repeat([98.5, 101.0], 150)
    rows = pandas.DataFrame({"b": np.nan, "a": a, "c": 7.0})
    found = trained().complete(rows, using=using, seed=3)
    assert list(found.columns) == ["a", "b", "c"]
    assert np.allclose(found["a"], a)
    assert np.allclose(found["c"], 7.0)
    slope = found["b"][:150].mean() - found["b"][150:].mean()
    assert 0.4 < slope / (-2 * 50 * (98.5 - 101.0)) < 1.3


@pytest.mark.parametrize(
    "rule", [{"kind": "repaint", "resamples": 1}, {"kind": "cyclic_one_way", "cycles": 4}]
)
def test_a_whitened_bridge_completes_by_the_regression_of_its_rows(rule):
    """One step leaves it the Gaussian fit of its rows, where b is -2 a with a spread of 0.3."""
    source = torch.Generator().manual_seed(0)
    a = torch.randn(1000, 1, generator=source)
    x = torch.cat([a, -2 * a + 0.3 * torch.randn(1000, 1, generator=source)], 1)
    few = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 1, "lr": 1e-9, "held_out": 0}
    bridge = Bridge("one_sided_linear", standardize="whiten", **few).fit(x1=x, progress=False)
    rows = torch.tensor([-1.0, 1.0]).repeat_interleave(150)[:, None] * torch.tensor([[1.0, torch.nan]])
    found = bridge.complete(rows, using={**rule, "n_steps": 20}, seed=1)[:, 1]
    # The means of 150 rows each are known to 0.025.
    assert float(found[150:].mean() - found[:150].mean()) / 2 == pytest.approx(-2, abs=0.1)
    assert float(found[:150].std()) == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize("kind", ["repaint", "cyclic_one_way"])
def test_a_bridge_pastes_what_is_known_unless_the_rule_does_not(kind):
    rows = torch.full((20, 3), torch.nan, dtype=torch.float64)
    rows[:, 0] = 99.123456789

    def completed(paste):
        return trained().complete(rows, using={"kind": kind, "n_steps": 20, "paste": paste}, seed=1).numpy()

    assert (completed(True)[:, 0] == 99.123456789).all()
    left = completed(False)[:, 0]
    assert (left != 99.123456789).all()
    assert np.allclose(left, 99.123456789, atol=0.5)  # the spread of this column is 1


def test_a_bridge_refuses_what_it_cannot_complete():
    two_sided = Bridge(net={"kind": "mlp", "width": 8, "depth": 1}, steps=5).fit(
        torch.randn(60, 2), torch.randn(60, 2)
    )
    with pytest.raises(InvalidInputError, match="does not start from a Gaussian base"):
        two_sided.complete(torch.randn(3, 2))
    rows = torch.tensor([[100.0, torch.nan, 7.0]])
    with pytest.raises(InvalidInputError, match=r"lie in \[0, 1\]"):
        trained().complete(rows, known=torch.full((1, 3), 2.0))
    with pytest.raises(InvalidInputError, match="repaint or cyclic_one_way"):
        trained().complete(rows, using=3)


def test_units_of_the_entries_change_no_regression():
    """Entries in units of 1, 1e-9 and 1e9: what follows is the same in each unit."""
    change = torch.tensor([[1.0, -2.0, 0.0], [0.5, 0.0, 0.0]]).double()
    known = torch.tensor([[True, True, False], [True, False, False]])
    units = torch.tensor([1.0, 1e-9, 1e9]).double()
    found = regressed(units * change, known, units[:, None] * C3 * units) / units
    assert_close(found[0, 2], C3[2, :2] @ torch.linalg.solve(C3[:2, :2], change[0, :2]))
    assert_close(found, regressed(change, known, C3))
