import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.types import Distribution
from interpolants.problems import (
    Checkerboard,
    EightGaussians,
    Funnel,
    Moons,
    Pinwheel,
    Rings,
    SwissRoll,
    get_problem,
)

F64 = torch.float64
TOYS = {
    "checkerboard": Checkerboard(),
    "checkerboard_odd": Checkerboard(cells=3, half_width=3.0),
    "moons": Moons(),
    "moons_wide": Moons(noise=0.25, scale=2.0),
    "swiss_roll": SwissRoll(noise=0.3),
    "rings": Rings(),
    "eight_gaussians": EightGaussians(),
    "funnel": Funnel(dim=2, scale=1.0),
    "pinwheel": Pinwheel(),
}
# Half width and cells of the grid that holds all but a millionth; the funnel never fits.
GRIDS = {"funnel": (18.0, 36), "eight_gaussians": (8.0, 32), "moons": (2.5, 25), "swiss_roll": (5.0, 25)}
SMOOTH = [name for name in TOYS if not name.startswith("checkerboard")]
each_toy = pytest.mark.parametrize("name", TOYS)


def cells(toy, side, cuts, inner):
    """Probability of each cell of a square grid, by midpoints of ``inner^2`` sub-cells."""
    step = 2 * side / (cuts * inner)
    middle = -side + step * (torch.arange(cuts * inner, dtype=F64) + 0.5)
    density = toy.log_prob(torch.cartesian_prod(middle, middle)).exp() * step**2
    return density.reshape(cuts, inner, cuts, inner).sum((1, 3))


@each_toy
def test_density_integrates_to_one_and_predicts_the_counts(name):
    toy, n = TOYS[name], 20_000
    side, cuts = GRIDS.get(name, (6.0, 24))
    chance = cells(toy, side, cuts, 8)
    # The funnel's mouth reaches beyond the grid: P(|x| > 18) is about 4e-4 at scale 1.
    assert float(chance.sum()) == pytest.approx(1, abs=2e-3 if name == "funnel" else 1e-6)
    x = toy.sample(n, generator=torch.Generator().manual_seed(11)).double()
    place = torch.floor((x + side) / (2 * side / cuts)).long()
    kept = ((place >= 0) & (place < cuts)).all(1)
    count = torch.bincount((place[:, 0] * cuts + place[:, 1])[kept], minlength=cuts**2)
    chance = chance.flatten()
    large = chance * n >= 10
    assert int(count[chance < 1e-12].sum()) == 0
    # Pearson's statistic: mean k, variance about 2 k for k cells; five standard deviations.
    statistic = float(((count - n * chance).square() / (n * chance))[large].sum())
    k = int(large.sum())
    assert abs(statistic - k) < 5 * math.sqrt(2 * k)


@pytest.mark.parametrize("name", SMOOTH)
def test_score_is_the_slope_of_the_log_density(name):
    toy = TOYS[name]
    x = toy.sample(16, generator=torch.Generator().manual_seed(1)).double()
    h = 1e-5
    for k in (0, 1):
        shift = torch.zeros(2, dtype=F64)
        shift[k] = h
        slope = (toy.log_prob(x + shift) - toy.log_prob(x - shift)) / (2 * h)
        assert_close(toy.score(x)[:, k], slope, rtol=1e-5, atol=1e-4)


@each_toy
def test_it_is_a_distribution_of_its_shape_and_type(name):
    toy = TOYS[name]
    assert isinstance(toy, Distribution)
    x = toy.sample(5, generator=torch.Generator().manual_seed(2))
    assert x.shape == (5, *toy.event_shape)
    assert torch.equal(x, toy.sample(5, generator=torch.Generator().manual_seed(2)))
    assert toy.log_prob(x.float()).dtype == torch.float32
    assert toy.log_prob(x.float()).shape == (5,)


def test_a_checkerboard_is_empty_off_its_cells():
    board = Checkerboard()
    inside = torch.tensor([[-3.9, -3.9], [0.1, 0.1], [-1.0, 1.0 - 2]], dtype=F64)
    assert_close(board.log_prob(inside), torch.full((3,), -math.log(32), dtype=F64))
    outside = torch.tensor([[-3.9, -1.9], [4.1, 4.1], [0.1, -0.1]], dtype=F64)
    assert bool((board.log_prob(outside) == -math.inf).all())
    assert not hasattr(board, "score")


