"""A split given by words, and groups such as patients, none of which may lie in two parts."""

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task

ROLES = (Role(name="x"),)
WORDS = ["train", "train", "held", "test", "test", "train"]


def parted(patients, words=WORDS, **settings):
    values = {"x": torch.arange(len(words)).double()[:, None], "part": words, "patient": patients}
    return Task.of(ROLES, values, Split(by="given", role="part", groups="patient", **settings))


@pytest.mark.parametrize("patients", [["a", "b", "c", "d", "d", "a"], [1, 2, 3, 4, 4, 1]])
def test_patients_that_lie_in_one_part_each_change_nothing(patients):
    found = parted(patients)
    plain = Task.of(
        ROLES, {"x": torch.arange(6).double()[:, None], "part": WORDS}, Split(by="given", role="part")
    )
    assert {part: found.part(part)["x"].flatten().tolist() for part in ("train", "held", "test")} == {
        "train": [0.0, 1.0, 5.0],
        "held": [2.0],
        "test": [3.0, 4.0],
    }
    assert torch.equal(found.train["x"], plain.train["x"])


@pytest.mark.parametrize(
    ("patients", "told"),
    [
        (["a", "b", "c", "a", "b", "e"], "got 2 in both train and test, e.g. 'a'"),
        (["a", "b", "c", "c", "d", "e"], "got 1 in both held and test, e.g. 'c'"),
        ([7, 8, 8, 9, 9, 7], "got 1 in both train and held, e.g. 8"),
    ],
)
def test_a_patient_on_both_sides_is_refused_by_name(patients, told):
    rule = "split: all rows of a group of patient must lie in one part, "
    with pytest.raises(InvalidInputError, match=rule + told):
        parted(patients)


def test_groups_go_with_words_alone():
    with pytest.raises(InvalidInputError, match=r"groups goes with by = 'given'.*by = 'group'"):
        Split(by="random", groups="patient")


def test_a_recipe_names_the_patients_of_its_rows(tmp_path):
    rows = pd.DataFrame({"a": torch.randn(12).numpy(), "b": torch.randn(12).numpy()})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    words = {"part": ["train"] * 8 + ["test"] * 4, "patient": ["p", "q", "r", "s"] * 3}
    for name, values in words.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(values) + "\n")
    files = [f'x1 = "{tmp_path}/rows.csv"', *(f'{name} = "{tmp_path}/{name}.txt"' for name in words)]
    split = '[split]\nby = "given"\nrole = "part"\ngroups = "patient"'
    recipe = "\n".join(["[data]", *files, split, '[method]\nkind = "gaussian_fit"\n'])
    (tmp_path / "recipe.toml").write_text(recipe)
    asked = ["run", "--config", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code != 0
    assert "4 in both train and test, e.g. 'p'" in found.output.replace("\n", " ")
