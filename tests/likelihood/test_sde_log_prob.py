"""The density of SDE models: closed forms of mixtures and of a Gaussian model that is wrong, coverage, invariance."""

import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.likelihood import SdeLogProb, log_prob
from interpolants.likelihood.path_weights import student_975, summarise
from interpolants.paths import (
    EDM,
    VE,
    VP,
    Diffusive,
    DiscreteSchedule,
    EncoderDecoder,
    Linear,
    OneSidedLinear,
    OneSidedTrigonometric,
    QuadraticEnvelope,
    SigmoidEnvelope,
    SineSquaredEnvelope,
    SubVP,
    Trigonometric,
    VariancePreserving,
)
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
DATA = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    torch.tensor([[2.0, -1.0], [-1.0, 1.0]], dtype=F64),
    torch.tensor([[0.5, 0.4], [0.3, 0.6]], dtype=F64),
)
START = GaussianMixture(
    torch.tensor([0.6, 0.4], dtype=F64),
    torch.tensor([[-1.0, -1.0], [0.5, 1.5]], dtype=F64),
    torch.tensor([[0.6, 0.3], [0.4, 0.8]], dtype=F64),
)
EXACT = GaussianMixtureBridge(START, DATA).fields(Linear())
FAST = {"invariant": False, "seed": 3}


def side(end, n, seed=1):
    here, there = (DATA, START) if end == 1 else (START, DATA)
    x = here.sample(n, generator=generator(seed))
    return x, there, here.log_prob(x)


def coverage(found, true):
    return float(((found.low < true) & (true < found.high)).double().mean())


@pytest.mark.parametrize("end", [0, 1])
def test_exact_fields_in_two_dimensions_have_the_true_density(end):
    x, base, true = side(end, 40)
    found = log_prob(EXACT, x, base, eps=0.5, end=end, paths=4, n_steps=80, **FAST)
    assert isinstance(found, SdeLogProb)
    assert float((found.log_prob - true).abs().max()) < 0.05
    assert float((found.lower_bound - true).abs().max()) < 0.05
    assert bool((found.ess > 3.8).all())
    assert found.nfe == 161


@pytest.mark.slow
@pytest.mark.parametrize("end", [0, 1])
def test_exact_fields_in_sixteen_dimensions_have_the_true_density(end):
    source = generator(4)
    means = 2 * torch.randn(3, 16, dtype=F64, generator=source)
    data = GaussianMixture([0.5, 0.3, 0.2], means, 0.3 + torch.rand(3, 16, dtype=F64, generator=source))
    start = GaussianMixture.from_gaussian(Gaussian((16,)), 16)
    fields = GaussianMixtureBridge(start, data).fields(Linear())
    here, there = (data, start) if end == 1 else (start, data)
    x = here.sample(8, generator=generator(2))
    found = log_prob(fields, x, there, eps=0.5, end=end, paths=4, n_steps=160, **FAST)
    assert float((found.log_prob - here.log_prob(x)).abs().max()) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("dim", [2, 16])
def test_exact_fields_have_the_true_density_at_60_points_at_the_default_steps(dim, end):
    """Random mixtures with full covariances, nine pairs of modes. About 5 s in 2 dimensions and 15 s in 16."""
    start, data = GaussianMixture.random(3, dim, 2.0, 1), GaussianMixture.random(3, dim, 3.0, 0)
    fields = GaussianMixtureBridge(start, data).fields(Linear())
    here, there = (data, start) if end == 1 else (start, data)
    x = here.sample(60, generator=generator(6))
    found = log_prob(fields, x, there, eps=0.5, end=end, paths=4, **FAST)
    assert float((found.log_prob - here.log_prob(x)).abs().max()) < 0.05


WAYS = {
    "reverse": ({"paths": 8, "n_steps": 40, "eps": 0.5}, 0.05),
    "no_derivative": ({"paths": 16, "n_steps": 100, "eps": 0.5, "divergence": "none"}, 0.1),
    "probes": ({"paths": 16, "n_steps": 60, "eps": 0.5, "divergence": "hutchinson"}, 0.1),
}


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("way", WAYS)
def test_intervals_cover_the_truth_in_90_to_99_percent_of_200_cases(way, end):
    """Seed 0; a 95% interval covers 180 to 198 of 200 with a probability of 99%."""
    options, most = WAYS[way]
    x, base, true = side(end, 200)
    found = log_prob(EXACT, x, base, end=end, **options, **FAST | {"seed": 0})
    assert 0.90 <= coverage(found, true) <= 0.995
    assert float((found.log_prob - true).abs().mean()) < most
    assert float(found.error.mean()) < most


