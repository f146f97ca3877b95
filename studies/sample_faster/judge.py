"""Images, and the classifier in whose features samples of them are judged; no sampler is trained on it."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.data import load
from interpolants.metrics import frechet_distance
from interpolants.metrics.features import PrincipalComponents

DIGITS, FASHION = "digits", "fashion"
_SETS = {DIGITS: "digits", FASHION: "fashion_mnist"}
_FEATURES, _BATCH = 16, 64


@dataclass(frozen=True, eq=False)
class Images:
    """A data set in units of mean 0 and standard deviation 1.

    Attributes:
        train: Rows that samplers and classifier learn from, ``(N, 1, H, W)``.
        labels: Their labels, ``(N,)``.
        test: Rows to compare samples with, ``(M, 1, H, W)``.
        test_labels: Their labels, ``(M,)``.
    """

    train: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor


@lru_cache(maxsize=2)
def images(name: str, rows: int) -> Images:
    """The first ``rows`` training images of a data set, and 2,000 test images at most."""
    train, test = load(_SETS[name], "train"), load(_SETS[name], "test")
    assert train.labels is not None
    assert test.labels is not None
    x = train.x[:rows].float()
    shift, scale = x.mean(), x.std()
    own, away = train.labels[:rows], test.labels[:2000]
    return Images((x - shift) / scale, own, (test.x[:2000].float() - shift) / scale, away)


class Judge(nn.Module):
    """Three convolutions and 16 features, from which the labels are read; ``(B, 1, H, W) -> (B, 16)``."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, _FEATURES),
        )  # fmt: skip
        self.labels = nn.Linear(_FEATURES, 10)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Features, of variance 1 on average over the training images."""
        found: Tensor = self.trunk(x) / self.scale
        return found

    def accuracy(self, x: Tensor, labels: Tensor) -> float:
        """Share of labels that are read rightly."""
        with torch.no_grad():
            return float((self.labels(functional.relu(self.trunk(x))).argmax(1) == labels).float().mean())


@lru_cache(maxsize=2)
def judge(name: str, rows: int, steps: int) -> Judge:
    """The classifier of a data set, always of one seed."""
    data = images(name, rows)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Judge()
    adam, source = torch.optim.Adam(net.parameters(), lr=2e-3), torch.Generator().manual_seed(0)
    for _ in range(steps):
        pick = torch.randint(len(data.train), (_BATCH,), generator=source)
        guessed = net.labels(functional.relu(net.trunk(data.train[pick])))
        adam.zero_grad()
        functional.cross_entropy(guessed, data.labels[pick]).backward()
        adam.step()
    net.eval().requires_grad_(False)
    net.scale.copy_(net.trunk(data.train[:2000]).var(0).mean().sqrt())
    return net


@lru_cache(maxsize=2)
def components(name: str, rows: int) -> PrincipalComponents:
    """The first 20 principal components of the test images."""
    return PrincipalComponents.of(images(name, rows).test, 20)


def distances(x: Tensor, name: str, rows: int, steps: int) -> dict[str, float]:
    """Fréchet distances to the test images: in the classifier's features, and in 20 principal components."""
    test = images(name, rows).test
    return {
        "judge": frechet_distance(x, test, features=judge(name, rows, steps)).value,
        "components": frechet_distance(x, test, features=components(name, rows)).value,
    }
