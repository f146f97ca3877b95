import math

import numpy as np
import pytest

from interpolants.framework.answered import measured
from interpolants.framework.experiment import conduct
from interpolants.framework.figures import Figure, Panel
from interpolants.framework.seeds import SeededCases, Stated, cell_id, compared, markdown, shown

CLAIMS = (
    Stated("sum.n < short + 1", ("long", "n"), ("x, 1", "n"), seeds=2, budget="ci"),
    Stated("sum.n < 0.5 floor", ("long", "n"), ("x, 1", "n"), "floor", 2, "fails", "ci"),
    Stated("sum.n < 3", ("long", "n"), seeds=2),
)


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
    experiment = example([0, 1], claims=CLAIMS)
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
    assert results.rows({"l": "long"}, {"n": 1, "far": 0}) == [["l", "18.0 ± 10.0", "inf"]]
    assert results.rows(["long"], ["n"]) == [["long", "18.000 ± 10.000"]]
    assert "| x, 1 | 18.000 ± 10.000 |" in found.texts["table"][0]
    # Paired over seeds the two do not differ, although each has an error of 10.
    assert found["sum.n"].gaps == {"short": 0.0}
    assert found["sum.n"].floor == 18.0
    assert [verdict.outcome for verdict in found.verdicts] == ["holds", "undecided", "not asked"]
    assert "`sum.n < short + 1`" in found.texts["table"][0]


def test_ids_of_cells_are_names_of_files():
    assert cell_id("t in [0.2, 0.8], w = 3", 12) == "t_in_0_2_0_8_w_3_12"
    assert cell_id("(b, s)", 0) == "b_s_0"


def test_words_for_numbers_over_seeds():
    assert shown([1.0]) == "1.000"
    assert shown([]) == "–"
    assert shown([1.0, 2.0], 1) == "1.5 ± 0.5"
    assert compared("a is more", [3.0, 1.0], [1.0, 2.0, 9.0]) == ["a is more", "0.5000 ± 1.5000", "1 of 2"]
    assert markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


def test_a_case_that_was_not_measured_has_no_score(tmp_path):
    found = conduct(example([0], claims=CLAIMS), tmp_path, only=["x_1_0"])
    assert found.scores == ()
    assert {verdict.outcome for verdict in found.verdicts} == {"not asked"}
    few = conduct(example([0, 1], claims=CLAIMS), tmp_path, only=["long_0", "long_1"])
    assert few["sum.n"].rivals == {}  # the rival has one seed of two
    assert [verdict.outcome for verdict in few.verdicts] == ["not asked"] * 3
    with pytest.raises(KeyError):
        example([0]).cells()["x_1_1"]
