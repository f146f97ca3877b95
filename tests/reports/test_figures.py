import io

import numpy as np
import pytest
from PIL import Image

from interpolants.reports import figures
from interpolants.reports.projection import fit_projection
from interpolants.reports.style import DARK, LIGHT, PIXELS_PER_INCH, png

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(300, 2)) * [2.0, 1.0] + [5.0, -3.0]
IMAGES = RNG.uniform(-1, 1, size=(20, 1, 8, 8))
BOX = figures.limits(POINTS)
TIMES = np.linspace(0, 1, 11)
TRAJECTORY = RNG.normal(size=(11, 7, 2))
HISTORY = [{"step": i, "loss": 1 + 1 / (i + 1), "lr": 0.1, "seconds": i * 0.1} for i in range(50)]
FIGURES = {
    "loss_curve": lambda theme: figures.loss_curve(HISTORY, theme=theme),
    "schedule": lambda theme: figures.schedule(TIMES, {"a": 1 - TIMES, "b": TIMES}, theme=theme),
    "log_prob": lambda theme: figures.log_prob(POINTS[:, 0], POINTS[:, 1], theme=theme),
    "metric_scale": lambda theme: figures.metric_scale([("W2", 0.9, 0.02), ("far", -7.0, 0.1)], theme=theme),
    "marginal": lambda theme: figures.marginal(POINTS[:, 0], {"ε = 0": POINTS[:, 1]}, "x", theme=theme),
    "distances": lambda theme: figures.distances(POINTS, POINTS + 0.1, theme=theme),
    "image_grid": lambda theme: figures.image_grid(
        IMAGES, 5, row_labels=list("abcd"), title="T", theme=theme
    ),
    "image_pairs": lambda theme: figures.image_pairs(IMAGES, IMAGES, ("a", "b"), theme=theme),
    "filmstrip": lambda theme: figures.filmstrip(np.stack([IMAGES] * 11), TIMES, theme=theme),
    "scatter": lambda theme: figures.scatter(POINTS, BOX, context=POINTS, marked=POINTS[:1], theme=theme),
    "paths": lambda theme: figures.paths(TRAJECTORY, BOX, theme=theme),
    "paths_in_time": lambda theme: figures.paths_in_time(TRAJECTORY[..., 0], TIMES, theme=theme),
    "point_pairs": lambda theme: figures.point_pairs(POINTS, POINTS + 1, BOX, theme=theme),
}


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_is_a_png_of_its_own_size_that_is_not_empty(name):
    figure = FIGURES[name](LIGHT)
    width, height = (round(2 * size * PIXELS_PER_INCH) for size in figure.get_size_inches())
    image = Image.open(io.BytesIO(png(figure, dpi=200)))
    assert image.format == "PNG"
    assert image.size == (width, height)
    opacity = np.asarray(image.convert("RGBA"))[..., 3]
    assert (opacity > 0).mean() > 0.003
    if "image" not in name and name != "filmstrip":
        assert (opacity == 0).mean() > 0.4  # transparent: the page's own colour shows through


@pytest.mark.parametrize("name", ["scatter", "loss_curve", "log_prob"])
def test_text_contrasts_with_the_page_in_both_schemes(name):
    for theme, paper in ((LIGHT, "#ffffff"), (DARK, "#13171d")):
        axes = FIGURES[name](theme).axes[0]
        for label in axes.get_xticklabels():
            assert _contrast(label.get_color(), paper) >= 4.5
        assert _contrast(theme.ink, paper) >= 7
        for mark in (theme.generated, theme.start, theme.accent, theme.real):
            assert _contrast(mark, paper) >= 3  # WCAG 1.4.11, graphics


def test_axes_contain_the_data():
    for figure in (FIGURES["scatter"](LIGHT), FIGURES["paths"](LIGHT)):
        axes = figure.axes[0]
        assert axes.get_xlim()[0] < POINTS[:, 0].min() < POINTS[:, 0].max() < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < POINTS[:, 1].min() < POINTS[:, 1].max() < axes.get_ylim()[1]
    low, high = FIGURES["log_prob"](LIGHT).axes[0].get_xlim()
    assert low < POINTS.min()
    assert high > POINTS.max()
    low, high = FIGURES["loss_curve"](LIGHT).axes[0].get_ylim()
    assert low < 1.02
    assert high >= 2


def test_a_diverged_sample_does_not_press_the_rest_together_and_is_counted():
    wild = np.vstack([POINTS, [[1e6, 0.0], [np.nan, 0.0]]])
    box = figures.limits(POINTS, wild)
    span = POINTS[:, 0].max() - POINTS[:, 0].min()
    assert box[0][1] - box[0][0] < 3 * span
    texts = [text.get_text() for text in figures.scatter(wild, box).axes[0].texts]
    assert texts == ["2 outside"]


def test_diverged_samples_do_not_stop_histograms():
    far = POINTS.astype(np.float32) * 1e25
    far[0, 0] = np.inf
    far[1, 1] = np.nan
    assert figures.distances(far, POINTS.astype(np.float32)).axes[0].patches
    assert figures.distances(np.full((5, 2), np.nan), np.zeros((5, 2))).axes
    real = POINTS[:, 0]
    assert (
        len(figures.marginal(real, {"far": far[:, 0], "lost": np.full(9, np.nan)}, "x").axes[0].patches)
        == 36 - 1
    )


def test_a_mosaic_holds_each_image_in_reading_order():
    flat = np.linspace(-1, 1, 6).reshape(6, 1, 1, 1) * np.ones((6, 1, 4, 4))
    whole = figures.mosaic(flat, columns=3, gap=1)
    assert whole.shape == (9, 14, 4)
    assert whole[0, 0, 0] == 0
    assert whole[-1, -1, 0] == 255
    assert whole[0, 5, 0] == round((-0.6 + 1) * 127.5)
    assert not whole[4].any()  # the gap is transparent


def test_colour_images_keep_their_channels():
    red = np.stack([np.ones((4, 4)), -np.ones((4, 4)), -np.ones((4, 4))])[None]
    assert figures.mosaic(red, 1)[0, 0].tolist() == [255, 0, 0, 255]


def test_the_running_mean_keeps_a_line_and_shrinks_noise():
    line = np.linspace(3, 7, 200)
    np.testing.assert_allclose(figures.running_mean(line), line)
    noise = RNG.normal(size=4000)
    assert figures.running_mean(noise)[200:-200].std() < 0.15


def test_dollars_and_foreign_letters_are_printed_and_not_parsed():
    figure = figures.scatter(POINTS, BOX, title=r"$\frac{$ 汉字 \x" + "long " * 40)
    assert png(figure)


def test_the_projection_finds_the_main_directions_and_keeps_a_plane_as_it_is():
    assert np.array_equal(fit_projection(POINTS)(POINTS), POINTS)
    wide = RNG.normal(size=(500, 5)) * [0.1, 10.0, 0.1, 3.0, 0.1]
    flat = fit_projection(wide)
    np.testing.assert_allclose(np.abs(flat.directions[[1, 3], [0, 1]]), 1, atol=0.01)
    np.testing.assert_allclose(flat(wide).std(0), wide.std(0)[[1, 3]], rtol=0.02)
    assert flat.trajectory(wide.reshape(10, 50, 5)).shape == (10, 50, 2)


def _contrast(one: str, two: str) -> float:
    light = sorted((_luminance(one), _luminance(two)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
