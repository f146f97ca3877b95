"""Schedules, the moving average and the log against their formulas."""

import csv
import json
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.training import Ema, Log, TrainSettings, ema_rate, fit, learning_rate
from interpolants.training import seeds as seeds_module
from interpolants.training.seeds import BATCH, LOSS, MODULE, step_seed
from training import toy


def test_the_constant_schedule_with_warmup():
    settings = TrainSettings(lr=0.4, warmup=4, steps=10)
    assert [learning_rate(settings, k) for k in (1, 2, 4, 5, 10)] == pytest.approx([0.1, 0.2, 0.4, 0.4, 0.4])


def test_the_cosine_schedule_starts_at_the_top_and_nears_zero():
    settings = TrainSettings(lr=2.0, schedule="cosine", warmup=10, steps=110)
    assert learning_rate(settings, 11) == pytest.approx(2.0)
    assert learning_rate(settings, 61) == pytest.approx(1.0)
    assert learning_rate(settings, 86) == pytest.approx(1 + math.cos(0.75 * math.pi))
    assert 0 < learning_rate(settings, 110) < 1e-3


def test_the_step_schedule():
    settings = TrainSettings(lr=1.0, schedule="step", gamma=0.5, every=3, steps=10)
    assert [learning_rate(settings, k) for k in range(1, 9)] == pytest.approx(
        [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    )


def test_seeds_of_steps_streams_and_processes_all_differ():
    seeds = {
        step_seed(s, k, n, r)
        for s in (0, 1)
        for k in (BATCH, LOSS, MODULE)
        for n in range(1, 500)
        for r in (0, 1)
    }
    assert len(seeds) == 2 * 3 * 499 * 2
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    bits = torch.tensor([[s >> b & 1 for b in range(32)] for s in seeds], dtype=torch.float64)
    assert (bits.mean(0) - 0.5).abs().max() < 5 * 0.5 / len(seeds) ** 0.5  # five standard errors


def test_seeds_follow_the_published_splitmix64(monkeypatch):
    """First outputs for state 0, as tabulated with the reference implementation."""
    monkeypatch.setattr(seeds_module, "_origin", lambda *parts: 0)
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [step_seed(0, 1, n) for n in (1, 2, 3)] == [value >> 1 for value in known]


@pytest.mark.parametrize("flagged", [False, True])
def test_the_average_against_its_closed_form(flagged):
    """e_n = prod(1 - r) p_0 + sum_k r_k prod_{j > k} (1 - r_j) p_k, for known p_k; a flag of 0 leaves it as it is."""
    module = nn.Linear(3, 2).double()
    path = torch.randn(41, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        module.weight.copy_(path[0])
    ema = Ema(module, 0.8)
    weights = torch.zeros(41, dtype=torch.float64)
    weights[0] = 1
    for step in range(1, 41):
        with torch.no_grad():
            module.weight.copy_(path[step])
        if flagged:
            ema.update(step, torch.tensor(0.0))
        ema.update(step, torch.tensor(1.0, dtype=torch.float64) if flagged else None)
        rate = 1 - min(0.8, (1 + step) / (10 + step))
        weights *= 1 - rate
        weights[step] = rate
    assert_close(weights.sum().item(), 1.0)
    assert_close(ema.average["weight"], torch.einsum("k,kij->ij", weights, path))


def test_short_runs_forget_their_random_start():
    left = math.prod(1 - ema_rate(0.9999, step) for step in range(1, 201))
    assert left < 1e-12
    assert ema_rate(0.999, 10**6) == pytest.approx(0.001)


def test_the_average_is_swapped_in_and_out():
    module = nn.Linear(2, 2)
    ema = Ema(module, 0.5)
    with torch.no_grad():
        module.weight.add_(1)
    live = module.weight.clone()
    with ema.applied():
        assert torch.equal(module.weight, live - 1) or torch.allclose(module.weight, live - 1)
    assert torch.equal(module.weight, live)


def test_the_log_has_its_columns_in_both_files(tmp_path):
    settings = TrainSettings(steps=10, log_every=4)
    result = fit(toy.network(), toy.noisy_loss, toy.noisy_batches, settings, out=tmp_path, progress=False)
    columns = ["step", "lr", "loss", "mse", "size", "grad_norm", "skipped"]
    with (tmp_path / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert list(rows[0]) == list(lines[0]) == columns
    assert [int(row["step"]) for row in rows] == [4, 8, 10]
    assert lines == result.history
    assert [{k: float(v) for k, v in row.items()} for row in rows] == lines
    for row in lines:
        assert row["loss"] == pytest.approx(row["mse"] + row["size"], rel=1e-5)


def test_a_resumed_log_drops_later_rows_and_a_torn_line(tmp_path):
    log = Log(tmp_path, "log")
    for step in (1, 2, 3):
        log.add({"step": step, "loss": 1.0 / step})
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"step": 4, "lo')
    again = Log(tmp_path, "log", after=2)
    again.add({"step": 3, "loss": math.inf})
    assert (tmp_path / "log.csv").read_text() == "step,loss\n1,1.0\n2,0.5\n3,inf\n"
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1]) == {"step": 3, "loss": None}
    with pytest.raises(InvalidInputError, match="columns"):
        again.add({"step": 4, "los": 1.0})


def test_progress_is_silent_when_asked_and_shows_the_loss_otherwise(capsys):
    settings = TrainSettings(steps=3, log_every=1)
    fit(toy.network(), toy.loss, toy.batches, settings, progress=False)
    assert capsys.readouterr() == ("", "")
    fit(toy.network(), toy.loss, toy.batches, settings, progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "loss=" in shown
