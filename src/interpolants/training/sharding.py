"""Weights cut among the processes that train together, with their gradients, optimizer state and averages (FSDP2).

Every process keeps a slice of each large parameter along its first dimension. A network's slices are gathered when it
is called, block by block, and let go afterwards; gradients are averaged as they are cut. Small parameters, scalars and
per-row ones stay whole on every process, and are averaged as without cutting.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import DivergedError, invalid
from interpolants.nets.net import left_empty
from interpolants.training.checkpoint import Checkpoint
from interpolants.training.optimizers import assign_groups, trainable
from interpolants.training.settings import TrainSettings
from interpolants.training.slices import is_cut, local, own_slice, put, whole
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
    if any(map(is_cut, modules.parameters())):  # by `cut_weights`, and they stay cut
        yield True
        return
    count = sum(p.numel() for p in trainable(modules).values())
    if world.size == 1 or count <= settings.shard_above:
        yield False
        return
    _check_groups("fit", settings.shard_within, world.size)
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


def cut_weights(modules: nn.Module, settings: TrainSettings | None = None) -> nn.Module:
    """Cut the weights of networks among the processes of a group, in place and permanently.

    Each process keeps its rows of every large parameter. A network gathers them block by block when it is called, by
    all processes together. `fit` trains such networks, writes a checkpoint of which each process has written its part,
    and leaves them cut: no process ever has all of the weights. `read_cut` reads them again.

    Args:
        modules: The networks, with equal weights on all processes; or made `without_weights`, for `read_cut`.
        settings: ``shard_within``, and ``groups`` with per-row parameters, which stay whole, are read from it.

    Returns:
        The networks.

    Raises:
        InvalidInputError: If no process group was begun, or ``shard_within`` does not divide its size.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        remedy = "Call torch.distributed.init_process_group('gloo') first, or 'nccl' on GPUs."
        raise invalid("cut_weights", "a process group must have begun", "none", remedy)
    settings = settings or TrainSettings()
    _check_groups("cut_weights", settings.shard_within, distributed.get_world_size())
    _cut(modules, settings, sum(p.numel() for p in trainable(modules).values()))
    return modules


@contextmanager
def without_weights() -> Iterator[None]:
    """Make networks whose parameters have no memory: they are on PyTorch's ``meta`` device, and buffers are not.

    At most one parameter at a time has memory while the block runs. Pass the network to `cut_weights` and `read_cut`.
    The block changes ``torch.nn.Module`` for the whole process, so that no other thread may make networks meanwhile.
    """
    register = nn.Module.register_parameter

    def register_empty(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param)
        stored = self._parameters[name]
        if stored is not None:
            self._parameters[name] = nn.Parameter(
                stored.detach().to("meta"), requires_grad=stored.requires_grad
            )

    nn.Module.register_parameter = register_empty  # type: ignore[method-assign]
    try:
        with left_empty():
            yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def read_cut(modules: nn.Module, path: str | Path, *, average: bool = True) -> nn.Module:
    """Read weights from a checkpoint into networks that `cut_weights` has cut: each process reads its own rows.

    Args:
        modules: The networks. Those made `without_weights` get memory for their rows, on the CPU.
        path: Folder of a checkpoint, ``FitResult.checkpoint``; any number of processes may have written it.
        average: Whether to read the moving averages of the weights, if the checkpoint has them.

    Returns:
        The networks, in evaluation mode and without gradients.

    Raises:
        InvalidInputError: If the checkpoint is damaged or of other networks, or buffers have no memory.
    """
    if lost := [name for name, b in modules.named_buffers() if b.is_meta]:
        remedy = "Make the networks inside without_weights()."
        raise invalid("read_cut", "buffers must have memory", lost[0], remedy)
    parts, parameters = _parts_of(modules, path, average=average), dict(modules.named_parameters())
    checkpoint = Checkpoint.load_own(
        path,
        lambda _, name: own_slice(parameters[name]) if name in parameters else None,
        lambda part, name: parts.get(name) == part,
    )
    _allocate(modules)
    stored = {name: (getattr(checkpoint, part) or {}).get(name) for name, part in parts.items()}
    _put_all(modules, stored, path)
    return modules.eval().requires_grad_(False)


