"""Coupling protocol and result, conditions that follow their samples, and costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.foundations.row_weights import WeightedRows

# A condition is a tensor with one row per sample, or a dict, tuple or list of conditions, or None.
Cond: TypeAlias = Any

_FLOAT32_ABOVE = 256  # dimensions: beyond, a float64 product of large batches costs more than it gives


# Pair within labels where the conditions are labels.
AUTO = "auto"


@dataclass(frozen=True)
class Pairs:
    """Row i of every member belongs to pair i.

    Attributes:
        x0: Base samples, (N, *D).
        x1: Data samples, (N, *D).
        cond0: Conditions that came with ``x0``, re-ordered with them; None if none were given.
        cond1: Conditions that came with ``x1``, re-ordered with them; None if none were given.
        index0: Rows of the given ``x0`` that were taken, (N,), int64.
        index1: Rows of the given ``x1`` that were taken, (N,), int64.
    """

    x0: Tensor
    x1: Tensor
    cond0: Cond
    cond1: Cond
    index0: Tensor
    index1: Tensor


@runtime_checkable
class Coupling(Protocol):
    """A joint distribution of (x0, x1), realised on batches of samples of its two marginals."""

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Pair a batch of ``x0`` with a batch of ``x1``; conditions stay with their samples."""
        ...


@runtime_checkable
class UnfittedCoupling(Protocol):
    """A coupling that must see the two sample sets first; whoever makes batches calls `fit` and goes on with its
    result.
    """

    def fit(self, x0: Tensor, x1: Tensor) -> Coupling:
        """Learn from samples of the two marginals, (N0, *D) and (N1, *D)."""
        ...


@runtime_checkable
class LabelledCoupling(Protocol):
    """A coupling that may pair within labels.

    Attributes:
        within: Key of the labels in the conditions; None pairs across labels; ``"auto"`` within labels where the
            conditions are labels.
    """

    within: str | None


def labels_within(coupling: object, cond0: Cond, cond1: Cond) -> str | None:
    """Key of the labels that a coupling pairs within under these conditions; None where it pairs across them."""
    return found_within(coupling.within, cond0, cond1) if isinstance(coupling, LabelledCoupling) else None


def found_within(within: str | None, cond0: Cond, cond1: Cond) -> str | None:
    """``within``, where ``"auto"`` has become ``"labels"`` if conditions of x1 (and of x0, if any) are labels."""
    if within != AUTO:
        return within
    known = _has_labels(cond1) and (cond0 is None or _has_labels(cond0))
    return "labels" if known else None


def _has_labels(cond: Cond) -> bool:
    found = cond.get("labels") if isinstance(cond, Mapping) else cond
    if not isinstance(found, Tensor) or found.is_floating_point() or found.is_complex():
        return False
    return found.ndim > 0 and found.numel() == found.shape[0]


def take(cond: Cond, index: Tensor) -> Cond:
    """Rows ``index`` of a condition, whatever its nesting; None stays None."""
    if cond is None:
        return None
    if isinstance(cond, Mapping):
        return {key: take(value, index) for key, value in cond.items()}
    if isinstance(cond, Sequence):
        return tuple(take(value, index) for value in cond)
    return cond[index.to(cond.device)]


