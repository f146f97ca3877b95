"""Run the core's tests in a copy of the repository without the rings, their tests, recipes and cards.

python .ci/core.py          # collect all of them, run those that a ring's absence is likely to break
python .ci/core.py tests    # run all of them, or any others that pytest is told
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from interpolants.foundations.rings import RINGS

ROOT = Path(__file__).resolve().parents[1]
GONE = tuple(f"{place}/{ring}/" for place in ("src/interpolants", "tests") for ring in RINGS)
# What ranges over cards, recipes, loaders, modules and pages, but fits nothing; one page takes a minute.
LIKELY = (
    "tests/test_cards.py",
    "tests/test_homes.py",
    "tests/test_import_contract.py",
    "tests/test_docs.py",
    "tests/test_site.py",
    "tests/test_structure.py",
    "tests/test_members_from_elsewhere.py",
    "tests/test_documented_settings.py",
    "tests/cli/test_complete.py",
    "tests/cli/test_methods.py",
    "tests/cli/test_shown_commands.py",
    "tests/foundations/test_cards.py",
    "tests/foundations/test_hostile_members.py",
    "tests/foundations/test_moved.py",
    "tests/data/test_own_files.py",
    "tests/data/test_hostile_content.py",
    "tests/nets/test_net_laws.py",
    "tests/runs/test_values.py",
    "tests/laws/test_data_laws.py::test_exemptions_are_few_and_shown",
    "tests/laws/test_offset_laws.py::test_exemptions_are_few_and_shown",
    "--deselect=tests/test_docs.py::test_the_snippets_of_a_page_give_what_they_show[docs/howto.md]",
)


def copy(place: Path) -> None:
    """Copy what git knows, or would take."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, told.split("\0")):
        if not name.startswith(GONE) and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)


def run(place: Path, *words: str) -> None:
    """Run Python in the copy, on its sources; end with its exit status if that is not 0."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(place / "src")}
    # Otherwise each process that a test starts would compile the library.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    status = subprocess.run([sys.executable, *words], cwd=place, env=environment, check=False).returncode
    print(f"{' '.join(words[:4])} ...: {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201
    if status:
        sys.exit(status)


def main() -> None:
    """Copy, make the pages anew that are made from cards, collect, and run."""
    pytest = ("-m", "pytest", "-p", "no:cacheprovider")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        copy(place)
        run(place, "docs/methods.py")
        if not sys.argv[1:]:
            run(place, *pytest, "--collect-only", "-qq", "-m", "slow or not slow")
        run(place, *pytest, *(sys.argv[1:] or LIKELY))


if __name__ == "__main__":
    main()
