"""Encoder propagation: features of a U-Net's encoder are kept over several steps, the decoder is asked at all of them.

Letters: a network is ``D(t, E(t, x))``, decoder after encoder; step j of n is a *key* or uses the features of the last
key k(j): ``D(t_j, E(t_k, X_k))``. As D does not see X_j, all answers of a segment, from a key to the next, are known at
the key, and are decoded in one batch. The cost is ``|K| c_E + n c_D`` against ``n (c_E + c_D)``.

Holding the *answer* of a key instead costs no decoder either, and with ``method="ddim"`` is a run of ``|K|`` steps on
the grid of the keys: that run is what propagation must beat.

Source: Li et al. (2024), arXiv:2312.09608; refreshed levels, measured keys and verified times are ours.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from interpolants.dynamics.modifiers import Modifier, Trial, Work
from interpolants.fields.protocol import Fields
from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.clock import ROUNDING
from interpolants.foundations.inner_nets import inner_net
from interpolants.foundations.kinds import Check, Count, Whole
from interpolants.foundations.row_times import bare
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.foundations.types import Condition, take_rows
from interpolants.generative.acceleration.feature_observer import FeatureObserver, feature_change
from interpolants.generative.acceleration.key_steps import AUTO, Keys, check_keys, key_steps, keys_by_change
from interpolants.nets.split import Features, RefreshingNet, SplitNet, module_in_training

_WHO = "EncoderPropagation"


@dataclass(frozen=True)
class EncoderPropagation(Checked, Modifier):
    """Ask the encoder at key steps only; between them decode its kept features at the times of the steps.

    Features are kept by network and by its calls within a step, so that stages of a solver, the halves of guidance and
    several networks have their own; where states or condition of a call change their form, features are made anew. The
    report counts, per row, ``encoder_calls``, ``decoder_calls`` and ``refreshes``.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    keys: Annotated[Keys, Check(check_keys)] = 5
    """A distance (every m-th step), steps in increasing order from 0, a function from the number of steps to these, a
    name of ``PRESETS``, or ``"auto"``: ``budget`` keys between which the features change equally, as a trial run of 16
    starts shows."""
    refresh_levels: Whole = 0
    """So many of the encoder's first levels, which are the cheap ones and carry the state itself, are computed at every
    step; deeper ones are kept. Segments are then decoded one step at a time."""
    parallel: Literal[True, False, "auto"] = "auto"
    """Decode a segment in one batch where the times of its calls are known beforehand: a network inside a wrapper with
    a clock of its own is decoded one step at a time. ``"auto"`` does so on accelerators only: on a CPU a batch that
    leaves the cache costs more than it saves."""
    most_rows: Count = 4096
    """Most rows of such a batch; longer segments are decoded in parts."""
    budget: Count | None = None
    """Number of keys for ``"auto"``."""

    def check_settings(self) -> None:
        """Refuse a budget without keys to choose, and the other way round."""
        if (self.budget is None) == (self.keys == AUTO):
            found = "no budget" if self.budget is None else f"keys={self.keys!r} and a budget"
            raise asked.invalid("keys='auto' and budget go together", found)

    @property
    def takes_networks_apart(self) -> bool:
        """It calls encoder and decoder."""
        return True

    def why_not(self, model: object) -> str:
        """Every network must be split, and at rest: dropout or batch statistics would differ between steps."""
        nets = [inner_net(net) for net in model.networks] if isinstance(model, Fields) else []
        if not nets:
            return "it needs networks"
        return next(filter(None, map(self._why_not_net, nets)), "")

    def _why_not_net(self, net: Any) -> str:
        name = type(net).__name__
        if not isinstance(net, SplitNet):
            return (
                f"{name} needs methods encode(x, t, cond) and decode(features, t, cond); e.g. a UNet has them"
            )
        if module_in_training(net):
            return f"{name} is in training mode, call .eval() first"
        if not self.refresh_levels:
            return ""
        if not isinstance(net, RefreshingNet):
            return (
                f"{name} needs encoder_levels and refresh(features, x, t, cond, levels=) for refresh_levels"
            )
        most = net.encoder_levels
        return (
            ""
            if self.refresh_levels < most
            else f"refresh_levels must be below the {most} levels of {name}, got {self.refresh_levels}"
        )

    def tuned(self, trial: Trial) -> "EncoderPropagation":
        """With keys in place of ``"auto"``."""
        if self.budget is None:
            return self
        change = trial.observe(_WHO, FeatureObserver())["encoder"].mean(0)
        return replace(self, keys=keys_by_change(change, self.budget), budget=None)

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk.

        Raises:
            InvalidInputError: If the keys do not fit the number of steps.
        """
        steps = len(times) - 1
        keys = key_steps(self.keys, steps)
        return Work() if len(keys) == steps else _Propagating(self, keys, x, times)


def tune_encoder_propagation(
    fields: Fields, x: Tensor, budget: int, *, refresh_levels: int = 0, **options: Any
) -> EncoderPropagation:
    """Keys where features change most, measured on starts of one's own; works under conditions and guidance too.

    Args:
        fields: Trained fields.
        x: Starts ``(b, *D)``; some dozens.
        budget: Number of keys.
        refresh_levels: As in :class:`EncoderPropagation`.
        **options: Options of ``dynamics.sample``, those of the later runs: ``n_steps``, ``method``, ``cond`` ...
    """
    change = feature_change(fields, x, **options)
    return EncoderPropagation(keys_by_change(change.encoder, budget), refresh_levels)


@dataclass
class _Held:
    """Features of one call within a step, and the answers that are decoded already.

    Attributes:
        shape: Of the states that were encoded.
        cond: Their condition.
        features: For the decoder.
        ahead: The time and the answer of later steps, by step.
    """

    shape: torch.Size
    cond: Condition
    features: Features
    ahead: dict[int, tuple[float, Tensor]]

    def fits(self, x: Tensor, cond: Condition) -> bool:
        return self.shape == x.shape and _same(self.cond, cond)


class _Propagating(Work):
    def __init__(self, settings: EncoderPropagation, keys: list[int], x: Tensor, times: Tensor) -> None:
        self.settings, self.times, self.rows = settings, times.tolist(), len(x)
        self.keys = set(keys)
        self.step = 0
        self.calls: Counter[int] = Counter()  # of each network in this step
        self.held: dict[tuple[int, int], _Held] = {}
        self.unpredictable: set[tuple[int, int]] = set()
        self.counts = dict.fromkeys(("encoder_calls", "decoder_calls", "refreshes"), 0)

    def network(self, net: nn.Module, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        slot = id(net), self.calls[id(net)]
        self.calls[id(net)] += 1
        split: SplitNet
        split, told = bare(net, x, t)  # told the time in the shape that it takes
        self.counts["decoder_calls"] += 1
        held = self.held.get(slot)
        if held is None or self.step in self.keys or not held.fits(x, cond):
            self.counts["encoder_calls"] += 1
            self.held[slot] = held = _Held(x.shape, cond, split.encode(x, told, cond), {})
            if slot not in self.unpredictable:
                self._decode_ahead(split, held, t)
        elif levels := self.settings.refresh_levels:
            assert isinstance(split, RefreshingNet)
            self.counts["refreshes"] += 1
            return split.decode(split.refresh(held.features, x, told, cond, levels=levels), told, cond)
        if self.step in held.ahead:
            expected, answer = held.ahead.pop(self.step)
            if t.ndim == 0 and abs(float(t) - expected) <= ROUNDING:
                return answer
            held.ahead.clear()
            self.unpredictable.add(slot)
        return split.decode(held.features, told, cond)

    def _decode_ahead(self, net: SplitNet, held: _Held, t: Tensor) -> None:
        """Decode the steps until the next key at once, where the network's time is a known function of the step's."""
        asked = self.settings.parallel
        if self.settings.refresh_levels or not (not t.is_cpu if asked == "auto" else asked):
            return
        end = next((k for k in range(self.step + 1, len(self.times) - 1) if k in self.keys), None)
        steps = list(range(self.step, len(self.times) - 1 if end is None else end))
        part = self._part_of_step(t)
        if len(steps) < 2 or part is None:
            return
        times = [self._time(step, part) for step in steps]
        at_once = max(1, self.settings.most_rows // held.shape[0])
        if at_once < len(steps):
            told = f"{_WHO}: a segment of {len(steps)} steps has {len(steps) * held.shape[0]} rows"
            told += f", more than most_rows={self.settings.most_rows}, and is decoded in parts"
            tell(SettingWarning, told)
        for first in range(0, len(steps), at_once):
            cut = slice(first, first + at_once)
            answers = _decoded(net, held, times[cut], t)
            held.ahead |= zip(steps[cut], zip(times[cut], answers, strict=True), strict=True)

    def _part_of_step(self, t: Tensor) -> float | None:
        """Where in the step a time lies, 0 at its begin and 1 at its end; None outside, or for a time per row."""
        if t.ndim:
            return None
        now, then = self.times[self.step : self.step + 2]
        part = (float(t) - now) / (then - now)
        slack = ROUNDING / abs(then - now)
        return min(max(part, 0.0), 1.0) if -slack <= part <= 1 + slack else None

    def _time(self, step: int, part: float) -> float:
        now, then = self.times[step : step + 2]
        return float(now + part * (then - now))

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        self.step += 1
        self.calls.clear()
        return x

    def report(self) -> dict[str, Tensor]:
        return {name: torch.full((self.rows,), count) for name, count in self.counts.items()}


def _decoded(net: SplitNet, held: _Held, times: list[float], like: Tensor) -> tuple[Tensor, ...]:
    """The answers at some times, from one batch that repeats the features."""
    rows = held.shape[0]
    again = torch.arange(rows, device=like.device).repeat(len(times))
    clock = torch.tensor(times, dtype=torch.float64).to(like).repeat_interleave(rows)
    answers = net.decode(take_rows(held.features, again), clock, take_rows(held.cond, again))
    return answers.chunk(len(times))


def _same(a: Condition, b: Condition) -> bool:
    """Whether two conditions are one, absent parts (NaN) included."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        alike = a is b or (a.shape == b.shape and a.dtype == b.dtype)
        return alike and (a is b or bool(((a == b) | ((a != a) & (b != b))).all()))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(part, b[name]) for name, part in a.items())
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is None and b is None
