"""A small regression that every training test can share; also the child process of the crash tests."""

import hashlib
import sys
import time
from pathlib import Path

import torch
from torch import nn

from interpolants.training import Checkpoint, TrainingInterrupted, TrainSettings, fit


def network(*, dropout=0.0, norm=False):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        layers = [
            nn.Linear(2, 16),
            nn.BatchNorm1d(16) if norm else nn.Identity(),
            nn.SiLU(),
            nn.Dropout(dropout),
        ]
        return nn.ModuleDict({"velocity": nn.Sequential(*layers, nn.Linear(16, 1))})


def batches(step, generator, rank, world):
    """Rows of one global batch of 32 that depends on the step only; each process takes its share."""
    shared = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(32, 2, generator=shared)
    return x[rank::world]


def noisy_batches(step, generator, rank, world):
    return torch.randn(32 // world, 2, generator=generator)


def loss(modules, x, generator):
    return {"mse": (modules["velocity"](x).squeeze(1) - (x[:, 0] * x[:, 1]).sin()).square()}


def noisy_loss(modules, x, generator):
    noise = torch.randn(x.shape, generator=generator)
    return loss(modules, x + 0.1 * noise, generator) | {
        "size": 1e-3 * modules["velocity"](noise).squeeze(1) ** 2
    }


def two_tasks(modules, x, generator):
    error = loss(modules, x, generator)["mse"]
    return {"left": error * (x[:, 0] < 0), "right": error * (x[:, 0] >= 0) * 9}


class EqualNorms:
    """Weights losses so that their gradients have equal norms, averaged over the steps."""

    def __init__(self, decay=0.9):
        self.about = {"decay": decay}
        self.decay, self.norms, self.calls = decay, None, 0

    def __call__(self, losses, context):
        means = torch.stack([values.mean() for values in losses.values()])
        norms = context.gradients(means).norm(dim=1)
        self.norms = norms if self.norms is None else self.decay * self.norms + (1 - self.decay) * norms
        self.calls += 1
        return (means * (self.norms.mean() / self.norms)).sum()

    def state_dict(self):
        return {"calls": self.calls} | ({} if self.norms is None else {"norms": self.norms})

    def load_state_dict(self, state):
        self.calls, self.norms = state["calls"], state.get("norms")


def digest(tensors):
    """SHA-256 over names and bytes."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode() + tensors[name].detach().contiguous().numpy().tobytes())
    return total.hexdigest()


def digests(out):
    """Step and hashes of the newest whole checkpoint."""
    found, passed = Checkpoint.latest(Path(out) / "checkpoints")
    assert not passed
    return found.step, digest(found.model), digest(found.ema), digest(found.optimizer)


SETTINGS = {"steps": 60, "checkpoint_every": 5, "log_every": 4, "warmup": 7, "schedule": "step", "every": 20}


def main(out, *, mode, pause=0.0, steps=60, **keywords):
    """What a child process runs: train with resume, slowly enough to be interrupted."""

    def slow(moment):
        time.sleep(pause)
        if moment.step == 1:
            print("started", flush=True)

    noisy = mode == "noisy"
    print("ready", flush=True)
    try:
        result = fit(
            network(dropout=0.2 if noisy else 0.0),
            {"noisy": noisy_loss, "tasks": two_tasks}.get(mode, loss),
            noisy_batches if noisy else batches,
            TrainSettings(**(SETTINGS | {"steps": steps})),
            out=out,
            resume=True,
            progress=False,
            callbacks=[slow],
            **keywords,
        )
    except TrainingInterrupted as interrupted:
        result = interrupted.result
    print(result.stopped, result.steps, result.signal, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, kind, wait, count = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    if kind == "three":  # undisturbed, and cut into two
        for name, steps in (("two", count), ("cut", 17), ("cut", count)):
            main(f"{folder}/{name}", mode="plain", steps=steps)
        main(f"{folder}/tasks", mode="tasks", steps=count, aggregate=EqualNorms())
    else:
        main(folder, mode=kind, pause=wait, steps=count)
