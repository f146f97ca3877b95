import math
from types import SimpleNamespace

import pytest
import torch
from torch.autograd.functional import jacobian as differentiate
from torch.testing import assert_close

import interpolants
from interpolants.dynamics import ReverseNoise
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.frames import Whitened
from interpolants.methods import GaussianFit, Imported, KernelInterpolant
from interpolants.methods.kernelised.features import FieldFeatures, FourierFeatures, System
from interpolants.methods.kernelised.kernel_fields import InUnits
from interpolants.metrics.energy_distance import energy_distance
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.problems import EightGaussians, GaussianMixture, GaussianMixtureBridge

SMALL = {"n_features": 20, "scales": (0.2, 1.0), "times": 12, "draws": 400}
FACTS = ((0.5, 0.3, 0.2), (-2.0, 0.5, 2.0), (0.3, 0.2, 0.5))


def rows(n, seed=0):
    return EightGaussians(radius=3.0, noise=0.3).sample(n, generator=torch.Generator().manual_seed(seed))


def mixture(weights=FACTS[0]):
    means, stds = (torch.tensor(part, dtype=torch.float64)[:, None] for part in FACTS[1:])
    return GaussianMixture(torch.tensor(weights, dtype=torch.float64), means, stds.square()[..., None])


def exact(path, weights=FACTS[0]):
    return GaussianMixtureBridge(Gaussian(), mixture(weights)).fields(path)


def model_of(fields, quantity="velocity"):
    function = getattr(fields, quantity)
    return Imported(LearnedFields(fields.path, **{quantity: lambda x, t: function(x, t)}), shape=(1,))


# --- the features


def test_products_are_those_of_the_gradients():
    g = torch.Generator().manual_seed(0)
    x, y, w, u = (torch.randn(*s, dtype=torch.float64, generator=g) for s in ((6, 3), (6, 3), (3, 5), (5,)))
    features, t = FourierFeatures(w, u), torch.tensor(0.5)
    jacobian = differentiate(lambda x: torch.cos(x @ w + u).sum(0), x).transpose(0, 1)
    k, r = features.moments(x, t, y)
    assert_close(k, torch.einsum("npd,nqd->pq", jacobian, jacobian))
    assert_close(r, torch.einsum("npd,nd->p", jacobian, y))
    weights = torch.randn(6, 5, dtype=torch.float64, generator=g)
    assert_close(features.combined(x, t, weights), torch.einsum("npd,np->nd", jacobian, weights))
    slope = differentiate(lambda x: features.combined(x, t, weights).sum(0), x)
    assert_close(features.divergence(x, weights), slope.diagonal(dim1=0, dim2=2).sum(1))


def test_more_rows_than_are_in_memory_at_a_time_give_the_same_system():
    g = torch.Generator().manual_seed(0)
    x, w, u = (torch.randn(*s, dtype=torch.float64, generator=g) for s in ((9000, 2), (2, 4), (4,)))
    features, t = FourierFeatures(w, u), torch.tensor(0.5)
    system, (k, r) = System.of(features, x, t, -x), features.moments(x, t, -x)
    assert_close(system.k, k / 9000)
    assert_close(system.r, r / 9000)


def test_ridge_and_effective_number_are_those_of_the_eigenvalues():
    k = torch.diag(torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64))
    weights, effective = System(k, torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)).solve(0.3)
    assert_close(weights, torch.tensor([2 / 4.5, 1 / 1.5, 0.0], dtype=torch.float64))
    assert effective == pytest.approx(4 / 4.5 + 1 / 1.5)


# --- combinations of models, at t = 0.6: figures of the method's specification


@pytest.fixture(scope="module")
def draws():
    path, g = OneSidedLinear(), torch.Generator().manual_seed(1)
    x1 = mixture().sample(400_000, generator=g)
    return path.sample(x1=x1, t=0.6, generator=g)


def weights_of(draws, *fields):
    t = torch.tensor(0.6, dtype=torch.float64)
    features = FieldFeatures([field.velocity if hasattr(field, "velocity") else field for field in fields])
    return System.of(features, draws.x_t, t, draws.x_dot).solve(1e-10)[0]


