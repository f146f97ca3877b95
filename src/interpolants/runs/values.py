"""Values of roles from the tables of a recipe: files, data sets, problems, earlier tasks and runs.

``[data.<role>]`` is one of::

    x1 = "rows.csv"                                            # a file
    tokens = "lines.txt"                                       # texts, one a line
    x1 = { file = "pets/", options = { size = 32 } }           # a folder of pictures, see data.Pictures
    x1 = { file = "rows.npz", key = "a", columns = ["u", "v"] }
    series = { file = "history.csv", columns = ["load"] }      # with its times, see data.series_table
    series = { file = "sensors.csv", each = true }             # every column a series, learnt by one model
    x1 = { dataset = "digits", classes = [3], options = { dequantise = true } }
    y = { dataset = "diamonds", columns = ["price"] }          # some columns of a table, with their names
    x1 = { problem = "moons", n = 10000 }                      # draws
    x1 = { follows = "x0" }                                    # one step of the process of another role
    cond = { labels_of = "x1" }                                # labels that came with another role
    x1 = "photo.jpg"                                           # the pixels of one picture
    prompt = { beside = "fields" }                             # what came together with another role; part = "picture"
    problem = { member = "allen_cahn" }                        # the problem itself, not draws of it
    model = { task = "teacher" }                               # the model of an earlier task
    model = { run = "runs/digits", task = "generate" }         # or of another run
"""

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants.data import catalogue
from interpolants.data.coded_columns import TABLES, read_coded
from interpolants.data.files import check_file
from interpolants.data.gridded import joined_cases
from interpolants.data.picture_pixels import COLOURS, pixels, read_picture
from interpolants.data.picture_sets import PICTURE_OPTIONS, Pictures, is_picture_folder, picture_labels
from interpolants.data.pictures import PICTURES
from interpolants.data.series_table import READS, each_column, read_series_table
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import generator
from interpolants.foundations.registry import build, find_card, kinds, names
from interpolants.framework.method import load
from interpolants.framework.role import ReadsFiles, Role, kind_of
from interpolants.framework.roles import take
from interpolants.framework.rows import Rows
from interpolants.runs.files import labels_if_whole, read_table, read_texts
from interpolants.runs.first_rows import warn_of_first_rows

Parts = Mapping[str, Tensor]


@dataclass(frozen=True)
class Source:
    """Description of a value's origin.

    Attributes:
        name: What it is.
        origin: Where it comes from.
        licence: Licence of the data, if known.
        classes: Names of labels 0, 1, ..., if known.
        notes: What was changed on the way.
    """

    name: str
    origin: str = ""
    licence: str = ""
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Value:
    """The value of a role.

    Attributes:
        value: As the role reads it.
        source: Where it came from.
        labels: Labels of its rows, if it came with some.
        parts: Rows of its own train and test part, if it came with a split.
        truth: The exact distribution or process behind it, if known.
        kept: Which rows of its file it has, truth values; None for all.
        limit: Most rows that were asked for; None for all.
        beside: What was drawn together with it, row by row, by name.
    """

    value: Any
    source: Source
    labels: Any = None
    parts: Parts | None = None
    truth: Any = None
    kept: Tensor | None = None
    limit: int | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Sources in which values are looked up.

    Attributes:
        seed: Seed of draws.
        models: Folder of the models of earlier tasks: task -> folder.
        roles: The roles that are read, by name, where they are known.
        found: Values of the roles that were read before.
    """

    seed: int = 0
    models: Callable[[str], Path] | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    found: dict[str, Value] = field(default_factory=dict)


def read_values(tables: Mapping[str, Any], place: Place) -> dict[str, Value]:
    """Values of all roles of ``[data]``.

    Raises:
        InvalidInputError: If a table is of no known kind, has an unknown key, or names something that is not there.
    """
    for role in sorted(tables, key=lambda role: _depends(tables[role])):
        place.found[role] = read_value(role, tables[role], place)
    return {role: place.found[role] for role in tables}


def aligned(values: Mapping[str, Value], roles: Iterable[Role]) -> dict[str, Value]:
    """Values of one axis without the rows that one of their files leaves out, so that rows stay together.

    A limit on one of them holds for all. Conditions from a file of whole numbers are labels.

    Args:
        values: Values by role.
        roles: The roles.
    """
    known = {role.name: role for role in roles}
    found = {role: _as_role(value, known.get(role)) for role, value in values.items()}
    for axis in {role.axis for role in known.values() if role.axis}:
        group = {name: found[name] for name in found if name in known and known[name].axis == axis}
        masks = [value.kept for value in group.values() if value.kept is not None]
        if masks and len({len(mask) for mask in masks}) == 1:
            group = {name: _without(value, torch.stack(masks).all(0)) for name, value in group.items()}
        limits = [value.limit for value in group.values() if value.limit is not None]
        found |= {name: _first(value, min(limits)) for name, value in group.items()} if limits else group
    return found


def _as_role(value: Value, role: Role | None) -> Value:
    """A file's numbers as labels, where they are whole and the role takes such."""
    of_file = role is not None and role.kind in ("condition", "labels") and isinstance(value.value, Tensor)
    return replace(value, value=labels_if_whole(value.value)) if of_file else value


