"""Counterfactuals against a linear Gaussian with exact fields, and against a linear structural model that is learnt."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.causal import CausalAutoencoder
from interpolants.apps.causal.abduction import counterfactual_states
from interpolants.apps.causal.causal_graph import CausalGraph
from interpolants.apps.causal.causal_training import code_divergence
from interpolants.apps.causal.interventional import drawn_exogenous
from interpolants.apps.causal.nets.structural_layer import intervene, solve_structure
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.method import load
from interpolants.paths.linear import OneSidedLinear

# x | c ~ N(B c, S), two codes and three numbers.
B = torch.tensor([[1.0, 0.5], [-0.7, 1.2], [0.3, 0.8]], dtype=torch.float64)
ROOT = torch.tensor([[0.8, 0.0, 0.0], [0.3, 0.6, 0.0], [-0.2, 0.1, 0.5]], dtype=torch.float64)
S = ROOT @ ROOT.T


def exact_velocity(x, t, cond=None):
    """``E[x1 - x0 | x_t, c]`` of the straight one-sided path ``(1 - t) X0 + t x``."""
    t = t.double().reshape(-1, 1, 1).expand(len(x), 1, 1)
    eye, t1 = torch.eye(3, dtype=torch.float64), t[:, :, 0]
    total = (1 - t) ** 2 * eye + t**2 * S
    mean = cond.double() @ B.T
    gain = torch.linalg.solve(total, t * S - (1 - t) * eye)  # all of them commute
    return (mean + ((x.double() - t1 * mean)[:, None] @ gain)[:, 0]).to(x)


def linear_case(n, generator):
    before, after = (torch.randn(n, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    x = before @ B.T + torch.randn(n, 3, generator=generator, dtype=torch.float64) @ ROOT.T
    return x, before, after, after @ B.T + x - before @ B.T


def relative_error(steps, generator, method="euler", abduction="invert", *, null=False):
    x, before, after, truth = linear_case(400, generator)
    fields = LearnedFields(OneSidedLinear(), velocity=exact_velocity)
    how = {"method": method, "n_steps": steps, "abduction": abduction}
    found = counterfactual_states(fields, x, before, before if null else after, **how)
    target = x if null else truth
    return float((found - target).norm() / (x - before @ B.T).norm())


def test_the_error_for_a_linear_gaussian_falls_as_one_over_the_steps_and_noise_is_no_abduction():
    errors = {k: relative_error(k, torch.Generator().manual_seed(0)) for k in (125, 250, 500)}
    assert errors[250] < 0.03
    assert errors[125] / errors[250] == pytest.approx(2, rel=0.1)
    assert errors[250] / errors[500] == pytest.approx(2, rel=0.1)
    assert relative_error(250, torch.Generator().manual_seed(0), null=True) < 0.03
    # A solver of second order needs fewer steps, and both controls are fresh draws: sqrt(2) off, for all steps.
    assert relative_error(25, torch.Generator().manual_seed(0), "midpoint") < 0.01
    for control in ("renoise", "fresh"):
        assert relative_error(250, torch.Generator().manual_seed(0), abduction=control) == pytest.approx(
            2**0.5, rel=0.1
        )


def test_draws_under_an_intervention_have_the_moments_of_the_linear_gaussian():
    """a -> b by 0.8: where a is set b follows with its own noise; where b is set a does not follow, as it would among
    rows with that b."""
    n, graph = 2000, CausalGraph.of("a -> b")
    kept = torch.randn(2000, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept = torch.cat([kept, 0.6 * kept], 1)  # in these rows both go together: drawn apart, they must not
    u = drawn_exogenous(kept, n, seed=1)
    z = solve_structure(graph, lambda name, causes: 0.8 * causes[:, 0], u)
    fields = LearnedFields(OneSidedLinear(), velocity=exact_velocity)
    nothing, cases = float("nan"), []
    cases.append(([nothing, nothing], [0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]]))
    cases.append(([1.5, nothing], [1.5, 1.2], [[0.0, 0.0], [0.0, 0.36]]))
    cases.append(([nothing, 1.5], [0.0, 1.5], [[1.0, 0.0], [0.0, 0.0]]))
    for to, mean, cov in cases:
        wide = torch.tensor(to, dtype=torch.float64)[None, :, None].expand(z.shape)
        after = intervene(graph, lambda name, causes: 0.8 * causes[:, 0], z, wide)
        codes, how = after.flatten(1), {"method": "midpoint", "n_steps": 10}
        x = CausalAutoencoder().flow.drawn(fields, (3,), len(codes), seed=2, cond=codes, **how).x.double()
        mean, cov = torch.tensor(mean).double() @ B.T, B @ torch.tensor(cov).double() @ B.T + S
        # Standard errors are below 0.05 and 0.1: 2000 draws from 2000 kept rows.
        assert_close(x.mean(0), mean, atol=0.15, rtol=0)
        assert_close(x.T.cov(), cov, atol=0.3, rtol=0)


@pytest.mark.parametrize("block", [1, 8])
def test_divergences_count_by_factor_whatever_the_block_and_pull_codes_to_their_labels(block):
    z = torch.zeros(1, 2, block, requires_grad=True)
    y = torch.tensor([[1.5, float("nan")]])
    prior, told = code_divergence(z, z, torch.zeros(1, 2, block), y, 0.5)
    assert float(told.detach()) == pytest.approx(0.5 * 1.5**2 / 0.25)  # the unknown factor does not count
    (slope,) = torch.autograd.grad((prior + told).sum(), z)
    assert_close(slope.sum(2), torch.tensor([[-1.5 / 0.25, 0.0]]))
    # Both pulls together end at y / (1 + spread^2): half way for the paper's spread of 1.
    best = (y / (1 + 0.25)).nan_to_num()[:, :, None].expand(1, 2, block).requires_grad_()
    prior, told = code_divergence(best, best, torch.zeros(1, 2, block), y, 0.5)
    assert_close(torch.autograd.grad((prior + told).sum(), best)[0], torch.zeros(1, 2, block))


# --- a linear structural model that is learnt ----------------------------------------------------------------

SMALL = {
    "net": {"kind": "mlp", "width": 64, "depth": 3},
    "steps": 700,
    "lr": 5e-3,
    "ema": 0.98,
    "batch_size": 128,
}


def chain(n, rng):
    """a -> b, and four numbers that show a, b and something else."""
    a = rng.normal(size=n)
    b = 0.8 * a + 0.6 * rng.normal(size=n)
    style = rng.normal(size=(n, 2))
    shows = np.array([[1.0, 0.0, 0.5, 0.3], [0.0, 1.0, -0.5, 0.3]])
    x = np.stack([a, b], 1) @ shows + style @ np.array([[0.0, 0.0, 0.3, 0.4], [0.1, -0.1, 0.0, 0.3]])
    return x.astype("float32"), np.stack([a, b], 1).astype("float32"), shows


@pytest.fixture(scope="module")
def learnt():
    x, factors, shows = chain(2000, np.random.default_rng(0))
    told = factors.copy()
    told[::4] = np.nan  # a quarter of the rows is not told
    return CausalAutoencoder(graph="a -> b", drop_code=0.1, **SMALL).fit(x, told, progress=False), shows


def test_what_is_learnt_sets_follows_and_keeps(learnt):
    model, shows = learnt
    x, factors, _ = chain(300, np.random.default_rng(1))
    seen = model.encode(x)
    assert np.abs(seen - factors).mean(0).max() < 0.15
    value = np.linspace(-1.5, 1.5, 300)
    moved = np.stack([value - factors[:, 0], 0.8 * (value - factors[:, 0])], 1)  # b follows by 0.8
    error = model.counterfactual(x, do={"a": value}) - (x + moved @ shows)
    assert np.sqrt((error**2).mean()) < 0.35 * np.sqrt(((moved @ shows) ** 2).mean())
    only_b = model.encode(x, do={"b": value})
    assert np.array_equal(only_b[:, 0], seen[:, 0])  # a cause of what is set stays, to the bit
    cut = model.clone().take_over(model.learnt()).set_params(propagate=False)
    assert np.array_equal(cut.encode(x, do={"a": value})[:, 1], seen[:, 1])
    assert np.abs(model.counterfactual(x, n_steps=40) - x).max() < 0.02  # nothing is set: to noise and back
    fresh = model.clone().take_over(model.learnt()).set_params(abduction="fresh")
    far = fresh.counterfactual(x, do={"a": value}) - (x + moved @ shows)
    assert np.sqrt((error**2).mean()) < 0.7 * np.sqrt((far**2).mean())


def test_new_rows_follow_what_is_set_and_each_is_one_function_of_its_place(learnt):
    model, shows = learnt
    x = model.sample(800, do={"a": 1.0}, seed=3)
    assert np.abs(x.mean(0) - np.array([1.0, 0.8]) @ shows).max() < 0.15
    assert np.abs(np.cov(x[:, :2].T) - np.array([[0.01, -0.01], [-0.01, 0.37]])).max() < 0.1
    # b set: a stays as it is on average, 0.0, where among rows with this b it is 0.8.
    assert np.abs(model.encode(model.sample(400, do="b=1"))[:, 0].mean()) < 0.25
    free = model.encode(model.sample(800))
    assert np.abs(np.cov(free.T) - np.array([[1.0, 0.8], [0.8, 1.0]])).max() < 0.2
    assert np.array_equal(model.sample(9, do={"a": 1.0}, seed=3, first_index=100), x[100:109])
    with pytest.raises(InvalidInputError, match=r"sample: do\['a'\] must lie within the values of the fit"):
        model.sample(5, do={"a": 40.0})
    old = model.clone().take_over(model.learnt())
    old.state = {name: part for name, part in model.state.items() if name != "exogenous"}
    with pytest.raises(InvalidInputError, match="kept no exogenous values"):
        old.sample(5)


@pytest.mark.slow
def test_words_tables_and_numbers_set_the_same_and_a_folder_answers_in_another_process(learnt, tmp_path):
    pandas = pytest.importorskip("pandas")
    model, _ = learnt
    x, _, _ = chain(5, np.random.default_rng(2))
    by_name = model.counterfactual(x, do={"b": 0.5})
    for do in ("b=0.5", {"b": [0.5] * 5}, [np.nan, 0.5], pandas.DataFrame({"b": [0.5] * 5})):
        assert np.array_equal(model.counterfactual(x, do=do), by_name)
    some = np.full((5, 2), np.nan)
    some[2, 1] = 0.5
    assert np.array_equal(model.counterfactual(x, do=some)[2], by_name[2])
    assert np.array_equal(model.encode(x, do=some)[[0, 1, 3, 4]], model.encode(x)[[0, 1, 3, 4]])
    place = model.save(tmp_path / "model")
    assert np.array_equal(load(place).counterfactual(x, do={"b": 0.5}), by_name)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "do.csv").write_text("b\n" + "0.5\n" * 5)
    asked = {"b=0.5": ["sample", str(place), "-n", "5"]}
    asked[str(tmp_path / "do.csv")] = ["counterfactual", str(place), str(tmp_path / "x.npy")]
    for k, (do, words) in enumerate(asked.items()):
        out = tmp_path / f"{k}.npy"
        words = [*words, "--do", do, "--out", str(out)]
        subprocess.run([sys.executable, "-m", "interpolants", *words], check=True, capture_output=True)
        answer = by_name if k else model.sample(5, do={"b": 0.5})
        assert_close(np.load(out), answer, atol=1e-5, rtol=0)


def test_guidance_is_the_same_in_both_directions_so_that_nothing_set_is_nothing_changed(learnt):
    model, _ = learnt
    x, _, _ = chain(40, np.random.default_rng(3))
    assert np.abs(model.counterfactual(x, guidance=1.5, n_steps=60) - x).max() < 0.03
    plain = CausalAutoencoder(graph="a -> b")
    with pytest.raises(InvalidInputError, match=r"learnt to do without the code, got guidance=1.5"):
        plain.set_params(guidance=1.5)


def test_controls_are_asked_of_the_verbs_that_they_change(learnt):
    model, _ = learnt
    x, _, _ = chain(5, np.random.default_rng(3))
    alone = model.encode(x, do={"a": 0.5}, propagate=False)
    assert np.array_equal(alone[:, 1], model.encode(x)[:, 1])
    assert not np.array_equal(alone, model.encode(x, do={"a": 0.5}))
    with pytest.raises(InvalidInputError, match="must be one that the verb accepts, got 'abduction'"):
        model.sample(5, abduction="fresh")


@pytest.mark.parametrize(
    ("do", "says"),
    [
        ({"angle": 1.0}, r"factors of the graph, a, b, got 'angle'"),
        ({"a": 40.0}, r"do\['a'\] must lie within the values of the fit, -\d.* got 40 in row 0"),
        ({"a": math.nan}, "must be finite, got nan"),
        ("a=1, a=2", "each factor once, got 'a'"),
        ("a=big", "name=number"),
        ({}, "do must set a factor, got none"),
        ({"a": [1.0, 2.0, 3.0]}, "one for each of the 5, got 3 values"),
        ({"a": [1.0]}, "one for each of the 5, got 1 values"),
        ({"a": [1.0] * 5, "b": [1.0] * 4}, "as many for each factor, got a 5, b 4"),
        (np.zeros((5, 3)), "a column for each factor, a, b"),
        ([np.nan, np.nan], "set a factor in some row, got NaN alone"),
    ],
)
def test_interventions_that_mean_nothing_are_refused(learnt, do, says):
    model, _ = learnt
    x, _, _ = chain(5, np.random.default_rng(4))
    with pytest.raises(InvalidInputError, match=says):
        model.counterfactual(x, do=do)


def test_what_no_data_say_is_answered_with_a_warning_if_it_is_asked_for(learnt):
    model, _ = learnt
    with pytest.warns(OutsideWarning, match="no data say"):
        model.encode(chain(3, np.random.default_rng(5))[0], do={"a": 9.0}, beyond=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda y: y[:, :1], r"a column for each of a, b, got \(1,\)"),
        (lambda y: np.where([True, False], y, np.nan), "'b' must have a value in at least 2 rows, got 0"),
        (lambda y: np.where([True, False], y, 2.0), "'b' must vary, got 2 in all rows"),
        (lambda y: y[:-1], "as many rows"),
        (lambda y: np.where([True, False], y, np.inf), "infinite"),
    ],
)
def test_factors_that_do_not_fit_the_graph_are_refused(change, says):
    x, factors, _ = chain(20, np.random.default_rng(6))
    with pytest.raises(InvalidInputError, match=says):
        CausalAutoencoder(graph="a -> b").fit(x, change(factors).astype("float32"), progress=False)


def test_columns_without_names_are_not_given_those_of_a_graph_by_chance():
    pandas = pytest.importorskip("pandas")
    x, factors, _ = chain(30, np.random.default_rng(8))
    three = np.concatenate([factors, factors[:, :1] ** 2], 1)
    tiny = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 2, "n_steps": 2}
    model = CausalAutoencoder(graph="a -> c, b -> c", **tiny)
    with pytest.raises(
        InvalidInputError, match=r"tells their order .* For example, pass graph=.a; b; c; a -> c, b -> c"
    ):
        model.fit(x, three, progress=False)
    named = model.fit(x, pandas.DataFrame(three, columns=["a", "b", "c"]), progress=False)
    plain = CausalAutoencoder(graph="a; b; c; a -> c, b -> c", **tiny).fit(x, three, progress=False)
    assert named.columns("factors") == ("a", "c", "b")  # as they come in the words of the graph
    assert_close(named.encode(x, do={"b": 0.1})[:, 2], np.full(30, 0.1), check_dtype=False)
    assert_close(plain.encode(x, do={"b": 0.1})[:, 1], np.full(30, 0.1), check_dtype=False)


def test_a_cycle_and_images_with_nan_are_refused():
    with pytest.raises(InvalidInputError, match="no cycle"):
        CausalAutoencoder(graph="a -> b -> a")
    x, factors, _ = chain(20, np.random.default_rng(7))
    x[3, 1] = np.nan
    with pytest.raises(InvalidInputError, match="x must be finite"):
        CausalAutoencoder(graph="a -> b").fit(x, factors, progress=False)


def test_a_series_sets_factors_by_name_and_never_by_place(learnt):
    pandas = pytest.importorskip("pandas")
    model, _ = learnt
    x, _, _ = chain(2, np.random.default_rng(6))  # as many rows as factors
    both, first = model.encode(x, do={"a": 0.2, "b": -0.7}), model.encode(x, do={"a": [0.2, -0.7]})
    assert np.array_equal(model.encode(x, do=pandas.Series({"b": -0.7, "a": 0.2})), both)
    assert np.array_equal(model.encode(x, do=pandas.Series([0.2, -0.7], name="a")), first)
    table = pandas.DataFrame(x, index=["p", "q"])
    asked = pandas.Series([0.2, -0.7], index=["p", "q"])
    np.testing.assert_array_equal(model.encode(table, do={"a": asked}), first)
    with pytest.raises(InvalidInputError, match=r"rows of do\['a'\] must be in the order of those of x"):
        model.encode(table, do={"a": asked[::-1]})


def test_rows_in_other_units_are_told_of(learnt):
    model, _ = learnt
    x, _, _ = chain(20, np.random.default_rng(7))
    with pytest.warns(
        OutsideWarning, match="column 2 of x lies .* standard deviations .*are the units the same"
    ):
        model.encode(x + np.array([0, 0, 40, 0], dtype="float32"))


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.OutsideWarning")
def test_a_column_that_never_varied_stays_as_it_is():
    """It has no deviation, so that its unit was 1, whatever its size: 1e-6 came back as 1e-3."""
    x, factors, _ = chain(60, np.random.default_rng(0))
    still = np.full((60, 1), 1e-6, dtype="float32")
    model = CausalAutoencoder(graph="a -> b", **{**SMALL, "steps": 5}).fit(
        np.concatenate([x, still], 1), factors
    )
    other = np.concatenate([x[:4], 2 * still[:4]], 1)
    assert np.array_equal(np.asarray(model.sample(5))[:, -1], still[:5, 0])
    found = np.asarray(model.counterfactual(other, do={"a": float(factors[0, 0])}))
    assert np.array_equal(found[:, -1], other[:, -1])
