import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from interpolants.data.coded_columns import read_coded
from interpolants.data.files import read_array
from interpolants.foundations.errors import InvalidInputError


def array(*shape):
    return np.random.RandomState(0).standard_normal(shape)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
def test_npy_of_any_float_type_and_shape(tmp_path, dtype):
    x = array(4, 1, 3, 3).astype(dtype)
    np.save(tmp_path / "a.npy", x)
    result = read_array(tmp_path / "a.npy")
    kept = "f4" if np.dtype(dtype).itemsize < 8 else "f8"
    assert torch.equal(result.x, torch.from_numpy(x.astype(kept)))
    assert read_array(tmp_path / "a.npy", exact=True).x.dtype == torch.float64
    assert result.columns == result.notes == ()


def test_one_dimension_is_a_column_and_it_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3.0))
    result = read_array(tmp_path / "a.npy")
    assert_close(result.x, torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64))
    assert "One-dimensional" in result.notes[0]


def test_npz_with_one_array_or_a_key(tmp_path):
    a, b = array(2, 2), array(3, 2)
    np.savez(tmp_path / "one.npz", a)
    np.savez(tmp_path / "two.npz", alpha=a, beta=b)
    assert_close(read_array(tmp_path / "one.npz").x, torch.from_numpy(a))
    assert_close(read_array(tmp_path / "two.npz", key="beta").x, torch.from_numpy(b))
    with pytest.raises(InvalidInputError, match=r"must contain one array.*got 2 arrays. Known: alpha, beta"):
        read_array(tmp_path / "two.npz")
    with pytest.raises(InvalidInputError, match=r"got betta. Did you mean 'beta'"):
        read_array(tmp_path / "two.npz", key="betta")


def test_safetensors(tmp_path):
    x = torch.from_numpy(array(3, 2)).float()
    save_file({"x": x}, tmp_path / "a.safetensors")
    save_file({"x": x.bfloat16(), "y": x}, tmp_path / "b.safetensors")
    assert_close(read_array(tmp_path / "a.safetensors").x, x)
    assert_close(read_array(tmp_path / "b.safetensors", key="x").x, x.bfloat16().float())
    (tmp_path / "c.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(InvalidInputError, match=r"must be a whole safetensors file"):
        read_array(tmp_path / "c.safetensors")


def test_parquet(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    pytest.importorskip("pyarrow", reason="pip install pyarrow")
    pandas.DataFrame({"a": [1.0, 2.0], "b": [3, 4]}).to_parquet(tmp_path / "a.parquet")
    result = read_array(tmp_path / "a.parquet")
    assert result.columns == ("a", "b")
    assert_close(result.x, torch.tensor([[1.0, 3.0], [2.0, 4.0]], dtype=torch.float64))


TABLE = torch.tensor([[1.0, 2.5], [-3.0, 4e2]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("plain.csv", "1,2.5\n-3,4e2\n", ()),
        ("header.csv", "a,b\n1,2.5\n-3,4e2\n", ("a", "b")),
        ("windows.csv", "\ufeffa,b\r\n1,2.5\r\n-3,4e2\r\n", ("a", "b")),
        ("semicolon.csv", "a;b\n1;2.5\n-3;4e2", ("a", "b")),
        ("tabs.tsv", "a\tb\n1\t2.5\n-3\t4e2\n", ("a", "b")),
        ("marks.csv", '"a, x";"b,y,z"\n1;2.5\n-3;4e2\n', ("a, x", "b,y,z")),
        ("quotes.csv", '"a, first","b"\n"1", "2.5"\n-3,4e2\n', ("a, first", "b")),
        ("comments.csv", "# made by hand\na,b\n\n1,2.5\n-3,4e2\n\n", ("a", "b")),
        ("year.csv", "x,2019\n1,2.5\n-3,4e2\n", ("x", "2019")),
        ("index.csv", ",a,b\n0,1,2.5\n1,-3,4e2\n", ("a", "b")),
    ],
)
def test_tables_in_many_dialects(tmp_path, name, text, columns):
    (tmp_path / name).write_bytes(text.encode())
    result = read_array(tmp_path / name)
    assert result.columns == columns
    assert_close(result.x, TABLE)
    assert bool(result.notes) == (name == "index.csv")


@pytest.mark.parametrize(("mark", "end"), [(";", "\n"), (",", "\r\n"), ("\t", "\n")])
def test_the_line_in_which_excel_names_the_delimiter_is_no_row(tmp_path, mark, end):
    rows = end.join([f"sep={mark}", f"a{mark}b", f"1{mark}2", f"3{mark}4"])
    (tmp_path / "a.csv").write_bytes(rows.encode())
    result = read_array(str(tmp_path / "a.csv"), "run")
    assert result.columns == ("a", "b")
    assert result.x.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", r"every line must have 2 cells.*got 1 in line 3"),
        ("1,2\n3,4,5\n", r"every line must have 2 cells.*got 3 in line 2"),
        ("a,city\n1,2\n3,Bonn\n", r"column 'city' must be numeric, got 'Bonn' in row 1 \(line 3\). Encode"),
        ("1,x\n3,y\n", r"column number 2 must be numeric, got 'x' in row 0 \(line 1\)"),
        ("a;b\n1,5;2\n", r"got '1,5' in row 0 \(line 2\). Write decimals with a point"),
        ("1,5;2,5;7\n3,5;4,5;8\n", r"got '1,5' in row 0 \(line 1\). Write decimals with a point"),
        ("a;b\n1.234,5;2\n", r"got '1.234,5' in row 0 \(line 2\). Write decimals with a point"),
        ("sep=;\na;b\n1;2\n3;x\n", r"column 'b' must be numeric, got 'x' in row 1 \(line 4\)"),
        ("a,b\n1,1_000\n", r"got '1_000'"),
        ("a,b\n", r"at least one row below its header"),
        ("\n\n", r"at least one row, got none"),
        (
            "a,b\n1,\n2,3\n4,NA\n",
            r"got 2 of 3 rows with NaN .*\(row 0, 2\) in b. .*drop_nan",
        ),
        ("1,inf\n2,3\n", r"got 1 of 2 rows"),
        ("1,1e309\n", r"got 1 of 1 rows with NaN or infinite values"),
    ],
)
def test_bad_tables_say_where(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=r"^run: a.csv: .*" + message):
        read_array(tmp_path / "a.csv", "run")