@pytest.mark.slow
@pytest.mark.parametrize("end", [0, 1])
def test_the_plain_formula_agrees_and_its_intervals_cover(end):
    """Feynman-Kac with the model's own drift: the same density, at a thousand times the variance. About 10 s each."""
    x, base, true = side(end, 200)
    found = log_prob(
        EXACT, x, base, end=end, eps=0.2, paths=48, n_steps=40, proposal="model", method="euler", **FAST
    )
    assert 0.90 <= coverage(found, true) <= 0.995
    assert abs(float((found.log_prob - true).mean())) < 0.05
    reverse = log_prob(EXACT, x[:20], base, end=end, eps=0.2, paths=48, n_steps=40, **FAST)
    assert float(found.error[:20].median()) > 10 * float(reverse.error.median())


class Wrong:
    """N(0, 1) to N(0, 1) along x_t = x with a velocity and a score that are wrong: an Ornstein-Uhlenbeck model."""

    k, eps, push = 1.3, 0.7, 0.4

    def __init__(self, end):
        self.sign = 1.0 if end == 1 else -1.0
        path = OneSidedLinear()  # its relations are not used: velocity and score are both given
        self.fields = LearnedFields(
            path, velocity=lambda x, t: torch.full_like(x, self.push), score=lambda x, t: -self.k * x
        )

    def density(self):
        """dX = (±push - k eps X) ds + sqrt(2 eps) dW over unit time from N(0, 1)."""
        rate, fall = self.k * self.eps, math.exp(-self.k * self.eps)
        mean = self.sign * self.push * (1 - fall) / rate
        variance = fall**2 + (1 - fall**2) * self.eps / rate
        return torch.distributions.Normal(torch.tensor(mean, dtype=F64), math.sqrt(variance))


def asked(wrong, end, **how):
    """Points, their density before the run, and what 400 paths of 64 steps say of them."""
    base = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(1, dtype=F64), 1.0), 1)
    x = torch.linspace(-1.5, 1.5, 5, dtype=F64)[:, None]
    options = {"end": end, "paths": 400, "n_steps": 64, "cap_noise": False, **FAST, **how}
    return x, base, log_prob(wrong.fields, x, base, **options)


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize(
    ("proposal", "divergence"), [("reverse", "exact"), ("model", "exact"), ("reverse", "none")]
)
def test_the_density_of_a_wrong_model_is_the_model_s_not_the_data_s(end, proposal, divergence):
    """A linear SDE has a Gaussian distribution in closed form; the step's error at 64 steps is below 0.03 nats."""
    wrong = Wrong(end)
    x, base, found = asked(wrong, end, eps=wrong.eps, proposal=proposal, divergence=divergence)
    true = wrong.density().log_prob(x[:, 0])
    assert bool(((found.log_prob - true).abs() < 4 * found.error + 0.03).all())
    assert float((true - base.log_prob(x)).abs().max()) > 0.15  # the data's density is another one
    assert bool((found.lower_bound < found.log_prob + 1e-3).all())


@pytest.mark.parametrize("end", [0, 1])
def test_the_density_of_a_wrong_model_whose_noise_grows_in_time(end):
    """Proposals need eps at their own times: a right score would leave log p as it is whatever the paths."""
    wrong = Wrong(end)
    x, _, found = asked(wrong, end, eps=lambda t: 0.05 + 2 * t**3)
    # The integral of eps from t to the end of the model's run, and from its start.
    t = torch.linspace(0, 1, 2001, dtype=F64)
    since = 0.05 * t + t**4 / 2
    left, whole = (since[-1] - since, since[-1]) if end == 1 else (since, since[-1])
    mean = wrong.sign * wrong.push * torch.trapezoid(torch.exp(-wrong.k * left), t)
    fall = torch.exp(-2 * wrong.k * whole)
    true = torch.distributions.Normal(mean, torch.sqrt(fall + (1 - fall) / wrong.k)).log_prob(x[:, 0])
    assert bool(((found.log_prob - true).abs() < 4 * found.error + 0.03).all())


def wavy_score(size, y, t, cond=None):
    return EXACT.score(y, t) + size * torch.sin(3 * y)


