"""Export of fields and of whole samplers as programs that run without this library: .pt2 and .onnx."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.course import Course, choose_method, run_grid
from interpolants.dynamics.noise import as_noise
from interpolants.dynamics.samplers import ADAPTIVE, Sampler
from interpolants.dynamics.transitions import NOISY, TRANSITIONS
from interpolants.exchange.description import described, in_words
from interpolants.exchange.ports import Port, normal, uniform
from interpolants.exchange.programs import (
    BROWNIAN,
    GUIDANCE,
    NOISE,
    FieldProgram,
    Program,
    SamplerProgram,
    check_guidance,
)
from interpolants.exchange.subject import WHO, Subject
from interpolants.exchange.tracing import traced
from interpolants.exchange.writing import (
    ENDINGS,
    Gaps,
    check_graph,
    check_onnx,
    write_onnx,
    write_pt2,
)
from interpolants.fields.protocol import QUANTITIES
from interpolants.foundations.checks import number, one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import checked_seed
from interpolants.foundations.storage import check_place, replacing
from interpolants.solvers.registry import available, get_solver

SAMPLER, JUMPS = "sampler", "jumps"
_STEPS, _JUMPS = 20, 4
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
_UNITS = {
    "velocity": "Velocity, in data units per unit of time.",
    "mean_rate": "Mean rate, in data units per unit of time.",
    "score": "Score, in 1/data units; 0 along columns that were constant.",
    "noise": "Mean noise E[z | x_t], without unit.",
    "endpoint0": "Mean start point E[x0 | x_t], in data units.",
    "denoised": "Denoised state E[x1 | x_t], in data units.",
}


@dataclass(frozen=True)
class Exported:
    """An exported program on the disk.

    Attributes:
        file: Where it is.
        about: Its description, which is in the file too.
        gaps: By what ran it, and by number of rows: the largest difference from the library's own answers, relative to
            the largest entry where that is above one.
    """

    file: Path
    about: Mapping[str, Any]
    gaps: Gaps

    def __str__(self) -> str:
        worst = [f"{max(by_rows.values()):.1g} in {where}" for where, by_rows in self.gaps.items()]
        return f"{in_words(self.about)}\nDifference from the library: {', '.join(worst)}.\n"


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """Settings of a sampler, as ``dynamics.sample`` takes them; None for its own choice."""

    method: str | None
    n_steps: int | None
    time_grid: Any
    eps: Any
    reverse: bool

    def refuse(self, what: str) -> None:
        """Refuse settings of a sampler where none is written."""
        own = {"method": None, "n_steps": None, "time_grid": "auto", "eps": 0.0, "reverse": False}
        for name, plain in own.items():
            value = getattr(self, name)
            if isinstance(value, Sequence | Tensor) != isinstance(plain, str) or value != plain:
                remedy = "Omit it, or use what='sampler'."
                raise invalid(WHO, f"{name} must not be passed with what={what!r}", value, remedy)


def export(
    model: Any,
    out: str | Path,
    *,
    what: str = SAMPLER,
    method: str | None = None,
    n_steps: int | None = None,
    time_grid: Any = "auto",
    eps: Any = 0.0,
    reverse: bool = False,
    guidance: float | bool | None = None,
    dtype: str = "float32",
    shape: Sequence[int] | None = None,
    cond: Tensor | None = None,
    tolerance: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> Exported:
    """Write a field, or a whole sampler with fixed steps, as a program that needs PyTorch or onnxruntime alone.

    ::

        export(bridge, "sampler.onnx", method="heun", n_steps=20)     # noise (batch, *D) -> samples (batch, *D)
        export(bridge, "velocity.pt2", what="velocity")               # x, t -> velocity

    Inputs and outputs are in data units: standardisation and its inverse are part of the program, for any number of
    rows. Noise is an input, so that whoever runs the program chooses its seed: ``noise`` for the base, and with
    ``eps > 0`` ``brownian (batch, steps, *D)``, both standard normal. Before anything is written, the program is run
    beside the library on fresh inputs of 1, 2 and 17 rows, an .onnx by onnxruntime too; it must agree to ``tolerance``.

    Args:
        model: A fitted method that has fields, such as a ``Bridge``, or ``Fields``.
        out: File to write: ``.pt2`` (``torch.export``), or ``.onnx`` (needs ``interpolants[export]``).
        what: ``"sampler"``, ``"jumps"`` for the few steps of a ``FlowMap``, or a field: ``"velocity"``, ``"score"``,
            ``"denoised"``, ``"noise"``, ``"mean_rate"``, ``"endpoint0"``.
        method: Solver with fixed steps, as ``dynamics.sample`` takes it, e.g. ``"euler"``, ``"heun"``, ``"rk4"``,
            ``"euler_maruyama"`` with ``eps > 0``. Default as there.
        n_steps: Number of steps, 20 by default, or of jumps, 4 by default; each is written out in the program.
        time_grid: As in ``dynamics.sample``.
        eps: Noise level; 0 is the ODE.
        reverse: Run from data at t = 1 down to t = 0.
        guidance: Strength of classifier-free guidance that is kept in the program; True for an input
            ``guidance (batch,)``.
        dtype: ``"float32"``, or ``"float64"`` for .pt2.
        shape: Event shape of a state, for fields alone.
        cond: Example rows of the condition, for fields alone.
        tolerance: Largest difference from the library's answers; 1e-5, or 1e-10 in float64, by default.
        seed: Seed of the inputs by which the program is checked.
        force: Replace a file that exists.

    Returns:
        File, description and differences.

    Raises:
        InvalidInputError: If the model has no fields, cannot be traced, or an argument breaks its rule.
        MissingExtraError: If .onnx is asked for without the extra.
    """
    file = _free(out, force)
    precision = _precision(dtype, file)
    one_of(WHO, "what", what, (SAMPLER, JUMPS, *QUANTITIES))
    allowed = _TOLERANCE[precision] if tolerance is None else number(WHO, "tolerance", tolerance, above=0)
    checked_seed(WHO, seed)
    guidance = None if guidance is False else guidance
    subject = Subject.of(model, None if shape is None else tuple(shape), cond)
    steps = _Steps(method=method, n_steps=n_steps, time_grid=time_grid, eps=eps, reverse=reverse)
    if what == JUMPS:
        subject, steps = _jumping(model, subject, steps)
    subject = subject.in_precision(precision)
    check_guidance(subject, guidance)
    if what in (SAMPLER, JUMPS):
        program: Program = _sampler(subject, guidance, steps, precision)
        output = f"States at t = {0 if reverse else 1}, in data units."
    else:
        steps.refuse(what)
        program, output = _field(subject, guidance, what, precision), _UNITS[what]
    return _written(program, described(program, what, output, precision), file, seed=seed, tolerance=allowed)


def _free(out: str | Path, force: bool) -> Path:
    file = Path(out)
    one_of(WHO, "the ending of the file", file.suffix, ENDINGS, "Name it .pt2 for PyTorch or .onnx.")
    if file.exists() and not force:
        raise invalid(
            WHO, f"{file} must not exist", "an existing file", "Choose another name, or force=True."
        )
    check_place(file)
    if file.suffix == ".onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            require(package, by="export to .onnx")
    return file


def _precision(dtype: str, file: Path) -> torch.dtype:
    one_of(WHO, "dtype", dtype, ("float32", "float64"))
    if dtype == "float64" and file.suffix != ".pt2":
        raise invalid(WHO, "dtype must be float32 for .onnx", dtype, "Write float64 as .pt2.")
    return torch.float64 if dtype == "float64" else torch.float32


def _field(subject: Subject, guidance: float | bool | None, what: str, dtype: torch.dtype) -> FieldProgram:
    """The program of one quantity."""
    if not subject.is_linear and what in ("denoised", "endpoint0", "score"):
        rule = f"{what} needs data units that are an affine map of those of the fields"
        remedy = "A mean does not go through transform=; export velocity or the sampler, which do."
        raise invalid(WHO, rule, f"a {subject.name} with transform=", remedy)
    if not subject.fields.provides(what):
        subject.fields.evaluate(
            _zeros(subject, dtype), torch.full((1,), 0.5), (what,)
        )  # raises, says what to learn
    time = Port("t", (), dtype, "Time in [0, 1]: 0 at the base, 1 at the data.", uniform(0.05, 0.95))
    inputs = [
        subject.data_port("x", dtype, "State at time t, in data units."),
        time,
        *_told(subject, guidance, dtype),
    ]
    return FieldProgram(subject, guidance, inputs, what)


def _sampler(
    subject: Subject, guidance: float | bool | None, steps: _Steps, dtype: torch.dtype
) -> SamplerProgram:
    """The program of a whole run."""
    level, asked = as_noise(steps.eps), _STEPS if steps.n_steps is None else steps.n_steps
    n_steps = whole(WHO, "n_steps", asked, at_least=1)
    like = _zeros(subject, dtype)
    name = _fixed_method(subject, like, steps.method, noisy=level is not None)
    how: dict[str, Any] = {"reverse": steps.reverse, "noisy": level is not None, "method": name}
    grid = run_grid(subject.fields, n_steps, steps.time_grid, **how)
    course = Course(fields=subject.fields, grid=grid, method=name)
    if level is not None:
        sampler: Sampler = course.sde(level, like, cap=True)
    elif name in TRANSITIONS:
        sampler = course.transitions()
    else:
        sampler = course.multistep() if name in available("multistep") else course.ode(like)
    inputs = [_start(subject, steps.reverse, dtype)]
    if level is not None:
        about = "Increments of the Brownian motion in units of their standard deviation: standard normal."
        shape = (len(grid) - 1, *subject.inner_shape)
        inputs.append(Port(BROWNIAN, shape, dtype, about, normal(shape)))
    return SamplerProgram(subject, guidance, [*inputs, *_told(subject, guidance, dtype)], sampler)


def _jumping(model: Any, subject: Subject, steps: _Steps) -> tuple[Subject, _Steps]:
    """A model of jumps as fields whose Euler steps they are, and these steps."""
    if not callable(getattr(model, "jumps", None)):
        raise invalid(
            WHO, "what='jumps' needs a model of jumps, a FlowMap", type(model).__name__, "Leave what out."
        )
    for name, value in (("method", steps.method), ("eps", as_noise(steps.eps))):
        if value is not None:
            raise invalid(
                WHO, f"{name} must not be passed with what='jumps'", value, "A jump is a step by itself."
            )
    n = whole(WHO, "n_steps", _JUMPS if steps.n_steps is None else steps.n_steps, at_least=1)
    times = run_grid(subject.fields, n, steps.time_grid, reverse=False, noisy=False)
    subject = replace(subject, fields=model.jumps(times, reverse=steps.reverse))
    return subject, replace(steps, method="euler", n_steps=len(times) - 1, time_grid=times.tolist())


def _fixed_method(subject: Subject, like: Tensor, method: str | None, *, noisy: bool) -> str:
    """The solver, if its steps are fixed and its noise is standard normal increments."""
    name = choose_method(subject.fields, like, method, noisy=noisy)
    if name in ADAPTIVE:
        rule = "the solver must have fixed steps: a program has no loop that could adapt them"
        raise invalid(WHO, rule, repr(name), "Use euler, heun or rk4, with n_steps=.")
    if name in NOISY or (noisy and getattr(get_solver(name), "levy_area", False)):
        remedy = "Use euler_maruyama or stochastic_heun with eps > 0."
        raise invalid(
            WHO, "the solver must take its noise from Brownian increments alone", repr(name), remedy
        )
    return name


def _start(subject: Subject, reverse: bool, dtype: torch.dtype) -> Port:
    """Where a run starts: noise of the base, or states in data units."""
    path = subject.fields.path
    base = None if path is None else path.base
    if reverse or base is None:
        about = f"States at t = {1 if reverse else 0}, in data units."
        return subject.data_port("x", dtype, about)
    about = "Standard normal noise; the program gives it the scale of the base."
    if not base.is_gaussian:
        about = f"Noise of the base, {base.title}, before its scale, which the program gives it."
    return Port(NOISE, subject.inner_shape, dtype, about, normal(subject.inner_shape))


def _told(subject: Subject, guidance: float | bool | None, dtype: torch.dtype) -> list[Port]:
    """The condition, and a strength of guidance where it is an input."""
    if subject.cond is None:
        return []
    about = "Strength of classifier-free guidance: 0 without the condition, 1 the condition alone."
    strength = [Port(GUIDANCE, (), dtype, about, uniform(0.5, 3.0))] if guidance is True else []
    return [subject.cond, *strength]


def _zeros(subject: Subject, dtype: torch.dtype) -> Tensor:
    return torch.zeros(1, *subject.inner_shape, dtype=dtype)


def _written(program: Program, about: dict[str, Any], file: Path, *, seed: int, tolerance: float) -> Exported:
    """Trace, check, write, check what was written, and only then put it into place."""
    graph = traced(program, seed)
    how: dict[str, Any] = {"seed": seed, "tolerance": tolerance}
    found: Gaps = {"torch.export": check_graph(program, graph, **how)}
    with replacing(file) as temporary:
        if file.suffix == ".onnx":
            write_onnx(graph, about, in_words(about), program, temporary)
            found["onnxruntime"] = check_onnx(program, temporary, **how)
        else:
            write_pt2(graph, about, temporary)
    return Exported(file, about, found)
