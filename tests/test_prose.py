"""The checker of the project's prose: what it reads, what it counts, and a baseline that only falls."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from docs.prose import check  # noqa: E402

PHRASES = check.Phrases(check.HERE / "phrases.toml")

MODULE = '''"""What it does."""


def area(found: float) -> float:
    """Area."""
    # nobody may `take it away` here: said by name
    word = "a # in a string"
    if found < 0:
        raise ValueError("there must be two values at least")
    return found**2
'''


def hits(root: Path, name: str, text: str) -> list[check.Hit]:
    (root / name).write_text(text)
    return check.scan(root, [name], PHRASES)


def test_each_turn_is_found_before_its_rewrite_and_not_after() -> None:
    for name, turn in PHRASES.turns.items():
        kinds = turn.get("in", check.KINDS)
        before = {
            found for kind in kinds for _, found, _ in PHRASES.hits(check.Text(kind, 1, turn["before"]))
        }
        assert name in before, f"{name}: not found in {turn['before']!r}"
        after = {found for kind in kinds for _, found, _ in PHRASES.hits(check.Text(kind, 1, turn["after"]))}
        if turn["level"] == "change":  # one of level "look" may be right
            assert name not in after, f"{name}: found in {turn['after']!r}"


def test_texts_of_a_module_have_their_kind_and_line() -> None:
    texts, names = check.python_texts(MODULE)
    assert {(text.kind, text.line) for text in texts} >= {
        ("first", 1),
        ("first", 5),
        ("comment", 6),
        ("message", 9),
    }
    assert {(line, kind, name) for line, kind, name in names} == {
        (4, "function", "area"),
        (4, "argument", "found"),
        (5, "short docstring", "Area."),
        (7, "variable", "word"),
    }
    assert not any("in a string" in text.raw for text in texts if text.kind == "comment")


def test_hits_name_file_line_and_turn(tmp_path: Path) -> None:
    found = {(row, name) for _, row, name, _ in hits(tmp_path, "module.py", MODULE)}
    assert {(1, "opener-what"), (4, "name:found"), (5, "short docstring"), (7, "name:word")} <= found
    assert any(row == 9 for row, _ in found)  # the message


def test_code_fences_and_kept_lines_are_skipped(tmp_path: Path) -> None:
    line = "The rows that were seen."
    assert hits(tmp_path, "page.md", f"{line}\n")
    assert not hits(tmp_path, "page.md", f"```\n{line}\n```\n")
    assert not hits(tmp_path, "page.md", f"`{line}`\n")
    assert not hits(tmp_path, "page.md", f"{line} <!-- prose: keep, a quotation -->\n")


def test_a_baseline_only_falls_and_a_new_file_has_none(tmp_path: Path) -> None:
    two = [("a.py", 1, "opener-what", "What"), ("a.py", 9, "opener-what", "What")]
    base = check.lowered(two, None)
    assert base == {"a.py": {"opener-what": 2}}
    assert check.above(two, base) == []
    three = [*two, ("a.py", 12, "opener-what", "What")]
    assert check.above(three, base) == three  # all of them are shown: which one is new cannot be known
    assert check.lowered(three, base) == base
    assert check.lowered(two[:1], base) == {"a.py": {"opener-what": 1}}
    new = [("b.py", 1, "opener-what", "What")]
    assert check.above(new, base) == new
    check.write(base, tmp_path / "baseline.json")
    assert json.loads((tmp_path / "baseline.json").read_text()) == base


@pytest.mark.slow  # `make check` asks the same
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="files are listed by git")
def test_prose_is_not_above_its_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([]) == 0, capsys.readouterr().out


def test_the_command_lists_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["--counts", "--files", "src/interpolants/paths"]) == 0
    assert "hits in" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        check.main(["--write", "src"])
    assert "reads all files" in capsys.readouterr().err
