"""Conversion of in-memory samples to tensors, and of results back to the container that was given."""

import inspect
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.masked import MaskedTensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from interpolants.data.alphabet import END, Alphabet
from interpolants.data.typed_columns import untyped
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import seed_torch
from interpolants.foundations.records import record, settings_of

Container = Literal[
    "torch",
    "numpy",
    "pandas",
    "xarray",
    "list",
    "dataset",
    "distribution",
    "labels",
    "text",
    "condition",
    "thing",
]

_SHOWN = 5
_MAX_BYTES = 2**32


@record("container", parts=lambda kind: settings_of(kind.named(), "index"))
@dataclass(frozen=True)
class Kind:
    """Container and dtype of the input, so that results come back alike.

    Attributes:
        container: Which kind of object held the samples; ``text`` for strings of the symbols in ``columns``.
        dtype: Floating type of the answer; a NumPy type for numpy, pandas and xarray, else a torch type; or its name.
        device: Device of the answer, for torch; None for the others.
        columns: Column labels of a DataFrame; the name of a Series; the names of an xarray object's axes; the symbols
            of tokens.
        flat: Whether samples came as (N,) instead of (N, 1), or tokens as (L,) instead of (1, L).
        forms: What each column of a table with dates or words was, see :mod:`interpolants.data.coded_columns`; empty
            where all are numbers.
        types: Types of the columns of a table of any types, see :mod:`interpolants.data.typed_columns`.
        absent: Numbers below the highest label that no row had.
        spread: Mean and standard deviation of each column of a condition, or channel of one that is a field.
        index: Row labels of a table, coordinates of an xarray object; not stored.
    """

    container: Container
    dtype: Any
    device: torch.device | str | None = None
    columns: tuple[Any, ...] = ()
    flat: bool = False
    forms: tuple[Any, ...] = ()
    absent: tuple[int, ...] = ()
    spread: tuple[tuple[float, float], ...] = ()
    index: Any = field(default=None, compare=False, repr=False)
    types: tuple[Any, ...] = ()

    def named(self) -> "Kind":
        """The same with types and devices by name, and without an index, as files hold it."""
        device = None if self.device is None else str(self.device)
        plain = tuple(c.item() if isinstance(c, np.generic) else c for c in self.columns)
        columns = tuple(c if c is None or isinstance(c, str | int | float) else str(c) for c in plain)
        return replace(self, dtype=_name(self.dtype), device=device, columns=columns, index=None)

    @property
    def headings(self) -> tuple[str, ...]:
        """Names of the columns of a table; none for arrays."""
        return tuple(map(str, self.columns)) if self.container == "pandas" else ()

    @property
    def torch_dtype(self) -> torch.dtype:
        """The floating type as torch has it."""
        name = _name(self.dtype).removeprefix("torch.")
        found = getattr(torch, name, torch.float32)
        return found if isinstance(found, torch.dtype) else torch.float32


def is_table(value: Any) -> bool:
    """Whether a value has named columns and rows by place, as a DataFrame."""
    return hasattr(value, "columns") and hasattr(value, "iloc")


def _name(dtype: Any) -> str:
    return str(dtype) if isinstance(dtype, torch.dtype | str) else np.dtype(dtype).name


