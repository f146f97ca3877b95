"""Free-energy differences by fitted bridges: right for any bridge, in the units of the rows."""

import math

import pytest
import torch

import interpolants as itp
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.task import Task
from interpolants.problems.gaussian_mixture import GaussianMixture

NET = {"kind": "mlp", "width": 16, "depth": 2}
SMALL = {"net": NET, "steps": 60, "batch_size": 64, "lr": 0.003, "seed": 0}
N = 1200
SCALES = torch.tensor([0.01, 300.0], dtype=torch.float64)


def f0(x):
    return -(x / SCALES).square().sum(1) / 2


def f1(x):
    return -((x / SCALES - 1.5) / 0.5).square().sum(1) / 2


def rows():
    source = torch.Generator().manual_seed(0)
    x0, x1 = (torch.randn(N, 2, generator=source, dtype=torch.float64) for _ in range(2))
    return x0 * SCALES, (1.5 + 0.5 * x1) * SCALES


@pytest.fixture(scope="module")
def fitted():
    bridge = itp.Bridge(path="linear", **SMALL)
    x0, x1 = rows()
    task = Task.of(bridge.roles(), {"x0": x0, "x1": x1})
    return task.fit(bridge, progress=False), task


def agrees(answer, truth):
    found = answer["log_ratio"]
    assert abs(found.value - truth) <= 4 * found.error
    for name, side in (("lower", -1), ("upper", 1)):
        bound = answer[name]
        assert side * (bound.value - truth) > -3 * bound.error


def test_a_crude_bridge_gives_bounds_and_the_right_difference_in_units_of_the_rows(fitted):
    bridge, task = fitted
    answer = bridge.ask("free_energy", task, log_densities=(f0, f1), n=1000, n_steps=20)
    agrees(answer, 2 * math.log(0.5))
    assert answer["overlap"].value > 2 * answer["overlap_without_path"].value
    assert answer["width"].value == pytest.approx(answer["upper"].value - answer["lower"].value)
    assert answer.arrays["forward"].shape == (240, 4)  # test rows, paths from each
    series = answer.figures[0].panels[0].series
    assert [float(one.arrays["counts"].sum()) for one in series[:2]] == pytest.approx([1, 1])
    names = [one.name for one in series]
    assert names == ["forward paths", "backward paths", "", "", "estimate"]


def test_without_a_task_the_rows_are_those_that_the_fit_held_out(fitted):
    bridge, _ = fitted
    answer = bridge.ask("free_energy", log_densities=(f0, f1), n=400, n_steps=20, eps=0.5)
    assert answer.arrays["forward"].shape[0] == len(bridge.held_out_rows.x0)
    agrees(answer, 2 * math.log(0.5))


def test_the_volume_of_a_curved_change_of_units_is_accounted_for():
    """Log-normal rows learnt in logarithms: the volume differs from row to row and between the ends."""
    source = torch.Generator().manual_seed(0)
    x0, x1 = (torch.randn(N, 1, generator=source, dtype=torch.float64) for _ in range(2))

    def of(mean, spread):
        return lambda x: -((x.log() - mean) / spread).square().sum(1) / 2 - x.log().sum(1)

    bridge = itp.Bridge(path="linear", transform="log", **SMALL).fit(
        x0.exp(), (1 + 0.5 * x1).exp(), progress=False
    )
    options = {"n": 600, "n_steps": 20, "eps": 0.5, "stein": False}
    agrees(bridge.ask("free_energy", log_densities=(of(0.0, 1.0), of(1.0, 0.5)), **options), math.log(0.5))


def test_a_gaussian_base_gives_the_constant_itself():
    _, x1 = rows()
    bridge = itp.Bridge("one_sided_linear", **SMALL).fit(x1=x1, progress=False)
    truth = math.log(2 * math.pi) + 2 * math.log(0.5) + float(SCALES.log().sum())
    agrees(bridge.ask("free_energy", log_densities=(None, f1), n=400, n_steps=50), truth)
    with pytest.raises(InvalidInputError, match=r"belong to a path between two sample sets.*\(None, f1\)"):
        bridge.ask("free_energy", log_densities=(f0, f1), n=400, n_steps=50, stein=False)


