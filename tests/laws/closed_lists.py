"""Settings of methods whose values come from a closed list, read off what refuses a word that cannot be one."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from interpolants.foundations.errors import InterpolantsError
from interpolants.foundations.kinds import plain
from interpolants.foundations.registry import kinds, names
from interpolants.framework.method import Method
from interpolants.framework.settings import settings_of

IMPOSSIBLE = "no_such_value"
# How a refusal lists what is allowed: `one_of` and registries.
_LISTED = (
    re.compile(r"must be one of (?P<words>.+?)(?:, or [^,]*)*, got "),
    re.compile(r"\bKnown: (?P<words>.+?)\.(?: |$)"),
)


@dataclasses.dataclass(frozen=True)
class ClosedList:
    """A setting, the value that an instance has, and all that it may have."""

    name: str
    own: Any
    values: tuple[Any, ...]

    @property
    def others(self) -> tuple[Any, ...]:
        """The values that the instance has not; True and 1 are two."""
        return tuple(v for v in self.values if type(v) is not type(self.own) or v != self.own)

    @property
    def kind(self) -> str:
        """The kind of registered members that its words name; empty for words of the method's own."""
        words = {value for value in self.values if isinstance(value, str) and value != "auto"}
        return next((kind for kind in kinds() if len(words) > 1 and words <= {*names(kind)}), "")


def closed_lists(method: Method) -> Iterator[ClosedList]:
    """The settings of an unfitted method with a closed list."""
    for field in settings_of(type(method)):
        values = (False, True) if plain(field.type) is bool else _listed(method, field.name)
        if len(values) > 1:
            yield ClosedList(field.name, method.params()[field.name], values)


def _listed(method: Method, name: str) -> tuple[Any, ...]:
    """What refuses an impossible value of a setting allows."""
    said = _refusal(method, name)
    found = next((match for form in _LISTED if (match := form.search(said))), None)
    return () if found is None else tuple(map(_value, re.split(r", | or ", found["words"])))


def _refusal(method: Method, name: str) -> str:
    try:
        with_value(method, name, IMPOSSIBLE)
    except InterpolantsError as error:
        return str(error)
    except (TypeError, ValueError, AttributeError):  # a table, which no word is
        return ""
    return ""


def _value(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (SyntaxError, ValueError):
        return word


def with_value(method: Method, name: str, value: Any) -> Method:
    """An unfitted copy with another value of one setting."""
    return method.clone().set_params(**{name: value})