def _without(value: Value, kept: Tensor) -> Value:
    """The rows of a value that are kept; unchanged where it has been cut already."""
    own = torch.ones_like(kept) if value.kept is None else value.kept
    if value.kept is None and len(value.value) != len(kept):
        return value
    return replace(_rows_of(value, kept[own][: len(value.value)].nonzero()[:, 0]), kept=kept)


def _first(value: Value, limit: int) -> Value:
    if value.parts is not None:
        return value
    if isinstance(value.value, Tensor) and len(value.value):
        whole = not value.value.is_floating_point() and value.value.ndim == 1
        warn_of_first_rows(value.source.name, value.value, limit, value.value.tolist() if whole else None)
    return _rows_of(value, slice(limit))


def _rows_of(value: Value, rows: Any) -> Value:
    labels = None if value.labels is None else value.labels[rows]
    return replace(value, value=take(value.value, rows), labels=labels)


def _depends(table: Any) -> bool:
    return isinstance(table, Mapping) and bool(table.keys() & {"follows", "labels_of", "beside"})


def read_value(role: str, table: Any, place: Place) -> Value:
    """The value of one role; a word alone is a file."""
    who = f"data.{role}"
    table = {"file": table} if isinstance(table, str) else table
    if not isinstance(table, Mapping):
        raise invalid(who, "it must be a file or a table", repr(table))
    kind = next((kind for kind in _READERS if kind in table), None)
    if kind is None:
        key = next(iter(table), "nothing")
        rule = f"the table must name one of {', '.join(_READERS)}"
        raise invalid(who, rule, repr(key), nearest(str(key), _READERS))
    known, read = _READERS[kind]
    rest = {name: value for name, value in table.items() if name not in known}
    if rest and kind not in _OPEN:
        name = next(iter(rest))
        raise invalid(
            who, f"keys of a {kind} must be among those that it accepts", repr(name), nearest(name, known)
        )
    own = {name: value for name, value in table.items() if name in known}
    for name, value in own.items():
        _check_key(who, name, value)
    return read(who, {**own, **({"settings": {**own.get("settings", {}), **rest}} if rest else {})}, place)


def _check_key(who: str, name: str, value: Any) -> None:
    """Refuse a key of a table that is of a wrong type."""
    if name in ("n", "limit"):
        whole(who, name, value, at_least=1)
    elif name in ("options", "settings"):
        if not isinstance(value, Mapping):
            raise invalid(who, f"{name} must be a table", value)
    elif name in ("columns", "classes"):
        kind = str if name == "columns" else int
        if not (isinstance(value, list | tuple) and value and all(type(one) is kind for one in value)):
            raise invalid(who, f"{name} must be a list of {'names' if kind is str else 'numbers'}", value)
    elif name in ("drop_nan", "each"):
        if not isinstance(value, bool):
            raise invalid(who, f"{name} must be true or false", value)
    elif not isinstance(value, str) or not value:
        raise invalid(who, f"{name} must be a name", value)


def _file(caller: str, table: Mapping[str, Any], place: Place) -> Value:
    role = place.roles.get(caller.removeprefix("data."), Role(name=caller))
    own_reader = isinstance(kind_of(role), ReadsFiles)
    if not own_reader and is_picture_folder(Path(table["file"])):
        return _picture_folder(caller, table, role)
    if not own_reader and "options" in table:
        raise invalid(caller, "options are for folders of pictures", table["file"], "Remove them.")
    return _single_file(caller, table, role)


