"""Programs as graphs: traced by torch.export with a free number of rows."""

import inspect
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.exchange.programs import Program
from interpolants.exchange.subject import WHO
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.randomness import generator

_ROWS = 3  # of the example: sizes 0 and 1 would be taken for constants, and 3 is unlikely as the size of anything else


class _Named(nn.Module):
    """A program whose ``forward`` has one argument per input, as torch.export reads it from the signature."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.program = program
        names = program.names

        def forward(*values: Tensor, **given: Tensor) -> Tensor:
            return program.answer(dict(zip(names, values, strict=False)) | given)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        shown = inspect.Signature([inspect.Parameter(name, kind) for name in names])
        forward.__signature__ = shown  # type: ignore[attr-defined]
        self.forward = forward


def traced(program: Program, seed: int) -> Any:
    """The ``torch.export.ExportedProgram``, called with keywords, for any number of rows.

    Raises:
        InvalidInputError: If torch.export cannot follow the networks.
    """
    source = generator(seed, "example of a traced program")
    example = {port.name: port.drawn(_ROWS, source) for port in program.inputs}
    rows = torch.export.Dim("batch", min=1)
    shapes = {port.name: {0: rows} for port in program.inputs}
    named = _Named(program).eval()
    with torch.no_grad():
        program.answer(
            example
        )  # what is worked out once is worked out here, and what is wrong is said in its words
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(named, (), example, dynamic_shapes=shapes, strict=False)
    except InterpolantsError:
        raise
    except Exception as error:  # whatever tracing meets in a network of a user
        told = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
        rule = "the networks must be such that torch.export can trace them"
        remedy = (
            "A network must not branch on values, call .item() or .tolist(), or fix the number of rows; "
            "write such steps with torch.where."
        )
        raise invalid(WHO, rule, told, remedy) from error
