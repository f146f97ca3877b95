"""The registry: members by kind and id, in words and back."""

from dataclasses import dataclass, replace

import pytest

from interpolants.foundations import registry
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import build, describe, find_card, kinds, names, rebuild
from interpolants.paths import Linear, ZeroEnvelope


@dataclass(frozen=True)
class Halves:
    """A member whose id another kind has too."""

    size: int = 2


@dataclass(frozen=True)
class Holder:
    """A member that holds two others."""

    path: object = None
    other: object = None


@pytest.fixture
def more_cards(monkeypatch):
    """Two kinds share the id "linear"; "holder" holds both."""
    own = load_cards()
    like = next(card for card in own if card.id == "mlp")
    cards = [
        replace(like, kind="toy", id="linear", entry=f"{__name__}:Halves"),
        replace(like, kind="toy", id="holder", entry=f"{__name__}:Holder"),
    ]
    monkeypatch.setattr(registry, "_cards", lambda: (*own, *cards))


def test_an_id_of_two_kinds_is_told_apart_by_the_kind(more_cards):
    assert build("toy", "linear", size=3) == Halves(size=3)
    assert build("path", "linear") == Linear()
    assert describe(Halves(size=3)) == {"kind": "toy/linear", "size": 3}
    assert rebuild({"kind": "linear", "size": 3}, "toy") == Halves(size=3)
    assert rebuild({"kind": "toy/linear", "size": 3}) == Halves(size=3)
    with pytest.raises(
        InvalidInputError, match=r"one kind, got 'linear'. Write 'path/linear' or 'toy/linear'"
    ):
        rebuild({"kind": "linear"})
    with pytest.raises(InvalidInputError, match="name must be the id of a registered path, got 'toy/linear'"):
        rebuild({"kind": "toy/linear"}, "path")


def test_members_inside_a_member_come_back_whatever_their_ids(more_cards):
    holder = Holder(path=Linear(envelope=ZeroEnvelope()), other=Halves(size=5))
    assert rebuild(describe(holder)) == holder
    assert build("toy", "holder", path={"kind": "linear"}) == Holder(path=Linear())


def test_a_unique_id_is_described_without_its_kind():
    assert describe(Linear())["kind"] == "linear"
    assert rebuild(describe(Linear())) == Linear()
    assert find_card("linear").kind == "path"


def test_a_misspelt_kind_names_the_nearest():
    for ask in (names, lambda kind: build(kind, "linear"), lambda kind: find_card("linear", kind)):
        with pytest.raises(InvalidInputError, match=r"kind .* got 'paths'. Did you mean 'path'?"):
            ask("paths")
    assert list(kinds()) == sorted(set(kinds()))


@pytest.mark.parametrize("envelope", ["zero", {"kind": "zero"}, ZeroEnvelope()])
def test_an_envelope_is_an_id_a_table_or_an_object(envelope):
    assert build("path", "linear", envelope=envelope) == Linear(envelope=ZeroEnvelope())


def test_a_misspelt_envelope_names_the_nearest():
    with pytest.raises(
        InvalidInputError, match=r"name must be the id of a registered envelope, got 'zreo'. .*'zero'"
    ):
        build("path", "linear", envelope="zreo")


def test_a_sampler_of_times_that_follows_the_path_is_left_to_the_method():
    from interpolants.framework.method import Method

    made = build("method", "bridge", path="edm", times={"kind": "noise", "mean": -0.5}, heads=["denoised"])
    assert isinstance(made, Method)
    assert made.times == {"kind": "noise", "mean": -0.5}
