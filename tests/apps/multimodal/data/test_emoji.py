"""Emoji: counts of Unicode's list, means of pictures by area, and variants that stay together."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from interpolants.apps.multimodal.data.emoji import (
    FONT,
    LIST,
    Emoji,
    _of_test,
    emoji_list,
    load_emoji,
    on_white,
    shrunk,
)
from interpolants.data.bundled import is_there
from interpolants.foundations.errors import InvalidInputError, MissingExtraError

there = pytest.mark.skipif(not is_there(load_emoji), reason="the Debian packages are not installed")

WRITTEN = """# group: Smileys & Emotion
# subgroup: face-smiling
1F600                     ; fully-qualified     # 😀 E1.0 grinning face
263A FE0F                 ; fully-qualified     # ☺️ E0.6 smiling face
263A                      ; unqualified         # ☺ E0.6 smiling face
# group: People & Body
1F926 1F3FC 200D 2640 FE0F ; fully-qualified     # x E4.0 woman facepalming: medium-light skin tone
# group: Component
1F3FB                     ; component           # x E1.0 light skin tone
"""


def test_lines_of_the_list_are_read_and_those_that_are_no_emoji_by_themselves_are_not():
    found = emoji_list(WRITTEN)
    assert [one.name for one in found] == [
        "grinning face", "smiling face", "woman facepalming: medium-light skin tone",
    ]  # fmt: skip
    assert found[0] == Emoji((0x1F600,), "Smileys & Emotion", "grinning face")
    assert [one.has_tone for one in found] == [False, False, True]
    assert found[2].category == "People & Body"


def of(text):
    return Emoji(tuple(map(ord, text)), "", "")


@pytest.mark.parametrize(
    "variants",
    [
        "🤦 🤦‍♂️ 🤦🏽‍♀️",  # a sign of gender, a skin tone
        "🧑‍🚀 👨‍🚀 👩🏿‍🚀",  # person, man, woman
        "👩‍🦰 👨🏻‍🦳 🧑",  # hair
        "🏃 🏃‍➡️ 🏃🏾‍♀️‍➡️",  # where somebody looks
        "👪 👨‍👩‍👧 👩‍👦‍👦 🧑‍🧑‍🧒",  # families of all members
        "💏 👩‍❤️‍💋‍👨 🧑🏻‍❤️‍💋‍🧑🏿",
        "👫 👬🏻 🧑🏽‍🤝‍🧑🏿",
        "🎅 🤶🏽 🧑🏾‍🎄",
        "🤴 👸🏼 🫅🏿",
    ],
)
def test_variants_are_kin(variants):
    assert len({of(text).kin for text in variants.split()}) == 1


def test_other_emoji_are_no_kin():
    people = ["🧑", "🧒", "🧓", "🧑\u200d🚀", "🧑\u200d🍳", "🏃", "🚶", "💏", "💑", "👫", "👪"]
    others = [*people, "❤️", "💔", "🕐", "🇫🇷", "🇮🇹", "#️⃣", "🏳️", "🏳️\u200d🌈"]
    assert len({of(text).kin for text in others}) == len(others)


def test_kin_are_in_one_part_and_the_test_has_a_fifth_of_each_category():
    plain = [chr(0x1F300 + k) for k in range(60)]
    faces = [chr(0x1F600 + k) for k in range(30)]
    rows = [
        Emoji((ord(one), *tone), "", "") for one in plain + faces for tone in ((), (0x1F3FB,), (0x1F3FF,))
    ]
    labels = np.array([0] * 180 + [1] * 90)
    test = _of_test(rows, labels).reshape(90, 3)
    assert bool((test == test[:, :1]).all())
    assert test[:60, 0].sum() == 12
    assert test[60:, 0].sum() == 6


@pytest.mark.parametrize("size", [8, 9, 16])
def test_pictures_are_averaged_by_area_on_white(size):
    picture = np.random.default_rng(0).uniform(0, 255, (12, 18, 4))
    square = np.full((18, 18, 3), 255.0)
    square[3:15] = picture[..., :3] * picture[..., 3:] / 255 + 255 - picture[..., 3:]
    # A common multiple of both sides, on which every mean is one of whole pixels.
    fine = np.kron(square, np.ones((size, size, 1)))
    expected = fine.reshape(size, 18, size, 18, 3).mean((1, 3))
    np.testing.assert_allclose(shrunk(on_white(picture), size), expected, atol=1e-9)


@there
def test_the_list_and_the_font_of_the_packages_fit():
    every = emoji_list(Path(LIST.path).read_text(encoding="utf-8"))
    assert len(every) == 3773  # Unicode's own count of 15.1, less the nine components
    assert len({one.category for one in every}) == 9
    assert len({one.characters for one in every}) == 3773


@there
@pytest.mark.slow  # 1 s: 367 pictures
def test_the_parts_are_all_of_it_and_a_copy_of_the_files_is_read_as_well(tmp_path):
    train, test = load_emoji("train", size=8), load_emoji("test", size=8)
    assert len(train.x) + len(test.x) == 1898
    assert test.info.shape == (367, 3, 8, 8)
    assert test.info.classes[0] == "Smileys & Emotion"
    assert float(test.x.max()) == 1.0
    assert float(test.x.min()) >= -1.0
    of_faces = (test.x[test.labels == 0] + 1) / 2  # yellow: blue is least
    red, green, blue = of_faces.mean((0, 2, 3)).tolist()
    assert red > green > blue + 0.15
    for file in (FONT, LIST):
        shutil.copy(file.path, tmp_path)
    own = load_emoji("test", size=8, path=str(tmp_path))
    assert torch.equal(own.x, test.x)
    assert own.info.source == str(tmp_path)


def test_what_is_no_font_or_no_list_is_refused_and_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(InvalidInputError, match=r"path must be a folder with NotoColorEmoji.ttf"):
        load_emoji(path=str(tmp_path))
    (tmp_path / "NotoColorEmoji.ttf").write_bytes(b"no font")
    (tmp_path / "emoji-test.txt").write_text("no list")
    with pytest.raises(InvalidInputError, match="must list fully-qualified emoji, got none"):
        load_emoji(path=str(tmp_path))
    (tmp_path / "emoji-test.txt").write_text("# group: A\n1F600 ; fully-qualified # x E1.0 grinning face\n")
    with pytest.raises(InvalidInputError, match=r"the font must contain bitmaps \(CBDT\)"):
        load_emoji("all", path=str(tmp_path))
    with pytest.raises(InvalidInputError, match=r"size must be a whole number in \[8, 128\], got 4"):
        load_emoji(size=4)
    monkeypatch.setattr(type(FONT), "locate", lambda file: None)
    with pytest.raises(
        MissingExtraError,
        match=r"load_emoji needs fonts-noto-color-emoji\. Install it with: apt-get install fonts-noto-color-emoji uni",
    ):
        load_emoji()