def as_tensor(
    data: Any,
    who: str,
    name: str = "x",
    *,
    samples: int | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    max_bytes: int = _MAX_BYTES,
    detach: bool = True,
    gaps: bool = False,
) -> tuple[Tensor, Kind]:
    """Samples, one per row, from anything that holds or makes them.

    Accepts tensors, NumPy arrays, DataFrames and Series, nested lists of numbers, objects with
    ``.values`` or ``__array__`` (xarray and others), datasets and loaders of torch (of a tuple item the
    first member is taken), ``torch.distributions`` and other objects with ``.sample(n)``, functions
    ``draw(n, generator)``.

    Args:
        data: The samples.
        who: Name of the caller, used in error messages.
        name: Name of the argument, used in error messages.
        samples: Number of rows to draw from an object that samples; such objects need it.
        generator: Seeds the draw; the global states of torch and NumPy are left as they were.
        dtype: Floating type of the result; None keeps float16, bfloat16, float32 and float64 as they are.
        max_bytes: Largest size to which a dataset or loader is unrolled, in bytes.
        detach: Leave behind how a tensor was computed.
        gaps: Allow NaN, which then means "not seen"; a masked array brings its gaps itself.

    Returns:
        Tensor (N, *D), contiguous, finite (but for gaps), N >= 1, (N, 1) if the data came as (N,); and its kind
        for ``restore``.

    Raises:
        InvalidInputError: For empty data, no dimension of samples, integers, complex numbers or objects,
            NaN or infinite rows, ragged lists, a dataset that is too large.
    """
    x, kind = _convert(data, who, name, samples, generator, max_bytes)
    if x.layout != torch.strided:
        raise invalid(who, f"{name} must be dense", str(x.layout), "Call .to_dense() first.")
    if not x.is_floating_point():
        remedy = "Convert it on purpose, e.g. x.float(); scale image levels; labels belong in cond."
        if x.is_complex():
            remedy = "Stack its real and imaginary parts."
        raise invalid(who, f"{name} must be floating point", str(x.dtype), remedy)
    if x.ndim == 0:
        remedy = "Pass an array with one row per sample."
        raise invalid(who, f"{name} must have a dimension of samples", "a single number", remedy)
    if x.numel() == 0:
        raise invalid(who, f"{name} must not be empty", f"shape {tuple(x.shape)}")
    _check_finite(x, who, name, gaps, table=kind.container == "pandas")
    if x.ndim == 1:
        x, kind = x[:, None], replace(kind, flat=True)
    # Tables come column by column, and sums over them would end in other bits than those over arrays.
    x = x.detach().contiguous() if detach else x
    return (x if dtype is None else x.to(dtype)), kind


def restore(tensor: Tensor, kind: Kind) -> Any:
    """Give a tensor back as the kind of object that the samples came in.

    A DataFrame gets its columns, and its index where the answer has as many rows; without matching columns (log
    densities, say) the answer is a Series or a DataFrame with numbered columns. An xarray object gets its axes and
    those coordinates that fit. Lists come back as lists. Datasets, distributions and tensors come back as tensors, with
    their graph if they have one.

    Args:
        tensor: (M, *D) or (M,).
        kind: As returned by ``as_tensor``.
    """
    if kind.container != "labels" and "int" in _name(kind.dtype):  # tokens
        return _restore_tokens(tensor, kind)
    if kind.flat and tensor.ndim == 2 and tensor.shape[1] == 1:
        tensor = tensor[:, 0]
    if kind.container in ("torch", "dataset", "distribution"):
        return tensor.to(device=kind.device, dtype=kind.torch_dtype)
    tensor = tensor.detach()
    if kind.container == "list":
        return tensor.tolist()
    wide = tensor.double() if tensor.dtype == torch.bfloat16 else tensor
    array = wide.cpu().numpy().astype(kind.dtype)
    if kind.container == "labels" and kind.columns:
        return np.asarray(kind.columns)[array.astype(np.int64)]
    if kind.container in ("numpy", "labels"):
        return array
    if kind.container == "xarray":
        return _as_xarray(array, kind)
    return _as_pandas(array, kind)


def _as_pandas(array: np.ndarray[Any, Any], kind: Kind) -> Any:
    """A Series of numbers ``(M,)``, or a DataFrame with the columns that came in, as far as they fit."""
    pandas = require("pandas", by="restore")
    index = kind.index if kind.index is not None and len(kind.index) == len(array) else None
    if array.ndim == 1:
        name = kind.columns[0] if kind.flat and kind.columns else None
        return pandas.Series(array, name=name, index=index)
    array = array.reshape(len(array), -1)
    if kind.types and len(kind.types) == array.shape[1]:
        return untyped(array, kind.types, kind.columns, index)
    fits = len(kind.columns) == array.shape[1]
    return pandas.DataFrame(array, columns=list(kind.columns) if fits else None, index=index)


def _without_end(rows: list[Any]) -> list[Any]:
    """Lists of tokens without what fills up the shorter ones."""
    return [_without_end(row) if isinstance(row, list) else row for row in rows if row != END]


def _restore_tokens(tensor: Tensor, kind: Kind) -> Any:
    """Rows of tokens as text or numbers, one row alone if it came alone; numbers about rows keep their type."""
    if tensor.is_floating_point():
        return tensor.cpu().numpy() if kind.container == "numpy" else tensor
    alone = kind.flat and len(tensor) == 1
    if kind.container == "text":
        texts = Alphabet(tuple(kind.columns)).decode(tensor)
        return texts[0] if alone else texts
    tensor = tensor[0] if alone else tensor
    if kind.container == "list":
        return _without_end(tensor.tolist())
    if kind.container == "numpy":
        return tensor.cpu().numpy().astype(kind.dtype)
    return tensor.to(device=kind.device, dtype=kind.torch_dtype)


