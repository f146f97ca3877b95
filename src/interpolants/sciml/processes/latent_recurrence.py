"""Recurrent network with latent noise at every step and layer: all layers at once, with its own derivative in time.

Letters: T steps, B series, L layers; D deterministic units of all layers, Z latent ones, each layer beside the next;
h state before the tanh, ``d = tanh(h)``, z latent draw, a adaptive vector, eps standard normal.

A step is one product with ``mix`` of ``d_{t-1}``, whose rows are the currents of all units, then the means and log
deviations of the prior, and those of a posterior with weights of its own. Blocks of zeros keep layers apart that are
not neighbours::

    u       = mix d_{t-1} + bias
    mu, s   = tanh(u_mu + a_mu), clamp(u_s + a_s, -8, 4);      z = mu + exp(s) eps
    h_t     = (1 - 1/tau) h_{t-1} + 1/tau (u_h + into z)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from interpolants.foundations.asked import invalid, part
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Count, OneOrEach

# Bounds of log deviations: outside of them exp() ruins long runs.
LOW, HIGH = -8.0, 4.0


@dataclass(frozen=True)
class Layer(Checked):
    """One layer; the first is nearest to the output."""

    d: Count = 12
    """Deterministic units."""
    z: Count = 1
    """Latent ones."""
    tau: OneOrEach[Annotated[float, Ge(1)]] = 1.5
    """Time constant in steps, one number or one for each unit."""

    def check_settings(self) -> None:
        """Refuse time constants that are not those of the units."""
        if isinstance(self.tau, Sequence) and len(self.tau) not in (1, self.d):
            raise invalid(f"tau must be one number, or one for each of {self.d} units", len(self.tau))

    @property
    def taus(self) -> tuple[float, ...]:
        """One for each unit."""
        many = tuple(self.tau) if isinstance(self.tau, Sequence) else (self.tau,)
        return many if len(many) == self.d else many * self.d


def layers_of(who: str, tables: Any) -> tuple[Layer, ...]:
    """Layers of tables.

    Args:
        who: Public name, as all checks of settings are told; errors know it.
        tables: The tables.

    Raises:
        InvalidInputError: If there is none, or a size or time constant is out of range.
    """
    if isinstance(tables, Mapping) or not isinstance(tables, Iterable) or not tuple(tables):
        raise invalid("layers must be a list of tables", tables, "For example, use [{'d': 12, 'z': 1}].")
    found = []
    for k, table in enumerate(tables):
        if not isinstance(table, Mapping):
            raise invalid(
                f"layer {k} must be a table", table, "For example, use {'d': 12, 'z': 1, 'tau': 1.5}."
            )
        with part(f"layer {k}"):
            found.append(Layer(**{str(name): value for name, value in table.items()}))
    return tuple(found)


class LatentRecurrence(nn.Module):
    """The weights of the network, and its steps.

    Args:
        layers: The layers.
        posterior: ``"hidden"``: the adaptive vector is added to a function of the state; ``"free"``: it is all.
        shared: Whether prior and posterior have one function of the state.
        source: Draws the initial weights.
    """

    rates: Tensor
    mix_mask: Tensor
    into_mask: Tensor

    def __init__(self, layers: Sequence[Layer], posterior: str, shared: bool, source: Generator) -> None:
        super().__init__()
        self.units, self.latent = [one.d for one in layers], [one.z for one in layers]
        self.d, self.z = sum(self.units), sum(self.latent)
        self.free, self.own = posterior == "free", posterior == "hidden" and not shared
        taus = torch.tensor([tau for one in layers for tau in one.taus], dtype=torch.float64)
        self.register_buffer("rates", 1 / taus)
        of_unit, of_latent = (
            torch.arange(len(layers)).repeat_interleave(torch.tensor(sizes))
            for sizes in (self.units, self.latent)
        )
        heads = of_latent.repeat(4 if self.own else 2)
        near = (of_unit[:, None] - of_unit).abs() <= 1
        self.register_buffer("mix_mask", torch.cat([near, heads[:, None] == of_unit]).double())
        self.register_buffer("into_mask", (of_unit[:, None] == of_latent).double())
        self.mix = nn.Parameter(_drawn(self.mix_mask, source))
        self.bias = nn.Parameter(torch.zeros(len(self.mix_mask), dtype=torch.float64))
        self.into = nn.Parameter(_drawn(self.into_mask, source))

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """``mix`` and ``into`` with zeros between layers that do not see each other, and the bias."""
        return self.mix * self.mix_mask, self.bias, self.into * self.into_mask

    @property
    def first_of_posterior(self) -> int:
        """Place of the means of the posterior in ``u``."""
        return self.d + 2 * self.z if self.own else self.d

    def inferred(self, start: Tensor, a: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """States ``h (T, B, D)`` and ``u (T, B, K)`` of the posterior.

        Args:
            start: h before the first step, ``(B, D)``.
            a: Adaptive vectors: of means, then of log deviations, ``(T, B, 2 Z)``.
            eps: ``(T, B, Z)``.
        """
        mix, bias, into = self.weights
        place = self.first_of_posterior
        found: tuple[Tensor, Tensor] = _Unrolled.apply(  # type: ignore[no-untyped-call]
            start, a, eps, mix, bias, into, self.rates, place, self.free
        )
        return found

    def latents(self, u: Tensor, a: Tensor, *, begins: bool) -> "Latents":
        """Prior and posterior of every step.

        Args:
            u: As :meth:`inferred` gives it.
            a: The adaptive vectors.
            begins: Whether the first step is that of a series, whose prior is N(0, I).
        """
        z = self.z
        prior = u[..., self.d : self.d + 2 * z]
        own = a if self.free else u[..., self.first_of_posterior :][..., : 2 * z] + a
        mean, log_std = prior[..., :z].tanh(), prior[..., z:].clamp(LOW, HIGH)
        if begins:
            nothing = torch.zeros_like(mean[:1])
            mean, log_std = torch.cat([nothing, mean[1:]]), torch.cat([nothing, log_std[1:]])
        return Latents(mean, log_std, own[..., :z].tanh(), own[..., z:].clamp(LOW, HIGH))

    @torch.no_grad()
    def generated(self, start: Tensor, eps: Tensor, *, begins: bool) -> tuple[Tensor, Tensor]:
        """States ``h (T, B, D)`` of the prior, and its log deviations ``(T, B, Z)``.

        Args:
            start: h before the first step.
            eps: ``(T, B, Z)``.
            begins: As for :meth:`latents`.
        """
        (mix, bias, into), d, z = self.weights, self.d, self.z
        mix, bias = mix[: d + 2 * z], bias[: d + 2 * z]
        h, states, spreads = start, [], []
        for t, noise in enumerate(eps.unbind(0)):
            u = torch.addmm(bias, h.tanh(), mix.T)
            mean, log_std = u[:, d : d + z].tanh(), u[:, d + z :].clamp(LOW, HIGH)
            if begins and t == 0:
                mean, log_std = torch.zeros_like(mean), torch.zeros_like(log_std)
            drawn = mean + log_std.exp() * noise
            h = torch.lerp(h, torch.addmm(u[:, :d], drawn, into.T), self.rates)
            states.append(h)
            spreads.append(log_std)
        return torch.stack(states), torch.stack(spreads)

    @torch.no_grad()
    def noise_free(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """The next state ``(B, D)`` without noise, and its Jacobian ``(B, D, D)``."""
        (mix, bias, into), d, z = self.weights, self.d, self.z
        active = h.tanh()
        u = torch.addmm(bias, active, mix.T)
        mean = u[:, d : d + z].tanh()
        after = torch.lerp(h, torch.addmm(u[:, :d], mean, into.T), self.rates)
        through = into * (1 - mean.square())[:, None] @ mix[d : d + z]
        slope = (mix[:d] + through) * (1 - active.square())[:, None]
        return after, torch.diag(1 - self.rates) + self.rates[:, None] * slope


@dataclass(frozen=True)
class Latents:
    """Gaussians of all steps, ``(T, B, Z)`` each.

    Attributes:
        prior_mean: Mean given the state before.
        prior_log_std: Its log deviation.
        mean: Mean of the posterior.
        log_std: Its log deviation.
    """

    prior_mean: Tensor
    prior_log_std: Tensor
    mean: Tensor
    log_std: Tensor

    def divergence(self) -> Tensor:
        """``KL(posterior || prior)`` of every latent unit, in nats, ``(T, B, Z)``."""
        gap = (self.mean - self.prior_mean).square() + (2 * self.log_std).exp()
        return self.prior_log_std - self.log_std + gap / (2 * (2 * self.prior_log_std).exp()) - 0.5


class _Unrolled(torch.autograd.Function):
    """All steps of the posterior, and their derivative: a loop of two products a step in place of a graph."""

    @staticmethod
    def forward(
        ctx: Any,
        start: Tensor,
        a: Tensor,
        eps: Tensor,
        mix: Tensor,
        bias: Tensor,
        into: Tensor,
        rates: Tensor,
        place: int,
        free: bool,
    ) -> tuple[Tensor, Tensor]:
        """``h`` and ``u``."""
        d, z = len(rates), eps.shape[2]
        mix_t, into_t = mix.T.contiguous(), into.T.contiguous()
        h, states, currents, latents = start, [], [], []
        for own, noise in zip(a.unbind(0), eps.unbind(0), strict=True):
            u = torch.addmm(bias, h.tanh(), mix_t)
            q = own if free else u[:, place : place + 2 * z] + own
            drawn = torch.addcmul(q[:, :z].tanh(), q[:, z:].clamp(LOW, HIGH).exp(), noise)
            h = torch.lerp(h, torch.addmm(u[:, :d], drawn, into_t), rates)
            states.append(h)
            currents.append(u)
            latents.append(drawn)
        h_all, u_all = torch.stack(states), torch.stack(currents)
        ctx.save_for_backward(start, a, eps, mix, into, rates, h_all, u_all, torch.stack(latents))
        ctx.place, ctx.free = place, free
        return h_all, u_all

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_h: Tensor, of_u: Tensor) -> tuple[Any, ...]:
        """Back through time."""
        start, a, eps, mix, into, rates, h, u, drawn = ctx.saved_tensors
        d, z = len(rates), eps.shape[2]
        span = slice(ctx.place, ctx.place + 2 * z)
        q = a if ctx.free else u[..., span] + a
        std = q[..., z:].clamp(LOW, HIGH).exp()
        inside = ((q[..., z:] >= LOW) & (q[..., z:] <= HIGH)).to(std)
        # Slopes of z in the mean and log deviation of the posterior, and of d in h.
        of_latent = torch.cat([1 - q[..., :z].tanh().square(), std * eps * inside], -1)
        before = torch.cat([start[None], h[:-1]]).tanh()
        active = 1 - before.square()
        carried = torch.zeros_like(start)
        all_u, all_a, all_in = torch.empty_like(u), torch.empty_like(a), torch.empty_like(h)
        for t in range(len(h) - 1, -1, -1):
            total = of_h[t] + carried
            current = total * rates
            z_slope = current @ into
            own = torch.cat([z_slope, z_slope], 1) * of_latent[t]
            both = all_u[t]
            both.copy_(of_u[t])
            both[:, :d] += current
            if not ctx.free:
                both[:, span] += own
            all_a[t], all_in[t] = own, current
            carried = torch.addcmul(total - current, both @ mix, active[t])
        flat_u = all_u.flatten(0, 1)
        of_mix = flat_u.T @ before.flatten(0, 1)
        of_into = all_in.flatten(0, 1).T @ drawn.flatten(0, 1)
        return carried, all_a, None, of_mix, flat_u.sum(0), of_into, None, None, None


def _drawn(mask: Tensor, source: Generator) -> Tensor:
    """Uniform within one over the root of how many units a row sees."""
    reach = mask.sum(1, keepdim=True).rsqrt()
    return (2 * torch.rand(mask.shape, dtype=mask.dtype, generator=source) - 1) * reach * mask
