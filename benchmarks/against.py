"""Speed of this tree against another commit: one unit of work each in turn, so that both share the slow minutes.

``make bench BASE=<commit>`` checks the commit out beside this tree and starts one process for each. Both run the cases
below, from this file, and differ in the ``interpolants`` that they import.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
Case = Callable[[], object]


def cases(batches: tuple[int, ...] = (4096, 256)) -> dict[str, Case]:
    """Units of work by name: an MLP 4x256 in 2-D; the fields are made anew at each call, as a fitted bridge does."""
    from interpolants.dynamics import sample
    from interpolants.fields import LearnedFields
    from interpolants.foundations.gaussian import Gaussian
    from interpolants.likelihood import log_prob
    from interpolants.nets import MLP
    from interpolants.paths import Linear, OneSidedLinear

    torch.manual_seed(0)
    net = MLP(2, width=256, depth=4).eval().requires_grad_(False)
    joint = MLP(2, width=256, depth=4, heads=2).eval().requires_grad_(False)
    kept = LearnedFields(OneSidedLinear(), velocity=net)

    def fresh() -> Any:
        return LearnedFields(OneSidedLinear(), velocity=net)

    def derived() -> Any:
        return LearnedFields(Linear(), joint=joint, heads=("mean_rate", "noise"))

    def em(f: Any, x: Any) -> object:
        return sample(f, x, eps=1.0, seed=0, method="euler", n_steps=40)

    found: dict[str, Case] = {}
    for b in batches:
        x, few = torch.randn(b, 2), torch.randn(min(b, 1000), 2)
        found[f"training step, batch {b}"] = _training(b)
        found[f"ODE, batch {b}"] = lambda x=x: sample(fresh(), x, n_steps=20)
        found[f"ODE from rate and noise, batch {b}"] = lambda x=x: sample(derived(), x, n_steps=20)
        found[f"Euler-Maruyama, batch {b}"] = lambda x=x: em(fresh(), x)
        found[f"Euler-Maruyama, fields kept, batch {b}"] = lambda x=x: em(kept, x)
        found[f"stochastic Heun, batch {b}"] = lambda x=x: sample(fresh(), x, eps=1.0, seed=0, n_steps=20)
        found[f"log p, batch {b}"] = lambda few=few: log_prob(
            fresh(), few, Gaussian((2,)), method="midpoint", n_steps=10
        )
    return found


def _training(batch: int) -> Case:
    from interpolants.nets import MLP
    from interpolants.objectives import JointLoss, VelocityLoss
    from interpolants.paths import OneSidedLinear
    from interpolants.training.engine import fit
    from interpolants.training.settings import TrainSettings

    path, data, net = OneSidedLinear(), torch.randn(10_000, 2), MLP(2, width=256, depth=4)
    loss = JointLoss([VelocityLoss(path)])
    settings = TrainSettings(
        steps=10 if batch > 1000 else 60, batch_size=batch, log_every=1000, checkpoint_every=0
    )

    def batches(step: int, generator: torch.Generator, rank: int, world: int) -> dict[str, Any]:
        rows = torch.randint(len(data), (batch,), generator=generator)
        return {"x1": data[rows], "t": torch.rand(batch, generator=generator)}

    def losses(modules: Any, drawn: Any, generator: torch.Generator) -> Any:
        return loss(modules, x1=drawn["x1"], t=drawn["t"], generator=generator)

    return lambda: fit(net, losses, batches, settings, progress=False)


@dataclass(frozen=True)
class Comparison:
    """Times of one case.

    Attributes:
        case: Its name.
        base: Median seconds of the base.
        ratio: Median over rounds of this tree's seconds over the base's.
        low: Lower quartile of those ratios.
        high: Upper quartile of those ratios.
    """

    case: str
    base: float
    ratio: float
    low: float
    high: float


def compare(base: str, *, rounds: int = 11, only: str = "") -> Iterator[Comparison]:
    """Time every case whose name holds ``only``, here and at the commit ``base``.

    Times are those of the process on the processor with one thread: other work on the machine adds little to them.
    """
    with ExitStack() as stack:
        other = stack.enter_context(_checkout(base))
        old, new = (stack.enter_context(_worker(tree)) for tree in (other, ROOT))
        names = [name for name in _ask(new, "") if only in name]
        shuffle = random.Random(0)
        for name in names:
            times: dict[str, list[float]] = {"old": [], "new": []}
            for _ in range(rounds + 1):
                pair = [("old", old), ("new", new)]
                shuffle.shuffle(pair)
                for key, worker in pair:
                    times[key].append(_ask(worker, name))
            yield _compared(name, times["old"][1:], times["new"][1:])  # the first round warms up


def run(*, base: str = "main", rounds: int = 11, only: str = "", report: Callable[[str], None]) -> None:
    """Time this tree against a commit, in the cases whose name holds a word."""
    report(table(list(compare(base, rounds=rounds, only=only)), base))


def _compared(name: str, old: list[float], new: list[float]) -> Comparison:
    ratios = sorted(b / a for a, b in zip(old, new, strict=True))
    quarter = len(ratios) // 4
    return Comparison(
        name, statistics.median(old), statistics.median(ratios), ratios[quarter], ratios[-1 - quarter]
    )


@contextmanager
def _checkout(commit: str) -> Iterator[Path]:
    """A tree of the commit, taken away at the end."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "base"
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


@contextmanager
def _worker(tree: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs cases on demand with the library of a tree."""
    paths = os.pathsep.join([str(tree / "src"), str(ROOT)])
    env = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "-m", "benchmarks.against"]
    process = subprocess.Popen(call, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def _ask(worker: "subprocess.Popen[str]", name: str) -> Any:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(name + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise RuntimeError(f"benchmarks: the process for {name or 'the list of cases'!r} ended")
    return json.loads(answer)


def _serve() -> None:
    """The worker: an empty line asks for the names, a name for the seconds of one unit."""
    torch.set_num_threads(1)
    known = cases()
    for line in sys.stdin:
        name = line.strip()
        if name:
            begin = time.process_time()
            known[name]()
            print(json.dumps(time.process_time() - begin), flush=True)
        else:
            print(json.dumps([*known]), flush=True)


def table(found: list[Comparison], base: str) -> str:
    """The rows as a Markdown table."""
    lines = [
        f"### This tree against {base}",
        "",
        "| case | base | ratio | quartiles |",
        "| --- | --- | --- | --- |",
    ]
    for row in found:
        lines.append(
            f"| {row.case} | {1e3 * row.base:.1f} ms | {row.ratio:.3f} | {row.low:.3f} - {row.high:.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    _serve()
