"""Models in run folders: which task and seed trained what, and where it lies."""

import re
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import InvalidInputError, invalid, nearest, suggestion
from interpolants.foundations.links import refuse_link
from interpolants.foundations.model_addresses import local_folder
from interpolants.foundations.storage import MANIFEST, read_document
from interpolants.framework import method, stored
from interpolants.framework.method import MODEL

CONFIG = "recipe.json"
_FORMER = "config.json"  # in run folders before methods had one form
_SEED = re.compile(r"(?P<task>.+)_seed(?P<seed>\d+)")


def load(folder: str | Path, *, task: str | None = None, seed: int | None = None, **code: Any) -> Any:
    """Load any fitted method: from its folder or that of a run, from an address, or one that ships trained.

    Args:
        folder: What ``save`` wrote, or a run folder; the address of a stored method, ``https://...``, ``s3://...``,
            ``hf://...``, ``memory://...`` or ``file://...``, which is downloaded to a cache and checked; or
            ``"pretrained:NAME"``, e.g. ``"pretrained:digits"``. ``"pretrained:"`` lists the names.
        task: Which task, if the run has several.
        seed: Which seed, if the task was fitted with several; the first by default.
        code: Code of your own that the method was made with, e.g. ``net=MyNet()``.

    Raises:
        InvalidInputError: If there is no such model, a file at an address differs from its manifest, or the code
            answers otherwise than that of the fit.
        MissingExtraError: If a package that the protocol needs is not installed.
        StorageError: If the address cannot be reached.
    """
    return method.load(find_model(folder, task, seed), **code)


def model_folders(run: Path) -> dict[str, Path]:
    """Folders of the models in a run, by cell: task, or task and seed.

    Raises:
        InvalidInputError: If one of them lies behind a link.
    """
    places = sorted((run / "work").glob(f"*/{MODEL}"))
    found = {place.parent.name: place for place in places if stored.is_tree(place)}
    for cell in found:
        refuse_link("load", run, "work", cell, MODEL)
    return found


def find_model(folder: str | Path, task: str | None = None, seed: int | None = None) -> Path:
    """The folder of a model: itself, or that of a run, of one of its tasks, of one of its seeds.

    Args:
        folder: Path, address, or ``"pretrained:NAME"``; see :func:`load`.
        task: Which task, if the run has several.
        seed: Which seed, if the task was fitted with several.

    Raises:
        InvalidInputError: If there is none, or several and none was chosen.
    """
    folder = local_folder(folder)
    if stored.is_tree(folder) or (folder / MANIFEST).is_file():  # an earlier store says itself what reads it
        if task is not None:
            raise invalid("--task", f"{folder} must be a run to have tasks", repr(task), "Leave it out.")
        return folder
    found = model_folders(folder)
    if not found:
        raise no_run("load", f"{folder} must contain a trained model", folder)
    return found[_chosen(folder, list(found), task, seed)]


def no_run(who: str, rule: str, folder: Path) -> InvalidInputError:
    """The error for a folder that is no run, or none of today's form; it names the nearest that is one."""
    if (folder / CONFIG).is_file():
        return invalid(who, rule, "none", f"Finish the run: interpolants run --out {folder} --resume")
    if (folder / _FORMER).is_file():
        remedy = "Read it with interpolants 0.1.0 of commit f653ca4 or earlier, or run its recipe again."
        got = f"{folder}, whose {_FORMER} was written before methods had one form"
        return invalid(who, rule, got, remedy)
    beside = [place.parent.name for place in folder.parent.glob(f"*/{CONFIG}")]
    close = suggestion(folder.name, beside) or "Check the path."
    return invalid(who, rule, f"{folder}, which holds {'none' if folder.is_dir() else 'nothing'}", close)


def _chosen(folder: Path, cells: list[str], task: str | None, seed: int | None) -> str:
    tasks = list(dict.fromkeys(_parted(cell)[0] for cell in cells))
    if task is None and len(tasks) > 1:
        raise invalid(
            "load", f"{folder} has several tasks, so one must be chosen", ", ".join(tasks), "Add --task NAME."
        )
    name = tasks[0] if task is None else task
    if name not in tasks:
        raise invalid("load", f"{folder} must have this task", repr(name), nearest(name, tasks))
    seeds = {_parted(cell)[1]: cell for cell in cells if _parted(cell)[0] == name}
    if seed is None:
        return next(iter(seeds.values()))
    if None in seeds:  # a run of one seed, which the names of its cells leave out
        seeds = {read_document(folder / CONFIG)["seed"]: seeds[None]} if (folder / CONFIG).is_file() else {}
    if seed not in seeds:
        rule = f"{name} must have been trained with this seed"
        raise invalid("load", rule, seed, f"It has {sorted(s for s in seeds if s is not None)}.")
    return seeds[seed]


def _parted(cell: str) -> tuple[str, int | None]:
    """Task and seed of a cell."""
    found = _SEED.fullmatch(cell)
    return (cell, None) if found is None else (found["task"], int(found["seed"]))
