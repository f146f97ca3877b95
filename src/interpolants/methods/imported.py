"""Imported models: externally trained fields as a fitted method."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Self

import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.dynamics.sample import Sampling
from interpolants.dynamics.sample import sample as run_dynamics
from interpolants.fields.learned import LearnedFields
from interpolants.foundations import asked
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count
from interpolants.foundations.trees import MissingCode
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard, widened
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.likelihood.log_prob import Scoring
from interpolants.likelihood.log_prob import log_prob as flow_log_prob
from interpolants.methods.parts.start_points import draw_base

# How samples go out where no rows were given.
_TENSORS = Given("torch", torch.float32)


def _learned(caller: str, fields: Any) -> LearnedFields:
    """Learnt fields on a path that draws its own starts."""
    if not isinstance(fields, LearnedFields):
        remedy = "For example, those of from_diffusers, from_azula, from_flow_matching, or bridge.fields."
        raise invalid(caller, "fields must be LearnedFields", type(fields).__name__, remedy)
    if fields.path is None or fields.path.base is None:
        remedy = "Carry your own rows with dynamics.sample(fields, x0)."
        raise invalid(caller, "fields must start from a base", type(fields.path).__name__, remedy)
    return fields


def _shape(caller: str, shape: Any) -> tuple[int, ...] | None:
    if shape is None:
        return None
    if not isinstance(shape, tuple | list | torch.Size) or not shape:
        rule = "shape must be the shape of one sample, a tuple of integers"
        raise invalid(caller, rule, repr(shape), "For example, shape=(3, 32, 32).")
    return tuple(whole(caller, "every number in shape", size, at_least=1) for size in shape)


def _frame(caller: str, frame: Any) -> Any:
    if not all(callable(getattr(frame, part, None)) for part in ("encode", "decode", "log_volume")):
        remedy = "For example, Standard(shift=0.5, scale=0.5) for data in [0, 1] and fields in [-1, 1]."
        raise invalid(caller, "frame must have encode, decode and log_volume", type(frame).__name__, remedy)
    return frame


class Imported(Method):
    """Fitted method around an externally trained model: samples, log densities, and fields for other methods.

    ::

        model = Imported(from_diffusers("folder/of/a/pipeline"), shape=(3, 32, 32))
        images = model.sample(16, method="ddim", n_steps=50)
        fast = FewStep(n_steps=2).fit(model=model, x1=real)

    With ``shape`` it is fitted once it is made; else ``fit(x1=rows)`` takes the shape of the rows, and answers in their
    container. Files hold weights, and no code. Pass networks of other libraries to ``load`` again, by the name of the
    quantity: ``load(folder, noise=fields.networks[0])``.

    Raises:
        InvalidInputError: If the fields are not learnt ones from a base, or the shape is none.
    """

    source: Annotated[Any, Check(_learned)] = field(kw_only=False)
    """Fields of the model, ``LearnedFields`` on a one-sided path, e.g. of ``exchange.from_diffusers``."""
    shape: Annotated[Any, Check(_shape)] = None
    """Shape of one sample, ``(*D)``; None for that of the rows of ``fit``. A network without fixed
    sizes answers for any: it must be that of the training."""
    frame: Annotated[Any, Check(_frame)] = Standard()
    """Units of the data, as a frame; those of the fields by default."""

    def check_settings(self) -> None:
        """Set the state, if the shape is given: the model is then fitted."""
        if self.shape is None:
            return
        self._asks("shape", self.shape)
        self.state = _parts_of(self.source)
        self.given, self.shapes = {"x1": _TENSORS}, {"x1": self.shape}

    def roles(self) -> tuple[Role, ...]:
        """Rows in data units, which define shape and container."""
        about = "rows in the units of the data, for their shape and container"
        return (Role(name="x1", optional=self.shape is not None, about=about),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Return the networks unchanged, and check the shape of the rows.

        Raises:
            InvalidInputError: If rows have another shape than the model.
        """
        shape = self.shapes.get("x1", self.shape)
        if self.shape not in (None, shape):
            raise invalid("Imported.fit", f"rows must have the shape of the model, {self.shape}", shape)
        self.given, self.shapes = {"x1": _TENSORS, **self.given}, {"x1": shape}
        return _parts_of(self.source)

    @property
    def fields(self) -> LearnedFields:
        """The fields of the model, in units of the frame."""
        return _fields_of(self.fitted_state("fields"))

    @capability(like="x1", passes=Sampling)
    def sample(
        self,
        /,
        n: Count,
        *,
        seed: int = 0,
        cond: Tensor | None = None,
        first_index: int = 0,
        **options: Any,
    ) -> Any:
        """Draw ``n`` samples of the model, in data units.

        Args:
            n: Number of samples.
            seed: Seed of starts and noise.
            cond: One condition for all, or one per sample, as the network takes it.
            first_index: Index of the first sample in a larger job.
            options: Settings of ``dynamics.Sampling``: ``method``, ``n_steps``, ``eps`` ... The noise level is in units
                of the fields.

        Returns:
            ``(n, *D)`` in data units.
        """
        fields = self.fields
        how = Sampling(**options)
        if how.reverse:
            remedy = "Carry rows with dynamics.sample(model.fields, x, reverse=True)."
            raise asked.invalid("samples must be drawn from the base", "reverse=True", remedy)
        start = draw_base(_base(fields), self.shapes["x1"], n, seed, first_index)
        samples = run_dynamics(fields, start, how, seed=seed, cond=cond, first_index=first_index)
        return self.frame.decode(widened(samples.x, self.given["x1"].torch_dtype))

    @capability(reads={"x": "x1"}, like="x", passes=Scoring)
    def log_prob(
        self,
        /,
        x: Tensor,
        *,
        cond: Tensor | None = None,
        seed: int = 0,
        first_index: int = 0,
        **options: Any,
    ) -> Any:
        """Log density of the model at ``x``, in nats per row (data units).

        Args:
            x: Points ``(n, *D)`` in data units.
            cond: As in :meth:`sample`.
            seed: Seed of the probes of an estimated divergence.
            first_index: Index of the first row in a larger job.
            options: Settings of ``likelihood.Scoring``: ``divergence``, ``probes``, ``method`` ...

        Returns:
            ``(n,)`` in the kind of ``x``.
        """
        fields = self.fields
        if options.get("end", 1) != 1:
            raise invalid("Imported.log_prob", "end must be 1, the distribution of the data", options["end"])
        settings = {"cond": cond, "seed": seed, "first_index": first_index, **options}
        result = flow_log_prob(fields, self.frame.encode(x).float(), _base(fields), **settings)
        return result.shifted(self.frame.log_volume(x.double())).log_prob

    # --- storage

    def to_parts(self) -> dict[str, Any]:
        """Settings without the fields, whose networks are the state."""
        parts = super().to_parts()
        return {**parts, "settings": {n: value for n, value in parts["settings"].items() if n != "source"}}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
        """Make the method from the result of :meth:`to_parts`."""
        options, state = parts["settings"], parts["state"]
        for value in (options["frame"], state["path"]):
            if isinstance(value, MissingCode):
                value.refuse()
        return cls(_fields_of(state), **options).take_over(parts)


def _base(fields: LearnedFields) -> Any:
    """Base of the path; the setting ``source`` requires one."""
    assert fields.path is not None
    return fields.path.base


def _parts_of(fields: LearnedFields) -> dict[str, Any]:
    """Arguments of :class:`LearnedFields`."""
    return {"path": fields.path, **fields.arguments}


def _fields_of(parts: Mapping[str, Any]) -> LearnedFields:
    return LearnedFields(**parts)
