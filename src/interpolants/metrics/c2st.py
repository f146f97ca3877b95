"""Classifier two-sample test: out-of-fold accuracy of a classifier that separates two sample sets."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.equal_rows import copies
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike, normal, pooled, shuffled, unit_of

_BATCH = 256
_RATE = 1e-2
_DECAY = 1e-2
_HIDDEN, _STEPS = (64, 64), 600
# Networks that vote on a fold, each validated on a different fold, and steps between two validations.
_VOTES, _EVERY = 3, 20
# Standard deviations at which standardised columns are clipped; the normal scores still tell larger values apart.
_CLIP = 5.0
# Trees, and rows of a leaf: an accuracy needs probabilities near 1/2 only, and small leaves vote at random there.
_TREES, _LEAF = 300, 5


def c2st(
    x: ArrayLike,
    y: ArrayLike,
    *,
    judge: Literal["forest", "mlp"] = "forest",
    folds: int = 5,
    hidden: Sequence[int] | None = None,
    steps: int | None = None,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Balanced out-of-fold accuracy of a classifier of x against y: 0.5 indistinguishable, 1 disjoint.

    Every row is judged once, by a classifier that was trained on the other folds. The value is the mean of the
    accuracies on the two sets, so that 0.5 keeps its meaning when N and M differ. It is a lower bound on the Bayes
    accuracy: a classifier that finds no difference does not prove equality.

    Copies of a row, within a set or across the two, lie in the same fold: a classifier that remembers rows gains
    nothing from them. The error is the largest of three: that of the two proportions, that of sums over copies, and the
    spread of the accuracy over folds by sqrt(folds). Folds share training rows, so that it is somewhat too small: for
    two sets of one distribution, 150 rows in 3 dimensions, (value - 0.5) / error had a root mean square of 1.27 over
    100 seeds with ``judge="forest"``.

    Args:
        x: First set, (N, *D), N >= folds.
        y: Second set, (M, *D), M >= folds.
        judge: ``"forest"``, a random forest of scikit-learn: it ignores units and monotone transforms of columns, and
            finds corners and interactions. ``"mlp"``, small networks on standardised columns and their normal scores.
            The choice does not depend on the installed packages.
        folds: Number of folds, >= 3.
        hidden: Widths of the hidden layers of an MLP, (64, 64) by default; ``()`` is logistic regression.
        steps: Steps of AdamW of an MLP, 600 by default, with batches of 256. The weights with the smallest loss on a
            further fold are kept.
        generator: Folds, trees, weights and batches; the same generator state gives the same value.

    Raises:
        InvalidInputError: If a set is too small, not floating point or not finite, the event shapes differ, an option
            is out of range, or belongs to another judge.
        MissingExtraError: If scikit-learn is not installed and the judge is ``"forest"``.

    Source: Lopez-Paz & Oquab, arXiv:1610.06545.
    """
    one_of("c2st", "judge", judge, ("forest", "mlp"))
    whole("c2st", "folds", folds, at_least=3)
    if judge == "forest" and not (hidden is None and steps is None):
        name, value = ("hidden", hidden) if hidden is not None else ("steps", steps)
        raise invalid("c2st", f"{name} is a setting of judge='mlp'", value, "Pass judge='mlp', or remove it.")
    widths, steps = _HIDDEN if hidden is None else tuple(hidden), _STEPS if steps is None else steps
    whole("c2st", "steps", steps, at_least=1)
    for width in widths:
        whole("c2st", "every hidden width", width, at_least=1)
    x, y = pooled("c2st", x, y, minimum=folds)
    rows = torch.cat([x, y])
    labels = torch.cat([torch.zeros(len(x)), torch.ones(len(y))]).bool()
    groups = copies(rows.cpu())
    groups = torch.arange(len(rows)) if groups is None else groups
    parts = _folds(labels, groups, folds, generator)
    if judge == "forest":
        votes = _forest(rows.cpu().numpy(), labels.numpy(), parts.numpy(), generator)
    else:
        votes = _networks(_scaled(rows), labels, parts, widths, steps, generator)
    signs = torch.where(labels, 1.0, -1.0).double()
    hits = (torch.sign(votes.double().cpu() * signs) + 1) / 2  # a tie is half a hit
    return _accuracy(hits, labels, groups, parts)


