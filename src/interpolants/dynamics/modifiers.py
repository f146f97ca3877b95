"""Modifiers: they change how trained fields are sampled, without training.

A modifier is settings alone. For every chunk of a run it begins anew, after the probes that choose the chunks, and
what it begins holds the state: it sees every evaluation of the fields and every finished step of these rows only.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from torch import Tensor, nn

from interpolants.fields.observed import ObservedFields
from interpolants.fields.protocol import Fields
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.errors import invalid
from interpolants.foundations.registry import build, names
from interpolants.foundations.row_times import TakesOneTime, ask
from interpolants.foundations.types import Condition


class Work:
    """A modifier at work on one chunk of one run; as it is here it changes nothing."""

    @property
    def changes_fields(self) -> bool:
        """Whether the fields are asked through :meth:`evaluate`.

        If not, a sampler keeps the fast ways of the fields, which a wrapper cannot repeat to the bit.
        """
        return type(self).evaluate is not Work.evaluate

    # Fewest rows of a call in which a row does not feel the others, to the last bit; 0 where it may feel them. Set by
    # the run after ``begin``.
    fewest_rows: int = 0

    # Quantities that :meth:`observe` is told of after every evaluation, at no further call of a network.
    observes: tuple[str, ...] = ()

    def observe(self, x: Tensor, t: Tensor, values: dict[str, Tensor]) -> None:
        """See the quantities ``observes`` as the sampler's fields have them; the run keeps its bits.

        Called at every stage of every step, and by correctors between them.

        Args:
            x: States of the evaluation, ``(b, *D)``.
            t: Its time, 0-d or ``(b,)``.
            values: The quantities by name, each ``(b, *D)``.
        """

    def evaluate(
        self, inner: Fields, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition
    ) -> dict[str, Tensor]:
        """Return the fields that the sampler uses; see ``Fields.evaluate``.

        Called at every stage of every step, so the number of calls is not that of the steps. The inner fields may be
        asked at other states and times, one time per sample too.
        """
        return inner.evaluate(x, t, want, cond)

    @property
    def changes_networks(self) -> bool:
        """Whether the networks are asked through :meth:`network`; what the fields derive from them follows."""
        return type(self).network is not Work.network

    def network(self, net: nn.Module, x: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """Return the network output that the fields use, inside wrappers that scale its inputs and outputs.

        Called at every evaluation of the network: under guidance several times at one time.

        Args:
            net: The network, called ``ask(net, x, t, cond)``; see ``foundations.row_times``, also for its parts.
            x: Its input, ``(B, *D)``.
            t: Its time, 0-d or ``(B,)``: a wrapper may have put another clock in place of t.
            cond: Its condition.
        """
        answer: Tensor = ask(net, x, t, cond)
        return answer

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        """The states to go on from after a finished step; the last one is that of the result.

        Args:
            x: States reached, ``(b, *D)``, to be left as they are. Their order never changes during a run.
            t: Time reached, 0-d.
            fields: The fields that the sampler asks, all modifiers included.
        """
        return x

    def report(self) -> dict[str, Tensor]:
        """Results by name, one row per row of the chunk; they are returned in ``Samples.reports``."""
        return {}


class Trial(Protocol):
    """The coming run, on a few starts that do not depend on its own: what a modifier may be tuned by."""

    def observe(self, who: str, modifier: "Modifier") -> dict[str, Tensor]:
        """The report of one modifier alone on the run, one row per start.

        Raises:
            InvalidInputError: If the run has conditions, or no base to draw starts from.
        """
        ...


class Modifier(ABC):
    """Settings of a change to sampling; a frozen dataclass.

    With a neutral setting :meth:`begin` returns a plain ``Work()``: the samples are then those of the unmodified run,
    to the bit.
    """

    @property
    def couples_rows(self) -> bool:
        """Whether a sample depends on the others of its batch; then it is refused under ``invariant=True``."""
        return False

    @property
    def acts_by_entry(self) -> bool:
        """Whether it treats entries of a state apart, which must then be entries of the data: no whitened units."""
        return False

    @property
    def asks_without_condition(self) -> bool:
        """Whether the fields are also asked without their condition, which they must have been trained for."""
        return False

    @property
    def takes_networks_apart(self) -> bool:
        """Whether it calls a network's parts instead of the network: another modifier cannot do so too."""
        return False

    def why_not(self, model: object) -> str:
        """Why the mathematics does not hold for this model, here the fields; empty where it does."""
        return ""

    def tuned(self, trial: Trial) -> "Modifier":
        """The settings to run with, where some are left to be found on the run itself; as a rule these very ones."""
        return self

    def measured_on(self, rows: Tensor) -> "Modifier":
        """The settings to run with, where some are measured on data; as a rule these very ones.

        Methods that sample call it with rows ``(N, *D)`` that they were fitted to, in the units of their fields.
        """
        return self

    @abstractmethod
    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """Start the work on a chunk.

        Args:
            x: Start states of the chunk, ``(b, *D)``; padding repeats some of them.
            index: Index of the first row in the whole job: randomness belongs to ``index + i``.
            times: Times of the steps in the order of travel, ``(n + 1,)`` float64. The time of an evaluation is one of
                them, or lies between two where the solver has stages there.
        """


