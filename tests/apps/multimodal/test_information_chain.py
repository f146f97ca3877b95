"""Posterior steps against conditioning in the joint normal of the chain, step by step."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.multimodal import InformationChain
from interpolants.foundations.errors import InvalidInputError

KEPT = [0.9, 0.7, 0.8, 0.5]
FADES = [0.2, 0.9, 0.6, 0.4, 0.1]  # comes in, then goes


def written_out(k):
    """Means (in e) and covariance of ``z_{k-1}, z_k`` given e, by running the recursion of the chain."""
    coefficients, noises = FADES[0], torch.zeros(len(KEPT), dtype=torch.float64)
    states = [(coefficients, noises.clone())]
    for j, a in enumerate(KEPT):
        omega = FADES[j + 1] - a**0.5 * FADES[j]
        coefficients, noises = a**0.5 * coefficients + omega, a**0.5 * noises
        noises[j] += (1 - a) ** 0.5
        states.append((coefficients, noises.clone()))
    (m0, n0), (m1, n1) = states[k - 1], states[k]
    return m0, m1, n0 @ n0, n0 @ n1, n1 @ n1


def test_the_step_back_is_conditioning_in_the_joint_normal():
    step = InformationChain(KEPT, FADES).posterior()
    for k in range(1, len(KEPT) + 1):
        m0, m1, v0, cross, v1 = written_out(k)
        slope = cross / v1
        found = torch.stack([part[k - 1] for part in step])
        expected = torch.stack([slope, m0 - slope * m1, v0 - slope * cross]).double()
        assert_close(found, expected, atol=1e-12, rtol=1e-10)


def test_weights_are_differences_of_signal_to_noise_for_ddpm_alone():
    chain = InformationChain.ddpm(KEPT)
    ratio = torch.as_tensor(chain.data[1:]) ** 2 / chain.noise[1:]
    assert_close(chain.bound_weights(), (ratio[:-1] - ratio[1:]) / 2)
    fading = InformationChain(KEPT, FADES)
    ratio = torch.as_tensor(fading.data[1:]) ** 2 / fading.noise[1:]
    assert not torch.allclose(fading.bound_weights(), (ratio[:-1] - ratio[1:]) / 2, rtol=0.2)


@pytest.mark.parametrize(
    ("kept", "data", "rule"),
    [
        ([1.0], [1.0, 0.5], "kept must be numbers in"),
        ([0.5], [1.0], "data must be 2 finite numbers"),
        ([0.5], [0.0, 0.5], "the data end would hold no data"),
    ],
)
def test_chains_without_sense_are_refused(kept, data, rule):
    with pytest.raises(InvalidInputError, match=rule):
        InformationChain(kept, data)
