"""Reward and cost of a tuning."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from interpolants.framework.figures import Axis, Figure, Panel, Series, curve
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Measured, Number
from interpolants.framework.task import Task
from interpolants.methods.reward_tuning.bill import TuningBill
from interpolants.metrics.estimate import Estimate

_CAPTION = (
    "Mean reward against KL divergence from the old model for tilts of all strengths, from weighted draws of the old "
    "model. No distribution lies above the curve. The point is the new model."
)


def _figure(
    question: Any, measured: Measured, rivals: Mapping[str, Measured], task: Task
) -> Sequence[Figure]:
    series = [curve(measured.arrays["kl"], measured.arrays["reward"], name="tilts of the old model")]
    reward = measured.arrays["new"][1:]
    if bool(measured.arrays["new"][0].isfinite()):
        arrays = {"x": measured.arrays["new"][:1], "y": reward}
        series.append(Series(mark="points", arrays=arrays, name="new model", hue=1))
    x, y = Axis(label="KL divergence", unit="nats"), Axis(label="mean reward")
    panel = Panel(series=tuple(series), x=x, y=y, legend="below")
    return [Figure(name="frontier", panels=(panel,), caption=_CAPTION, width=460, height=300)]


@question(
    needs="bill",
    numbers={
        "reward_old": About("Mean reward of the old model", "neither"),
        "reward_new": About(
            "Mean reward of the new model", "higher", note="That of the target is as it should be."
        ),
        "reward_target": About("Mean reward of the tilt of the old model", "neither"),
        "kl_target": About("KL divergence of the tilt from the old model", "neither", "nats"),
        "kl_new": About("KL divergence of the new model from the old model", "lower", "nats"),
        "kl_least": About(
            "KL divergence needed for the reward of the new model",
            "neither",
            "nats",
            "No model with this reward has less.",
        ),
        "effective_fraction": About("Effective fraction of the weighted draws", "higher", floor=1.0),
        "energy_distance_old": About(
            "Energy distance of the old model to the target", "neither", "network units"
        ),
        "energy_distance_new": About(
            "Energy distance of the new model to the target", "lower", "network units", floor=0.0
        ),
        "diversity_old": About("Mean distance of two samples of the old model", "neither", "network units"),
        "diversity_new": About("Mean distance of two samples of the new model", "neither", "network units"),
        "diversity_target": About("Mean distance of two samples of the target", "neither", "network units"),
        "nearest_old": About(
            "Distance of the old model to the nearest training row", "neither", "network units"
        ),
        "nearest_new": About(
            "Distance of the new model to the nearest training row", "neither", "network units"
        ),
        "nearest_target": About(
            "Distance of the target to the nearest training row", "neither", "network units"
        ),
        "reward_data": About("Mean reward of the data", "neither"),
        "reward_data_target": About("Mean reward of the tilt of the data", "neither"),
    },
    figures=_figure,
)
def tuning_bill(ask: Ask) -> dict[str, Number]:
    """Reward of a model that was tuned by a reward, its KL divergence, and its distance to the target.

    The target is the tilt of the old model. The numbers are those that the fit measured, see
    :class:`~interpolants.methods.reward_tuning.bill.TuningBill`.

    Args:
        ask: Task and method.
    """
    bill: TuningBill = ask.task.call(ask.method, "bill")
    values = dict(bill.values)
    ask.keep(**ask.method.state["frontier"], new=[values.get("kl_new", math.nan), values["reward_new"]])
    below = values["reward_target"] - values["reward_new"]
    error = bill.errors["reward_new"] + bill.errors["reward_target"]
    if below > 0.1 * (values["reward_target"] - values["reward_old"]) + 2 * error:
        message = f"The mean reward of the new model is {below:.3g} below that of its target."
        ask.find(message, remedy="Train for more steps, or draw more samples with n.")
    values["effective_fraction"] = bill.effective_fraction
    del values["kl_old"]
    return {
        name: Estimate(value, bill.errors[name], 0, name) if name in bill.errors else value
        for name, value in values.items()
    }
