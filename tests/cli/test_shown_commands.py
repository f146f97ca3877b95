"""Commands that recipes and pages show are such as the command line takes: names, options, files in their places.

Nothing is computed. The method behind a folder is that of the recipe whose run wrote the folder on the same page.
"""

import re
import shlex
from pathlib import Path

import pytest
import typer

from interpolants.cli.app import app
from interpolants.cli.verb_options import command_options, signature_of
from interpolants.cli.verbs import verbs
from interpolants.framework.capabilities import capabilities_of
from interpolants.runs.recipe import make_method
from interpolants.runs.recipe_files import read_recipe
from interpolants.runs.recipes import find_recipe
from rings import names_absent

ROOT = Path(__file__).parents[2]
GROUP = typer.main.get_command(app)
PATTERNS = (
    "recipes/*.toml",
    "src/interpolants/*/*/recipes/*.toml",
    "*.md",
    "docs/**/*.md",
    "studies/*/README.md",
)
UsageError = typer.BadParameter.__mro__[1]


def shown(page):
    """Commands on a page, or in the opening of a recipe, without the remarks behind them."""
    text = page.read_text()
    if page.suffix == ".toml":
        opening = "\n".join(line[1:].strip() for line in text.splitlines() if line.startswith("#"))
        found = re.findall(r"^(?:Later: )?interpolants (.*)$", opening.replace("\\\n", " "), re.MULTILINE)
        return [re.split(r"\s{2,}\(|\s{3,}", line)[0] for line in found]
    blocks = "\n".join(re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    return re.findall(r"^(?:\$ )?interpolants (.*?)(?:\s+#.*)?$", blocks.replace("\\\n", " "), re.MULTILINE)


PAGES = [
    page
    for pattern in PATTERNS
    for page in sorted(ROOT.glob(pattern))
    if shown(page) and not names_absent(page.read_text())
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_that_are_shown_can_be_called(page):
    wrong, written = [], {}
    for line in shown(page):
        try:
            check(shlex.split(line), written)
        except UsageError as error:
            wrong.append(f"interpolants {line}: {error.format_message()}")
    assert wrong == []


TASK = """
[[tasks]]
name = "rows_{n}"
method.kind = "mean_value"
data.points = "points.csv"
data.values = "values.csv"
"""
TWO_MEANS = TASK.format(n=50) + TASK.format(n=90)


@pytest.mark.parametrize(
    "line",
    [
        "predict runs/q new.csv",  # of which task?
        "predict runs/q --task rows_90",
        "predict runs/q --task rows_90 new.csv --of y.csv",
        "sample runs/q --task rows_90 -n 3",  # a mean, which draws nothing
        "predicts runs/q",
        "run --confg two_means",
    ],
)
def test_lines_that_cannot_be_called_are_seen(line, tmp_path, monkeypatch):
    written = {}
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "two_means.toml").write_text(TWO_MEANS)
    monkeypatch.chdir(tmp_path)
    check(shlex.split("run --config two_means --out runs/q"), written)
    check(shlex.split("predict runs/q --task rows_90 new.csv --out y.csv"), written)
    with pytest.raises(UsageError):
        check(shlex.split(line), written)


def check(words, written):
    """Parse a command, and remember the recipe of a run by its folder."""
    verb, rest = words[0], words[1:]
    command = GROUP.get_command(typer.Context(GROUP), verb)
    if command is None:
        raise UsageError(f"there is no command {verb}")
    given = command.make_context(verb, list(rest)).params
    if verb not in verbs():
        if given.get("config") and given.get("out") and find_recipe(Path(given["config"])):
            written[str(given["out"])] = read_recipe(find_recipe(Path(given["config"])), given["sets"] or ())
        return
    recipe = written.get(str(given["folder"]))
    if recipe is None:  # a folder of the reader's own
        return
    tasks = {one.name: one for one in recipe.tasks}
    if (given["task"] or "main") not in tasks:
        raise UsageError(f"--task must be one of {list(tasks)}")
    task = tasks[given["task"] or "main"]
    check_verb(verb, make_method(task, 0), task, options_of_its_own(rest[1:]))


def options_of_its_own(words):
    """Without those of every verb."""
    for name in ("--task", "--run-seed"):
        if name in words:
            place = words.index(name)
            words = words[:place] + words[place + 2 :]
    return words


def check_verb(verb, method, task, words):
    able = capabilities_of(type(method))
    if verb.replace("-", "_") not in able:
        raise UsageError(f"{type(method).__name__} cannot {verb}")
    for role in task.data:  # conditions and modalities, which only a fit knows of
        if (name := f"--{role.replace('_', '-')}") in words:
            place = words.index(name)
            words = words[:place] + words[place + 2 :]
    options, _ = command_options(method, able[verb.replace("-", "_")], cuttable=True)

    def call(**given):
        """Never called: the words are parsed alone."""

    call.__signature__ = signature_of(options)
    call.__annotations__ = {name: annotation for name, (annotation, _) in options.items()}
    made = typer.Typer(add_completion=False)
    made.command(verb)(call)
    typer.main.get_command(made).make_context(verb, words)
