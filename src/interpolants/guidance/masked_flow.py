"""Conditional draws by fields that take one time per entry: known entries are at t = 1, and the flow moves the others.

For exact fields the draws have the conditional distribution of the hidden entries, for every mask. An observation with
noise, ``y = x1 + sigma n``, tilts the distribution of x1 by ``exp(-(x1 - y)^2 / (2 sigma^2))`` per entry. The denoised
state of a tilted distribution is that of the distribution itself at another state and time. With the standard deviation
c of the base, ``a = c alpha`` and ``N^2 = beta^2 sigma^2 + a^2``,

    E_tilted[x1 | x_t = x] = E[x1 | x_tau = beta(tau) m],   m = (beta sigma^2 x + a^2 y) / N^2,
    beta(tau)^2 / (c alpha(tau))^2 = N^2 / (a sigma)^2.

A known entry is the case sigma = 0 (tau = 1, state y), a hidden one sigma = infinity (tau = t, state x).

Source: Negrel, Coeurdoux, Albergo & Vanden-Eijnden (2025), arXiv:2508.04605; this form for any path is derived here.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Count, NonNegative
from interpolants.foundations.ops import expand_like
from interpolants.foundations.row_times import TakesOneTime
from interpolants.foundations.types import Condition, FieldLike
from interpolants.guidance.cyclic import Completed, Job
from interpolants.likelihood.log_prob import log_prob
from interpolants.paths.from_gaussian import gaussian_path


@dataclass(frozen=True, kw_only=True)
class MaskedFlow(Checked):
    """Known entries are at t = 1 from the start; the flow, or an SDE, carries the others from noise to data.

    It needs fields that take one time per entry, those of ``Bridge(masks=True)``.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    n_steps: Count = 50
    """Steps of the grid; two evaluations each."""
    eps: NonNegative = 0.0
    """Noise level of an SDE; 0 is the flow."""
    paste: bool = True
    """Copy the known entries into the result; else they are rounded by the units of the bridge."""

    def complete(self, job: Job) -> Completed:
        """Draw the hidden entries given the known ones."""
        path, base = gaussian_path("MaskedFlow", job.fields.path)
        fields, cond = conditional_fields(job)
        start = float(path.alpha(torch.zeros((), dtype=torch.float64))) * base.color(
            job.start("completion start")
        )
        x = sample(
            fields, start, n_steps=self.n_steps, eps=self.eps, cond=cond,
            seed=job.seed_of("masked flow"), first_index=job.first_index,
        ).x  # fmt: skip
        x = torch.where(cond["sigma"] == 0, cond["value"], x)
        return Completed(job.pasted(x) if self.paste else x, torch.zeros(0))


class ConditionalFields(LearnedFields):
    """Fields that follow from a denoised state by other fields, whose networks do the work.

    Args:
        inner: The other fields.
        denoised: The denoised state, by ``inner``.
    """

    def __init__(self, inner: Fields, denoised: FieldLike) -> None:
        path, _ = gaussian_path("MaskedFlow", inner.path)
        super().__init__(path, denoised=denoised)
        self.inner = inner

    @property
    def networks(self) -> list[nn.Module]:
        """The networks of the other fields."""
        return self.inner.networks

    @property
    def rounded_by(self) -> tuple[object, str]:
        """Owner of the rounding of rows, as of the other fields."""
        owner, how = self.inner.rounded_by
        return owner, f"{how} given entries"


def conditional_fields(job: Job) -> tuple[ConditionalFields, dict[str, Any]]:
    """Fields of the distribution given what a job knows, and the condition to evaluate them with.

    The state of a known entry does not matter to them.
    """
    to_state = job.coordinates.to_state
    observed = to_state(job.mask) != 0
    sigma = torch.zeros_like(job.mask) if job.sigma is None else job.sigma
    noise = torch.where(observed, to_state(sigma).abs(), math.inf)
    value = torch.where(observed, to_state(job.known), 0.0)
    fields = ConditionalFields(job.fields, _Given(job.fields))
    return fields, {"cond": job.cond, "value": value, "sigma": noise}


class _Given(TakesOneTime):
    """The denoised state of a tilted distribution, by the fields of the distribution itself."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields

    def __call__(self, x: Tensor, t: Tensor, cond: Any = None) -> Tensor:
        value, sigma = cond["value"].to(x), cond["sigma"].to(x)
        state, times = tilted_point(self.fields.path, x, t, value, sigma)
        denoised = self.fields.evaluate(state, times, ("denoised",), cond["cond"])["denoised"]
        return torch.where(sigma == 0, value, denoised)


def tilted_point(path: Any, x: Tensor, t: Tensor, value: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """State and times, ``(B, *D)``, at which the fields of a distribution are those of the tilted one at ``x``, ``t``.

    Args:
        path: A one-sided path from a centred Gaussian base of one scale.
        x: States ``(B, *D)``.
        t: Time, 0-d or ``(B,)``.
        value: Observations ``(B, *D)``; any number where nothing is known.
        sigma: Standard deviation of their noise, ``(B, *D)``: 0 where an entry is known, infinite where it is hidden.
    """
    exact = sigma == 0
    state, times = torch.where(exact, value, x), torch.where(exact, 1.0, expand_like(t, x).to(x))
    noisy = sigma.isfinite() & ~exact
    if not bool(noisy.any()):
        return state, times
    scale = path.base.shared_scale
    t_noisy = expand_like(t.double(), x).expand_as(x)[noisy]
    alpha, beta, s = path.alpha(t_noisy) * scale, path.beta(t_noisy), sigma[noisy].double()
    total = (beta * s).square() + alpha.square()
    mean = (beta * s.square() * x[noisy].double() + alpha.square() * value[noisy].double()) / total
    tau = path.time_at_log_snr(total.log() - 2 * (alpha * s).log())
    state, times = state.clone(), times.clone()
    state[noisy], times[noisy] = (path.beta(tau) * mean).to(x), tau.to(x)
    return state, times


def conditional_log_prob(
    fields: Fields, x: Tensor, hidden: Tensor, *, cond: Condition = None, **options: Any
) -> Tensor:
    """Log density of the hidden entries given the others, ``(B,)`` in nats, by the flow of the hidden entries.

    Args:
        fields: Fields that take one time per entry, on a one-sided path from a Gaussian base of one scale.
        x: States ``(B, *D)``.
        hidden: Boolean mask ``(*D)`` with at least one hidden entry, the same for all rows.
        cond: Condition of the rows.
        options: Settings of ``likelihood.Scoring``.
    """
    _, base = gaussian_path("conditional_log_prob", fields.path)
    only = ConditionalFields(fields, _Hidden(fields, hidden))
    scale = base.shared_scale
    assert scale is not None
    density = Gaussian(scale=scale)
    return log_prob(only, x[:, hidden], density, cond={"cond": cond, "row": x}, **options).log_prob


class _Hidden(TakesOneTime):
    """The denoised hidden entries ``(B, n)`` as a function of their states, with the others in ``cond["row"]``."""

    def __init__(self, fields: Fields, hidden: Tensor) -> None:
        self.fields, self.hidden = fields, hidden

    def __call__(self, x: Tensor, t: Tensor, cond: Any = None) -> Tensor:
        hidden = self.hidden.expand_as(cond["row"])
        state = cond["row"].to(x).masked_scatter(hidden, x)
        times = torch.where(hidden, expand_like(t.to(x), state), 1.0)
        return self.fields.evaluate(state, times, ("denoised",), cond["cond"])["denoised"][:, self.hidden]
