"""Run folders made up for the tests: images with classes, points in the plane, a table of five columns."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

EPS = (0.0, 0.5, 1.0, 2.0)


def write_run(folder: Path, tasks: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
    """A complete run folder; ``changes`` replace entries of ``results.json``."""
    chosen = tasks if tasks is not None else [digits(), moons(), table()]
    entries = []
    for i, task in enumerate(chosen):
        facts = {key: value for key, value in task.items() if key != "tensors"}
        if task.get("tensors"):
            facts["arrays"] = f"task{i}/arrays.safetensors"
            (folder / f"task{i}").mkdir(parents=True, exist_ok=True)
            safetensors.torch.save_file(
                {k: v.contiguous().clone() for k, v in task["tensors"].items()}, folder / facts["arrays"]
            )
        entries.append(facts)
    results = {
        "format": 1,
        "title": "Bridges between digits, moons and flowers",
        "created": "2025-03-01T12:34:56+00:00",
        "command": "interpolants run --config recipes/digits.toml --out runs/demo --set seed=3",
        "seed": 3,
        "versions": {"python": "3.12.4", "torch": "2.10.0", "interpolants": "0.1.0", "numpy": "2.1.0"},
        "machine": {"cpu": 2, "threads": 2, "platform": "Linux-6.1-x86_64"},
        "seconds": 372.4,
        "tasks": entries,
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"seed": 3, "tasks": [{"path": "linear"}]}))
    return folder


def digits() -> dict[str, Any]:
    """Conditional generation of small images."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 10
    real, made = _glyphs(labels, 0.15, generator), _glyphs(labels, 0.25, generator)
    noise = torch.randn(200, 1, 8, 8, generator=generator)
    times = torch.linspace(0, 1, 11)
    tensors: dict[str, Tensor] = {
        "real": real,
        "real_labels": labels,
        "samples_labels": labels,
        "start": noise,
        "trajectory_times": times,
        "transport_pairs_x0": noise[:24],
        "transport_pairs_x1": made[:24],
        "log_prob_heldout": 40 + 12 * torch.randn(200, generator=generator),
        "log_prob_train": 43 + 12 * torch.randn(200, generator=generator),
        "nearest_generated": made[:16],
        "nearest_training": real[:16],
    }
    for eps in EPS:
        key = f"eps={eps:g}"
        tensors[f"samples/{key}"] = (made + 0.1 * eps * noise).clamp(-1, 1)
        one = made[3] + 0.05 * eps * torch.randn(12, 1, 8, 8, generator=generator)
        tensors[f"one_start/{key}"] = one if eps < 1 else _glyphs(torch.arange(12) % 3, 0.2, generator)
        w = times[:, None, None, None, None]
        tensors[f"trajectory/{key}"] = (1 - w) * noise[:8] + w * made[:8]
    return _task("digits-generation", "generation", "the digits", [1, 8, 8], tensors) | {
        "title": "Digits from noise",
        "path": {"kind": "one_sided_linear", "base": {"kind": "gaussian"}},
        "classes": [str(i) for i in range(10)],
    }


def moons() -> dict[str, Any]:
    """Two-sided translation in the plane."""
    generator = torch.Generator().manual_seed(1)
    x0 = torch.randn(600, 2, generator=generator) * 0.25 + torch.tensor([0.5, 0.25])
    x0 = x0 + torch.tensor([[1.4, 0.0], [-1.4, 0.0]])[torch.arange(600) % 2]
    real, made = _moons(600, 0.06, generator), _moons(600, 0.09, generator)
    times = torch.linspace(0, 1, 21)
    tensors: dict[str, Tensor] = {
        "real": real,
        "start": x0,
        "trajectory_times": times,
        "transport_pairs_x0": x0[:150],
        "transport_pairs_x1": made[:150],
        "reverse": x0[200:400],
        "log_prob_heldout": -1.6 + 0.6 * torch.randn(300, generator=generator),
        "log_prob_train": -1.58 + 0.6 * torch.randn(300, generator=generator),
        "nearest_generated": made[:16],
        "nearest_training": made[:16] + 0.05 * torch.randn(16, 2, generator=generator),
    }
    for eps in EPS:
        key = f"eps={eps:g}"
        tensors[f"samples/{key}"] = made + 0.02 * eps * torch.randn(600, 2, generator=generator)
        spread = 0.001 + eps * 0.15
        tensors[f"one_start/{key}"] = made[3] + spread * torch.randn(64, 2, generator=generator)
        w = times[:, None, None]
        bridge = (w * (1 - w)).sqrt() * (2 * eps) ** 0.5 * 0.2
        wiggle = bridge * torch.randn(21, 40, 2, generator=generator)
        tensors[f"trajectory/{key}"] = (1 - w) * x0[:40] + w * made[:40] + wiggle
    return _task("moons", "translation", "two moons", [2], tensors) | {
        "title": "Two blobs to two moons",
        "path": {"kind": "linear", "envelope": {"kind": "brownian", "scale": 1.0}},
        "learn": ["velocity", "noise"],
        "checks": _checks("fail"),
        "warnings": ["The SDE at eps = 2 needed more steps than were allowed."],
    }


