"""Figures of a package's structure: each by hand, on a toy of three files."""

import ast

import pytest
from benchmarks import structure

from interpolants.foundations.rings import RINGS

FILES = {
    "__init__.py": "",
    "numbers.py": '''
"""Numbers."""

import torch
from toy.words import said


def mean(x, y):
    """Of both.

    Two lines.
    """
    if x is None:
        raise ValueError(f"x must be given, got {x + 1}")
    return _half(x + y)  # half


def _half(x):
    return torch.div(x, 2)
''',
    "words.py": """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toy.numbers import mean


def said(who):
    return "".join([who, "."]) + "!"
""",
}


@pytest.fixture
def toy(tmp_path):
    for name, text in FILES.items():
        (tmp_path / "toy").mkdir(exist_ok=True)
        (tmp_path / "toy" / name).write_text(text, "utf-8")
    return {module.name: module for module in structure.modules(tmp_path / "toy")}


def test_lines_of_code_and_those_that_compute(toy):
    assert len(toy["toy.numbers"].code) == 8
    assert len(toy["toy.numbers"].computing) == 4
    assert len(toy["toy.words"].code) == 5
    assert not toy["toy.words"].computing


def test_a_circle_that_hides_under_type_checking_is_found(toy):
    assert structure.circles(list(toy.values())) == [["toy.numbers", "toy.words"]]


def test_private_functions_that_are_called_once(toy):
    assert structure.called_once(list(toy.values())) == (1, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return x", 0),
        ("if a:\n    pass\nelif b:\n    pass\nelse:\n    pass", 3),
        ("for x in y:\n    if x:\n        pass", 3),
        ("return a and b or c", 2),
        ("while a:\n    for b in c:\n        if d:\n            pass", 6),
        ("try:\n    pass\nexcept ValueError:\n    pass", 1),
        ("return 1 if a else 2", 1),
    ],
)
def test_cognitive_complexity(text, expected):
    function = ast.parse("def f():\n" + "\n".join(f"    {line}" for line in text.splitlines())).body[0]
    assert structure.complexity(function) == expected


@pytest.mark.slow  # reads the whole library
def test_the_answer_has_a_line_for_each_ring(capsys):
    structure.run(worst=2)
    told = capsys.readouterr().out
    assert all(f"| {ring} |" in told for ring in ("core", *RINGS, "all"))
    assert "a reader of one opens" in told
