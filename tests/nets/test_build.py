import inspect
import json

import pytest
import torch

from interpolants.foundations.registry import names
from interpolants.nets import MLP, UNet, build_net

# Every setting away from its default, so that one that is not kept shows.
MLP_SETTINGS = {
    "shape": (2, 3),
    "width": 8,
    "depth": 2,
    "activation": "tanh",
    "heads": 2,
    "time_features": 4,
    "n_classes": 3,
    "cond_dim": 2,
    "residual": True,
    "layer_norm": True,
    "init": "gain",
    "seed": 5,
}
PLAIN_SETTINGS = MLP_SETTINGS | {"residual": False, "layer_norm": False, "init": "critical"}
UNET_SETTINGS = {
    "shape": (2, 5, 6),
    "channels": 8,
    "multipliers": (1, 3),
    "blocks": 1,
    "attention": (0,),
    "heads": 2,
    "time_features": 4,
    "n_classes": 3,
    "cond_dim": 2,
    "cond_channels": 1,
    "dropout": 0.25,
    "seed": 5,
}


@pytest.mark.parametrize(
    ("kind", "settings", "defaults"),
    [
        (MLP, MLP_SETTINGS, {"init"}),
        (MLP, PLAIN_SETTINGS, {"residual", "layer_norm"}),  # a critical start is for plain layers
        (UNet, UNET_SETTINGS, set()),
    ],
)
def test_settings_survive_a_file_and_rebuild_the_network(kind, settings, defaults):
    parameters = inspect.signature(kind).parameters
    assert set(settings) == set(parameters)
    assert {name for name, p in parameters.items() if p.default == settings[name]} == defaults
    net = kind(**settings)
    stored = json.loads(json.dumps(net.settings))
    again = build_net(**stored)
    assert type(again) is kind
    assert again.settings == net.settings
    assert {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()} == settings | {
        "name": stored["name"]
    }
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_defaults_rebuild_too():
    for net in (MLP(3), UNet((1, 8, 8), channels=8)):
        again = build_net(**net.settings)
        assert str(again) == str(net)
        assert again.settings == net.settings


def test_the_settings_hold_no_object_of_the_network():
    net = MLP((2, 3))
    net.settings["shape"].append(4)
    assert net.shape == (2, 3)


def test_names_are_those_of_the_cards():
    assert {"mlp", "unet"} <= set(names("net"))
    assert isinstance(build_net("unet", (1, 4, 4), channels=8), UNet)


def test_a_misspelt_name_or_setting_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"got 'mpl'\. Did you mean 'mlp'"):
        build_net("mpl", 2)
    with pytest.raises(ValueError, match=r"got 'widht'\. Did you mean 'width'"):
        build_net("mlp", 2, widht=64)
    with pytest.raises(ValueError, match="UNet: channels must be"):
        build_net("unet", (1, 8, 8), channels="many")
