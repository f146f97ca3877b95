"""Dilated convolutions with gates, for sequences."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from interpolants.apps.timeseries.nets.sequence import SequenceNet
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid

PADDINGS: tuple[Literal["zeros", "circular"], ...] = ("zeros", "circular")


class GatedConvolution(SequenceNet):
    """Dilated convolutions of three taps with gates: block k reaches ``2^(k mod cycle)`` positions to either side.

    Args:
        shape: (C, L) of the state.
        width: W.
        blocks: Number of blocks; seven see 127 positions to either side.
        cycle: Blocks after which the dilation begins at 1 again.
        padding: What lies beyond the ends: ``"zeros"``, or ``"circular"`` for periodic sequences.
        heads: K outputs of shape (C, L) on one trunk.
        time_features: Number of Fourier features of t, even and >= 2.
        n_classes: Number of labels of the condition, if there are any.
        cond_dim: Length of the condition's vector, if there is one.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting outside its range, or a dilation longer than a periodic sequence.

    Source: van den Oord et al. (2016), arXiv:1609.03499; as a denoiser, without causality, Kong et al. (2021),
    arXiv:2009.09761.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int = 32,
        blocks: int = 7,
        cycle: int = 7,
        padding: Literal["zeros", "circular"] = "zeros",
        heads: int = 1,
        time_features: int = 32,
        n_classes: int | None = None,
        cond_dim: int | None = None,
        seed: int = 0,
    ) -> None:
        self._cycle = whole("GatedConvolution", "cycle", cycle, at_least=1)
        self._padding: Literal["zeros", "circular"] = one_of("GatedConvolution", "padding", padding, PADDINGS)
        reach = 2 ** (min(cycle, blocks) - 1)
        if padding == "circular" and len(shape) == 2 and shape[1] < reach:
            rule = f"a periodic sequence must be at least as long as the largest dilation, {reach}"
            raise invalid("GatedConvolution", rule, shape[1], "Use fewer blocks, or a smaller cycle.")
        super().__init__(
            shape,
            width=width,
            blocks=blocks,
            heads=heads,
            time_features=time_features,
            n_classes=n_classes,
            cond_dim=cond_dim,
            seed=seed,
            name="gated_convolution",
            cycle=cycle,
            padding=padding,
        )

    def mixing(self, width: int, number: int) -> nn.Module:
        """A convolution of three taps."""
        step = 2 ** (number % self._cycle)
        return nn.Conv1d(width, 2 * width, 3, padding=step, dilation=step, padding_mode=self._padding)
