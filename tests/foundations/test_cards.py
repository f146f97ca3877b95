"""Cards: what is read, what is refused and how, and that reading imports nothing."""

import sys
import zipfile
from dataclasses import asdict

import pytest

from interpolants.foundations.card_file import Card, Proof, Scopes, parse_card
from interpolants.foundations.cards import carded, load_cards
from interpolants.foundations.errors import InvalidInputError

GOOD = """
id = "halves"
title = "Halving"
kind = "path"
family = "halving paths"
entry = "{package}.parts.halves:Halves"
ring = "core"
status = "stable"
extra = ""
sources = ["someone2023halving", "other2024"]
shapes = "x (B, D) -> (B, D)"
cost = "O(B D)"
limits = "none known"
[proof]
test = "tests/parts/test_halves.py"
answer = "the half of 4 is 2"
"""

CARD = GOOD.format(package="interpolants")


@pytest.fixture
def make_package(tmp_path, monkeypatch):
    """Write an importable package from {path: text}; its name is new, so no earlier import is reused."""
    made = []

    def make(files, name=None):
        name = name or f"cards_example_{len(made)}_{tmp_path.name.replace('-', '_')}"
        made.append(name)
        for path, text in {"__init__.py": "", **files}.items():
            target = tmp_path / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.format(package=name) if path.endswith(".toml") else text)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    yield make
    for module in [m for m in sys.modules if m.partition(".")[0] in made]:
        del sys.modules[module]


def test_a_card_holds_what_its_file_says():
    assert asdict(parse_card(CARD, "halves.card.toml")) == {
        "id": "halves",
        "title": "Halving",
        "kind": "path",
        "family": "halving paths",
        "entry": "interpolants.parts.halves:Halves",
        "ring": "core",
        "status": "stable",
        "extra": "",
        "sources": ("someone2023halving", "other2024"),
        "shapes": "x (B, D) -> (B, D)",
        "cost": "O(B D)",
        "limits": "none known",
        "proof": {"test": "tests/parts/test_halves.py", "answer": "the half of 4 is 2"},
        "also": (),
        "recipe": "halves",
        "verbs": (),
        "verb_help": {},
        "two_sample": "",
        "stored": False,
        "scopes": None,
    }


def with_scopes(rows="bits", resume="bits"):
    return f'{CARD}[scopes]\nrows = "{rows}"\nresume = "{resume}"\n'


@pytest.mark.parametrize(
    ("rows", "resume"),
    [
        ("bits", "bits"),
        ("blocks", "boundary"),
        ("tolerance 1e-6", "boundary: the environments keep their own state"),
        ("tolerance 0.01", "none: the library behind it keeps none"),
        ("set: a pooled weight couples the rows", "bits"),
        ("none: no rows", "none: no fit"),
    ],
)
def test_scopes_are_read_as_they_stand(rows, resume):
    assert parse_card(with_scopes(rows, resume), "halves.card.toml").scopes == Scopes(
        rows=rows, resume=resume
    )


def test_a_card_may_name_its_recipe():
    assert parse_card(f'recipe = "quarters"\n{CARD}', "halves.card.toml").recipe == "quarters"


def test_a_card_may_list_verbs():
    assert parse_card(f'verbs = ["sample", "refine"]\n{CARD}', "halves.card.toml").verbs == (
        "sample",
        "refine",
    )
    with pytest.raises(InvalidInputError, match="verbs must be a list of verbs, got sample"):
        parse_card(f'verbs = "sample"\n{CARD}', "halves.card.toml")


def test_a_card_may_declare_that_files_hold_its_kind():
    assert parse_card(f"stored = true\n{CARD}", "halves.card.toml").stored
    for value in ("false", "1", '"yes"'):
        with pytest.raises(InvalidInputError, match="stored must be true, or omitted"):
            parse_card(f"stored = {value}\n{CARD}", "halves.card.toml")


def test_a_method_must_declare_its_scopes():
    method = CARD.replace('kind = "path"', 'kind = "method"')
    with pytest.raises(
        InvalidInputError, match=r"a method must declare its scopes, got none. Write \[scopes\]"
    ):
        parse_card(method, "halves.card.toml")
    scopes = with_scopes().removeprefix(CARD)
    assert parse_card(method + scopes, "halves.card.toml").scopes == Scopes(rows="bits", resume="bits")


