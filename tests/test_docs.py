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


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))])
def test_links_between_files_lead_somewhere(page):
    text = (ROOT / page).read_text()
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [t for t in targets if t and "://" not in t and not ((ROOT / page).parent / t).exists()]
    assert missing == []


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
