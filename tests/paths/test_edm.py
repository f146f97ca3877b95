"""Elucidated diffusions and Poisson flows: the grid, exact flows to a set of points, the Gaussian limit."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import Langevin, sample
from interpolants.fields import LearnedFields
from interpolants.foundations import Gaussian
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.likelihood import log_prob
from interpolants.metrics import energy_distance
from interpolants.paths import EDM, get_path
from interpolants.paths.student_t import StudentT
from interpolants.problems import EmpiricalBridge, GaussianMixture

F64 = torch.float64
DEGREES = [1, 4, 16, 128, 1e6]


def mixture():
    means = torch.tensor([[-1.0, -0.6], [1.2, -0.4], [0.0, 1.2]], dtype=F64)
    return GaussianMixture(
        torch.tensor([0.4, 0.35, 0.25], dtype=F64), means, torch.tensor([0.02, 0.05, 0.01], dtype=F64)
    )


def points(n):
    x = mixture().sample(n, generator=torch.Generator().manual_seed(0))
    return x - x.mean(0)


def start(path, n, seed=1):
    return path.base.color(path.base.noise((n, 2), generator=torch.Generator().manual_seed(seed), dtype=F64))


def test_the_grid_is_that_of_the_paper():
    path = EDM(smax=80.0, smin=0.002, rho=7.0)
    i, n = np.arange(18), 18
    levels = (80 ** (1 / 7) + i / (n - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    grid = np.array(path.own_grid(18))
    assert len(grid) == 19
    np.testing.assert_allclose(80 * (1 - grid), [*levels, 0.0], rtol=1e-10, atol=1e-14)
    run = sample(EmpiricalBridge(points(5)).fields(path), start(path, 2), n_steps=18, finish="denoise")
    np.testing.assert_array_equal(run.times.numpy(), grid)
    assert path.own_grid(1) == [0.0, 1.0]
    part = sample(EmpiricalBridge(points(5)).fields(path), start(path, 2), n_steps=18, start=0.5, stop=0.9999)
    inside = grid[(grid > 0.5) & (grid < 0.9999)]
    np.testing.assert_array_equal(part.times.numpy(), [0.5, *inside, 0.9999])


def test_sampling_is_heun_in_the_noise_level(generator):
    """The paper's loop, written out: Heun between levels, Euler to zero."""
    path = EDM(df=4, smax=10.0, smin=0.01)
    fields = EmpiricalBridge(points(20)).fields(path)
    x = start(path, 6)
    levels = path.noise_std(torch.tensor(path.own_grid(9), dtype=F64)).tolist()

    def slope(x, sigma):
        return (x - fields.denoised(x, 1 - sigma / path.smax)) / sigma

    y = x
    for now, after in pairwise(levels[:-1]):
        first = slope(y, now)
        guess = y + (after - now) * first
        y = y + (after - now) * (first + slope(guess, after)) / 2
    y = y - levels[-2] * slope(y, levels[-2])
    found = sample(fields, x, n_steps=9, finish="denoise")
    assert found.method == "heun"
    assert_close(found.x, y, rtol=1e-9, atol=1e-9)


def arrives(df, n_points, n):
    """Energy distance of the exact flow's samples to the points, and that of true resamples: mean and std of 20."""
    path, data = EDM(df=df, smax=80.0), points(n_points)
    fields = EmpiricalBridge(data).fields(path)
    made = sample(fields, start(path, n), n_steps=40, finish="denoise").x
    source = torch.Generator().manual_seed(2)
    truth = [
        energy_distance(EmpiricalBridge(data).sample(n, generator=source), data).value for _ in range(20)
    ]
    return energy_distance(made, data).value, float(np.mean(truth)), float(np.std(truth, ddof=1))


def test_the_flow_arrives_at_the_points():
    found, mean, std = arrives(4, 300, 300)
    assert found < mean + 3 * std


@pytest.mark.slow  # 80 evaluations of 1,000 states against 1,500 points, about 3 s each
@pytest.mark.parametrize("df", DEGREES)
def test_the_flow_arrives_at_the_points_for_any_number_of_dimensions(df):
    """Data centred, sigma_max 80: the energy distance is within 3 standard deviations of that of true resamples."""
    found, mean, std = arrives(df, 1500, 1000)
    assert found < mean + 3 * std


@pytest.mark.parametrize("df", [1, 16, "inf"])
def test_the_likelihood_is_that_of_the_kernels_at_the_least_noise(df):
    """``log p`` by the flow from the base against ``log mean p_r(x|y)`` at sigma_min, to 1e-2 nats."""
    path, data = EDM(df=df, smax=80.0), points(40)
    fields = EmpiricalBridge(data).fields(path)
    x = data[:6] + 0.002 * path.base.noise((6, 2), generator=torch.Generator().manual_seed(3), dtype=F64)
    found = log_prob(fields, x, path.base, noise_level=0.002, mode="reverse", rtol=1e-7, atol=1e-7)
    assert found.noise_level == 0.002
    truth = fields.log_prob(x, 1 - 0.002 / 80)
    assert_close(found.log_prob, truth, atol=1e-2, rtol=0)


