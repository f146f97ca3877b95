"""Samples with their log densities by one solve."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from interpolants import Bridge
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError

SMALL = {"net": {"kind": "mlp", "width": 16, "depth": 2}, "steps": 60, "batch_size": 64, "seed": 0}


def rows(n=200):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def bridge():
    """Of data in units of their own, one column of them constant."""
    x = torch.cat([5 + 30 * rows(), torch.full((200, 1), 7.0)], 1)
    with pytest.warns(UserWarning, match="column 2 of x1 is constant"):
        return Bridge("one_sided_linear", **SMALL).fit(x1=x, progress=False)


def test_they_are_the_log_densities_of_these_samples(bridge):
    x, found = bridge.sample(70, log_prob=True, seed=3)
    assert_close(found, bridge.log_prob(x), rtol=0, atol=1e-2)
    assert_close(x, bridge.sample(70, seed=3, method="dopri5"), rtol=1e-2, atol=0.1)
    assert bool((x[:, 2] == 7).all())


def test_parts_are_parts_of_the_whole(bridge):
    whole = bridge.sample(70, log_prob=True, seed=3, method="rk4", n_steps=8)
    part = bridge.sample(6, log_prob=True, seed=3, first_index=64, method="rk4", n_steps=8)
    assert_close(part.log_prob, whole.log_prob[64:], rtol=0, atol=1e-5)


def test_with_labels_and_guidance_it_is_the_model_that_is_sampled():
    x = rows()
    cond = (x[:, 0] > 0).long()
    one = Bridge("one_sided_linear", drop_condition=0.2, **SMALL).fit(x1=x, cond=cond, progress=False)
    x, found = one.sample(20, cond=1, log_prob=True, seed=3)
    assert_close(found, one.log_prob(x, cond=1), rtol=0, atol=1e-2)
    guided = one.sample(20, cond=1, guidance=1.0, log_prob=True, seed=3)
    assert_close(guided.log_prob, found, rtol=0, atol=2e-3)


@pytest.mark.slow
def test_a_leg_gives_the_density_of_the_starts():
    one = Bridge("linear", leg={}, **SMALL).fit(rows(), 3 + rows(), progress=False)
    x, found = one.sample(20, log_prob=True, seed=3)
    assert_close(found, one.log_prob(x), rtol=0, atol=3e-2)


def test_probes_for_many_dimensions(bridge):
    grid = {"seed": 3, "method": "rk4", "n_steps": 8}
    found = bridge.sample(4, log_prob={"divergence": "hutchinson", "probes": 32}, details=True, **grid)
    exact = bridge.sample(4, log_prob=True, **grid)
    assert bool(((found.log_prob - exact.log_prob).abs() < 5 * found.error + 1e-2).all())


def test_they_come_in_kind(bridge):
    import pandas

    table = pandas.DataFrame(rows().numpy(), columns=["a", "b"])
    x, found = (
        Bridge("one_sided_linear", **SMALL).fit(x1=table, progress=False).sample(5, log_prob=True, seed=0)
    )
    assert list(x.columns) == ["a", "b"]
    assert isinstance(found, pandas.Series)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"eps": 0.5}, "log_prob goes with the forward flow"),
        ({"reverse": True}, "log_prob goes with the forward flow"),
        ({"return_path": True}, "with log_prob an option must be one of"),
    ],
)
def test_what_has_no_density_in_one_solve_is_refused(bridge, given, said):
    with pytest.raises(InvalidInputError, match=said):
        bridge.sample(4, log_prob=True, **given)


def test_without_a_density_of_the_starts_it_is_refused():
    one = Bridge("linear", **SMALL).fit(rows(), 3 + rows(), progress=False)
    with pytest.raises(InvalidInputError, match=r"fit Bridge\(leg=\{\}\)"):
        one.sample(4, log_prob=True)


@pytest.mark.parametrize("more", [[], ["--batch-size", "64"]])
def test_the_command_writes_both_as_parquet(bridge, tmp_path, more):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    folder, out = bridge.save(tmp_path / "b"), tmp_path / "x.parquet"
    words = ["sample", str(folder), "-n", "70", "--log-prob", "--seed", "3", "--out", str(out), *more]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    table = pandas.read_parquet(out)
    assert list(table.columns) == ["x_0", "x_1", "x_2", "log_prob"]
    x, found = bridge.sample(70, log_prob=True, seed=3)
    np.testing.assert_allclose(table["log_prob"], found, atol=2e-3)
    np.testing.assert_allclose(table[["x_0", "x_1", "x_2"]], x, rtol=1e-2, atol=0.1)


def test_integers_of_numpy_are_whole_numbers(bridge):
    one = Bridge(
        "one_sided_linear", **{**SMALL, "steps": np.int64(3), "batch_size": np.int32(8), "seed": np.int64(1)}
    ).fit(x1=rows(), progress=False)
    x = one.sample(np.int64(4), seed=np.uint8(1), n_steps=np.int32(4), first_index=np.int64(2))
    labelled = Bridge("one_sided_linear", **{**SMALL, "steps": 3}).fit(
        x1=rows(), cond=[0, 1] * 100, progress=False
    )
    assert torch.equal(labelled.sample(np.int64(4), cond=1, seed=1), labelled.sample(4, cond=1, seed=1))
    plain = Bridge("one_sided_linear", **{**SMALL, "steps": 3, "batch_size": 8, "seed": 1}).fit(
        x1=rows(), progress=False
    )
    assert torch.equal(x, plain.sample(4, seed=1, n_steps=4, first_index=2))
