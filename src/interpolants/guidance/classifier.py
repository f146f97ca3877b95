"""Classifier guidance: the gradient of a noisy-state classifier steers an unconditional model to a class."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number
from interpolants.foundations.clock import ROUNDING
from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.row_times import by_row
from interpolants.foundations.types import Condition
from interpolants.guidance.shifted import ShiftedScore

Logits = Callable[[Tensor, Tensor], Tensor]


class Asked(NamedTuple):
    """The condition of classifier guidance.

    Attributes:
        labels: ``(B,)`` integers.
        cond: The inner fields' own condition, one row per sample.
    """

    labels: Tensor
    cond: Condition = None


def ask_for(labels: Tensor, cond: Condition = None) -> Asked:
    """The condition of classifier guidance: the label to steer to, and what the fields themselves are conditioned on.

    Args:
        labels: ``(B,)`` integers.
        cond: The inner fields' own condition, one row per sample.
    """
    return Asked(labels, cond)


class ClassifierGuided(ShiftedScore):
    """Fields given a class, ``s + w grad log p_t(label | x_t)``, from fields without and a classifier of ``x_t``.

    With ``w = 1``, the right score and the right classifier this is the score of the class exactly. ``w > 1`` sharpens,
    as in classifier-free guidance. The condition to sample with is the labels ``(B,)``, or ``ask_for(labels, cond)``
    where the inner fields have a condition of their own.

    Args:
        fields: Fields on a one-sided path with a Gaussian base.
        classifier: Logits ``f(x, t) -> (B, K)``, a network or a function, differentiable in x; one is trained by
            ``training.learn_labels``.
        strength: w, finite.
        interval: Times between which there is guidance, in [0, 1]; time 0 is the base.

    Raises:
        InvalidInputError: If the path does not fit, or a setting breaks its rule.

    Source: Song et al. (2021), arXiv:2011.13456, section 5 and appendix I; the factor w: Dhariwal & Nichol (2021),
    arXiv:2105.05233.
    """

    def __init__(
        self,
        fields: Fields,
        classifier: Logits,
        strength: float = 1.0,
        interval: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__(fields)
        given: Any = classifier
        if not callable(given):
            found = type(given).__name__
            raise invalid("ClassifierGuided", "classifier must be callable as f(x, t)", found)
        number("ClassifierGuided", "strength", strength)
        first, last = interval
        if not 0 <= first <= last <= 1:
            rule = "interval must satisfy 0 <= first <= last <= 1"
            raise invalid("ClassifierGuided", rule, tuple(interval))
        self.classifier, self.strength = classifier, float(strength)
        self.interval = (float(first), float(last))
        self._logits = by_row("ClassifierGuided", classifier)

    @property
    def networks(self) -> list[nn.Module]:
        """The networks behind the fields, and the classifier if it is one."""
        return [*super().networks, *([self.classifier] if isinstance(self.classifier, nn.Module) else [])]

    def inner_cond(self, cond: Condition) -> Condition:
        """The inner fields' own condition."""
        return cond.cond if isinstance(cond, Asked) else None

    def shift(self, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """``w grad log p_t(label | x)``; zero outside the interval.

        Raises:
            InvalidInputError: If the labels do not fit the samples or the classifier's classes.
        """
        labels = cond.labels if isinstance(cond, Asked) else cond
        _check_labels(labels, x)
        slope = gradient(lambda point: self._log_prob(point, t, labels), x)
        first, last = self.interval
        if (first, last) == (0.0, 1.0):
            return self.strength * slope
        # Times may be float32: a step that starts on an end of the interval counts as inside.
        inside = (t >= first - ROUNDING) & (t <= last + ROUNDING)
        return expand_like(self.strength * inside, x).to(x.dtype) * slope

    def _log_prob(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self._logits(x, t)
        if logits.ndim != 2 or len(logits) != len(x):
            rule = f"the classifier must return logits ({len(x)}, K)"
            raise invalid("ClassifierGuided", rule, tuple(logits.shape))
        if labels.is_cpu and not bool(((labels >= 0) & (labels < logits.shape[1])).all()):
            worst = int(labels[(labels < 0) | (labels >= logits.shape[1])][0])
            rule = f"labels must lie in 0 .. {logits.shape[1] - 1}, the classifier's classes"
            raise invalid("ClassifierGuided", rule, worst)
        return logits.log_softmax(1).gather(1, labels.long()[:, None])[:, 0]


def _check_labels(labels: Any, x: Tensor) -> None:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != (len(x),):
        what = (
            f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        )
        remedy = "Pass cond=labels, or cond=ask_for(labels, cond)."
        raise invalid("ClassifierGuided", f"the condition must hold integer labels ({len(x)},)", what, remedy)
