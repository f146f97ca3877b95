"""The likelihood bound: its two forms, what it is for an exact posterior and for a wrong one, and its estimate."""

import math
from itertools import permutations

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.discrete import nelbo
from interpolants.generative.tokens.discrete.masking import hide, hide_share
from interpolants.generative.tokens.discrete.nelbo import exact_nelbo
from interpolants.generative.tokens.discrete.objectives import MaskedCrossEntropy
from interpolants.generative.tokens.discrete.paths import Masked, UniformBase
from interpolants.generative.tokens.discrete.posterior import ExactPosterior, FunctionPosterior
from interpolants.generative.tokens.discrete.schedules import CosineKeep, CustomKeep, PolynomialKeep
from interpolants.generative.tokens.problems.token_sources import random_table

TABLE = random_table(4, 3, seed=0)
X, P = TABLE.sequences(), TABLE.table.flatten()
SCHEDULES = [
    Masked(3),
    Masked(3, CosineKeep()),
    Masked(3, PolynomialKeep(power=2.0)),
    Masked(3, PolynomialKeep(power=0.5)),  # all but a few tokens come in the last moment
    Masked(3, CustomKeep(lambda t: ((t - 0.3) / 0.4).clamp(0, 1))),  # rests at both ends
]


def blurred(path, *, timed=False):
    """A posterior that is wrong: half of it uniform, or a share that depends on the time."""
    exact = ExactPosterior(TABLE, path)

    def mu(x, t, cond):
        share = torch.as_tensor(t).reshape(-1, 1, 1).double() if timed else 0.5
        return share * exact(x, t) + (1 - share) / 3

    return FunctionPosterior(mu, path, uses_time=timed)


@pytest.mark.parametrize("path", SCHEDULES, ids=["linear", "cosine", "early", "late", "resting"])
def test_sum_and_integral_are_one_number_and_for_the_exact_posterior_the_entropy(path):
    posterior = ExactPosterior(TABLE, path)
    summed, integral = exact_nelbo(posterior, X), exact_nelbo(posterior, X, form="time")
    assert_close(summed, integral, atol=1e-8, rtol=0)
    assert_close(summed, -TABLE.log_prob(X), atol=1e-10, rtol=0)
    assert float(P @ summed) == pytest.approx(TABLE.entropy(), abs=1e-10)


def test_for_a_wrong_posterior_both_are_the_mean_over_all_orders():
    path = Masked(3)
    posterior = blurred(path)
    summed = exact_nelbo(posterior, X)
    total = torch.zeros(len(X), dtype=torch.float64)
    for order in permutations(range(4)):
        x = torch.full_like(X, path.mask)
        for place in order:
            mu = posterior(x, 0.5)
            total -= mu[:, place].gather(1, X[:, place, None])[:, 0].log()
            x[:, place] = X[:, place]
    assert_close(summed, total / math.factorial(4))
    assert_close(exact_nelbo(posterior, X, form="time"), summed, atol=1e-8, rtol=0)
    assert float(P @ summed) > TABLE.entropy() + 0.1


@pytest.mark.parametrize("timed", [False, True], ids=["without time", "with time"])
@pytest.mark.parametrize("form", ["time_free", "time"])
def test_the_estimate_is_unbiased_and_knows_its_error(timed, form, generator):
    posterior = blurred(Masked(3, CosineKeep()), timed=timed)
    truth = float(P @ exact_nelbo(posterior, X, form="time", nodes=200))
    found = nelbo(posterior, TABLE.sample(4000, generator=generator), draws=4, form=form, generator=generator)
    assert abs(found.value - truth) <= 4 * found.error
    # The integral's terms have no variance: 1/h with a chance in proportion to h.
    assert found.error < (0.03 if form == "time_free" else 0.3)
    assert found.bits_per_token == pytest.approx(found.value / 4 / math.log(2))
    assert str(found).endswith("bits per token (n = 4000)")


def test_the_error_is_the_spread_over_repetitions(generator):
    posterior = ExactPosterior(TABLE, Masked(3))
    found = [
        nelbo(posterior, TABLE.sample(100, generator=generator), draws=2, generator=generator)
        for _ in range(60)
    ]
    spread = float(torch.tensor([one.value for one in found]).std())
    # The spread of 60 is known to 9 %.
    assert sum(one.error for one in found) / 60 == pytest.approx(spread, rel=0.35)


