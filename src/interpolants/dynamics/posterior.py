"""Draws of the data point behind a state at one time, and of states at a later time given it.

A trained model answers ``E[x1 | x_t]``. Two noisy observations of one data point are worth one with less noise, so the
same model answers ``E[x1 | x_t, y_s]`` for a second observation ``y_s`` with independent noise. These are the fields of
an interpolant whose data are distributed as ``p(x1 | x_t)``. A few steps along it draw from this posterior, and a stop
on the way draws a later state. No training is needed.

Notation: the model's path is ``x_t = alpha (m + sigma L e) + beta x1``, e standard normal; sigma is the scale that all
entries of the base share, and L the other factor of its root. The second observation is ``y_s = (1 - s) L w + s x1``.
With ``a = alpha sigma`` and ``h^2 = (beta (1 - s))^2 + (s a)^2``

* the observation of both has the ratio of signal to noise ``h / (a (1 - s))``, hence a time t* of the model, and the
  direction ``(cos, sin) = (beta (1 - s), s a) / h``; its noise is ``cos e + sin w``;
* ``E[w | x_t, y_s] = sin E[e* | x*] + cos q`` with ``q = (beta y - s (x - alpha m)) / h``, which is free of x1: nothing
  is divided by a number that vanishes.

A later state at t' (dashes) with noises of correlation rho is ``x' = alpha' m + rho (alpha'/alpha) (x - alpha m) +
c x1 + kappa L w``, ``c = beta' - rho alpha' beta / alpha``, ``kappa = sigma alpha' sqrt(1 - rho^2)``: it is reached
where ``s / (1 - s) = c / kappa``.

Source: Holderrieth et al. (2026), arXiv:2509.25170. Differences from the source: the second observation is on the path
``(1 - s) w + s x1`` and stops early, in place of one path for each pair of times; any Gaussian base.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from interpolants.dynamics.sample import check_call, sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.matched_net import time_of_ratio
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import expand_like, time_dtype
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.row_times import TakesOneTime
from interpolants.foundations.types import Condition, take_rows
from interpolants.paths.from_gaussian import gaussian_path
from interpolants.paths.linear import OneSidedLinear

_HEADS = ("endpoint0", "denoised")


def posterior_fields(fields: Fields, t: float) -> LearnedFields:
    """Fields of an interpolant from noise to ``p(x1 | x_t)``, on the path ``y_s = (1 - s) L w + s x1``.

    Their condition is ``{"x_t": x_t, "cond": cond}`` with one state ``x_t`` per row.

    Args:
        fields: Fields of a model on a one-sided path from a Gaussian base, with denoised state and start point.
        t: Time of the states ``x_t``, in [0, 1).

    Raises:
        InvalidInputError: If the path is another, ``beta / alpha`` does not grow on it, or t is outside [0, 1).
        NotIdentifiableError: If the denoised state does not follow from the learnt quantities.
    """
    _, base = gaussian_path("posterior_fields", fields.path)
    number("posterior_fields", "t", t, at_least=0, below=1, remedy="At t = 1 the state is the data point.")
    start = Gaussian() if base.shared_scale is not None else base
    joint = _TwoObservations(fields, float(t), start)
    return LearnedFields(OneSidedLinear(base=start), joint=joint, heads=_HEADS)


def sample_posterior(
    fields: Fields, x: Tensor, t: float, *, draws: int = 1, seed: int = 0, n_steps: int = 6, **options: Any
) -> Tensor:
    """Draw data points from the model's posterior ``p(x1 | x_t)``.

    ::

        x1 = sample_posterior(bridge.fields, x, 0.4, draws=16)      # (16, B, *D)

    Args:
        fields: Fields of a model on a one-sided path from a Gaussian base, e.g. ``bridge.fields``.
        x: States ``(B, *D)`` at time t.
        t: Their time, in [0, 1).
        draws: Number of draws per state.
        seed: Seed of the draws. Draw k of row i is the same whatever the batch.
        n_steps: Steps of the solver, with two evaluations of the model each at the default method. Posteriors with
            several modes need about 6 steps.
        **options: Options of :func:`sample`: ``method``, ``eps``, ``cond``, ``first_index``, ``chunk`` ...

    Returns:
        The draws, ``(draws, B, *D)``, in the model's coordinates.

    Raises:
        InvalidInputError: If an argument breaks its rule, or the path has no such posterior; see
            :func:`posterior_fields`.
        NotIdentifiableError: If the denoised state does not follow from the learnt quantities.
        DivergedError: If a draw became NaN or infinite.
    """
    y, _ = _second_observation(
        "sample_posterior", fields, x, t, 1.0, draws, seed, {"n_steps": n_steps, **options}
    )
    return y


def sample_transition(
    fields: Fields,
    x: Tensor,
    t: float,
    later: float,
    *,
    rho: float | Literal["reverse", "renoise"] = "reverse",
    draws: int = 1,
    seed: int = 0,
    n_steps: int = 6,
    **options: Any,
) -> Tensor:
    """Draw states at a later time given states now; the distribution of ``x_t`` is kept for every rho.

    ::

        x9 = sample_transition(bridge.fields, x, 0.4, 0.9, draws=8)      # 8 branches of each state

    Args:
        fields: Fields of a model on a one-sided path from a Gaussian base, e.g. ``bridge.fields``.
        x: States ``(B, *D)`` at time t.
        t: Their time, in [0, 1).
        later: Time of the draws, in (t, 1]; at 1 they are draws of :func:`sample_posterior`.
        rho: Correlation of the noises in the two states given the data point, in [-1, 1]. ``"reverse"`` is
            ``(beta/alpha) / (beta'/alpha')``, the transition of the SDE at ``eps=ReverseNoise()``;
            ``"renoise"`` is 0, new noise on a posterior draw. 1 adds no new noise, yet it is not a step of the ODE:
            the data point is drawn all the same.
        draws: Number of branches per state.
        seed: Seed of the draws. Draw k of row i is the same whatever the batch.
        n_steps: Steps of the solver, with two evaluations of the model each at the default method.
        **options: As for :func:`sample_posterior`.

    Returns:
        The draws, ``(draws, B, *D)``.

    Raises:
        InvalidInputError: If an argument breaks its rule, or the path has no such transition.
        NotIdentifiableError: If the denoised state does not follow from the learnt quantities.
        DivergedError: If a draw became NaN or infinite.
    """
    caller = "sample_transition"
    path, base = gaussian_path(caller, fields.path)
    number(caller, "t", t, at_least=0, below=1, remedy="At t = 1 the state is the data point.")
    number(caller, "later", later, above=t, at_most=1, remedy="For earlier times, use dynamics.renoise.")
    times = torch.tensor([t, later], dtype=torch.float64)
    (alpha, alpha_later), (beta, beta_later) = path.alpha(times).tolist(), path.beta(times).tolist()
    reverse = beta * alpha_later / (beta_later * alpha)
    if not reverse < 1:
        rule = f"beta / alpha must grow from t = {t:g} to {later:g}"
        raise invalid(caller, rule, type(path).__name__, "For example, use paths.VP() or OneSidedLinear().")
    named = {"reverse": reverse, "renoise": 0.0}
    if isinstance(rho, str) and rho not in named:
        raise invalid(caller, "rho must be 'reverse', 'renoise' or a number in [-1, 1]", repr(rho))
    correlation = named[rho] if isinstance(rho, str) else number(caller, "rho", rho, at_least=-1, at_most=1)
    keep = correlation * alpha_later / alpha
    signal = beta_later - keep * beta
    noise = (base.shared_scale or 1.0) * alpha_later * max(0.0, 1 - correlation**2) ** 0.5
    stop = signal / (signal + noise)
    y, mean = _second_observation(caller, fields, x, t, stop, draws, seed, {"n_steps": n_steps, **options})
    origin = base.mean_like(x)
    fixed = alpha_later * origin + keep * (x - alpha * origin)
    later_state: Tensor = fixed + (signal / stop) * (y - (1 - stop) * mean)
    return later_state


def _second_observation(
    caller: str,
    fields: Fields,
    x: Tensor,
    t: float,
    stop: float,
    draws: int,
    seed: int,
    options: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """Draws of ``y_s`` at ``s = stop`` given ``x_t``, ``(draws, B, *D)``, and the mean of their noise."""
    for name in ("reverse", "start", "stop", "return_path"):
        if name in options:
            raise invalid(
                caller, f"{name} has no meaning: a draw starts from noise", options[name], "Omit it."
            )
    count = whole(caller, "draws", draws, at_least=1)
    inner = posterior_fields(fields, t)
    _, base = gaussian_path(caller, inner.path)
    cond, first = options.pop("cond", None), options.pop("first_index", 0)
    check_call(caller, x, cond, first, options.get("chunk"), options.get("on_failure", "raise"))
    rows = torch.arange(len(x), device=x.device).repeat_interleave(count)
    states, first_draw = x[rows], first * count
    noise = BlockNoise.like(states, whole(caller, "seed", seed), "second observation", first=first_draw)
    given_state = {"x_t": states, "cond": take_rows(cond, rows)}
    options = {"time_grid": "uniform", **options, "cond": given_state, "first_index": first_draw}
    y = sample(inner, base.color(noise.normal()), stop=stop, seed=seed, **options).x
    return y.reshape(len(x), count, *x.shape[1:]).transpose(0, 1), base.mean_like(x)


class _At(NamedTuple):
    """Coefficients at a time s of the second observation; see the notation.

    Attributes:
        t: Time of the model, 0-d float64.
        origin: Weight of the mean of the model's base in the state at that time.
        first, second: Weights of ``x - alpha m`` and ``y - (1 - s) m`` in it.
        sin, cos: The direction.
        weight_x, weight_y: Weights of the two in q.
    """

    t: Tensor
    origin: Any
    first: Any
    second: Any
    sin: Any
    cos: Any
    weight_x: Any
    weight_y: Any


class _TwoObservations(TakesOneTime, nn.Module):
    """Mean start point and mean data point of the second observation, ``(B, 2, *D)``."""

    def __init__(self, fields: Fields, t: float, start: Gaussian) -> None:
        super().__init__()
        path, self.base = gaussian_path("posterior_fields", fields.path)
        self.fields, self.path, self.start = fields, path, start
        self.nets = nn.ModuleList(fields.networks)
        self.scale = self.base.shared_scale or 1.0
        time = torch.tensor(t, dtype=torch.float64)
        self.alpha, self.beta = float(path.alpha(time)), float(path.beta(time))

    def at(self, s: Tensor) -> _At:
        """The coefficients at times s, each of the shape of s."""
        s = s.double()
        noise, a = 1 - s, self.alpha * self.scale
        from_x, from_y = self.beta * noise, s * a
        size = torch.hypot(from_x, from_y)
        blind = size == 0  # pure noise twice: the model is evaluated at the second one
        cos = torch.where(blind, torch.zeros_like(s), from_x / size)
        sin = torch.where(blind, torch.ones_like(s), from_y / size)
        t = time_of_ratio(self.path, self.scale, size, a * noise)
        alpha = self.path.alpha(t)
        c = torch.hypot(self.scale * alpha, self.path.beta(t)) / torch.hypot(a * noise, size)
        inverse = torch.where(blind, torch.zeros_like(s), 1 / size)
        return _At(t, alpha, c * cos * noise, c * sin * a, sin, cos, -s * inverse, self.beta * inverse)

    def forward(self, y: Tensor, s: Tensor, cond: Condition = None) -> Tensor:
        """The means at ``y (B, *D)`` and ``s`` 0-d or ``(B,)``, given ``cond = {"x_t": ..., "cond": ...}``."""
        at = self.at(s)
        _, origin, first, second, sin, cos, weight_x, weight_y = (expand_like(c, y).to(y) for c in at)
        mean, start_mean = self.base.mean_like(y), self.start.mean_like(y)
        x = cond["x_t"] - self.alpha * mean
        second_noise = expand_like(1 - s.double(), y).to(y) * start_mean
        state = origin * mean + first * x + second * (y - second_noise)
        model = self.fields.evaluate(state, at.t.to(time_dtype(y)), _HEADS, cond["cond"])
        noise = sin * (model["endpoint0"] - mean) / self.scale
        noise = noise + cos * (weight_x * x + weight_y * (y - second_noise))
        return torch.stack([start_mean + noise, model["denoised"]], 1)
