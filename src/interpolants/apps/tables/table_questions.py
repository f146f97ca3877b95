"""Questions about generated tables: can a forest tell them from real rows, are they useful, are they copies?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.apps.tables.table_bridge import table_role
from interpolants.data.arrays import is_table
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import generator
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.roles import read
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.metrics.c2st import forest_auc
from interpolants.metrics.estimate import Estimate

_TREES, _LEAF, _MOST = 300, 5, 2000


@dataclass(frozen=True)
class _Rows:
    """Real and generated rows as numbers: strings are indices, a missing cell is below all others.

    Attributes:
        train: Rows of the fit, ``(N, D)``.
        test: Test rows.
        samples: Generated rows, as many as test rows.
        names: Names of the columns.
        discrete: Which columns are strings or booleans.
    """

    train: Tensor
    test: Tensor
    samples: Tensor
    names: tuple[str, ...]
    discrete: tuple[bool, ...]


def _rows(question: Any, task: Task, method: Method | None, count: str = "test") -> _Rows:
    role, values = (table_role(question.role),), task.values[question.role]
    codes, containers = read(role, {question.role: values}, "table questions")
    container = containers[question.role]
    low = codes[question.role].double().nan_to_num(nan=torch.inf).amin(0) - 1
    low = torch.where(low.isfinite(), low, 0.0)

    def coded(rows: Any) -> Tensor:
        result = read(role, {question.role: rows}, "table questions", before=containers)[0][
            question.role
        ].double()
        return torch.where(result.isnan(), low, result)

    train, test = (coded(task.part(part)[question.role]) for part in ("train", "test"))
    samples = test[:0]
    if method is not None:
        answer: Any = method
        number = min(len(train if count == "train" else test), question.n)
        samples = coded(answer.sample(number, seed=question.seed))
    width = train.shape[1]
    names = (
        tuple(map(str, container.columns)) if is_table(values) else tuple(f"x{k + 1}" for k in range(width))
    )
    discrete = (
        tuple(parts[0] in ("string", "truth") for parts in container.types)
        if container.types
        else (False,) * width
    )
    return _Rows(train, test, samples, names, discrete)


@dataclass(frozen=True, kw_only=True)
class Detection(Question):
    """Area under the ROC curve of a random forest that tells generated rows from test rows, out of five folds.

    Source: Lopez-Paz & Oquab (2017), arXiv:1610.06545, with the area in place of the accuracy.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "auc": About("AUC of a forest, real against generated", note="0.5 cannot be told apart.", floor=0.5)
    }

    role: str = "x1"
    """Role of the table."""
    n: Annotated[int, Ge(20)] = _MOST
    """Maximum number of rows of each."""
    seed: int = 1
    """Seed of samples and forests."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Fit forests to test and generated rows."""
        rows = _rows(self, task, method)
        return Measured(
            {
                "auc": forest_auc(
                    rows.test[: self.n], rows.samples, generator=generator(self.seed, "detection")
                )
            }
        )


@dataclass(frozen=True, kw_only=True)
class Utility(Question):
    """Score of a forest that predicts one column of test rows, trained on generated rows (TSTR).

    Accuracy for strings and booleans, R² for numbers. The floor is the score after training on the real rows.

    Source: Esteban, Hyland & Rätsch (2017), arXiv:1706.02633.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "score": About(
            "Score of a forest trained on generated rows",
            "higher",
            note="Accuracy, or R² of a number.",
            floor_of="training on real rows",
        )
    }

    target: str = ""
    """Column to predict; the last one when empty."""
    role: str = "x1"
    """Role of the table."""
    n: Annotated[int, Ge(20)] = 20_000
    """Maximum number of generated rows."""
    seed: int = 1
    """Seed of samples and forests."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Fit a forest to generated rows and score it on test rows."""
        rows = _rows(self, task, method, "train")
        return Measured({"score": self._score(rows.samples, rows)})

    def floors(self, task: Task) -> Mapping[str, Estimate]:
        """The score after training on real rows."""
        rows = _rows(self, task, None)
        return {"score": self._score(rows.train[: self.n], rows)}

    def _score(self, learnt: Tensor, rows: _Rows) -> Estimate:
        name = self.target or rows.names[-1]
        if name not in rows.names:
            rule = "target must be a column of the table"
            raise invalid("utility", rule, repr(name), nearest(name, rows.names))
        at = rows.names.index(name)
        keep = [k for k in range(len(rows.names)) if k != at]
        if not keep:
            remedy = "Ask column_quality or detection."
            raise invalid("utility", "the table must have a second column", "one column", remedy)
        x, y, test, truth = learnt[:, keep], learnt[:, at], rows.test[:, keep], rows.test[:, at]
        ensemble: Any = require("sklearn.ensemble", by="utility")
        kind = ensemble.RandomForestClassifier if rows.discrete[at] else ensemble.RandomForestRegressor
        forest = kind(_TREES, min_samples_leaf=_LEAF, random_state=self.seed)
        result = torch.from_numpy(np.asarray(forest.fit(x.numpy(), y.numpy()).predict(test.numpy())))
        if rows.discrete[at]:
            hits = (result == truth).double()
            return Estimate(float(hits.mean()), float(hits.std()) / len(hits) ** 0.5, len(hits), "accuracy")
        loss, total = (result - truth).square(), (truth - truth.mean()).square().mean().clamp_min(1e-300)
        error = float(loss.std() / total) / len(loss) ** 0.5
        return Estimate(1 - float(loss.mean() / total), error, len(loss), "R²")