def table() -> dict[str, Any]:
    """Generation of rows of five columns."""
    generator = torch.Generator().manual_seed(2)
    mix = torch.randn(5, 5, generator=generator)
    real = torch.randn(400, 5, generator=generator) @ mix + 3 * (
        torch.rand(400, 1, generator=generator) > 0.5
    )
    made = torch.randn(400, 5, generator=generator) @ mix + 3 * (
        torch.rand(400, 1, generator=generator) > 0.5
    )
    noise = torch.randn(400, 5, generator=generator)
    times = torch.linspace(0, 1, 11)
    w = times[:, None, None]
    tensors: dict[str, Tensor] = {
        "real": real,
        "start": noise,
        "trajectory_times": times,
        "transport_pairs_x0": noise[:100],
        "transport_pairs_x1": made[:100],
    }
    for eps in EPS[:3]:
        key = f"eps={eps:g}"
        tensors[f"samples/{key}"] = made
        tensors[f"one_start/{key}"] = made[0] + eps * torch.randn(64, 5, generator=generator)
        tensors[f"trajectory/{key}"] = (1 - w) * noise[:30] + w * made[:30]
    task = _task("flowers", "generation", "flower measurements", [5], tensors)
    return task | {
        "path": {"kind": "variance_preserving"},
        "title": "Rows of a table",
        "checks": _checks("pass"),
    }


def bare() -> dict[str, Any]:
    """A task of which nothing is known but its name."""
    return {"name": "bare", "kind": "generation"}


def metric(**changes: Any) -> dict[str, Any]:
    """A metric at 1.25 times its floor."""
    return {
        "id": "sliced_w2",
        "title": "Sliced W2 to held-out data, ODE",
        "value": 0.125,
        "error": 0.004,
        "n": 360,
        "floor": 0.1,
        "floor_error": 0.003,
        "baseline": 0.9,
        "baseline_name": "a Gaussian fit",
        "better": "lower",
        "unit": "data units",
        "note": "",
    } | changes


def _task(name: str, kind: str, target: str, shape: list[int], tensors: dict[str, Tensor]) -> dict[str, Any]:
    history = [
        {
            "step": step,
            "loss": 0.9 + 2.5 * 0.98 ** (step / 10) + 0.08 * ((step * 7919) % 97 / 97 - 0.5),
            "velocity": 0.5 + 1.5 * 0.98 ** (step / 10) + 0.05 * ((step * 104729) % 89 / 89 - 0.5),
            "lr": 1e-3,
            "seconds": step * 0.012,
        }
        for step in range(10, 4001, 10)
    ]
    x0 = {"name": "Gaussian", "n": None, "shape": shape, "source": "drawn", "licence": ""}
    if kind == "translation":
        x0 = {
            "name": "two blobs",
            "n": 2000,
            "shape": shape,
            "source": "made by the library",
            "licence": "CC0",
        }
    table_eps = [
        {
            "eps": eps,
            "method": "midpoint" if eps == 0 else "stochastic_heun",
            "nfe": 200,
            "sliced_w2": 0.125 + 0.02 * eps,
            "sliced_w2_error": 0.004,
            "energy": 0.031 + 0.004 * eps,
            "energy_error": 0.002,
            "accuracy": 0.964 - 0.01 * eps,
            "accuracy_error": 0.01,
        }
        for eps in EPS
    ]
    return {
        "name": name,
        "kind": kind,
        "learn": ["noise"],
        "parameters": 205_313,
        "train": {"steps": 4000, "batch_size": 256, "seconds": 131.0},
        "data": {
            "x0": x0,
            "x1": {
                "name": target,
                "n": 1437,
                "shape": shape,
                "source": "https://archive.ics.uci.edu/dataset/80",
                "licence": "CC BY 4.0",
            },
            "heldout n": 360,
        },
        "metrics": [
            metric(),
            metric(id="energy_sde", title="Energy distance to held-out data, SDE, eps = 0.5", value=0.031, error=0.002,
                   floor=0.03, floor_error=0.002, baseline=0.4),
            metric(id="accuracy", title="Label predicted = label asked for, ODE", value=0.964, error=0.01,
                   floor=0.978, floor_error=0.008, baseline=0.1, baseline_name="always the commonest label",
                   better="higher", unit="", note="By a classifier trained on real data only."),
            metric(id="log_likelihood", title="Held-out log-likelihood", value=40.2, error=0.9, floor=None,
                   floor_error=None, baseline=22.1, unit="nats", better="higher"),
            metric(id="memorisation", title="Chance to be closer to training data than held-out data are",
                   value=0.52, error=0.03, floor=None, floor_error=None, baseline=None, baseline_name="", unit="",
                   better="neither", note="0.5 is as it should be; 1 is copying."),
        ],
        "table_eps": table_eps,
        "checks": _checks("warn"),
        "history": history,
        "classes": [],
        "warnings": [],
        "tensors": tensors,
    }  # fmt: skip


def _checks(last: str) -> list[dict[str, Any]]:
    told = "Forward and back again misses the start by 0.061; train longer or use more steps."
    rows = [
        ("mean_transport", "pass", 0.012, 0.05, "Mean of samples agrees."),
        ("noise_orthogonality", "pass", 0.0031, 0.02, "The residual is unrelated to the state."),
        ("round_trip", last, 0.061, 0.05, told),
    ]
    return [dict(zip(("name", "verdict", "value", "limit", "message"), row, strict=True)) for row in rows]


def _moons(n: int, noise: float, generator: torch.Generator) -> Tensor:
    angle = torch.pi * torch.rand(n, generator=generator)
    upper = torch.arange(n) % 2 == 0
    x = torch.where(upper, angle.cos(), 1 - angle.cos())
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin())
    return torch.stack([x, y], 1) + noise * torch.randn(n, 2, generator=generator)


def _glyphs(labels: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Ten different bright blobs on black."""
    grid = torch.arange(8.0)
    angle = labels.float() * 0.628
    cx, cy = 3.5 + 2.2 * angle.cos(), 3.5 + 2.2 * angle.sin()
    gap = (grid[None, :, None] - cy[:, None, None]) ** 2 + (grid[None, None, :] - cx[:, None, None]) ** 2
    images = 2 * torch.exp(-gap / 3.0) - 1
    return (images[:, None] + noise * torch.randn(len(labels), 1, 8, 8, generator=generator)).clamp(-1, 1)
