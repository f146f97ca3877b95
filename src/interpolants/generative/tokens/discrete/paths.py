"""Paths over tokens: each token shows the base first, and the data from a random time on.

``x_t,l = b_l x1_l + (1 - b_l) x0_l`` with ``P(b_l = 1) = kappa(t)``, independent over the positions l. The base x0 is
the mask, or uniform tokens. Letters: V clean tokens 0 ... V-1, S states (V, or V + 1 with the mask as number V),
``mu (B, L, V)`` the distribution of the clean token at each position given the whole of x_t, ``kappa`` the schedule's
``keep``.

A path of this form has a simple generator: at the rate ``kappa' / (1 - kappa)`` a token is drawn afresh from mu. Run
backwards, a token that shows data is drawn afresh from the base at the rate ``kappa' / kappa``. For any eta >= 0,
``(1 + eta)`` times the first together with ``eta`` times the second has the same marginals: forgetting as a corrector.

Source: Gat et al. (2024), arXiv:2407.15595; Campbell et al. (2024), arXiv:2402.04997; for masks Zheng et al. (2024),
arXiv:2409.02908.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Remedy
from interpolants.generative.tokens.discrete.schedules import KeepSchedule, LinearKeep

Time = Tensor | float


@dataclass(frozen=True)
class TokenSample:
    """A draw of the interpolant.

    Attributes:
        x_t: ``(B, L)`` tokens.
        t: ``(B,)`` times.
        shows_data: ``(B, L)``, where ``x_t`` is ``x1`` because it has been revealed.
    """

    x_t: Tensor
    t: Tensor
    shows_data: Tensor


class DiscretePath(ABC):
    """A bridge from a base to data, token by token.

    Attributes:
        vocabulary: V, number of clean tokens.
        schedule: kappa.
        mask: Number of the mask token; None where there is none.
        uses_time: Whether mu depends on the time beside the tokens.
    """

    vocabulary: int
    schedule: KeepSchedule
    mask: int | None
    uses_time: bool

    @property
    @abstractmethod
    def base(self) -> Tensor:
        """Distribution of a token at t = 0, ``(S,)`` float64."""

    @abstractmethod
    def start(self, uniform: Tensor) -> Tensor:
        """Tokens at t = 0 from uniforms in [0, 1), elementwise."""

    @abstractmethod
    def evidence(self, x: Tensor, t: Time) -> Tensor:
        """Chance of each token of ``x (B, L)`` given what the clean one is, up to a factor: ``(B, L, V)`` float64."""

    @abstractmethod
    def shows_data(self, x: Tensor, mu: Tensor, t: Time) -> Tensor:
        """Probability that a token has been revealed, given all of ``x``: ``(B, L)``."""

    @abstractmethod
    def undecided(self, x: Tensor) -> Tensor:
        """Positions whose clean token is not determined by ``x`` alone, ``(B, L)``."""

    @property
    def states(self) -> int:
        """S."""
        return self.vocabulary + (self.mask is not None)

    def sample(self, *, x1: Tensor, t: Time, generator: Generator | None = None) -> TokenSample:
        """Draw x_t for clean tokens and times.

        Args:
            x1: ``(B, L)`` int64, tokens 0 ... V-1.
            t: Number, 0-d or ``(B,)``, in [0, 1].
            generator: Source of the moments and of the base, on the device of ``x1``.

        Raises:
            InvalidInputError: If tokens or times are out of range.
        """
        self.check_tokens(x1, "x1")
        time = self._times(t, x1)
        hidden = self.schedule.hidden(time)[:, None]
        draw = torch.rand(2, *x1.shape, dtype=torch.float64, device=x1.device, generator=generator)
        shows = draw[0] >= hidden
        return TokenSample(torch.where(shows, x1, self.start(draw[1])), time, shows)

    def rates(self, x: Tensor, mu: Tensor, t: Time, *, corrector: float = 0.0) -> Tensor:
        """Generator of each token given all: ``(B, L, S)``, rates of jumping to each state; rows sum to zero.

        Args:
            x: Tokens, ``(B, L)``.
            mu: Distribution of the clean tokens, ``(B, L, V)``.
            t: Number, 0-d or ``(B,)``, in (0, 1).
            corrector: eta >= 0; every value has the same marginals.
        """
        time = self._times(t, x)[:, None]
        rate, hidden, keep = (
            f(time) for f in (self.schedule.keep_dot, self.schedule.hidden, self.schedule.keep)
        )
        here = self.one_hot(x)
        # As in a step: where nothing is hidden any more, nothing is left to draw, and where nothing shows, to forget.
        draws = (1 + corrector) * torch.where(hidden > 0, rate / hidden, 0.0)
        fresh = draws[..., None] * (self.widen(mu) - here)
        if corrector == 0:
            return fresh
        forgets = corrector * torch.where(keep > 0, rate / keep, 0.0) * self.shows_data(x, mu, t)
        return fresh + forgets[..., None] * (self.base.to(x.device) - here)

    def step(
        self, x: Tensor, mu: Tensor, start: float, stop: float, *, corrector: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Chances of a token to be drawn afresh from mu, and from the base, while t goes from ``start`` to ``stop``.

        The rates are integrated exactly with mu held; whichever event comes first is the only one. Without corrector
        the first is ``(kappa_stop - kappa_start) / (1 - kappa_start)``: on a masked path, ancestral sampling.

        Returns:
            Two tensors that broadcast with ``(B, L)``.
        """
        s, u = (torch.tensor(time, dtype=torch.float64, device=x.device) for time in (start, stop))
        hidden, keep = self.schedule.hidden(s), self.schedule.keep(s)
        # A schedule may rest at its ends: where nothing is hidden any more, nothing is left to draw.
        fresh = -(1 + corrector) * torch.log(torch.where(hidden > 0, self.schedule.hidden(u) / hidden, 1.0))
        if corrector == 0:
            return -torch.expm1(-fresh), torch.zeros_like(fresh)
        shows = self.shows_data(x, mu, start)
        # While nothing shows data, as at t = 0, forgetting has nothing to do.
        growth = torch.log(torch.where(keep > 0, self.schedule.keep(u) / keep, 1.0))
        forgets = corrector * growth * shows
        happens = -torch.expm1(-(fresh + forgets))
        share = torch.where(fresh.isinf(), 1.0, fresh / (fresh + forgets).clamp(min=1e-300))
        return happens * share, happens * (1 - share)

    def transition(
        self,
        x: Tensor,
        mu: Tensor,
        start: float,
        stop: float,
        *,
        corrector: float = 0.0,
        drawn: Tensor | None = None,
    ) -> Tensor:
        """Distribution of each token after a :meth:`step`, ``(B, L, S)``: stay, a draw from mu, or one from the base.

        ``drawn`` is what to draw from instead of mu, such as mu at another temperature.
        """
        fresh, forgets = (
            chance.expand(x.shape)[..., None] for chance in self.step(x, mu, start, stop, corrector=corrector)
        )
        base = self.base.to(x.device)
        return (
            (1 - fresh - forgets) * self.one_hot(x)
            + fresh * self.widen(mu if drawn is None else drawn)
            + forgets * base
        )

    def one_hot(self, x: Tensor) -> Tensor:
        """Tokens as distributions, ``(B, L)`` -> ``(B, L, S)`` float64."""
        return torch.nn.functional.one_hot(x, self.states).double()

    def widen(self, mu: Tensor) -> Tensor:
        """A distribution of clean tokens as one of states: ``(..., V)`` -> ``(..., S)`` float64."""
        return torch.nn.functional.pad(mu.double(), (0, self.states - mu.shape[-1]))

    def check_tokens(self, x: Tensor, name: str, *, states: int | None = None) -> None:
        """Refuse what are not ``(B, L)`` tokens; values are read on the CPU only."""
        who, limit = type(self).__name__, self.vocabulary if states is None else states
        if not isinstance(x, Tensor) or x.dtype != torch.int64 or x.ndim != 2 or 0 in x.shape:
            got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise invalid(who, f"{name} must be int64 tokens (B, L)", got, "Convert with .long().")
        low, high = (int(x.min()), int(x.max())) if x.is_cpu else (0, 0)
        if low < 0 or high >= limit:
            found = low if low < 0 else high
            raise invalid(who, f"{name} must be tokens 0 ... {limit - 1}", found)

    def _times(self, t: Time, x: Tensor) -> Tensor:
        time = torch.as_tensor(t, dtype=torch.float64, device=x.device)
        if time.ndim > 1 or (time.ndim == 1 and time.shape[0] != x.shape[0]):
            raise invalid(
                type(self).__name__, f"t must be a number or have shape ({x.shape[0]},)", tuple(time.shape)
            )
        if time.is_cpu and not bool(((time >= 0) & (time <= 1)).all()):
            raise invalid(type(self).__name__, "t must lie in [0, 1]", time.flatten().tolist()[:4])
        return time.expand(x.shape[0])


