"""Files that data name are known by their contents; whatever else stands there is no file."""

from interpolants.runs.file_hashes import file_hashes


def test_a_file_and_a_folder_are_known_by_their_contents(tmp_path):
    one, other, folder = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "many"
    one.write_text("1\n"), other.write_text("1\n"), folder.mkdir()
    (folder / "c.csv").write_text("2\n")
    found = file_hashes({"x0": str(one), "x1": {"file": str(other)}, "cond": {"file": str(folder)}})
    assert found["x0"] == found["x1"] != found["cond"]
    (folder / "c.csv").write_text("3\n")
    other.write_text("12\n")
    again = file_hashes({"x0": str(one), "x1": {"file": str(other)}, "cond": {"file": str(folder)}})
    assert again["x0"] == found["x0"]
    assert again["x1"] != found["x1"]
    assert again["cond"] != found["cond"]


def test_what_names_no_file_is_left_out():
    odd = {
        "a": 0,
        "b": None,
        "c": [1],
        "d": {"file": 0},
        "e": "",
        "f": "x" * 5000,
        "g": "\0",
        "h": {"problem": "moons"},
    }
    assert file_hashes(odd) == {}
