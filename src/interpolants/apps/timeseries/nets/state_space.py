"""Diagonal state-space layers (S4D) for sequences: long convolutions whose kernels are sums of decaying waves.

Letters: W width, L positions, N states per channel, of which conjugate pairs are kept as one; dt the step of a channel;
``A_n = -a_n + i w_n``; ``K_l = 2 Re sum_n C_n (exp(dt A_n) - 1)/A_n exp(dt A_n l)``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interpolants.apps.timeseries.nets.sequence import SequenceNet
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.nets.net import OwnWeights

# Decay of every state at the start; the waves are the multiples of pi.
_DECAY = 0.5


def long_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """``y_l = sum_(j <= l) kernel_j x_(l - j)`` by the fast Fourier transform: ``x (B, W, L)``, ``kernel (W, L)``."""
    length = x.shape[-1]
    # Twice the length, so that the end does not come round to the beginning.
    spectrum = torch.fft.rfft(x, n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
    found: Tensor = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
    return found


class DiagonalStateSpace(OwnWeights):
    """One direction of a state-space layer, ``(B, W, L)`` -> ``(B, W, L)``, each channel by itself.

    Args:
        width: W.
        states: N, even.
        shortest: Smallest initial dt, in positions: memory of ``2 / dt`` positions.
        longest: Largest initial dt.
    """

    def __init__(self, width: int, states: int, shortest: float, longest: float) -> None:
        super().__init__()
        self.range = (math.log(shortest), math.log(longest))
        pairs = states // 2
        self.log_step = nn.Parameter(torch.empty(width))
        self.log_decay = nn.Parameter(torch.empty(width, pairs))
        self.wave = nn.Parameter(torch.empty(width, pairs))
        self.out = nn.Parameter(torch.empty(width, pairs, 2))
        self.direct = nn.Parameter(torch.empty(width))

    def draw_weights(self, generator: torch.Generator) -> None:
        """Steps log-uniform, waves at multiples of pi, outputs normal."""
        low, high = self.range
        self.log_step.copy_(low + (high - low) * torch.rand(len(self.log_step), generator=generator))
        self.log_decay.fill_(math.log(_DECAY))
        self.wave.copy_(math.pi * torch.arange(self.wave.shape[1]).expand(self.wave.shape))
        self.out.copy_(torch.randn(self.out.shape, generator=generator) * 0.5**0.5)
        self.direct.copy_(torch.randn(len(self.direct), generator=generator))

    def kernel(self, length: int) -> Tensor:
        """K, ``(W, L)``."""
        rate = torch.complex(-self.log_decay.exp(), self.wave)
        step = self.log_step.exp()[:, None] * rate
        weight = torch.view_as_complex(self.out) * torch.expm1(step) / rate
        place = torch.arange(length, device=step.device, dtype=self.wave.dtype)
        return 2 * torch.einsum("wn,wnl->wl", weight, torch.exp(step[..., None] * place)).real

    def forward(self, x: Tensor) -> Tensor:
        """The convolution with K, and the input itself."""
        return long_convolution(x, self.kernel(x.shape[-1])) + self.direct[:, None] * x


class BothWays(nn.Module):
    """State-space layers from the left and from the right, and a linear map of both, ``(B, W, L)`` -> ``(B, 2 W, L)``.

    Args:
        width: W.
        states: N, even.
        shortest: As in :class:`DiagonalStateSpace`.
        longest: As in :class:`DiagonalStateSpace`.
    """

    def __init__(self, width: int, states: int, shortest: float, longest: float) -> None:
        super().__init__()
        self.ahead = DiagonalStateSpace(width, states, shortest, longest)
        self.back = DiagonalStateSpace(width, states, shortest, longest)
        self.join = nn.Conv1d(2 * width, 2 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Both directions."""
        both = torch.cat([self.ahead(x), self.back(x.flip(-1)).flip(-1)], 1)
        joined: Tensor = self.join(nn.functional.gelu(both))
        return joined


class StateSpaceNet(SequenceNet):
    """Bidirectional diagonal state-space layers (S4D) with gates: every block sees the whole sequence.

    Args:
        shape: (C, L) of the state.
        width: W.
        blocks: Number of blocks.
        states: N per channel and direction, even.
        shortest: Smallest initial step of a channel, in positions^-1; its memory is about ``2 / step`` positions.
        longest: Largest initial step.
        heads: K outputs of shape (C, L) on one trunk.
        time_features: Number of Fourier features of t, even and >= 2.
        n_classes: Number of labels of the condition, if there are any.
        cond_dim: Length of the condition's vector, if there is one.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Gu, Gupta, Goel & Re (2022), arXiv:2206.11893 (S4D-Lin, zero-order hold).
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 64,
        blocks: int = 3,
        states: int = 64,
        shortest: float = 1e-3,
        longest: float = 1e-1,
        heads: int = 1,
        time_features: int = 32,
        n_classes: int | None = None,
        cond_dim: int | None = None,
        seed: int = 0,
    ) -> None:
        if whole("StateSpaceNet", "states", states, at_least=2) % 2:
            raise invalid("StateSpaceNet", "states must be even, as they come in pairs", states)
        number("StateSpaceNet", "shortest", shortest, above=0)
        number("StateSpaceNet", "longest", longest, at_least=shortest)
        self._own = (states, shortest, longest)
        super().__init__(
            shape,
            width=width,
            blocks=blocks,
            heads=heads,
            time_features=time_features,
            n_classes=n_classes,
            cond_dim=cond_dim,
            seed=seed,
            name="state_space",
            states=states,
            shortest=shortest,
            longest=longest,
        )

    def mixing(self, width: int, number: int) -> nn.Module:
        """State-space layers in both directions."""
        return BothWays(width, *self._own)
