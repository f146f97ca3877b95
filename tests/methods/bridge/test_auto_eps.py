"""The noise level chosen without the truth, on Gaussian problems whose best level is known."""

import pytest
import torch

from interpolants.dynamics import NoiseLevel, TabulatedNoise, sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator
from interpolants.likelihood import SquaredErrors, held_out_errors, optimal_eps, squared_errors
from interpolants.methods import Bridge
from interpolants.methods.bridge.auto_eps import auto_eps
from interpolants.paths import Linear, OneSidedLinear, SineSquaredEnvelope, SubVP
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.mixture_bridge import GaussianMixtureBridge

F64 = torch.float64
DATA = GaussianMixture([1.0], torch.tensor([[1.0, -1.0]], dtype=F64), torch.tensor([0.25], dtype=F64))
EXACT = GaussianMixtureBridge(Gaussian((2,)), DATA).fields(Linear())
BASE = Gaussian((2,))


def wrong(push=0.0, pull=0.0, path=None, exact=EXACT):
    """Velocity off by ``push`` and score by ``pull``, in each coordinate."""
    return LearnedFields(
        path or Linear(),
        velocity=lambda x, t: exact.velocity(x, t) + push,
        score=lambda x, t: exact.evaluate(x, t, ("score",))["score"] + pull,
    )


def rows(n=1200, seed=0):
    source = generator(seed)
    return torch.randn(n, 2, dtype=F64, generator=source), DATA.sample(n, generator=source)


def test_errors_are_found_in_the_residuals_of_held_out_rows():
    """A constant error is linear in the features: the gain is the whole error, less the cost of learning it."""
    fields = wrong(0.8, 0.5)
    x0, x1 = rows()
    times = (0.3, 0.5, 0.7)
    found = held_out_errors(fields, x0, x1, times=times, repeats=4, generator=generator(1))
    true = squared_errors(fields, EXACT, x0, x1, times=times, generator=generator(2))
    assert bool((found.velocity < 1.1 * true.velocity).all())
    assert bool((found.velocity > 0.7 * true.velocity).all())
    assert bool((found.score < 1.3 * true.score).all())
    assert bool((found.score > 0.5 * true.score).all())
    assert optimal_eps(found) == pytest.approx(optimal_eps(true), rel=0.35)


def test_exact_fields_show_errors_of_the_size_of_the_noise_only():
    x0, x1 = rows()
    found = held_out_errors(EXACT, x0, x1, times=3, repeats=2, generator=generator(1))
    assert float(found.velocity.max()) < 0.2
    assert float(found.score.max()) < 0.6


WIDE = GaussianMixture([1.0], torch.zeros(1, 64), torch.ones(1))
WIDE_EXACT = GaussianMixtureBridge(Gaussian((64,)), WIDE).fields(Linear())


def wide_rows(n0, n1, seed=0):
    source = generator(seed)
    return torch.randn(n0, 64, generator=source), torch.randn(n1, 64, generator=source)


def test_in_many_dimensions_errors_far_below_the_noise_are_found():
    """Errors of 0.1 x in velocity and score: one part in 500 of the noise."""
    fields = LearnedFields(
        Linear(),
        velocity=lambda x, t: WIDE_EXACT.velocity(x, t) + 0.1 * x,
        score=lambda x, t: WIDE_EXACT.evaluate(x, t, ("score",))["score"] + 0.1 * x,
    )
    found = held_out_errors(fields, *wide_rows(4000, 4000), times=(0.5,), repeats=2, generator=generator(1))
    true = 0.01 * 64 * 0.75
    assert float(found.velocity[0]) == pytest.approx(true, rel=0.3)
    assert float(found.score[0]) == pytest.approx(true, rel=0.3)


def test_starts_that_come_back_in_another_fold_would_pass_for_errors():
    """Of few starts, near t = 0, the state tells which it came from, and so its noise: no fault of the fields."""
    x0, x1 = wide_rows(600, 800)
    found = held_out_errors(WIDE_EXACT, x0, x1, times=(0.05,), repeats=4, generator=generator(1))
    noise = float(found.score[0]) * 0.05 * 0.95  # 0.6 to 0.7 with starts shared by the folds
    assert noise < 0.3


@pytest.mark.parametrize("sizes", [(300, 400), (400, 300)])
def test_pairs_of_unequal_sets_are_refused(sizes):
    with pytest.raises(
        InvalidInputError, match=r"paired rows need x0 and x1 of one size, got \(\d00, \d00\)"
    ):
        held_out_errors(WIDE_EXACT, *wide_rows(*sizes), paired=True)


