"""The command: ``python -m studies.flow_maps --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.flow_maps.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
