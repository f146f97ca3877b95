"""Successors of classifier-free guidance on exact Gaussians, where the guided flow and the tilt are known.

Known answer: N(m, s^2) given label 0, within N(0, 1) (label -1). The linear rule's flow ends with spread
``s^w`` on every path, the tilt has variance ``1/(w/s^2 + 1 - w)``.
"""

import math
import warnings
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close
from torture.bits import worn

from interpolants.dynamics import ReverseNoise, sample, time_grid
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.tell import SettingWarning
from interpolants.guidance import (
    APG,
    Autoguided,
    CFGPlusPlus,
    ClassifierFree,
    FeynmanKac,
    ZeroStar,
    guide,
    guided,
    with_negative,
)
from interpolants.likelihood import log_prob
from interpolants.nets import MLP
from interpolants.paths import VP, Linear, OneSidedLinear, OneSidedTrigonometric

F64 = torch.float64
QUANTITIES = ("velocity", "mean_rate", "score", "noise", "endpoint0", "denoised")
PATHS = [OneSidedLinear(), OneSidedTrigonometric(), VP()]
BASE = Gaussian(event_shape=(1,))


def exact(path, *laws, size=1):
    """Fields of Gaussians ``(mean, spread)`` by label, the last one for the label -1, learnt as velocities."""
    means, spreads = torch.tensor(laws, dtype=F64).T

    def velocity(x, t, cond):
        m, s = means[cond][:, None], spreads[cond][:, None]
        alpha, beta, rise, fall = (
            f(t).reshape(-1, 1) for f in (path.alpha, path.beta, path.beta_dot, path.alpha_dot)
        )
        whole = (alpha**2 + beta**2 * s**2).to(x)
        gap = (x - beta * m) / whole
        return rise * (m + beta * s**2 * gap) + fall * alpha * gap

    return LearnedFields(path, velocity=velocity)


def labels(n, label=0):
    return torch.full((n,), label)


def end_of(fields, cond=None, w=None, **how):
    """Mean and spread of the flow's end, from the three starts that a linear map needs."""
    x = torch.tensor([[-1.0], [0.0], [1.0]], dtype=F64)
    settings = {"method": "rk4", "n_steps": 200, **how}
    y = sample(fields, x, cond=labels(3) if cond is None else cond, **settings).x.flatten().tolist()
    return y[1], (y[2] - y[0]) / 2


@pytest.mark.parametrize("path", PATHS[:2], ids=["linear", "trigonometric"])
@pytest.mark.parametrize(
    ("w", "flow", "tilt"), [(1.5, 0.353553, 0.426401), (2, 0.25, 0.377964), (3, 0.125, 0.316228)]
)
def test_the_guided_flow_is_narrower_than_the_tilt_on_every_path(path, w, flow, tilt):
    mean, spread = end_of(ClassifierFree(exact(path, (0.0, 0.5), (0.0, 1.0)), w))
    assert (mean, spread) == pytest.approx((0.0, flow), abs=1e-6)
    assert (w / 0.25 + 1 - w) ** -0.5 == pytest.approx(tilt, abs=1e-6)


def test_the_guided_flow_goes_further_than_the_tilt_and_feynman_kac_finds_the_tilt():
    fields = exact(OneSidedLinear(base=BASE), (2.0, 0.5), (0.0, 1.0))
    assert end_of(ClassifierFree(fields, 2.0)) == pytest.approx((2.76035, 0.25), abs=1e-5)
    n = 4000
    found = FeynmanKac(guided(fields, labels(n), 2.0), n_steps=200, method="stochastic_heun").sample(
        n, seed=0, resample=True, dtype=F64
    )
    x = found.x.flatten()
    assert abs(float(x.mean()) - 2.28571) <= 3 * 0.37796 / math.sqrt(n / 2)
    assert abs(float(x.std()) - 0.37796) <= 3 * 0.37796 / math.sqrt(n)


