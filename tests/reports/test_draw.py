import io

import numpy as np
import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.reports.draw import draw, save

pytest.importorskip("matplotlib")


def image(figure):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(draw(figure, dpi=100))).convert("RGBA"), dtype=float)[..., :3]


def one(series, width=200, height=160, **panel):
    return Figure(name="a", panels=(Panel(series=(series,), **panel),), width=width, height=height)


def test_a_figure_is_as_large_as_it_says_and_has_its_panels():
    line = Panel(series=(Series(mark="line", arrays={"x": [0, 1], "y": [0, 1]}),))
    assert image(Figure(name="a", panels=(line,) * 3, columns=2, width=300, height=240)).shape == (
        240,
        300,
        3,
    )


def test_an_image_is_drawn_upright_with_its_own_limits_and_nan_in_blue():
    values = np.zeros((1, 1, 2, 2))
    values[0, 0] = [[1.0, -1.0], [np.nan, -1.0]]
    drawn = image(one(Series(mark="images", arrays={"images": values}, low=-1, high=1), bare=True))
    white = (drawn == 255).all(-1)
    dark = (drawn < 5).all(-1)
    blue = (drawn[..., 2] > 200) & (drawn[..., 0] < 120)
    assert blue.any()
    rows, columns = np.nonzero(dark)
    assert columns.mean() > 100 - 5  # the right half
    blue_rows, blue_columns = np.nonzero(blue)
    assert blue_rows.mean() > rows.mean()  # below
    assert blue_columns.mean() < columns.mean()
    assert white.any()


def test_a_table_is_darker_where_numbers_are_larger():
    drawn = image(one(Series(mark="table", arrays={"values": [[1.0, 1000.0]]}, low=1.0, high=1000.0)))
    middle = drawn[70:75]
    assert middle[:, 60:80].mean() > middle[:, 120:140].mean() + 60


def test_heat_has_its_first_row_at_the_bottom():
    drawn = image(one(Series(mark="heat", arrays={"values": [[0.0, 0.0], [1.0, 1.0]]}), bare=True))
    assert drawn[40:60].mean() > drawn[100:120].mean()  # bright above


@pytest.mark.parametrize("scale", ["linear", "log", "log2", "symlog"])
def test_marks_share_axes_of_every_scale_with_ticks_and_legends(scale, tmp_path):
    x = np.array([1.0, 2.0, 4.0])
    axis = Axis(label="n", unit="steps", scale=scale, ticks=(1, 2, 4), low=0.5, high=8, grid=True)
    series = (
        Series(mark="line", arrays={"x": x, "y": x, "error": x / 10}, name="line", symbol="o"),
        Series(mark="band", arrays={"x": x, "low": x / 2, "high": 2 * x}, hue=1, name="band"),
        Series(mark="points", arrays={"x": x, "y": x, "value": x}, name="points"),
        Series(mark="rule", arrays={"y": 2.0}, hue="muted", dash="--", name="floor"),
        Series(mark="rule", arrays={"low": 1.0, "high": 3.0}, hue="muted"),
        Series(mark="bars", arrays={"x": x, "height": x, "error": x / 5}, hue=2, name="bars"),
        Series(mark="histogram", arrays={"edges": [1, 2, 4], "counts": [1, 2]}, hue=3, name="counts"),
        Series(mark="phase", arrays={"x": x, "y": x, "u": x, "v": x}),
    )
    panels = (Panel(series=series, x=axis, legend="best"), Panel(series=series, y=axis))
    paths = save([Figure(name="all", panels=panels, legend_columns=3, width=600)], tmp_path)
    assert [path.name for path in paths] == ["all.png"]
    assert paths[0].stat().st_size > 5000


@pytest.mark.parametrize("scale", ["log", "log2", "symlog"])
def test_a_panel_without_a_single_number_is_drawn_empty(scale):
    nothing = Series(mark="line", arrays={"x": [1.0, 2.0], "y": [np.nan, np.nan], "error": [0.0, 0.0]})
    assert image(one(nothing, y=Axis(scale=scale), x=Axis(scale=scale))).shape == (160, 200, 3)


def test_sound_cannot_be_drawn():
    with pytest.raises(InvalidInputError, match="mark must be one of"):
        draw(one(Series(mark="audio", arrays={"samples": [0, 1], "rate": 2})))