def test_the_lower_bound_lies_below_and_rises_to_it_as_fields_get_better():
    x, base, true = side(1, 50)
    gaps = []
    for size in (1.0, 0.25):
        fields = LearnedFields(
            Linear(),
            velocity=EXACT.velocity,
            score=partial(wavy_score, size),
        )
        found = log_prob(fields, x, base, eps=0.5, paths=16, n_steps=40, **FAST)
        assert float((found.log_prob - found.lower_bound).min()) > -1e-3
        gaps.append(float((true - found.lower_bound).mean()))
    assert gaps[0] > 4 * gaps[1] > 0


def test_small_noise_has_the_density_of_the_flow():
    fields = LearnedFields(
        Linear(),
        velocity=lambda y, t: EXACT.velocity(y, t) + 0.3 * torch.sin(y),
        score=lambda y, t: EXACT.score(y, t),
    )
    x, base, _ = side(1, 8)
    flow = log_prob(fields, x, base, method="rk4", n_steps=30)
    near = log_prob(fields, x, base, eps=1e-3, paths=4, n_steps=40, **FAST)
    assert_close(near.log_prob, flow.log_prob, atol=0.05, rtol=0)


@pytest.mark.parametrize("end", [0, 1])
def test_paths_with_hardly_any_noise_arrive_where_the_flow_does(end):
    """After the very last step: a single one of 40 is worth 0.03."""
    x, base, _ = side(end, 8)
    flow = log_prob(EXACT, x, base, end=end, method="rk4", n_steps=30)
    near = log_prob(EXACT, x, base, end=end, eps=1e-10, paths=2, n_steps=40, time_grid="uniform", **FAST)
    assert_close(near.x, flow.x, atol=8e-3, rtol=0)
    assert_close(near.log_prob, flow.log_prob, atol=8e-3, rtol=0)


def test_points_keep_their_paths_whatever_the_batch():
    x, base, _ = side(1, 90)
    options = {"eps": 0.5, "paths": 3, "n_steps": 6, "seed": 1}
    whole = log_prob(EXACT, x, base, **options)
    part = log_prob(EXACT, x[70:75], base, first_index=70, chunk=64, **options)
    assert_close(part.log_prob, whole.log_prob[70:75], rtol=0, atol=1e-10)
    other = log_prob(EXACT, x[70:75], base, first_index=71, **options)
    assert float((other.log_prob - part.log_prob).abs().min()) > 1e-6


def test_a_learnt_noise_stays_finite_at_the_ends():
    """All ways agree on fields whose score is -eta/gamma, to the error they report."""
    fields = LearnedFields(Linear(), velocity=EXACT.velocity, noise=lambda y, t: 1.2 * EXACT.noise(y, t))
    x, base, _ = side(1, 20)
    found = {
        name: log_prob(fields, x, base, eps=0.3, paths=64, n_steps=48, **options, **FAST)
        for name, options in {"exact": {}, "none": {"divergence": "none"}}.items()
    }
    gap = found["exact"].log_prob - found["none"].log_prob
    error = (found["exact"].error.square() + found["none"].error.square()).sqrt()
    assert abs(float(gap.mean())) < 0.05
    assert float((gap.abs() / (error + 0.02)).max()) < 5


def test_statistics_of_log_normal_weights():
    """``E w = 1``; the mean log weight is ``-s^2/2``; effective share ``exp(-s^2)``."""
    s, k = 0.8, 100
    values = s * torch.randn(2000, k, dtype=F64, generator=generator(0)) - s**2 / 2
    found = summarise(values, torch.zeros_like(values))
    assert abs(float(found.log_prob.mean())) < 0.005
    assert float(found.lower_bound.mean()) == pytest.approx(-(s**2) / 2, abs=0.005)
    assert float(found.error.mean() / found.log_prob.std()) == pytest.approx(1, abs=0.1)
    assert float(found.ess.mean() / k) == pytest.approx(math.exp(-(s**2)), abs=0.06)
    assert 0.92 < coverage(found, torch.zeros(2000, dtype=F64)) < 0.98


@pytest.mark.parametrize(
    ("s", "k", "least"), [(0.5, 16, 0.94), (1.5, 16, 0.94), (1.5, 256, 0.94), (3.0, 64, 0.86)]
)
def test_intervals_of_heavy_weights_cover(s, k, least):
    """Of 4000 intervals 95% cover to 0.7%; without regard to skewness these were 94, 88, 91 and 68%."""
    values = s * torch.randn(4000, k, dtype=F64, generator=generator(0)) - s**2 / 2
    found = summarise(values, torch.zeros_like(values))
    assert least < coverage(found, torch.zeros(4000, dtype=F64)) < 0.985


