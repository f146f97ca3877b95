"""Reference classifier of labels: a support vector machine trained on real data only."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.extras import require
from interpolants.metrics.estimate import Estimate

# Training time grows with the square of the rows.
_MOST_ROWS = 5000


class LabelClassifier:
    """Predicts labels of flattened samples.

    Args:
        x: Real training samples ``(N, *D)``.
        labels: Their labels ``(N,)``, of at least two classes.

    Raises:
        MissingExtraError: If scikit-learn is not installed.
    """

    def __init__(self, x: Tensor, labels: Tensor) -> None:
        svm = require("sklearn.svm", by="LabelClassifier")
        preprocessing = require("sklearn.preprocessing", by="LabelClassifier")
        kept = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:_MOST_ROWS]
        self._scaler: Any = preprocessing.StandardScaler()
        self._model: Any = svm.SVC(C=10.0, gamma="scale")
        self._model.fit(self._scaler.fit_transform(_flat(x[kept])), labels[kept].numpy())

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


def _flat(x: Tensor) -> Any:
    return x.reshape(len(x), -1).double().numpy()
