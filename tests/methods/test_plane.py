"""The plane in which rows are drawn."""

import numpy as np
import torch

from interpolants.framework.task import Split, Task
from interpolants.methods.questions.distances import column_names
from interpolants.methods.questions.plane import fit_plane
from interpolants.methods.questions.sample_quality import samples_figure
from interpolants.methods.rivals.gaussian_fit import GaussianFit

RNG = np.random.default_rng(0)


def test_two_columns_are_shown_as_they_are_under_their_names():
    points = RNG.normal(size=(300, 2)) * [2.0, 1.0] + [5.0, -3.0]
    assert np.array_equal(fit_plane(points)(points), points)
    assert fit_plane(points, ["height", "weight"]).names == ("height", "weight")
    shown = samples_figure("s", {"real": torch.tensor(points)}, columns=["height", "weight"]).panels[0]
    assert (shown.x.label, shown.y.label) == ("height", "weight")


def test_more_columns_are_shown_by_their_main_directions_whatever_their_units():
    shared = RNG.normal(size=(4000, 1))
    wide = np.concatenate([shared + 0.1 * RNG.normal(size=(4000, 2)), RNG.normal(size=(4000, 3))], 1)
    flat, scaled = fit_plane(wide), fit_plane(wide * [1e-3, 1e6, 1e9, 1.0, 1.0])
    assert flat.names == scaled.names
    assert flat.names[0] == "PC 1 (40 %)"  # two of five columns go together
    np.testing.assert_allclose(flat(wide), scaled(wide * [1e-3, 1e6, 1e9, 1.0, 1.0]), atol=1e-6)
    np.testing.assert_allclose(flat(wide)[:2000].std(0)[0], 2**0.5, rtol=0.02)
    assert flat.trajectory(wide.reshape(20, 200, 5)).shape == (20, 200, 2)
    assert "two main directions of 5 columns in standard units" in flat.told


def test_a_column_that_does_not_vary_is_left_out_and_a_single_row_has_a_plane():
    rows = np.concatenate([RNG.normal(size=(50, 2)), np.full((50, 1), 7.0)], 1)
    assert np.isfinite(fit_plane(rows)(rows)).all()
    assert np.isfinite(fit_plane(rows[:1])(rows)).all()


def test_names_of_columns_are_those_of_the_table():
    pandas = __import__("pandas")
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    named = pandas.DataFrame(x.numpy(), columns=["a", "b"])
    tasks = [Task.of(GaussianFit().roles(), {"x1": rows}, Split(test=0.25)) for rows in (named, x)]
    assert [column_names(task, "x1") for task in tasks] == [["a", "b"], ["x1", "x2"]]