def check_modifiers(who: str, modifiers: object, fields: Fields) -> tuple[Modifier, ...]:
    """The modifiers, made where words or tables stand for them, if they fit the fields.

    Args:
        who: Name of the caller, used in error messages.
        modifiers: One or a sequence of them: objects, ids of cards, or tables ``{"kind": id, **settings}``.
        fields: The fields that they modify.

    Raises:
        InvalidInputError: If one is none of these, or with the modifier's own reason; if two take networks apart.
    """
    several = modifiers if isinstance(modifiers, list | tuple) else (modifiers,)
    found = tuple(_checked(who, modifier, fields) for modifier in several)
    apart = [type(modifier).__name__ for modifier in found if modifier.takes_networks_apart]
    if len(apart) > 1:
        rule = "one modifier alone may call the parts of the networks"
        raise invalid(who, rule, " and ".join(apart), "Use one of them.")
    return found


def _checked(who: str, modifier: object, fields: Fields) -> Modifier:
    table = {"kind": modifier} if isinstance(modifier, str) else modifier
    if isinstance(table, Mapping) and "kind" in table:
        settings = dict(table)
        modifier = build("modifier", settings.pop("kind"), **settings)
    if not isinstance(modifier, Modifier):
        rule = "modifiers must be Modifier objects, ids, or tables with a kind"
        raise invalid(who, rule, type(modifier).__name__, f"Ids: {', '.join(names('modifier'))}.")
    if why := modifier.why_not(fields):
        rule = f"{type(modifier).__name__} must fit the fields: {why}"
        raise invalid(who, rule, type(fields).__name__)
    return modifier


class ModifiedFields(WrappedFields):
    """Fields as a modifier at work makes them.

    Args:
        inner: The fields that it modifies.
        work: The modifier at work.
    """

    def __init__(self, inner: Fields, work: Work) -> None:
        super().__init__(inner)
        self.work = work

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities, modified."""
        return self.work.evaluate(self.inner, x, t, want, cond)


class ModifiedNet(TakesOneTime, nn.Module):
    """A network as a modifier at work makes it.

    Args:
        net: The network that it modifies.
        work: The modifier at work.
    """

    def __init__(self, net: nn.Module, work: Work) -> None:
        super().__init__()
        self.net, self.work = net, work

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """Return the modified output of the network."""
        return self.work.network(self.net, x, t, cond)


def modified(fields: Fields, works: Sequence[Work]) -> Fields:
    """The fields under modifiers at work, the first one innermost; the fields themselves where none changes them."""
    for work in works:
        if work.changes_networks:
            fields = fields.through(partial(ModifiedNet, work=work))
        if work.changes_fields:
            fields = ModifiedFields(fields, work)
    for work in works:
        if work.observes:  # what the sampler sees, all modifiers included
            fields = ObservedFields(fields, work.observes, work.observe)
    return fields
