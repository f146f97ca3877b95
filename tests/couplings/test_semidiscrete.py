"""Semidiscrete plans: closed forms in one dimension, POT on draws, and the pairs that training gets."""

import math
import warnings

import pytest
import torch
from scipy.stats import norm
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.couplings import Semidiscrete, UnfittedCoupling, get_coupling
from interpolants.couplings.condition_cost import permutation
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.metrics.sliced_wasserstein import sliced_wasserstein
from interpolants.objectives.times import UniformTimes
from interpolants.paths import Linear, ZeroEnvelope
from interpolants.training import PairBatches
from interpolants.training.instance_noise import InstanceNoise

F64 = torch.float64
POINTS = torch.tensor([-2.0, -1.1, -0.3, 0.2, 0.4, 1.5, 2.2], dtype=F64)[:, None]


def normal(dim, seed=0):
    """Draws of a standard normal by step."""
    return lambda step, n: torch.randn(
        n, dim, generator=torch.Generator().manual_seed(10_000 * seed + step), dtype=F64
    )


def clusters(n, seed=5):
    source = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]], dtype=F64)
    return centres[torch.randint(3, (n,), generator=source)] + 0.4 * torch.randn(
        n, 2, generator=source, dtype=F64
    )


@pytest.mark.parametrize("weights", [torch.ones(7), torch.tensor([1.0, 2.0, 3.0, 1.0, 1.0, 2.0, 4.0])])
def test_cells_of_a_normal_are_quantile_intervals(weights):
    """Their ends are quantiles of the cumulated weights; W2^2 = 1 + sum b y^2 - 2 sum b-free differences of phi."""
    plan = Semidiscrete().fit(normal(1), POINTS, weights)
    b = weights.double() / weights.sum()
    ends = torch.from_numpy(norm.ppf(torch.cat([torch.zeros(1, dtype=F64), b.cumsum(0)]).clamp(0, 1).numpy()))
    z = torch.linspace(-3, 3, 1201, dtype=F64)[:, None]
    exact = (torch.bucketize(z[:, 0], ends) - 1).clamp(0, 6)
    near = (z - ends[1:-1]).abs().amin(1) < 0.03
    assert torch.equal(plan.assign(z)[~near], exact[~near])
    phi = torch.from_numpy(norm.pdf(ends.numpy()))
    exact_cost = 1 + float(b @ POINTS[:, 0] ** 2) - 2 * float(POINTS[:, 0] @ (phi[:-1] - phi[1:]))
    # 20,000 draws: the cost of a draw has a standard deviation of about 0.35.
    assert plan.primal == pytest.approx(exact_cost, abs=4 * 0.35 / math.sqrt(20_000))
    assert plan.dual == pytest.approx(plan.primal, abs=0.02)
    assert_close(plan.masses, b, atol=0.015, rtol=0)


@pytest.mark.parametrize(("scale0", "scale1"), [(10.0, 10.0), (1.0, 0.01), (1.0, 100.0)])
def test_a_shift_and_a_scale_of_one_side_change_no_pair(scale0, scale1):
    y, z = clusters(50), normal(2, seed=3)(1, 500)
    coupling = Semidiscrete(n_iter=1000, tol=1.0)
    plain = coupling.fit(normal(2), y)
    moved = coupling.fit(lambda step, n: scale0 * normal(2)(step, n) + 7, scale1 * y + 300)
    assert float((plain.assign(z) == moved.assign(scale0 * z + 7)).double().mean()) > 0.99
    assert moved.dual == pytest.approx(moved.primal, rel=0.05)
    assert float(moved.weights @ moved.potentials) == pytest.approx(0, abs=1e-6 * scale1**2 + 1e-6)


def test_one_row_takes_all():
    plan = Semidiscrete(n_iter=10).fit(normal(2), torch.full((1, 2), 3.0, dtype=F64))
    assert plan.masses.tolist() == [1.0]
    assert plan.primal == pytest.approx(20, rel=0.05)  # |(3, 3)|^2 + 2


def test_two_hundred_rows_have_equal_masses_and_the_cost_of_an_exact_plan():
    ot = pytest.importorskip("ot")
    y = clusters(200)
    plan = Semidiscrete().fit(normal(2), y)
    z = normal(2, seed=9)(1, 100_000)
    masses = torch.bincount(plan.assign(z), minlength=200) / 100_000
    assert float((masses - 1 / 200).abs().sum()) / 2 <= 0.04  # 0.018 of it are counting noise
    assert abs(plan.primal - plan.dual) <= 0.01
    assert plan.masses.sum() == pytest.approx(1)
    draws = z[:2000]
    exact = ot.emd2([], [], ot.dist(draws.numpy(), y.numpy()))
    assert plan.primal == pytest.approx(exact, rel=0.1)  # draws of 2,000 rows add to the distance