@dataclass(frozen=True)
class Masked(Checked, DiscretePath):
    """Tokens start as masks, number V, and are revealed once: masked (absorbing) diffusion.

    mu does not depend on the time: which tokens are masked says all. So networks need no time, training none, and
    sampling may go from one unmasking to the next (`FirstHitting`).

    Raises:
        InvalidInputError: If there are fewer than two tokens.

    Source: Zheng, Chen, Mao, Liu, Zhu & Zhang (2024), arXiv:2409.02908, section 3.
    """

    vocabulary: Annotated[int, Ge(2), Remedy("The mask token is not counted.")]
    """Number V of clean tokens; the mask is not among them."""
    schedule: KeepSchedule = field(default_factory=LinearKeep)
    """When tokens are revealed, kappa."""
    uses_time = False

    @property
    def mask(self) -> int:  # type: ignore[override]
        """Number of the mask token, V."""
        return self.vocabulary

    @property
    def base(self) -> Tensor:
        """The mask for certain."""
        return torch.nn.functional.one_hot(torch.tensor(self.mask), self.states).double()

    def start(self, uniform: Tensor) -> Tensor:
        """Masks."""
        return torch.full_like(uniform, self.mask, dtype=torch.int64)

    def evidence(self, x: Tensor, t: Time) -> Tensor:
        """One at the token that is seen; ones where there is a mask."""
        seen = self.one_hot(x)
        return seen[..., : self.vocabulary] + seen[..., self.vocabulary :]

    def shows_data(self, x: Tensor, mu: Tensor, t: Time) -> Tensor:
        """1 where there is no mask."""
        return (x != self.mask).double()

    def undecided(self, x: Tensor) -> Tensor:
        """Positions that are masked."""
        return x == self.mask


