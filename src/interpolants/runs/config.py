"""The settings of a run: one checked object behind the recipe files, the command line and the run folder."""

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
)

from interpolants.couplings.paired import Paired
from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.runs.overrides import apply, plain
from interpolants.runs.recipes import find_recipe, recipes
from interpolants.runs.validation_messages import dotted, explain, shorten
from interpolants.training.settings import TrainSettings

GAUSSIAN = "gaussian"
_SOURCES = ("problem", "dataset", "file", "follows")
_PARTS = ("name", "data", "bridge", "train", "evaluate")
_READERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
    ".json": json.loads,
}
_LARGEST = 1 << 20

Count = Annotated[int, Field(ge=0, le=1 << 62)]
PositiveCount = Annotated[int, Field(ge=1, le=1 << 40)]
Level = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Spec = str | dict[str, JsonValue]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileSource(_Settings):
    """Samples in a file, one per row; written as a plain path, or as a table to choose what to read.

    Attributes:
        file: Path of an npy, npz, csv, tsv, parquet or safetensors file, from the working directory.
        key: Name of the array in an npz or safetensors file that holds several.
        columns: Columns of a table to use; all but the labels by default.
        labels: Column, or name of the array, with labels 0, 1, 2, ...
        limit: Use at most this many rows.
        drop_nan: Leave out rows with gaps instead of refusing them.
    """

    file: Annotated[str, Field(min_length=1)]
    key: str | None = None
    columns: Annotated[list[str], Field(min_length=1)] | None = None
    labels: str | None = None
    limit: PositiveCount | None = None
    drop_nan: bool = False


class DatasetSource(_Settings):
    """A data set that comes with a package.

    Attributes:
        dataset: Its name, e.g. ``"digits"``.
        classes: Keep only these labels.
        limit: Use at most this many samples.
        options: Arguments of its loader, such as ``dequantise``.
    """

    dataset: Annotated[str, Field(min_length=1)]
    classes: Annotated[list[Count], Field(min_length=1)] | None = None
    limit: PositiveCount | None = None
    options: dict[str, JsonValue] = Field(default_factory=dict)


class ProblemSource(_Settings):
    """A distribution from ``interpolants.problems``.

    Attributes:
        problem: Its id, e.g. ``"moons"``.
        n: Number of samples to draw.
        settings: Arguments of the problem.
    """

    problem: Annotated[str, Field(min_length=1)]
    n: PositiveCount = 10_000
    settings: dict[str, JsonValue] = Field(default_factory=dict)


class StepSource(_Settings):
    """Transitions of the other side: one step of its problem's transition distribution per row.

    Attributes:
        follows: ``"x0"``.
    """

    follows: Literal["x0"]


def _source(value: Any) -> Any:
    """A path is short for a table with ``file``; arguments of a problem may stand beside its name."""
    if not (value is None or isinstance(value, str | dict | BaseModel)):
        raise ValueError("must be a path, or a table with file, dataset or problem")
    if isinstance(value, str):
        return None if value == GAUSSIAN else {"file": value}
    if isinstance(value, dict) and "problem" in value:
        own = {name: inner for name, inner in value.items() if name in ProblemSource.model_fields}
        rest = {name: inner for name, inner in value.items() if name not in own}
        if rest and isinstance(own.get("settings", {}), dict):
            own["settings"] = {**own.get("settings", {}), **rest}
        return own
    return value


def _data(value: Any) -> Any:
    if value == GAUSSIAN or value is None:
        raise ValueError("must name samples: only x0 may be Gaussian")
    return _source(value)


def _start(value: Any) -> Any:
    if isinstance(value, dict) and "follows" in value:
        raise ValueError("must not follow: only x1 may follow x0")
    return _source(value)


def _kind_of_source(value: Any) -> str:
    """Which table it is, by its key; one with none of these is taken for the one with the nearest key."""
    if isinstance(value, dict):
        given = [kind for kind in _SOURCES if kind in value]
        near = [kind for key in value for kind in difflib.get_close_matches(str(key), _SOURCES, n=1)]
        return (given or near or ["file"])[0]
    return next((kind for kind in _SOURCES if hasattr(value, kind)), "file")


