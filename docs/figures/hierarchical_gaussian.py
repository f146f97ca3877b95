"""Draw ``docs/images/hierarchical_gaussian.png``: ``python docs/figures/hierarchical_gaussian.py RUN``.

From the model in RUN that ``interpolants run --config hierarchical_gaussian`` left, beside ridge regressions of the
five rows.
"""

import sys
from pathlib import Path

from interpolants import load
from interpolants.framework.figures import Figure
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.reports.draw import save
from interpolants.sciml.bayes.data.sine_line import load_sine_line
from interpolants.sciml.bayes.few_shot import FewShot

IMAGES = Path(__file__).parents[1] / "images"


def figure(run: str) -> Figure:
    """Three test tasks, by the model and by ridge regression."""
    model, data = load(run), load_sine_line("all")
    values = {"x": data.x[:, :1], "y": data.x[:, 1:2], "groups": data.labels}
    task = Task.of(model.roles(), values, Split(by="group", role="groups", test=200))
    found = ask(FewShot(shots=5), model, task, ["per_task_ridge"]).figures[0]
    return Figure(name="hierarchical_gaussian", panels=found.panels, columns=3, width=900, height=480)


if __name__ == "__main__":
    save([figure(sys.argv[1])], IMAGES, dpi=80)
