"""Formats of exported programs: PyTorch's .pt2 and .onnx. They are written and never read by the library."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants.exchange.checking import gaps
from interpolants.exchange.programs import Program
from interpolants.exchange.subject import WHO
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require

ENDINGS = (".pt2", ".onnx")
ABOUT = "interpolants"  # key of the description in both formats
OUTPUT = "output"
Gaps = dict[str, dict[int, float]]


def write_pt2(graph: Any, about: Mapping[str, Any], file: Path) -> None:
    """A ``torch.export.ExportedProgram`` with its description as the extra file ``interpolants.json``."""
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(graph, held, extra_files={f"{ABOUT}.json": json.dumps(about, indent=1)})
    file.write_bytes(held.getvalue())


def write_onnx(graph: Any, about: Mapping[str, Any], text: str, program: Program, file: Path) -> None:
    """A model of ONNX, described in its metadata (JSON under ``interpolants``) and its ``doc_string``.

    Raises:
        InvalidInputError: If ONNX has no operator for something that the program does.
    """
    ir = require("onnx_ir", by="export to .onnx")
    try:
        with _quiet():
            made = torch.onnx.export(
                graph, dynamo=True, verbose=False, input_names=program.names, output_names=[OUTPUT]
            )
    except Exception as error:  # whatever the translation meets
        told = str(error.__cause__ or error).strip().partition("\n")[0][:200]
        remedy = "Write .pt2, which has all operators of PyTorch."
        raise invalid(WHO, "ONNX must have operators for all that the program does", told, remedy) from error
    assert made is not None
    model = made.model
    for value in [*model.graph.inputs, *model.graph.outputs]:
        assert value.shape is not None
        value.shape = ir.Shape(["batch", *value.shape[1:]])
    model.metadata_props[ABOUT] = json.dumps(about)
    model.doc_string, model.producer_name = text, "interpolants"
    made.save(str(file))


def check_onnx(program: Program, file: Path, *, seed: int, tolerance: float) -> dict[int, float]:
    """Differences between the library and onnxruntime; see :func:`gaps`."""
    runtime = require("onnxruntime", by="export to .onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever it has no code for
        told = str(error).partition("\n")[0][:200]
        remedy = "Nothing was written. Write .pt2, which has all operators of PyTorch."
        raise invalid(WHO, "onnxruntime must take the program", told, remedy) from error

    def run(given: Mapping[str, Tensor]) -> Tensor:
        (answer,) = session.run(None, {name: value.numpy() for name, value in given.items()})
        return torch.from_numpy(answer)

    return gaps(program, run, "onnxruntime", seed=seed, tolerance=tolerance)


def check_graph(program: Program, graph: Any, *, seed: int, tolerance: float) -> dict[int, float]:
    """Differences between the library and the traced graph, which is run as it is, without a file."""
    module = graph.module()

    def run(given: Mapping[str, Tensor]) -> Tensor:
        with torch.no_grad():
            answer: Tensor = module(**given)
        return answer

    return gaps(program, run, "torch.export", seed=seed, tolerance=tolerance)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without notes of the exporter on packages that it does without."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