def test_many_degrees_of_freedom_are_the_diffusion():
    """D = 1e7: denoisers and trajectories agree with the normal ones to 1e-4, for the same normal draws."""
    many, normal = EDM(df=1e7, smax=80.0), EDM(smax=80.0)
    fields = [EmpiricalBridge(points(200)).fields(path) for path in (many, normal)]
    x = start(normal, 100)
    for t in (0.3, 0.9, 0.99, 0.999):
        at = [f.denoised(x * (1 - t) + points(100), t) for f in fields]
        assert_close(*at, rtol=1e-4, atol=1e-4)
    runs = [
        sample(f, start(p, 100), n_steps=18, stop=0.9999).x
        for f, p in zip(fields, (many, normal), strict=True)
    ]
    assert float((runs[0] - runs[1]).norm() / runs[1].norm()) < 1e-4


def test_an_sde_keeps_the_distribution_with_the_true_score_and_loses_its_tails_with_tweedies():
    """Radii at sigma = 1 after an SDE with ``eps = sigma smax`` from sigma = 10, against draws of x_t. Seed 5."""
    stats = pytest.importorskip("scipy.stats")
    path, data = EDM(df=2, smax=10.0, smin=0.02), EmpiricalBridge(points(50))
    exact = data.fields(path)

    def tweedie(x, t, cond=None):
        sigma = path.noise_std(t)[:, None]
        return (exact.evaluate(x, t, ("denoised",))["denoised"] - x) / sigma**2

    def radii(x):
        return x.norm(dim=1).numpy()

    source = torch.Generator().manual_seed(5)
    first, truth = (
        path.sample(x1=data.sample(1000, generator=source), t=t, generator=source).x_t for t in (0.0, 0.9)
    )
    options = {"eps": lambda t: path.smax**2 * (1 - t), "n_steps": 80, "seed": 0, "stop": 0.9}
    for score, keeps in ((exact.score, True), (tweedie, False)):
        fields = LearnedFields(path, denoised=exact.denoised, score=score)
        found = stats.ks_2samp(radii(sample(fields, first, **options).x), radii(truth)).pvalue
        assert found > 0.01 if keeps else found < 1e-8


def test_the_denoised_alone_gives_the_flow_and_no_sde():
    path = EDM(df=64)
    exact = EmpiricalBridge(points(10)).fields(path)
    fields = LearnedFields(path, denoised=exact.denoised)
    with pytest.raises(NotIdentifiableError, match=r"StudentT\(df=64.*score beside it"):
        sample(fields, start(path, 2), eps=0.1)
    with pytest.raises(NotIdentifiableError, match="score beside it"):
        sample(fields, start(path, 2), n_steps=5, corrector=Langevin(), finish="denoise")
    with pytest.raises(InvalidInputError, match="method='ancestral' needs a path with a Gaussian base"):
        sample(fields, start(path, 2), n_steps=5, method="ancestral")
    assert sample(fields, start(path, 2), n_steps=5, finish="denoise").ok.all()
    # for normal noise Tweedie's formula is there
    assert LearnedFields(EDM(), denoised=exact.denoised).has_score


def test_the_base_carries_the_degrees_of_freedom():
    assert isinstance(EDM().base, Gaussian)
    assert EDM(df=math.inf) == EDM()
    assert EDM(df="inf").df == "inf"
    assert isinstance(EDM(df=0.5).base, StudentT)
    assert get_path("edm", df=3).base.df == 3.0
    assert EDM(df=3) != EDM(df=4)
    t = torch.tensor([0.0, 0.5], dtype=F64)
    assert_close(EDM(df=3, smax=10.0).noise_std(t), torch.tensor([10.0, 5.0], dtype=F64))
    with pytest.raises(InvalidInputError, match="the base must be Gaussian, got StudentT"):
        EDM(df=3).g_squared(t)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EDM(df=0), "df must be finite and > 0, or 'inf' for normal noise, got 0"),
        (lambda: EDM(df=-2.0), "got -2.0"),
        (lambda: EDM(df=math.nan), "got nan"),
        (lambda: EDM(df="many"), "got 'many'"),
        (lambda: EDM(df=True), "got True"),
        (lambda: EDM(smax=0.001), "smax must be > smin = 0.002, got 0.001"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_a_log_snr_that_the_path_does_not_reach_has_the_time_of_its_start():
    at = EDM(smax=80.0).time_at_log_snr(torch.tensor([-100.0, -2 * math.log(80.0), 100.0]))
    assert_close(at, torch.tensor([0.0, 0.0, 1.0], dtype=F64), atol=1e-12, rtol=0)
