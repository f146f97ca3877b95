"""Themes, type and PNG."""

import io

import numpy as np
import pytest
from PIL import Image

from interpolants.reports.style import CSS, DARK, LIGHT, dress, new_figure, png

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_and_series_contrast_with_the_page(theme):
    assert contrast(theme.ink, theme.paper) >= 7
    assert contrast(theme.muted, theme.paper) >= 4.5
    assert all(contrast(hue, theme.paper) >= 3 for hue in theme.hues[:3])  # WCAG 1.4.11, graphics
    assert len(set(theme.hues)) == 6
    assert f"--paper: {theme.paper}" in CSS


def test_a_figure_is_a_clear_png_of_its_size_and_photographs_keep_their_colours():
    figure = new_figure(120, 80)
    axes = figure.subplots()
    axes.imshow(RNG.uniform(size=(40, 60, 3)))
    palette, photo = (Image.open(io.BytesIO(png(figure, photo=photo))) for photo in (False, True))
    assert palette.size == photo.size == (240, 160)
    assert np.asarray(photo.convert("RGBA"))[0, 0, 3] == 0
    assert len(photo.convert("RGB").getcolors(1 << 20)) > 1000 > 256 > len(palette.getcolors())


def test_dollars_and_foreign_letters_are_printed_and_not_parsed():
    figure = new_figure(200, 100)
    dress(figure.subplots(), LIGHT, title="$\\frac{ 日本 $", x="a\nb $x$")
    assert png(figure)


def contrast(one: str, two: str) -> float:
    light = sorted((luminance(one), luminance(two)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
