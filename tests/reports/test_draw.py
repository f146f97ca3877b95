import io

import numpy as np
import pytest

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.reports.draw import draw, save
from interpolants.reports.style import DARK, LIGHT

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


def test_a_named_heat_map_has_a_colour_bar():
    def drawn(name):
        heat = Series(mark="heat", arrays={"values": np.zeros((4, 4))}, low=0, high=1, name=name)
        return image(one(heat, width=400, height=300))

    red, green, blue = np.moveaxis(drawn("level (dB)"), -1, 0)
    assert ((red > 200) & (green > 180) & (blue < 110)).any()  # the colour of 1, which no value has
    red, green, blue = np.moveaxis(drawn(""), -1, 0)
    assert not ((red > 200) & (green > 180) & (blue < 110)).any()


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


def test_limits_that_are_turned_round_show_dark_on_light_with_all_greys():
    values = np.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    turned = image(one(Series(mark="images", arrays={"images": values}, low=1, high=-1), bare=True))
    plain = image(one(Series(mark="images", arrays={"images": -values}, low=-1, high=1), bare=True))
    assert (turned == plain).all()
    assert len(np.unique(turned)) > 10


def test_a_table_is_darker_where_numbers_are_larger():
    drawn = image(one(Series(mark="table", arrays={"values": [[1.0, 1000.0]]}, low=1.0, high=1000.0)))
    middle = drawn[70:75]
    assert middle[:, 60:80].mean() > middle[:, 120:140].mean() + 60


def test_heat_has_its_first_row_at_the_bottom():
    drawn = image(one(Series(mark="heat", arrays={"values": [[0.0, 0.0], [1.0, 1.0]]}), bare=True))
    assert drawn[40:60].mean() > drawn[100:120].mean()  # bright above


def test_series_are_drawn_from_back_to_front():
    line = Series(mark="line", arrays={"x": [0, 1], "y": [0, 0]}, hue=0, size=60)
    dots = Series(mark="points", arrays={"x": [0.5], "y": [0]}, hue=1, size=400)
    dot, covered = (image(Figure(name="a", panels=(Panel(series=both, bare=True),), height=240))[120, 240]
                    for both in ((line, dots), (dots, line)))  # fmt: skip
    assert dot[0] > dot[2]
    assert covered[0] < covered[2]


def test_a_contour_lies_where_a_heat_map_has_its_value():
    step = np.zeros((4, 4))
    step[2:] = 1.0
    drawn = image(one(Series(mark="contour", arrays={"values": step, "levels": [0.5]}, size=4), bare=True))
    rows, _ = np.nonzero(drawn[..., 0] < 100)
    assert 70 < rows.mean() < 90
    assert rows.max() - rows.min() < 20


def test_text_is_written_as_it_is_from_its_left_end():
    places = {"x": Axis(low=0, high=1), "y": Axis(low=0, high=1), "bare": True}
    words = Series(mark="text", arrays={"x": 0.5, "y": 0.5}, name="a  $b$", size=12)
    _, columns = np.nonzero((image(one(words, **places)) < 150).any(-1))
    assert columns.min() > 90
    assert columns.max() > 130


@pytest.mark.cases(2)
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


def test_the_dark_theme_has_its_own_paper_and_hues_and_a_clear_figure_has_none():
    from PIL import Image

    line = one(Series(mark="line", arrays={"x": [0, 1], "y": [0, 1]}, size=6))
    light, dark = (draw(line, dpi=100, theme=theme) for theme in (LIGHT, DARK))
    corners = [
        np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[0, 0, :3].tolist() for png in (light, dark)
    ]
    assert np.abs(np.array(corners) - [[255, 255, 255], [0x13, 0x17, 0x1D]]).max() <= 1
    clear = np.asarray(Image.open(io.BytesIO(draw(line, dpi=100, clear=True))).convert("RGBA"))
    assert clear[0, 0, 3] == 0
    assert len(LIGHT.hues) == len(DARK.hues)


def test_a_map_has_north_above_and_east_to_the_right_and_says_degrees():
    values = np.zeros((20, 30))
    values[15:, :15] = 1.0  # north-west
    drawn = image(one(Series(mark="map", arrays=ramp(values)), width=300, height=240))
    yellow = (drawn[..., 0] > 200) & (drawn[..., 2] < 120)  # the last colour
    rows, columns = np.nonzero(yellow[:, :220])  # without the scale beside it
    assert rows.mean() < 100
    assert columns.mean() < 130


def ramp(values):
    return {"values": values, "lon": np.linspace(0, 29, 30), "lat": np.linspace(0, 19, 20)}


def test_a_mesh_is_linear_in_its_triangles_and_leaves_holes_open():
    points = [[0, 0], [1, 0], [1, 1], [0, 1]]
    arrays = {"points": points, "faces": [[0, 1, 2]], "values": [0.0, 1.0, 1.0, 5.0]}
    drawn = image(one(Series(mark="mesh", arrays=arrays, low=0, high=1), width=260, height=240))
    white = (drawn > 250).all(-1)
    assert white[60:80, 60:80].all()  # above the diagonal is no triangle
    assert not white[150:170, 120:140].any()


def test_a_spectrogram_is_in_decibels_below_its_loudest_place():
    power = np.full((16, 20), 1e-3)
    power[12] = 1.0
    arrays = {"power": power, "frequency": np.linspace(0, 8000, 16), "time": np.linspace(0, 1, 20)}
    drawn = image(one(Series(mark="spectrogram", arrays=arrays), width=300, height=240))
    column = drawn[:, 100].astype(int)
    loud = [y for y, (r, g, b) in enumerate(column) if r > 200 and g > 180 and b < 120]
    assert loud
    assert max(loud) < 120  # a high frequency is above
    quiet = column[150]
    assert quiet.tolist() != column[loud[0]].tolist()
    # -30 dB of 80 is well above the darkest colour
    assert quiet.sum() > 300


def test_a_waveform_keeps_the_peak_of_each_stretch_of_time():
    samples = np.zeros(50_000)
    samples[40_000] = 1.0  # one of 50,000 samples, in the fourth fifth
    series = Series(mark="audio", arrays={"samples": samples, "rate": 10_000.0})
    drawn = image(one(series, width=400, height=160, y=Axis(low=-0.5, high=2.0)))
    blue = (drawn[..., 2] > 120) & (drawn[..., 0] < 90)
    rows, columns = np.nonzero(blue)
    assert np.ptp(rows) > 35  # from zero to the peak, two fifths of the axis
    peak = columns[rows == rows.min()]
    assert 0.74 < (peak.mean() - columns.min()) / np.ptp(columns) < 0.86
