"""Motions of an interface whose law is known, and the quantities that follow from them."""

from dataclasses import dataclass

import numpy as np
import pandas
import pytest
import torch
from scipy import stats
from torch.testing import assert_close
from typer.testing import CliRunner

import interpolants
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.records import record
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.sciml import SubmodelGenerator
from interpolants.sciml.uq.monte_carlo import binomial_interval, quantile_interval
from interpolants.sciml.uq.pde.submodel import Submodel
from interpolants.sciml.uq.problems.clamped_plate import ClampedPlate
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


@pytest.mark.slow
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
    with pytest.raises(InvalidInputError, match="at least three runs"):
        model.fit(motions(2), SummingPart())
    wide = torch.randn(6, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InvalidInputError, match="exceed the number of components"):
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


class MarchingPart:
    """A mass between two springs, moved by its ends in time: quantities of histories ``(R, 2 (T + 1))``."""

    names = ("last", "largest")

    def __init__(self):
        stiffness = np.array([[1.0, -1, 0], [-1, 2, -1], [0, -1, 1]])
        self.part = Submodel(stiffness, interface=np.array([0, 2]), mass=np.eye(3))

    def quantities(self, interface):
        histories = interface.numpy().reshape(len(interface), -1, 2)
        middle = torch.as_tensor(self.part.march(histories, 0.1)[:, :, 1].copy())
        return torch.stack([middle[:, -1], middle.abs().amax(1)], 1)


def histories(n):
    """Motions from rest, ``(n, 2 * 31)``: random sizes times a smooth start; the second end never moves."""
    time = 0.1 * torch.arange(31).double()
    size = torch.randn(n, 2, generator=torch.Generator().manual_seed(0)).double()
    first = size[:, :1] * time**2 + size[:, 1:] * torch.sin(time) ** 2
    return torch.stack([first, 0 * first], 2).flatten(1)


def test_histories_that_are_drawn_begin_at_rest_and_can_be_marched():
    model = SubmodelGenerator(generator="gaussian_fit").fit(histories(50), MarchingPart())
    drawn = model.sample(200, seed=1)
    still = (histories(50) == 0).all(0)
    assert int(still.sum()) == 31 + 1
    assert bool((drawn[:, still] == 0).all())
    assert model.predict(drawn).shape == (200, 2)  # the part refuses a motion that begins at 1e-14


def test_a_column_that_never_changes_keeps_its_value_to_the_bit():
    x = motions(30)
    x[:, 4] = 0.1  # the mean of 30 such numbers is another one
    drawn = SubmodelGenerator(generator="gaussian_fit").fit(x, SummingPart()).sample(5)
    assert bool((drawn[:, 4] == x[0, 4]).all())


def test_an_interval_of_a_probability_is_exact():
    assert binomial_interval(0, 100) == pytest.approx((0.0, 1 - 0.025 ** (1 / 100)))
    assert binomial_interval(100, 100)[1] == 1.0
    low, high = binomial_interval(7, 40, 0.9)
    # By definition: at its ends the tails of the binomial law are 5 %.
    assert stats.binom.sf(6, 40, low) == pytest.approx(0.05)
    assert stats.binom.cdf(7, 40, high) == pytest.approx(0.05)


def test_an_interval_of_a_quantile_is_two_order_statistics():
    x = torch.arange(1.0, 101.0).flip(0)
    low, high = quantile_interval(x, 0.5, 0.95)
    i, j = int(low), int(high)
    assert stats.binom.cdf(i - 1, 100, 0.5) <= 0.025 < stats.binom.cdf(i, 100, 0.5)
    assert stats.binom.sf(j - 1, 100, 0.5) <= 0.025 < stats.binom.sf(j - 2, 100, 0.5)
    assert quantile_interval(x[:5], 0.01)[0] == -torch.inf
    held = [
        quantile_interval(torch.randn(60, generator=torch.Generator().manual_seed(k)), 0.8)
        for k in range(300)
    ]
    truth = stats.norm.ppf(0.8)
    assert 0.93 < np.mean([a <= truth <= b for a, b in held]) <= 1.0


