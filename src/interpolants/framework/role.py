"""A role: one thing that a method reads; its kind turns what users have into one canonical form.

Kinds lie above: ``rows``, ``series``, ``tokens`` and the others of ``roles``, and those of rooms.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Generator

from interpolants.data.arrays import Kind as Given
from interpolants.foundations.errors import invalid, nearest


@dataclass(frozen=True, kw_only=True)
class Role:
    """One thing that a method reads.

    Attributes:
        name: Argument of ``fit``, table ``[data.<name>]`` of a recipe, option of the command line.
        kind: How its values are read: an id of :func:`role_kind`.
        axis: Roles of one axis have as many rows and are split together; ``""`` for what has no rows.
        gaps: Whether NaN is allowed, and means "not seen".
        optional: Whether ``fit`` goes without.
        like: Another role whose event shape it must share.
        needs: What a role of kind ``model`` must be capable of: a verb, or a property such as ``fields``.
        names: What codes 0, 1, ... stand for, where the method fixes it: the symbols of tokens.
        exact: Whether rows are float64 whatever they came as, files included.
        words: Whether columns of tables may also be dates, which become days since 1970, and words, which become
            codes; see :mod:`interpolants.data.coded_columns`.
        typed: Whether columns of tables may be of any type, with gaps, and answers have their types again; see
            :mod:`interpolants.data.typed_columns`.
        columns: Names of the columns of rows, where they are known: a table may have them in any order.
        padded: Whether sequences of tokens may have different lengths: the shorter ones are filled up with -1.
        streams: Whether a fit may be given :class:`~interpolants.foundations.row_access.LazyRows` of large data on
            disk, and :class:`~interpolants.data.endless.EndlessRows` of what draws rows; else they are read to memory.
        about: One line for people.
    """

    name: str
    kind: str = "rows"
    axis: str = "row"
    gaps: bool = False
    optional: bool = False
    like: str = ""
    needs: str = ""
    names: tuple[str, ...] = ()
    exact: bool = False
    words: bool = False
    typed: bool = False
    columns: tuple[str, ...] = ()
    padded: bool = False
    streams: bool = False
    about: str = ""


@dataclass(frozen=True)
class Reading:
    """Circumstances of a reading.

    Attributes:
        who: Name of the caller, used in error messages.
        before: How the role came to ``fit``; None while fitting.
        rows: Number of rows that the value must have or stand for, where it is known.
        source: Seeds draws from distributions.
        attached: Keep the graph of a tensor.
    """

    who: str
    before: Given | None = None
    rows: int | None = None
    source: Generator | None = None
    attached: bool = False


class RoleKind(Protocol):
    """A kind of role.

    Attributes:
        has_rows: Whether values can be counted and cut.
    """

    has_rows: bool

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Any, Given]:
        """The canonical value, and how it came."""
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """A kind of role that knows how its files are read."""

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """A value of the role from a word of a recipe or of the command line, which names a file."""
        ...


@runtime_checkable
class WritesFormats(Protocol):
    """A kind of role whose answers have their own file formats; the first is the default.

    Attributes:
        writes: File extensions of these formats.
    """

    writes: tuple[str, ...]


_KINDS: dict[str, RoleKind] = {}


def role_kind(id: str, kind: RoleKind) -> None:
    """Make a kind of role known under an id; a room may bring its own.

    Raises:
        InvalidInputError: If the id is taken by another class.
    """
    if id in _KINDS and type(_KINDS[id]).__qualname__ != type(kind).__qualname__:
        raise invalid("role_kind", f"id must be unique, and {type(_KINDS[id]).__name__} has it", repr(id))
    _KINDS[id] = kind


def kind_of(role: Role) -> RoleKind:
    """The kind of a role.

    Raises:
        InvalidInputError: If the kind is unknown.
    """
    if role.kind not in _KINDS:
        rule = f"role {role.name!r} must be of a known kind"
        raise invalid("Role", rule, repr(role.kind), nearest(role.kind, _KINDS))
    return _KINDS[role.kind]


def formats_of(role: Role) -> tuple[str, ...]:
    """File extensions of answers of this kind, in addition to those of arrays; empty for most."""
    kind = kind_of(role)
    return kind.writes if isinstance(kind, WritesFormats) else ()
