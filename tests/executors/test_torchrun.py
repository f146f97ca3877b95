"""Torchrun as an executor: the command gives the bytes of one process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.executors import Torchrun
from interpolants.methods import Bridge


def test_ranks_take_every_second_item(monkeypatch):
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    done = []
    monkeypatch.setattr(Torchrun, "_gathered", lambda self, answers: [answers] if self.leads else [])
    assert list(Torchrun().each(done.append, {str(a): (a,) for a in range(5)})) == []
    assert done == [1, 3]
    assert (Torchrun().workers, Torchrun().leads) == (2, False)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_write_the_file_and_the_shards_of_one_process(tmp_path, ranks):
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    bridge = Bridge("one_sided_linear", net={"kind": "mlp", "width": 16, "depth": 2})
    bridge.fit(x1=x, steps=10, batch_size=64, progress=False).save(tmp_path / "model")
    words = ["sample", str(tmp_path / "model"), "-n", "150", "--seed", "1", "--n-steps", "4"]
    one = [*words, "--out", str(tmp_path / "one.npy"), "--shards", str(tmp_path / "one")]
    done = CliRunner().invoke(app, one)
    assert done.exit_code == 0, done.output
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={ranks}",
        "-m",
        "interpolants",
    ]
    for name in ("many", "again"):
        more = ["--executor", "torchrun", "--out", str(tmp_path / f"{name}.npy")]
        more += ["--shards", str(tmp_path / name)] if name == "many" else []
        ran = subprocess.run(
            [*torchrun, *words, *more],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
        assert np.array_equal(np.load(tmp_path / "one.npy"), np.load(tmp_path / f"{name}.npy"))
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("one", "many")]
    assert manifests[0] == manifests[1]
