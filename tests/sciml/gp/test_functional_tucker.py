"""The functional Tucker model against dense regression, draws of its posterior, and a known surface."""

import math
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.kernels import Matern
from interpolants.sciml.gp import functional_tucker, latent_functions
from interpolants.sciml.gp import tucker_posterior as inference
from interpolants.sciml.gp.functional_tucker import FunctionalTucker
from interpolants.sciml.gp.kernels.markov_chain import infer_chain
from interpolants.sciml.gp.latent_functions import start_mode
from interpolants.sciml.gp.tucker_sums import Entries, contracted, sums


def rand(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- one mode is regression -----------------------------------------------------------------------------------


def one_mode():
    x = rand(30, 1).sort(0).values
    y = torch.sin(7 * x[:, 0]) + 0.1 * randn(30) + 4
    settings = {"core": "diagonal", "noise": 0.1, "lengthscales": 0.4, "starts": 1, "sweeps": 2}
    return x, y, FunctionalTucker(1, **settings).fit(x, y)


def gram(x, y):
    return Matern(1.5).covariance((x - y.T) / 0.4)


def test_one_mode_with_known_noise_is_regression():
    x, y, model = one_mode()
    new = torch.tensor([[-0.2], [0.31], [0.5], [1.1]], dtype=torch.float64)
    scale, centre = y.std(), y.mean()
    noisy = gram(x, x) + (0.1 / scale).square() * torch.eye(30, dtype=torch.float64)
    mean = gram(new, x) @ torch.linalg.solve(noisy, (y - centre) / scale)
    variance = 1 - (gram(new, x) * torch.linalg.solve(noisy, gram(x, new)).T).sum(1)
    assert_close(model.predict(new, noise=False).mean, centre + scale * mean, rtol=0, atol=1e-10)
    assert_close(model.predict(new, noise=False).std, scale * variance.sqrt(), rtol=0, atol=1e-10)
    total = (scale.square() * variance + 0.1**2).sqrt()
    assert_close(model.predict(new).std, total, rtol=0, atol=1e-10)
    together = gram(new, new) - gram(new, x) @ torch.linalg.solve(noisy, gram(x, new))
    together = scale**2 * together + 0.01 * torch.eye(4, dtype=torch.float64)
    assert_close(model.predict(new, joint=True).covariance[0], together, rtol=0, atol=1e-9)


def test_the_joint_covariance_is_that_of_draws_of_functions_and_core():
    """Three entries of two modes, one discrete, with a full core: second moments by draws of all that is unknown."""
    x = torch.stack([rand(60, seed=1), torch.arange(60).double() % 4], 1)
    y = torch.sin(5 * x[:, 0]) * (1 + x[:, 1]) + 0.1 * randn(60)
    model = FunctionalTucker([2, 2], modes=["continuous", "discrete"], starts=1, sweeps=3).fit(x, y)
    new = torch.tensor([[0.2, 1.0], [0.3, 1.0], [0.8, 3.0], [0.2, 3.0]], dtype=torch.float64)
    q, count, g = model.posterior, 60_000, torch.Generator().manual_seed(0)

    def draws(mean, covariance):
        root = torch.linalg.cholesky(covariance + 1e-12 * torch.eye(len(covariance), dtype=torch.float64))
        return mean + torch.randn(count, len(mean), dtype=torch.float64, generator=g) @ root.T

    values = []
    for k, mode in enumerate(q.modes):
        mean, known = mode.posterior.at(new[:, k])[0], torch.unique(new[:, k], return_inverse=True)
        covariance = mode.posterior.between(known[0]).transpose(1, 2).flatten(0, 1).flatten(1)
        own = draws(mode.posterior.at(known[0])[0].flatten(), covariance).reshape(count, len(known[0]), 2)
        values.append(own[:, known[1]])
        assert mean.shape == (4, 2)
    core = draws(q.core_mean, q.core_covariance).reshape(count, 2, 2)
    drawn = torch.einsum("nij,nbi,nbj->nb", core, *values)
    found = model.predict(new, noise=False, joint=True)
    scale = float(model.state["scale"])
    expected = (drawn * scale).T.cov()
    sizes = expected.diagonal().sqrt()
    assert_close(
        found.covariance[0] / sizes / sizes[:, None], expected / sizes / sizes[:, None], rtol=0, atol=0.04
    )
    assert float(found.covariance[0, 0, 1]) > 0.5 * float(found.covariance[0, 0, 0])


def test_a_spread_from_held_out_rows_is_that_of_the_likeliest_gaussians():
    x, y, model = one_mode()
    place, value = rand(12, 1, seed=3), 4 + 2 * randn(12, seed=4)
    again = model.clone().set_params(spread="held")
    found = again.fit(x, y, held={"points": place, "values": value})
    plain, wide, new = model.predict(place), found.predict(place), rand(70, 1, seed=5)
    assert_close(wide.mean, plain.mean)
    # The factor by hand: the mean squared standardised error is one at the maximum of the likelihood.
    factor = ((value - plain.mean) / plain.std).square().mean().sqrt()
    assert float(factor) > 3
    assert_close(wide.std, factor * plain.std)
    for noise in (True, False):
        assert_close(
            found.predict(new, noise=noise).std,
            factor * model.predict(new, noise=noise).std,
            rtol=1e-9,
            atol=0,
        )
    likelihood = [
        float(replace(plain, scale=plain.scale * f).log_prob(value).sum())
        for f in (0.9 * factor, factor, 1.1 * factor)
    ]
    assert likelihood[1] == max(likelihood)
    with pytest.raises(InvalidInputError, match=r"spread='held' needs held-out rows"):
        again.fit(x, y)


def test_held_out_rows_of_the_spread_must_have_known_levels():
    x = torch.stack([rand(40), (4 * rand(40, seed=1)).floor()], 1)
    settings = {"ranks": 1, "modes": ["continuous", "discrete"], "spread": "held", "starts": 1, "sweeps": 2}
    strange = {"points": torch.tensor([[0.5, 9.0]]).double(), "values": torch.zeros(1).double()}
    with pytest.raises(InvalidInputError, match=r"held.*levels must be in the fit"):
        FunctionalTucker(**settings).fit(x, rand(40, seed=2), held=strange)


def test_its_bound_is_the_evidence():
    x, y, model = one_mode()
    noisy = gram(x, x) + (0.1 / y.std()).square() * torch.eye(30, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(torch.zeros(30, dtype=torch.float64), noisy)
    assert model.posterior.bound == pytest.approx(float(law.log_prob((y - y.mean()) / y.std())), abs=1e-9)


# --- the posterior --------------------------------------------------------------------------------------------


PRIOR = inference.NoisePrior()
MIXED = (Matern(0.5), Matern(2.5), None)
LEVELS = (None, None, None)


def problem(*, diagonal, kernels):
    """A fit in its first rounds; unequal ranks for a full core, so that a wrong order of axes shows."""
    sizes, ranks = (6, 5, 4), (2, 2, 2) if diagonal else (2, 3, 1)
    index = torch.stack([torch.arange(40) % n for n in sizes], 1)
    entries = Entries(index, randn(40), sizes)
    modes = [
        start_mode(rand(n, seed=k).sort().values, 0.5 + 0.5 * randn(n, r, seed=k), kernel, 0.3, fixed=False)
        for k, (n, r, kernel) in enumerate(zip(sizes, ranks, kernels, strict=True))
    ]
    d = math.prod(ranks)
    core = (None, None) if diagonal else (torch.zeros(d).double(), torch.eye(d).double())
    q = inference.TuckerPosterior(
        modes=modes, core_mean=core[0], core_covariance=core[1], noise_shape=1.0, noise_rate=1.0
    )
    q = inference.update_core(q, inference.sums_of(q, entries))
    return inference.sweep(q, entries, PRIOR), entries


def reached(q, entries):
    return inference.bound(q, inference.sums_of(q, entries), entries, PRIOR)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_bound_rises_at_every_update(diagonal):
    q, entries = problem(diagonal=diagonal, kernels=MIXED)
    bounds = [reached(q, entries)]
    for _ in range(8):
        for k in range(3):
            q = inference.update_mode(q, entries, k)
            bounds.append(reached(q, entries))
        q = inference.update_core(q, inference.sums_of(q, entries))
        bounds.append(reached(q, entries))
        q = inference.update_noise(q, inference.sums_of(q, entries), entries, PRIOR)
        bounds.append(reached(q, entries))
    rises = np.diff(bounds)
    assert rises.min() > -1e-8 * abs(bounds[-1])
    assert bounds[-1] > bounds[0] + 0.5


def drawn(q, n):
    """Draws of functions at the places and of the core, and log densities under the prior less those under q."""
    log = torch.zeros(n, dtype=torch.float64)

    def normal(mean, covariance, seed):
        nonlocal log
        law = torch.distributions.MultivariateNormal(mean, covariance)
        eye = torch.eye(mean.shape[-1], dtype=torch.float64)
        own = torch.distributions.MultivariateNormal(torch.zeros_like(mean), eye)
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            x = law.sample((n,))
        log += (own.log_prob(x) - law.log_prob(x)).reshape(n, -1).sum(1)
        return x

    functions = [normal(*mode.posterior.moments, seed=k) for k, mode in enumerate(q.modes)]
    if q.core_mean is None:
        return functions, None, log
    return functions, normal(q.core_mean, q.core_covariance, 9).reshape(n, *q.ranks), log


def values_of(functions, core, index):
    at = [f[:, i] for f, i in zip(functions, index.T, strict=True)]
    if core is None:
        return (at[0] * at[1] * at[2]).sum(2)
    return torch.einsum("dabc,dna,dnb,dnc->dn", core, *at)


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_bound_is_the_mean_over_draws(diagonal):
    """``E_q[log p(y, unknowns) - log q(unknowns)]``, all terms from torch.distributions."""
    q, entries = problem(diagonal=diagonal, kernels=LEVELS)
    n = 20_000
    functions, core, log = drawn(q, n)
    mean = values_of(functions, core, entries.index)
    noise, own = (
        torch.distributions.Gamma(torch.tensor(a).double(), torch.tensor(b).double())
        for a, b in ((q.noise_shape, q.noise_rate), (1e-3, 1e-3))
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        tau = noise.sample((n,))
    log += own.log_prob(tau) - noise.log_prob(tau)
    log += torch.distributions.Normal(mean, tau[:, None] ** -0.5).log_prob(entries.values).sum(1)
    error = float(log.std()) / math.sqrt(n)
    assert abs(float(log.mean()) - reached(q, entries)) < 4 * error
    assert error < 0.1


@pytest.mark.parametrize("diagonal", [False, True])
def test_moments_of_a_value_are_those_of_draws(diagonal):
    q, entries = problem(diagonal=diagonal, kernels=LEVELS)
    x = values_of(*drawn(q, 20_000)[:2], entries.index[:7])
    moments = [mode.moments for mode in q.modes]
    first, second = ([pair[i][entries.index[:7, k]] for k, pair in enumerate(moments)] for i in range(2))
    mean, square = contracted(first, second, q.core)
    assert_close(x.mean(0), mean, rtol=0, atol=4 * float(x.std(0).max()) / 141)
    assert_close(x.square().mean(0), square, rtol=0, atol=4 * float(x.square().std(0).max()) / 141)


def test_other_cores_and_noises_are_worse():
    q, entries = problem(diagonal=False, kernels=MIXED)
    found = inference.sums_of(q, entries)
    cores = ({"core_mean": 1.01}, {"core_covariance": 0.9}, {"core_covariance": 1.1})
    for best, changes in (
        (inference.update_core(q, found), cores),
        (inference.update_noise(q, found, entries, PRIOR), ({"noise_rate": 1.02}, {"noise_shape": 0.98})),
    ):
        for change in changes:
            other = replace(best, **{name: by * getattr(best, name) for name, by in change.items()})
            assert reached(other, entries) < reached(best, entries)


def test_sums_do_not_depend_on_chunks(monkeypatch):
    q, entries = problem(diagonal=False, kernels=MIXED)
    moments = [mode.moments for mode in q.modes]
    whole = sums(entries, moments, diagonal=False)
    monkeypatch.setattr("interpolants.sciml.gp.tucker_sums._BUDGET", 100)
    assert_close(sums(entries, moments, diagonal=False).gram, whole.gram, rtol=1e-12, atol=1e-12)
    assert len(list(entries.chunks(37))) == 20


# --- whole fits -----------------------------------------------------------------------------------------------


def u(x):
    return torch.sin(2 * math.pi * x).square() * torch.cos(2 * math.pi * x)


def v(t):
    return torch.exp(-2 * t) * torch.sin(1.5 * math.pi * t)


def surface(seed=0):
    """650 noisy entries of u(x) v(t) on a grid of hundredths."""
    points = (100 * rand(650, 2, seed=seed)).round() / 100
    return points, u(points[:, 0]) * v(points[:, 1]) + 0.02 * randn(650, seed=seed + 1)


@pytest.mark.slow
def test_a_known_surface_and_its_two_functions_are_found():
    model = FunctionalTucker(1, starts=2, sweeps=30).fit(*surface())
    line = torch.linspace(0, 1, 41, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    truth = u(grid[:, 0]) * v(grid[:, 1])
    found = model.predict(grid, noise=False)
    assert float((found.mean - truth).square().mean().sqrt()) < 0.02
    assert model.noise_std == pytest.approx(0.02, rel=0.15)
    inside = ((found.mean - truth).abs() < 2 * found.std).double().mean()
    assert float(inside) > 0.8
    functions = model.encode(torch.stack([line, line], 1)).mean
    for column, known in zip(functions.T, (u(line), v(line)), strict=True):
        assert abs(float(torch.corrcoef(torch.stack([column, known]))[0, 1])) > 0.99


def table():
    g = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=40)
    frame = pd.DataFrame({"city": g.choice(["Bern", "Oslo", "Rome"], 300), "day": g.choice(days, 300)})
    wave = np.sin((frame.day - days[0]).dt.days.to_numpy() / 6)
    level = frame.city.map({"Bern": 1.0, "Oslo": -2.0, "Rome": 3.0}).to_numpy()
    return frame, pd.Series(10 + level * wave + g.normal(0, 0.1, 300), name="level")


def test_a_table_with_words_and_dates_goes_in_and_comes_out():
    frame, values = table()
    model = FunctionalTucker(2, starts=1, sweeps=15).fit(frame, values)
    new = pd.DataFrame({"day": pd.to_datetime(["2020-01-10 12:00"]), "city": ["Rome"]}, index=["noon"])
    answer = model.predict(new)
    assert isinstance(answer.mean, pd.Series)
    assert list(answer.mean.index) == ["noon"]
    assert answer.mean.iloc[0] == pytest.approx(10 + 3 * np.sin(9.5 / 6), abs=0.15)
    assert math.isnan(model.found_lengthscales[0])
    assert 5 < model.found_lengthscales[1] < 60  # days
    with pytest.raises(
        InvalidInputError, match=r"must contain words of the fit, got 'Roma'. Did you mean 'Rome'"
    ):
        model.predict(new.assign(city="Roma"))


def test_far_outside_is_the_prior_and_is_said():
    x, y, model = one_mode()
    with pytest.warns(OutsideWarning, match=r"1 of 2 points lie .* \(row 1 first\)"):
        far = model.predict(torch.tensor([[0.5], [50.0]], dtype=torch.float64), noise=False)
    assert float(far.mean[1]) == pytest.approx(float(y.mean()))
    assert float(far.std[1]) == pytest.approx(float(y.std()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(x)


def test_a_level_without_data_is_refused_or_gets_the_prior():
    points = torch.tensor([[0.0, 0.1], [0.0, 0.5], [1.0, 0.4], [1.0, 0.9]], dtype=torch.float64)
    values = torch.tensor([1.0, 2.0, 3.0, 5.0], dtype=torch.float64)
    settings = {"ranks": 1, "modes": ["discrete", "continuous"], "starts": 1, "sweeps": 3}
    model = FunctionalTucker(**settings).fit(points, values)
    new = torch.tensor([[2.0, 0.4]], dtype=torch.float64)
    with pytest.raises(
        InvalidInputError, match="mode number 1 is discrete, and its levels must be in the fit, got 2"
    ):
        model.predict(new)
    told = FunctionalTucker(**settings, unseen="prior").fit(points, values).predict(new)
    assert float(told.mean) == pytest.approx(float(values.mean()))


def test_equal_coordinates_are_merged_and_nearly_equal_ones_by_rounding():
    points, values = surface()
    shaken = points + 1e-4 * (rand(650, 2, seed=5) - 0.5)
    fits = [
        FunctionalTucker(1, starts=1, sweeps=2, rounding=rounding).fit(x, values)
        for x, rounding in ((points, 0.0), (shaken, 0.01))
    ]
    places = [[len(mode.posterior.places) for mode in model.posterior.modes] for model in fits]
    assert places[0] == places[1]
    assert max(places[0]) <= 101
    assert_close(fits[0].predict(points).mean, fits[1].predict(points).mean, rtol=0, atol=1e-9)


def test_constant_values_and_a_constant_column_are_no_trouble():
    points = torch.stack([rand(20), torch.full((20,), 3.0, dtype=torch.float64)], 1)
    model = FunctionalTucker(1, starts=1, sweeps=5).fit(points, torch.full((20,), 7.0, dtype=torch.float64))
    found = model.predict(points)
    assert_close(found.mean, torch.full((20,), 7.0, dtype=torch.float64), rtol=0, atol=1e-6)
    assert float(found.std.max()) < 0.1


# --- refusals -------------------------------------------------------------------------------------------------


def test_a_diagonal_core_has_one_rank():
    with pytest.raises(InvalidInputError, match=r"same rank in all modes, got \[1, 2, 2\]. Use ranks=2"):
        FunctionalTucker(core="diagonal", ranks=[1, 2, 2])


@pytest.mark.parametrize(
    ("settings", "points", "values", "message"),
    [
        ({}, rand(1, 2), rand(1), "points must have at least two rows, got 1"),
        ({}, rand(5, 2), rand(4), "points and values must have as many rows"),
        ({}, rand(5, 2), rand(5, 2), r"values \(N,\) or \(N, 1\)"),
        ({}, rand(5, 2, 2), rand(5), r"points must have shape \(N, K\)"),
        ({}, rand(5, 2), torch.tensor([1.0, 2, math.nan, 4, 5]), "values must be finite"),
        ({}, rand(5, 2).log() * math.inf, rand(5), "points must be finite"),
        ({"ranks": [2, 2, 2]}, rand(5, 2), rand(5), "ranks must be one for all modes, or 2"),
        (
            {"ranks": 70},
            rand(5, 2),
            rand(5),
            r"70 x 70 = 4900, whose second moments take 0.2 GiB. Lower the ranks",
        ),
        ({}, rand(0, 2), rand(0), "must not be empty"),
    ],
)
def test_data_that_do_not_fit_are_refused(settings, points, values, message):
    with pytest.raises(InvalidInputError, match=message):
        FunctionalTucker(**settings).fit(points, values)


def test_a_column_of_words_cannot_be_continuous():
    frame, values = table()
    with pytest.raises(InvalidInputError, match="mode number 1 must be discrete, as its column holds words"):
        FunctionalTucker(1, modes="continuous").fit(frame, values)


@pytest.mark.parametrize(("lengthscale", "least", "most"), [(2e-3, 1e-3, 2e-3), (5e1, 5e1, 1e2)])
def test_a_search_stays_between_its_shares_of_the_range(lengthscale, least, most):
    """Data that want a shorter lengthscale, noise, or a longer one, a constant."""
    places = torch.linspace(0, 1, 30, dtype=torch.float64)
    noise = torch.randn(30, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shift = 1e4 * (noise if lengthscale < 1 else torch.ones_like(noise))
    precision = torch.full((30, 1, 1), 1e4, dtype=torch.float64)
    mode = infer_chain(Matern(1.5), lengthscale, places, precision, shift)
    found, _ = latent_functions._searched(mode, 1e3, precision, shift)
    assert least <= found <= most


def test_a_posterior_without_spread_has_a_variance_above_zero():
    """The mean square minus the squared mean is then rounding, of either sign."""
    x = torch.arange(200, dtype=torch.float64)[:, None].expand(-1, 2)

    def mode(k):
        return SimpleNamespace(
            posterior=SimpleNamespace(at=lambda x: (1 + rand(200, 3, seed=k), torch.zeros(200, 3, 3)))
        )

    q = SimpleNamespace(modes=[mode(0), mode(1)], core=SimpleNamespace(mean=None, second=None))
    mean, variance = functional_tucker._standardised(q, x, noise=False)
    assert_close(mean, (mode(0).posterior.at(x)[0] * mode(1).posterior.at(x)[0]).sum(1))
    assert bool((variance > 0).all())
    assert float(variance.max()) < 1e-12