def test_exact_models_get_the_weight_one_and_equal_ones_share_it(draws):
    true, path = exact(OneSidedLinear()), OneSidedLinear()
    values = mixture()
    gaussian = GaussianMixture.from_gaussian(
        Gaussian(mean=values.mean, covariance=values.covariance), 1, dtype=torch.float64
    )
    fit = GaussianMixtureBridge(Gaussian(), gaussian).fields(path)
    near = {"rtol": 0, "atol": 3e-3}

    def numbers(*values):
        return torch.tensor(values, dtype=torch.float64)

    assert_close(weights_of(draws, true), numbers(1.0), **near)
    assert_close(weights_of(draws, lambda x, t: 2 * true.velocity(x, t)), numbers(0.5), **near)
    assert_close(weights_of(draws, true, true), numbers(0.5, 0.5), **near)
    assert_close(weights_of(draws, true, fit), numbers(1.0, 0.0), rtol=0, atol=6e-3)


def test_two_weak_models_are_better_together_than_alone_or_averaged(draws):
    path = OneSidedLinear()
    true, a, b = (exact(path, w) for w in (FACTS[0], (0.8, 0.1, 0.1), (0.1, 0.2, 0.7)))
    found = weights_of(draws, a, b)
    assert_close(found, torch.tensor([0.552, 0.388], dtype=torch.float64), rtol=0, atol=6e-3)
    at, x = torch.tensor(0.6, dtype=torch.float64), draws.x_t
    wanted, first, second = (field.velocity(x, at) for field in (true, a, b))
    combined = found[0] * first + found[1] * second
    errors = [
        float((value - wanted).square().mean()) for value in (first, second, (first + second) / 2, combined)
    ]
    assert errors == pytest.approx([0.256, 0.411, 0.095, 0.079], abs=4e-3)


# --- the noise


def test_the_best_noise_is_that_of_the_reversed_noising_and_its_drift_needs_the_velocity_alone():
    t = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    best = ReverseNoise().values(t, OneSidedLinear())
    assert_close(best, torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64))
    levels = torch.linspace(0.01, 8, 80_000, dtype=torch.float64)
    bound = (1 + levels[:, None] / best).square() / (4 * levels[:, None])
    assert_close(levels[bound.argmin(0)], best, rtol=0, atol=1e-3)
    assert_close(bound.amin(0), 1 / best, rtol=1e-6, atol=0)
    fields, x = exact(OneSidedLinear()), torch.tensor([[0.3], [-1.0], [2.0]], dtype=torch.float64)
    drift = fields.velocity(x, t) + best[:, None] * fields.score(x, t)
    assert_close(drift, 2 * fields.velocity(x, t) - x / t[:, None])


# --- the method


