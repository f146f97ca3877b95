"""Write the library's table of invariants from the results: ``python -m studies.chaotic_invariants.write``."""

from pathlib import Path

from interpolants.foundations.storage import write_text
from interpolants.sciml.chaos.problems.chaotic_invariants import TABLE, written
from studies.chaotic_invariants.experiment import STUDY, invariants
from studies.common import ROOT, read


def main(folder: Path = Path(__file__).parent) -> None:
    """The table beside the module that reads it."""
    found = invariants(read(STUDY.stored(folder), folder))
    write_text(ROOT / "src" / "interpolants" / "sciml" / "chaos" / "problems" / TABLE, written(found))


if __name__ == "__main__":
    main()