@dataclass(frozen=True)
class UniformBase(Checked, DiscretePath):
    """Tokens start uniform over the vocabulary and may be corrected as long as t < 1; there is no mask.

    mu depends on the time: early on, even a visible token is probably noise.

    Raises:
        InvalidInputError: If there are fewer than two tokens.

    Source: Gat et al. (2024), arXiv:2407.15595, section 3; Campbell et al. (2024), arXiv:2402.04997.
    """

    vocabulary: Annotated[int, Ge(2), Remedy("The mask token is not counted.")]
    """Number V of tokens."""
    schedule: KeepSchedule = field(default_factory=LinearKeep)
    """When tokens are revealed, kappa."""
    mask = None
    uses_time = True

    @property
    def base(self) -> Tensor:
        """1 / V each."""
        return torch.full((self.vocabulary,), 1 / self.vocabulary, dtype=torch.float64)

    def start(self, uniform: Tensor) -> Tensor:
        """``floor(V u)``."""
        return (uniform * self.vocabulary).long()  # u < 1 never rounds up to V

    def evidence(self, x: Tensor, t: Time) -> Tensor:
        """``kappa`` at the token that is seen, and ``(1 - kappa) / V`` everywhere."""
        time = self._times(t, x)[:, None, None]
        return self.schedule.keep(time) * self.one_hot(x) + self.schedule.hidden(time) / self.vocabulary

    def shows_data(self, x: Tensor, mu: Tensor, t: Time) -> Tensor:
        """``mu(x) kappa / (kappa + (1 - kappa) / V)``: the clean token is this one, and not by chance."""
        time = self._times(t, x)[:, None]
        keep, noise = self.schedule.keep(time), self.schedule.hidden(time) / self.vocabulary
        return mu.double().gather(-1, x[..., None]).squeeze(-1) * keep / (keep + noise)

    def undecided(self, x: Tensor) -> Tensor:
        """Everywhere."""
        return torch.ones_like(x, dtype=torch.bool)
