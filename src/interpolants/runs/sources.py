"""Data of a run: from settings to two checked sample sets, each split into training and held-out rows."""

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from interpolants.data import catalogue
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import build
from interpolants.runs.config import DataConfig, DatasetSource, FileSource, ProblemSource, StepSource
from interpolants.runs.files import beside, read_table, whole_numbers

# The metrics need a few points; fewer rows than this leave none to hold out.
_FEWEST_ROWS, _FEWEST_HELD_OUT = 10, 4


@dataclass(frozen=True)
class Rows:
    """Samples ``(N, *D)``, float32 or int64 tokens, and their labels ``(N,)`` int64, if any."""

    x: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def of_classes(self, classes: list[int] | None) -> "Rows":
        """The rows with these labels."""
        if classes is None or self.labels is None:
            return self
        keep = torch.isin(self.labels, torch.tensor(classes))
        return Rows(self.x[keep], self.labels[keep])

    def head(self, n: int | None) -> "Rows":
        """The first n rows."""
        return Rows(self.x[:n], None if self.labels is None else self.labels[:n])


@dataclass(frozen=True)
class Side:
    """One of the two sample sets.

    Attributes:
        name: What it is, for people.
        train: Rows to learn from.
        test: Rows held out.
        source: Where it comes from.
        licence: Licence of the data, if known.
        classes: Names of labels 0, 1, ..., if known.
        all_train: Training rows of all classes, for a classifier; the same as ``train`` where nothing was left out.
        all_test: Held-out rows of all classes.
        chosen: Labels that were chosen.
        distribution: The exact distribution with a ``log_prob``, if known.
        process: The transition distribution with a ``step``, if the rows are states of a known process.
        warnings: What the user should know.
        kept: Which rows of its file were kept, truth values; None where none was left out.
    """

    name: str
    train: Rows
    test: Rows
    source: str
    licence: str = ""
    classes: tuple[str, ...] = ()
    all_train: Rows | None = None
    all_test: Rows | None = None
    chosen: tuple[int, ...] = ()
    distribution: Any = None
    process: Any = None
    warnings: tuple[str, ...] = ()
    kept: Tensor | None = None

    def describe(self) -> dict[str, Any]:
        """For the results file."""
        return {
            "name": self.name,
            "n": len(self.train) + len(self.test),
            "n_train": len(self.train),
            "n_heldout": len(self.test),
            "shape": list(self.train.x.shape[1:]),
            "source": self.source,
            "licence": self.licence,
        }


@dataclass(frozen=True)
class TaskData:
    """The data of one bridge; ``cond_*`` belong to the rows of x1."""

    x0: Side | None
    x1: Side
    cond_train: Tensor | None = None
    cond_test: Tensor | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """``"generation"`` from a Gaussian, or ``"translation"`` between two sample sets."""
        return "generation" if self.x0 is None else "translation"


def load_data(config: DataConfig) -> TaskData:
    """Read, split and check both sample sets and the condition.

    Raises:
        InvalidInputError: If something does not exist, is not finite, or does not fit together.
        MissingExtraError: If a data set's package is not installed.
    """
    x0 = None if config.x0 is None else _load(config.x0, "x0", config)
    x1 = _next(x0, config) if isinstance(config.x1, StepSource) else _load(config.x1, "x1", config)
    if x0 is not None and x0.train.x.shape[1:] != x1.train.x.shape[1:]:
        shapes = f"{tuple(x0.train.x.shape[1:])} in {x0.name} and {tuple(x1.train.x.shape[1:])} in {x1.name}"
        remedy = "A bridge moves a sample within one space: make the rows of both alike."
        raise invalid("data", "samples of x0 and x1 must have the same shape", shapes, remedy)
    cond_train, cond_test = _condition(config, x1)
    warnings = [text for side in (x0, x1) if side is not None for text in side.warnings]
    return TaskData(x0, x1, cond_train, cond_test, warnings)


def _load(source: Any, which: str, config: DataConfig) -> Side:
    if isinstance(source, FileSource):
        return _from_file(source, which, config)
    if isinstance(source, DatasetSource):
        return _from_dataset(source, which)
    return _from_problem(source, which, config)


def _from_file(source: FileSource, which: str, config: DataConfig) -> Side:
    table = read_table(
        source.file,
        f"data.{which}",
        key=source.key,
        columns=source.columns,
        labels=source.labels,
        limit=source.limit,
        minimum=_FEWEST_ROWS,
        drop_nan=source.drop_nan,
    )
    train, test = split(Rows(table.x, table.labels), config)
    where = f"file {source.file}"
    return Side(
        source.file, train, test, where, all_train=train, all_test=test, warnings=table.notes, kept=table.kept
    )


