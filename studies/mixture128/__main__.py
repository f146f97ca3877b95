"""The command: ``python -m studies.mixture128 --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.mixture128.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
