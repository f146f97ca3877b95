"""The studies lie beside the package, not in it; those of a ring that was deleted are left out."""

import sys
from pathlib import Path

from rings import names_absent

HERE = Path(__file__).parent
STUDIES = HERE.parents[1] / "studies"
sys.path.insert(0, str(STUDIES.parent))


def _texts(test: Path) -> str:
    """A test and the study that it is about."""
    study = STUDIES / test.stem.removeprefix("test_")
    return "\n".join(file.read_text("utf-8") for file in (test, *study.glob("*.py")))


collect_ignore = [test.name for test in HERE.glob("test_*.py") if names_absent(_texts(test))]
