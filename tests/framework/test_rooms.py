"""Known answers of the toy rooms."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.experiment import conduct
from interpolants.framework.method import load
from interpolants.framework.task import Split, Task, rolling
from rooms import chains, depth, episodes, gaps, latent, players, steady, student, walk
from rooms.parts import WEIGHTS, lines, moons

pytestmark = pytest.mark.usefixtures("rooms")


@pytest.mark.slow
def test_a_student_goes_in_one_step_where_its_teacher_goes_in_two():
    method = student.Student(steps=300, lr=5e-3).fit(student.teacher())
    z = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    aim = student.teacher().transport(z, n_steps=2)
    miss = (z + method.state["net"](z) - aim).square().mean()
    assert float(miss) < 0.05 * float((aim - z).square().mean())
    assert method.about["parents"].keys() == {"model"}


def test_fields_are_sampled_on_any_mesh_in_kind():
    method, data = latent.quick()
    method.fit(*({k: [p.numpy() for p in v] for k, v in data.items()}.values()))
    mesh = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
    found = method.sample(3, points=[mesh])
    assert [part.shape for part in found] == [(9, 1)] * 3
    assert isinstance(found[0], np.ndarray)
    assert method.state["model"].seed not in (0, method.seed)


@pytest.mark.slow
def test_an_adaptation_is_the_posterior_under_the_prior_that_was_learnt(tmp_path):
    """Expectation-maximisation finds the mean of the groups' weights; adapting is conjugate regression."""
    data = lines(2000, 100)
    method = episodes.Episodes(sweeps=15).fit(**data)
    assert_close(method.state["mean"], WEIGHTS, atol=3 * 0.5 / 100**0.5, rtol=0)
    assert_close(method.state["cov"].diagonal(), torch.full((4,), 0.25).double(), atol=0.12, rtol=0)
    x, y = data["x"][:3], data["y"][:3]
    adapted = load(method.adapt(x, y).save(tmp_path / "m"))
    mean, cov = method.state["mean"], method.state["cov"]
    gain = cov @ x.T @ torch.linalg.inv(x @ cov @ x.T + 0.09 * torch.eye(3).double())
    assert_close(adapted.state["mean"], mean + gain @ (y[:, 0] - x @ mean))


def test_a_walker_goes_right_and_does_not_go_on_elsewhere(tmp_path):
    method = walk.Walker(steps=60).fit(walk.Corridor(), out=tmp_path)
    assert method.act(torch.arange(5)).tolist() == [1, 1, 1, 1, 1]
    again = walk.Walker(steps=60).fit(walk.Corridor(), out=tmp_path, resume=True)
    assert torch.equal(again.state["q"], method.state["q"])
    with pytest.raises(InvalidInputError, match="another data"):
        walk.Walker(steps=60).fit(walk.Corridor(length=7), out=tmp_path, resume=True)


def test_chains_agree_with_each_other_and_with_the_posterior():
    method, data = chains.quick()
    method = chains.Chains(steps=3000, keep=200).fit(**data)
    x, y = data["x"], data["y"][:, 0]
    cov = torch.linalg.inv(torch.eye(4).double() + x.T @ x / 0.09)
    exact = cov @ x.T @ y / 0.09
    drawn = method.state["kept"].flatten(0, 1)
    # 800 draws that are correlated: better than 20.
    assert bool(((drawn.mean(0) - exact).abs() < 4 * cov.diagonal().sqrt() / 20**0.5).all())
    assert bool((method.r_hat() < 1.2).all())


def test_a_players_generator_gets_near():
    method = players.Players(steps=400).fit(moons())
    before = players.Players(steps=1).fit(moons())
    gap = [float((m.sample(500).mean(0) - moons().mean(0)).norm()) for m in (method, before)]
    assert gap[0] < 0.5 * gap[1]


def test_a_gap_is_filled_and_a_forecast_returns_to_the_season_with_dates():
    index = pd.date_range("1990-01-01", periods=96, freq="MS")
    table = pd.DataFrame({"level": gaps.monthly(96).numpy()}, index=index)
    task = Task.of(gaps.GapSeries().roles(), {"series": table}, Split(by="time", test=24))
    method = task.fit(gaps.GapSeries(steps=60))
    full = method.complete(table.iloc[:48], members=4)
    known = torch.tensor(table["level"].to_numpy()[:48])
    seen = torch.isfinite(known)
    assert torch.equal(full.x[0, :, seen, 0], known[seen].expand(4, -1))
    assert bool(torch.isfinite(full.x).all())
    ahead = method.forecast(steps=36, members=200)
    dates = ahead.table().index.get_level_values("time").unique()
    assert list(dates) == list(pd.date_range("1996-01-01", periods=36, freq="MS"))
    assert ahead.table().columns.tolist() == ["level"]
    # Two years on the past is forgotten: what is left is the season and the standard deviation of the process.
    late = ahead.x[0, :, 24:, 0]
    assert_close(late.mean(0), method.state["season"], atol=4 * float(late.std()) / 200**0.5, rtol=0)
    assert abs(float((late - late.mean(0)).std() / method.state["p"][0].exp().sqrt()) - 1) < 0.1
    windows = [(table.iloc[a], table.iloc[b]) for a, b in rolling(96, 72, 36, 6, 3)]
    own = torch.cat(
        [method.forecast(p).mean[0, :, 0] - torch.tensor(f["level"].to_numpy()) for p, f in windows]
    )
    last = torch.cat([torch.tensor(f["level"].to_numpy() - p["level"].dropna().iloc[-1]) for p, f in windows])
    assert float(own.square().nanmean()) < 0.5 * float(last.square().nanmean())


def test_an_idle_modifier_changes_no_bit_and_no_state_crosses_chunks():
    fields = student.teacher().fields
    z = torch.randn(150, 2, generator=torch.Generator().manual_seed(1))

    def flow(x, *modifiers, first_index=0):
        return sample(fields, x, n_steps=8, modifiers=modifiers, first_index=first_index).x

    plain, strong = flow(z), steady.Steady(strength=0.5)
    assert torch.equal(flow(z, steady.Steady(strength=0.0)), plain)
    whole = flow(z, strong)
    assert float((whole - plain).abs().max()) > 0.01
    assert torch.equal(flow(z[:70], strong), whole[:70])
    assert torch.equal(flow(z[64:], strong, first_index=64), whole[64:])
    assert torch.equal(flow(z, strong), whole)
    assert strong.why_not(fields) == ""
    assert strong.why_not(episodes.OneTask())


def test_signals_of_wide_networks_have_the_lengths_of_the_recursion(tmp_path):
    # For relu E[relu(z)^2] = q / 2: with weight 2 the length stays.
    assert_close(depth.signal_lengths("relu", 5), torch.ones(6, dtype=torch.float64))
    found = conduct(depth.Signals(seeds=4), tmp_path)
    assert found["gap_64"].value < 0.2
    assert found["gap_64"].value < found["gap_8"].value