Source = Annotated[
    Annotated[FileSource, Tag("file")]
    | Annotated[DatasetSource, Tag("dataset")]
    | Annotated[ProblemSource, Tag("problem")]
    | Annotated[StepSource, Tag("follows")],
    Discriminator(_kind_of_source),
]


class DataConfig(_Settings):
    """Sources of the two sample sets.

    Attributes:
        x0: Samples at t = 0; absent or ``"gaussian"`` for a one-sided path.
        x1: Samples at t = 1; ``{ follows = "x0" }`` for what becomes of x0, where that is a process.
        condition: ``"labels"`` for the labels of x1, or a file with one row per row of x1.
        test_fraction: Share of each set that training never sees.
        seed: Seed of that split, and of the samples drawn from problems.
    """

    x0: Annotated[Source | None, BeforeValidator(_start)] = None
    x1: Annotated[Source, BeforeValidator(_data)]
    condition: Annotated[str, Field(min_length=1)] | None = None
    test_fraction: Share = 0.2
    seed: Count = 0


class BridgeConfig(_Settings):
    """The bridge to learn; see `interpolants.Bridge`.

    Attributes:
        path: Id of a path, or a table with ``kind`` and its settings; for one that is made from the data with a table
            ``fit`` of the settings of that.
        coupling: Id of a coupling, or a table.
        net: ``"auto"``, id of a network, or a table.
        heads: ``"auto"``, or the quantities to learn, such as ``["velocity", "noise"]``.
        times: ``"auto"``, name of a sampler of training times, or a table.
        standardize: Give each feature mean 0 and deviation 1 inside.
        drop_condition: Chance that a row is learnt from without its condition, for guidance.
        precondition: Give the network inputs, outputs and losses of one size at all noise levels.
        perturb: Standard deviation of noise on x1 in every batch, in standardised units.
        penalties: Terms beside the loss: tables with ``kind``, such as ``fokker_planck_residual``, and its settings.
        held_out: Share of the training rows kept aside to choose a noise level by, for ``evaluate.auto_eps`` and for
            ``eps="auto"`` later; 0 takes the rows that the split keeps from training.
    """

    path: Spec = "linear"
    coupling: Spec = "independent"
    net: Spec = "auto"
    heads: Literal["auto"] | Annotated[list[str], Field(min_length=1)] = "auto"
    times: Spec = "auto"
    standardize: bool = True
    drop_condition: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    precondition: bool = False
    perturb: Level = 0.0
    penalties: list[dict[str, JsonValue]] = Field(default_factory=list)
    held_out: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = 0.0


class EvaluateConfig(_Settings):
    """Evaluation after training on held-out data: metrics and figures.

    Attributes:
        eps: Noise levels to sample with; 0 is the ODE.
        auto_eps: Choose a level from held-out data too, and sample with it.
        guidance: Strength of classifier-free guidance, for a bridge with a condition and ``drop_condition``; 1 is none.
        guidance_interval: Times between which there is guidance.
        n: Most samples to generate per noise level.
        n_steps: Steps of the solvers.
        method: Solver of the ODE, its default if not given.
        sde_method: Solver of the SDE, its default if not given.
        log_prob: Most held-out points whose likelihood is computed; 0 for none.
        divergence: How the likelihood's divergence is computed.
        probes: Probes of the Hutchinson estimate.
        log_prob_method: Solver of the likelihood, its adaptive default if not given.
        log_prob_steps: Steps of that solver, if it takes fixed ones.
        leg_steps: Steps of the Gaussian -> rho0 bridge that the likelihood of two sample sets needs; as many as the
            bridge itself if not given. A run that goes on with another number trains it anew.
        repeats: Repeats from one start point, per noise level; members of a forecast.
        trajectories: Number of trajectories to keep.
        shown: Most samples to keep for pictures.
        classifier: Judge labels with an independent classifier, where there are labels.
        check: Run the bridge's self-test.
        seed: Seed of everything drawn here.
    """

    eps: Annotated[list[Level], Field(min_length=1, max_length=16)] = Field(default=[0.0, 0.5, 1.0, 2.0])
    auto_eps: bool = False
    guidance: Level = 1.0
    guidance_interval: Annotated[list[Unit], Field(min_length=2, max_length=2)] = Field(default=[0.0, 1.0])
    n: PositiveCount = 2000
    n_steps: Annotated[int, Field(ge=1, le=100_000)] = 100
    method: str | None = None
    sde_method: str | None = None
    log_prob: Count = 256
    divergence: Literal["exact", "hutchinson"] = "exact"
    probes: Annotated[int, Field(ge=1, le=10_000)] = 1
    log_prob_method: str | None = None
    log_prob_steps: Annotated[int, Field(ge=1, le=100_000)] = 100
    leg_steps: PositiveCount | None = None
    repeats: Annotated[int, Field(ge=1, le=1000)] = 8
    trajectories: Annotated[int, Field(ge=1, le=1000)] = 8
    shown: Annotated[int, Field(ge=1, le=100_000)] = 2000
    classifier: bool = True
    check: bool = True
    seed: Count = 1


