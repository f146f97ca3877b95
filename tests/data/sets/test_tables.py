import pytest
import torch
from torch.testing import assert_close

from interpolants.data.sets import tables
from interpolants.foundations.errors import InvalidInputError, MissingExtraError


def or_skip(load, *args, **options):
    try:
        return load(*args, **options)
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_scikit_learns_tables(name):
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = getattr(datasets, f"load_{name}")()
    ours = getattr(tables, f"load_{name}")("all")
    assert_close(ours.x, torch.from_numpy(theirs.data).float())
    assert torch.equal(ours.labels, torch.from_numpy(theirs.target).long())
    assert ours.info.columns == tuple(theirs.feature_names)
    assert ours.info.classes == tuple(theirs.target_names)


def test_diamonds():
    data = or_skip(tables.load_diamonds, "all")
    assert data.info.shape == (53_940, 7)
    # Published summary of the set: mean price 3,932.80 dollars, mean carat 0.79794, 21,551 ideal cuts.
    price, carat = (data.x[:, data.info.columns.index(name)].double().mean() for name in ("price", "carat"))
    assert float(price) == pytest.approx(3932.80, abs=0.01)
    assert float(carat) == pytest.approx(0.79794, abs=1e-5)
    assert int((data.labels == data.info.classes.index("Ideal")).sum()) == 21_551


@pytest.mark.slow
def test_flights():
    columns = ("distance", "arr_delay")
    data = or_skip(tables.load_flights, "all", columns=columns)
    assert data.info.shape == (327_346, 2)
    assert data.info.columns == columns
    # Published summary: mean arrival delay 6.895 minutes; the first flight went 1,400 miles and was 11 late.
    assert float(data.x[:, 1].double().mean()) == pytest.approx(6.895, abs=1e-3)
    assert data.x[0].tolist() == [1400, 11]
    assert data.info.classes[data.labels[0]] == "EWR"


def test_flights_columns_are_checked():
    with pytest.raises(InvalidInputError, match=r"got distanse. Did you mean 'distance'"):
        tables.load_flights(columns=["distanse"])
    with pytest.raises(InvalidInputError, match=r"columns must name at least one"):
        tables.load_flights(columns=[])


@pytest.mark.slow
def test_shuttle():
    data = or_skip(tables.load_shuttle, "all")
    assert data.info.shape == (58_000, 9)
    assert data.x[0].tolist() == [50, 21, 77, 0, 28, 0, 27, 48, 22]
    assert data.info.classes[data.labels[0]] == "Fpv.Close"
    assert int((data.labels == data.info.classes.index("Rad.Flow")).sum()) == 45_586


def test_letter_and_its_noise():
    data = or_skip(tables.load_letter, "all")
    assert data.info.shape == (20_000, 16)
    assert "".join(data.info.classes) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert data.x[0].tolist() == [2, 8, 3, 5, 1, 8, 13, 0, 6, 6, 10, 8, 0, 8, 0, 8]
    assert data.info.classes[data.labels[0]] == "T"
    noisy = tables.load_letter("all", dequantise=True)
    assert_close(noisy.x.double().round(), data.x.double())
    assert float((noisy.x - data.x).var()) == pytest.approx(1 / 12, rel=0.01)
