"""How much encoder and decoder of a split network change along a run: where features can be kept.

Source: Li et al. (2024), arXiv:2312.09608, section 3.1.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.inner_nets import inner_net
from interpolants.foundations.row_times import ask, bare
from interpolants.foundations.types import Condition, parts_of
from interpolants.nets.split import SplitNet

_WHO = "feature_change"
_TINY = 1e-12


@dataclass(frozen=True)
class FeatureChange:
    """Relative change per step, ``|F_{j+1} - F_j| / |F_j|``, mean over features and starts.

    Attributes:
        times: Times of the steps, ``(n,)``.
        encoder: Of what the encoder hands to the decoder, from step j to j + 1, ``(n - 1,)``.
        decoder: Of the outputs of the decoder's modules of the same kind, ``(n - 1,)``.
    """

    times: Tensor
    encoder: Tensor
    decoder: Tensor


def feature_change(fields: Fields, x: Tensor, **options: Any) -> FeatureChange:
    """Measure a run; its samples are those of a plain one.

    Args:
        fields: Fields with split networks; the first call of the first network in each step is looked at.
        x: Starts ``(b, *D)``; some dozens.
        **options: Options of ``dynamics.sample``: ``n_steps``, ``method``, ``cond`` ...

    Raises:
        InvalidInputError: If no network is split, or the run has one step.
    """
    done = sample(fields, x, modifiers=FeatureObserver(), **options)
    told = {name: change.double().mean(0) for name, change in done.reports[0].items()}
    return FeatureChange(done.times[:-1].double(), told["encoder"], told["decoder"])


@dataclass(frozen=True)
class FeatureObserver(Modifier):
    """Observe :class:`FeatureChange` by row: the report has ``encoder`` and ``decoder``, ``(b, n - 1)``."""

    @property
    def takes_networks_apart(self) -> bool:
        """It calls encoder and decoder."""
        return True

    def why_not(self, model: object) -> str:
        """A network must be split."""
        nets = [inner_net(net) for net in model.networks] if isinstance(model, Fields) else []
        split = any(isinstance(net, SplitNet) for net in nets)
        return "" if split else "no network has methods encode and decode; e.g. a UNet has"

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk.

        Raises:
            InvalidInputError: If there is no second step to compare with.
        """
        if len(times) < 3:
            raise invalid(_WHO, "the run must have at least two steps", len(times) - 1)
        return _Observing(len(x))


class _Observing(Work):
    def __init__(self, rows: int) -> None:
        self.rows, self.is_open = rows, True
        self.before: tuple[list[Tensor], list[Tensor]] | None = None
        self.changes: tuple[list[Tensor], list[Tensor]] = ([], [])

    def network(self, net: nn.Module, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        inner, times = bare(net, x, t)
        if not self.is_open or not isinstance(inner, SplitNet):
            answer: Tensor = ask(net, x, t, cond)
            return answer
        self.is_open = False
        with _outputs(inner, len(x)) as early:
            features = inner.encode(x, times, cond)
        kept = list(parts_of(features))
        kinds = {type(module) for module, out in early if any(out is part for part in kept)}
        with _outputs(inner, len(x)) as late:
            answer = inner.decode(features, times, cond)
        now = kept, [out for module, out in late if type(module) in kinds] or [answer]
        if self.before is not None:
            for changes, old, new in zip(self.changes, self.before, now, strict=True):
                changes.append(_relative(old, new)[: self.rows])
        self.before = now
        return answer

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        self.is_open = True
        return x

    def report(self) -> dict[str, Tensor]:
        return {
            name: torch.stack(found, 1)
            for name, found in zip(("encoder", "decoder"), self.changes, strict=True)
        }


@contextmanager
def _outputs(net: SplitNet, rows: int) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """Modules that ran and their outputs, those with one row per sample."""
    found: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, given: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.ndim and out.shape[0] == rows:
            found.append((module, out))

    modules = net.modules() if isinstance(net, nn.Module) else ()
    hooks = [module.register_forward_hook(note) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _relative(old: Sequence[Tensor], new: Sequence[Tensor]) -> Tensor:
    """``(B,)``: mean over tensors of the relative change of each row."""
    changes = [
        (b - a).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1).clamp_min(_TINY)
        for a, b in zip(old, new, strict=True)
    ]
    return torch.stack(changes).mean(0)
