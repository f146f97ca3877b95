"""Fields that tell an observer what they answer, and what follows from it without another call of a network."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from interpolants.fields.protocol import Combined, Fields, Weights
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.row_times import TakesOneTime, ask
from interpolants.foundations.types import Condition

Observer = Callable[[Tensor, Tensor, dict[str, Tensor]], None]


class ObservedFields(WrappedFields):
    """The inner fields, to the bit; after every evaluation an observer is told quantities at the same state and time.

    What was not asked for is worked out from the answers that the networks have just given.

    Args:
        inner: The fields that are observed.
        quantities: Names of the quantities that the observer is told.
        observer: Called ``observer(x, t, values)``.
    """

    def __init__(self, inner: Fields, quantities: Sequence[str], observer: Observer) -> None:
        self._tape = _Tape()
        super().__init__(inner.through(self._tape.around))
        self._quantities, self._observer = tuple(quantities), observer

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities."""
        self._tape.record()
        values = self.inner.evaluate(x, t, want, cond)
        self._tell(x, t, cond, values)
        return values

    def combine(
        self, x: Tensor, t: Tensor, terms: Sequence[tuple[str, Tensor | float]], cond: Condition = None
    ) -> Tensor:
        """The weighted sum of the inner fields."""
        self._tape.record()
        total = self.inner.combine(x, t, terms, cond)
        self._tell(x, t, cond, {})
        return total

    def combined(self, names: Sequence[str], weights: Weights, times: Sequence[Tensor] = ()) -> Combined:
        """The weighted sum of the inner fields, in their own fast way."""
        inner = self.inner.combined(names, weights, times)

        def sum_at(x: Tensor, t: Tensor, cond: Condition) -> Tensor:
            self._tape.record()
            total = inner(x, t, cond)
            self._tell(x, t, cond, {})
            return total

        return sum_at

    def velocity_of(self, cond: Condition = None) -> Callable[[Tensor, Tensor], Tensor]:
        """The velocity of the inner fields, in their own fast way."""
        inner = self.inner.velocity_of(cond)

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            self._tape.record()
            found = inner(x, t)
            self._tell(x, t, cond, {})
            return found

        return velocity

    def _tell(self, x: Tensor, t: Tensor, cond: Condition, values: dict[str, Tensor]) -> None:
        told = {name: values[name] for name in self._quantities if name in values}
        missing = [name for name in self._quantities if name not in told]
        if missing:
            self._tape.play()
            found = self.inner.evaluate(x, t, missing, cond)
            told |= {name: found[name] for name in missing}
        self._tape.stop()
        self._observer(x, t, told)


class _Tape:
    """Answers of networks within one evaluation, by network in the order of their calls, to be given again."""

    def __init__(self) -> None:
        self.kept: dict[nn.Module, list[Tensor]] = {}
        self.mode = "off"

    def around(self, net: nn.Module) -> nn.Module:
        return _Taped(net, self)

    def record(self) -> None:
        self.kept, self.mode = {}, "record"

    def play(self) -> None:
        self.mode = "play"

    def stop(self) -> None:
        self.kept, self.mode = {}, "off"


class _Taped(TakesOneTime, nn.Module):
    """A network that is recorded; what it has not been asked yet it is asked."""

    def __init__(self, net: nn.Module, tape: _Tape) -> None:
        super().__init__()
        self.net, self.tape = net, tape

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        kept = self.tape.kept.setdefault(self.net, [])
        if self.tape.mode == "play" and kept:
            return kept.pop(0)
        answer: Tensor = ask(self.net, x, t, cond)
        if self.tape.mode == "record":
            kept.append(answer)
        return answer
