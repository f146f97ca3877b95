"""The command: ``python -m studies.kinetic_optimal --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.kinetic_optimal.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
