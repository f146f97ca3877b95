import pytest
import torch

from interpolants.apps.causal.metrics.morphology import stroke_intensity, stroke_thickness
from interpolants.foundations.errors import InvalidInputError


def bar(width, length=40, grey=0.7):
    x = torch.zeros(1, 1, 60, 60, dtype=torch.float64)
    x[0, 0, 8 : 8 + length, 20 : 20 + width] = grey
    return x


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_a_bar_has_its_width_and_its_grey_whatever_the_other(width):
    expected = width * 40 / (width + 40)
    # Along an outline of steps the length is exact but at the corner where both gradients are of one pixel.
    assert float(stroke_thickness(bar(width))) == pytest.approx(expected, rel=0.01)
    assert float(stroke_thickness(bar(width, grey=0.2))) == pytest.approx(float(stroke_thickness(bar(width))))
    assert float(stroke_intensity(bar(width))) == pytest.approx(0.7)


def test_a_stroke_at_the_border_has_an_outline_there_too():
    x = torch.zeros(1, 1, 20, 20)
    x[..., :3, :] = 1.0
    assert float(stroke_thickness(x)) == pytest.approx(3 * 20 / 23, rel=0.02)


def test_images_without_a_dark_ground_are_refused():
    with pytest.raises(InvalidInputError, match="0 where there is no stroke"):
        stroke_thickness(torch.zeros(2, 1, 8, 8))
    with pytest.raises(InvalidInputError, match=r"values from -1"):
        stroke_intensity(-torch.ones(2, 8, 8))


def test_the_outline_of_one_pixel_by_hand():
    x = torch.zeros(1, 5, 5, dtype=torch.float64)
    x[0, 2, 2] = 1.0
    # Gradients of lengths 1, 1 and sqrt 2 around it.
    assert float(stroke_thickness(x)) == pytest.approx(2 / (2 + 2**0.5))
