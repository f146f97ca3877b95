"""The Bible as letters: against the program that prints it, and the unpacking of its codes against a packer."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.generative.tokens.data.lzw import unpack
from interpolants.generative.tokens.data.text import SYMBOLS, encode, kjv_chapters, load_kjv


def or_skip(load, *args, **options):
    """Data of a package that may not be there; its absence is tested in test_catalogue."""
    try:
        return load(*args, **options)
    except MissingExtraError as error:
        pytest.skip(str(error))


def pack(text, most_bits, clear_at=()):
    """The codes of ``compress``: what ``unpack`` undoes."""
    out, group, bits = [], [], 9

    def flush():
        if group:
            value = sum(code << (bits * i) for i, code in enumerate(group))
            out.append(value.to_bytes(bits, "little"))
            group.clear()

    def emit(code):
        group.append(code)
        if len(group) == 8:
            flush()

    known = {bytes([k]): k for k in range(256)}
    size, word, full = 257, b"", 1 << most_bits
    for place, letter in enumerate(text):
        longer = word + bytes([letter])
        if longer in known:
            word = longer
            continue
        emit(known[word])
        if size < full:
            known[longer] = size
            size += 1
        # The reader is one entry behind, and grows when its table is full.
        if size - 1 >= 1 << bits and bits < most_bits:
            flush()
            bits += 1
        if place in clear_at:
            emit(256)
            flush()
            known = {bytes([k]): k for k in range(256)}
            size, bits = 257, 9
        word = bytes([letter])
    emit(known[word])
    flush()
    return b"".join(out)


@pytest.mark.parametrize("most_bits", [9, 10, 16])
def test_unpacking_undoes_packing_over_growing_and_full_tables(most_bits):
    random = np.random.default_rng(1)
    text = bytes(
        random.choice([97, 98, 99, 100, 32], size=20_000, p=[0.4, 0.3, 0.15, 0.1, 0.05]).astype(np.uint8)
    )
    assert unpack(pack(text, most_bits), most_bits=most_bits).rstrip(b"\0") == text
    assert len(pack(text, 16)) < 0.4 * len(text)


def test_a_cleared_table_starts_afresh():
    text = b"abracadabra " * 300
    assert unpack(pack(text, 12, clear_at=(500, 2000)), most_bits=12).rstrip(b"\0") == text


def test_codes_that_are_none_are_noticed():
    with pytest.raises(ValueError, match="code 300 at bit 0 is not among the 257 known ones"):
        unpack((300).to_bytes(9, "little"))


def test_letters_are_numbered_and_all_else_is_one_space():
    assert encode("  God's 3 -- sons\n").tolist() == [SYMBOLS.index(c) for c in "god s sons"]


def test_the_text_is_what_the_package_prints():
    chapters = or_skip(kjv_chapters)
    assert len(chapters) == 1189
    assert chapters["Ge1"].startswith(
        "In the beginning God created the heaven and the earth. And the earth was without"
    )
    assert chapters["Rev22"].endswith("The grace of our Lord Jesus Christ be with you all. Amen.")
    program = shutil.which("bible")
    if program is None:
        pytest.skip("apt-get install bible-kjv")
    printed = subprocess.run([program, "gen1:1-rev22:21"], capture_output=True, text=True, check=True).stdout
    # Headings stand between empty lines, numbers before the verses.
    printed = re.sub(r"\n\n[^\n]*\n\n", "\n", "\n" + printed)
    assert np.array_equal(encode(printed), encode(" ".join(chapters.values())))


@pytest.mark.slow
def test_sequences_are_cut_out_of_chapters_and_no_chapter_is_on_both_sides():
    train, test, both = (or_skip(load_kjv, split) for split in ("train", "test", "all"))
    assert train.x.shape == (49_647, 64)
    assert test.x.shape == (12_467, 64)
    assert both.x.shape == (62_114, 64)
    assert train.x.dtype == torch.int64
    assert (int(train.x.min()), int(train.x.max())) == (0, 26)
    first = "".join(train.info.symbols[i] for i in both.x[0])
    assert first == "in the beginning god created the heaven and the earth and the ea"
    # The letters of a long English text: space, e and t are the three most frequent, in this order.
    shares = torch.bincount(both.x.flatten(), minlength=27).double() / both.x.numel()
    assert [both.info.symbols[i] for i in shares.argsort(descending=True)[:3]] == [" ", "e", "t"]
    assert float(shares[0]) == pytest.approx(0.197, abs=0.002)
    kept = {tuple(row) for row in test.x.tolist()}
    assert sum(tuple(row) in kept for row in train.x.tolist()) < 20  # formulas that are repeated word by word


def test_other_lengths():
    long = or_skip(load_kjv, "test", length=256)
    short = or_skip(load_kjv, "test", length=64)
    assert long.x.shape[1] == 256
    assert torch.equal(long.x[0], short.x[:4].flatten())


@pytest.mark.parametrize("bad", [0, 1001, 2.0, True])
def test_bad_lengths_and_splits_are_refused(bad):
    with pytest.raises(InvalidInputError, match=r"length must be a whole number in \[1, 1000\], got"):
        load_kjv(length=bad)
    with pytest.raises(InvalidInputError, match="split must be one of train, test, all"):
        load_kjv("valid")
