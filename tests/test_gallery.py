"""The gallery: every example runs on a small budget and draws something; its picture, thumbnail and page are there."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the gallery lies beside the package, not in it

from gallery import GROUPS  # noqa: E402
from gallery import __main__ as command  # noqa: E402
from gallery.common import main  # noqa: E402
from gallery.page import PAGE, about, page, picture  # noqa: E402

from interpolants.foundations.errors import MissingExtraError  # noqa: E402

NAMES = command.NAMES
HELPERS = {"__init__", "__main__", "common", "drawing", "page", "pretrained"}


def shows_something(path):
    """Whether a picture has more than its ground, and an animation more than one picture."""
    with Image.open(path) as image:
        frames = []
        for k in range(getattr(image, "n_frames", 1)):
            image.seek(k)
            frames.append(np.asarray(image.convert("RGB").convert("L"), dtype=float))
    if path.suffix == ".gif":
        assert len(frames) > 3
        assert np.abs(frames[0] - frames[len(frames) // 2]).mean() > 1
    ground = np.bincount(frames[0].astype(int).ravel()).argmax()
    return (np.abs(frames[0] - ground) > 20).mean() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_draws_its_picture(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        assert main(importlib.import_module(f"gallery.{name}").draw, ["--quick", "--out", str(tmp_path)]) == 0
    except MissingExtraError as error:
        pytest.skip(str(error))
    (made,) = [path for path in tmp_path.iterdir() if path.stem == name]
    assert shows_something(made)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_picture_is_there_small_and_not_blank(name):
    path = picture(name)
    assert path.exists(), f"python -m gallery {name} --out gallery/pictures"
    assert path.stat().st_size < (600_000 if path.suffix == ".gif" else 120_000)
    assert shows_something(path)
    if path.suffix == ".png":
        assert (path.parent / "thumbnails" / path.name).exists()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_what_it_shows(name):
    title, sentence, method = about(name)
    assert title
    assert sentence.endswith(".")
    assert (ROOT / method).is_file()
    assert len((ROOT / "gallery" / f"{name}.py").read_text().splitlines()) <= 80


def test_every_script_is_listed_and_the_whole_stays_small():
    scripts = {path.stem for path in (ROOT / "gallery").glob("*.py")} - HELPERS
    assert scripts == set(NAMES)
    assert len(NAMES) == len(set(NAMES)) == sum(len(group) for group in GROUPS.values())
    files = list((ROOT / "gallery" / "pictures").rglob("*.*"))
    kept = {path.stem for path in files if path.suffix in (".png", ".gif")}
    assert kept <= set(NAMES), "a picture without an example"
    assert sum(path.stat().st_size for path in files) < 85_000 * len(NAMES)  # what a clone downloads


def test_the_page_is_what_the_examples_say():
    assert PAGE.read_text("utf-8") == page(), "run python -m gallery.page"


def test_the_command_refuses_an_unknown_example_and_runs_a_known_one(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main(["no_such_thing"])
    assert "unknown example: no_such_thing" in capsys.readouterr().err
    assert command.main(["spurious_modes", "--quick", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "thumbnails" / "spurious_modes.png").exists()
    assert "[1/1] spurious_modes" in capsys.readouterr().out