def _as_xarray(array: np.ndarray[Any, Any], kind: Kind) -> Any:
    """An array with the axes that came in, as far as it has them, and the coordinates of the same length."""
    xarray = require("xarray", by="restore")
    names = list(kind.columns) if len(kind.columns) >= array.ndim else []
    dims = names[: array.ndim] if names else None
    sizes = dict(zip(dims or (), array.shape, strict=False))
    coords = {name: c for name, c in (kind.index or {}).items() if sizes.get(name) == len(c)}
    return xarray.DataArray(array, dims=dims, coords=coords)


def _check_finite(x: Tensor, who: str, name: str, gaps: bool, *, table: bool) -> None:
    wrong = x.isinf() if gaps else ~torch.isfinite(x)
    bad = wrong.reshape(x.shape[0], -1).any(1)
    if bool(bad.any()):
        rows = bad.nonzero().flatten().tolist()
        shown = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
        what = "infinite" if gaps else "NaN or infinite"
        got = f"{len(rows)} of {len(bad)} rows with {what} values (row {shown})"
        learnt = table and bool(x.isnan().any()) and not gaps
        remedy = ", or fit TableBridge, which learns missing cells" if learnt else ""
        raise invalid(who, f"{name} must be finite", got, f"Drop or repair these rows{remedy}.")


def unmasked(data: Any, who: str, name: str) -> Any:
    """Masked arrays and tensors, alone or in a list, as plain ones with NaN where masked; anything else as it is.

    Args:
        data: Anything.
        who: Name of the caller, used in error messages.
        name: Name of the argument, used in error messages.

    Raises:
        InvalidInputError: If masked values are no numbers, or a tensor is sparse.
    """
    if isinstance(data, Tensor) and data.layout != torch.strided:
        raise invalid(who, f"{name} must be dense", str(data.layout), "Call .to_dense() on it.")
    if isinstance(data, list | tuple):
        masked = any(isinstance(part, np.ma.MaskedArray | MaskedTensor) for part in data)
        return [unmasked(part, who, name) for part in data] if masked else data
    if isinstance(data, MaskedTensor):
        masked_tensor: Any = data  # its methods have no types
        plain: Tensor = masked_tensor.get_data()
        floats = plain if plain.is_floating_point() else plain.to(torch.get_default_dtype())
        return torch.where(masked_tensor.get_mask(), floats, math.nan)
    if not isinstance(data, np.ma.MaskedArray):
        return data
    if not np.ma.is_masked(data):
        return data.data
    if data.dtype.kind not in "fiub":
        remedy = "Drop these rows, or fill them: x.filled(...)."
        raise invalid(
            who, f"{name} must have no masked values", f"masked values of type {data.dtype}", remedy
        )
    wide: Any = data.astype(np.promote_types(data.dtype, np.float32))
    return wide.filled(np.nan)


def _convert(
    data: Any, who: str, name: str, samples: int | None, generator: torch.Generator | None, max_bytes: int
) -> tuple[Tensor, Kind]:
    data = unmasked(data, who, name)
    if isinstance(data, Tensor):
        return data, Kind("torch", data.dtype, data.device)
    if isinstance(data, np.ndarray):
        return _from_numpy(data, who, name), Kind("numpy", data.dtype)
    if type(data).__module__.partition(".")[0] == "xarray":
        return _from_xarray(data, who, name)
    if type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "dtypes"):
        return _from_pandas(data, who, name)
    if isinstance(data, (TorchDataset, DataLoader)):
        x = _unroll(data, who, name, max_bytes)
        return x, Kind("dataset", x.dtype, x.device)
    if isinstance(data, (list, tuple)):
        return _from_list(data, who, name)
    array = getattr(data, "values", None)
    if not isinstance(array, np.ndarray) and hasattr(data, "__array__"):
        array = np.asarray(data)
    if isinstance(array, np.ndarray):
        array = unmasked(array, who, name)
        return _from_numpy(array, who, name), Kind("numpy", array.dtype)
    if callable(getattr(data, "sample", None)) or is_draw(data):
        x = _draw(data, who, name, samples, generator)
        return x, Kind("distribution", x.dtype, x.device)
    remedy = "Pass an array, a DataFrame, a torch dataset or an object with .sample(n)."
    if hasattr(data, "toarray"):
        remedy = "Sparse data are not read: pass x.toarray()."
    raise invalid(who, f"{name} must contain samples", type(data).__name__, remedy)


