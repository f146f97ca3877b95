"""A task: values of the roles, split into train, held-out and test rows before anything is estimated."""

import functools
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Annotated, Any, Literal, Self

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number
from interpolants.foundations.equal_rows import copies, together, uncut
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import Check, Whole
from interpolants.foundations.randomness import generator
from interpolants.foundations.row_weights import are_equal, effective_rows, even_rows
from interpolants.foundations.tell import DataWarning, tell
from interpolants.framework.capabilities import capabilities_of
from interpolants.framework.method import Method
from interpolants.framework.role import Role, kind_of
from interpolants.framework.roles import count, read, row_labels, take
from interpolants.framework.row_labels import are_shifted, mark_matched
from interpolants.framework.series import Series, equal_length, take_times

PARTS = ("train", "held", "test")
# Other words for the parts of a given split.
_ALSO = {
    "train": ("training",),
    "held": ("held_out", "held-out", "val", "valid", "validation", "dev"),
    "test": ("testing",),
}


def _test_part(who: str, value: Any) -> Any:
    """A share, a number of rows, or a list of groups."""
    if isinstance(value, list | tuple):
        return value
    number(who, "test", value, above=0)
    return _checked_share(who, "test", value)


def _most_rows(who: str, value: Any) -> Any:
    """A share or a number of rows; 0 for all."""
    number(who, "train", value, at_least=0)
    return _checked_share(who, "train", value)


def _checked_share(who: str, name: str, value: Any) -> Any:
    """Check for a fraction or a number of rows: 1.0 could mean all rows, or one."""
    if value >= 1 and ((value == 1 and isinstance(value, float)) or value != int(value)):
        remedy = f"For example, {name} = 0.2, or {name} = 1 for one row."
        raise invalid(who, f"{name} must be a fraction below 1 or an integer number of rows", value, remedy)
    return value


