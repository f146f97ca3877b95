"""The Gaussian against regression, and separate models as a chain."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.multimodal import LinkedGaussian, SeparateModels
from interpolants.apps.multimodal.shared_space import Modality
from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.recipe import make_method, make_recipe, make_task
from interpolants.runs.values import Place

PAIR = {"a": "rows", "b": "rows"}


def pairs(n, generator):
    a = torch.randn(n, 2, generator=generator)
    b = a @ torch.tensor([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]]) + 0.5 * torch.randn(n, 3, generator=generator)
    return a, b


def test_the_gaussian_is_regression_of_columns_on_columns(generator):
    a, b = pairs(4000, generator)
    model = LinkedGaussian(modalities=PAIR).fit(a=a, b=b)
    wide = torch.cat([a, torch.ones(4000, 1)], 1).double()
    fitted = wide @ torch.linalg.lstsq(wide, b.double()).solution
    assert_close(model.expect(a=a)["b"].double(), fitted, atol=0.02, rtol=0)
    left = model.fill(a=a, seed=1)["b"] - model.expect(a=a)["b"]
    assert_close(left.T.cov(), 0.25 * torch.eye(3), atol=0.03, rtol=0)
    drawn = model.sample(4000, seed=2)
    both, real = (torch.cat([x["a"], x["b"]], 1).T.cov() for x in (drawn, {"a": a, "b": b}))
    assert float((both - real).norm() / real.norm()) < 0.06


def test_without_links_the_mean_is_the_answer_and_labels_are_columns(generator):
    a, b = pairs(600, generator)
    label = (b[:, 0] > 0).long()
    told = LinkedGaussian(modalities={"b": "rows", "sign": "labels"}).fit(b=b, sign=label)
    assert (told.fill(b=b, seed=0)["sign"] == label.numpy()).mean() > 0.75
    alone = LinkedGaussian(modalities=PAIR, linked=False).fit(a=a, b=b)
    assert_close(alone.expect(a=a)["b"], b.mean(0).expand(600, 3), atol=1e-5, rtol=0)


def test_separate_models_draw_each_modality_given_those_before(generator):
    a, b = pairs(300, generator)
    net = {"kind": "mlp", "width": 16, "depth": 2}
    model = SeparateModels(
        modalities=PAIR, settings={"net": net, "whiten": True}, steps=30, batch_size=32, n_steps=4
    ).fit(a=a, b=b)
    first, second = model.state["models"]["a"], model.state["models"]["b"]
    assert (first.targets, second.targets) == (("a",), ("b",))
    assert first.state["space"].shape == (2,)
    drawn = model.fill(a=a[:5], seed=3)
    assert torch.equal(drawn["a"], a[:5])
    assert "it draws some modalities given others" in first.cannot("sample")
    again = model.sample(5, seed=3)
    assert not np.allclose(again["a"], first.fill(a=a[:5])["a"])
    assert not torch.equal(again["b"], model.fill(a=again["a"], seed=4)["b"])


def test_a_role_that_may_have_gaps_keeps_those_of_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.arange(40.0).reshape(20, 2)
    x[3] = np.nan
    np.save("rows.npy", x)
    np.save("labels.npy", np.where(np.arange(20) == 5, np.nan, np.arange(20) % 3))
    method = {"kind": "linked_gaussian", "modalities": {"place": "rows", "word": "labels"}}
    (tables,) = make_recipe({"data": {"place": "rows.npy", "word": "labels.npy"}, "method": method}).tasks
    task, _ = make_task(tables, make_method(tables, 0), Place())
    for name in ("place", "word"):
        rows = torch.cat([torch.as_tensor(part[name]) for part in (task.train, task.test)])
        assert rows.isnan().reshape(20, -1).all(1).sum() == 1


def _table(n=200, seed=0):
    """Three columns, the last a copy of the second with noise, and what they tell: a fourth."""
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(n, 3, generator=g, dtype=torch.float64)
    b = a @ torch.tensor([[1.0], [2.0], [0.0]], dtype=torch.float64)
    return a, b + 0.1 * torch.randn(n, 1, generator=g, dtype=torch.float64)


def test_answers_of_a_gaussian_move_with_the_units_of_each_column():
    sizes = torch.tensor([1e6, 1e-6, 1.0], dtype=torch.float64)
    (a, b), tables = _table(), {"a": "rows", "b": "rows"}
    plain = LinkedGaussian(modalities=tables).fit(a=a, b=b)
    moved = LinkedGaussian(modalities=tables).fit(a=a * sizes, b=b * 1e-6)
    asked = a[:7]
    expected = asked @ torch.tensor([[1.0], [2.0], [0.0]], dtype=torch.float64)
    assert_close(moved.expect(a=asked * sizes)["b"] * 1e6, expected, rtol=0, atol=0.1)
    assert_close(moved.expect(a=asked * sizes)["b"] * 1e6, plain.expect(a=asked)["b"])
    assert_close(moved.expect(b=b[:7] * 1e-6)["a"] / sizes, plain.expect(b=b[:7])["a"])
    spread = moved.sample(4000)["a"].std(0) / sizes
    assert_close(spread, torch.ones(3, dtype=torch.float64), rtol=0.15, atol=0)


def test_a_column_that_never_varied_is_drawn_as_it_was():
    a, b = _table()
    a = torch.where(torch.tensor([False, True, False]), 5.0, a * 1e6)
    model = LinkedGaussian(modalities={"a": "rows", "b": "rows"}).fit(a=a, b=b)
    for drawn in (model.sample(50), model.fill(b=b[:50])):
        assert bool((drawn["a"][:, 1] == 5.0).all())


def test_a_gaussian_of_a_single_whole_row_is_refused():
    a, b = _table(3)
    b[1:] = float("nan")
    with pytest.raises(InvalidInputError, match="two rows or more must have no gaps, got 1"):
        LinkedGaussian(modalities={"a": "rows", "b": "rows"}).fit(a=a, b=b)


@pytest.mark.parametrize("whiten", [True, False])
def test_columns_that_never_varied_are_drawn_and_expected_as_they_were_by_diffusions_too(whiten):
    """Their unit is 1, whatever their size: 1e-6 was drawn as 1e-3."""
    x = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 1e-6
    part = Modality.fit("x", x, 1.0, "test", whiten=whiten)
    noisy = part.units(x) + 0.01
    assert torch.equal(part.value(noisy)[:, 1], x[:, 1])
    assert torch.equal(part.mean(noisy)[:, 1], x[:, 1])
    assert not torch.equal(part.value(noisy)[:, 0], x[:, 0])


def test_answers_of_diffusions_keep_the_digits_of_columns_far_from_0():
    x = 1e9 + torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    part = Modality.fit("x", x, 1.0, "test")
    assert_close(part.value(part.units(x)), x, rtol=0, atol=1e-5)
    net = {"kind": "mlp", "width": 8, "depth": 1}
    model = SeparateModels(modalities=PAIR, settings={"net": net, "whiten": True}, steps=2, n_steps=2).fit(
        a=x, b=x
    )
    for values in model.sample(5).values():
        assert bool((values != values.float()).any())
