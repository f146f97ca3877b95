"""Losses of a training to a tracker: TensorBoard, MLflow, Weights & Biases, or a function of one's own."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.training.results import Moment
from interpolants.training.world import leads

Write = Callable[[Mapping[str, float], int], Any]


@runtime_checkable
class ScalarWriter(Protocol):
    """Interface of TensorBoard's ``SummaryWriter``."""

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None) -> Any: ...  # noqa: D102


@runtime_checkable
class MetricsLogger(Protocol):
    """Interface of the module ``mlflow``."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> Any: ...  # noqa: D102


@runtime_checkable
class RunLogger(Protocol):
    """Interface of a run of ``wandb``."""

    def log(self, data: dict[str, Any], step: int | None = None) -> Any: ...  # noqa: D102


class Tracked:
    """A callback for ``fit(..., callbacks=[Tracked(writer)])`` that logs losses, learning rate and held-out loss.

    ::

        from torch.utils.tensorboard import SummaryWriter
        Bridge("one_sided_linear").fit(x, callbacks=[Tracked(SummaryWriter("runs/tb"))])
        Bridge("one_sided_linear").fit(x, callbacks=[Tracked(mlflow)])                      # within mlflow.start_run()
        Bridge("one_sided_linear").fit(x, callbacks=[Tracked(wandb.init(project="..."))])
        Bridge("one_sided_linear").fit(x, callbacks=[Tracked(lambda values, step: print(step, values))])

    Only the leading process writes. A method that trains several networks in sequence counts steps from 0
    for each of them: fit them separately, each with its own ``prefix``, or read the logs in the run's folder.
    The tracker is neither closed nor finished.

    Args:
        tracker: A writer of TensorBoard, the module ``mlflow``, a run of ``wandb``, or ``write(values, step)``.
        every: Steps between two rows; the mean loss of a batch is read from the device once a row.
        prefix: Before each name.

    Raises:
        InvalidInputError: If the tracker is none of these.
    """

    def __init__(self, tracker: Any, *, every: int = 50, prefix: str = "train/") -> None:
        self.every, self.prefix = whole("Tracked", "every", every, at_least=1), prefix
        self._write = _writing(tracker)

    def __call__(self, moment: Moment) -> None:
        """Write the losses if a row is due, and the numbers of a validation at each."""
        if not leads():
            return
        row = dict(moment.validation or {})
        if moment.step % self.every == 0 or moment.step == 1:
            row = {name: float(loss.mean()) for name, loss in moment.losses.items()} | {"lr": moment.lr} | row
        if row:
            self._write({self.prefix + name: value for name, value in row.items()}, moment.step)


def _writing(tracker: Any) -> Write:
    """Return the function that writes a row to the tracker."""
    if isinstance(tracker, ScalarWriter):
        return lambda values, step: [tracker.add_scalar(name, v, step) for name, v in values.items()]
    if isinstance(tracker, MetricsLogger):
        return lambda values, step: tracker.log_metrics(dict(values), step=step)
    if isinstance(tracker, RunLogger):
        return lambda values, step: tracker.log(dict(values), step=step)
    if not callable(tracker):
        remedy = "Or give a function of (values, step)."
        rule = "tracker must be a SummaryWriter, the module mlflow, or a run of wandb"
        raise invalid("Tracked", rule, type(tracker).__name__, remedy)
    write: Write = tracker
    return write
