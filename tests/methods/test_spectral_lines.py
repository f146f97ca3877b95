"""The question about frequencies: peaks at known places."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.questions.spectral_lines import SpectralLines, peaks_of


class Lines(Method):
    """A density with peaks at 1 and 7."""

    second: float = 0.1

    def roles(self):
        return (Role(name="points"),)

    def learn(self, data, run):
        return {}

    @capability(reads={"frequencies": Role(name="frequencies", exact=True)}, like="points")
    def spectrum(self, frequencies):
        return sum(
            a * torch.exp(-((frequencies - f) ** 2) / 1e-4) for f, a in ((1.0, 1.0), (7.0, self.second))
        )


def asked(second=0.1, **settings):
    method = Lines(second=second).fit(torch.zeros(4, 1))
    return ask(SpectralLines(**settings), method, Task.of(method.roles(), {"points": torch.zeros(4, 1)}))


def test_known_frequencies_are_found_and_a_missing_one_is_far():
    found = {s.name: s.value for s in asked(top=10.0, known=(1.0, 7.0)).scores}
    assert found["strongest"] == pytest.approx(1.0, abs=1e-3)
    assert found["line_error"] < 1e-3
    assert {s.name: s.value for s in asked(top=10.0, known=(3.5,)).scores}["line_error"] == pytest.approx(
        5 / 7, abs=1e-3
    )


def test_peaks_are_told_from_the_highest_on():
    for second, first in ((0.1, 1.0), (10.0, 7.0)):
        told = asked(second, top=10.0, unit="day").texts["Peaks, the highest first"]
        assert [float(line.split()[0]) for line in told] == pytest.approx([first, 8 - first], abs=1e-3)


def test_ends_of_a_grid_and_small_ripples():
    f = torch.arange(5).double()
    assert peaks_of(f, torch.tensor([3.0, 1.0, 1e-5, 0.0, 2.0])).tolist() == [0.0, 4.0]


def test_an_axis_that_there_is_not_is_refused():
    with pytest.raises(InvalidInputError, match="axis must be below 1"):
        asked(axis=1)