def test_noise_brings_the_guided_sde_nearer_to_the_tilt():
    fields = exact(OneSidedLinear(base=BASE), (0.0, 0.5), (0.0, 1.0))
    x = torch.randn(20_000, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    for kappa, w, spread in ((1, 2.0, 0.3307), (1, 3.0, 0.2581), (4, 2.0, 0.3624)):
        how = {"eps": ReverseNoise(kappa), "seed": 1, "n_steps": 200, "cond": labels(len(x))}
        found = float(sample(ClassifierFree(fields, w), x, **how).x.std())
        assert abs(found - spread) <= 3 * spread / math.sqrt(2 * len(x)) + 2e-3


def test_two_gaussians_of_one_spread_are_guided_exactly():
    fields = exact(OneSidedLinear(), (2.0, 0.5), (-1.0, 0.5), (0.0, 1.0))
    cond = with_negative(labels(3), labels(3, 1))
    assert end_of(ClassifierFree(fields, 2.0), cond) == pytest.approx((5.0, 0.5), abs=1e-6)
    weak = exact(OneSidedLinear(), (-1.0, 0.5), (0.0, 1.0))
    assert end_of(Autoguided(fields, weak, 2.0)) == pytest.approx((5.0, 0.5), abs=1e-6)


# --- reductions


def network(seed=0, path=None):
    net = worn(MLP(3, cond_dim=2, width=16, depth=2, seed=seed)).eval()
    return LearnedFields(OneSidedLinear() if path is None else path, velocity=net)


def states(n=6, size=3, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, size, generator=generator, dtype=dtype), torch.randn(n, 2, generator=generator)


def pair(rng=0):
    """Any two branches: velocities of one row's event of 4 entries, by label."""
    generator = torch.Generator().manual_seed(rng)
    weights = torch.randn(3, 4, 4, dtype=F64, generator=generator)

    def velocity(x, t, cond):
        return torch.tanh(torch.einsum("bij,bj->bi", weights[cond], x)) + t.reshape(-1, 1)

    return velocity


@pytest.mark.parametrize("path", PATHS, ids=["linear", "trigonometric", "vp"])
@pytest.mark.parametrize("times", ["one", "each"])
def test_apg_that_keeps_all_is_the_linear_rule(path, times):
    fields = LearnedFields(path, velocity=pair())
    x = torch.randn(5, 4, dtype=F64, generator=torch.Generator().manual_seed(1))
    cond = torch.tensor([0, 1, 0, 1, 0])
    t = torch.tensor(0.3, dtype=F64) if times == "one" else torch.linspace(0.1, 0.9, 5, dtype=F64)
    for strength in (0.0, 2.5, torch.linspace(0, 4, 5, dtype=F64)):
        one, two = (
            guide(fields, cond, strength, rule=r, **s) for r, s in (("linear", {}), ("apg", {"eta": 1.0}))
        )
        found, wanted = (g.fields.evaluate(x, t, QUANTITIES, g.cond) for g in (two, one))
        for name in QUANTITIES:
            assert_close(found[name], wanted[name], rtol=1e-10, atol=1e-10)


RULES = {
    "linear": ClassifierFree,
    "apg": APG,
    "apg within a radius": lambda *a: APG(*a, radius=0.1),
    "zero_star": ZeroStar,
    "autoguided": lambda fields, *a: Autoguided(fields, LearnedFields(fields.path, velocity=pair(7)), *a),
}


@pytest.mark.parametrize("path", PATHS, ids=["linear", "trigonometric", "vp"])
@pytest.mark.parametrize("rule", RULES)
def test_all_quantities_of_a_guided_field_fit_each_other(rule, path):
    fields = LearnedFields(path, velocity=pair())
    x = torch.randn(4, 4, dtype=F64, generator=torch.Generator().manual_seed(2))
    cond = torch.tensor([0, 1, 0, 1])
    one = RULES[rule](fields, 3.0)
    other = LearnedFields(
        path, velocity=lambda x, t, cond: one.evaluate(x, t, ("velocity",), cond)["velocity"]
    )
    t = torch.tensor(0.4, dtype=F64)
    found, wanted = (f.evaluate(x, t, QUANTITIES, cond) for f in (one, other))
    plain = fields.evaluate(x, t, ("velocity",), cond)["velocity"]
    assert (found["velocity"] - plain).abs().max() > 0.05
    for name in QUANTITIES:
        assert_close(found[name], wanted[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("eps", [0.0, 0.5])
@pytest.mark.parametrize("rule", ["linear", "apg", "zero_star", "autoguided"])
def test_strength_one_and_an_interval_between_the_times_keep_the_bits(rule, eps):
    fields = network()
    x, cond = states(70)
    how = {"eps": eps, "seed": 3, "n_steps": 7, "cond": cond}
    plain = sample(fields, x, **how).x

    def guided_by(*settings):
        more = (network(1),) if rule == "autoguided" else ()
        kinds = {"linear": ClassifierFree, "apg": APG, "zero_star": ZeroStar, "autoguided": Autoguided}
        return kinds[rule](fields, *more, *settings)

    assert torch.equal(sample(guided_by(1.0), x, **how).x, plain)
    assert torch.equal(sample(guided_by(4.0, (0.45, 0.49)), x, **how).x, plain)
    assert not torch.equal(sample(guided_by(4.0, (0.0, 0.0)), x, **how).x, plain)


def test_a_model_guided_by_itself_is_not_guided():
    fields = network()
    x, cond = states()
    for w in (0.0, 3.0):
        assert_close(sample(Autoguided(fields, fields, w), x, cond=cond).x, sample(fields, x, cond=cond).x)


# --- adaptive projected guidance


def test_without_the_parallel_part_nothing_is_added_along_the_estimate():
    fields, w = LearnedFields(OneSidedLinear(), velocity=pair()), 3.0
    x = torch.randn(50, 4, dtype=F64, generator=torch.Generator().manual_seed(3))
    cond, t = torch.arange(50) % 2, torch.tensor(0.6, dtype=F64)
    given, without = (fields.denoised(x, t, c) for c in (cond, labels(50, -1)))
    for centre in (0.0, torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=F64)):
        along, gap = given - centre, given - without
        added = APG(fields, w, centre=centre).denoised(x, t, cond) - given
        assert_close((added * along).sum(1), torch.zeros(50, dtype=F64), atol=1e-12, rtol=0)
        parallel = (gap * along).sum(1) ** 2 / along.square().sum(1)
        assert_close(added.square().sum(1), (w - 1) ** 2 * (gap.square().sum(1) - parallel))
    # The threshold comes before the projection, and leaves short differences alone.
    sizes = gap.norm(dim=1)
    radius = float(sizes.median())
    short = APG(fields, w, eta=1.0, radius=radius).denoised(x, t, cond) - given
    assert_close(short.norm(dim=1), (w - 1) * sizes.clamp_max(radius))
    assert 10 < int((sizes > radius).sum()) < 40


def test_projecting_the_velocity_on_itself_would_be_another_method():
    fields = LearnedFields(OneSidedLinear(), velocity=pair())
    x = torch.randn(20, 4, dtype=F64, generator=torch.Generator().manual_seed(4))
    cond, t = labels(20), torch.tensor(0.3, dtype=F64)
    c, u = (fields.velocity(x, t, one) for one in (cond, labels(20, -1)))
    wrong = c + (c - u) - ((c - u) * c).sum(1, keepdim=True) / c.square().sum(1, keepdim=True) * c
    gap = (APG(fields, 2.0).velocity(x, t, cond) - wrong).norm() / (wrong - c).norm()
    assert gap > 0.1


# --- CFG-Zero*


@pytest.mark.parametrize("k", [0.5, 2.0, -3.0])
@pytest.mark.parametrize("w", [0.0, 2.0, 7.0])
def test_where_one_velocity_is_a_multiple_of_the_other_zero_star_is_the_conditional_one(k, w):
    inner = pair()

    def velocity(x, t, cond):
        return inner(x, t, torch.zeros_like(cond)) * torch.where(cond < 0, k, 1.0)[:, None]

    fields = LearnedFields(OneSidedLinear(), velocity=velocity)
    x = torch.randn(8, 4, dtype=F64, generator=torch.Generator().manual_seed(5))
    found = ZeroStar(fields, w).velocity(x, 0.4, labels(8))
    assert_close(found, fields.velocity(x, 0.4, labels(8)), rtol=1e-12, atol=1e-12)


def test_zero_star_on_a_two_sided_path_has_a_velocity_and_no_score():
    fields = LearnedFields(Linear(), velocity=pair(), noise=pair(1))
    x = torch.randn(6, 4, dtype=F64, generator=torch.Generator().manual_seed(6))
    c, u = (fields.velocity(x, 0.4, one) for one in (labels(6), labels(6, -1)))
    s = (c * u).sum(1, keepdim=True) / u.square().sum(1, keepdim=True)
    found = ZeroStar(fields, 3.0)
    assert_close(found.velocity(x, 0.4, labels(6)), (1 - 3.0) * s * u + 3.0 * c)
    assert fields.has_score
    assert not found.has_score
    with pytest.raises(
        NotIdentifiableError, match=r"on the path Linear score does not follow .* the linear rule"
    ):
        sample(found, x, eps=0.3, cond=labels(6), n_steps=4)
    no_score = ClassifierFree(LearnedFields(Linear(), velocity=pair()), 3.0)
    with pytest.raises(NotIdentifiableError, match="score"):
        sample(no_score, x, eps=0.3, cond=labels(6), n_steps=4)
    with pytest.raises(InvalidInputError, match="a condition is needed"):
        sample(no_score, x, n_steps=4)


@pytest.mark.parametrize(("n", "mean"), [(10, 2.856), (28, 2.947), (50, 2.970)])
def test_leaving_out_the_first_step_moves_exact_samples(n, mean):
    fields = exact(OneSidedLinear(), (3.0, 0.5), (3.0, 0.5))
    how = {"method": "euler", "n_steps": n}
    assert end_of(ZeroStar(fields, 2.0), **how)[0] == pytest.approx(3.0, abs=1e-9)
    assert end_of(ZeroStar(fields, 2.0, zero_until=1 / n), **how)[0] == pytest.approx(mean, abs=6e-4)
    with pytest.raises(
        InvalidInputError, match="zero_until needs an ODE solver that uses the velocity alone"
    ):
        end_of(ZeroStar(fields, 2.0, zero_until=1 / n), eps=0.5, n_steps=n, method=None)


# --- CFG++


@pytest.mark.parametrize("path", PATHS, ids=["linear", "trigonometric", "vp"])
def test_cfg_plus_plus_is_ddim_of_the_linear_rule_by_a_schedule(path):
    fields, share, n = LearnedFields(path, denoised=pair()), 0.6, 12
    grid = time_grid(n, "cosine", start=0.05, stop=0.98)
    x = torch.randn(5, 4, dtype=F64, generator=torch.Generator().manual_seed(7))
    cond, null = torch.tensor([0, 1, 0, 1, 0]), labels(5, -1)
    schedule = CFGPlusPlus(path, grid, share)
    made = sample(ClassifierFree(fields, schedule), x, cond=cond, method="ddim", time_grid=grid, n_steps=n).x
    for now, then in pairwise(torch.as_tensor(grid)):
        c, u = fields.denoised(x, now, cond), fields.denoised(x, now, null)
        e = (x - path.beta(now) * u) / path.alpha(now)
        x = path.beta(then) * (u + share * (c - u)) + path.alpha(then) * e
    assert_close(made, x, rtol=1e-12, atol=1e-12)


def test_the_strengths_of_cfg_plus_plus_grow_with_the_number_of_steps():
    strengths = CFGPlusPlus(OneSidedLinear(), time_grid(50), 0.6).strengths
    assert strengths[[0, -1]].tolist() == pytest.approx([0.6, 0.6])
    assert float(strengths.max()) == pytest.approx(7.80, abs=5e-3)
    fields = exact(OneSidedLinear(), (2.0, 0.5), (0.0, 1.0))
    for n, spread in ((10, 0.283), (50, 0.0074), (200, 0.0)):
        schedule = CFGPlusPlus(fields.path, time_grid(n), 0.6)
        found = end_of(ClassifierFree(fields, schedule), method="ddim", n_steps=n)[1]
        assert found == pytest.approx(spread, abs=5e-4)


def test_cfg_plus_plus_of_no_share_is_ddim_without_the_condition():
    fields = exact(OneSidedLinear(), (2.0, 0.5), (0.0, 1.0))
    schedule = CFGPlusPlus(fields.path, time_grid(20), 0.0)
    how = {"method": "ddim", "n_steps": 20}
    found, wanted = end_of(ClassifierFree(fields, schedule), **how), end_of(fields, labels(3, -1), **how)
    assert found == pytest.approx(wanted, abs=1e-12)


# --- bad input


def test_what_does_not_go_together_is_refused():
    one_sided, two_sided = network(), LearnedFields(Linear(), velocity=pair())
    cases = [
        (
            lambda: APG(two_sided),
            r"APG: the rule needs E\[x1\|x_t\] on a one-sided path, got Linear. Use the lin",
        ),
        (lambda: CFGPlusPlus(Linear(), time_grid(5)), "CFGPlusPlus: the rule needs E"),
        (lambda: APG(one_sided, eta=-0.1), "eta must be finite and >= 0, got -0.1"),
        (lambda: APG(one_sided, radius=0.0), "radius must be finite and > 0, got 0"),
        (lambda: APG(one_sided, math.inf), "APG: strength must be finite"),
        (lambda: ClassifierFree(APG(one_sided)), "must not be guided already.*got APG.*FeynmanKac"),
        (lambda: Autoguided(one_sided, APG(one_sided)), "the weak model must not be guided, got APG"),
        (lambda: Autoguided(one_sided, network(path=OneSidedTrigonometric())), "on one path.*on_path"),
        (lambda: CFGPlusPlus(OneSidedLinear(), [0.0, 0.5, 0.5]), "grid must be increasing"),
        (lambda: guide(one_sided, torch.zeros(2, 2), rule="apq"), "rule must be one of linear, apg"),
        (lambda: guide(one_sided, torch.zeros(2, 2), rule="apg", etta=0.0), "'etta'.*eta"),
    ]
    for make, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            make()


def test_a_schedule_is_checked_at_the_times_of_the_run():
    fields = exact(OneSidedLinear(), (2.0, 0.5), (0.0, 1.0))
    with pytest.raises(InvalidInputError, match="strength must be finite at all times, got nan at t=0"):
        end_of(ClassifierFree(fields, lambda t: t * math.nan))
    schedule = CFGPlusPlus(fields.path, time_grid(10))
    with pytest.raises(InvalidInputError, match=r"t must be the start of a step.*method='ddim'"):
        end_of(ClassifierFree(fields, schedule), method="ddim", n_steps=20)


def test_the_density_of_a_guided_flow_warns_that_it_is_not_that_of_the_tilt():
    fields = exact(OneSidedLinear(base=BASE), (0.0, 0.5), (0.0, 1.0))
    x, cond = torch.tensor([[0.1]], dtype=F64), labels(1)
    for w, told in ((2.0, True), (1.0, False), (torch.ones(1), False), (torch.full((1,), 2.0), True)):
        one = guide(fields, cond, w)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            found = log_prob(one.fields, x, BASE, cond=one.cond).log_prob
        assert [w.category for w in seen] == [SettingWarning] * told
        spread = 0.25 if told else 0.5
        assert float(found) == pytest.approx(
            -0.5 * (0.1 / spread) ** 2 - math.log(spread * math.sqrt(2 * math.pi)), abs=1e-3
        )
