"""Every conversion against the closed form of a mixture bridge; which conversions exist, against linear algebra."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import QUANTITIES, LearnedFields
from interpolants.fields.conversions import plan
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import (
    BrownianEnvelope,
    General,
    Linear,
    Mirror,
    OneSidedLinear,
    QuadraticEnvelope,
    SpatiallyLinear,
    VariancePreserving,
    ZeroEnvelope,
)
from interpolants.problems import GaussianMixtureBridge
from problems.bridges import BASE, F64, PATHS, RHO1, bridge, states

each_path = pytest.mark.parametrize("name", PATHS)
# One of each kind by default: with and without latent noise, a base with a covariance, coefficients by coordinate.
FEW = {"linear", "linear_plain", "mirror", "one_sided_coloured", "vp", "spectral"}
few_paths = pytest.mark.parametrize(
    "name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in PATHS]
)
GIVEN = [*combinations(QUANTITIES, 1), *combinations(QUANTITIES, 2)]
COMPLETE = {
    "linear",
    "linear_wide",
    "linear_smooth",
    "trigonometric",
    "one_sided_linear",
    "one_sided_coloured",
    "one_sided_trigonometric",
    "variance_preserving",
    "vp",
    "vp_coloured",
    "sub_vp",
    "ve",
    "discrete_schedule",
    "tabulated",
    "spectral",
}
NONLINEAR = General(
    lambda t, x0, x1: (1 - t) * x0 + t * x1 + t * (1 - t) * torch.sin(x0), QuadraticEnvelope()
)


@cache
def exact_fields(path):
    return bridge(path).fields(path)


def learnt(path, names, **settings):
    """The exact fields of the path's bridge, handed over as if each had been learnt."""
    exact = exact_fields(path)
    return LearnedFields(path, **{name: getattr(exact, name) for name in names}, **settings), exact


def rows(path):
    """Each quantity as a combination of (E[x0], E[x1], E[z]) at some inner times, and that of the position.

    All are ``(T, 3)``.
    """
    t = torch.linspace(0.05, 0.95, 19, dtype=F64)
    ask = (path.alpha, path.beta, path.envelope.gamma)
    ask += (path.alpha_dot, path.beta_dot, path.envelope.gamma_dot)
    # on a path with a basis, those of the first coordinate
    a, b, g, da, db, dg = (k(t).reshape(len(t), -1)[:, 0] for k in ask)
    no, one = torch.zeros_like(t), torch.ones_like(t)
    table = {"endpoint0": (one, no, no), "denoised": (no, one, no)}
    if path.is_one_sided:  # z is x0 seen from the base: one unknown with x0, up to what is known
        known = (a, b, no)
        table |= dict.fromkeys(("velocity", "mean_rate"), (da, db, no))
        table |= dict.fromkeys(("score", "noise"), (one, no, no))
    else:
        known = (a, b, g)
        table |= {"velocity": (da, db, dg), "mean_rate": (da, db, no)}
        table |= dict.fromkeys(("score", "noise"), (no, no, one))
    return torch.stack(known, 1), {name: torch.stack(value, 1) for name, value in table.items()}


def follows(path, position, table, names, target):
    """Whether the target lies in the span of what is known, at all of some inner times."""
    have = [position, *(table[name] for name in names)]
    if path.is_static:  # both end points are one
        have.append(torch.tensor([1.0, -1.0, 0.0], dtype=F64).expand_as(position))
    if path.envelope.is_zero and not path.is_one_sided:
        if target in ("score", "noise"):
            return target in names or (target == "noise" and "score" in names)
        have.append(torch.tensor([0.0, 0.0, 1.0], dtype=F64).expand_as(position))  # z is absent
    more = torch.linalg.matrix_rank(torch.stack([*have, table[target]], 1), rtol=1e-9)
    return bool((more <= torch.linalg.matrix_rank(torch.stack(have, 1), rtol=1e-9)).all())


@each_path
def test_what_is_offered_is_what_linear_algebra_allows(name):
    path = PATHS[name]
    position, table = rows(path)
    for given in GIVEN:
        for target in QUANTITIES:
            offered = plan(path, given, target) is not None
            allowed = follows(path, position, table, given, target)
            assert not (offered and not allowed), (given, target)
            # On the other paths a determinant vanishes between the times tried here, or an end is absent for a while.
            if name in COMPLETE:
                assert allowed == offered, (given, target)