def _single_file(who: str, table: Mapping[str, Any], role: Role) -> Value:
    if isinstance(kind := kind_of(role), ReadsFiles):
        for name in table:
            if name not in ("file", "key"):
                rule = f"a file of {role.kind} takes key alone"
                raise invalid(who, rule, repr(name), "Leave it out, and choose in the file itself.")
        return Value(
            kind.read_file(table["file"], role, table.get("key")),
            Source(table["file"], f"file {table['file']}"),
        )
    if role.kind == "series" and Path(table["file"]).suffix.lower() in READS:
        return _series_file(who, table)
    if (whole_file := _WHOLE.get(Path(table["file"]).suffix.lower())) is not None:
        return whole_file(who, table)
    if (role.words or role.exact) and Path(table["file"]).suffix.lower() in TABLES:
        return _table(who, table)
    options = {
        name: table[name] for name in ("key", "columns", "labels", "limit", "drop_nan") if name in table
    }
    gaps = role.gaps and not table.get("drop_nan", False)
    found = read_table(table["file"], who, exact=role.exact, gaps=gaps, **options)
    source = Source(table["file"], f"file {table['file']}", notes=found.notes)
    rows = _named(found.x, found.columns) if isinstance(kind, Rows) else found.x
    return Value(rows, source, found.labels, kept=found.kept, limit=table.get("limit"))


def _texts(caller: str, table: Mapping[str, Any]) -> Value:
    return Value(read_texts(table["file"], caller), Source(table["file"], f"file {table['file']}"))


def _pixels(caller: str, table: Mapping[str, Any]) -> Value:
    """The pixels of one picture; ``limit`` keeps as many, drawn at random. The picture itself comes with them."""
    for name in table:
        if name not in ("file", "limit"):
            raise invalid(caller, "a picture takes limit alone", repr(name), "Omit it.")
    check_file(Path(table["file"]), caller)
    picture = read_picture(table["file"], caller)
    x, notes = pixels(picture)
    source = Source(table["file"], f"file {table['file']}", notes=notes)
    together = {"picture": torch.from_numpy(picture.levels)}
    return Value(_named(torch.from_numpy(x[: table.get("limit")]), COLOURS), source, beside=together)


# Readers of texts and pictures, by file extension.
_WHOLE: dict[str, Callable[[str, Mapping[str, Any]], Value]] = {
    ".txt": _texts,
    **dict.fromkeys(PICTURES, _pixels),
}


def _picture_folder(caller: str, table: Mapping[str, Any], role: Role) -> Value:
    """Pictures with the names of their subfolders; the names alone where the role is a condition."""
    for name in table:
        if name not in ("file", "options"):
            raise invalid(caller, "a folder of pictures takes options alone", repr(name), "Remove it.")
    try:
        pictures = Pictures(table["file"], **table.get("options", {}))
    except TypeError as error:
        options = table.get("options", {})
        wrong = next(name for name in options if name not in PICTURE_OPTIONS)
        rule = "every option of a folder of pictures must have a known name"
        raise invalid(caller, rule, repr(wrong), nearest(wrong, PICTURE_OPTIONS)) from error
    source = Source(table["file"], f"folder {table['file']}", classes=pictures.classes, notes=pictures.notes)
    if role.kind in ("condition", "labels"):
        labels = picture_labels(pictures, caller, role.name)
        return Value(labels, source, labels)
    return Value(pictures, source, pictures.labels)


def _named(x: Tensor, columns: tuple[str, ...]) -> Any:
    """Rows as a table that keeps the names of its columns; without them, or without pandas, as they are."""
    if not columns or importlib.util.find_spec("pandas") is None:
        return x
    return require("pandas", by="data").DataFrame(x.numpy(), columns=list(columns))


def _table(who: str, table: Mapping[str, Any]) -> Value:
    """A table whose columns may be dates and words, with its names."""
    for name in table:
        if name not in ("file", "columns", "limit"):
            raise invalid(who, "a table of coordinates takes columns and limit", repr(name))
    found = read_coded(table["file"], who)
    for name in table.get("columns", ()):
        if name not in found.columns:
            raise invalid(who, "the column must be in the table", repr(name), nearest(name, found.columns))
    found = found[list(table["columns"])] if "columns" in table else found
    if len(found.columns) == 1 and (limit := table.get("limit")) is not None and limit < len(found):
        words = found.iloc[:, 0].astype(str).tolist()
        if len(set(words)) < len(words) / 2:  # labels, and not numbers or names of their own
            warn_of_first_rows(f"{who}: {table['file']}", torch.zeros(len(found), 1), limit, words)
    return Value(found.iloc[: table.get("limit")], Source(table["file"], f"file {table['file']}"))


def _series_file(who: str, table: Mapping[str, Any]) -> Value:
    """A series with its times; ``limit`` keeps the last ones."""
    for name in ("key", "labels", "drop_nan"):
        if name in table:
            raise invalid(who, "a file of a series has columns and limit alone", repr(name))
    found = read_series_table(table["file"], who, columns=table.get("columns"))
    return _apart(
        found[-table.get("limit", len(found)) :], table, Source(table["file"], f"file {table['file']}")
    )


