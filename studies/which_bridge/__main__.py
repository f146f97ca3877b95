"""The command: ``python -m studies.which_bridge --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.which_bridge.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