def test_the_densities_of_a_task_are_taken_where_none_are_given():
    laws = [
        GaussianMixture([1.0], torch.full((1, 1), m), torch.full((1, 1, 1), v))
        for m, v in ((0.0, 1.0), (1.0, 0.5))
    ]
    source = torch.Generator().manual_seed(0)
    values = {f"x{k}": law.sample(N, generator=source).float() for k, law in enumerate(laws)}
    bridge = itp.Bridge(path="linear", **SMALL)
    task = Task.of(bridge.roles(), values, truths={f"x{k}": law for k, law in enumerate(laws)})
    answer = task.fit(bridge, progress=False).ask("free_energy", task, n=400, n_steps=20, eps=0.5)
    agrees(answer, 0.0)
    assert answer["lower"].floor == 0.0


@pytest.mark.parametrize(
    ("logs", "words"),
    [
        ((f1, f0), r"the mean gradient of log_densities\[0\] .* must vanish"),
        ((f0, lambda x: f1(x) / 2), r"gradient of log_densities\[1\] must be -1, got -0\.[45]"),
        ((f0, lambda x: f1(x).detach()), r"log_densities\[1\] must have a gradient.*stein=False"),
        ((f0, f1, f1), "must be two functions of rows"),
        ((f0, None), "must be two functions of rows"),
        (None, "log_densities is required: the density of x0 is unknown"),
    ],
    ids=["exchanged", "wrong_kt", "no_gradient", "three", "one", "none"],
)
def test_log_densities_that_do_not_belong_to_the_rows_are_refused(fitted, logs, words):
    bridge, task = fitted
    with pytest.raises(InvalidInputError, match=words):
        bridge.ask("free_energy", task, log_densities=logs)


def test_methods_without_such_paths_are_refused():
    x0, x1 = rows()
    labels = torch.arange(N) % 2
    bridge = itp.Bridge(path="linear", **{**SMALL, "steps": 2}).fit(x0, x1, cond=labels, progress=False)
    task = Task.of(bridge.roles(), {"x0": x0, "x1": x1, "cond": labels})
    with pytest.raises(NotAbleError, match="fitted with conditions"):
        bridge.ask("free_energy", task, log_densities=(f0, f1))
    few = itp.Bridge(path="linear", **{**SMALL, "steps": 2}).fit(x0[:50], x1[:50], progress=False)
    with pytest.raises(InvalidInputError, match="x0 must have at least 20 held-out rows, got 10"):
        few.ask("free_energy", log_densities=(f0, f1))


def test_two_sets_in_an_answer_out():
    found = itp.free_energy(*rows(), f0, f1, bridge=itp.Bridge(path="linear", **SMALL), n=600)
    assert abs(found.log_ratio - 2 * math.log(0.5)) <= 4 * found.error
    assert found.lower < found.log_ratio < found.upper
    assert "log Z1/Z0" in str(found)


def test_sets_that_are_too_small_or_exchanged_are_refused_before_the_fit():
    x0, x1 = rows()
    with pytest.raises(InvalidInputError, match="free_energy: x1 must have at least 100 rows, got 1"):
        itp.free_energy(x0, x1[:1], f0, f1)
    with pytest.raises(InvalidInputError, match="free_energy: the mean gradient of f0"):
        itp.free_energy(x1, x0, f0, f1)


@pytest.mark.slow
def test_the_constant_of_a_mixture_comes_out_of_a_learnt_bridge():
    """Two modes of other width at 4 D; perturbation without a path is wrong by more than its error."""
    means = torch.zeros(2, 4, dtype=torch.float64)
    means[0, 0], means[1, 0] = -2.0, 2.0
    covariances = torch.stack([torch.eye(4) * 0.2, torch.eye(4) * 0.5]).double()
    law = GaussianMixture([0.3, 0.7], means, covariances)
    base = GaussianMixture([1.0], torch.full((1, 4), 1.0), torch.eye(4)[None])
    source = torch.Generator().manual_seed(0)
    x0, x1 = (one.sample(6000, generator=source) for one in (base, law))
    logs = (lambda x: base.log_prob(x) + 2.0), (lambda x: law.log_prob(x) - 3.0)
    found = itp.free_energy(x0, x1, *logs, bridge=itp.Bridge(path="linear", steps=2000, seed=0))
    assert abs(found.log_ratio + 5.0) <= 4 * found.error
    assert found.error < 0.05
    assert found.upper - found.lower < 1.5
