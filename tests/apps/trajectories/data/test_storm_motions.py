import numpy as np
import pytest

from interpolants.apps.trajectories.data.storm_motions import great_circle, load_storm_motions
from interpolants.apps.trajectories.data.storms import EARTH
from interpolants.data.bundled import is_there
from interpolants.foundations.errors import InvalidInputError


@pytest.mark.skipif(not is_there(load_storm_motions), reason="r-cran-dplyr is not installed")
def test_storms_of_the_package():
    pytest.importorskip("rdata")
    found = load_storm_motions("all")
    assert found.info.columns == ("lat", "lon", "heading", "speed", "wind")
    # Amy, 27 June 1975: 27.5 N 79 W at 0 h, 28.5 N 79 W at 6 h, 25 knots
    amy = np.array([row for row in found.x.tolist() if row[:2] == [27.5, -79.0] and row[4] == 25])
    assert any(abs(row[2]) < 1e-9 and abs(row[3] - 111.19 / 6) < 0.01 for row in amy)
    assert 0 <= float(found.x[:, 2].min()) < float(found.x[:, 2].max()) < 360
    assert 15 < float(found.x[:, 3].median()) < 25  # km/h, of a storm
    assert len(found.x) == len(load_storm_motions("train").x) + len(load_storm_motions("test").x)


def test_headings_and_distances_of_great_circles():
    start = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 170.0], [60.0, 0.0], [10.0, 20.0]])
    stop = np.array([[1.0, 0.0], [0.0, -1.0], [0.0, -170.0], [60.0, 180.0], [-10.0, 20.0]])
    distance, heading = great_circle(start, stop)
    assert heading == pytest.approx([0.0, 270.0, 90.0, 0.0, 180.0], abs=1e-9)
    degree = np.pi * EARTH / 180
    assert distance == pytest.approx(degree * np.array([1, 1, 20, 60, 20]), rel=1e-12)


def test_fixes_without_motion_and_between_six_hours_are_left_out(tmp_path):
    path = tmp_path / "storms.csv"
    lines = ["name,year,month,day,hour,lat,long,wind"]
    for name in ("A", "B"):
        fixes = [(0, 20, 30), (6, 21, 35), (9, 21.5, 40), (12, 21, 45), (18, 20, 50)]
        lines += [f"{name},2000,8,1,{hour},{lat},-60,{wind}" for hour, lat, wind in fixes]
    path.write_text("\n".join(lines))
    found = load_storm_motions("all", path=str(path))
    assert found.x[:, [0, 2, 4]].tolist() == [[20, 0, 30], [21, 180, 45]] * 2
    assert found.x[0, 3].item() == pytest.approx(111.19 / 6, rel=1e-4)
    path.write_text(lines[0] + "\nA,2000,8,1,0,20,-60,30\nB,2000,8,1,0,20,-60,30")
    with pytest.raises(InvalidInputError, match="at least two storms must move within six hours, got 0"):
        load_storm_motions("all", path=str(path))
