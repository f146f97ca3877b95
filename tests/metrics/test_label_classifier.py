"""The classifier of labels on classes that are far apart."""

import pytest
import torch

from interpolants.metrics.label_classifier import LabelClassifier, share


def test_a_classifier_separates_what_can_be_separated():
    g = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(50, 2, generator=g), torch.randn(50, 2, generator=g) + 10])
    labels = torch.arange(100) // 50
    judge = LabelClassifier(x, labels)
    assert judge.accuracy(x, labels).value == 1.0
    assert judge.accuracy(x, 1 - labels).value == 0.0
    assert judge.hits(x, (1,)).value == 0.5
    assert share(torch.tensor([True] * 9 + [False]), "s").error == pytest.approx(
        (10 / 12 * 2 / 12 / 10) ** 0.5
    )
