import math

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from interpolants.apps.weather.nets.grid_convolution import GridConvolution
from interpolants.apps.weather.nets.grid_edges import beyond_edges
from interpolants.foundations.errors import InvalidInputError
from stirred_nets import stirred


def globe(rows, columns, *, at_poles):
    """``sin lat + cos lat cos lon + (cos lat sin lon)^2`` on a sphere, rows from north to south."""
    step = math.pi / (rows - 1 if at_poles else rows)
    lat = math.pi / 2 - step * (torch.arange(rows, dtype=torch.float64) + (0.0 if at_poles else 0.5))
    lon = 2 * math.pi * torch.arange(columns, dtype=torch.float64) / columns

    def value(lat, lon):
        return lat.sin() + lat.cos() * lon.cos() + (lat.cos() * lon.sin()).square()

    return value, lat, lon, step


@pytest.mark.parametrize(("word", "at_poles"), [("pole", False), ("pole_row", True)])
def test_beyond_a_pole_lies_the_meridian_of_the_far_side(word, at_poles):
    value, lat, lon, step = globe(9, 8, at_poles=at_poles)
    found = beyond_edges(value(lat[:, None], lon[None])[None, None], 2, (word, "periodic"))[0, 0]
    # The formula goes on beyond 90 degrees: cos of the latitude turns negative, which is the far side.
    over = torch.cat([lat[:1] + 2 * step, lat[:1] + step, lat, lat[-1:] - step, lat[-1:] - 2 * step])
    assert_close(found[:, 2:-2], value(over[:, None], lon[None]))
    assert_close(found[:, :2], found[:, 8:10])


def test_beyond_a_border_lies_its_last_value():
    x = torch.arange(6.0).reshape(1, 1, 6)
    assert beyond_edges(x, 2, ("border",)).flatten().tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 5, 5]
    assert beyond_edges(x, 2, ("periodic",)).flatten().tolist() == [4, 5, 0, 1, 2, 3, 4, 5, 0, 1]


def test_blocks_pass_on_half_and_add_the_other_half_to_the_output():
    net = stirred(
        GridConvolution((1, 9), edges=("border",), width=4, blocks=3, cycle=2, cond_channels=2).double()
    )
    g = torch.Generator().manual_seed(2)
    x, told = (torch.randn(3, channels, 9, dtype=torch.float64, generator=g) for channels in (1, 2))
    t = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    time, total = functional.silu(net.first(net.time(t))), 0
    h = functional.silu(net.input(torch.cat([x, told], 1)))
    for block, step in zip(net.blocks, (1, 2, 1), strict=True):
        inner = h + block.told(time)[..., None]
        wide = torch.cat([inner[..., :1]] * step + [inner] + [inner[..., -1:]] * step, -1)
        taps = torch.stack([wide[..., k * step : k * step + 9] for k in range(3)], -1)
        mixed = torch.einsum("bilk,oik->bol", taps, block.mixing.weight) + block.mixing.bias[:, None]
        onward, skip = block.outward(mixed[:, :4].tanh() * mixed[:, 4:].sigmoid()).chunk(2, 1)
        h, total = (h + onward) / 2**0.5, total + skip / 3**0.5
    assert_close(net(x, t, told), net.output(functional.silu(net.last(total))))


def test_a_grid_with_borders_alone_may_be_shorter_than_the_dilation():
    net = stirred(GridConvolution((1, 2), width=4, blocks=4, cycle=4).double())
    assert net.edges == ("border",)
    assert net(torch.ones(1, 1, 2, dtype=torch.float64), 0.5).isfinite().all()


def test_shifts_along_a_circle_commute_with_the_network_and_along_a_border_do_not():
    for edges, holds in ((("border", "periodic"), True), (("periodic", "border"), False)):
        net = stirred(GridConvolution((2, 8, 10), edges=edges, width=6, blocks=3, cond_channels=3).double())
        g = torch.Generator().manual_seed(2)
        x = torch.randn(2, 2, 8, 10, dtype=torch.float64, generator=g)
        told, t = (
            torch.randn(2, 3, 8, 10, dtype=torch.float64, generator=g),
            torch.tensor([0.2, 0.9], dtype=torch.float64),
        )
        moved = net(x.roll(3, -1), t, told.roll(3, -1))
        assert torch.allclose(moved, net(x, t, told).roll(3, -1)) == holds


@pytest.mark.parametrize("word", ["pole", "pole_row"])
def test_a_globe_may_be_turned_about_its_axis_and_swap_its_poles(word):
    """With weights that are even in the latitude the network cannot tell north from south."""
    net = stirred(GridConvolution((1, 6, 8), edges=(word, "periodic"), width=4, blocks=2).double())
    with torch.no_grad():
        for block in net.blocks:
            block.mixing.weight.add_(block.mixing.weight.flip(2))
    x = torch.randn(2, 1, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    answer = net(x, 0.5)
    assert_close(net(x.roll(3, -1), 0.5), answer.roll(3, -1))
    assert_close(net(x.flip(2), 0.5), answer.flip(2))
    assert not torch.allclose(net(x.flip(3), 0.5), answer.flip(3))


def test_it_reads_its_time_and_its_field_and_is_rebuilt_from_its_settings():
    net = stirred(
        GridConvolution((1, 12), edges=("periodic",), width=4, blocks=2, cond_channels=2, heads=2).double()
    )
    x = torch.ones(3, 1, 12, dtype=torch.float64)
    told = torch.linspace(0, 1, 72, dtype=torch.float64).reshape(3, 2, 12)
    out = net(x, torch.tensor(0.5), told)
    assert out.shape == (3, 2, 1, 12)
    assert not torch.allclose(out, net(x, torch.tensor(0.9), told))
    assert not torch.allclose(out, net(x, torch.tensor(0.5), told + 1))
    settings = dict(net.settings)
    assert settings.pop("name") == "grid_convolution"
    assert GridConvolution(**settings).settings == net.settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shape": (3,)}, r"shape must be \(C, L\)"),
        ({"shape": (1, 8), "edges": ("round",)}, "edges must be one of"),
        ({"shape": (1, 8, 8), "edges": ("periodic",)}, "one kind for each of 2 axes"),
        ({"shape": (1, 8, 7), "edges": ("pole", "periodic")}, "even number of longitudes"),
        ({"shape": (1, 8, 8), "edges": ("pole", "border")}, "poles must be"),
        ({"shape": (1, 3), "edges": ("periodic",)}, "longer than the largest dilation, 4"),
    ],
)
def test_edges_and_shapes_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(InvalidInputError, match=words):
        GridConvolution(**settings)
