"""A short run of the toy regression, and whether an interruption changes any byte of what it leaves."""

import signal

import pytest

from interpolants.training import TrainingInterrupted, TrainSettings, fit
from training import toy

SETTINGS = {"steps": 20, "checkpoint_every": 4, "log_every": 5, "keep": 1}


def train(loss=toy.loss, *, out=None, resume=False, net=None, batches=toy.batches, keywords=None, **settings):
    net = toy.network() if net is None else net
    more = {"out": out, "resume": resume, "progress": False} | (keywords or {})
    return net, fit(net, loss, batches, TrainSettings(**(SETTINGS | settings)), **more)


def stop_at(step):
    """A callback that interrupts as Ctrl-C does, in the middle of what follows step ``step``."""
    return lambda moment: signal.raise_signal(signal.SIGINT) if moment.step == step else None


def files(out):
    """Every byte of a run's folder by name, but for the log of times."""
    found = {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
    return {name: data for name, data in found.items() if not name.startswith("times.")}


def same_after_an_interruption(tmp_path, make, *, at=10):
    """Both runs leave the same files; ``make()`` -> arguments of `train`, made afresh each time. The result."""
    _, whole = train(out=tmp_path / "whole", **make())
    arguments = make()
    keywords = arguments.pop("keywords", {})
    with pytest.raises(TrainingInterrupted):
        train(out=tmp_path / "cut", keywords={**keywords, "callbacks": [stop_at(at)]}, **arguments)
    _, cut = train(out=tmp_path / "cut", resume=True, **make())
    one, two = files(tmp_path / "whole"), files(tmp_path / "cut")
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []
    return whole, cut
