"""Data of recipes: splits that stay pairs, labels, conditions, processes, and files that do not fit."""

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.framework.role import Role
from interpolants.runs.files import check_free, write_table
from interpolants.runs.recipe import make_method, make_recipe, make_task
from interpolants.runs.values import Place, read_value, read_values
from plugins import card


def read(method=None, split=None, seed=0, **data):
    """The task of a recipe, and its values."""
    own = {"kind": "bridge", "path": "linear" if "x0" in data else "one_sided_linear", **(method or {})}
    recipe = make_recipe({"data": data, "method": own, **({"split": split} if split else {})})
    (tables,) = recipe.tasks
    return make_task(tables, make_method(tables, seed), Place(seed=seed))


def rows_of(value):
    return value if isinstance(value, torch.Tensor) else torch.tensor(value.to_numpy(copy=True))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_are_split_without_overlap_and_pairs_stay_pairs(folder):
    rows = np.arange(100.0, dtype=np.float32)[:, None]
    np.save("a.npy", rows)
    np.save("b.npy", rows + 1000)
    task, _ = read({"coupling": "paired"}, {"test": 0.3}, x0="a.npy", x1="b.npy")
    assert (len(task.train["x1"]), len(task.test["x1"])) == (70, 30)
    every = torch.cat([rows_of(part["x1"]) for part in (task.train, task.test)])
    assert torch.equal(every.sort(0).values.float(), torch.tensor(rows) + 1000)
    assert torch.equal(rows_of(task.train["x0"]) + 1000, rows_of(task.train["x1"]))


def test_labels_from_a_column_an_array_and_a_file_follow_their_rows(folder):
    x = np.arange(40.0)
    labels = (x % 3).astype(int)
    lines = [f"{a},{-a},{k}" for a, k in zip(x, labels, strict=True)]
    (folder / "t.csv").write_text("u,v,kind\n" + "\n".join(lines))
    np.savez("t.npz", x=np.stack([x, -x], 1).astype(np.float32), kind=labels)
    np.save("kind.npy", labels)
    np.save("x.npy", np.stack([x, -x], 1).astype(np.float32))
    follows = {"labels_of": "x1"}
    table, _ = read(x1={"file": "t.csv", "labels": "kind"}, cond=follows)
    array, _ = read(x1={"file": "t.npz", "key": "x", "labels": "kind"}, cond=follows)
    beside, _ = read(x1="x.npy", cond="kind.npy")
    for task in (table, array, beside):
        for part in (task.train, task.test):
            rows, cond = rows_of(part["x1"])[:, 0], torch.as_tensor(part["cond"]).reshape(-1)
            assert torch.equal(cond.long(), rows.long() % 3)
    only, _ = read(x1={"file": "t.csv", "columns": ["v"]})
    assert only.train["x1"].shape == (32, 1)


def test_digits_keep_their_split_and_problems_follow_the_seed():
    task, values = read(x0={"dataset": "digits", "classes": [3]}, x1={"dataset": "digits", "classes": [8]})
    assert len(task.train["x0"]) + len(task.test["x0"]) == 183
    assert values["x0"].source.name == "digits, class 3"
    draws = {"problem": "moons", "n": 50, "noise": 0.2}
    (one, values), (two, _), (other, _) = read(x1=draws), read(x1=draws), read(seed=1, x1=draws)
    assert torch.equal(one.train["x1"], two.train["x1"])
    assert not torch.equal(one.train["x1"], other.train["x1"])
    assert values["x1"].truth.noise == 0.2


