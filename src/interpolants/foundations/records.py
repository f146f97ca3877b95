"""Records: plain data classes that may be written to files, each under a fixed id.

A record is registered where it is defined, so that a stored tree can name it without naming a module::

    @record("gaussian_prediction")
    @dataclass(frozen=True)
    class GaussianPrediction: ...

The fields of a record are what its constructor takes; a field of ``skip`` is not stored in files. A record that files
hold in another form names the two functions that lead there and back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

from interpolants.foundations.errors import invalid, suggestion

Kind = TypeVar("Kind", bound=type)


@dataclass(frozen=True)
class RecordType:
    """A registered class.

    Attributes:
        id: Its name in files.
        entry: The class.
        parts: An instance -> what files hold of it, by name.
        make: What files hold -> an equal instance.
    """

    id: str
    entry: type
    parts: Callable[[Any], Mapping[str, Any]]
    make: Callable[[Mapping[str, Any]], Any]


_BY_ID: dict[str, RecordType] = {}
_BY_CLASS: dict[type, RecordType] = {}


def record(
    id: str,
    *,
    skip: tuple[str, ...] = (),
    parts: Callable[[Any], Mapping[str, Any]] | None = None,
    make: Callable[[Mapping[str, Any]], Any] | None = None,
) -> Callable[[Kind], Kind]:
    """Register a data class as a record.

    Args:
        id: Name in files; fixed once files hold it.
        skip: Fields that are not stored in files; they need defaults.
        parts: Makes the stored parts of an instance; its fields if None.
        make: Makes an instance of stored parts; the constructor if None.

    Raises:
        InvalidInputError: If another class has the id, or the class is not a data class.
    """

    def register(entry: Kind) -> Kind:
        known = _BY_ID.get(id)
        if known is not None and (known.entry.__module__, known.entry.__qualname__) != (
            entry.__module__,
            entry.__qualname__,
        ):
            raise invalid("record", f"id must be unique, and {known.entry.__qualname__} has it", repr(id))
        if not is_dataclass(entry):
            raise invalid("record", "a record must be a data class", entry.__qualname__)
        take = parts or (lambda value: settings_of(value, *skip))
        _BY_ID[id] = _BY_CLASS[entry] = RecordType(id, entry, take, make or (lambda stored: entry(**stored)))
        return entry

    return register


def settings_of(value: Any, *skip: str) -> dict[str, Any]:
    """Constructor arguments of a data class by name, without the fields of ``skip``."""
    return {f.name: getattr(value, f.name) for f in fields(value) if f.init and f.name not in skip}


def record_of(value: object) -> RecordType | None:
    """The registration of an instance's class, if it is a record."""
    return _BY_CLASS.get(type(value))


def record_named(id: str, who: str) -> RecordType:
    """The registered class of an id.

    Raises:
        InvalidInputError: If no module that was imported registers it.
    """
    if id not in _BY_ID:
        remedy = suggestion(id, _BY_ID) or "Import the module that defines it first."
        raise invalid(who, "every record must be registered by an imported module", repr(id), remedy)
    return _BY_ID[id]
