"""Each card of the library in each place of good folders; each must load or be refused, small, quickly and alone.

A model folder names members by the ids of cards. The attack writes the words of every card, among them those that open
files, import clusters or simulate for minutes, into each place of a folder where a member, a setting, a network's
setting or a table may stand. Run as a program on good folders, it reads each changed folder and prints what went wrong
as JSON. Settings that are text hold the path of a pipe that nobody writes to, so that opening it hangs.
"""

import inspect
import json
import os
import resource
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torture.hostile_folders import parent_of, places, seal

TREE = "tree.json"
LARGE, LONG = 9_999_999, 20_000
SECONDS, MEGABYTES = 2, 200
# Places that are tried in all folders; the others in the first.
USUAL = ("member in", "inside state")
# Seconds after which a read is ended.
LATE = 30
# Settings that name a file.
PATHS = ("path", "file", "folder", "root", "source", "url")
# Members for settings that hold one, by the class in their annotation.
MEMBERS = {"Path": "linear", "Envelope": "zero", "GaussianMixture": "moons", "Basis": "cosine_basis",
           "KeepSchedule": "linear_keep", "Gaussian": "gaussian", "Operator": "identity"}  # fmt: skip


# --- the words of a card ---------------------------------------------------------------------------------------


def literal_in(annotation: Any) -> Any:
    """Return the first value of a Literal at any depth of an annotation, such as inside Annotated, or None."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)[0]
    return next(
        (value for arg in typing.get_args(annotation) if (value := literal_in(arg)) is not None), None
    )


def value_for(parameter: inspect.Parameter, pipe: str, size: str) -> Any:
    """A value for a setting, from its annotation."""
    told = str(parameter.annotation)
    if parameter.name in PATHS and ("str" in told or "Path" in told):
        return pipe
    for kind, words in MEMBERS.items():
        if f".{kind}" in told:
            return {"kind": words}
    if (choice := literal_in(parameter.annotation)) is not None:
        return choice
    large = size == parameter.name
    if any(word in told for word in ("Sequence", "tuple", "Tensor", "list")):
        return [LARGE, LARGE] if large else [0.5] * LONG if size == "long" else [1.0, 0.5]
    if "int" in told:
        return LARGE if large else 2
    if "float" in told:
        return 1e9 if size == "long" else 0.5
    return True if "bool" in told else pipe


def parameters_of(card: Any) -> list[inspect.Parameter]:
    """Settings of a card's member."""
    try:
        found = inspect.signature(card.load_entry()).parameters.values()
    except (TypeError, ValueError):
        return []
    varying = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [one for one in found if one.kind not in varying and one.name[0] != "_"]


def words_of(card: Any, pipe: str, size: str) -> dict[str, Any]:
    """``{"kind": ..., **settings}``: required settings, those that name files, and what the size makes large."""
    words = {"kind": f"{card.kind}/{card.id}"}
    for parameter in parameters_of(card):
        value = value_for(parameter, pipe, size)
        long = size == "long" and isinstance(value, list)
        if parameter.default is parameter.empty or parameter.name in (size, *PATHS) or long:
            words[parameter.name] = value
    return words


def sizes_of(card: Any) -> list[str]:
    """As it is; with long lists; with one setting after the other that is a large whole number."""
    wholes = [one.name for one in parameters_of(card) if "int" in str(one.annotation) and one.name != "seed"]
    return ["small", "long", *wholes]


def every_card(pipe: str, share: float, first: int) -> list[tuple[str, dict[str, Any]]]:
    """Words of all cards, or of a share, from the ``first`` on; of those that no folder may name in one size."""
    from interpolants.foundations.cards import load_cards
    from interpolants.foundations.registry import stored_kinds

    found, every = [], max(1, round(1 / share))
    for card in load_cards()[first % every :: every]:
        sizes = sizes_of(card) if card.kind in stored_kinds() else ["small"]
        found += [(f"{card.kind}/{card.id} {size}", words_of(card, pipe, size)) for size in sizes]
    return found