def _from_numpy(array: np.ndarray[Any, Any], who: str, name: str) -> Tensor:
    if array.dtype.kind not in "fiubc":
        remedy = "Convert it to numbers, e.g. x.astype('float32')."
        raise invalid(who, f"{name} must be numeric", f"type {array.dtype}", remedy)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    # torch has no negative strides and warns about read-only memory: both need a copy.
    fine = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if fine else array.copy())


def _check_columns(data: Any, names: list[str], caller: str, name: str) -> None:
    """Check that columns have different names, and that ``pandas.read_csv`` has read them apart and no row numbers."""
    if repeated := next((column for column in names if names.count(column) > 1), ""):
        rule = f"columns of {name} must have different names"
        raise invalid(
            caller, rule, repr(repeated), "Rename them, or pass values without names, table.to_numpy()."
        )
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):  # cells of several columns in one
        remedy = "Read the file with its delimiter: pass sep=';' to pandas.read_csv, and decimal=',' if it has these."
        raise invalid(caller, f"{name} must have a column for each name", repr(names[0]), remedy)
    if names[:1] == ["Unnamed: 0"] and np.array_equal(data.iloc[:, 0].to_numpy(), np.arange(len(data))):
        remedy = "Read the file with index_col=0, or drop the column."
        raise invalid(caller, f"{name} must not have row numbers as a column", repr(names[0]), remedy)


def _from_pandas(data: Any, who: str, name: str) -> tuple[Tensor, Kind]:
    """Integer and boolean columns are taken as floats: tables have them beside measured ones."""
    series = not hasattr(data, "columns")
    columns = (data.name,) if series else tuple(data.columns)
    if not series:
        _check_columns(data, [str(column) for column in columns], who, name)
    dtypes = [data.dtype] if series else list(data.dtypes)
    for column, kind in zip(columns, dtypes, strict=True):
        if getattr(kind, "kind", "O") not in "fiub":
            remedy = "Fit interpolants.TableBridge() to the table, drop the column, or encode it as numbers."
            got = f"column {column!r} of type {kind}"
            raise invalid(who, f"{name} must have numeric columns", got, remedy)
    single = bool(dtypes) and all(str(kind).lower() in ("float32", "float16") for kind in dtypes)
    dtype = np.dtype(np.float32 if single else np.float64)
    array = np.array(data.to_numpy(dtype=dtype, na_value=np.nan))
    return torch.from_numpy(array), Kind("pandas", dtype, columns=columns, index=data.index)


def _from_xarray(data: Any, who: str, name: str) -> tuple[Tensor, Kind]:
    """A DataArray, whose first axis holds the samples."""
    if not hasattr(data, "dims") or not hasattr(data, "values") or hasattr(data, "data_vars"):
        remedy = "Pass one variable, data['name'], or data.to_array()."
        raise invalid(who, f"{name} must be an xarray.DataArray", type(data).__name__, remedy)
    coords = {str(dim): data.coords[dim].values for dim in data.dims if dim in data.coords}
    array = np.asarray(data.values)
    kind = Kind("xarray", array.dtype, columns=tuple(map(str, data.dims)), index=coords)
    return _from_numpy(array, who, name), kind


def _from_list(data: Sequence[Any], who: str, name: str) -> tuple[Tensor, Kind]:
    if data and all(isinstance(row, Tensor) for row in data):
        if len({row.shape for row in data}) > 1:
            shapes = sorted({tuple(row.shape) for row in data})
            raise invalid(who, f"rows of {name} must have one shape", f"{shapes[:_SHOWN]}")
        stacked = torch.stack(list(data))
        return stacked, Kind("torch", stacked.dtype, stacked.device)
    try:
        plain = np.array(data)
        # Images in bytes, of NumPy or Pillow, are refused as an array of them is.
        array = plain if plain.dtype == np.uint8 else np.array(data, dtype=np.float64)
    except (ValueError, TypeError) as error:
        remedy = "Make all rows equally long and numeric."
        raise invalid(who, f"{name} must be a regular list of numbers", str(error), remedy) from error
    return torch.from_numpy(array), Kind("list", torch.float64)


def first_member(item: Any) -> Any:
    """The sample of a dataset's item; what follows it (a label, say) is left out."""
    return item[0] if isinstance(item, (tuple, list)) and item else item


def item_rows(data: Any, who: str, name: str) -> Iterator[Tensor]:
    """Rows of an iterable data set, or of a loader of one, as they come."""
    for item in data:
        part = tensor_item(first_member(item), who, name)
        yield from part if isinstance(data, DataLoader) else (part,)


