"""Description of an exported program, as JSON and in words: what a stranger with the file alone needs to know."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from interpolants.dynamics.samplers import Sampler, SdeSampler
from interpolants.exchange.programs import Program, SamplerProgram
from interpolants.exchange.subject import Subject
from interpolants.foundations.version import __version__


def described(program: Program, what: str, output: str, dtype: torch.dtype) -> dict[str, Any]:
    """As plain JSON.

    Args:
        program: The program.
        what: ``"sampler"``, ``"jumps"``, or the quantity that it answers.
        output: What comes out, with its unit.
        dtype: Its precision.
    """
    subject = program.subject
    found: dict[str, Any] = {
        "written_by": f"interpolants {__version__}, torch {torch.__version__}",
        "of": subject.name,
        "what": what,
        "inputs": [port.described() for port in program.inputs],
        "output": {
            "name": "output",
            "shape": ["batch", *(subject.inner_shape if what == "noise" else subject.shape)],
            "dtype": str(dtype).removeprefix("torch."),
            "about": output + ("" if what == "noise" else subject.told_columns),
        },
        "time": "0 at the base, 1 at the data",
        "randomness": "The program draws nothing: all noise is an input, and equal inputs give equal outputs.",
    }
    if subject.fields.path is not None:
        found["path"] = list(subject.fields.path.formulas)
    if isinstance(program, SamplerProgram):
        found["sampler"] = _steps(program.sampler, subject)
        if what == "jumps":
            found["sampler"]["method"] = "jumps of the map"
    return found


def _steps(sampler: Sampler, subject: Subject) -> dict[str, Any]:
    times = sampler.grid
    found: dict[str, Any] = {"method": sampler.method, "steps": len(times) - 1, "times": times.tolist()}
    if isinstance(sampler, SdeSampler):
        level = sampler.table.used(torch.from_numpy(np.ascontiguousarray(times)))
        found["eps"] = level.tolist()
        found["eps_unit"] = "squared units of the fields, per unit of time"
    return found


def in_words(about: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"{about['what']} of a {about['of']}, written by {about['written_by']}.", ""]
    for kind, ports in (("Input", about["inputs"]), ("Output", [about["output"]])):
        lines += [
            f"{kind} {port['name']}, {port['dtype']} ({', '.join(map(str, port['shape']))}): {port['about']}"
            for port in ports
        ]
    if "sampler" in about:
        steps = about["sampler"]
        lines.append(f"Solver {steps['method']}, {steps['steps']} steps.")
    lines += [f"Path: {'; '.join(about['path'])}"] if about.get("path") else []
    return "\n".join([*lines, f"Time: {about['time']}.", about["randomness"]])
