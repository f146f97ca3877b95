"""Draw ``docs/images/signal_propagation.png``: ``python docs/figures/signal_propagation.py``.

Variance of the signal in 30 layers of tanh, fluctuations between networks against drawn ones, and the accuracy of
trained networks by the variance of their weights; a minute on one core.
"""

from pathlib import Path

import torch

from interpolants.data import load
from interpolants.framework.figures import Axis, Figure, Panel, Series, curve
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task
from interpolants.kernels import layer_statistics
from interpolants.reports.draw import save
from interpolants.sciml import SignalPropagation
from interpolants.sciml.theory.sampled_networks import Ensemble
from interpolants.sciml.theory.theory_questions import DeepTraining

IMAGES = Path(__file__).parents[1] / "images"
VARIANCES = (0.3333, 0.5, 0.65, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 2.5)


def signal() -> Panel:
    """Kernels of tanh by layer, for four variances of the weights."""
    layer = torch.arange(1, 31, dtype=torch.float64)
    series = []
    for hue, variance in enumerate((0.3333, 0.8, 1.0, 1.5)):
        kernel = layer_statistics("tanh", 30, mean_square=0.7, weight_variance=variance).kernel
        name = {0.3333: "1/3 (PyTorch)", 1.0: "1 (critical)"}.get(variance, f"{variance:g}")
        series.append(curve(layer, kernel, name, hue))
    y = Axis(label="variance of pre-activations", scale="log")
    return Panel(
        series=tuple(series),
        title="tanh, by C_W",
        x=Axis(label="layer"),
        y=y,
        legend="below",
        legend_columns=2,
    )


def fluctuations() -> Panel:
    """``B`` and ``V`` of ReLU over layers, theory and networks of two widths."""
    layer, series = torch.arange(1, 9, dtype=torch.float64), []
    theory = layer_statistics("relu", 8, mean_square=0.5, weight_variance=2.0)
    relu = SignalPropagation(activation="relu").ensemble.activation
    line = {"x": layer, "y": theory.b / theory.tangent**2}
    series.append(Series(mark="line", arrays=line, name="theory", hue="muted"))
    for hue, (width, networks) in enumerate(((20, 4000), (80, 1000))):
        drawn = Ensemble(relu, 8, width, 2.0).statistics(0.5, networks)
        values = torch.tensor([[b.value, b.error] for b in drawn["b"]], dtype=torch.float64)
        scaled = values / theory.tangent[:, None] ** 2
        arrays = {"x": layer, "y": scaled[:, 0], "error": 2 * scaled[:, 1]}
        series.append(
            Series(mark="line", arrays=arrays, name=f"width {width}", hue=hue, dash="", symbol="o", size=4)
        )
    y = Axis(label="B / T²")
    return Panel(
        series=tuple(series),
        title="ReLU, drawn networks",
        x=Axis(label="layer"),
        y=y,
        legend="below",
        legend_columns=3,
    )


def training() -> Panel:
    """Accuracy on unseen digits of 30 layers of 100 tanh neurons, three networks a variance."""
    data = load("digits", "all")
    roles = [Role(name="x"), Role(name="y", kind="labels")]
    task = Task.of(roles, {"x": data.x, "y": data.labels}, Split(test=597))
    found = []
    for variance in VARIANCES:
        model = SignalPropagation(weight_variance=variance, bias_variance=0.0)
        model.fit(task.train["x"])
        accuracy = ask(DeepTraining(), model, task).arrays["accuracy"]
        found.append((variance, float(accuracy.mean()), float(accuracy.std()) / len(accuracy) ** 0.5))
    x, y, error = torch.tensor(found, dtype=torch.float64).unbind(1)
    series = (Series(mark="line", arrays={"x": x, "y": y, "error": 2 * error}, symbol="o", size=4),)
    series += (Series(mark="rule", arrays={"x": 1.0}, hue="muted", dash="--", name="critical"),)
    axis = Axis(label="C_W")
    return Panel(
        series=series,
        title="30 layers on digits",
        x=axis,
        y=Axis(label="accuracy", low=0, high=1),
        legend="below",
    )


if __name__ == "__main__":
    panels = (signal(), fluctuations(), training())
    save([Figure(name="signal_propagation", panels=panels, width=1150, height=340)], IMAGES, dpi=80)