# --- the places of a folder ------------------------------------------------------------------------------------


def spots(document: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """Places where words may stand: one of each sort, the last of which are inside a member and inside a network."""
    found: dict[str, tuple[Any, ...]] = {}
    for at in places(document):
        node = parent_of(document, (*at, None)) if at else document
        if not isinstance(node, dict):
            continue
        sort = "settings" if "settings" in at else "state"
        if node.get("$") == "member":
            found.setdefault(f"member in {sort} {at[-1]}", at)
            for name, inner in node["words"].items():
                if name != "kind":
                    found.setdefault(f"inside {sort} {name}", (*at, "words", name))
                if isinstance(inner, dict):
                    found.setdefault(f"deep inside {sort} {name}", (*at, "words", name, "scale"))
        if node.get("$") == "net":
            for name in node["settings"]:
                if name != "name":
                    found.setdefault("setting of a network", (*at, "settings", name))
        if node.get("$") == "dict" and "kind" in node["items"] and sort == "settings":
            found.setdefault("table of a setting", at)
            found.setdefault("inside a table", (*at, "items", "width"))
        if node.get("$") == "method":
            found.setdefault("part of a method", (*at, "parts", "state"))
            found.setdefault(
                "setting of a method", (*at, "parts", "settings", next(iter(node["parts"]["settings"])))
            )
    return list(found.items())


def planted(document: Any, sort: str, at: tuple[Any, ...], words: dict[str, Any]) -> Any:
    """A copy of the document with the words in a place."""
    document = json.loads(json.dumps(document))
    parent = parent_of(document, at)
    if "inside a table" in sort or sort == "table of a setting":
        parent[at[-1]] = {"$": "dict", "items": words}
    elif "inside" in sort:
        parent[at[-1]] = words
    else:
        parent[at[-1]] = {"$": "member", "words": words}
    return document


# --- the reader ------------------------------------------------------------------------------------------------


class Watch:
    """Notes what a read opens, starts and imports; that of the library itself, of Python and of the folder is right."""

    def __init__(self) -> None:
        import interpolants

        own = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
        own += [
            place for place in sys.path if place.endswith(".zip")
        ]  # where imports look first, there or not
        self.allowed = [
            *own,
            str(Path(interpolants.__file__).parent),
            "/proc/",
            "/sys/",
            "/dev/urandom",
            "/usr/lib",
        ]
        self.folder, self.seen, self.on = "", [], False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """The audit hook; a file outside is noted and not opened."""
        if not self.on:
            return
        if event in ("os.system", "subprocess.Popen", "os.exec", "socket.connect", "pickle.find_class"):
            self.seen.append(f"{event} {args[:2]}")
        if event == "import" and str(args[0]).startswith(("ray", "interpolants.executors")):
            self.seen.append(f"import {args[0]}")
        if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
            place = os.path.abspath(os.fsdecode(args[0]))
            if not place.startswith((self.folder, *self.allowed)):
                self.seen.append(f"open {place}")
                raise PermissionError(place)


def peak() -> float:
    """Most memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def late(*args: Any) -> None:
    """End a read that takes far too long."""
    raise TimeoutError("no answer")


def tried_here(number: int, sort: str, name: str) -> bool:
    """All places of the first folder and the usual ones of the others; other sizes in its state alone."""
    if not name.endswith(" small"):
        return number == 0 and sort.startswith("member in state")
    return number == 0 or sort.startswith(USUAL)


def changed(good: list[str], words: list[tuple[str, dict[str, Any]]], place: Path) -> Iterator[str]:
    """Make each changed folder in turn."""
    for number, folder in enumerate(map(Path, good)):
        place.mkdir(exist_ok=True)
        for file in place.iterdir():
            file.unlink()
        for file in folder.glob("*.safetensors"):
            os.link(file, place / file.name)
        document = json.loads((folder / TREE).read_text())
        for sort, at in spots(document):
            for name, told in words:
                if not tried_here(number, sort, name):
                    continue
                (place / TREE).write_text(json.dumps(planted(document, sort, at, told)))
                seal(place)
                yield f"{folder.name}: {name}, {sort}"


def main(good: list[str], share: float, first: int, work: str) -> None:
    import warnings

    import interpolants
    from interpolants.foundations.errors import InterpolantsError

    warnings.simplefilter("ignore")
    pipe = str(Path(work) / "pipe")
    os.mkfifo(pipe)
    words = every_card(pipe, share, first)
    for name in [name for name in sys.modules if name.startswith("interpolants.executors.")]:
        del sys.modules[name]
    for folder in good:
        interpolants.load(folder)
    tempfile.gettempdir()  # which tries whether it can write there, when PyTorch imports more of itself
    watch, place, wrong, loaded, tried = Watch(), Path(work) / "changed", [], [], 0
    watch.folder = str(place)
    sys.addaudithook(watch)
    signal.signal(signal.SIGALRM, late)
    for told in changed(good, words, place):
        tried += 1
        before, begun, fault = peak(), time.process_time(), ""
        watch.on = True
        signal.setitimer(signal.ITIMER_REAL, LATE)
        try:
            interpolants.load(place)
            loaded.append(told)
        except InterpolantsError as error:
            if isinstance(error.__cause__, TimeoutError | MemoryError):
                fault = "no answer"
        except BaseException as error:  # whatever it is, it is the finding
            fault = f"{type(error).__name__}: {str(error)[:200]}"
        signal.setitimer(signal.ITIMER_REAL, 0)
        watch.on = False
        seconds, more = time.process_time() - begun, peak() - before
        if fault or seconds > SECONDS or more > MEGABYTES or watch.seen:
            wrong.append([told, fault, round(seconds, 2), round(more), [*watch.seen]])
            watch.seen.clear()
    print(json.dumps({"tried": tried, "wrong": wrong, "loaded": loaded}))


# --- the attack ------------------------------------------------------------------------------------------------


def good_folders(work: Path) -> list[Path]:
    """Folders with members in settings and in the state, a problem, an operator, a network and a table."""
    import torch

    from interpolants import Bridge
    from interpolants.methods.restoration.prior_restoration import PriorRestoration

    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 16, "depth": 2}
    small = {"net": net, "steps": 2, "batch_size": 8, "held_out": 0}
    made = [work / "bridge", work / "two_sided", work / "restoration"]
    one = Bridge("one_sided_linear", **small).fit(x1=x, progress=False)
    one.save(made[0])
    two = {"path": {"kind": "linear", "envelope": "quadratic"}, "coupling": {"kind": "minibatch_ot"}}
    Bridge(**two, **small).fit(x, x + 1, progress=False).save(made[1])
    mask = {"kind": "mask", "known": [True, False, True, False]}
    PriorRestoration(mask, red_diff={"n_steps": 2}).fit(model=one).save(made[2])
    return made


def attack(scale: float, work: Path, first: int = 0) -> Any:
    """All cards in the places of three folders, or each so many-eth from ``first`` on."""
    from torture.rows import Row

    row = Row("hostile cards in each place of a folder (200 MB, 2 s, nothing opened)")
    good = good_folders(work)
    words = [
        sys.executable,
        "-m",
        "torture.hostile_cards",
        str(scale),
        str(first),
        str(work),
        *map(str, good),
    ]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    if told.returncode:
        return row.count(harm=told.stderr[-300:])
    found = json.loads(told.stdout)
    for wrong in found["wrong"]:
        row.count(harm=str(wrong)[:300])
    for number in range(found["tried"] - len(found["wrong"])):
        row.count(refused=number >= len(found["loaded"]))
    return row


if __name__ == "__main__":
    main(sys.argv[4:], float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
