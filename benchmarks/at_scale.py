"""Constants of training on several processes: bandwidth of gloo, seconds per step, size and time of checkpoints."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

WAYS = ("one", "ddp", "fsdp")


def run(report: Callable[[str], None], *, width: int = 1024, depth: int = 6, steps: int = 12) -> None:
    """One process, and two with whole and with cut weights: seconds per step, checkpoint, and what gloo carries."""
    report(
        "| processes, weights | parameters | s / step | checkpoint, MiB a process | s to write | all-reduce, MiB/s |"
    )
    report("| --- | ---: | ---: | ---: | ---: | ---: |")
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            found = _told(way, Path(folder), width, depth, steps)
        name = {"one": "1, whole", "ddp": "2, whole", "fsdp": "2, cut (FSDP2)"}[way]
        speed = f"{found['speed']:,.0f}" if found["speed"] else ""
        numbers = f"{found['step']:.3f} | {found['size']:.0f} | {found['write']:.2f}"
        report(f"| {name} | {found['parameters']:,} | {numbers} | {speed} |")


def _told(way: str, folder: Path, width: int, depth: int, steps: int) -> dict[str, float]:
    command = [sys.executable]
    if way != "one":
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [__file__, way, str(folder), str(width), str(depth), str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads((folder / "told.json").read_text())
    return found


def _child(way: str, folder: Path, width: int, depth: int, steps: int) -> None:
    from interpolants.training import TrainSettings, fit
    from interpolants.training.run_folder import RunFolder
    from interpolants.training.world import World, leads

    torch.set_num_threads(1)
    layers = [nn.Linear(width, width) for _ in range(depth)]
    net = nn.Sequential(*[part for layer in layers for part in (layer, nn.SiLU())])
    times, writes = [], []
    save = RunFolder.save

    def timed(self: RunFolder) -> None:
        begun = time.perf_counter()
        save(self)
        writes.append(time.perf_counter() - begun)

    RunFolder.save = timed  # type: ignore[method-assign]
    rows = 64 if way == "one" else 32
    settings = TrainSettings(
        steps=steps, batch_size=64, checkpoint_every=0, shard_above=1 if way == "fsdp" else 10**12
    )
    fit(
        net,
        lambda modules, x, generator: {"size": modules(x).square().mean(1)},
        lambda step, generator, rank, world: torch.randn(rows, width, generator=generator),
        settings,
        out=folder / "run",
        callbacks=[lambda moment: times.append(time.perf_counter()) or False],
        progress=False,
    )
    speed = 0.0
    with World(torch.device("cpu")) as world:
        if world.size > 1:
            flat = torch.ones(2**24)
            dist.all_reduce(flat)
            begun = time.perf_counter()
            for _ in range(4):
                dist.all_reduce(flat)
            speed = 4 * 64 / (time.perf_counter() - begun)
    if leads():
        step = next((folder / "run" / "checkpoints").glob("step-*"))
        gaps = sorted(b - a for a, b in itertools.pairwise(times))
        told = {
            "parameters": sum(p.numel() for p in net.parameters()),
            "step": gaps[len(gaps) // 2],
            "size": sum(f.stat().st_size for f in step.iterdir()) / 2**20,
            "write": writes[-1],
            "speed": speed,
        }
        (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
