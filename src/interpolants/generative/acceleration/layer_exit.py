"""Early exit: a network of layers is left, row by row, as soon as an estimate says that it is good enough.

Rows that still run are gathered, so that fewer rows go through the later layers. An estimate is asked first, and a head
only for the rows that leave. What decides:

* ``"absolute"``: the estimated error lies below a threshold, which is the published rule. The best possible error
  differs by the noise level more than by the layer, so it says little of what further layers would gain;
* ``"relative"``: the estimated error is at most ``1 + threshold`` times the last layer's mean error at that time;
* ``"gap"``: the estimated distance to the last layer's own answer lies below a threshold.

Source: Tang et al. (2024), arXiv:2309.17074 (absolute); relative and gap are ours.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import Fields
from interpolants.foundations import asked, trees
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.inner_nets import inner_net
from interpolants.foundations.invariance import VECTOR, whole_rows
from interpolants.foundations.kinds import Count, OneOrEach, Share
from interpolants.foundations.ops import mean_event
from interpolants.foundations.row_times import bare
from interpolants.foundations.types import Condition
from interpolants.generative.acceleration.exit_heads import ExitHeads
from interpolants.nets.split import LayeredNet, module_in_training

CRITERIA = ("absolute", "relative", "gap")
# Rows that leave after a layer, (B,) bool, of tokens ``(B, L, E)`` at times 0-d or ``(B,)``.
Leaving = Callable[[int, Tensor, Tensor], Tensor]


def weights_hash(net: nn.Module) -> str:
    """16 hexadecimal digits that are equal for equal weights."""
    return trees.fingerprint({name: value.detach().cpu() for name, value in net.state_dict().items()})


def layered(who: str, net: Any) -> LayeredNet:
    """The network, if a head may follow each of its layers.

    Raises:
        InvalidInputError: If it has no layers of one kind, or one alone.
    """
    if not isinstance(net, LayeredNet):
        remedy = "For example, use net='image_transformer', or {kind = 'mlp', residual = true}."
        rule = "the network must be one of layers: stem, layer, tokens, head, arranged and rows"
        raise invalid(who, rule, type(net).__name__, remedy)
    if net.n_layers < 2:
        remedy = "A perceptron needs residual=True and a depth of at least 3."
        raise invalid(who, "the network must have at least two layers", net.n_layers, remedy)
    return net


class _Exits(Modifier):
    """What both kinds of exits ask of a model; abstract.

    Args:
        exits: Trained heads.
        backbone: Hash of the weights that they belong to; empty for no check.
    """

    exits: ExitHeads
    backbone: str

    @property
    def takes_networks_apart(self) -> bool:
        """It calls layers and heads."""
        return True

    def why_not(self, model: object) -> str:
        """There must be one network of layers, at rest, and the one that the heads were trained with."""
        nets = [inner_net(net) for net in model.networks] if isinstance(model, Fields) else []
        if len(nets) != 1:
            return f"it needs one network, got {len(nets)}"
        net: Any = nets[0]
        if not isinstance(net, LayeredNet) or net.n_layers != self.exits.n_layers:
            return f"the heads belong to a network of {self.exits.n_layers} layers, got {type(net).__name__}"
        if module_in_training(net):
            return f"{type(net).__name__} is in training mode, call .eval() first"
        if self.backbone and self.backbone != weights_hash(nets[0]):
            return "the heads were trained with other weights of the network"
        return ""


@dataclass(frozen=True)
class LayerExit(Checked, _Exits):
    """Leave a network of layers where an estimate lies below a threshold; see the module for the criteria.

    The report has ``layers``, the mean number per evaluation and row, ``by_call``, that of every evaluation, and
    ``computed``, the layers that were computed per evaluation and row of the chunk. Under ``invariant=True`` rows that
    still run are padded to 32 or a multiple of 64, so that few rows save less than ``layers`` says; never do more rows
    go through a layer than without exits.

    Raises:
        InvalidInputError: If a setting is out of range, or the table is missing.
    """

    exits: ExitHeads
    """Trained heads; `EarlyExit` fits them."""
    criterion: Literal["absolute", "relative", "gap"] = "gap"
    """What the estimate is of; see the module."""
    threshold: Share = 0.1
    """For absolute and gap 0 changes nothing, and 1 always leaves after ``consecutive`` layers."""
    table: Sequence[tuple[float, float]] = ()
    """For ``"relative"``: rows of a time of the network and the last layer's mean error then, increasing."""
    backbone: str = ""
    """Hash of the weights that the heads belong to; empty for no check."""
    consecutive: Count = 1
    """Number of consecutive layers that must meet the criterion; a row exits after the last of them."""

    def check_settings(self) -> None:
        """Refuse a table that does not serve the criterion, or whose times do not increase."""
        if self.criterion == "relative" and len(self.table) < 2:
            remedy = "EarlyExit makes it in its fit."
            raise asked.invalid("criterion='relative' needs a calibration table", "none", remedy)
        times = [float(time) for time, _ in self.table]
        if times != sorted(times):
            raise asked.invalid("times of the table must be in increasing order", times, "Sort its rows.")

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk."""
        is_idle = self.threshold == 0 and self.criterion != "relative"
        return Work() if is_idle else _Leaving(self, len(x))

    def leaving(self) -> Leaving:
        """The rule: the mean of the estimate over a row's entries decides."""
        name = "gap" if self.criterion == "gap" else "error"
        table = torch.tensor(self.table, dtype=torch.float64).reshape(-1, 2)

        def leaves(index: int, tokens: Tensor, t: Tensor) -> Tensor:
            u = mean_event(self.exits.estimate(name, index, tokens, t))
            if self.criterion == "relative":
                return u <= ((1 + self.threshold) * _interpolated(table, t)).to(u)
            return u < self.threshold if self.threshold < 1 else torch.ones_like(u, dtype=torch.bool)

        return leaves


