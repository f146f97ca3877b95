"""Small runs to look at: two on points, one on images with labels, one in three dimensions between samples, one of
another method, one bridge of one dimension saved by itself."""

import json

import numpy as np
import pytest
import torch

from interpolants.methods.bridge.bridge import Bridge
from interpolants.runs import run as run_module
from interpolants.runs.config import make_config
from interpolants.runs.run import execute, train_only

NET = {"kind": "mlp", "width": 32, "depth": 2}
JUDGED = {"n": 200, "shown": 200, "n_steps": 10, "log_prob": 40, "log_prob_method": "heun", "log_prob_steps": 5,
          "eps": [0.0, 0.5]}  # fmt: skip


def settings(x1, **more):
    config = {
        "data": {"x1": x1},
        "bridge": {"path": "one_sided_linear", "net": NET},
        "train": {"steps": 60, "batch_size": 64, "log_every": 10},
        "evaluate": JUDGED,
    }
    for key, value in more.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    return make_config(config)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder with the runs ``first``, ``second``, ``pictures``, ``solid``, ``closed``, ``half`` and ``line``."""
    folder = tmp_path_factory.mktemp("web")
    rng = np.random.default_rng(0)
    # Images of a bright left or right half, with noise; the label says which.
    labels = np.arange(600) % 2
    images = rng.normal(-0.5, 0.1, size=(600, 1, 6, 6))
    images[labels == 0, :, :, :3] += 1
    images[labels == 1, :, :, 3:] += 1
    np.savez(folder / "images.npz", x=images.astype(np.float32), y=labels)
    np.save(folder / "a.npy", rng.normal(size=(500, 3)).astype(np.float32))
    np.save(folder / "b.npy", (rng.normal(size=(500, 3)) + 2).astype(np.float32))
    points = {"problem": "eight_gaussians", "n": 1000}
    sides = {"x0": {"file": str(folder / "a.npy")}, "x1": {"file": str(folder / "b.npy")}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "make_report", lambda folder, say: None)
        runs = {
            "first": settings(points),
            "second": settings(points, train={"steps": 200}),
            "pictures": settings(
                {"file": str(folder / "images.npz"), "key": "x", "labels": "y"}, data={"condition": "labels"}
            ),
            "solid": settings(sides["x1"], data=sides, bridge={"path": "linear"}, evaluate={"log_prob": 0}),
            "closed": settings({"problem": "moons", "n": 500}, data={"x0": points}, bridge={"path": "linear"},
                               evaluate={"log_prob": 0, "check": False}),
        }  # fmt: skip
        for name, config in runs.items():
            execute(config, folder / name, progress=False, command="run")
        _as_another_method(folder / "closed" / "results.json")
        train_only(settings(points), folder / "half", progress=False)
    x = torch.randn(600, 1, generator=torch.Generator().manual_seed(0)) + 1
    Bridge("one_sided_linear", net=NET).fit(x1=x, steps=40, batch_size=64, progress=False).save(
        folder / "line"
    )
    return folder


def _as_another_method(file):
    """What an earlier version wrote of a method that is no bridge: numbers, and nothing to carry points with."""
    results = json.loads(file.read_text())
    for task in results["tasks"]:
        task |= {
            "method": {"kind": "light_sb", "eps": 0.5},
            "path": {"kind": "light_sb"},
            "learn": [],
            "checks": [],
        }
    file.write_text(json.dumps(results))
