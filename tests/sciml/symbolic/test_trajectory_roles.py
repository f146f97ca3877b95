from interpolants.runs.answers import read_rows, write_answer
from interpolants.runs.values import Place, read_value
from interpolants.sciml.symbolic.operator_transformer import HINT, X


def test_a_kind_of_role_reads_its_own_files_and_tables_keep_their_names_in_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.csv").write_text("time,place\n0.0,1.5\n0.5,2.5\n")
    found = read_rows("w.csv", X)
    assert list(found.columns) == ["time", "place"]
    assert read_value("x", "w.csv", Place(roles={"x": X})).value.equals(found)
    write_answer(found, tmp_path / "out.csv", "predict")
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "time,place"
    (tmp_path / "hints.txt").write_text("u2 | -u1\n\nu1 | u2\n")
    assert read_rows("hints.txt", HINT) == ["u2 | -u1", "u1 | u2"]
    assert read_rows("u2 | -u1", HINT) == "u2 | -u1"
