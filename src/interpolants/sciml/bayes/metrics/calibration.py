"""Calibration of predictions: are events that were given a probability as frequent as that?"""

from collections.abc import Sequence

import torch
from torch import Tensor

from interpolants.foundations.checks import finite, number, whole
from interpolants.foundations.errors import invalid

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def interval_calibration_error(pit: Tensor, levels: Sequence[float] = LEVELS) -> float:
    """Mean distance between the share of values inside central intervals and the probability of these.

    Args:
        pit: Predicted distribution functions at the values that came, ``(N,)`` in [0, 1]; uniform for a calibrated
            prediction.
        levels: Probabilities of the intervals, in (0, 1).

    Returns:
        The mean over levels of ``| share inside - level |``: 0 is perfect, and it is blind to sharpness.

    Raises:
        InvalidInputError: If values leave [0, 1].

    Source: Gneiting & Raftery (2007), section 6, for the intervals.
    """
    who, pit = "interval_calibration_error", torch.as_tensor(pit)
    finite(who, "pit", pit)
    if pit.ndim != 1 or not len(pit) or float(pit.min()) < 0 or float(pit.max()) > 1:
        raise invalid(who, "pit must be (N,) in [0, 1]", f"{tuple(pit.shape)}")
    for level in levels:
        number(who, "every level", level, above=0, below=1)
    apart = (2 * pit.double() - 1).abs()
    return sum(abs(float((apart <= level).double().mean()) - level) for level in levels) / len(levels)


def expected_calibration_error(probabilities: Tensor, labels: Tensor, *, bins: int = 10) -> float:
    """Distance between confidence and accuracy, over bins of confidence, weighted by their share of the cases.

    ``sum_b n_b / N | accuracy_b - mean confidence_b |``. A finite sample has a positive error even where predictions
    are calibrated: compare methods on the same cases.

    Args:
        probabilities: Of each class, ``(N, K)``, with sum 1.
        labels: The classes that came, ``(N,)`` int64.
        bins: Equal bins of the highest probability in (0, 1].

    Raises:
        InvalidInputError: If shapes do not fit, or rows are no probabilities.

    Source: Guo, Pleiss, Sun & Weinberger (2017), arXiv:1706.04599.
    """
    whole("expected_calibration_error", "bins", bins, at_least=1)
    labels = torch.as_tensor(labels)
    p = class_probabilities("expected_calibration_error", torch.as_tensor(probabilities), labels)
    confidence, guess = p.max(1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.float64)
    gap.index_add_(0, place, (guess == labels).double() - confidence)
    return float(gap.abs().sum()) / len(p)


def class_probabilities(who: str, probabilities: Tensor, labels: Tensor) -> Tensor:
    """Probabilities of classes ``(N, K)`` as float64, checked together with the labels ``(N,)``.

    Raises:
        InvalidInputError: If shapes do not fit, rows are no probabilities, or a label is no class.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        shapes = f"{tuple(probabilities.shape)} and {tuple(labels.shape)}"
        raise invalid(who, "probabilities must be (N, K), labels (N,)", shapes)
    p = finite(who, "probabilities", probabilities).double()
    worst = float((p.sum(1) - 1).abs().max())
    if worst > 1e-4 or float(p.min()) < -1e-6:
        raise invalid(who, "probabilities must be >= 0 with sum 1", f"off by {worst:.2g}", "Apply a softmax.")
    if int(labels.min()) < 0 or int(labels.max()) >= p.shape[1]:
        raise invalid(who, f"labels must be classes 0 ... {p.shape[1] - 1}", f"{int(labels.max())}")
    return p