def test_moons_agree_with_scikit_learns_up_to_a_shift():
    datasets = pytest.importorskip("sklearn.datasets")
    ours = Moons(noise=1e-9).sample(4000, generator=torch.Generator().manual_seed(3)).double()
    theirs, _ = datasets.make_moons(4000, shuffle=False)
    theirs = torch.from_numpy(theirs) - torch.tensor([0.5, 0.25], dtype=F64)
    # 2000 points on an arc of length pi: neighbours are 1.6e-3 apart.
    assert float(torch.cdist(ours, theirs).min(1).values.max()) < 1e-3


def test_quadrature_is_converged():
    # Against adaptive quadrature of the noisy arcs at points on, beside and far from the curve.
    integrate = pytest.importorskip("scipy.integrate")
    toy = Moons(noise=0.1)
    points = torch.tensor([[0.5, -0.25], [-0.4, 0.6], [2.2, 0.2], [-1.9, -0.6]], dtype=F64)

    def density(u, x):
        place = toy._curve(torch.tensor([u], dtype=F64))[0]
        return math.exp(-0.5 * float((x - place).square().sum()) / 0.01) / (2 * math.pi * 0.01)

    for x, value in zip(points, toy.log_prob(points).exp(), strict=True):
        parts = [
            integrate.quad(density, a, b, args=(x,), epsabs=0, epsrel=1e-10, limit=200)[0]
            for a, b in ((0, 0.5), (0.5, 1 - 1e-15))
        ]
        assert float(value) == pytest.approx(sum(parts), rel=1e-6)


def test_a_ring_is_gaussian_noise_around_a_circle():
    toy = Rings(count=1, noise=0.4, scale=1.3)
    angle = torch.linspace(0, 2 * math.pi, 2001, dtype=F64)[:-1]
    circle = 1.3 * torch.stack([angle.cos(), angle.sin()], 1)
    x = torch.tensor([[0.0, 0.0], [1.2, 0.3], [3.0, -2.0]], dtype=F64)
    # The trapezoid rule on a circle converges faster than any power.
    apart = (x[:, None] - circle).square().sum(2)
    wanted = torch.logsumexp(-0.5 * apart / 0.16, 1) - math.log(2000 * 2 * math.pi * 0.16)
    assert_close(toy.log_prob(x), wanted, rtol=1e-9, atol=1e-9)
    assert bool(torch.isfinite(toy.score(x)).all())


def test_the_radius_of_a_roll_grows_with_its_angle(generator):
    x = SwissRoll(noise=1e-7, scale=2.0).sample(200, generator=generator).double()
    radius, angle = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    turns = (4.5 * math.pi * radius / 2 - angle) / (2 * math.pi)
    assert_close(turns, turns.round(), atol=1e-5, rtol=0)
    assert (float(radius.min()), float(radius.max())) == pytest.approx((2 / 3, 2), abs=0.05)


@pytest.mark.parametrize("toy", [Moons(), SwissRoll()])
def test_a_noisy_curve_is_the_mixture_it_offers(toy):
    x = torch.tensor([[0.0, 0.0], [1.2, 0.3], [3.0, -2.0]], dtype=F64)
    assert_close(toy.log_prob(x), toy.mixture.log_prob(x), rtol=1e-10, atol=1e-10)
    assert_close(toy.score(x), toy.mixture.score(x), rtol=1e-9, atol=1e-9)


def test_a_funnel_is_a_product_of_normals():
    toy = Funnel(dim=4)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    neck = torch.distributions.Normal(0.0, 3.0).log_prob(x[:, 0])
    body = torch.distributions.Normal(0.0, (x[:, :1] / 2).exp()).log_prob(x[:, 1:]).sum(1)
    assert_close(toy.log_prob(x), neck + body)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EightGaussians(radius=math.inf), "radius must be finite and > 0"),
        (lambda: Moons().log_prob(torch.zeros(3)), r"x must have shape \(B, 2\), got \(3,\)"),
        (lambda: get_problem("moons", nois=0.1), "Did you mean 'noise'"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_the_level_of_the_checkerboard_has_the_precision_of_the_states():
    found = Checkerboard().log_prob(torch.tensor([[-3.5, -3.5], [9.0, 9.0]], dtype=torch.float64))
    assert found.tolist() == [-math.log(32), -math.inf]


def test_the_density_of_a_pinwheel_has_a_slope_at_its_centre():
    x = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(Pinwheel().log_prob(x).sum(), x)
    assert bool(slope.isfinite().all())
