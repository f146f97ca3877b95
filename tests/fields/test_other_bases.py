"""One-sided paths whose base is not Gaussian: what still follows from what, and what is refused."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.dynamics.noise import SAFE_STEP, ConstantNoise, NoiseTable
from interpolants.fields import QUANTITIES, LearnedFields
from interpolants.foundations import Gaussian
from interpolants.foundations.errors import NotIdentifiableError
from interpolants.objectives import EndpointLoss, NoiseLoss, ScoreLoss, VelocityLoss
from interpolants.paths import OneSidedLinear, OneSidedTrigonometric, VariancePreserving
from interpolants.paths.student_t import StudentT
from interpolants.problems import EmpiricalBridge

F64 = torch.float64
POINTS = torch.tensor([[-2.0, 0.0], [1.0, 1.5], [1.5, -1.0]], dtype=F64)
MATRIX = torch.tensor([[1.5, 0.4], [0.4, 0.8]], dtype=F64)
PATHS = {
    "linear": OneSidedLinear(base=StudentT(3)),
    "coloured": OneSidedLinear(
        base=StudentT(5, mean=torch.tensor([0.3, -0.7], dtype=F64), dispersion=MATRIX)
    ),
    "trigonometric": OneSidedTrigonometric(base=StudentT(2, scale=2.0)),
    "variance preserving": VariancePreserving(base=StudentT(4)),
}
each_path = pytest.mark.parametrize("name", PATHS)
FLOW = tuple(quantity for quantity in QUANTITIES if quantity != "score")


def learnt(path, *names):
    exact = EmpiricalBridge(POINTS).fields(path)
    return LearnedFields(path, **{name: getattr(exact, name) for name in names}), exact


@each_path
@pytest.mark.parametrize("given", FLOW)
def test_all_but_the_score_follow_from_any_of_them(name, given, generator):
    fields, exact = learnt(PATHS[name], given)
    x = torch.randn(6, 2, generator=generator, dtype=F64)
    for quantity in FLOW:
        assert_close(getattr(fields, quantity)(x, 0.4), getattr(exact, quantity)(x, 0.4))
    assert not fields.has_score


@each_path
def test_a_score_says_nothing_of_the_velocity(name):
    fields, _ = learnt(PATHS[name], "score")
    assert [quantity for quantity in QUANTITIES if fields.provides(quantity)] == ["score"]


def test_the_refusal_names_the_base_and_what_to_learn():
    fields, _ = learnt(PATHS["linear"], "denoised")
    x = torch.zeros(2, 2)
    message = r"StudentT\(df=3, .*\) is not Gaussian, .*Tweedie.* Learn velocity, .*score beside it.*eps = 0"
    with pytest.raises(NotIdentifiableError, match=message):
        fields.score(x, 0.5)
    with pytest.raises(NotIdentifiableError, match="is not Gaussian"):
        sample(fields, x, eps=0.5, n_steps=4)
    with pytest.raises(NotIdentifiableError, match="is not Gaussian"):
        learnt(PATHS["linear"], "score")[0].velocity(x, 0.5)
    sample(fields, x, n_steps=4, finish="denoise")  # the flow needs none


@each_path
def test_a_learnt_score_is_what_an_sde_uses(name, generator):
    """The drift is ``b + eps s`` with the score itself, not with what the noise would give for a Gaussian."""
    path = PATHS[name]
    fields, exact = learnt(path, "denoised", "score")
    assert fields.bounded_quantity == "score"
    x = torch.randn(4, 2, generator=generator, dtype=F64)
    pair = [
        sample(f, x, eps=0.3, n_steps=10, seed=1, start=0.1, stop=0.8, time_grid="uniform").x
        for f in (fields, exact)
    ]
    assert_close(*pair)


@each_path
def test_the_kernel_score_is_the_slope_of_the_kernel(name, generator):
    """``-(N + D)(x - y)/(|x - y|^2 + D sigma^2)`` with ``x - y`` whitened, by automatic differentiation."""
    path = PATHS[name]
    x1 = torch.randn(5, 2, generator=generator, dtype=F64)
    t = torch.tensor([0.05, 0.2, 0.5, 0.8, 0.95], dtype=F64)
    draw = path.sample(x1=x1, t=t, generator=generator)
    alpha, beta = path.alpha(t)[:, None], path.beta(t)[:, None]
    x = draw.x_t.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(path.base.log_prob((x - beta * x1) / alpha).sum(), x)
    assert_close(path.kernel_score(draw), slope)
    assert_close(ScoreLoss(path).target(draw), slope)


def test_the_target_of_the_score_as_its_authors_write_it(generator):
    df, sigma, n = 7.0, 0.4, 3
    path = OneSidedLinear(base=StudentT(df))
    y = torch.randn(50, n, generator=generator, dtype=F64)
    draw = path.sample(x1=y, t=1 - sigma, generator=generator)
    away = draw.x_t - (1 - sigma) * y
    expected = -(n + df) * away / (away.square().sum(1, keepdim=True) + df * sigma**2)
    assert_close(ScoreLoss(path).target(draw), expected)


@pytest.mark.parametrize(
    ("loss", "quantity"),
    [
        (VelocityLoss, "velocity"),
        (NoiseLoss, "noise"),
        (ScoreLoss, "score"),
        (EndpointLoss, "denoised"),
    ],
)
def test_the_exact_field_is_the_mean_of_its_target(loss, quantity, generator):
    """``E[(target - field) . h(x)] = 0`` for test functions h, within 4 standard errors."""
    path = PATHS["coloured"]
    exact = EmpiricalBridge(POINTS).fields(path)
    n = 40_000
    x1 = POINTS[torch.randint(3, (n,), generator=generator)]
    draw = path.sample(x1=x1, t=0.5, generator=generator)
    gap = loss(path).target(draw) - getattr(exact, quantity)(draw.x_t, 0.5)
    for h in (torch.tanh(draw.x_t), torch.cos(draw.x_t), torch.exp(-draw.x_t.square())):
        terms = (gap * h).sum(1)
        assert abs(float(terms.mean())) < 4 * float(terms.std()) / n**0.5


def test_antithetic_pairs_mirror_the_noise_of_the_base(generator):
    path = PATHS["coloured"]
    exact = EmpiricalBridge(POINTS).fields(path)
    x1 = POINTS[torch.randint(3, (500,), generator=generator)]
    z = path.base.noise(x1.shape, generator=generator, dtype=F64)
    t = torch.full((500,), 0.5, dtype=F64)
    pair = ScoreLoss(path, antithetic=True)(exact.score, x1=x1, t=t, z=z)
    single = [ScoreLoss(path, antithetic=False)(exact.score, x1=x1, t=t, z=s * z) for s in (1, -1)]
    assert_close(pair, torch.stack(single).mean(0))


@pytest.mark.parametrize(
    ("base", "factor"),
    [
        (Gaussian(), 1.0),
        (Gaussian(scale=5.0), 25.0),
        (Gaussian(covariance=torch.diag(torch.tensor([4.0, 9.0]))), 4.0),
        (StudentT(2), 2 / 4),
        (StudentT(2, scale=3.0), 9 * 2 / 4),
    ],
)
def test_the_cap_of_the_noise_follows_the_steepness_of_the_base(base, factor):
    """Around a point the score has slope ``-k/alpha^2``; Euler is stable while ``eps h k / alpha^2 <= 1``."""
    grid = torch.linspace(0, 1, 11, dtype=F64).numpy()
    path = OneSidedLinear(base=base)
    table = NoiseTable(ConstantNoise(1e6), path, grid, cap=True, size=2)
    times = torch.from_numpy(grid)
    assert_close(table.used(times), SAFE_STEP * factor * (1 - times) ** 2 / 0.1)
