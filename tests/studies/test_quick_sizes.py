"""Studies without a test file of their own, and what of a study needs no data, run to their tables and figures."""

import math

import pytest
from studies.__main__ import find
from studies.common import run

ONLY = {
    "auto_eps": ("five modes",),
    "completion": ("unaware", "one-way, 1 cycle", "RePaint, once"),
    "few_rows": ("threes to eights, 20 rows", "even to odd, 20 rows"),
    "hallucinations": ("line", "grid, recursive"),
    "negative_transfer": ("plain", "Nash", "affinity"),
    "flow_maps": ("checkerboard: ode", "checkerboard: semigroup"),
    "multimarginal": ("shapes: one model, edges", "shapes: a bridge per pair"),
    "schrodinger": ("2-D / interpolant", "2-D / entropic"),
}


@pytest.mark.slow  # about 15 s each
@pytest.mark.parametrize("name", ONLY)
def test_the_quick_size_measures_finite_numbers_and_draws_its_figures(name, tmp_path):
    study = find(name)
    results = run(study, "quick", range(1), tmp_path, only=ONLY[name])
    assert results.cases == list(ONLY[name])
    numbers = [v for case in results.cases for key in results.names(case) for v in results.values(case, key)]
    assert len(numbers) > 5
    assert all(map(math.isfinite, numbers))
    assert {path.stem for path in tmp_path.glob("*.png")} >= {f.name for f in study.figures(results)}
    assert (tmp_path / "table.md").stat().st_size > 100