def _folder_name(value: str) -> str:
    good = value.isascii() and value.replace("_", "").replace("-", "").isalnum() and len(value) <= 60
    if not good or value.startswith("-"):
        raise ValueError("must be made of letters, digits, - and _, at most 60: it names a folder")
    return value


class TaskConfig(_Settings):
    """One bridge: its data, how it is built and trained, how it is judged.

    Attributes:
        name: Name of its folder in the run folder.
        title: A heading for people; the name if not given.
        data: The two sample sets.
        bridge: The bridge.
        train: The training.
        evaluate: The evaluation.
    """

    name: Annotated[str, AfterValidator(_folder_name)] = "main"
    title: str = ""
    data: DataConfig
    bridge: BridgeConfig = Field(default_factory=BridgeConfig)
    train: TrainSettings = Field(default_factory=TrainSettings)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)


def _distinct(tasks: list[TaskConfig]) -> list[TaskConfig]:
    names = [task.name.lower() for task in tasks]
    if len(set(names)) != len(names):
        raise ValueError("must have different names")
    return tasks


class RunConfig(_Settings):
    """All settings of a run.

    Attributes:
        title: Heading of the report.
        seed: Seed of every task whose ``train.seed`` is not given.
        tasks: The bridges to learn, one after the other.
    """

    title: str = "Bridge"
    seed: Count = 0
    tasks: Annotated[list[TaskConfig], Field(min_length=1, max_length=64), AfterValidator(_distinct)]

    def dump(self) -> dict[str, Any]:
        """Everything, defaults included, as JSON-able values; `make_config` gives an equal object back."""
        return self.model_dump(mode="json")


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a TOML, YAML or JSON file, change it by overrides, and check every setting.

    Args:
        path: The file, or the name of a recipe; see ``interpolants recipes``.
        overrides: ``"a.b=c"`` with c a TOML value (or a word); see `make_config`.

    Raises:
        InvalidInputError: If the file is missing or malformed, or a setting is unknown or not allowed. The
            message holds the key's path, the value, what is allowed, and the nearest key.
    """
    file = find_config(Path(path))
    return make_config(read_settings(file), overrides, place=str(file))


def make_config(
    settings: Mapping[str, Any],
    overrides: Iterable[str] = (),
    *,
    options: Mapping[str, Any] | None = None,
    place: str = "config",
) -> RunConfig:
    """Check settings given as nested tables.

    Args:
        settings: With a list ``tasks``, or, for one task, its tables at the top.
        overrides: ``"tasks.0.train.steps=100"`` changes one task (its name works like its number);
            ``"train.steps=100"`` changes all.
        options: The same as key path -> value, applied first.
        place: Where the settings come from, for the messages.

    Raises:
        InvalidInputError: As `load_config`.
    """
    root = settings_schema()
    data, flat = _as_tasks(plain(settings, place), place)
    apply(data, overrides, options)
    _fill_in(data, place)
    try:
        config = RunConfig.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        hidden = ("tasks", 0) if flat else ()
        lines = explain(error, root, data, hidden=hidden, tagged=("x0", "x1"))
        raise InvalidInputError(f"{place}: " + "\n  ".join(lines)) from error
    except (ValueError, RecursionError) as error:
        raise invalid(place, "the settings must be plain values", str(error)[:200]) from error
    for number, task in enumerate(config.tasks):
        _check_names(task, place, "" if flat else f"tasks.{number}.")
    return config


def find_config(path: Path) -> Path:
    """The settings file itself, or the recipe of that name."""
    if path.is_file():
        return path
    if (recipe := find_recipe(path)) is not None:
        return recipe
    folder = path.parent if path.parent != Path() and path.parent.is_dir() else Path()
    near = (
        [str(folder / f.name) for f in folder.iterdir() if f.suffix in _READERS and f.stem != "pyproject"]
        if folder.is_dir()
        else []
    )
    remedy = nearest(str(path), [*near, *recipes()])
    raise invalid("config", "the settings file must exist", str(path), remedy)


def read_settings(file: Path) -> Any:
    """The tables of a TOML, YAML or JSON file; unchecked."""
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise invalid(str(file), "a settings file must end in .toml, .yaml, .yml or .json", repr(file.suffix))
    if file.stat().st_size > _LARGEST:
        raise invalid(str(file), "a settings file must have at most 1 MiB", f"{file.stat().st_size} bytes")
    try:
        return reader(file.read_text(encoding="utf-8"))
    except (ValueError, LookupError, AttributeError, yaml.YAMLError, RecursionError) as error:
        # PyYAML lets through what its own readers of dates and truth values stumble over.
        what = " ".join(str(error).split())[:200]
        raise invalid(str(file), f"must be valid {file.suffix[1:].upper()}", what) from error


@cache
def settings_schema() -> dict[str, Any]:
    """JSON schema of all settings, for messages, editors and fuzzing."""
    return RunConfig.model_json_schema()


def _as_tasks(data: Any, place: str) -> tuple[dict[str, Any], bool]:
    """Settings with a list of tasks, and whether they were written flat."""
    if not isinstance(data, dict):
        raise invalid(place, "settings must be a table of keys", type(data).__name__)
    if "tasks" in data:
        misplaced = [name for name in _PARTS if name in data]
        if misplaced:
            remedy = "Move it into a task, or drop tasks."
            raise invalid(place, "a key of a task must not stand beside 'tasks'", repr(misplaced[0]), remedy)
        return data, False
    task = {name: data.pop(name) for name in _PARTS if name in data}
    return {**data, "tasks": [task]}, True


def _fill_in(data: dict[str, Any], place: str) -> None:
    """Write down what follows from other settings: the path, the seed, and the bridge's own training defaults."""
    tasks = data["tasks"] if isinstance(data["tasks"], list) else []
    for task in tasks:
        if not isinstance(task, dict):
            continue
        train, bridge, sets = (task.setdefault(name, {}) for name in ("train", "bridge", "data"))
        if isinstance(train, dict):
            train.setdefault("seed", data.get("seed", 0))
            for name, value in _training_defaults().items():
                train.setdefault(name, value)
        if isinstance(bridge, dict) and bridge.get("path") is None and isinstance(sets, dict):
            bridge["path"] = "one_sided_linear" if sets.get("x0") in (None, GAUSSIAN) else "linear"


