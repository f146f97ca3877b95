"""The command: ``python -m studies.guidance --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.guidance.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