@pytest.mark.parametrize("rows", [200, 400])
def test_conditions_without_a_row_each_are_refused(rows):
    with pytest.raises(InvalidInputError, match=f"cond must have one row per row of x1, 300, got {rows}"):
        held_out_errors(WIDE_EXACT, *wide_rows(300, 300), cond=torch.zeros(rows))


def test_one_sided_paths_draw_their_own_starts():
    path = OneSidedLinear()
    fields = wrong(0.8, 0.5, path, GaussianMixtureBridge(Gaussian((2,)), DATA).fields(path))
    found = held_out_errors(fields, None, rows()[1], times=(0.4,), repeats=4, generator=generator(1))
    assert float(found.velocity[0]) == pytest.approx(2 * 0.8**2, rel=0.35)
    assert float(found.score[0]) == pytest.approx(2 * 0.5**2, rel=0.5)


def test_wide_states_are_regressed_entry_by_entry():
    x1 = torch.randn(200, 300, generator=generator(0))
    fields = LearnedFields(
        Linear(), velocity=lambda x, t: torch.zeros_like(x), score=lambda x, t: torch.zeros_like(x)
    )
    found = held_out_errors(
        fields,
        torch.randn(200, 300, generator=generator(1)),
        x1,
        times=(0.9,),
        repeats=2,
        generator=generator(2),
    )
    # x_t has variance 0.91 and b = 0.4/0.91 x_t
    assert float(found.velocity[0]) == pytest.approx(300 * 0.4**2 / 0.91, rel=0.35)


def errors_of(fields):
    x0, x1 = rows(600, 3)
    return squared_errors(fields, EXACT, x0, x1, times=8, generator=generator(4))


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["likelihood", "samples"])
def test_a_wrong_velocity_asks_for_noise_and_a_wrong_score_for_none(criterion):
    x0, x1 = rows(800)
    options = {"base": BASE, "criterion": criterion, "n": 800, "n_steps": 20, "seed": 0, "paths": 8}
    shifted = wrong(0.8, 0.05)
    noisy = auto_eps(
        shifted, x0, x1, errors=errors_of(shifted), constants=(0.1, 1.0), schedules=(1.0,), **options
    )
    assert noisy.criterion == criterion
    by_name = {c.name: c for c in noisy.candidates}
    assert by_name["flow (0)"].gap > 2 * by_name["flow (0)"].gap_error
    assert noisy.name != "flow (0)"
    assert noisy.constant > 1
    pulled = wrong(0.01, 1.5)
    calm = auto_eps(
        pulled, x0, x1, errors=errors_of(pulled), constants=(1.0, 100.0), schedules=(1.0,), **options
    )
    worst = max(calm.candidates, key=lambda c: c.score)
    assert worst.kind == "constant"
    assert worst.eps == pytest.approx(100 * calm.predicted)
    assert calm.constant < 0.1


@pytest.mark.slow
def test_auto_takes_the_likelihood_where_it_can_and_says_what_it_did():
    x0, x1 = rows(300)
    fields = wrong(0.5, 0.3)
    options = {"n": 200, "n_steps": 12, "constants": (1.0,), "schedules": (1.0,)}
    found = auto_eps(fields, x0, x1, base=BASE, seed=1, **options)
    assert found.criterion == "likelihood"
    assert isinstance(found.schedule, TabulatedNoise)
    assert found.name in found.reason
    assert f"| {found.name} * |" in found.table()
    assert found.table().count("\n") == 2 + len(found.candidates)
    again = auto_eps(fields, x0, x1, base=BASE, seed=1, **options)
    assert [c.score for c in again.candidates] == [c.score for c in found.candidates]
    without = auto_eps(fields, x0, x1, seed=1, **options)
    assert without.criterion == "samples"
    assert without.candidates[0].gap == 0
    assert isinstance(without.eps, float | NoiseLevel)
    assert sample(fields, x0[:8], eps=without.eps, n_steps=4, seed=0).x.isfinite().all()


def test_a_clear_winner_replaces_the_prediction():
    """Errors that are told wrongly predict far too much noise; the held-out score corrects it."""
    fields = wrong(0.2, 1.0)
    x0, x1 = rows(800)
    t = torch.tensor([0.25, 0.75], dtype=F64)
    told = SquaredErrors(t, torch.full_like(t, 400.0), torch.full_like(t, 1.0))
    found = auto_eps(
        fields, x0, x1, errors=told, base=BASE, n=800, n_steps=20, constants=(0.01,), schedules=(1.0,), seed=0
    )
    assert found.predicted == pytest.approx(20.0)
    assert found.name in ("0.2", "flow (0)")
    assert "better than the predicted schedule" in found.reason
    assert found.constant in (0.0, pytest.approx(0.2))


