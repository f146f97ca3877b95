"""A signal in any step of any stage stops the fit, and nothing of it is lost."""

import os
import signal

import pytest
import torch

from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import InterruptedFitError


class Signalled(Method):
    """A stage that is made once, and one that follows; a signal arrives in the first."""

    made: int = 0

    def roles(self):
        return (Role(name="x"),)

    def learn(self, data, run):
        def make(source):
            made.append("first")
            if self.made == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            return {"mean": data["x"].mean(0)}

        first = run.once("first", make)
        second = run.once("second", lambda source: made.append("second") or {"twice": 2 * first["mean"]})
        return {**first, **second}


made: list[str] = []


def test_a_signal_in_a_stage_that_is_made_once_stops_the_fit(tmp_path):
    made.clear()
    x = torch.arange(6.0).reshape(3, 2)
    with pytest.raises(InterruptedFitError, match="'first'") as stopped:
        Signalled().fit(x, out=tmp_path / "fit")
    assert stopped.value.signal == signal.SIGTERM
    assert made == ["first"]
    method = Signalled()
    method.fit(x, out=tmp_path / "fit", resume=True)
    assert made == ["first", "second"]  # the first stage was kept
    assert torch.equal(method.state["twice"], torch.tensor([4.0, 6.0]))