def test_rows_that_are_equal_share_a_cell():
    y = torch.cat([POINTS, POINTS[:2], POINTS[:1]])
    plan = Semidiscrete(n_iter=1500).fit(normal(1), y)
    assert_close(plan.weights[:2], torch.tensor([0.3, 0.2], dtype=F64))
    assert plan.weights[7:].tolist() == [0, 0, 0]
    assert int(plan.assign(normal(1, seed=2)(1, 2000)).max()) < 7


def test_pairs_of_a_batch_take_rows_from_the_whole_set():
    y, x0 = clusters(100).float(), normal(2)(1, 20_000).float()
    batches = PairBatches(x0, y, 64, Semidiscrete(n_iter=1000, tol=1.0), UniformTimes())
    batch = batches(1, torch.Generator().manual_seed(0), 0, 1)
    assert torch.equal(batch["x1"], y[batches.coupling.assign(batch["x0"])])
    weights = torch.arange(1.0, 101.0)
    weighted = batches.by_weight(None, weights).coupling
    assert_close(weighted.weights, weights.double() / weights.sum())


def test_a_bridge_from_draws_to_a_data_set():
    y = clusters(60).float()
    bridge = Bridge(
        Linear(envelope=ZeroEnvelope()),
        coupling={"kind": "semidiscrete", "n_iter": 500, "tol": 1.0},
        heads="velocity",
        steps=30,
        net={"kind": "mlp", "width": 16},
        held_out=0,
    )
    bridge.fit(lambda n, generator: torch.randn(n, 2, generator=generator), y, progress=False)
    assert bridge.sample(10, seed=0).shape == (10, 2)


def test_it_is_found_by_name_and_must_be_fitted():
    coupling = get_coupling("semidiscrete", n_iter=10)
    assert isinstance(coupling, UnfittedCoupling)


def test_unequal_masses_are_told():
    with pytest.warns(FitWarning, match="masses of the rows must differ .* larger n_iter"):
        Semidiscrete(n_iter=2).fit(normal(2), clusters(200))


def test_what_it_cannot_pair_is_refused():
    y, x0 = clusters(30).float(), normal(2)(1, 300).float()
    plan = Semidiscrete(n_iter=20, tol=1.0).fit(x0, y)
    with pytest.raises(InvalidInputError, match="data set of the fit"):
        plan.pair(x0, y[permutation(30, None)][:20])
    with pytest.raises(InvalidInputError, match="no conditions"):
        plan.pair(x0, y, cond1=torch.zeros(30, dtype=torch.int64))
    with pytest.raises(InvalidInputError, match="at least as many samples"):
        Semidiscrete().fit(x0[:20], y)
    with pytest.raises(InvalidInputError, match="same shape"):
        Semidiscrete().fit(x0, y[:, :1])
    with pytest.raises(InvalidInputError, match="without instance noise"):
        PairBatches(x0, y, 8, Semidiscrete(), UniformTimes(), perturb=InstanceNoise(0.1))
    with pytest.raises(InvalidInputError, match="needs samples of both ends"):
        PairBatches(None, y, 8, Semidiscrete(), UniformTimes())


@pytest.mark.slow  # ten seconds: four bridges
def test_one_euler_step_ends_nearer_than_with_pairs_of_minibatches(capsys):
    """200 rows of three clusters, batches of 64: sliced W2 of 4,000 samples of one step to the rows."""
    settings = {"heads": "velocity", "steps": 1500, "batch_size": 64, "held_out": 0}
    net = {"kind": "mlp", "width": 64, "depth": 3}
    for seed in range(2):
        y, found = clusters(200, seed=5 + seed).float(), {}
        for coupling in ("minibatch_ot", "semidiscrete"):
            bridge = Bridge(
                Linear(envelope=ZeroEnvelope()), coupling=coupling, net=net, seed=seed, **settings
            )
            bridge.fit(lambda n, generator: torch.randn(n, 2, generator=generator), y, progress=False)
            for steps in (1, 2, 16):
                x = bridge.sample(4000, seed=1, method="euler", n_steps=steps)
                found[coupling, steps] = sliced_wasserstein(
                    x, y, generator=torch.Generator().manual_seed(0)
                ).value
        with capsys.disabled():
            print(f"\nseed {seed}: { ({name: round(value, 3) for name, value in found.items()}) }")
        assert found["minibatch_ot", 1] > 1.25 * found["semidiscrete", 1]


def test_masses_that_differ_by_the_error_of_their_draws_alone_are_not_told():
    """Of 100 draws 57 lie right of 0: a distance of .07, of which .056 are to be expected."""
    z = torch.cat([torch.full((57, 1), 1.0), torch.full((43, 1), -1.0)]).double()
    rows, even = torch.tensor([[1.0], [-1.0]]).double(), torch.full((2,), 0.5, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Semidiscrete(tol=0.02)._judged(z, rows, 0 * even, even)
    with pytest.warns(FitWarning, match=r"got 0\.014"):
        Semidiscrete(tol=0.01)._judged(z, rows, 0 * even, even)