def test_student_s_points_are_those_of_the_tables():
    points = student_975(torch.tensor([2.0, 5.0, 10.0, 30.0], dtype=F64))
    assert_close(points, torch.tensor([4.303, 2.571, 2.228, 2.042], dtype=F64), atol=0.04, rtol=0)


def test_the_interval_of_six_nearly_even_weights_is_that_of_student():
    """Five degrees of freedom, 2.571 standard errors to each side where weights are not skewed."""
    values = 0.01 * torch.tensor([[1.0, -1, 1, -1, 1, -1]], dtype=F64)
    found = summarise(values, torch.zeros_like(values))
    assert float((found.log_prob - found.low) / found.error) == pytest.approx(2.571, rel=0.01)
    assert float((found.high - found.log_prob) / found.error) == pytest.approx(2.571, rel=0.02)


def test_weights_with_a_tail_to_the_left_narrow_no_interval():
    values = torch.tensor([[0.0] * 9 + [-3.0]], dtype=F64)
    found = summarise(values, torch.zeros_like(values))
    assert_close(found.high - found.log_prob, found.log_prob - found.low)
    right = summarise(-values, torch.zeros_like(values))
    assert float(right.high - right.log_prob) > 1.5 * float(right.log_prob - right.low)


def test_a_correction_of_all_paths_alike_moves_estimate_and_bound_by_itself():
    values = torch.randn(3, 20, dtype=F64, generator=generator(0))
    plain, moved = (summarise(values, torch.full_like(values, by)) for by in (0.0, 0.25))
    assert_close(moved.log_prob, plain.log_prob + 0.25)
    assert_close(moved.lower_bound, plain.lower_bound + 0.25)
    assert_close(moved.lower_bound_error, plain.lower_bound_error)
    assert_close(moved.lower_bound_error, values.std(1) / 20**0.5)


def test_results_move_with_the_units():
    x, base, _ = side(1, 3)
    found = log_prob(EXACT, x, base, eps=0.5, paths=2, n_steps=4, **FAST)
    moved = found.shifted(2.0)
    for name in ("log_prob", "lower_bound", "low", "high"):
        assert_close(getattr(moved, name), getattr(found, name) + 2)
    assert_close(moved.error, found.error)