@dataclass(frozen=True, kw_only=True)
class RecordCopies(Question):
    """Exact copies of training rows, and closest records by Gower distance next to those of held-out rows.

    Neither is a privacy guarantee: rows may reveal what they were learnt from without being copies.

    Source: Gower (1971), Biometrics 27, 857-871.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "copies": About(
            "Fraction of rows that are copies of training rows", floor_of="training rows among the others"
        ),
        "closer": About(
            "Fraction of rows closer to a training row than to a held-out row",
            "neither",
            note="0.5 is as it should be.",
            floor=0.5,
        ),
    }

    role: str = "x1"
    """Role of the table."""
    n: Annotated[int, Ge(20)] = _MOST
    """Maximum number of rows of each."""
    seed: int = 1
    """Seed of samples."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Compare generated rows with training and test rows."""
        rows = _rows(self, task, method)
        size = min(len(rows.train), len(rows.test), self.n)
        order = torch.randperm(len(rows.train), generator=generator(self.seed, "training rows"))[:size]
        scale = rows.train.amax(0) - rows.train.amin(0)
        scale = torch.where(scale > 0, scale, 1.0)
        closest = [
            _gower(rows.samples, real[:size], scale, rows.discrete) for real in (rows.train[order], rows.test)
        ]
        closer = (closest[0] < closest[1]).double() + 0.5 * (closest[0] == closest[1]).double()
        copies = _copied(rows.samples, rows.train)
        values = {
            "copies": Estimate(float(copies.mean()), _error(copies), len(copies), "copies"),
            "closer": Estimate(float(closer.mean()), _error(closer), len(closer), "closer"),
        }
        return Measured(values, findings=_copy_findings(values["copies"], self.floors(task)["copies"]))

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """Training rows that have an equal one: a split keeps these together, so that test rows do not tell."""
        rows = _rows(self, task, None)
        _, index, counts = torch.unique(rows.train, dim=0, return_inverse=True, return_counts=True)
        copies = (counts[index] > 1).double()
        return {
            "closer": 0.5,
            "copies": Estimate(float(copies.mean()), _error(copies), len(copies), "copies"),
        }


def _error(x: Tensor) -> float:
    return float(x.std()) / math.sqrt(len(x))


def _copied(rows: Tensor, reference: Tensor) -> Tensor:
    originals = {tuple(row) for row in reference.tolist()}
    return torch.tensor([float(tuple(row) in originals) for row in rows.tolist()], dtype=torch.float64)


def _gower(x: Tensor, y: Tensor, scale: Tensor, discrete: tuple[bool, ...]) -> Tensor:
    """Gower distance of each row to the closest of others, ``(N,)``."""
    unequal = torch.tensor(discrete)
    result = []
    for part in torch.split(x, 64):
        distance = (part[:, None] - y).abs()
        result.append(torch.where(unequal, (distance > 0).double(), distance / scale).mean(2).amin(1))
    return torch.cat(result)


def _copy_findings(copies: Any, chance: Any) -> list[Finding]:
    if not copies.value > chance.value + 2 * copies.error + 0.01:
        return []
    message = f"Copies: {copies.value:.1%} of the rows are training rows"
    message = f"{message}; {chance.value:.1%} of these have an equal one."
    return [Finding(message, remedy="Learn from more rows, for fewer steps or with a smaller network.")]