def test_the_estimator_has_the_values_and_errors_of_known_laws():
    model = SubmodelGenerator(generator="gaussian_fit").fit(motions(4000), SummingPart())
    mean, spread = model.state["mean"].sum(), 0.0
    way = model.state["modes"].sum(1)
    spread = float(way @ model.state["law"].sample(40_000, seed=9).double().T.cov() @ way)
    found = model.estimate(draws=20_000, levels=(0.9,), above=(float(mean) + 100.0, -1.0), seed=3)
    assert found["mean_error"][0] == pytest.approx((spread / 20_000) ** 0.5, rel=0.05)
    assert abs(found["mean"][0] - mean) < 4 * found["mean_error"][0]
    assert found["variance"][0] == pytest.approx(spread, rel=0.05)
    assert found["variance_error"][0] == pytest.approx(spread * (2 / 20_000) ** 0.5, rel=0.1)  # of a Gaussian
    top = float(mean) + stats.norm.ppf(0.9) * spread**0.5
    assert found["quantile_0.9_low"][0] < top < found["quantile_0.9_high"][0]
    # Nothing is above: the probability is not known to be 0.
    assert found["exceedance"].tolist() == [0.0, 1.0]
    assert found["exceedance_high"][0] == pytest.approx(1 - 0.025 ** (1 / 20_000))
    assert found["exceedance_low"][1] == pytest.approx(0.025 ** (1 / 20_000))
    own = SummingPart().quantities(motions(500, seed=4))
    biased = model.estimate(own + torch.tensor([30.0, 0.0]), draws=4000)
    assert biased["bias"][0] == pytest.approx(30.0, abs=2.0)  # of a shift, W1 is the shift
    with pytest.raises(InvalidInputError, match="one threshold for each of 2"):
        model.estimate(above=(1.0,))
    with pytest.raises(InvalidInputError, match="reference must have 2 columns"):
        model.estimate(own[:, :1])


def test_an_exceedance_without_a_hit_has_an_error():
    x = motions(600)
    roles = [INTERFACE, TRUTH, SubmodelGenerator().roles()[1]]
    values = {"interface": x, "quantities": 1e6 * SummingPart().quantities(x), "problem": SummingPart()}
    task = Task.of(roles, values, Split(test=300))
    found = ask(SubmodelQuantities(n=400), task.fit(SubmodelGenerator(generator="gaussian_fit")), task)[
        "exceedance"
    ]
    assert found.value == 0
    assert 0.5 / 400 < found.error < 4 / 400


def test_the_shell_estimates_too(tmp_path):
    plate = ClampedPlate(along=16, across=8)
    runs = plate.sample(20, generator=torch.Generator().manual_seed(0))["interface"]
    model = SubmodelGenerator(generator="gaussian_fit").fit(runs, plate)
    model.save(tmp_path / "model")
    whole = plate.sample(9, generator=torch.Generator().manual_seed(1))["quantities"]
    pandas.DataFrame(whole.numpy(), columns=plate.names).to_csv(tmp_path / "whole.csv", index=False)
    words = [
        "--draws",
        "60",
        "--levels",
        "[0.9]",
        "--above",
        "[1.0, 0.0, 0.5]",
        "--reference",
        str(tmp_path / "whole.csv"),
    ]
    out = tmp_path / "estimates.csv"
    done = CliRunner().invoke(app, ["estimate", str(tmp_path / "model"), *words, "--out", str(out)])
    assert done.exit_code == 0, done.output
    table = pandas.read_csv(out)
    found = model.estimate(whole, draws=60, levels=(0.9,), above=(1.0, 0.0, 0.5))
    assert sorted(table.columns) == sorted(found)
    for name, value in found.items():
        assert_close(torch.tensor(table[name].to_numpy()), value.double(), rtol=1e-6, atol=1e-9)


def test_the_share_that_components_leave_out_is_that_of_the_others():
    x = motions(400)
    model = SubmodelGenerator(generator="gaussian_fit", variance=0.5).fit(x, SummingPart())
    assert model.components == 1
    sizes = torch.linalg.eigvalsh(torch.cov(x.T))
    assert model.state["left"] == pytest.approx(1 - float(sizes[-1] / sizes.sum()))
