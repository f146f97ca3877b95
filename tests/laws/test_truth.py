"""With exact fields, samples cannot be told from true ones, and densities are the true ones.

Every path with a closed form, the flow and SDEs of three noise levels in turn, both directions, in 2 and 128
dimensions, some in 16. Samples are compared by the energy distance with fresh true samples; the yardstick is the error
of that distance between two true samples. Two dimensions with a few paths run by default;
`pytest -m slow tests/laws/test_truth.py` runs the whole table (some minutes on one core).
"""

import inspect
import math
from functools import cache

import pytest
import torch

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.cards import load_cards
from interpolants.foundations.randomness import generator
from interpolants.likelihood import exact_divergence, log_prob
from interpolants.metrics import energy_distance
from interpolants.paths import (
    VE,
    VP,
    BrownianEnvelope,
    Diffusive,
    DiscreteSchedule,
    EncoderDecoder,
    Linear,
    Mirror,
    OneSidedLinear,
    OneSidedTrigonometric,
    QuadraticEnvelope,
    SigmoidEnvelope,
    SineSquaredEnvelope,
    SpatiallyLinear,
    SubVP,
    Trigonometric,
    VariancePreserving,
    ZeroEnvelope,
    get_path,
)
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge


def made_by_name():
    """Spatially linear paths whose every setting has a default."""
    entries = {card.id: card.load_entry() for card in load_cards() if card.kind == "path"}
    free = [
        name
        for name, entry in entries.items()
        if all(p.default is not p.empty for p in inspect.signature(entry).parameters.values())
    ]
    found = {name: get_path(name) for name in free}
    return {name: path for name, path in found.items() if isinstance(path, SpatiallyLinearPath)}


PATHS = {
    "linear": Linear(),
    "linear_wide": Linear(envelope=BrownianEnvelope(scale=4.0)),
    "linear_quadratic": Linear(envelope=QuadraticEnvelope(scale=2.0)),
    "linear_sine_squared": Linear(envelope=SineSquaredEnvelope()),
    "linear_sigmoid": Linear(envelope=SigmoidEnvelope()),
    "trigonometric": Trigonometric(),
    "trigonometric_preserving": Trigonometric(envelope=BrownianEnvelope(scale=2.0), variance_preserving=True),
    "encoder_decoder": EncoderDecoder(),
    "one_sided_linear": OneSidedLinear(),
    "one_sided_trigonometric": OneSidedTrigonometric(),
    "variance_preserving": VariancePreserving(),
    "vp": VP(),
    "sub_vp": SubVP(),
    "ve": VE(),
    "discrete_schedule": DiscreteSchedule(),
    "mirror": Mirror(),
    "diffusive": Diffusive(scale=0.5),
    "diffusive_hold": Diffusive(scale=0.5, hold=0.2),
    "spatially_linear": SpatiallyLinear(
        lambda t: torch.cos(math.pi / 2 * t) ** 2, lambda t: t**2, lambda t: torch.sqrt(t * (1 - t))
    ),
    "flow_matching": Linear(envelope=ZeroEnvelope()),
}
# Two-sided and one-sided paths that can be made from their names alone; others say above how.
PATHS |= {name: path for name, path in made_by_name().items() if type(path) not in map(type, PATHS.values())}
NOISY = [name for name, path in PATHS.items() if path.has_latent]
LEVELS = (0.0, 0.3, 1.0, 3.0)
SAMPLES = {2: 2000, 16: 1500, 128: 1000}


@cache
def mixture(dim, which):
    """Two or three modes of different weights and shapes, a few standard deviations apart."""
    modes = 2 + which
    source = generator(17, dim, which)
    means = torch.randn(modes, dim, generator=source, dtype=torch.float64) * 4 / math.sqrt(dim)
    weights = torch.tensor([0.6, 0.4] if modes == 2 else [0.5, 0.3, 0.2], dtype=torch.float64)
    if dim == 128:  # axis-parallel: full matrices would take minutes
        shapes = 0.5 + torch.rand(modes, dim, generator=source, dtype=torch.float64)
    else:
        w = torch.randn(modes, dim, dim, generator=source, dtype=torch.float64)
        shapes = 0.5 * w.mT @ w / dim + 0.4 * torch.eye(dim, dtype=torch.float64)
    return GaussianMixture(weights, means, shapes)


