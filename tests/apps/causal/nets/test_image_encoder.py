import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.causal.nets.image_encoder import ImageEncoder
from interpolants.foundations.errors import InvalidInputError


def test_a_row_does_not_feel_the_batch_in_training_either(generator):
    net = ImageEncoder((2, 9, 12), 5, channels=(4, 6)).train()
    x = torch.randn(7, 2, 9, 12, generator=generator)
    assert net(x).shape == (7, 5)
    assert_close(net(x)[:1], net(x[:1]))  # statistics of the batch would change it


def test_images_too_small_for_so_many_halvings_are_refused():
    with pytest.raises(InvalidInputError, match=r"2\^3 pixels to a side at least, got \(1, 6, 9\)"):
        ImageEncoder((1, 6, 9), 4)


@pytest.mark.parametrize("shape", [(1, 9, 12), (1, 12, 9), (1, 5, 7)])
def test_sides_may_be_odd(shape, generator):
    assert ImageEncoder(shape, 3, channels=(4, 6))(torch.randn(2, *shape, generator=generator)).shape == (
        2,
        3,
    )


def test_layers_after_an_activation_have_its_gain():
    net = ImageEncoder((64, 8, 8), outputs=2, channels=(64, 64), width=64)
    first, second = (float(one.weight.detach().std()) for one in net.convolutions)
    assert second / first == pytest.approx(1.6765, rel=0.03)
