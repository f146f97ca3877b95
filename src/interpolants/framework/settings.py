"""Settings of a method: keyword arguments that are checked once, copied, changed, and shown as they were passed.

A class declares each setting once, as a field: the annotation is its kind, and the string below it its sentence::

    strength: Answer[NonNegative] = 4.0
    "Strength s of the guidance; 0 is none."

From these follow the arguments of the constructor, their checks (:mod:`interpolants.foundations.kinds`), ``Args:`` of
the help, options of commands, and the schema of recipes. A subclass that changes a default writes ``steps = 4000``.
"""

import copy
import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, dataclass_transform

from torch import nn

from interpolants.foundations.asked import asking
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import Checker, checker
from interpolants.foundations.said import PlainSignature, Told
from interpolants.framework.capabilities import capabilities_of


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class Settings:
    """Base class of objects defined by their settings, which they store; nested methods are copied templates."""

    __signature__ = PlainSignature()
    # Attributes and settings that it once had -> what takes their place, as a sentence.
    former: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if (
            "check" in vars(cls).keys() - capabilities_of(cls).keys()
            and cls.check_settings is Settings.check_settings
        ):
            raise TypeError(f"{cls.__name__}: settings are checked by check_settings(), not by check()")
        cls.former = {k: v for base in reversed(cls.__mro__) for k, v in vars(base).get("former", {}).items()}
        _refuse_hiding(cls)
        _keep_kinds(cls)
        dataclasses.dataclass(kw_only=True, eq=False, repr=False)(cls)
        if not isinstance(vars(cls).get("__doc__"), Told):
            cls.__doc__ = Told(cls.__doc__)  # type: ignore[assignment]

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Raise an error for an unknown setting, with the nearest known one."""
        known = [f.name for f in settings_of(cls)]
        for name in given:
            if name not in known:
                remedy = cls.former.get(name) or nearest(name, known)
                raise invalid(cls.__name__, "every argument must be a setting", repr(name), remedy)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        settings = settings_of(type(self))
        for f in settings:
            value = getattr(self, f.name)
            if isinstance(value, Settings) and not value.is_fitted:  # a template: nobody else may change it
                setattr(self, f.name, value.clone())
        # As they were asked for: "auto" is decided anew when another setting changes.
        self._asked = {f.name: getattr(self, f.name) for f in settings}
        with asking(type(self).__name__):
            for name, check in checks_of(type(self)).items():
                value = check(name, getattr(self, name))
                setattr(self, name, value)
                if type(value) is bool:  # NumPy's booleans are stored as Python's: files hold no others
                    self._asked[name] = value
            self.check_settings()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Raise an error that names the replacement of a removed attribute."""
            instead = self.former.get(name)
            said = f"{type(self).__name__} has no attribute {name!r}"
            raise AttributeError(f"{said}. {instead}" if instead else said)

    def check_settings(self) -> None:
        """Check that settings are compatible, and convert names and tables to members.

        Each setting with a declared kind has been checked before. It is called when the object is made, and once more
        where a verb is asked with other settings of answers: called twice, it must leave what it left once.
        """

    @property
    def is_fitted(self) -> bool:
        """Whether it holds more than its settings."""
        return False

    def params(self) -> dict[str, Any]:
        """Settings as passed, without those of nested methods."""
        return dict(self._asked)

    def chosen_params(self) -> dict[str, Any]:
        """Settings that differ from the defaults, as passed."""
        told = (f for f in settings_of(type(self)) if not _is_default(f, self._asked[f.name]))
        return {f.name: self._asked[f.name] for f in told}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings, as scikit-learn has them; with ``deep`` those of methods inside too, as ``a__b``."""
        own = self.params()
        if not deep:
            return own
        inner = {name: value for name, value in own.items() if isinstance(value, Settings)}
        return {**own, **{f"{k}__{n}": v for k, m in inner.items() for n, v in m.get_params().items()}}

    def set_params(self, **changes: Any) -> Self:
        """Change settings, all or none.

        Raises:
            InvalidInputError: If a name is unknown (the nearest is named), or a setting is refused.
        """
        own = self._copied_params()
        for name, value in changes.items():
            head, _, rest = name.partition("__")
            if head not in own or (rest and not isinstance(own[head], Settings)):
                who = f"{type(self).__name__}.set_params"
                remedy = self.former.get(head) or nearest(name, self.get_params())
                raise invalid(who, "the parameter must be one of get_params()", repr(name), remedy)
            own[head] = own[head].set_params(**{rest: value}) if rest else value
        self.__dict__ = type(self)(**own).__dict__
        return self

    def clone(self) -> Self:
        """An unfitted one with the same settings; templates and networks inside are copied too."""
        return type(self)(**self._copied_params())

    def answering_with(self, changes: Mapping[str, Any]) -> Self:
        """Return a copy with other settings of answers, for one call; it shares the learnt state.

        Args:
            changes: Declared settings of answers, by name.

        Raises:
            InvalidInputError: If one is refused.
        """
        other = copy.copy(self)
        other._asked = {**self._asked, **changes}
        for name, value in changes.items():
            setattr(other, name, checks_of(type(self))[name](name, value))
        other.check_settings()
        return other

    def _copied_params(self) -> dict[str, Any]:
        return {name: _copied(value) for name, value in self.params().items()}

    def _asks(self, name: str, value: Any) -> None:
        """Change one setting in place, where nothing else depends on it."""
        setattr(self, name, value)
        self._asked[name] = value


def _refuse_hiding(cls: type) -> None:
    """Check that a setting does not hide another attribute of a base class."""
    for name, kind in vars(cls).get("__annotations__", {}).items():
        if "ClassVar" in str(kind):
            continue
        for base in cls.__mro__[1:]:
            if name in vars(base) and name not in getattr(base, "__dataclass_fields__", {}):
                raise TypeError(
                    f"{cls.__name__}: the setting {name!r} hides {base.__name__}.{name}; rename it"
                )


def _keep_kinds(cls: type) -> None:
    """Keep the kind of a setting if a subclass changes only its default, ``steps = 4000``.

    Raises:
        TypeError: If a subclass repeats a declared setting with an annotation that would not be checked.
    """
    kinds = {
        f.name: f.type
        for base in reversed(cls.__mro__)
        for f in vars(base).get("__dataclass_fields__", {}).values()
    }
    own = vars(cls).get("__annotations__", {})
    for name, kind in own.items():
        if name in kinds and checker(kinds[name]) is not None and checker(kind) is None:
            rule = f"the setting {name!r} repeats a declared one with a kind that is not checked"
            raise TypeError(f"{cls.__name__}: {rule}. Write the new default alone: {name} = ...")
    changed = {name: kinds[name] for name in vars(cls) if name in kinds and name not in own}
    if changed:
        cls.__annotations__ = {**own, **changed}


def checks_of(kind: Any) -> Mapping[str, Checker]:
    """Setting -> its check, of those with a declared kind."""
    return _checks_of(kind)


@functools.cache
def _checks_of(kind: Any) -> dict[str, Checker]:
    found = {f.name: checker(f.type) for f in settings_of(kind)}
    return {name: check for name, check in found.items() if check is not None}


def settings_of(kind: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The settings of a class, in order."""
    return tuple(f for f in dataclasses.fields(kind) if f.init)


def _copied(value: Any) -> Any:
    if isinstance(value, Settings) and not value.is_fitted:
        return value.clone()
    return copy.deepcopy(value) if isinstance(value, nn.Module) else value


def _is_default(field: Any, value: Any) -> bool:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return type(value) is type(default) and bool(value == default)
