"""The command: ``python -m studies.spurious_modes --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.spurious_modes.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
