"""Model card of a saved method: ``README.md`` as the Hugging Face hub lays it out, YAML front matter and Markdown.

The card is not sealed with the model, so that it may be edited. Its last line holds a hash of what is above: a card
that still has it is ours, and is rewritten with the model; any other is the user's, and is kept.
"""

import hashlib
import inspect
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml
from torch import nn

from interpolants.data.arrays import Kind as Given
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.printable import in_markdown, printable
from interpolants.foundations.registry import card_of
from interpolants.foundations.storage import README
from interpolants.foundations.tell import FileWarning, tell
from interpolants.foundations.version import __version__
from interpolants.framework.labels import column_names
from interpolants.framework.scores import Score

_SEAL = re.compile(r"\n<!-- written by interpolants \S+, sha256 ([0-9a-f]{64}); .* -->\n\Z")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.\-]*")
# Names that a card shows at most, and what they are where they are no columns.
_SHOWN, _NAMED = 20, {"labels": "labels", "xarray": "axes", "text": "symbols"}


class Described(Protocol):
    """Content of the model card of a fitted method."""

    given: dict[str, Given]
    shapes: dict[str, tuple[int, ...]]
    about: dict[str, Any]

    def chosen_params(self) -> dict[str, Any]:
        """Settings that are not the default."""
        ...

    def capabilities(self) -> Mapping[str, str]:
        """Verbs, each with the reason why it cannot be asked, or an empty one."""
        ...


def model_card(
    method: Described, *, license: str = "unknown", datasets: Sequence[str] = (), scores: Sequence[Score] = ()
) -> str:
    """The card of a fitted method.

    Args:
        method: The method.
        license: Id of the model's licence on the hub, e.g. ``"mit"``; what is not known is ``"unknown"``.
        datasets: Names of the data.
        scores: What it was judged by.

    Raises:
        InvalidInputError: If the licence is no such id.
    """
    if not isinstance(license, str) or not _LICENSE.fullmatch(license):
        remedy = "Use the hub's id in lower case, e.g. 'apache-2.0', 'cc-by-4.0' or 'unknown'."
        raise invalid("save", "license must be the id of a licence", repr(license), remedy)
    front = yaml.safe_dump(_front(method, license, datasets, scores), sort_keys=False, allow_unicode=True)
    text = "\n".join([f"---\n{front}---\n", *_body(method, datasets, scores)])
    digest = hashlib.sha256(text.encode()).hexdigest()
    note = "edit the card as you like: without this line's hash it is yours and is kept"
    return f"{text}\n<!-- written by interpolants {__version__}, sha256 {digest}; {note} -->\n"


def card_to_keep(folder: str | Path, text: str) -> str:
    """Card for a folder: a new one, or the existing one if a user edited it."""
    file = Path(folder) / README
    if file.is_symlink() or not file.is_file():
        return text
    old = file.read_text(encoding="utf-8", errors="replace")
    seal = _SEAL.search(old)
    if seal is not None and hashlib.sha256(old[: seal.start()].encode()).hexdigest() == seal[1]:
        return text
    words = f"{file} was edited, and is kept; what it says of the model may be out of date"
    tell(FileWarning, f"{words}. Delete it and save again for a new one.")
    return old


def _front(
    method: Described, license: str, datasets: Sequence[str], scores: Sequence[Score]
) -> dict[str, Any]:
    """The front matter that the hub reads."""
    card = card_of(type(method))
    assert card is not None  # what has no card cannot be stored
    tags = ["interpolants", card.id.replace("_", "-"), *(_slug(word) for word in [card.family] if word)]
    found: dict[str, Any] = {"library_name": "interpolants", "license": license, "tags": tags}
    if datasets:
        found["datasets"] = list(datasets)
    metrics = [
        {"type": score.name, "name": score.title or score.name, "value": float(score.value)}
        for score in scores
        if math.isfinite(score.value)
    ]
    if metrics:
        name = ", ".join(datasets) or "held-out data"
        result = {
            "task": {"type": "other"},
            "dataset": {"name": name, "type": _slug(name)},
            "metrics": metrics,
        }
        found["model-index"] = [{"name": card.title, "results": [result]}]
    return found


def _body(method: Described, datasets: Sequence[str], scores: Sequence[Score]) -> Iterator[str]:
    card = card_of(type(method))
    assert card is not None
    about = (inspect.getdoc(type(method)) or "").partition("\n")[0].replace("``", "`")
    yield f"# {card.title}\n\n{about}\n"
    yield f"{_use(method)}\n"
    yield from _section("Data", [*(f"Data: {in_markdown(name)}." for name in datasets), *_roles(method)])
    yield from _section("Settings", [f"`{name}`: {_shown(v)}" for name, v in _settings(method).items()])
    yield from _section("Results", [_result(score) for score in scores])
    yield from _section("Limits", [f"{card.limits[:1].upper()}{card.limits[1:]}."])


def _settings(method: Described) -> dict[str, Any]:
    """Settings that differ from the defaults, including those of the fit; without the device, which is not stored."""
    chosen = {**method.chosen_params(), **method.about.get("settings", {})}
    return {name: value for name, value in chosen.items() if name != "device"}


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"


def _use(method: Described) -> str:
    """Lines that load it, and what it answers."""
    try:
        verbs = [verb for verb, why in method.capabilities().items() if not why]
    except InterpolantsError:  # user-defined code is missing
        verbs = []
    answers = f" It answers to {', '.join(f'`{verb}`' for verb in verbs)}." if verbs else ""
    code = '```python\nimport interpolants as itp\n\nmodel = itp.load("path/of/this/folder")\n```'
    return f"{code}\n\nThe weights are safetensors, all else is JSON; no code is stored.{answers}"


def _roles(method: Described) -> Iterator[str]:
    for name, given in method.given.items():
        shape = method.shapes.get(name)
        size = "" if shape is None else f", rows of shape {shape}"
        named = [in_markdown(str(one)) for one in column_names(given)]
        more = ", ..." if len(named) > _SHOWN else ""
        told = _NAMED.get(given.container, "columns")
        columns = f"; {told} {', '.join(named[:_SHOWN])}{more}" if named else ""
        yield f"`{name}`: {given.container}{size}{columns}"


def _shown(value: Any) -> str:
    told = (
        type(value).__name__ if isinstance(value, nn.Module) else re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    )
    told = printable(" ".join(told.split())).replace("`", "'")  # else the code would end within
    return f"`{told if len(told) <= 200 else told[:200] + ' ...'}`"


def _result(score: Score) -> str:
    error = f" ± {score.error:.2g}" if math.isfinite(score.error) else ""
    rivals = "".join(f"; {in_markdown(name)} {value:.4g}" for name, value in score.rivals.items())
    unit = f" {in_markdown(score.unit)}" if score.unit else ""
    name = score.name.replace("`", "'")
    return f"{in_markdown(score.title or score.name)} (`{name}`): {score.value:.4g}{error}{unit}{rivals}"


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "data"