@pytest.mark.parametrize(
    ("scopes", "message"),
    [
        (with_scopes(rows="bit"), r"rows must read bits \| blocks .* got 'bit'"),
        (with_scopes(rows="tolerance"), "rows must read .* got 'tolerance'"),
        (with_scopes(rows="tolerance small"), "rows must read .* got 'tolerance small'"),
        (with_scopes(rows="none"), "rows must read .* got 'none'"),
        (with_scopes(rows="set: "), "rows must read .* got 'set: '"),
        (with_scopes(rows="bits: why"), "rows must read .* got 'bits: why'"),
        (with_scopes(resume="blocks"), "resume must read .* got 'blocks'"),
        (with_scopes(resume="none"), "resume must read .* got 'none'"),
        (with_scopes().replace("resume", "resumes"), "got 'resumes'. Did you mean 'resume'"),
        (CARD + '[scopes]\nrows = "bits"\n', "got none for resume"),
        ('scopes = "all"\n' + CARD, "must be a table, got all. Write .scopes. with rows and resume"),
    ],
)
def test_bad_scopes_are_refused(scopes, message):
    with pytest.raises(InvalidInputError, match=rf"^halves.card.toml \[scopes\].*{message}"):
        parse_card(scopes, "halves.card.toml")


def test_cards_are_found_in_every_folder_and_sorted_by_kind_then_id(make_package):
    package = make_package(
        {
            "b.card.toml": GOOD.replace('"halves"', '"zebra"').replace('"path"', '"data"'),
            "parts/deep/er/a.card.toml": GOOD.replace('"halves"', '"ant"').replace('"path"', '"data"'),
            "parts/halves.card.toml": GOOD,
            "parts/notes.toml": "not a card",
        }
    )
    assert [card.id for card in load_cards(package)] == ["ant", "zebra", "halves"]


def test_reading_cards_imports_no_method_and_load_entry_does(make_package):
    package = make_package(
        {
            "parts/__init__.py": "",
            "parts/halves.py": "class Halves:\n    class Inner:\n        pass\n",
            "parts/halves.card.toml": GOOD,
        }
    )
    (card,) = load_cards(package)
    assert f"{package}.parts" not in sys.modules
    entry = card.load_entry()
    assert entry is sys.modules[f"{package}.parts.halves"].Halves


def test_cards_are_read_from_a_zip(tmp_path, monkeypatch):
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("cards_in_a_zip/__init__.py", "")
        packed.writestr("cards_in_a_zip/parts/halves.card.toml", GOOD.format(package="cards_in_a_zip"))
    monkeypatch.syspath_prepend(archive)
    try:
        assert [card.id for card in load_cards("cards_in_a_zip")] == ["halves"]
    finally:
        sys.modules.pop("cards_in_a_zip", None)


def test_a_package_without_cards_gives_none(make_package):
    assert load_cards(make_package({})) == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'status = "stable"',
            'status = "stabel"',
            "status must be one of .* got 'stabel'. Did you mean 'stable'",
        ),
        ('kind = "path"', 'kind = "Paths"', "kind must be lower_snake, got 'Paths'"),
        ('kind = "path"', 'kind = ""', "kind must not be empty, got ''"),
        (
            'family = "halving paths"',
            "",
            "every key but also, recipe, scopes, stored, two_sample, verb_help, verbs is required, got none for family",
        ),
        ('title = "Halving"', 'title = "Halving"\nrecipe = ""', "recipe must not be empty, got ''"),
        ('ring = "core"', 'ring = "moon"', "ring must be one of core, apps, sciml, generative, got 'moon'"),
        ("limits =", "limit =", "every key must be one that cards have, got 'limit'. Did you mean 'limits'"),
        (
            'cost = "O(B D)"',
            "",
            "every key but also, recipe, scopes, stored, two_sample, verb_help, verbs is required, got none for cost",
        ),
        ('id = "halves"', 'id = "Halves"', "id must be lower_snake, got 'Halves'"),
        ('id = "halves"', 'id = "halves_"', "id must be lower_snake, got 'halves_'"),
        ('id = "halves"', "id = 3", "id must be a string, got 3"),
        ('title = "Halving"', 'title = ""', "title must not be empty, got ''"),
        (
            'entry = "interpolants.parts.halves:Halves"',
            'entry = "halves.Halves"',
            "entry must read module:name",
        ),
        ('sources = ["someone2023halving", "other2024"]', 'sources = "someone"', "sources must be a list"),
        ('sources = ["someone2023halving", "other2024"]', "sources = [1]", "sources must be a list"),
        ("answer =", "answers =", r"\[proof\]: every key .* got 'answers'. Did you mean 'answer'"),
        ('answer = "the half of 4 is 2"', "", r"\[proof\]: every key .* is required, got none for answer"),
        ('answer = "the half of 4 is 2"', 'answer = ""', r"\[proof\]: answer must not be empty, got ''"),
        ("[proof]", "[prof]", "every key must be one that cards have, got 'prof'. Did you mean 'proof'"),
        ('cost = "O(B D)"', "cost =", "must be valid TOML"),
    ],
)
def test_a_bad_card_is_refused_with_its_place_rule_and_value(old, new, message):
    assert old in CARD
    with pytest.raises(InvalidInputError, match=f"^parts/halves.card.toml.*{message}"):
        parse_card(CARD.replace(old, new), "parts/halves.card.toml")


