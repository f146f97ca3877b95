"""Settings that docstrings and pages name are settings that the signatures have."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from interpolants.foundations.cards import load_cards
from source_trees import MODULES, SOURCE, nodes_of

ROOT = Path(__file__).parents[1]
ENTRY = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: \(.*?\))?:(?: |$)", re.MULTILINE)
CALL = re.compile(r"(?<![.\w])([A-Z]\w+)\(([^()`]*(?:\([^()]*\)[^()`]*)*)\)")
# History, which names former settings on purpose.
HISTORY = ("CHANGELOG.md", "renamed.md", "deprecation.md")


def documented(doc: str) -> list[str]:
    """Names of the entries under ``Args:`` of a docstring."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.cleandoc(doc), re.MULTILINE | re.DOTALL)
    lists = ENTRY.findall(section[1]) if section else []
    return [name.strip(" *") for names in lists for name in names.split(",")]


def open_ended(parameters) -> bool:
    """Whether a signature takes further settings by name."""
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def classes():
    """Classes that a card registers."""
    return [entry for card in load_cards() if inspect.isclass(entry := card.load_entry())]


def unknown_entries(entry: type) -> list[str]:
    """Entries under ``Args:`` of a class that its constructor does not take."""
    parameters = inspect.signature(entry).parameters
    return (
        [] if open_ended(parameters) else [n for n in documented(entry.__doc__ or "") if n not in parameters]
    )


def undocumented(entry: type) -> list[str]:
    """Arguments of a constructor that no docstring of the class, its bases or its constructor describes."""
    docs = [base.__doc__ or "" for base in entry.__mro__] + [entry.__init__.__doc__ or ""]
    described = {name for doc in docs for name in documented(doc)}
    return [name for name in inspect.signature(entry).parameters if name not in described]


def test_every_documented_setting_of_a_member_is_one_it_takes():
    assert {entry.__name__: names for entry in classes() if (names := unknown_entries(entry))} == {}


def test_every_setting_of_a_method_is_documented():
    methods = [card.load_entry() for card in load_cards() if card.kind == "method"]
    assert {entry.__name__: names for entry in methods if (names := undocumented(entry))} == {}


def test_every_documented_argument_of_a_function_is_one_it_takes():
    wrong = []
    for path in MODULES:
        for node in nodes_of(path):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.args.kwarg:
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg]
            names = {argument.arg for argument in arguments if argument is not None}
            bad = [name for name in documented(ast.get_docstring(node) or "") if name not in names]
            wrong += [f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}: {name}" for name in bad]
    assert wrong == []


def calls_in(text: str, quote: str) -> list[tuple[str, str]]:
    """Class and keyword of each call in inline code, such as ``Bridge(heads=...)``."""
    spans = re.findall(rf"(?<!`){quote}([^`\n]+){quote}(?!`)", text)
    found = []
    for span in spans:
        for name, arguments in CALL.findall(span):
            flat = re.sub(r"\{[^{}]*\}|\([^()]*\)|\[[^\[\]]*\]", "", arguments)
            found += [(name, keyword) for keyword in re.findall(r"(?:^|,)\s*(\w+)=", flat)]
    return found


def test_calls_that_texts_show_take_the_keywords_that_they_show():
    signatures = {entry.__name__: inspect.signature(entry).parameters for entry in classes()}
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("docs/*/*.md"),
        *ROOT.glob("studies/*/*.md"),
    ]
    texts = {
        p: (re.sub(r"^```.*?^```", "", p.read_text(), flags=re.DOTALL | re.MULTILINE), "`") for p in pages
    }
    texts |= {path: (path.read_text(), "``") for path in MODULES}
    seen, wrong = 0, []
    for path, (text, quote) in texts.items():
        if path.name in HISTORY:
            continue
        for name, keyword in calls_in(text, quote):
            parameters = signatures.get(name, {})
            seen += name in signatures
            if parameters and keyword not in parameters and not open_ended(parameters):
                wrong.append(f"{path.relative_to(ROOT)}: {name}({keyword}=)")
    assert seen > 30
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("take ``Bridge(learn=('a', 'b'), seed=0)``", [("Bridge", "learn"), ("Bridge", "seed")]),
        ("``Bridge(path={'kind': x, a=1})``", [("Bridge", "path")]),
        ("``bridge(a=1)`` and ``x.Bridge(a=1)``", []),
    ],
)
def test_calls_are_found(text, wanted):
    assert calls_in(text, "``") == wanted


def test_a_wrong_entry_is_seen():
    class Wrong:
        """A class.

        Args:
            learn: Was renamed.
            a, b: Taken.
        """

        def __init__(self, a: int, b: int, heads: str = "auto") -> None: ...

    assert unknown_entries(Wrong) == ["learn"]
    assert undocumented(Wrong) == ["heads"]
