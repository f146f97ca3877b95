"""Fields that keep known entries fixed."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.errors import NotIdentifiableError, invalid
from interpolants.foundations.types import Condition

_MOVING = ("velocity", "mean_rate")


class KeepKnown(WrappedFields):
    """The velocity times ``1 - m``, with the mask m of known entries taken from the condition.

    On a path without latent noise whose coefficients add up to one, the exact velocity of in-painting is zero where the
    state is known. A learnt one is small there; this makes it zero, so that known entries come out as they went in.

    Args:
        fields: Fields of an in-painting bridge, guided or not, on a path without latent noise.

    Raises:
        InvalidInputError: If the path has a latent term, which moves known entries on the way.

    Source: Albergo et al. (2023), arXiv:2310.03725, section 4.1.
    """

    def __init__(self, fields: Fields) -> None:
        if fields.path is None or not fields.path.envelope.is_zero or fields.path.is_one_sided:
            name = type(fields.path).__name__
            remedy = "Learn the bridge with Linear(envelope=ZeroEnvelope())."
            raise invalid("KeepKnown", "the path must be two-sided and without latent noise", name, remedy)
        super().__init__(fields)

    @property
    def known(self) -> tuple[str, ...]:
        """The velocity."""
        return ("velocity",)

    def provides(self, quantity: str) -> bool:
        """The velocity, which without latent noise is the mean rate."""
        return quantity in _MOVING and super().provides(quantity)

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities; zero where the mask is one.

        Raises:
            InvalidInputError: If the condition has no mask of the states.
            NotIdentifiableError: If something else than the velocity is wanted.
        """
        for name in want:
            if name not in _MOVING:
                raise NotIdentifiableError(f"KeepKnown: it gives the velocity, not {name}. Use eps=0.")
        hidden = 1 - _mask(cond, x).to(x.dtype).nan_to_num(0.0)
        return {name: value * hidden for name, value in self.inner.evaluate(x, t, want, cond).items()}


def _mask(cond: Condition, x: Tensor) -> Tensor:
    while isinstance(cond, Mapping):
        found = [cond[name] for name in ("guided", "field", "vector") if cond.get(name) is not None]
        cond = found[0] if found else None
    shape = tuple(x.shape) if x.ndim == 2 else (len(x), 1, *x.shape[2:])
    if not isinstance(cond, torch.Tensor) or tuple(cond.shape) not in (shape, tuple(x.shape)):
        remedy = "Sample with the field that the coupling InPainting gives: (N, 1, *spatial)."
        what = str(tuple(cond.shape)) if isinstance(cond, torch.Tensor) else type(cond).__name__
        raise invalid("KeepKnown", f"the condition must hold the mask, {shape}", what, remedy)
    return cond
