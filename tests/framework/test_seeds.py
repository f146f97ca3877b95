import math

import numpy as np
import pytest

from interpolants.framework.claims import Claim
from interpolants.framework.experiment import conduct
from interpolants.framework.figures import Figure, Panel
from interpolants.framework.scores import measured
from interpolants.framework.seeds import Compared, Number, SeededCases, cell_id, markdown, shown

COMPARED = (Compared("sum.n", Number("long", "n"), {"short": Number("x, 1", "n")}),)


def measure(case, seed, settings):
    values = {"n": settings["scale"] * (10 * seed + len(case)), "far": math.inf, "fit": 0.5}
    return measured(values, {"a": np.arange(3) + seed}, timed=("fit",))


def table(results):
    return markdown(["case", "n"], [[case, results.shown(case, "n")] for case in results.cases])


def figures(results):
    line = results.curve(range(len(results.cases)), [(case, "n") for case in results.cases])
    return [Figure(name="n", panels=(Panel(series=(line,)),))]


def example(seeds, **more):
    cases = ("x, 1", "long")
    return SeededCases("example", {"scale": 2.0}, cases, seeds, measure, table, figures, **more)


def test_cases_and_seeds_are_cells_and_come_back_by_case(tmp_path):
    claim = Claim(says="sum.n < short + 1", seeds=2)
    experiment = example([0, 1], claims=[claim], compared=COMPARED)
    assert list(experiment.cells()) == ["x_1_0", "long_0", "x_1_1", "long_1"]
    found = conduct(experiment, tmp_path)
    results = experiment.results({n: experiment.run(c, tmp_path) for n, c in experiment.cells().items()})
    assert results.values("long", "n") == [8.0, 28.0]
    assert results.values("long", "fit") == [0.5, 0.5]
    assert results.names("long") == ["n", "far"]
    assert results.seeds == [0, 1]
    assert results.arrays("x, 1", 1)["a"].tolist() == [1, 2, 3]
    assert results.arrays("x, 1", 7) == {}
    assert results.values("nothing", "n") == []
    assert "| x, 1 | 18.000 ± 10.000 |" in found.texts["table"][0]
    # Paired over seeds the two do not differ, although each has an error of 10.
    assert found["sum.n"].gaps == {"short": 0.0}
    assert found.verdicts[0].outcome == "holds"
    assert "`sum.n < short + 1`" in found.texts["table"][0]


def test_ids_of_cells_are_names_of_files():
    assert cell_id("t in [0.2, 0.8], w = 3", 12) == "t_in_0_2_0_8_w_3_12"
    assert cell_id("(b, s)", 0) == "b_s_0"


def test_words_for_numbers_over_seeds():
    assert shown([1.0]) == "1.000"
    assert shown([]) == "–"
    assert shown([1.0, 2.0], 1) == "1.5 ± 0.5"
    assert markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


def test_a_case_that_was_not_measured_has_no_score(tmp_path):
    found = conduct(example([0], compared=COMPARED), tmp_path, only=["x_1_0"])
    assert found.scores == ()
    with pytest.raises(KeyError):
        example([0]).cells()["x_1_1"]
