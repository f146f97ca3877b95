"""A bridge on disk: weights and numbers as safetensors, everything else as JSON; no code, no pickle."""

import dataclasses
import json
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from interpolants.data.arrays import Kind
from interpolants.data.instance_noise import InstanceNoise
from interpolants.estimator.eps_record import from_record, to_record
from interpolants.estimator.held_out import HeldOut
from interpolants.estimator.normaliser import Normaliser
from interpolants.estimator.own_coupling import coupling_from, coupling_record
from interpolants.estimator.starts import Pool
from interpolants.fields.log_density import LogDensity
from interpolants.fields.preconditioned import Preconditioned
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.registry import describe, rebuild
from interpolants.foundations.renamed import current_quantity
from interpolants.foundations.storage import read_folder, write_folder
from interpolants.foundations.version import __version__
from interpolants.nets.build import build_net
from interpolants.training.logging import plain_rows

if TYPE_CHECKING:
    from interpolants.estimator.bridge import Bridge

FORMAT = 1
_LEG = "leg"


def save_bridge(bridge: "Bridge", folder: FilePath) -> FilePath:
    """Write a fitted bridge; the leg to rho0, if there is one, goes into the same files."""
    tensors: dict[str, dict[str, Tensor]] = {}
    documents: dict[str, Any] = {"bridge.json": _pack(bridge, "bridge", tensors)}
    if bridge.leg is not None:
        documents["leg.json"] = _pack(bridge.leg, _LEG, tensors)
    return write_folder(folder, tensors, documents)


def load_bridge(folder: FilePath) -> "Bridge":
    """Read a bridge and its leg."""
    stored = read_folder(folder)
    if "bridge.json" not in stored.documents:
        raise invalid(
            "Bridge.load", "the folder must hold a bridge", str(folder), "Save one with bridge.save(folder)."
        )
    bridge = _unpack(stored.documents["bridge.json"], "bridge", stored.tensors)
    if "leg.json" in stored.documents:
        bridge.leg = _unpack(stored.documents["leg.json"], _LEG, stored.tensors)
    return bridge


def _pack(bridge: "Bridge", stem: str, tensors: dict[str, dict[str, Tensor]]) -> dict[str, Any]:
    net = bridge._fitted("save")
    net = net.net if isinstance(net, Preconditioned) else net
    settings = getattr(net.net if isinstance(net, LogDensity) else net, "settings", None)
    if not isinstance(settings, dict):
        remedy = "Save your module's state_dict yourself, or use a network of interpolants.nets."
        raise invalid("Bridge.save", "the network must be one of the library's", type(net).__name__, remedy)
    tensors[f"{stem}_model"] = dict(net.state_dict())
    numbers = {"shift": bridge.normaliser.shift, "scale": bridge.normaliser.scale}
    for name, pool in (("pool0", bridge._pool0), ("pool1", bridge._pool1)):
        if pool is not None:
            numbers[name] = pool.x
            if pool.cond is not None:
                numbers[f"{name}_cond"] = pool.cond
    if bridge._held is not None:
        held = {"held_x0": bridge._held.x0, "held_x1": bridge._held.x1, "held_cond": bridge._held.cond}
        held["held_cond0"] = bridge._held.cond0
        numbers |= {name: value for name, value in held.items() if value is not None}
    tensors[f"{stem}_data"] = numbers
    params = bridge.get_params()
    return {
        "format": FORMAT,
        "library": __version__,
        "path": describe(bridge.path, "Bridge.save"),
        "coupling": coupling_record(bridge.coupling),
        "learn": list(bridge.heads),
        "times": params["times"] if isinstance(params["times"], str | dict) else "auto",
        "standardize": bool(params["standardize"]),
        "drop_condition": float(params["drop_condition"]),
        "held_out": float(params["held_out"]),
        "precondition": bool(params["precondition"]),
        "penalties": [dict(penalty) for penalty in params["penalties"]],
        "data_std": bridge._data_std,
        "perturb": dataclasses.asdict(bridge.perturb),
        "eps_choice": None if bridge.eps_choice is None else to_record(bridge.eps_choice),
        "density0": _describe_law(bridge._density0),
        "seed": bridge.seed,
        "train": json.loads(bridge.settings.model_dump_json()),
        "net": settings,
        "shape": list(bridge.shape),
        "kind": _describe_kind(bridge._kind),
        "steps": None if bridge.result is None else bridge.result.steps,
        "history": plain_rows(bridge.history),
    }


