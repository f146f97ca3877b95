"""Methods on another device: all that was learnt moves, and random streams are those of the CPU."""

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from framework.other_device import other_device
from interpolants import Bridge
from interpolants.cli.app import app
from interpolants.foundations.devices import On, choose_device
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework import stored
from interpolants.methods.forecaster import Forecaster

SMALL = {"net": {"kind": "mlp", "width": 8, "depth": 1}, "steps": 5, "batch_size": 16, "optimizer": "rmsprop"}
QUIET = {"progress": False}


def rows(shift=0.0):
    return shift + torch.randn(64, 2, generator=torch.Generator().manual_seed(0))


def bridge(**settings):
    return Bridge(**{**SMALL, **settings}).fit(rows(), rows(2.0), **QUIET)


def tensors(value, seen):
    """All tensors inside a value."""
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from [*value.parameters(), *value.buffers()]
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part, seen)
    elif hasattr(value, "__dict__"):
        yield from tensors(vars(value), seen)


@pytest.mark.parametrize(
    "settings", [{}, {"leg": {}}, {"heads": ("mean_rate", "noise")}, {"coupling": "minibatch_ot"}]
)
def test_all_that_was_learnt_moves(settings):
    moved = bridge(**settings).to("meta")
    found = {
        x.device.type
        for x in tensors([moved.state, {k: v for k, v in vars(moved).items() if k != "_training"}], set())
    }
    assert found == {"meta"}
    assert moved.params()["device"] == "meta"


def test_random_numbers_are_drawn_on_the_cpu_and_moved():
    with On(torch.device("meta")):
        source = torch.Generator().manual_seed(1)
        assert {torch.zeros(2).device.type, torch.tensor([1.0]).device.type} == {"meta"}
        assert torch.randn(3, generator=source).device.type == "meta"
        on_cpu = torch.randn(3, generator=source, device="cpu")
    with other_device() as name, On(torch.device(name)):
        source = torch.Generator().manual_seed(2)
        away = torch.normal(torch.zeros(3), 2.0, generator=source)
        assert away.device.type == name
    source = torch.Generator().manual_seed(2)
    assert torch.equal(away.inner, torch.normal(torch.zeros(3), 2.0, generator=source))
    source = torch.Generator().manual_seed(1)
    assert torch.equal(on_cpu, [torch.randn(3, generator=source) for _ in range(2)][1])
    assert torch.zeros(2).device.type == "cpu"


@pytest.fixture(scope="module")
def here():
    return bridge()


FEW = {"n_steps": 4}  # a call on the other device takes ten times as long
ROUGH = {"method": "dopri5", "rtol": 1e-2, "atol": 1e-2}


@pytest.mark.parametrize("options", [FEW, {"eps": 0.5, **FEW}, ROUGH])
def test_answers_on_another_device_are_those_of_the_cpu(here, options):
    with other_device() as name:
        there = here.clone().take_over(here.learnt()).to(name)
        assert torch.equal(there.sample(5, seed=1, **options), here.sample(5, seed=1, **options))
        carried = there.transport(rows()[:4].numpy(), seed=1, **options)
    assert np.array_equal(carried, here.transport(rows()[:4].numpy(), seed=1, **options))


def test_a_fit_on_another_device_is_that_of_the_cpu(here):
    with other_device() as name:
        there = bridge(device=name)
        assert torch.equal(there.sample(5, seed=1, **FEW), here.sample(5, seed=1, **FEW))
        assert stored.fingerprint(there.learnt()) == stored.fingerprint(here.learnt())


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"eps": 0.0}, {"method": "euler_maruyama"}])
def test_a_forecaster_on_another_device_is_that_of_the_cpu(options):
    def fitted(device):
        return Forecaster(**SMALL, device=device).fit(rows(), rows(2.0), **QUIET)

    asked = {"members": 2, "n_steps": 3, **options}
    expected = fitted("cpu").forecast(rows()[:3], **asked).x
    with other_device() as name:
        assert torch.equal(fitted(name).forecast(rows()[:3], **asked).x, expected)


def test_the_device_is_no_part_of_what_is_stored(here, tmp_path):
    moved = here.clone().take_over(here.learnt())
    moved.save(tmp_path / "a")
    assert Bridge.load(tmp_path / "a").device == "cpu"
    assert here.identity() == Bridge(**SMALL, device="meta").identity()
    assert here.clone().take_over(here.learnt()).set_params(device="meta").is_fitted


NOT_THERE = [("gpu", "device must be one of"), ("mps", "must have float64"), ("cuda:99", "must exist")]


@pytest.mark.parametrize(("name", "said"), NOT_THERE)
def test_what_is_not_there_is_refused(name, said):
    with pytest.raises(InvalidInputError, match=said):
        Bridge(device=name)


def test_auto_is_the_gpu_where_there_is_one():
    assert choose_device("x", "auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


COMMANDS = [
    (["--device", "auto"], 0),
    (["--device", "gpu"], 2),
    (["--device", "meta", "--nproc", "2"], 2),
]


@pytest.mark.parametrize(("more", "code"), COMMANDS)
def test_commands_take_a_device(here, tmp_path, more, code):
    words = ["sample", str(here.save(tmp_path / "b")), "-n", "4", "--out", str(tmp_path / "x.npy")]
    done = CliRunner().invoke(app, [*words, *more])
    assert done.exit_code == code, done.output


@pytest.mark.slow
def test_a_method_inside_is_fitted_and_moved_with_the_one_around_it():
    one = bridge(leg={"steps": 3})
    expected = one.log_prob(rows()[:3], **ROUGH)
    with other_device() as name:
        there = bridge(leg={"steps": 3}, device=name)
        assert there.state["leg"].place.type == name
        assert torch.equal(there.log_prob(rows()[:3], **ROUGH), expected)
    moved = one.to("meta").state["leg"]
    assert (moved.device, moved.place.type) == ("meta", "meta")


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{}, {"eps": 0.5}])
def test_on_a_gpu(options):
    one, two = bridge(optimizer="adam"), bridge(optimizer="adam", device="cuda")
    assert {p.device.type for p in two.network.parameters()} == {"cuda"}
    expected = one.sample(5, seed=1, **options)
    torch.testing.assert_close(two.sample(5, seed=1, **options), expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(one.to("cuda").sample(5, seed=1, **options), expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(one.to("cpu").sample(5, seed=1, **options), expected)
