"""Data sets of (sample, label) items, as PyTorch has them: both members by one pass."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, SequentialSampler, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from interpolants.data.item_sets import item_set
from interpolants.foundations.errors import invalid


def is_data_set(value: Any) -> bool:
    """Whether it is a data set or a loader of PyTorch's."""
    return isinstance(value, TorchDataset | DataLoader)


def is_shuffled(value: Any) -> bool:
    """Whether its rows come in an order that may differ from pass to pass."""
    if not isinstance(value, DataLoader) or isinstance(value.dataset, IterableDataset):
        return False
    sampler = value.sampler if value.batch_sampler is None else getattr(value.batch_sampler, "sampler", None)
    return not isinstance(sampler, SequentialSampler)


def sample_and_label(data: Any, who: str, name: str) -> tuple[Any, Any]:
    """The samples of a data set or loader and what follows each: ``(N, *D)``, and labels ``(N,)`` or vectors.

    Samples of a large data set come as an :class:`~interpolants.data.item_sets.ItemSet`.

    Args:
        data: A data set with items ``(x, label)``, or a loader of it.
        who: Name of the caller, used in error messages.
        name: Argument that asks for the labels, for errors.

    Raises:
        InvalidInputError: If an item is a sample alone.
    """
    if isinstance(data, TensorDataset):
        pair = data.tensors[:2]
        return _both(pair, who, name)
    items = item_set(data, who, name)
    if items is not None and not items.is_small:
        return items, _joined(tuple(items.labels()), in_batches=False)
    in_batches = isinstance(data, DataLoader) and data.batch_size is not None
    indexed = not isinstance(data, DataLoader | IterableDataset)
    batches: Iterable[Any] = (data[i] for i in range(len(data))) if indexed else data
    samples, labels = zip(*(_both(item, who, name) for item in batches), strict=True)
    return _joined(samples, in_batches=in_batches), _joined(labels, in_batches=in_batches)


def _both(item: Any, who: str, name: str) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) < 2:
        rule = f"{name} was given a data set, whose items must be (sample, label)"
        raise invalid(who, rule, f"items of {len(item) if isinstance(item, tuple | list) else 1} member")
    return item[0], item[1]


def _joined(parts: tuple[Any, ...], *, in_batches: bool) -> Any:
    if all(isinstance(part, Tensor) for part in parts):
        return torch.cat(parts) if in_batches else torch.stack(parts)
    if in_batches:  # labels that are words come as a list for each batch
        return np.concatenate([np.asarray(part) for part in parts])
    return np.asarray(parts)