def check_pairing(
    who: str, x0: Tensor, x1: Tensor, cond0: Cond, cond1: Cond, *, equal: bool, distances: bool
) -> None:
    """Refuse batches that ``who`` cannot pair.

    Args:
        who: Public name of the coupling.
        x0: Base samples, (N0, *D).
        x1: Data samples, (N1, *D).
        cond0: Conditions of ``x0``.
        cond1: Conditions of ``x1``.
        equal: Whether N0 and N1 must be equal.
        distances: Whether distances will be taken: then shapes must agree and values be finite.

    Raises:
        InvalidInputError: For empty or 0-d batches, unequal sizes or shapes, conditions with another
            number of rows, NaN or infinite values, two devices.
    """
    for name, x in (("x0", x0), ("x1", x1)):
        if x.ndim == 0 or x.shape[0] == 0:
            raise invalid(who, f"{name} must have at least one row", f"shape {tuple(x.shape)}")
    if equal and x0.shape[0] != x1.shape[0]:
        remedy = "Draw batches of equal size."
        raise invalid(who, "x0 and x1 must have the same number of rows", _sizes(x0, x1), remedy)
    _check_rows(who, "cond0", cond0, x0.shape[0])
    _check_rows(who, "cond1", cond1, x1.shape[0])
    if not distances:
        return
    if x0.shape[1:] != x1.shape[1:]:
        shapes = f"{tuple(x0.shape[1:])} and {tuple(x1.shape[1:])}"
        raise invalid(who, "one x0 and one x1 must have the same shape", shapes, "Distances need it.")
    if x0.device != x1.device:
        raise invalid(who, "x0 and x1 must be on one device", f"{x0.device} and {x1.device}")
    for name, x in (("x0", x0), ("x1", x1)):
        _check_values(who, name, x)


