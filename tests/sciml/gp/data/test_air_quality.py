"""Particulate matter: the package's file, a table of one's own, refusals."""

import gzip
import math

import pytest

from interpolants.data.bundled import is_there
from interpolants.foundations import unpacking
from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.gp.data.air_quality import load_air_quality


@pytest.mark.skipif(not is_there(load_air_quality), reason="r-cran-spacetime is not installed")
def test_the_file_of_the_package():
    pytest.importorskip("rdata")
    every = load_air_quality("all").x
    assert tuple(every.shape) == (149_151, 5)
    assert every[0].tolist() == [51.0, 9.207747, 48.345402, 0.0, 14.625]


ROWS = [(0, "2005-01-02", 12.5), (1, "2005-01-01", 20.0), (4, "2005-01-03", 0.0), (5, "1999-05-06", 7.0)]


def table(tmp_path, rows=ROWS):
    lines = [f"{k},{10 + k},{50 + k},{date},{value}" for k, date, value in rows]
    (tmp_path / "air.csv").write_text("\n".join(["station,longitude,latitude,date,pm10", *lines]) + "\n")
    return {"path": str(tmp_path / "air.csv")}


def test_a_table_of_ones_own(tmp_path):
    own = table(tmp_path)
    every = load_air_quality("all", **own)
    assert every.x[0].tolist() == [0.0, 10.0, 50.0, 2558.0, 12.5]
    assert every.labels.tolist() == [0, 1, 4, 5]
    assert load_air_quality("test", **own).labels.tolist() == [0, 5]
    assert load_air_quality("train", **own).labels.tolist() == [1, 4]
    assert len(load_air_quality("all", first="2005-01-01", days=2, **own).x) == 2


def test_logarithms_leave_out_what_has_none(tmp_path):
    logs = load_air_quality("all", first="2005-01-01", log=True, **table(tmp_path))
    assert logs.x[:, 4].tolist() == pytest.approx([math.log(12.5), math.log(20)])
    assert logs.info.columns[-1] == "log_pm10"


def test_what_is_no_such_table_is_refused(tmp_path):
    own = table(tmp_path)
    with pytest.raises(InvalidInputError, match="none from 2010-01-01 on"):
        load_air_quality(first="2010-01-01", **own)
    with pytest.raises(InvalidInputError, match="dates must look like 2005-01-31, got 1"):
        load_air_quality(first="1.1.2005", **own)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInputError, match="must have a column station, got none"):
        load_air_quality(path=str(tmp_path / "bad.csv"))
    pytest.importorskip("rdata")
    with pytest.raises(InvalidInputError, match=r"path must be the file air\.rda"):
        load_air_quality(path=str(tmp_path / "none.rda"))


def test_a_workspace_that_unpacks_out_of_all_proportion_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("rdata")
    monkeypatch.setattr(unpacking, "SMALL", 1 << 20)
    (tmp_path / "air.rda").write_bytes(gzip.compress(bytes(2 << 20)))
    with pytest.raises(InvalidInputError, match=r"air\.rda must unpack to"):
        load_air_quality(path=str(tmp_path / "air.rda"))