def forest_auc(
    x: ArrayLike, y: ArrayLike, *, folds: int = 5, generator: torch.Generator | None = None
) -> Estimate:
    """Out-of-fold area under the ROC curve of a random forest of x against y: 0.5 indistinguishable, 1 disjoint.

    Unlike the accuracy of :func:`c2st` it sees differences that leave every row more likely to be of one set. Copies
    of a row lie in the same fold. The error is that of Hanley & McNeil.

    Args:
        x: First set, (N, *D), N >= folds.
        y: Second set, (M, *D), M >= folds.
        folds: Number of folds, >= 3.
        generator: Folds and trees.

    Raises:
        InvalidInputError: As for :func:`c2st`.
        MissingExtraError: If scikit-learn is not installed.
    """
    whole("forest_auc", "folds", folds, at_least=3)
    x, y = pooled("forest_auc", x, y, minimum=folds)
    rows = torch.cat([x, y])
    labels = torch.cat([torch.zeros(len(x)), torch.ones(len(y))]).bool()
    groups = copies(rows.cpu())
    parts = _folds(labels, torch.arange(len(rows)) if groups is None else groups, folds, generator)
    votes = _forest(rows.cpu().numpy(), labels.numpy(), parts.numpy(), generator)
    first, second = votes[~labels].sort().values, votes[labels]
    below = torch.searchsorted(first, second) + torch.searchsorted(first, second, right=True)
    area = float(below.double().mean()) / (2 * len(first))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (len(second) - 1) * (q1 - area**2) + (len(first) - 1) * (q2 - area**2)
    error = math.sqrt(max(variance, 0.0) / (len(first) * len(second)))
    return Estimate(area, error, min(len(first), len(second)), "AUC of a forest")


def _folds(labels: Tensor, groups: Tensor, folds: int, generator: torch.Generator | None) -> Tensor:
    """Fold of each row, (N + M,): copies stay together, and each fold gets its share of both sets.

    Groups are dealt out in random order, sorted by how many rows of each set they have.
    """
    _, number = torch.unique(groups, return_inverse=True)
    count = int(number.max()) + 1
    sizes = torch.stack([torch.bincount(number[labels == side], minlength=count) for side in (False, True)])
    order = shuffled(count, generator).cpu()
    for side in sizes:
        order = order[torch.argsort(side[order], stable=True)]
    fold = torch.empty(count, dtype=torch.long)
    fold[order] = torch.arange(count) % folds
    return fold[number]


def _accuracy(hits: Tensor, labels: Tensor, groups: Tensor, parts: Tensor) -> Estimate:
    sides = [labels == side for side in (False, True)]
    shares = [float(hits[side].mean()) for side in sides]
    sizes = [int(side.sum()) for side in sides]
    proportions = sum(_proportion_variance(a, n) for a, n in zip(shares, sizes, strict=True)) / 4
    influence = torch.where(labels, (hits - shares[1]) / sizes[1], (hits - shares[0]) / sizes[0]) / 2
    by_copies = torch.zeros(len(labels), dtype=torch.float64).index_add_(0, groups, influence).square().sum()
    folds = [parts == fold for fold in range(int(parts.max()) + 1)]
    whole_folds = [fold for fold in folds if all(bool((fold & side).any()) for side in sides)]
    by_fold = [sum(float(hits[fold & side].mean()) for side in sides) / 2 for fold in whole_folds]
    variance_of_folds = float(torch.tensor(by_fold).var()) / len(by_fold) if len(by_fold) > 1 else 0.0
    variance = max(proportions, float(by_copies), variance_of_folds)
    return Estimate(sum(shares) / 2, math.sqrt(variance), min(sizes), "C2ST accuracy")


def _proportion_variance(share: float, n: int) -> float:
    smoothed = (n * share + 0.5) / (n + 1)  # so that a perfect score does not claim to have no error
    return smoothed * (1 - smoothed) / n


# --- a random forest -------------------------------------------------------------------------------------------


def _forest(rows: Any, labels: Any, parts: Any, generator: torch.Generator | None) -> Tensor:
    """Out-of-fold votes (N + M,), positive for y."""
    ensemble = require("sklearn.ensemble", by="c2st with judge='forest', unlike judge='mlp',")
    home = generator.device if generator is not None else torch.device("cpu")
    seed = int(torch.randint(2**31, (), generator=generator, device=home))
    votes = np.empty(len(rows))
    for fold in range(parts.max() + 1):
        judged = parts == fold
        forest = ensemble.RandomForestClassifier(
            _TREES, min_samples_leaf=_LEAF, class_weight="balanced", random_state=(seed + fold) % 2**31
        ).fit(rows[~judged], labels[~judged])
        votes[judged] = forest.predict_proba(rows[judged])[:, 1] - 0.5
    return torch.from_numpy(votes)


# --- networks --------------------------------------------------------------------------------------------------


def _scaled(rows: Tensor) -> Tensor:
    """Standardised columns and their normal scores side by side, (N + M, 2 D) float32.

    One far row decides the unit of a standardised column and hides the others; ranks see those.
    """
    standard = ((rows - rows.mean(0)) / unit_of(rows)).clamp(-_CLIP, _CLIP)
    ordered = rows.sort(0).values.T.contiguous()
    columns = rows.T.contiguous()
    # Equal values share the middle of their ranks.
    ranks = (torch.searchsorted(ordered, columns) + torch.searchsorted(ordered, columns, right=True)).T / 2
    scores = torch.special.ndtri(ranks.double() / len(rows))
    return torch.cat([standard, scores.clamp(-_CLIP, _CLIP).to(standard)], 1).float()