def _apart(found: Any, table: Mapping[str, Any], source: Source) -> Value:
    """A table as one series of several columns, or each column as a series."""
    return Value(each_column(found) if table.get("each") else found, source)


def _dataset(who: str, table: Mapping[str, Any], place: Place) -> Value:
    name, options = table["dataset"], table.get("options", {})
    halves = [catalogue.load(name, part, **options) for part in ("train", "test")]
    if halves[0].info.frequency:
        return _timed(halves[0], halves[1], table)
    if halves[0].info.gridded is not None:
        return _on_grid(halves[0].info, halves[1].info, table)
    keep = [_rows(who, name, half, table.get("classes")) for half in halves]
    if "limit" in table:
        share = len(keep[1]) / (len(keep[0]) + len(keep[1]))
        sizes = (max(2, round(table["limit"] * (1 - share))), max(4, round(table["limit"] * share)))
        keep = [rows[:size] for rows, size in zip(keep, sizes, strict=True)]
    x = torch.cat([half.x[rows] for half, rows in zip(halves, keep, strict=True)])
    n = len(keep[0])
    labels = None
    if halves[0].labels is not None:
        labels = torch.cat([half.labels[rows] for half, rows in zip(halves, keep, strict=True)])  # type: ignore[index]
    info = halves[0].info
    role = place.roles.get(who.removeprefix("data."))
    named = info.columns if role is not None and role.kind == "rows" and not role.exact else ()
    rows = _columns(who, x, info, table["columns"]) if "columns" in table else _named(x, named)
    parts = {"train": torch.arange(n), "test": torch.arange(n, len(x))}
    return Value(rows, _dataset_source(info, table), labels, parts, beside=_picture(info))


def _dataset_source(info: Any, table: Mapping[str, Any]) -> Source:
    """Source of a data set, named with its classes or its photograph."""
    classes = [info.classes[c] if c < len(info.classes) else str(c) for c in table.get("classes", ())]
    photo = f" of {table.get('options', {}).get('photo', 'china')}" if info.picture is not None else ""
    name = table["dataset"] + photo + (f", class {', '.join(classes)}" if classes else "")
    return Source(name, info.source, info.licence, info.classes)


def _picture(info: Any) -> dict[str, Tensor]:
    """The whole picture of a data set of its pixels."""
    return {} if info.picture is None else {"picture": torch.from_numpy(info.picture)}


def _columns(who: str, x: Tensor, info: Any, columns: list[str]) -> Any:
    """Some columns of a data set as a table, so that methods know their names."""
    pandas = require("pandas", by=who)
    for name in columns:
        if name not in info.columns:
            known = nearest(str(name), info.columns) if info.columns else f"{info.name} has no columns."
            raise invalid(who, f"columns must be columns of {info.name!r}", repr(name), known)
    places = [info.columns.index(name) for name in columns]
    return pandas.DataFrame(x[:, places].numpy(), columns=columns)


def _timed(first: Any, second: Any, table: Mapping[str, Any]) -> Value:
    """A series with its times, which the split cuts; ``limit`` keeps the last ones."""
    whole = replace(first, x=torch.cat([first.x, second.x])).table()
    source = Source(first.info.name, first.info.source, first.info.licence)
    return _apart(whole[-table.get("limit", len(whole)) :], table, source)


def _on_grid(first: Any, second: Any, table: Mapping[str, Any]) -> Value:
    """Fields with their grid and dates, in the parts that they come in; ``limit`` keeps the first cases of each."""
    halves = [info.gridded[: table.get("limit")] for info in (first, second)]
    n, total = len(halves[0]), sum(map(len, halves))
    parts = {"train": torch.arange(n), "test": torch.arange(n, total)}
    return Value(joined_cases(halves), Source(first.name, first.source, first.licence), parts=parts)


def _rows(who: str, name: str, half: Any, classes: Any) -> Tensor:
    if classes is None:
        return torch.arange(len(half.x))
    if half.labels is None:
        raise invalid(who, f"classes must be omitted, since {name!r} has no labels", classes)
    known = sorted(set(half.labels.tolist()))
    if unknown := sorted(set(classes) - set(known)):
        raise invalid(
            who, f"classes must be labels of {name!r}", unknown, f"It has {', '.join(map(str, known))}."
        )
    return torch.isin(half.labels, torch.tensor(classes)).nonzero()[:, 0]


