"""A latent generator on disk: weights and numbers as safetensors, everything else as JSON; no code, no pickle."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from interpolants.data.instance_noise import InstanceNoise
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.storage import read_folder, write_folder
from interpolants.foundations.version import __version__
from interpolants.training.logging import plain_rows
from interpolants.training.settings import TrainSettings

if TYPE_CHECKING:
    from interpolants.methods.latent_generator import LatentGenerator

FORMAT, RECORD = 1, "latent_generator.json"
_WEIGHTS, _NUMBERS = "latent_generator_model", "latent_generator_data"


def save_generator(model: "LatentGenerator", folder: Path) -> Path:
    """Write a fitted model."""
    parts, objective = model._fitted("save"), model.objective
    record = {
        "format": FORMAT,
        "library": __version__,
        "settings": {
            "latent": model.latent,
            "noise": model.noise,
            "estimator": objective.estimator,
            "prior": objective.prior,
            "points": objective.points,
            "hidden": list(model.hidden),
            "scale": model.scale,
            "seed": model.seed,
        },
        "perturb": dataclasses.asdict(model.perturb),
        "train": json.loads(model.settings.model_dump_json()),
        "shape": list(model._shape),
        "history": plain_rows(model.history),
    }
    numbers = {"shift": model._shift, "unit": model._unit}
    return write_folder(folder, {_WEIGHTS: dict(parts.state_dict()), _NUMBERS: numbers}, {RECORD: record})


def load_generator(folder: Path) -> "LatentGenerator":
    """Read a model."""
    from interpolants.methods.latent_generator import LatentGenerator

    stored = read_folder(folder)
    record = stored.documents.get(RECORD)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        rule = f"the folder must hold a latent generator of format {FORMAT}"
        raise invalid("LatentGenerator.load", rule, str(folder), "Save one with model.save(folder).")
    try:
        model = LatentGenerator(
            **record["settings"],
            perturb=InstanceNoise(**record["perturb"]),
            train=TrainSettings(**record["train"]),
        )
        model._shift, model._unit = (stored.tensors[_NUMBERS][name] for name in ("shift", "unit"))
        model._shape, model.history = tuple(record["shape"]), record["history"]
        parts = model._new_parts(model._shift)
        parts.load_state_dict(stored.tensors[_WEIGHTS])
        model._parts = parts.eval().requires_grad_(False)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        rule = "the record must be complete and fit its weights"
        raise invalid("LatentGenerator.load", rule, str(error)) from error
    return model