def _networks(
    rows: Tensor,
    labels: Tensor,
    parts: Tensor,
    hidden: Sequence[int],
    steps: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Out-of-fold logits (N + M,): the mean of networks that stop by different folds, trained in one batch."""
    folds = int(parts.max()) + 1
    # The fold that a network judges, and the fold by which it stops.
    tasks = [
        (fold, (fold + 1 + vote) % folds) for fold in range(folds) for vote in range(min(_VOTES, folds - 2))
    ]
    samplers = [
        _Sampler(
            [
                torch.nonzero((labels == side) & (parts != judged) & (parts != stop))[:, 0]
                for judged, stop in tasks
            ]
        )
        for side in (False, True)
    ]
    with torch.enable_grad():
        layers = _train(rows, labels, parts, tasks, samplers, hidden, steps, generator)
    votes = torch.zeros(len(rows), dtype=torch.float64)
    with torch.no_grad():
        for k, (judged, _) in enumerate(tasks):
            members = parts == judged
            logits = _forward([part[k : k + 1] for part in layers], rows[None, members.to(rows.device)])
            votes[members] += logits.double().flatten().cpu()
    return votes


class _Sampler:
    """Rows of one set for each network, drawn uniformly from the folds that it trains on."""

    def __init__(self, choices: Sequence[Tensor]) -> None:
        self.counts = torch.tensor([len(index) for index in choices])
        self.index = torch.nn.utils.rnn.pad_sequence(list(choices), batch_first=True)

    def draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Indices of rows, (networks, n)."""
        home = generator.device if generator is not None else torch.device("cpu")
        uniform = torch.rand(
            (len(self.counts), n), generator=generator, device=home, dtype=torch.float64
        ).cpu()
        return self.index.gather(1, (uniform * self.counts[:, None]).long())


def _train(
    rows: Tensor,
    labels: Tensor,
    parts: Tensor,
    tasks: Sequence[tuple[int, int]],
    samplers: Sequence[_Sampler],
    hidden: Sequence[int],
    steps: int,
    generator: torch.Generator | None,
) -> list[Tensor]:
    """Weights and biases, alternating, each with a leading dimension of networks: those with the best validation."""
    layers = _new_layers(rows, len(tasks), hidden, generator)
    optimizer = torch.optim.AdamW(layers, lr=_RATE, weight_decay=_DECAY)
    best = [part.detach().clone() for part in layers]
    smallest = _validation(layers, rows, labels, parts, tasks)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _RATE * (1 - step / steps)
        batch = torch.cat(
            [rows[sampler.draw(_BATCH // 2, generator).to(rows.device)] for sampler in samplers], 1
        )
        logits = _forward(layers, batch).squeeze(-1)
        half = logits.shape[1] // 2
        # Logistic loss: x should get a negative logit, y a positive one. Networks share no weight, so they add.
        loss = torch.nn.functional.softplus(torch.cat([logits[:, :half], -logits[:, half:]], 1)).mean(1).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if (step + 1) % _EVERY == 0 or step + 1 == steps:
            losses = _validation(layers, rows, labels, parts, tasks)
            better = losses < smallest
            smallest = torch.where(better, losses, smallest)
            for stored, part in zip(best, layers, strict=True):
                stored[better] = part.detach()[better]
    return best


def _new_layers(
    rows: Tensor, networks: int, hidden: Sequence[int], generator: torch.Generator | None
) -> list[Tensor]:
    layers: list[Tensor] = []
    for inputs, outputs in pairwise([rows.shape[1], *hidden, 1]):
        weight = normal((networks, inputs, outputs), generator, rows.device).float() / math.sqrt(inputs)
        if outputs == 1:
            weight.zero_()  # no opinion yet: logistic regression then sets out along the mean difference
        layers += [weight.requires_grad_(), rows.new_zeros(networks, 1, outputs).requires_grad_()]
    return layers


@torch.no_grad()
def _validation(
    layers: list[Tensor], rows: Tensor, labels: Tensor, parts: Tensor, tasks: Sequence[tuple[int, int]]
) -> Tensor:
    """Balanced logistic loss of each network on the fold by which it stops; 0-size sides count as nothing."""
    losses = []
    for k, (_, stop) in enumerate(tasks):
        members = (parts == stop).to(rows.device)
        logits = _forward([part[k : k + 1] for part in layers], rows[None, members]).flatten()
        side = labels[parts == stop].to(rows.device)
        terms = [
            torch.nn.functional.softplus(sign * logits[side == label])
            for sign, label in ((1, False), (-1, True))
        ]
        losses.append(torch.stack([term.sum() / max(len(term), 1) for term in terms]).sum())
    return torch.stack(losses)


def _forward(layers: list[Tensor], batch: Tensor) -> Tensor:
    for index in range(0, len(layers), 2):
        batch = torch.baddbmm(layers[index + 1], batch, layers[index])
        if index + 2 < len(layers):
            batch = torch.nn.functional.silu(batch)
    return batch
