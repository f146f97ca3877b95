"""Comparison of an exported program with the library's own answers, at fresh inputs and several numbers of rows."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from interpolants.exchange.programs import Program
from interpolants.exchange.subject import WHO
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator

ROWS = (1, 2, 17)  # one row is where a program that was traced with several breaks
Runs = Callable[[Mapping[str, Tensor]], Tensor]


def gaps(program: Program, run: Runs, where: str, *, seed: int, tolerance: float) -> dict[int, float]:
    """Largest difference by number of rows, relative to the largest entry where that is above one.

    Args:
        program: Whose eager answers are the library's own.
        run: The exported program.
        where: What runs it, for errors.
        seed: Seed of the inputs.
        tolerance: Largest difference that is allowed.

    Raises:
        InvalidInputError: If they differ by more, or the program does not run.
    """
    source = generator(seed, "inputs of a checked program")
    found: dict[int, float] = {}
    for rows in ROWS:
        given = {port.name: port.drawn(rows, source) for port in program.inputs}
        with torch.no_grad():
            ours = program.answer(given)
        try:
            theirs = run(given)
        except Exception as error:  # whatever another runtime refuses
            told = f"{type(error).__name__}: {str(error)[:200]}"
            remedy = "Nothing was written. Try the other format, .pt2 or .onnx."
            raise invalid(WHO, f"{where} must run the program on {rows} rows", told, remedy) from error
        found[rows] = _gap(ours, theirs)
        if not found[rows] <= tolerance:
            rule = f"the program in {where} must agree with the library to {tolerance:g}"
            remedy = (
                "Nothing was written. Use fewer steps, dtype='float64' with .pt2, or a larger tolerance=."
            )
            raise invalid(WHO, rule, f"{found[rows]:.2g} on {rows} rows", remedy)
    return found


def _gap(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype or not bool(ours.isfinite().all()):
        return float("nan")
    return float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1.0))
