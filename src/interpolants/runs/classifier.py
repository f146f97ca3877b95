"""Reference classifier of labels: a support vector machine trained on real data only."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.extras import require
from interpolants.metrics.estimate import Estimate
from interpolants.runs.sources import Rows

# Training time grows with the square of the rows.
_MOST_ROWS = 5000


class Classifier:
    """Predicts labels of flattened samples.

    Args:
        rows: Real training samples with labels of at least two classes.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """

    def __init__(self, rows: Rows) -> None:
        svm = require("sklearn.svm", by="The classifier of the report")
        preprocessing = require("sklearn.preprocessing", by="The classifier of the report")
        assert rows.labels is not None
        kept = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:_MOST_ROWS]
        self._scaler: Any = preprocessing.StandardScaler()
        self._model: Any = svm.SVC(C=10.0, gamma="scale")
        self._model.fit(self._scaler.fit_transform(_flat(rows.x[kept])), rows.labels[kept].numpy())

    def predict(self, x: Tensor) -> Tensor:
        """Labels ``(N,)`` of samples ``(N, *D)``."""
        return torch.from_numpy(self._model.predict(self._scaler.transform(_flat(x))).astype(np.int64))

    def accuracy(self, x: Tensor, labels: Tensor) -> Estimate:
        """Share of samples whose prediction is the label that was asked for, with its binomial error."""
        return share(self.predict(x) == labels, "classifier accuracy")

    def hits(self, x: Tensor, classes: tuple[int, ...]) -> Estimate:
        """Share of samples that are predicted to be of one of the classes."""
        return share(torch.isin(self.predict(x), torch.tensor(classes)), "share in the target class")


def share(good: Tensor, name: str) -> Estimate:
    """Mean of ``(N,)`` truth values; the error is that of (successes + 1) / (N + 2), so that 0 and 1 have one."""
    n, hits = len(good), int(good.sum())
    smooth = (hits + 1) / (n + 2)
    return Estimate(hits / n, math.sqrt(smooth * (1 - smooth) / n), n, name)


def can_judge(rows: Rows | None) -> bool:
    """Whether there are labels of at least two classes to learn from."""
    return rows is not None and rows.labels is not None and len(set(rows.labels.tolist())) > 1


def _flat(x: Tensor) -> Any:
    return x.reshape(len(x), -1).double().numpy()
