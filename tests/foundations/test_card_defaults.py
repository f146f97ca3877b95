"""What a card need not say: by hand, and what defaults may not hold."""

import pytest

from interpolants.foundations.card_defaults import DEFAULTS, card_files, filled
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InvalidInputError

REST = 'title = "T"\nfamily = "f"\nshapes = "s"\ncost = "c"\nlimits = "l"\nanswer = "a"\n'


def entry_of(said, place="nets/wide_net.card.toml", above=()):
    return filled({"kind": "net", **said}, place, "package", above)["entry"]


def test_the_entry_follows_from_the_name_and_place_of_the_file():
    assert entry_of({}) == "package.nets.wide_net:WideNet"
    assert entry_of({"entry": "other"}) == "package.nets.other:WideNet"
    assert entry_of({"entry": ":Other"}) == "package.nets.wide_net:Other"
    assert entry_of({"entry": "other:Other"}) == "package.nets.other:Other"
    assert entry_of({"entry": "far.away:Other"}) == "far.away:Other"
    assert entry_of({"id": "narrow_net"}) == "package.nets.narrow_net:NarrowNet"
    assert entry_of({}, above=({"net": {"name": "load_{id}"}, "data": {"name": "{id}"}},)).endswith(
        ":load_wide_net"
    )


def test_the_nearest_folder_wins_and_the_card_over_all():
    above = ({"ring": "core", "extra": "", "kind": "path"}, {"ring": "apps"})
    found = filled({"extra": "plots", "answer": "a"}, "apps/sea/tide.card.toml", "package", above)
    assert (found["ring"], found["extra"], found["kind"], found["id"]) == ("apps", "plots", "path", "tide")
    assert found["proof"] == {"test": "tests/apps/sea/test_tide.py", "answer": "a"}
    other = filled({"entry": "sea", "answer": "a", "test": "t.py"}, "tide.card.toml", "package", above)
    assert other["proof"] == {"test": "t.py", "answer": "a"}
    # A kind that is called like a key.
    assert filled({"kind": "ring"}, "tide.card.toml", "package", above)["ring"] == "apps"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty package of a name of its own, with one short card."""
    folder = tmp_path / f"cards_{tmp_path.name}"
    (folder / "paths").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "paths" / "halves.card.toml").write_text(REST)
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_cards_are_read_with_their_defaults(package):
    (package / DEFAULTS).write_text('ring = "core"\nstatus = "trial"\nextra = ""\nsources = []\n')
    (package / "paths" / DEFAULTS).write_text('kind = "path"\n')
    (card,) = load_cards(package.name)
    assert (card.kind, card.id, card.entry) == ("path", "halves", f"{package.name}.paths.halves:Halves")
    assert card.proof.test == "tests/paths/test_halves.py"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 'all'", "paths/_defaults.toml: defaults may hold kind, family, ring, .* got 'title'"),
        ("[path]\nlimits = 'none'", "got 'limits'"),
        ("ring = ", "paths/_defaults.toml: must be valid TOML"),
    ],
)
def test_defaults_that_promise_for_others_are_refused(package, text, message):
    (package / "paths" / DEFAULTS).write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        list(card_files(package.name))
