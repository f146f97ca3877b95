"""Shell completion of settings, recipes, methods and problems; never raises an error.

A completion runs while somebody types, so it reads cards, the recipe and the settings of its method, and nothing else.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import InterpolantsError

_TOP = ("title", "seed", "seeds", "budget", "track.kind")


def settings(ctx: Any, incomplete: str) -> list[str]:
    """Return dotted keys for ``--set``, and after ``=`` the values of a key with few values."""
    key, equals, _ = incomplete.partition("=")
    if equals:
        kind = next((kind for name, kind in _NAMED.items() if key.endswith(f"method.{name}")), None)
        return [] if kind is None else _starting([f"{key}={name}" for name in _ids(kind)], incomplete)
    return _starting([f"{name}=" for name in _keys((ctx.params or {}).get("config"))], incomplete)


def recipes(incomplete: str) -> list[str]:
    """Return recipe names, the files of ``recipes/``, and the files of the typed folder."""
    from interpolants.runs.recipes import recipes

    folder = Path(incomplete).parent if "/" in incomplete else Path()
    found = [
        *recipes(),
        *Path("recipes").glob("*.toml"),
        *folder.glob("*.toml"),
        *folder.glob("*.yaml"),
        *folder.glob("*.json"),
    ]
    return _starting(sorted({str(file) for file in found}), incomplete)


def recipe_names(incomplete: str) -> list[str]:
    """Return the names of the recipes in the library."""
    from interpolants.runs.recipes import recipes

    return _starting(recipes(), incomplete)


def method_words(incomplete: str) -> list[str]:
    """Return the completions of ``methods``: ``show``, and the ids of all members."""
    return _starting(["show", *_ids()], incomplete)


def kinds(incomplete: str) -> list[str]:
    """Return the kinds of the members that have a card."""
    from interpolants.foundations.cards import catalogue

    return _starting(dict.fromkeys(card.kind for card in catalogue().cards), incomplete)


def executors(incomplete: str) -> list[str]:
    """Ids of the executors."""
    return _starting(_ids("executor"), incomplete)


def path_ids(incomplete: str) -> list[str]:
    """Ids of the paths."""
    return _starting(_ids("path"), incomplete)


def _ids(kind: str | None = None) -> list[str]:
    from interpolants.foundations.cards import catalogue

    return [card.id for card in catalogue().cards if kind in (None, card.kind)]


def _starting(words: Iterable[str], start: str) -> list[str]:
    return [word for word in words if word.startswith(start)]


# Settings of methods that name a member -> its kind.
_NAMED = {"path": "path", "coupling": "coupling", "net": "net", "times": "time_sampler", "kind": "method"}


def _keys(config: str | None) -> list[str]:
    """Return the dotted keys of a recipe and all settings of its methods; without a recipe, of a bridge."""
    try:
        return sorted({*_TOP, *_keys_of(_tables(config))})
    except (InterpolantsError, OSError):
        return list(_TOP)


def _tables(config: str | None) -> dict[str, Any]:
    from interpolants.runs.recipes import recipes
    from interpolants.runs.settings_files import find_config, read_settings

    file = find_config(Path(config)) if config is not None else recipes()["my_files"]
    found = read_settings(file)
    return found if isinstance(found, dict) else {}


def _keys_of(tables: dict[str, Any]) -> Iterator[str]:
    tasks = [task for task in tables.get("tasks", ()) if isinstance(task, dict)]
    for task in tasks or [tables]:
        for name in ("data", "split", "method"):
            yield from _walk(name, task.get(name) or {})
        yield from (f"method.{name}" for name in _settings_of(str((task.get("method") or {}).get("kind"))))


def _walk(key: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict) or not value:
        yield key
        return
    for name, inner in value.items():
        yield from _walk(f"{key}.{name}", inner)


def _settings_of(method: str) -> list[str]:
    from interpolants.foundations.registry import find_card
    from interpolants.framework.settings import settings_of

    return [field.name for field in settings_of(find_card(method, "method").load_entry())]
