"""What an agent collects: returns of fresh episodes, and of those of its training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.randomness import key
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.sciml.rl.td_agent import TDAgent, checked_factory

_LAST, _MOST = 20, 100_000
_BINS = 40


@dataclass(frozen=True, kw_only=True)
class EpisodeReturn(Question):
    """Undiscounted returns of episodes that the agent plays by its likeliest actions, from starts of their own."""

    needs: ClassVar[str] = "act"
    front: ClassVar[tuple[str, ...]] = ("learning",)
    numbers: ClassVar[Mapping[str, About]] = {
        "episode_return": About("Return of an episode", "higher", note="By the likeliest actions."),
        "last_episodes": About(
            "Return of the last 20 episodes of the training", "higher", note="By drawn actions."
        ),
        "whole_training": About(
            "Mean return during the training", "higher", note="Over steps; higher is faster."
        ),
    }

    episodes: Annotated[int, Ge(2)] = 20
    """How many."""
    seed: int = 1
    """Seed of the starts and of the noise; twins meet the same."""

    def cannot(self, method: Method) -> str:
        """Put to agents whose training is recorded."""
        return "" if isinstance(method, TDAgent) else "it keeps no returns of its training."

    def measure(self, method: Method, task: Task) -> Measured:
        """Play episodes."""
        assert isinstance(method, TDAgent)
        factory = checked_factory("episode_return", task.test["environment"])
        worlds = [factory() for _ in range(self.episodes)]
        seeds = [key(self.seed, "episode to judge by", i) % 2**31 for i in range(self.episodes)]
        played, cut = play(method, worlds, seeds)
        trained = method.returns
        values: dict[str, Number] = {"episode_return": played}
        findings = [Finding(text=f"{cut} episodes were cut after {_MOST} steps.", grave=False)] if cut else []
        if len(trained):
            values |= {"last_episodes": trained[-_LAST:, 1], "whole_training": mean_over_steps(trained)}
        return Measured(values, {"training": trained}, findings=findings)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Returns during the training, in bins of steps."""
        marks = [
            Series(mark="line", arrays=_binned(one.arrays["training"]), name=name.replace("_", " "), hue=hue)
            for hue, (name, one) in enumerate({"the method": own, **rivals}.items())
            if len(one.arrays["training"])
        ]
        if not marks:
            return []
        x, y = Axis(label="steps of the environment"), Axis(label="return of an episode")
        panel = Panel(series=tuple(marks), x=x, y=y, legend="below", legend_columns=3)
        caption = "Returns of episodes during the training, means over a fortieth of the steps."
        return [Figure(name="learning", panels=(panel,), caption=caption, width=560, height=360)]


def play(agent: TDAgent, worlds: Sequence[Any], seeds: Sequence[int]) -> tuple[Tensor, int]:
    """Returns of one episode of each environment, and how many had to be cut."""
    seen = [world.reset(seed=seed)[0] for world, seed in zip(worlds, seeds, strict=True)]
    total = torch.zeros(len(worlds), dtype=torch.float64)
    running = list(range(len(worlds)))
    for _ in range(_MOST):
        actions = np.asarray(agent.act(torch.as_tensor(np.stack([seen[i] for i in running]))))
        over = []
        for i, action in zip(running, actions, strict=True):
            chosen = int(action[0]) if agent.state["spaces"]["discrete"] else action.astype(np.float32)
            seen[i], reward, ended, truncated, _ = worlds[i].step(chosen)
            total[i] += float(reward)
            over += [i] if ended or truncated else []
        running = [i for i in running if i not in over]
        if not running:
            break
    for world in worlds:
        world.close()
    return total, len(running)


def mean_over_steps(training: Tensor) -> float:
    """Mean over steps of the return of the episode that ended last, from the first end on."""
    steps, returns = training.unbind(1)
    width = torch.diff(steps)
    return float((returns[:-1] * width).sum() / width.sum()) if float(width.sum()) > 0 else float(returns[-1])


def _binned(training: Tensor) -> dict[str, Tensor]:
    steps, returns = training.T.contiguous()
    edges = torch.linspace(0, float(steps[-1]), min(_BINS, len(steps)) + 1, dtype=torch.float64)
    place = (torch.bucketize(steps, edges) - 1).clamp(0, len(edges) - 2)
    count = torch.bincount(place, minlength=len(edges) - 1)
    sums = torch.bincount(place, weights=returns, minlength=len(edges) - 1)
    kept = count > 0
    return {"x": edges[1:][kept], "y": (sums / count.clamp(min=1))[kept]}
