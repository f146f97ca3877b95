"""Paths fitted to data: named before the data are known, fitted when they are."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, runtime_checkable

from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import nearest
from interpolants.foundations.records import record
from interpolants.foundations.registry import members
from interpolants.paths.linear import OneSidedLinear
from interpolants.paths.path import Path


@runtime_checkable
class FittedPath(Protocol):
    """A class of paths that are made from samples."""

    @classmethod
    def fit(cls, data: Any) -> Any:
        """The path to samples ``(N, *D)``."""
        ...


@record("path_to_fit")
@dataclass(frozen=True)
class UnfittedPath(Checked):
    """A path by the id of its card, to be fitted to samples of rho1 by the class's own ``fit``.

    ::

        UnfittedPath.of({"kind": "kinetic_optimal", "fit": {"rows": 500, "draws": 8}}).fit(x1)

    Raises:
        InvalidInputError: If there is no such path, it is not fitted to data, or a setting is not one of its.
    """

    kind: str
    """Id of a path whose class has ``fit(data, **settings)``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What ``fit`` takes besides the data."""
    rows: Annotated[int, Ge(2)] | None = None
    """Fit to so many rows of the data at most; all of them when None."""

    def check_settings(self) -> None:
        """Refuse a path that is not fitted, and settings that its fit has not."""
        known = _fittable()
        if self.kind not in known:
            remedy = f"{nearest(self.kind, known)} Others have settings of their own, and no 'fit'."
            raise invalid(f"kind must be one of {', '.join(known)}", repr(self.kind), remedy)
        taken = _settings_of(known[self.kind])
        for name in self.settings:
            if name not in taken:
                remedy = nearest(name, (*taken, "rows"))
                rule = f"every setting of fit must be one that {self.kind} has"
                raise invalid(rule, repr(name), remedy)

    @classmethod
    def of(cls, spec: Any) -> "UnfittedPath | None":
        """The path of a table ``{"kind": id, "fit": {settings}}``; None for anything without ``fit``."""
        if not (isinstance(spec, Mapping) and "fit" in spec):
            return None
        settings = spec["fit"]
        if not isinstance(settings, Mapping):
            raise invalid("fit must be a table of settings", repr(settings), "For example, use {}.")
        if beside := [name for name in spec if name not in ("kind", "fit")]:
            remedy = "Settings of the fit go into its table."
            raise invalid("beside fit there may be the kind alone", repr(beside[0]), remedy)
        rest = {name: value for name, value in settings.items() if name != "rows"}
        return cls(str(spec.get("kind")), rest, settings.get("rows"))

    @property
    def before(self) -> Path:
        """Placeholder before the fit: a path with the same kind of ends."""
        return OneSidedLinear()

    def fit(self, x1: Tensor) -> Path:
        """The path to samples ``x1 (N, *D)``, in their units."""
        entry = _fittable()[self.kind]
        path = entry.fit(x1 if self.rows is None else x1[: self.rows], **self.settings)
        assert isinstance(path, Path)
        return path


def _fittable() -> dict[str, Any]:
    """Classes of one-sided paths with a ``fit``, by id."""
    return {name: entry for name, entry in members("path").items() if issubclass(entry, FittedPath)}


def _settings_of(entry: Any) -> tuple[str, ...]:
    """Keyword arguments of ``fit`` besides the data."""
    parameters = list(inspect.signature(entry.fit).parameters.values())[1:]
    return tuple(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