@cache
def _training_defaults() -> dict[str, Any]:
    from interpolants.methods.bridge.bridge import Bridge

    return Bridge().training().model_dump(mode="json")


def _check_names(task: TaskConfig, place: str, prefix: str) -> None:
    """Refuse an unknown method or a setting that it does not take, before any data is read."""
    from interpolants.dynamics.samplers import find_method
    from interpolants.foundations.registry import names
    from interpolants.likelihood.log_prob import flow_solver
    from interpolants.methods.parts.choices import choose_heads, choose_penalties, path_for_data
    from interpolants.paths.fitted import UnfittedPath

    for family in ("path", "coupling"):
        spec = getattr(task.bridge, family)
        where = f"{place}: '{prefix}bridge.{family}'"
        with _at(where):
            unfitted = UnfittedPath.of(spec) if family == "path" else None
            member = unfitted.before if unfitted is not None else _built(family, spec, where)
        if family == "coupling" and isinstance(member, Paired):
            _check_pairs(task, f"{place}: '{prefix}data")
        if getattr(member, "is_one_sided", False) and task.data.x0 is not None:
            rule = "a one-sided path draws x0 from its own Gaussian, so data.x0 must be left out"
            raise invalid(where, rule, shorten(spec), "Take a two-sided path such as 'linear'.")
    if task.bridge.penalties:
        with _at(f"{place}: '{prefix}bridge.penalties'"):
            chosen = path_for_data("Bridge", task.bridge.path)
            path = chosen.before if isinstance(chosen, UnfittedPath) else chosen
            choose_penalties(
                "Bridge", task.bridge.penalties, path, choose_heads("Bridge", task.bridge.heads, path)
            )
    if task.evaluate.guidance != 1 and (task.data.condition is None or not task.bridge.drop_condition):
        where, rule = (
            f"{place}: '{prefix}evaluate.guidance'",
            "guidance needs a condition that training drops at times",
        )
        remedy = "Set data.condition and bridge.drop_condition = 0.1."
        raise invalid(where, rule, task.evaluate.guidance, remedy)
    for side in ("x0", "x1"):
        source = getattr(task.data, side)
        if isinstance(source, ProblemSource) and source.problem not in names("problem"):
            where = f"{place}: '{prefix}data.{side}.problem'"
            raise invalid(
                where,
                "must be the id of a problem",
                repr(source.problem),
                nearest(source.problem, names("problem")),
            )
    for name, noisy in (("method", False), ("sde_method", True)):
        with _at(f"{place}: '{prefix}evaluate.{name}'"):
            find_method(getattr(task.evaluate, name), noisy)
    with _at(f"{place}: '{prefix}evaluate.log_prob_method'"):
        flow_solver(task.evaluate.log_prob_method)
    if task.bridge.net != "auto":
        name, _ = split_spec(task.bridge.net, f"{place}: '{prefix}bridge.net'")
        if name not in names("net"):
            raise invalid(
                f"{place}: '{prefix}bridge.net'",
                "must be 'auto' or the id of a network",
                repr(name),
                nearest(name, names("net")),
            )


