"""Which tests a change can reach: what ``pytest --changed COMMIT`` (``make test-changed``) collects.

A file uses what it imports, in functions too. A test or a recipe also uses members that it names in quotes by their
card's id, and recipes and pages that it names. A test is reached if it uses a changed file, directly or through
others, or if it takes all cards, modules or recipes; of a law with a case for each method, the cases are reached whose
method uses a changed file. What a member finds by a name at run time, such as its default solver, is not followed: this
is for daily work, and the whole suite decides.
"""

import re
import subprocess
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from interpolants.foundations.card_defaults import card_files
from interpolants.foundations.card_file import parse_card

ROOT = Path(__file__).parents[1]
IMPORT = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+([\w., ]+))", re.MULTILINE
)
TEST = re.compile(r"tests/(.*/)?test_\w+\.py$")
RANGING = re.compile(
    r"\b(load_cards|method_cards|card_files|MODULES|recipe_names)\b|\b(SOURCE|ROOT)( / \S+)?\)?\.r?glob\("
)


class Uses:
    """Which file of the repository uses which, by their paths from its root."""

    def __init__(self) -> None:
        listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        read = {name for name in listed if name.endswith((".py", ".toml", ".md")) and (ROOT / name).is_file()}
        self.texts = {name: (ROOT / name).read_text("utf-8") for name in read}
        self.modules = {_module(name): name for name in self.texts if name.endswith(".py")}
        self.recipes = {Path(n).stem: n for n in self.texts if re.search(r"(^|/)recipes/\w+\.toml$", n)}
        # The module and the card of each member, by its id and by the name of its class.
        self.members: dict[str, set[str]] = {}
        self.classes: dict[str, set[str]] = {}
        for one in card_files("interpolants"):
            card = parse_card(one.file.read_text("utf-8"), one.place, one.fill)
            module, _, name = card.entry.partition(":")
            used = {self.modules[module], one.file.relative_to(ROOT).as_posix()}
            self.members.setdefault(card.id, set()).update(used)
            self.classes.setdefault(name, set()).update(used)

    @cached_property
    def users(self) -> dict[str, set[str]]:
        """The files that use each file themselves."""
        found: dict[str, set[str]] = {}
        for name, text in self.texts.items():
            for used in self._used_by(name, text) - {name}:
                found.setdefault(used, set()).add(name)
        return found

    def _used_by(self, name: str, text: str) -> set[str]:
        found: set[str] = set()
        if name.endswith(".py"):
            for module, names, modules in IMPORT.findall(text):
                for word in re.findall(r"[\w.]+", re.sub(r"#[^\n]*|\bas\s+\w+", "", names or modules)):
                    found |= self._imported(module, word)
            for word in re.findall(r"\b(?:itp|interpolants)\.(\w+)", text):
                found |= self.classes.get(word, set())
        if not name.startswith("src/") or name.endswith(".toml"):
            for word in re.findall(r'["\'](\w+)["\']', text):
                found |= self.members.get(word, set())
        if name.startswith("tests/"):
            words = set(re.findall(r"[\w./-]+", text))
            found |= {self.recipes[word] for word in words & self.recipes.keys()} | words & self.texts.keys()
        return found

    def _imported(self, module: str, name: str) -> set[str]:
        """The file of an imported name: a module, a member, what a package takes from elsewhere, or the package."""
        whole = f"{module}.{name}".removeprefix(".")
        if whole in self.modules:
            return {self.modules[whole]}
        home = self.modules.get(module, "")
        if not home.endswith("__init__.py"):
            return {home} - {""}
        return self.classes.get(name) or self._handed_on(home).get(name) or {home}

    def _handed_on(self, package: str) -> dict[str, set[str]]:
        return {
            name: self._imported(module, name)
            for module, names, _ in IMPORT.findall(self.texts[package])
            if module.startswith("interpolants.")
            for name in re.findall(r"\w+", names)
        }

    def reached(self, files: Iterable[str]) -> set[str]:
        """The given files and all that use them, directly or through others."""
        found: set[str] = set()
        new = set(files)
        while new:
            found |= new
            new = set().union(*(self.users.get(name, ()) for name in new)) - found
        return found

    @cached_property
    def ranging(self) -> set[str]:
        """The test files that take all cards, modules or recipes."""
        return {name for name, text in self.texts.items() if TEST.match(name) and RANGING.search(text)}


def since(commit: str) -> set[str]:
    """Files that differ from a commit, and new ones."""
    changed = (
        _git("diff", "--name-only", "-z", commit),
        _git("ls-files", "-z", "--others", "--exclude-standard"),
    )
    return {name for names in changed for name in names}


def _git(*words: str) -> list[str]:
    told = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in told.split("\0") if name]


def _module(name: str) -> str:
    """The name under which a file is imported: tests' own modules without ``tests``."""
    dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return dotted.removeprefix("src.").removeprefix("tests.")
