import io
from urllib import request

import numpy as np
import pandas as pd
import pytest
import torch
from torture.packed_files import zeros_by_gzip

from hostile_content import CONTENTS
from interpolants.apps.trajectories.data.tracks import Tracks, ragged_tracks, read_tracks, tracks_of_table
from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.values import Place, read_value


def table():
    rows = [
        ("b", 5, "u", 1, 0.0, 1.0),
        ("b", 6, "u", 1, 2.0, 3.0),
        ("b", 6, "v", 0, 4.0, 5.0),
        ("a", 0, "u", 1, 6.0, 7.0),
    ]
    return pd.DataFrame(rows, columns=["track", "frame", "node", "type", "x", "y"])


def test_a_long_table_becomes_padded_tracks():
    tracks = tracks_of_table(table())
    assert tracks.x.shape == (2, 2, 2, 2)
    assert tracks.columns == ("x", "y")
    assert tracks.seen.tolist() == [[[True, False], [True, True]], [[True, False], [False, False]]]
    assert tracks.x[0, 1, 1].tolist() == [4.0, 5.0]
    assert tracks.types.tolist() == [[1, 0], [1, 0]]


def test_the_order_of_rows_does_not_matter():
    shuffled = table().iloc[[1, 0, 2, 3]]
    assert torch.equal(tracks_of_table(shuffled).x, tracks_of_table(table()).x)


def test_gaps_are_whole_positions():
    x = torch.zeros(1, 3, 1, 2)
    x[0, 1] = torch.nan
    tracks = Tracks.of(x)
    assert tracks.seen[0, :, 0].tolist() == [True, False, True]
    assert tracks.with_gaps()[0, 1].isnan().all()
    x[0, 2, 0, 1] = torch.nan
    with pytest.raises(InvalidInputError, match="in all dimensions or in none, got some of case 0, frame 2"):
        Tracks.of(x)


def test_ragged_cases_are_padded():
    tracks = ragged_tracks(
        [torch.ones(3, 2, 2), torch.ones(1, 4, 2)], [torch.tensor([0, 1]), torch.arange(4)]
    )
    assert tracks.seen.sum((1, 2)).tolist() == [6, 4]
    assert tracks.types.tolist() == [[0, 1, 0, 0], [0, 1, 2, 3]]
    assert len(tracks[1:]) == 1
    with pytest.raises(InvalidInputError, match="case 1 must have 4 types"):
        ragged_tracks([torch.ones(3, 2, 2), torch.ones(1, 4, 2)], [torch.arange(2), torch.arange(3)])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.rename(columns={"frame": "frames"}), "column frame"),
        (lambda t: t[["track", "frame", "type"]], "columns with positions"),
        (lambda t: pd.concat([t, t[:1]]), "once, got frame 0 of track 0"),
        (lambda t: t.assign(type=[1, 0, 0, 1]), "one type"),
        (lambda t: t.assign(frame=t.frame + 0.5), "whole numbers"),
        (lambda t: t.assign(name="words"), "positions"),
        (lambda t: t.rename(columns={"x": "Lat", "y": "lon"}), "lengths, got degrees, Lat and lon"),
    ],
)
def test_tables_that_are_no_tracks_are_refused(change, told):
    with pytest.raises(InvalidInputError, match=told):
        tracks_of_table(change(table()))


@pytest.mark.parametrize(
    "bad", [torch.zeros(4, 3), torch.zeros(0, 3, 2, 2), torch.full((1, 2, 1, 2), np.inf)]
)
def test_other_shapes_and_infinities_are_refused(bad):
    with pytest.raises(InvalidInputError, match=r"must be \(cases|finite"):
        Tracks.of(bad)


def test_types_must_fit():
    x = torch.zeros(2, 3, 4, 2)
    assert Tracks.of(x, torch.arange(4)).types.shape == (2, 4)
    for bad in (torch.arange(3), torch.tensor([0.5, 0, 0, 0]), torch.tensor([-1, 0, 0, 0])):
        with pytest.raises(InvalidInputError, match="types must be"):
            Tracks.of(x, bad)


# --- tables of other programs --------------------------------------------------------------------------------


def test_nodes_are_numbered_by_their_names_and_tracks_as_they_come():
    assert torch.equal(tracks_of_table(table().iloc[[2, 1, 0, 3]]).x, tracks_of_table(table()).x)


def test_row_numbers_of_pandas_are_no_dimension(tmp_path):
    table().to_csv(tmp_path / "tracks.csv")
    assert read_tracks(str(tmp_path / "tracks.csv"), "test").columns == ("x", "y")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.assign(time=[0.0, 0.1, 0.1, 0.0]), "must be positions, got times, time"),
        (
            lambda t: t.assign(track=["b", None, "b", "a"]),
            "column track must have a value in every row, got none in row 2",
        ),
        (
            lambda t: t.assign(node=["u", "u", None, "u"]),
            "column node must have a value in every row, got none in row 3",
        ),
    ],
)
def test_times_and_missing_names_are_refused(change, told):
    with pytest.raises(InvalidInputError, match=told):
        tracks_of_table(change(table()))


def test_the_stride_of_frames():
    x = torch.full((2, 13, 1, 2), torch.nan)
    x[0, 2::6], x[1, ::4] = 0.0, 0.0
    assert (Tracks.of(x).stride, Tracks.of(x[:1]).stride, Tracks.of(x[:1, :3]).stride) == (2, 6, 0)


@pytest.mark.parametrize("kind", sorted(set(CONTENTS) - {"other", "words", "short", "zeros"}))
def test_files_that_are_no_tables_are_refused_by_name(tmp_path, kind):
    (tmp_path / "a.csv").write_bytes(CONTENTS[kind])
    with pytest.raises(InvalidInputError, match=r"a\.csv"):
        read_tracks(str(tmp_path / "a.csv"), "who")


def test_a_small_file_that_becomes_gigabytes_is_refused(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(zeros_by_gzip(400))
    with pytest.raises(InvalidInputError):
        read_tracks(str(tmp_path / "a.csv.gz"), "who")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_no_track_is_read_from_an_address(monkeypatch, ending):
    asked = []
    monkeypatch.setattr(
        request, "urlopen", lambda *given, **_: asked.append(given) or io.BytesIO(b"a,b\n1,2\n")
    )
    with pytest.raises(InvalidInputError, match="No such file"):
        read_tracks(f"http://127.0.0.1:9/a.{ending}", "who")
    assert asked == []


def test_a_problem_may_draw_tracks():
    draws = {"problem": "charged_particles", "n": 3, "frames": 2}
    found = read_value("tracks", draws, Place())
    assert isinstance(found.value, Tracks)
    assert found.value.x.shape == (3, 2, 5, 3)
    assert read_value("x1", {"problem": "moons", "n": 3}, Place()).value.shape == (3, 2)
