"""Small runs to look at: two of bridges on points, one of images with labels, one in three dimensions between samples,
one of another method, one that is trained and not judged, one of two tasks, one of two seeds, one bridge of one
dimension saved by itself."""

import numpy as np
import pytest
import torch

from interpolants.methods.bridge.bridge import Bridge
from interpolants.runs.recipe_files import RecipeFolder, changed_recipe

NET = {"kind": "mlp", "width": 32, "depth": 2}
TRAINED = {"net": NET, "held_out": 0, "steps": 60, "batch_size": 64, "log_every": 10}
LEVELS = {
    "question": "noise_levels",
    "eps": [0.0, 0.5],
    "n": 200,
    "options": {"n_steps": 10},
    "rivals": ["gaussian_fit"],
}
DENSITY = {"question": "held_out_likelihood", "n": 40, "options": {"method": "heun", "n_steps": 5}}
CLAIM = {"says": "noise_levels.sliced_w2_ode < 100 gaussian_fit"}
POINTS = {"problem": "eight_gaussians", "n": 1000}


def task(x1=None, *, ask=(), method=None, **more):
    """Tables of one task; of a bridge from Gaussian noise, if nothing else is said."""
    own = {"kind": "bridge", "path": "one_sided_linear", **TRAINED, **(method or {})}
    data = {"x1": x1 or POINTS, **more.pop("data", {})}
    return {"data": data, "method": own, "ask": list(ask), **more}


def folder_of(tables, out):
    return RecipeFolder(out, changed_recipe(tables))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder with ``first``, ``second``, ``pictures``, ``solid``, ``closed``, ``half``, ``tasks``, ``seeds`` and
    ``line``."""
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
    pictures = {"file": str(folder / "images.npz"), "key": "x", "labels": "y"}
    starts = {"x0": {"file": str(folder / "a.npy")}}
    solid = task({"file": str(folder / "b.npy")}, data=starts, method={"path": "linear"})
    flow = {"kind": "flow_map", "steps": 20, "batch_size": 64, "log_every": 10, "net": NET}
    quality = {"question": "sample_quality", "n": 100, "rivals": ["gaussian_fit"]}
    small = task({**POINTS, "n": 300}, ask=[{"question": "self_test", "n": 200}], method={"steps": 20})
    judged = {
        "first": {"title": "Noise to points", **task(ask=[LEVELS, DENSITY], claim=[CLAIM])},
        "second": task(ask=[LEVELS, DENSITY], method={"steps": 200}),
        "pictures": task(pictures, data={"cond": {"labels_of": "x1"}}),
        "solid": solid,
        "closed": {**task(ask=[quality]), "method": {"path": "one_sided_linear", **flow}},
        "tasks": {"title": "Two", "tasks": [{"name": "near", "title": "Near", **small}, {"name": "far", **small}]},
        "seeds": {"seeds": 2, **small},
    }  # fmt: skip
    for name, tables in judged.items():
        folder_of(tables, folder / name).run()
    folder_of(task(), folder / "half").train()
    x = torch.randn(600, 1, generator=torch.Generator().manual_seed(0)) + 1
    made = Bridge("one_sided_linear", net=NET, held_out=0, seed=0)
    made.fit(x1=x, steps=40, batch_size=64, progress=False)
    made.save(folder / "line")
    return folder
