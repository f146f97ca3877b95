"""Hundreds of hostile folders: each loads or is refused, in 2 s and 200 MB, and none makes the reader do more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.storage import read_document, read_folder, write_folder
from interpolants.framework.method import load
from interpolants.framework.stages import thinned
from interpolants.framework.stored import method_id
from interpolants.methods.rivals.gaussian_fit import GaussianFit

SCRIPT = Path(__file__).parents[2] / "torture" / "hostile_folders.py"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good")
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 16, "depth": 2}
    Bridge(net=net, steps=2, batch_size=8).fit(x, x + 1).save(root / "bridge")
    GaussianFit().fit(x).save(root / "gaussian")
    return [str(root / name) for name in ("bridge", "gaussian")]


def attack(good, count, seed, work):
    told = subprocess.run(
        [sys.executable, str(SCRIPT), str(count), str(seed), str(work), *good],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def test_hostile_folders_load_or_are_refused(good, tmp_path):
    found = attack(good, 300, 1, tmp_path)
    assert found["wrong"] == []
    assert found["loaded"] < 150
    assert found["heavy"] == [], "a good folder was loaded by what takes a second to import"


@pytest.mark.slow
def test_a_thousand_hostile_folders_load_or_are_refused(good, tmp_path):
    assert attack(good, 1000, 2, tmp_path)["wrong"] == []


def change(folder, tmp_path, words):
    """A sealed copy with changed words."""
    stored = read_folder(folder)
    text = json.dumps(stored.documents["tree.json"])
    for old, new in words.items():
        assert old in text, old
        text = text.replace(old, new)
    return write_folder(tmp_path / "changed", stored.tensors, {"tree.json": json.loads(text)})


@pytest.mark.parametrize("words", [{'"width": 16': '"width": 16000'}, {'"depth": 2': '"depth": 100000'}])
def test_networks_are_no_larger_than_their_weights(good, tmp_path, words):
    with pytest.raises(InvalidInputError, match=r"must fit its weights|no larger than the weights"):
        load(change(good[0], tmp_path, words))


def test_a_document_that_grows_when_it_is_decoded_is_refused_unread_and_unwritten(tmp_path):
    (tmp_path / "x.json").write_text("[" + "[]," * 2_000_000 + "1]")
    with pytest.raises(InvalidInputError, match="of memory"):
        read_document(tmp_path / "x.json")
    with pytest.raises(InvalidInputError, match="of memory"):
        write_folder(tmp_path / "a", {}, {"x.json": [[]] * 2_000_000})


def test_long_histories_are_thinned_to_what_a_file_holds():
    rows = [{"step": k} for k in range(1, 50_002)]
    kept = thinned({"match": rows, "leg": rows[:3]})
    assert kept["leg"] == rows[:3]
    assert kept["match"][-1] == rows[-1]
    assert 16_000 < len(kept["match"]) <= 20_000


@pytest.mark.parametrize("text", ["[]", "3", '{"tree": []}', '{"tree": {"items": {"method": []}}}', "{}"])
def test_what_is_no_method_has_no_id(tmp_path, text):
    (tmp_path / "tree.json").write_text(text)
    assert method_id(tmp_path) == ""
