"""Training of a classifier of noisy states."""

from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.foundations.errors import invalid
from interpolants.nets.label_net import LabelNet
from interpolants.objectives.labels import LabelLoss
from interpolants.objectives.times import StratifiedTimes, TimeSampler
from interpolants.paths.path import Path
from interpolants.training.engine import FitResult, fit
from interpolants.training.pairs import PairBatches, TimedNet, finished
from interpolants.training.settings import TrainSettings


@dataclass(frozen=True)
class LearntLabels:
    """A classifier of noisy states ``f(x, t) -> (B, K)``, frozen, and how its training went."""

    net: nn.Module
    result: FitResult


def learn_labels(
    path: Path,
    x1: Tensor,
    labels: Tensor,
    *,
    net: Any = "auto",
    times: TimeSampler | None = None,
    settings: TrainSettings | None = None,
    progress: bool = False,
) -> LearntLabels:
    """Learn ``log p_t(label | x_t)`` along a one-sided path; for ``guidance.ClassifierGuided``.

    Args:
        path: A one-sided path.
        x1: Samples of rho1, ``(N, *D)``.
        labels: Their classes, ``(N,)`` integers from 0.
        net: A module that returns logits, or the inner network of a :class:`LabelNet`, as it takes it.
        times: Where in time to look; stratified when None.
        settings: Settings of the training loop.
        progress: Show a progress bar.

    Raises:
        InvalidInputError: If the labels do not fit, or the path is two-sided.
    """
    if not path.is_one_sided:
        name = type(path).__name__
        raise invalid("learn_labels", "the path must be one-sided", name, "For example, use paths.VP().")
    if labels.is_floating_point() or labels.shape != x1.shape[:1] or int(labels.min()) < 0:
        what = f"{labels.dtype} {tuple(labels.shape)}"
        raise invalid("learn_labels", f"labels must be integers >= 0, ({len(x1)},)", what)
    settings = TrainSettings() if settings is None else settings
    times = StratifiedTimes() if times is None else times
    if not isinstance(net, nn.Module):
        n_classes = int(labels.max()) + 1
        net = LabelNet(tuple(x1.shape[1:]), n_classes=n_classes, net=net, seed=settings.seed)
        net = net.to(x1.dtype)  # whatever torch's default type
    batches = PairBatches(
        None, x1, settings.batch_size, Independent(), times, cond=labels, who="learn_labels"
    )
    objective = LabelLoss(path)

    def loss(net: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        values = objective(net, x1=batch["x1"], t=batch["t"], cond=batch["cond"], generator=generator)
        times.update(batch["t"], values.detach())
        return {"label": values * batch["weight"]}

    result = fit(TimedNet(net, times), loss, batches, settings, progress=progress)
    return LearntLabels(finished(net, result), result)