def _parts_of(modules: nn.Module, path: str | Path, *, average: bool) -> dict[str, str]:
    """Part of a checkpoint from which each tensor is read: averages exist for trained parameters only."""
    averaged = set(trainable(modules)) if average and Checkpoint.head(path).ema is not None else set()
    return {name: "ema" if name in averaged else "model" for name in modules.state_dict()}


def _put_all(modules: nn.Module, stored: Mapping[str, Any], path: str | Path) -> None:
    """Set all stored tensors, after a check that all have their shapes."""
    named = {name: x for name, x in _named(modules) if name in stored}
    wrong = [name for name, x in named.items() if not _has_shape(stored[name], x)]
    if wrong:
        rule = f"{path} must have the tensors of these networks"
        raise invalid("read_cut", rule, f"{wrong[0]!r} ({len(wrong)} differ)")
    with torch.no_grad():
        for name, x in named.items():
            put(x.detach(), stored[name])


def _named(modules: nn.Module) -> list[tuple[str, Tensor]]:
    return [*modules.named_parameters(), *modules.named_buffers()]


def _allocate(modules: nn.Module) -> None:
    """Allocate memory for the local rows of parameters on the meta device, on the CPU; buffers keep their values."""
    if not any(p.is_meta for p in modules.parameters()):
        return
    buffers = {name: b.clone() for name, b in modules.named_buffers()}
    modules.to_empty(device="cpu")
    for name, b in modules.named_buffers():
        b.copy_(buffers[name])


def _has_shape(value: Any, x: Tensor) -> bool:
    return value is not None and tuple(value.shape) == tuple(x.shape)


def _check_groups(caller: str, within: int, size: int) -> None:
    """Check that groups of processes are equally large, and larger than one."""
    if within and (size % within or within == 1):
        rule = f"shard_within must be 0, or a divisor of the number of processes, {size}, above 1"
        raise invalid(caller, rule, within, "For whole weights on every process, raise shard_above.")


def _cut(modules: nn.Module, settings: TrainSettings, count: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh  # absent from builds without distribution
    from torch.distributed.fsdp import fully_shard

    parameters = trainable(modules)
    per_row = {key for key, group in settings.groups.items() if group.rows}
    groups = assign_groups(parameters, settings.groups) if per_row else {}
    ignored = {p for name, p in parameters.items() if p.ndim == 0 or groups.get(name) in per_row}
    device = next(iter(parameters.values())).device.type
    size = torch.distributed.get_world_size()
    within = settings.shard_within or size
    sizes, names = (size // within, within), ("copies", "slices")
    is_flat = within == size  # one group: there are no copies
    mesh = init_device_mesh(
        "cpu" if device == "meta" else device, sizes[is_flat:], mesh_dim_names=names[is_flat:]
    )
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
    """Attributes of modules that FSDP2 changes: classes, hooks, owners of parameters."""

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


def squares(tensors: Iterable[Tensor], world: World, copies: int = 1) -> Tensor:
    """Sum of squares over all entries of tensors of which some are cut, 0-d, the same on all processes.

    Args:
        tensors: The tensors.
        world: The processes.
        copies: Number of processes that hold each slice.
    """
    cut: list[Tensor] = []
    plain: list[Tensor] = []
    for x in tensors:
        (cut if is_cut(x) else plain).append(local(x))
    own = _sum_of_squares(cut)
    return world.total(own) / copies + _sum_of_squares(plain).to(own)


def _sum_of_squares(tensors: list[Tensor]) -> Tensor:
    if not tensors:
        return torch.zeros(())
    return torch.stack(torch._foreach_norm(tensors)).square().sum()
