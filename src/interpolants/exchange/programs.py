"""Programs that are exported: modules from tensors in data units to tensors in data units.

A change of units ``x = decode(u)`` moves a velocity by the Jacobian of ``decode``, and a score, where the map is
affine, by the transposed Jacobian of ``encode``.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor, nn

from interpolants.dynamics.samplers import Sampler, SdeSampler
from interpolants.exchange.ports import Port
from interpolants.exchange.subject import WHO, Subject
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.framework.frames import LinearFrame
from interpolants.guidance.classifier_free import ClassifierFree, with_strength

NOISE, BROWNIAN, GUIDANCE = "noise", "brownian", "guidance"


class Program(nn.Module, ABC):
    """What is written: fields with their networks, and the names of its inputs in order.

    Args:
        subject: The fields, in the precision of the program.
        guidance: Strength of classifier-free guidance: a number that is kept, True for an input, or None.
        inputs: Its inputs in order.
    """

    def __init__(self, subject: Subject, guidance: float | bool | None, inputs: Sequence[Port]) -> None:
        super().__init__()
        self.subject, self.inputs, self.told = subject, tuple(inputs), guidance is True
        self.networks = nn.ModuleList(subject.fields.networks)
        self.fields = guided(subject.fields, guidance)

    @abstractmethod
    def answer(self, given: dict[str, Tensor]) -> Tensor:
        """The output, from the inputs by name."""

    @property
    def names(self) -> list[str]:
        """Names of the inputs, in order."""
        return [port.name for port in self.inputs]

    def condition(self, given: dict[str, Tensor]) -> Condition:
        """The condition of the fields, from the inputs."""
        port = self.subject.cond
        if port is None:
            return None
        return with_strength(given[port.name], given[GUIDANCE]) if self.told else given[port.name]


class FieldProgram(Program):
    """One quantity at a state and a time, both in data units.

    Args:
        subject: As in :class:`Program`.
        guidance: As in :class:`Program`.
        inputs: As in :class:`Program`.
        quantity: What is answered.
    """

    def __init__(
        self, subject: Subject, guidance: float | bool | None, inputs: Sequence[Port], quantity: str
    ) -> None:
        super().__init__(subject, guidance, inputs)
        self.quantity = quantity

    def answer(self, given: dict[str, Tensor]) -> Tensor:
        """The quantity at ``x (B, *D)`` and ``t (B,)``."""
        x, frame = given["x"], self.subject.frame
        u = frame.encode(x)
        value = self.fields.evaluate(u, given["t"], (self.quantity,), self.condition(given))[self.quantity]
        if self.quantity in ("velocity", "mean_rate"):
            return frame.push(value, x)
        if self.quantity == "score":
            assert isinstance(frame, LinearFrame)
            return frame.pull(value)
        return value if self.quantity == "noise" else frame.decode(value)


class SamplerProgram(Program):
    """A whole run of a sampler with fixed steps: starts in, samples out, all noise an input.

    Args:
        subject: As in :class:`Program`.
        guidance: As in :class:`Program`.
        inputs: As in :class:`Program`.
        sampler: The steps, over the fields of the subject.
    """

    def __init__(
        self, subject: Subject, guidance: float | bool | None, inputs: Sequence[Port], sampler: Sampler
    ) -> None:
        super().__init__(subject, guidance, inputs)
        self.sampler = sampler.on(self.fields)

    def answer(self, given: dict[str, Tensor]) -> Tensor:
        """States at the end of the run, ``(B, *D)`` in data units."""
        x, cond = self.first_states(given), self.condition(given)
        if isinstance(self.sampler, SdeSampler):
            done = self.sampler.driven_by(self._motion(given[BROWNIAN]), x, cond)
        else:
            done = self.sampler.run(x, cond, 0, keep=False, on_step=None)
        return self.subject.frame.decode(done.x)

    def first_states(self, given: dict[str, Tensor]) -> Tensor:
        """States at the first time in the fields' units: coloured noise of the base, or rows of data."""
        if NOISE not in given:
            return self.subject.frame.encode(given["x"])
        path = self.subject.fields.path
        assert path is not None
        assert path.base is not None
        return path.base.color(given[NOISE])

    def _motion(self, noise: Tensor) -> Iterator[tuple[Tensor, None]]:
        """Increments of the Brownian motion from standard normal ones, ``(B, steps, *D)``."""
        for n, h in enumerate(np.abs(np.diff(self.sampler.grid)).tolist()):
            yield noise[:, n] * h**0.5, None


def guided(fields: Fields, guidance: float | bool | None) -> Fields:
    """The fields that are followed; with guidance as an input, every row has a strength of its own."""
    return fields if guidance is None else ClassifierFree(fields, 1.0 if guidance is True else guidance)


def check_guidance(subject: Subject, guidance: float | bool | None) -> None:
    """Refuse guidance of what knows no condition, or never learnt to do without."""
    if guidance is None:
        return
    if guidance is not True:
        number(WHO, "guidance", guidance, remedy="Or True, which makes it an input of the program.")
    if subject.cond is None or not subject.knows_both:
        found = "no condition" if subject.cond is None else "one that never learnt without its condition"
        remedy = "Fit with cond= and drop_condition=0.1, or leave guidance out."
        raise invalid(
            WHO, f"guidance needs a {subject.name} that knows its fields with and without", found, remedy
        )
