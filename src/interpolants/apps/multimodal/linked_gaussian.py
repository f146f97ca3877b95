"""A Gaussian of all modalities together: what linear relations alone know, and without them the mean of each."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.apps.multimodal.modality_roles import (
    Modalities,
    answered,
    check_all_there,
    is_there,
    modality_roles,
    told,
)
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Count
from interpolants.foundations.randomness import BLOCK, by_block
from interpolants.foundations.shrinkage import shrunk_correlation
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import constant_columns
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run

# Eigenvalues of a known block below this share of the largest one are directions that do not vary.
_SMALL = 1e-9


class LinkedGaussian(Method):
    """``N(mean, C)`` of columns of all modalities, labels as columns of zeros and ones; rows without gaps are used."""

    only_cpu: ClassVar[str] = "two moments are found in no time"
    noun: ClassVar[str] = "Gaussian of modalities"

    modalities: Modalities = field(default_factory=lambda: {"image": "rows", "label": "labels"})
    """As in :class:`~interpolants.apps.multimodal.MultimodalDiffusion`."""
    linked: bool = True
    """Whether modalities tell of each other; without it each has its own Gaussian, and its mean is the answer whatever
    is given."""

    def roles(self) -> tuple[Role, ...]:
        """A role for each modality."""
        return modality_roles(self.modalities)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Mean and covariance of all columns, the correlation shrunk as rows that are left out ask for."""
        check_all_there(who(), data, self.modalities)
        there = torch.stack([is_there(data[name]) for name in self.modalities], 1).all(1)
        if int(there.sum()) < 2:
            remedy = "Only rows of which every modality is there tell how they are linked."
            raise invalid("two rows or more must have no gaps", int(there.sum()), remedy)
        labels = {
            name: int(data[name].max()) + 1 for name, kind in self.modalities.items() if kind == "labels"
        }
        columns = {name: _columns(data[name][there], labels.get(name, 0)) for name in self.modalities}
        x, widths = torch.cat([*columns.values()], 1), [part.shape[1] for part in columns.values()]
        if self.linked:
            cov = _covariance(x)
        else:
            blocks = [_covariance(part) for part in columns.values()]
            cov = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
        return {"mean": x.mean(0), "covariance": cov, "widths": widths, "labels": labels}

    @capability()
    def sample(self, n: Count, *, seed: int = 0, first_index: int = 0) -> dict[str, Any]:
        """Draws of all modalities; the largest column of a label is the label.

        Args:
            n: Number of rows.
            seed: Seed of the draws.
            first_index: Index of the first row in a larger job.
        """
        x = torch.zeros(n, len(self.state["mean"]), dtype=torch.float64)
        return answered(self._values(self._filled(x, x.bool(), seed, first_index)), self.given)

    @capability()
    def fill(self, /, *, seed: int = 0, first_index: int = 0, **roles: Any) -> dict[str, Any]:
        """Draws of what is not given.

        Args:
            seed: Seed of the draws.
            first_index: Index of the first row in a larger job.
            roles: Modalities by name.
        """
        given, x, known = self._known(roles)
        drawn = self._values(self._filled(x, known, seed, first_index))
        for name, value in given.items():
            there = is_there(value).reshape(-1, *(1,) * (value.ndim - 1))
            drawn[name] = torch.where(there, value, drawn[name].to(value.dtype))
        return answered(drawn, self.given)

    @capability()
    def expect(self, /, **roles: Any) -> dict[str, Any]:
        """Conditional means; columns of labels ``(B, k)``, which may lie outside of [0, 1].

        Args:
            roles: Modalities by name.
        """
        _, x, known = self._known(roles)
        parts = self._parts(self._filled(x, known, None, 0))
        images = {name: x for name, x in parts.items() if name not in self.state["labels"]}
        return {**{name: x.numpy() for name, x in parts.items()}, **answered(images, self.given)}

    def cannot(self, verb: str) -> str:
        """One modality has nothing to be told."""
        one = verb in ("fill", "expect") and len(self.modalities) == 1
        return "it has one modality, and no other to be given." if one else ""

    def _known(self, roles: Mapping[str, Any]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """What is given, as columns ``(B, D)``, and which of them are known."""
        given = told(who(), roles, self.modalities)
        rows = len(next(iter(given.values())))
        x, known = [], []
        for name, width in zip(self.modalities, self.state["widths"], strict=True):
            value = given.get(name)
            there = torch.zeros(rows, dtype=torch.bool) if value is None else is_there(value)
            columns = None if value is None else _columns(value, self.state["labels"].get(name, 0))
            blank = torch.zeros(rows, width, dtype=torch.float64)
            x.append(blank if columns is None else torch.where(there[:, None], columns, 0.0))
            known.append(there[:, None].expand(-1, width))
        return given, torch.cat(x, 1), torch.cat(known, 1)

    def _filled(self, x: Tensor, known: Tensor, seed: int | None, first: int) -> Tensor:
        """Columns with what is not known in its place: drawn, or its mean without a seed."""
        found = torch.where(known, x, self.state["mean"])
        noise = None if seed is None else _noise(seed, first, *x.shape)
        for pattern in torch.unique(known, dim=0):
            rows = (known == pattern).all(1)
            found[rows] = self._given_pattern(x[rows], pattern, None if noise is None else noise[rows])
        return found

    def _given_pattern(self, x: Tensor, known: Tensor, noise: Tensor | None) -> Tensor:
        mean, cov, found, left = self.state["mean"], self.state["covariance"], x.clone(), ~known
        # Correlations, so that no column is small beside another: columns may have any units.
        spread = cov.diagonal().sqrt()
        size = torch.where(spread > 0, spread, 1.0)
        cov = cov / size / size[:, None]
        slope = cov[left][:, known] @ torch.linalg.pinv(cov[known][:, known], hermitian=True, rtol=_SMALL)
        # One row after the other: a product of matrices rounds by the number of rows.
        for row in found:
            row[left] = mean[left] + size[left] * (slope * ((row - mean) / size)[known]).sum(1)
        if noise is not None and bool(left.any()):
            values, vectors = torch.linalg.eigh(cov[left][:, left] - slope @ cov[known][:, left])
            root = vectors * values.clamp_min(0).sqrt()
            for row, draw in zip(found, noise, strict=True):
                row[left] += size[left] * (root * draw[left]).sum(1)
        return found

    def _parts(self, x: Tensor) -> dict[str, Tensor]:
        blocks = torch.split(x, self.state["widths"], 1)
        return {
            name: block if name in self.state["labels"] else block.reshape(-1, *self.shapes[name])
            for name, block in zip(self.modalities, blocks, strict=True)
        }

    def _values(self, x: Tensor) -> dict[str, Tensor]:
        labels = self.state["labels"]
        return {name: part.argmax(1) if name in labels else part for name, part in self._parts(x).items()}


def _covariance(x: Tensor) -> Tensor:
    """Of columns ``(N, D)``, shrunk as rows that are left out ask for; zero for columns that do not vary."""
    varies = ~constant_columns(x)
    spread = torch.where(varies, x.std(0), 0.0)
    values, vectors = shrunk_correlation(
        torch.where(varies, x - x.mean(0), 0.0) / torch.where(varies, spread, 1.0)
    )
    return spread[:, None] * ((vectors * values) @ vectors.T) * spread


def _columns(value: Tensor, labels: int) -> Tensor:
    if not labels:
        return value.flatten(1).double()
    return torch.nn.functional.one_hot(value.clamp(0, labels - 1), labels).double()


def _noise(seed: int, first: int, rows: int, width: int) -> Tensor:
    def draw(source: torch.Generator) -> Tensor:
        return torch.randn(BLOCK, width, dtype=torch.float64, generator=source)

    return by_block(draw, seed, ("gaussian of modalities",), first=first, count=rows)
