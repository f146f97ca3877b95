"""Dataclasses whose fields are checked by their kinds, as the settings of methods are."""

import dataclasses
from typing import Any, Self

from interpolants.foundations.asked import asking
from interpolants.foundations.errors import invalid, nearest
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

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Refuse a field that there is not, with the nearest that there is."""
        known = [f.name for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
        for name in given:
            if name not in known:
                raise invalid(
                    cls.__name__, "every argument must be a setting", repr(name), nearest(name, known)
                )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        with asking(type(self).__name__):
            for part in dataclasses.fields(self):  # type: ignore[arg-type]
                if check := checker(part.type):
                    object.__setattr__(self, part.name, check(part.name, getattr(self, part.name)))
            self.check_settings()

    def check_settings(self) -> None:
        """Refuse fields that do not go together; each alone has been checked before."""
