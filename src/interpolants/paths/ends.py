"""Ends of a path: exact end points, or mixtures close to them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ends:
    """Shares of the end points in the state at both ends: ``x_0 = x0_at_0 x0 + x1_at_0 x1``, and ``x_1`` likewise.

    A bridge has ``(1, 0, 0, 1)``. A diffusion stopped at a finite time has not forgotten its data, and one that adds
    noise from the start never shows them clean: it declares the shares that it leaves.

    Attributes:
        x0_at_0: Share of x0 at t = 0.
        x1_at_0: Share of x1 at t = 0; sampling that starts from the distribution of x0 leaves it out.
        x0_at_1: Share of x0 at t = 1: noise on the data that a last denoising step takes away.
        x1_at_1: Share of x1 at t = 1.
    """

    x0_at_0: float = 1.0
    x1_at_0: float = 0.0
    x0_at_1: float = 0.0
    x1_at_1: float = 1.0

    @property
    def start_is_exact(self) -> bool:
        """Whether the state at t = 0 is x0."""
        return (self.x0_at_0, self.x1_at_0) == (1.0, 0.0)

    @property
    def end_is_exact(self) -> bool:
        """Whether the state at t = 1 is x1."""
        return (self.x0_at_1, self.x1_at_1) == (0.0, 1.0)


EXACT = Ends()