@cache
def bridge(name, dim):
    path, rho1 = PATHS[name], mixture(dim, 1)
    if path.is_one_sided:
        rho0 = GaussianMixture.from_gaussian(path.base, dim)
    else:
        rho0 = rho1 if path.is_static else mixture(dim, 0)
    return rho0, rho1


def distributions_of_the_ends(path, rho0, rho1):
    """rho0 and rho1, or the distributions of the state at both ends where the path declares that they are others."""
    declared = path.ends
    if declared.start_is_exact and declared.end_is_exact:
        return rho0, rho1
    return tuple(GaussianMixtureBridge(rho0, rho1).marginal(path, t) for t in (0.0, 1.0))


def fields_of(name, dim, *, double=False):
    rho0, rho1 = bridge(name, dim)
    dtype = torch.float64 if double else torch.float32
    return GaussianMixtureBridge(rho0.to(dtype=dtype), rho1.to(dtype=dtype)).fields(PATHS[name])


def assert_arrives(fields, name, dim, eps, reverse, n_steps, **settings):
    """Energy distance to true samples below three of its errors, which are those of two true samples."""
    n = SAMPLES[dim]
    start, goal = distributions_of_the_ends(PATHS[name], *bridge(name, dim))[:: -1 if reverse else 1]
    x = start.sample(n, generator=generator(1, dim)).float()
    true, other = (goal.sample(n, generator=generator(k, dim)).float() for k in (2, 3))
    # What is measured must be able to fail: the start is far from the goal (a mirror path is bridged to itself).
    if not PATHS[name].is_static:
        assert energy_distance(x, true).value > 10 * energy_distance(other, true).error
    # Closed forms need no fixed blocks: 60 times fewer calls.
    whole = {"invariant": False, "chunk": n}
    found = sample(fields, x, eps=eps, reverse=reverse, n_steps=n_steps, seed=5, **whole, **settings)
    gap, yardstick = energy_distance(found.x, true), energy_distance(other, true)
    assert gap.value < 3 * yardstick.error, f"{gap} against {yardstick}"


# --- samples, by default ------------------------------------------------------------------------------------


@pytest.mark.cases(6)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("eps", [0.0, 1.0])
@pytest.mark.parametrize(
    "name", ["linear", "encoder_decoder", "one_sided_trigonometric", "variance_preserving"]
)
def test_samples_of_exact_fields_are_true_samples(name, eps, reverse):
    assert_arrives(fields_of(name, 2), name, 2, eps, reverse, 60 if eps == 0 else 120)


def learnt(name, dim, quantities, **settings):
    """What a perfectly trained model holds: exact functions, and relations between them that divide by gamma."""
    fields = fields_of(name, dim)

    def only(quantity):
        return lambda x, t: fields.evaluate(x, t, (quantity,))[quantity]

    return LearnedFields(PATHS[name], **{q: only(q) for q in quantities}, **settings)


PAIRS = [
    ("linear", ("velocity", "noise")),
    ("linear", ("mean_rate", "noise")),
    ("linear", ("velocity", "score")),
    ("linear", ("endpoint0", "denoised")),
    ("encoder_decoder", ("velocity", "noise")),
    ("mirror", ("noise",)),
    ("one_sided_linear", ("noise",)),
    ("one_sided_linear", ("velocity",)),
    ("variance_preserving", ("velocity",)),
]
FEW_PAIRS = [PAIRS[0], PAIRS[2], PAIRS[-3], PAIRS[-1]]


@pytest.mark.cases(2)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize(("name", "quantities"), FEW_PAIRS)
def test_samples_of_learnt_pairs_are_true_samples(name, quantities, reverse):
    mean1 = {"mean1": bridge(name, 2)[1].mean} if PATHS[name].is_one_sided else {}
    assert_arrives(learnt(name, 2, quantities, **mean1), name, 2, 1.0, reverse, 150)


# --- the whole table ----------------------------------------------------------------------------------------


