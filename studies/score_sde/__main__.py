"""The command: ``python -m studies.score_sde --size laptop --seeds 3``."""

import sys

from studies.common import main
from studies.score_sde.report import STUDY

if __name__ == "__main__":
    sys.exit(main(STUDY))
