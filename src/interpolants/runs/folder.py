"""Run folder: its layout, and how a stored bridge is found in it.

``<out>/config.json``, ``results.json``, ``report.html``, and per task ``<out>/<task>/train`` (checkpoints and logs),
``bridge`` (the trained bridge) or ``model`` (another trained method), and ``arrays.safetensors``.
"""

import json
import math
import os
import platform
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

import interpolants
from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.storage import StorageError, write_text
from interpolants.runs.config import RunConfig, make_config
from interpolants.runs.models import find_model, model_folders

CONFIG, RESULTS, REPORT, ARRAYS = "config.json", "results.json", "report.html", "arrays.safetensors"
# Folder of a trained method within that of its task.
MODEL = "model"
# Folder of a trained bridge, and the file by which it is known.
_BRIDGE, _RECORD = "bridge", "tree.json"
# Settings that say how a run is judged or how it is logged; changing them does not change what was learnt.
_LATER = ("title", "evaluate")


def open_folder(config: RunConfig, out: Path, *, resume: bool) -> bool:
    """Make the folder, or take up a run of the same settings in it; whether it was taken up.

    Nothing that another run wrote is replaced. An unfinished run of exactly these settings is taken up without
    being asked, since it would give the same result.

    Raises:
        InvalidInputError: If the folder holds something else.
    """
    if out.exists() and not out.is_dir():
        raise invalid("run", "out must be a folder", f"the file {out}", "Choose another name.")
    if not out.is_dir() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / CONFIG, config.dump())
        return False
    if not (out / CONFIG).is_file():
        remedy = "Choose another folder."
        raise invalid(
            "run", "out must be a new folder or one of a run", f"{out}, which holds other files", remedy
        )
    stored = read_config(out)
    same = stored == config
    if not resume and not (same and not (out / RESULTS).exists()):
        what = "a finished run" if (out / RESULTS).exists() else "a run with other settings"
        remedy = "Pass --resume to go on with it, or choose another folder."
        raise invalid("run", "out must not hold another run", f"{out}, which holds {what}", remedy)
    if changed := _changed(stored, config):
        remedy = "Choose another folder, or leave the settings as they were."
        raise invalid("run", f"the run in {out} must keep its settings", "; ".join(changed[:4]), remedy)
    if not same:
        write_json(out / CONFIG, config.dump())
    return True


def read_config(out: Path) -> RunConfig:
    """The settings that a run folder was made with.

    Raises:
        InvalidInputError: If there are none, or they are damaged.
    """
    file = out / CONFIG
    if not file.is_file():
        remedy = nearest(out.name, _runs_in(out.parent)) if _runs_in(out.parent) else "Check the path."
        raise invalid("run", f"the folder must be one of a run, with a {CONFIG}", str(out), remedy)
    return make_config(_read_json(file), place=str(file))


def read_results(out: Path) -> dict[str, Any]:
    """Results of a finished run.

    Raises:
        InvalidInputError: If the run is not finished or the file is damaged.
    """
    file = out / RESULTS
    if not file.is_file():
        read_config(out)
        remedy = f"Go on with: interpolants run --config {out / CONFIG} --out {out} --resume"
        raise invalid("run", "the run must be finished", f"{out} without {RESULTS}", remedy)
    found = _read_json(file)
    if not isinstance(found, dict) or found.get("format") != 1:
        raise invalid(
            str(file), "must have format 1", found.get("format") if isinstance(found, dict) else found
        )
    return found


def find_bridge(folder: Path, task: str | None = None) -> Path:
    """The folder of a trained bridge: itself, that of a task, or that of the only task of a run.

    Raises:
        InvalidInputError: If there is none, or several and none was chosen.
    """
    for candidate in (folder, folder / _BRIDGE):
        if (candidate / _RECORD).is_file():
            if task is not None:
                raise invalid("--task", f"{folder} must be a run to have tasks", repr(task), "Leave it out.")
            return candidate
    if model_folders(folder):  # a run of a recipe
        return find_model(folder, task)
    tasks = {one.name: one for one in read_config(folder).tasks}
    names = list(tasks)
    if task is None and len(names) > 1:
        raise invalid(
            "run", "a run of several tasks needs a choice", f"tasks {', '.join(names)}", "Add --task NAME."
        )
    chosen = names[0] if task is None else task
    if chosen not in names:
        raise invalid("run", f"{folder} must have this task", repr(chosen), nearest(chosen, names))
    found = folder / chosen / _BRIDGE
    if (found / _RECORD).is_file():
        return found
    remedy = f"Go on with: interpolants run --out {folder} --resume"
    got = f"{folder / chosen}, where training is unfinished"
    raise invalid("run", "a bridge must be trained", got, remedy)


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "interpolants": interpolants.__version__,
        "numpy": np.__version__,
    }


def machine() -> dict[str, Any]:
    """Machine of the run: cores, threads, platform."""
    return {"cpu": os.cpu_count() or 1, "threads": torch.get_num_threads(), "platform": platform.platform()}


def write_json(path: Path, value: Any) -> None:
    """Write plain JSON whole or not at all; numbers that are not finite become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(finite(value), allow_nan=False, ensure_ascii=False, indent=1) + "\n")


def write_arrays(path: Path, arrays: dict[str, Tensor]) -> None:
    """Write named tensors whole or not at all."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in arrays.items()}
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(safetensors.torch.save(plain))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(error.errno, f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def finite(value: Any) -> Any:
    """Numbers that JSON has no words for become null, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{file}: must be valid JSON, got {str(error)[:120]}") from error


def _runs_in(folder: Path) -> list[str]:
    return [entry.parent.name for entry in folder.glob(f"*/{CONFIG}")] if folder.is_dir() else []


def _changed(stored: RunConfig, config: RunConfig) -> list[str]:
    """Settings of the training that differ, as ``key then -> now``."""
    before, after = (_flat(item.dump()) for item in (stored, config))
    return [
        f"{key} {before.get(key)!r} -> {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not any(part in _LATER for part in key.split("."))
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = {str(i): inner for i, inner in enumerate(value)}.items()
    else:
        return {prefix: value}
    return {k: v for key, inner in pairs for k, v in _flat(inner, f"{prefix}.{key}".lstrip(".")).items()}