def test_text_that_is_not_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,\xff\xfe\n")
    with pytest.raises(InvalidInputError, match=r"the file must be UTF-8 text, got byte 6"):
        read_array(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"a,b\n1,\x002\n")
    with pytest.raises(InvalidInputError, match=r"b.csv"):
        read_array(tmp_path / "b.csv")


def test_rows_without_numbers_can_be_dropped(tmp_path):
    x = array(6, 2)
    x[1, 0], x[4, 1] = np.nan, np.inf
    np.save(tmp_path / "a.npy", x)
    with pytest.raises(InvalidInputError, match=r"2 of 6 rows with NaN or infinite values \(row 1, 4\)"):
        read_array(tmp_path / "a.npy")
    result = read_array(tmp_path / "a.npy", drop_nan=True)
    assert_close(result.x, torch.from_numpy(x[[0, 2, 3, 5]]))
    assert result.notes[0].startswith("Dropped 2 of 6 rows")
    np.save(tmp_path / "b.npy", np.full((2, 2), np.nan))
    with pytest.raises(InvalidInputError, match=r"at least one row must be finite"):
        read_array(tmp_path / "b.npy", drop_nan=True)


@pytest.mark.parametrize(
    ("dtype", "note"), [(np.uint8, "uint8 levels"), (np.int64, "if they are labels"), (bool, "Booleans")]
)
def test_integers_are_taken_with_a_note(tmp_path, dtype, note):
    x = np.array([[0, 1], [1, 0]]).astype(dtype)
    np.save(tmp_path / "a.npy", x)
    result = read_array(tmp_path / "a.npy")
    assert result.x.dtype == (torch.float64 if np.dtype(dtype).itemsize > 2 else torch.float32)
    assert result.x.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert note in result.notes[0]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.array([2**53 + 1]),
            r"integers must be at most 9007199254740992 for float64, got 9007199254740993",
        ),
        (np.array([-(2**63)]), r"got 9223372036854775808"),
        (np.array(3.0), r"must have a dimension of samples, got a single number"),
        (np.zeros((0, 3)), r"must not be empty, got shape \(0, 3\)"),
        (np.array([1j]), r"must be numeric, got type complex128. Stack"),
        (np.array(["a"]), r"must be numeric, got type <U1"),
        (np.zeros(2, dtype=[("a", "f4")]), r"must be numeric, got type .* columns of one array"),
    ],
    ids=str,
)
def test_arrays_that_are_no_samples_are_refused(tmp_path, x, message):
    np.save(tmp_path / "a.npy", x)
    with pytest.raises(InvalidInputError, match=r"^read_array: a.npy: .*" + message):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("ending", ["csv", "tsv", "npy", "whole.npy", "npz", "safetensors", "parquet"])
def test_seconds_since_1970_that_differ_by_one_stay_apart(tmp_path, ending):
    """float32 holds one number in 128 there."""
    seconds = np.arange(1.7e9, 1.7e9 + 300)
    path = tmp_path / f"a.{ending}"
    if ending in ("csv", "tsv"):
        path.write_text("t\n" + "\n".join(f"{s:.0f}" for s in seconds))
    elif ending == "safetensors":
        save_file({"t": torch.from_numpy(seconds)}, path)
    elif ending == "parquet":
        pytest.importorskip("pyarrow")
        pytest.importorskip("pandas").DataFrame({"t": seconds}).to_parquet(path)
    else:
        np.savez(path, seconds) if ending == "npz" else np.save(
            path, seconds.astype("i8" if "whole" in ending else "f8")
        )
    assert read_array(path).x[:, 0].tolist() == seconds.tolist()


