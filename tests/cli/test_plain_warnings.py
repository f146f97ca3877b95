"""Warnings on the command line: the message alone for ours, as Python prints them for others."""

import warnings

from interpolants.cli.group import plain_warnings
from interpolants.foundations.tell import FileWarning


def _line(category, filename):
    return warnings.formatwarning(category("data: a gap"), category, filename, 12)


def test_ours_have_no_source_line_and_others_keep_it():
    with plain_warnings():
        assert _line(FileWarning, "user.py") == "warning: data: a gap\n"
        assert _line(DeprecationWarning, "/elsewhere/other.py").startswith(
            "/elsewhere/other.py:12: DeprecationWarning: data"
        )
    assert _line(FileWarning, "user.py").startswith("user.py:12: FileWarning: data")


def test_a_recorder_sees_them_all_the_same():
    with plain_warnings(), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.warn("data: a gap", FileWarning, stacklevel=1)
    assert [one.category for one in found] == [FileWarning]
