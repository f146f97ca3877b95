"""Scores of generated paths: distances of marginals, dependence on given paths, and what a recurrent network sees.

Letters: N and M paths, T times, C columns.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from interpolants.foundations.checks import finite, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import unit_of

_BATCH, _RATE = 128, 5e-3


def marginal_distances(x: Tensor, y: Tensor) -> Tensor:
    """Wasserstein-1 distances of the marginals of each time and column, ``(T, C)`` in data units.

    ``W1 = int |F(z) - G(z)| dz``, exact for the two sets of samples.

    Args:
        x: Paths ``(N, T, C)``.
        y: Paths ``(M, T, C)``.

    Raises:
        InvalidInputError: If the shapes do not fit, or values are not finite.
    """
    _check("marginal_distances", x, y)
    flat = [one.double().flatten(1).T.contiguous() for one in (x, y)]
    places = torch.cat(flat, 1).sort(1).values
    below = [
        torch.searchsorted(one.sort(1).values, places[:, :-1].contiguous(), right=True) / one.shape[1]
        for one in flat
    ]
    return ((below[0] - below[1]).abs() * places.diff(dim=1)).sum(1).reshape(x.shape[1:])


def path_dependence(x: Tensor, y: Tensor) -> Tensor:
    """Largest absolute correlation of paths with their partners at one time, ``(T, C)``: of values, and of squares.

    ``y`` is centred for the squares, which see that the size of one path follows that of the other where their
    values are uncorrelated, as those of returns are. Independent paths give about ``1 / sqrt(N)``: overlapping windows
    of one series are fewer than they seem.

    Args:
        x: Paths ``(N, T, C)``.
        y: Their partners, ``(N, T, C)``.

    Raises:
        InvalidInputError: If the shapes differ, or values are not finite.
    """
    _check("path_dependence", x, y)
    if len(x) != len(y):
        raise invalid("path_dependence", "paths must have a partner each", f"{len(x)} and {len(y)}")
    a, b = (one.double() - one.double().mean(0) for one in (x, y))
    return torch.maximum(_correlation(a, b).abs(), _correlation(a.square(), b.square()).abs())


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """By entry over the first axis; 0 where one does not vary."""
    a, b = a - a.mean(0), b - b.mean(0)
    size = (a.square().mean(0) * b.square().mean(0)).sqrt()
    found: Tensor = torch.where(size > 0, (a * b).mean(0) / size, 0.0)
    return found


def peaks(values: Tensor, *, least: float = 0.15) -> int:
    """Number of peaks of a density, by a Gaussian kernel of Silverman's width ``0.9 min(std, IQR / 1.349) N^(-1/5)``.

    Args:
        values: ``(N,)``.
        least: A peak counts if the valleys on both sides are lower by this share of the highest peak.
    """
    x = values.double()
    spread = min(float(x.std()), float(x.quantile(0.75) - x.quantile(0.25)) / 1.349) or float(x.std())
    width = 0.9 * spread * len(x) ** -0.2
    grid = torch.linspace(float(x.min()) - 3 * width, float(x.max()) + 3 * width, 256, dtype=torch.float64)
    density = torch.exp(-0.5 * ((grid[:, None] - x) / width).square()).mean(1)
    return _prominent(density, least * float(density.max()))


def _prominent(density: Tensor, least: float) -> int:
    """Peaks from which one must go down by ``least`` on both sides."""
    found, low, high, rising = 0, float(density[0]), float(density[0]), True
    for value in density.tolist():
        low, high = min(low, value), max(high, value)
        if rising and value < high - least:
            found, low, rising = found + 1, value, False
        elif not rising and value > low + least:
            high, rising = value, True
    return found


def discriminative_score(
    made: Tensor, real: Tensor, *, hidden: int = 12, steps: int = 300, repeats: int = 5, seed: int = 0
) -> Estimate:
    """``|accuracy - 1/2|`` of a recurrent network that tells made paths from real ones: 0 is best, 1/2 worst.

    A gated recurrent unit reads standardised paths; half of the paths of each kind train it, the other half judge. The
    two kinds are cut to one number.

    Args:
        made: Paths ``(N, T, C)``.
        real: Paths ``(M, T, C)``, which the generator did not learn from, else copies of them pass for good.
        hidden: Units of the network.
        steps: Steps of its training.
        repeats: Networks and halves; the error is that of their mean.
        seed: Seed of halves, weights and batches.

    Raises:
        InvalidInputError: If shapes do not fit, there are fewer than 8 paths, or a setting is out of range.

    Source: Yoon, Jarrett & van der Schaar (2019), Time-series Generative Adversarial Networks, NeurIPS.
    """
    who = "discriminative_score"
    _check(who, made, real)
    _check_sizes(who, hidden, steps, repeats)
    count = min(len(made), len(real))
    if count < 8:
        raise invalid(who, "both sets must have at least 8 paths", count)
    scores = []
    for repeat in range(repeats):
        source = generator(seed, "discriminator of paths", repeat)
        halves = [_halves(one, count, source) for one in (made, real)]
        train, test = (torch.cat([half[k] for half in halves]) for k in (0, 1))
        genuine = [torch.arange(len(part)) >= len(part) // 2 for part in (train, test)]
        train, test = _standard(train, test)
        net = _trained(train, genuine[0][:, None].float(), _told_apart, hidden, steps, source)
        with torch.no_grad():
            right = (net(test)[:, -1, 0] > 0) == genuine[1]
        scores.append(abs(float(right.double().mean()) - 0.5))
    return _estimate(scores, "discriminative score")


def predictive_score(
    made: Tensor, real: Tensor, *, hidden: int = 12, steps: int = 300, repeats: int = 5, seed: int = 0
) -> Estimate:
    """Mean absolute error of the next value of real paths by a recurrent network that learnt from made ones.

    In units of the real paths' standard deviation by column. Compare it with that of a network that learnt from other
    real paths: "train on synthetic, test on real".

    Args:
        made: Paths to learn from, ``(N, T, C)``.
        real: Paths to be judged by, ``(M, T, C)``.
        hidden: Units of the network.
        steps: Steps of its training.
        repeats: Networks; the error is that of their mean.
        seed: Seed of weights and batches.

    Raises:
        InvalidInputError: If shapes do not fit, or a setting is out of range.

    Source: Yoon, Jarrett & van der Schaar (2019), Time-series Generative Adversarial Networks, NeurIPS.
    """
    who = "predictive_score"
    _check(who, made, real)
    _check_sizes(who, hidden, steps, repeats)
    test, train = _standard(real, made)
    scores = []
    for repeat in range(repeats):
        source = generator(seed, "predictor of paths", repeat)
        net = _trained(train[:, :-1], train[:, 1:], _off, hidden, steps, source)
        with torch.no_grad():
            scores.append(float((net(test[:, :-1]) - test[:, 1:]).abs().mean()))
    return _estimate(scores, "predictive score")


class _Reader(nn.Module):
    """A gated recurrent unit and a linear answer at each time, ``(B, T, C) -> (B, T, K)``."""

    def __init__(self, columns: int, hidden: int, answers: int, source: Generator) -> None:
        super().__init__()
        with torch.device("meta"):  # its own draws would be from the global generator
            self.unit = nn.GRU(columns, hidden, batch_first=True, dtype=torch.float32)
            self.answer = nn.Linear(hidden, answers, dtype=torch.float32)
        self.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-(hidden**-0.5), hidden**-0.5, generator=source)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.answer(self.unit(x)[0])
        return found


def _trained(
    x: Tensor,
    y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    hidden: int,
    steps: int,
    source: Generator,
) -> _Reader:
    net = _Reader(x.shape[2], hidden, y.shape[-1], source)
    optimizer = torch.optim.Adam(net.parameters(), lr=_RATE)
    for _ in range(steps):
        pick = torch.randint(len(x), (min(_BATCH, len(x)),), generator=source)
        optimizer.zero_grad()
        loss(net(x[pick]), y[pick]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return net.eval()


def _told_apart(answer: Tensor, label: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(answer[:, -1], label)


def _off(answer: Tensor, truth: Tensor) -> Tensor:
    return (answer - truth).abs().mean()


def _halves(paths: Tensor, count: int, source: Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(paths), generator=source)[:count]
    return paths[order[: count // 2]], paths[order[count // 2 :]]


def _standard(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both in units of the first, float32."""
    rows = first.double().flatten(0, 1)
    mean, scale = rows.mean(0), unit_of(rows)
    return ((first - mean) / scale).float(), ((second - mean) / scale).float()


def _estimate(scores: list[float], name: str) -> Estimate:
    found = torch.tensor(scores, dtype=torch.float64)
    error = float(found.std()) / len(scores) ** 0.5 if len(scores) > 1 else math.nan
    return Estimate(float(found.mean()), error, len(scores), name)


def _check(who: str, x: Tensor, y: Tensor) -> None:
    if x.ndim != 3 or x.shape[1:] != y.shape[1:] or not len(x) or not len(y) or x.shape[1] < 2:
        rule = "paths must be (N, T, C) of one shape but for N, with T >= 2"
        raise invalid(who, rule, f"{tuple(x.shape)} and {tuple(y.shape)}")
    finite(who, "x", x), finite(who, "y", y)


def _check_sizes(who: str, hidden: int, steps: int, repeats: int) -> None:
    for name, value in (("hidden", hidden), ("steps", steps), ("repeats", repeats)):
        whole(who, name, value, at_least=1)