def test_uniforms_that_round_to_1_hide_every_place_and_no_more(monkeypatch):
    """(3 + 1 - 2^-53) / 4 does."""
    monkeypatch.setattr(
        torch, "rand", lambda *shape, **how: torch.full(shape, 1 - 2**-53, dtype=torch.float64)
    )
    posterior = ExactPosterior(TABLE, Masked(3))
    assert bool(nelbo(posterior, X[:2], draws=4).per_sequence.isfinite().all())
    loss = MaskedCrossEntropy(posterior.path)(lambda x, t, cond: posterior(x, t).log(), X[:4])
    assert loss.shape == (4,)
    assert bool(loss.isfinite().all())


def test_the_estimate_of_one_sequence_is_its_own(generator):
    x = X[:1].expand(3000, -1)
    found = nelbo(ExactPosterior(TABLE, Masked(3)), x, draws=2, generator=generator)
    # For the exact posterior the mean over masks is -log p of the sequence.
    assert abs(found.value + float(TABLE.log_prob(X[:1]))) <= 4 * found.error


def test_the_sum_over_masks_has_the_smaller_variance(generator):
    posterior, x = ExactPosterior(TABLE, Masked(3)), X[40:41].expand(4000, -1)
    # In the limit infinitely so: a term of size 1/h comes with a chance in proportion to h.
    errors = [
        nelbo(posterior, x, draws=1, form=form, generator=generator).error for form in ("time_free", "time")
    ]
    assert errors[1] > 1.5 * errors[0]


def test_hidden_places_are_a_random_subset_and_their_share_is_beta(generator):
    rows, length = 30_000, 5
    for n in (1, 3, 5):
        found = hide(torch.full((rows,), n), length, generator=generator)
        assert (found.where.sum(1) == n).all()
        each = found.where.double().mean(0)
        assert ((each - n / length).abs() <= 4.5 * (0.25 / rows) ** 0.5).all()
        # Beta(n, L - n + 1).
        mean, variance = n / (length + 1), n * (length + 1 - n) / ((length + 1) ** 2 * (length + 2))
        assert abs(float(found.share.mean()) - mean) <= 4.5 * (variance / rows) ** 0.5
        first = found.where[:, 0].double()
        both = torch.corrcoef(torch.stack([first, found.share]))[0, 1] if n < length else torch.tensor(0.0)
        assert abs(float(both)) <= 4.5 / rows**0.5
    shares = torch.tensor([0.1, 0.6]).double().repeat(rows // 2)
    where = hide_share(shares, length, generator=generator).where
    assert abs(float(where[1::2].double().mean()) - 0.6) <= 4.5 * (0.24 / (rows // 2 * length)) ** 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: hide(torch.tensor([0]), 4),
            r"the number of masks must lie in 1 \.\.\. 4, got 0\. With no mask",
        ),
        (lambda: hide(torch.tensor([1, 5]), 4), r"must lie in 1 \.\.\. 4, got 5"),
        (
            lambda: nelbo(ExactPosterior(TABLE, UniformBase(3)), X),
            r"the path must have a mask token, got UniformBase",
        ),
        (
            lambda: nelbo(ExactPosterior(TABLE, Masked(3)), X, form="free"),
            r"form must be one of time_free, time",
        ),
        (lambda: nelbo(ExactPosterior(TABLE, Masked(3)), X + 1), r"x1 must be tokens 0 \.\.\. 2, got 3"),
        (
            lambda: exact_nelbo(blurred(Masked(3), timed=True), X),
            r"the time-free sum needs a posterior without time, got one with",
        ),
        (
            lambda: exact_nelbo(TABLE, torch.zeros(1, 30, dtype=torch.int64), path=Masked(3)),
            r"sequences times 2\^L must be at most 1048576, got 1 sequences of length 30",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_bounds_do_not_depend_on_how_many_go_through_at_once():
    posterior, x = (
        ExactPosterior(TABLE, Masked(3)),
        TABLE.sample(150, generator=torch.Generator().manual_seed(0)),
    )
    whole = nelbo(posterior, x, seed=1, chunk=1000).per_sequence
    assert len(whole.unique()) > 10
    assert_close(nelbo(posterior, x, seed=1, chunk=40).per_sequence, whole, rtol=1e-10, atol=0)


def test_the_error_of_two_sequences_is_half_of_what_lies_between_them(generator):
    found = nelbo(ExactPosterior(TABLE, Masked(3)), X[[0, 40]], draws=2, generator=generator)
    assert found.error == pytest.approx(abs(float(found.per_sequence[0] - found.per_sequence[1])) / 2)
