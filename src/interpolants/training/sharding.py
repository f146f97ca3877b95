"""Weights cut among the processes that train together, with their gradients, optimizer state and averages (FSDP2).

Every process keeps a slice of each large parameter along its first dimension. A network's slices are gathered when it
is called, block by block, and let go afterwards; gradients are averaged as they are cut. Small parameters, scalars and
per-row ones stay whole on every process, and are averaged as without cutting.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import DivergedError
from interpolants.training.optimizers import assign_groups, trainable
from interpolants.training.settings import TrainSettings
from interpolants.training.slices import is_cut, local, whole
from interpolants.training.world import World

# Share of all parameters below which a module is not cut by itself.
_LEAST = 0.01
_CONTAINERS = (nn.ModuleList, nn.ModuleDict)


@contextmanager
def sharded(modules: nn.Module, settings: TrainSettings, world: World) -> Iterator[bool]:
    """Cut the parameters if there are more than ``settings.shard_above``; afterwards they are whole again, in place.

    Args:
        modules: What is trained.
        settings: The settings.
        world: The processes.
    """
    count = sum(p.numel() for p in trainable(modules).values())
    if world.size == 1 or count <= settings.shard_above:
        yield False
        return
    world.share([*modules.parameters(), *modules.buffers()])
    before, parameters = _Before(modules), dict(modules.named_parameters())
    _cut(modules, settings, count)
    gone = {name: p for name, p in modules.named_parameters() if is_cut(p)}
    for name in gone:
        parameters[name].data = torch.empty(0, dtype=parameters[name].dtype, device=parameters[name].device)
    try:
        yield True
    except DivergedError:  # all processes raise it together
        _restore(modules, before, parameters)
        raise
    _restore(modules, before, parameters)


def _cut(modules: nn.Module, settings: TrainSettings, count: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh  # absent from builds without distribution
    from torch.distributed.fsdp import fully_shard

    parameters = trainable(modules)
    per_row = {key for key, group in settings.groups.items() if group.rows}
    groups = assign_groups(parameters, settings.groups) if per_row else {}
    ignored = {p for name, p in parameters.items() if p.ndim == 0 or groups.get(name) in per_row}
    device = next(iter(parameters.values())).device
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    for unit in _units(modules, count * _LEAST):
        fully_shard(unit, mesh=mesh, reshard_after_forward=True, ignored_params=ignored)


def _units(modules: nn.Module, least: float) -> list[nn.Module]:
    """Modules that are gathered as one, inner ones first: blocks of a list, and networks."""
    parents = [m for m in modules.modules() if isinstance(m, nn.ModuleList | nn.Sequential)]
    found = [*modules.children(), *(block for parent in parents for block in parent.children())]
    if any(True for _ in modules.parameters(recurse=False)):
        found.insert(0, modules)
    large = {m for m in found if sum(p.numel() for p in m.parameters()) >= least}
    order = [m for m in modules.modules() if m in large and not isinstance(m, _CONTAINERS)]
    return order[::-1]


class _Before:
    """What FSDP2 changes of modules: classes, hooks, the place of parameters."""

    def __init__(self, modules: nn.Module) -> None:
        self._kept = [
            (m, type(m), {key: _copied(value) for key, value in vars(m).items()}) for m in modules.modules()
        ]

    def put_back(self) -> None:
        """Undo it; buffers and plain attributes keep what the training has made of them."""
        for module, kind, kept in self._kept:
            now = dict(vars(module))
            module.__class__ = kind
            vars(module).clear()
            for key, value in kept.items():
                vars(module)[key] = value if isinstance(value, dict) else now.get(key, value)
            kept["_buffers"].update(now["_buffers"])


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, dict) else value


def _restore(modules: nn.Module, before: _Before, parameters: Mapping[str, nn.Parameter]) -> None:
    found = {name: whole(p.detach()) for name, p in modules.named_parameters()}
    before.put_back()
    for name, p in parameters.items():
        p.data = found[name]
        p.grad = None


def squares(tensors: Iterable[Tensor], world: World) -> Tensor:
    """Sum of squares over all entries of tensors of which some are cut, 0-d, the same on all processes."""
    cut: list[Tensor] = []
    plain: list[Tensor] = []
    for x in tensors:
        (cut if is_cut(x) else plain).append(local(x))
    own = _sum_of_squares(cut)
    return world.total(own) + _sum_of_squares(plain).to(own)


def _sum_of_squares(tensors: list[Tensor]) -> Tensor:
    if not tensors:
        return torch.zeros(())
    return torch.stack(torch._foreach_norm(tensors)).square().sum()
