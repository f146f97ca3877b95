"""Motions of an interface whose law is known, and the quantities that follow from them."""

from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.records import record
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.problems import ClampedPlate
from interpolants.sciml import SubmodelGenerator
from interpolants.sciml.uq.submodel_generator import INTERFACE
from interpolants.sciml.uq.submodel_quantities import TRUTH, SubmodelQuantities, relative_distance


@record("summing_part")
@dataclass(frozen=True)
class SummingPart:
    """A part whose quantities are known: the sum of the motions, and the square of the first."""

    names = ("total", "square")

    def quantities(self, interface):
        return torch.stack([interface.sum(1), interface[:, 0].square()], 1)


def motions(n, seed=0):
    """Two Gaussian coefficients on five degrees of freedom, the last of which never moves."""
    way = torch.tensor([[1.0, 2, 0, 1, 0], [0, 1, -1, 2, 0]], dtype=torch.float64)
    z = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (z * torch.tensor([2.0, 0.5]).double()) @ way + torch.tensor([1.0, 0, 0, 0, 0]).double()


def test_a_gaussian_law_is_found_again_on_its_components():
    x = motions(4000)
    model = SubmodelGenerator(generator="gaussian_fit").fit(x, SummingPart())
    assert model.components == 2
    drawn = model.sample(20_000, seed=1)
    assert_close(drawn.mean(0), x.mean(0), rtol=0, atol=0.05)
    assert_close(torch.cov(drawn.T), torch.cov(x.T), rtol=0.05, atol=0.05)
    assert float(drawn[:, 4].abs().max()) == 0
    assert_close(model.predict(drawn)[:, 0], drawn.sum(1))
    assert model.columns("quantities") == ("total", "square")


def test_the_question_measures_the_distance_of_quantities():
    x = motions(1500)
    roles = [INTERFACE, TRUTH, SubmodelGenerator().roles()[1]]
    truth = SummingPart().quantities(x)
    values = {"interface": x, "quantities": truth, "problem": SummingPart()}
    task = Task.of(roles, values, Split(test=1000))
    model = SubmodelGenerator(generator="gaussian_fit")
    found = ask(SubmodelQuantities(n=4000), task.fit(model), task)
    assert found["total"].value < 0.15
    assert abs(found["exceedance"].value - 0.1) < 0.03
    assert found["exceedance_error"].value < 0.03
    assert found["total"].floor == pytest.approx(
        relative_distance(truth_of(task.train), truth_of(task.test)).value
    )
    # Motions that are too small are told.
    half = Task.of(roles, {**values, "quantities": SummingPart().quantities(2 * x)}, Split(test=1000))
    assert ask(SubmodelQuantities(n=4000), half.fit(model), half)["total"].value > 0.3
    assert found.figures[0].name == "quantities"


def truth_of(part):
    return part["quantities"][:, 0]


def test_a_distance_is_that_of_quantile_functions():
    x = torch.randn(2000, generator=torch.Generator().manual_seed(0)).double()
    assert relative_distance(x, x).value == 0
    shifted = relative_distance(x + 0.5, x)
    assert abs(shifted.value - 0.5 / float(x.std())) < 1e-9
    # Of a shift, the distance is a difference of means.
    assert abs(shifted.error - (2 / 2000) ** 0.5) < 1e-3
    assert relative_distance(x[:1000].repeat(3), x[:1000]).value < 1e-12


def test_a_plate_is_learnt_from_its_runs():
    """The whole chain at a small size: quantities of drawn motions are near those of whole plates."""
    plate = ClampedPlate(along=16, across=8)
    drawn = plate.sample(300, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 32, "depth": 2}
    generator = {
        "kind": "bridge",
        "path": "one_sided_linear",
        "net": net,
        "steps": 600,
        "batch_size": 128,
        "ema": 0.98,
    }
    model = SubmodelGenerator(generator=generator).fit(drawn["interface"], plate, progress=False)
    gaussian = SubmodelGenerator(generator="gaussian_fit").fit(drawn["interface"], plate)
    errors = [
        relative_distance(one.predict(one.sample(1000))[:, 1], drawn["quantities"][:, 1]).value
        for one in (model, gaussian)
    ]
    assert errors[0] < 0.6 * errors[1]


def test_a_model_is_stored_with_its_part(tmp_path):
    """The part by its card. That a process that has imported nothing reads it is a law of methods."""
    plate = ClampedPlate(along=16, across=8)
    runs = plate.sample(20, generator=torch.Generator().manual_seed(0))["interface"]
    model = SubmodelGenerator(generator="gaussian_fit").fit(runs, plate)
    again = interpolants.load(model.save(tmp_path / "model"))
    drawn = again.sample(3)
    assert torch.equal(drawn, model.sample(3))
    assert torch.equal(again.predict(drawn), model.predict(drawn))
    assert again.predict(drawn).shape == (3, 3)


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match="must be a method that can sample"):
        SubmodelGenerator(generator="exact_gp")
    model = SubmodelGenerator(generator="gaussian_fit")
    with pytest.raises(InvalidInputError, match="problem must have quantities"):
        model.fit(motions(10), object())
    with pytest.raises(InvalidInputError, match="three runs or more"):
        model.fit(motions(2), SummingPart())
    wide = torch.randn(6, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InvalidInputError, match="more runs than components"):
        model.fit(wide, SummingPart())
    with pytest.raises(InvalidInputError, match="motion must have 68 columns"):
        SubmodelGenerator(generator="gaussian_fit").fit(motions(20), ClampedPlate()).predict(motions(3))


def test_the_default_generator_learns_from_motions_alone():
    model = SubmodelGenerator()
    model = SubmodelGenerator(generator=model.generator.clone().set_params(steps=1)).fit(
        motions(20), SummingPart()
    )
    assert model.sample(3).shape == (3, 5)
    with pytest.raises(
        InvalidInputError, match=r"SubmodelGenerator: generator must learn from vectors x1 alone.*x0"
    ):
        SubmodelGenerator(generator="bridge")