@dataclass(frozen=True, kw_only=True)
class Split(Checked):
    """Split of the rows: every axis by itself, roles of one axis together.

    Equal rows (see :func:`interpolants.foundations.equal_rows.copies`) go to one part of a random split together, so
    that parts may differ by some rows from the requested fractions.
    """

    by: Literal["random", "time", "group", "given", "none"] = "random"
    """``"random"``; ``"time"``: the last rows are the test, those before them are held out; ``"group"``: whole groups;
    ``"given"``: a role with the words train, held (also val, valid, validation, dev) and test, others are refused;
    ``"none"``: all rows train, and the test part is the training part, as reported by `Task.in_sample`."""
    test: Annotated[Any, Check(_test_part, "share | number of rows | groups")] = 0.2
    """Share of the rows (or groups) that are the test, or their number; with ``"group"`` also a list of groups."""
    held: Annotated[float, Interval(ge=0, lt=1)] = 0.0
    """Share of the rows (or groups) kept from training for choices."""
    train: Annotated[float, Check(_most_rows, "share | number of rows")] = 0.0
    """Maximum number of training rows, or their fraction of the remaining rows, drawn at random; the others are held
    out too. 0 for all."""
    role: str = ""
    """The role with the groups or the words; they are those of all axes with as many rows, such as both ends of
    unpaired data about the same persons. Axes with another number of rows are split at random, which is warned of."""
    seed: Whole = 0
    """Seed of random parts."""
    groups: str = ""
    """With ``"given"``: a role with what must not lie in two parts, such as the patient of each row."""

    def check_settings(self) -> None:
        """Check that the roles are compatible with the kind of split."""
        if (self.by in ("group", "given")) != bool(self.role):
            rule = "role goes with by = 'group' or 'given', and they with role"
            raise asked.invalid(rule, f"by = {self.by!r}, role = {self.role!r}")
        if self.groups and self.by != "given":
            remedy = "For whole groups: by = 'group', role = the role with the groups."
            raise asked.invalid("groups goes with by = 'given'", f"by = {self.by!r}", remedy)

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles that the split reads."""
        return tuple(role for role in (self.role, self.groups) if role)


class ByRole(dict[str, Any]):
    """Values by role; one that is not there is refused by name."""

    def __missing__(self, role: str) -> Any:
        """Raise an error that names the nearest role."""
        raise invalid("Task", "the role must be one of the task", repr(role), nearest(str(role), self))


@dataclass(frozen=True)
class Task:
    """Values by role, as passed, and the indices of their train, held-out and test rows.

    Attributes:
        values: Role -> value; containers as they came.
        rows: Axis -> part -> indices.
        axes: Role -> axis, for roles with rows.
        in_sample: Whether the test part is the training part; not where nothing has rows, as for a problem.
        truths: Role -> the exact distribution, process or function behind it, where it is known.
        within: Roles with many series of which each is cut in time.
        copied: Number of test rows that are copies of training rows, for a given split.
        weights: Axis -> weight of each row, where rows have some that are not all equal.
    """

    values: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Tensor]]
    axes: Mapping[str, str] = field(default_factory=dict)
    in_sample: bool = False
    truths: Mapping[str, Any] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    copied: int = 0
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        roles: Sequence[Role],
        values: Mapping[str, Any],
        split: Split | None = None,
        *,
        parts: Mapping[str, Mapping[str, Tensor]] | None = None,
        truths: Mapping[str, Any] | None = None,
    ) -> Self:
        """Check the values against the roles, and part them.

        Args:
            roles: Roles of the method and of its questions; one to split by may come along.
            values: Values by role. Distributions are not split: they have no rows.
            split: How to part the rows.
            parts: Role -> part -> rows, for data that define a split, which a split by group or by
                given words replaces; held-out rows are then taken from their training rows.
            truths: As in the attribute.

        Raises:
            InvalidInputError: If values do not fit the roles, or a part would be empty.
        """
        split = Split() if split is None else split
        known = {role.name for role in roles}
        extra = tuple(Role(name=name, kind="labels") for name in split.roles if name not in known)
        every = (*roles, *extra)
        _check_known(every, values)
        parted = {name: value for name, value in values.items() if value is not None and not _is_drawn(value)}
        data, given = read([r for r in every if r.name in parted], parted, "Task")
        axes = {r.name: r.axis for r in every if r.name in data and kind_of(r).has_rows and r.axis}
        _check_ordered(data, split)
        counts = {axis: _length(data[name], split) for name, axis in axes.items()}
        weights = _weights(every, data)
        groups = _Groups(split, data, given, _without(axes, weights))
        asked = split.by in ("group", "given")
        if asked:
            _check_labelled(split, counts, axes)
        own = {axes[name]: part for name, part in (parts or {}).items() if name in axes and not asked}
        rows = {
            axis: groups.thinned(
                groups.within(own[axis], axis) if axis in own else groups.part(n, axis), axis
            )
            for axis, n in counts.items()
        }
        copied = sum(groups.copied(rows_of_axis, axis) for axis, rows_of_axis in rows.items())
        kept = {name: value for name, value in values.items() if value is not None and name in known}
        if any(map(are_shifted, row_labels(every, kept).values())):
            kept = mark_matched(kept)
        many = [name for name, value in data.items() if split.by == "time" and _is_series_list(value)]
        drawn = any(
            map(_is_drawn, kept.values())
        )  # a problem or an environment alone has no rows to be judged on
        in_sample = split.by == "none" or (drawn and not counts)
        unequal = _unequal(axes, weights)
        return cls(ByRole(kept), rows, axes, in_sample, truths or {}, tuple(many), copied, unequal)

    def has(self, part: str) -> bool:
        """Whether a part has rows."""
        return any(len(parts[part]) for parts in self.rows.values())

    def part(self, name: str, weighted: Container[str] = ()) -> dict[str, Any]:
        """The values of ``"train"``, ``"held"`` or ``"test"``; what has no rows is in all of them.

        Weighted rows are replaced by rows of equal weight, drawn in proportion to the weights.

        Args:
            name: The part.
            weighted: Axes whose rows are returned unchanged, with their weights.
        """
        return ByRole(
            {role: self._part_of(role, value, name, weighted) for role, value in self.values.items()}
        )

    def _rows_of(self, axis: str, name: str) -> Tensor:
        """Rows of equal weight: as many as a training part has, else the effective number of the part's rows."""
        rows = self.rows[axis][name]
        if axis not in self.weights or not len(rows):
            return rows
        weights = self.weights[axis][rows]
        n = len(rows) if name == "train" else max(int(effective_rows(weights)), 1)
        return rows[even_rows(weights, n, generator(0, "rows by weight", axis, name))]

    def _part_of(self, role: str, value: Any, name: str, weighted: Container[str]) -> Any:
        if role not in self.axes:
            return value
        axis = self.axes[role]
        rows = self.rows[axis][name] if axis in weighted else self._rows_of(axis, name)
        return take_times(value, rows, take) if role in self.within else take(value, rows)

    @property
    def train(self) -> dict[str, Any]:
        """Training part of the values, by role."""
        return self.part("train")

    @property
    def test(self) -> dict[str, Any]:
        """Test part of the values, by role."""
        return self.part("test")

    def for_fit(self, method: Method, part: str = "train") -> dict[str, Any]:
        """The roles of a part that this method reads; a rival may read fewer.

        A method that takes no weights for an axis gets rows of equal weight.
        """
        roles = [role for role in method.roles() if role.name in self.values]
        weighted = self._weighted_for(roles)
        names = {r.name for r in roles if r.kind != "weights" or self.axes[r.name] in weighted}
        return {name: value for name, value in self.part(part, weighted).items() if name in names}

    def _weighted_for(self, roles: Sequence[Role]) -> set[str]:
        """Axes of which these roles take the weights, for all their rows: those of pairs need a paired method."""
        weighted = set()
        for role in roles:
            axis = self.axes.get(role.name)
            axes = {r.axis for r in roles if axis and self.axes.get(r.name) == axis}
            if role.kind == "weights" and len(axes) == 1:
                weighted.add(str(axis))
        return weighted

    def fit(self, method: Method, **options: Any) -> Method:
        """Fit a method on the training part, and pass the held-out part if there is one."""
        held = self.for_fit(method, "held") if self.has("held") else None
        return method.fit_roles(self.for_fit(method), held=held, **options)

    def call(self, method: Method, verb: str, part: str = "test", /, **options: Any) -> Any:
        """Ask a method for one of its verbs with the rows of a part that the verb reads, conditions included."""
        one, rows = capabilities_of(type(method))[verb], self.part(part)
        sources = {role.name: one.source(role.name) for role in one.roles(method)}
        values = {name: rows[source] for name, source in sources.items() if source in rows}
        return getattr(method, verb)(**{**values, **options})


