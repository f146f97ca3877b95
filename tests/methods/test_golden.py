"""Models that earlier stores wrote: they are read, or refused in one line that says what reads them."""

from pathlib import Path

import pytest

import interpolants
from interpolants.foundations.errors import InvalidInputError

GOLDEN = sorted(path for path in (Path(__file__).parent / "golden").iterdir() if path.is_dir())


def test_every_earlier_store_has_an_example():
    assert [path.name for path in GOLDEN] == ["bridge", "forecaster", "latent_generator", "token_bridge"]


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_an_earlier_store_is_refused_in_one_line_that_says_what_reads_it(folder):
    with pytest.raises(
        InvalidInputError, match=r"must contain a stored tree, got \w+\.json, .*f653ca4"
    ) as found:
        interpolants.load(folder)
    assert "\n" not in str(found.value)
