"""Each law of data is seen red: methods that are right but for one fault, and the law that must find it."""

import pytest
import torch

from interpolants.framework.capabilities import capability
from interpolants.framework.far_values import warn_if_far
from interpolants.framework.role import Role, kind_of, role_kind
from laws import test_data_laws as laws
from laws import test_offset_laws as offset_laws
from laws.carded import arguments, carded, obey
from laws.faulty_methods import Good

__all__ = ["carded"]
pytestmark = pytest.mark.usefixtures("rooms")


class Standard(Good):
    """Least squares in units of the rows; every law holds."""

    def learn(self, data, run):
        x, y = data["x"].double(), data["y"].double()
        units = {"x": [x.mean(0), self.size(x)], "y": [y.mean(0), self.size(y)]}
        w = super().learn({"x": self.scaled(x, *units["x"]), "y": self.scaled(y, *units["y"])}, run)
        return {**w, **units}

    @staticmethod
    def size(x):
        wide = x.std(0, correction=0)
        return torch.where(wide > 0, wide, 1.0)

    @staticmethod
    def scaled(x, mean, size):
        return (x - mean) / size

    @capability(like="y")
    def predict(self, x):
        found = (self.scaled(x.double(), *self.state["x"])[:, :, None] * self.state["w"]).sum(1)
        return self.state["y"][0] + self.state["y"][1] * found


class AnySize(Standard):
    """Never compares what it is asked about with its rows."""

    def likened(self, verb, argument, options):
        return ""


class TellsTwice(Standard):
    """Compares once more by itself."""

    @capability(like="y")
    def predict(self, x):
        warn_if_far("predict", "x", (x - self.state["x"][0]) / self.state["x"][1])
        return super().predict.__wrapped__(self, x)


class CriesWolf(Standard):
    """Finds rows like those of the fit far."""

    @capability(like="y")
    def predict(self, x):
        warn_if_far("predict", "x", x + 100)
        return super().predict.__wrapped__(self, x)


class UnitsOfAll(Standard):
    """Takes the units of rows that are held out along."""

    def learn(self, data, run):
        rows = {
            name: torch.cat([data[name], *([run.held[name]] if name in run.held else [])]) for name in data
        }
        return {**super().learn(data, run), "seen": self.size(rows["x"].double())}


class SetsAside(Standard):
    """Sets half of its rows aside, which nothing that was learnt knows."""

    held_out: float = 0.0

    def learn(self, data, run):
        some = {name: x[::2] if self.held_out else x for name, x in data.items()}
        return super().learn(some, run)


class UnitsBeforeTheCut(SetsAside):
    """Takes its units before the rows are set aside."""

    def learn(self, data, run):
        return {**super().learn(data, run), "seen": self.size(data["y"].double())}


class Unchecked(type(kind_of(Role(name="x")))):
    """Rows of which nobody looks at the numbers."""

    def read(self, value, role, reading):
        rows, given = super().read(torch.nan_to_num(value, 0.0, 0.0, 0.0), role, reading)
        return (value if isinstance(value, torch.Tensor) else rows), given


role_kind("unchecked rows", Unchecked())


class TakesAnything(Standard):
    """Never looks whether its numbers are numbers."""

    def roles(self):
        return Role(name="x", kind="unchecked rows"), Role(name="y")


class DividesByNothing(Standard):
    """Divides by the spread of rows that are all the same."""

    @staticmethod
    def size(x):
        return x.std(0, correction=0)


class OwnUnit(Standard):
    """Adds a constant that is right in one unit."""

    @capability(like="y")
    def predict(self, x):
        return super().predict.__wrapped__(self, x) + 0.5


class DecodesInSinglePrecision(Standard):
    """Goes back to the units of its rows in float32."""

    @capability(like="y")
    def predict(self, x):
        found = (self.scaled(x.double(), *self.state["x"])[:, :, None] * self.state["w"]).sum(1)
        return self.state["y"][0].float() + self.state["y"][1].float() * found.float()


class WholeIfSingle(Standard):
    """Takes numbers in single precision for whole ones."""

    @capability(like="y")
    def predict(self, x):
        return super().predict.__wrapped__(self, x if x.dtype == torch.float64 else x.round())


class TrainsUnseen(Standard):
    """A gradient loop of its own, of which the run knows nothing."""

    steps: int = 10

    def learn(self, data, run):
        for k in range(self.steps):
            run.watch and run.watch("own", k, self.steps)
        return super().learn(data, run)


FAULTS = [
    (AnySize, laws.test_numbers_a_thousand_times_too_large_are_told_once),
    (TellsTwice, laws.test_numbers_a_thousand_times_too_large_are_told_once),
    (CriesWolf, laws.test_numbers_a_thousand_times_too_large_are_told_once),
    (TakesAnything, laws.test_what_is_no_number_is_refused_unless_it_is_a_gap),
    (DividesByNothing, laws.test_few_rows_and_equal_rows_are_refused_or_answered_with_numbers),
    (OwnUnit, laws.test_answers_are_in_the_units_of_the_data),
    (DecodesInSinglePrecision, offset_laws.test_answers_keep_the_digits_of_data_far_from_zero),
    (WholeIfSingle, offset_laws.test_answers_are_the_same_for_numbers_in_single_precision),
    (TrainsUnseen, laws.test_few_rows_that_are_learnt_by_heart_are_told_of),
    (UnitsOfAll, laws.test_rows_that_are_held_out_leave_no_trace),
    (UnitsBeforeTheCut, laws.test_rows_that_it_sets_aside_itself_leave_no_trace),
]
LAWS = [
    law
    for module in (laws, offset_laws)
    for name, law in vars(module).items()
    if name.startswith("test_") and "card" in arguments(law)
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_good_method_obeys(law, carded, tmp_path):
    obey(law, carded(SetsAside), tmp_path)


@pytest.mark.parametrize(("kind", "law"), FAULTS, ids=[f"{k.__name__}-{law.__name__}" for k, law in FAULTS])
def test_the_fault_is_found(kind, law, carded, tmp_path):
    card = carded(kind)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        obey(law, card, tmp_path)


def test_every_law_has_a_fault():
    assert {law.__name__ for law in LAWS} == {law.__name__ for _, law in FAULTS}
