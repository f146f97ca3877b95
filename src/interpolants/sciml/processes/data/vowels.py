"""Utterances of Japanese vowels by nine speakers, as short series of unequal length."""

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.errors import invalid


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


@packaged(
    TRAIN,
    TEST,
    licence="CC BY 4.0 (data), BSD-3 (package)",
    own="a folder with JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts, such as from timeseriesclassification.com",
)
def load_japanese_vowels(file: Opened) -> Found:
    """640 utterances of the vowels "a" and "e" by nine men: 12 coefficients of a linear prediction, 7 to 29 frames.

    As their authors parted them, 270 train, 30 of each speaker, and 370 are the test.

    Returns:
        ``x`` (N, 29, 12), NaN behind the end of an utterance. Labels: the speaker, 0 to 8.

    Source: Kudo, Toyama & Shimbo (1999), Pattern Recognition Letters 20, 1103-1111; UCI repository, CC BY 4.0.
    """
    files = {"train": (TRAIN,), "test": (TEST,), "all": (TRAIN, TEST)}[file.split]
    parts = [_utterances(file.who, file.text(one.name)) for one in files]
    x, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Found(
        x=x.astype(np.float32),
        labels=labels,
        is_cut=True,
        columns=tuple(f"coefficient_{k + 1}" for k in range(_COLUMNS)),
        classes=tuple(f"speaker {k + 1}" for k in range(9)),
    )


def _utterances(who: str, text: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Frames ``(N, 29, 12)``, and speakers from 0, of a .ts file: columns apart by colons, then the class."""
    lines = text.splitlines()
    begin = next((k for k, line in enumerate(lines) if line.strip().lower() == "@data"), len(lines))
    rows = [line for line in lines[begin + 1 :] if line.strip()]
    if not rows:
        raise invalid(who, "a .ts file must have rows after a line @data", "none")
    x = np.full((len(rows), _LENGTH, _COLUMNS), np.nan)
    labels = np.empty(len(rows), dtype=np.int64)
    for k, row in enumerate(rows):
        *columns, label = row.split(":")
        values = np.array([[float(word) for word in column.split(",")] for column in columns]).T
        if values.shape[1:] != (_COLUMNS,) or len(values) > _LENGTH:
            rule = f"a .ts file must have {_COLUMNS} columns of at most {_LENGTH} numbers"
            raise invalid(who, rule, f"{values.shape[::-1]} in line {begin + 2 + k}")
        x[k, : len(values)], labels[k] = values, int(label) - 1
    return x, labels