def test_quadratic_features_are_the_gaussian_fit():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(500, 3, dtype=torch.float64, generator=g) @ torch.randn(
        3, 3, dtype=torch.float64, generator=g
    )
    model, fit = (
        KernelInterpolant(features="quadratic").fit(x1=x, held={"x1": x[:2] + 1}),
        GaussianFit().fit(x1=x),
    )
    assert_close(model.log_prob(x[:50], rtol=1e-8, atol=1e-8), fit.log_prob(x[:50]), rtol=0, atol=1e-5)
    made = model.sample(20_000, method="midpoint", n_steps=20)
    assert_close(made.T.cov(), fit.state["covariance"], rtol=0.05, atol=0.05)
    mean, covariance, t = fit.state["mean"], fit.state["covariance"], 0.6
    # On a path from N(m, C): m' + C_t'/2 C_t^-1 (x - m_t), the velocity of which is that of the state less m.
    c = (t * t + (1 - t) ** 2) * covariance
    wanted = ((2 * t - 1) * covariance @ torch.linalg.solve(c, (x[:50] - mean).T)).T
    u = model.frame.encode(x[:50])
    assert_close(model.frame.push(model.fields.velocity(u, t), u), wanted, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def ring():
    return KernelInterpolant(n_features=100).fit(x1=rows(2000))


def test_eight_gaussians_are_told_apart_without_training(ring):
    real = rows(2000, 1)
    fit = energy_distance(GaussianFit().fit(x1=rows(1000)).sample(2000, seed=1), real).value
    quadratic = KernelInterpolant(features="quadratic").fit(x1=rows(1000)).sample(2000, method="midpoint")
    assert energy_distance(quadratic, real).value == pytest.approx(fit, rel=0.15)
    for how in ({}, {"method": "midpoint", "n_steps": 50}, {"method": "ancestral", "n_steps": 200}):
        assert energy_distance(ring.sample(2000, seed=1, **how), real).value < 0.2 * fit
    assert (
        float(ring.log_prob(real[:200]).mean()) > -2.9
    )  # -2.51 for the true density, -4.36 for one Gaussian


def test_held_out_loss_chooses_a_scale_that_samples_well():
    real = rows(2000, 1)

    def distance(scales):
        model = KernelInterpolant(n_features=60, scales=scales, times=25, draws=2000).fit(x1=rows(1000))
        return model.state["scale"], energy_distance(
            model.sample(2000, method="midpoint", n_steps=30), real
        ).value

    chosen, found = distance((3.0, 0.2))
    assert chosen == 0.2
    assert found < distance((3.0,))[1]


def test_noise_is_left_to_the_gaussian_fit_where_features_explain_nothing():
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    model = KernelInterpolant(**{**SMALL, "scales": (0.01,)}).fit(x1=x)
    assert model.weights.shape == (12, 0)


def test_the_verdict_on_the_dynamics_is_kept_and_told(ring):
    found = ring.state["dynamics"]
    values = {name: one["value"] for name, one in found["energy_distance"].items()}
    assert found["chosen"] == min(values, key=values.get)
    assert repr(found["chosen"]) in ring.caveat("sample")
    assert ring.caveat("log_prob") == ""
    solver = {"flow": "midpoint", "ancestral": "ancestral"}[found["chosen"]]
    assert torch.equal(
        ring.sample(8), ring.sample(8, method=solver, n_steps=50 if solver == "midpoint" else 200)
    )
    effective = [row["effective_features"] for row in ring.about["history"]["systems"]]
    assert len(effective) == 50
    assert 0 < min(effective) <= max(effective) < 100


def test_density_is_that_of_the_samples_in_closed_form(ring):
    x = rows(5, 3)
    how = {"method": "rk4", "n_steps": 20}
    assert_close(ring.log_prob(x, **how), ring.log_prob(x, mode="reverse", **how), rtol=0, atol=1e-8)


def test_constant_columns_come_back_and_other_values_have_no_density():
    x = torch.cat([rows(200).double(), torch.full((200, 1), 7.0, dtype=torch.float64)], 1)
    model = KernelInterpolant(**SMALL).fit(x1=x)
    assert torch.equal(model.sample(5)[:, 2], x[:5, 2])
    x[0, 2] = 8
    with pytest.warns(OutsideWarning, match="column 2 of x was 7"):
        found = model.log_prob(x[:2], method="heun", n_steps=10)
    assert found[0] == -math.inf
    assert math.isfinite(found[1])


# --- models


def test_models_on_another_path_are_combined_in_one():
    x = mixture().sample(3000, generator=torch.Generator().manual_seed(0))
    true, other = exact(OneSidedLinear()), exact(VP())
    wrong = exact(OneSidedLinear(), (0.1, 0.2, 0.7))
    models = [model_of(other, "denoised"), model_of(wrong)]
    model = KernelInterpolant(times=12, draws=4000).fit(x1=x, models=models)
    inner = (model.weight_times > 0.3) & (model.weight_times < 0.95)
    assert (model.weights[inner, 0] - 1).abs().max() < 0.2
    assert model.weights[inner, 1].abs().max() < 0.2
    u = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    unit = model.state["units"][0]
    moved = InUnits(models[0].fields, unit["shape"], unit["factor"], unit["shift"])
    for t in (0.1, 0.3, 0.7, 0.99):  # VP has no state without signal
        assert_close(moved(u, torch.tensor(t)), true.velocity(u, t), rtol=1e-4, atol=1e-4)
    times = torch.tensor([0.1, 0.9] * 4 + [0.5], dtype=torch.float64)
    assert_close(moved(u, times), true.velocity(u, times), rtol=1e-4, atol=1e-4)


def test_units_that_differ_by_a_factor_and_a_shift_are_converted():
    x = mixture().sample(3000, generator=torch.Generator().manual_seed(0))
    scaled = GaussianMixture(
        torch.tensor(FACTS[0], dtype=torch.float64),
        2 * torch.tensor(FACTS[1], dtype=torch.float64)[:, None] + 3,
        4 * torch.tensor(FACTS[2], dtype=torch.float64).square()[:, None, None],
    )
    fields = GaussianMixtureBridge(Gaussian(), scaled).fields(OneSidedLinear())
    model = model_of(fields)
    model.frame = SimpleNamespace(encode=lambda x: 2 * x + 3)
    u = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    from interpolants.methods.kernelised.kernel_fields import units_of

    same = SimpleNamespace(encode=lambda x: x)
    unit = units_of("who", model, same, x)
    assert unit["factor"] == pytest.approx(2)
    moved = InUnits(model.fields, unit["shape"], unit["factor"], unit["shift"])
    assert_close(moved(u, torch.tensor(0.4)), exact(OneSidedLinear()).velocity(u, 0.4), rtol=1e-6, atol=1e-6)


def test_a_combination_is_stored_with_its_models(tmp_path):
    x = rows(200)
    models = [KernelInterpolant(seed=seed, **SMALL).fit(x1=x) for seed in (0, 0)]
    with pytest.raises(InvalidInputError, match="must be a fitted method"):
        KernelInterpolant(**SMALL).fit(x1=x, models=[models[0], KernelInterpolant()])
    model = KernelInterpolant(**SMALL).fit(x1=rows(100, 1), models=models)
    assert_close(model.weights[7:-1].sum(1), torch.ones(4, dtype=torch.float64), rtol=0, atol=0.15)
    assert_close(model.weights[:, 0], model.weights[:, 1], rtol=1e-3, atol=1e-3)
    model.save(tmp_path / "model")
    again = interpolants.load(tmp_path / "model")
    assert torch.equal(again.sample(5), model.sample(5))
    assert torch.equal(again.weights, model.weights)


# --- refusals


def test_bad_settings_and_data_are_refused():
    with pytest.raises(InvalidInputError, match="draws must be at least n_features, 300, got 100"):
        KernelInterpolant(draws=100)
    with pytest.raises(InvalidInputError, match="scales must"):
        KernelInterpolant(scales=())
    with pytest.raises(
        InvalidInputError, match="x1 must have at least 4 rows, to solve and to choose by, got 3"
    ):
        KernelInterpolant().fit(x1=rows(3))
    with pytest.raises(InvalidInputError, match="a column that varies"):
        KernelInterpolant().fit(x1=torch.ones(50, 2))
    with pytest.raises(InvalidInputError, match="samples must be drawn from noise"):
        KernelInterpolant(**SMALL).fit(x1=rows(50)).sample(3, reverse=True)


def test_models_that_cannot_be_combined_are_refused():
    x, fit = rows(100), KernelInterpolant(**SMALL).fit
    with pytest.raises(InvalidInputError, match="at least one fitted method"):
        fit(x1=x, models=[])
    turn = torch.tensor([[1.0, 0.0], [0.9, 0.2]], dtype=x.dtype)
    models = [KernelInterpolant(**SMALL).fit(x1=other) for other in (x, x @ turn)]
    with pytest.raises(InvalidInputError, match="units that differ by one factor"):
        fit(x1=x, models=models)
    two_sided = SimpleNamespace(path=Linear())
    from interpolants.methods.kernelised.kernel_fields import units_of

    with pytest.raises(InvalidInputError, match="must start from Gaussian noise"):
        units_of("who", SimpleNamespace(fields=two_sided, given={}), None, x)
    with pytest.raises(InvalidInputError, match="models must have no condition"):
        units_of("who", SimpleNamespace(fields=two_sided, given={"cond": 1}), None, x)


def test_the_scale_of_waves_is_a_multiple_of_the_median_distance():
    """Of standard normal numbers two are 0.954 apart in the median; frequencies are normal with that inverse spread."""
    x = torch.randn(1500, 1, generator=torch.Generator().manual_seed(0)).double()
    model = KernelInterpolant(n_features=400, scales=(0.5,), times=4, draws=2000)
    train = (x - x.mean()) / x.std()
    frame = Whitened().fit(train)
    (tried,) = model._tried(frame, frame.encode(train).flatten(1), torch.Generator().manual_seed(0))
    assert float(tried["frequencies"].std()) == pytest.approx(1 / (0.5 * 0.954), rel=0.1)
