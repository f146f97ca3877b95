"""What the documents say is run: the README's example, the snippets, the table made from the cards.

Every block of Python on a page is run by a test here, or by the build of the site (the cells of ``docs/learn``), or its
page stands in ``NOT_RUN`` with the reason. A block that begins with ``# needs a, b`` runs where these are installed.
"""

import ast
import doctest
import importlib.util
import re
import warnings
from pathlib import Path

import pytest
import torch

from interpolants import data
from interpolants.foundations.errors import InterpolantsError
from interpolants.problems import EightGaussians, Moons
from rings import names_absent
from thirds import third

ROOT = Path(__file__).parents[1]
NOT_RUN = {
    "CONTRIBUTING.md": "the files of a method that does not exist; the real ones are tested where they lie",
    "docs/serve.md": "it asks a server at a port; tests/web/test_model_server.py asks one in the same way",
}

# The steps of a training, where one is set; a forecast of 18 steps is none.
LEARNS = re.compile(r"(?<![\w])steps=\d{3,}")


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_methods_is_what_the_cards_say():
    page = load(ROOT / "docs" / "methods.py").page()
    assert (ROOT / "docs" / "methods" / "README.md").read_text() == page, "run python docs/methods.py"


def pages():
    """Every page for people, by its path from the root; without those about rings that were deleted."""
    patterns = ("*.md", "docs/*.md", "docs/*/*.md", "studies/*.md", "studies/*/README.md")
    found = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    return [path.relative_to(ROOT).as_posix() for path in found if not names_absent(path.read_text())]


@pytest.mark.parametrize("page", pages())
def test_links_between_files_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [t for t in targets if t and "://" not in t and not ((ROOT / page).parent / t).exists()]
    assert missing == []


@pytest.mark.parametrize("page", pages())
def test_nothing_is_left_to_be_filled_in(page):
    text = (ROOT / page).read_text()
    alone = re.findall(r"(?m)^[A-Z][A-Z0-9_]{3,}$", text)  # a word in capitals on a line of its own
    assert alone + re.findall(r"\b(?:TODO|TBD|FIXME|XXX)\b", text) == []


def test_every_study_has_its_verdict_and_a_line_in_the_list():
    listed = (ROOT / "studies" / "README.md").read_text()
    for folder in sorted(path.parent for path in ROOT.glob("studies/*/experiment.py")):
        assert f"({folder.name}/README.md)" in listed, folder.name
        text = (folder / "README.md").read_text()
        for part in ("Question", "Command", "Verdict"):
            assert part in text, (folder.name, part)
        assert f"python -m studies {folder.name} " in text


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def is_session(block):
    return ">>>" in block


def needs(block):
    """What a block asks for in its first line."""
    found = re.match(r"# needs (.+)\n", block)
    return [name.strip() for name in found[1].split(",")] if found else []


def plain(page):
    return [block for block in blocks(page) if not is_session(block)]


def sessions():
    return [page for page in pages() if any(map(is_session, blocks(page)))]


def examples():
    """Pages with code to run from above to below; README.md and docs/index.md have tests of their own."""
    ours = [page for page in pages() if any(not needs(block) for block in plain(page))]
    return [page for page in ours if page not in {*NOT_RUN, "README.md", "docs/index.md"}]


def neighbours():
    """Pages that show another library beside ours."""
    return [page for page in pages() if any(needs(block) for block in plain(page))]


def test_no_block_of_python_escapes_under_another_name():
    for page in pages():
        for fence in re.findall(r"(?m)^\s*(?:```|~~~)[ ]*(\S+)", (ROOT / page).read_text()):
            assert fence not in ("py", "python3", "pycon", "ipython", "Python"), (page, fence)
    cells = [page for page in pages() if "```{code-cell}" in (ROOT / page).read_text()]
    for page in cells:
        assert (ROOT / page).read_text().startswith("---\nfile_format: mystnb\n"), f"{page} would not be run"


def test_what_is_not_run_is_there_and_has_code():
    assert [page for page in NOT_RUN if not plain(page)] == []