def _unroll(data: Any, who: str, name: str, max_bytes: int) -> Tensor:
    if isinstance(data, TensorDataset):
        return data.tensors[0]
    is_loader = isinstance(data, DataLoader)
    indexed = not is_loader and not isinstance(data, IterableDataset)
    if indexed and len(data) == 0:
        raise invalid(who, f"{name} must not be empty", "a dataset of length 0")
    parts: list[Tensor] = []
    size = 0
    # A map-style dataset need not stop by itself when it is iterated.
    for item in (data[i] for i in range(len(data))) if indexed else data:
        part = tensor_item(first_member(item), who, name)
        size += part.numel() * part.element_size()
        expected = size * len(data) if indexed and not parts else size
        if expected > max_bytes:
            got = f"{expected / 2**20:.0f} MiB" + ("" if indexed else " so far")
            rule = f"{name} must fit {max_bytes / 2**20:.0f} MiB when unrolled"
            raise invalid(who, rule, got, "Pass a subset, or raise max_bytes.")
        if parts and part.shape[is_loader:] != parts[0].shape[is_loader:]:
            got = f"{tuple(parts[0].shape)} and {tuple(part.shape)}"
            raise invalid(who, f"items of {name} must have one shape", got)
        parts.append(part)
    if not parts:
        raise invalid(who, f"{name} must not be empty", "no items")
    return torch.cat(parts) if is_loader else torch.stack(parts)


def tensor_item(item: Any, who: str, name: str) -> Tensor:
    """The sample of a data set's item as a tensor."""
    item = unmasked(item, who, name)
    if isinstance(item, Tensor):
        return item
    if isinstance(item, (np.ndarray, np.generic)):
        return _from_numpy(np.asarray(item), who, name)
    if isinstance(item, (int, float)) and not isinstance(item, bool):
        return torch.tensor(float(item), dtype=torch.float64)
    remedy = "Pass a transform that makes tensors to the dataset."
    raise invalid(who, f"items of {name} must be tensors", type(item).__name__, remedy)


def _draw(data: Any, who: str, name: str, samples: int | None, generator: torch.Generator | None) -> Tensor:
    if samples is None or samples < 1:
        rule = f"{name} is an object that samples, so the number of samples must be set"
        raise invalid(who, rule, samples, "Pass how many rows to draw.")
    if isinstance(data, torch.distributions.Distribution):
        return with_seed(lambda: data.sample(torch.Size([samples])), generator)
    draw, word = (data, "") if is_draw(data) else (data.sample, ".sample")
    if "generator" in _parameters(draw):
        drawn = draw(samples, generator=generator)
    else:
        drawn = with_seed(lambda: draw(samples), generator)
    drawn = first_member(drawn)  # scikit-learn's mixtures return samples and components
    x = drawn if isinstance(drawn, Tensor) else _from_numpy(np.asarray(drawn), who, name)
    if x.ndim == 0 or x.shape[0] != samples:
        got = f"shape {tuple(x.shape)}"
        raise invalid(who, f"{name}{word}({samples}) must return {samples} rows", got)
    return x


def is_draw(value: Any) -> bool:
    """Whether a value is a function ``draw(n, generator)`` of rows: no class, network, array or distribution."""
    if not callable(value) or isinstance(value, type | nn.Module) or callable(getattr(value, "sample", None)):
        return False
    return not hasattr(value, "__array__") and not hasattr(value, "shape") and _takes_a_number(value)


def _takes_a_number(function: Any) -> bool:
    """Whether a function of Python can be called with a number of rows, and a ``generator`` if it has one."""
    more = {"generator": None} if "generator" in _parameters(function) else {}
    try:
        inspect.signature(function).bind(1, **more)
    except (TypeError, ValueError):
        return False
    return not inspect.isbuiltin(function)


def _parameters(function: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # written in C
        return frozenset()


def with_seed(draw: Any, generator: torch.Generator | None) -> Tensor:
    """Draw from the global streams of torch, NumPy and Python, seeded from a generator, and restore them.

    Args:
        draw: Makes the result.
        generator: Source of the seed; None draws from the global streams directly.
    """
    if generator is None:
        result: Tensor = draw()
        return result
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if used else ()
    before, before_python = (
        np.random.get_state(),
        random.getstate(),
    )  # what scikit-learn and transforms draw from
    with torch.random.fork_rng(list(devices)):
        seed_torch(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            seeded: Tensor = draw()
        finally:
            np.random.set_state(before)
            random.setstate(before_python)
    return seeded