def test_wanted_dimensions(tmp_path):
    np.save(tmp_path / "a.npy", array(2, 3))
    assert read_array(tmp_path / "a.npy", ndim=2).x.shape == (2, 3)
    with pytest.raises(InvalidInputError, match=r"the array must have 4 dimensions, got shape \(2, 3\)"):
        read_array(tmp_path / "a.npy", ndim=4)


class Trap:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickles_are_never_opened(tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")], dtype=object)
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "a.npz", trap)
    torch.save(torch.zeros(2), tmp_path / "a.pt")
    with pytest.raises(InvalidInputError, match=r"a.npy must be a NumPy file of plain numbers"):
        read_array(tmp_path / "a.npy")
    with pytest.raises(InvalidInputError, match=r"a.npz\['arr_0'\] must be plain numbers"):
        read_array(tmp_path / "a.npz")
    with pytest.raises(InvalidInputError, match=r"must not be a pickle.*got a.pt. Save the tensor with"):
        read_array(tmp_path / "a.pt")
    assert not (tmp_path / "sprung").exists()


def test_missing_files_name_the_nearest(tmp_path):
    np.save(tmp_path / "train_x0.npy", array(2, 2))
    with pytest.raises(
        InvalidInputError, match=r"the file must exist, got .*train_x.npy. Did you mean 'train_x0"
    ):
        read_array(tmp_path / "train_x.npy")
    with pytest.raises(InvalidInputError, match=r"has 1 other files"):
        read_array(tmp_path / "zzz")
    with pytest.raises(InvalidInputError, match=r"The folder .*nowhere does not exist"):
        read_array(tmp_path / "nowhere" / "a.npy")
    with pytest.raises(
        InvalidInputError, match=r"the path must be a file, or a folder of pictures .*got the folder"
    ):
        read_array(tmp_path)


def test_damaged_empty_and_unknown_files(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"")
    with pytest.raises(InvalidInputError, match=r"the file must not be empty, got 0 bytes"):
        read_array(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", array(100, 2))
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:500])
    with pytest.raises(InvalidInputError, match=r"b.npy must be a whole NumPy file, got a damaged one"):
        read_array(tmp_path / "b.npy")
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InvalidInputError, match=r"c.npz must be a whole NumPy file"):
        read_array(tmp_path / "c.npz")
    (tmp_path / "e.npy").write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8'\n")
    with pytest.raises(InvalidInputError, match=r"e.npy must be a whole NumPy file, got a damaged one"):
        read_array(tmp_path / "e.npy")
    np.savez_compressed(tmp_path / "f.npz", x=array(500, 3))
    found = bytearray((tmp_path / "f.npz").read_bytes())
    found[100:140] = b"\xff" * 40
    (tmp_path / "f.npz").write_bytes(found)
    with pytest.raises(InvalidInputError, match=r"f.npz\['x'\] must be plain numbers, got .*damaged bytes"):
        read_array(tmp_path / "f.npz")
    with zipfile.ZipFile(tmp_path / "g.npz", "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(InvalidInputError, match=r"g.npz\['notes.txt'\] must be .*a file that is no array"):
        read_array(tmp_path / "g.npz")
    (tmp_path / "d.xlsx").write_bytes(b"x")
    with pytest.raises(InvalidInputError, match=r"must end in one of .bmp, .csv, .dcm.* got d.xlsx"):
        read_array(tmp_path / "d.xlsx")


GAPS = pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("y\n1\n\n3\n", [1, None, 3]),
        ("1\n\n3\n", [1, None, 3]),
        ('y\n1\n""\n3\n""\n', [1, None, 3, None]),
        ("\n# measured in May\n\ny\n1\n \n\n4\n\n  \n", [1, None, None, 4]),
        ("y\r\n1\r\n\r\n3\r\n\r\n", [1, None, 3]),
        ("x,y\n1,2\n\n3,4\n", [[1, 2], [3, 4]]),
    ],
)


@GAPS
def test_a_blank_line_of_one_column_is_a_missing_value_and_no_row_moves_up(tmp_path, text, rows):
    (tmp_path / "a.csv").write_bytes(text.encode())
    x = read_array(tmp_path / "a.csv", gaps=True).x
    expected = torch.tensor(np.array(rows, dtype=float)).reshape(len(rows), -1)
    torch.testing.assert_close(x.double(), expected, equal_nan=True)
    if None in rows:
        place = rows.index(None)
        with pytest.raises(InvalidInputError, match=rf"rows with NaN or infinite values \(row {place}"):
            read_array(tmp_path / "a.csv")


@GAPS
def test_a_blank_line_of_one_column_of_words_is_a_missing_word(tmp_path, text, rows):
    pytest.importorskip("pandas")
    for digit, word in zip("1234", ("one", "two", '"of, ""three"""', "four"), strict=True):
        text = text.replace(digit, word)
    (tmp_path / "a.csv").write_bytes((text if "y" in text else f"y\n{text}").encode())
    found = read_coded(tmp_path / "a.csv", "table")
    words = found.iloc[:, 0].tolist()
    first = [row[0] if isinstance(row, list) else row for row in rows]
    known = {1: "one", 2: "two", 3: 'of, "three"', 4: "four"}
    assert [None if word != word else word for word in words] == [known.get(row) for row in first]