def _problem(who: str, table: Mapping[str, Any], place: Place) -> Value:
    known = build("problem", table["problem"], **_as_settings(table.get("settings", {})))
    if not callable(getattr(known, "sample", None)):
        remedy = f"Write {{ member = {table['problem']!r} }} for the problem itself."
        raise invalid(who, "the problem must be one that can be sampled", repr(table["problem"]), remedy)
    x = known.sample(table.get("n", 10_000), generator=generator(place.seed, "value draw", who))
    title = find_card(table["problem"], "problem", who).title
    origin = Source(table["problem"], f"simulated: {title[:1].lower()}{title[1:]}")
    if isinstance(x, Mapping):  # of several things that belong together
        own = _part(who, x, who.removeprefix("data."), table["problem"])
        return Value(own, origin, truth=known, beside=x)
    column = isinstance(x, Tensor) and x.ndim == 1  # a number per row; other containers are as they are
    return Value(x[:, None] if column else x, origin, truth=known)


def _beside(who: str, table: Mapping[str, Any], place: Place) -> Value:
    other = _other(who, "beside", table["beside"], place)
    name = table.get("part", who.removeprefix("data."))
    source = replace(other.source, notes=())
    return replace(other, value=_part(who, other.beside, name, other.source.name), source=source)


def _part(who: str, drawn: Mapping[str, Any], name: str, source: str) -> Any:
    if name not in drawn:
        remedy = (
            nearest(name, drawn) if drawn else "Several things together are drawn by some problems alone."
        )
        raise invalid(
            who, f"{name!r} must be drawn by {source}", ", ".join(drawn) or "a single thing", remedy
        )
    return drawn[name]


def _member(who: str, table: Mapping[str, Any], place: Place) -> Value:
    name = table["member"]
    kind = next((kind for kind in ("problem", *kinds()) if name in names(kind)), "problem")
    made = build(kind, name, **_as_settings(table.get("settings", {})))
    return Value(made, Source(name, f"{kind} {name}"), truth=made)


def _follows(who: str, table: Mapping[str, Any], place: Place) -> Value:
    before = _other(who, "follows", table["follows"], place)
    if not hasattr(before.truth, "step"):
        remedy = "Use a problem with a transition, such as rotating_mixture."
        raise invalid(who, "it can follow only states of a known process", before.source.name, remedy)
    after = before.truth.step(before.value, generator=generator(place.seed, "value step", who))
    return replace(
        before, value=after, source=replace(before.source, name=f"{before.source.name}, one step later")
    )


def _labels(who: str, table: Mapping[str, Any], place: Place) -> Value:
    other = _other(who, "labels_of", table["labels_of"], place)
    if other.labels is None:
        raise invalid(who, f"{table['labels_of']} must have come with labels", other.source.name)
    source = replace(other.source, name=f"labels of {other.source.name}")
    return Value(other.labels, source, other.labels, other.parts)


def _other(who: str, key: str, role: str, place: Place) -> Value:
    if role not in place.found:
        raise invalid(
            who, f"{key} must name another role of [data]", repr(role), nearest(str(role), place.found)
        )
    return place.found[role]


def _model(who: str, table: Mapping[str, Any], place: Place) -> Value:
    if "run" in table:
        from interpolants.runs.models import find_model

        folder = find_model(Path(table["run"]), table.get("task"))
    elif place.models is None:
        raise invalid(who, "a task must come after the one whose model it reads", repr(table["task"]))
    else:
        folder = place.models(table["task"])
    return Value(load(folder), Source(f"model of {table.get('task', table.get('run'))}", str(table)))


def _as_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of numbers as float64 tensors, which distributions take."""
    return {name: _tensor(value) for name, value in settings.items()}


def _tensor(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    try:
        return torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError):
        return value


Reader = Callable[[str, Mapping[str, Any], Place], Value]
# Kind of table -> its keys, and how it is read. Settings of a problem may stand beside its name.
_READERS: dict[str, tuple[tuple[str, ...], Reader]] = {
    "file": (("file", "key", "columns", "labels", "limit", "drop_nan", "each", "options"), _file),
    "dataset": (("dataset", "classes", "columns", "limit", "options", "each"), _dataset),
    "problem": (("problem", "n", "settings"), _problem),
    "member": (("member", "settings"), _member),
    "follows": (("follows",), _follows),
    "labels_of": (("labels_of",), _labels),
    "beside": (("beside", "part"), _beside),
    "run": (("run", "task"), _model),
    "task": (("task",), _model),
}
_OPEN = ("problem", "member")
