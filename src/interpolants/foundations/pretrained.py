"""Models that ship trained with the library: ``interpolants.load("pretrained:NAME")``.

Each is a stored folder in ``interpolants/pretrained``. ``models.json`` in that folder holds the licence, the data, the
command that trained each model, and the measured scores.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import invalid, suggestion
from interpolants.foundations.storage import read_document

PREFIX, DESCRIPTIONS = "pretrained:", "models.json"


def models_folder() -> Path:
    """Return the folder of the trained models in the installed package."""
    return Path(str(files("interpolants"))) / "pretrained"


def pretrained_models() -> Mapping[str, Mapping[str, Any]]:
    """Return the descriptions of the trained models by name: title, licence, data, command, scores, size in bytes."""
    models: Mapping[str, Mapping[str, Any]] = read_document(models_folder() / DESCRIPTIONS)
    return models


def pretrained_folder(address: str, caller: str = "load") -> Path:
    """Return the folder of a trained model.

    Args:
        address: ``"pretrained:NAME"``.
        caller: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If there is no such model; the message describes those that there are.
    """
    name, models = address.removeprefix(PREFIX), pretrained_models()
    if name not in models:
        close = suggestion(name, models) if name else ""
        listing = "\n".join(["The models are:", *_lines(models)])
        raise invalid(
            caller,
            "the name must be that of a model that ships trained",
            repr(name),
            f"{close} {listing}".lstrip(),
        )
    return models_folder() / name


def _lines(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for name, model in models.items():
        scores = "; ".join(score_text(score) for score in model["scores"])
        lines += [
            f"{PREFIX}{name}: {model['title']} ({model['bytes'] / 1e6:.1f} MB)",
            f"    licence: {model['licence']}",
            f"    data: {model['data']}",
            f"    made by: {model['command']}",
            f"    scores on held-out data: {scores}",
        ]
    return lines


def score_text(score: Mapping[str, Any]) -> str:
    """Return one score as text, with its standard error and the scores of the baselines."""
    error = f" ± {score['error']:.2g}" if score["error"] is not None else ""
    rivals = ", ".join(f"{name} {value:.3g}" for name, value in score["rivals"].items())
    return f"{score['name']} {score['value']:.3g}{error}" + (f" ({rivals})" if rivals else "")