def _weights(roles: Sequence[Role], data: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of rows by the name of their role."""
    return {role.name: data[role.name] for role in roles if role.kind == "weights" and role.name in data}


def _unequal(axes: Mapping[str, str], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Axis -> weight of each row, where they are not all equal."""
    return {axes[name]: w for name, w in weights.items() if not are_equal(w)}


def _without(axes: Mapping[str, str], names: Container[str]) -> dict[str, str]:
    return {name: axis for name, axis in axes.items() if name not in names}


def _check_labelled(split: Split, counts: Mapping[str, int], axes: Mapping[str, str]) -> None:
    """Raise an error for groups or labels that belong to no rows, and warn of rows without one.

    Raises:
        InvalidInputError: If no data have as many rows as the role of the split.

    Warns:
        UserWarning: If some data have another number of rows, which are then split at random.
    """
    if split.role not in axes:
        rule = f"values of {split.role}, by which the rows are split, must be passed"
        raise invalid("split", rule, "none", f"Known are {', '.join(axes) or 'no roles with rows'}.")
    n = counts[axes[split.role]]
    rows = {name: counts[axis] for name, axis in axes.items() if name not in split.roles}
    others = {name: k for name, k in rows.items() if k != n}
    told = ", ".join(f"{name} has {k}" for name, k in others.items())
    if len(others) == len(rows):
        remedy = f"Pass {split.role} with one entry per row."
        raise invalid("split", f"{split.role} must have as many rows as the data", f"{n}; {told}", remedy)
    if others:
        words = f"split: {split.role} has {n} rows and {told}, so that these rows are split at random"
        tell(DataWarning, f"{words}. Give data of one {split.role} as many rows.")


def _check_known(roles: Sequence[Role], values: Mapping[str, Any]) -> None:
    names = [role.name for role in roles]
    for name in values:
        if name not in names:
            raise invalid("Task", "every value must belong to a role", repr(name), nearest(name, names))


def _is_series_list(value: Any) -> bool:
    return isinstance(value, list) and isinstance(value[0], Series)


def _check_ordered(data: Mapping[str, Any], split: Split) -> None:
    """Check that the times of one series are split in their order."""
    for name, value in data.items():
        if isinstance(value, Series) and split.by in ("random", "group"):
            remedy = "Split(by='time'): the last times are the test."
            raise invalid("split", f"one series, {name}, must be split by time", repr(split.by), remedy)


def _length(value: Any, split: Split) -> int:
    """Rows to split: several series are each split in time, or are rows."""
    by_time = split.by == "time" and _is_series_list(value)
    return equal_length(value, "split") if by_time else count(value)


def _is_drawn(value: Any) -> bool:
    """Whether a value is a distribution rather than rows."""
    return (
        callable(getattr(value, "sample", None))
        and not hasattr(value, "iloc")
        and not hasattr(value, "shape")
    )


@dataclass(frozen=True)
class _Groups:
    """The rows of each part."""

    split: Split
    data: Mapping[str, Any]
    given: Mapping[str, Any]
    axes: Mapping[str, str]

    def part(self, n: int, axis: str) -> dict[str, Tensor]:
        every = torch.arange(n)
        if self.split.by == "none":
            return {"train": every, "held": every[:0], "test": every}
        if self.split.by in ("group", "given") and n == len(self.data[self.split.role]):
            return self._by_label(every)
        if self.split.by == "time":
            return self._cut(every)
        first = self._copies(axis)
        order = torch.randperm(n, generator=generator(self.split.seed, "split", axis))
        return self._cut(together(order, first), first)

    def within(self, parts: Mapping[str, Tensor], axis: str) -> dict[str, Tensor]:
        """Parts that the data bring themselves, with held-out rows from the training part."""
        train = parts["train"]
        held = parts.get("held", train[:0])
        if self.split.held and not len(held):
            order = torch.randperm(len(train), generator=generator(self.split.seed, "split held", axis))
            first = self._copies(axis)
            train = together(train[order], first)
            n = uncut(train, first, self._size(self.split.held, len(train)))
            train, held = train[n:], train[:n]
        return _checked({"train": train, "held": held, "test": parts["test"]})

    def thinned(self, parts: Mapping[str, Tensor], axis: str) -> dict[str, Tensor]:
        """Parts with at most the requested number of training rows."""
        train = parts["train"]
        if not self.split.train:
            return dict(parts)
        n = min(max(1, self._size(self.split.train, len(train))), len(train))
        first = self._copies(axis)
        first = None if first is None else first[train]
        order = torch.randperm(len(train), generator=generator(self.split.seed, "split train", axis))
        order = together(order, first)
        n = uncut(order, first, n)
        kept, left = train[order[:n].sort().values], train[order[n:].sort().values]
        return {**parts, "train": kept, "held": torch.cat([parts["held"], left])}

    def _by_label(self, every: Tensor) -> dict[str, Tensor]:
        labels, words = self.data[self.split.role], list(self.given[self.split.role].columns)
        if self.split.by == "given":
            parts = torch.tensor(
                [_part_number(word, self.split.role, labels, k) for k, word in enumerate(words)]
            )
            own = parts[labels] if words else torch.full_like(labels, -1)
            return self._unshared({part: every[own == k] for k, part in enumerate(PARTS)})
        groups = torch.unique(labels)
        if isinstance(self.split.test, list | tuple):
            test = torch.tensor([_code(name, words, groups) for name in self.split.test])
            rest = groups[~torch.isin(groups, test)]
        else:
            order = groups[torch.randperm(len(groups), generator=generator(self.split.seed, "split groups"))]
            n = max(1, self._size(self.split.test, len(groups)))
            test, rest = order[:n], order[n:]
        held = rest[: self._size(self.split.held, len(groups))]
        inside = {"test": torch.isin(labels, test), "held": torch.isin(labels, held)}
        train = ~(inside["test"] | inside["held"])
        return _checked({"train": every[train], "held": every[inside["held"]], "test": every[inside["test"]]})

    def _unshared(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Parts of which no group has rows in two.

        Raises:
            InvalidInputError: If one has, or a part would be empty.
        """
        name = self.split.groups
        if name and self.axes.get(name) != self.axes.get(self.split.role):
            raise invalid("split", f"groups must have one row per row of {self.split.role}", repr(name))
        for first, second in combinations(parts if name else (), 2):
            own = [torch.unique(self.data[name][parts[part]]) for part in (first, second)]
            shared = own[0][torch.isin(own[0], own[1])]
            if len(shared):
                words = list(self.given[name].columns)
                shown = repr(words[int(shared[0])]) if words else str(int(shared[0]))
                found = f"{len(shared)} in both {first} and {second}, e.g. {shown}"
                rule = f"all rows of a group of {name} must lie in one part"
                raise invalid("split", rule, found, "Move its rows to one part, or split by = 'group'.")
        return _checked(parts)

    @functools.cached_property
    def _known_copies(self) -> dict[str, Tensor | None]:
        return {}

    def _copies(self, axis: str) -> Tensor | None:
        """The first row of which each row of an axis is a copy in all its roles; None where there are no copies."""
        if axis not in self._known_copies:
            known = (self.split.role, self.split.groups)
            names = [name for name, its in self.axes.items() if its == axis and name not in known]
            self._known_copies[axis] = copies(*(self.data[name] for name in names))
        return self._known_copies[axis]

    def copied(self, parts: Mapping[str, Tensor], axis: str) -> int:
        """Number of test rows that are copies of train or held-out rows, for given parts.

        Warns:
            DataWarning: If there are some.
        """
        first = self._copies(axis)
        if first is None or self.split.by == "none":
            return 0
        learnt = torch.cat([parts["train"], parts["held"]])
        count = int(torch.isin(first[parts["test"]], first[learnt]).sum())
        if count:
            what = f"{count} of {len(parts['test'])} test rows are copies of training rows"
            remedy = "Put equal rows into one part, or drop the copies"
            tell(DataWarning, f"split: {what}, and scores on them are too good. {remedy}.")
        return count

    def _cut(self, order: Tensor, first: Tensor | None = None) -> dict[str, Tensor]:
        """Train, held-out and test rows in this order; cuts do not part copies, which follow each other."""
        n = len(order)
        if isinstance(self.split.test, list | tuple):
            raise invalid("split", "a list of test groups goes with by = 'group'", self.split.by)
        test, held = self._size(self.split.test, n), self._size(self.split.held, n)
        train = max(uncut(order, first, n - test - held), 0)
        end = max(uncut(order, first, n - test), train)
        return _checked({"train": order[:train], "held": order[train:end], "test": order[end:]})

    @staticmethod
    def _size(share: float, n: int) -> int:
        return int(share) if share >= 1 else round(share * n)


def _part_number(word: object, role: str, labels: Tensor, code: int) -> int:
    """The part, as a place in ``PARTS``, that a word of a given split means."""
    name = str(word).strip().lower()
    found = next((part for part in PARTS if name == part or name in _ALSO[part]), None)
    if found is None:
        rule = f"words of {role} must be {', '.join(PARTS)}"
        got = f"{word!r} in {int((labels == code).sum())} rows"
        raise invalid("split", rule, got, "Rename the word, or drop these rows before.")
    return PARTS.index(found)


def _code(name: Any, words: Sequence[Any], groups: Tensor) -> int:
    if words and name in words:
        return words.index(name)
    if not words and isinstance(name, int) and name in groups.tolist():
        return name
    known = [str(word) for word in words] or [str(g) for g in groups.tolist()]
    raise invalid("split", "test must name groups that there are", repr(name), nearest(str(name), known))


def _checked(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    sizes = {name: len(rows) for name, rows in parts.items()}
    if not sizes["train"] or not sizes["test"]:
        raise invalid("split", "train and test must both have rows", f"{sizes}", "Pass more rows.")
    return parts


def rolling(n: int, cut: int, context: int, horizon: int, origins: int) -> Iterator[tuple[slice, slice]]:
    """Windows whose future lies behind ``cut``, evenly spread: context and future.

    Args:
        n: Length of the series.
        cut: First index of the test.
        context: Maximum number of steps of context.
        horizon: Steps of the future.
        origins: Number of windows.
    """
    last = n - horizon
    if last < cut:
        raise invalid("rolling", f"the test must have at least {horizon} steps", n - cut)
    for i in range(origins):
        origin = cut + round(i * (last - cut) / max(origins - 1, 1))
        yield slice(max(0, origin - context), origin), slice(origin, origin + horizon)
