"""A file of the user's own gets no source, hash or licence of a package."""

import inspect
import shutil
from pathlib import Path

import pytest

from interpolants.data.bundled import carriers
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InterpolantsError
from rings import ABSENT

LOADERS = [card for card in load_cards("interpolants") if card.kind == "data"]
WITH_PATH = [card for card in LOADERS if "path" in inspect.signature(card.load_entry()).parameters]

NUMBERS = ",".join(str(k) for k in range(9))
# Tables for those whose package keeps another form than they read from a path.
WRITTEN = {
    "diabetes": "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6,progression\n" + "1,2,3,4,5,6,7,8,9,10,11\n" * 9,
    "concrete": "cement,blast_furnace_slag,fly_ash,water,superplasticizer,coarse_aggregate,fine_aggregate,age,"
    "compressive_strength\n" + f"{NUMBERS}\n" * 9,
    "boston_housing": "crim,zn,indus,chas,nox,rm,age,dis,rad,tax,ptratio,lstat,medv\n"
    + f"{NUMBERS},1,2,3,4\n" * 9,
    "leaves": "species,area\n" + "oak,1.5\n" * 9,
    "us_airports": "longitude,latitude,state\n" + "-100.5,40.5,KS\n" * 9,
    "atlantic_storms": "name,year,month,day,hour,lat,long\n"
    + "".join(f"{n},1990,8,{1 + k // 4},{6 * (k % 4)},{20 + k / 9},-60\n" for n in "AB" for k in range(40)),
}


def own_copies(card, folder):
    """What stands in for the package: a written table, a copy of its file, a folder with copies of its files."""
    if card.id in WRITTEN:
        (folder / "own.csv").write_text(WRITTEN[card.id])
        return [folder / "own.csv"]
    files = [file.locate() for file in carriers(card.load_entry())]
    if None in files:
        return []
    for file in files:
        for beside in file.parent.glob("*"):  # a loader may need a second file of its package
            if beside.is_file() and beside.stat().st_size < 50e6:
                shutil.copy(beside, folder / beside.name)
    return [*(folder / file.name for file in files), folder]


def loaded_from(card, folder):
    for place in own_copies(card, folder):
        try:
            return place, card.load_entry()("train", path=str(place))
        except InterpolantsError:
            continue
    return None, None


@pytest.mark.parametrize("card", WITH_PATH, ids=lambda card: card.id)
def test_a_users_own_file_has_its_path_for_a_source(card, tmp_path):
    place, found = loaded_from(card, tmp_path)
    if found is None:
        pytest.skip("its package is not installed, or a path of another form is read")
    assert found.info.source == str(place)
    assert found.info.licence == ""
    assert dict(found.info.sha256) == {}


def test_the_law_tries_most_loaders(tmp_path):
    known = {card.id for card in WITH_PATH}
    assert {"diabetes", "concrete", "boston_housing", "leaves"} <= known
    assert ABSENT or set(WRITTEN) <= known
    for name in WRITTEN.keys() & known:
        card = next(card for card in WITH_PATH if card.id == name)
        (folder := Path(tmp_path / name)).mkdir()
        assert loaded_from(card, folder)[1] is not None, name
