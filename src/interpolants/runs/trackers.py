"""Backends of experiment trackers: TensorBoard, MLflow, and Weights & Biases.

A backend opens one tracked run per fit, and opens the same run again by its id.
"""

import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Count

# Maximum length of a parameter in MLflow.
_LONGEST_PARAMETER = 500


class TrackedRun(Protocol):
    """A run of a tracker.

    Attributes:
        id: Id by which the tracker opens the run again.
    """

    id: str

    def settings(self, values: Mapping[str, str]) -> None:
        """Store settings by dotted name."""
        ...

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Store numbers of a step under ``group/name``."""
        ...

    def image(self, name: str, png: bytes) -> None:
        """Store a figure as a PNG image."""
        ...

    def close(self, *, finished: bool) -> None:
        """Write what is pending, and end the run as finished or as interrupted."""
        ...


@dataclass(frozen=True, kw_only=True)
class Tracker(Checked):
    """A backend and its settings."""

    package: ClassVar[str] = ""

    interval: Count = 50
    """Steps between two logged rows."""

    def check_installed(self) -> None:
        """Raise MissingExtraError with the install line if the package is missing."""
        require(self.package, by=f"track = {type(self).__name__}")

    def open(self, folder: Path, name: str, id: str) -> TrackedRun:
        """Open a new run, or a stored one by its id.

        Args:
            folder: Folder of the fit.
            name: Name of the run.
            id: Id of the run to continue; empty for a new one.
        """
        raise NotImplementedError


# --- TensorBoard


@dataclass(frozen=True, kw_only=True)
class TensorBoard(Tracker):
    """Event files that ``tensorboard --logdir`` shows."""

    package: ClassVar[str] = "tensorboard"

    folder: str = ""
    """Folder with one subfolder per run; the folder ``tensorboard`` of each fit if empty."""

    def open(self, folder: Path, name: str, id: str) -> TrackedRun:
        """Open the event files of a run."""
        return _TensorBoardRun(id or str(Path(self.folder) / name if self.folder else folder / "tensorboard"))


class _TensorBoardRun:
    def __init__(self, log_dir: str) -> None:
        require("tensorboard", by="track = TensorBoard")
        from torch.utils.tensorboard import SummaryWriter

        self.id, self._writer = log_dir, SummaryWriter(log_dir)

    def settings(self, values: Mapping[str, str]) -> None:
        lines = "\n".join(f"| `{name}` | `{value}` |" for name, value in values.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{lines}")

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)
        self._writer.flush()  # a killed process loses what is pending, and a resumed one does not repeat it

    def image(self, name: str, png: bytes) -> None:
        self._writer.add_image(name, _pixels(png), dataformats="HWC")

    def close(self, *, finished: bool) -> None:
        self._writer.close()


# --- MLflow


@dataclass(frozen=True, kw_only=True)
class MLflow(Tracker):
    """Runs of an MLflow tracking server or database."""

    package: ClassVar[str] = "mlflow"

    uri: str = ""
    """Tracking URI, such as ``"sqlite:///mlflow.db"``; that of MLflow (``MLFLOW_TRACKING_URI``) if empty."""
    experiment: str = "interpolants"
    """Name of the experiment, which is created if it does not exist."""

    def open(self, folder: Path, name: str, id: str) -> TrackedRun:
        """Create a run, or set a stored one to running."""
        mlflow = require("mlflow.tracking", by="track = MLflow")
        client = mlflow.MlflowClient(self.uri or None)
        if id:
            client.update_run(id, status="RUNNING")
            return _MLflowRun(client, id)
        experiment = client.get_experiment_by_name(self.experiment)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(self.experiment)
        return _MLflowRun(client, client.create_run(experiment_id, run_name=name).info.run_id)


class _MLflowRun:
    def __init__(self, client: Any, id: str) -> None:
        self.id, self._client = id, client

    def settings(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self._client.log_param(self.id, name, value[:_LONGEST_PARAMETER])

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self.id, f"{group}/{name}", value, step=step)

    def image(self, name: str, png: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{name}.png"
            file.write_bytes(png)
            self._client.log_artifact(self.id, str(file), "figures")

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self.id, status="FINISHED" if finished else "KILLED")


# --- Weights & Biases


@dataclass(frozen=True, kw_only=True)
class WandB(Tracker):
    """Runs of Weights & Biases."""

    package: ClassVar[str] = "wandb"

    project: str = "interpolants"
    """Name of the project."""
    mode: Literal["", "online", "offline", "disabled"] = ""
    """``"offline"`` writes files for ``wandb sync``; that of W&B (``WANDB_MODE``) if empty."""
    folder: str = ""
    """Folder of the files of W&B, outside of run folders, since W&B makes symbolic links; that of W&B (``WANDB_DIR``,
    or the working directory) if empty."""

    def open(self, folder: Path, name: str, id: str) -> TrackedRun:
        """Start a run, or resume a stored one."""
        wandb = require("wandb", by="track = WandB")
        if self.folder:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=self.project,
            name=name,
            id=id or None,
            resume="allow" if id else None,
            mode=self.mode or None,
            dir=self.folder or None,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        return _WandBRun(wandb, run)


class _WandBRun:
    def __init__(self, wandb: Any, run: Any) -> None:
        self.id, self._wandb, self._run = str(run.id), wandb, run
        self._groups: set[str] = set()

    def settings(self, values: Mapping[str, str]) -> None:
        self._run.config.update(dict(values), allow_val_change=True)

    def scalars(self, group: str, values: Mapping[str, float], step: int) -> None:
        # W&B's own step must increase over all groups: each group gets a step as its axis instead.
        axis = f"{group}/step"
        if group not in self._groups:
            self._groups.add(group)
            self._run.define_metric(axis)
            self._run.define_metric(f"{group}/*", step_metric=axis)
        self._run.log({axis: step, **{f"{group}/{name}": value for name, value in values.items()}})

    def image(self, name: str, png: bytes) -> None:
        self._run.log({name: self._wandb.Image(_pixels(png))})

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


def _pixels(png: bytes) -> Any:
    """Return the pixels of a PNG, ``(H, W, C)`` in [0, 1]."""
    return require("matplotlib.image", by="a tracked figure").imread(io.BytesIO(png), format="png")


# --- from a table


TRACKERS: Mapping[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": WandB}


def make_tracker(table: Any, caller: str = "[track]") -> Tracker:
    """Make a tracker from the table ``[track]`` of a recipe.

    Args:
        table: ``kind`` and settings.
        caller: Name of the table in error messages.

    Raises:
        InvalidInputError: If the kind or a setting is unknown, or a setting is out of range.
    """
    if not isinstance(table, Mapping):
        remedy = 'For example, kind = "tensorboard".'
        raise invalid(caller, "track must be a table", repr(table)[:80], remedy)
    settings = dict(table)
    kind = settings.pop("kind", None)
    one_of(caller, "kind", kind, tuple(TRACKERS))
    names = [field.name for field in fields(TRACKERS[kind])]
    for name in settings:
        if name not in names:
            raise invalid(caller, f"every key must be a setting of {kind}", repr(name), nearest(name, names))
    return TRACKERS[kind](**settings)


def as_text(value: Any) -> str:
    """Return a setting as trackers store it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
