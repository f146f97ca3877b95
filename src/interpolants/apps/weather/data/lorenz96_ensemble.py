"""Ensembles of the Lorenz-96 model: forecasts whose skill is known, because truth and members are drawn alike.

Letters: N cases, J states around a circle, M members.
"""

from functools import lru_cache

import torch
from torch import Tensor

from interpolants.data.bundled import DataInfo, Dataset, Split, check_split
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.randomness import generator

PARTS = ("members", "truth", "analysis")
_STEP, _SPIN_UP = 0.05, 400


def lorenz96_rates(u: Tensor, forcing: float) -> Tensor:
    """``u_i' = (u_{i+1} - u_{i-2}) u_{i-1} - u_i + forcing`` around the last axis, ``(..., J)`` -> ``(..., J)``.

    Source: Lorenz (1996).
    """
    return (u.roll(-1, -1) - u.roll(2, -1)) * u.roll(1, -1) - u + forcing


def lorenz96_run(u: Tensor, steps: int, forcing: float) -> Tensor:
    """States ``steps`` steps of 0.05 later, by the classical Runge-Kutta scheme; ``(..., J)`` float64."""
    h = _STEP
    for _ in range(steps):
        k1 = lorenz96_rates(u, forcing)
        k2 = lorenz96_rates(u + h / 2 * k1, forcing)
        k3 = lorenz96_rates(u + h / 2 * k2, forcing)
        k4 = lorenz96_rates(u + h * k3, forcing)
        u = u + h / 6 * (k1 + 2 * (k2 + k3) + k4)
    return u


def load_lorenz96_ensemble(
    split: Split = "train",
    *,
    part: str = "members",
    n: int = 1500,
    test: int = 400,
    members: int = 5,
    analysis: int = 3,
    states: int = 40,
    spread: float = 0.6,
    lead: int = 20,
    model_forcing: float = 8.0,
    model_bias: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """Ensemble forecasts of independent states on the attractor of Lorenz-96 with forcing 8.

    Truth, analysis and members begin at a state of the attractor plus ``spread`` times Gaussian noise each, and go on
    for ``lead`` steps of 0.05: the truth is one more member, and the ensemble is reliable. With another forcing or a
    bias of the forecast model its members differ from truth and analysis.

    Args:
        split: ``train``, ``test`` or ``all``: cases of either are independent.
        part: ``"members"`` of the forecast model, the ``"truth"`` (one member), or the ``"analysis"``.
        n: Training cases.
        test: Test cases.
        members: Members of each forecast.
        analysis: Members of each analysis.
        states: J >= 4.
        spread: Standard deviation of the errors at the start.
        lead: Steps.
        model_forcing: Forcing of the forecast model.
        model_bias: What is added to all states of the forecast.
        seed: Seed of everything.

    Returns:
        ``x`` (N, M, J) float32.

    Raises:
        InvalidInputError: If a number is out of range, or for an unknown part or split.
    """
    who = "load_lorenz96_ensemble"
    check_split(who, split)
    one_of(who, "part", part, PARTS)
    for name, value, least in (("n", n, 1), ("test", test, 1), ("members", members, 1), ("analysis", analysis, 1),
                               ("states", states, 4), ("lead", lead, 0), ("seed", seed, 0)):  # fmt: skip
        whole(who, name, value, at_least=least)
    number(who, "spread", spread, at_least=0), number(who, "model_bias", model_bias)
    number(who, "model_forcing", model_forcing)
    halves = {"train": (n, "train"), "test": (test, "test")}
    wanted = [halves[one] for one in (("train", "test") if split == "all" else (split,))]
    count = {"members": members, "truth": 1, "analysis": analysis}[part]
    forcing, bias = (model_forcing, model_bias) if part == "members" else (8.0, 0.0)
    made = [_forecast(_starts(rows, states, seed, word), count, spread, lead, forcing, seed, word, part) + bias
            for rows, word in wanted]  # fmt: skip
    x = torch.cat(made).float()
    info = DataInfo(
        name="lorenz96_ensemble",
        shape=tuple(x.shape),
        split=split,
        source="simulated: the model of Lorenz (1996)",
        licence="",
        sha256={},
    )
    return Dataset(x, None, info)


@lru_cache(maxsize=4)
def _starts(rows: int, states: int, seed: int, word: str) -> Tensor:
    """States on the attractor, ``(rows, J)``, from random ones 20 time units ago."""
    source = generator(seed, "lorenz96 states", word)
    first = 8 + torch.randn(rows, states, generator=source, dtype=torch.float64)
    return lorenz96_run(first, _SPIN_UP, 8.0)


def _forecast(
    start: Tensor, count: int, spread: float, lead: int, forcing: float, seed: int, word: str, part: str
) -> Tensor:
    source = generator(seed, "lorenz96 errors", word, part)
    noise = torch.randn(len(start), count, start.shape[1], generator=source, dtype=torch.float64)
    return lorenz96_run(start[:, None] + spread * noise, lead, forcing)
