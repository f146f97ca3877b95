"""Classification loss for noisy states: trains the classifier of classifier guidance."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor
from torch.nn import functional

from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition, Field
from interpolants.objectives.losses import Objective
from interpolants.paths.path import PathSample


@dataclass(frozen=True)
class LabelLoss(Objective):
    """Cross-entropy of a label given ``x_t``; its minimiser is ``log p_t(label | x)`` at every time.

    The labels are handed over as the condition. The field is called without it, as ``f(x, t) -> (B, K)`` logits.

    Source: Song et al. (2021), arXiv:2011.13456, appendix I.
    """

    predicts: ClassVar[str] = "label"

    def target(self, sample: PathSample) -> Tensor:
        """There is none in the state's shape."""
        raise invalid("LabelLoss", "the target is the label, not a state", "a request for one")

    def __call__(
        self,
        field: Field,
        *,
        x0: Tensor | None = None,
        x1: Tensor,
        t: Tensor,
        z: Tensor | None = None,
        cond: Condition = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Per-sample losses ``(B,)`` in nats; arguments as in ``path.sample``, ``cond`` the labels ``(B,)``."""
        if not isinstance(cond, Tensor) or cond.is_floating_point() or cond.shape != x1.shape[:1]:
            what = f"{cond.dtype} {tuple(cond.shape)}" if isinstance(cond, Tensor) else type(cond).__name__
            raise invalid("LabelLoss", f"cond must be integer labels ({len(x1)},)", what)
        sample = self.path.sample(x0=x0, x1=x1, t=t, z=z, generator=generator)
        logits = field(sample.x_t, sample.t)
        if logits.ndim != 2 or len(logits) != len(x1):
            raise invalid("LabelLoss", f"the field must return logits ({len(x1)}, K)", tuple(logits.shape))
        return functional.cross_entropy(logits, cond.long(), reduction="none")
