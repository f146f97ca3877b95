"""Settings of a method: keyword arguments that are checked once, copied, changed, and told as they were asked for.

A class writes its settings as annotated fields; the arguments of its constructor follow, as for a dataclass.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, dataclass_transform

import numpy as np
from torch import nn

from interpolants.foundations.errors import invalid, nearest
from interpolants.framework.capabilities import capabilities_of


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class Settings:
    """What is made from settings alone, and knows them afterwards; methods inside are templates of its own."""

    # Attributes and settings that it once had -> what takes their place, as a sentence.
    former: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if (
            "check" in vars(cls).keys() - capabilities_of(cls).keys()
            and cls.check_settings is Settings.check_settings
        ):
            raise TypeError(f"{cls.__name__}: settings are checked by check_settings(), not by check()")
        _refuse_hiding(cls)
        dataclasses.dataclass(kw_only=True, eq=False, repr=False)(cls)

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Refuse a setting that there is not, with the nearest that there is."""
        known = [f.name for f in settings_of(cls)]
        for name in given:
            if name not in known:
                remedy = cls.former.get(name) or nearest(name, known)
                raise invalid(cls.__name__, "every argument must be a setting", repr(name), remedy)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for f in settings_of(type(self)):
            value = getattr(self, f.name)
            if isinstance(value, Settings) and not value.is_fitted:  # a template: nobody else may change it
                setattr(self, f.name, value.clone())
            if f.type is bool:
                setattr(self, f.name, _truth(type(self).__name__, f.name, value))
        # As they were asked for: "auto" is decided anew when another setting changes.
        self._asked = {f.name: getattr(self, f.name) for f in settings_of(type(self))}
        self.check_settings()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            """Say what takes the place of something that was there once."""
            instead = self.former.get(name)
            said = f"{type(self).__name__} has no attribute {name!r}"
            raise AttributeError(f"{said}. {instead}" if instead else said)

    def check_settings(self) -> None:
        """Refuse settings, and turn names and tables into members; called once, when it is made."""

    @property
    def is_fitted(self) -> bool:
        """Whether it holds more than its settings."""
        return False

    def params(self) -> dict[str, Any]:
        """The settings as they were asked for, without those of methods inside."""
        return dict(self._asked)

    def chosen_params(self) -> dict[str, Any]:
        """The settings that are not the defaults, as they were asked for."""
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
                raise invalid(who, "the parameter must be known", repr(name), remedy)
            own[head] = own[head].set_params(**{rest: value}) if rest else value
        self.__dict__ = type(self)(**own).__dict__
        return self

    def clone(self) -> Self:
        """An unfitted one with the same settings; templates and networks inside are copied too."""
        return type(self)(**self._copied_params())

    def _copied_params(self) -> dict[str, Any]:
        return {name: _copied(value) for name, value in self.params().items()}

    def _asks(self, name: str, value: Any) -> None:
        """Change one setting in place, where nothing else depends on it."""
        setattr(self, name, value)
        self._asked[name] = value


def _refuse_hiding(cls: type) -> None:
    """Refuse a setting that has the name of something else of a base class, which it would hide without a word."""
    for name, kind in vars(cls).get("__annotations__", {}).items():
        if "ClassVar" in str(kind):
            continue
        for base in cls.__mro__[1:]:
            if name in vars(base) and name not in getattr(base, "__dataclass_fields__", {}):
                raise TypeError(
                    f"{cls.__name__}: the setting {name!r} hides {base.__name__}.{name}; rename it"
                )


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


def _truth(who: str, name: str, value: Any) -> bool:
    """A truth value; a word such as "False" would count as true."""
    if not isinstance(value, bool | np.bool_) and not (type(value) is int and value in (0, 1)):
        raise invalid(who, f"{name} must be True or False", repr(value))
    return bool(value)