def _unpack(record: dict[str, Any], stem: str, tensors: dict[str, dict[str, Tensor]]) -> "Bridge":
    from interpolants.estimator.bridge import Bridge

    if record.get("format") != FORMAT:
        rule = f"the bridge must have format {FORMAT}"
        raise invalid("Bridge.load", rule, record.get("format"), "Upgrade interpolants to read newer files.")
    try:
        train = {key: value for key, value in record["train"].items() if key != "seed"}
        bridge = Bridge(
            record["path"],
            coupling=coupling_from(record["coupling"]),
            net=as_table(record["net"]),
            learn=tuple(current_quantity(head) for head in record["learn"]),
            times=record.get("times", "auto"),
            standardize=record["standardize"],
            drop_condition=record.get("drop_condition", 0.0),
            held_out=record.get("held_out", 0.0),
            precondition=record.get("precondition", False),
            perturb=InstanceNoise(**record.get("perturb", {"std": 0.0})),
            penalties=record.get("penalties", ()),
            seed=record["seed"],
            **train,
        )
        net: nn.Module = build_net(**record["net"]).float()
        if bridge.heads == ("log_density",):
            net = LogDensity(bridge.path, net).float()
        net.load_state_dict(tensors[f"{stem}_model"])
        data = tensors[f"{stem}_data"]
        bridge.normaliser = Normaliser(data["shift"], data["scale"])
        bridge.shape = tuple(record["shape"])
        bridge._pool0, bridge._pool1 = _pool(data, "pool0"), _pool(data, "pool1")
        if "held_x1" in data:
            bridge._held = HeldOut(
                data.get("held_x0"), data["held_x1"], data.get("held_cond"), data.get("held_cond0")
            )
        if record.get("eps_choice") is not None:
            bridge.eps_choice = from_record(record["eps_choice"])
        if record.get("density0") is not None:
            bridge._density0 = rebuild(record["density0"])
        bridge._kind = _kind(record["kind"])
        bridge.history = record["history"]
        bridge._data_std = record.get("data_std", 1.0)
        wrapped, _ = bridge._prepared(net)
        bridge.net = wrapped.eval().requires_grad_(False)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise invalid("Bridge.load", "the record must be complete and fit its weights", str(error)) from error
    return bridge


def _pool(data: dict[str, Tensor], name: str) -> Pool | None:
    return Pool(data[name], data.get(f"{name}_cond")) if name in data else None


def _describe_law(law: Any) -> dict[str, Any] | None:
    """A law in words from which it can be made again; None where there is none, or no words for it."""
    if law is None:
        return None
    try:
        found = describe(law, "Bridge.save")
        rebuild(found)
    except (InvalidInputError, TypeError, ValueError, RuntimeError):
        return None
    return found


def as_table(settings: dict[str, Any]) -> dict[str, Any]:
    """A network's settings as one asks for it: without what follows from the data."""
    given = ("name", "shape", "heads", "vocabulary", "seed", "n_classes", "cond_dim", "cond_channels")
    return {"kind": settings["name"], **{key: value for key, value in settings.items() if key not in given}}


def _describe_kind(kind: Kind | None) -> dict[str, Any] | None:
    if kind is None:
        return None
    columns = [_label(column) for column in kind.columns]
    return {"container": kind.container, "dtype": str(kind.dtype), "columns": columns, "flat": kind.flat}


def _label(column: Any) -> Any:
    """Label of a column: words, whole numbers and none as they are, anything else in words."""
    plain = column.item() if isinstance(column, np.generic) else column
    return plain if plain is None or isinstance(plain, str | int) else str(plain)


def _kind(record: dict[str, Any] | None) -> Kind | None:
    if record is None:
        return None
    name = record["dtype"]
    dtype = getattr(torch, name.removeprefix("torch.")) if name.startswith("torch.") else np.dtype(name)
    device = torch.device("cpu") if name.startswith("torch.") else None
    return Kind(record["container"], dtype, device, tuple(record["columns"]), record["flat"])
