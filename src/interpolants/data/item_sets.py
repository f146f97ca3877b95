"""Map-style data sets of PyTorch, and loaders of them, whose rows are read as a fit needs them.

The items are read once, sequentially, into a temporary file, so that large ones need no memory. Where items
change from one reading to the next (random flips, say), training reads them again for every step, by the random stream
of that step: a fit resumed from a checkpoint sees the same items.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)
from torch.utils.data import Dataset as TorchDataset

from interpolants.data.arrays import Kind, as_tensor, first_member, tensor_item, with_seed
from interpolants.data.unpacked_rows import unpacked_rows
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.row_access import LazyRows

# Bytes up to which repeatable items are read into memory at once.
SMALL = 16 * 2**20
_PROBED = 8  # items that are read twice to see whether they change


@dataclass(frozen=True, eq=False)
class ItemSet:
    """Items by number: those of a data set, or as the ``collate_fn`` of a loader returns them.

    Attributes:
        data: The data set.
        collate: Makes a batch of a list of items; None for a data set without a loader.
        caller: Name of the caller, used in error messages.
        name: Name of the argument, used in error messages.
    """

    data: Any
    collate: Callable[[list[Any]], Any] | None
    caller: str
    name: str

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, index: Sequence[int]) -> Any:
        """Items by number, as a batch of the loader, or as a list."""
        items = [self.data[k] for k in index]
        return items if self.collate is None else self.collate(items)

    def samples(self, index: Sequence[int]) -> Tensor:
        """Samples by number, ``(n, *D)``, without their labels."""
        result = self.batch(index)
        if self.collate is not None:
            return tensor_item(first_member(result), self.caller, self.name)
        parts = [tensor_item(first_member(item), self.caller, self.name) for item in result]
        shapes = {tuple(part.shape) for part in parts}
        if len(shapes) > 1:
            rule = f"items of {self.name} must have the same shape"
            raise invalid(self.caller, rule, " and ".join(map(str, sorted(shapes)[:2])))
        return torch.stack(parts)

    def labels(self) -> list[Any]:
        """Second member of every item, or of every batch of one item."""
        return [self._label(self.batch([k])) for k in range(len(self))]

    def _label(self, batch: Any) -> Any:
        item = batch[0] if self.collate is None else batch
        if not isinstance(item, tuple | list) or len(item) < 2:
            rule = f"{self.name} was given a data set, whose items must be (sample, label)"
            members = len(item) if isinstance(item, tuple | list) else 1
            raise invalid(self.caller, rule, f"items of {members} member")
        return item[1] if self.collate is None else item[1][0]

    @cached_property
    def changes(self) -> bool:
        """Whether items differ from one reading to the next."""
        index = np.unique(np.linspace(0, len(self) - 1, _PROBED).astype(int)).tolist()
        first, second = (with_seed(lambda: self.samples(index), generator(seed, "items")) for seed in (0, 1))
        return not torch.equal(first, second)

    @property
    def is_small(self) -> bool:
        """Whether all items are best read into memory at once."""
        sample = self.samples([0])
        return sample.numel() * sample.element_size() * len(self) <= SMALL and not self.changes

    def rows(self) -> tuple[LazyRows, Kind]:
        """Rows for a fit, and how they came.

        Raises:
            InvalidInputError: If items are not finite numbers of the same shape.
        """
        first, kind = as_tensor(self.samples([0]), self.caller, self.name)
        shape = torch.Size((len(self), *first.shape[1:]))
        stored = unpacked_rows(self._parts(shape), tuple(shape), first.numpy().dtype)

        def read(rows: Any) -> Tensor:
            return torch.as_tensor(np.array(stored[rows if isinstance(rows, slice) else rows.cpu().numpy()]))

        vary = self._again if self.changes else None
        variation = "items as the data set gives them" if self.changes else ""
        return LazyRows(read, shape, first.dtype, vary, variation), Kind("dataset", kind.dtype, kind.device)

    def _parts(self, shape: torch.Size) -> Iterator[NDArray[Any]]:
        for k in range(len(self)):
            # A seed for each item: what is stored does not depend on what was read before.
            read = with_seed(lambda k=k: self.samples([k]), generator(k, "stored items"))
            part, _ = as_tensor(read, f"{self.caller}: item {k}", self.name)
            if part.shape[1:] != shape[1:]:
                shapes = f"{tuple(shape[1:])} and {tuple(part.shape[1:])}"
                raise invalid(self.caller, f"items of {self.name} must have the same shape", shapes)
            yield part.numpy()

    def _again(self, rows: Tensor, source: Generator) -> Tensor:
        result = with_seed(lambda: self.samples(rows.tolist()), source)
        return as_tensor(result, self.caller, self.name)[0]


def item_set(value: Any, caller: str, name: str) -> ItemSet | None:
    """The items of a map-style data set, or of a loader that reads each of them once; None for anything else.

    A loader with a dedicated sampler, which may skip or weight items, is None too.

    Args:
        value: Anything.
        caller: Name of the caller, used in error messages.
        name: Name of the argument, used in error messages.
    """
    if isinstance(value, TensorDataset | IterableDataset):
        return None
    if isinstance(value, TorchDataset) and hasattr(value, "__len__"):
        return ItemSet(value, None, caller, name) if len(value) else None
    if not isinstance(value, DataLoader) or type(value.batch_sampler) is not BatchSampler:
        return None
    sampler: Any = value.batch_sampler.sampler
    data: Any = value.dataset
    reads_all = type(sampler) is SequentialSampler or (
        type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == len(sampler)
    )
    if not reads_all or isinstance(data, IterableDataset) or value.drop_last or len(sampler) != len(data):
        return None
    return ItemSet(data, value.collate_fn, caller, name) if len(sampler) else None
