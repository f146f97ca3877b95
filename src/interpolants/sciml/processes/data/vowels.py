"""Utterances of Japanese vowels by nine speakers, as short series of unequal length."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, DataInfo, Dataset, Split, check_split, reads
from interpolants.data.table_files import text_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.unpacking import refusing_content


def _part(name: str, sha256: str) -> BundledFile:
    return BundledFile(
        package="aeon",
        path=f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{name}.ts",
        sha256=sha256,
        version="1.6.0",
        install="pip install --no-deps aeon",
    )


TRAIN = _part("TRAIN", "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd")
TEST = _part("TEST", "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462")
_LENGTH, _COLUMNS = 29, 12


@reads(TRAIN)
def load_japanese_vowels(split: Split = "train", *, path: str = "") -> Dataset:
    """640 utterances of the vowels "a" and "e" by nine men: 12 coefficients of a linear prediction, 7 to 29 frames.

    Args:
        split: ``train`` (270, 30 of each speaker), ``test`` (370), as their authors parted them, or ``all``.
        path: Folder with JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts from elsewhere, such as
            timeseriesclassification.com; their hashes are not checked.

    Returns:
        ``x`` (N, 29, 12), NaN behind the end of an utterance. Labels: the speaker, 0 to 8.

    Raises:
        MissingExtraError: If aeon is not installed, and no path is given.
        InvalidInputError: If a file is no such table, or for an unknown split.

    Source: Kudo, Toyama & Shimbo (1999), Pattern Recognition Letters 20, 1103-1111; UCI repository, CC BY 4.0.
    """
    who = "load_japanese_vowels"
    check_split(who, split)
    files = {"train": (TRAIN,), "test": (TEST,), "all": (TRAIN, TEST)}[split]
    parts = [_utterances(who, _text(who, file, path)) for file in files]
    x, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    info = DataInfo(
        name="japanese_vowels",
        shape=x.shape,
        split=split,
        source=path or f"{TRAIN.package} {TRAIN.installed_version()}",
        licence="" if path else "CC BY 4.0 (data), BSD-3 (package)",
        sha256={} if path else {Path(file.path).name: file.sha256 for file in files},
        columns=tuple(f"coefficient_{k + 1}" for k in range(_COLUMNS)),
        classes=tuple(f"speaker {k + 1}" for k in range(9)),
    )
    return Dataset(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels), info)


def _text(who: str, file: BundledFile, folder: str) -> str:
    if not folder:
        return file.read(who).decode("utf-8")
    place = Path(folder) / Path(file.path).name
    return text_of(who, place, "path must be a folder with readable files")


def _utterances(who: str, text: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Frames ``(N, 29, 12)``, and speakers from 0, of a .ts file: columns apart by colons, then the class."""
    lines = text.splitlines()
    begin = next((k for k, line in enumerate(lines) if line.strip().lower() == "@data"), len(lines))
    rows = [line for line in lines[begin + 1 :] if line.strip()]
    x = np.full((len(rows), _LENGTH, _COLUMNS), np.nan)
    labels = np.empty(len(rows), dtype=np.int64)
    rule = f"a .ts file must have {_COLUMNS} columns of at most {_LENGTH} numbers"
    with refusing_content(who, rule):
        for k, row in enumerate(rows):
            *columns, label = row.split(":")
            values = np.array([[float(word) for word in column.split(",")] for column in columns]).T
            if values.shape[1] != _COLUMNS:
                raise ValueError(f"line {begin + 2 + k} has {values.shape[1]} columns, not {_COLUMNS}")
            x[k, : len(values)], labels[k] = values, int(label) - 1
    if not rows:
        raise invalid(who, "a .ts file must have rows after a line @data", "none")
    return x, labels