BAD = {
    "divergence": (
        {"divergence": "trace"},
        r"divergence must be one of exact, hutchinson, none, got 'trace'",
    ),
    "plain_none": (
        {"proposal": "model", "divergence": "none"},
        r"divergence='none' needs proposal='reverse'",
    ),
    "chain": ({"divergence": "none", "method": "heun"}, r"needs method='euler_maruyama', got 'heun'"),
    "silent": ({"divergence": "none", "eps": lambda t: 0 * t}, r"needs eps > 0 inside, got 0 at t=1"),
    "graph": ({"differentiable": True}, r"differentiable needs eps=0, got 0.5"),
    "ode": ({"method": "dopri5"}, r"eps > 0 needs an SDE solver, got 'dopri5'"),
    "negative": ({"eps": -1.0}, r"finite and >= 0, got -1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_its_value(name):
    change, message = BAD[name]
    x, base, _ = side(1, 3)
    with pytest.raises(InvalidInputError, match=message):
        log_prob(EXACT, x, base, **{"eps": 0.5, **change})


def test_a_path_that_leaves_the_finite_numbers_is_reported():
    fields = LearnedFields(
        Linear(), velocity=lambda y, t: y * torch.where(y > 1e3, math.inf, 1.0), score=lambda y, t: -y
    )
    x = torch.tensor([[0.1, 0.1], [2e3, 0.1]], dtype=F64)
    with pytest.raises(DivergedError, match="nonfinite for 1 samples, first row 1"):
        log_prob(fields, x, START, eps=0.1, n_steps=4)
    kept = log_prob(fields, x, START, eps=0.1, n_steps=4, on_failure="keep")
    assert kept.status.tolist()[0] == 0
    assert kept.status.tolist()[1] != 0


LEARNT = {
    "linear": Linear(),
    "linear_quadratic": Linear(envelope=QuadraticEnvelope()),
    "linear_sine_squared": Linear(envelope=SineSquaredEnvelope()),
    "linear_sigmoid": Linear(envelope=SigmoidEnvelope()),
    "trigonometric": Trigonometric(),
    "encoder_decoder": EncoderDecoder(),
    "diffusive": Diffusive(scale=0.5),
    "one_sided_linear": OneSidedLinear(),
    "one_sided_trigonometric": OneSidedTrigonometric(),
    "variance_preserving": VariancePreserving(),
    "vp": VP(),
    "sub_vp": SubVP(),
    "discrete_schedule": DiscreteSchedule(),
    "edm": EDM(),
    "ve": VE(smax=8.0),
}
HEADS = {
    name: [("velocity",), ("denoised",), ("noise",)] if path.is_one_sided else [("velocity", "noise")]
    for name, path in LEARNT.items()
}
# 0.05 of their noise at t = 0 are several units of the data: no model to speak of.
HEADS["edm"] = [("velocity",), ("denoised",)]
# Of ve a velocity off by 0.05 has a denoised off by 0.007 whatever sigma: at sigma = 0.01 no model either.
HEADS["ve"] = [("denoised",)]


def learnt_like(path, heads):
    """Exact fields of two modes on a line, with errors such as training leaves: smooth, and small where x1 is seen."""
    data = GaussianMixture([0.4, 0.6], [[-1.2], [1.0]], [[0.4], [0.5]])
    start = GaussianMixture([1.0], [[0.3]], [[0.8]])
    start = GaussianMixture.from_gaussian(path.base, 1) if path.is_one_sided else start
    exact = GaussianMixtureBridge(start, data).fields(path)

    def off(quantity):
        def field(x, t, cond=None):
            size = path.noise_scale(t)[:, None] if quantity == "denoised" else 1.0
            return exact.evaluate(x, t, (quantity,))[quantity] + 0.05 * size * torch.sin(2 * x + 1)

        return field

    return LearnedFields(path, **{head: off(head) for head in heads}), start, data


@pytest.mark.cases(2)
@pytest.mark.parametrize(("name", "heads"), [(name, heads) for name in LEARNT for heads in HEADS[name]])
def test_densities_of_fields_with_errors_have_mass_one_on_every_path(name, heads):
    """An error of the score grows without bound where noise vanishes; once it raised the mass to 3, 10, 1e100."""
    fields, start, data = learnt_like(LEARNT[name], heads)
    x = torch.linspace(-4, 4, 41, dtype=F64)[:, None]
    found = log_prob(fields, x, start, eps=0.3, paths=12, n_steps=100, **FAST)
    assert float(found.log_prob.exp().sum() * 0.2) == pytest.approx(1, abs=0.08)
    weights = data.log_prob(x).exp() * 0.2
    entropy = float((weights * data.log_prob(x)).sum())
    assert entropy - 0.6 < float((weights * found.lower_bound).sum()) < entropy + 0.03
    assert entropy - 0.2 < float((weights * found.log_prob).sum()) < entropy + 0.03


def test_the_mass_of_bins_is_their_share_of_samples():
    """The independent route: 20000 samples of the model itself, errors and all."""
    path = OneSidedLinear()
    fields, start, _ = learnt_like(path, ("velocity",))
    x0 = start.sample(20_000, generator=generator(5))
    made = sample(fields, x0, eps=0.3, n_steps=50, invariant=False, seed=2).x[:, 0]
    edges = torch.linspace(-2.5, 2.5, 11, dtype=F64)
    shares = torch.histogram(made, edges).hist / len(made)
    x = torch.linspace(-2.475, 2.475, 100, dtype=F64)[:, None]
    found = log_prob(fields, x, start, eps=0.3, paths=4, n_steps=100, **FAST)
    masses = found.log_prob.exp().reshape(10, 10).sum(1) * 0.05
    assert float((masses - shares).abs().max()) < 0.012


def test_too_few_steps_for_the_ends_are_refused():
    fields, start, _ = learnt_like(OneSidedLinear(), ("velocity",))
    with pytest.raises(InvalidInputError, match=r"n_steps must be > 1: at ends without noise .* got 1"):
        log_prob(fields, torch.zeros(1, 1, dtype=F64), start, eps=0.3, n_steps=1)


@pytest.mark.parametrize(("method", "nfe"), [("euler_maruyama", 11 + 1 + 8), ("stochastic_heun", 22 + 1 + 8)])
def test_evaluations_of_a_path_are_counted(method, nfe):
    """Eleven steps with noise, one evaluation for the bound, and two for each of four steps along the flow."""
    fields, start, _ = learnt_like(OneSidedLinear(), ("velocity",))
    options = {"eps": 0.3, "n_steps": 12, "paths": 4, "method": method}
    assert log_prob(fields, torch.zeros(1, 1, dtype=F64), start, **options, **FAST).nfe == nfe