def test_proof_must_be_a_table():
    flat = CARD[: CARD.index("[proof]")] + 'proof = "trust me"\n'
    with pytest.raises(
        InvalidInputError, match=r"^halves.card.toml \[proof\]: proof must be a table, got trust me"
    ):
        parse_card(flat, "halves.card.toml")


def test_two_cards_with_one_id_are_refused_and_both_are_named(make_package):
    package = make_package({"a/halves.card.toml": GOOD, "b/halves.card.toml": GOOD})
    with pytest.raises(
        InvalidInputError,
        match=r"^b/halves.card.toml: id must be unique among its kind, and a/halves.card.toml",
    ):
        load_cards(package)


def test_two_kinds_may_share_an_id(make_package):
    other = GOOD.replace('kind = "path"', 'kind = "solver"')
    package = make_package({"a/halves.card.toml": GOOD, "b/halves.card.toml": other})
    assert [(card.kind, card.id) for card in load_cards(package)] == [
        ("path", "halves"),
        ("solver", "halves"),
    ]


def card_for(entry):
    values = asdict(parse_card(CARD, "halves.card.toml"))
    return Card(**(values | {"entry": entry, "proof": Proof(test="t", answer="a")}))


def test_an_entry_that_is_not_there_is_refused_with_the_nearest_name():
    with pytest.raises(InvalidInputError, match=r"^Card 'path/halves': entry must name a module that exists"):
        card_for("interpolants.foundations.nowhere:Thing").load_entry()
    with pytest.raises(InvalidInputError, match="Did you mean 'parse_card'"):
        card_for("interpolants.foundations.card_file:parse_crad").load_entry()


def test_a_missing_need_of_the_entry_is_not_blamed_on_the_card(make_package):
    package = make_package({"halves.py": "import a_module_that_nobody_has\n"})
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        card_for(f"{package}.halves:Halves").load_entry()


def test_a_card_makes_its_method_public_and_nothing_else_is():
    find = carded("interpolants.paths")
    from interpolants.paths.mirror import Mirror

    assert find("Mirror") is Mirror
    for name in ("MinibatchOT", "mirror", "_private"):  # of another subpackage, an id, a probe
        with pytest.raises(AttributeError, match="has no attribute"):
            find(name)


def test_verb_help_is_a_sentence_for_verbs_of_the_card():
    told = f'verbs = ["jump"]\n{CARD}\n[verb_help]\n'
    assert parse_card(f'{told}jump = "Jump."', "halves.card.toml").verb_help == {"jump": "Jump."}
    with pytest.raises(
        InvalidInputError, match=r"verb_help must contain verbs of this card, got 'jumps'.*jump"
    ):
        parse_card(f'{told}jumps = "Jump."', "halves.card.toml")
    for value in ('""', "3"):
        with pytest.raises(
            InvalidInputError, match="verb_help must be a table of verbs, each with a sentence"
        ):
            parse_card(f"{told}jump = {value}", "halves.card.toml")
    with pytest.raises(InvalidInputError, match="verb_help must be a table"):
        parse_card(f'verb_help = "Jump."\n{CARD}', "halves.card.toml")
