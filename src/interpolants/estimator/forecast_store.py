"""A forecaster on disk: weights and numbers as safetensors, everything else as JSON; no code, no pickle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from interpolants.estimator.normaliser import Normaliser
from interpolants.estimator.start_net import Given, StartNet
from interpolants.estimator.starts import Pool
from interpolants.estimator.store import as_table
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.registry import describe, rebuild
from interpolants.foundations.storage import read_folder, write_folder
from interpolants.foundations.version import __version__
from interpolants.nets.build import build_net
from interpolants.training.logging import plain_rows

if TYPE_CHECKING:
    from interpolants.estimator.forecaster import Forecaster

FORMAT = 1


def save_forecaster(forecaster: "Forecaster", folder: Path) -> Path:
    """Write a fitted forecaster."""
    net = forecaster._fitted("save").net
    settings = getattr(net, "settings", None)
    if not isinstance(settings, dict):
        remedy = "Save your module's state_dict yourself, or use a network of interpolants.nets."
        raise invalid(
            "Forecaster.save", "the network must be one of the library's", type(net).__name__, remedy
        )
    assert forecaster._climate is not None
    given = forecaster._given
    record = {
        "format": FORMAT,
        "library": __version__,
        "path": describe(forecaster.path, "Forecaster.save"),
        "auto_path": forecaster._auto_path,
        "times": times if isinstance(times := forecaster._wanted_times, str | dict) else "auto",
        "standardize": forecaster.standardize,
        "seed": forecaster.seed,
        "train": json.loads(forecaster.settings.model_dump_json()),
        "net": settings,
        "shape": list(forecaster.shape),
        "cond": None if given is None else [given.kind, given.size],
        "history": plain_rows(forecaster.history),
    }
    numbers = {
        "shift": forecaster.normaliser.shift,
        "scale": forecaster.normaliser.scale,
        "climate": forecaster._climate.x.contiguous(),
    }
    tensors = {"forecaster_model": dict(net.state_dict()), "forecaster_data": numbers}
    return write_folder(folder, tensors, {"forecaster.json": record})


def load_forecaster(folder: Path) -> "Forecaster":
    """Read a forecaster."""
    from interpolants.estimator.forecaster import Forecaster

    stored = read_folder(folder)
    record = stored.documents.get("forecaster.json")
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        remedy = "Save one with forecaster.save(folder)."
        rule = f"the folder must hold a forecaster of format {FORMAT}"
        raise invalid("Forecaster.load", rule, str(folder), remedy)
    try:
        settings = {name: value for name, value in record["train"].items() if name != "seed"}
        made = Forecaster(
            "auto" if record.get("auto_path") else record["path"],
            net=as_table(record["net"]),
            times=record.get("times", "auto"),
            standardize=record["standardize"],
            seed=record["seed"],
            **settings,
        )
        made.path = rebuild(record["path"], "path")
        made.history = record.get("history", [])
        net = build_net(**record["net"]).float()
        net.load_state_dict(stored.tensors["forecaster_model"])
        data = stored.tensors["forecaster_data"]
        made.normaliser = Normaliser(data["shift"], data["scale"])
        made._climate = Pool(data["climate"])
        made.shape = tuple(record["shape"])
        made._given = None if record["cond"] is None else Given(*record["cond"])
        made.net = StartNet(net).eval().requires_grad_(False)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        rule = "the record must be complete and fit its weights"
        raise invalid("Forecaster.load", rule, str(error)) from error
    return made
