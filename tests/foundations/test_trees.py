"""What is particular to trees; laws of methods and tests of experiments store most kinds of nodes."""

import json
from dataclasses import dataclass

import pytest
import torch
from torture.bits import worn

from interpolants.foundations import trees
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.records import record
from interpolants.nets.mlp import MLP


@record("test_pair", parts=lambda pair: {"sum": pair.a + pair.b}, make=lambda parts: Pair(parts["sum"], 0))
@dataclass(frozen=True)
class Pair:
    a: int
    b: int


class Doubled(MLP):
    """A user's own network: it has a parent with a card, and no card."""

    def forward(self, x, t, cond=None):
        return 2 * super().forward(x, t, cond)


def test_a_record_may_have_another_form_in_files(tmp_path):
    trees.write(tmp_path / "a", {"pair": Pair(2, 3)})
    assert trees.read(tmp_path / "a")["pair"] == Pair(5, 0)


def test_two_tensors_never_share_a_place():
    """A name may hold dots: ``a`` of ``b.c`` and ``a.b`` of ``c`` would overwrite each other."""
    with pytest.raises(InvalidInputError, match="places in a tree must differ"):
        trees.pack({"a": {"b.c": torch.ones(1)}, "a.b": {"c": torch.zeros(1)}}, {})


def test_a_node_of_an_unknown_kind_is_refused(tmp_path):
    for word in ("later", "parts", "with_weights"):
        folder = trees.write(tmp_path / word, {"x": 1.0})
        document = json.loads((folder / trees.TREE).read_text())
        document["tree"]["items"]["x"] = {"$": word}
        trees.write_folder(folder, {}, {trees.TREE: document})
        with pytest.raises(InvalidInputError, match=f"known kind, got '{word}'"):
            trees.read(folder)


def test_a_network_is_of_its_own_class_or_code_of_the_user(tmp_path):
    trees.write(tmp_path / "net", {"net": worn(MLP(2, seed=1)), "own": worn(Doubled(2, seed=1))})
    back = trees.read(tmp_path / "net", own=Doubled(2, seed=0))
    x, t = torch.randn(3, 2), torch.tensor(0.5)
    assert type(back["net"]) is MLP
    assert torch.equal(back["own"](x, t), 2 * back["net"](x, t))
    assert isinstance(trees.read(tmp_path / "net")["own"], trees.MissingCode)


def test_tensors_that_share_memory_are_stored_apart(tmp_path):
    whole = torch.arange(6.0)
    trees.write(tmp_path / "a", {"whole": whole, "part": whole[::2], "same": whole})
    back = trees.read(tmp_path / "a")
    assert back["part"].tolist() == [0, 2, 4]
    assert torch.equal(back["same"], whole)
