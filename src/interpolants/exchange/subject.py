"""What is exported: fields, their units, the shape of a state, and the condition that they take.

Whatever a method is, it is read through the framework: ``fields`` and ``frame`` (``FramedFields``), the event shape of
its answers, and the condition among the roles of its verbs.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from interpolants.exchange.ports import Port, normal, of_rows, whole
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.framework.capabilities import Capability, capabilities_of
from interpolants.framework.frames import Frame, FramedFields, LinearFrame, Standard
from interpolants.framework.labels import column_names
from interpolants.framework.method import Method
from interpolants.framework.role import Role

WHO = "export"
# Verbs that run along fields; the first that a method has tells the shape of its states and its condition.
_ALONG = ("sample", "transport")


@dataclass(frozen=True, eq=False)
class Subject:
    """Fields that are to be exported.

    Attributes:
        name: Name of what they are from, for people.
        fields: The fields, in the units of ``frame``.
        frame: From data units to those of the fields.
        shape: Event shape of the data, ``(*D)``.
        inner_shape: Event shape of the fields: without columns that were constant.
        cond: The condition that they take, or None.
        knows_both: Whether they also know what they are without the condition, as guidance needs.
        columns: Names of the columns of the data in order, where they have some.
    """

    name: str
    fields: Fields
    frame: Frame
    shape: tuple[int, ...]
    inner_shape: tuple[int, ...]
    cond: Port | None = None
    knows_both: bool = False
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Any, shape: tuple[int, ...] | None, cond: Tensor | None) -> Self:
        """From a fitted method, or from fields with the shape of a state.

        Raises:
            InvalidInputError: If it has no fields, is not fitted, or shape and condition are not told.
        """
        if isinstance(model, Method):
            if shape is not None or cond is not None:
                rule = "shape and cond are for fields alone: a fitted method knows its own"
                raise invalid(WHO, rule, "a method with them", "Leave them out.")
            return cls._of_method(model)
        if not isinstance(model, Fields):
            remedy = (
                "For example, pass a Bridge; LearnedFields(path, velocity=net) makes fields of a network."
            )
            raise invalid(WHO, "the model must be a fitted method or Fields", type(model).__name__, remedy)
        if shape is None:
            raise invalid(WHO, "fields alone need the shape of one state", "none", "Pass shape=(3, 32, 32).")
        port = None if cond is None else _example_port(cond)
        return cls(
            type(model).__name__, model, Standard(), tuple(shape), tuple(shape), port, port is not None
        )

    @classmethod
    def _of_method(cls, method: Method) -> Self:
        method.fitted_state(WHO)
        name = type(method).__name__
        if not isinstance(method, FramedFields) or not isinstance(method.fields, Fields):
            rule = f"{name} must have learnt fields, and units that they are in (fields and frame)"
            remedy = "Methods without them have no velocity to write; export a Bridge, or save() the method."
            raise invalid(WHO, rule, "one without", remedy)
        if method.place.type != "cpu":
            raise invalid(WHO, "the method must be on the CPU", str(method.place), "Call .to('cpu') first.")
        one = next((c for v, c in capabilities_of(type(method)).items() if v in _ALONG), None)
        shape = () if one is None else method.shapes.get(one.source(one.like), ())
        if one is None or not shape:
            rule = f"{name} must answer to sample or transport, which tell the shape of its states"
            raise invalid(
                WHO, rule, "one that does not", "Export its fields: export(method.fields, out, shape=...)."
            )
        role = _condition_of(one, method)
        port = None if role is None else _port_of(role, one, method)
        both = role is not None and method.answers_without(one.source(role.name))
        inner, columns = _inner_shape(method.frame, shape), method.columns(one.source(one.like))
        return cls(name, method.fields, method.frame, shape, inner, port, both, columns)

    def in_precision(self, dtype: torch.dtype) -> Self:
        """A copy whose networks evaluate, and have weights of a type: nothing of what was given is changed."""
        fields = copy.deepcopy(self.fields)
        for net in fields.networks:
            net.to(dtype).eval().requires_grad_(False)
        cond = self.cond
        if cond is not None and cond.dtype.is_floating_point:
            cond = replace(cond, dtype=dtype)
        return replace(self, fields=fields, cond=cond)

    @property
    def is_linear(self) -> bool:
        """Whether data units are an affine map of those of the fields: then means go through it."""
        return isinstance(self.frame, LinearFrame)

    def in_data_units(self, noise: Tensor) -> Tensor:
        """Standard normal rows in the fields' units as rows of data units."""
        return self.frame.decode(noise.reshape(-1, *self.inner_shape))

    def data_port(self, name: str, dtype: torch.dtype, about: str) -> Port:
        """An input in data units."""
        draws = normal(self.inner_shape)
        told = f"{about}{self.told_columns}"
        return Port(name, self.shape, dtype, told, lambda rows, g: self.in_data_units(draws(rows, g)))

    @property
    def told_columns(self) -> str:
        """The order of the columns, as a sentence that follows another."""
        return f" Columns: {', '.join(self.columns)}." if self.columns else ""


def _condition_of(one: Capability, method: Method) -> Role | None:
    """The condition that a verb is told, as a role."""
    return next((role for role in one.roles(method) if role.kind == "condition"), None)


def _port_of(role: Role, one: Capability, method: Method) -> Port:
    source = one.source(role.name)
    given = method.given[source]
    if given.container == "labels":
        names = list(given.columns)
        told = f"Labels, as numbers: {', '.join(f'{k} = {name}' for k, name in enumerate(names))}."
        if method.answers_without(source):
            told += " -1 stands for no condition."
        return Port(role.name, (), torch.int64, told, whole(len(names)))
    shape = method.shapes.get(source)
    if shape is None:
        rule = f"{role.name} must be labels or one array with a row per sample"
        raise invalid(WHO, rule, "another condition", "Export the fields by themselves, with cond= rows.")
    columns = ", ".join(column_names(given))
    told = f"Condition in data units{f', with columns {columns}' if columns else ''}."
    return Port(role.name, shape, torch.float32, told, normal(shape))


def _example_port(cond: Tensor) -> Port:
    if not isinstance(cond, Tensor) or cond.ndim == 0:
        remedy = "Pass example rows, e.g. cond=torch.arange(10) for ten labels."
        raise invalid(WHO, "cond must be a tensor with a row per sample", type(cond).__name__, remedy)
    told = "Condition, as the fields take it."
    return Port("cond", tuple(cond.shape[1:]), cond.dtype, told, of_rows(cond))


def _inner_shape(frame: Frame, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Event shape of the fields. One is a value that any transform of a column takes."""
    try:
        return tuple(frame.encode(torch.ones(1, *shape)).shape[1:])
    except InvalidInputError:
        assert math.prod(shape)
        return shape