def _check_values(who: str, name: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise invalid(who, f"{name} must be floating point", str(x.dtype), f"Pass {name}.float().")
    bad = ~torch.isfinite(x).reshape(x.shape[0], -1).all(1)
    if bad.any():
        rows = bad.nonzero().flatten()
        got = f"{len(rows)} bad rows, the first at row {int(rows[0])}"
        raise invalid(who, f"{name} must be finite", got, "Remove NaN and infinite values first.")


def _sizes(x0: Tensor, x1: Tensor) -> str:
    return f"{x0.shape[0]} and {x1.shape[0]}"


def _check_rows(who: str, name: str, cond: Cond, rows: int) -> None:
    if cond is None:
        return
    if isinstance(cond, Mapping):
        for key, value in cond.items():
            _check_rows(who, f"{name}[{key!r}]", value, rows)
    elif isinstance(cond, Tensor):
        if cond.ndim == 0 or cond.shape[0] != rows:
            rule = f"{name} must have one row per sample, {rows}"
            raise invalid(who, rule, f"shape {tuple(cond.shape)}")
    elif isinstance(cond, Sequence) and not isinstance(cond, str):
        for position, value in enumerate(cond):
            _check_rows(who, f"{name}[{position}]", value, rows)
    else:
        rule = f"{name} must be a tensor, or a dict or tuple of tensors"
        raise invalid(who, rule, type(cond).__name__, "Convert it with torch.as_tensor.")


def make_pairs(x0: Tensor, x1: Tensor, cond0: Cond, cond1: Cond, index0: Tensor, index1: Tensor) -> Pairs:
    """Gather the chosen rows and everything attached to them."""
    index0, index1 = index0.to(x0.device), index1.to(x1.device)
    return Pairs(x0[index0], x1[index1], take(cond0, index0), take(cond1, index1), index0, index1)


def permutation(n: int, generator: torch.Generator | None) -> Tensor:
    """A uniform random permutation of n rows, drawn on the generator's own device and moved to the CPU."""
    device = "cpu" if generator is None else generator.device
    return torch.randperm(n, generator=generator, device=device).cpu()


@torch.no_grad()
def costs(who: str, x0: Tensor, x1: Tensor, *, common: bool = False) -> tuple[Tensor, float]:
    """Squared distances between the *centred* clouds, in units of their mean.

    ``|x0_i - x1_j|^2`` differs from the centred cost by one number per row and one per column, which
    changes no optimal plan with given marginals. So the pairing ignores a shift of either cloud, loses no digits
    to a large offset, and, the mean being one, has no scale.

    Args:
        who: Name of the caller, used in error messages.
        x0: (N0, *D), finite.
        x1: (N1, *D), finite.
        common: Subtract one centre from both clouds: a shift between them then counts.

    Returns:
        The matrix (N0, N1) with mean 1 (all zeros if both clouds are single points), in float64 up to
        256 dimensions and float32 beyond; and its unit, in data units squared.
    """
    a, b = x0.flatten(1) if x0.ndim > 1 else x0[:, None], x1.flatten(1) if x1.ndim > 1 else x1[:, None]
    coarse = a.shape[1] > _FLOAT32_ABOVE or a.device.type == "mps"
    dtype = torch.float32 if coarse else torch.float64
    # Autocast would make the product in bfloat16 and the "optimal" pairs wrong.
    with torch.autocast(a.device.type, enabled=False):
        # Centred before anything is rounded to float32.
        a, b = (x.to(torch.promote_types(x.dtype, dtype)) for x in (a, b))
        centre0, centre1 = a.mean(0), b.mean(0)
        if common:
            centre0 = centre1 = (centre0 + centre1) / 2
        a, b = (a - centre0).to(dtype), (b - centre1).to(dtype)
        scale = float(torch.maximum(a.abs().max(), b.abs().max()))
        number(who, "differences of samples", scale, at_least=0, remedy="Rescale the data.")
        if scale == 0:
            return a.new_zeros(a.shape[0], b.shape[0]), 1.0
        a, b = a / scale, b / scale
        unit = float(a.square().sum(1).mean() + b.square().sum(1).mean())
        if common:
            unit -= 2 * float(a.mean(0) @ b.mean(0))
        a, b = a / unit**0.5, b / unit**0.5
        squares = a.square().sum(1, keepdim=True) + b.square().sum(1)
        return torch.addmm(squares, a, b.T, alpha=-2.0).clamp_(min=0), unit * scale**2


def check_within(who: str, within: str | None) -> str | None:
    """``within``, if it is None or the name of a condition."""
    if within is not None and (not isinstance(within, str) or not within):
        raise invalid(who, "within must be None or the name of a condition", within, 'Use "labels".')
    return within


def label_blocks(
    who: str,
    n0: int,
    n1: int,
    cond0: Cond,
    cond1: Cond,
    *,
    within: str | None,
    equal: bool,
    generator: torch.Generator | None,
) -> list[tuple[Tensor, Tensor]]:
    """Split both batches into groups of rows that may be paired with each other.

    Without ``within`` there is one group. With it, groups have one label each. When only ``x1`` is
    labelled the base does not depend on the label, so its rows are dealt to the labels at random, as
    many as ``x1`` has of each.

    Args:
        who: Name of the caller, used in error messages.
        n0: Rows of ``x0``.
        n1: Rows of ``x1``.
        cond0: Conditions of ``x0``.
        cond1: Conditions of ``x1``.
        within: Key of the labels in the conditions (a bare tensor is taken as the labels), or ``"auto"``.
        equal: Whether the two halves of a group must have one size.
        generator: Deals unlabelled rows.

    Returns:
        Pairs of row indices, int64 on the CPU; together they cover all rows of ``x0``.
    """
    within = found_within(within, cond0, cond1)
    if within is None:
        return [(torch.arange(n0), torch.arange(n1))]
    labels0, labels1 = _labels(who, "cond0", cond0, within), _labels(who, "cond1", cond1, within)
    if labels1 is None:
        remedy = "Pass cond1=labels, or leave within out."
        raise invalid(who, f"within={within!r} needs labels of x1", "cond1=None", remedy)
    values, counts = torch.unique(labels1, return_counts=True)
    columns = torch.split(labels1.argsort(stable=True), counts.tolist())
    if labels0 is None:
        if n0 != n1:
            remedy = "Draw batches of equal size, pass cond0, or use within=None."
            rule = "x0 and x1 must have the same number of rows when x0 has no labels"
            raise invalid(who, rule, f"{n0} and {n1}", remedy)
        return list(zip(torch.split(permutation(n0, generator), counts.tolist()), columns, strict=True))
    values0, counts0 = torch.unique(labels0, return_counts=True)
    if (equal and not (torch.equal(values0, values) and torch.equal(counts0, counts))) or not bool(
        torch.isin(values0, values).all()
    ):
        rule = "x0 and x1 must have the same labels" + (", equally often" if equal else "")
        got = f"counts {_table(values0, counts0)} and {_table(values, counts)}"
        raise invalid(who, rule, got, "Draw both batches stratified by label, or use within=None.")
    rows = torch.split(labels0.argsort(stable=True), counts0.tolist())
    by_label = dict(zip(values.tolist(), columns, strict=True))
    return [(r, by_label[value]) for r, value in zip(rows, values0.tolist(), strict=True)]


@dataclass(frozen=True)
class RowsOfLabel:
    """Rows of x0 by label, from which batches with matching labels are drawn, all rows equally often.

    Attributes:
        order: Rows of ``x0``, label by label.
        first: Where those of its label begin in ``order``, for each row of ``x1``.
        count: How many there are.
        weighted: Weights of the rows in ``order``; None for rows of equal weight.
    """

    order: Tensor
    first: Tensor
    count: Tensor
    weighted: WeightedRows | None = None

    @classmethod
    def of(cls, who: str, cond0: Cond, cond1: Cond, within: str) -> "RowsOfLabel | None":
        """From the conditions of both whole sets; None where one end has no labels.

        Raises:
            InvalidInputError: If a label of ``x1`` has no row of ``x0``, or the labels are no single numbers.
        """
        labels0, labels1 = _labels(who, "cond0", cond0, within), _labels(who, "cond", cond1, within)
        if labels0 is None or labels1 is None:
            return None
        values, counts = torch.unique(labels0, return_counts=True)
        if not bool((known := torch.isin(labels1, values)).all()):
            found = f"label {labels1[~known][0].item()} of x1 without a row of x0"
            raise invalid(who, f"within={within!r} needs rows of x0 for every label of x1", found)
        place = torch.searchsorted(values, labels1)
        return cls(labels0.argsort(stable=True), (counts.cumsum(0) - counts)[place], counts[place])

    def draw(self, rows1: Tensor, generator: torch.Generator | None) -> Tensor:
        """For each of these rows of ``x1`` a row of ``x0`` with its label, at random with replacement."""
        uniform, count = torch.rand(len(rows1), generator=generator, dtype=torch.float64), self.count[rows1]
        first = self.first[rows1]
        if self.weighted is not None:
            return self.order[self.weighted.at(uniform, first, first + count)]
        return self.order[first + torch.minimum((uniform * count).long(), count - 1)]

    def by_weight(self, weights0: Tensor) -> "RowsOfLabel":
        """The same rows, drawn in proportion to their weights ``(N0,)`` within each label."""
        return replace(self, weighted=WeightedRows(weights0[self.order]))


def _table(values: Tensor, counts: Tensor) -> str:
    return str(dict(zip(values.tolist()[:8], counts.tolist()[:8], strict=True)))


def _labels(who: str, name: str, cond: Cond, key: str) -> Tensor | None:
    if cond is None:
        return None
    if isinstance(cond, Mapping):
        if key not in cond:
            raise invalid(who, f"{name} must have the key {key!r}", f"keys {sorted(map(str, cond))}")
        cond = cond[key]
    if not isinstance(cond, Tensor):
        remedy = f"Pass a dict and name the labels {key!r}."
        raise invalid(who, f"the labels in {name} must be one tensor", type(cond).__name__, remedy)
    if cond.numel() != cond.shape[0]:
        remedy = "Continuous or vector conditions need a coarser label, e.g. their bin."
        raise invalid(who, f"the labels in {name} must be (N,)", f"shape {tuple(cond.shape)}", remedy)
    labels = cond.detach().flatten().cpu()
    # torch.isin knows no truth values.
    return labels.to(torch.uint8) if labels.dtype == torch.bool else labels
