import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.spaces import Angle, LatitudeLongitude, Quaternion, UnitVector, code_of


def rows(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_degrees_there_and_back_over_the_seam():
    x = rows([0.0], [359.75], [180.0], [90.0])
    code = Angle().learn(x, ["direction"])
    assert_close(code.decode(code.encode(x)), x)
    signed = rows([-179.5], [179.5], [0.0])
    code = Angle().learn(signed, ["direction"])
    assert_close(code.decode(code.encode(signed)), signed)


def test_an_angle_that_rounds_up_to_the_period_is_zero():
    code = Angle(period=24.0, low=0.0)
    assert_close(code.decode(rows([1.0, -1e-17])), rows([0.0]))


def test_latitude_and_longitude_are_points_on_the_globe():
    places = rows([90.0, 0.0], [0.0, 0.0], [0.0, 90.0], [0.0, -180.0], [30.0, 60.0])
    code = LatitudeLongitude().learn(places, ["lat", "lon"])
    points = code.encode(places)
    expected = [[0.0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [math.sqrt(3) / 4, 0.75, 0.5]]
    assert_close(points, rows(*expected), atol=1e-15, rtol=0)
    assert_close(code.decode(points), places)


def test_longitudes_come_back_in_the_interval_of_the_data():
    west = rows([10.0, 200.0], [0.0, 359.0])
    code = LatitudeLongitude().learn(west, ["lat", "lon"])
    assert_close(code.decode(code.encode(west)), west)
    assert_close(LatitudeLongitude().decode(code.encode(west)), rows([10.0, -160.0], [0.0, -1.0]))


def test_log_volumes_are_the_derivatives_of_the_points():
    x = rows([30.0, 60.0], [-72.0, 10.0])
    code, h = LatitudeLongitude(), 1e-4
    sides = [(code.encode(x + h * e) - code.encode(x - h * e)) / (2 * h) for e in torch.eye(2, dtype=x.dtype)]
    area = torch.linalg.vector_norm(torch.linalg.cross(*sides), dim=-1)
    assert_close(code.log_volume(x), area.log(), atol=1e-7, rtol=0)
    assert_close(Angle(period=24.0).log_volume(rows([3.0])), rows(math.log(2 * math.pi / 24)))
    assert float(LatitudeLongitude().log_volume(rows([90.0, 0.0]))) < -30


def test_quaternions_come_back_with_one_sign():
    q = rows([-0.5, 0.5, 0.5, -0.5], [0.6, 0.0, -0.8, 0.0])
    code = Quaternion()
    assert_close(code.decode(code.encode(q)), rows([0.5, -0.5, -0.5, 0.5], [0.6, 0.0, -0.8, 0.0]))


def test_unit_vectors_are_projected_within_rounding():
    x = rows([0.6, 0.0, 0.80005])
    assert_close(torch.linalg.vector_norm(UnitVector(3).encode(x), dim=-1), rows(1.0)[0:1])


@pytest.mark.parametrize(
    ("code", "names", "x", "message"),
    [
        (Angle(), ["dir"], [[10.0], [370.0]], "'dir' must lie within one period, 360, of 0, got 370 in row 1"),
        (Angle(period=12.0), ["hour"], [[13.0]], "'hour' must lie within one period, 12, of 0, got 13 in row 0"),
        (LatitudeLongitude(), ["lat", "lon"], [[10.0, 0.0], [91.0, 120.0]], "'lat' must contain latitudes of at most"),
        (LatitudeLongitude(), ["a", "b"], [[120.0, 50.0]], "may be exchanged: latitude comes first"),
        (LatitudeLongitude(), ["a", "b"], [[20.0, 361.0]], "'b' must contain longitudes of at most 360"),
        (LatitudeLongitude(), ["lon", "lat"], [[20.0, 30.0]], "takes the column of latitudes first, got 'lon', 'lat'"),
        (UnitVector(3), list("xyz"), [[1.0, 0, 0], [0.6, 0, 0.9]], "within 0.0001, got a row at a distance of 0.0817"),
        (Quaternion(), list("wxyz"), [[1.0, 1.0, 0, 0]], "a unit quaternion of length 1"),
    ],
)  # fmt: skip
def test_rows_off_the_space_are_refused_with_their_column_and_place(code, names, x, message):
    with pytest.raises(InvalidInputError, match=message):
        code.check(rows(*x), names)


def test_radians_for_degrees_are_refused_by_name_unless_the_unit_is_stated():
    small = rows([0.1], [6.2])
    with pytest.raises(InvalidInputError, match=r"'dir' must be in degrees.*got 0.1 to 6.2.*period"):
        Angle().learn(small, ["dir"])
    assert Angle(period=360.0).learn(small, ["dir"]).low == 0.0
    near = rows([0.5, -1.5], [-0.2, 2.5])
    with pytest.raises(InvalidInputError, match=r"'lat' and 'lon' must be in degrees.*got up to 0.5 and 2.5"):
        LatitudeLongitude().learn(near, ["lat", "lon"])
    assert LatitudeLongitude(unit="degrees").learn(near, ["lat", "lon"]).turn == 360.0
    radians = LatitudeLongitude(unit="radians")
    assert_close(radians.decode(radians.encode(near)), near)


@pytest.mark.parametrize(
    ("kind", "columns", "message"),
    [
        ("sphere", ["lat"], "takes two columns, latitude and longitude"),
        ("rotations", ["a", "b", "c"], "takes four columns, a quaternion, got 3: a, b, c"),
        ("circle", ["a", "b", "c"], "takes one column"),
        ("hyperbolic", ["a"], "must be one of circle, sphere, rotations, got 'hyperbolic'.*is not there"),
        ("poses", ["a"], "the position is among the other columns"),
        ("torus", ["a"], "Name each angle by itself"),
    ],
)
def test_kinds_and_numbers_of_columns(kind, columns, message):
    with pytest.raises(InvalidInputError, match=message):
        code_of(kind, columns, {})


def test_the_code_follows_from_kind_and_columns():
    assert code_of("circle", ["a"], {"period": 24.0}) == Angle(period=24.0)
    assert code_of("circle", ["a", "b"], {}) == UnitVector(2)
    assert code_of("sphere", ["a", "b"], {}) == LatitudeLongitude()
    assert code_of("sphere", ["a", "b", "c"], {}) == UnitVector(3)
    assert code_of("rotations", list("abcd"), {}) == Quaternion()
