"""Fitted solvers: nearer end points than named solvers at equal evaluations, and refusals elsewhere."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import FittedSolver, best_grid, fit_solver, sample
from interpolants.dynamics.best_grid import _descend as _descend_grid
from interpolants.dynamics.fitted_solver import table_of
from interpolants.dynamics.optimised_grid import choose_grid, standard_grids
from interpolants.fields import LearnedFields, on_path
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import SettingWarning
from interpolants.guidance.classifier_free import ClassifierFree, with_strength
from interpolants.likelihood import log_prob
from interpolants.paths import VP, Linear, OneSidedLinear, OneSidedTrigonometric
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.solvers.registry import available

F64 = torch.float64
# The mixture of tests/fields/test_on_path.py.
MIXTURE = GaussianMixture(
    torch.tensor([0.5, 0.3, 0.2], dtype=F64),
    torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-0.5, -1.5]], dtype=F64),
    torch.tensor([0.25, 0.4, 0.15], dtype=F64).square(),
)
PATH = OneSidedLinear()
QUICK = {"steps": 20, "start": "euler"}
# Of all named solvers these are the nearest at 4 evaluations, in the root mean square and in the median.
NEAREST = ("midpoint", "unipc2", "unipc3")


def exact(path=PATH):
    return GaussianMixtureBridge(path.base, MIXTURE).fields(path)


def starts(n, seed, dtype=F64):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def gaps(x, end):
    """Root mean square and median distance of rows."""
    off = (x - end).norm(dim=1)
    return float(off.square().mean().sqrt()), float(off.median())


def best_named(fields, n, x, end, names=None):
    """The smallest root mean square and the smallest median of named solvers, each at its best grid."""
    found = []
    for name in names or (*available("ode"), *available("multistep")):
        per_step = {"midpoint": 2, "heun": 2, "rk4": 4}.get(name, 1)
        if name in ("dopri5", "tsit5") or n % per_step:
            continue
        grids = {**standard_grids(fields, n // per_step, name)}
        grids["made"] = choose_grid(fields, starts(200, 5), n // per_step, method=name, cells=12).times
        made = (sample(fields, x, method=name, time_grid=grid).x for grid in grids.values())
        found += [gaps(states, end) for states in made]
    return min(rms for rms, _ in found), min(median for _, median in found)


class Net(nn.Module):
    """A bounded velocity that pulls to a condition, or to 0 without one."""

    def forward(self, x, t, cond=None):
        goal = 0.0 if cond is None else cond.nan_to_num()  # NaN stands for no condition
        return torch.tanh(goal - x) * (1 + t.reshape(-1, 1))


class Noisy(WrappedFields):
    """Fields with dropout."""

    def evaluate(self, x, t, want, cond=None):
        values = self.inner.evaluate(x, t, want, cond)
        return {name: torch.dropout(value, 0.5, train=True) for name, value in values.items()}


@pytest.fixture(scope="module")
def quick():
    return fit_solver(LearnedFields(PATH, velocity=Net()), starts(300, 1, torch.float32), 3, **QUICK)


def test_four_evaluations_on_new_starts_are_nearer_than_every_named_solver_at_its_best_grid():
    fields, x = exact(), starts(2000, 7)
    fast = fit_solver(fields, starts(2000, 1), 4, start="midpoint", steps=200, batch_size=256)
    end = sample(fields, x, method="rk4", n_steps=200).x
    done = sample(fields, x, method=fast)
    assert done.nfe == 4
    assert done.method == "fitted"
    (rms, median), (named_rms, named_median) = gaps(done.x, end), best_named(fields, 4, x, end, NEAREST)
    assert named_rms > 2.5 * rms
    assert named_median > 4 * median
    assert len(fast) + len(fast.start_weights) + sum(map(len, fast.weights)) == 18
    # The errors of the table are those of held-out rows, per entry.
    assert list(fast.errors)[-1] == "fitted"
    assert fast.errors["fitted"] == pytest.approx(rms / 2**0.5, rel=0.6)


# Measured on 20,000 starts: the best named root mean square and median are 0.282 and 0.076 at 4 evaluations, 0.105 and
# 0.0081 at 8; the fitted ones are 0.071 to 0.078 and 0.009 to 0.010 at 4, 0.038 to 0.050 and 0.0021 to 0.0029 at 8.
@pytest.mark.slow
@pytest.mark.parametrize(("n", "factors"), [(4, (2.5, 4.0)), (8, (1.3, 2.0))])
def test_all_named_solvers_are_further_away_over_three_seeds(n, factors):
    fields, x = exact(), starts(20_000, 7)
    end = sample(fields, x, method="rk4", n_steps=200).x
    named = best_named(fields, n, x, end)
    for seed in range(3):
        fast = fit_solver(fields, starts(2000, 100 + seed), n, seed=seed)
        fitted = gaps(sample(fields, x, method=fast).x, end)
        assert named[0] > factors[0] * fitted[0]
        assert named[1] > factors[1] * fitted[1]


@pytest.mark.parametrize("name", ["euler", "midpoint", "rk4", "dpmpp_2m", "exponential_ab3", "unipc3"])
def test_named_solvers_are_tables(name, quick):
    # A noise is learnt, so that solvers with memory read the same relations as the table.
    fields = LearnedFields(VP(), noise=lambda x, t: torch.tanh(x), margin=1e-3)
    steps = {"midpoint": 4, "rk4": 2}.get(name, 8)
    x = starts(20, 2)
    for grid in standard_grids(fields, steps, name).values():
        parts = table_of(fields, name, grid, 8)
        table = dataclasses.replace(
            quick,
            times=tuple(parts.times.tolist()),
            start_weights=tuple(parts.start_weights.tolist()),
            weights=tuple(tuple(row[: i + 1]) for i, row in enumerate(parts.weights.tolist())),
        )
        ran = table.sampler(fields).run(x, None, 0, keep=False, on_step=None).x
        assert_close(ran, sample(fields, x, method=name, time_grid=grid).x, rtol=0, atol=1e-9)


def test_the_table_is_run_as_its_formula_says(quick):
    fields, x = LearnedFields(PATH, velocity=Net()), starts(5, 3, torch.float32)
    values, states = [], [x]
    for i, t in enumerate(quick.times):
        values.append(fields.velocity(states[-1], t))
        terms = [w * v for w, v in zip(quick.weights[i], values, strict=True)]
        states.append(quick.start_weights[i] * x + sum(terms))
    done = sample(fields, x, method=quick, return_path=True)
    assert_close(done.path, torch.stack(states))
    assert done.times.tolist() == [*quick.times, 1.0]


def test_two_fits_of_one_seed_are_equal_and_a_file_keeps_all(quick, tmp_path):
    fields = LearnedFields(PATH, velocity=Net())
    again = fit_solver(fields, starts(300, 1, torch.float32), 3, **QUICK)
    assert again.as_json() == quick.as_json()
    quick.save(tmp_path / "fast.json")
    read = FittedSolver.load(tmp_path / "fast.json")
    assert repr(read) == repr(quick)
    x = starts(50, 4, torch.float32)
    assert torch.equal(sample(fields, x, method=read).x, sample(fields, x, method=quick).x)


def test_gradients_reach_the_start_points_and_leave_the_network_alone(quick):
    net = nn.Linear(2, 2)
    fields = LearnedFields(PATH, velocity=lambda x, t: net(x))
    fit_solver(fields, starts(300, 1, torch.float32), 2, **QUICK)
    assert net.weight.grad is None
    x = starts(4, 1, torch.float32).requires_grad_()
    sample(LearnedFields(PATH, velocity=Net()), x, method=quick, differentiable=True).x.sum().backward()
    assert bool((x.grad != 0).all())


def test_the_start_is_kept_where_nothing_is_clearly_nearer():
    fields = LearnedFields(PATH, velocity=lambda x, t: torch.ones_like(x))  # Euler is exact
    fast = fit_solver(fields, starts(300, 1), 2, steps=40)
    assert fast.errors["fitted"] < 1e-12
    assert len(set(fast.errors.values())) <= 2


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"reverse": True}, "reverse must be False"),
        ({"eps": 0.5}, "eps > 0 must have a solver by name"),
        ({"time_grid": "cosine"}, "time_grid must be 'auto'"),
        ({"start": 0.1}, "start must be 0.0"),
        ({"stop": 0.9}, "stop must be 1.0"),
        ({"finish": "denoise"}, "finish must be 'step'"),
        ({"n_steps": 4}, "n_steps must be the 3"),
        ({"compiled": 2, "invariant": False}, "compiled must be 0"),
        ({"modifiers": {"kind": "size_guard", "limit": 9.0}}, "modifiers must have a solver by name"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_runs_are_refused(options, rule, quick):
    fields = LearnedFields(PATH, velocity=Net(), score=lambda x, t: -x)
    with pytest.raises(InvalidInputError, match=f"^sample: {rule}"):
        sample(fields, starts(5, 1, torch.float32), method=quick, **options)
    assert sample(fields, starts(5, 1, torch.float32), method=quick, n_steps=3).x.shape == (5, 2)


@pytest.mark.filterwarnings("ignore:on. at t = 0:interpolants.foundations.tell.SettingWarning")
def test_other_models_are_refused(quick):
    fields, x = LearnedFields(PATH, velocity=Net()), starts(5, 1, torch.float32)
    cases = {
        "one path": (on_path(LearnedFields(VP(), noise=Net()), OneSidedTrigonometric()), x, None),
        "one precision, float32": (fields, x.double(), None),
        r"one shape, \[2\]": (fields, x[:, :1], None),
        "one kind of condition, None": (fields, x, torch.ones(5, 2)),
        "the fields that it was fitted to": (
            LearnedFields(PATH, velocity=lambda x, t: 1.01 * Net()(x, t)),
            x,
            None,
        ),
    }
    for rule, (other, states, cond) in cases.items():
        with pytest.raises(
            InvalidInputError, match=f"^sample: the fitted solver holds for {rule}.*fit_solver"
        ):
            sample(other, states, method=quick, cond=cond)


def test_another_strength_of_guidance_is_refused_and_other_conditions_are_not():
    fields, x, cond = (
        LearnedFields(PATH, velocity=Net()),
        starts(300, 1, torch.float32),
        starts(300, 2, torch.float32),
    )
    fast = fit_solver(ClassifierFree(fields, 2.0), x, 3, cond=cond, **QUICK)
    other = starts(5, 9, torch.float32)
    done = sample(ClassifierFree(fields, 2.0), x[:5], method=fast, cond=other).x
    fine = sample(ClassifierFree(fields, 2.0), x[:5], method="rk4", cond=other).x
    assert gaps(done, fine)[0] < 0.5
    for strength in (1.9, 1.0, lambda t: 2.0 + 0 * t + (t > 0.5)):
        with pytest.raises(InvalidInputError, match="strength of guidance"):
            sample(ClassifierFree(fields, strength), x[:5], method=fast, cond=other)
    guided = with_strength(other, torch.full((5,), 2.0))
    with pytest.raises(InvalidInputError, match="one kind of condition"):
        sample(ClassifierFree(fields, 2.0), x[:5], method=fast, cond=guided)
    with pytest.raises(InvalidInputError, match="one strength of guidance"):
        fit_solver(ClassifierFree(fields), x, 3, cond=with_strength(cond, torch.full((300,), 2.0)))


def test_conditions_in_parts_are_kept_in_a_file(tmp_path):
    def velocity(x, t, cond):
        return torch.tanh(cond["vector"][0] + cond["label"][:, None] - x)

    fields, x = LearnedFields(PATH, velocity=velocity), starts(300, 1, torch.float32)
    cond = {"vector": (starts(300, 2, torch.float32),), "label": torch.arange(300) % 3}
    fit_solver(fields, x, 2, cond=cond, **QUICK).save(tmp_path / "fast.json")
    few = {"vector": (cond["vector"][0][:9],), "label": cond["label"][:9]}
    assert sample(fields, x[:9], cond=few, method=FittedSolver.load(tmp_path / "fast.json")).x.shape == (9, 2)


def test_log_densities_and_unknown_starts_are_refused(quick):
    fields = exact()
    with pytest.raises(InvalidInputError, match="log_prob: method must be an ODE solver"):
        log_prob(fields, starts(5, 1), PATH.base, method=quick)
    with pytest.raises(InvalidInputError, match=r"start must be .* euler"):
        fit_solver(fields, starts(300, 1), 2, start="eulr")
    with pytest.raises(InvalidInputError, match="start must be a solver that can make 3 evaluations"):
        fit_solver(fields, starts(300, 1), 3, start="midpoint")


def test_few_starts_random_fields_and_fields_without_a_path_are_refused():
    with pytest.raises(InvalidInputError, match="at least 650 start points, as 8 evaluations have 52"):
        fit_solver(exact(), starts(649, 1), 8)
    with pytest.raises(InvalidInputError, match="fields that draw noise"):
        fit_solver(Noisy(exact()), starts(300, 1), 2)
    with pytest.raises(InvalidInputError, match="held_out"):
        fit_solver(exact(), starts(300, 1), 2, held_out=1.0)


def test_one_evaluation_warns_of_the_mean():
    with pytest.warns(SettingWarning, match="pulled to the mean"):
        fit_solver(exact(), starts(300, 1), 1, steps=2)


def test_a_two_sided_path_has_fitted_solvers_too():
    fields, x = LearnedFields(Linear(), velocity=Net()), starts(300, 1)
    fast = fit_solver(fields, x, 3, steps=100)
    new = starts(200, 2)
    end = sample(fields, new, method="rk4", n_steps=100).x
    assert (
        gaps(sample(fields, new, method=fast).x, end)[0]
        < gaps(sample(fields, new, method="euler", n_steps=3).x, end)[0]
    )


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"times": [0.0, 0.5]}, "the table must have n times"),
        ({"times": [0.5, 0.2, 0.7]}, "must not decrease"),
        ({"times": [0.0, 0.5, 1.5]}, "every time"),
        ({"start_weights": [1.0, "1", 1.0]}, "every weight"),
        ({"weights": 3}, "must be lists"),
        ({"path": 3}, "must be mappings"),
        ({"answers": ["a"]}, "every answer"),
        ({"cond": {"dtype": "load", "values": [1]}}, "stored condition"),
        ({"kind": "sampler"}, "must contain a fitted solver"),
        ({"extra": 1}, "must contain a fitted solver"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_damaged_files_are_refused(change, rule, quick, tmp_path):
    file = tmp_path / "fast.json"
    file.write_text(json.dumps({**quick.as_json(), **change}), "utf-8")
    with pytest.raises(InvalidInputError, match=rule):
        FittedSolver.load(file)


# --- best grids


def test_a_grid_that_descends_is_reported_with_errors_on_starts_that_it_has_not_seen():
    fields, x = exact(), starts(400, 1)
    choice = best_grid(fields, x, 4, method="midpoint", rounds=3)
    assert {"made", "uniform", "descended"} <= set(choice.errors)
    assert choice.kept == min(choice.errors, key=choice.errors.get)
    second = x[200:]
    end = sample(fields, second, method="dopri5").x
    for name, grid in choice.grids.items():
        off = (sample(fields, second, method="midpoint", time_grid=grid).x - end).square().mean().sqrt()
        assert choice.errors[name] == pytest.approx(float(off), rel=1e-6)
    seen = {}
    true = sample(fields, x[:200], method="dopri5").x
    for name, grid in choice.grids.items():
        ran = sample(fields, x[:200], method="midpoint", time_grid=grid).x
        seen[name] = float((ran - true).square().mean().sqrt())
    assert seen["descended"] == min(seen.values())
    with pytest.raises(InvalidInputError, match="best_grid: x must have at least 32"):
        best_grid(fields, x[:31], 4)


def test_a_fit_that_is_hardly_nearer_leaves_the_named_solver():
    x = starts(400, 1)
    fitted = fit_solver(exact(), x, 2, steps=20, start="euler", lr=1e-9)
    assert fitted.start_weights == (1.0, 1.0)
    assert fitted.errors["fitted"] == fitted.errors[next(iter(fitted.errors))]


def test_the_descent_moves_each_time_towards_both_neighbours():
    asked = []

    def error(times):
        asked.append(times.copy())
        return abs(times[1] - 0.3) + abs(times[2] - 0.8)

    grid = np.array([0.0, 0.4, 0.6, 1.0])
    found = _descend_grid(grid, error, 1)
    inner = [
        (0.4, 0.6),
        (0.3, 0.6),
        (0.375, 0.6),
        (0.3, 0.525),
        (0.3, 0.7),
    ]  # the first move and the last one help
    assert [tuple(times[1:3]) for times in asked] == [pytest.approx(pair) for pair in inner]
    assert found == pytest.approx([0.0, 0.3, 0.7, 1.0])
    assert _descend_grid(grid, error, 12)[1:3] == pytest.approx([0.3, 0.8], abs=0.02)


def test_grids_are_made_on_the_first_half_and_judged_on_the_second():
    x = starts(64, 4)
    choice = best_grid(exact(), x, 4, method="midpoint", rounds=1)
    first = choose_grid(exact(), x[:32], 4, method="midpoint")
    assert set(choice.grids) == {*first.grids, "descended"}
    for name, times in first.grids.items():
        assert choice.grids[name] == pytest.approx(times)
        end = sample(exact(), x[32:], method="dopri5", rtol=1e-8, atol=1e-8).x
        made = sample(exact(), x[32:], method="midpoint", time_grid=times).x
        wanted = float((made - end).square().mean().sqrt())
        assert choice.errors[name] == pytest.approx(wanted, rel=1e-2)


def test_each_half_keeps_its_conditions():
    """Rows of the first half turn once, those of the second five times: grids are those of the first."""

    def velocity(x, t, cond):
        return torch.cos(6 * cond * t.reshape(-1, 1)) * torch.ones_like(x)

    fields, x = LearnedFields(PATH, velocity=velocity), starts(64, 4)
    cond = torch.cat([torch.ones(32, 1), torch.full((32, 1), 5.0)]).double()
    choice = best_grid(fields, x, 4, method="midpoint", rounds=1, cond=cond)
    first = choose_grid(fields, x[:32], 4, method="midpoint", cond=cond[:32])
    assert choice.grids["made"] == pytest.approx(first.grids["made"])
    other = choose_grid(fields, x[32:], 4, method="midpoint", cond=cond[32:])
    assert choice.grids["made"] != pytest.approx(other.grids["made"], abs=1e-3)
