"""The command: ``python -m studies.restoration --size laptop --seeds 1``."""

import sys

from studies.common import main
from studies.restoration.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
