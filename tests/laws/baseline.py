"""Whether a change of form changed an answer, a stored model or a refusal.

``PYTHONPATH=tests python -m laws.baseline keep FOLDER`` before the change, ``... compare FOLDER`` after it, on one
machine: numbers of two machines differ in their last bits. Compared are

- the answers of every method as it is fitted in ``laws.instances``, to the bit, and what was learnt;
- the answers of the models that were stored before, to the bit;
- what every class with a card says to odd values of each argument that has a default, word by word.
"""

import argparse
import inspect
import json
import math
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interpolants.foundations.cards import load_cards, refresh
from interpolants.framework import stored
from interpolants.framework.method import load
from interpolants.testing.asking import answers
from laws.instances import instance, method_cards

ROOMS = Path(__file__).parents[1] / "rooms"
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2, 0.5, 2.5, 1e308, math.nan, math.inf, "7", "no_such_word", [], {}, [-1], [0.5, 2], {"a": 1}
)  # fmt: skip


def fits(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and fingerprint of what each method learns and answers; models go into the folder, or come from there."""
    for card in method_cards():
        one = instance(card)
        place = folder / "models" / card.id.replace(" ", "_")
        try:
            method = one.method.fit_roles(one.task.for_fit(one.method))
            yield f"{card.id}: learnt", stored.fingerprint(method.learnt())
            if not place.exists():
                method.save(place)
            asked = {"fitted": method, "stored": load(place)}
            for how, model in asked.items():
                for verb, answer in answers(model, one.task, one.probe).items():
                    yield f"{card.id}: {how}: {verb}", stored.fingerprint(answer)
        except Exception as error:  # noqa: BLE001  # a fault is a result here, to be compared as the others
            yield f"{card.id}: fault", f"{type(error).__name__}: {error}"


def refusals() -> Iterator[tuple[str, str]]:
    """Class, argument and odd value, and what is said to it."""
    for card in load_cards():
        kind = card.load_entry()
        if not inspect.isclass(kind) or said(kind, {}) != "taken":
            continue
        for name, parameter in inspect.signature(kind).parameters.items():
            if parameter.default is parameter.empty or parameter.kind is parameter.POSITIONAL_ONLY:
                continue
            for value in ODD:
                yield f"{card.kind}/{card.id}.{name} = {value!r}", said(kind, {name: value})


def said(kind: Any, given: dict[str, Any]) -> str:
    """``taken``, or the type and the words of the refusal."""
    try:
        kind(**given)
    except Exception as error:  # noqa: BLE001  # whatever it is: the type is part of the result
        return re.sub(r" at 0x[0-9a-f]+", "", f"{type(error).__name__}: {error}")
    return "taken"


def main() -> int:
    """Keep, or compare and print the differences."""
    parser = argparse.ArgumentParser(prog="python -m laws.baseline", description=__doc__)
    parser.add_argument("what", choices=("keep", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=("fits", "refusals"), help="one half alone")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(ROOMS))
    refresh()
    warnings.simplefilter("ignore")
    halves = {"fits": lambda: fits(given.folder), "refusals": refusals}
    different = 0
    for half in halves if given.only is None else (given.only,):
        found, file = dict(halves[half]()), given.folder / f"{half}.json"
        print(f"{half}: {len(found):,}")
        if given.what == "keep":
            file.write_text(json.dumps(found, indent=1))
            continue
        before = json.loads(file.read_text())
        for name in [*before, *(name for name in found if name not in before)]:
            if before.get(name) != found.get(name):
                different += 1
                print(f"{name}\n  before: {before.get(name)}\n  after:  {found.get(name)}")
    print(f"{different} differences" if given.what == "compare" else f"kept in {given.folder}")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
