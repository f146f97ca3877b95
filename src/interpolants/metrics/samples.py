"""Validation of samples for metrics, and the draws that metrics share."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.errors import invalid

ArrayLike: TypeAlias = Tensor | npt.NDArray[Any]


def one_sample(who: str, name: str, x: ArrayLike, *, flat: bool = True, minimum: int = 2) -> Tensor:
    """Check one set of samples: ``(N, *D)`` -> ``(N, prod D)`` (or ``(N, *D)``), detached, float64.

    Metrics compute in float64: their differences of large averages leave no room for float32. A device
    without float64 sends its samples to the CPU.

    Args:
        who: The public name that checks.
        name: The argument's name.
        x: Samples as a tensor or an array; ``(N,)`` are N numbers.
        flat: Whether to flatten the events.
        minimum: Smallest N that the metric can use.

    Raises:
        InvalidInputError: If ``x`` is not floating point, has too few samples, no features, or NaN or
            infinity.
    """
    # The copy spares a warning about read-only arrays and an error about negative strides.
    tensor = x.detach() if isinstance(x, Tensor) else _from_array(who, name, x)
    if not tensor.is_floating_point():
        raise invalid(
            who, f"{name} must be floating point", str(tensor.dtype), f"Convert it, e.g. {name}.double()."
        )
    if tensor.layout != torch.strided:
        raise invalid(who, f"{name} must be dense", str(tensor.layout), f"Call {name}.to_dense().")
    if tensor.ndim == 0 or len(tensor) < minimum or tensor.numel() == 0:
        rule = f"{name} must contain at least {minimum} samples of at least one number, shape (N, *D)"
        raise invalid(who, rule, f"shape {tuple(tensor.shape)}")
    bad = int((~torch.isfinite(tensor.reshape(len(tensor), -1))).any(1).sum())
    if bad:
        remedy = "If they are data, drop or fill those rows. If a model drew them, it diverged: retrain it."
        raise invalid(
            who, f"{name} must be finite", f"{bad} of {len(tensor)} rows with NaN or infinity", remedy
        )
    device = "cpu" if tensor.device.type == "mps" else tensor.device
    tensor = tensor.to(device).to(torch.float64)
    return tensor.reshape(len(tensor), -1) if flat else tensor


def pooled(
    who: str, x: ArrayLike, y: ArrayLike, *, flat: bool = True, minimum: int = 2
) -> tuple[Tensor, Tensor]:
    """Check two sets of samples that are to be compared; see :func:`one_sample`.

    Raises:
        InvalidInputError: Also if the event shapes or the devices differ.
    """
    first = one_sample(who, "x", x, flat=False, minimum=minimum)
    second = one_sample(who, "y", y, flat=False, minimum=minimum)
    if first.shape[1:] != second.shape[1:]:
        shapes = f"{tuple(first.shape[1:])} and {tuple(second.shape[1:])}"
        raise invalid(
            who, "x and y must have the same event shape", shapes, "Only the first size may differ."
        )
    if first.device != second.device:
        raise invalid(who, "x and y must be on one device", f"{first.device} and {second.device}")
    if flat:
        return first.reshape(len(first), -1), second.reshape(len(second), -1)
    return first, second


def unit_of(rows: Tensor) -> Tensor:
    """Standard deviation of each column of ``(N, D)`` float64, ``(D,)``; 1 where it is no more than rounding."""
    spread = rows.std(0)
    return torch.where(spread > 1e-12 * rows.abs().amax(0), spread, 1.0)


def normal(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Standard normal float64 draws, made where the generator lives and moved."""
    home = generator.device if generator is not None else torch.device("cpu")
    return torch.randn(shape, generator=generator, device=home, dtype=torch.float64).to(device)


def rows(n: int, generator: torch.Generator | None) -> Tensor:
    """Indices of ``n`` rows drawn with replacement."""
    home = generator.device if generator is not None else torch.device("cpu")
    return torch.randint(n, (n,), generator=generator, device=home)


def shuffled(n: int, generator: torch.Generator | None) -> Tensor:
    """A random permutation of ``n`` rows."""
    home = generator.device if generator is not None else torch.device("cpu")
    return torch.randperm(n, generator=generator, device=home)


def _from_array(who: str, name: str, x: object) -> Tensor:
    try:
        return torch.from_numpy(np.array(x))
    except (TypeError, ValueError) as error:
        raise invalid(who, f"{name} must be a tensor or a numeric array", type(x).__name__) from error
