"""The command: ``python -m studies.shortest_path --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.shortest_path.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
