"""Twenty recipes at their quick size: each report begins with a picture and one score, chosen by a second route."""

import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.framework.experiment import gather
from interpolants.reports.front import main_score
from interpolants.runs.recipe_files import RecipeFolder
from interpolants.runs.recipe_run import RecipeRun
from interpolants.runs.recipes import find_recipe
from interpolants.runs.run_facts import run_facts

pytest.importorskip("matplotlib")

RECIPES = [
    "auto_eps", "checkerboard", "cyclic_one_way", "demo", "encoder_propagation", "few_step", "flow_map", "forecaster",
    "guidance", "kinetic_optimal", "mixture_2d", "moons_to_rings", "negative_transfer", "ode_sde_gap", "pfgmpp",
    "prior_restoration", "rectification", "restoration", "shortest_path", "vp_digits",
]  # fmt: skip


def widest(question, scores):
    """The score with the widest gap between floor and best rival in standard errors, written out."""
    best, found = -math.inf, None
    for score in scores:
        rivals = [v for name, v in score.rivals.items() if name not in question.expected and math.isfinite(v)]
        known = not isinstance(score.floor, str) and math.isfinite(score.floor) and rivals
        variance = sum(e * e for e in (score.error, score.floor_error) if math.isfinite(e))
        if score.better == "neither" or not known or not variance:
            continue
        gap = min(rivals) - score.floor if score.better == "lower" else score.floor - max(rivals)
        if gap / variance**0.5 > best:
            best, found = gap / variance**0.5, score
    return best, found


@pytest.mark.slow  # 5 to 20 s each
@pytest.mark.parametrize("name", RECIPES)
def test_a_report_begins_with_a_picture_and_one_score(name, tmp_path):
    assert len(set(RECIPES)) == 20
    assert find_recipe(Path(name)) is not None
    done = CliRunner().invoke(app, ["run", "--config", name, "--quick", "--out", str(tmp_path / "run"), "-q"])
    assert done.exit_code == 0, done.output
    folder = RecipeFolder.stored(tmp_path / "run")
    facts = run_facts(folder, gather(RecipeRun(folder.recipe), folder.out))
    page = (folder.out / "report.html").read_text(encoding="utf-8")
    head = page[page.index("<h1") : page.index("<nav")]
    assert ("<figure" in head) == any(q.figures for cell in facts.cells for q in cell.questions)
    if "<figure" in head:
        assert head.index("<figure") < head.index("What was learnt") < head.index("How good it is")
    assert page.index('id="results"') < page.index('id="findings"')  # a quick run is not judged
    words = re.sub(r"<[^>]*>", "", head)
    for cell in facts.cells[:4]:
        pairs = [widest(question, question.scores) for question in cell.questions]
        gap, score = max(pairs, key=lambda pair: pair[0], default=(-math.inf, None))
        chosen = main_score(cell.questions)
        if math.isfinite(gap):
            assert (chosen.name, chosen.value) == (score.name, score.value)
        if chosen is not None:
            assert (chosen.title or chosen.name.rpartition(".")[2].replace("_", " ")).lower() in words.lower()
