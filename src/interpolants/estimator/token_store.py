"""A model of tokens on disk: weights as safetensors, everything else as JSON; no code, no pickle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from interpolants.estimator.store import as_table
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.registry import describe, rebuild
from interpolants.foundations.storage import read_folder, write_folder
from interpolants.foundations.version import __version__
from interpolants.nets.build import build_net
from interpolants.training.logging import plain_rows

if TYPE_CHECKING:
    from interpolants.estimator.tokens import TokenBridge

FORMAT, RECORD, _WEIGHTS = 1, "tokens.json", "tokens_model"


def save_tokens(model: "TokenBridge", folder: Path) -> Path:
    """Write a fitted model."""
    posterior = model.posterior
    settings = getattr(posterior.net, "settings", None)
    if not isinstance(settings, dict):
        remedy = "Save your module's state_dict yourself, or use a network of interpolants.nets."
        what = type(posterior.net).__name__
        raise invalid("TokenBridge.save", "the network must be one of the library's", what, remedy)
    record = {
        "format": FORMAT,
        "library": __version__,
        "path": describe(posterior.path, "TokenBridge.save"),
        "symbols": None if model.alphabet is None else list(model.alphabet.symbols),
        "length": model.length,
        "seed": model.seed,
        "train": json.loads(model.settings.model_dump_json()),
        "net": settings,
        "history": plain_rows(model.history),
    }
    return write_folder(folder, {_WEIGHTS: dict(posterior.net.state_dict())}, {RECORD: record})


def load_tokens(folder: Path) -> "TokenBridge":
    """Read a model."""
    from interpolants.estimator.tokens import TokenBridge

    stored = read_folder(folder)
    record = stored.documents.get(RECORD)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        rule = f"the folder must hold a model of tokens of format {FORMAT}"
        raise invalid("TokenBridge.load", rule, str(folder), "Save one with model.save(folder).")
    try:
        model = TokenBridge(
            rebuild(record["path"], "discrete_path"),
            net=as_table(record["net"]),
            symbols=record["symbols"],
            length=record["length"],
            seed=record["seed"],
            train={name: value for name, value in record["train"].items() if name != "seed"},
        )
        model.history = record.get("history", [])
        net = build_net(**record["net"]).float()
        net.load_state_dict(stored.tensors[_WEIGHTS])
        model.net = net.eval().requires_grad_(False)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        rule = "the record must be complete and fit its weights"
        raise invalid("TokenBridge.load", rule, str(error)) from error
    return model
