"""Learning of linked modalities: batches in which some are known and some missing, the loss, and the heads as a field.

Letters: B rows, n modalities, S subsets.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from interpolants.apps.multimodal.shared_space import SharedSpace, subsets, tokens
from interpolants.foundations.ops import sum_event
from interpolants.foundations.row_times import TakesOneTime, ask
from interpolants.foundations.types import Condition
from interpolants.objectives.times import TimeSampler
from interpolants.paths.path import Path

# Share of the rows of which something is known that are learnt at t = 0.
_AT_START = 0.2


class LinkedBatches:
    """The batch of a step: a function of the step's generator alone.

    Rows are drawn uniformly, with replacement. In a share ``joint`` of them nothing is known; in the others a subset
    that leaves a target to be drawn, each as likely as another, less what is missing in the row.

    Args:
        units: ``u`` by modality, ``(N, *shape)`` each.
        there: Which modalities a row has, ``(N, n)`` bool.
        labels: Codes by modality of labels, ``(N,)``.
        targets: Places of the modalities that are drawn.
        joint: Share of rows in which nothing is known.
        size: Rows per step, over all processes.
        times: Where in time the loss is taken.
    """

    def __init__(
        self,
        units: Mapping[str, Tensor],
        there: Tensor,
        labels: Mapping[str, Tensor],
        *,
        targets: Sequence[int],
        joint: float,
        size: int,
        times: TimeSampler,
    ) -> None:
        self.units, self.there, self.labels = units, there, labels
        self.targets, self.joint, self.size, self.times = list(targets), joint, size, times
        self.subsets = subsets(there.shape[1], targets)

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        """The share of this process in the batch of ``step``."""
        rows = max(1, self.size // world)
        pick = torch.randint(len(self.there), (rows,), generator=generator)
        times = self.times.sample(rows, generator=generator)
        there, t = self.there[pick], times.t
        known = torch.zeros_like(there)
        if len(self.subsets):
            subset = torch.randint(len(self.subsets), (rows,), generator=generator)
            alone = torch.rand(rows, generator=generator, dtype=torch.float32) < self.joint
            known = self.subsets[subset] & there & ~alone[:, None]
            # None is told where all targets that are there would be.
            known = known & (there & ~known)[:, self.targets].any(1)[:, None]
            # Some times are 0 where something is known: what is expected then is read off there.
            at_start = torch.rand(rows, generator=generator, dtype=torch.float32) < _AT_START
            t = torch.where(known.any(1) & at_start, torch.zeros_like(t), t)
        return {
            "units": {name: u[pick] for name, u in self.units.items()},
            "labels": {name: codes[pick] for name, codes in self.labels.items()},
            "known": known,
            "absent": ~there,
            "t": t,
            "weight": times.weight,
        }


class LinkedLoss:
    """``sum_i lambda_i l_i`` over the targets of a row that are there and not known, ``(B,)`` by name.

    ``l_i`` is ``|D_i - e_i|^2`` in units in which outputs of the network are of size one, and of labels the
    cross-entropy. ``lambda_i = D / (n d_i)``, with d_i the numbers of a modality (of a label, how many there are) and D
    those of all: each modality counts alike, whatever its size, and a single one counts 1.

    Args:
        space: Blocks of the targets.
        whole: Blocks of all modalities, which tokens are made of.
        path: The path of the state.
        times: Told what the losses say of the times.
        told: Whether heads are told what is known.
        balance: Further factors by modality.
    """

    def __init__(
        self,
        space: SharedSpace,
        whole: SharedSpace,
        path: Path,
        times: TimeSampler,
        *,
        told: bool,
        balance: Mapping[str, float],
    ) -> None:
        self.space, self.whole, self.path, self.times, self.told = space, whole, path, times, told
        self.places = {name: i for i, name in enumerate(whole.parts)}
        total, n = sum(part.size for part in space.parts.values()), len(space.parts)
        self.factors = {
            name: balance.get(name, 1.0) * total / (n * part.size) for name, part in space.parts.items()
        }

    def __call__(self, net: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Losses by modality."""
        x1 = self.space.state(batch["units"])
        sample = self.path.sample(x0=None, x1=x1, t=batch["t"], z=None, generator=generator)
        cond = None
        if self.told and len(self.whole.parts) > 1:
            cond = tokens(self.whole, batch["units"], batch["known"], batch["absent"])
        output = net(sample.x_t, sample.t, cond)
        scale = net.net.weight(sample.x_t, sample.t)["denoised"]
        targets = self.space.blocks(x1)
        losses = {}
        for name, block in self.space.blocks(output).items():
            i = self.places[name]
            asked = ~(batch["known"] | batch["absent"])[:, i]
            loss = self._of(name, block, targets[name], batch, scale)
            losses[name] = torch.where(asked, loss * self.factors[name], 0.0)
        self.times.update(batch["t"], torch.stack([loss.detach() for loss in losses.values()]).sum(0))
        return {name: loss * batch["weight"] for name, loss in losses.items()}

    def _of(
        self, name: str, block: Tensor, target: Tensor, batch: Mapping[str, Any], scale: Tensor
    ) -> Tensor:
        part = self.space.parts[name]
        if not part.is_label:
            # A number that is repeated over a plane counts once.
            repeats = target[0].numel() / part.size * part.weight**2
            return sum_event((block - target).square()) * scale / repeats
        logits = part.logits(self.space.of_block(name, block))
        return functional.cross_entropy(logits, batch["labels"][name].clamp_min(0), reduction="none")


class Heads(TakesOneTime):
    """``E[e(X) | z, what is known]`` as a field: known blocks are the true ones, the others what the heads estimate.

    Args:
        net: The network, called ``net(z, t, tokens)``.
        space: Blocks of the targets.
        whole: Blocks of all modalities.
        told: Whether the network is told what is known; else blocks are held at their true values alone.
    """

    def __init__(self, net: Any, space: SharedSpace, whole: SharedSpace, *, told: bool = True) -> None:
        self.net, self.space, self.whole, self.told = net, space, whole, told

    def estimates(self, z: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """What the network says of the blocks, ``(B, *D)``."""
        output: Tensor = ask(self.net, z, t, cond if self.told else None)
        return output

    def __call__(self, z: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """``(B, *D)``; ``cond`` are tokens, or None where nothing can be known."""
        found = self.space.expected(self.estimates(z, t, cond))
        return found if cond is None else self._with_known(found, cond)

    def _with_known(self, z: Tensor, cond: Tensor) -> Tensor:
        """The state with the true blocks of what is known, which the tokens hold."""
        n, first, found = len(self.whole.parts), 0, []
        own = self.space.blocks(z)
        flags = cond[:, -n:].flatten(2)[:, :, 0] if cond.ndim > 2 else cond[:, -n:]
        for i, (name, part) in enumerate(self.whole.parts.items()):
            width = part.shape[0] if self.whole.grid and len(part.shape) == 3 else part.size
            true = cond[:, first : first + width] * part.weight
            first += width
            if name in own:
                known = (flags[:, i] > 0).reshape(-1, *(1,) * (z.ndim - 1))
                found.append(torch.where(known, true.reshape(own[name].shape), own[name]))
        return torch.cat(found, 1) if len(found) > 1 else found[0]
