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

    def at(
        self, field: Field, sample: PathSample, cond: Condition, *, pairs: bool, generator: Generator | None
    ) -> Tensor:
        """Losses in nats; ``cond`` are the labels ``(B,)``."""
        rows = len(sample.x_t)
        if not isinstance(cond, Tensor) or cond.is_floating_point() or cond.shape != (rows,):
            what = f"{cond.dtype} {tuple(cond.shape)}" if isinstance(cond, Tensor) else type(cond).__name__
            raise invalid("LabelLoss", f"cond must be integer labels ({rows},)", what)
        logits = field(sample.x_t, sample.t)
        if logits.ndim != 2 or len(logits) != rows:
            raise invalid("LabelLoss", f"the field must return logits ({rows}, K)", tuple(logits.shape))
        return functional.cross_entropy(logits, cond.long(), reduction="none")
