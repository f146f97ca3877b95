"""Lines fed to a session: what each cell becomes, columns by name, and what is refused."""

from dataclasses import dataclass
from math import isnan

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.live_rows import follow_lines


@dataclass
class Said:
    expected: torch.Tensor
    surprise: float
    ahead: torch.Tensor


class Echo:
    """Expects the row before; two steps ahead it expects this row and its double."""

    def __init__(self, width):
        self.before, self.frames = torch.zeros(width), []

    def feed(self, frame):
        self.frames.append(frame)
        x = torch.tensor(list(frame.values()) if isinstance(frame, dict) else frame)
        told = Said(self.before, float((x - self.before).abs().sum()), torch.stack([x, 2 * x]))
        self.before = x
        return told


def told(text, known=(), width=2):
    session = Echo(width)
    return session, [row.fields() for row in follow_lines(session, text.splitlines(keepends=True), known)]


def test_rows_of_numbers():
    session, rows = told("\ufeff1,2\n\n3, 5\n")
    assert session.frames == [[1.0, 2.0], [3.0, 5.0]]
    assert rows[1] == {"step": 2, "surprise": 5.0, "expected_y0": 1.0, "expected_y1": 2.0,
                       "ahead1_y0": 3.0, "ahead1_y1": 5.0, "ahead2_y0": 6.0, "ahead2_y1": 10.0}  # fmt: skip


def test_columns_are_found_by_name_and_others_left_out():
    session, rows = told('time,b,a\n"noon, or so",2,1\n13:00,5,3\n', known=("a", "b"))
    assert session.frames == [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 5.0}]
    assert list(rows[0])[2:4] == ["expected_a", "expected_b"]


def test_numbers_as_names_are_names_if_the_fit_had_them():
    assert told("1,0\n7,8\n", known=("0", "1"))[0].frames == [{"0": 8.0, "1": 7.0}]
    assert told("1,0\n7,8\n")[0].frames == [[1.0, 0.0], [7.0, 8.0]]


@pytest.mark.parametrize("cell", ["", "nan", "NaN", " NA ", "null"])
def test_what_was_not_seen(cell):
    frame = told(f"1,2\n{cell},4\n")[0].frames[1]
    assert isnan(frame[0])
    assert frame[1] == 4.0


def test_each_row_is_told_before_the_next_is_read():
    read = []

    def lines():
        for k in range(3):
            read.append(k)
            yield f"{k}\n"

    found = follow_lines(Echo(1), lines())
    assert next(found).step == 1
    assert read == [0]
    assert next(found).step == 2
    assert read == [0, 1]


@pytest.mark.parametrize(
    ("text", "known", "message"),
    [
        ("2024-01-01,3.5\n", (), "names of columns that come once"),
        ("a,a\n1,2\n", (), "names of columns that come once"),
        ("a,c\n1,2\n", ("a", "b"), "must name a, b, got no 'b'"),
        ("1,2\n3,soon\n", (), "line 2 must be numbers, got 'soon'"),
        ("a,b\n1,2\n3\n", ("a", "b"), "line 3 must have 2 cells, got 1"),
    ],
)
def test_refused(text, known, message):
    with pytest.raises(InvalidInputError, match=message):
        told(text, known)


def test_rows_before_a_bad_one_have_been_told():
    found = follow_lines(Echo(2), ["1,2\n", "x,2\n"])
    assert next(found).told.surprise == 3.0
    with pytest.raises(InvalidInputError, match="line 2"):
        next(found)


@pytest.mark.parametrize("line", [b"1,\xff\n", b"1,2" + b"3" * 200_000 + b"\n"])
def test_what_is_no_text_is_told_by_its_line(tmp_path, line):
    (tmp_path / "rows.csv").write_bytes(b"1,2\n" + line)
    with (
        open(tmp_path / "rows.csv", newline="", encoding="utf-8") as lines,
        pytest.raises(InvalidInputError, match="must be text"),
    ):
        list(follow_lines(Echo(2), lines))