def everywhere():
    """Every path by its flow and by an SDE, in 2 and 128 dimensions; directions and levels take turns.

    All of them in each cell would test the same code once more, at six times the time.
    """
    for k, (name, dim) in enumerate((name, dim) for name in PATHS for dim in (2, 128)):
        turn = bool((k + k // 2) % 2)
        yield name, dim, 0.0, turn
        if name in NOISY:
            yield name, dim, LEVELS[1 + k % 3], not turn


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dim", "eps", "reverse"), [*everywhere()])
def test_samples_of_exact_fields_are_true_samples_everywhere(name, dim, eps, reverse):
    assert_arrives(fields_of(name, dim), name, dim, eps, reverse, 60 if eps == 0 else 120)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "quantities", "eps", "reverse"),
    [(*pair, eps, bool((i + k) % 2)) for i, pair in enumerate(PAIRS) for k, eps in enumerate(LEVELS)],
)
def test_samples_of_learnt_pairs_are_true_samples_at_every_noise_level(name, quantities, eps, reverse):
    mean1 = {"mean1": bridge(name, 16)[1].mean} if PATHS[name].is_one_sided else {}
    assert_arrives(learnt(name, 16, quantities, **mean1), name, 16, eps, reverse, 60 if eps == 0 else 120)


# --- densities ----------------------------------------------------------------------------------------------

# The divergence in closed form, everywhere; the ends take turns, as they are one integral in two directions.
DENSITIES = [
    *((name, 2, 1000, "auto") for name in PATHS),
    *((name, 128, 200, "auto") for name in PATHS),
    # By derivatives: as many points as a few seconds allow. That they are the closed form is tested point by point.
    ("linear", 16, 300, "forward"),
    ("one_sided_linear", 16, 300, "forward"),
    ("spatially_linear", 2, 300, "forward"),
    ("trigonometric", 128, 10, "forward"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dim", "n", "mode", "end"),
    [(*cell, (k + k // len(PATHS)) % 2) for k, cell in enumerate(DENSITIES)],
)
def test_the_flow_of_exact_fields_has_the_true_density_everywhere(name, dim, n, mode, end):
    """Within 1e-3 nats at every point, at either end."""
    rho0, rho1 = bridge(name, dim)
    if dim > 2:  # axis-parallel modes: a tenth of the cost, and the divergence does not know
        rho0, rho1 = (GaussianMixture(rho.weights, rho.means, rho.variances) for rho in (rho0, rho1))
    fields = GaussianMixtureBridge(rho0, rho1).fields(PATHS[name])
    here, there = distributions_of_the_ends(PATHS[name], rho0, rho1)[:: -1 if end == 1 else 1]
    x = here.sample(n, generator=generator(9, dim))
    # From pure noise at t = 1/2 to modes far apart, or at rest and then off: errors grow more, and so does the work.
    steep = name in ("encoder_decoder", "diffusive_hold")
    tight = {"rtol": 1e-8, "atol": 1e-8} if steep else {"rtol": 1e-7, "atol": 1e-6}
    found = log_prob(fields, x, there, end=end, invariant=False, chunk=n, mode=mode, **tight)
    assert float((found.log_prob - here.log_prob(x)).abs().max()) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 16])
@pytest.mark.parametrize("name", PATHS)
def test_the_divergence_by_derivatives_is_the_closed_form_on_every_path(name, dim):
    """What both modes of a density integrate is the same number at each point, at five times."""
    fields = fields_of(name, dim, double=True)
    for t in (0.03, 0.3, 0.5, 0.7, 0.97):
        time = torch.tensor(t, dtype=torch.float64)
        x = fields.marginal(t).sample(100, generator=generator(11))
        with torch.no_grad():
            _, found = exact_divergence(lambda y, s=time: fields.evaluate(y, s, ("velocity",))["velocity"], x)
        torch.testing.assert_close(found, fields.divergence(x, time), rtol=1e-8, atol=1e-8)


@pytest.mark.slow
def test_the_exact_divergence_in_128_dimensions_is_the_closed_form():
    fields = fields_of("trigonometric", 128, double=True)
    for t in (0.0, 0.3, 1.0):
        time = torch.tensor(t, dtype=torch.float64)
        x = fields.marginal(t).sample(100, generator=generator(10))
        with torch.no_grad():
            _, found = exact_divergence(lambda y, s=time: fields.evaluate(y, s, ("velocity",))["velocity"], x)
        torch.testing.assert_close(found, fields.divergence(x, time))
