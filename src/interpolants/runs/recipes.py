"""Recipes: settings files that run as they are, found by name in a checkout and in an installed package alike."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from interpolants.foundations.cards import catalogue

_CHECKOUT = Path(__file__).parents[3]


def recipe_folders() -> list[Path]:
    """Search path of recipes, nearest first.

    Beside the user, in the checkout of this library, and in the folders ``recipes`` of every package with cards: the
    library, its rooms and other distributions.
    """
    packages = [Path(str(files(name))) for name in catalogue().packages]
    places = [Path("recipes"), _CHECKOUT / "recipes"]
    places += [folder for package in packages for folder in sorted(package.glob("**/recipes"))]
    return [place for place in places if place.is_dir()]


def recipes() -> dict[str, Path]:
    """All recipes, name -> file; of two with one name the nearer."""
    found: dict[str, Path] = {}
    for folder in recipe_folders():
        for file in sorted(folder.glob("*.toml")):
            found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def find_recipe(name: Path) -> Path | None:
    """The recipe meant by ``moons``, ``moons.toml`` or ``recipes/moons.toml``, if there is one."""
    if name.suffix not in ("", ".toml") or name.parent not in (Path(), Path("recipes")):
        return None
    return recipes().get(name.stem)


def told(file: Path) -> str:
    """Description of a recipe, from its opening comment."""
    return " ".join(_opening(file))


def _opening(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#") or text.startswith("interpolants "):
            return
        yield text
