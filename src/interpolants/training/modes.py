"""Global state that a run changes and restores: generators, training mode, compiled networks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def own_generator(device: torch.device) -> torch.Generator:
    """PyTorch's own generator of a device, from which dropout draws."""
    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        return torch.cuda.default_generators[index]
    return torch.default_generator


@contextmanager
def kept_random_state(device: torch.device) -> Iterator[None]:
    """PyTorch's own generators are, after the block, as they were before."""
    generators = {own_generator(device), torch.default_generator}
    kept = [(generator, generator.get_state()) for generator in generators]
    try:
        yield
    finally:
        for generator, state in kept:
            generator.set_state(state)


@contextmanager
def training_mode(modules: nn.Module, *, compiled: bool) -> Iterator[None]:
    """Training mode, and compiled networks if asked; both undone afterwards, module by module."""
    modes = [(module, module.training) for module in modules.modules()]
    compilable: list[nn.Module] = []
    if compiled:
        # A container has no forward of its own: its networks are what is called.
        container = isinstance(modules, nn.ModuleDict | nn.ModuleList)
        compilable = list(modules.children()) if container else [modules]
    modules.train()
    for module in compilable:
        module.compile()
    try:
        yield
    finally:
        for module in compilable:
            module._compiled_call_impl = None
        for module, mode in modes:
            module.training = mode
