"""Run the examples: ``python -m gallery [NAME ...] [--quick] [--out DIR]``.

Pictures, thumbnails and the seconds of each go to a folder. The committed ones are made with ``--out
gallery/pictures``, after which ``python -m gallery.page`` writes the page of the documentation anew.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

from PIL import Image

from gallery import GROUPS
from gallery.common import make
from interpolants.foundations.errors import MissingExtraError

THUMBNAIL = (360, 260)  # pixels: the largest width and height
TIMES = "seconds.json"
NAMES = tuple(name for group in GROUPS.values() for name in group)


def thumbnail(picture: Path) -> Path:
    """A small copy in ``thumbnails/`` beside the picture; an animation is its own."""
    if picture.suffix == ".gif":
        return picture
    path = picture.parent / "thumbnails" / picture.name
    path.parent.mkdir(exist_ok=True)
    image = Image.open(picture).convert("RGB")
    image.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    image.quantize(48).save(path, optimize=True)
    return path


def note(folder: Path, name: str, seconds: float) -> None:
    """Keep the seconds of an example."""
    path = folder / TIMES
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known[name] = round(seconds)
    ordered = {key: known[key] for key in NAMES if key in known}
    path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m gallery", description="Run the examples of the gallery.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; all when left out")
    parser.add_argument("--quick", action="store_true", help="train for seconds: pictures, but poor ones")
    parser.add_argument("--out", type=Path, default=Path("runs/gallery"), help="folder of the pictures")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown example: {', '.join(sorted(unknown))}. There are: {', '.join(NAMES)}")
    chosen = options.names or NAMES
    missed = 0
    for k, name in enumerate(chosen, 1):
        say(f"[{k}/{len(chosen)}] {name} ...")
        try:
            draw = importlib.import_module(f"gallery.{name}").draw
            path, seconds = make(draw, name, options.out, quick=options.quick)
        except MissingExtraError as error:
            missed += 1
            say(f"  left out: {error}")
            continue
        thumbnail(path)
        note(options.out, name, seconds)
        say(f"  {path}  {seconds:.0f} s, {path.stat().st_size / 1000:.0f} kB")
    return 1 if missed else 0


def say(text: str) -> None:
    """One line for whoever waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
