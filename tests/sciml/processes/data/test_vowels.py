"""Utterances as the files have them."""

import pytest
import torch

from interpolants.data.bundled import is_there
from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.sciml.processes.data.vowels import load_japanese_vowels

there = pytest.mark.skipif(not is_there(load_japanese_vowels), reason="needs aeon")
HEAD = "#a comment\n@problemName JapaneseVowels\n@dimensions 12\n@data\n"


def line(frames, speaker, columns=12):
    return ":".join([*(",".join(f"{c}.{t}" for t in range(frames)) for c in range(columns)), str(speaker)])


@there
def test_utterances_speakers_lengths_and_first_numbers():
    train, test = (load_japanese_vowels(part) for part in ("train", "test"))
    assert train.x.shape == (270, 29, 12)
    assert test.x.shape == (370, 29, 12)
    assert torch.bincount(train.labels).tolist() == [30] * 9
    assert torch.bincount(test.labels).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    lengths = (~train.x.isnan().any(2)).sum(1)
    assert (int(lengths.min()), int(lengths.max()), int(lengths[0])) == (7, 26, 20)
    assert train.x[0, :2, 0].tolist() == pytest.approx([1.860936, 1.891651])
    assert float(train.x[0, 0, 1]) == pytest.approx(-0.207383)


def test_files_from_elsewhere(tmp_path):
    (tmp_path / "JapaneseVowels_TRAIN.ts").write_text(HEAD + line(3, 2) + "\n" + line(2, 9) + "\n")
    found = load_japanese_vowels(path=str(tmp_path))
    assert found.labels.tolist() == [1, 8]
    assert found.info.classes == tuple(f"speaker {k}" for k in range(1, 10))
    assert found.x[0, :3, 11].tolist() == pytest.approx([11.0, 11.1, 11.2])
    assert bool(found.x[0, 3:].isnan().all())
    assert bool(found.x[1, 2:].isnan().all())
    with pytest.raises(InvalidInputError, match="path must be a folder with JapaneseVowels_TRAIN"):
        load_japanese_vowels("test", path=str(tmp_path))


@pytest.mark.parametrize("text", [HEAD, HEAD + line(3, 2, 11), HEAD + line(30, 2), HEAD + line(3, "a")])
def test_other_files_are_refused(text, tmp_path):
    (tmp_path / "JapaneseVowels_TRAIN.ts").write_text(text)
    with pytest.raises(InvalidInputError, match=r"\.ts file must have|path must be a folder with"):
        load_japanese_vowels(path=str(tmp_path))


def test_the_install_line_is_told_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("interpolants.data.bundled.BundledFile.locate", lambda self: None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps aeon"):
        load_japanese_vowels()
