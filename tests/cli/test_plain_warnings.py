"""Warnings on the command line: the message alone for ours, as Python prints them for others."""

import warnings

import interpolants
from interpolants.cli.group import plain_warnings
from interpolants.data.shards import MissingShardWarning


def _line(category, filename):
    return warnings.formatwarning(category("data: a gap"), category, filename, 12)


def test_ours_have_no_source_line_and_others_keep_it():
    with plain_warnings():
        assert _line(MissingShardWarning, "user.py") == "warning: data: a gap\n"
        assert _line(UserWarning, interpolants.__file__) == "warning: data: a gap\n"
        assert _line(DeprecationWarning, "/elsewhere/other.py").startswith(
            "/elsewhere/other.py:12: DeprecationWarning: data"
        )
    assert _line(MissingShardWarning, "user.py").startswith("user.py:12: MissingShardWarning: data")


def test_a_recorder_sees_them_all_the_same():
    with plain_warnings(), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.warn("data: a gap", MissingShardWarning, stacklevel=1)
    assert [one.category for one in found] == [MissingShardWarning]