def _check_pairs(task: TaskConfig, where: str) -> None:
    """Rows left out of one file only would shift its rows against those of the other."""
    for side in ("x0", "x1"):
        if getattr(getattr(task.data, side), "drop_nan", False):
            rule = "rows of pairs cannot be left out on one side only, so drop_nan must be false"
            raise invalid(f"{where}.{side}.drop_nan'", rule, "true", "Leave the rows out of both files.")


def _built(family: str, spec: Spec, where: str) -> Any:
    from interpolants.foundations.registry import build

    name, settings = split_spec(spec, where)
    return build(family, name, **settings)


def split_spec(spec: Spec, where: str) -> tuple[str, dict[str, Any]]:
    """The id and the settings of a method given as a word or as a table."""
    if isinstance(spec, str):
        return spec, {}
    settings = dict(spec)
    kind = settings.pop("kind", None)
    if not isinstance(kind, str):
        raise invalid(where, "a table must name its kind", f"keys {', '.join(spec) or 'none'}", "Add kind.")
    return kind, settings


class _at:  # noqa: N801
    """Put the key's path before the message of an error of ours."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, InvalidInputError):
            raise InvalidInputError(f"{self.where}: {error}") from error


__all__ = [
    "BridgeConfig",
    "DataConfig",
    "DatasetSource",
    "EvaluateConfig",
    "FileSource",
    "ProblemSource",
    "RunConfig",
    "TaskConfig",
    "dotted",
    "load_config",
    "make_config",
    "settings_schema",
]
