"""Inference in chains against dense Gaussian algebra."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.framework import stored
from interpolants.kernels import SMOOTHNESS, Matern
from interpolants.sciml.gp.kernels.markov_chain import infer_chain, log_normalisers

S, R, SCALE = 25, 2, 0.3
QUERIES = torch.tensor([-9.0, -0.1, 0.31, 0.5, 0.77, 1.2, 9.0], dtype=torch.float64)


def messages():
    """Random ones; two places without."""
    g = torch.Generator().manual_seed(0)
    places = torch.rand(S, dtype=torch.float64, generator=g).sort().values
    root = torch.randn(S, R, R, dtype=torch.float64, generator=g)
    precision, shift = 3 * root @ root.mT, 3 * torch.randn(S, R, dtype=torch.float64, generator=g)
    precision[[4, 9]], shift[[4, 9]] = 0, 0
    return places, precision, shift


def dense(kernel, x, places, precision, shift, scale=SCALE):
    """Mean (B, R), covariance (B, R, R) and log normaliser, by one large matrix."""
    both = torch.cat([places, x])
    k = torch.kron(kernel.covariance((both[:, None] - both) / scale), torch.eye(R, dtype=torch.float64))
    n, told = S * R, torch.block_diag(*precision)
    system = torch.eye(n, dtype=torch.float64) + told @ k[:n, :n]
    mean = k[:, :n] @ torch.linalg.solve(system, shift.flatten())
    spread = k - k[:, :n] @ torch.linalg.solve(system, told @ k[:n])
    log = 0.5 * shift.flatten() @ mean[:n] - 0.5 * torch.logdet(system)
    rows = range(S, S + len(x))
    blocks = [spread[i * R : i * R + R, i * R : i * R + R] for i in rows]
    return mean[n:].reshape(-1, R), torch.stack(blocks), log


@pytest.mark.parametrize("smoothness", SMOOTHNESS)
def test_filter_and_smoother_are_dense_regression(smoothness):
    kernel, (places, precision, shift) = Matern(smoothness), messages()
    found = infer_chain(kernel, SCALE, places, precision, shift)
    mean, covariance, log = dense(kernel, places, places, precision, shift)
    assert_close(found.moments[0], mean, rtol=0, atol=1e-11)
    assert_close(found.moments[1], covariance, rtol=0, atol=1e-11)
    assert found.log_normaliser == pytest.approx(float(log), abs=1e-9)


@pytest.mark.parametrize("smoothness", SMOOTHNESS)
def test_queries_between_before_and_behind_the_places_are_dense_regression(smoothness):
    kernel, told = Matern(smoothness), messages()
    x = torch.cat([QUERIES, told[0][:3], told[0][-1:]])
    found = infer_chain(kernel, SCALE, *told).at(x)
    mean, covariance, _ = dense(kernel, x, *told)
    assert_close(found[0], mean, rtol=0, atol=1e-11)
    assert_close(found[1], covariance, rtol=0, atol=1e-11)


@pytest.mark.parametrize("smoothness", SMOOTHNESS)
def test_covariances_between_queries_are_dense_regression(smoothness):
    kernel, (places, precision, shift) = Matern(smoothness), messages()
    x = torch.cat([QUERIES.flip(0), places[[3, 20, 3]], QUERIES[2:4]])  # in any order, some of them twice
    found = infer_chain(kernel, SCALE, places, precision, shift).between(x)
    both, n = torch.cat([places, x]), S * R
    k = torch.kron(kernel.covariance((both[:, None] - both) / SCALE), torch.eye(R, dtype=torch.float64))
    told = torch.block_diag(*precision)
    spread = k - k[:, :n] @ torch.linalg.solve(
        torch.eye(n, dtype=torch.float64) + told @ k[:n, :n], told @ k[:n]
    )
    truth = spread[n:, n:].reshape(len(x), R, len(x), R).transpose(1, 2)
    assert_close(found, truth, rtol=0, atol=1e-9)


def test_far_away_is_the_prior():
    mean, covariance = infer_chain(Matern(1.5), SCALE, *messages()).at(QUERIES[[0, -1]])
    assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-9)
    assert_close(covariance, torch.eye(R, dtype=torch.float64).expand(2, R, R), rtol=0, atol=1e-9)


def test_a_query_does_not_depend_on_the_others():
    found = infer_chain(Matern(2.5), SCALE, *messages())
    whole = found.at(torch.linspace(-0.5, 1.5, 101, dtype=torch.float64))
    for i in (0, 37, 100):
        alone = found.at(torch.linspace(-0.5, 1.5, 101, dtype=torch.float64)[i : i + 1])
        # Not to the bit: on some processors products of another number of matrices round otherwise.
        for one, among in zip(alone, whole, strict=True):
            assert_close(one[0], among[i], rtol=1e-13, atol=1e-14)


def test_normalisers_of_several_lengthscales_at_once():
    told = messages()
    scales = torch.tensor([0.05, SCALE, 2.0], dtype=torch.float64)
    found = log_normalisers(Matern(1.5), scales, *told)
    each = [infer_chain(Matern(1.5), scale, *told).log_normaliser for scale in scales.tolist()]
    assert_close(found, torch.tensor(each, dtype=torch.float64), rtol=1e-12, atol=0)


def test_nearly_equal_places_are_no_trouble():
    """Places one billionth apart tell the same as both messages at one."""
    places, precision, shift = messages()
    places[11] = places[10] + 1e-9
    merged = [torch.cat([x[:11], x[12:]]) for x in (places, precision, shift)]
    merged[1][10], merged[2][10] = precision[10] + precision[11], shift[10] + shift[11]
    for smoothness in SMOOTHNESS:
        one = infer_chain(Matern(smoothness), SCALE, places, precision, shift).at(QUERIES)
        other = infer_chain(Matern(smoothness), SCALE, *merged).at(QUERIES)
        assert_close(one, other, rtol=0, atol=1e-6)


def test_a_single_place():
    found = infer_chain(Matern(1.5), SCALE, *[x[:1] for x in messages()])
    assert found.moments[0].shape == (1, R)
    assert torch.isfinite(found.at(QUERIES)[0]).all()


def test_it_is_stored(tmp_path):
    found = infer_chain(Matern(1.5), SCALE, *messages())
    stored.write(tmp_path / "chain", {"chain": found})
    back = stored.read(tmp_path / "chain")["chain"]
    assert torch.equal(back.at(QUERIES)[1], found.at(QUERIES)[1])
