"""Replacement: known entries are kept, distributed as on the path; exact where it can be; refusals."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import Langevin, ReverseNoise, sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import expand_like
from interpolants.guidance import Replacement
from interpolants.operators import Downsample, Mask, Matrix, PhaseRetrieval, Rotated
from interpolants.paths import VE, VP, Linear, OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
SHAPE = (3, 2, 2)
TURN = torch.linalg.qr(torch.randn(12, 12, dtype=F64, generator=torch.Generator().manual_seed(0))).Q
KNOWN = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) > 0.4
OPERATORS = {
    "mask": Mask(KNOWN),
    "grey": Rotated.grey(SHAPE),
    "rotated": Rotated(Mask(KNOWN), TURN),
    "coarse": Downsample(2),
}
COVARIANCE = torch.eye(12, dtype=F64) + 0.3
PATHS = {"vp": VP(), "ve": VE(smin=0.02, smax=10.0), "coloured": VP(base=Gaussian(covariance=COVARIANCE))}


def draws(path, n, shape=SHAPE, seed=0):
    z = torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return path.base.color(z.flatten(1)).reshape(z.shape) if path.base.std is None else path.base.color(z)


def white(path):
    """Fields of data N(0, Id) of any shape, given by the score."""

    def score(x, t):
        return -x / expand_like(path.noise_std(t) ** 2 + path.beta(t) ** 2, x)

    return LearnedFields(path, score=score)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("finish", ["denoise", "mean"])
@pytest.mark.parametrize("method", ["ancestral", "heun", "euler"])
def test_results_have_what_was_measured(name, finish, method):
    path, operator = VP(), OPERATORS[name]
    y = operator(draws(path, 20, seed=5))
    run = {"n_steps": 12, "seed": 0, "finish": finish, "method": method}
    run |= {"eps": ReverseNoise()} if method == "euler" else {}
    found = sample(white(path), draws(path, 20), constraint=Replacement(operator, y), **run).x
    assert_close(operator(found), y)


@pytest.mark.cases(2)
@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("path", PATHS)
def test_on_the_way_the_measured_part_has_the_distribution_of_the_path(name, path):
    """Mean ``beta y``, covariance ``alpha^2 H C H^T`` at all times, the corrector at work; 20,000 rows, seed 0."""
    path, operator, n = PATHS[path], OPERATORS[name], 20_000
    y = operator(draws(VP(), 1, seed=5))
    fields = LearnedFields(path, denoised=lambda x, t: torch.zeros_like(x), margin=0.0)
    run = {"method": "ancestral", "n_steps": 3, "stop": 0.9, "seed": 0, "invariant": False, "chunk": n}
    corrector = None if path.base.std is None else Langevin(0.1)
    found = sample(
        fields,
        draws(path, n),
        constraint=Replacement(operator, y),
        corrector=corrector,
        return_path=True,
        **run,
    )
    units = torch.eye(12, dtype=F64).reshape(12, *SHAPE)
    h = operator(units).flatten(1).mT
    c = COVARIANCE if path.base.std is None else path.base.std**2 * torch.eye(12, dtype=F64)
    for t, state in zip(found.times[1:], found.path[1:], strict=True):
        seen = operator(state).flatten(1)
        covariance = path.alpha(t) ** 2 * h @ c @ h.T
        std = covariance.diagonal().sqrt()
        assert ((seen.mean(0) - path.beta(t) * y.flatten()).abs() < 5 * std / math.sqrt(n)).all()
        gap = (seen.T.cov() - covariance) / (std[:, None] * std)
        assert float(gap.abs().max()) < 5 * math.sqrt(2 / n)


def test_independent_parts_are_filled_in_with_their_own_distribution():
    """The hidden entry knows nothing of the known one: replacement is exact. Two modes, 4,000 rows, seed 1."""
    path, n = VP(), 4000
    weights = torch.tensor([0.3, 0.7], dtype=F64)
    means = torch.tensor([[0.0, -2.0], [0.0, 1.0]], dtype=F64)
    data = GaussianMixture(weights, means, torch.tensor([[1.0, 0.1], [1.0, 0.2]], dtype=F64))
    fields = GaussianMixtureBridge(path.base, data).fields(path)
    y = torch.full((n, 1), 2.5, dtype=F64)
    run = {
        "method": "ancestral",
        "n_steps": 150,
        "seed": 1,
        "finish": "denoise",
        "invariant": False,
        "chunk": n,
    }
    constraint = Replacement(Mask(torch.tensor([True, False])), y)
    found = sample(fields, draws(path, n, (2,)), constraint=constraint, **run).x
    assert torch.equal(found[:, 0], y[:, 0])
    share = float((found[:, 1] > -0.5).double().mean())
    assert abs(share - 0.7) < 5 * math.sqrt(0.21 / n)
    assert float(found[:, 1].std()) == pytest.approx(float(data.covariance[1, 1].sqrt()), rel=0.05)


@pytest.mark.slow
def test_correctors_bring_dependent_parts_closer_to_the_conditional_distribution():
    """Correlation 0.9, known entry 2: the conditional mean is 1.8. One noisy draw of it at each time says less."""
    path, n = VP(), 3000
    covariance = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=F64)
    data = GaussianMixture(torch.ones(1, dtype=F64), torch.zeros(1, 2, dtype=F64), covariance[None])
    fields = GaussianMixtureBridge(path.base, data).fields(path)
    constraint = Replacement(Mask(torch.tensor([True, False])), torch.tensor([[2.0]], dtype=F64))
    run = {
        "method": "ancestral",
        "n_steps": 100,
        "seed": 1,
        "finish": "denoise",
        "invariant": False,
        "chunk": n,
    }
    means = []
    for corrector in (None, Langevin(0.3, 2, "fixed"), Langevin(0.3, 10, "fixed")):
        found = sample(fields, draws(path, n, (2,)), constraint=constraint, corrector=corrector, **run).x
        means.append(float(found[:, 1].mean()))
    assert 0.3 < means[0] < means[1] < means[2] <= 1.8 + 5 * math.sqrt(0.19 / n)
    assert means[2] > 1.6


def test_a_sample_does_not_depend_on_its_batch_and_keeps_its_own_measurement():
    path, operator = VP(), OPERATORS["mask"]
    x, y = draws(path, 150), operator(draws(path, 150, seed=5))
    run = {"method": "ancestral", "n_steps": 6, "seed": 4, "corrector": Langevin(), "finish": "denoise"}
    fields = white(path)
    everything = sample(fields, x, constraint=Replacement(operator, y), **run).x
    part = sample(fields, x[70:90], constraint=Replacement(operator, y[70:90]), first_index=70, **run).x
    assert torch.equal(everything[70:90], part)
    assert_close(operator(everything), y)
    conditional = LearnedFields(path, score=lambda x, t, cond: -x + 0 * cond.reshape(-1, 1, 1, 1))
    found = sample(conditional, x, cond=x.flatten(1)[:, 0], constraint=Replacement(operator, y), **run).x
    assert_close(operator(found), y)


def test_without_a_constraint_nothing_changes():
    path = VP()
    x = draws(path, 10)
    run = {"method": "ancestral", "n_steps": 5, "seed": 2}
    plain = sample(white(path), x, **run).x
    everything_known = Replacement(Mask(torch.ones(SHAPE, dtype=torch.bool)), draws(path, 1).flatten(1))
    replaced = sample(white(path), x, constraint=everything_known, finish="mean", **run).x
    assert_close(replaced, draws(path, 1).expand_as(x))
    assert not torch.allclose(plain, replaced)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Replacement(PhaseRetrieval(), torch.zeros(1)),
            r"must be linear with a pseudo-inverse, got PhaseRetrieval",
        ),
        (lambda: start(Replacement(Mask(KNOWN), torch.zeros(2, 3))), r"y must have the shape of H\(x\)"),
        (
            lambda: start(Replacement(Mask(KNOWN), torch.zeros(2, int(KNOWN.sum())))),
            r"one row per sample, 4, or one, got 2",
        ),
        (
            lambda: start(Replacement(Mask(KNOWN), torch.full((4, int(KNOWN.sum())), math.nan))),
            r"y must be finite, got nan or inf",
        ),
        (
            lambda: start(Replacement(Matrix(torch.ones(2, 12), SHAPE), torch.tensor([[0.0, 1.0]]))),
            r"some state must fit y, H\(H\+ y\) = y, got a gap of 0.5",
        ),
        (
            lambda: start(Replacement(Mask(KNOWN), torch.zeros(1, int(KNOWN.sum()))), method="dopri5"),
            r"correctors and constraints need fixed steps, got 'dopri5'",
        ),
        (
            lambda: sample(
                LearnedFields(Linear(), velocity=lambda x, t: -x),
                torch.zeros(4, *SHAPE),
                constraint=Replacement(Mask(KNOWN), torch.zeros(1, int(KNOWN.sum()))),
            ),
            r"the path must start from a Gaussian base by one schedule",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def start(constraint, **settings):
    path = OneSidedLinear()
    fields = LearnedFields(path, velocity=lambda x, t: -x)
    return sample(fields, torch.zeros(4, *SHAPE), constraint=constraint, n_steps=2, **settings)
