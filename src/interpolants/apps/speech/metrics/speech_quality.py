"""How close a restored sound is to the clean one: ratios of energies, and models of listeners.

Source: Le Roux, Wisdom, Erdogan & Hershey (2019), arXiv:1811.02508; ESTOI: Jensen & Taal (2016), IEEE/ACM TASLP 24;
PESQ: ITU-T P.862.
"""

import math
from typing import NamedTuple

from torch import Tensor

from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require


def si_sdr(estimate: Tensor, reference: Tensor) -> Tensor:
    """Scale-invariant ratio of signal to distortion in decibels, ``(...,)``; samples ``(..., T)``.

    ``10 log10 |a s|^2 / |a s - x|^2`` with the projection ``a = <x, s> / |s|^2`` of the estimate x on the reference s.
    Compare signals of their own length: what both have for padding counts as well restored.

    Raises:
        InvalidInputError: If shapes differ or a reference is silent.
    """
    x, s = _pair("si_sdr", estimate, reference)
    target = _projected(x, s)
    return _decibels(target, x - target)


def si_sdr_of_draws(of_mean: float, draws: int = 1) -> float:
    """SI-SDR in decibels of the mean of exact draws of the posterior, where the posterior mean has ``of_mean``.

    The mean keeps the share ``rho = r / (1 + r)`` of the energy, ``r = 10^(of_mean / 10)``; a draw adds an error of its
    own as large as the one that is left, so that the squared correlation with the truth falls from rho to
    ``rho^2 / (rho + (1 - rho) / draws)``. For long signals.

    Args:
        of_mean: SI-SDR of the posterior mean, such as that of a good regressor.
        draws: Draws whose mean is taken.
    """
    whole("si_sdr_of_draws", "draws", draws, at_least=1)
    share = 1 / (1 + 10 ** (-number("si_sdr_of_draws", "of_mean", of_mean) / 10))
    squared = share**2 / (share + (1 - share) / draws)
    return 10 * math.log10(squared / (1 - squared))


class Ratios(NamedTuple):
    """Ratios in decibels of signal to: all distortion, to interference by the noise, and to artefacts."""

    distortion: Tensor
    interference: Tensor
    artefacts: Tensor


def si_ratios(estimate: Tensor, reference: Tensor, noise: Tensor) -> Ratios:
    """SI-SDR, SI-SIR and SI-SAR: what differs from the reference, parted into a multiple of the noise and the rest.

    Args:
        estimate: Samples ``(..., T)``.
        reference: Clean samples, likewise.
        noise: The noise that was added to them, likewise; projected on what is orthogonal to the reference.

    Raises:
        InvalidInputError: If shapes differ or a reference or noise is silent.
    """
    x, s = _pair("si_ratios", estimate, reference)
    _, n = _pair("si_ratios", estimate, noise)
    target = _projected(x, s)
    interference = _projected(x - target, n - _projected(n, s))
    artefacts = x - target - interference
    return Ratios(*(_decibels(target, part) for part in (x - target, interference, artefacts)))


def estoi(estimate: Tensor, reference: Tensor, rate: int) -> float:
    """Extended short-time objective intelligibility of ``(T,)`` samples, at most 1.

    Raises:
        InvalidInputError: If shapes differ or there are fewer than 30 frames of speech, a third of a second.
        MissingExtraError: If pystoi is not installed.
    """
    x, s = _pair("estoi", estimate, reference)
    stoi = require("pystoi", by="estoi").stoi
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(s.cpu().numpy(), x.cpu().numpy(), rate, extended=True))
        except RuntimeWarning as warning:
            raise invalid(
                "estoi",
                "the recordings must contain at least a third of a second of speech",
                str(warning).split(".")[0],
            ) from None


def pesq(estimate: Tensor, reference: Tensor, rate: int) -> float:
    """Perceptual evaluation of speech quality of ``(T,)`` samples: a mean opinion score from 1 to 4.6.

    Narrow band at 8000 samples a second, wide band at 16000.

    Raises:
        InvalidInputError: If the rate is another one, shapes differ, or no speech is found.
        MissingExtraError: If pesq is not installed.
    """
    x, s = _pair("pesq", estimate, reference)
    one_of("pesq", "rate", rate, (8000, 16000))
    package = require("pesq", by="pesq")
    try:
        return float(package.pesq(rate, s.cpu().numpy(), x.cpu().numpy(), "nb" if rate == 8000 else "wb"))
    except package.PesqError as error:
        raise invalid(
            "pesq", "the recordings must have at least a quarter of a second and contain speech", str(error)
        ) from error


def _pair(who: str, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    if x.shape != s.shape:
        raise invalid(
            who, f"both must have one shape, {tuple(s.shape)}", tuple(x.shape), "Cut both to one length."
        )
    if bool((s.abs().amax(-1) == 0).any()):
        raise invalid(who, "the reference must not be silent", "zeros")
    return x.double(), s.double()


def _projected(x: Tensor, s: Tensor) -> Tensor:
    return (x * s).sum(-1, keepdim=True) / s.square().sum(-1, keepdim=True) * s


def _decibels(signal: Tensor, rest: Tensor) -> Tensor:
    """Ratio of energies; infinite where nothing is left."""
    return 10 * (signal.square().sum(-1) / rest.square().sum(-1)).log10()
