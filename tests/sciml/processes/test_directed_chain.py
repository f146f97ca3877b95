"""Chains with known coefficients against closed forms; learnt laws of random walks; what must not be paired."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.framework.series import Series
from interpolants.framework.task import Split, Task
from interpolants.sciml.processes import DirectedChainGenerator
from interpolants.sciml.processes.chain_paths import DirectedChain, next_link, other_paths, windows_of
from interpolants.sciml.processes.chain_questions import _densities, chain_independence, path_quality
from interpolants.sciml.processes.directed_chain import PathUnits
from interpolants.sciml.processes.kernels.signatures import signature, with_time
from interpolants.sciml.processes.metrics.path_scores import marginal_distances
from interpolants.sciml.processes.problems.directed_chain import LinearDirectedChain
from interpolants.sciml.processes.signature_loss import ExpectedSignature

F64 = torch.float64
TINY = {"steps": 20, "hidden": (8,), "depth": 2, "batch_size": 16}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def walks(count, length, seed=0):
    return torch.randn(count, length, 1, dtype=F64, generator=seeded(seed)).cumsum(1)


def series(values):
    flat = values if values.ndim == 2 else values[:, None]
    seen = flat.isfinite()
    return Series(values=torch.where(seen, flat, 0.0), seen=seen, times=torch.arange(len(flat), dtype=F64))


@pytest.mark.slow
def test_links_of_the_linear_chain_have_the_variance_and_correlations_of_the_closed_form():
    """``dX = (X~ - X) dt + dB`` over time 2: 0.7715, and 0.486, 0.204, 0.074 after 1, 2, 3 links.

    A path runs over unit time here, so the drift is doubled and the strength is the root of 2.
    """
    truth, count, length, source = LinearDirectedChain(2.0, 101), 12_000, 101, seeded()
    first = truth.sample(count, generator=source)
    found, link = [], first
    for _ in range(3):
        noise = (torch.randn(count, 1, dtype=F64, generator=source) for _ in range(length - 1))
        link = next_link(
            lambda t, x, beside: 2 * (beside - x),
            lambda t, x, beside: torch.full_like(x, 2**0.5)[..., None],
            link,
            torch.zeros(count, 1, dtype=F64),
            noise,
            length,
        )
        found.append(float(torch.corrcoef(torch.stack([first[:, -1, 0], link[:, -1, 0]]))[0, 1]))
    assert float(link[:, -1].var()) == pytest.approx(0.7715, abs=0.02)
    assert found == pytest.approx([0.4861, 0.2038, 0.0741], abs=0.02)


def test_entries_count_alike_whatever_the_size_of_paths_and_their_level():
    x, y = walks(4000, 6) / 2, walks(4000, 6, seed=1) / 2 * 1.1
    target = ExpectedSignature.of(x, 4)
    large = ExpectedSignature.of(30 * x, 4)
    assert target.gap(y) == pytest.approx(large.gap(30 * y), rel=1e-3)
    plain = signature(with_time(y), 4).mean(0) - signature(with_time(x), 4).mean(0)
    spread = signature(with_time(x), 4).std(0)
    vary = spread > 1e-6
    assert int(vary.sum()) == 30 - 4  # of time alone nothing varies: t, tt, ttt, tttt
    assert target.gap(y) == pytest.approx(float((plain / spread)[vary].square().mean().sqrt()), rel=1e-3)
    assert ExpectedSignature.of(x, 2, (0.0, 2.0)).gap(y) > 0


def test_the_distance_of_a_batch_is_without_bias():
    """Of batches of the law itself it is 0 on average; the plain square is 1 / B, as entries have unit variance."""
    x = walks(20_000, 5)
    target = ExpectedSignature.of(x, 3)
    values = torch.tensor([float(target.distance(batch.float())) for batch in x.split(20)]).double()
    assert abs(float(values.mean())) < 4 * float(values.std()) / len(values) ** 0.5
    plain = torch.tensor([target.gap(batch) ** 2 for batch in x.split(20)]).mean()
    assert float(plain) == pytest.approx(1 / 20, rel=0.1)


def test_a_path_never_starts_where_its_neighbour_or_a_window_that_overlaps_with_it_does():
    index = torch.arange(50).repeat(400)
    for apart in (1, 4):
        other = other_paths(index, 50, apart, seeded())
        around = torch.minimum((other - index) % 50, (index - other) % 50)
        assert int(around.min()) == apart
        counts = torch.bincount(other[index == 7], minlength=50)
        assert (
            int((counts > 0).sum()) == 50 - 2 * apart + 1
        )  # all others, and the start of each equally often


def test_windows_of_series_with_gaps():
    ramp = torch.arange(20, dtype=F64)
    found = windows_of([series(ramp), series(100 + ramp[:7])], 5, 2, "refuse")
    assert found.values.shape == (10, 5, 1)
    assert found.apart == 3
    assert_close(found.values[:, 0, 0], torch.tensor([0.0, 2, 4, 6, 8, 10, 12, 14, 100, 102], dtype=F64))
    ramp[9] = torch.nan
    assert len(windows_of([series(ramp)], 5, 1, "skip").values) == 11
    assert_close(windows_of([series(ramp)], 5, 1, "linear").values[9, 0, 0], torch.tensor(9.0).double())
    with pytest.raises(InvalidInputError, match=r"series 0 must have no gaps.*gaps='linear'"):
        windows_of([series(ramp)], 5, 1, "refuse")


@pytest.fixture(scope="module")
def learnt():
    """Brownian motion over unit time in 10 steps, from a normal start."""
    return DirectedChainGenerator(standardise="paths", steps=250, depth=3, hidden=(32, 32), seed=1).fit(
        walks(2000, 11) / 10**0.5
    )


@pytest.mark.slow
def test_it_learns_the_law_of_random_walks_and_the_chain_forgets_where_it_began(learnt):
    made, fresh = learnt.sample(3000, links=1, seed=4), walks(3000, 11, seed=9) / 10**0.5
    assert made.dtype == F64
    assert made.shape == (3000, 11, 1)
    variance = made.var(0)[:, 0] / (torch.arange(1, 12, dtype=F64) / 10)
    assert float((variance - 1).abs().max()) < 0.2, variance
    later = marginal_distances(learnt.sample(3000, seed=4), fresh)[:, 0]  # errors grow along the chain
    assert float(later.max()) < 0.16
    steps = made.diff(dim=1)[:, :, 0].T.corrcoef() - torch.eye(10)
    assert float(steps.abs().max()) < 0.25  # increments are nearly independent
    task = Task.of(learnt.roles(), {"series": fresh[:1000]})
    answered = ask(chain_independence(links=4, asked=4), learnt, task)
    assert answered["dependence"].value < 0.1
    quality = ask(path_quality(recurrent=False, n=1000), learnt, task)
    assert quality["marginal"].value < 0.15
    assert quality["peaks_missed"].value == 0


def test_a_path_is_that_of_its_seed_and_place_and_the_first_link_resembles_its_neighbour_alone():
    model = DirectedChainGenerator(**TINY).fit(walks(100, 11))
    whole = model.sample(130, seed=3)
    assert_close(model.sample(40, seed=3, first_index=90), whole[90:], atol=1e-5, rtol=1e-5)
    assert not torch.equal(model.sample(130, seed=4), whole)
    given = walks(2, 11, seed=5)
    assert model.transport(given).shape == (2, 11, 1)
    with pytest.raises(InvalidInputError, match=r"the 11 times of the model.*resample=True"):
        model.transport(walks(2, 21, seed=5))
    longer = given.repeat_interleave(2, 1)[:, :21]
    assert model.transport(longer, resample=True).shape == (2, 11, 1)


def test_relative_paths_begin_at_zero_and_units_do_not_matter():
    level = 50 + walks(400, 1)[:, 0, 0].cumsum(0)
    first, second = (
        DirectedChainGenerator(window=8, relative=True, **TINY).fit(x).sample(30) for x in (level, 10 * level)
    )
    assert_close(first[:, 0], torch.zeros(30, 1, dtype=F64))
    assert_close(10 * first, second, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_table_of_a_user_with_gaps_and_a_saved_model_in_another_process(tmp_path):
    pandas = pytest.importorskip("pandas")
    hours = pandas.date_range("2024-01-01", periods=240, freq="h")
    x = np.sin(np.arange(240) * np.pi / 12) + 0.1 * np.random.default_rng(0).normal(size=240)
    table = pandas.DataFrame({"load": x, "wind": x**2}, index=hours)
    table.iloc[30:33] = np.nan
    model = DirectedChainGenerator(window=12, stride=4, gaps="skip", **TINY).fit(table)
    assert model.sample(5).shape == (5, 12, 2)
    model.save(tmp_path / "model")
    code = f"import interpolants; print(interpolants.load({str(tmp_path / 'model')!r}).sample(2, seed=3).sum().item())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(told) == pytest.approx(float(interpolants.load(tmp_path / "model").sample(2, seed=3).sum()))


@pytest.mark.parametrize(
    ("settings", "data", "message"),
    [
        ({}, walks(1, 5), "at least two series of the same length"),
        ({}, walks(5, 1), "at least two series of the same length"),
        ({}, [walks(1, 5)[0], walks(1, 6)[0]], "at least two series of the same length"),
        ({"window": 9}, walks(1, 12)[0], "at least 18 paths.*does not overlap"),
        ({"window": 20}, walks(1, 12)[0], "a series must have at least 20 times"),
        ({}, torch.ones(4, 5, 1), "column 0 is the same in all"),
        ({"depth": 9}, walks(4, 5).expand(-1, -1, 3), "at most 131072 numbers"),
    ],
)
def test_bad_paths_are_refused(settings, data, message):
    with pytest.raises(InvalidInputError, match=message):
        DirectedChainGenerator(**{**TINY, **settings}).fit(data)


def test_weights_that_are_not_those_of_the_levels_are_refused():
    with pytest.raises(InvalidInputError, match=r"^DirectedChainGenerator: .* one entry per level, 4, got 1"):
        DirectedChainGenerator(weights=(1.0,))


def test_a_plain_equation_follows_no_path_and_splits_keep_paths_whole():
    plain = DirectedChainGenerator(neighbour=False, **TINY).fit(walks(40, 6))
    assert plain.sample(3).shape == (3, 6, 1)
    with pytest.raises(InvalidInputError, match="follows no path"):
        plain.transport(walks(2, 6))
    task = Task.of(plain.roles(), {"series": walks(40, 6)}, Split(test=0.25))
    assert task.train["series"].shape == (30, 6, 1)


def test_a_link_follows_the_time_and_its_neighbour_at_that_time():
    """``dX = (2 t + X~) dt`` beside ``X~ = t^2`` is ``t^2 + t^3 / 3``."""
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    nothing = [torch.zeros(1, 1, dtype=torch.float64)] * 200
    found = next_link(
        lambda t, x, beside: 2 * t + beside,
        lambda t, x, beside: torch.zeros(1, 1, 1, dtype=torch.float64),
        t.square()[None, :, None],
        torch.zeros(1, 1, dtype=torch.float64),
        nothing,
        201,
    )
    assert_close(found[0, :, 0], t**2 + t**3 / 3, atol=0.01, rtol=0)
    euler = (2 * t + t.square())[:-1].cumsum(0) / 200
    assert_close(found[0, 1:, 0], euler, atol=1e-12, rtol=0)


def test_without_a_drift_a_link_is_brownian_motion_of_variance_one_at_its_end():
    z = torch.randn(4, 3, 1, dtype=F64, generator=seeded())
    start, one = torch.zeros(3, 1, dtype=F64), torch.ones(3, 1, 1, dtype=F64)
    found = next_link(lambda t, x, _: 0 * x, lambda t, x, _: one, None, start, z, 5)
    assert_close(found[:, -1], z.sum(0) / 2)


@pytest.mark.parametrize("by", ["times", "paths"])
def test_units_of_paths_have_size_one_and_an_inverse(by):
    paths = 3 + 5 * torch.randn(400, 6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    units = PathUnits.of(paths, by=by, relative=False)
    found = units.encode(paths)
    assert_close(found.mean(), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert_close(found.square().mean(), torch.tensor(1.0), atol=1e-5, rtol=0)
    assert_close(units.decode(found), paths, atol=1e-5, rtol=1e-6)


def test_densities_of_a_figure_count_what_lies_beyond_its_ends():
    line = _densities({"x": torch.tensor([-7.0, 0.1, 0.5, 9.0])}, 0.0, 1.0).series[0].arrays
    width = float(line["x"][1] - line["x"][0])
    assert float(line["y"].sum()) * width == pytest.approx(1)


@pytest.mark.slow
def test_a_chain_with_a_drift_and_noise_of_ones_own_has_the_closed_form_and_forgets():
    """``dX = (X~ - X) dt + dB`` over time 2, in data units: 0.7715, and 0.486, 0.204, 0.074 after 1, 2, 3 links."""
    chain = DirectedChain(
        drift=lambda t, x, beside: beside - x,
        strength=lambda t, x, beside: torch.ones_like(x)[..., None],
        duration=2.0,
    )
    first = LinearDirectedChain(2.0, 101).sample(5000, generator=seeded())
    links = chain.walk(first, 3, generator=seeded(1))
    found = [float(torch.corrcoef(torch.stack([first[:, -1, 0], one[:, -1, 0]]))[0, 1]) for one in links]
    assert float(links[2][:, -1].var()) == pytest.approx(0.7715, abs=0.06)
    assert found == pytest.approx([0.4861, 0.2038, 0.0741], abs=0.045)


def test_a_chain_of_ones_own_sees_real_time_two_noises_and_starts_of_others():
    seen = []

    def drift(t, x, beside):
        seen.append(float(t))
        return torch.full_like(x, 3.0)

    chain = DirectedChain(
        drift=drift, strength=lambda t, x, beside: 0.1 * torch.ones(*x.shape, 2), noise=2, duration=4.0
    )
    paths = torch.arange(5.0)[:, None, None].expand(5, 9, 1).double()
    link = chain.walk(paths, 1, generator=seeded())[0]
    assert sorted(set(seen)) == pytest.approx([0.5 * k for k in range(8)])
    assert bool((link[:, 0] != paths[:, 0]).all())  # never the start of the neighbour
    apart = link[:, -1, 0] - link[:, 0, 0] - 12.0
    many = chain.follow(torch.zeros(4000, 9, 1).double(), torch.zeros(4000, 1).double(), generator=seeded())
    assert float(apart.abs().max()) < 1.5
    assert float(many[:, -1].var()) == pytest.approx(0.01 * 2 * 4, rel=0.12)
    with pytest.raises(InvalidInputError, match="at least two paths are required, got 1"):
        chain.walk(paths[:1], 1, generator=seeded())
    with pytest.raises(InvalidInputError, match=r"paths must have shape \(B, T, C\)"):
        chain.follow(paths, torch.zeros(4, 1), generator=seeded())


def test_draws_tell_the_paths_that_their_walks_began_at():
    data = walks(100, 11)
    model = DirectedChainGenerator(**TINY).fit(data)
    drawn = model.sample(70, seed=3, ancestors=True)
    assert torch.equal(drawn["x"], model.sample(70, seed=3))
    assert_close(drawn["ancestors"], data[drawn["places"]], rtol=1e-5, atol=1e-5)
    assert torch.equal(drawn["places"], model.sample(90, seed=3, links=1, ancestors=True)["places"][:70])
    twin = DirectedChainGenerator(neighbour=False, **TINY).fit(data)
    with pytest.raises(InvalidInputError, match="a path has no ancestor"):
        twin.sample(3, ancestors=True)
