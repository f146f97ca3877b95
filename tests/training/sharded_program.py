"""A regression that one or several processes train, with whole or cut weights; tells its curve as JSON."""

import json
import sys
from pathlib import Path

import torch
from torch import nn

from interpolants.training import TrainSettings, fit
from interpolants.training.world import leads

NUMBERS = 2 * 33 + 33 + 33 * 33 + 33 + 33 + 1 + 1


class Shift(nn.Module):
    """A number to add: too small to be cut."""

    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.zeros(()))

    def forward(self, y):
        return y + self.by


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Linear(2, 33), nn.Tanh(), nn.Linear(33, 33), nn.Tanh(), nn.Linear(33, 1)]
        self.net, self.shift = nn.Sequential(*layers), Shift()
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, x):
        self.calls += 1
        return self.shift(self.net(x)).squeeze(1)


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Both()


def batches(step, generator, rank, world):
    """Rows of one batch of 24 that depends on the step only; each process takes its share."""
    x = torch.randn(24, 2, generator=torch.Generator().manual_seed(1000 + step))
    return {"x": x[rank * 24 // world : (rank + 1) * 24 // world]}


def loss(modules, batch, generator):
    return {"mse": (modules(batch["x"]) - (batch["x"][:, 0] * batch["x"][:, 1]).sin()).square()}


def validate(modules, step):
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(7))
    return {"error": float((modules(x) - (x[:, 0] * x[:, 1]).sin()).square().mean())}


def flat(tensors):
    return torch.cat([x.detach().reshape(-1) for x in tensors]).tolist()


def main(folder, words):
    how = dict(word.split("=") for word in words if "=" in word)
    cut = "fsdp" in words
    settings = {"steps": int(how.get("steps", 24)), "batch_size": 24, "lr": 1e-2, "log_every": 1, "ema": 0.9}
    settings |= {"accumulate": int(how.get("accumulate", 1)), "shares": how.get("shares", "own")}
    settings |= {
        "shard_above": 100 if cut else 10**9,
        "validate_every": 6,
        "keep_best": "error",
        "clip_norm": 0.5,
    }
    net, begun, seen = network(), [], []

    def watch(moment):
        begun.append(moment.step - 1)
        seen.append(type(next(moment.modules.net.parameters())).__name__ == "DTensor")
        return False

    options = {
        "out": folder / "run",
        "resume": True,
        "callbacks": [watch],
        "progress": False,
        "validate": validate,
    }
    result = fit(net, loss, batches, TrainSettings(**settings), **options)
    told = {
        "curve": [row["loss"] for row in result.history],
        "weights": flat(result.last.values()),
        "best": flat(net.parameters()),
        "ema": flat(result.ema.values()),
        "cut": any(seen),
        "begun": begun[0] if begun else None,
        "classes": [type(module).__name__ for module in net.modules()],
    }
    assert result.best is not None
    if leads():
        (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
