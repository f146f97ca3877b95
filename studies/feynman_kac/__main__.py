"""The command: ``python -m studies.feynman_kac --size laptop --seeds 8``."""

import sys

from studies.common import main
from studies.feynman_kac.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
