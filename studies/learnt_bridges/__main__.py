"""The command: ``python -m studies.learnt_bridges --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.learnt_bridges.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
