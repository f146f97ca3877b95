"""The command: ``python -m studies.checkerboard --size laptop --seeds 3``."""

import sys

from studies.checkerboard.report import STUDY
from studies.common import main

if __name__ == "__main__":
    sys.exit(main(STUDY))