@dataclass(frozen=True)
class StaticExit(Checked, _Exits):
    """Leave after a fixed layer, for all rows alike: the baseline of every rule that looks at them.

    Raises:
        InvalidInputError: If a number is no number of layers.
    """

    exits: ExitHeads
    """Trained heads."""
    schedule: OneOrEach[Count]
    """Number of layers, 1 ... N; or several, one for each of as many equal parts of the steps."""
    backbone: str = ""
    """As in :class:`LayerExit`."""

    def check_settings(self) -> None:
        """Refuse more layers than there are."""
        most = self.exits.n_layers
        for depth in self._depths:
            if depth > most:
                raise asked.invalid(f"schedule must be at most the {most} layers", depth)

    @property
    def _depths(self) -> list[int]:
        return list(self.schedule) if isinstance(self.schedule, Sequence) else [self.schedule]

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk."""
        depths, steps = self._depths, len(times) - 1
        if set(depths) == {self.exits.n_layers}:
            return Work()
        plan = [depths[step * len(depths) // steps] for step in range(steps)]
        return _Static(self.exits, plan, len(x))


@dataclass
class RowTally:
    """Layers of one evaluation: those that each row went through, and all that were computed.

    Attributes:
        depth: Layers of each row, ``(B,)``.
        computed: Rows of all layers together, those of padding included.
    """

    depth: Tensor
    computed: int = 0


class _Recording(Work):
    """Depths of all evaluations, by row."""

    def __init__(self, rows: int) -> None:
        self.rows, self.depths, self.computed = rows, list[Tensor](), list[float]()

    @abstractmethod
    def run(self, net: LayeredNet, t: Tensor, x: Tensor, cond: Condition) -> tuple[Tensor, RowTally]:
        """The answer, and the layers of each row."""

    def network(self, net: nn.Module, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        answer, tally = self.run(*bare(net, x, t), x, cond)
        # Halves of guidance together.
        self.depths.append(tally.depth.double().reshape(-1, self.rows).mean(0))
        self.computed.append(tally.computed / len(x))
        return answer

    def report(self) -> dict[str, Tensor]:
        by_call = torch.stack(self.depths, 1)
        computed = torch.tensor(self.computed, dtype=torch.float64).mean().expand(self.rows)
        return {"layers": by_call.mean(1), "by_call": by_call, "computed": computed}


class _Leaving(_Recording):
    def __init__(self, settings: LayerExit, rows: int) -> None:
        super().__init__(rows)
        self.exits, self.leaving, self.consecutive = settings.exits, settings.leaving(), settings.consecutive

    def run(self, net: LayeredNet, t: Tensor, x: Tensor, cond: Condition) -> tuple[Tensor, RowTally]:
        fewest = max(VECTOR, self.fewest_rows) if self.fewest_rows else 0
        return run_layers(
            net, self.exits, self.leaving, x, t, cond, consecutive=self.consecutive, fewest=fewest
        )


class _Static(_Recording):
    def __init__(self, exits: ExitHeads, plan: list[int], rows: int) -> None:
        super().__init__(rows)
        self.exits, self.plan, self.step = exits, plan, 0

    def run(self, net: LayeredNet, t: Tensor, x: Tensor, cond: Condition) -> tuple[Tensor, RowTally]:
        depth = self.plan[min(self.step, len(self.plan) - 1)]
        state = net.stem(x, t, cond)
        for index in range(depth):
            state = net.layer(index, state)
        return self.exits.answer(net, depth - 1, state), RowTally(
            torch.full((len(x),), depth), depth * len(x)
        )

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        self.step += 1
        return x


def run_layers(
    net: LayeredNet,
    exits: ExitHeads,
    leaving: Leaving,
    x: Tensor,
    t: Tensor,
    cond: Condition = None,
    *,
    consecutive: int = 1,
    fewest: int = 0,
) -> tuple[Tensor, RowTally]:
    """The answer with exits, ``(B, *D)`` or ``(B, K, *D)``, and the layers of each row.

    Rows are gathered where that leaves fewer of them, so that no layer is asked for more rows than without exits.

    Args:
        net: The network.
        exits: Its heads.
        leaving: Who leaves.
        x: Input of the network, ``(B, *D)``.
        t: Its times, 0-d or ``(B,)``.
        cond: Its condition.
        consecutive: Layers in a row after which a row must be able to leave before it does.
        fewest: Fewest rows of a call in which a row does not feel the others; 0 for any number.
    """
    tally = RowTally(torch.full((len(x),), exits.n_layers))
    state = net.stem(x, t, cond)
    here = torch.arange(len(x), device=x.device)  # rows of x that the state has
    runs = torch.ones_like(here, dtype=torch.bool)  # those that have not left and are no padding
    hits = torch.zeros_like(here)
    answer: Tensor | None = None
    for index in range(exits.n_layers):
        state = net.layer(index, state)
        tally.computed += len(here)
        if index == exits.n_layers - 1:
            out = runs
        else:
            met = leaving(index, net.tokens(state), t if t.ndim == 0 else t[here])
            hits = torch.where(met, hits + 1, 0)
            out = runs & (hits >= consecutive)
        if not bool(out.any()):
            continue
        gone, rest = out.nonzero().flatten(), (runs & ~out).nonzero().flatten()
        some = _padded(gone, fewest)
        if len(some) < len(here):
            found = exits.answer(net, index, net.rows(state, some))[: len(gone)]
        else:
            found = exits.answer(net, index, state)[gone]
        tally.depth[here[gone].cpu()] = index + 1
        if answer is None and len(gone) == len(x):
            return found, tally
        answer = found.new_empty(len(x), *found.shape[1:]) if answer is None else answer
        answer = answer.index_copy(0, here[gone], found)
        if not len(rest):
            break
        kept = _padded(rest, fewest)
        if len(kept) < len(here):
            state, here, hits = net.rows(state, kept), here[kept], hits[kept]
            runs = torch.arange(len(kept), device=x.device) < len(rest)
        else:
            runs = runs & ~out
    assert answer is not None
    return answer, tally


def _padded(index: Tensor, fewest: int) -> Tensor:
    """Some rows, the first repeated up to a number of rows that no kernel can tell from others, to the last bit."""
    lack = whole_rows(len(index), fewest) - len(index) if fewest else 0
    return index if lack <= 0 else torch.cat([index, index[:1].expand(lack)])


def _interpolated(table: Tensor, t: Tensor) -> Tensor:
    """The second column at times in the first; those beyond its ends by rounding take the value there.

    Raises:
        InvalidInputError: If a time lies outside the table.
    """
    where, values = table.T.contiguous()
    now = t.detach().double().cpu()
    slack = 2e-3
    if bool((now < where[0] - slack).any()) or bool((now > where[-1] + slack).any()):
        rule = f"times of the network must lie in its table, [{float(where[0]):g}, {float(where[-1]):g}]"
        raise invalid("LayerExit", rule, now.flatten()[:3].tolist(), "Fit the heads for these times.")
    at = torch.searchsorted(where, now).clamp(1, len(where) - 1)
    width = where[at] - where[at - 1]  # zero where the network is told one time over a stretch of the run
    share = torch.where(width > 0, (now - where[at - 1]) / width, 0.0).clamp(0, 1)
    found: Tensor = values[at - 1] + share * (values[at] - values[at - 1])
    return found.to(t.device)
