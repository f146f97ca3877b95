"""Memory limits of a batch for a network, and an allocator that keeps its memory.

With glibc's default settings every activation of 2 MiB or more is mapped, faulted in page by page and unmapped again at
each call, which can cost more than the arithmetic. Sampling therefore works in chunks whose largest activation is about
half a MiB, unless :func:`tune_malloc` was called. Nothing here runs on import.
"""

import ctypes
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.randomness import BLOCK

_CHUNK_BYTES = 512 * 1024
_MOST_ROWS = 8192
# glibc's malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
_TRIM, _PAD, _MMAP = -1, -2, -3
_tuned = False


def tune_malloc(threshold: int = 1 << 30) -> bool:
    """Make glibc keep freed memory instead of returning it to the system after each large tensor.

    Affects the whole process and cannot be undone; call it once at the start of your own program.

    Args:
        threshold: Bytes below which memory is kept.

    Returns:
        Whether it took effect (False on systems without glibc).
    """
    global _tuned
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    _tuned = all(
        mallopt(option, value) for option, value in ((_MMAP, threshold), (_TRIM, threshold), (_PAD, 1 << 26))
    )
    return _tuned


def malloc_is_tuned() -> bool:
    """Whether :func:`tune_malloc` took effect in this process."""
    return _tuned


@contextmanager
def watched(networks: Iterable[nn.Module], see: Callable[[Tensor], None]) -> Iterator[None]:
    """Hand ``see`` every tensor that a layer (a module without parts) of the networks gives."""

    def watch(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim:
            see(output)

    leaves = [m for net in networks for m in net.modules() if not list(m.children())]
    handles = [leaf.register_forward_hook(watch) for leaf in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def layer_sizes(networks: Iterable[nn.Module], call: Callable[[], Any], x: Tensor) -> set[int]:
    """Entries per row of the state and of what each layer gives.

    Args:
        networks: The modules whose layers are watched.
        call: A function of no arguments that sends the few rows of ``x`` through them.
        x: The rows that ``call`` uses, ``(b, *D)``.
    """
    sizes, networks = {max(1, x[0].numel())}, list(networks)
    if not networks:
        return sizes

    def see(output: Tensor) -> None:
        if output.shape[0] == x.shape[0]:
            sizes.add(max(1, output[0].numel()))

    with torch.no_grad(), watched(networks, see):
        call()
    return sizes


def chunk_rows(x: Tensor, widest: int) -> int | None:
    """Rows per chunk so that the largest activation stays near half a MiB; None means the whole batch at once.

    Args:
        x: Some rows, ``(b, *D)``.
        widest: Entries per row of the largest activation.
    """
    if not x.is_cpu or malloc_is_tuned():
        return None
    rows = _CHUNK_BYTES // (widest * x.element_size())
    return max(BLOCK, min(_MOST_ROWS, rows // BLOCK * BLOCK))