@cache  # the same whatever is given
def truth(name, seed, t):
    """All quantities of the path's bridge at six states; t is a number or one for each of them."""
    return exact_fields(PATHS[name]).evaluate(states(6, seed), torch.tensor(t, dtype=F64), QUANTITIES)


@each_path
@pytest.mark.parametrize("given", GIVEN, ids="-".join)
def test_conversions_agree_with_the_closed_form(name, given):
    path = PATHS[name]
    fields, _ = learnt(path, given)
    x = states(6, seed=3)
    times = (0.01, 0.2, 0.45, 0.5, 0.8, 0.99)
    t, wanted = torch.tensor(times, dtype=F64), truth(name, 3, times)
    for target in QUANTITIES:
        if not fields.provides(target):
            with pytest.raises(NotIdentifiableError):
                getattr(fields, target)(x, t)
            continue
        assert_close(getattr(fields, target)(x, t), wanted[target], rtol=1e-6, atol=1e-6)


def _one(t):
    """Weights of a run at its times; a number where the samples have times of their own."""
    return t.mean().item() if len(t.shape) and len(t) == 6 else t


@few_paths
@pytest.mark.parametrize("given", GIVEN, ids="-".join)
def test_sums_with_weights_in_time_agree_with_the_closed_form(name, given):
    """At times told beforehand, at others, and with a time for each sample."""
    path = PATHS[name]
    fields, _ = learnt(path, given)
    x = states(6, seed=6)
    ticks = clock(np.array([0.01, 0.45, 0.99]), x)
    own = torch.linspace(0.1, 0.9, 6, dtype=F64)
    for target in QUANTITIES:
        if not (fields.provides(target) and fields.provides("velocity")):
            continue
        total = fields.combined(("velocity", target), lambda t: (1.0, 0.5 - _one(t)), ticks[:2])
        for t in [*ticks, torch.tensor(0.45, dtype=F64), own]:
            exact = truth(name, 6, tuple(t.tolist()) if t.ndim else t.item())
            wanted = exact["velocity"] + (0.5 - _one(t)) * exact[target]
            assert_close(total(x, t, None), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.cases(2)
@few_paths
@pytest.mark.parametrize("given", GIVEN, ids="-".join)
def test_weighted_sums_for_samplers_agree_with_the_closed_form(name, given):
    """At one time a chain of relations is folded into coefficients; the weights are those of a noisy step."""
    path = PATHS[name]
    fields, _ = learnt(path, given)
    x = states(6, seed=5)
    for t in torch.tensor([0.01, 0.45, 0.99], dtype=F64):
        exact = truth(name, 5, t.item())
        for target in QUANTITIES:
            if not (fields.provides(target) and fields.provides("velocity")):
                continue
            terms = (("velocity", 1.0), (target, -0.7))
            wanted = exact["velocity"] - 0.7 * exact[target]
            assert_close(fields.combine(x, t, terms), wanted, rtol=1e-6, atol=1e-6)
            terms = ((target, 0.3), ("velocity", torch.tensor(2.0, dtype=F64)))
            wanted = 0.3 * exact[target] + 2 * exact["velocity"]
            assert_close(fields.combine(x, t, terms), wanted, rtol=1e-6, atol=1e-6)


def test_a_folded_sum_calls_only_what_it_needs_and_keeps_what_it_is_given():
    path, calls = PATHS["linear"], []

    def velocity(x, t):
        calls.append("velocity")
        return x

    def noise(x, t):
        calls.append("noise")
        return x

    fields = LearnedFields(path, velocity=velocity, noise=noise)
    x, t = states(3), torch.tensor(0.5, dtype=F64)
    before = x.clone()
    fields.evaluate(x, t, ("velocity", "noise"))  # first calls are checked
    calls.clear()
    fields.combine(x, t, (("noise", 2.0), ("score", 1.0)))
    assert calls == ["noise"]
    assert_close(fields.combine(x, t, (("velocity", 1.0), ("noise", 0.5))), 1.5 * before)
    assert_close(x, before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["trigonometric", "vp", "spectral"])
def test_what_is_kept_for_one_precision_serves_no_other(name):
    """States in half precision go first: those in float64 at the same times must not get their coefficients."""
    path = PATHS[name]
    given = ("noise",) if path.is_one_sided else ("mean_rate", "noise")
    used, fresh = (learnt(path, given)[0] for _ in range(2))
    x, terms = states(6, seed=8), (("velocity", 1.0), ("noise", 0.5))
    for narrow in (x.bfloat16(), x.float(), x):
        # the other one sees float64 alone
        both = (used, fresh) if narrow.dtype == F64 else (used,)
        for number in (0.0, 0.25, 0.75, 1.0):
            t = torch.tensor(number, dtype=F64 if narrow.dtype == F64 else torch.float32)
            found = [f.evaluate(narrow, t, ("velocity",))["velocity"] for f in both]
            summed = [f.combine(narrow, t, terms) for f in both]
            assert all(torch.equal(values[0], values[-1]) for values in (found, summed))


@pytest.mark.parametrize("name", ["trigonometric", "vp"])
def test_the_rate_in_time_is_the_same_in_both_modes(name):
    path = PATHS[name]
    given = ("noise",) if path.is_one_sided else ("mean_rate", "noise")
    fields = LearnedFields(path, **{name: lambda x, t: torch.tanh(x) * (1 + t[:, None]) for name in given})
    x, t = states(4, seed=9), torch.tensor(0.4, dtype=F64)
    for velocity in (
        lambda t: fields.evaluate(x, t, ("velocity",))["velocity"].sum(),
        lambda t: fields.combine(x, t, (("velocity", 1.0),)).sum(),
    ):
        forward = torch.func.jvp(velocity, (t,), (torch.ones_like(t),))[1]
        assert_close(forward, torch.func.grad(velocity)(t))


@pytest.mark.cases(2)
@pytest.mark.parametrize("t", [0.001, 0.999])
@each_path
def test_the_usual_pairs_hold_near_the_ends(name, t):
    path = PATHS[name]
    usual = [("velocity", "noise"), ("mean_rate", "noise"), ("velocity", "score")]
    for given in usual if not path.is_one_sided else [("velocity",), ("noise",), ("score",)]:
        fields, exact = learnt(path, given)
        x = states(6, seed=4)
        for target in ("velocity", "score", "noise", "mean_rate"):
            if fields.provides(target):
                value = getattr(fields, target)(x, t)
                assert_close(value, getattr(exact, target)(x, t), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_a_steep_path_never_asks_a_network_at_the_start(eps):
    """The promise of ``margin``, for the flow of a learnt velocity as for the SDE."""
    path, asked = SpatiallyLinear(lambda t: 1 - t, torch.sqrt, base=Gaussian()), []

    def velocity(x, t):
        asked.append(float(t.min()))
        return -x

    fields = LearnedFields(path, velocity=velocity, margin=1e-3)
    assert path.is_steep_at_0
    sample(fields, states(3), eps=eps, n_steps=4, seed=0, method="euler")
    assert min(asked) == pytest.approx(1e-3)


def test_velocity_alone_gives_no_score_and_says_what_to_learn():
    fields, _ = learnt(Linear(), ["velocity"])
    assert not fields.has_score
    with pytest.raises(NotIdentifiableError, match=r"score does not follow from velocity.*noise"):
        fields.score(states(2), 0.5)


def test_a_path_without_noise_says_that_it_has_none():
    fields, _ = learnt(Linear(envelope=ZeroEnvelope()), ["velocity"])
    with pytest.raises(NotIdentifiableError, match=r"gamma = 0.*one-sided path"):
        fields.score(states(2), 0.5)


def test_the_ends_of_a_diffusive_path_must_be_learnt():
    fields, _ = learnt(PATHS["diffusive_hold"], ["velocity", "noise"])
    with pytest.raises(NotIdentifiableError, match=r"denoised does not follow.*denoised=\.\.\."):
        fields.denoised(states(2), 0.5)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_noise_gives_no_score_where_there_is_no_noise(end):
    fields, _ = learnt(Linear(), ["velocity", "noise"])
    with pytest.raises(
        InvalidInputError, match=rf"Fields.score: the value must be finite, got nan or inf at t={end:g}"
    ):
        fields.score(states(2), end)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_samplers_get_a_finite_score_at_the_ends(end):
    # evaluate() takes relations at times inside the margin, though the networks see the true time.
    fields, _ = learnt(Linear(), ["velocity", "noise"])
    value = fields.evaluate(states(2), torch.tensor(end, dtype=F64), ("score", "velocity"))
    assert bool(torch.isfinite(value["score"]).all())


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_brownian_velocity_gets_its_share_of_the_score_from_the_mean_rate(end):
    fields, exact = learnt(PATHS["linear_wide"], ["mean_rate", "score"])
    x = states(5)
    share = fields.velocity(x, end) - fields.mean_rate(x, end)
    sign = -1 if end == 0 else 1
    assert_close(share, sign * 2.5 / 2 * exact.score(x, end))
    assert_close(fields.velocity(x, end), exact.velocity(x, end))


def test_variance_preserving_score_and_velocity_are_finite_at_the_data_end():
    path = VariancePreserving()
    x = states(5)
    from_velocity, exact = learnt(path, ["velocity"])
    assert_close(from_velocity.score(x, 1.0), exact.score(x, 1.0))
    from_both, _ = learnt(path, ["score", "denoised"])
    assert_close(from_both.velocity(x, 1.0), exact.velocity(x, 1.0))


@pytest.mark.parametrize("path", [OneSidedLinear(), OneSidedLinear(base=BASE), VariancePreserving()])
def test_the_mean_of_the_data_makes_the_noise_exact_at_the_start(path):
    fields, exact = learnt(path, ["noise"], mean1=RHO1.mean, margin=0.0)
    x = states(4)
    assert_close(fields.denoised(x, 0.0), RHO1.mean.expand(4, 2))
    assert_close(fields.velocity(x, 0.0), exact.velocity(x, 0.0))
    with pytest.raises(InvalidInputError, match=r"velocity: the value must be finite.*t=0"):
        learnt(path, ["noise"])[0].velocity(x, 0.0)


def test_the_mean_of_the_data_has_no_slope_at_the_start():
    fields = LearnedFields(OneSidedLinear(), noise=lambda x, t: torch.sin(x), mean1=RHO1.mean, margin=0.0)
    x = states(4).requires_grad_()
    fields.denoised(x, 0.0).sum().backward()
    assert torch.equal(x.grad, torch.zeros(4, 2, dtype=F64))


def test_the_noise_is_enough_on_a_mirror():
    fields, exact = learnt(Mirror(), ["noise"])
    x = states(4)
    assert_close(fields.velocity(x, 0.2), exact.velocity(x, 0.2))
    gamma_dot = Mirror().envelope.gamma_dot(torch.tensor(0.2, dtype=F64))
    assert_close(fields.velocity(x, 0.2), gamma_dot * exact.noise(x, 0.2))


def test_what_follows_from_what_does_not_depend_on_the_size_of_the_noise():
    offered = [
        {
            (pair, wanted)
            for pair in combinations(QUANTITIES, 2)
            for wanted in QUANTITIES
            if plan(Linear(envelope=BrownianEnvelope(scale=scale)), pair, wanted) is not None
        }
        for scale in (1e-4, 1.0, 1e4)
    ]
    assert offered[0] == offered[1] == offered[2]


def test_a_rate_gives_no_end_point_on_a_path_that_rests_half_way():
    """There ``alpha' = beta' = 0`` for a moment, and the mean rate says nothing of either end."""
    path = SpatiallyLinear(
        lambda t: (1 - (2 * t - 1) ** 3) / 2, lambda t: (1 + (2 * t - 1) ** 3) / 2, QuadraticEnvelope()
    )
    for known, wanted in (("endpoint0", "denoised"), ("denoised", "endpoint0")):
        fields, _ = learnt(path, ["mean_rate", known])
        assert not fields.provides(wanted)
        assert learnt(Linear(), ["mean_rate", known])[0].provides(wanted)


def test_a_nonlinear_path_gives_what_needs_no_linearity_and_refuses_the_rest():
    fields = LearnedFields(NONLINEAR, mean_rate=lambda x, t: torch.sin(x), noise=lambda x, t: 0.3 * x)
    x, t = states(3), torch.tensor(0.3, dtype=F64)
    gamma, gamma_dot = NONLINEAR.envelope.gamma(t), NONLINEAR.envelope.gamma_dot(t)
    assert_close(fields.score(x, t), -0.3 * x / gamma)
    assert_close(fields.velocity(x, t), torch.sin(x) + gamma_dot * 0.3 * x)
    for quantity in ("endpoint0", "denoised"):
        assert not fields.provides(quantity)
        with pytest.raises(NotIdentifiableError, match=f"{quantity} does not follow from mean_rate, noise"):
            getattr(fields, quantity)(x, t)


def test_half_precision_states_stay_half():
    path = Linear()
    exact = GaussianMixtureBridge(bridge(path).rho0, RHO1).fields(path)
    fields = LearnedFields(path, mean_rate=exact.mean_rate, noise=exact.noise)
    x = states(3)
    value = fields.velocity(x.bfloat16(), 0.3)
    assert value.dtype == torch.bfloat16
    assert_close(value.double(), exact.velocity(x, 0.3), rtol=0.05, atol=0.05)
