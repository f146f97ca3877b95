"""Two pictures at the command line: a run takes their pixels, says so, shows them, and gives whole pictures back."""

import numpy as np
import pytest

import interpolants
from cli.test_app import call
from interpolants.cli import recipe_runs
from interpolants.data.picture_pixels import colours_of, levels_of, read_picture, write_picture

pytest.importorskip("PIL")

SETS = [
    word
    for text in ("method.batch_size=32", "method.net.kind=mlp", "method.net.width=16", "method.net.depth=2")
    for word in ("--set", text)
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run between two pictures of different sizes, without its report, and what it said."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    dark, light = rng.integers(20, 90, (10, 14, 3)), rng.integers(120, 240, (11, 9, 3))
    for name, levels in (("dark", dark), ("light", light)):
        write_picture(levels.astype(np.uint8), folder / f"{name}.png", "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(recipe_runs, "_report", lambda *a, **k: None)
        few = '[{question="exchanged_colours", options={n_steps=2}}]'
        words = ("--x0", "dark.png", "--x1", "light.png", "--out", "runs/a", "--steps", 20, *SETS)
        said = call("run", *words, "--set", f"ask={few}")
    return folder, said


@pytest.fixture
def place(run, monkeypatch):
    monkeypatch.chdir(run[0])
    return run[0]


def test_the_run_says_that_it_took_the_pixels(run):
    said = " ".join(run[1].stderr.split())
    assert "x0 = dark.png: one picture, 14 x 10, is a set of 140 pixels" in said
    assert "x1 = light.png: one picture, 9 x 11, is a set of 99 pixels" in said


def test_the_recipe_of_two_pictures_shows_them_and_goes_both_ways():
    from interpolants.runs.own_files import own_tables

    tables = own_tables({"x0": "a.jpg", "x1": "b.PNG", "cond": None})
    asked = [(one["question"], one.get("name", "")) for one in tables["ask"]]
    assert asked == [
        ("exchanged_colours", ""),
        ("noise_levels", ""),
        ("noise_levels", "reverse"),
        ("self_test", ""),
    ]
    assert tables["data"]["picture1"] == {"beside": "x1", "part": "picture"}
    assert "leg" not in tables["method"]
    one = own_tables({"x0": None, "x1": "b.png", "cond": None})
    assert "exchanged_colours" not in [asked["question"] for asked in one["ask"]]


def test_a_picture_is_transported_to_a_picture_of_its_size_colour_by_colour(place):
    said = call("transport", "runs/a", "dark.png", "--n-steps", 4, "--out", "out.png").stderr
    assert "a picture of 14 x 10 pixels in out.png" in " ".join(said.split())
    dark, out = (read_picture(name, "test").levels for name in ("dark.png", "out.png"))
    bridge = interpolants.load("runs/a")
    rows = bridge.transport(colours_of(dark).reshape(-1, 3), n_steps=4)
    expected, clipped = levels_of(np.asarray(rows))
    assert (
        np.abs(out.reshape(-1, 3).astype(int) - expected).max() <= 1
    )  # order of the rows: float32's last bit
    assert ("were clipped" in said) == (clipped > 0)
    assert np.abs(out.astype(int) - dark).max() > 20


def test_noise_belongs_to_a_pixel_and_not_to_a_colour(place):
    flat = np.full((6, 6, 3), 50, np.uint8)
    write_picture(flat, place / "flat.png", "test")
    call("transport", "runs/a", "flat.png", "--n-steps", 4, "--out", "ode.png")
    call("transport", "runs/a", "flat.png", "--n-steps", 4, "--eps", 0.5, "--out", "sde.png")
    colours = [
        len(np.unique(read_picture(f"{name}.png", "test").levels.reshape(-1, 3), axis=0))
        for name in ("ode", "sde")
    ]
    assert colours[0] == 1
    assert colours[1] > 18


def test_a_picture_needs_the_pixels_of_one_and_is_never_overwritten(place):
    refused = call("sample", "runs/a", "-n", 5, "--out", "no.png", code=2)
    assert "must end in .npz, .npy, .csv, .parquet, .safetensors" in " ".join(refused.stderr.split())
    (place / "there.png").write_bytes(b"")
    refused = call("transport", "runs/a", "dark.png", "--out", "there.png", code=2)
    assert "must not exist" in refused.stderr
    refused = call("transport", "runs/a", "drak.png", "--out", "no.png", code=2)
    assert "Did you mean 'dark.png'?" in " ".join(refused.stderr.split())
    assert not (place / "no.png").exists()
    call("transport", "runs/a", "dark.png", "--n-steps", 2, "--out", "rows.npy")
    assert np.load("rows.npy").shape == (140, 3)