def test_scores_that_cannot_tell_leave_the_predicted_constant():
    """Samples cannot tell levels of nearly exact fields apart; the smallest score would be a draw by lot."""
    x0, x1 = rows(300)
    t = torch.tensor([0.25, 0.75], dtype=F64)
    told = SquaredErrors(t, torch.full_like(t, 0.49), torch.full_like(t, 1.0))
    options = {"errors": told, "criterion": "samples", "n": 200, "n_steps": 12, "constants": (0.5, 1.0, 2.0)}
    for seed in range(3):
        found = auto_eps(wrong(0.01, 0.01), x0, x1, schedules=(1.0,), seed=seed, **options)
        assert found.constant == pytest.approx(0.7)


@pytest.mark.slow
def test_errors_of_coupled_fields_are_taken_over_coupled_pairs():
    """Over independent pairs the fields of another coupling look wrong where they are right."""
    source = torch.Generator().manual_seed(0)
    x0 = torch.randn(1500, 2, generator=source)
    x1 = torch.randn(1500, 2, generator=source) + 3.0
    settings = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "steps": 300, "batch_size": 128, "lr": 5e-3}
    bridge = Bridge("linear", coupling="minibatch_ot", standardize=False, **settings)
    bridge.fit(x0[:1000], x1[:1000], progress=False)
    held0, held1 = x0[1000:], x1[1000:]
    found = bridge.choose_eps(held0, held1, criterion="samples", n=100, n_steps=5).errors
    apart = held_out_errors(bridge.fields, held0, held1, generator=torch.Generator().manual_seed(1))
    assert found.velocity.sum() < 0.5 * apart.velocity.sum()


BAD = {
    "criterion": ({"criterion": "loss"}, r"criterion must be one of .* got 'loss'"),
    "density": ({"criterion": "likelihood"}, r"needs the density of rho0, got None"),
    "n": ({"n": 5}, r"n must be >= 16, .*, got 5"),
    "few": ({"x1": rows(20)[1]}, r"x1 must have at least 200 held-out rows, got 20"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_its_value(name):
    change, message = BAD[name]
    x0, x1 = rows(300)
    with pytest.raises(InvalidInputError, match=message):
        auto_eps(EXACT, x0, **{"x1": x1, **change})


def test_held_out_errors_need_a_score():
    x0, x1 = rows(300)
    with pytest.raises(InvalidInputError, match="must have a path and a score"):
        held_out_errors(LearnedFields(Linear(), velocity=EXACT.velocity), x0, x1)
    with pytest.raises(InvalidInputError, match="at least 200 held-out end points, got 20"):
        held_out_errors(EXACT, x0, x1[:20])
    with pytest.raises(InvalidInputError, match="at least 8 held-out start points, got 5"):
        held_out_errors(EXACT, x0[:5], x1)


def slightly_wrong(path, quantities):
    """Two modes on a line, with smooth errors in what was learnt; and the distributions of both ends."""
    data = GaussianMixture([0.4, 0.6], [[-1.2], [1.0]], [[0.4], [0.5]])
    start = GaussianMixture([1.0], [[0.0]], [[1.0]])
    exact = GaussianMixtureBridge(start, data).fields(path)

    def off(quantity):
        return lambda x, t: exact.evaluate(x, t, (quantity,))[quantity] + 0.05 * torch.sin(2 * x + 1)

    return LearnedFields(path, **{name: off(name) for name in quantities}), start, data


def ends(start, data, n=400):
    return start.sample(n, generator=generator(1)), data.sample(n, generator=generator(2))


@pytest.mark.slow
def test_no_candidate_is_better_than_the_data_s_own_density():
    """Where sub-VP paths have no noise the score's error once gave some noise levels impossible densities."""
    fields, start, data = slightly_wrong(SubVP(), ("velocity",))
    x0, x1 = ends(start, data)
    choice = auto_eps(fields, x0, x1, base=start, n=400, n_steps=40, paths=4, constants=(0.5, 2.0))
    entropy = -float(data.log_prob(x1[:80]).mean())
    assert choice.criterion == "likelihood"
    assert min(c.score for c in choice.candidates) > entropy - 0.05


@pytest.mark.slow
def test_densities_that_are_not_known_well_enough_are_not_compared():
    fields, start, data = slightly_wrong(Linear(envelope=SineSquaredEnvelope()), ("endpoint0", "denoised"))
    x0, x1 = ends(start, data)
    options = {"base": start, "n": 400, "n_steps": 20, "paths": 4, "constants": (1.0,), "schedules": (1.0,)}
    assert auto_eps(fields, x0, x1, **options).criterion == "samples"
    with pytest.raises(InvalidInputError, match=r"error of at most 0.5 nats.*criterion='samples'"):
        auto_eps(fields, x0, x1, criterion="likelihood", **options)
