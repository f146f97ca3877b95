"""What the documents say is run: the README's example, the snippets, the table made from the cards."""

import doctest
import importlib.util
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_methods_is_what_the_cards_say():
    page = load(ROOT / "docs" / "methods.py").page()
    assert (ROOT / "docs" / "methods" / "README.md").read_text() == page, "run python docs/methods.py"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_the_snippets_of_a_page_give_what_they_show(page):
    failed, _ = doctest.testfile(str(page), module_relative=False)
    assert failed == 0


def pages():
    """Every page for people, by its path from the root."""
    patterns = ("*.md", "docs/*.md", "docs/*/*.md", "studies/*.md", "studies/*/README.md")
    found = sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    return [path.relative_to(ROOT).as_posix() for path in found]


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
    for folder in sorted(path.parent for path in ROOT.glob("studies/*/__main__.py")):
        assert f"({folder.name}/README.md)" in listed, folder.name
        text = (folder / "README.md").read_text()
        for part in ("Question", "Command", "Verdict"):
            assert part in text, (folder.name, part)
        assert f"python -m studies.{folder.name} " in text


def examples():
    """Pages of methods with code to run."""
    return [page for page in pages() if page.startswith("docs/methods/") and code_of(page)]


def code_of(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.slow  # each trains for some seconds
@pytest.mark.parametrize("page", examples())
def test_the_example_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for block in code_of(page):
            exec(compile(block, page, "exec"), names)


@pytest.mark.slow  # trains two small bridges, about 20 s
def test_the_readme_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        exec(compile(code, "README.md", "exec"), names)
    assert names["y"].shape == (1000, 2)
    assert names["lp"].shape == (10,)
    assert "fail" not in capsys.readouterr().out
    assert (tmp_path / "runs" / "mine" / "bridge.json").exists()
