"""The command: ``python -m studies.gauge_freedom --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.gauge_freedom.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