def _from_dataset(source: DatasetSource, which: str) -> Side:
    parts = [catalogue.load(source.dataset, name, **source.options) for name in ("train", "test")]
    info = parts[0].info
    whole = [Rows(part.x, part.labels) for part in parts]
    if source.classes is not None:
        _check_classes(source, whole[0], which)
    train, test = (rows.of_classes(source.classes) for rows in whole)
    if source.limit is not None:
        share = len(test) / (len(train) + len(test))
        train = train.head(max(2, round(source.limit * (1 - share))))
        test = test.head(max(_FEWEST_HELD_OUT, round(source.limit * share)))
    names = [info.classes[c] if c < len(info.classes) else str(c) for c in source.classes or ()]
    name = source.dataset + (f", class {', '.join(names)}" if names else "")
    return Side(
        name,
        train,
        test,
        info.source,
        info.licence,
        info.classes,
        all_train=whole[0],
        all_test=whole[1],
        chosen=tuple(source.classes or ()),
    )


def _check_classes(source: DatasetSource, rows: Rows, which: str) -> None:
    who = f"data.{which}"
    if rows.labels is None:
        raise invalid(who, f"classes must be left out: {source.dataset!r} has no labels", source.classes)
    known = sorted(set(rows.labels.tolist()))
    unknown = sorted(set(source.classes or ()) - set(known))
    if unknown:
        remedy = f"It has {', '.join(map(str, known))}."
        raise invalid(who, f"classes must be labels of {source.dataset!r}", unknown, remedy)


def _from_problem(source: ProblemSource, which: str, config: DataConfig) -> Side:
    distribution = make_problem(source.problem, source.settings, which)
    if source.n < _FEWEST_ROWS:
        raise invalid(f"data.{which}", f"n must be at least {_FEWEST_ROWS}", source.n)
    draws = distribution.sample(source.n, generator=generator(config.seed, "data draw", int(which[-1])))
    x = draws.float() if draws.is_floating_point() else draws
    train, test = split(Rows(x if x.ndim > 1 else x[:, None]), config)
    exact, process = (distribution if hasattr(distribution, name) else None for name in ("log_prob", "step"))
    return Side(
        source.problem, train, test, f"simulated: {source.problem}", distribution=exact, process=process
    )


def _next(x0: Side | None, config: DataConfig) -> Side:
    """One step of the process from each row of x0; rows stay pairs."""
    if x0 is None or x0.process is None:
        found = "a Gaussian" if x0 is None else x0.name
        remedy = "Take a problem with a transition distribution, such as rotating_mixture."
        raise invalid("data.x1", "x1 can follow only states of a known process", found, remedy)
    source = generator(config.seed, "data step")
    train, test = (Rows(x0.process.step(rows.x, generator=source)) for rows in (x0.train, x0.test))
    return Side(f"{x0.name}, one step later", train, test, x0.source, process=x0.process)


def make_problem(name: str, settings: dict[str, Any], which: str = "x1") -> Any:
    """A distribution by the id of its card; lists among the settings become tensors where the distribution wants them.

    Raises:
        InvalidInputError: If there is no such distribution or it refuses a setting.
    """
    values = {key: _tensor(value) for key, value in settings.items()}
    distribution = build("problem", name, **values)
    sampler = getattr(distribution, "sample", None)
    if sampler is None or "n" not in inspect.signature(sampler).parameters:
        raise invalid(f"data.{which}", "problem must be one distribution that can be sampled", repr(name))
    return distribution


def _tensor(value: Any) -> Any:
    """Nested lists of numbers as a float64 tensor; anything else as it is."""
    if not isinstance(value, list):
        return value
    try:
        return torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError):
        return value


def split(rows: Rows, config: DataConfig) -> tuple[Rows, Rows]:
    """Training and held-out rows, by one permutation per (seed, number of rows): pairs of files stay pairs."""
    n = len(rows)
    order = torch.randperm(n, generator=generator(config.seed, "data split"))
    held = min(max(_FEWEST_HELD_OUT, round(config.test_fraction * n)), n - _FEWEST_HELD_OUT)
    parts = (order[held:], order[:held])
    train, test = (Rows(rows.x[p], None if rows.labels is None else rows.labels[p]) for p in parts)
    return train, test


def _condition(config: DataConfig, x1: Side) -> tuple[Tensor | None, Tensor | None]:
    if config.condition is None:
        return None, None
    if config.condition == "labels":
        if x1.train.labels is None or x1.test.labels is None:
            remedy = 'Give a file instead, or name the column with labels = "...".'
            raise invalid("data.condition", "'labels' needs labels of x1", f"none in {x1.name}", remedy)
        return x1.train.labels, x1.test.labels
    values = beside(read_condition(config.condition), x1.kept)
    rows = len(x1.train) + len(x1.test)
    if not isinstance(config.x1, FileSource):
        remedy = 'Use condition = "labels".'
        raise invalid("data.condition", "a file needs x1 to be a file too", config.condition, remedy)
    if config.x1.limit is not None:
        values = values[: config.x1.limit]
    if len(values) != rows:
        raise invalid(
            "data.condition",
            f"{config.condition} must have {rows} rows like x1",
            len(values),
            "Row i of both belongs to sample i.",
        )
    train, test = split(Rows(values), config)
    return train.x, test.x


def read_condition(path: str, who: str = "data.condition") -> Tensor:
    """Conditions from a file: labels ``(N,)`` int64 if there is one whole number per row, else vectors ``(N, C)``."""
    x = read_table(path, who).x
    whole = x.shape[1:] == (1,) and bool(((x == x.round()) & (x >= 0)).all())
    return whole_numbers(path, x) if whole else x
