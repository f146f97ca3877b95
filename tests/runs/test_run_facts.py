"""What a report is told of a run: data, model, stages, answers by question, command."""

import pytest

from interpolants.framework.experiment import gather
from interpolants.reports.answers_page import write_answers
from interpolants.runs.recipe_files import RecipeFolder, changed_recipe
from interpolants.runs.recipe_run import RecipeRun
from interpolants.runs.run_facts import keep_command, run_facts

RECIPE = {
    "title": "Two moons",
    "budget": "ci",
    "data": {"x1": {"problem": "moons", "n": 200}},
    "method": {"kind": "gaussian_fit", "ridge": 0.01},
    "ask": [
        {"question": "sample_quality", "n": 40, "rivals": [{"twin": {"ridge": 5.0}}]},
        {"question": "sample_quality", "name": "again", "n": 20},
        {"question": "copied_rows", "rivals": [{"kind": "gaussian_fit", "ridge": 9.0, "name": "wide"}]},
    ],
    "claim": [{"says": "sample_quality.energy_distance < twin", "role": "twin", "expected": "fails"}],
}
TRAINED = {
    "data": {"x1": {"dataset": "digits", "limit": 60}},
    "method": {
        "kind": "flow_map", "path": "one_sided_linear", "steps": 20, "batch_size": 16, "log_every": 5,
        "checkpoint_every": 10, "net": {"kind": "mlp", "width": 8, "depth": 2},
    },
}  # fmt: skip


def facts_of(folder, tables, seeds=1):
    made = RecipeFolder(folder, changed_recipe({**tables, "seeds": seeds}))
    return run_facts(made, made.run()), made


def test_data_model_and_answers_are_told_by_what_the_recipe_and_the_cards_say(tmp_path):
    facts, _ = facts_of(tmp_path / "run", RECIPE)
    (cell,) = facts.cells
    (role,) = cell.data
    assert (role.role, role.name, role.shape, dict(role.rows)) == (
        "x1",
        "moons",
        "2 numbers",
        {"train": 160, "test": 40},
    )
    assert cell.split == "Rows are parted at random"
    assert cell.title == cell.model.title == "Gaussian fit"
    assert cell.model.settings == {"ridge": 0.01}
    first, again, copied = cell.questions
    assert again.title == f"{first.title}: again"
    assert first.settings == {"n": 40}
    assert first.rivals == {"twin": "the same method with ridge 5"}
    assert copied.rivals == {"wide": "Gaussian fit (ridge 9)"}
    assert first.expected == ["twin"]
    assert again.expected == []
    assert {score.name.partition(".")[0] for score in again.scores} == {"again"}
    assert [figure.name for figure in again.figures] == ["samples"]
    assert [figure.name for figure in copied.figures] == ["nearest"]
    assert facts.seconds is not None
    assert set(facts.versions) == {"python", "torch", "numpy", "interpolants"}


def test_stages_have_their_rows_and_seconds_and_parameters_are_counted_once(tmp_path):
    facts, _ = facts_of(tmp_path / "run", TRAINED)
    (cell,) = facts.cells
    (stage,) = cell.stages
    assert [row["step"] for row in stage.history] == [5, 10, 15, 20]
    assert stage.seconds > 0
    from interpolants import load

    assert cell.model.parameters == sum(p.numel() for p in load(tmp_path / "run").state["net"].parameters())
    assert cell.model.settings.keys() == {"path", "steps", "batch_size", "net"}  # what results depend on
    (role,) = cell.data
    assert role.licence
    assert role.shape == "1 × 8 × 8"
    assert cell.split == "The data of x1 came with a part to be tested on"
    assert cell.model.formulas


def test_rows_that_a_fit_sets_aside_are_no_training_rows(tmp_path):
    method = {
        "kind": "bridge",
        "path": "one_sided_linear",
        "steps": 2,
        "net": {"kind": "mlp", "width": 8, "depth": 2},
    }
    data = {"x1": {"problem": "moons", "n": 500}}
    facts, _ = facts_of(tmp_path / "run", {"data": data, "method": method})
    assert dict(facts.cells[0].data[0].rows) == {"train": 360, "held": 40, "test": 100}
    assert facts.use == f"interpolants sample {tmp_path / 'run'} -n 1000 --out samples.npz"
    held = {"split": {"held": 0.2}, "data": data, "method": method}
    facts, _ = facts_of(tmp_path / "held", held)
    assert dict(facts.cells[0].data[0].rows) == {"train": 300, "held": 100, "test": 100}


def test_what_to_use_is_the_command_of_what_the_method_can_do(tmp_path):
    data = {"now": {"problem": "rotating_mixture", "n": 300}, "later": {"follows": "now"}}
    method = {"kind": "forecaster", "steps": 2, "net": {"kind": "mlp", "width": 8, "depth": 2}}
    facts, _ = facts_of(tmp_path / "run", {"data": data, "method": method})
    assert facts.use == f"interpolants forecast {tmp_path / 'run'} context.csv"


def test_the_command_is_the_first_one_and_a_second_report_is_the_same(tmp_path):
    facts, folder = facts_of(tmp_path / "run", RECIPE, seeds=2)
    assert facts.command == ""
    keep_command(folder.out, "interpolants run --config a")
    keep_command(folder.out, "interpolants run --resume")
    again = run_facts(folder, gather(RecipeRun(folder.recipe), folder.out))
    assert again.command == "interpolants run --config a"
    assert [cell.seed for cell in again.cells] == [0, 1]
    assert [cell.data for cell in again.cells] == [cell.data for cell in facts.cells]
    assert "recipe.json" in again.again


def test_data_of_a_run_that_kept_no_words_are_read_again_and_missed_where_they_are_gone(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("a,b\n" + "".join(f"{k},{k * k % 7}\n" for k in range(60)))
    facts, folder = facts_of(tmp_path / "run", {**RECIPE, "data": {"x1": str(rows)}})
    kept = folder.out / "work" / "main" / "data.json"
    kept.unlink()
    found = gather(RecipeRun(folder.recipe), folder.out)
    assert run_facts(folder, found).cells[0].data == facts.cells[0].data
    kept.unlink()
    rows.unlink()
    lost = run_facts(folder, found).cells[0]
    assert lost.data == ()
    assert lost.missing[0].startswith("The data could not be read for this report: ")


def test_judging_on_training_rows_is_a_finding(tmp_path):
    facts, _ = facts_of(tmp_path / "run", {**RECIPE, "split": {"by": "none"}})
    assert "It is judged on the rows it has learnt from: nothing was held out." in [
        finding.text for finding in facts.cells[0].findings
    ]


def test_the_page_is_written(tmp_path):
    pytest.importorskip("matplotlib")
    facts, folder = facts_of(tmp_path / "run", TRAINED)
    page = write_answers(folder.out, facts).read_text(encoding="utf-8")
    assert "Flow map, fitted to digits (" in page
    assert "asks no question" in page
