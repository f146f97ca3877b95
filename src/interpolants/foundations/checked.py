"""Dataclasses whose fields are checked by their kinds, as the settings of methods are."""

import dataclasses
from typing import Any

from interpolants.foundations.asked import asking
from interpolants.foundations.kinds import checker
from interpolants.foundations.said import PlainSignature, Told


class Checked:
    """A dataclass that declares each field once: its kind as the annotation, and a sentence below it.

    A class that has rules beside these writes ``check_settings``, which is called after all fields were checked.
    """

    __signature__ = PlainSignature()

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.__doc__ = Told(cls.__doc__)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        with asking(type(self).__name__):
            for part in dataclasses.fields(self):  # type: ignore[arg-type]
                if check := checker(part.type):
                    object.__setattr__(self, part.name, check(part.name, getattr(self, part.name)))
            self.check_settings()

    def check_settings(self) -> None:
        """Refuse fields that do not go together; each alone has been checked before."""