@pytest.mark.parametrize("page", sessions())
def test_the_snippets_of_a_page_give_what_they_show(page):
    failed, _ = doctest.testfile(str(ROOT / page), module_relative=False)
    assert failed == 0


@pytest.mark.slow  # each trains for some seconds
@pytest.mark.parametrize("page", examples())
def test_the_example_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = [block for block in plain(page) if not needs(block)]
    if page.startswith("docs/coming_from/"):  # that it runs is the question here, not how well it learns
        code = [re.sub(r"\bsteps=\d+", "steps=20", block) for block in code]
    run(code, page)


def judged():
    """Pages of methods with a call."""
    return [page for page in examples() if page.startswith("docs/methods/")]


@pytest.mark.parametrize("page", judged())
def test_the_call_of_a_method_s_page_ends_in_a_comparison_with_what_is_known(page):
    """The page says what the answers must be, and `test_the_example_of_a_page_runs` holds it to that."""
    last = ast.parse("\n".join(plain(page))).body[-1]
    last = last.body[-1] if isinstance(last, ast.For) else last
    assert isinstance(last, ast.Assert), f"{page}: end the example in an assertion of the answer"
    assert any(isinstance(node, ast.Compare | ast.Call) for node in ast.walk(last.test)), page


@pytest.mark.slow
@pytest.mark.parametrize("page", third(page for page in judged() if LEARNS.search("".join(plain(page)))))
def test_what_is_known_is_not_met_by_a_model_that_has_learnt_nothing(page, tmp_path, monkeypatch):
    """The same call after one step: a comparison that still held would judge nothing, unless the page says why."""
    told = re.search(r"# Met by an untrained model too: (.+)", "".join(plain(page)))
    if told:
        pytest.skip(told[1])
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, InterpolantsError)):
        run([LEARNS.sub("steps=1", block) for block in plain(page)], page)


def test_the_first_page_shows_lines_of_the_readme():
    def lines(page):
        return {line.partition("#")[0].strip() for line in plain(page)[0].splitlines() if line.strip()}

    assert lines("docs/index.md") <= lines("README.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", neighbours())
def test_the_other_side_runs_where_it_is_installed(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    theirs = [block for block in plain(page) if needs(block)]
    missing = {name for block in theirs for name in needs(block) if importlib.util.find_spec(name) is None}
    here = [block for block in theirs if missing.isdisjoint(needs(block))]
    if not here:
        pytest.skip(f"{', '.join(sorted(missing))} not installed")
    run(here, page)


@pytest.mark.parametrize("page", [page for page in neighbours() if "/coming_from/" in page])
def test_the_lines_of_both_sides_are_counted(page):
    found = re.findall(r"(\d+) lines:\n\n```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(found) == 2
    for number, block in found:
        lines = [line for line in block.splitlines() if line.strip() and not line.strip().startswith("#")]
        assert int(number) == len(lines), page


def run(code, page):
    names = given() if page.startswith("docs/coming_from/") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in code:
            exec(compile(block, page, "exec"), names)


def given():
    """The data that the pages about other libraries speak of."""
    g = torch.Generator().manual_seed(0)
    theta = torch.randn(4000, 2, generator=g)
    digits = data.load("digits", dequantise=True)
    return {
        "x0": Moons().sample(4000, generator=g),
        "x1": EightGaussians().sample(4000, generator=g).float(),
        "theta": theta,
        "x": theta + 0.3 * torch.randn(4000, 2, generator=g),
        "observed": torch.tensor([0.5, -1.0]),
        "images": digits.x,
        "labels": digits.labels,
    }


@pytest.mark.slow  # trains two small bridges, about 20 s
def test_the_readme_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = plain("README.md")[0]
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        exec(compile(code, "README.md", "exec"), names)
    assert names["y"].shape == (1000, 2)
    assert names["lp"].shape == (10,)
    assert "fail" not in capsys.readouterr().out
    assert (tmp_path / "runs" / "mine" / "tree.json").exists()
