"""Tests of posteriors on simulations with known parameters: SBC, coverage, TARP, LC2ST.

Notation: B simulations with parameters theta (B, D) drawn from the prior, L posterior draws for each, (B, L, D). All
tests need parameters from the prior and draws that are independent given x.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.ensemble import rank_counts
from interpolants.metrics.quantile_loss import within

_FEWEST = 100
# Classifiers of LC2ST: hidden units, steps, rows per step, learning rate and weight decay.
_HIDDEN, _STEPS, _BATCH, _RATE, _DECAY = 32, 400, 256, 1e-2, 1e-3


@dataclass(frozen=True)
class Calibration:
    """Result of :func:`sbc`.

    Attributes:
        p: Smallest p-value over the coordinates, times their number, at most 1.
        p_each: p-value of each coordinate, ``(D,)``.
        counts: Number of ranks in each bin, ``(D, bins)``.
        contraction: ``1 - Var_posterior / Var_prior`` of each coordinate, ``(D,)``.
    """

    p: float
    p_each: Tensor
    counts: Tensor
    contraction: Tensor

    def __str__(self) -> str:
        text = ", ".join(f"{value:.2f}" for value in self.contraction.tolist())
        return f"SBC: p = {self.p:.3g}; contraction {text}"


def sbc(draws: Tensor, theta: Tensor, *, bins: int = 20, generator: Generator | None = None) -> Calibration:
    """Test by chi-square if the ranks of the true parameters among posterior draws are uniform.

    SBC cannot tell the posterior from the prior: the prior as an answer passes. Read p together with the
    contraction, which is 0 for the prior.

    Args:
        draws: Posterior draws, ``(B, L, D)``; L + 1 must be a multiple of ``bins``.
        theta: True parameters, ``(B, D)``.
        bins: Number of bins of equal probability.
        generator: Source of the random ranks of ties.

    Raises:
        InvalidInputError: If there are fewer than 100 rows, shapes differ, or bins would hold unequal numbers of ranks.

    Source: Talts et al. (2018), arXiv:1804.06788.
    """
    draws, theta = _checked("sbc", draws, theta)
    count = draws.shape[1]
    if (count + 1) % bins:
        remedy = f"For example, L = {max(bins, (count + 1) // bins * bins) - 1}."
        raise invalid("sbc", f"L + 1 must be a multiple of bins = {bins}", f"L = {count}", remedy)
    counts = rank_counts(draws, theta, generator=generator).reshape(theta.shape[1], bins, -1)
    counts = counts.sum(2).double()
    expected = len(theta) / bins
    chi = ((counts - expected).square() / expected).sum(1)
    p_each = torch.special.gammaincc(torch.tensor((bins - 1) / 2.0, dtype=torch.float64), chi / 2)
    contraction = 1 - draws.var(1).mean(0) / theta.var(0)
    return Calibration(min(1.0, float(p_each.min()) * len(p_each)), p_each, counts, contraction)


def central_coverage(draws: Tensor, theta: Tensor, level: float) -> Tensor:
    """Fraction of true parameters inside the central intervals of a probability, ``(D,)``.

    Args:
        draws: Posterior draws, ``(B, L, D)``.
        theta: True parameters, ``(B, D)``.
        level: Probability of the intervals, in (0, 1).
    """
    draws, theta = _checked("central_coverage", draws, theta)
    return within(draws, theta, level).double().mean(0)


@dataclass(frozen=True)
class Tarp:
    """Result of :func:`tarp`.

    Attributes:
        p: p-value of the Kolmogorov-Smirnov test of the fractions.
        distance: Largest difference between expected coverage and credibility.
        fractions: Fraction of draws that are nearer to the reference than the true parameters, sorted, ``(B,)``.
    """

    p: float
    distance: float
    fractions: Tensor

    def __str__(self) -> str:
        return f"TARP: p = {self.p:.3g}, largest distance {self.distance:.3f} (n = {len(self.fractions)})"


def tarp(
    draws: Tensor,
    theta: Tensor,
    x: Tensor | None = None,
    *,
    references: Tensor | None = None,
    generator: Generator | None = None,
) -> Tarp:
    """Test by Kolmogorov-Smirnov if regions around references hold the true parameters as often as they should.

    For the exact posterior, the fraction of draws nearer to a reference than the true parameters is uniform. References
    must depend on x: with random references the prior passes. By default, half of them are uniform in the box of theta,
    and half are the parameters of the other row whose x is nearest, plus noise.

    Args:
        draws: Posterior draws, ``(B, L, D)``.
        theta: True parameters, ``(B, D)``.
        x: Simulation of each row, ``(B, C)``; needed without ``references``.
        references: Custom reference points, ``(B, D)``.
        generator: Source of references and of ties.

    Raises:
        InvalidInputError: If there are fewer than 100 rows, shapes differ, or x and references are both missing.

    Source: Lemos et al. (2023), arXiv:2302.03026; the test of the fractions themselves is ours.
    """
    draws, theta = _checked("tarp", draws, theta)
    scale = theta.std(0).clamp_min(1e-300)
    if references is None:
        if x is None:
            remedy = "With random references the prior passes for a posterior."
            raise invalid("tarp", "x or references must be passed", "neither", remedy)
        references = near_references(theta, x, generator)
    truth = ((theta - references) / scale).square().sum(1, keepdim=True)
    distances = ((draws - references[:, None]) / scale).square().sum(2)
    below, equal, count = (distances < truth).sum(1), (distances == truth).sum(1), draws.shape[1]
    u = torch.rand(len(theta), generator=generator, dtype=torch.float64)
    fractions = ((below + u * (equal + 1)) / (count + 1)).sort().values
    distance, p = kolmogorov(fractions)
    return Tarp(p, distance, fractions)


def near_references(theta: Tensor, x: Tensor, generator: Generator | None = None) -> Tensor:
    """References of :func:`tarp`, ``(B, D)``, half of which depend on x.

    Even rows are uniform in the box of theta. Odd rows are near the parameters of the row with the nearest other x.

    Args:
        theta: True parameters, ``(B, D)``.
        x: Simulations, ``(B, C)``.
        generator: Source of the references.
    """
    flat = x.double().flatten(1)
    flat = (flat - flat.mean(0)) / flat.std(0).clamp_min(1e-300)
    nearest = torch.cdist(flat, flat).fill_diagonal_(math.inf).argmin(1)
    low, high = theta.min(0).values, theta.max(0).values
    uniform = low + (high - low) * torch.rand(theta.shape, generator=generator, dtype=torch.float64)
    noise = 0.1 * theta.std(0) * torch.randn(theta.shape, generator=generator, dtype=torch.float64)
    odd = torch.arange(len(theta))[:, None] % 2 == 1
    return torch.where(odd, theta[nearest] + noise, uniform)


@dataclass(frozen=True)
class LocalTest:
    """Result of :func:`lc2st`.

    Attributes:
        p: Fraction of the null statistics that are at least as large as the statistic.
        statistic: Mean of ``(d - 1/2)^2`` over the posterior draws at x_o, d the classifier's probability.
        null: Statistics with permuted labels.
    """

    p: float
    statistic: float
    null: Tensor

    def __str__(self) -> str:
        return f"LC2ST: p = {self.p:.3g}, statistic {self.statistic:.4g} (null {float(self.null.mean()):.4g})"


def lc2st(
    theta: Tensor,
    draws: Tensor,
    x: Tensor,
    draws_at: Tensor,
    x_o: Tensor,
    *,
    permutations: int = 100,
    generator: Generator | None = None,
) -> LocalTest:
    """Test the posterior at one observation by a classifier of true parameters against posterior draws, given x.

    Classifiers with permuted labels, trained in the same way, yield the null distribution.

    Args:
        theta: True parameters, ``(B, D)``.
        draws: One posterior draw for each row, ``(B, D)``.
        x: Simulations, ``(B, C)``.
        draws_at: Posterior draws at the observation, ``(M, D)``.
        x_o: The observation, ``(C,)``.
        permutations: Number of permutations, >= 20.
        generator: Source of permutations, weights and batches.

    Raises:
        InvalidInputError: If there are fewer than 100 rows, shapes differ, or permutations are few.

    Source: Linhart, Gramfort & Rodrigues (2023), arXiv:2306.03580.
    """
    draws, theta = _checked("lc2st", draws[:, None], theta)
    if permutations < 20:
        raise invalid("lc2st", "permutations must be at least 20", permutations)
    x, x_o = x.double().flatten(1), x_o.double().reshape(-1)
    rows = torch.cat([torch.cat([theta, x], 1), torch.cat([draws[:, 0], x], 1)])
    at = torch.cat([draws_at.double(), x_o.expand(len(draws_at), -1)], 1)
    mean, std = rows.mean(0), rows.std(0).clamp_min(1e-300)
    rows, at = ((part - mean) / std for part in (rows, at))
    half, heads = len(theta), 1 + permutations
    # Labels are exchanged within pairs of one x, so that they stay balanced; the first classifier has the true ones.
    flips = torch.rand(heads, half, generator=generator) < 0.5
    flips[0] = False
    labels = torch.cat([flips, ~flips], 1)
    odds = _classifiers(rows.float(), labels, at.float(), generator)
    statistic = (odds.double().sigmoid() - 0.5).square().mean(1)
    null = statistic[1:]
    return LocalTest(
        float((1 + (null >= statistic[0]).sum()) / (1 + permutations)), float(statistic[0]), null
    )


def _classifiers(rows: Tensor, labels: Tensor, at: Tensor, generator: Generator | None) -> Tensor:
    """Log odds ``(H, M)`` of H networks, each trained on the same rows with separate labels, ``(H, N)``."""
    heads, width = len(labels), rows.shape[1]
    sizes = ((width, _HIDDEN), (_HIDDEN, _HIDDEN), (_HIDDEN, 1))
    # Equal first weights: only the labels differ between the classifiers.
    weights = [torch.randn(a, b, generator=generator) * math.sqrt(2 / a) for a, b in sizes]
    biases = [torch.zeros(b) for _, b in sizes]
    parts = [w.expand(heads, *w.shape).clone().requires_grad_() for w in weights]
    parts += [b.expand(heads, 1, len(b)).clone().requires_grad_() for b in biases]

    def odds(x: Tensor) -> Tensor:
        h = x.expand(heads, *x.shape)
        for layer in range(len(sizes)):
            h = torch.baddbmm(parts[len(sizes) + layer], h, parts[layer])
            h = torch.relu(h) if layer + 1 < len(sizes) else h
        return h[..., 0]

    optimizer = torch.optim.AdamW(parts, lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    with torch.enable_grad():
        for _ in range(_STEPS):
            pick = torch.randint(len(rows), (_BATCH,), generator=generator)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                odds(rows[pick]), labels[:, pick].float(), reduction="none"
            )
            optimizer.zero_grad()
            loss.mean(1).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return odds(at)


@dataclass(frozen=True)
class Misfit:
    """Result of :func:`misfit`.

    Attributes:
        distance: Distance of the observation to its nearest simulation, in standard deviations per column.
        rank: Fraction of the simulations whose nearest neighbour is at least as far.
    """

    distance: float
    rank: float


def misfit(x: Tensor, x_o: Tensor) -> Misfit:
    """Compare the distance of an observation to its nearest simulation with that of simulations to each other.

    If ``rank`` is near 0, the simulator does not produce such observations, and no other test of the posterior applies.

    Args:
        x: Simulations, ``(B, C)``; at most 5,000 are used.
        x_o: The observation, ``(C,)``.
    """
    x = x.double().flatten(1)[:5000]
    mean, std = x.mean(0), x.std(0)
    std = torch.where(std > 0, std, 1.0)
    rows, at = (x - mean) / std, (x_o.double().reshape(1, -1) - mean) / std
    nearest = torch.cdist(rows, rows).fill_diagonal_(math.inf).min(1).values
    distance = torch.cdist(at, rows).min()
    return Misfit(float(distance), float((1 + (nearest >= distance).sum()) / (1 + len(nearest))))


def _checked(caller: str, draws: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64.

    Raises:
        InvalidInputError: If shapes differ, values are not finite, or there are fewer than 100 rows.
    """
    if draws.ndim != 3 or theta.ndim != 2 or (draws.shape[0], draws.shape[2]) != tuple(theta.shape):
        value_text = f"{tuple(draws.shape)} and {tuple(theta.shape)}"
        raise invalid(caller, "draws must be (B, L, D) and theta (B, D)", value_text)
    if len(theta) < _FEWEST:
        raise invalid(caller, f"theta must have at least {_FEWEST} rows", len(theta), "Hold out more.")
    if not bool(torch.isfinite(draws).all() & torch.isfinite(theta).all()):
        raise invalid(caller, "draws and theta must be finite", "NaN or infinite values")
    return draws.double(), theta.double()


def kolmogorov(ordered: Tensor) -> tuple[float, float]:
    """Test by Kolmogorov-Smirnov if sorted values in [0, 1] are uniform.

    Args:
        ordered: Sorted values, ``(n,)``.

    Returns:
        Largest distance between the distributions, and the p-value with Stephens' correction for finite n.
    """
    n = len(ordered)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    distance = float(torch.maximum(steps[1:] - ordered, ordered - steps[:-1]).max())
    scaled = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    if scaled < 0.3:  # p > 0.99999, where the series converges slowly
        return distance, 1.0
    total = sum((-1.0) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return distance, float(min(1.0, max(0.0, 2 * total)))