def test_what_follows_is_a_step_of_the_process_row_by_row():
    task, values = read(
        {"coupling": "paired"}, x0={"problem": "rotating_mixture", "n": 400}, x1={"follows": "x0"}
    )
    process = values["x0"].truth
    for part in (task.train, task.test):
        gaps = (part["x1"].double()[:, None] - process.centres(part["x0"].double())).square().sum(2)
        # the noise around the nearest branch has variance tau^2 in each of two coordinates
        assert float(gaps.min(1).values.mean()) < 2.5 * process.tau**2
    with pytest.raises(InvalidInputError, match="it can follow only states of a known process, got moons"):
        read({"coupling": "paired"}, x0={"problem": "moons", "n": 100}, x1={"follows": "x0"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x1": "none.npy"}, r"data\.x1: the file must exist, got none\.npy"),
        ({"x1": "nan.csv"}, r"data\.x1: nan\.csv: values must be finite, got 1 of 20 rows"),
        ({"x1": "words.csv"}, r"data\.x1: words\.csv: column 'a' must be numeric, got 'x' in row 2"),
        ({"x1": "ragged.csv"}, r"data\.x1: ragged\.csv: every line must have 2 cells"),
        ({"x1": "scalar.npy"}, r"data\.x1: scalar\.npy: the array must have a dimension of samples"),
        ({"x1": "objects.npy"}, r"data\.x1: objects\.npy must be a NumPy file of plain numbers"),
        ({"x1": "two.npy", "cond": "three.npy"}, r"must have 20 rows.*30|20.*30"),
        ({"x1": "two.npy", "cond": {"labels_of": "x1"}}, r"x1 must have come with labels, got two\.npy"),
        ({"x1": "two.npy", "cond": {"labels_of": "x2"}}, r"labels_of must name another role .* got 'x2'"),
        (
            {"x1": {"file": "two.npy", "columns": ["a"]}},
            r"columns can be chosen in a table with a header only",
        ),
        (
            {"x1": {"file": "good.csv", "columns": ["aa"]}},
            r"the column must be in the table, got 'aa'. Did you",
        ),
        ({"x1": {"file": "good.csv", "labels": "b"}}, r"column 'b': labels must be whole numbers >= 0"),
        ({"x1": {"dataset": "digit"}}, r"name must be one of .*, got 'digit'\. Did you mean 'digits'"),
        (
            {"x1": {"dataset": "digits", "classes": [3, 11]}},
            r"classes must be labels of 'digits', got \[11\]",
        ),
        ({"x1": {"problem": "moons", "nois": 1}}, r"got 'nois'\. Did you mean 'noise'"),
        ({"x1": {"problem": "moons", "noise": -1}}, r"noise"),
        ({"x3": "two.npy", "x1": "two.npy"}, r"data\.x3: it must be a role of bridge, got 'x3'"),
    ],
)
def test_what_does_not_fit_is_refused(folder, settings, message):
    good = [f"{a},{a + 0.5}" for a in range(20)]
    (folder / "good.csv").write_text("a,b\n" + "\n".join(good))
    (folder / "nan.csv").write_text("a,b\n" + "\n".join([*good[:7], "nan,1", *good[8:]]))
    (folder / "words.csv").write_text("a,b\n" + "\n".join([*good[:2], "x,1", *good[3:]]))
    (folder / "ragged.csv").write_text("a,b\n" + "\n".join([*good, "1,2,3"]))
    np.save("scalar.npy", np.float32(1))
    np.save("objects.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.save("two.npy", np.random.default_rng(0).normal(size=(20, 2)))
    np.save("three.npy", np.random.default_rng(0).normal(size=(30, 3)))
    with pytest.raises(InvalidInputError, match=message):
        read(**settings)


@pytest.mark.filterwarnings("ignore::interpolants.foundations.tell.DataWarning")  # they are numbered
def test_rows_with_gaps_are_left_out_of_labels_and_conditions_too(folder):
    x, labels = np.arange(80.0).reshape(40, 2), np.arange(40) % 7
    x[[3, 20], 1] = np.nan
    np.savez("gaps.npz", x=x, labels=labels)
    np.save("labels.npy", labels)
    file = {"file": "gaps.npz", "key": "x", "drop_nan": True, "limit": 30}
    named, _ = read(x1={**file, "labels": "labels"}, cond={"labels_of": "x1"})
    beside, _ = read(x1=file, cond="labels.npy")
    for task in (named, beside):
        rows = rows_of(task.train["x1"])[:, 0] / 2
        assert torch.equal(torch.as_tensor(task.train["cond"]).reshape(-1).long(), rows.long() % 7)
        assert len(task.train["cond"]) + len(task.test["cond"]) == 30


def test_pairs_with_gaps_on_both_sides_stay_pairs(folder):
    """Each file leaves out one row, so that the numbers of rows agree by chance."""
    x = np.arange(80.0).reshape(40, 2)
    one, two = x.copy(), x + 1000
    one[3, 1], two[20, 0] = np.nan, np.nan
    np.save("one.npy", one)
    np.save("two.npy", two)
    files = {"x0": {"file": "one.npy", "drop_nan": True}, "x1": {"file": "two.npy", "drop_nan": True}}
    task, _ = read({"coupling": "paired"}, **files)
    assert len(task.train["x0"]) + len(task.test["x0"]) == 38
    assert torch.equal(rows_of(task.train["x0"]) + 1000, rows_of(task.train["x1"]))


def test_a_file_is_written_whole_and_never_over_another(folder):
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    for name in ("s.npz", "s.csv", "s.npy", "s.safetensors"):
        write_table(name, {"x": x, "label": np.arange(5)})
        with pytest.raises(InvalidInputError, match="must not exist"):
            write_table(name, {"x": x})
    table = np.genfromtxt("s.csv", delimiter=",", names=True)
    assert table.dtype.names == ("x_0", "x_1", "label")
    assert np.array_equal(table["x_1"].astype(np.float32), x[:, 1])
    with np.load("s.npz") as stored:
        assert np.array_equal(stored["x"], x)
        assert np.array_equal(stored["label"], np.arange(5))
    assert sorted(path.name for path in folder.iterdir()) == ["s.csv", "s.npy", "s.npz", "s.safetensors"]
    with pytest.raises(InvalidInputError, match="must end in"):
        check_free(folder / "s.pt")


WEATHER = """
import torch


class Weather:
    \"\"\"Days, each with a number, a word and the month that it lies in.\"\"\"

    def sample(self, n, *, generator=None):
        days = torch.randn(n, 3, generator=generator)
        return {"days": days, "word": ["warm" if day[0] > 0 else "cold" for day in days], "month": torch.arange(n) % 3}
"""


def test_what_a_problem_draws_together_stays_together(install):
    files = {
        "own.py": WEATHER,
        "weather.card.toml": card("problem", "weather", "others_together.own:Weather"),
    }
    install("others_together", files)
    place = Place(seed=3)
    tables = {
        "word": {"beside": "days"},
        "days": {"problem": "weather", "n": 12},
        "groups": {"beside": "days", "part": "month"},
    }
    values = read_values(tables, place)
    drawn = values["days"].truth.sample(12, generator=generator(3, "value draw", "data.days"))
    assert values["word"].value == drawn["word"]
    assert torch.equal(values["groups"].value, drawn["month"])
    assert torch.equal(values["days"].value, drawn["days"])
    for table, message in (
        ({"beside": "day"}, "beside must name another role .* Did you mean 'days'"),
        ({"beside": "days", "part": "words"}, "'words' must be drawn by weather, .*Did you mean 'word'"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            read_values({**tables, "word": table}, Place())
    single = {"days": {"problem": "moons", "n": 5}, "word": {"beside": "days"}}
    with pytest.raises(InvalidInputError, match="'word' must be drawn by moons, got a single thing"):
        read_values(single, Place())


def test_a_picture_is_its_pixels_with_itself_and_a_limit_draws_some_of_them(folder):
    pytest.importorskip("PIL")
    from interpolants.data.picture_pixels import levels_of, write_picture

    levels = np.arange(10 * 12 * 3, dtype=np.uint8).reshape(10, 12, 3)
    write_picture(levels, folder / "a.png", "test")
    np.save("b.npy", np.random.default_rng(0).random((50, 3), dtype=np.float32))
    task, values = read(x0="a.png", x1="b.npy")
    assert values["x0"].beside["picture"].tolist() == levels.tolist()
    assert "was taken as a set of 120 pixels" in values["x0"].source.notes[0]
    back, _ = levels_of(rows_of(values["x0"].value).numpy())
    assert sorted(map(tuple, back.tolist())) == sorted(map(tuple, levels.reshape(-1, 3).tolist()))
    assert task.copied == 0
    _, few = read(x0={"file": "a.png", "limit": 40}, x1="b.npy")
    kept, _ = levels_of(rows_of(few["x0"].value).numpy())
    assert len(kept) == 40
    assert kept.tolist() != levels.reshape(-1, 3)[:40].tolist()  # not the top of the picture
    with pytest.raises(
        InvalidInputError, match=r"data.x0: a picture takes limit alone, got 'columns'\. Omit it"
    ):
        read(x0={"file": "a.png", "columns": ["red"]}, x1="b.npy")
    with pytest.raises(InvalidInputError, match=r"Did you mean 'a\.png'"):
        read(x0="a.jpg", x1="b.npy")


def test_the_photograph_comes_with_its_pixels(folder):
    pytest.importorskip("sklearn.datasets")
    pytest.importorskip("PIL")
    photo = {"dataset": "photo_pixels", "options": {"photo": "flower"}, "limit": 300}
    _, values = read(x1=photo)
    assert values["x1"].beside["picture"].shape == (427, 640, 3)
    assert values["x1"].source.name == "photo_pixels of flower"
    assert "vultilion" in values["x1"].source.licence


@pytest.fixture
def picture_folder(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    for k in range(6):
        folder = tmp_path / "pets" / ("cat" if k < 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        pillow.fromarray(np.full((4, 4), 40 * k, dtype=np.uint8)).save(folder / f"{k}.png")
    return str(tmp_path / "pets")


def test_a_folder_of_pictures_brings_the_names_of_its_subfolders(picture_folder):
    tables = {"x1": {"file": picture_folder, "options": {"size": 2}}, "cond": {"labels_of": "x1"}}
    found = read_values(tables, Place())
    assert found["x1"].value.shape == (6, 1, 2, 2)
    assert found["cond"].value.tolist() == ["cat", "cat", "dog", "dog", "dog", "dog"]
    assert found["x1"].source.classes == ("cat", "dog")
    assert "No flips and no crops." in found["x1"].source.notes
    roles = {"cond": Role(name="cond", kind="condition")}
    alone = read_value("cond", picture_folder, Place(roles=roles))
    assert alone.value.tolist() == found["cond"].value.tolist()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"limit": 3}, "takes options alone, got 'limit'"),
        (
            {"options": {"sise": 3}},
            "every option of a folder of pictures must have a known name, got 'sise'. Did you mean 'size'",
        ),
    ],
)
def test_a_folder_of_pictures_refuses_what_it_does_not_know(table, told, picture_folder):
    with pytest.raises(InvalidInputError, match=told):
        read_value("x1", {"file": picture_folder, **table}, Place())


def test_options_are_for_folders(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 2)))
    with pytest.raises(InvalidInputError, match="options are for folders of pictures"):
        read_value("x1", {"file": str(tmp_path / "a.npy"), "options": {"size": 3}}, Place())
