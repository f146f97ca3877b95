"""The device on which a method works: data and state are moved there; random numbers are still drawn on the CPU.

Code that creates tensors without a device, and draws from generators on the CPU, works on any device inside
:class:`On`: what it makes is made on the device, and draws are made on the CPU and moved, so that random streams are
the same everywhere. Without it nothing changes, and nothing costs.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode

from interpolants.foundations.errors import invalid

_ACTIVE: list[torch.device] = []
# What makes tensors from nothing, and takes a device.
_MAKERS = frozenset(
    {
        *(torch.empty, torch.empty_strided, torch.zeros, torch.ones, torch.full, torch.eye, torch.arange),
        *(
            torch.linspace,
            torch.logspace,
            torch.rand,
            torch.randn,
            torch.randint,
            torch.randperm,
            torch.normal,
        ),
        *(torch.tril_indices, torch.triu_indices, torch.hann_window, torch.hamming_window),
    }
)
_FROM_NUMBERS = (torch.tensor, torch.as_tensor)
_TO_NUMPY = (Tensor.numpy, Tensor.tolist, Tensor.__array__)


def choose_device(who: str, asked: object) -> torch.device:
    """The device of a name.

    Args:
        who: Name of the caller, used in error messages.
        asked: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"meta"``, or ``"auto"``: the GPU where PyTorch sees one, else the
            CPU.

    Raises:
        InvalidInputError: If there is no such device here, or it has no float64, as Apple's mps.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(str(asked))
    except RuntimeError as error:
        remedy = "Use 'cpu', 'cuda', 'cuda:1' or 'auto'."
        raise invalid(who, "device must be one of PyTorch's", repr(asked), remedy) from error
    if device.type == "mps":
        raise invalid(who, "device must have float64, in which units are kept", "mps", "Use 'cpu'.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = f"{asked}, and PyTorch sees {torch.cuda.device_count()} GPUs"
        raise invalid(
            who, "device must exist", found, "Use 'auto' or 'cpu'; `interpolants doctor` prints details."
        )
    return device


def draws_on_cpu() -> bool:
    """Whether code runs inside :class:`On`, where generators live on the CPU whatever the device."""
    return bool(_ACTIVE)


def default_device() -> torch.device:
    """Device of new tensors: that of the innermost :class:`On`, else PyTorch's default."""
    return _ACTIVE[-1] if _ACTIVE else torch.get_default_device()


def here(x: Tensor) -> Tensor:
    """Move a tensor to the device of new tensors; unchanged outside of :class:`On`."""
    return x.to(_ACTIVE[-1]) if _ACTIVE else x


class On(TorchFunctionMode):
    """Make tensors on a device, and draw random numbers on the CPU.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __enter__(self) -> Any:
        _ACTIVE.append(self.device)
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        _ACTIVE.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """See ``TorchFunctionMode``."""
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if isinstance(generator, Generator) and generator.device != self.device:
            return self._drawn(func, args, kwargs, generator.device)
        if func in _FROM_NUMBERS and not isinstance(args[0], Tensor):
            return func(*args, **{**kwargs, "device": "cpu"}).to(kwargs.get("device") or self.device)
        if _makes(func, args, kwargs) and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": self.device}
        elif func in _TO_NUMPY:
            args = (args[0].detach().cpu(), *args[1:])
        return func(*args, **kwargs)

    def _drawn(
        self, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], home: torch.device
    ) -> Any:
        """A random function where its generator lives, with its result moved; one that fills a tensor fills it."""
        own = {**kwargs, "device": home} if _makes(func, args, kwargs) else dict(kwargs)
        there = [_placed(arg, home) for arg in args]
        drawn = func(*there, **{name: _placed(value, home) for name, value in own.items()})
        if there and drawn is there[0]:
            return args[0].copy_(drawn)
        return drawn.to(kwargs.get("device") or self.device)


def _makes(func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a function makes a tensor of nothing: ``torch.normal`` of tensors takes no device."""
    if func is not torch.normal:
        return func in _MAKERS
    return not any(isinstance(value, Tensor) for value in (*args, *kwargs.values()))


def _placed(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value


class _Moving(TorchFunctionMode):
    """Copies of tensors are made on a device."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """See ``TorchFunctionMode``."""
        if func is Tensor.__deepcopy__ and type(args[0]) is Tensor:
            memo = args[1]
            return memo.setdefault(id(args[0]), args[0].detach().to(self.device, copy=True))
        made = func(*args, **(kwargs or {}))
        return made.to(self.device) if func is Tensor.clone else made


def moved(value: Any, device: torch.device) -> Any:
    """A copy of anything, with all its tensors on a device."""
    with _Moving(device):
        return copy.deepcopy(value)


def on_device(data: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Move values by name to a device; values already there, or without data, are unchanged."""
    return {name: _value_on(value, device) for name, value in data.items()}


def _value_on(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list) and all(isinstance(part, Tensor) for part in value):
        return [part.to(device) for part in value]
    return value


def working_on(device: torch.device) -> AbstractContextManager[Any]:
    """:class:`On` where it is needed; nothing on the CPU."""
    return nullcontext() if device.type == "cpu" else On(device)
